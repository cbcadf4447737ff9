//! The conversation of an agent with one of its executors, over a Unix socket.

use crate::{
    artifact::Artifact,
    ids::{AgentId, Digest, TaskKey},
    outcome::{Checkpoint, KilledBy, Outcome, Progress, TaskMessage, Usage},
    resources::Amount,
    task::{Diagnostics, Grants, Input, Limits, Policies},
    time::Time,
};
use std::{collections::BTreeSet, path::PathBuf};

/// What an agent orders an executor to do.
#[derive(Clone, Debug, PartialEq)]
pub enum ToExecutor {
    /// Run guests. The files that they need accompany the frame as open descriptors, in the order
    /// of [`start_files`]: an executor opens none by name.
    Start {
        /// Which, each with all it needs.
        guests: Vec<StartGuest>,
    },
    /// End a guest.
    Kill {
        /// Which.
        key: TaskKey,
        /// By whose order.
        by: KilledBy,
    },
    /// Let a guest run no further, and keep its memory.
    Pause {
        /// Which.
        key: TaskKey,
    },
    /// Let a paused guest go on.
    Resume {
        /// Which.
        key: TaskKey,
    },
    /// What the batches up to this one tell is recorded: they need not be told again.
    Acknowledge {
        /// The number of a batch.
        batch: u64,
    },
    /// What the master says to a guest that is a framework.
    Tell {
        /// Which.
        key: TaskKey,
        /// An [`Event`](crate::framework::Event), encoded.
        event: Vec<u8>,
    },
    /// A guest's conversation with the master is over; its next call begins another.
    HangUp {
        /// Whose.
        key: TaskKey,
    },
    /// A message for a guest from its framework; dropped if it does not run, or has too many
    /// waiting.
    Message(TaskMessage),
    /// End all guests and the process.
    Stop,
}

/// A guest to run: everything is decided and in place, the executor only carries it out.
#[derive(Clone, Debug, PartialEq)]
pub struct StartGuest {
    /// Which attempt of which task.
    pub key: TaskKey,
    /// The agent it runs on, for the guest's context.
    pub agent: AgentId,
    /// The module's digest: executors keep loaded modules by it.
    pub module: Digest,
    /// `argv[0]`.
    pub name: String,
    /// The arguments behind it.
    pub args: Vec<String>,
    /// Its place in an array.
    pub index: Option<u64>,
    /// Its share of the processors: what it gets however much others want.
    pub cpus: Amount,
    /// The memory limit in bytes.
    pub memory_bytes: u64,
    /// The other limits.
    pub limits: Limits,
    /// What it may see of the world.
    pub grants: Grants,
    /// What lies in its own folder when it starts.
    pub inputs: Vec<Input>,
    /// What is kept if it dies of a trap.
    pub diagnostics: Diagnostics,
    /// What is done about it in trouble.
    pub policies: Policies,
    /// The state that it goes on from; empty: from the beginning.
    pub checkpoint: Vec<u8>,
    /// The task's sandbox folder. Made by the executor when the task first needs it: for `stdout`
    /// and `stderr` (files of these names) at the first byte, for `files/` if it is granted.
    pub sandbox: PathBuf,
}

impl StartGuest {
    /// The machine code that it runs.
    pub fn artifact(&self) -> Artifact {
        Artifact::of(self.module, &self.grants)
    }
}

/// A file that accompanies an order to start guests, open for reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFile {
    /// The compiled module, for all guests of it in the order.
    Artifact {
        /// Which.
        artifact: Artifact,
    },
    /// The standard input of one guest. An open file of its own, since it has a place in it.
    Stdin {
        /// Whose, by its place in the order.
        guest: usize,
        /// Which blob.
        blob: Digest,
    },
    /// The end to read of the standard input of one guest that is granted it as a stream: a pipe
    /// that does not block, in which the frames of [`crate::feed`] come.
    Stream {
        /// Whose, by its place in the order.
        guest: usize,
    },
    /// An input, for all guests in the order that have it.
    Input {
        /// Which blob.
        blob: Digest,
    },
}

/// The files that must accompany an order to start these guests, in their order: each module once,
/// and each input once, where the first guest stands that has it, and each granted standard input.
pub fn start_files(guests: &[StartGuest]) -> Vec<StartFile> {
    let (mut files, mut known) = (Vec::new(), Shared::default());
    for (guest, start) in guests.iter().enumerate() {
        files.extend(known.files_of(guest, start));
    }
    files
}

/// What guests of one order share of their files.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    artifacts: BTreeSet<Artifact>,
    inputs: BTreeSet<Digest>,
}

impl Shared {
    /// The files that a guest needs besides what those before it have.
    pub(crate) fn files_of(&mut self, guest: usize, start: &StartGuest) -> Vec<StartFile> {
        let mut files = Vec::new();
        let artifact = start.artifact();
        if self.artifacts.insert(artifact) {
            files.push(StartFile::Artifact { artifact });
        }
        files.extend(start.grants.stdin.map(|blob| StartFile::Stdin { guest, blob }));
        files.extend(start.grants.stdin_stream.then_some(StartFile::Stream { guest }));
        let blobs = start.inputs.iter().map(|input| input.digest);
        let new = blobs.filter(|blob| self.inputs.insert(*blob));
        files.extend(new.map(|blob| StartFile::Input { blob }));
        files
    }
}

/// What an executor reports to its agent.
#[derive(Clone, Debug, PartialEq)]
pub enum ToAgent {
    /// First message of each connection: it can take guests.
    Ready {
        /// Those that it has, for an agent that was started anew. Also those that have ended, as
        /// long as that is not acknowledged.
        guests: Vec<HeldGuest>,
    },
    /// Guests have executed their first instruction, made progress or ended, in order.
    Reports {
        /// Counts the batches from 1 on; each is told again on the next connection until it is
        /// acknowledged. 0: it matters only now.
        batch: u64,
        /// What happened.
        reports: Vec<Report>,
    },
    /// What a guest that is a framework says to the master.
    Say {
        /// Which.
        key: TaskKey,
        /// A [`Call`](crate::framework::Call), encoded.
        call: Vec<u8>,
    },
}

/// A guest that an executor has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldGuest {
    /// Which attempt of which task.
    pub key: TaskKey,
    /// How far it is.
    pub stage: GuestStage,
    /// Whether it is paused by order. The agent may not have heard yet that it is.
    pub paused: bool,
}

/// How far a guest is, as far as the agent is known to have recorded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestStage {
    /// It was ordered; what has happened to it since comes as reports.
    Starting,
    /// It runs.
    Running,
}

/// One thing that happened to a guest.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// It runs.
    Started {
        /// Which.
        key: TaskKey,
        /// Since when.
        at: Time,
    },
    /// It says how far it is.
    Progressed(Progress),
    /// It leaves a state to go on from.
    Checkpointed(Checkpoint),
    /// It has sent a message to its framework.
    Sent(TaskMessage),
    /// It is over; nothing of it is left in the executor.
    Ended {
        /// Which.
        key: TaskKey,
        /// Since when.
        at: Time,
        /// How it ended.
        outcome: Outcome,
        /// What it used.
        usage: Usage,
        /// The value it returned, if it did.
        result: Vec<u8>,
        /// The end of its stderr, if it did not end well.
        last_words: String,
    },
    /// It runs no further until it is resumed; its memory is kept.
    Paused {
        /// Which.
        key: TaskKey,
        /// Since when.
        at: Time,
    },
    /// It goes on.
    Resumed {
        /// Which.
        key: TaskKey,
        /// Since when.
        at: Time,
    },
}
