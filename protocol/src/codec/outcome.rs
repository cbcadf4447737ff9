//! `outcome.proto`: states, ends and updates.

use super::{
    DecodeError,
    common::{cut, sentence},
    convert::{Convert, at_most, convert_enum, known, read, required},
    wire::common::{self as wire, killed_by, outcome, task_state},
};
use crate::{
    bounds::{
        BACKTRACE_FRAMES_MAX, CHECKPOINT_BYTES_MAX, LAST_WORDS_BYTES_MAX, MESSAGE_BYTES_MAX,
        MISSING_WHY_BYTES_MAX, OUTPUTS_MAX, PROGRESS_BYTES_MAX, RESULT_BYTES_MAX,
    },
    framework::Acknowledgement,
    outcome::{
        Checkpoint, Delivered, KilledBy, LostBy, Missing, Outcome, Progress, Source, StatusUpdate,
        TaskMessage, TaskState, Trap, Usage,
    },
    task::check_guest_path,
};

impl Convert for StatusUpdate {
    type Wire = wire::StatusUpdate;

    fn to_wire(&self) -> wire::StatusUpdate {
        wire::StatusUpdate {
            key: Some(self.key.to_wire()),
            seq: self.seq,
            agent: self.agent.to_wire(),
            state: Some(self.state.to_wire()),
            source: self.source.to_wire(),
            at_micros: self.at.to_wire(),
            usage: self.usage.to_wire(),
            result: self.result.clone(),
            last_words: cut(&self.last_words, LAST_WORDS_BYTES_MAX),
            outputs: self.outputs.to_wire(),
            missing: self.missing.to_wire(),
        }
    }

    fn from_wire(wire: wire::StatusUpdate) -> Result<Self, DecodeError> {
        Ok(Self {
            key: required("key", wire.key)?,
            seq: wire.seq,
            agent: read("agent", wire.agent)?,
            state: required("state", wire.state)?,
            source: read("source", wire.source)?,
            at: read("at_micros", wire.at_micros)?,
            usage: read("usage", wire.usage)?,
            result: result("result", wire.result)?,
            last_words: cut(&wire.last_words, LAST_WORDS_BYTES_MAX),
            outputs: at_most("outputs", OUTPUTS_MAX, read("outputs", wire.outputs)?)?,
            missing: at_most("missing", OUTPUTS_MAX, read("missing", wire.missing)?)?,
        })
    }
}

impl Convert for Delivered {
    type Wire = wire::Delivered;

    fn to_wire(&self) -> wire::Delivered {
        let Self { guest, digest, size, form } = self;
        let (digest, form) = (digest.to_wire(), form.to_wire());
        wire::Delivered { guest: guest.clone(), digest, size: *size, form }
    }

    fn from_wire(wire: wire::Delivered) -> Result<Self, DecodeError> {
        let (digest, form) = (read("digest", wire.digest)?, read("form", wire.form)?);
        let wrong = |why: String| DecodeError::invalid(why).within("guest");
        check_guest_path(&wire.guest).map_err(wrong)?;
        Ok(Self { guest: wire.guest, digest, size: wire.size, form })
    }
}

impl Convert for Missing {
    type Wire = wire::Missing;

    fn to_wire(&self) -> wire::Missing {
        let Self { guest, why } = self;
        wire::Missing { guest: guest.clone(), why: cut(why, MISSING_WHY_BYTES_MAX) }
    }

    fn from_wire(wire: wire::Missing) -> Result<Self, DecodeError> {
        let wrong = |why: String| DecodeError::invalid(why).within("guest");
        check_guest_path(&wire.guest).map_err(wrong)?;
        Ok(Self::new(wire.guest, &wire.why))
    }
}

/// A value that a guest returned.
pub(super) fn result(field: &str, result: Vec<u8>) -> Result<Vec<u8>, DecodeError> {
    bounded(field, RESULT_BYTES_MAX, result)
}

/// A state that a guest goes on from.
pub(super) fn checkpoint(field: &str, bytes: Vec<u8>) -> Result<Vec<u8>, DecodeError> {
    bounded(field, CHECKPOINT_BYTES_MAX, bytes)
}

fn bounded(field: &str, max: usize, bytes: Vec<u8>) -> Result<Vec<u8>, DecodeError> {
    if bytes.len() > max {
        let why = format!("it has {} bytes, at most {max} are allowed", bytes.len());
        return Err(DecodeError::invalid(why).within(field));
    }
    Ok(bytes)
}

impl Convert for Checkpoint {
    type Wire = wire::Checkpoint;

    fn to_wire(&self) -> wire::Checkpoint {
        wire::Checkpoint { key: Some(self.key.to_wire()), bytes: self.bytes.clone() }
    }

    fn from_wire(wire: wire::Checkpoint) -> Result<Self, DecodeError> {
        Ok(Self { key: required("key", wire.key)?, bytes: checkpoint("bytes", wire.bytes)? })
    }
}

impl Convert for TaskMessage {
    type Wire = wire::TaskMessage;

    fn to_wire(&self) -> wire::TaskMessage {
        wire::TaskMessage { key: Some(self.key.to_wire()), bytes: self.bytes.clone() }
    }

