//! What a framework asks an agent to run, and what that needs of the agent.

mod feature;
mod files;
mod grants;
mod limits;
mod policies;

pub use feature::Feature;
pub use files::{Form, Input, Output, check_guest_path};
pub use grants::{Access, Clock, DirGrant, DirSource, Grants, NetGrant, NetGrantError, Random};
pub use limits::Limits;
pub use policies::{Policies, Retry, RetryOn};

use crate::{
    artifact::Artifact,
    bounds::{ARGS_BYTES_MAX, ARGS_MAX, CHECKPOINT_BYTES_MAX, ID_BYTES_MAX, LABELS_MAX},
    ids::{Attempt, Digest, TaskId},
    rejection::Rejection,
    resources::{Amount, Resources},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A task as its framework describes it: a module, its arguments, its resources, limits, grants.
///
/// The memory limit is the `mem` of `resources`: what is allocated is what is enforced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Unique within the framework; a live id is not used twice.
    pub task: TaskId,
    /// Which start of it, from 1.
    pub attempt: Attempt,
    /// The Wasm module to run, a blob that the master holds.
    pub module: Digest,
    /// What the guest is called: its `argv[0]`, and what people read in lists.
    pub name: String,
    /// The guest's arguments behind `argv[0]`.
    pub args: Vec<String>,
    /// Its place in an array, if it has one; the guest reads it as `SKEP_TASK_INDEX`.
    pub index: Option<u64>,
    /// What the agent sets aside for it. `mem` is the hard memory limit.
    pub resources: Resources,
    /// What it may use at most besides.
    pub limits: Limits,
    /// What it may see of the world; nothing by default.
    pub grants: Grants,
    /// What lies in its own folder when it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
    /// What is taken from its own folder and stored at the master when it has ended by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
    /// What is kept if it dies of a trap.
    #[serde(default)]
    pub diagnostics: Diagnostics,
    /// On which terms it holds its resources.
    #[serde(default, skip_serializing_if = "Terms::is_regular")]
    pub terms: Terms,
    /// What is done about it in trouble.
    #[serde(default, skip_serializing_if = "Policies::is_none")]
    pub policies: Policies,
    /// The state that it goes on from, which an earlier attempt left; empty: from the beginning.
    /// The master puts the last checkpoint here, if it knows one and the framework gives none.
    #[serde(with = "hex::serde", default, skip_serializing_if = "Vec::is_empty")]
    pub checkpoint: Vec<u8>,
    /// Free text for people and tools; skep gives it no meaning.
    pub labels: BTreeMap<String, String>,
}

/// What is kept of a task that dies of a trap or of a limit, besides the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Diagnostics {
    /// Nothing.
    #[default]
    Plain,
    /// A core dump: its memory, globals and stack as a Wasm core dump, in the file `core` of its
    /// sandbox. It holds whatever secrets the guest held.
    Coredump,
}

/// On which terms resources are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Terms {
    /// For as long as they are used.
    #[default]
    Regular,
    /// Lent: of the kinds that the agent lends they come out of what it lends, and whoever holds
    /// them is paused or killed as soon as regular tasks need them.
    Revocable,
}

impl Terms {
    /// Whether they are those of whoever says nothing.
    pub const fn is_regular(&self) -> bool {
        matches!(self, Self::Regular)
    }
}

impl TaskSpec {
    /// The machine code that it runs.
    pub fn artifact(&self) -> Artifact {
        Artifact::of(self.module, &self.grants)
    }

