//! Which tasks of a group run for so long that a copy of them is due. Pure: told the time.

use super::job::Group;
use serde::{Deserialize, Serialize};
use skep_protocol::{Amount, Time};
use std::time::Duration;

/// The largest factor that means something.
const AFTER_MAX: Amount = Amount::units(1_000);

/// When a task that runs for long is started a second time, on another agent: the first of the two
/// that ends well counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stragglers {
    /// How many times as long as the tasks that are done, by their median, it runs before that.
    pub after: Amount,
    /// How long it runs before that at least.
    #[serde(default = "Stragglers::default_least")]
    pub least: Duration,
    /// The share of the group's tasks that must be done before that.
    #[serde(default = "Stragglers::default_done")]
    pub done: Amount,
}

/// The stragglers of a group, at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// Of which tasks a copy is due, those that have run for the longest first.
    pub(super) due: Vec<usize>,
    /// When the next of the others becomes one, if nothing else happens.
    pub(super) next: Option<Time>,
}

impl Stragglers {
    /// [`Self::least`] of those who do not say: of short tasks a copy is hardly sooner.
    pub const fn default_least() -> Duration {
        Duration::from_secs(10)
    }

    /// [`Self::done`] of those who do not say.
    pub const fn default_done() -> Amount {
        Amount::millis(750)
    }

    /// Checks that a copy can come to be launched.
    pub(super) fn check(&self, group: &Group) -> Result<(), String> {
        let Self { after, least, done } = self;
        if *after < Amount::units(1) || *after > AFTER_MAX {
            return Err(format!(
                "after: {after}: how many times as long as the tasks that are done one runs \
                 before it is copied, from 1 to {AFTER_MAX}, such as 2"
            ));
        }
        if *done == Amount::ZERO || *done >= Amount::units(1) {
            return Err(format!(
                "done: {done}: the share of the tasks that are done before one is copied, above 0 \
                 and below 1, such as 0.75"
            ));
        }
        if let Some(deadline) = group.deadline().filter(|deadline| deadline <= least) {
            return Err(format!(
                "least: {least:?}: no task runs for so long, for its deadline is {deadline:?}"
            ));
        }
        if group.count < 2 {
            return Err("a group of one task has no others to be slower than".into());
        }
        Ok(())
    }

    /// Looks at a group of so many tasks, of which so many are done. `took`: how long these ran, in
    /// milliseconds, the shortest first. `running`: since when which of the others run.
    pub(super) fn look(
        &self,
        now: Time,
        (count, done): (u64, u64),
        took: &[u64],
        running: impl Iterator<Item = (usize, Time)>,
    ) -> Look {
        let Some(limit) = self.limit(count, done, took) else { return Look::default() };
        let mut ends: Vec<(Time, usize)> =
            running.map(|(index, begun)| (begun + limit, index)).collect();
        ends.sort_unstable();
        let (due, others) = ends.split_at(ends.partition_point(|(end, _)| *end <= now));
        Look {
            due: due.iter().map(|(_, index)| *index).collect(),
            next: others.first().map(|(end, _)| *end),
        }
    }

    /// How long a task runs before it is one. None: it is too early to tell.
    fn limit(&self, count: u64, done: u64, took: &[u64]) -> Option<Duration> {
        let enough = count.saturating_mul(self.done.as_millis()) / 1_000;
        // Of an even number the longer of the two in the middle.
        let median = took.get(took.len() / 2).filter(|_| done >= enough.max(1))?;
        let limit = median.saturating_mul(self.after.as_millis()) / 1_000;
        Some(Duration::from_millis(limit).max(self.least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Time {
        Time::ZERO + SECOND * u32::try_from(seconds).expect("few")
    }

    fn stragglers(after: u64, least: Duration, done: u64) -> Stragglers {
        Stragglers { after: Amount::millis(after), least, done: Amount::millis(done) }
    }

    /// Of four tasks three are done, one runs since the time 10.
    fn next(stragglers: Stragglers, took: &[u64]) -> Option<Time> {
        stragglers.look(at(10), (4, 3), took, [(3, at(10))].into_iter()).next
    }

    #[test]
    fn one_is_due_after_so_many_medians_and_at_least_so_long() {
        let twice = stragglers(2_000, SECOND, 750);
        assert_eq!(next(twice, &[1_000, 3_000, 50_000]), Some(at(16)));
        assert_eq!(next(twice, &[1_000, 4_000]), Some(at(18)), "the longer one in the middle");
        assert_eq!(next(twice, &[100, 200, 300]), Some(at(11)), "at least a second");
        assert_eq!(next(stragglers(1_500, SECOND, 750), &[2_000]), Some(at(13)));
        assert_eq!(next(twice, &[]), None, "nobody knows how long the others ran");
        let never = next(twice, &[u64::MAX]).expect("a time");
        assert!(never > at(u64::from(u32::MAX)), "no time overflows");
    }

    #[test]
    fn too_few_that_are_done_say_nothing() {
        let look = |count, done, share| {
            let running = [(0, at(0))].into_iter();
            stragglers(1_000, SECOND, share).look(at(9), (count, done), &[1_000], running).due
        };
        assert_eq!((look(8, 5, 750), look(8, 6, 750)), (vec![], vec![0]));
        assert_eq!((look(2, 0, 400), look(2, 1, 400)), (vec![], vec![0]), "one at least");
        assert_eq!((look(7, 4, 750), look(7, 5, 750)), (vec![], vec![0]), "rounded down");
    }

    #[test]
    fn those_that_are_due_come_by_their_age_and_of_the_others_the_first_is_named() {
        let running = [(4, at(3)), (5, at(1)), (6, at(9)), (7, at(8)), (8, at(1))].into_iter();
        let look = stragglers(2_000, SECOND, 500).look(at(7), (9, 5), &[2_000], running);
        assert_eq!(look, Look { due: vec![5, 8, 4], next: Some(at(12)) });
    }
}