    fn from_wire(wire: wire::TaskMessage) -> Result<Self, DecodeError> {
        let bytes = bounded("bytes", MESSAGE_BYTES_MAX, wire.bytes)?;
        Ok(Self { key: required("key", wire.key)?, bytes })
    }
}

impl Convert for Acknowledgement {
    type Wire = wire::Acknowledgement;

    fn to_wire(&self) -> wire::Acknowledgement {
        wire::Acknowledgement { key: Some(self.key.to_wire()), seq: self.seq }
    }

    fn from_wire(wire: wire::Acknowledgement) -> Result<Self, DecodeError> {
        Ok(Self { key: required("key", wire.key)?, seq: wire.seq })
    }
}

impl Convert for Progress {
    type Wire = wire::Progress;

    fn to_wire(&self) -> wire::Progress {
        let Self { key, done, total, message } = self;
        wire::Progress {
            key: Some(key.to_wire()),
            done: *done,
            total: *total,
            message: cut(message, PROGRESS_BYTES_MAX),
        }
    }

    fn from_wire(wire: wire::Progress) -> Result<Self, DecodeError> {
        Ok(Self {
            key: required("key", wire.key)?,
            done: wire.done,
            total: wire.total,
            message: cut(&wire.message, PROGRESS_BYTES_MAX),
        })
    }
}

impl Convert for Usage {
    type Wire = wire::Usage;

    fn to_wire(&self) -> wire::Usage {
        wire::Usage {
            fuel: self.fuel,
            wall_micros: self.wall.to_wire(),
            memory_bytes_peak: self.memory_bytes_peak,
            stdout_bytes: self.stdout_bytes,
            stderr_bytes: self.stderr_bytes,
            cpu_micros: self.cpu.to_wire(),
            compile_micros: self.compile.to_wire(),
            start_micros: self.start.to_wire(),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            run_digest: self.run_digest.to_wire(),
            restarts: self.restarts,
        }
    }

    fn from_wire(wire: wire::Usage) -> Result<Self, DecodeError> {
        Ok(Self {
            fuel: wire.fuel,
            cpu: read("cpu_micros", wire.cpu_micros)?,
            wall: read("wall_micros", wire.wall_micros)?,
            compile: read("compile_micros", wire.compile_micros)?,
            start: read("start_micros", wire.start_micros)?,
            memory_bytes_peak: wire.memory_bytes_peak,
            stdout_bytes: wire.stdout_bytes,
            stderr_bytes: wire.stderr_bytes,
            bytes_in: wire.bytes_in,
            bytes_out: wire.bytes_out,
            run_digest: read("run_digest", wire.run_digest)?,
            restarts: wire.restarts,
        })
    }
}

impl Convert for TaskState {
    type Wire = wire::TaskState;

    fn to_wire(&self) -> wire::TaskState {
        use task_state::{Kind, Paused, Running, Staging, Starting, Unreachable};
        let kind = match self {
            Self::Staging => Kind::Staging(Staging {}),
            Self::Starting => Kind::Starting(Starting {}),
            Self::Running => Kind::Running(Running {}),
            Self::Paused => Kind::Paused(Paused {}),
            Self::Unreachable => Kind::Unreachable(Unreachable {}),
            Self::Ended(outcome) => Kind::Ended(outcome.to_wire()),
        };
        wire::TaskState { kind: Some(kind) }
    }

    fn from_wire(wire: wire::TaskState) -> Result<Self, DecodeError> {
        use task_state::Kind;
        Ok(match known(wire.kind)? {
            Kind::Staging(_) => Self::Staging,
            Kind::Starting(_) => Self::Starting,
            Kind::Running(_) => Self::Running,
            Kind::Paused(_) => Self::Paused,
            Kind::Unreachable(_) => Self::Unreachable,
            Kind::Ended(outcome) => Self::Ended(read("ended", outcome)?),
        })
    }
}

impl Convert for Outcome {
    type Wire = wire::Outcome;

    fn to_wire(&self) -> wire::Outcome {
        use outcome::*;
        let kind = match self {
            Self::Exited { code } => Kind::Exited(Exited { code: *code }),
            Self::OutOfFuel { limit } => Kind::OutOfFuel(OutOfFuel { limit: *limit }),
            Self::OutOfMemory { asked, limit } => {
                Kind::OutOfMemory(OutOfMemory { asked_bytes: *asked, limit_bytes: *limit })
            }
            Self::DeadlinePassed { limit } => {
                Kind::DeadlinePassed(DeadlinePassed { limit_micros: limit.to_wire() })
            }
            Self::Trapped { trap, why, backtrace } => Kind::Trapped(Trapped {
                trap: trap.to_wire(),
                why: sentence(why),
                backtrace: frames(backtrace),
            }),
            Self::OutputLimit { limit } => Kind::OutputLimit(OutputLimit { limit_bytes: *limit }),
            Self::DiskLimit { bytes, files } => {
                Kind::DiskLimit(DiskLimit { bytes: *bytes, files: *files })
            }
            Self::HandleLimit { limit } => Kind::HandleLimit(HandleLimit { limit: *limit }),
            Self::RandomLimit { limit } => Kind::RandomLimit(RandomLimit { limit_bytes: *limit }),
            Self::Unhealthy { limit } => {
                Kind::Unhealthy(Unhealthy { limit_micros: limit.to_wire() })
            }
            Self::Killed { by } => Kind::Killed(Killed { by: Some(by.to_wire()) }),
            Self::ModuleRejected { why } => {
                Kind::ModuleRejected(ModuleRejected { why: sentence(why) })
            }
            Self::Refused { rejection } => {
                Kind::Refused(Refused { rejection: Some(rejection.to_wire()) })
            }
            Self::Failed { why } => Kind::Failed(Failed { why: sentence(why) }),
            Self::Lost { why } => Kind::Lost(Lost { why: why.to_wire() }),
        };
        wire::Outcome { kind: Some(kind) }
    }

