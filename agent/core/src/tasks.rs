//! The tasks that have not ended, and the ways in which they do.

use crate::{agent::Agent, effect::Effect, record::Record, state::Work, turn::Change, waits::Need};
use skep_protocol::{
    AllocationId, FrameworkId, Outcome, Rejection, Resources, TaskId, TaskKey, TaskSpec, Time,
    Usage, executor::ToExecutor, ids::Attempt, outcome::KilledBy, task::DirSource,
};
use std::time::Duration;

/// A task that has not ended.
#[derive(Debug)]
pub(crate) struct Live {
    /// Its place in the order of arrival, unique in this run.
    pub(crate) arrival: u64,
    pub(crate) stage: Stage,
    pub(crate) compilation: Compilation,
}

impl Live {
    /// Whether its executor was told to start it, and has not said that it has ended.
    pub(crate) const fn is_in_executor(&self) -> bool {
        matches!(self.stage, Stage::Sent | Stage::Running)
    }

    /// Whether its executor was told to start it.
    const fn has_started(&self) -> bool {
        self.is_in_executor() || matches!(self.stage, Stage::Delivering)
    }
}

/// How long a task waited for the artifact of its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compilation {
    /// It has not waited, or it waits no more: for so long in all.
    Took(Duration),
    /// It waits.
    Since(Time),
}

/// How far a task has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// An earlier run took it, and whether an executor has it will be known once that has answered.
    Recovered(Fate),
    /// Waits in the queue of its allocation.
    Queued,
    /// Was given room. Passed through: by the end of the turn it waits, was sent, or has ended.
    Placed,
    /// Has room, and waits for this.
    Preparing(Need),
    /// Its executor was told to start it.
    Sent,
    /// Its executor says that it runs.
    Running,
    /// Its guest has ended, and its outputs are on their way to the master.
    Delivering,
}

/// What was ordered for a recovered task meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing: it is to go on.
    Wanted,
    /// It is given back, unless it was started already.
    Recalled,
    /// It is to end.
    Condemned(KilledBy),
}

impl Agent {
    pub(crate) fn kill_attempts(
        &mut self,
        framework: &FrameworkId,
        task: &TaskId,
        attempt: Attempt,
        by: &KilledBy,
    ) {
        let attempts = self.state.attempts(framework, task);
        let older: Vec<_> = attempts.filter(|key| key.attempt <= attempt).cloned().collect();
        for key in older {
            if self.live.contains_key(&key) {
                self.kill(&key, by);
            } else {
                self.resend(&key);
            }
        }
    }

    pub(crate) fn kill(&mut self, key: &TaskKey, by: &KilledBy) {
        let Some(live) = self.live.get_mut(key) else { return };
        match &mut live.stage {
            Stage::Recovered(fate) => {
                if !matches!(fate, Fate::Condemned(_)) {
                    *fate = Fate::Condemned(by.clone());
                }
            }
            Stage::Queued | Stage::Placed | Stage::Preparing(_) => {
                self.end_here(key, Outcome::Killed { by: by.clone() });
            }
            Stage::Delivering => self.kill_delivering(key, by),
            Stage::Sent | Stage::Running => {
                let Some(executor) = self.executor_of(key) else { return };
                let message = ToExecutor::Kill { key: key.clone(), by: by.clone() };
                self.effect(Effect::SendExecutor { executor, message });
            }
        }
    }

    /// Gives back all tasks of an allocation that their executor was not yet told to start.
    pub(crate) fn recall(&mut self, allocation: AllocationId) {
        self.queues.recall(allocation);
        for (key, live) in &mut self.live {
            let theirs = self.state.task(key).is_some_and(|task| task.allocation == allocation);
            if theirs && live.stage == Stage::Recovered(Fate::Wanted) {
                live.stage = Stage::Recovered(Fate::Recalled);
            }
        }
        let unsent = |(key, live): (&TaskKey, &Live)| {
            let theirs = self.state.task(key).is_some_and(|task| task.allocation == allocation);
            let unsent = matches!(live.stage, Stage::Queued | Stage::Preparing(_));
            (theirs && unsent).then(|| key.clone())
        };
        for key in self.live.iter().filter_map(unsent).collect::<Vec<_>>() {
            self.end_here(&key, Outcome::Refused { rejection: Rejection::Recalled });
        }
    }

