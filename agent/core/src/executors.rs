//! The executors: one process per framework and jail, started when the first task needs it.
//!
//! ```text
//! (none) -> Starting -> Ready -> Stopping -> (none)
//!              ^ those of an earlier run of the agent are looked for: `adoption`
//!              |          |         idle for too long, in the way, or the framework is gone
//!              |          +-> ended by itself: its guests are lost
//!              +-> ended before it was ready: started again, a few times
//! ```

use crate::{
    agent::Agent,
    effect::Effect,
    profile::{ExecutorKey, ExecutorRun},
    record::{GuestEnd, Record},
    tasks::{Compilation, Stage},
    turn::Change,
    waits::Need,
};
use skep_protocol::{
    FrameworkId, Outcome, Source, TaskKey, TaskState, Time, Usage,
    executor::{HeldGuest, Report, ToExecutor},
    outcome::TaskMessage,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

#[derive(Debug, Default)]
pub(crate) struct Executors {
    executors: BTreeMap<ExecutorKey, Executor>,
    /// Those of removed frameworks whose guests may still run: what these use is given to others
    /// already, so nobody starts before they are gone. Each of them is stopping.
    leaving: BTreeSet<ExecutorKey>,
    /// Those of an earlier run of the agent that have not yet said which guests they have.
    expected: BTreeSet<ExecutorKey>,
    /// Counts those that this run started.
    count: u64,
}

#[derive(Debug)]
pub(crate) struct Executor {
    run: ExecutorRun,
    phase: Phase,
    /// How often in a row it ended before it was ready.
    failures: u32,
    /// The tasks that it was told to start and that have not ended. Only a ready one has any.
    guests: BTreeSet<TaskKey>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting { since: Time },
    Ready { idle_since: Time },
    Stopping(StoppedFor),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StoppedFor {
    /// Nobody needs it, or others need its place more.
    Idleness,
    /// It did not get ready in time.
    Slowness,
}

impl Executors {
    pub(crate) fn guest_joins(&mut self, executor: &ExecutorKey, key: &TaskKey) {
        if let Some(executor) = self.executors.get_mut(executor) {
            executor.guests.insert(key.clone());
        }
    }

    pub(crate) fn guest_leaves(&mut self, executor: &ExecutorKey, key: &TaskKey, now: Time) {
        let Some(executor) = self.executors.get_mut(executor) else { return };
        executor.guests.remove(key);
        if let Phase::Ready { idle_since } = &mut executor.phase {
            *idle_since = now;
        }
    }

    /// Counts on one that an earlier run of the agent started.
    pub(crate) fn expect(&mut self, key: ExecutorKey, run: ExecutorRun, now: Time) {
        self.expected.insert(key.clone());
        self.executors.insert(key, Executor::starting(run, now, 0));
    }

    /// Notes that it is known which guests an executor has. False: nobody waited to know.
    pub(crate) fn found(&mut self, key: &ExecutorKey) -> bool {
        self.expected.remove(key)
    }

    pub(crate) fn is_expected(&self, key: &ExecutorKey) -> bool {
        self.expected.contains(key)
    }

    pub(crate) fn is_expecting(&self) -> bool {
        !self.expected.is_empty()
    }

    pub(crate) fn is_guest(&self, executor: &ExecutorKey, key: &TaskKey) -> bool {
        let executor = self.executors.get(executor);
        executor.is_some_and(|executor| executor.guests.contains(key))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ExecutorKey, &Executor)> {
        self.executors.iter()
    }

    pub(crate) const fn leaving(&self) -> &BTreeSet<ExecutorKey> {
        &self.leaving
    }
}

impl Executor {
    const fn starting(run: ExecutorRun, since: Time, failures: u32) -> Self {
        Self { run, phase: Phase::Starting { since }, failures, guests: BTreeSet::new() }
    }

    pub(crate) const fn run(&self) -> ExecutorRun {
        self.run
    }

    pub(crate) const fn guests(&self) -> &BTreeSet<TaskKey> {
        &self.guests
    }

    pub(crate) const fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready { .. })
    }

    pub(crate) const fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Stopping(_))
    }
}

impl Agent {
    /// What a guest of this executor must wait for, having seen to it that it comes.
    pub(crate) fn need_executor(&mut self, key: &ExecutorKey) -> Option<Need> {
        match self.executors.executors.get(key) {
            Some(executor) if executor.is_ready() => return None,
            Some(_) => {}
            None => self.start_executor(key, 0),
        }
        Some(Need::Executor(key.clone()))
    }

