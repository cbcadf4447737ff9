//! How long a scheduler that has died waits before it is started again.

use std::time::Duration;

/// Before the first start anew.
const FIRST: Duration = Duration::from_secs(1);
/// Before any.
const LONGEST: Duration = Duration::from_secs(60);
/// Who ran for so long is not taken for one that cannot run.
const SETTLED: Duration = Duration::from_secs(60);

/// How often in a row it has died young.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BackOff(u32);

impl BackOff {
    /// Counts a death after so long a life, and gives how long to wait.
    pub(crate) fn after(&mut self, life: Duration) -> Duration {
        if life >= SETTLED {
            self.0 = 0;
        }
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(self.0)).min(LONGEST);
        self.0 = self.0.saturating_add(1);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_dies_young_waits_longer_each_time_and_who_lived_long_does_not() {
        let mut backoff = BackOff::default();
        let young = Duration::from_secs(1);
        let waits: Vec<u64> = (0..8).map(|_| backoff.after(young).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.after(SETTLED).as_secs(), 1);
    }
}
