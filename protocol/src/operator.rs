//! What people ask a master: orders, and views of what it knows.
//!
//! Orders are parsed into [`Request`]. Views ([`view`]) only ever leave the master, so they are
//! the generated messages themselves, serialisable as JSON for `-o json` and the HTTP API.

use crate::{
    ids::{AgentId, FrameworkId, Role, TaskId, TaskKey},
    outcome::{Outcome, Usage},
    resources::{Amount, Resources},
    task::TaskSpec,
    time::Time,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

/// Messages of views, as generated from `proto/operator.proto`, which documents their fields.
pub mod view {
    pub use crate::codec::wire::operator::{
        AgentView, AgentViews, AskedView, FrameworkView, FrameworkViews, MaintenanceView,
        ModuleView, ModuleViews, OfferView, OfferViews, ReservationView, RoleView, RoleViews,
        StatusView, TaskView, TaskViews, TokenView, TokenViews, VolumeView, VolumeViews, WhyView,
    };
}

/// What a person asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Tasks, newest first.
    Tasks {
        /// Only this framework's.
        framework: Option<FrameworkId>,
        /// Only those of this id.
        task: Option<TaskId>,
        /// Also those that have ended, as far as the master remembers them.
        ended: Ended,
    },
    /// Ends a task.
    Kill {
        /// Whose; may be left out if only one framework has such a task.
        framework: Option<FrameworkId>,
        /// Which.
        task: TaskId,
    },
    /// What a deterministic task that has ended was, and what came of it.
    Recorded {
        /// Whose; may be left out if only one framework had such a task.
        framework: Option<FrameworkId>,
        /// Which.
        task: TaskId,
    },
    /// All agents.
    Agents,
    /// All frameworks.
    Frameworks,
    /// All roles that have a weight, a framework or tasks.
    Roles,
    /// Gives a role a weight.
    SetRole {
        /// Which role.
        role: Role,
        /// Its weight.
        weight: Weight,
    },
    /// Gives a role a quota; an empty one takes it away.
    SetQuota {
        /// Which role.
        role: Role,
        /// Its quota.
        quota: Quota,
        /// Whether also below what the role has.
        manner: Manner,
    },
    /// Reserves free resources of an agent for a role and those below it.
    Reserve {
        /// Whose.
        agent: AgentId,
        /// For whom.
        role: Role,
        /// How much.
        resources: Resources,
        /// Out of what is reserved for this role, which stands above the other.
        from: Option<Role>,
    },
    /// Gives free resources back that are reserved for a role.
    Unreserve {
        /// Whose.
        agent: AgentId,
        /// For whom they were.
        role: Role,
        /// How much.
        resources: Resources,
        /// To what is reserved for this role. None: to everybody.
        to: Option<Role>,
    },
    /// No offers of an agent from now on, and its tasks end. Repeated, it can only end them
    /// earlier.
    Drain {
        /// Which agent.
        agent: AgentId,
        /// How long its running tasks have to end by themselves; queued ones end at once.
        grace: Duration,
    },
    /// No offers of an agent from now on; its tasks go on.
    Deactivate {
        /// Which agent.
        agent: AgentId,
    },
    /// Offers of an agent again that was drained or deactivated.
    Activate {
        /// Which agent.
        agent: AgentId,
    },
    /// An agent never comes back: its tasks are lost, its identity is refused.
    Gone {
        /// Which agent.
        agent: AgentId,
    },
    /// Says when an agent will not be there.
    SetMaintenance {
        /// Which agent.
        agent: AgentId,
        /// When. None: it will be there.
        maintenance: Option<Maintenance>,
    },
    /// Makes a volume out of an agent's free disk that is reserved for a role.
    CreateVolume {
        /// Where.
        agent: AgentId,
        /// Whose tasks may use it, and those of the roles below.
        role: Role,
        /// What it is called, unique on the agent.
        name: String,
        /// How much of the disk, in MiB.
        disk: Amount,
    },
    /// Removes a volume with all that is in it; its disk stays reserved.
    DestroyVolume {
        /// Where.
        agent: AgentId,
        /// Which.
        name: String,
    },
    /// All volumes that were made by order or by frameworks.
    Volumes,
    /// Why a framework has no offer, or a task of it no place.
    Why {
        /// Which framework.
        framework: FrameworkId,
        /// What the task needs.
        needs: Option<Resources>,
    },
    /// All offers that are out.
    Offers,
    /// The cluster in a few numbers and a sentence.
    Status,
    /// The modules and components that the master has stored.
    Modules,
    /// Makes a join token. Only the operator of the master may.
    CreateToken {
        /// What it admits.
        kind: PeerKind,
        /// How often it can be used.
        uses: u32,
        /// For how long it is valid.
        ttl: Duration,
    },
    /// Tokens that can still be used.
    Tokens,
    /// A question or an order for a framework, which answers it.
    Ask {
        /// Its id, or its name if no other has it.
        framework: String,
        /// What the framework and its users agree on.
        message: Vec<u8>,
    },
    /// Removes a framework and ends its tasks.
    Teardown {
        /// Its id, or its name if no other has it.
        framework: String,
    },
    /// Makes a token unusable.
    RevokeToken {
        /// Its id, as `skep token list` shows it.
        id: String,
    },
}

