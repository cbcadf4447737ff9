//! What a framework asks an agent to run, and what that needs of the agent.

use crate::{
    bounds::{
        ARGS_BYTES_MAX, ARGS_MAX, DIRS_MAX, ID_BYTES_MAX, LABELS_MAX, OUTPUT_BYTES_DEFAULT,
        STACK_BYTES_DEFAULT, STACK_BYTES_MAX,
    },
    ids::{Attempt, Digest, TaskId},
    rejection::Rejection,
    resources::{Amount, Resources},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

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
    /// Free text for people and tools; skep gives it no meaning.
    pub labels: BTreeMap<String, String>,
}

/// Hard limits of one task besides its memory. Exceeding one ends the task with a typed outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Fuel: deterministic units of guest computation. None: counted, not limited.
    pub fuel: Option<u64>,
    /// Wall-clock time from the guest's first instruction. None: it may run for ever.
    pub deadline: Option<Duration>,
    /// Wasm stack in bytes, at most [`STACK_BYTES_MAX`].
    pub stack_bytes: u64,
    /// Bytes of stdout and stderr together.
    pub output_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: None,
            deadline: None,
            stack_bytes: STACK_BYTES_DEFAULT,
            output_bytes: OUTPUT_BYTES_DEFAULT,
        }
    }
}

/// What a task may see of the world. The default grants nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// The environment, besides the `SKEP_*` names that every task gets.
    pub env: BTreeMap<String, String>,
    /// Standard input: a blob that the master holds. None: closed.
    pub stdin: Option<Digest>,
    /// Directories.
    pub dirs: Vec<DirGrant>,
}

/// One directory that a task may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirGrant {
    /// Which directory of the node.
    pub source: DirSource,
    /// What the guest calls it, such as `/data` or `.`.
    pub guest: String,
}

/// A directory of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DirSource {
    /// The task's own empty folder, gone with its sandbox.
    Sandbox,
    /// A folder of the machine, by absolute path. Only an agent whose operator is the user (a
    /// private cluster) allows it.
    Host(String),
}

/// A limit, grant or policy that a spec uses and an agent must be able to enforce.
///
/// Their names travel with every spec (`requires`) and every agent (`enforces`), because an older
/// peer silently drops protobuf fields it does not know: it does know that it misses a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the name of the field that needs it")]
pub enum Feature {
    Memory,
    Output,
    Stack,
    Fuel,
    Deadline,
    Env,
    Stdin,
    SandboxDir,
    HostDir,
}

impl Feature {
    /// All features of this build, in the order of the enum.
    pub const ALL: [Self; 9] = [
        Self::Memory,
        Self::Output,
        Self::Stack,
        Self::Fuel,
        Self::Deadline,
        Self::Env,
        Self::Stdin,
        Self::SandboxDir,
        Self::HostDir,
    ];

    /// The name on the wire; never changed, never used for anything else.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "limit.memory",
            Self::Output => "limit.output",
            Self::Stack => "limit.stack",
            Self::Fuel => "limit.fuel",
            Self::Deadline => "limit.deadline",
            Self::Env => "grant.env",
            Self::Stdin => "grant.stdin",
            Self::SandboxDir => "grant.dir.sandbox",
            Self::HostDir => "grant.dir.host",
        }
    }

    /// The feature of that name, if this build knows it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|feature| feature.name() == name)
    }

    /// The features that a task with these limits and grants needs.
    pub fn used_by(limits: &Limits, grants: &Grants) -> BTreeSet<Self> {
        let Limits { fuel, deadline, .. } = limits;
        let Grants { env, stdin, dirs } = grants;
        let sandbox = dirs.iter().any(|dir| dir.source == DirSource::Sandbox);
        let host = dirs.iter().any(|dir| matches!(dir.source, DirSource::Host(_)));
        [
            (Self::Memory, true),
            (Self::Output, true),
            (Self::Stack, true),
            (Self::Fuel, fuel.is_some()),
            (Self::Deadline, deadline.is_some()),
            (Self::Env, !env.is_empty()),
            (Self::Stdin, stdin.is_some()),
            (Self::SandboxDir, sandbox),
            (Self::HostDir, host),
        ]
        .into_iter()
        .filter_map(|(feature, used)| used.then_some(feature))
        .collect()
    }
}

