//! The tasks that the master knows: live ones with the agent they are on, and the last that ended.
//!
//! ```text
//! Sent -> Queued -> Starting -> Running <-> Paused -> Ended -> forgotten, and remembered
//!   (the agent has recorded it)               (its framework has acknowledged the end)
//! ```
//! Always holds: an attempt is either live or remembered, and of one task at most one attempt is
//! wanted and has not ended. That a task is unreachable is not its own stage: it follows from the
//! standing of its agent.

use crate::{
    history::{EndedTask, History},
    ledger::Begun,
    master::Master,
};
use skep_protocol::{
    AgentId, AllocationId, Attempt, FrameworkId, Outcome, Resources, Role, Source, StatusUpdate,
    TaskId, TaskKey, TaskSpec, TaskState, Time, Usage, outcome::KilledBy,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

/// Updates kept per task until they are acknowledged. A sound agent makes four per attempt; of
/// more the oldest go, which the agent itself sends again.
const UNACKNOWLEDGED_MAX: usize = 16;

/// One attempt of a task.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) agent: AgentId,
    /// What it runs under; over when the task has ended.
    pub(crate) allocation: AllocationId,
    pub(crate) role: Role,
    pub(crate) resources: Resources,
    /// The names of the volumes that it is granted.
    pub(crate) volumes: BTreeSet<String>,
    pub(crate) name: String,
    /// How long it counts as unreachable before it counts as lost, if not as long as any.
    pub(crate) lost_after: Option<Duration>,
    /// When the master took it, or took it over.
    pub(crate) since: Time,
    pub(crate) stage: Stage,
    pub(crate) fate: Fate,
    /// The newest update from its agent that was taken.
    pub(crate) seen: u64,
    /// Up to where its framework has acknowledged.
    pub(crate) acknowledged: u64,
    pub(crate) unacknowledged: VecDeque<StatusUpdate>,
    /// What it is, if its run can be repeated. A master that was started anew does not know.
    pub(crate) repeatable: Option<Arc<TaskSpec>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stage {
    /// On its way: its agent has not confirmed it, so the spec is kept to be sent again.
    Sent {
        spec: Box<TaskSpec>,
    },
    Queued,
    Starting,
    Running,
    Paused,
    Ended {
        outcome: Outcome,
        usage: Option<Usage>,
        report: Report,
    },
}

/// How the framework learns of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The agent holds it as ended; the update that says so is on its way.
    Awaited,
    /// By this update of the agent.
    Update(u64),
    /// By the master, which is to say so when the framework is back.
    Master,
}

/// What is to become of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is wanted.
    Wanted,
    /// It was asked to end; its agent is told again whenever it returns.
    ToEnd(KilledBy),
    /// Its framework knows it as over: it ends unheard, and counts until its agent says so.
    Condemned(KilledBy),
}

/// How far a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Waiting,
    Active,
    Over,
}

/// Tasks of one agent or framework that have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) waiting: usize,
    pub(crate) active: usize,
}

impl Stage {
    pub(crate) const fn phase(&self) -> Phase {
        match self {
            Self::Sent { .. } | Self::Queued => Phase::Waiting,
            Self::Starting | Self::Running | Self::Paused => Phase::Active,
            Self::Ended { .. } => Phase::Over,
        }
    }

    pub(crate) const fn is_ended(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }

    /// The state in the words of the protocol, as seen from an agent that is there.
    pub(crate) fn state(&self) -> TaskState {
        match self {
            Self::Sent { .. } | Self::Queued => TaskState::Staging,
            Self::Starting => TaskState::Starting,
            Self::Running => TaskState::Running,
            Self::Paused => TaskState::Paused,
            Self::Ended { outcome, .. } => TaskState::Ended(outcome.clone()),
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Sent { .. } => 0,
            Self::Queued => 1,
            Self::Starting => 2,
            Self::Running | Self::Paused => 3,
            Self::Ended { .. } => 4,
        }
    }
}

