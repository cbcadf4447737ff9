//! What people order of `batch`, and what it tells them: the JSON of its questions.

use super::{
    files::{FailedOutput, JobOutput},
    job::Job,
};
use serde::{Deserialize, Serialize};

/// An order. Each is answered by a list of [`Report`]s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Run a job.
    Submit {
        /// Which.
        job: Box<Job>,
    },
    /// All jobs that run or wait, and the last that ended.
    List,
    /// One job.
    Show {
        /// Its name.
        job: String,
    },
    /// One job, with what its tasks have left.
    Outputs {
        /// Its name.
        job: String,
    },
    /// End a job: its tasks are killed.
    Stop {
        /// Its name.
        job: String,
    },
}

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its name.
    pub job: String,
    /// Where it stands as a whole.
    pub standing: Standing,
    /// Its groups, by name.
    pub groups: Vec<GroupReport>,
    /// The first tasks that failed for good, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
    /// What its tasks have left, if that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<JobOutput>,
    /// What failed attempts of them have left, if that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_outputs: Vec<FailedOutput>,
}

/// Where a group of tasks stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupReport {
    /// Its name.
    pub group: String,
    /// How many tasks it has.
    pub count: u64,
    /// How many were launched and have not ended.
    pub launched: u64,
    /// How many have ended well.
    pub done: u64,
    /// How many have failed for good.
    pub failed: u64,
    /// How many attempts there were, copies left out.
    pub attempts: u64,
    /// How many copies of stragglers were launched.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub copies: u64,
    /// How many of these were the first to end well.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub copies_won: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Where a job stands as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It goes on.
    Running,
    /// All its tasks have ended well.
    Done,
    /// Some task failed for good.
    Failed,
    /// It was ended by order.
    Stopped,
}

impl Standing {
    /// Whether nothing of it is to come any more.
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Running)
    }

    /// The word for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}
