//! One turn: what one input makes the core do, gathered and put in order.
//!
//! The order of the effects of a turn:
//! 1. records of tasks taken, then their confirmation to the master;
//! 2. orders to executors, blobs, compiler. They stand before the updates of the same turn, so
//!    that the next task need not wait for the record of how the last one ended;
//! 3. messages of guests to their frameworks, so that none comes after its guest's end;
//! 4. updates: their records, then the messages that carry them. Of several states that one task
//!    passes through in a turn only the last is kept, numbered as one;
//! 5. what is left over: the acknowledgement of what an executor said, progress, sandboxes to
//!    remove, the exit.

use crate::{
    agent::Agent,
    effect::Effect,
    profile::ExecutorKey,
    record::{GuestEnd, Record},
};
use skep_protocol::{
    AllocationId, Outcome, Source, StatusUpdate, TaskKey, TaskState, Time, Usage,
    agent::ToMaster,
    executor::{StartGuest, ToExecutor},
    frames,
    outcome::{Delivered, Missing, Progress, TaskMessage},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    mem::take,
};

#[derive(Debug, Default)]
pub(crate) struct Turn {
    pub(crate) now: Time,
    effects: Vec<Effect>,
    /// To be confirmed to the master.
    pub(crate) accepted: Vec<TaskKey>,
    /// Queues that have changed, so that their head may have room now.
    pub(crate) changed_queues: BTreeSet<AllocationId>,
    pub(crate) starts: BTreeMap<ExecutorKey, Vec<StartGuest>>,
    updates: BTreeMap<TaskKey, StatusUpdate>,
    /// Refusals that are sent once and not kept.
    pub(crate) unkept: Vec<StatusUpdate>,
    pub(crate) progress: Vec<Progress>,
    pub(crate) messages: Vec<TaskMessage>,
    pub(crate) sandboxes_to_remove: Vec<TaskKey>,
    /// The batch of reports to acknowledge.
    pub(crate) heard: Option<(ExecutorKey, u64)>,
}

/// A task's new state, and what is known of it.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) state: TaskState,
    pub(crate) source: Source,
    pub(crate) at: Time,
    pub(crate) usage: Option<Usage>,
    pub(crate) result: Vec<u8>,
    pub(crate) last_words: String,
    pub(crate) outputs: Vec<Delivered>,
    pub(crate) missing: Vec<Missing>,
}

impl Change {
    /// The agent itself says so, now.
    pub(crate) fn ours(state: TaskState, at: Time) -> Self {
        let (result, last_words) = (Vec::new(), String::new());
        let (source, usage, outputs, missing) = (Source::Agent, None, Vec::new(), Vec::new());
        Self { state, source, at, usage, result, last_words, outputs, missing }
    }

    /// The executor said so; of a guest that is lost with its executor, the agent.
    pub(crate) fn of_guest(end: GuestEnd) -> Self {
        let GuestEnd { at, outcome, usage, result, last_words } = end;
        let (source, usage) = match outcome {
            Outcome::Lost { .. } => (Source::Agent, None),
            _ => (Source::Executor, Some(usage)),
        };
        let state = TaskState::Ended(outcome);
        let (outputs, missing) = (Vec::new(), Vec::new());
        Self { state, source, at, usage, result, last_words, outputs, missing }
    }

    pub(crate) fn ended(outcome: Outcome, at: Time) -> Self {
        Self::ours(TaskState::Ended(outcome), at)
    }
}

impl Agent {
    pub(crate) fn effect(&mut self, effect: Effect) {
        self.turn.effects.push(effect);
    }

    /// Changes the durable state, in memory at once and on the disk before what follows.
    pub(crate) fn persist(&mut self, record: Record) {
        self.state.apply(&record);
        self.effect(Effect::Persist(record));
    }

    /// Tells the master, if it has admitted this agent; what matters is told again when it does.
    pub(crate) fn tell_master(&mut self, message: ToMaster) {
        if self.is_registered() {
            self.effect(Effect::SendMaster(message));
        }
    }

    /// Notes a task's new state, to be numbered, recorded and sent at the end of the turn.
    pub(crate) fn report(&mut self, key: &TaskKey, change: Change) {
        let update = self.update(key, change);
        self.turn.updates.insert(key.clone(), update);
    }

    pub(crate) fn update(&self, key: &TaskKey, change: Change) -> StatusUpdate {
        let Change { state, source, at, usage, result, last_words, outputs, missing } = change;
        StatusUpdate {
            key: key.clone(),
            seq: 0,
            agent: self.state.agent().cloned(),
            state,
            source,
            at,
            usage,
            result,
            last_words,
            outputs,
            missing,
        }
    }

    /// Brings the turn to its end and hands out its effects.
    pub(crate) fn settle(&mut self) -> Vec<Effect> {
        let tasks = take(&mut self.turn.accepted);
        if !tasks.is_empty() {
            self.tell_master(ToMaster::TasksAccepted { tasks });
        }
        loop {
            while let Some(allocation) = self.turn.changed_queues.pop_first() {
                self.start_queued(allocation);
            }
            // Before it is known what runs it cannot be said what has room.
            if !self.preemption.is_unsettled() || self.executors.is_expecting() {
                break;
            }
            self.settle_revocable();
        }
        self.settle_volumes();
        self.request_blobs();
        if let Some(due) = self.stop_due() {
            self.hurry_deliveries(due);
        }
        self.request_deliveries();
        self.send_starts();
        for messages in frames::cut(take(&mut self.turn.messages), frames::message_bytes) {
            self.tell_master(ToMaster::Sent { messages });
        }
        self.record_updates();
        if let Some((executor, batch)) = self.turn.heard.take() {
            let message = ToExecutor::Acknowledge { batch };
            self.effect(Effect::SendExecutor { executor, message });
        }
        let reports = take(&mut self.turn.progress);
        if !reports.is_empty() {
            self.tell_master(ToMaster::Progressed { reports });
        }
        for key in take(&mut self.turn.sandboxes_to_remove) {
            self.effect(Effect::RemoveSandbox { key });
        }
        self.finish_stop();
        take(&mut self.turn.effects)
    }

    fn send_starts(&mut self) {
        for (executor, guests) in take(&mut self.turn.starts) {
            for guests in frames::cut_starts(guests) {
                let message = ToExecutor::Start { guests };
                self.effect(Effect::SendExecutor { executor: executor.clone(), message });
            }
        }
    }

    pub(crate) fn record_updates(&mut self) {
        let mut sent = take(&mut self.turn.unkept);
        for (key, mut update) in take(&mut self.turn.updates) {
            let Some(task) = self.state.task(&key) else { continue };
            update.seq = task.numbered() + 1;
            self.persist(Record::Updated(update.clone()));
            self.expect_acknowledgement(&key);
            sent.push(update);
        }
        self.send_updates(sent);
    }
}
