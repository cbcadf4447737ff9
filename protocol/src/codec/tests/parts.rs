//! Any valid value of what messages are made of, for property tests.

use super::{ends, examples};
use crate::{
    framework::{Acknowledgement, LaunchTask, Offer, RefusedTask, Window},
    ids::*,
    outcome::*,
    rejection::Rejection,
    resources::{Amount, CPUS, MEM, Resources},
    task::{
        Access, Clock, Diagnostics, DirGrant, DirSource, Grants, Limits, NetGrant, Random,
        TaskSpec, Terms,
    },
    time::Time,
};
use proptest::{
    collection::{btree_map, btree_set, vec},
    option,
    prelude::*,
};
use std::{collections::BTreeMap, time::Duration};

pub(super) fn launches() -> impl Strategy<Value = Vec<LaunchTask>> {
    vec(prop_oneof![spec().prop_map(Ok), refused().prop_map(Err)], 0..3)
}

pub(super) fn refused() -> impl Strategy<Value = RefusedTask> {
    (task(), attempt(), rejection()).prop_map(|(task, attempt, rejection)| RefusedTask {
        task,
        attempt,
        rejection,
    })
}

fn dirs() -> impl Strategy<Value = Vec<DirGrant>> {
    let source = prop_oneof![
        Just(DirSource::Sandbox),
        "/\\PC{0,12}".prop_map(DirSource::Host),
        "[a-z]{1,8}".prop_map(DirSource::Volume),
    ];
    vec(source, 0..3).prop_map(|sources| {
        let grant = |(i, source)| {
            let access = if i == 0 { Access::ReadOnly } else { Access::ReadWrite };
            DirGrant { source, guest: format!("/dir{i}"), access }
        };
        sources.into_iter().enumerate().map(grant).collect()
    })
}

/// A spec that passes its own check.
pub(super) fn spec() -> impl Strategy<Value = TaskSpec> {
    let limits = (option::of(1..u64::MAX), option::of(1..u64::MAX), 1..=512u64 << 10, any::<u64>())
        .prop_map(|(fuel, deadline, stack_bytes, output_bytes)| Limits {
            fuel,
            deadline: deadline.map(Duration::from_micros),
            stack_bytes,
            output_bytes,
            disk_bytes: output_bytes ^ stack_bytes,
            files: stack_bytes,
            random_bytes: fuel,
            host_calls_per_second: deadline,
            ..Limits::default()
        });
    let dirs = dirs();
    let clock = prop_oneof![Just(Clock::Real), time().prop_map(|at| Clock::Fixed { at })];
    let random = any::<u64>().prop_map(|seed| Random::Seeded { seed });
    let peer = ("[a-z]{1,8}", 1..u16::MAX).prop_map(|(host, port)| NetGrant { host, port });
    let network = btree_set(peer, 0..3);
    let framework = any::<bool>();
    let grants = (texts(), option::of(digest()), dirs, clock, random, network, framework).prop_map(
        |(env, stdin, dirs, clock, random, network, framework)| Grants {
            env,
            stdin,
            dirs,
            clock,
            random,
            network,
            framework,
            network_denied: framework,
            stdin_stream: false,
        },
    );
    let ids = (task(), 1..u32::MAX, digest(), text());
    let mem = 1..=Amount::MAX.as_millis();
    (ids, vec(text(), 0..3), option::of(any::<u64>()), resources(), mem, limits, grants, texts())
        .prop_map(
            |((task, attempt, module, name), args, index, more, mem, limits, grants, labels)| {
                let cpus = more.cpus().max(Amount::millis(1));
                let resources = more.with(MEM, Amount::millis(mem)).with(CPUS, cpus);
                let TaskSpec { inputs, outputs, .. } = files_for(&grants);
                TaskSpec {
                    task,
                    attempt: Attempt(attempt),
                    module,
                    name,
                    args,
                    index,
                    resources,
                    limits,
                    grants,
                    diagnostics: Diagnostics::Coredump,
                    terms: Terms::Revocable,
                    policies: examples::policies(),
                    checkpoint: vec![1; index.unwrap_or(0) as usize % 9],
                    labels,
                    inputs,
                    outputs,
                }
            },
        )
}

/// A spec whose files may go with these grants.
fn files_for(grants: &Grants) -> TaskSpec {
    let is_own = |dir: &DirGrant| dir.source == DirSource::Sandbox;
    match grants.dirs.iter().any(is_own) {
        true => examples::spec_with_files(),
        false => examples::plain_spec(),
    }
}

pub(super) fn offer() -> impl Strategy<Value = Offer> {
    let names = (text(), text(), vec(text(), 0..3));
    (offer_id(), agent(), names, role(), resources(), texts(), time()).prop_map(
        |(id, agent, (hostname, architecture, enforces), role, resources, attributes, expires)| {
            Offer {
                id,
                agent,
                hostname,
                role: role.clone(),
                attributes,
                architecture,
                enforces,
                expires,
                reserved: [(role, resources.clone())].into(),
                revocable: resources.clone(),
                resources,
                unavailable: Some(Window { from: expires, lasts: None }),
                volumes: Vec::new(),
            }
        },
    )
}

