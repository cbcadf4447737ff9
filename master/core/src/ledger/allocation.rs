//! An allocation: the resources that an ACCEPT turned an offer into, and the tasks under it.

use skep_allocator::Bundle;
use skep_protocol::{AgentId, FrameworkId, Resources, Role, Time, task::Terms};

/// The resources that an ACCEPT turned an offer into.
#[derive(Clone, Debug)]
pub(crate) struct Allocation {
    pub(crate) framework: FrameworkId,
    /// The role in which they were offered.
    pub(crate) role: Role,
    pub(crate) agent: AgentId,
    /// On which terms its tasks hold what they use.
    pub(crate) terms: Terms,
    /// What its tasks may use together at any moment; the agent holds them to it.
    pub(crate) granted: Bundle,
    /// The sum over its tasks that have not ended, queued ones included.
    pub(crate) wanted: Resources,
    /// What it takes off the agent: of what is granted, as much as is wanted.
    pub(crate) occupied: Bundle,
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

impl Allocation {
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Whether recalling it would give anything back earlier: tasks wait in it for others to end.
    pub(super) fn has_queue(&self) -> bool {
        self.is_open() && self.unstarted > 0 && !self.granted.sum().contains(&self.wanted)
    }
}
