//! Laws over random inputs: nothing panics, the invariants hold, the disk gives back the state,
//! and the same inputs have the same effects.

use super::*;
use crate::{CompileFailure, FetchFailure, Gone, Network};
use proptest::prelude::*;
use skep_protocol::{
    Rejection,
    executor::{GuestStage, HeldGuest},
    outcome::{Delivered, KilledBy, Missing},
    task::{self, DirGrant, Form, Output, Terms},
};

const GONE: [Gone; 3] = [Gone::Unready, Gone::Ended, Gone::Rebooted];
const STAGES: [GuestStage; 2] = [GuestStage::Starting, GuestStage::Running];

fn digests() -> impl Strategy<Value = Digest> {
    prop_oneof![Just(module()), Just(Digest::of(b"other"))]
}

fn frameworks() -> impl Strategy<Value = FrameworkId> {
    prop_oneof![3 => Just("f1"), 1 => Just("f2")]
        .prop_map(|id| FrameworkId::new(id).expect("an id"))
}

fn keys() -> impl Strategy<Value = TaskKey> {
    (frameworks(), 0..6, 1..4_u32).prop_map(|(framework, task, attempt)| {
        let task = TaskId::new(format!("t{task}")).expect("an id");
        TaskKey { framework, task, attempt: Attempt(attempt) }
    })
}

fn specs() -> impl Strategy<Value = TaskSpec> {
    (0..6, 1..4_u32, digests(), 1..4_u64, any::<bool>(), 0..10).prop_map(
        |(task, attempt, module, cpus, sandbox, nature)| {
            let mem = if nature == 9 { 900 } else { 32 };
            let resources = Resources::new(Amount::units(cpus), Amount::units(mem));
            let task = TaskId::new(format!("t{task}")).expect("an id");
            let mut spec = TaskSpec::new(task, module, resources);
            spec.attempt = Attempt(attempt);
            // Three jails, one more than there may be at once.
            match nature % 5 {
                0 => spec.grants.network.extend("example.org:443".parse()),
                1 => {
                    let source = task::DirSource::Volume("data".into());
                    spec.grants.dirs.push(DirGrant::read_write(source, "/data"));
                }
                _ => {}
            }
            if nature >= 5 {
                spec.terms = Terms::Revocable;
            }
            if sandbox {
                spec.grants.stdin = Some(Digest::of(b"input"));
                let source = task::DirSource::Sandbox;
                spec.grants.dirs.push(DirGrant::read_write(source, "."));
                if nature % 3 > 0 {
                    let (digest, form) = (Digest::of(b"input"), Form::File);
                    spec.inputs.push(task::Input { digest, guest: "in".into(), form });
                    spec.outputs.push(Output::new("out"));
                }
            }
            spec
        },
    )
}

fn orders() -> impl Strategy<Value = ToAgent> {
    let launch = (0..3_u64, frameworks(), 1..4_u64, prop::collection::vec(specs(), 1..4));
    prop_oneof![
        6 => launch.prop_map(|(allocation, framework, cpus, specs)| ToAgent::Launch {
            allocation: AllocationId(allocation),
            framework,
            role: Role::default(),
            granted: Resources::new(Amount::units(cpus), Amount::units(1_000)),
            tasks: specs.into_iter().map(Ok).collect(),
        }),
        2 => Just(ToAgent::Registered { agent: agent() }),
        1 => (0..3_u64).prop_map(|id| ToAgent::Recall { allocation: AllocationId(id) }),
        2 => keys().prop_map(|key| ToAgent::Kill {
            framework: key.framework,
            task: key.task,
            attempt: key.attempt,
            by: KilledBy::Operator,
        }),
        4 => (keys(), 1..4_u64).prop_map(|(key, seq)| ToAgent::Acknowledge {
            number: 1,
            acknowledgements: vec![Acknowledgement { key, seq }],
        }),
        1 => frameworks().prop_map(|framework| ToAgent::RemoveFramework { framework }),
    ]
}

fn reports() -> impl Strategy<Value = Report> {
    prop_oneof![
        keys().prop_map(|key| Report::Started { key, at: at(1) }),
        keys().prop_map(|key| Report::Paused { key, at: at(1) }),
        keys().prop_map(|key| Report::Resumed { key, at: at(1) }),
        (keys(), any::<bool>()).prop_map(|(key, well)| Report::Ended {
            key,
            at: at(2),
            outcome: if well {
                Outcome::Exited { code: 0 }
            } else {
                Outcome::Failed { why: "lost its file".into() }
            },
            usage: usage(),
            result: Vec::new(),
            last_words: String::new(),
        }),
    ]
}

/// Of either framework, with and without network.
fn executors() -> impl Strategy<Value = ExecutorKey> {
    let network = prop_oneof![3 => Just(Network::Closed), 1 => Just(Network::Open)];
    (frameworks(), network).prop_map(|(framework, network)| {
        let profile = Profile { network, ..Profile::default() };
        ExecutorKey { framework, profile }
    })
}

