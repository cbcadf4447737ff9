//! `executor.proto`: what an agent and its executors say to each other.
//!
//! A guest's order names what it requires, as a spec does: an executor may be of an older build
//! than the agent that dials it again, and then takes no order that it could not enforce.

use super::{
    DecodeError,
    common::cut,
    convert::{Convert, at_most, convert_enum, known, or_default, read, required},
    outcome::{checkpoint, result},
    task::{features, names, undeclared},
    wire::executor::{self as wire, held_guest, report, to_agent, to_executor},
};
use crate::{
    bounds::{INPUTS_MAX, LAST_WORDS_BYTES_MAX, START_FILES_MAX},
    executor::{GuestStage, HeldGuest, Report, StartGuest, ToAgent, ToExecutor, start_files},
    outcome::{Checkpoint, Progress, TaskMessage},
    resources::Amount,
    task::Feature,
};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

impl Convert for ToExecutor {
    type Wire = wire::ToExecutor;

    fn to_wire(&self) -> wire::ToExecutor {
        use to_executor::{Acknowledge, HangUp, Kill, Kind, Pause, Resume, Start, Stop, Tell};
        let kind = match self {
            Self::Start { guests } => Kind::Start(Start { guests: guests.to_wire() }),
            Self::Kill { key, by } => {
                Kind::Kill(Kill { key: Some(key.to_wire()), by: Some(by.to_wire()) })
            }
            Self::Pause { key } => Kind::Pause(Pause { key: Some(key.to_wire()) }),
            Self::Resume { key } => Kind::Resume(Resume { key: Some(key.to_wire()) }),
            Self::Acknowledge { batch } => Kind::Acknowledge(Acknowledge { batch: *batch }),
            Self::Tell { key, event } => {
                Kind::Tell(Tell { key: Some(key.to_wire()), event: event.clone() })
            }
            Self::HangUp { key } => Kind::HangUp(HangUp { key: Some(key.to_wire()) }),
            Self::Message(message) => Kind::Message(TaskMessage::to_wire(message)),
            Self::Stop => Kind::Stop(Stop {}),
        };
        wire::ToExecutor { kind: Some(kind) }
    }

    fn from_wire(wire: wire::ToExecutor) -> Result<Self, DecodeError> {
        use to_executor::Kind;
        Ok(match known(wire.kind)? {
            Kind::Start(m) => Self::Start { guests: guests(read("start.guests", m.guests)?)? },
            Kind::Kill(m) => {
                Self::Kill { key: required("kill.key", m.key)?, by: required("kill.by", m.by)? }
            }
            Kind::Pause(m) => Self::Pause { key: required("pause.key", m.key)? },
            Kind::Resume(m) => Self::Resume { key: required("resume.key", m.key)? },
            Kind::Acknowledge(m) => Self::Acknowledge { batch: m.batch },
            Kind::Tell(m) => Self::Tell { key: required("tell.key", m.key)?, event: m.event },
            Kind::HangUp(m) => Self::HangUp { key: required("hang_up.key", m.key)? },
            Kind::Message(m) => Self::Message(read("message", m)?),
            Kind::Stop(_) => Self::Stop,
        })
    }
}

fn guests(guests: Vec<StartGuest>) -> Result<Vec<StartGuest>, DecodeError> {
    let files = start_files(&guests).len();
    if files > START_FILES_MAX {
        let why =
            format!("the guests need {files} files, at most {START_FILES_MAX} can come along");
        return Err(DecodeError::invalid(why));
    }
    Ok(guests)
}

impl Convert for StartGuest {
    type Wire = wire::StartGuest;

    fn to_wire(&self) -> wire::StartGuest {
        wire::StartGuest {
            key: Some(self.key.to_wire()),
            requires: names(&used(self)),
            agent: self.agent.to_wire(),
            module: self.module.to_wire(),
            name: self.name.clone(),
            args: self.args.clone(),
            index: self.index,
            memory_bytes: self.memory_bytes,
            limits: Some(self.limits.to_wire()),
            grants: Some(self.grants.to_wire()),
            sandbox: self.sandbox.to_wire(),
            cpus_millis: self.cpus.as_millis(),
            diagnostics: self.diagnostics.to_wire(),
            policies: (!self.policies.is_none()).then(|| self.policies.to_wire()),
            checkpoint: self.checkpoint.clone(),
            inputs: self.inputs.to_wire(),
        }
    }

    fn from_wire(wire: wire::StartGuest) -> Result<Self, DecodeError> {
        let declared = features(&wire.requires).map_err(DecodeError::invalid)?;
        let guest = Self {
            key: required("key", wire.key)?,
            agent: read("agent", wire.agent)?,
            module: read("module", wire.module)?,
            name: wire.name,
            args: wire.args,
            index: wire.index,
            cpus: Amount::millis(wire.cpus_millis),
            memory_bytes: wire.memory_bytes,
            limits: or_default("limits", wire.limits)?,
            grants: or_default("grants", wire.grants)?,
            inputs: at_most("inputs", INPUTS_MAX, read("inputs", wire.inputs)?)?,
            diagnostics: read("diagnostics", wire.diagnostics)?,
            policies: or_default("policies", wire.policies)?,
            checkpoint: checkpoint("checkpoint", wire.checkpoint)?,
            sandbox: read("sandbox", wire.sandbox)?,
        };
        undeclared(&used(&guest), &declared).map_err(DecodeError::invalid)?;
        Ok(guest)
    }
}