    fn from_wire(wire: wire::Outcome) -> Result<Self, DecodeError> {
        use outcome::Kind;
        Ok(match known(wire.kind)? {
            Kind::Exited(m) => Self::Exited { code: m.code },
            Kind::OutOfFuel(m) => Self::OutOfFuel { limit: m.limit },
            Kind::OutOfMemory(m) => {
                Self::OutOfMemory { asked: m.asked_bytes, limit: m.limit_bytes }
            }
            Kind::DeadlinePassed(m) => Self::DeadlinePassed {
                limit: read("deadline_passed.limit_micros", m.limit_micros)?,
            },
            Kind::Trapped(m) => Self::Trapped {
                // The sentence still says what a newer build calls by another name.
                trap: Trap::from_wire(m.trap).unwrap_or(Trap::Other),
                why: sentence(&m.why),
                backtrace: frames(&m.backtrace),
            },
            Kind::OutputLimit(m) => Self::OutputLimit { limit: m.limit_bytes },
            Kind::DiskLimit(m) => Self::DiskLimit { bytes: m.bytes, files: m.files },
            Kind::HandleLimit(m) => Self::HandleLimit { limit: m.limit },
            Kind::RandomLimit(m) => Self::RandomLimit { limit: m.limit_bytes },
            Kind::Unhealthy(m) => {
                Self::Unhealthy { limit: read("unhealthy.limit_micros", m.limit_micros)? }
            }
            Kind::Killed(m) => Self::Killed { by: required("killed.by", m.by)? },
            Kind::ModuleRejected(m) => Self::ModuleRejected { why: sentence(&m.why) },
            Kind::Refused(m) => {
                Self::Refused { rejection: required("refused.rejection", m.rejection)? }
            }
            Kind::Failed(m) => Self::Failed { why: sentence(&m.why) },
            Kind::Lost(m) => Self::Lost { why: read("lost.why", m.why)? },
        })
    }
}

/// As many frames of a backtrace as are kept.
fn frames(backtrace: &[String]) -> Vec<String> {
    backtrace.iter().take(BACKTRACE_FRAMES_MAX).map(|frame| sentence(frame)).collect()
}

impl Convert for KilledBy {
    type Wire = wire::KilledBy;

    fn to_wire(&self) -> wire::KilledBy {
        use killed_by::*;
        let kind = match self {
            Self::Framework => Kind::Framework(Framework {}),
            Self::Operator => Kind::Operator(Operator {}),
            Self::NewerAttempt(attempt) => {
                Kind::NewerAttempt(NewerAttempt { attempt: attempt.to_wire() })
            }
            Self::FrameworkRemoved => Kind::FrameworkRemoved(FrameworkRemoved {}),
            Self::AgentStopped => Kind::AgentStopped(AgentStopped {}),
            Self::Preemption => Kind::Preemption(Preemption {}),
            Self::AgentDrained => Kind::AgentDrained(AgentDrained {}),
        };
        wire::KilledBy { kind: Some(kind) }
    }

    fn from_wire(wire: wire::KilledBy) -> Result<Self, DecodeError> {
        use killed_by::Kind;
        Ok(match known(wire.kind)? {
            Kind::Framework(_) => Self::Framework,
            Kind::Operator(_) => Self::Operator,
            Kind::NewerAttempt(m) => Self::NewerAttempt(read("newer_attempt.attempt", m.attempt)?),
            Kind::FrameworkRemoved(_) => Self::FrameworkRemoved,
            Kind::AgentStopped(_) => Self::AgentStopped,
            Kind::Preemption(_) => Self::Preemption,
            Kind::AgentDrained(_) => Self::AgentDrained,
        })
    }
}

convert_enum!(Source, wire::Source { Master, Agent, Executor });
convert_enum!(
    LostBy,
    wire::LostBy { AgentLost, NodeRebooted, ExecutorEnded, UnknownToAgent, Unknown, AgentGone }
);
convert_enum!(
    Trap,
    wire::Trap {
        Unreachable,
        MemoryOutOfBounds,
        TableOutOfBounds,
        IndirectCallToNull,
        BadSignature,
        IntegerOverflow,
        IntegerDivisionByZero,
        BadConversionToInteger,
        StackOverflow,
        HostCall,
        Other,
    }
);