impl Task {
    pub(crate) const fn is_condemned(&self) -> bool {
        matches!(self.fate, Fate::Condemned(_))
    }

    /// Whether its end is known and nothing but the acknowledgement is missing.
    pub(crate) const fn is_reported(&self) -> bool {
        matches!(self.stage, Stage::Ended { report: Report::Update(_) | Report::Master, .. })
    }

    pub(crate) const fn begun(&self) -> Begun {
        match self.stage.phase() {
            Phase::Waiting => Begun::No,
            Phase::Active | Phase::Over => Begun::Yes,
        }
    }

    pub(crate) fn keep(&mut self, update: StatusUpdate) {
        if self.unacknowledged.len() == UNACKNOWLEDGED_MAX {
            self.unacknowledged.pop_front();
        }
        self.unacknowledged.push_back(update);
    }
}

impl Tally {
    pub(crate) const fn sum(self) -> usize {
        self.waiting + self.active
    }

    pub(crate) const fn enter(&mut self, phase: Phase) {
        match phase {
            Phase::Waiting => self.waiting += 1,
            Phase::Active => self.active += 1,
            Phase::Over => {}
        }
    }

    const fn leave(&mut self, phase: Phase) {
        match phase {
            Phase::Waiting => self.waiting -= 1,
            Phase::Active => self.active -= 1,
            Phase::Over => {}
        }
    }
}

#[derive(Debug)]
pub(crate) struct Tasks {
    /// By framework; no map in it is empty.
    live: BTreeMap<FrameworkId, BTreeMap<(TaskId, Attempt), Task>>,
    pub(crate) history: History,
}

impl Tasks {
    pub(crate) const fn new(ended_tasks_max: usize) -> Self {
        Self { live: BTreeMap::new(), history: History::new(ended_tasks_max) }
    }

    pub(crate) fn get(&self, key: &TaskKey) -> Option<&Task> {
        self.live.get(&key.framework)?.get(&(key.task.clone(), key.attempt))
    }

    pub(crate) fn get_mut(&mut self, key: &TaskKey) -> Option<&mut Task> {
        self.live.get_mut(&key.framework)?.get_mut(&(key.task.clone(), key.attempt))
    }

    /// The live attempts of a task, oldest first.
    pub(crate) fn attempts(
        &self,
        framework: &FrameworkId,
        task: &TaskId,
    ) -> impl DoubleEndedIterator<Item = (Attempt, &Task)> {
        let range = (task.clone(), Attempt(0))..=(task.clone(), Attempt(u32::MAX));
        let tasks = self.live.get(framework).map(|tasks| tasks.range(range));
        tasks.into_iter().flatten().map(|((_, attempt), task)| (*attempt, task))
    }

    /// The newest attempt of a task that its framework knows as live.
    pub(crate) fn newest(
        &self,
        framework: &FrameworkId,
        task: &TaskId,
    ) -> Option<(Attempt, &Task)> {
        self.attempts(framework, task).rfind(|(_, task)| !task.is_condemned())
    }

    pub(crate) fn of(
        &self,
        framework: &FrameworkId,
    ) -> impl Iterator<Item = (&(TaskId, Attempt), &Task)> {
        self.live.get(framework).into_iter().flatten()
    }

