//! What the end of a run that did not end well says about its task.

use skep_protocol::{Outcome, Rejection, outcome::KilledBy};
use skep_scheduler::offer_was_gone;

/// Whose fault an end was, and whether the run may have done something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The task's own: it counts as a failure.
    Fault,
    /// That of its agent, while it may have run: it counts as a loss.
    Lost,
    /// Nobody's: it never ran, or gave way to others, as often as it must.
    NotTaken,
    /// An attempt that was given up lives on after all: it is to be ended.
    StillThere,
}

impl Meaning {
    pub(super) const fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Lost { .. } | Outcome::Killed { by: KilledBy::AgentStopped } => Self::Lost,
            Outcome::Killed { by: KilledBy::Preemption | KilledBy::AgentDrained } => Self::NotTaken,
            Outcome::Refused { rejection } => Self::of_refusal(rejection),
            _ => Self::Fault,
        }
    }

    const fn of_refusal(rejection: &Rejection) -> Self {
        match rejection {
            _ if offer_was_gone(rejection) => Self::NotTaken,
            Rejection::TooMany { .. } => Self::NotTaken,
            // Counted, lest it goes round for ever: no agent of the cluster may do it.
            Rejection::NotEnforced { .. } => Self::Lost,
            Rejection::DuplicateTask { .. } => Self::StillThere,
            _ => Self::Fault,
        }
    }
}
