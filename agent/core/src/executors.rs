//! The executors: one process per framework, started when its first task needs it.
//!
//! ```text
//! (none) -> Starting -> Ready -> Stopping -> (none)
//!              |          |         idle for too long, or the framework is gone
//!              |          +-> ended by itself: its guests are lost
//!              +-> ended before it was ready: started again, a few times
//! ```

use crate::{
    agent::Agent,
    effect::Effect,
    tasks::{Compilation, Stage},
    turn::Change,
    waits::Need,
};
use skep_protocol::{
    FrameworkId, Outcome, Source, TaskKey, TaskState, Time, Usage, executor::Report,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

#[derive(Debug, Default)]
pub(crate) struct Executors {
    executors: BTreeMap<FrameworkId, Executor>,
    /// Removed frameworks whose guests may still run: what these use is given to others already,
    /// so nobody starts before they are gone. Each has an executor that is stopping.
    leaving: BTreeSet<FrameworkId>,
}

#[derive(Debug)]
pub(crate) struct Executor {
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
    /// Nobody needs it.
    Idleness,
    /// It did not get ready in time.
    Slowness,
}

impl Executors {
    pub(crate) fn guest_joins(&mut self, key: &TaskKey) {
        if let Some(executor) = self.executors.get_mut(&key.framework) {
            executor.guests.insert(key.clone());
        }
    }

    pub(crate) fn guest_leaves(&mut self, key: &TaskKey, now: Time) {
        let Some(executor) = self.executors.get_mut(&key.framework) else { return };
        executor.guests.remove(key);
        if let Phase::Ready { idle_since } = &mut executor.phase {
            *idle_since = now;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&FrameworkId, &Executor)> {
        self.executors.iter()
    }

    pub(crate) const fn leaving(&self) -> &BTreeSet<FrameworkId> {
        &self.leaving
    }
}

impl Executor {
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
    /// What a task of this framework must wait for, having seen to it that it comes.
    pub(crate) fn need_executor(&mut self, framework: &FrameworkId) -> Option<Need> {
        match self.executors.executors.get(framework) {
            Some(executor) if executor.is_ready() => return None,
            Some(_) => {}
            None => self.start_executor(framework, 0),
        }
        Some(Need::Executor(framework.clone()))
    }

    /// The removed framework, if there is one, whose guests a task must wait for.
    pub(crate) fn need_departure(&self) -> Option<Need> {
        self.executors.leaving.first().cloned().map(Need::Departure)
    }

    fn start_executor(&mut self, framework: &FrameworkId, failures: u32) {
        let phase = Phase::Starting { since: self.turn.now };
        let executor = Executor { phase, failures, guests: BTreeSet::new() };
        self.executors.executors.insert(framework.clone(), executor);
        self.effect(Effect::StartExecutor { framework: framework.clone() });
    }

    pub(crate) fn executor_ready(&mut self, framework: &FrameworkId) {
        let now = self.turn.now;
        let Some(executor) = self.executors.executors.get_mut(framework) else { return };
        if !matches!(executor.phase, Phase::Starting { .. }) {
            return;
        }
        executor.phase = Phase::Ready { idle_since: now };
        executor.failures = 0;
        self.wake(&Need::Executor(framework.clone()));
    }

    /// Ends the executor of a removed framework and all in it.
    pub(crate) fn dismiss_executor(&mut self, framework: &FrameworkId) {
        let executor = self.executors.executors.get(framework);
        if executor.is_some_and(|executor| !executor.guests.is_empty()) {
            self.executors.leaving.insert(framework.clone());
        }
        self.stop_executor_for(framework, StoppedFor::Idleness);
    }

    fn stop_executor_for(&mut self, framework: &FrameworkId, why: StoppedFor) {
        let Some(executor) = self.executors.executors.get_mut(framework) else { return };
        if !matches!(executor.phase, Phase::Stopping(_)) {
            executor.phase = Phase::Stopping(why);
            self.effect(Effect::StopExecutor { framework: framework.clone() });
        }
    }

    pub(crate) fn executor_ended(&mut self, framework: &FrameworkId, why: &str) {
        let Some(ended) = self.executors.executors.remove(framework) else { return };
        let failed = match ended.phase {
            Phase::Starting { .. } | Phase::Stopping(StoppedFor::Slowness) => true,
            Phase::Ready { .. } | Phase::Stopping(StoppedFor::Idleness) => false,
        };
        let failures = ended.failures + u32::from(failed);
        ended.guests.iter().for_each(|key| self.lose_guest(key));
        let need = Need::Executor(framework.clone());
        if failures >= self.policy.executor_tries_max {
            let why = format!("the executor did not start: {why}");
            self.give_up(&need, &Outcome::Failed { why });
        } else if self.waits.is_awaited(&need) {
            self.start_executor(framework, failures);
        }
        if self.executors.leaving.remove(framework) {
            self.wake(&Need::Departure(framework.clone()));
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
            .map(|(framework, executor)| match executor.phase {
                Phase::Starting { .. } => (framework.clone(), StoppedFor::Slowness),
                _ => (framework.clone(), StoppedFor::Idleness),
            })
            .collect();
        for (framework, why) in due {
            self.stop_executor_for(&framework, why);
        }
    }

    /// What an executor says of its guests. It speaks for its own framework and for guests that
    /// it was given; anything else it says is not heard.
    pub(crate) fn reports(&mut self, framework: &FrameworkId, reports: Vec<Report>) {
        for report in reports {
            match report {
                Report::Started { key, at } => {
                    if self.is_guest_of(framework, &key) && self.has_started(&key) {
                        let state = TaskState::Running;
                        let source = Source::Executor;
                        let change = Change { source, ..Change::ours(state, at) };
                        self.report(&key, change);
                    }
                }
                // Nobody orders it yet, so nobody waits for the word.
                Report::Paused { key, .. } | Report::Resumed { key, .. } => {
                    debug_assert!(self.is_guest_of(framework, &key));
                }
                Report::Progressed(progress) => {
                    if self.is_guest_of(framework, &progress.key) {
                        self.turn.progress.push(progress);
                    }
                }
                Report::Ended { key, at, outcome, usage, result, last_words } => {
                    if self.is_guest_of(framework, &key) {
                        self.check_files_after(&key, &outcome);
                        let (state, source) = (TaskState::Ended(outcome), Source::Executor);
                        let usage = Some(Usage { compile: self.compile_time(&key), ..usage });
                        self.end(&key, Change { state, source, at, usage, result, last_words });
                    }
                }
            }
        }
    }

    fn compile_time(&self, key: &TaskKey) -> Duration {
        match self.live.get(key).map(|live| live.compilation) {
            Some(Compilation::Took(time)) => time,
            // A guest waits for nothing.
            Some(Compilation::Since(_)) | None => Duration::ZERO,
        }
    }

    fn is_guest_of(&self, framework: &FrameworkId, key: &TaskKey) -> bool {
        let stage = self.live.get(key).map(|live| &live.stage);
        key.framework == *framework && matches!(stage, Some(Stage::Sent | Stage::Running))
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
            let (artifact, stdin) = (spec.artifact(), spec.grants.stdin);
            self.modules.doubt(&artifact, stdin);
        }
    }
}
