//! Updates: each is told once, and acknowledged when it was; ends also later, if the scheduler
//! wants: what a task wrote stays with its agent until then.

use super::{Driver, Live};
use crate::scheduler::Scheduler;
use skep_protocol::{
    StatusUpdate, TaskKey,
    framework::{Acknowledgement, Call},
};
use std::collections::BTreeMap;

/// Acknowledgements in one call: it stays far below the length of a frame.
const ACKNOWLEDGEMENTS_MAX: usize = 4_096;

/// The ends that are to be acknowledged later, with the number of their update.
#[derive(Debug, Default)]
pub(super) struct Kept(BTreeMap<TaskKey, u64>);

impl Kept {
    pub(super) fn contains(&self, key: &TaskKey) -> bool {
        self.0.contains_key(key)
    }
}

impl Driver {
    /// Keeps the end of a task, and so what it wrote, until [`Driver::acknowledge`]. To be called
    /// with an update that says how a task ended, in
    /// [`Scheduler::status_update`](crate::Scheduler::status_update); one that no agent has
    /// recorded has nothing to keep.
    ///
    /// Its agent forgets neither the task nor what it wrote, however often it or the master is
    /// restarted. It counts against the tasks that the agent may have, so that who collects slowly
    /// is offered less. What is kept when the framework is removed is kept no longer.
    pub fn keep_end(&mut self, update: &StatusUpdate) {
        if update.seq > 0 && update.state.is_terminal() {
            self.kept_ends.0.insert(update.key.clone(), update.seq);
        }
    }

    /// Acknowledges ends that were kept: what these tasks wrote is collected, or not wanted. An
    /// acknowledgement that is lost is given again when the update is repeated.
    pub fn acknowledge<'a>(&mut self, keys: impl IntoIterator<Item = &'a TaskKey>) {
        let taken = keys.into_iter().filter_map(|key| self.kept_ends.0.remove_entry(key));
        let taken: Vec<_> = taken.map(|(key, seq)| Acknowledgement { key, seq }).collect();
        for acknowledgements in taken.chunks(ACKNOWLEDGEMENTS_MAX) {
            let acknowledgements = acknowledgements.to_vec();
            self.calls.push(Call::Acknowledge { acknowledgements });
        }
    }

    /// How many ends are kept.
    pub fn kept_ends(&self) -> usize {
        self.kept_ends.0.len()
    }

    pub(super) fn updated(&mut self, updates: Vec<StatusUpdate>, scheduler: &mut impl Scheduler) {
        let mut acknowledgements: BTreeMap<TaskKey, u64> = BTreeMap::new();
        for update in updates {
            if self.is_news(&update) {
                self.asking.tell_of(Some(&update.state));
                scheduler.status_update(self, &update);
                self.asking.tell_of(None);
            } else if self.is_back_unwanted(&update) {
                self.kill(update.key.task.clone());
            }
            if update.seq > 0 && !self.kept_ends.contains(&update.key) {
                acknowledgements.insert(update.key, update.seq);
            }
        }
        if !acknowledgements.is_empty() {
            let acknowledgements = acknowledgements
                .into_iter()
                .map(|(key, seq)| Acknowledgement { key, seq })
                .collect();
            self.calls.push(Call::Acknowledge { acknowledgements });
        }
    }

    /// Whether the scheduler has not seen this yet; notes that it now has.
    fn is_news(&mut self, update: &StatusUpdate) -> bool {
        let StatusUpdate { key, seq, state, .. } = update;
        if self.ended.contains(key) || self.kept_ends.contains(key) {
            return false;
        }
        // A task that is not known here was launched by an earlier run of this framework.
        let fresh = || Live { attempt: key.attempt, seen: 0 };
        let live = self.live.entry(key.task.clone()).or_insert_with(fresh);
        if key.attempt < live.attempt || (*seq > 0 && *seq <= live.seen) {
            return false;
        }
        if key.attempt > live.attempt {
            *live = fresh();
        }
        live.seen = live.seen.max(*seq);
        if state.is_terminal() {
            self.live.remove(&key.task);
            self.ended.insert(key.clone(), *seq == 0);
        }
        true
    }

    /// Whether an attempt that was called lost is back, after its scheduler has made up its mind:
    /// masters that were restarted cannot know that. Later attempts end it by themselves.
    ///
    /// Its agent's own updates say so too: the master has no word of its own for a framework that
    /// was away when the agent came back.
    fn is_back_unwanted(&self, update: &StatusUpdate) -> bool {
        let StatusUpdate { key, seq, state, .. } = update;
        let was_given_up =
            if *seq == 0 { self.ended.contains(key) } else { self.ended.is_given_up(key) };
        !state.is_terminal() && was_given_up && !self.live.contains_key(&key.task)
    }
}
