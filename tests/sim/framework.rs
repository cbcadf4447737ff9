//! A framework, simulated from the protocol: it has tasks to get done and speaks with the master.
//!
//! ```text
//! waiting -> launched -> done
//!    ^          |  the attempt was lost, refused or given back: again, as the next attempt
//!    +----------+
//! ```
//! Always holds: an attempt is launched once, and what is told of an older one changes nothing.

mod conversation;

pub(crate) use conversation::Older;

use crate::{guest, network::Link};
use skep_protocol::{
    AllocationId, Attempt, FrameworkId, Outcome, Resources, Role, StatusUpdate, TaskId, TaskKey,
    TaskSpec, TaskState, Time, framework::FrameworkInfo, outcome::KilledBy,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
    time::Duration,
};

/// Its tasks live on without it for longer than any simulation.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(24 * 3_600);

#[derive(Debug)]
pub(crate) struct Framework {
    info: FrameworkInfo,
    pub(crate) id: Option<FrameworkId>,
    pub(crate) temper: Temper,
    stage: Stage,
    link: Option<Link>,
    /// A random number of this instance, and how often it has connected.
    run: u64,
    connections: u64,
    /// How often another instance has taken over.
    failovers: u64,
    /// Those of earlier instances that nobody has told yet to go.
    older: BTreeSet<Link>,
    /// The run of the master that it speaks with.
    master_run: u64,
    pub(crate) jobs: BTreeMap<TaskId, Job>,
    waiting: VecDeque<TaskId>,
    /// Launches that the master has not answered, oldest first.
    unanswered: VecDeque<Vec<(TaskId, Attempt)>>,
    appetite: Appetite,
    /// How many tasks it takes to an offer, fitting or to be queued.
    pub(crate) greed: Range<u64>,
    /// How many it adds to an allocation when one of its tasks there has ended.
    pub(crate) refills: Range<u64>,
    /// Until when it takes nothing, because it was refused what it had taken.
    rests_until: Time,
}

/// What it makes of a task that cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temper {
    /// It waits until the task is back or lost.
    Patient,
    /// It launches it again at once.
    Hasty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Here,
    /// It wants to be torn down.
    Leaving,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Appetite {
    Wanting,
    Suppressed,
}

/// One task that it wants done.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) spec: TaskSpec,
    pub(crate) stage: JobStage,
    wish: Wish,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobStage {
    Waiting,
    /// The allocation is known once the master has answered.
    Launched(Option<AllocationId>),
    Done,
}

/// Whether it still wants the task done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Done,
    Killed,
}

impl Framework {
    pub(crate) fn new(name: &str, role: &str, temper: Temper, run: u64) -> Self {
        let role = Role::new(role).expect("a role of the simulation");
        let failover_timeout = FAILOVER_TIMEOUT;
        Self {
            info: FrameworkInfo {
                name: name.into(),
                role,
                failover_timeout,
                ..FrameworkInfo::default()
            },
            id: None,
            temper,
            stage: Stage::Here,
            link: None,
            run,
            connections: 0,
            failovers: 0,
            older: BTreeSet::new(),
            master_run: 0,
            jobs: BTreeMap::new(),
            waiting: VecDeque::new(),
            unanswered: VecDeque::new(),
            appetite: Appetite::Wanting,
            greed: 1..9,
            refills: 0..4,
            rests_until: Time::ZERO,
        }
    }

    #[cfg(test)]
    pub(crate) const fn role(&self) -> &Role {
        &self.info.role
    }

    pub(crate) fn principal(&self) -> String {
        format!("framework/{}", self.info.name)
    }

    #[cfg(test)]
    pub(crate) const fn link(&self) -> Option<Link> {
        self.link
    }

    /// Whether instances that have been replaced still take themselves for the framework.
    #[cfg(test)]
    pub(crate) fn has_older(&self) -> bool {
        !self.older.is_empty()
    }

    pub(crate) fn wants_connection(&self) -> bool {
        self.link.is_none() && self.stage != Stage::Gone
    }

    /// Whether all it wants is done and nothing it said is unanswered.
    pub(crate) fn is_quiet(&self) -> bool {
        let is_done = self.jobs.values().all(|job| job.stage == JobStage::Done);
        match self.stage {
            Stage::Here => is_done && self.link.is_some() && self.unanswered.is_empty(),
            Stage::Leaving => false,
            Stage::Gone => true,
        }
    }

    /// How long its tasks that are not done would run, one after the other.
    pub(crate) fn work_left(&self) -> Duration {
        let left = self.jobs.values().filter(|job| job.stage != JobStage::Done);
        left.map(|job| guest::run_time(&job.spec.args)).sum()
    }

    pub(crate) fn key(&self, task: &TaskId) -> Option<TaskKey> {
        let (framework, task) = (self.id.clone()?, task.clone());
        let attempt = self.jobs.get(&task)?.spec.attempt;
        Some(TaskKey { framework, task, attempt })
    }

    fn resources(&self, task: &TaskId) -> Resources {
        self.jobs.get(task).map(|job| job.spec.resources.clone()).unwrap_or_default()
    }

    /// Whether an attempt that was called lost is back, and no later one is launched to end it.
    fn is_back_unwanted(&self, update: &StatusUpdate) -> bool {
        let StatusUpdate { key, seq, state, .. } = update;
        let has_gone_on = |job: &Job| {
            key.attempt < job.spec.attempt && !matches!(job.stage, JobStage::Launched(_))
        };
        *seq == 0 && !state.is_terminal() && self.jobs.get(&key.task).is_some_and(has_gone_on)
    }

    /// The attempt has come to nothing.
    fn again(&mut self, task: &TaskId) {
        let Some(job) = self.jobs.get_mut(task) else { return };
        if !matches!(job.stage, JobStage::Launched(_)) {
            return;
        }
        job.spec.attempt = job.spec.attempt.next();
        if job.wish == Wish::Killed {
            job.stage = JobStage::Done;
        } else {
            job.stage = JobStage::Waiting;
            self.waiting.push_back(task.clone());
        }
    }

    /// Takes waiting tasks that fit `room` one by one, and at most `most` of them.
    fn take(&mut self, room: &Resources, most: u64) -> Vec<TaskSpec> {
        let mut taken = Vec::new();
        for _ in 0..self.waiting.len() {
            let Some(task) = self.waiting.pop_front() else { break };
            let Some(job) = self.jobs.get_mut(&task) else { continue };
            if (taken.len() as u64) < most && room.contains(&job.spec.resources) {
                job.stage = JobStage::Launched(None);
                taken.push(job.spec.clone());
            } else {
                self.waiting.push_back(task);
            }
        }
        taken
    }

    /// What an update means for its task; gives the allocation in which it has made room.
    fn follow(&mut self, update: &StatusUpdate) -> Option<AllocationId> {
        let StatusUpdate { key: TaskKey { task, attempt, .. }, state, .. } = update;
        let job = self.jobs.get_mut(task)?;
        let JobStage::Launched(allocation) = job.stage else { return None };
        if *attempt < job.spec.attempt {
            return None;
        }
        match state {
            TaskState::Unreachable if self.temper == Temper::Hasty => self.again(task),
            TaskState::Ended(Outcome::Killed { by: KilledBy::AgentStopped })
            | TaskState::Ended(
                Outcome::Lost { .. } | Outcome::Refused { .. } | Outcome::Failed { .. },
            ) => self.again(task),
            TaskState::Ended(_) => {
                job.stage = JobStage::Done;
                return allocation;
            }
            _ => {}
        }
        None
    }
}
