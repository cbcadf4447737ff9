//! What a master wants done, in order.

use crate::{
    input::{ConnectionId, RequestId},
    record::Record,
};
use skep_protocol::{
    Rejection, agent, framework,
    operator::{self, PeerKind},
};

/// One thing for the shell to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A barrier: durable before any later effect, of this or a later input, is carried out.
    Persist(Record),
    /// Tell an agent.
    SendAgent {
        /// On which connection.
        connection: ConnectionId,
        /// What.
        message: agent::ToAgent,
    },
    /// Tell a framework.
    SendFramework {
        /// On which connection.
        connection: ConnectionId,
        /// What.
        event: framework::Event,
    },
    /// Hang up, after what was sent before. Nothing that still arrives on it counts.
    Disconnect {
        /// Which connection.
        connection: ConnectionId,
    },
    /// Answer a request.
    Answer {
        /// Which.
        request: RequestId,
        /// With what.
        answer: Result<Answer, Rejection>,
    },
}

impl Effect {
    /// If it passes on a message between a task and its framework, about how many bytes that takes.
    /// Such an effect may be dropped.
    pub const fn message_bytes(&self) -> Option<usize> {
        match self {
            Self::SendAgent { message, .. } => message.message_bytes(),
            Self::SendFramework { event, .. } => event.message_bytes(),
            _ => None,
        }
    }
}

/// What a request is answered with.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A join token was good: make a certificate with this name.
    Admitted {
        /// What the peer is.
        kind: PeerKind,
        /// What it is called from now on.
        id: String,
    },
    /// All that is durable: every record before it is on disk when this is carried out.
    Records(Vec<Record>),
    /// What a person asked for. A created token is answered `Done`: only the shell knows its text.
    Operator(operator::Response),
}
