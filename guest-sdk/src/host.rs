//! The two functions of the host module `skep`, and the numbers it answers with.
//!
//! All unsafe code of the crate is in `imports`: two foreign functions, each called in one place.

use std::{error, fmt};

/// Reports how far this task has come: `done` of `total`, in a unit of the guest's choosing, and a
/// few words about it. The framework sees the latest report; how many it sees is not promised.
///
/// # Errors
/// [`HostError::TooLarge`] when the message is longer than the host takes, [`HostError::Absent`]
/// outside of Wasm. The task goes on as before: most programs ignore the answer.
pub fn progress(done: u64, total: u64, message: &str) -> Result<(), HostError> {
    // The host counts in signed numbers, as Wasm does; no progress bar tells 2^63 from more.
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    HostError::check(imports::progress(signed(done), signed(total), message))
}

/// Hands `value` to the framework as this task's result. It arrives when the task ends; of several
/// calls the last one counts.
///
/// # Errors
/// [`HostError::TooLarge`] when the value is larger than the host takes (write a file then),
/// [`HostError::Absent`] outside of Wasm. An earlier result stays as it was.
pub fn set_result(value: &[u8]) -> Result<(), HostError> {
    HostError::check(imports::result(value))
}

/// Why the host did not take a report or a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostError {
    /// This program is not Wasm: there is no host to tell.
    Absent,
    /// The text or value is larger than the host takes.
    TooLarge,
    /// The host answered with a number that this version does not know.
    Refused(i32),
}

impl HostError {
    /// Host answers are 0 for taken, 1 for out of bounds, 2 for too large, 3 for not UTF-8. A slice
    /// is in bounds and a `str` is UTF-8, so that 1 and 3 count as unknown here.
    fn check(answer: Option<i32>) -> Result<(), Self> {
        match answer {
            None => Err(Self::Absent),
            Some(0) => Ok(()),
            Some(2) => Err(Self::TooLarge),
            Some(number) => Err(Self::Refused(number)),
        }
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("no host: this program was not compiled to Wasm"),
            Self::TooLarge => f.write_str("it is larger than the host takes: send less"),
            Self::Refused(number) => write!(f, "the host refused it with the number {number}"),
        }
    }
}

impl error::Error for HostError {}

#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "calls into the host are foreign functions")]
mod imports {
    #[link(wasm_import_module = "skep")]
    unsafe extern "C" {
        #[link_name = "progress"]
        fn host_progress(done: i64, total: i64, text: *const u8, len: usize) -> i32;
        #[link_name = "result"]
        fn host_result(value: *const u8, len: usize) -> i32;
    }

    pub(super) fn progress(done: i64, total: i64, message: &str) -> Option<i32> {
        // SAFETY: the host reads `len` bytes from the pointer before it returns and keeps neither;
        // both come from one live slice.
        Some(unsafe { host_progress(done, total, message.as_ptr(), message.len()) })
    }

    pub(super) fn result(value: &[u8]) -> Option<i32> {
        // SAFETY: as in `progress`.
        Some(unsafe { host_result(value.as_ptr(), value.len()) })
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod imports {
    pub(super) fn progress(_done: i64, _total: i64, _message: &str) -> Option<i32> {
        None
    }

    pub(super) fn result(_value: &[u8]) -> Option<i32> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_of_wasm_the_calls_say_so() {
        assert_eq!(progress(1, 2, "half"), Err(HostError::Absent));
        assert_eq!(set_result(b"42"), Err(HostError::Absent));
    }

    #[test]
    fn every_answer_of_the_host_has_a_meaning() {
        assert_eq!(HostError::check(Some(0)), Ok(()));
        assert_eq!(HostError::check(Some(2)), Err(HostError::TooLarge));
        assert_eq!(HostError::check(Some(9)), Err(HostError::Refused(9)));
        assert_eq!(HostError::check(None), Err(HostError::Absent));
    }
}
