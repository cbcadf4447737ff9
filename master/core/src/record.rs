//! What a master keeps on its disk, and the state that it makes.
//!
//! A store holds one row per [`Record::key`] and so stays as small as the state: a later record
//! of a key replaces the earlier one, and one whose [`Record::change`] is `Delete` removes it.
//! Replaying the rows in any order gives the state.
//!
//! | key | records |
//! |---|---|
//! | `agent/<id>` | `AgentAdmitted` |
//! | `duty/<agent>` | `DutySet`, `DutyCleared` |
//! | `maintenance/<agent>` | `MaintenanceSet`, `MaintenanceCleared` |
//! | `framework/<id>` | `FrameworkSubscribed`, `FrameworkDisconnected`, `FrameworkRemoved` |
//! | `role/<role>` | `RoleSet` |
//! | `quota/<role>` | `QuotaSet`, `QuotaRemoved` |
//! | `reservation/<agent>/<role>` | `Reserved`, `Unreserved` |
//! | `volume/<agent>/<name>` | `VolumeMade`, `VolumeRemoved` |
//! | `checkpoint/<framework>/<task>` | `Checkpointed`, `CheckpointForgotten` |
//! | `state/<framework>/<key>` | `StateSaved`, `StateForgotten` |
//! | `host/<framework>/<task>` | `SpeechGranted`, `SpeechRevoked` |
//! | `token/<id>` | `TokenCreated`, `TokenUsed`, `TokenRevoked` |
//!
//! Deliberately absent: incarnations of agents, tasks, allocations and offers. Who is connected
//! and what runs is learnt again from the agents.

use serde::{Deserialize, Serialize};
use skep_protocol::{
    AgentId, Attempt, Digest, FrameworkId, Resources, Role, TaskId, TaskKey, Time,
    agent::Volume,
    framework::{FrameworkInfo, State},
    operator::{Maintenance, PeerKind, Quota, Weight},
    outcome::Checkpoint,
};
use std::collections::BTreeMap;

