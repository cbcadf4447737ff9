//! The accounts: what agents have, what frameworks and roles hold, what allocations take.
//!
//! Each field says what it sums up. How they change together is in `books.rs`.

use skep_protocol::{AgentId, AllocationId, FrameworkId, Resources, Role, Time, operator::Weight};
use std::collections::BTreeSet;

/// What an agent has.
#[derive(Debug)]
pub(crate) struct AgentAccount {
    pub(crate) total: Resources,
    /// The sum of what its allocations occupy. More than `total` only if the agent itself has said
    /// so: it shrank, or brought tasks along.
    pub(crate) used: Resources,
    /// The sum of its offers.
    pub(crate) offered: Resources,
    pub(super) presence: Presence,
    pub(super) allocations: BTreeSet<AllocationId>,
}

/// Whether an agent takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// It is offered.
    Open,
    /// It is not offered; what it has and what is used there counts on.
    Closed,
    /// Neither counts.
    Away,
}

/// What a framework holds.
#[derive(Debug)]
pub(crate) struct FrameworkAccount {
    pub(crate) role: Role,
    pub(crate) appetite: Appetite,
    pub(crate) held: Held,
    pub(super) offers_out: usize,
}

/// Whether a framework is offered anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appetite {
    /// Yes.
    Wanting,
    /// No, by its own wish.
    Suppressed,
    /// No: it is not there.
    Absent,
}

/// What a role holds.
#[derive(Debug)]
pub(crate) struct RoleAccount {
    pub(super) weight: Weight,
    pub(crate) held: Held,
    pub(super) frameworks: BTreeSet<FrameworkId>,
}

/// What somebody holds of the agents that are not away.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Allocated and offered together: an offer counts until it is answered.
    pub(super) sum: Resources,
    pub(crate) offered: Resources,
    /// Offers ever made; of equal shares the one with fewer goes first.
    pub(super) offers: u64,
}

/// The resources that an ACCEPT turned an offer into.
#[derive(Clone, Debug)]
pub(crate) struct Allocation {
    pub(crate) framework: FrameworkId,
    pub(crate) agent: AgentId,
    /// What its tasks may use together at any moment; the agent holds them to it.
    pub(crate) granted: Resources,
    /// The sum over its tasks that have not ended, queued ones included.
    pub(crate) wanted: Resources,
    /// What it takes off the agent: of what is granted, as much as is wanted.
    pub(crate) occupied: Resources,
    /// Tasks that have not ended; never zero.
    pub(crate) tasks: usize,
    /// Those of them that have not started.
    pub(crate) unstarted: usize,
    pub(super) since: Time,
    pub(super) phase: Phase,
}

/// Whether an allocation takes more tasks.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Phase {
    Open,
    /// Its agent was told to start no more of its tasks.
    Recalled {
        /// The role that waits for what it gives back.
        beneficiary: Role,
    },
}

impl AgentAccount {
    pub(super) const fn away() -> Self {
        Self {
            total: Resources::none(),
            used: Resources::none(),
            offered: Resources::none(),
            presence: Presence::Away,
            allocations: BTreeSet::new(),
        }
    }

    /// What is neither used nor offered.
    pub(crate) fn free(&self) -> Resources {
        let mut free = self.total.clone();
        free.subtract(&self.used);
        free.subtract(&self.offered);
        free
    }
}

impl RoleAccount {
    pub(crate) const fn weight(&self) -> Weight {
        self.weight
    }

    pub(crate) fn frameworks(&self) -> usize {
        self.frameworks.len()
    }
}

impl Default for RoleAccount {
    fn default() -> Self {
        Self { weight: Weight::ONE, held: Held::default(), frameworks: BTreeSet::new() }
    }
}

impl Held {
    /// What is in use, without what is only offered.
    pub(crate) fn allocated(&self) -> Resources {
        self.sum.minus(&self.offered)
    }
}

impl Allocation {
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Whether recalling it would give anything back earlier: tasks wait in it for others to end.
    pub(super) fn has_queue(&self) -> bool {
        self.is_open() && self.unstarted > 0 && !self.granted.contains(&self.wanted)
    }
}