fn used(guest: &StartGuest) -> BTreeSet<Feature> {
    let mut used = Feature::used_by(&guest.limits, &guest.grants, guest.diagnostics);
    used.extend(Feature::of_policies(&guest.policies, &guest.checkpoint));
    used.extend(Feature::of_files(&guest.inputs, &[]));
    used
}

impl Convert for PathBuf {
    type Wire = Vec<u8>;

    fn to_wire(&self) -> Vec<u8> {
        self.as_os_str().as_bytes().to_vec()
    }

    fn from_wire(wire: Vec<u8>) -> Result<Self, DecodeError> {
        if wire.is_empty() || wire.contains(&0) {
            return Err(DecodeError::invalid("a path is not empty and has no NUL"));
        }
        Ok(OsString::from_vec(wire).into())
    }
}

impl Convert for ToAgent {
    type Wire = wire::ToAgent;

    fn to_wire(&self) -> wire::ToAgent {
        use to_agent::{Kind, Ready, Reports, Say};
        let kind = match self {
            Self::Ready { guests } => Kind::Ready(Ready { guests: guests.to_wire() }),
            Self::Reports { batch, reports } => {
                Kind::Reports(Reports { reports: reports.to_wire(), batch: *batch })
            }
            Self::Say { key, call } => {
                Kind::Say(Say { key: Some(key.to_wire()), call: call.clone() })
            }
        };
        wire::ToAgent { kind: Some(kind) }
    }

    fn from_wire(wire: wire::ToAgent) -> Result<Self, DecodeError> {
        use to_agent::Kind;
        Ok(match known(wire.kind)? {
            Kind::Ready(m) => Self::Ready { guests: read("ready.guests", m.guests)? },
            Kind::Reports(m) => {
                Self::Reports { batch: m.batch, reports: read("reports.reports", m.reports)? }
            }
            Kind::Say(m) => Self::Say { key: required("say.key", m.key)?, call: m.call },
        })
    }
}

impl Convert for HeldGuest {
    type Wire = wire::HeldGuest;

    fn to_wire(&self) -> wire::HeldGuest {
        let (key, stage) = (Some(self.key.to_wire()), self.stage.to_wire());
        wire::HeldGuest { key, stage, paused: self.paused }
    }

    fn from_wire(wire: wire::HeldGuest) -> Result<Self, DecodeError> {
        let (key, stage) = (required("key", wire.key)?, read("stage", wire.stage)?);
        Ok(Self { key, stage, paused: wire.paused })
    }
}

convert_enum!(GuestStage, held_guest::Stage { Starting, Running });

impl Convert for Report {
    type Wire = wire::Report;

    fn to_wire(&self) -> wire::Report {
        use report::{Ended, Kind, Paused, Resumed, Started};
        let kind = match self {
            Self::Started { key, at } => {
                Kind::Started(Started { key: Some(key.to_wire()), at_micros: at.to_wire() })
            }
            Self::Progressed(progress) => Kind::Progressed(Progress::to_wire(progress)),
            Self::Checkpointed(checkpoint) => Kind::Checkpointed(Checkpoint::to_wire(checkpoint)),
            Self::Sent(message) => Kind::Sent(TaskMessage::to_wire(message)),
            Self::Ended { key, at, outcome, usage, result, last_words } => Kind::Ended(Ended {
                key: Some(key.to_wire()),
                at_micros: at.to_wire(),
                outcome: Some(outcome.to_wire()),
                usage: Some(usage.to_wire()),
                result: result.clone(),
                last_words: cut(last_words, LAST_WORDS_BYTES_MAX),
            }),
            Self::Paused { key, at } => {
                Kind::Paused(Paused { key: Some(key.to_wire()), at_micros: at.to_wire() })
            }
            Self::Resumed { key, at } => {
                Kind::Resumed(Resumed { key: Some(key.to_wire()), at_micros: at.to_wire() })
            }
        };
        wire::Report { kind: Some(kind) }
    }

    fn from_wire(wire: wire::Report) -> Result<Self, DecodeError> {
        use report::Kind;
        Ok(match known(wire.kind)? {
            Kind::Started(m) => Self::Started {
                key: required("started.key", m.key)?,
                at: read("started.at_micros", m.at_micros)?,
            },
            Kind::Progressed(m) => Self::Progressed(read("progressed", m)?),
            Kind::Checkpointed(m) => Self::Checkpointed(read("checkpointed", m)?),
            Kind::Sent(m) => Self::Sent(read("sent", m)?),
            Kind::Ended(m) => Self::Ended {
                key: required("ended.key", m.key)?,
                at: read("ended.at_micros", m.at_micros)?,
                outcome: required("ended.outcome", m.outcome)?,
                usage: required("ended.usage", m.usage)?,
                result: result("ended.result", m.result)?,
                last_words: cut(&m.last_words, LAST_WORDS_BYTES_MAX),
            },
            Kind::Paused(m) => Self::Paused {
                key: required("paused.key", m.key)?,
                at: read("paused.at_micros", m.at_micros)?,
            },
            Kind::Resumed(m) => Self::Resumed {
                key: required("resumed.key", m.key)?,
                at: read("resumed.at_micros", m.at_micros)?,
            },
        })
    }
}