    /// The executor of a removed framework, if there is one, whose guests a task must wait for.
    pub(crate) fn need_departure(&self) -> Option<Need> {
        self.executors.leaving.first().cloned().map(Need::Departure)
    }

    fn start_executor(&mut self, key: &ExecutorKey, failures: u32) {
        self.make_room(&key.framework, 1);
        self.executors.count += 1;
        let incarnation = self.state.incarnation();
        let run = ExecutorRun { incarnation, count: self.executors.count };
        let executor = Executor::starting(run, self.turn.now, failures);
        self.executors.executors.insert(key.clone(), executor);
        self.persist(Record::ExecutorStarted { run, executor: key.clone() });
        self.effect(Effect::StartExecutor { executor: key.clone(), run });
    }

    /// Stops executors of a framework that none of its tasks needs, until it may have so many more.
    /// The launch let in no more kinds of tasks than there may be executors, so there are enough to
    /// stop.
    pub(crate) fn make_room(&mut self, framework: &FrameworkId, more: usize) {
        let theirs = |(key, executor): &(&ExecutorKey, &Executor)| {
            key.framework == *framework && !executor.is_stopping()
        };
        let running = self.executors.iter().filter(theirs);
        let (count, spare) = running.fold((0_usize, Vec::new()), |(count, mut spare), (key, _)| {
            if !self.profiles.is_needed(key) {
                spare.push(key.clone());
            }
            (count + 1, spare)
        });
        let excess = (count + more).saturating_sub(self.policy.executors_per_framework_max);
        for key in spare.iter().take(excess) {
            self.executors.found(key);
            self.stop_executor_for(key, StoppedFor::Idleness);
        }
    }

    pub(crate) fn executor_ready(&mut self, key: &ExecutorKey, guests: Vec<HeldGuest>) {
        let now = self.turn.now;
        let Some(executor) = self.executors.executors.get_mut(key) else { return };
        if !matches!(executor.phase, Phase::Starting { .. }) {
            return;
        }
        executor.phase = Phase::Ready { idle_since: now };
        executor.failures = 0;
        self.adopt(key, guests);
        self.wake(&Need::Executor(key.clone()));
    }

    /// Ends the executors of a removed framework and all in them.
    pub(crate) fn dismiss_executors(&mut self, framework: &FrameworkId) {
        let theirs = self.executors.iter().filter(|(key, _)| key.framework == *framework);
        let theirs = theirs.map(|(key, executor)| (key.clone(), executor.guests.is_empty()));
        for (key, is_idle) in theirs.collect::<Vec<_>>() {
            self.stop_executor_for(&key, StoppedFor::Idleness);
            if !is_idle || self.executors.is_expected(&key) {
                self.executors.leaving.insert(key);
            }
        }
    }

    fn stop_executor_for(&mut self, key: &ExecutorKey, why: StoppedFor) {
        let Some(executor) = self.executors.executors.get_mut(key) else { return };
        if !matches!(executor.phase, Phase::Stopping(_)) {
            executor.phase = Phase::Stopping(why);
            self.effect(Effect::StopExecutor { executor: key.clone() });
        }
    }

    pub(crate) fn executor_ended(&mut self, key: &ExecutorKey, why: &str) {
        self.lose_recovered(key);
        let Some(ended) = self.executors.executors.remove(key) else { return };
        let failed = match ended.phase {
            Phase::Starting { .. } | Phase::Stopping(StoppedFor::Slowness) => true,
            Phase::Ready { .. } | Phase::Stopping(StoppedFor::Idleness) => false,
        };
        let failures = ended.failures + u32::from(failed);
        ended.guests.iter().for_each(|key| self.lose_guest(key));
        // First what became of its guests: else a later run would take them for never started.
        self.record_updates();
        self.persist(Record::ExecutorEnded { run: ended.run });
        self.effect(Effect::ForgetExecutor { run: ended.run });
        let need = Need::Executor(key.clone());
        if failures >= self.policy.executor_tries_max {
            let why = format!("the executor did not start: {why}");
            self.give_up(&need, &Outcome::Failed { why });
        } else if self.waits.is_awaited(&need) {
            self.start_executor(key, failures);
        }
        if self.executors.leaving.remove(key) {
            self.wake(&Need::Departure(key.clone()));
        }
    }

