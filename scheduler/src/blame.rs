//! Whose fault the end of a task was, for schedulers that start it again.

use skep_protocol::{Outcome, Rejection, outcome::KilledBy};

/// Whether a task was refused because its offer or its allocation was gone. No agent has looked at
/// it, and the next offer may do.
pub const fn offer_was_gone(rejection: &Rejection) -> bool {
    matches!(
        rejection,
        Rejection::InvalidOffer { .. }
            | Rejection::OffersDoNotMatch
            | Rejection::AllocationEnded { .. }
            | Rejection::Recalled
    )
}

/// Whether a task ended by nothing that it did: its agent is lost, stops or is drained, it gave way
/// to others, or its offer was gone. A scheduler has no reason to wait before it starts it again.
pub const fn is_no_fault(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Lost { .. } => true,
        Outcome::Killed { by } => {
            matches!(by, KilledBy::AgentStopped | KilledBy::AgentDrained | KilledBy::Preemption)
        }
        Outcome::Refused { rejection } => offer_was_gone(rejection),
        _ => false,
    }
}
