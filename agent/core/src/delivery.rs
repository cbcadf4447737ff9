//! Outputs on their way to the master, after a guest has ended by itself.
//!
//! ```text
//! running -> delivering -> ended, with what was delivered
//!                |  ^  broken: tried again after a wait that doubles; not while there is no master
//!                +--+
//! ```
//! The guest's end is recorded before its executor may forget it, so that a run of the agent that
//! is killed meanwhile is followed by one that goes on delivering. Always holds: a task that
//! delivers has its room still, and is in no executor; its end is told once.

use crate::{
    agent::Agent,
    effect::{Effect, Extent},
    input::DeliveryFailure,
    profile::ExecutorKey,
    record::{GuestEnd, Record},
    tasks::{Compilation, Live, Stage},
    turn::Change,
};
use skep_protocol::{Outcome, TaskKey, Time, outcome::Delivered, task::Terms};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    /// How often each has failed.
    tasks: BTreeMap<TaskKey, u32>,
    /// Those that wait for their next try, by its time.
    due: BTreeSet<(Time, TaskKey)>,
}

impl Deliveries {
    fn add(&mut self, key: TaskKey, now: Time) {
        self.due.insert((now, key.clone()));
        self.tasks.insert(key, 0);
    }

    pub(crate) fn remove(&mut self, key: &TaskKey) {
        if self.tasks.remove(key).is_some() {
            self.due.retain(|(_, due)| due != key);
        }
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &TaskKey> {
        self.tasks.keys()
    }
}

impl Agent {
    /// A guest is over: so is its task, unless it has outputs to deliver.
    pub(crate) fn guest_ended(&mut self, key: &TaskKey, end: GuestEnd) {
        let has_outputs = self.spec(key).is_some_and(|spec| !spec.outputs.is_empty());
        if !has_outputs || !matches!(end.outcome, Outcome::Exited { .. }) {
            return self.end(key, Change::of_guest(end, Vec::new()));
        }
        let executor = self.executor_of(key);
        let Some(live) = self.live.get_mut(key) else { return };
        live.stage = Stage::Delivering;
        let arrival = live.arrival;
        if let Some(executor) = &executor {
            self.executors.guest_leaves(executor, key, self.turn.now);
        }
        self.persist(Record::GuestEnded { key: key.clone(), end: Box::new(end) });
        // It runs no more, so there is nothing to pause.
        self.preemption.leave(arrival);
        self.deliveries.add(key.clone(), self.turn.now);
    }

    /// Goes on with what an earlier run was about to deliver.
    pub(crate) fn deliver_again(&mut self, key: TaskKey, arrival: u64) {
        let (stage, compilation) = (Stage::Delivering, Compilation::Took(Duration::ZERO));
        self.live.insert(key.clone(), Live { arrival, stage, compilation });
        if let Some(executor) = self.executor_of(&key) {
            self.profiles.join(executor);
        }
        if let (Some(task), Some(spec)) = (self.state.task(&key), self.spec(&key)) {
            let (allocation, granted) = (task.allocation, task.granted.clone());
            let used = spec.resources.clone();
            self.queues.take_back(allocation, &granted, arrival, &used);
        }
        self.deliveries.add(key, self.turn.now);
    }

    /// The tasks that deliver what a guest of this executor has left.
    pub(crate) fn delivering_of(&self, executor: &ExecutorKey) -> Vec<TaskKey> {
        let theirs = |key: &&TaskKey| self.executor_of(key).as_ref() == Some(executor);
        self.deliveries.keys().filter(theirs).cloned().collect()
    }

    pub(crate) fn delivery_due(&self) -> Option<Time> {
        let next = self.deliveries.due.first();
        // Before the executors have answered it is not known whether the files are as they were.
        let may_deliver = self.is_registered() && !self.executors.is_expecting();
        next.filter(|_| may_deliver).map(|(due, _)| *due)
    }

    /// Has what is due delivered.
    pub(crate) fn request_deliveries(&mut self) {
        while self.delivery_due().is_some_and(|due| due <= self.turn.now) {
            let Some((_, key)) = self.deliveries.due.pop_first() else { return };
            let Some(outputs) = self.spec(&key).map(|spec| spec.outputs.clone()) else { continue };
            let end = self.state.task(&key).and_then(|task| task.guest_end());
            let extent = match end.is_some_and(|end| end.outcome.is_success()) {
                true => Extent::All,
                false => Extent::WhatIsThere,
            };
            self.effect(Effect::Deliver { key, outputs, extent });
        }
    }

    /// The outputs of a task are stored at the master.
    pub(crate) fn delivered(&mut self, key: &TaskKey, outputs: Vec<Delivered>) {
        if let Some(end) = self.end_of_delivering(key) {
            self.end(key, Change::of_guest(end, outputs));
        }
    }

    pub(crate) fn not_delivered(&mut self, key: &TaskKey, why: DeliveryFailure) {
        let registered = self.is_registered();
        let Some(failures) = self.deliveries.tasks.get_mut(key) else { return };
        match why {
            DeliveryFailure::Unfit { why } => self.end_undelivered(key, why),
            DeliveryFailure::Failed { why } => {
                if registered {
                    *failures += 1;
                }
                let failures = *failures;
                if failures >= self.policy.delivery_tries_max {
                    let why = format!("its outputs could not be delivered: {why}");
                    return self.end_undelivered(key, why);
                }
                let wait = self.policy.delivery_retry.saturating_mul(1 << failures.min(16));
                self.deliveries.due.insert((self.turn.now + wait, key.clone()));
            }
        }
    }

    /// A guest that did well is believed to have failed without its outputs; of another the reason
    /// is worth more.
    fn end_undelivered(&mut self, key: &TaskKey, why: String) {
        let Some(mut end) = self.end_of_delivering(key) else { return };
        if end.outcome.is_success() {
            end.outcome = Outcome::Failed { why };
            end.result.clear();
        }
        self.end(key, Change::of_guest(end, Vec::new()));
    }

    /// A task is to end before its outputs are delivered.
    pub(crate) fn end_delivering(&mut self, key: &TaskKey, outcome: Outcome) {
        let usage = self.end_of_delivering(key).map(|end| end.usage);
        self.end(key, Change { usage, ..Change::ended(outcome, self.turn.now) });
    }

    /// How the guest of a task that delivers has ended.
    fn end_of_delivering(&self, key: &TaskKey) -> Option<GuestEnd> {
        self.live.get(key).filter(|live| live.stage == Stage::Delivering)?;
        self.state.task(key)?.guest_end().cloned()
    }

    /// The tasks that deliver what they made with what was lent to them, which they use no more.
    pub(crate) fn delivering_revocable(&self) -> impl Iterator<Item = &TaskKey> {
        let is_lent =
            |key: &&TaskKey| self.spec(key).is_some_and(|spec| spec.terms == Terms::Revocable);
        self.deliveries.keys().filter(is_lent)
    }
}