    pub(crate) fn executors_due(&self) -> Option<Time> {
        self.executors.executors.values().filter_map(|executor| self.executor_due(executor)).min()
    }

    /// When an executor is to be stopped if nothing happens to it.
    fn executor_due(&self, executor: &Executor) -> Option<Time> {
        match executor.phase {
            Phase::Starting { since } => Some(since + self.policy.executor_ready_max),
            Phase::Ready { idle_since } if executor.guests.is_empty() => {
                Some(idle_since + self.policy.executor_idle_max)
            }
            Phase::Ready { .. } | Phase::Stopping(_) => None,
        }
    }

    pub(crate) fn executors_tick(&mut self) {
        let is_due = |executor: &Executor| {
            self.executor_due(executor).is_some_and(|due| due <= self.turn.now)
        };
        let due: Vec<_> = self
            .executors
            .iter()
            .filter(|(_, executor)| is_due(executor))
            .map(|(key, executor)| match executor.phase {
                Phase::Starting { .. } => (key.clone(), StoppedFor::Slowness),
                _ => (key.clone(), StoppedFor::Idleness),
            })
            .collect();
        for (key, why) in due {
            self.stop_executor_for(&key, why);
        }
    }

    /// What an executor says of its guests. It speaks for the guests that it was given and
    /// that have not ended; anything else it says is not heard.
    pub(crate) fn reports(&mut self, executor: &ExecutorKey, batch: u64, reports: Vec<Report>) {
        if batch > 0 {
            self.turn.heard = Some((executor.clone(), batch));
        }
        for report in reports {
            match report {
                Report::Started { key, at } => {
                    if self.executors.is_guest(executor, &key) && self.has_started(&key) {
                        let state = TaskState::Running;
                        let source = Source::Executor;
                        let change = Change { source, ..Change::ours(state, at) };
                        self.report(&key, change);
                    }
                }
                Report::Paused { key, at } => {
                    if self.executors.is_guest(executor, &key) {
                        self.turned(&key, TaskState::Paused, at);
                    }
                }
                Report::Resumed { key, at } => {
                    if self.executors.is_guest(executor, &key) {
                        self.turned(&key, TaskState::Running, at);
                    }
                }
                Report::Progressed(progress) => {
                    if self.executors.is_guest(executor, &progress.key) {
                        self.turn.progress.push(progress);
                    }
                }
                Report::Checkpointed(checkpoint) => {
                    if self.executors.is_guest(executor, &checkpoint.key) {
                        self.checkpointed(checkpoint);
                    }
                }
                Report::Sent(message) => {
                    if self.executors.is_guest(executor, &message.key) {
                        self.turn.messages.push(message);
                    }
                }
                Report::Ended { key, at, outcome, usage, result, last_words } => {
                    if self.executors.is_guest(executor, &key) {
                        self.check_files_after(&key, &outcome);
                        let usage = Usage { compile: self.compile_time(&key), ..usage };
                        let end = GuestEnd { at, outcome, usage, result, last_words };
                        self.guest_ended(&key, end);
                    }
                }
            }
        }
    }

    /// A framework sends something to a task of its. One that does not run here misses it.
    pub(crate) fn pass_message(&mut self, message: TaskMessage) {
        if let Some(executor) = self.executor_of_live(&message.key) {
            let message = ToExecutor::Message(message);
            self.effect(Effect::SendExecutor { executor, message });
        }
    }

    fn compile_time(&self, key: &TaskKey) -> Duration {
        match self.live.get(key).map(|live| live.compilation) {
            Some(Compilation::Took(time)) => time,
            // A guest waits for nothing.
            Some(Compilation::Since(_)) | None => Duration::ZERO,
        }
    }

    fn has_started(&mut self, key: &TaskKey) -> bool {
        let live = self.live.get_mut(key).filter(|live| live.stage == Stage::Sent);
        live.map(|live| live.stage = Stage::Running).is_some()
    }

    /// An executor that failed a guest may have missed its files: the next task that needs them
    /// asks for them again, which costs little if they are there.
    fn check_files_after(&mut self, key: &TaskKey, outcome: &Outcome) {
        if !matches!(outcome, Outcome::Failed { .. }) {
            return;
        }
        if let Some(spec) = self.spec(key) {
            let artifact = spec.artifact();
            let inputs = spec.inputs.iter().map(|input| input.digest);
            let blobs: Vec<_> = spec.grants.stdin.into_iter().chain(inputs).collect();
            self.modules.doubt(&artifact, &blobs);
        }
    }
}
