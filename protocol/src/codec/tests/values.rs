//! The parts that examples of messages are made of.

use super::examples::{volume, window};
use crate::{
    executor::StartGuest,
    framework::{Acknowledgement, Offer, RefusedTask},
    ids::*,
    outcome::*,
    rejection::Rejection,
    resources::{Amount, DISK, Resources},
    task::{
        Access, Clock, Diagnostics, DirGrant, DirSource, Form, Grants, Input, Limits, Output,
        Policies, Random, Retry, RetryOn, TaskSpec, Terms,
    },
    time::Time,
    wishes::Wishes,
};
use std::{collections::BTreeMap, time::Duration};

pub(super) fn wishes() -> Wishes {
    let constraints = [
        "zone exists",
        "gpu missing",
        "zone equals z1",
        "zone differs z2",
        "rack matches r[0-9]+",
        "rack mismatches r0.*",
    ];
    let constraints = constraints.iter().map(|text| text.parse().expect("a constraint"));
    Wishes { floors: Some(vec![resources()]), groups: vec![constraints.collect()] }
}

/// A spec that says no more than it must.
pub(super) fn plain_spec() -> TaskSpec {
    TaskSpec::new(task(), digest(), Resources::new(Amount::units(1), Amount::units(64)))
}

/// A spec with files.
pub(in crate::codec) fn spec_with_files() -> TaskSpec {
    let mut spec = TaskSpec {
        inputs: inputs(),
        outputs: vec![Output::new("a.png"), Output::new("out/*.png")],
        ..plain_spec()
    };
    spec.grants.dirs = vec![DirGrant::read_write(DirSource::Sandbox, ".")];
    spec
}

/// A spec whose standard input is a stream.
pub(in crate::codec) fn spec_with_stream() -> TaskSpec {
    let mut spec = plain_spec();
    spec.grants.stdin_stream = true;
    spec
}

/// A spec that uses every field but those for files and streams.
pub(in crate::codec) fn rich_spec() -> TaskSpec {
    let dirs = vec![
        DirGrant::read_write(DirSource::Sandbox, "."),
        DirGrant {
            source: DirSource::Host("/srv/data".into()),
            guest: "/data".into(),
            access: Access::ReadOnly,
        },
        DirGrant::read_write(DirSource::Volume("models".into()), "/models"),
    ];
    TaskSpec {
        attempt: Attempt(2),
        name: "prime".into(),
        args: vec!["--from".into(), "2".into()],
        index: Some(17),
        resources: resources(),
        limits: Limits {
            fuel: Some(1_000_000),
            deadline: Some(Duration::from_millis(2_500)),
            stack_bytes: 64 << 10,
            output_bytes: 1 << 20,
            disk_bytes: 2 << 20,
            files: 100,
            handles: 32,
            random_bytes: Some(4_096),
            host_calls_per_second: Some(10_000),
        },
        grants: Grants {
            env: texts("LANG", "C"),
            stdin: Some(digest()),
            dirs,
            clock: Clock::Virtual { start: now() },
            random: Random::Seeded { seed: 42 },
            network: ["example.org:443".parse().expect("a peer")].into(),
            framework: true,
            network_denied: true,
            stdin_stream: false,
        },
        diagnostics: Diagnostics::Coredump,
        terms: Terms::Revocable,
        policies: policies(),
        checkpoint: b"halfway".to_vec(),
        labels: texts("owner", "ada"),
        ..plain_spec()
    }
}

fn inputs() -> Vec<Input> {
    vec![
        Input { digest: digest(), guest: "data.csv".into(), form: Form::File },
        Input { digest: digest(), guest: "etc/conf".into(), form: Form::Folder },
    ]
}

pub(super) fn delivered() -> Vec<Delivered> {
    let one =
        |guest: &str, form| Delivered { guest: guest.into(), digest: digest(), size: 5, form };
    vec![one("a.png", Form::File), one("out/*.png", Form::Folder)]
}

pub(super) fn policies() -> Policies {
    Policies {
        retry: Some(Retry { on: [RetryOn::Exit, RetryOn::Trap].into(), ..Retry::after_any(3) }),
        kill_grace: Some(Duration::from_secs(10)),
        heartbeat: Some(Duration::from_secs(5)),
        lost_after: Some(Duration::from_secs(60)),
    }
}

pub(super) fn checkpoint() -> Checkpoint {
    Checkpoint { key: key(), bytes: b"halfway".to_vec() }
}