/// One durable change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// An agent may register from now on.
    AgentAdmitted {
        /// Its id.
        agent: AgentId,
        /// What it wanted to be called.
        name: String,
        /// When.
        at: Time,
    },
    /// An operator has decided what an agent is still good for.
    DutySet {
        /// Which agent.
        agent: AgentId,
        /// What.
        duty: Duty,
    },
    /// An agent is to serve again as any other.
    DutyCleared {
        /// Which agent.
        agent: AgentId,
    },
    /// An agent will not be there for a time.
    MaintenanceSet {
        /// Which agent.
        agent: AgentId,
        /// When, and what becomes of its tasks.
        maintenance: Maintenance,
    },
    /// An agent's maintenance is over, or called off.
    MaintenanceCleared {
        /// Which agent.
        agent: AgentId,
    },
    /// A framework has subscribed, for the first time or again.
    FrameworkSubscribed {
        /// Its id.
        framework: FrameworkId,
        /// Who it is.
        info: FrameworkInfo,
        /// Whose certificate it showed; nobody else may come back as it.
        principal: String,
        /// A random number of the process that subscribed; 0 if it did not say.
        #[serde(default, skip_serializing_if = "is_unsaid")]
        run: u64,
    },
    /// A framework's connection broke: its failover time-out runs.
    FrameworkDisconnected {
        /// Its id.
        framework: FrameworkId,
        /// Who it is.
        info: FrameworkInfo,
        /// Whose certificate it showed.
        principal: String,
        /// The number of the process that subscribed last.
        #[serde(default, skip_serializing_if = "is_unsaid")]
        run: u64,
        /// Since when it is gone.
        at: Time,
    },
    /// A framework is gone for good.
    FrameworkRemoved {
        /// Its id.
        framework: FrameworkId,
    },
    /// A role has a weight.
    RoleSet {
        /// Which role.
        role: Role,
        /// Its weight.
        weight: Weight,
    },
    /// A role has a quota.
    QuotaSet {
        /// Which role.
        role: Role,
        /// Its guarantee and its limit.
        quota: Quota,
    },
    /// A role has no quota any more.
    QuotaRemoved {
        /// Which role.
        role: Role,
    },
    /// Resources of an agent are reserved for a role by order, this much in all.
    Reserved {
        /// Whose.
        agent: AgentId,
        /// For whom.
        role: Role,
        /// How much, and where it came from.
        reservation: Reservation,
    },
    /// Nothing of an agent is reserved by order for a role any more.
    Unreserved {
        /// Whose.
        agent: AgentId,
        /// For whom.
        role: Role,
    },
    /// An agent has a volume.
    VolumeMade {
        /// Where.
        agent: AgentId,
        /// Which.
        volume: Volume,
    },
    /// An agent has a volume no more.
    VolumeRemoved {
        /// Where.
        agent: AgentId,
        /// Which.
        name: String,
    },
    /// A guest has left a state to go on from.
    Checkpointed {
        /// Whose, and which.
        checkpoint: Checkpoint,
        /// When.
        at: Time,
    },
    /// No further attempt of a task is to be expected.
    CheckpointForgotten {
        /// Which task, by the attempt that left it.
        key: TaskKey,
    },
    /// A framework keeps a value for its next instance.
    StateSaved {
        /// Which framework.
        framework: FrameworkId,
        /// What it calls the value.
        key: String,
        /// The value.
        #[serde(with = "hex::serde")]
        value: Vec<u8>,
    },
    /// A framework does not keep a value any more.
    StateForgotten {
        /// Which framework.
        framework: FrameworkId,
        /// What it called the value.
        key: String,
    },
    /// A task may speak as a framework, in this attempt and no earlier one.
    SpeechGranted {
        /// Which.
        key: TaskKey,
    },
    /// The attempt of a task that could speak as a framework is over.
    SpeechRevoked {
        /// Which.
        key: TaskKey,
    },
    /// A join token was made.
    TokenCreated {
        /// What people call it.
        id: String,
        /// What it is good for.
        token: Token,
    },
    /// A join token was used.
    TokenUsed {
        /// What people call it.
        id: String,
        /// What it is still good for.
        token: Token,
    },
    /// A join token is no longer valid.
    TokenRevoked {
        /// What people call it.
        id: String,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
const fn is_unsaid(run: &u64) -> bool {
    *run == 0
}

/// What an agent is still good for, by its operator's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// Its tasks go on, and no others come.
    Deactivated,
    /// Its tasks end, and no others come.
    Drained {
        /// When those end that still run.
        due: Time,
    },
    /// Nothing, ever: it is not to come back.
    Gone,
}

/// What of an agent is reserved for a role by order, beside what its own operator reserved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// How much.
    pub resources: Resources,
    /// What came out of reservations for roles above, by role: it goes back there. More than is
    /// left of it while some was refined further.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refined: BTreeMap<Role, Resources>,
    /// What the agent's own operator reserved and roles below have for now.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub lent: Resources,
}

impl Reservation {
    /// Whether it says nothing.
    pub(crate) fn is_none(&self) -> bool {
        self.resources.is_empty() && self.refined.is_empty() && self.lent.is_empty()
    }
}

/// What a join token is good for. The secret itself is kept nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The SHA-256 of its secret.
    pub secret: Digest,
    /// What it admits.
    pub kind: PeerKind,
    /// How often it can still be used.
    pub uses_left: u32,
    /// Until when.
    pub expires: Time,
}

/// What a record does to the row of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The record is the row's new content.
    Put,
    /// The row goes.
    Delete,
}

