//! States of a task and the ways it can end, each with its reason and its source.
//!
//! ```text
//! Staging -> Starting -> Running -> Ended(outcome)
//!    |           |        |  ^ Paused, and on
//!    +-----------+----------+--> Unreachable -> (back to where it was) or Ended(Lost)
//! ```
//! Names follow Mesos (`mesos.proto`, TaskState) where it has one.

use crate::{
    ids::{AgentId, Attempt, Digest, TaskKey},
    rejection::Rejection,
    task::Form,
    time::Time,
};
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// Where a task stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// The master has sent it to its agent, or the agent holds it in a queue.
    Staging,
    /// The agent prepares it: module, executor, sandbox.
    Starting,
    /// The guest runs.
    Running,
    /// The guest has started and is paused: regular tasks need what it was lent.
    Paused,
    /// Its agent is not heard of; the task may well go on there.
    Unreachable,
    /// It is over, in this attempt, for good.
    Ended(Outcome),
}

impl TaskState {
    /// Whether nothing can follow.
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Self::Ended(_))
    }

    /// The state in Mesos's words, in capitals.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Staging => "STAGING",
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Unreachable => "UNREACHABLE",
            Self::Ended(outcome) => outcome.state_name(),
        }
    }
}

/// How an attempt of a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The guest ended by itself.
    Exited {
        /// Its exit code; 0 is success.
        code: i32,
    },
    /// It used up its fuel.
    OutOfFuel {
        /// The limit, in units of fuel.
        limit: u64,
    },
    /// It asked for more memory than its limit, and then died of whatever followed.
    OutOfMemory {
        /// Bytes it would have had.
        asked: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Its wall-clock time was over.
    DeadlinePassed {
        /// The limit.
        limit: Duration,
    },
    /// It did what Wasm forbids.
    Trapped {
        /// Which of the traps.
        trap: Trap,
        /// One sentence.
        why: String,
        /// The guest's own frames, innermost first.
        backtrace: Vec<String>,
    },
    /// It wrote more to stdout and stderr than it may.
    OutputLimit {
        /// The limit in bytes.
        limit: u64,
    },
    /// It was refused room for its files, and then died of whatever followed.
    DiskLimit {
        /// Bytes that its files may have together.
        bytes: u64,
        /// Files, directories and links that it may have.
        files: u64,
    },
    /// It was refused another open file, and then died of whatever followed.
    HandleLimit {
        /// How much it may have open at once.
        limit: u32,
    },
    /// It drew more random bytes than it may.
    RandomLimit {
        /// The limit in bytes.
        limit: u64,
    },
    /// It gave no sign of life for longer than it may.
    Unhealthy {
        /// The longest time between two.
        limit: Duration,
    },
    /// It was ended by order.
    Killed {
        /// Whose order.
        by: KilledBy,
    },
    /// Its module is no module, too large, or needs what is not granted. It never ran.
    ModuleRejected {
        /// What is wrong with it and what to do.
        why: String,
    },
    /// It was refused before it could start.
    Refused {
        /// Why.
        rejection: Rejection,
    },
    /// It could not be started, or its executor failed it; not the guest's fault.
    Failed {
        /// What went wrong.
        why: String,
    },
    /// It is not known what became of it.
    Lost {
        /// How that came about.
        why: LostBy,
    },
}

impl Outcome {
    /// Whether the guest ended by itself with exit code 0.
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Exited { code: 0 })
    }

    /// The terminal state in Mesos's words.
    pub const fn state_name(&self) -> &'static str {
        match self {
            Self::Exited { code: 0 } => "FINISHED",
            Self::Killed { .. } => "KILLED",
            Self::ModuleRejected { .. } => "ERROR",
            Self::Refused { .. } => "DROPPED",
            Self::Lost { .. } => "LOST",
            _ => "FAILED",
        }
    }

    /// A short word for tables and metrics, of the enum's own name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Exited { .. } => "exited",
            Self::OutOfFuel { .. } => "out_of_fuel",
            Self::OutOfMemory { .. } => "out_of_memory",
            Self::DeadlinePassed { .. } => "deadline_passed",
            Self::Trapped { .. } => "trapped",
            Self::OutputLimit { .. } => "output_limit",
            Self::DiskLimit { .. } => "disk_limit",
            Self::HandleLimit { .. } => "handle_limit",
            Self::RandomLimit { .. } => "random_limit",
            Self::Unhealthy { .. } => "unhealthy",
            Self::Killed { .. } => "killed",
            Self::ModuleRejected { .. } => "module_rejected",
            Self::Refused { .. } => "refused",
            Self::Failed { .. } => "failed",
            Self::Lost { .. } => "lost",
        }
    }
}

