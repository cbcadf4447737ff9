//! The sharing of a cluster: hierarchical weighted dominant resource fairness, pure and exact.
//!
//! An [`Allocator`] is told what happens to agents, frameworks, roles and resources; a
//! [run](Allocator::run) answers with offers to make. It looks only at what has changed since the
//! run before: an event costs what it touches. It can say why somebody got nothing, from the same
//! judgement that the run makes.
//!
//! | file | owns |
//! |---|---|
//! | `policy.rs` | what the operator decides |
//! | `amounts.rs`, `bundle.rs` | vectors of amounts; the terms on which they are held |
//! | `agents.rs`, `frameworks.rs`, `tree.rs` | who there is |
//! | `books.rs` | how offering and using changes all sums and orders together |
//! | `share.rs`, `order.rs` | the dominant share, and who comes first by it |
//! | `quota.rs`, `filters.rs`, `constraints.rs` | what keeps an offer from somebody |
//! | `judge.rs` | what one client may be offered of one agent, or why nothing |
//! | `pieces.rs` | how much of it at a time, while others wait |
//! | `pass.rs` | one run |
//! | `explain.rs`, `report.rs` | what people are told |
//! | `projection.rs` | where roles will stand once something has moved |
//! | `check.rs` | what always holds |
//! | `bench.rs` | a cluster to measure with |
//!
//! Always holds: no more is offered than is free. Deliberately absent: time-outs of offers, tasks,
//! connections, and what is durable; whoever owns those tells the allocator.

mod agents;
mod amounts;
pub mod bench;
mod books;
mod bundle;
mod check;
mod constraints;
mod explain;
mod filters;
mod frameworks;
mod judge;
mod order;
mod pass;
mod pieces;
mod policy;
mod projection;
mod quota;
mod report;
mod share;
mod tree;

pub use agents::{AgentSpec, NotFree, Presence};
pub use books::{Origin, Use};
pub use bundle::Bundle;
pub use constraints::{Attribute, Constraint, Constraints, NoPattern, Pattern, Predicate};
pub use explain::{Explanation, Silence};
pub use frameworks::{Appetite, Capability, Interest};
pub use judge::Cause;
pub use pass::Grant;
pub use policy::{Freed, Policy};
pub use projection::Projection;
pub use quota::QuotaError;
pub use report::{AgentReport, Held, Holding, RoleReport};

pub use skep_protocol::{framework::Demand, operator::Quota};

use agents::{Agent, AgentKey};
use amounts::{Amounts, Kinds};
use filters::Ends;
use frameworks::{Client, Framework};
use skep_protocol::{AgentId, FrameworkId};
use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasherDefault, DefaultHasher},
    sync::atomic::{AtomicBool, Ordering},
};
use tree::{ClientId, Tree};

/// Looked up by key, and gone through only where the order makes no difference. Hashed with fixed
/// keys, so that two runs are alike; the ids in it are the master's own.
pub(crate) type Table<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// Shares a cluster; see the crate.
#[derive(Clone, Debug)]
pub struct Allocator {
    pub(crate) policy: Policy,
    pub(crate) kinds: Kinds,
    /// The policy's floors, and which kinds do not count in shares.
    pub(crate) floors: Vec<Amounts>,
    pub(crate) excluded: Vec<bool>,
    pub(crate) scarce: Vec<usize>,
    pub(crate) tree: Tree,
    pub(crate) agents: Table<AgentKey, Agent>,
    pub(crate) frameworks: Table<FrameworkId, Framework>,
    pub(crate) clients: Vec<Option<Client>>,
    pub(crate) vacant: Vec<ClientId>,
    /// The sum over all agents that are not away.
    pub(crate) total: Amounts,
    /// The total that all fresh orders were made by; in proportion to the present one.
    pub(crate) basis: Amounts,
    pub(crate) epoch: u64,
    /// What is free and unreserved on open agents.
    pub(crate) headroom: Amounts,
    /// Roles with a guarantee.
    pub(crate) guarantees: usize,
    /// Clients with a demand or floors of their own.
    pub(crate) own_floors: usize,
    pub(crate) filter_ends: Ends,
    /// The open agents of which somebody might take something.
    pub(crate) spare: BTreeSet<AgentKey>,
    pub(crate) dirty: Dirty,
    /// Somebody was held back by headroom or by a limit since everything was last looked at.
    pub(crate) held_back: Flag,
    /// What nobody's guarantee needed when somebody was last looked at, or less.
    pub(crate) surplus_then: Amounts,
    pub(crate) capped: Flag,
}

