//! Status updates on their way: sent, kept, and sent again until they are acknowledged.
//!
//! Always holds: while the agent is registered every task with unacknowledged updates is due to be
//! sent again, and while it is not none is. All that a task has unacknowledged is sent together
//! and in order; the receiver knows repetitions by their numbers.

use crate::{agent::Agent, record::Record};
use skep_protocol::{
    StatusUpdate, TaskKey, Time, agent::ToMaster, frames, framework::Acknowledgement,
    outcome::Checkpoint,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

#[derive(Debug, Default)]
pub(crate) struct Retries {
    tasks: BTreeMap<TaskKey, Retry>,
    /// The same tasks by their time.
    dues: BTreeSet<(Time, TaskKey)>,
}

#[derive(Debug)]
struct Retry {
    due: Time,
    /// How long the next wait is.
    wait: Duration,
}

impl Retries {
    pub(crate) fn due(&self) -> Option<Time> {
        self.dues.first().map(|(due, _)| *due)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &TaskKey> {
        self.tasks.keys()
    }

    pub(crate) fn clear(&mut self) {
        self.tasks.clear();
        self.dues.clear();
    }

    fn set(&mut self, key: TaskKey, due: Time, wait: Duration) {
        self.remove(&key);
        self.dues.insert((due, key.clone()));
        self.tasks.insert(key, Retry { due, wait });
    }

    pub(crate) fn remove(&mut self, key: &TaskKey) {
        if let Some((key, Retry { due, .. })) = self.tasks.remove_entry(key) {
            self.dues.remove(&(due, key));
        }
    }

    /// Takes all that are due, each with how long its next wait is.
    fn take_due(&mut self, now: Time) -> Vec<(TaskKey, Duration)> {
        let mut taken = Vec::new();
        while self.due().is_some_and(|due| due <= now) {
            let Some((_, key)) = self.dues.pop_first() else { break };
            if let Some(Retry { wait, .. }) = self.tasks.remove(&key) {
                taken.push((key, wait));
            }
        }
        taken
    }
}

impl Agent {
    /// A new update of the task has been recorded.
    pub(crate) fn expect_acknowledgement(&mut self, key: &TaskKey) {
        if self.is_registered() && !self.retries.tasks.contains_key(key) {
            self.schedule(key.clone(), self.policy.update_retry);
        }
    }

    fn schedule(&mut self, key: TaskKey, wait: Duration) {
        let next = wait.saturating_mul(2).min(self.policy.update_retry_max);
        self.retries.set(key, self.turn.now + wait, next);
    }

    pub(crate) fn send_updates(&mut self, updates: Vec<StatusUpdate>) {
        for updates in frames::cut(updates, frames::update_bytes) {
            self.tell_master(ToMaster::StatusUpdates { updates });
        }
    }

    pub(crate) fn resend_due(&mut self) {
        let mut updates = Vec::new();
        for (key, wait) in self.retries.take_due(self.turn.now) {
            updates.extend(self.unacknowledged(&key));
            self.schedule(key, wait);
        }
        self.send_updates(updates);
    }

    /// After a registration: whatever the old connection may have lost.
    pub(crate) fn resend_all(&mut self) {
        let held = self.state.tasks().iter();
        let open = held.filter(|(_, task)| !task.updates().is_empty()).map(|(key, _)| key.clone());
        let mut updates = Vec::new();
        for key in open.collect::<Vec<_>>() {
            updates.extend(self.unacknowledged(&key));
            self.schedule(key, self.policy.update_retry);
        }
        // Ahead of the ends, since the next attempts are to have them.
        let held = self.state.tasks().iter().filter(|(_, task)| !task.checkpoint().is_empty());
        let checkpoints = held.map(|(key, task)| {
            let (key, bytes) = (key.clone(), task.checkpoint().to_vec());
            Checkpoint { key, bytes }
        });
        self.send_checkpoints(checkpoints.collect());
        self.send_updates(updates);
    }

    /// A guest has left a state to go on from.
    pub(crate) fn checkpointed(&mut self, checkpoint: Checkpoint) {
        self.persist(Record::Checkpointed(checkpoint.clone()));
        self.send_checkpoints(vec![checkpoint]);
    }

    fn send_checkpoints(&mut self, checkpoints: Vec<Checkpoint>) {
        for checkpoints in frames::cut(checkpoints, frames::checkpoint_bytes) {
            self.tell_master(ToMaster::Checkpointed { checkpoints });
        }
    }

    /// The same task was launched again after it had ended: the news seem to be lost.
    pub(crate) fn resend(&mut self, key: &TaskKey) {
        let updates = self.unacknowledged(key);
        self.turn.unkept.extend(updates);
    }

    fn unacknowledged(&self, key: &TaskKey) -> Vec<StatusUpdate> {
        let updates = self.state.task(key).map(|task| task.updates().iter().cloned().collect());
        updates.unwrap_or_default()
    }

    pub(crate) fn acknowledged(&mut self, ack: &Acknowledgement) {
        let Acknowledgement { key, seq } = ack;
        let Some(task) = self.state.task(key) else { return };
        let covered = task.updates().iter().take_while(|update| update.seq <= *seq);
        let Some(last) = covered.last() else { return };
        let (seq, state) = (last.seq, last.state.clone());
        self.retries.remove(key);
        if state.is_terminal() {
            self.forget_task(key.clone(), seq);
            return;
        }
        self.persist(Record::Acknowledged { key: key.clone(), seq, state: Some(state) });
        self.tell_stand_again(key);
        if !self.unacknowledged(key).is_empty() {
            self.schedule(key.clone(), self.policy.update_retry);
        }
    }
}
