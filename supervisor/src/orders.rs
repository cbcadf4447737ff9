//! What people order of the supervisor, and what it tells them: the JSON of its questions.

use crate::hosted::Hosted;
use serde::{Deserialize, Serialize};

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Host a scheduler. Answered by a list of one.
    Run(Hosted),
    /// All that are hosted, and the last that ended.
    List,
    /// End one. Answered by a list of one: as it was.
    Kill {
        /// Its name.
        name: String,
    },
}

/// Where a hosted scheduler stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What is hosted.
    pub hosted: Hosted,
    /// The attempt that runs, or ran last; 0 if none did.
    pub attempt: u32,
    /// Where it stands.
    pub state: State,
    /// Where it runs, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// How the last attempt ended that has.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ended: String,
    /// How often it was started anew.
    pub restarts: u32,
}

/// Where a hosted scheduler stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits for an offer, or for its time after it has died.
    Waiting,
    /// It was launched.
    Launched,
    /// It runs.
    Running,
    /// It was told to end.
    Ending,
    /// It ended by itself, or was ended by order.
    Ended,
}

impl State {
    /// The word for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Launched => "launched",
            Self::Running => "running",
            Self::Ending => "ending",
            Self::Ended => "ended",
        }
    }
}
