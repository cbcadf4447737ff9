//! The conversation of an agent with the master: reports go up, orders come down.

use crate::{
    framework::{Acknowledgement, LaunchTask},
    ids::{AgentId, AllocationId, Attempt, FrameworkId, Incarnation, Role, TaskId, TaskKey},
    outcome::{Checkpoint, KilledBy, Progress, StatusUpdate, TaskMessage, TaskState},
    rejection::Rejection,
    resources::{Amount, Resources},
    task::Terms,
    time::Time,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// What an agent tells the master.
#[derive(Clone, Debug, PartialEq)]
pub enum ToMaster {
    /// First message on every connection: who it is, what it has, what it runs.
    Register(Registration),
    /// These tasks are recorded on the agent's disk.
    TasksAccepted {
        /// Which.
        tasks: Vec<TaskKey>,
    },
    /// States have changed; each is repeated until acknowledged.
    StatusUpdates {
        /// The changes, in order per task.
        updates: Vec<StatusUpdate>,
    },
    /// Running guests have told how far they are.
    Progressed {
        /// Their reports.
        reports: Vec<Progress>,
    },
    /// States that guests would go on from; told again on each connection.
    Checkpointed {
        /// Of each task the latest.
        checkpoints: Vec<Checkpoint>,
    },
    /// Guests have sent messages to their frameworks.
    Sent {
        /// In order per guest.
        messages: Vec<TaskMessage>,
    },
    /// The agent's own loop is alive: it handles inputs and its disk answers.
    Beat {
        /// Inputs handled since the start of this run.
        inputs: u64,
        /// Age of the oldest record that is not yet on disk, in milliseconds.
        unsaved_millis: u64,
        /// The greatest number of an order to acknowledge that came on this connection: what it
        /// lets the agent forget is off the disk. 0: none came.
        acknowledged: u64,
    },
}

/// An agent as it presents itself at each connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// Which run of the agent, counted up on its disk.
    pub incarnation: Incarnation,
    /// A random number of this process: two processes of one id are told apart by it.
    pub run: u64,
    /// Counts the connections of this run: what is late on an older one is no news.
    pub connection: u64,
    /// What it is and has.
    pub info: AgentInfo,
    /// The tasks it holds, running or queued, and ended ones whose end is not yet acknowledged.
    pub tasks: Vec<HeldTask>,
    /// The names of the volumes that the master had it make.
    pub volumes: Vec<String>,
}

/// What an agent is and has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentInfo {
    /// The node's name, for people.
    pub hostname: String,
    /// What its operator says about it, such as `zone` = `a`.
    pub attributes: BTreeMap<String, String>,
    /// Processor architecture, as Rust names it: `x86_64`, `aarch64`.
    pub architecture: String,
    /// The names of the limits and grants that it can enforce.
    pub enforces: Vec<String>,
    /// All it has for tasks.
    pub resources: Resources,
    /// What it lends on top of that, as long as regular tasks leave it.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub revocable: Resources,
    /// In which region it is; none: in the master's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// In which zone of the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Its build, for people.
    pub build: String,
    /// What of the resources its own operator has reserved, by role.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reserved: BTreeMap<Role, Resources>,
}

/// A task that an agent holds, as it reports it on registering.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldTask {
    /// Which attempt of which task.
    pub key: TaskKey,
    /// The role it is accounted to.
    pub role: Role,
    /// The allocation it runs under.
    pub allocation: AllocationId,
    /// What that allocation may use in all.
    pub granted: Resources,
    /// What this task uses.
    pub resources: Resources,
    /// On which terms it holds that.
    pub terms: Terms,
    /// What the guest is called.
    pub name: String,
    /// Where it stands.
    pub state: TaskState,
    /// The names of the volumes that it is granted.
    pub volumes: Vec<String>,
    /// How long it counts as unreachable before it counts as lost.
    pub lost_after: Option<Duration>,
}

/// A folder that the master had an agent make; it survives tasks and restarts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Volume {
    /// Unique on its agent.
    pub name: String,
    /// Whose tasks may use it: this role's and those of the roles below it.
    pub role: Role,
    /// How much of the disk is set aside for it, in MiB.
    pub disk: Amount,
    /// When it was made: one that is made again under its name is another.
    pub made: Time,
}

/// What the master orders an agent to do.
#[derive(Clone, Debug, PartialEq)]
pub enum ToAgent {
    /// The answer to [`ToMaster::Register`]: the agent is admitted.
    Registered {
        /// Its id, which its certificate names too.
        agent: AgentId,
    },
    /// The agent is not admitted; the master hangs up.
    Refused {
        /// Why, and what to do.
        rejection: Rejection,
    },
    /// Take these tasks. Idempotent: what is held already is only confirmed again.
    Launch {
        /// Under which allocation.
        allocation: AllocationId,
        /// Whose tasks.
        framework: FrameworkId,
        /// Accounted to which role.
        role: Role,
        /// What all tasks of the allocation may use together at any moment.
        granted: Resources,
        /// The tasks, in the order to start them.
        tasks: Vec<LaunchTask>,
    },
    /// Start no more queued tasks of this allocation; give them back as recalled.
    Recall {
        /// Which allocation.
        allocation: AllocationId,
    },
    /// End a task in every attempt up to this one.
    Kill {
        /// Whose task.
        framework: FrameworkId,
        /// Which task.
        task: TaskId,
        /// Up to which attempt.
        attempt: Attempt,
        /// By whose order.
        by: KilledBy,
    },
    /// The framework has dealt with these updates.
    Acknowledge {
        /// Counts these orders to the agent, from 1 on.
        number: u64,
        /// Which.
        acknowledgements: Vec<Acknowledgement>,
    },
    /// The framework is gone: end its tasks and forget them.
    RemoveFramework {
        /// Which.
        framework: FrameworkId,
    },
    /// All volumes that are to be there: those that are not are made, others go with what is in
    /// them as soon as no task uses them.
    Volumes {
        /// Each of them.
        volumes: Vec<Volume>,
    },
    /// A message for a running task from its framework; dropped if it does not run here.
    Message(TaskMessage),
}
