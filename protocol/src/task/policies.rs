//! What is done about a task in trouble: by its executor, which needs nobody's leave, and so also
//! while its agent is cut off; and by the master when nothing is heard of it.

use crate::{
    bounds::{KILL_GRACE_MAX, RETRY_TIMES_MAX, RETRY_WAIT_MAX},
    outcome::Outcome,
    rejection::Rejection,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, time::Duration};

/// What is done about one task in trouble. By default: a failure ends it, a kill takes effect at
/// once, nobody asks whether it is healthy, and the master decides when it counts as lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policies {
    /// Whether a guest that fails is started again where it is, within the same attempt.
    pub retry: Option<Retry>,
    /// How long a guest that is to be killed may go on after it was told, at most
    /// [`KILL_GRACE_MAX`]. None: it is not told.
    pub kill_grace: Option<Duration>,
    /// The longest that a guest may go without a sign of life; one that does counts as failed.
    /// Time during which it is paused does not count.
    pub heartbeat: Option<Duration>,
    /// How long the task counts as unreachable, from when its agent fell silent, before it counts
    /// as lost. None: as long as the master waits for any agent.
    pub lost_after: Option<Duration>,
}

/// Starting a guest again that has failed: in the same sandbox, with its last checkpoint.
///
/// Fuel and memory are for each run anew; the deadline, the output, the files and the random bytes
/// are for all runs together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// How often at most, up to [`RETRY_TIMES_MAX`].
    pub times: u32,
    /// How long it waits before the first time; twice as long before each further one, but not
    /// longer than [`RETRY_WAIT_MAX`].
    pub wait: Duration,
    /// After which failures; none of the others is retried.
    pub on: BTreeSet<RetryOn>,
}

/// A kind of failure. What a limit in the spec ended (fuel, deadline, output, disk, handles, random
/// bytes) would end the same way again, and is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// It exited with another code than 0.
    Exit,
    /// It trapped.
    Trap,
    /// It asked for more memory than its limit.
    Memory,
    /// It gave no sign of life for too long.
    Unhealthy,
    /// It could not be started, or its executor failed it.
    Failed,
}

impl RetryOn {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Exit, Self::Trap, Self::Memory, Self::Unhealthy, Self::Failed];

    /// Which kind an end is; none if it is no failure, or one that comes again.
    pub const fn of(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::Exited { code: 0 } => None,
            Outcome::Exited { .. } => Some(Self::Exit),
            Outcome::Trapped { .. } => Some(Self::Trap),
            Outcome::OutOfMemory { .. } => Some(Self::Memory),
            Outcome::Unhealthy { .. } => Some(Self::Unhealthy),
            Outcome::Failed { .. } => Some(Self::Failed),
            _ => None,
        }
    }

    /// Its name in specs and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Trap => "trap",
            Self::Memory => "memory",
            Self::Unhealthy => "unhealthy",
            Self::Failed => "failed",
        }
    }
}

impl Retry {
    /// Up to `times` times after any failure, a second after the first one.
    pub fn after_any(times: u32) -> Self {
        Self { times, wait: Duration::from_secs(1), on: RetryOn::ALL.into() }
    }

    /// How long to wait before a guest is started again that has ended like this and was started
    /// again so often before. None: it is not.
    pub fn wait_after(&self, outcome: &Outcome, restarts: u32) -> Option<Duration> {
        let kind = RetryOn::of(outcome)?;
        let again = self.on.contains(&kind) && restarts < self.times;
        let doubled = self.wait.saturating_mul(2_u32.saturating_pow(restarts));
        again.then(|| doubled.min(RETRY_WAIT_MAX))
    }
}

impl Policies {
    /// Whether they say nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn check(&self) -> Result<(), Rejection> {
        let fail = |field: &str, why: String| Err(Rejection::invalid(field, why));
        if let Some(retry) = &self.retry {
            if !(1..=RETRY_TIMES_MAX).contains(&retry.times) {
                return fail("policies.retry.times", format!("it must be 1 to {RETRY_TIMES_MAX}"));
            }
            if retry.on.is_empty() {
                let why = "it names no failure: leave retry out, or name one".into();
                return fail("policies.retry.on", why);
            }
            if retry.wait > RETRY_WAIT_MAX {
                let why = format!("at most {} s are allowed", RETRY_WAIT_MAX.as_secs());
                return fail("policies.retry.wait", why);
            }
        }
        if self.kill_grace.is_some_and(|grace| grace.is_zero() || grace > KILL_GRACE_MAX) {
            let why = format!("more than 0 and at most {} s", KILL_GRACE_MAX.as_secs());
            return fail("policies.kill_grace", why);
        }
        if self.heartbeat.is_some_and(|limit| limit.is_zero()) {
            return fail("policies.heartbeat", "it is zero: leave it out for no check".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_waits_twice_as_long_each_time_and_gives_up() {
        let retry = Retry { times: 12, ..Retry::after_any(1) };
        let failure = Outcome::Exited { code: 1 };
        let waits: Vec<_> =
            (0..13).map(|n| retry.wait_after(&failure, n).map(|wait| wait.as_secs())).collect();
        let doubled = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300].map(Some);
        assert_eq!(waits, doubled.into_iter().chain([None]).collect::<Vec<_>>());
    }

    #[test]
    fn only_what_is_named_is_retried_and_nothing_that_comes_again() {
        let retry = Retry { on: [RetryOn::Trap].into(), ..Retry::after_any(1) };
        assert_eq!(retry.wait_after(&Outcome::Exited { code: 1 }, 0), None);
        let any = Retry::after_any(1);
        for outcome in [
            Outcome::Exited { code: 0 },
            Outcome::OutOfFuel { limit: 1 },
            Outcome::DeadlinePassed { limit: Duration::from_secs(1) },
            Outcome::Killed { by: crate::outcome::KilledBy::Operator },
        ] {
            assert_eq!(any.wait_after(&outcome, 0), None, "{outcome}");
        }
    }
}
