//! What a run of the agent makes of the tasks and executors that an earlier run left.
//!
//! Executors outlive their agent. A new run looks for each that is recorded, and until all have
//! answered nothing is started, since what runs already has its room. A task that had not ended is
//! one of three: its executor has it, so it goes on and never notices; its executor is gone and may
//! have had it, so it is lost; or no executor can have had it, so it waits in its queue again.
//! Always holds: what may have been started once is not started again.

use crate::{
    agent::Agent,
    effect::Effect,
    input::Gone,
    profile::ExecutorKey,
    session::Phase,
    state::Work,
    tasks::{Compilation, Fate, Live, Stage},
    turn::Change,
};
use skep_protocol::{
    Outcome, Rejection, TaskKey,
    executor::{GuestStage, HeldGuest, ToExecutor},
    outcome::{KilledBy, LostBy},
};
use std::time::Duration;

impl Agent {
    /// Takes up what an earlier run left.
    pub(crate) fn begin(&mut self) {
        self.phase = Phase::Serving;
        let held = self.state.tasks().iter().filter(|(_, task)| !task.has_ended());
        let left = held.map(|(key, task)| (key.clone(), task.arrival, task.work == Work::Refused));
        for (key, arrival, is_refused) in left.collect::<Vec<_>>() {
            if is_refused {
                // The reason was on its way to the disk.
                let lost = Outcome::Lost { why: LostBy::Unknown };
                self.report(&key, Change::ended(lost, self.turn.now));
            } else if self.state.task(&key).is_some_and(|task| task.guest_end().is_some()) {
                self.deliver_again(key, arrival);
            } else {
                self.recover_task(key, arrival);
            }
        }
        for (executor, run) in self.state.executors().clone() {
            self.executors.expect(executor.clone(), run, self.turn.now);
            self.effect(Effect::AdoptExecutor { executor, run });
        }
        // One that was told to stop may be among them.
        for executor in self.state.executors().clone().into_keys() {
            self.make_room(&executor.framework, 0);
        }
        for key in self.recovered() {
            let executor = self.executor_of(&key);
            if !executor.is_some_and(|executor| self.executors.is_expected(&executor)) {
                self.queue_again(&key);
            }
        }
        // At once, not at the end of the turn: a registration in this turn shows them as ended.
        self.record_updates();
    }

    fn recover_task(&mut self, key: TaskKey, arrival: u64) {
        let stage = Stage::Recovered(Fate::Wanted);
        let compilation = Compilation::Took(Duration::ZERO);
        self.live.insert(key.clone(), Live { arrival, stage, compilation });
        if let Some(executor) = self.executor_of(&key) {
            self.profiles.join(executor);
        }
    }

    /// The tasks of an earlier run of which nothing is known yet.
    fn recovered(&self) -> Vec<TaskKey> {
        let live = self.live.iter();
        let recovered = live.filter(|(_, live)| matches!(live.stage, Stage::Recovered(_)));
        recovered.map(|(key, _)| key.clone()).collect()
    }

    fn recovered_of(&self, executor: &ExecutorKey) -> Vec<TaskKey> {
        let mut keys = self.recovered();
        keys.retain(|key| self.executor_of(key).as_ref() == Some(executor));
        keys
    }

    /// An executor that was looked for is there, with these guests.
    pub(crate) fn adopt(&mut self, executor: &ExecutorKey, guests: Vec<HeldGuest>) {
        if !self.executors.found(executor) {
            return;
        }
        for HeldGuest { key, stage, paused } in guests {
            if self.executor_of(&key).as_ref() == Some(executor) {
                self.take_back(executor, &key, stage);
            }
            if self.executors.is_guest(executor, &key) {
                self.count_back(&key, paused);
            } else {
                // It has ended, or its jail is one that the operator grants no more.
                self.order_end(executor, key, KilledBy::AgentStopped);
            }
        }
        for key in self.recovered_of(executor) {
            self.queue_again(&key);
        }
        self.go_on();
    }

