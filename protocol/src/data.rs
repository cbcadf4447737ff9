//! Requests that move bytes or names rather than decisions: joining, blobs, logs.
//!
//! Each request has a bidirectional stream of its own: one request frame, then answers. Bytes
//! travel on a unidirectional stream that opens with a [`StreamHeader`].

use crate::{
    ids::{AgentId, Attempt, Digest, FrameworkId, TaskId, TaskKey},
    rejection::Rejection,
};

/// What a peer asks for on a stream of its own. Views and orders of people: [`crate::operator`].
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Asks for a certificate; the one request that needs none. Answered by [`Response::Joined`].
    Join {
        /// The secret part of a join token.
        secret: Vec<u8>,
        /// A certificate signing request, DER. Only its key is used: the master sets the names.
        csr: Vec<u8>,
        /// What the peer would like to be called, for people.
        name: String,
    },
    /// Wants to store a blob: [`Response::Send`], then [`Response::Stored`]; or at once the latter.
    PutBlob {
        /// Its digest.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// Wants a blob: [`Response::Sending`], and the bytes on a unidirectional stream.
    FetchBlob {
        /// Its digest.
        digest: Digest,
    },
    /// Wants what a task wrote: [`Response::Sending`], and the bytes on a unidirectional stream.
    ReadLog {
        /// Which attempt of which task.
        key: TaskKey,
        /// What of it.
        stream: LogStream,
        /// From which byte on.
        offset: u64,
        /// How long to stay.
        follow: Follow,
        /// Chosen by who asks, to tell the streams that answer apart.
        stream_id: u64,
    },
    /// Wants what many tasks of one framework wrote on one agent, as far as it is there now:
    /// [`Response::Sending`], and [`OutputPiece`]s on a unidirectional stream, a frame each, in the
    /// order of the tasks.
    ReadOutputs {
        /// Where the tasks ran.
        agent: AgentId,
        /// Whose they are.
        framework: FrameworkId,
        /// Which, at most [`OUTPUT_TASKS_MAX`](crate::bounds::OUTPUT_TASKS_MAX).
        tasks: Vec<(TaskId, Attempt)>,
        /// Chosen by who asks, to tell the streams that answer apart.
        stream_id: u64,
    },
    /// Wants a copy of all that the master must not lose, its authority's private key included:
    /// [`Response::Sending`], and the bytes on a unidirectional stream, as of a log.
    Backup {
        /// Whether it holds the blobs, too.
        blobs: bool,
        /// Chosen by who asks, to tell the streams that answer apart.
        stream_id: u64,
    },
    /// From an agent: a task there speaks as a framework. Answered by [`Response::Hosted`]; then
    /// [`Call`](crate::framework::Call)s follow one way and [`Event`](crate::framework::Event)s
    /// the other.
    Host {
        /// Which attempt of which task.
        key: TaskKey,
    },
    /// From a framework, or from the master to an agent: the standard input of a task that is
    /// granted one as a stream. Answered by [`Response::Send`]; then its bytes follow on the same
    /// stream, and [`Response::Fed`] answers them.
    Feed {
        /// Which attempt of which task.
        key: TaskKey,
    },
    /// A request of a person: see [`crate::operator`].
    Operator(crate::operator::Request),
}

/// A part of the answer to [`Request::ReadOutputs`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputPiece {
    /// Which of the tasks that were asked for, from 0 on.
    pub task: u32,
    /// What of it.
    pub part: OutputPart,
}

/// What a piece of a task's output holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputPart {
    /// Bytes of stdout, after those of the pieces before.
    Stdout(Vec<u8>),
    /// Bytes of stderr, after those of the pieces before.
    Stderr(Vec<u8>),
    /// That was all of the task.
    Complete,
    /// The rest of the task cannot be read.
    Unreadable {
        /// Why.
        why: String,
    },
}

/// What a task leaves to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the two of every process")]
pub enum LogStream {
    Stdout,
    Stderr,
    /// Its core dump: nothing if it left none.
    Core,
}

/// Until when a log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// To what is there now.
    No,
    /// To the end of the task.
    UntilEnded,
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// The peer is admitted.
    Joined {
        /// Its certificate, DER.
        certificate: Vec<u8>,
        /// The cluster's authority, DER.
        authority: Vec<u8>,
    },
    /// The blob is not there, or a standard input can be taken: send it.
    Send,
    /// The blob is there and its digest is right.
    Stored,
    /// The bytes come on a stream of their own.
    Sending {
        /// How many, if that is known.
        size: Option<u64>,
    },
    /// The task may speak.
    Hosted,
    /// All of a standard input was taken, or the task reads no more of it.
    Fed,
    /// What a person asked for.
    Operator(crate::operator::Response),
    /// It was not done.
    Refused {
        /// Why.
        rejection: Rejection,
    },
}

/// The first frame of a unidirectional stream: what its bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamHeader {
    /// A blob.
    Blob {
        /// Its digest.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// What a task wrote, or a backup.
    Log {
        /// The `stream_id` of the request it answers.
        stream_id: u64,
    },
}
