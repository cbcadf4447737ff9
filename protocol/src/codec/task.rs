//! `task.proto`: specs, and the rule that makes them safe between builds.
//!
//! Refuse or enforce: a build drops protobuf fields that it does not know, so each spec names in
//! `requires` what it uses. A name that is not known here, or a use that is not named, refuses the
//! task.

use super::{
    DecodeError,
    common::sentence,
    convert::{Convert, convert_enum, known, or_default, read, required},
    outcome::checkpoint,
    wire::common::{self as wire, clock, dir_grant, launch_task, random},
};
use crate::{
    framework::{LaunchTask, RefusedTask},
    ids::{Attempt, TaskId, TaskKey},
    operator::Recorded,
    rejection::Rejection,
    task::{
        Access, Clock, Diagnostics, DirGrant, DirSource, Feature, Form, Grants, Input, Limits,
        NetGrant, Output, Policies, Random, Retry, RetryOn, TaskSpec, Terms,
    },
};
use std::{collections::BTreeSet, mem};

impl Convert for LaunchTask {
    type Wire = wire::LaunchTask;

    fn to_wire(&self) -> wire::LaunchTask {
        let kind = match self {
            Ok(spec) => launch_task::Kind::Spec(spec_to_wire(spec)),
            Err(refused) => launch_task::Kind::Refused(refused.to_wire()),
        };
        wire::LaunchTask { kind: Some(kind) }
    }

    fn from_wire(wire: wire::LaunchTask) -> Result<Self, DecodeError> {
        match known(wire.kind)? {
            launch_task::Kind::Spec(mut spec) => {
                let task: TaskId = read("spec.task", mem::take(&mut spec.task))?;
                let attempt = read("spec.attempt", spec.attempt)?;
                let taken = take_spec(task.clone(), attempt, spec);
                Ok(taken.map_err(|rejection| RefusedTask { task, attempt, rejection }))
            }
            launch_task::Kind::Refused(refused) => Ok(Err(read("refused", refused)?)),
        }
    }
}

impl Convert for RefusedTask {
    type Wire = wire::RefusedTask;

    fn to_wire(&self) -> wire::RefusedTask {
        let Self { task, attempt, rejection } = self;
        wire::RefusedTask {
            task: task.to_wire(),
            attempt: attempt.to_wire(),
            rejection: Some(rejection.to_wire()),
        }
    }

    fn from_wire(wire: wire::RefusedTask) -> Result<Self, DecodeError> {
        Ok(Self {
            task: read("task", wire.task)?,
            attempt: read("attempt", wire.attempt)?,
            rejection: required("rejection", wire.rejection)?,
        })
    }
}

impl Convert for Recorded {
    type Wire = wire::RecordedRun;

    fn to_wire(&self) -> wire::RecordedRun {
        wire::RecordedRun {
            key: Some(self.key.to_wire()),
            spec: Some(spec_to_wire(&self.spec)),
            outcome: Some(self.outcome.to_wire()),
            usage: Some(self.usage.to_wire()),
        }
    }

    fn from_wire(wire: wire::RecordedRun) -> Result<Self, DecodeError> {
        let spec = wire.spec.ok_or_else(|| DecodeError::invalid("it is missing").within("spec"))?;
        let key: TaskKey = required("key", wire.key)?;
        let taken = take_spec(key.task.clone(), key.attempt, spec);
        Ok(Self {
            key,
            spec: taken.map_err(|refused| DecodeError::invalid(refused).within("spec"))?,
            outcome: required("outcome", wire.outcome)?,
            usage: required("usage", wire.usage)?,
        })
    }
}

