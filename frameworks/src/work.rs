//! What one task runs, however often and whenever it is run.

use serde::{Deserialize, Serialize};
use skep_protocol::{
    Attempt, Digest, Resources, TaskId, TaskSpec,
    task::{Grants, Limits, Policies},
};
use std::{collections::BTreeMap, time::Duration};

/// A program with its arguments, its resources and its limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// The module, a blob that the master holds.
    pub module: Digest,
    /// What the guest is called, and people read in lists.
    pub name: String,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// What is set aside for it.
    pub resources: Resources,
    /// How long it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Duration>,
    /// How long it may go on after it was told to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill_grace: Option<Duration>,
    /// How long it may be silent: it counts as failed then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Duration>,
    /// How long its agent may be out of reach before it is given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_after: Option<Duration>,
}

impl Work {
    /// The task of one attempt.
    pub fn task(&self, id: TaskId, attempt: Attempt) -> TaskSpec {
        let Self { kill_grace, heartbeat, lost_after, .. } = *self;
        TaskSpec {
            attempt,
            name: self.name.clone(),
            args: self.args.clone(),
            limits: Limits { deadline: self.deadline, ..Limits::default() },
            grants: Grants { env: self.env.clone(), ..Grants::default() },
            policies: Policies { kill_grace, heartbeat, lost_after, ..Policies::default() },
            ..TaskSpec::new(id, self.module, self.resources.clone())
        }
    }

    /// Whether a task of it could run anywhere.
    ///
    /// # Errors
    /// A sentence that names what is wrong.
    pub fn check(&self) -> Result<(), String> {
        let id = TaskId::new("checked").map_err(|error| error.to_string())?;
        self.task(id, Attempt::FIRST).check().map_err(|rejection| rejection.to_string())
    }
}