impl TaskSpec {
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
            labels: BTreeMap::new(),
        }
    }

    /// The features that running this spec needs, from what it uses.
    pub fn requires(&self) -> BTreeSet<Feature> {
        Feature::used_by(&self.limits, &self.grants)
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
        if self.limits.fuel == Some(0) {
            return fail("limits.fuel", "no fuel, no run: leave it out for no limit".into());
        }
        if self.limits.deadline == Some(Duration::ZERO) {
            return fail("limits.deadline", "it is zero: leave it out for no limit".into());
        }
        if !(1..=STACK_BYTES_MAX).contains(&self.limits.stack_bytes) {
            return fail("limits.stack_bytes", format!("it must be 1 to {STACK_BYTES_MAX}"));
        }
        self.check_texts()?;
        self.grants.check()
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

impl Grants {
    fn check(&self) -> Result<(), Rejection> {
        check_list("grants.env", self.env.iter().flat_map(|(k, v)| [k.as_str(), v.as_str()]))?;
        if let Some(name) = self.env.keys().find(|k| k.is_empty() || k.contains('=')) {
            return Err(Rejection::invalid("grants.env", format!("{name:?} is no variable name")));
        }
        if let Some(name) = self.env.keys().find(|k| k.starts_with("SKEP_")) {
            let why =
                format!("{name} is skep's own: names that begin with SKEP_ are set by the agent");
            return Err(Rejection::invalid("grants.env", why));
        }
        if self.dirs.len() > DIRS_MAX {
            return Err(Rejection::invalid("grants.dirs", "at most 32 directories"));
        }
        let mut guests = BTreeSet::new();
        for dir in &self.dirs {
            if dir.guest.is_empty() || dir.guest.contains('\0') {
                return Err(Rejection::invalid(
                    "grants.dirs",
                    "a guest path is empty or has a NUL",
                ));
            }
            if !guests.insert(&dir.guest) {
                let why = format!("the guest path {:?} is granted twice", dir.guest);
                return Err(Rejection::invalid("grants.dirs", why));
            }
            if let DirSource::Host(path) = &dir.source
                && !path.starts_with('/')
            {
                let why = format!("the host path {path:?} is not absolute");
                return Err(Rejection::invalid("grants.dirs", why));
            }
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

    fn spec() -> TaskSpec {
        let resources = Resources::new(Amount::units(1), Amount::units(64));
        TaskSpec::new(TaskId::new("t").expect("an id"), Digest::of(b"module"), resources)
    }

    #[test]
    fn a_spec_requires_what_it_uses_and_no_more() {
        let mut spec = spec();
        let basic = [Feature::Memory, Feature::Output, Feature::Stack];
        assert_eq!(spec.requires(), BTreeSet::from(basic));
        spec.limits.fuel = Some(1_000);
        let host = DirSource::Host("/data".into());
        spec.grants.dirs.push(DirGrant { source: host, guest: "/data".into() });
        let more = [Feature::Fuel, Feature::HostDir];
        assert_eq!(spec.requires(), basic.into_iter().chain(more).collect());
    }

    #[test]
    fn a_wrong_spec_is_refused_naming_the_field() {
        type Spoil = fn(&mut TaskSpec);
        let cases: [(&str, Spoil); 8] = [
            ("attempt", |s| s.attempt = Attempt(0)),
            ("resources", |s| s.resources = Resources::none()),
            ("limits.fuel", |s| s.limits.fuel = Some(0)),
            ("limits.stack_bytes", |s| s.limits.stack_bytes = STACK_BYTES_MAX + 1),
            ("args", |s| s.args = vec!["a\0b".into()]),
            ("labels", |s| drop(s.labels.insert("k".repeat(129), String::new()))),
            ("grants.env", |s| drop(s.grants.env.insert("SKEP_AGENT_ID".into(), "me".into()))),
            ("grants.dirs", |s| {
                let source = DirSource::Host("relative".into());
                s.grants.dirs.push(DirGrant { source, guest: ".".into() });
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

    #[test]
    fn feature_names_lead_back_to_the_feature() {
        for feature in Feature::ALL {
            assert_eq!(Feature::from_name(feature.name()), Some(feature));
        }
    }
}