fn spec_to_wire(spec: &TaskSpec) -> wire::TaskSpec {
    wire::TaskSpec {
        task: spec.task.to_wire(),
        attempt: spec.attempt.to_wire(),
        requires: names(&spec.requires()),
        module: spec.module.to_wire(),
        name: spec.name.clone(),
        args: spec.args.clone(),
        index: spec.index,
        resources: Some(spec.resources.to_wire()),
        limits: Some(spec.limits.to_wire()),
        grants: Some(spec.grants.to_wire()),
        labels: spec.labels.clone(),
        diagnostics: spec.diagnostics.to_wire(),
        terms: spec.terms.to_wire(),
        policies: (!spec.policies.is_none()).then(|| spec.policies.to_wire()),
        checkpoint: spec.checkpoint.clone(),
        inputs: spec.inputs.to_wire(),
        outputs: spec.outputs.to_wire(),
    }
}

/// The spec, if this build can carry out all of it.
fn take_spec(task: TaskId, attempt: Attempt, wire: wire::TaskSpec) -> Result<TaskSpec, Rejection> {
    // First of all, since what an unknown name changes may be the meaning of the other fields.
    let declared = features(&wire.requires)?;
    let spec = read_spec(task, attempt, wire).map_err(into_rejection)?;
    spec.check()?;
    undeclared(&spec.requires(), &declared)?;
    Ok(spec)
}

fn read_spec(
    task: TaskId,
    attempt: Attempt,
    wire: wire::TaskSpec,
) -> Result<TaskSpec, DecodeError> {
    Ok(TaskSpec {
        task,
        attempt,
        module: read("module", wire.module)?,
        name: wire.name,
        args: wire.args,
        index: wire.index,
        resources: required("resources", wire.resources)?,
        limits: or_default("limits", wire.limits)?,
        grants: or_default("grants", wire.grants)?,
        diagnostics: read("diagnostics", wire.diagnostics)?,
        terms: read("terms", wire.terms)?,
        policies: or_default("policies", wire.policies)?,
        checkpoint: checkpoint("checkpoint", wire.checkpoint)?,
        labels: wire.labels,
        inputs: read("inputs", wire.inputs)?,
        outputs: read("outputs", wire.outputs)?,
    })
}

fn into_rejection(error: DecodeError) -> Rejection {
    match error {
        DecodeError::Invalid { field, why } => Rejection::invalid(field, why),
        DecodeError::UnknownVariant { message: field } => {
            Rejection::invalid(field, "it is empty or of a kind that is not known here")
        }
        DecodeError::NoProtobuf { message, source } => {
            Rejection::invalid(message, source.to_string())
        }
    }
}

/// What `requires` holds: the names of `features`, sorted.
pub(super) fn names(features: &BTreeSet<Feature>) -> Vec<String> {
    let names: BTreeSet<_> = features.iter().map(|feature| feature.name()).collect();
    names.into_iter().map(Into::into).collect()
}

/// The features of these names.
///
/// # Errors
/// [`Rejection::Unsupported`] with the first name that this build does not know.
pub(super) fn features(names: &[String]) -> Result<BTreeSet<Feature>, Rejection> {
    let known = |name: &String| {
        Feature::from_name(name).ok_or_else(|| Rejection::Unsupported { name: sentence(name) })
    };
    names.iter().map(known).collect()
}

/// Refuses what uses more than it declares: its sender might as well have left out a name that is
/// not known here.
///
/// # Errors
/// [`Rejection::Invalid`] with the first feature that is not declared.
pub(super) fn undeclared(
    used: &BTreeSet<Feature>,
    declared: &BTreeSet<Feature>,
) -> Result<(), Rejection> {
    used.difference(declared).next().map_or(Ok(()), |feature| {
        let why = format!("{:?} is used but not named: name it", feature.name());
        Err(Rejection::invalid("requires", why))
    })
}

impl Convert for Limits {
    type Wire = wire::Limits;

    fn to_wire(&self) -> wire::Limits {
        let Self { fuel, deadline, stack_bytes, output_bytes, disk_bytes, files, handles, .. } =
            self;
        wire::Limits {
            fuel: *fuel,
            deadline_micros: deadline.to_wire(),
            stack_bytes: Some(*stack_bytes),
            output_bytes: Some(*output_bytes),
            disk_bytes: Some(*disk_bytes),
            files: Some(*files),
            handles: Some(*handles),
            random_bytes: self.random_bytes,
            host_calls_per_second: self.host_calls_per_second,
        }
    }

