//! Outputs on their way to the master, after a guest has ended, however it did.
//!
//! ```text
//! running -> delivering -> ended, with what was delivered and what was not
//!                |  ^  broken: tried again after a wait that doubles; not while there is no master
//!                +--+
//! ```
//! The guest's end is recorded before its executor may forget it, so that a run of the agent that
//! is killed meanwhile is followed by one that goes on delivering. Always holds: a task that
//! delivers has its room still, and is in no executor; its end is told once, and names each output
//! of its spec as delivered or as missing. A guest that was ended by order delivers for a while at
//! most, and one of an agent that stops until the agent does.

use crate::{
    agent::Agent,
    effect::Effect,
    profile::ExecutorKey,
    record::{GuestEnd, Record},
    tasks::{Compilation, Live, Stage},
    turn::Change,
};
use skep_protocol::{
    Outcome, TaskKey, Time, Usage,
    outcome::{Delivered, KilledBy, LostBy, Missing},
    task::{Output, Terms},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    tasks: BTreeMap<TaskKey, Delivery>,
    /// Those that wait for their next try, by its time.
    due: BTreeSet<(Time, TaskKey)>,
}

/// How far the outputs of one task are.
#[derive(Debug, Default)]
struct Delivery {
    /// How often it has failed.
    failures: u32,
    /// When it is given up.
    until: Option<Time>,
    /// What is to be delivered.
    left: Vec<Output>,
    delivered: Vec<Delivered>,
    missing: Vec<Missing>,
}

impl Delivery {
    /// Gives up what is left.
    fn give_up(&mut self, why: &str) {
        let left = std::mem::take(&mut self.left).into_iter();
        self.missing.extend(left.map(|Output { guest }| {
            let why = format!("its output {guest:?} was not delivered: {why}");
            Missing::new(guest, &why)
        }));
    }

    /// What was delivered and what was not, in the order of the spec.
    fn into_order(self, spec: &[Output]) -> (Vec<Delivered>, Vec<Missing>) {
        let Self { mut delivered, mut missing, .. } = self;
        let place = |guest: &str| spec.iter().position(|output| output.guest == guest);
        delivered.sort_by_key(|output| place(&output.guest));
        missing.sort_by_key(|output| place(&output.guest));
        (delivered, missing)
    }
}

impl Deliveries {
    pub(crate) fn remove(&mut self, key: &TaskKey) {
        if self.tasks.remove(key).is_some() {
            self.due.retain(|(_, due)| due != key);
        }
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &TaskKey> {
        self.tasks.keys()
    }
}

/// Whether a guest that ended so may have left something, and anybody is there to take it.
const fn leaves_outputs(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::ModuleRejected { .. } | Outcome::Refused { .. } => false,
        // The newer attempt leaves them; of a framework that is gone nobody takes them.
        Outcome::Killed { by: KilledBy::NewerAttempt(_) | KilledBy::FrameworkRemoved } => false,
        _ => true,
    }
}

