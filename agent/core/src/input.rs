//! Everything that can happen to an agent.

use crate::cache::CacheFile;
use crate::profile::ExecutorKey;
use skep_protocol::{
    Artifact, Digest, Rejection, TaskKey, agent,
    executor::{HeldGuest, Report},
    outcome::{Delivered, Missing},
};

/// One thing that happened, told to [`crate::Agent::handle`].
///
/// What an earlier run left on the disk is told the same way: right after
/// [`crate::Agent::recover`] the shell lists its folders and feeds [`Input::BlobReady`],
/// [`Input::Compiled`] and [`Input::SandboxKept`] for what it finds. The disk is the truth about
/// files, so none of that is recorded a second time.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A new connection to the master is up: the agent registers again.
    Connected,
    /// The connection to the master is gone.
    Disconnected,
    /// The master says something.
    Master(agent::ToAgent),
    /// A module, standard input or input is on the disk, and its digest is right.
    BlobReady {
        /// Which.
        digest: Digest,
    },
    /// A module, standard input or input could not be fetched.
    BlobFailed {
        /// Which.
        digest: Digest,
        /// Why.
        why: FetchFailure,
    },
    /// An artifact is on the disk.
    Compiled {
        /// Which.
        artifact: Artifact,
    },
    /// A file lies in the cache, told before it is said to be ready; at the start all that are
    /// there, the one that was changed longest ago first.
    Kept {
        /// Which.
        file: CacheFile,
        /// What it takes.
        bytes: u64,
    },
    /// An artifact could not be made.
    CompileFailed {
        /// Which.
        artifact: Artifact,
        /// Why.
        why: CompileFailure,
    },
    /// An executor can take guests.
    ExecutorReady {
        /// Which.
        executor: ExecutorKey,
        /// Those that it has, if an earlier run of the agent started it.
        guests: Vec<HeldGuest>,
    },
    /// An executor says what happened to its guests.
    Reports {
        /// Which.
        executor: ExecutorKey,
        /// The number to acknowledge, once what follows from this is recorded; 0: none.
        batch: u64,
        /// What happened.
        reports: Vec<Report>,
    },
    /// An executor of an earlier run of the agent is not there.
    ExecutorGone {
        /// Which.
        executor: ExecutorKey,
        /// What is known of it.
        how: Gone,
    },
    /// An executor has ended, or could not be started.
    ExecutorEnded {
        /// Which.
        executor: ExecutorKey,
        /// How, in a sentence.
        why: String,
    },
    /// What became of the outputs of a task that were to be stored at the master. Each that was
    /// asked for is one of these.
    Delivered {
        /// Whose.
        key: TaskKey,
        /// Those that are stored.
        outputs: Vec<Delivered>,
        /// Those that the task has not left, or that cannot be delivered, however often it is
        /// tried.
        missing: Vec<Missing>,
        /// Those of which the transfer broke, or that the master did not take: worth another try.
        broken: Vec<Missing>,
    },
    /// An earlier run of the agent left this sandbox. Told oldest first.
    SandboxKept {
        /// Whose sandbox.
        key: TaskKey,
    },
    /// The time of [`crate::Agent::deadline`] has come.
    Tick,
    /// The agent shall stop: kill all tasks, report that, then exit.
    Stop,
}

/// What is known of an executor that is not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It never came so far as to take a guest.
    Unready,
    /// It may have had guests, and has ended.
    Ended,
    /// The machine was started anew since.
    Rebooted,
}

impl Input {
    /// Whether it tells what lies on the disk, see [`Input`].
    pub(crate) const fn is_found(&self) -> bool {
        matches!(
            self,
            Self::BlobReady { .. }
                | Self::Compiled { .. }
                | Self::Kept { .. }
                | Self::SandboxKept { .. }
        )
    }
}

/// Why a blob could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchFailure {
    /// The master will not send it, however often it is asked: it does not have it.
    Refused {
        /// Its words.
        rejection: Rejection,
    },
    /// The transfer broke or the bytes were wrong. Worth another try.
    Failed {
        /// What happened.
        why: String,
    },
}

/// Why a module has no artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompileFailure {
    /// The module's own fault: remembered while this run of the agent lasts, never tried again.
    Rejected {
        /// What is wrong with it.
        why: String,
    },
    /// Ours: the compiler died or the disk is full. The next task that needs it tries again.
    Failed {
        /// What happened.
        why: String,
    },
}