fn guests() -> impl Strategy<Value = HeldGuest> {
    (keys(), prop::sample::select(&STAGES[..]), any::<bool>())
        .prop_map(|(key, stage, paused)| HeldGuest { key, stage, paused })
}

fn inputs() -> impl Strategy<Value = Input> {
    let fetch_failures = prop_oneof![
        Just(FetchFailure::Failed { why: "cut off".into() }),
        Just(FetchFailure::Refused { rejection: Rejection::UnknownToken }),
    ];
    let compile_failures = prop_oneof![
        2 => Just(CompileFailure::Failed { why: "killed".into() }),
        1 => Just(CompileFailure::Rejected { why: "no module".into() }),
    ];
    let blobs = || prop_oneof![digests(), Just(Digest::of(b"input"))];
    prop_oneof![
        2 => Just(Input::Connected),
        1 => Just(Input::Disconnected),
        12 => orders().prop_map(Input::Master),
        3 => blobs().prop_map(|digest| Input::BlobReady { digest }),
        1 => (blobs(), fetch_failures).prop_map(|(digest, why)| Input::BlobFailed { digest, why }),
        3 => digests().prop_map(|module| Input::Compiled { artifact: native(module) }),
        1 => (digests(), compile_failures)
            .prop_map(|(module, why)| Input::CompileFailed { artifact: native(module), why }),
        3 => (executors(), prop::collection::vec(guests(), 0..4))
            .prop_map(|(executor, guests)| Input::ExecutorReady { executor, guests }),
        8 => (executors(), 0..3_u64, prop::collection::vec(reports(), 1..6)).prop_map(
            |(executor, batch, reports)| Input::Reports { executor, batch, reports }
        ),
        1 => (executors(), prop::sample::select(&GONE[..]))
            .prop_map(|(executor, how)| Input::ExecutorGone { executor, how }),
        1 => executors()
            .prop_map(|executor| Input::ExecutorEnded { executor, why: "killed".into() }),
        3 => (keys(), blobs()).prop_map(|(key, digest)| {
            let output = Delivered { guest: "out".into(), digest, size: 1, form: Form::File };
            Input::Delivered { key, outputs: vec![output], missing: vec![], broken: vec![] }
        }),
        1 => (keys(), any::<bool>()).prop_map(|(key, is_broken)| {
            let one = vec![Missing::new("out", "it is not there")];
            let (missing, broken) = if is_broken { (vec![], one) } else { (one, vec![]) };
            Input::Delivered { key, outputs: vec![], missing, broken }
        }),
        1 => keys().prop_map(|key| Input::SandboxKept { key }),
        4 => Just(Input::Tick),
        1 => Just(Input::Stop),
    ]
}

/// What happens to an agent, and how many milliseconds after the thing before.
fn stories() -> impl Strategy<Value = Vec<(u64, Input)>> {
    prop::collection::vec((0..20_000_u64, inputs()), 1..80)
}

proptest! {
    #![proptest_config(skep_properties::cases(256))]

    #[test]
    fn whatever_happens_the_invariants_hold_and_the_disk_gives_back_the_state(
        story in stories(),
        restart in 0..80_usize,
    ) {
        let mut bench = Bench::new();
        bench.admit();
        for (step, (millis, input)) in story.into_iter().enumerate() {
            if step == restart {
                let now = bench.now;
                bench = Bench::with(policy(), bench.disk).0;
                bench.now = now;
            }
            bench.now = bench.now + Duration::from_millis(millis);
            bench.act(input);
        }
    }

    #[test]
    fn the_same_inputs_have_the_same_effects(story in stories()) {
        let (mut one, mut other) = (Bench::new(), Bench::new());
        for (millis, input) in story {
            for bench in [&mut one, &mut other] {
                bench.now = bench.now + Duration::from_millis(millis);
            }
            prop_assert_eq!(one.act(input.clone()), other.act(input));
            prop_assert_eq!(one.agent.deadline(), other.agent.deadline());
        }
    }

    #[test]
    fn a_task_that_was_accepted_is_told_to_start_once_at_most(story in stories()) {
        let mut bench = Bench::new();
        bench.admit();
        let mut recorded = std::collections::BTreeSet::new();
        for (millis, input) in story {
            bench.now = bench.now + Duration::from_millis(millis);
            for effect in bench.act(input) {
                match effect {
                    Effect::Persist(Record::TaskAccepted { key, .. }) => {
                        recorded.insert(key);
                    }
                    Effect::SendExecutor { message: ToExecutor::Start { guests }, .. } => {
                        for guest in guests {
                            prop_assert!(recorded.remove(&guest.key), "{} was not due", guest.key);
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}