impl Agent {
    /// A guest is over: so is its task, unless it has outputs to deliver.
    pub(crate) fn guest_ended(&mut self, key: &TaskKey, end: GuestEnd) {
        let has_outputs = self.spec(key).is_some_and(|spec| !spec.outputs.is_empty());
        if !has_outputs || !leaves_outputs(&end.outcome) {
            return self.end(key, Change::of_guest(end));
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
        self.begin_delivery(key.clone());
    }

    /// A guest's executor has ended under it. What the guest wrote is there still.
    pub(crate) fn lose_guest(&mut self, key: &TaskKey) {
        let outcome = Outcome::Lost { why: LostBy::ExecutorEnded };
        let (result, last_words) = (Vec::new(), String::new());
        let end =
            GuestEnd { at: self.turn.now, outcome, usage: Usage::default(), result, last_words };
        let live = self.live.get(key).map(|live| (live.arrival, live.stage.clone()));
        let has_outputs = self.spec(key).is_some_and(|spec| !spec.outputs.is_empty());
        match live {
            Some((arrival, Stage::Recovered(_))) if has_outputs => {
                self.live.remove(key);
                if let Some(executor) = self.executor_of(key) {
                    self.profiles.leave(&executor);
                }
                self.persist(Record::GuestEnded { key: key.clone(), end: Box::new(end) });
                self.deliver_again(key.clone(), arrival);
            }
            _ => self.guest_ended(key, end),
        }
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
        self.begin_delivery(key);
    }

    fn begin_delivery(&mut self, key: TaskKey) {
        let now = self.turn.now;
        let end = self.state.task(&key).and_then(|task| task.guest_end());
        let by_order = end.is_some_and(|end| matches!(end.outcome, Outcome::Killed { .. }));
        let until = by_order.then(|| now + self.policy.delivery_after_kill_max);
        let until = self.stop_due().into_iter().chain(until).min();
        let left = self.spec(&key).map(|spec| spec.outputs.clone()).unwrap_or_default();
        self.deliveries.due.insert((now, key.clone()));
        self.deliveries.tasks.insert(key, Delivery { until, left, ..Delivery::default() });
    }

    /// The tasks that deliver what a guest of this executor has left.
    pub(crate) fn delivering_of(&self, executor: &ExecutorKey) -> Vec<TaskKey> {
        let theirs = |key: &&TaskKey| self.executor_of(key).as_ref() == Some(executor);
        self.deliveries.keys().filter(theirs).cloned().collect()
    }

    pub(crate) fn delivery_due(&self) -> Option<Time> {
        let given_up = self.deliveries.tasks.values().filter_map(|delivery| delivery.until).min();
        self.next_delivery().into_iter().chain(given_up).min()
    }

    fn next_delivery(&self) -> Option<Time> {
        let next = self.deliveries.due.first();
        // Before the executors have answered it is not known whether the files are as they were.
        let may_deliver = self.is_registered() && !self.executors.is_expecting();
        next.filter(|_| may_deliver).map(|(due, _)| *due)
    }

    /// Has what is due delivered.
    pub(crate) fn request_deliveries(&mut self) {
        while self.next_delivery().is_some_and(|due| due <= self.turn.now) {
            let Some((_, key)) = self.deliveries.due.pop_first() else { return };
            let Some(delivery) = self.deliveries.tasks.get(&key) else { continue };
            let outputs = delivery.left.clone();
            self.effect(Effect::Deliver { key, outputs });
        }
    }

    /// Gives up the deliveries whose time is over.
    pub(crate) fn deliveries_tick(&mut self) {
        let now = self.turn.now;
        let over = |(_, delivery): &(&TaskKey, &Delivery)| delivery.until.is_some_and(|t| t <= now);
        let over = self.deliveries.tasks.iter().filter(over).map(|(key, _)| key.clone());
        for key in over.collect::<Vec<_>>() {
            self.finish_delivery(&key, "there was no time left for it");
        }
    }

    /// The agent stops: what is being delivered has until then, or none if there is no master.
    pub(crate) fn hurry_deliveries(&mut self, due: Time) {
        let due = if self.is_registered() { due } else { self.turn.now };
        for delivery in self.deliveries.tasks.values_mut() {
            delivery.until = Some(delivery.until.map_or(due, |until| until.min(due)));
        }
        self.deliveries_tick();
    }

    /// Outputs of a task are stored at the master, or will never be; those that are `broken` are
    /// worth another try.
    pub(crate) fn delivered(
        &mut self,
        key: &TaskKey,
        outputs: Vec<Delivered>,
        missing: Vec<Missing>,
        broken: Vec<Missing>,
    ) {
        let registered = self.is_registered();
        let Some(delivery) = self.deliveries.tasks.get_mut(key) else { return };
        delivery.delivered.extend(outputs);
        delivery.missing.extend(missing);
        let is_broken = |output: &Output| broken.iter().any(|one| one.guest == output.guest);
        delivery.left.retain(is_broken);
        if delivery.left.is_empty() {
            return self.finish_delivery(key, "");
        }
        if registered {
            delivery.failures += 1;
        }
        let failures = delivery.failures;
        if failures >= self.policy.delivery_tries_max {
            delivery.left.clear();
            delivery.missing.extend(broken);
            return self.finish_delivery(key, "");
        }
        let wait = self.policy.delivery_retry.saturating_mul(1 << failures.min(16));
        self.deliveries.due.insert((self.turn.now + wait, key.clone()));
    }

    /// A delivery is over; what is left of it was not delivered for this reason. A guest that did
    /// well is believed to have failed without its outputs; of another the reason is worth more.
    fn finish_delivery(&mut self, key: &TaskKey, why: &str) {
        let Some(mut end) = self.end_of_delivering(key) else { return };
        let (outputs, missing) = self.end_delivery(key, why);
        if end.outcome.is_success() && !missing.is_empty() {
            let why: Vec<&str> = missing.iter().map(|missing| missing.why.as_str()).collect();
            end.outcome = Outcome::Failed { why: why.join("; ") };
            end.result.clear();
        }
        self.end(key, Change { outputs, missing, ..Change::of_guest(end) });
    }

    fn end_delivery(&mut self, key: &TaskKey, why: &str) -> (Vec<Delivered>, Vec<Missing>) {
        let delivery = self.deliveries.tasks.get_mut(key).map(std::mem::take);
        let mut delivery = delivery.unwrap_or_default();
        delivery.give_up(why);
        delivery.into_order(self.spec(key).map_or(&[][..], |spec| &spec.outputs[..]))
    }

    /// A task is ordered to end while its outputs are delivered. One that was ended by order before
    /// has heard that already.
    pub(crate) fn kill_delivering(&mut self, key: &TaskKey, by: &KilledBy) {
        let is_killed = |end: GuestEnd| matches!(end.outcome, Outcome::Killed { .. });
        let is_killed = self.end_of_delivering(key).is_some_and(is_killed);
        match by {
            KilledBy::AgentStopped => {}
            KilledBy::NewerAttempt(_) | KilledBy::FrameworkRemoved => {
                self.end_delivering(key, Outcome::Killed { by: by.clone() });
            }
            _ if is_killed => {}
            _ => self.end_delivering(key, Outcome::Killed { by: by.clone() }),
        }
    }

    /// A task is to end before its outputs are delivered.
    pub(crate) fn end_delivering(&mut self, key: &TaskKey, outcome: Outcome) {
        let usage = self.end_of_delivering(key).map(|end| end.usage);
        let why = match outcome {
            Outcome::Lost { why: LostBy::NodeRebooted } => "its node was started anew",
            _ => "its task was ended before",
        };
        let (outputs, missing) = self.end_delivery(key, why);
        let change = Change::ended(outcome, self.turn.now);
        self.end(key, Change { usage, outputs, missing, ..change });
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
