//! A fault that was made, and what must be seen for it to count as recovered from.

use super::faults::Kind;
use serde::{Deserialize, Serialize};

/// A fault that was made. Times are in milliseconds since 1970.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Struck {
    pub(crate) kind: Kind,
    /// Whom it struck.
    pub(crate) target: String,
    /// When it began.
    pub(crate) from: u64,
    /// When it was healed.
    pub(crate) healed: u64,
    /// From when on the recovery counts: from the beginning where the cluster is to go on without
    /// the one that was struck, from the healing where that one is to come back.
    pub(crate) clock: u64,
    pub(crate) criterion: Criterion,
    /// How long the recovery took, in milliseconds; none if it was waited for in vain.
    #[serde(default)]
    pub(crate) recovered_ms: Option<u64>,
}

/// What must be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Criterion {
    /// Each framework is known to a master anew, and then a task of it ends.
    AnotherMaster,
    /// A task of each framework ends.
    Everybody,
    /// This framework is spoken to, and then a task of it ends.
    Framework(String),
    /// This agent tells of a task.
    Agent(String),
    /// A task of this framework ends well on this agent.
    AgentOf(String, String),
}
