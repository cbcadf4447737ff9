//! What people order of `service`, and what it tells them: the JSON of its questions.

use crate::{Work, program::check_name};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Copies of one service.
const COPIES_MAX: u32 = 10_000;
/// A service as its owner wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Unique.
    pub name: String,
    /// What each copy runs. With a heartbeat, one that is silent is replaced.
    pub work: Work,
    /// How many run.
    pub copies: u32,
    /// The attribute of agents over whose values they are spread.
    #[serde(default = "hostname")]
    pub spread: String,
    /// How long a copy must have run to count as healthy.
    #[serde(default = "a_second")]
    pub healthy_after: Duration,
    /// How many copies more there may be while the service is replaced.
    #[serde(default = "one")]
    pub surge: u32,
    /// How many healthy copies may be missing while the service is replaced.
    #[serde(default)]
    pub unavailable: u32,
}

fn hostname() -> String {
    "hostname".into()
}

const fn a_second() -> Duration {
    Duration::from_secs(1)
}

const fn one() -> u32 {
    1
}

impl Spec {
    /// Checks that it can be had.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn check(&self) -> Result<(), String> {
        check_name(&self.name)?;
        if self.copies > COPIES_MAX {
            return Err(format!("copies: at most {COPIES_MAX}"));
        }
        if self.surge == 0 && self.unavailable == 0 {
            let why = "surge and unavailable: with none more and none less, nothing is replaced";
            return Err(why.into());
        }
        self.work.check().map_err(|why| format!("work: {why}"))
    }
}

/// An order. Each is answered by a list of [`Report`]s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Make a service, or replace it step by step by this.
    Apply {
        /// The service.
        spec: Box<Spec>,
    },
    /// Have more copies of a service, or fewer.
    Scale {
        /// Which.
        name: String,
        /// How many.
        copies: u32,
    },
    /// All services.
    List,
    /// End all copies of a service, and forget it.
    Remove {
        /// Which.
        name: String,
    },
}

/// Where a service stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// As its owner wants it.
    pub spec: Spec,
    /// Counts what was ordered of it: copies of lower versions are being replaced.
    pub version: u64,
    /// How many copies are healthy, of any version.
    pub healthy: u32,
    /// Each copy.
    pub copies: Vec<CopyReport>,
}

/// Where a copy stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyReport {
    /// Its task.
    pub task: String,
    /// Which version it is of.
    pub version: u64,
    /// launched, running, healthy, unreachable or ending.
    pub state: String,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}
