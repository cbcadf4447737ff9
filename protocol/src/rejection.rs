//! Refusals: what a peer was refused, with what it needs to do better.

use crate::{
    bounds::WHY_BYTES_MAX,
    ids::{AgentId, AllocationId, Attempt, Digest, FrameworkId, Incarnation, OfferId, TaskId},
    resources::Resources,
};
use serde::{Deserialize, Serialize};

/// Why something that a peer asked for was not done.
///
/// A refusal is a value that travels back to who asked; it is never an error of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "rejection", rename_all = "snake_case")]
pub enum Rejection {
    /// The offer was used, rescinded, expired, or never this framework's.
    #[error(
        "offer {offer} is no longer valid: it was used, rescinded or expired; wait for another"
    )]
    InvalidOffer {
        /// Which one.
        offer: OfferId,
    },
    /// The offers of one ACCEPT are not of one agent, or one is named twice, or there is none.
    #[error("the offers of one ACCEPT must be different ones of one agent")]
    OffersDoNotMatch,
    /// The allocation has ended or was recalled, or never was this framework's.
    #[error("allocation {allocation} has ended: wait for another offer")]
    AllocationEnded {
        /// Which one.
        allocation: AllocationId,
    },
    /// A task with this id is live already, in this or a later attempt.
    #[error("task {task} is live already as attempt {newest}: give another id or a later attempt")]
    DuplicateTask {
        /// Which task.
        task: TaskId,
        /// The newest attempt known.
        newest: Attempt,
    },
    /// One task alone needs more than was offered.
    #[error("task {task} needs {asked}, but the offer holds {offered}")]
    DoesNotFit {
        /// Which task.
        task: TaskId,
        /// What it needs.
        asked: Resources,
        /// What the accepted offers hold.
        offered: Resources,
    },
    /// A field has a value that nobody could carry out.
    #[error("{field}: {why}")]
    Invalid {
        /// The field, as `docs` name it.
        field: String,
        /// What is wrong and what would be right.
        why: String,
    },
    /// The message uses a limit, grant or policy that the receiver's version does not know.
    #[error("{name:?} is not known here: the receiver is of an older version, update it")]
    Unsupported {
        /// The name that is not known.
        name: String,
    },
    /// The agent cannot enforce what the task declares, so it may not run there.
    #[error("agent {agent} cannot enforce {name:?}: launch the task on another agent")]
    NotEnforced {
        /// Which agent.
        agent: AgentId,
        /// The feature, by its name on the wire.
        name: String,
    },
    /// The agent's or master's policy forbids it.
    #[error("not allowed: {what}")]
    NotAllowed {
        /// What, and who could allow it.
        what: String,
    },
    /// More than a bound allows.
    #[error("too many {what}: at most {max}")]
    TooMany {
        /// Of what.
        what: String,
        /// The bound.
        max: u64,
    },
    /// The master recalled the allocation for another role before the task had started.
    #[error("recalled before it started: a role with a lower share waits; launch it again")]
    Recalled,
    /// The module or input is not stored at the master.
    #[error("blob {digest} is not stored at the master: push it first")]
    UnknownBlob {
        /// Which one.
        digest: Digest,
    },
    /// No such framework, or it was removed.
    #[error("framework {framework} is not known or was removed: subscribe without an id")]
    UnknownFramework {
        /// Which one.
        framework: FrameworkId,
    },
    /// The framework exists, but the peer is somebody else.
    #[error("framework {framework} belongs to another principal")]
    NotYours {
        /// Which framework.
        framework: FrameworkId,
    },
    /// No such task.
    #[error("task {task} is not known")]
    UnknownTask {
        /// What was asked for.
        task: String,
    },
    /// Another, newer agent process uses this agent id.
    #[error(
        "agent {agent} is registered by a newer process (incarnation {newest}): \
         give this one a work folder and join token of its own"
    )]
    StaleIncarnation {
        /// Which agent.
        agent: AgentId,
        /// The newest incarnation known.
        newest: Incarnation,
    },
    /// Another agent process with the same id and incarnation is connected.
    #[error(
        "agent {agent} is connected already from another process: \
         was its work folder copied? Give this one a work folder and join token of its own"
    )]
    DuplicateAgent {
        /// Which agent.
        agent: AgentId,
    },
    /// A newer instance of the framework took over.
    #[error("another instance subscribed as framework {framework}: this one must stop")]
    FailedOver {
        /// Which framework.
        framework: FrameworkId,
    },
    /// The join token is not known.
    #[error("the join token is not known or was revoked: ask for one with `skep token create`")]
    UnknownToken,
    /// The join token was used as often as it may be.
    #[error("the join token is used up: ask for another with `skep token create`")]
    TokenUsedUp,
    /// The join token's time is over.
    #[error("the join token has expired: ask for another with `skep token create`")]
    TokenExpired,
    /// The peer's certificate does not allow this.
    #[error("a peer of kind {kind} may not do this: it needs {needs}")]
    WrongKind {
        /// What the peer is.
        kind: String,
        /// What it would have to be or show.
        needs: String,
    },
    /// No such agent.
    #[error("agent {agent} is not known: `skep agent list` shows those that are")]
    UnknownAgent {
        /// What was asked for.
        agent: AgentId,
    },
    /// An operator said that the agent never comes back.
    #[error("agent {agent} was declared gone: give the node a new work folder and join token")]
    AgentGone {
        /// Which agent.
        agent: AgentId,
    },
    /// The agent has no such volume.
    #[error("agent {agent} has no volume {name:?}: `skep volume list` shows those that there are")]
    UnknownVolume {
        /// Which agent.
        agent: AgentId,
        /// What was asked for.
        name: String,
    },
    /// A task that has not ended uses the volume.
    #[error("the volume {name:?} is in use by task {task}: wait for its end")]
    VolumeInUse {
        /// Which volume.
        name: String,
        /// The task, or one of them.
        task: TaskId,
    },
    /// A message was dropped: its task does not run, or cannot be reached at present.
    #[error("the message to task {task} was dropped: {why}")]
    Undelivered {
        /// For which task it was.
        task: TaskId,
        /// What is in the way, and what to do.
        why: String,
    },
    /// What an ended task wrote is not kept any more.
    #[error("{bytes} bytes that task {task} wrote are gone: agents keep the newest outputs only")]
    OutputGone {
        /// Which task.
        task: TaskId,
        /// How much of it is gone.
        bytes: u64,
    },
    /// The peer spoke out of turn or sent what is no message.
    #[error("protocol violation: {why}")]
    Violation {
        /// What was wrong.
        why: String,
    },
}

impl Rejection {
    /// A field with a value that cannot be; `why` is cut to [`WHY_BYTES_MAX`].
    pub fn invalid(field: impl Into<String>, why: impl Into<String>) -> Self {
        let mut why = why.into();
        why.truncate(why.floor_char_boundary(WHY_BYTES_MAX));
        Self::Invalid { field: field.into(), why }
    }
}