impl Record {
    /// The row that the record replaces or removes.
    pub fn key(&self) -> String {
        match self {
            Self::AgentAdmitted { agent, .. } => format!("agent/{agent}"),
            Self::DutySet { agent, .. } | Self::DutyCleared { agent } => format!("duty/{agent}"),
            Self::MaintenanceSet { agent, .. } | Self::MaintenanceCleared { agent } => {
                format!("maintenance/{agent}")
            }
            Self::VolumeMade { agent, volume } => format!("volume/{agent}/{}", volume.name),
            Self::VolumeRemoved { agent, name } => format!("volume/{agent}/{name}"),
            Self::FrameworkSubscribed { framework, .. }
            | Self::FrameworkDisconnected { framework, .. }
            | Self::FrameworkRemoved { framework } => format!("framework/{framework}"),
            Self::RoleSet { role, .. } => format!("role/{role}"),
            Self::QuotaSet { role, .. } | Self::QuotaRemoved { role } => format!("quota/{role}"),
            Self::Reserved { agent, role, .. } | Self::Unreserved { agent, role } => {
                format!("reservation/{agent}/{role}")
            }
            Self::Checkpointed { checkpoint: Checkpoint { key, .. }, .. }
            | Self::CheckpointForgotten { key } => {
                format!("checkpoint/{}/{}", key.framework, key.task)
            }
            Self::StateSaved { framework, key, .. } | Self::StateForgotten { framework, key } => {
                format!("state/{framework}/{key}")
            }
            Self::SpeechGranted { key } | Self::SpeechRevoked { key } => {
                format!("host/{}/{}", key.framework, key.task)
            }
            Self::TokenCreated { id, .. }
            | Self::TokenUsed { id, .. }
            | Self::TokenRevoked { id } => format!("token/{id}"),
        }
    }

    /// Whether it replaces the row or removes it.
    pub const fn change(&self) -> Change {
        match self {
            Self::FrameworkRemoved { .. }
            | Self::TokenRevoked { .. }
            | Self::QuotaRemoved { .. }
            | Self::DutyCleared { .. }
            | Self::MaintenanceCleared { .. }
            | Self::VolumeRemoved { .. }
            | Self::CheckpointForgotten { .. }
            | Self::StateForgotten { .. }
            | Self::SpeechRevoked { .. }
            | Self::Unreserved { .. } => Change::Delete,
            _ => Change::Put,
        }
    }
}

/// What survives a restart; changed by [`Durable::apply`] alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Durable {
    pub(crate) agents: BTreeMap<AgentId, Admitted>,
    /// Of those that do not serve as any other.
    pub(crate) duties: BTreeMap<AgentId, Duty>,
    pub(crate) maintenance: BTreeMap<AgentId, Maintenance>,
    /// By name. No map in it is empty.
    pub(crate) volumes: BTreeMap<AgentId, BTreeMap<String, Volume>>,
    pub(crate) frameworks: BTreeMap<FrameworkId, KnownFramework>,
    pub(crate) weights: BTreeMap<Role, Weight>,
    pub(crate) quotas: BTreeMap<Role, Quota>,
    /// No map in it is empty.
    pub(crate) reservations: BTreeMap<AgentId, BTreeMap<Role, Reservation>>,
    /// No map in it is empty.
    pub(crate) checkpoints: BTreeMap<FrameworkId, BTreeMap<TaskId, KeptCheckpoint>>,
    /// What frameworks keep. No map in it is empty.
    pub(crate) states: BTreeMap<FrameworkId, State>,
    /// Tasks that may speak as frameworks, each in one attempt. No map in it is empty.
    pub(crate) hosts: BTreeMap<FrameworkId, BTreeMap<TaskId, Attempt>>,
    pub(crate) tokens: BTreeMap<String, Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptCheckpoint {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) at: Time,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    pub(crate) name: String,
    pub(crate) at: Time,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownFramework {
    pub(crate) info: FrameworkInfo,
    pub(crate) principal: String,
    pub(crate) run: u64,
    pub(crate) link: Link,
}

/// Whether a framework's failover time-out runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// It was there when the master last said so.
    Up,
    Down {
        since: Time,
    },
}

impl Durable {
    /// What of an agent is reserved by order, by role.
    pub(crate) fn reservations_on(&self, agent: &AgentId) -> BTreeMap<Role, Reservation> {
        self.reservations.get(agent).cloned().unwrap_or_default()
    }

    /// The volumes of an agent.
    pub(crate) fn volumes_on(&self, agent: &AgentId) -> impl Iterator<Item = &Volume> {
        self.volumes.get(agent).into_iter().flat_map(BTreeMap::values)
    }

