//! What people order of `cron`, and what it tells them: the JSON of its questions.

use super::times::Times;
use crate::{Work, program::check_name};
use serde::{Deserialize, Serialize};

/// A schedule as its owner wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Unique.
    pub name: String,
    /// When: five fields (minute, hour, day of month, month, day of week), or six with seconds
    /// before them.
    pub schedule: String,
    /// Where those are the times of day, by its IANA name such as `Europe/Vienna`.
    #[serde(default = "utc")]
    pub zone: String,
    /// What is done if the last task of it still runs.
    #[serde(default)]
    pub overlap: Overlap,
    /// What is done about slots that nobody was there for.
    #[serde(default)]
    pub missed: Missed,
    /// What runs. It finds its slot, in seconds since 1970, in `SLOT`.
    pub work: Work,
}

fn utc() -> String {
    "UTC".into()
}

/// What is done if the last task still runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// The slot passes.
    #[default]
    Skip,
    /// Both run.
    Allow,
    /// The last is ended.
    Replace,
}

/// What is done about slots that nobody was there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// The last of them is made up for.
    #[default]
    Last,
    /// They pass.
    Skip,
    /// Each is made up for, the last hundred at most.
    All,
}

impl Spec {
    /// Checks that it can be had.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn check(&self) -> Result<(), String> {
        check_name(&self.name)?;
        Times::new(&self.schedule, &self.zone)?;
        self.work.check().map_err(|why| format!("work: {why}"))
    }
}

/// An order. Each is answered by a list of [`Report`]s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Make a schedule, or change it.
    Apply {
        /// The schedule.
        spec: Box<Spec>,
    },
    /// All schedules.
    List,
    /// Forget a schedule; a task of it that runs goes on.
    Remove {
        /// Which.
        name: String,
    },
}

/// Where a schedule stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// As its owner wants it.
    pub spec: Spec,
    /// The next slot, in RFC 3339; `never`, or `unknown` for the reason in `error`.
    pub next: String,
    /// Why no slot comes, where one should.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// The tasks that run.
    pub running: Vec<String>,
    /// How many tasks began.
    pub begun: u64,
    /// How many slots passed because the last task still ran.
    pub skipped: u64,
    /// How many slots passed because nobody was there.
    pub missed: u64,
    /// How the last task ended that has.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ended: String,
}
