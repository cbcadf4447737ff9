//! What an agent keeps on its disk.
//!
//! A store holds one row per [`Record::key`] and so stays as small as the state: a later record
//! of a key replaces the earlier one, and one that is a [deletion](Record::is_deletion) removes
//! it, with the [rows below](Record::keys_below). Replaying the rows in the order of their keys
//! gives the state.
//!
//! | key | record |
//! |---|---|
//! | `agent` | `AgentNamed` |
//! | `incarnation` | `Incarnation` |
//! | `executor/<run>` | `ExecutorStarted`, `ExecutorEnded` |
//! | `volume/<name>` | `VolumeMade`, `VolumeForgotten` |
//! | `task/<framework>/<task>#<attempt>` | `TaskAccepted`, `TaskRefused`, `TaskForgotten` |
//! | `task/<framework>/<task>#<attempt>/checkpoint` | `Checkpointed`, `CheckpointForgotten` |
//! | `task/<framework>/<task>#<attempt>/end` | `GuestEnded`, `GuestEndForgotten` |
//! | `task/<framework>/<task>#<attempt>/<seq>` | `Updated`, replaced by `Acknowledged` |

use crate::profile::{ExecutorKey, ExecutorRun};
use serde::{Deserialize, Serialize};
use skep_protocol::{
    AgentId, AllocationId, Incarnation, Outcome, Resources, Role, StatusUpdate, TaskKey, TaskSpec,
    TaskState, Time, Usage, agent::Volume, outcome::Checkpoint,
};

/// One durable change. See the module's table for what replaces what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A run of the agent has begun.
    Incarnation(Incarnation),
    /// The master calls this agent so.
    AgentNamed {
        /// Its id.
        agent: AgentId,
    },
    /// An executor is about to be started. It may outlive this run of the agent.
    ExecutorStarted {
        /// Which process.
        run: ExecutorRun,
        /// Whose, in which jail.
        executor: ExecutorKey,
    },
    /// An executor has ended, and what became of its guests is recorded.
    ExecutorEnded {
        /// Which process.
        run: ExecutorRun,
    },
    /// The agent has taken a task: it will end in exactly one terminal state.
    TaskAccepted {
        /// Which attempt of which task.
        key: TaskKey,
        /// The role it is accounted to.
        role: Role,
        /// The allocation it runs under.
        allocation: AllocationId,
        /// What that allocation may use in all.
        granted: Resources,
        /// Its place among all that the agent took.
        arrival: u64,
        /// The task.
        spec: Box<TaskSpec>,
    },
    /// The agent has not taken a task; kept until its framework knows.
    TaskRefused {
        /// Which attempt of which task.
        key: TaskKey,
        /// The role it was to be accounted to.
        role: Role,
        /// The allocation it was to run under.
        allocation: AllocationId,
        /// What that allocation may use in all.
        granted: Resources,
    },
    /// A task's state has changed; kept until acknowledged.
    Updated(StatusUpdate),
    /// The framework has dealt with the updates up to this one.
    Acknowledged {
        /// Which attempt of which task.
        key: TaskKey,
        /// Up to which number.
        seq: u64,
        /// What that update said. Rows of earlier versions have none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<TaskState>,
    },
    /// A guest has left a state to go on from.
    Checkpointed(Checkpoint),
    /// What a guest has left is not to be gone on from any more.
    CheckpointForgotten {
        /// Which attempt of which task.
        key: TaskKey,
    },
    /// A guest has ended by itself, and its task has outputs to deliver before it ends, too.
    GuestEnded {
        /// Which attempt of which task.
        key: TaskKey,
        /// How.
        end: Box<GuestEnd>,
    },
    /// The task is about to be forgotten, and with it how its guest ended.
    GuestEndForgotten {
        /// Which attempt of which task.
        key: TaskKey,
    },
    /// Nobody will ask for a task any more: its end is acknowledged, or its framework is gone.
    TaskForgotten {
        /// Which attempt of which task.
        key: TaskKey,
        /// The number of its last update.
        seq: u64,
    },
    /// The master wants a volume here.
    VolumeMade {
        /// Which.
        volume: Volume,
    },
    /// The master wants a volume no more, and no task uses it.
    VolumeForgotten {
        /// Which.
        name: String,
    },
}

/// The end of a guest, by its executor's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestEnd {
    /// Since when.
    pub at: Time,
    /// How it ended.
    pub outcome: Outcome,
    /// What it used.
    pub usage: Usage,
    /// The value that it returned, if it did.
    #[serde(with = "hex::serde", default, skip_serializing_if = "Vec::is_empty")]
    pub result: Vec<u8>,
    /// The end of its stderr, if it did not end well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_words: String,
}

impl Record {
    /// The row that the record replaces or removes.
    pub fn key(&self) -> String {
        match self {
            Self::Incarnation(_) => "incarnation".into(),
            Self::AgentNamed { .. } => "agent".into(),
            Self::ExecutorStarted { run, .. } | Self::ExecutorEnded { run } => {
                format!("executor/{run}")
            }
            Self::TaskAccepted { key, .. }
            | Self::TaskRefused { key, .. }
            | Self::TaskForgotten { key, .. } => format!("task/{key}"),
            Self::Updated(update) => update_key(&update.key, update.seq),
            Self::Acknowledged { key, seq, .. } => update_key(key, *seq),
            Self::Checkpointed(Checkpoint { key, .. }) | Self::CheckpointForgotten { key } => {
                format!("task/{key}/checkpoint")
            }
            Self::GuestEnded { key, .. } | Self::GuestEndForgotten { key } => {
                format!("task/{key}/end")
            }
            Self::VolumeMade { volume } => format!("volume/{}", volume.name),
            Self::VolumeForgotten { name } => format!("volume/{name}"),
        }
    }

    /// Whether it removes its row, rather than replaces it.
    pub const fn is_deletion(&self) -> bool {
        matches!(
            self,
            Self::TaskForgotten { .. }
                | Self::CheckpointForgotten { .. }
                | Self::GuestEndForgotten { .. }
                | Self::ExecutorEnded { .. }
                | Self::VolumeForgotten { .. }
        )
    }

    /// The rows that a deletion takes along.
    pub fn keys_below(&self) -> Vec<String> {
        match self {
            Self::TaskForgotten { key, seq } => (1..=*seq).map(|n| update_key(key, n)).collect(),
            _ => Vec::new(),
        }
    }
}

/// Padded, so that rows in the order of their keys are updates in their order.
fn update_key(key: &TaskKey, seq: u64) -> String {
    format!("task/{key}/{seq:020}")
}