    /// A task of `module` with no arguments, default limits and no grants.
    pub fn new(task: TaskId, module: Digest, resources: Resources) -> Self {
        Self {
            name: task.to_string(),
            task,
            attempt: Attempt::FIRST,
            module,
            args: Vec::new(),
            index: None,
            resources,
            limits: Limits::default(),
            grants: Grants::default(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            diagnostics: Diagnostics::default(),
            terms: Terms::default(),
            policies: Policies::default(),
            checkpoint: Vec::new(),
            labels: BTreeMap::new(),
        }
    }

    /// The features that running this spec needs, from what it uses.
    pub fn requires(&self) -> BTreeSet<Feature> {
        let mut used = Feature::used_by(&self.limits, &self.grants, self.diagnostics);
        used.extend(Feature::of_policies(&self.policies, &self.checkpoint));
        used.extend(Feature::of_files(&self.inputs, &self.outputs));
        if self.terms == Terms::Revocable {
            used.insert(Feature::Revocable);
        }
        used
    }

    /// Checks what can be checked without knowing any agent.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] naming the field and what to do.
    pub fn check(&self) -> Result<(), Rejection> {
        let fail = |field: &str, why: String| Err(Rejection::invalid(field, why));
        if self.attempt.0 == 0 {
            return fail("attempt", "attempts count from 1".into());
        }
        if self.resources.mem() == Amount::ZERO {
            return fail("resources", "mem is missing: a task needs a memory limit".into());
        }
        if self.resources.cpus() == Amount::ZERO {
            let why = "cpus are missing: a task needs a share of a processor, 0.001 at least";
            return fail("resources", why.into());
        }
        self.limits.check()?;
        self.policies.check()?;
        if self.checkpoint.len() > CHECKPOINT_BYTES_MAX {
            return fail("checkpoint", format!("at most {CHECKPOINT_BYTES_MAX} bytes"));
        }
        self.check_texts()?;
        self.grants.check()?;
        if self.grants.stdin_stream && self.policies.retry.is_some() {
            let why = "a task that is started again where it failed cannot read it again: give it \
                       a blob";
            return fail("grants.stdin_stream", why.into());
        }
        files::check(&self.inputs, &self.outputs, &self.grants)
    }

    fn check_texts(&self) -> Result<(), Rejection> {
        if self.name.len() > ID_BYTES_MAX || self.name.contains('\0') {
            return Err(Rejection::invalid("name", "it must be 128 bytes at most, without NUL"));
        }
        check_list("args", self.args.iter().map(String::as_str))?;
        let too_long = |(k, v): (&String, &String)| k.len().max(v.len()) > ID_BYTES_MAX;
        if self.labels.len() > LABELS_MAX || self.labels.iter().any(too_long) {
            return Err(Rejection::invalid("labels", "at most 64, of 128 bytes each"));
        }
        Ok(())
    }
}

fn check_list<'a>(field: &str, texts: impl Iterator<Item = &'a str>) -> Result<(), Rejection> {
    let (mut count, mut bytes) = (0, 0);
    for text in texts {
        if text.contains('\0') {
            return Err(Rejection::invalid(field, "a text holds a NUL byte"));
        }
        count += 1;
        bytes += text.len();
    }
    if count > ARGS_MAX || bytes > ARGS_BYTES_MAX {
        let why = format!("at most {ARGS_MAX} texts of {ARGS_BYTES_MAX} bytes together");
        return Err(Rejection::invalid(field, why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::STACK_BYTES_MAX;
    use std::time::Duration;

    fn spec() -> TaskSpec {
        let resources = Resources::new(Amount::units(1), Amount::units(64));
        TaskSpec::new(TaskId::new("t").expect("an id"), Digest::of(b"module"), resources)
    }

    #[test]
    fn a_spec_requires_what_it_uses_and_no_more() {
        let mut spec = spec();
        let basic = Feature::ALWAYS;
        assert_eq!(spec.requires(), BTreeSet::from(basic));
        spec.limits.fuel = Some(1_000);
        let host = DirSource::Host("/data".into());
        spec.grants.dirs.push(DirGrant::read_write(host, "/data"));
        let more = [Feature::Fuel, Feature::HostDir];
        assert_eq!(spec.requires(), basic.into_iter().chain(more).collect());
    }

    #[test]
    fn a_wrong_spec_is_refused_naming_the_field() {
        type Spoil = fn(&mut TaskSpec);
        let cases: [(&str, Spoil); 19] = [
            ("grants.stdin_stream", |s| {
                s.grants.stdin_stream = true;
                s.grants.stdin = Some(Digest::of(b"input"));
            }),
            ("grants.stdin_stream", |s| {
                s.grants.stdin_stream = true;
                s.policies.retry = Some(Retry::after_any(1));
            }),
            ("grants.stdin_stream", |s| {
                s.grants.stdin_stream = true;
                s.grants.clock = Clock::Virtual { start: Clock::VIRTUAL_START };
                s.grants.random = Random::Seeded { seed: 1 };
            }),
            ("outputs", |s| s.outputs.push(Output::new("a"))),
            ("limits.handles", |s| s.limits.handles = 0),
            ("policies.retry.times", |s| s.policies.retry = Some(Retry::after_any(0))),
            ("policies.kill_grace", |s| s.policies.kill_grace = Some(Duration::ZERO)),
            ("policies.heartbeat", |s| s.policies.heartbeat = Some(Duration::ZERO)),
            ("checkpoint", |s| s.checkpoint = vec![0; CHECKPOINT_BYTES_MAX + 1]),
            ("grants.dirs", |s| {
                let source = DirSource::Volume("../up".into());
                s.grants.dirs.push(DirGrant::read_write(source, "."));
            }),
            ("attempt", |s| s.attempt = Attempt(0)),
            ("resources", |s| s.resources = Resources::none()),
            ("resources", |s| s.resources = Resources::new(Amount::ZERO, Amount::units(64))),
            ("limits.fuel", |s| s.limits.fuel = Some(0)),
            ("limits.stack_bytes", |s| s.limits.stack_bytes = STACK_BYTES_MAX + 1),
            ("args", |s| s.args = vec!["a\0b".into()]),
            ("labels", |s| drop(s.labels.insert("k".repeat(129), String::new()))),
            ("grants.env", |s| drop(s.grants.env.insert("SKEP_AGENT_ID".into(), "me".into()))),
            ("grants.dirs", |s| {
                let source = DirSource::Host("relative".into());
                s.grants.dirs.push(DirGrant::read_write(source, "."));
            }),
        ];
        assert_eq!(spec().check(), Ok(()));
        for (expected, spoil) in cases {
            let mut spec = spec();
            spoil(&mut spec);
            let Err(Rejection::Invalid { field, .. }) = spec.check() else {
                panic!("{expected} was not refused");
            };
            assert_eq!(field, expected);
        }
    }
}