    fn from_wire(wire: wire::Limits) -> Result<Self, DecodeError> {
        let default = Self::default();
        Ok(Self {
            fuel: wire.fuel,
            deadline: read("deadline_micros", wire.deadline_micros)?,
            stack_bytes: wire.stack_bytes.unwrap_or(default.stack_bytes),
            output_bytes: wire.output_bytes.unwrap_or(default.output_bytes),
            disk_bytes: wire.disk_bytes.unwrap_or(default.disk_bytes),
            files: wire.files.unwrap_or(default.files),
            handles: wire.handles.unwrap_or(default.handles),
            random_bytes: wire.random_bytes,
            host_calls_per_second: wire.host_calls_per_second,
        })
    }
}

impl Convert for Policies {
    type Wire = wire::Policies;

    fn to_wire(&self) -> wire::Policies {
        let Self { retry, kill_grace, heartbeat, lost_after } = self;
        wire::Policies {
            retry: retry.to_wire(),
            kill_grace_micros: kill_grace.to_wire(),
            heartbeat_micros: heartbeat.to_wire(),
            lost_after_micros: lost_after.to_wire(),
        }
    }

    fn from_wire(wire: wire::Policies) -> Result<Self, DecodeError> {
        Ok(Self {
            retry: read("retry", wire.retry)?,
            kill_grace: read("kill_grace_micros", wire.kill_grace_micros)?,
            heartbeat: read("heartbeat_micros", wire.heartbeat_micros)?,
            lost_after: read("lost_after_micros", wire.lost_after_micros)?,
        })
    }
}

impl Convert for Retry {
    type Wire = wire::Retry;

    fn to_wire(&self) -> wire::Retry {
        let on = self.on.iter().map(RetryOn::to_wire).collect();
        wire::Retry { times: self.times, wait_micros: self.wait.to_wire(), on }
    }

    fn from_wire(wire: wire::Retry) -> Result<Self, DecodeError> {
        let on: Vec<RetryOn> = read("on", wire.on)?;
        let wait = read("wait_micros", wire.wait_micros)?;
        Ok(Self { times: wire.times, wait, on: on.into_iter().collect() })
    }
}

impl Convert for Grants {
    type Wire = wire::Grants;

    fn to_wire(&self) -> wire::Grants {
        wire::Grants {
            env: self.env.clone(),
            stdin: self.stdin.to_wire(),
            dirs: self.dirs.to_wire(),
            clock: Some(self.clock.to_wire()),
            random: Some(self.random.to_wire()),
            network: self.network.iter().map(ToString::to_string).collect(),
            framework: self.framework,
            network_denied: self.network_denied,
            stdin_stream: self.stdin_stream,
        }
    }

    fn from_wire(wire: wire::Grants) -> Result<Self, DecodeError> {
        let network = wire.network.into_iter().enumerate().map(|(i, text)| {
            let wrong = |error| DecodeError::invalid(error).within(&format!("network[{i}]"));
            text.parse::<NetGrant>().map_err(wrong)
        });
        Ok(Self {
            env: wire.env,
            stdin: read("stdin", wire.stdin)?,
            dirs: read("dirs", wire.dirs)?,
            clock: or_default("clock", wire.clock)?,
            random: or_default("random", wire.random)?,
            network: network.collect::<Result<_, _>>()?,
            framework: wire.framework,
            network_denied: wire.network_denied,
            stdin_stream: wire.stdin_stream,
        })
    }
}

impl Convert for Clock {
    type Wire = wire::Clock;

