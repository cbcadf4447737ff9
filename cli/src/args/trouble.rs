//! What is to be done about tasks in trouble.

use crate::units::Span;
use clap::{Args, ValueEnum as _, builder::PossibleValue};
use skep_protocol::task::{Policies, Retry, RetryOn};

/// What is done about a task in trouble, by its executor and by the master.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "In trouble")]
pub(crate) struct Trouble {
    /// Start a guest that fails again, where it is and with its last checkpoint, so often at most;
    /// also while its agent is cut off
    #[arg(long, value_name = "N", conflicts_with = "deterministic")]
    pub(crate) restart: Option<u32>,
    /// How long to wait before the first restart; twice as long before each further one
    #[arg(long, value_name = "TIME", default_value = "1s", requires = "restart")]
    pub(crate) restart_wait: Span,
    /// After which failures to restart [default: all of them]
    #[arg(long, value_name = "KIND", value_delimiter = ',', requires = "restart")]
    pub(crate) restart_on: Vec<Failure>,
    /// How long a guest that is killed may go on after it was told [default: it is not told]
    #[arg(long, value_name = "TIME")]
    pub(crate) kill_grace: Option<Span>,
    /// The longest that a guest may go without a sign of life [default: not checked]
    #[arg(long, value_name = "TIME")]
    pub(crate) heartbeat: Option<Span>,
    /// How long a task whose agent is silent counts as unreachable before it counts as lost
    /// [default: as the master sees fit]
    #[arg(long, value_name = "TIME")]
    pub(crate) lost_after: Option<Span>,
}

/// A kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure(RetryOn);

impl clap::ValueEnum for Failure {
    fn value_variants<'a>() -> &'a [Self] {
        const {
            &[
                Self(RetryOn::Exit),
                Self(RetryOn::Trap),
                Self(RetryOn::Memory),
                Self(RetryOn::Unhealthy),
                Self(RetryOn::Failed),
            ]
        }
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()))
    }
}

impl Trouble {
    /// As policies of a task.
    pub(crate) fn policies(&self) -> Policies {
        let on: Vec<RetryOn> = match &self.restart_on[..] {
            [] => Failure::value_variants().iter().map(|kind| kind.0).collect(),
            kinds => kinds.iter().map(|kind| kind.0).collect(),
        };
        let (wait, on) = (self.restart_wait.0, on.into_iter().collect());
        Policies {
            retry: self.restart.map(|times| Retry { times, wait, on }),
            kill_grace: self.kill_grace.map(|span| span.0),
            heartbeat: self.heartbeat.map(|span| span.0),
            lost_after: self.lost_after.map(|span| span.0),
        }
    }
}
