//! The durable state: what recovery gives back. It changes in [`State::apply`] and nowhere else.
//!
//! `apply` is total: a record that does not fit is ignored, for a bad row must not keep an agent
//! from starting. Deliberately absent: whether a task that has not ended is queued or runs. That
//! is soft, and ends with the process.

use crate::{
    profile::{ExecutorKey, ExecutorRun},
    record::{GuestEnd, Record},
};
use skep_protocol::{
    AgentId, AllocationId, FrameworkId, Incarnation, Resources, Role, StatusUpdate, TaskId,
    TaskKey, TaskSpec, TaskState, agent::Volume, ids::Attempt, outcome::Checkpoint,
};
use std::collections::{BTreeMap, VecDeque};

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    incarnation: Incarnation,
    agent: Option<AgentId>,
    /// Those that were started and are not known to have ended.
    executors: BTreeMap<ExecutorKey, ExecutorRun>,
    tasks: BTreeMap<TaskKey, Task>,
    /// Those that the master had it make, by name.
    volumes: BTreeMap<String, Volume>,
}

/// A task that the agent answers for until its end is acknowledged.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Task {
    pub(crate) role: Role,
    pub(crate) allocation: AllocationId,
    /// What the allocation could use when it was taken; later launches may have changed that.
    pub(crate) granted: Resources,
    /// Its place among all that were taken; 0 if it was refused.
    pub(crate) arrival: u64,
    pub(crate) work: Work,
    /// The number of its newest update, acknowledged or not.
    numbered: u64,
    /// What that one said.
    told: Option<TaskState>,
    /// Not yet acknowledged, oldest first.
    updates: VecDeque<StatusUpdate>,
    /// The state that another attempt would go on from; empty if it left none.
    checkpoint: Vec<u8>,
    /// How its guest ended, if there were outputs to deliver then.
    guest_end: Option<Box<GuestEnd>>,
}

/// What a task has to do here.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {
    /// It was accepted.
    Accepted(Box<TaskSpec>),
    /// It was refused, and uses nothing.
    Refused,
}

impl State {
    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::Incarnation(incarnation) => self.incarnation = *incarnation,
            Record::AgentNamed { agent } => self.agent = Some(agent.clone()),
            Record::ExecutorStarted { run, executor } => {
                self.executors.insert(executor.clone(), *run);
            }
            Record::ExecutorEnded { run } => self.executors.retain(|_, known| known != run),
            Record::TaskAccepted { key, role, allocation, granted, arrival, spec } => {
                let work = Work::Accepted(spec.clone());
                let task = Task::new(role, *allocation, granted, work);
                self.tasks.insert(key.clone(), Task { arrival: *arrival, ..task });
            }
            Record::TaskRefused { key, role, allocation, granted } => {
                let task = Task::new(role, *allocation, granted, Work::Refused);
                self.tasks.insert(key.clone(), task);
            }
            Record::Updated(update) => {
                if let Some(task) = self.tasks.get_mut(&update.key) {
                    task.numbered = task.numbered.max(update.seq);
                    task.told = Some(update.state.clone());
                    task.updates.push_back(update.clone());
                }
            }
            Record::Acknowledged { key, seq, state } => {
                if let Some(task) = self.tasks.get_mut(key) {
                    // Replayed, this record stands in the row of its update.
                    if task.numbered <= *seq && state.is_some() {
                        task.told.clone_from(state);
                    }
                    task.numbered = task.numbered.max(*seq);
                    task.updates.retain(|update| update.seq > *seq);
                }
            }
            Record::Checkpointed(Checkpoint { key, bytes }) => {
                if let Some(task) = self.tasks.get_mut(key) {
                    task.checkpoint.clone_from(bytes);
                }
            }
            Record::CheckpointForgotten { key } => {
                if let Some(task) = self.tasks.get_mut(key) {
                    task.checkpoint.clear();
                }
            }
            Record::GuestEnded { key, end } => {
                if let Some(task) = self.tasks.get_mut(key) {
                    task.guest_end = Some(end.clone());
                }
            }
            Record::GuestEndForgotten { key } => {
                if let Some(task) = self.tasks.get_mut(key) {
                    task.guest_end = None;
                }
            }
            Record::TaskForgotten { key, .. } => drop(self.tasks.remove(key)),
            Record::VolumeMade { volume } => {
                self.volumes.insert(volume.name.clone(), volume.clone());
            }
            Record::VolumeForgotten { name } => drop(self.volumes.remove(name)),
        }
    }

    pub(crate) const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// How the master calls this agent; none before it was first admitted.
    pub(crate) const fn agent(&self) -> Option<&AgentId> {
        self.agent.as_ref()
    }

    pub(crate) const fn executors(&self) -> &BTreeMap<ExecutorKey, ExecutorRun> {
        &self.executors
    }

    pub(crate) fn task(&self, key: &TaskKey) -> Option<&Task> {
        self.tasks.get(key)
    }

    pub(crate) const fn tasks(&self) -> &BTreeMap<TaskKey, Task> {
        &self.tasks
    }

    pub(crate) const fn volumes(&self) -> &BTreeMap<String, Volume> {
        &self.volumes
    }

    /// All attempts held of one task, oldest first.
    pub(crate) fn attempts(
        &self,
        framework: &FrameworkId,
        task: &TaskId,
    ) -> impl DoubleEndedIterator<Item = &TaskKey> {
        let key = |attempt| TaskKey {
            framework: framework.clone(),
            task: task.clone(),
            attempt: Attempt(attempt),
        };
        self.tasks.range(key(0)..=key(u32::MAX)).map(|(key, _)| key)
    }
}

impl Task {
    fn new(role: &Role, allocation: AllocationId, granted: &Resources, work: Work) -> Self {
        let (role, granted, updates) = (role.clone(), granted.clone(), VecDeque::new());
        let (told, checkpoint, guest_end) = (None, Vec::new(), None);
        Self {
            role,
            allocation,
            granted,
            arrival: 0,
            work,
            numbered: 0,
            told,
            updates,
            checkpoint,
            guest_end,
        }
    }

    pub(crate) const fn numbered(&self) -> u64 {
        self.numbered
    }

    /// What its framework was told last, or is about to be.
    pub(crate) const fn told(&self) -> Option<&TaskState> {
        self.told.as_ref()
    }

    pub(crate) fn checkpoint(&self) -> &[u8] {
        &self.checkpoint
    }

    /// How its guest ended, if there were outputs to deliver then.
    pub(crate) fn guest_end(&self) -> Option<&GuestEnd> {
        self.guest_end.as_deref()
    }

    pub(crate) const fn updates(&self) -> &VecDeque<StatusUpdate> {
        &self.updates
    }

    /// Whether it is over. Its last update is kept until it is forgotten, so that tells.
    pub(crate) fn has_ended(&self) -> bool {
        self.updates.back().is_some_and(|update| update.state.is_terminal())
    }
}
