//! Every outcome and every rejection, one example of each.

use super::examples::{agent, digest, framework, resources, task};
use crate::{ids::*, outcome::*, rejection::Rejection, resources::Resources};
use std::time::Duration;

/// Every outcome, with every trap and way to get lost.
pub(super) fn outcomes() -> Vec<Outcome> {
    let why = || "a sentence".to_owned();
    let trapped = |trap| Outcome::Trapped { trap, why: why(), backtrace: vec!["main".into()] };
    let traps = [
        Trap::Unreachable,
        Trap::MemoryOutOfBounds,
        Trap::TableOutOfBounds,
        Trap::IndirectCallToNull,
        Trap::BadSignature,
        Trap::IntegerOverflow,
        Trap::IntegerDivisionByZero,
        Trap::BadConversionToInteger,
        Trap::StackOverflow,
        Trap::HostCall,
        Trap::Other,
    ];
    let lost = [
        LostBy::AgentLost,
        LostBy::NodeRebooted,
        LostBy::ExecutorEnded,
        LostBy::UnknownToAgent,
        LostBy::Unknown,
        LostBy::AgentGone,
    ];
    let mut outcomes = vec![
        Outcome::Exited { code: 0 },
        Outcome::Exited { code: -1 },
        Outcome::OutOfFuel { limit: 1_000_000 },
        Outcome::OutOfMemory { asked: 65 << 20, limit: 64 << 20 },
        Outcome::DeadlinePassed { limit: Duration::from_millis(2_500) },
        Outcome::OutputLimit { limit: 1 << 20 },
        Outcome::DiskLimit { bytes: 1 << 20, files: 100 },
        Outcome::HandleLimit { limit: 32 },
        Outcome::RandomLimit { limit: 4_096 },
        Outcome::Unhealthy { limit: Duration::from_secs(5) },
        Outcome::Killed { by: KilledBy::Framework },
        Outcome::ModuleRejected { why: why() },
        Outcome::Refused { rejection: Rejection::Recalled },
        Outcome::Failed { why: why() },
    ];
    outcomes.extend(traps.map(trapped));
    outcomes.extend(lost.map(|why| Outcome::Lost { why }));
    outcomes
}

/// Every rejection.
pub(super) fn rejections() -> Vec<Rejection> {
    let text = || "a text".to_owned();
    vec![
        Rejection::InvalidOffer { offer: OfferId(255) },
        Rejection::OffersDoNotMatch,
        Rejection::AllocationEnded { allocation: AllocationId(3) },
        Rejection::DuplicateTask { task: task(), newest: Attempt(2) },
        Rejection::DoesNotFit { task: task(), asked: resources(), offered: Resources::none() },
        Rejection::Invalid { field: "limits.fuel".into(), why: text() },
        Rejection::Unsupported { name: "limit.gpu_memory".into() },
        Rejection::NotEnforced { agent: agent(), name: "limit.fuel".into() },
        Rejection::NotAllowed { what: text() },
        Rejection::TooMany { what: "tasks".into(), max: 20_000 },
        Rejection::Recalled,
        Rejection::UnknownBlob { digest: digest() },
        Rejection::UnknownFramework { framework: framework() },
        Rejection::NotYours { framework: framework() },
        Rejection::UnknownTask { task: text() },
        Rejection::StaleIncarnation { agent: agent(), newest: Incarnation(7) },
        Rejection::DuplicateAgent { agent: agent() },
        Rejection::FailedOver { framework: framework() },
        Rejection::UnknownToken,
        Rejection::TokenUsedUp,
        Rejection::TokenExpired,
        Rejection::WrongKind { kind: "agent".into(), needs: text() },
        Rejection::Violation { why: text() },
        Rejection::UnknownAgent { agent: agent() },
        Rejection::AgentGone { agent: agent() },
        Rejection::UnknownVolume { agent: agent(), name: "models".into() },
        Rejection::VolumeInUse { name: "models".into(), task: task() },
    ]
}
