//! When what is due: one slot per subject, so that nothing needs to be cancelled by number.

use skep_protocol::{AgentId, FrameworkId, OfferId, Time};
use std::collections::{BTreeMap, BTreeSet};

/// What becomes due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// What was freed while the shell was busy is to be offered.
    Allocation,
    /// An allocation has become old enough to be recalled.
    Recall,
    /// Agents that have not come back after a restart of the master are given up.
    Returns,
    /// An offer was not answered.
    Offer(OfferId),
    /// What an agent's standing waits for: silence, being unreachable, being lost.
    Agent(AgentId),
    /// A framework did not come back.
    Framework(FrameworkId),
    /// The tasks of an agent that is drained have had their time.
    Drain(AgentId),
    /// The maintenance of an agent begins or ends.
    Maintenance(AgentId),
    /// A framework did not answer what it was asked.
    Inquiry(u64),
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    times: BTreeMap<Timer, Time>,
    /// The same, by time.
    queue: BTreeSet<(Time, Timer)>,
}

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, time: Time) {
        if let Some(before) = self.times.insert(timer.clone(), time) {
            self.queue.remove(&(before, timer.clone()));
        }
        self.queue.insert((time, timer));
    }

    pub(crate) fn clear(&mut self, timer: &Timer) {
        if let Some(time) = self.times.remove(timer) {
            self.queue.remove(&(time, timer.clone()));
        }
    }

    pub(crate) fn is_set(&self, timer: &Timer) -> bool {
        self.times.contains_key(timer)
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.queue.first().map(|(time, _)| *time)
    }

    /// Takes the earliest one, if it is due.
    pub(crate) fn take_due(&mut self, now: Time) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        let (_, timer) = self.queue.pop_first()?;
        self.times.remove(&timer);
        Some(timer)
    }

    pub(crate) fn check(&self) {
        let times = self.times.iter().map(|(timer, time)| (*time, timer.clone()));
        let times: BTreeSet<_> = times.collect();
        assert_eq!(times, self.queue, "the two sides of the timers disagree");
    }
}
