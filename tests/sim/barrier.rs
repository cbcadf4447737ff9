//! What stands between an agent's core and those who carry out its effects: the journal, a little
//! lower in front of executors, as [`skep_agent_core::Effect::Persist`] allows it.

use crate::journal::{Begun, Disk, Journal, LastCommit, Row};
use skep_agent_core::{Effect, ExecutorKey, Record};
use skep_protocol::{TaskKey, Time, executor::ToExecutor};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

#[derive(Debug)]
pub(crate) struct Barrier {
    journal: Journal<Record, Held>,
    /// The tasks whose acceptance is not on the disk.
    unsaved: BTreeSet<TaskKey>,
    /// How many orders are held, per executor that has any.
    orders: BTreeMap<ExecutorKey, usize>,
}

#[derive(Debug)]
enum Held {
    Accepted(TaskKey),
    /// With the connection that it was decided on.
    Effect(u64, Effect),
}

impl Barrier {
    pub(crate) const fn new() -> Self {
        Self { journal: Journal::new(), unsaved: BTreeSet::new(), orders: BTreeMap::new() }
    }

    pub(crate) fn persist(&mut self, now: Time, record: Record) {
        if record.is_deletion() {
            for key in record.keys_below().into_iter().chain([record.key()]) {
                self.journal.persist(now, Row::Delete(key));
            }
            return;
        }
        let accepted = match &record {
            Record::TaskAccepted { key, .. } => Some(key.clone()),
            _ => None,
        };
        self.journal.persist(now, Row::Put(record.key(), record));
        if let Some(key) = accepted {
            self.unsaved.insert(key.clone());
            self.journal.hold(Held::Accepted(key));
        }
    }

    /// Takes an effect; gives it back if it need not wait.
    pub(crate) fn pass(&mut self, connection: u64, effect: Effect) -> Option<Effect> {
        if let Some((executor, message)) = order(&effect) {
            if !self.orders.contains_key(executor) && self.is_saved(message) {
                return Some(effect);
            }
            *self.orders.entry(executor.clone()).or_default() += 1;
        }
        self.journal.hold(Held::Effect(connection, effect));
        None
    }

    fn is_saved(&self, order: &ToExecutor) -> bool {
        match order {
            ToExecutor::Start { guests } => {
                guests.iter().all(|guest| !self.unsaved.contains(&guest.key))
            }
            ToExecutor::Kill { .. }
            | ToExecutor::Pause { .. }
            | ToExecutor::Resume { .. }
            | ToExecutor::Tell { .. }
            | ToExecutor::HangUp { .. }
            | ToExecutor::Deliver(_)
            | ToExecutor::Stop => true,
            ToExecutor::Acknowledge { .. } => false,
        }
    }

    pub(crate) fn begin(&mut self) -> Option<Begun> {
        self.journal.begin()
    }

    pub(crate) fn committed(&mut self, disk: &mut Disk<Record>) {
        self.journal.committed(disk);
    }

    /// The next effect that waits no more, with the connection that it was decided on.
    pub(crate) fn release(&mut self) -> Option<(u64, Effect)> {
        loop {
            match self.journal.release()? {
                Held::Accepted(key) => drop(self.unsaved.remove(&key)),
                Held::Effect(connection, effect) => {
                    if let Some((executor, _)) = order(&effect) {
                        self.one_order_less(executor);
                    }
                    return Some((connection, effect));
                }
            }
        }
    }

    fn one_order_less(&mut self, executor: &ExecutorKey) {
        if let Some(held) = self.orders.get_mut(executor) {
            *held -= 1;
            if *held == 0 {
                self.orders.remove(executor);
            }
        }
    }

    pub(crate) fn unsaved_age(&self, now: Time) -> Duration {
        self.journal.unsaved_age(now)
    }

    /// What the disk is going to hold when all that was handed in is written.
    pub(crate) fn will_hold<'a>(
        &'a self,
        disk: &'a Disk<Record>,
    ) -> BTreeMap<&'a String, &'a Record> {
        self.journal.will_hold(disk)
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.journal.is_settled()
    }

    pub(crate) fn crash(self, disk: &mut Disk<Record>, last: LastCommit) {
        self.journal.crash(disk, last);
    }
}

/// The order that others to the same executor do not overtake, if the effect is one.
const fn order(effect: &Effect) -> Option<(&ExecutorKey, &ToExecutor)> {
    match effect {
        Effect::SendExecutor { message: ToExecutor::Acknowledge { .. }, .. } => None,
        Effect::SendExecutor { executor, message } => Some((executor, message)),
        _ => None,
    }
}