/// What a judgement notes in passing. Whoever judges only reads, from any thread.
#[derive(Debug, Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, is_so: bool) {
        self.0.store(is_so, Ordering::Relaxed);
    }
}

impl Clone for Flag {
    fn clone(&self) -> Self {
        Self(AtomicBool::new(self.get()))
    }
}

/// What the next run looks at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dirty {
    /// Something has become free there, or a filter has ended.
    pub(crate) agents: BTreeSet<AgentKey>,
    /// They may take what they could or would not take before.
    pub(crate) clients: BTreeSet<ClientId>,
    pub(crate) everything: bool,
}

impl Allocator {
    /// An allocator of an empty cluster.
    pub fn new(policy: Policy) -> Self {
        let mut kinds = Kinds::default();
        let floors = policy.floors.iter().map(|floor| kinds.amounts(floor)).collect();
        let mut excluded = Vec::new();
        for name in &policy.excluded {
            let kind = kinds.index(name);
            excluded.resize(excluded.len().max(kind + 1), false);
            excluded[kind] = true;
        }
        let scarce = policy.scarce.iter().map(|name| kinds.index(name)).collect();
        Self {
            policy,
            kinds,
            floors,
            excluded,
            scarce,
            tree: Tree::new(),
            agents: Table::default(),
            frameworks: Table::default(),
            clients: Vec::new(),
            vacant: Vec::new(),
            total: Amounts::default(),
            basis: Amounts::default(),
            epoch: 0,
            headroom: Amounts::default(),
            guarantees: 0,
            own_floors: 0,
            filter_ends: Ends::new(),
            spare: BTreeSet::new(),
            dirty: Dirty::default(),
            held_back: Flag::default(),
            surplus_then: Amounts::default(),
            capped: Flag::default(),
        }
    }

    pub(crate) fn key(&self, agent: &AgentId) -> AgentKey {
        AgentKey::new(agent, self.policy.seed)
    }

    /// Whether a run would look at anything.
    pub fn is_dirty(&self) -> bool {
        let Dirty { agents, clients, everything } = &self.dirty;
        *everything || !agents.is_empty() || !clients.is_empty() || self.has_more_surplus()
    }

    /// Lets the next run look at everything, as Mesos does once a second.
    pub fn look_everywhere(&mut self) {
        self.dirty.everything = true;
    }

    /// Lets all orders be made anew from the sums: as after a restart.
    pub fn forget_orders(&mut self) {
        self.epoch += 1;
    }

    /// Whether any agent has something left that somebody might take.
    pub fn has_spare(&self) -> bool {
        !self.spare.is_empty()
    }

    pub(crate) fn mark(&mut self, key: &AgentKey) {
        self.dirty.agents.insert(key.clone());
    }

    /// In Mesos somebody new lets everything be looked at for everybody.
    pub(crate) fn mark_client(&mut self, client: ClientId) {
        match self.policy.freed {
            Freed::AtOnce => {
                self.dirty.clients.insert(client);
            }
            Freed::NextPass => self.dirty.everything = true,
        }
    }

    pub(crate) fn mark_freed(&mut self, key: &AgentKey) {
        if self.policy.freed == Freed::AtOnce {
            self.mark(key);
        }
    }

    pub(crate) fn mark_client_freed(&mut self, client: ClientId) {
        if self.policy.freed == Freed::AtOnce {
            self.mark_client(client);
        }
    }

    pub(crate) fn mark_all_freed(&mut self) {
        if self.policy.freed == Freed::AtOnce {
            self.dirty.everything = true;
        }
    }

    /// Orders by another proportion of kinds are stale.
    pub(crate) fn total_changed(&mut self) {
        if !share::are_proportional(&self.basis, &self.total) {
            self.basis = self.total.clone();
            self.epoch += 1;
        }
    }
}
