//! `rejection.proto`: refusals. Their texts are sentences, and cut where they are too long.

use super::{
    DecodeError,
    common::sentence,
    convert::{Convert, known, read, required},
    wire::common::{self as wire, rejection::*},
};
use crate::rejection::Rejection;

impl Convert for Rejection {
    type Wire = wire::Rejection;

    fn to_wire(&self) -> wire::Rejection {
        wire::Rejection { kind: Some(kind(self)) }
    }

    fn from_wire(wire: wire::Rejection) -> Result<Self, DecodeError> {
        Ok(match known(wire.kind)? {
            Kind::InvalidOffer(m) => Self::InvalidOffer { offer: read("offer", m.offer)? },
            Kind::OffersDoNotMatch(_) => Self::OffersDoNotMatch,
            Kind::AllocationEnded(m) => {
                Self::AllocationEnded { allocation: read("allocation", m.allocation)? }
            }
            Kind::DuplicateTask(m) => Self::DuplicateTask {
                task: read("task", m.task)?,
                newest: read("newest_attempt", m.newest_attempt)?,
            },
            Kind::DoesNotFit(m) => Self::DoesNotFit {
                task: read("task", m.task)?,
                asked: required("asked", m.asked)?,
                offered: required("offered", m.offered)?,
            },
            Kind::Invalid(m) => Self::invalid(sentence(&m.field), m.why),
            Kind::Unsupported(m) => Self::Unsupported { name: sentence(&m.name) },
            Kind::NotEnforced(m) => {
                Self::NotEnforced { agent: read("agent", m.agent)?, name: sentence(&m.name) }
            }
            Kind::NotAllowed(m) => Self::NotAllowed { what: sentence(&m.what) },
            Kind::TooMany(m) => Self::TooMany { what: sentence(&m.what), max: m.max },
            Kind::Recalled(_) => Self::Recalled,
            Kind::UnknownBlob(m) => Self::UnknownBlob { digest: read("digest", m.digest)? },
            Kind::UnknownFramework(m) => {
                Self::UnknownFramework { framework: read("framework", m.framework)? }
            }
            Kind::NotYours(m) => Self::NotYours { framework: read("framework", m.framework)? },
            Kind::UnknownTask(m) => Self::UnknownTask { task: sentence(&m.task) },
            Kind::StaleIncarnation(m) => Self::StaleIncarnation {
                agent: read("agent", m.agent)?,
                newest: read("newest_incarnation", m.newest_incarnation)?,
            },
            Kind::DuplicateAgent(m) => Self::DuplicateAgent { agent: read("agent", m.agent)? },
            Kind::FailedOver(m) => Self::FailedOver { framework: read("framework", m.framework)? },
            Kind::UnknownToken(_) => Self::UnknownToken,
            Kind::TokenUsedUp(_) => Self::TokenUsedUp,
            Kind::TokenExpired(_) => Self::TokenExpired,
            Kind::WrongKind(m) => {
                Self::WrongKind { kind: sentence(&m.kind), needs: sentence(&m.needs) }
            }
            Kind::Violation(m) => Self::Violation { why: sentence(&m.why) },
            Kind::UnknownAgent(m) => Self::UnknownAgent { agent: read("agent", m.agent)? },
            Kind::AgentGone(m) => Self::AgentGone { agent: read("agent", m.agent)? },
            Kind::UnknownVolume(m) => {
                Self::UnknownVolume { agent: read("agent", m.agent)?, name: sentence(&m.name) }
            }
            Kind::VolumeInUse(m) => {
                Self::VolumeInUse { name: sentence(&m.name), task: read("task", m.task)? }
            }
            Kind::OutputGone(m) => Self::OutputGone { task: read("task", m.task)?, bytes: m.bytes },
            Kind::Undelivered(m) => {
                Self::Undelivered { task: read("task", m.task)?, why: sentence(&m.why) }
            }
        })
    }
}

fn kind(rejection: &Rejection) -> Kind {
    use Rejection as R;
    match rejection {
        R::InvalidOffer { offer } => Kind::InvalidOffer(InvalidOffer { offer: offer.to_wire() }),
        R::OffersDoNotMatch => Kind::OffersDoNotMatch(OffersDoNotMatch {}),
        R::AllocationEnded { allocation } => {
            Kind::AllocationEnded(AllocationEnded { allocation: allocation.to_wire() })
        }
        R::DuplicateTask { task, newest } => Kind::DuplicateTask(DuplicateTask {
            task: task.to_wire(),
            newest_attempt: newest.to_wire(),
        }),
        R::DoesNotFit { task, asked, offered } => Kind::DoesNotFit(DoesNotFit {
            task: task.to_wire(),
            asked: Some(asked.to_wire()),
            offered: Some(offered.to_wire()),
        }),
        R::Invalid { field, why } => {
            Kind::Invalid(Invalid { field: sentence(field), why: sentence(why) })
        }
        R::Unsupported { name } => Kind::Unsupported(Unsupported { name: sentence(name) }),
        R::NotEnforced { agent, name } => {
            Kind::NotEnforced(NotEnforced { agent: agent.to_wire(), name: sentence(name) })
        }
        R::NotAllowed { what } => Kind::NotAllowed(NotAllowed { what: sentence(what) }),
        R::TooMany { what, max } => Kind::TooMany(TooMany { what: sentence(what), max: *max }),
        R::Recalled => Kind::Recalled(Recalled {}),
        R::UnknownBlob { digest } => Kind::UnknownBlob(UnknownBlob { digest: digest.to_wire() }),
        R::UnknownFramework { framework } => {
            Kind::UnknownFramework(UnknownFramework { framework: framework.to_wire() })
        }
        R::NotYours { framework } => Kind::NotYours(NotYours { framework: framework.to_wire() }),
        R::UnknownTask { task } => Kind::UnknownTask(UnknownTask { task: sentence(task) }),
        R::StaleIncarnation { agent, newest } => Kind::StaleIncarnation(StaleIncarnation {
            agent: agent.to_wire(),
            newest_incarnation: newest.to_wire(),
        }),
        R::DuplicateAgent { agent } => {
            Kind::DuplicateAgent(DuplicateAgent { agent: agent.to_wire() })
        }
        R::FailedOver { framework } => {
            Kind::FailedOver(FailedOver { framework: framework.to_wire() })
        }
        R::UnknownToken => Kind::UnknownToken(UnknownToken {}),
        R::TokenUsedUp => Kind::TokenUsedUp(TokenUsedUp {}),
        R::TokenExpired => Kind::TokenExpired(TokenExpired {}),
        R::WrongKind { kind, needs } => {
            Kind::WrongKind(WrongKind { kind: sentence(kind), needs: sentence(needs) })
        }
        R::Violation { why } => Kind::Violation(Violation { why: sentence(why) }),
        R::UnknownAgent { agent } => Kind::UnknownAgent(UnknownAgent { agent: agent.to_wire() }),
        R::AgentGone { agent } => Kind::AgentGone(AgentGone { agent: agent.to_wire() }),
        R::UnknownVolume { agent, name } => {
            Kind::UnknownVolume(UnknownVolume { agent: agent.to_wire(), name: sentence(name) })
        }
        R::VolumeInUse { name, task } => {
            Kind::VolumeInUse(VolumeInUse { name: sentence(name), task: task.to_wire() })
        }
        R::OutputGone { task, bytes } => {
            Kind::OutputGone(OutputGone { task: task.to_wire(), bytes: *bytes })
        }
        R::Undelivered { task, why } => {
            Kind::Undelivered(Undelivered { task: task.to_wire(), why: sentence(why) })
        }
    }
}
