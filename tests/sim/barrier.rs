//! What stands between an agent's core and those who carry out its effects: the journal, and the
//! core's rule of what need not wait for it.

use crate::journal::{Begun, Disk, Journal, LastCommit, Row};
use skep_agent_core::{Acceptance, Effect, Overtaking, Record};
use skep_protocol::Time;
use std::{collections::BTreeMap, time::Duration};

#[derive(Debug)]
pub(crate) struct Barrier {
    journal: Journal<Record, Held>,
    overtaking: Overtaking,
}

#[derive(Debug)]
enum Held {
    Acceptance(Acceptance),
    /// With the connection that it was decided on.
    Effect(u64, Effect),
}

impl Barrier {
    pub(crate) fn new() -> Self {
        Self { journal: Journal::new(), overtaking: Overtaking::default() }
    }

    pub(crate) fn persist(&mut self, now: Time, record: Record) {
        if record.is_deletion() {
            for key in record.keys_below().into_iter().chain([record.key()]) {
                self.journal.persist(now, Row::Delete(key));
            }
            return;
        }
        let acceptance = self.overtaking.persists(&record);
        self.journal.persist(now, Row::Put(record.key(), record));
        if let Some(acceptance) = acceptance {
            self.journal.hold(Held::Acceptance(acceptance));
        }
    }

    /// Takes an effect; gives it back if it need not wait.
    pub(crate) fn pass(&mut self, connection: u64, effect: Effect) -> Option<Effect> {
        if self.overtaking.may_pass(&effect) {
            return Some(effect);
        }
        self.overtaking.holds(&effect);
        self.journal.hold(Held::Effect(connection, effect));
        None
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
                Held::Acceptance(acceptance) => self.overtaking.saved(&acceptance),
                Held::Effect(connection, effect) => {
                    self.overtaking.frees(&effect);
                    return Some((connection, effect));
                }
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