    fn to_wire(&self) -> wire::Clock {
        use clock::*;
        let kind = match self {
            Self::Real => Kind::Real(Real {}),
            Self::Fixed { at } => Kind::Fixed(Fixed { at_micros: at.to_wire() }),
            Self::Virtual { start } => Kind::Virtual(Virtual { start_micros: start.to_wire() }),
        };
        wire::Clock { kind: Some(kind) }
    }

    fn from_wire(wire: wire::Clock) -> Result<Self, DecodeError> {
        Ok(match known(wire.kind)? {
            clock::Kind::Real(_) => Self::Real,
            clock::Kind::Fixed(m) => Self::Fixed { at: read("fixed.at_micros", m.at_micros)? },
            clock::Kind::Virtual(m) => {
                Self::Virtual { start: read("virtual.start_micros", m.start_micros)? }
            }
        })
    }
}

impl Convert for Random {
    type Wire = wire::Random;

    fn to_wire(&self) -> wire::Random {
        use random::*;
        let kind = match self {
            Self::Real => Kind::Real(Real {}),
            Self::Seeded { seed } => Kind::Seeded(Seeded { seed: *seed }),
        };
        wire::Random { kind: Some(kind) }
    }

    fn from_wire(wire: wire::Random) -> Result<Self, DecodeError> {
        Ok(match known(wire.kind)? {
            random::Kind::Real(_) => Self::Real,
            random::Kind::Seeded(m) => Self::Seeded { seed: m.seed },
        })
    }
}

impl Convert for DirGrant {
    type Wire = wire::DirGrant;

    fn to_wire(&self) -> wire::DirGrant {
        use dir_grant::{Host, Kind, Sandbox, Volume};
        let kind = match &self.source {
            DirSource::Sandbox => Kind::Sandbox(Sandbox {}),
            DirSource::Host(path) => Kind::Host(Host { path: path.clone() }),
            DirSource::Volume(name) => Kind::Volume(Volume { name: name.clone() }),
        };
        let access = self.access.to_wire();
        wire::DirGrant { kind: Some(kind), guest: self.guest.clone(), access }
    }

    fn from_wire(wire: wire::DirGrant) -> Result<Self, DecodeError> {
        let source = match known(wire.kind)? {
            dir_grant::Kind::Sandbox(_) => DirSource::Sandbox,
            dir_grant::Kind::Host(host) => DirSource::Host(host.path),
            dir_grant::Kind::Volume(volume) => DirSource::Volume(volume.name),
        };
        Ok(Self { source, guest: wire.guest, access: read("access", wire.access)? })
    }
}

impl Convert for Input {
    type Wire = wire::Input;

    fn to_wire(&self) -> wire::Input {
        let Self { digest, guest, form } = self;
        wire::Input { digest: digest.to_wire(), guest: guest.clone(), form: form.to_wire() }
    }

    fn from_wire(wire: wire::Input) -> Result<Self, DecodeError> {
        let (digest, form) = (read("digest", wire.digest)?, read("form", wire.form)?);
        Ok(Self { digest, guest: wire.guest, form })
    }
}

impl Convert for Output {
    type Wire = wire::Output;

    fn to_wire(&self) -> wire::Output {
        wire::Output { guest: self.guest.clone() }
    }

    fn from_wire(wire: wire::Output) -> Result<Self, DecodeError> {
        Ok(Self { guest: wire.guest })
    }
}

convert_enum!(Form, wire::Form { File, Folder }, default);
convert_enum!(Access, wire::Access { ReadWrite, ReadOnly }, default);
convert_enum!(Diagnostics, wire::Diagnostics { Plain, Coredump }, default);
convert_enum!(RetryOn, wire::RetryOn { Exit, Trap, Memory, Unhealthy, Failed });
convert_enum!(Terms, wire::Terms { Regular, Revocable }, default);

#[cfg(test)]
mod tests {
    use super::{super::tests::examples::rich_spec, *};

