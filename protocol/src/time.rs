//! Points in time, as the cores are told them.

use serde::{Deserialize, Serialize};
use std::{
    fmt, ops,
    time::{Duration, SystemTime},
};

/// Microseconds since the Unix epoch.
///
/// Only shells and simulators make one: a core compares and adds, and never asks what time it is.
/// A shell's clock never runs backwards within one run of the process.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(u64);

impl Time {
    /// The Unix epoch.
    pub const ZERO: Self = Self(0);

    /// The time `micros` after the Unix epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl ops::Add<Duration> for Time {
    type Output = Self;

    /// Saturates: a deadline beyond the representable is never reached, which is what it means.
    fn add(self, by: Duration) -> Self {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

impl From<SystemTime> for Time {
    /// The time of a system clock; the epoch, if the clock stands before it.
    fn from(clock: SystemTime) -> Self {
        Self::ZERO + clock.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }
}