/// A guest with every limit and grant.
pub(super) fn guest() -> StartGuest {
    let TaskSpec { module, name, args, index, limits, grants, diagnostics, .. } = rich_spec();
    StartGuest {
        key: key(),
        agent: agent(),
        module,
        name,
        args,
        index,
        cpus: Amount::millis(250),
        memory_bytes: 64 << 20,
        limits,
        grants,
        diagnostics,
        policies: policies(),
        checkpoint: b"halfway".to_vec(),
        inputs: Vec::new(),
        sandbox: "/tasks/prime".into(),
    }
}

/// A guest with inputs.
pub(super) fn guest_with_inputs() -> StartGuest {
    StartGuest { inputs: inputs(), ..guest() }
}

/// The last update of a task that has left outputs.
pub(super) fn update_with_outputs() -> StatusUpdate {
    let done = TaskState::Ended(Outcome::Exited { code: 0 });
    StatusUpdate { outputs: delivered(), ..update(done) }
}

/// The last update of a task that died, and has left one of its outputs.
pub(super) fn update_with_missing_outputs() -> StatusUpdate {
    let missing = vec![Missing::new("out/*.png", "it has left nothing of that name")];
    let outputs = delivered().into_iter().take(1).collect();
    let died = TaskState::Ended(Outcome::OutOfFuel { limit: 5_000_000 });
    StatusUpdate { outputs, missing, ..update(died) }
}

/// The last update of a task, in that state.
pub(super) fn update(state: TaskState) -> StatusUpdate {
    StatusUpdate {
        key: key(),
        seq: 3,
        agent: Some(agent()),
        state,
        source: Source::Executor,
        at: now(),
        usage: Some(usage()),
        result: b"42".to_vec(),
        last_words: "a last word".into(),
        outputs: Vec::new(),
        missing: Vec::new(),
    }
}

pub(super) fn refused(rejection: Rejection) -> RefusedTask {
    RefusedTask { task: task(), attempt: Attempt(2), rejection }
}

pub(super) fn offer() -> Offer {
    Offer {
        id: OfferId(255),
        agent: agent(),
        hostname: "node-7.example.org".into(),
        role: role(),
        resources: resources(),
        attributes: texts("zone", "a"),
        architecture: "x86_64".into(),
        enforces: vec!["limit.memory".into()],
        expires: now() + Duration::from_secs(30),
        reserved: BTreeMap::from([(role(), resources())]),
        revocable: resources(),
        unavailable: Some(window()),
        volumes: vec![volume()],
    }
}

pub(super) fn acknowledgements() -> Vec<Acknowledgement> {
    vec![Acknowledgement { key: key(), seq: 3 }]
}

pub(super) fn progress() -> Progress {
    Progress { key: key(), done: 3, total: 10, message: "sieving".into() }
}

pub(super) fn message() -> TaskMessage {
    TaskMessage { key: key(), bytes: b"ready".to_vec() }
}

pub(super) fn usage() -> Usage {
    Usage {
        fuel: 123_456,
        cpu: Duration::from_micros(2_000),
        wall: Duration::from_micros(2_500),
        compile: Duration::from_micros(70_000),
        start: Duration::from_micros(90),
        memory_bytes_peak: 1 << 20,
        stdout_bytes: 3,
        stderr_bytes: 1,
        bytes_in: 12,
        bytes_out: 4,
        run_digest: Some(digest()),
        restarts: 2,
    }
}

pub(super) fn resources() -> Resources {
    Resources::new(Amount::millis(1_500), Amount::units(512)).with(DISK, Amount::units(10))
}

pub(super) fn texts(key: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(key.into(), value.into())])
}

pub(super) fn key() -> TaskKey {
    TaskKey { framework: framework(), task: task(), attempt: Attempt(2) }
}

pub(super) fn framework() -> FrameworkId {
    FrameworkId::new("f-1").expect("a framework id")
}

pub(super) fn agent() -> AgentId {
    AgentId::new("a-7").expect("an agent id")
}

pub(super) fn task() -> TaskId {
    TaskId::new("prime.17").expect("a task id")
}

pub(super) fn role() -> Role {
    Role::new("eng/batch").expect("a role")
}

pub(super) fn digest() -> Digest {
    Digest::of(b"module")
}

pub(super) fn now() -> Time {
    Time::from_micros(1_700_000_000_000_000)
}