/// A time in which an agent is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// When it begins.
    pub from: Time,
    /// How long it lasts.
    pub lasts: Duration,
    /// What becomes of the tasks that run there when it begins.
    pub tasks: Leftover,
}

impl Maintenance {
    /// When it is over.
    pub fn until(&self) -> Time {
        self.from + self.lasts
    }
}

/// What becomes of tasks on an agent when its maintenance begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leftover {
    /// They are ended.
    Ended,
    /// They go on.
    Kept,
}

/// A role's guarantee and limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Held free for the role while it does not have it.
    pub guarantee: Resources,
    /// The most that the role may have of each kind that is named; zero is nothing.
    pub limit: BTreeMap<String, Amount>,
}

impl Quota {
    /// Whether it says nothing.
    pub fn is_none(&self) -> bool {
        self.guarantee.is_empty() && self.limit.is_empty()
    }
}

/// How a quota is set that a role has outgrown already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It is refused.
    Gentle,
    /// Offers to the role are rescinded; its tasks go on.
    Forced,
}

/// Whether ended tasks are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Ended {
    Left,
    Listed,
}

/// The answer to a person.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each is named after the request it answers")]
pub enum Response {
    Tasks(view::TaskViews),
    Recorded(Box<Recorded>),
    Done,
    Agents(view::AgentViews),
    Frameworks(view::FrameworkViews),
    Roles(view::RoleViews),
    Why(view::WhyView),
    Offers(view::OfferViews),
    Status(view::StatusView),
    /// The token itself is shown once: the master keeps only its hash.
    CreatedToken {
        /// What to hand to the one who joins.
        token: String,
        /// What the master calls it.
        id: String,
    },
    Tokens(view::TokenViews),
    Modules(view::ModuleViews),
    Volumes(view::VolumeViews),
    /// What a framework answered.
    Told {
        /// The answer.
        message: Vec<u8>,
    },
}

/// A run that can be repeated: what was run, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Which attempt of which task.
    pub key: TaskKey,
    /// What was run.
    pub spec: TaskSpec,
    /// How it ended.
    pub outcome: Outcome,
    /// What it used, with the digest of its run.
    pub usage: Usage,
}

/// A kind of peer, as certificates and join tokens name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "words of the glossary")]
pub enum PeerKind {
    Master,
    Agent,
    Framework,
    Operator,
}

impl PeerKind {
    /// The word in certificates, tokens and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Agent => "agent",
            Self::Framework => "framework",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for PeerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no kind of peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of peer: use agent, framework or operator")]
pub struct UnknownPeerKind(String);

impl FromStr for PeerKind {
    type Err = UnknownPeerKind;

    fn from_str(word: &str) -> Result<Self, UnknownPeerKind> {
        [Self::Master, Self::Agent, Self::Framework, Self::Operator]
            .into_iter()
            .find(|kind| kind.name() == word)
            .ok_or_else(|| UnknownPeerKind(word.chars().take(32).collect()))
    }
}

/// The weight of a role: its share counts as divided by it. In thousandths, 0.001 to 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Weight(u64);

/// A number that is no weight.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} thousandths is no weight: it must lie from 0.001 to 1000")]
pub struct NoWeight(u64);

impl Weight {
    /// The weight of a role that was given none.
    pub const ONE: Self = Self(1_000);

    /// A weight of so many thousandths.
    ///
    /// # Errors
    /// [`NoWeight`] outside 1 to 1,000,000 thousandths: the bound keeps products of weights and
    /// amounts within `u128`.
    pub const fn from_millis(millis: u64) -> Result<Self, NoWeight> {
        if millis == 0 || millis > 1_000_000 {
            return Err(NoWeight(millis));
        }
        Ok(Self(millis))
    }

    /// The weight in thousandths.
    pub const fn as_millis(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for Weight {
    type Error = NoWeight;
    fn try_from(millis: u64) -> Result<Self, NoWeight> {
        Self::from_millis(millis)
    }
}

impl From<Weight> for u64 {
    fn from(weight: Weight) -> Self {
        weight.0
    }
}

/// A resource vector as views show it.
pub fn shown(resources: &Resources) -> BTreeMap<String, f64> {
    resources.iter().map(|(name, amount)| (name.into(), amount.as_f64())).collect()
}
