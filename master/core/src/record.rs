//! What a master keeps on its disk, and the state that it makes.
//!
//! A store holds one row per [`Record::key`] and so stays as small as the state: a later record
//! of a key replaces the earlier one, and one whose [`Record::change`] is `Delete` removes it.
//! Replaying the rows in any order gives the state.
//!
//! | key | records |
//! |---|---|
//! | `agent/<id>` | `AgentAdmitted` |
//! | `framework/<id>` | `FrameworkSubscribed`, `FrameworkDisconnected`, `FrameworkRemoved` |
//! | `role/<role>` | `RoleSet` |
//! | `quota/<role>` | `QuotaSet`, `QuotaRemoved` |
//! | `reservation/<agent>/<role>` | `Reserved`, `Unreserved` |
//! | `token/<id>` | `TokenCreated`, `TokenUsed`, `TokenRevoked` |
//!
//! Deliberately absent: incarnations of agents, tasks, allocations and offers. Who is connected
//! and what runs is learnt again from the agents.

use serde::{Deserialize, Serialize};
use skep_protocol::{
    AgentId, Digest, FrameworkId, Resources, Role, Time,
    framework::FrameworkInfo,
    operator::{PeerKind, Quota, Weight},
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
    /// Resources of an agent are reserved for a role, this much in all.
    Reserved {
        /// Whose.
        agent: AgentId,
        /// For whom.
        role: Role,
        /// How much.
        resources: Resources,
    },
    /// Nothing of an agent is reserved for a role any more.
    Unreserved {
        /// Whose.
        agent: AgentId,
        /// For whom.
        role: Role,
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
            Self::FrameworkSubscribed { framework, .. }
            | Self::FrameworkDisconnected { framework, .. }
            | Self::FrameworkRemoved { framework } => format!("framework/{framework}"),
            Self::RoleSet { role, .. } => format!("role/{role}"),
            Self::QuotaSet { role, .. } | Self::QuotaRemoved { role } => format!("quota/{role}"),
            Self::Reserved { agent, role, .. } | Self::Unreserved { agent, role } => {
                format!("reservation/{agent}/{role}")
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
            | Self::Unreserved { .. } => Change::Delete,
            _ => Change::Put,
        }
    }
}

/// What survives a restart; changed by [`Durable::apply`] alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Durable {
    pub(crate) agents: BTreeMap<AgentId, Admitted>,
    pub(crate) frameworks: BTreeMap<FrameworkId, KnownFramework>,
    pub(crate) weights: BTreeMap<Role, Weight>,
    pub(crate) quotas: BTreeMap<Role, Quota>,
    /// No map in it is empty.
    pub(crate) reservations: BTreeMap<AgentId, BTreeMap<Role, Resources>>,
    pub(crate) tokens: BTreeMap<String, Token>,
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
    /// What of an agent is reserved, by role.
    pub(crate) fn reservations_on(&self, agent: &AgentId) -> BTreeMap<Role, Resources> {
        self.reservations.get(agent).cloned().unwrap_or_default()
    }

    /// Cannot fail: a record that could not be applied would stop every restart.
    pub(crate) fn apply(&mut self, record: &Record) {
        match record.clone() {
            Record::AgentAdmitted { agent, name, at } => {
                self.agents.insert(agent, Admitted { name, at });
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
            Record::Reserved { agent, role, resources } => {
                self.reservations.entry(agent).or_default().insert(role, resources);
            }
            Record::Unreserved { agent, role } => {
                if let Some(reserved) = self.reservations.get_mut(&agent) {
                    reserved.remove(&role);
                    if reserved.is_empty() {
                        self.reservations.remove(&agent);
                    }
                }
            }
            Record::TokenCreated { id, token } | Record::TokenUsed { id, token } => {
                self.tokens.insert(id, token);
            }
            Record::TokenRevoked { id } => {
                self.tokens.remove(&id);
            }
        }
    }
}
