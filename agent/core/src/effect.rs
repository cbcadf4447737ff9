//! Everything an agent's core can have done.

use crate::{
    cache::CacheFile,
    profile::{ExecutorKey, ExecutorRun},
    record::Record,
};
use skep_protocol::{
    Artifact, Digest, Rejection, TaskKey,
    agent::{self, Volume},
    executor,
    task::Output,
};
use std::fmt;

/// One thing for the shell to do, in the order given.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A barrier: on the disk before any later effect, of this or a later input, is carried out.
    /// Only orders to executors may overtake some: [`Overtaking`](crate::Overtaking) tells which.
    Persist(Record),
    /// Tells the master. In a `Beat`, `unsaved_millis` is 0: the shell knows it and fills it in.
    SendMaster(agent::ToMaster),
    /// Brings a blob to the disk; answered by `BlobReady` or `BlobFailed`.
    FetchBlob {
        /// Which.
        digest: Digest,
    },
    /// Makes the artifact of a module that is on the disk; answered by `Compiled` or
    /// `CompileFailed`.
    Compile {
        /// Which.
        artifact: Artifact,
    },
    /// Removes a file of the cache that no task needs.
    Discard {
        /// Which.
        file: CacheFile,
    },
    /// Starts an executor; answered by `ExecutorReady` or `ExecutorEnded`.
    StartExecutor {
        /// Which.
        executor: ExecutorKey,
        /// What its files are called by.
        run: ExecutorRun,
    },
    /// Dials an executor that an earlier run of the agent started; answered by `ExecutorReady` or
    /// `ExecutorGone`.
    AdoptExecutor {
        /// Which.
        executor: ExecutorKey,
        /// What its files are called by.
        run: ExecutorRun,
    },
    /// Removes what tells later runs of the agent that an executor once took guests.
    ForgetExecutor {
        /// Which process.
        run: ExecutorRun,
    },
    /// Tells an executor.
    SendExecutor {
        /// Which.
        executor: ExecutorKey,
        /// What.
        message: executor::ToExecutor,
    },
    /// Ends an executor and all in it; answered by `ExecutorEnded`.
    StopExecutor {
        /// Which.
        executor: ExecutorKey,
    },
    /// Stores outputs of a task at the master: what lies in its sandbox under these names;
    /// answered by `Delivered`.
    Deliver {
        /// Whose.
        key: TaskKey,
        /// Which.
        outputs: Vec<Output>,
    },
    /// Removes the sandbox of an attempt that has ended. It may never have been made.
    RemoveSandbox {
        /// Whose.
        key: TaskKey,
    },
    /// Makes the folder of a volume, if it is not there.
    MakeVolume {
        /// Which.
        volume: Volume,
    },
    /// Removes the folder of a volume with all that is in it.
    RemoveVolume {
        /// Which.
        volume: Volume,
    },
    /// Drops the connection to the master and dials it again, after a while.
    Reconnect,
    /// Ends the agent's process. Nothing follows.
    Exit {
        /// Why.
        why: ExitReason,
    },
}

impl Effect {
    /// If it passes on messages between tasks and their frameworks, about how many bytes that
    /// takes. Such an effect may be dropped.
    pub fn message_bytes(&self) -> Option<usize> {
        match self {
            Self::SendMaster(message) => message.message_bytes(),
            Self::SendExecutor { message, .. } => message.message_bytes(),
            _ => None,
        }
    }
}

/// Why an agent ends its own process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// It was told to stop, and its tasks have ended.
    Stopped,
    /// The master will never admit it as it is.
    Refused {
        /// Why, and what to do.
        rejection: Rejection,
    },
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped by order"),
            Self::Refused { rejection } => write!(f, "the master refuses this agent: {rejection}"),
        }
    }
}