    pub(crate) fn keys_of(&self, framework: &FrameworkId) -> Vec<TaskKey> {
        self.of(framework).map(|(name, _)| key_of(framework, name)).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (TaskKey, &Task)> {
        self.live.iter().flat_map(|(framework, tasks)| {
            tasks.iter().map(move |(name, task)| (key_of(framework, name), task))
        })
    }

    fn insert(&mut self, key: &TaskKey, task: Task) {
        let tasks = self.live.entry(key.framework.clone()).or_default();
        tasks.insert((key.task.clone(), key.attempt), task);
    }

    fn remove(&mut self, key: &TaskKey) -> Option<Task> {
        let tasks = self.live.get_mut(&key.framework)?;
        let task = tasks.remove(&(key.task.clone(), key.attempt));
        if tasks.is_empty() {
            self.live.remove(&key.framework);
        }
        task
    }
}

fn key_of(framework: &FrameworkId, (task, attempt): &(TaskId, Attempt)) -> TaskKey {
    TaskKey { framework: framework.clone(), task: task.clone(), attempt: *attempt }
}

impl Master {
    /// Adds a task whose resources are booked in its allocation already, or that has ended.
    pub(crate) fn insert_task(&mut self, key: &TaskKey, task: Task) {
        let phase = task.stage.phase();
        if let Some(agent) = self.agents.get_mut(&task.agent) {
            agent.tasks.insert(key.clone());
            agent.tally.enter(phase);
        }
        self.mind_crowd(&task.agent);
        if let Some(framework) = self.frameworks.get_mut(&key.framework) {
            framework.tally.enter(phase);
        }
        if !task.is_condemned() {
            self.tasks.history.forget(key);
        }
        self.tasks.insert(key, task);
    }

    /// Moves a task on, never back, but that it may be paused and resumed: what arrives late
    /// changes nothing. What it used is free with its end.
    pub(crate) fn advance_task(&mut self, key: &TaskKey, stage: Stage) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let is_turn = matches!(
            (&task.stage, &stage),
            (Stage::Running, Stage::Paused) | (Stage::Paused, Stage::Running)
        );
        if !is_turn && stage.rank() <= task.stage.rank() {
            return;
        }
        let (before, begun, after) = (task.stage.phase(), task.begun(), stage.phase());
        task.stage = stage;
        if before == after {
            return;
        }
        if after == Phase::Over {
            self.ledger.finish(task.allocation, &task.resources, begun);
        } else {
            self.ledger.start(task.allocation);
        }
        let agent = self.agents.get_mut(&task.agent).map(|agent| &mut agent.tally);
        let framework = self.frameworks.get_mut(&key.framework).map(|f| &mut f.tally);
        for tally in agent.into_iter().chain(framework) {
            tally.leave(before);
            tally.enter(after);
        }
    }

    /// Takes a task out of what is live; if its framework knows of its end it is remembered.
    pub(crate) fn forget_task(&mut self, key: &TaskKey) {
        let Some(task) = self.tasks.remove(key) else { return };
        let phase = task.stage.phase();
        if phase != Phase::Over {
            self.ledger.finish(task.allocation, &task.resources, task.begun());
        }
        if let Some(agent) = self.agents.get_mut(&task.agent) {
            agent.tasks.remove(key);
            agent.tally.leave(phase);
        }
        self.mind_crowd(&task.agent);
        if let Some(framework) = self.frameworks.get_mut(&key.framework) {
            framework.tally.leave(phase);
        }
        let is_condemned = task.is_condemned();
        self.revoke_speech(key);
        let Task { agent, role, resources, name, since, stage, repeatable, .. } = task;
        if let Stage::Ended { outcome, usage, .. } = stage
            && !is_condemned
        {
            self.settle_checkpoint(key, &outcome);
            let ended =
                EndedTask { agent, role, resources, name, since, outcome, usage, repeatable };
            self.tasks.history.remember(key.clone(), ended);
        }
    }

    /// Where a task stands, for its framework and for people.
    pub(crate) fn state_of(&self, task: &Task) -> TaskState {
        let is_out_of_reach =
            self.agents.get(&task.agent).is_some_and(|agent| agent.is_out_of_reach());
        if is_out_of_reach && !task.stage.is_ended() {
            return TaskState::Unreachable;
        }
        task.stage.state()
    }

    /// A word of the master itself about a task.
    pub(crate) fn word(
        &self,
        key: &TaskKey,
        agent: Option<&AgentId>,
        state: TaskState,
    ) -> StatusUpdate {
        StatusUpdate {
            key: key.clone(),
            seq: 0,
            agent: agent.cloned(),
            state,
            source: Source::Master,
            at: self.now,
            usage: None,
            result: Vec::new(),
            last_words: String::new(),
            outputs: Vec::new(),
            missing: Vec::new(),
        }
    }
}