    pub(crate) fn volume(&self, agent: &AgentId, name: &str) -> Option<&Volume> {
        self.volumes.get(agent)?.get(name)
    }

    /// Whether an operator has said that the agent never comes back.
    pub(crate) fn is_gone(&self, agent: &AgentId) -> bool {
        self.duties.get(agent) == Some(&Duty::Gone)
    }

    /// Cannot fail: a record that could not be applied would stop every restart.
    pub(crate) fn apply(&mut self, record: &Record) {
        match record.clone() {
            Record::AgentAdmitted { agent, name, at } => {
                self.agents.insert(agent, Admitted { name, at });
            }
            Record::DutySet { agent, duty } => {
                self.duties.insert(agent, duty);
            }
            Record::DutyCleared { agent } => {
                self.duties.remove(&agent);
            }
            Record::MaintenanceSet { agent, maintenance } => {
                self.maintenance.insert(agent, maintenance);
            }
            Record::MaintenanceCleared { agent } => {
                self.maintenance.remove(&agent);
            }
            Record::FrameworkSubscribed { framework, info, principal, run } => {
                let known = KnownFramework { info, principal, run, link: Link::Up };
                self.frameworks.insert(framework, known);
            }
            Record::FrameworkDisconnected { framework, info, principal, run, at } => {
                let known = KnownFramework { info, principal, run, link: Link::Down { since: at } };
                self.frameworks.insert(framework, known);
            }
            Record::FrameworkRemoved { framework } => {
                self.frameworks.remove(&framework);
            }
            Record::RoleSet { role, weight } => {
                self.weights.insert(role, weight);
            }
            Record::QuotaSet { role, quota } => {
                self.quotas.insert(role, quota);
            }
            Record::QuotaRemoved { role } => {
                self.quotas.remove(&role);
            }
            Record::Reserved { agent, role, reservation } => {
                self.reservations.entry(agent).or_default().insert(role, reservation);
            }
            Record::Unreserved { agent, role } => {
                remove_below(&mut self.reservations, &agent, &role);
            }
            Record::VolumeMade { agent, volume } => {
                self.volumes.entry(agent).or_default().insert(volume.name.clone(), volume);
            }
            Record::VolumeRemoved { agent, name } => {
                remove_below(&mut self.volumes, &agent, &name);
            }
            Record::TokenCreated { id, token } | Record::TokenUsed { id, token } => {
                self.tokens.insert(id, token);
            }
            Record::TokenRevoked { id } => {
                self.tokens.remove(&id);
            }
            record => self.apply_to_framework(record),
        }
    }

    /// What frameworks and their tasks leave.
    fn apply_to_framework(&mut self, record: Record) {
        match record {
            Record::Checkpointed { checkpoint, at } => {
                let TaskKey { framework, task, .. } = checkpoint.key.clone();
                let kept = KeptCheckpoint { checkpoint, at };
                self.checkpoints.entry(framework).or_default().insert(task, kept);
            }
            Record::CheckpointForgotten { key } => {
                remove_below(&mut self.checkpoints, &key.framework, &key.task);
            }
            Record::StateSaved { framework, key, value } => {
                self.states.entry(framework).or_default().insert(key, value);
            }
            Record::StateForgotten { framework, key } => {
                remove_below(&mut self.states, &framework, &key);
            }
            Record::SpeechGranted { key } => {
                let TaskKey { framework, task, attempt } = key;
                self.hosts.entry(framework).or_default().insert(task, attempt);
            }
            Record::SpeechRevoked { key } => {
                remove_below(&mut self.hosts, &key.framework, &key.task);
            }
            _ => unreachable!("dealt with before"),
        }
    }
}

/// Removes what somebody has under a key, and the owner with the last of it.
fn remove_below<O: Ord, K: Ord, V>(all: &mut BTreeMap<O, BTreeMap<K, V>>, owner: &O, key: &K) {
    if let Some(own) = all.get_mut(owner) {
        own.remove(key);
        if own.is_empty() {
            all.remove(owner);
        }
    }
}
