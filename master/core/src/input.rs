//! What can happen to a master.

use skep_protocol::{
    AgentId, Digest, TaskKey, agent, framework,
    operator::{self, PeerKind},
};
use std::time::Duration;

/// One connection of a peer; the shell numbers them and never uses a number twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// One request on a stream of its own; answered once, by `Effect::Answer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// An agent speaks.
    Agent {
        /// On which connection.
        connection: ConnectionId,
        /// Who it is, by its certificate.
        agent: AgentId,
        /// What it says.
        message: agent::ToMaster,
    },
    /// A framework speaks.
    Framework {
        /// On which connection.
        connection: ConnectionId,
        /// Who it is, by its certificate.
        principal: String,
        /// What it asks.
        call: framework::Call,
    },
    /// A task speaks as a framework, through the agent that runs it.
    Hosted {
        /// On which connection, which is a stream of the agent's.
        connection: ConnectionId,
        /// Through which agent, by its certificate.
        agent: AgentId,
        /// Which attempt of which task, by the agent's word.
        key: TaskKey,
        /// What it asks.
        call: framework::Call,
    },
    /// Somebody has a question or an order for a framework.
    Inquiry {
        /// Where to answer.
        request: RequestId,
        /// Who asks, by the certificate.
        by: String,
        /// Which framework, by its id or its name.
        framework: String,
        /// What.
        message: Vec<u8>,
    },
    /// A connection is over, also one that was hung up by order.
    Disconnected {
        /// Which.
        connection: ConnectionId,
    },
    /// Somebody without a certificate shows a join token.
    Join {
        /// Where to answer.
        request: RequestId,
        /// The SHA-256 of the token's secret.
        secret: Digest,
        /// What the peer would like to be called.
        name: String,
    },
    /// A join token is to be made. The shell makes the secret; only its hash comes here.
    CreateToken {
        /// Where to answer.
        request: RequestId,
        /// What people call the token.
        id: String,
        /// The SHA-256 of its secret.
        secret: Digest,
        /// What it admits.
        kind: PeerKind,
        /// How often.
        uses: u32,
        /// For how long.
        ttl: Duration,
    },
    /// A person asks for something.
    Order {
        /// Where to answer.
        request: RequestId,
        /// What.
        order: operator::Request,
    },
    /// All that is durable is wanted, for a backup.
    Records {
        /// Where to answer.
        request: RequestId,
    },
    /// A blob is stored durably; also told once for each stored blob when the master starts.
    BlobStored {
        /// Its digest.
        digest: Digest,
    },
    /// Nothing waits in the shell's inbox: what has become free may be offered now.
    Idle,
    /// It is [`Master::deadline`](crate::Master::deadline), or later.
    Tick,
}