pub(super) fn update() -> impl Strategy<Value = StatusUpdate> {
    let source = prop_oneof![Just(Source::Master), Just(Source::Agent), Just(Source::Executor)];
    (key(), any::<u64>(), option::of(agent()), state(), source, time(), option::of(usage()), blob())
        .prop_map(|(key, seq, agent, state, source, at, usage, result)| StatusUpdate {
            key,
            seq,
            agent,
            state,
            source,
            at,
            usage,
            result,
            last_words: "no more".into(),
            outputs: super::values::delivered(),
            missing: super::values::update_with_missing_outputs().missing,
        })
}

pub(super) fn state() -> impl Strategy<Value = TaskState> {
    prop_oneof![
        Just(TaskState::Staging),
        Just(TaskState::Starting),
        Just(TaskState::Running),
        Just(TaskState::Paused),
        Just(TaskState::Unreachable),
        outcome().prop_map(TaskState::Ended),
    ]
}

pub(super) fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        proptest::sample::select(ends::outcomes()),
        any::<i32>().prop_map(|code| Outcome::Exited { code }),
        duration().prop_map(|limit| Outcome::DeadlinePassed { limit }),
        (text(), vec(text(), 0..20)).prop_map(|(why, backtrace)| Outcome::Trapped {
            trap: Trap::StackOverflow,
            why,
            backtrace
        }),
        killed_by().prop_map(|by| Outcome::Killed { by }),
        rejection().prop_map(|rejection| Outcome::Refused { rejection }),
    ]
}

pub(super) fn killed_by() -> impl Strategy<Value = KilledBy> {
    prop_oneof![
        Just(KilledBy::Framework),
        Just(KilledBy::Operator),
        attempt().prop_map(KilledBy::NewerAttempt),
        Just(KilledBy::FrameworkRemoved),
        Just(KilledBy::AgentStopped),
    ]
}

pub(super) fn rejection() -> impl Strategy<Value = Rejection> {
    prop_oneof![
        proptest::sample::select(ends::rejections()),
        (task(), resources(), resources())
            .prop_map(|(task, asked, offered)| Rejection::DoesNotFit { task, asked, offered }),
        (text(), text()).prop_map(|(field, why)| Rejection::Invalid { field, why }),
        (task(), any::<u64>()).prop_map(|(task, bytes)| Rejection::OutputGone { task, bytes }),
        (task(), text()).prop_map(|(task, why)| Rejection::Undelivered { task, why }),
    ]
}

pub(super) fn usage() -> impl Strategy<Value = Usage> {
    (any::<[u64; 6]>(), duration(), duration(), option::of(digest())).prop_map(
        |([fuel, peak, stdout, stderr, bytes_in, bytes_out], wall, cpu, run_digest)| Usage {
            fuel,
            cpu,
            wall,
            compile: wall,
            start: cpu,
            memory_bytes_peak: peak,
            stdout_bytes: stdout,
            stderr_bytes: stderr,
            bytes_in,
            bytes_out,
            run_digest,
            restarts: (fuel % 7) as u32,
        },
    )
}

pub(super) fn progress() -> impl Strategy<Value = Progress> {
    (key(), any::<u64>(), any::<u64>(), text()).prop_map(|(key, done, total, message)| Progress {
        key,
        done,
        total,
        message,
    })
}

pub(super) fn acknowledgements() -> impl Strategy<Value = Vec<Acknowledgement>> {
    vec((key(), any::<u64>()).prop_map(|(key, seq)| Acknowledgement { key, seq }), 0..3)
}

pub(super) fn resources() -> impl Strategy<Value = Resources> {
    btree_map("[a-z0-9_-]{1,8}", 1..=Amount::MAX.as_millis(), 0..4).prop_map(|amounts| {
        amounts.iter().fold(Resources::none(), |all, (name, m)| all.with(name, Amount::millis(*m)))
    })
}

pub(super) fn key() -> impl Strategy<Value = TaskKey> {
    (framework(), task(), attempt()).prop_map(|(framework, task, attempt)| TaskKey {
        framework,
        task,
        attempt,
    })
}

const ID: &str = "[A-Za-z0-9_][A-Za-z0-9._-]{0,20}";

pub(super) fn framework() -> impl Strategy<Value = FrameworkId> {
    ID.prop_map(|text| FrameworkId::new(text).expect("a framework id"))
}

pub(super) fn agent() -> impl Strategy<Value = AgentId> {
    ID.prop_map(|text| AgentId::new(text).expect("an agent id"))
}

pub(super) fn task() -> impl Strategy<Value = TaskId> {
    ID.prop_map(|text| TaskId::new(text).expect("a task id"))
}

pub(super) fn role() -> impl Strategy<Value = Role> {
    vec(ID, 1..4).prop_map(|names| Role::new(names.join("/")).expect("a role"))
}

pub(super) fn offer_id() -> impl Strategy<Value = OfferId> {
    any::<u64>().prop_map(OfferId)
}

pub(super) fn allocation() -> impl Strategy<Value = AllocationId> {
    any::<u64>().prop_map(AllocationId)
}

pub(super) fn attempt() -> impl Strategy<Value = Attempt> {
    any::<u32>().prop_map(Attempt)
}

pub(super) fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest::from_bytes)
}

pub(super) fn duration() -> impl Strategy<Value = Duration> {
    any::<u64>().prop_map(Duration::from_micros)
}

pub(super) fn time() -> impl Strategy<Value = Time> {
    any::<u64>().prop_map(Time::from_micros)
}

pub(super) fn blob() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..20)
}

pub(super) fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

pub(super) fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("[a-z]{1,8}", text(), 0..3)
}