impl fmt::Display for Outcome {
    /// One sentence for people: what happened and, where there is one, the limit to raise.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited { code } => write!(f, "exited with code {code}"),
            Self::OutOfFuel { limit } => write!(f, "out of fuel: it used up its {limit} units"),
            Self::OutOfMemory { asked, limit } => {
                write!(f, "out of memory: it asked for {asked} bytes, its limit is {limit} bytes")
            }
            Self::DeadlinePassed { limit } => {
                write!(f, "deadline passed: it ran for longer than {} s", limit.as_secs_f64())
            }
            Self::Trapped { why, .. } => write!(f, "trapped: {why}"),
            Self::OutputLimit { limit } => {
                write!(f, "output limit: it wrote more than {limit} bytes")
            }
            Self::DiskLimit { bytes, files } => write!(
                f,
                "disk limit: its folder may hold {bytes} bytes in {files} files and directories"
            ),
            Self::HandleLimit { limit } => {
                write!(f, "handle limit: it may have {limit} files open at once")
            }
            Self::RandomLimit { limit } => {
                write!(f, "random limit: it drew more than {limit} random bytes")
            }
            Self::Unhealthy { limit } => {
                write!(f, "unhealthy: it gave no sign of life for {} s", limit.as_secs_f64())
            }
            Self::Killed { by } => write!(f, "killed by {by}"),
            Self::ModuleRejected { why } => write!(f, "module rejected: {why}"),
            Self::Refused { rejection } => write!(f, "refused: {rejection}"),
            Self::Failed { why } => write!(f, "failed: {why}"),
            Self::Lost { why } => write!(f, "lost: {why}"),
        }
    }
}

/// The traps of WebAssembly, as far as a guest without shared memory can meet them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they are named after the Wasm specification's trap messages")]
pub enum Trap {
    Unreachable,
    MemoryOutOfBounds,
    TableOutOfBounds,
    IndirectCallToNull,
    BadSignature,
    IntegerOverflow,
    IntegerDivisionByZero,
    BadConversionToInteger,
    StackOverflow,
    /// A host call was made in a way the interface forbids.
    HostCall,
    /// Any other.
    Other,
}

/// Who had a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KilledBy {
    /// Its framework.
    Framework,
    /// An operator.
    Operator,
    /// A later attempt of the same task, which replaces it.
    NewerAttempt(Attempt),
    /// The removal of its framework.
    FrameworkRemoved,
    /// The orderly stop of its agent.
    AgentStopped,
    /// Regular tasks, which needed what it was lent and could not be given by a pause.
    Preemption,
    /// The draining of its agent, by order or for maintenance.
    AgentDrained,
}

impl fmt::Display for KilledBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Framework => f.write_str("its framework"),
            Self::Operator => f.write_str("an operator"),
            Self::NewerAttempt(attempt) => write!(f, "its newer attempt {attempt}"),
            Self::FrameworkRemoved => f.write_str("the removal of its framework"),
            Self::AgentStopped => f.write_str("the stop of its agent"),
            Self::Preemption => f.write_str("preemption: regular tasks needed what it was lent"),
            Self::AgentDrained => f.write_str("the draining of its agent"),
        }
    }
}

/// How a task got lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostBy {
    /// Its agent was not heard of for too long.
    AgentLost,
    /// Its node was started anew, and its executor's process ended with all others.
    NodeRebooted,
    /// Its executor's process ended under it.
    ExecutorEnded,
    /// Its agent is there and does not know it.
    UnknownToAgent,
    /// Nobody knows it.
    Unknown,
    /// An operator said that its agent never comes back.
    AgentGone,
}

impl fmt::Display for LostBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AgentLost => "its agent was not heard of for too long",
            Self::NodeRebooted => "its node was started anew",
            Self::ExecutorEnded => "its executor's process ended",
            Self::UnknownToAgent => "its agent does not know it",
            Self::Unknown => "nobody knows it",
            Self::AgentGone => "its agent was declared gone",
        })
    }
}

/// Who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the three processes of the glossary")]
pub enum Source {
    Master,
    Agent,
    Executor,
}

