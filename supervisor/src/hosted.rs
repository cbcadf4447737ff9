//! What a hosted scheduler is, and the task that it becomes.

use serde::{Deserialize, Serialize};
use skep_protocol::{
    Attempt, Digest, Resources, TaskId, TaskSpec,
    task::{Grants, Limits, Policies},
};
use std::{collections::BTreeMap, time::Duration};

/// The environment variable that tells a hosted scheduler the name to subscribe with.
pub const NAME: &str = "FRAMEWORK_NAME";
/// The environment variable that tells a hosted scheduler the role to subscribe in.
pub const ROLE: &str = "FRAMEWORK_ROLE";
/// The environment variable that lists the files bundled with a hosted scheduler: a line for each,
/// its digest, a space and its name.
pub const BUNDLE: &str = "FRAMEWORK_BUNDLE";

/// How long a scheduler that is told to end has to do so.
const KILL_GRACE: Duration = Duration::from_secs(5);
/// How long a scheduler's agent may be out of reach before another attempt is made elsewhere.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// A scheduler to host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hosted {
    /// What it is called: its task's id, and its framework's name.
    pub name: TaskId,
    /// The scheduler itself, a blob that the master holds.
    pub module: Digest,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// Its environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The role in which it asks for its tasks; its own task runs in the supervisor's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What is set aside for it itself.
    pub resources: Resources,
    /// Files that it finds by their names, blobs that the master holds.
    #[serde(default)]
    pub bundle: BTreeMap<String, Digest>,
}

/// The text of [`BUNDLE`].
pub fn bundle_text(bundle: &BTreeMap<String, Digest>) -> String {
    let line = |(name, digest): (&String, &Digest)| format!("{digest} {name}");
    bundle.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl Hosted {
    /// The task of one attempt.
    pub(crate) fn task(&self, attempt: Attempt) -> TaskSpec {
        let mut env = self.env.clone();
        env.insert(NAME.into(), self.name.to_string());
        env.extend(self.role.clone().map(|role| (ROLE.into(), role)));
        if !self.bundle.is_empty() {
            env.insert(BUNDLE.into(), bundle_text(&self.bundle));
        }
        let spec = TaskSpec::new(self.name.clone(), self.module, self.resources.clone());
        TaskSpec {
            attempt,
            args: self.args.clone(),
            limits: Limits::default(),
            grants: Grants { env, framework: true, network_denied: true, ..Grants::default() },
            policies: Policies {
                kill_grace: Some(KILL_GRACE),
                lost_after: Some(LOST_AFTER),
                ..Policies::default()
            },
            ..spec
        }
    }
}