    /// What becomes of a launch of a spec that was changed on its way.
    fn take(spoil: fn(&mut wire::TaskSpec)) -> Result<LaunchTask, DecodeError> {
        let mut spec = spec_to_wire(&rich_spec());
        spoil(&mut spec);
        LaunchTask::from_wire(wire::LaunchTask { kind: Some(launch_task::Kind::Spec(spec)) })
    }

    #[test]
    fn a_spec_names_what_it_requires_in_order() {
        let names = [
            "grant.clock.virtual",
            "grant.dir.host",
            "grant.dir.read_only",
            "grant.dir.sandbox",
            "grant.dir.volume",
            "grant.env",
            "grant.framework",
            "grant.network",
            "grant.network.denied",
            "grant.random.seeded",
            "grant.stdin",
            "limit.cpus",
            "limit.deadline",
            "limit.disk",
            "limit.fuel",
            "limit.handles",
            "limit.host_calls",
            "limit.memory",
            "limit.output",
            "limit.random",
            "limit.stack",
            "policy.checkpoint",
            "policy.coredump",
            "policy.heartbeat",
            "policy.kill_grace",
            "policy.lost_after",
            "policy.retry",
            "policy.revocable",
        ];
        assert_eq!(spec_to_wire(&rich_spec()).requires, names);
    }

    #[test]
    fn a_spec_with_files_names_that() {
        let names = spec_to_wire(&super::super::tests::examples::spec_with_files()).requires;
        assert_eq!(names[..3], ["files.inputs", "files.outputs", "grant.dir.sandbox"]);
    }

    #[test]
    fn a_spec_with_a_stream_names_that() {
        let names = spec_to_wire(&super::super::tests::examples::spec_with_stream()).requires;
        assert_eq!(names[0], "grant.stdin.stream");
    }

    #[test]
    fn a_name_that_is_not_known_refuses_the_task_whatever_else_is_wrong() {
        let launch = take(|spec| {
            spec.requires.push("grant.gpu".into());
            spec.module.clear();
        });
        let name = "grant.gpu".into();
        let TaskSpec { task, attempt, .. } = rich_spec();
        let rejection = Rejection::Unsupported { name };
        assert_eq!(launch, Ok(Err(RefusedTask { task, attempt, rejection })));
    }

    #[test]
    fn a_malformed_spec_is_refused_naming_the_field() {
        type Spoil = fn(&mut wire::TaskSpec);
        let cases: [(&str, Spoil); 8] = [
            ("module", |s| s.module = vec![0; 33]),
            ("resources", |s| s.resources = None),
            ("resources", |s| s.resources = Some(wire::Resources::default())),
            ("attempt", |s| s.attempt = 0),
            ("limits.fuel", |s| s.limits.as_mut().expect("limits").fuel = Some(0)),
            ("grants.stdin", |s| s.grants.as_mut().expect("grants").stdin = Some(vec![0; 31])),
            ("grants.dirs[1]", |s| s.grants.as_mut().expect("grants").dirs[1].kind = None),
            ("requires", |s| s.requires.retain(|name| name != "limit.fuel")),
        ];
        for (expected, spoil) in cases {
            let Ok(Err(RefusedTask { rejection: Rejection::Invalid { field, .. }, .. })) =
                take(spoil)
            else {
                panic!("{expected} was not refused: {:?}", take(spoil));
            };
            assert_eq!(field, expected);
        }
    }

    #[test]
    fn a_spec_without_a_task_id_fails_the_message() {
        let error = take(|spec| spec.task = "../etc".into()).expect_err("a wrong id");
        assert!(error.to_string().starts_with("spec.task: \"../etc\" is no task id"), "{error}");
    }

    #[test]
    fn a_spec_that_leaves_out_limits_and_grants_gets_the_defaults() {
        let launch = take(|spec| (spec.limits, spec.grants) = (None, None));
        let expected =
            TaskSpec { limits: Limits::default(), grants: Grants::default(), ..rich_spec() };
        assert_eq!(launch, Ok(Ok(expected)));
    }
}