/// What an attempt of a task used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Units of fuel.
    #[serde(skip_serializing_if = "is_default")]
    pub fuel: u64,
    /// Processor time, of the guest and of the host calls that it made.
    #[serde(skip_serializing_if = "is_default")]
    pub cpu: Duration,
    /// Wall-clock time from the guest's first instruction to its end.
    #[serde(skip_serializing_if = "is_default")]
    pub wall: Duration,
    /// How long it waited for its module to be compiled; zero if that was done before.
    #[serde(skip_serializing_if = "is_default")]
    pub compile: Duration,
    /// From the order to its executor to its first instruction.
    #[serde(skip_serializing_if = "is_default")]
    pub start: Duration,
    /// The most memory it held at once, in bytes.
    #[serde(skip_serializing_if = "is_default")]
    pub memory_bytes_peak: u64,
    /// Bytes written to stdout.
    #[serde(skip_serializing_if = "is_default")]
    pub stdout_bytes: u64,
    /// Bytes written to stderr.
    #[serde(skip_serializing_if = "is_default")]
    pub stderr_bytes: u64,
    /// Bytes read from its standard input, files and peers.
    #[serde(skip_serializing_if = "is_default")]
    pub bytes_in: u64,
    /// Bytes written to its standard output and error, files and peers.
    #[serde(skip_serializing_if = "is_default")]
    pub bytes_out: u64,
    /// Of a deterministic run: a digest over engine, module, arguments, inputs as they were read,
    /// outputs, exit and fuel. Two runs with the same digest were the same run.
    #[serde(skip_serializing_if = "is_default")]
    pub run_digest: Option<Digest>,
    /// How often it was started again within the attempt. Fuel, time and bytes are of all runs
    /// together, the time waited between them left out.
    #[serde(skip_serializing_if = "is_default")]
    pub restarts: u32,
}

/// Records are written by the ten thousand a second, so they leave out what says nothing.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A change of a task's state, on its way from where it happened to its framework.
///
/// Updates of one attempt are numbered from 1 and arrive in order, at least once, until they are
/// acknowledged; an acknowledgement covers all numbers up to its own. `seq` 0 marks what the
/// master itself says (an answer to a reconciliation, an agent out of reach): sent once, and not
/// to be acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusUpdate {
    /// Which attempt of which task.
    pub key: TaskKey,
    /// Its number, or 0.
    pub seq: u64,
    /// The agent it ran or was to run on, if any.
    pub agent: Option<AgentId>,
    /// The new state.
    pub state: TaskState,
    /// Who says so.
    pub source: Source,
    /// When it happened, by the clock of who says so.
    pub at: Time,
    /// What it used, once it has ended after running.
    pub usage: Option<Usage>,
    /// The value that the guest returned, if it did and ended well.
    #[serde(with = "hex::serde", default, skip_serializing_if = "Vec::is_empty")]
    pub result: Vec<u8>,
    /// The end of its stderr, if it did not end well: at most
    /// [`LAST_WORDS_BYTES_MAX`](crate::bounds::LAST_WORDS_BYTES_MAX) bytes of text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_words: String,
    /// The outputs of its spec that are stored at the master, once it has ended after running.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Delivered>,
    /// The outputs of its spec that are not. Agents of 0.1 leave it empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
}

/// An output of a task that is not stored at the master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// What its spec calls it.
    pub guest: String,
    /// One sentence, of at most [`MISSING_WHY_BYTES_MAX`](crate::bounds::MISSING_WHY_BYTES_MAX)
    /// bytes.
    pub why: String,
}

impl Missing {
    /// An output that is not to be had.
    pub fn new(guest: impl Into<String>, why: &str) -> Self {
        let bytes_max = crate::bounds::MISSING_WHY_BYTES_MAX;
        Self { guest: guest.into(), why: why[..why.floor_char_boundary(bytes_max)].into() }
    }
}

/// An output of a task that is stored at the master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// What its spec calls it.
    pub guest: String,
    /// The blob.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What its bytes are.
    #[serde(default, skip_serializing_if = "Form::is_file")]
    pub form: Form,
}

/// The state that a guest would go on from. Of one task the latest one counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Which attempt of which task.
    pub key: TaskKey,
    /// At most [`CHECKPOINT_BYTES_MAX`](crate::bounds::CHECKPOINT_BYTES_MAX).
    #[serde(with = "hex::serde")]
    pub bytes: Vec<u8>,
}

/// What a task and its framework say to each other, in either direction. Not durable, not
/// acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskMessage {
    /// Which attempt of which task.
    pub key: TaskKey,
    /// At most [`MESSAGE_BYTES_MAX`](crate::bounds::MESSAGE_BYTES_MAX).
    pub bytes: Vec<u8>,
}

/// How far a running guest says it is. Not durable, not acknowledged; the latest one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which attempt of which task.
    pub key: TaskKey,
    /// Steps done.
    pub done: u64,
    /// Steps in all, or 0 if not known.
    pub total: u64,
    /// A few words.
    pub message: String,
}
