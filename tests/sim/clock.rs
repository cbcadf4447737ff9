//! The clocks of the machines: each is set when its process starts, right or wrong, and from then
//! on goes at its own pace, as `skep-shell` has it.
//!
//! Always holds: while a process runs its clock never shows an earlier time than before. Across a
//! restart it may.

use skep_protocol::Time;
use std::time::Duration;

/// Parts of which a pace says how many are gained or lost.
const MILLION: u128 = 1_000_000;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// When it was set, in true time, and to what.
    set: Time,
    shows: Time,
    /// Microseconds that it counts in a true second.
    pace: u128,
}

/// How wrong clocks may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wrongness {
    /// How far from the true time a clock is set.
    pub(crate) skew_max: Duration,
    /// Parts in a million that it is too fast or too slow.
    pub(crate) drift_max: u64,
}

impl Wrongness {
    pub(crate) const NONE: Self = Self { skew_max: Duration::ZERO, drift_max: 0 };
}

impl Clock {
    /// A clock that was set at a true time. `skew` and `drift` are drawn from twice the wrongness:
    /// the middle is right.
    pub(crate) fn set(now: Time, wrongness: Wrongness, skew: Duration, drift: u64) -> Self {
        let early = Time::from_micros(now.as_micros().saturating_sub(micros(wrongness.skew_max)));
        let pace = MILLION + u128::from(drift) - u128::from(wrongness.drift_max);
        Self { set: now, shows: early + skew, pace }
    }

    /// What it shows at a true time.
    pub(crate) fn at(&self, now: Time) -> Time {
        let counted = now.since(self.set).as_micros() * self.pace / MILLION;
        self.shows + Duration::from_micros(u64::try_from(counted).unwrap_or(u64::MAX))
    }

    /// The first true time at which it shows `time`, or the time when it was set.
    pub(crate) fn when(&self, time: Time) -> Time {
        let to_count = time.since(self.shows).as_micros() * MILLION;
        let true_micros = to_count.div_ceil(self.pace);
        self.set + Duration::from_micros(u64::try_from(true_micros).unwrap_or(u64::MAX))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_asked_when_it_shows_a_time_and_shows_it_then() {
        let wrongness = Wrongness { skew_max: Duration::from_secs(60), drift_max: 20_000 };
        for (skew, drift) in [(0, 0), (60, 20_000), (77, 13), (120, 40_000)] {
            let now = Time::from_micros(1_000_000_007);
            let clock = Clock::set(now, wrongness, Duration::from_secs(skew), drift);
            for later in [0, 1, 999_999, 123_456_789] {
                let time = clock.at(now) + Duration::from_micros(later);
                let due = clock.when(time);
                assert!(clock.at(due) >= time, "it is due too early");
                let before = Time::from_micros(due.as_micros() - 1);
                assert!(later == 0 || clock.at(before) < time, "it is due too late");
            }
        }
    }

    #[test]
    fn a_clock_that_is_right_shows_the_true_time() {
        let now = Time::from_micros(5_000_000);
        let clock = Clock::set(now, Wrongness::NONE, Duration::ZERO, 0);
        let later = now + Duration::from_secs(7);
        assert_eq!((clock.at(later), clock.when(later)), (later, later));
    }
}