    /// A guest runs on where it is.
    fn take_back(&mut self, executor: &ExecutorKey, key: &TaskKey, stage: GuestStage) {
        let (Some(task), Some(live)) = (self.state.task(key), self.live.get_mut(key)) else {
            return;
        };
        let Stage::Recovered(fate) = &live.stage else { return };
        let fate = fate.clone();
        live.stage = match stage {
            GuestStage::Starting => Stage::Sent,
            GuestStage::Running => Stage::Running,
        };
        if let Work::Accepted(spec) = &task.work {
            let (granted, used) = (&task.granted, &spec.resources);
            self.queues.take_back(task.allocation, granted, live.arrival, used);
        }
        let allocation = task.allocation;
        self.executors.guest_joins(executor, key);
        match fate {
            Fate::Wanted => {}
            Fate::Recalled => self.queues.recall(allocation),
            Fate::Condemned(by) => self.order_end(executor, key.clone(), by),
        }
    }

    fn order_end(&mut self, executor: &ExecutorKey, key: TaskKey, by: KilledBy) {
        let (executor, message) = (executor.clone(), ToExecutor::Kill { key, by });
        self.effect(Effect::SendExecutor { executor, message });
    }

    /// No executor can have had this task.
    fn queue_again(&mut self, key: &TaskKey) {
        let live = self.live.get(key).filter(|live| matches!(live.stage, Stage::Recovered(_)));
        let Some(arrival) = live.map(|live| live.arrival) else { return };
        if let Some(outcome) = self.fate_of(key) {
            return self.end_here(key, outcome);
        }
        let Some(task) = self.state.task(key) else { return };
        self.queues.join(task.allocation, &task.granted, arrival, key.clone());
        self.turn.changed_queues.insert(task.allocation);
        if let Some(live) = self.live.get_mut(key) {
            live.stage = Stage::Queued;
        }
    }

    /// How a recovered task ends that is not to be started any more.
    fn fate_of(&self, key: &TaskKey) -> Option<Outcome> {
        match &self.live.get(key)?.stage {
            Stage::Recovered(Fate::Condemned(by)) => Some(Outcome::Killed { by: by.clone() }),
            Stage::Recovered(Fate::Recalled) => {
                Some(Outcome::Refused { rejection: Rejection::Recalled })
            }
            // The operator may grant less than in the run before.
            _ => {
                let role = &self.state.task(key)?.role;
                let checked = self.check_grants(&key.framework, role, self.spec(key)?);
                checked.err().map(|rejection| Outcome::Refused { rejection })
            }
        }
    }

    /// An executor that was looked for is not there.
    pub(crate) fn executor_gone(&mut self, executor: &ExecutorKey, how: Gone) {
        if !self.executors.is_expected(executor) {
            return;
        }
        for key in self.recovered_of(executor) {
            match how {
                Gone::Unready => self.queue_again(&key),
                Gone::Ended => self.lose_guest(&key),
                Gone::Rebooted => {
                    self.end_here(&key, Outcome::Lost { why: LostBy::NodeRebooted });
                }
            }
        }
        if how == Gone::Rebooted {
            // What it wrote may not have reached the disk.
            for key in self.delivering_of(executor) {
                self.end_delivering(&key, Outcome::Lost { why: LostBy::NodeRebooted });
            }
        }
        self.executor_ended(executor, "it is gone");
    }

    /// An executor that was looked for ends before it has answered: it may have had guests.
    pub(crate) fn lose_recovered(&mut self, executor: &ExecutorKey) {
        if self.executors.found(executor) {
            self.recovered_of(executor).iter().for_each(|key| self.lose_guest(key));
            self.go_on();
        }
    }

    /// Starts what has waited for the last executor to answer.
    fn go_on(&mut self) {
        if !self.executors.is_expecting() {
            self.turn.changed_queues.extend(self.queues.iter().map(|(id, _)| *id));
        }
    }
}
