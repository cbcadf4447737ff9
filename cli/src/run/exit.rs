//! What a task's end means as the exit code of the command.
//!
//! | code | meaning |
//! |---|---|
//! | 0–125 | the guest's own |
//! | 124 | its deadline passed (as `timeout` of coreutils) |
//! | 125 | skep itself failed, or refused to run it |
//! | 129 | the command's terminal is gone (128 + SIGHUP) |
//! | 130 | interrupted from the keyboard (128 + SIGINT) |
//! | 131 | told to quit from the keyboard (128 + SIGQUIT) |
//! | 134 | it trapped (128 + SIGABRT) |
//! | 137 | out of memory (128 + SIGKILL) |
//! | 141 | the reader of its output has gone (128 + SIGPIPE) |
//! | 143 | killed by order, as a task or as the command (128 + SIGTERM) |
//! | 152 | out of fuel (128 + SIGXCPU) |
//! | 153 | it wrote more than it may (128 + SIGXFSZ) |

use skep_protocol::Outcome;

/// skep itself failed, or refused.
pub(crate) const FAILURE: u8 = 125;
/// Nobody reads the output any more (128 + SIGPIPE, as in shells).
pub(crate) const READER_GONE: u8 = 141;
/// The guest failed with a code that cannot be passed on: it would read as one of the above.
const OUT_OF_RANGE: u8 = 1;

/// The exit code for an outcome.
pub(crate) fn code(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Exited { code } => match u8::try_from(*code) {
            Ok(code @ 0..=125) => code,
            _ => OUT_OF_RANGE,
        },
        Outcome::DeadlinePassed { .. } => 124,
        Outcome::Trapped { .. } => 134,
        Outcome::OutOfMemory { .. } => 137,
        Outcome::Killed { .. } => 143,
        Outcome::OutOfFuel { .. } => 152,
        Outcome::OutputLimit { .. } => 153,
        Outcome::DiskLimit { .. } => 154,
        Outcome::HandleLimit { .. } => 155,
        Outcome::RandomLimit { .. } => 156,
        Outcome::Unhealthy { .. } => 157,
        Outcome::ModuleRejected { .. }
        | Outcome::Refused { .. }
        | Outcome::Failed { .. }
        | Outcome::Lost { .. } => FAILURE,
    }
}

/// Whether the reason must be told besides the code.
pub(crate) const fn needs_words(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Exited { code: 0..=125 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_own_code_is_passed_on_where_it_cannot_be_mistaken() {
        for (guest, ours) in [(0, 0), (7, 7), (125, 125), (126, 1), (134, 1), (256, 1), (-1, 1)] {
            assert_eq!(code(&Outcome::Exited { code: guest }), ours, "guest code {guest}");
        }
    }
}