    pub(crate) fn remove_framework(&mut self, framework: &FrameworkId) {
        self.dismiss_executors(framework);
        let held = self.state.tasks().iter().filter(|(key, _)| key.framework == *framework);
        let numbered = held.map(|(key, task)| (key.clone(), task.numbered()));
        for (key, seq) in numbered.collect::<Vec<_>>() {
            self.keep_files(&key, None);
            self.leave(&key);
            self.retries.remove(&key);
            self.forget_task(key, seq);
        }
    }

    /// Nobody will ask for a task any more; `seq` is the number of its last update.
    pub(crate) fn forget_task(&mut self, key: TaskKey, seq: u64) {
        if self.state.task(&key).is_some_and(|task| !task.checkpoint().is_empty()) {
            self.persist(Record::CheckpointForgotten { key: key.clone() });
        }
        if self.state.task(&key).is_some_and(|task| task.guest_end().is_some()) {
            self.persist(Record::GuestEndForgotten { key: key.clone() });
        }
        let has_sandbox = self.uncollected.remove(&key);
        self.persist(Record::TaskForgotten { key: key.clone(), seq });
        if has_sandbox {
            self.keep_sandbox(key);
        }
    }

    pub(crate) fn spec(&self, key: &TaskKey) -> Option<&TaskSpec> {
        match &self.state.task(key)?.work {
            Work::Accepted(spec) => Some(spec),
            Work::Refused => None,
        }
    }

    /// Ends a task by the agent's own word.
    pub(crate) fn end_here(&mut self, key: &TaskKey, outcome: Outcome) {
        self.end(key, Change::ended(outcome, self.turn.now));
    }

    pub(crate) fn end(&mut self, key: &TaskKey, change: Change) {
        if self.live.contains_key(key) {
            self.keep_files(key, change.usage.as_ref());
            self.leave(key);
            self.report(key, change);
        }
    }

    /// Keeps a task's sandbox, if it was made: most tasks write nothing and have none.
    fn keep_files(&mut self, key: &TaskKey, usage: Option<&Usage>) {
        if !self.live.get(key).is_some_and(Live::has_started) {
            return;
        }
        let wrote = usage.is_none_or(|usage| usage.stdout_bytes + usage.stderr_bytes > 0);
        let dirs = self.spec(key).map_or(&[][..], |spec| &spec.grants.dirs);
        if wrote || dirs.iter().any(|dir| dir.source == DirSource::Sandbox) {
            self.uncollected.insert(key.clone());
        }
    }

    /// An earlier run left this sandbox. That of a task whose end is not acknowledged is not one to
    /// remove.
    pub(crate) fn sandbox_found(&mut self, key: TaskKey) {
        if self.state.task(&key).is_some() {
            self.uncollected.insert(key);
        } else {
            self.keep_sandbox(key);
        }
    }

    /// Nobody waits for what a task left: it is kept for people to look at, while there is room.
    fn keep_sandbox(&mut self, key: TaskKey) {
        self.sandboxes.push_back(key);
        while self.sandboxes.len() > self.policy.sandboxes_kept_max {
            self.turn.sandboxes_to_remove.extend(self.sandboxes.pop_front());
        }
    }

    /// Takes a task out of everything that counts on it, and leaves its room to the next.
    fn leave(&mut self, key: &TaskKey) {
        let Some(Live { arrival, stage, .. }) = self.live.remove(key) else { return };
        let Some(task) = self.state.task(key) else { return };
        let allocation = task.allocation;
        let executor = self.executor_of(key);
        let resources = match &task.work {
            Work::Accepted(spec) => spec.resources.clone(),
            Work::Refused => Resources::none(),
        };
        if let Some(executor) = &executor {
            self.profiles.leave(executor);
        }
        match &stage {
            // It was not yet known whether it holds any room.
            Stage::Recovered(_) => return,
            Stage::Queued => self.queues.leave_waiting(allocation, arrival),
            Stage::Placed => self.queues.leave_placed(allocation, &resources),
            Stage::Preparing(need) => {
                self.waits.leave(need, arrival);
                self.queues.leave_placed(allocation, &resources);
            }
            Stage::Sent | Stage::Running => {
                if let Some(executor) = &executor {
                    self.executors.guest_leaves(executor, key, self.turn.now);
                }
                self.queues.leave_placed(allocation, &resources);
            }
            Stage::Delivering => {
                self.deliveries.remove(key);
                self.queues.leave_placed(allocation, &resources);
            }
        }
        self.preemption.leave(arrival);
        self.turn.changed_queues.insert(allocation);
    }
}
