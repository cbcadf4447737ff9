//! WASI preview 1, a behaviour at a time: the guest `conformance` tries each in a sandbox of its
//! own and says which answer is wrong.
//!
//! What it expects is what the public test suite of WASI expects, and what plain wasmtime answers.
//! It is the net under everything that stands between wasmtime-wasi and a guest here: prices of
//! host calls, limits on disk and handles, clocks.

mod kit;

use kit::{Bench, End, key};
use skep_protocol::{
    executor::StartGuest,
    task::{Access, Clock, DirGrant, DirSource, Grants, Random},
    time::Time,
};
use std::fs;

/// Behaviours that the guest knows at least: fewer mean that it lost some.
const BEHAVIOURS_MIN: usize = 75;

/// What a deterministic run answers otherwise on purpose: there a file has no times.
const WITHOUT_TIMES: [&str; 2] =
    ["a file's times can be set", "the status of a link is its own unless followed"];

/// The guest with these arguments, in an empty sandbox directory that it sees as its root.
fn guest(bench: &Bench, number: usize, args: &[&str], grants: Grants) -> StartGuest {
    let root =
        DirGrant { source: DirSource::Sandbox, guest: "/".into(), access: Access::ReadWrite };
    StartGuest {
        key: key(&format!("conformance-{number}")),
        args: args.iter().map(ToString::to_string).collect(),
        grants: Grants { dirs: vec![root], ..grants },
        sandbox: bench.path(&format!("sandbox-{number}")),
        ..bench.program("conformance")
    }
}

/// Tries every behaviour under these grants, but some. Returns which of them failed, and how.
async fn failures(grants: &Grants, but: &[&str]) -> Vec<String> {
    let bench = Bench::new();
    let listing = guest(&bench, 0, &[], grants.clone());
    let sandbox = listing.sandbox.clone();
    let End { outcome, last_words, .. } = bench.run(listing).await;
    assert!(outcome.is_success(), "{outcome}: {last_words}");
    let names = fs::read_to_string(sandbox.join("stdout")).expect("the names");
    let names: Vec<_> = names.lines().collect();
    assert!(names.len() >= BEHAVIOURS_MIN, "only {} behaviours", names.len());
    let mut failures = Vec::new();
    for (number, name) in names.iter().enumerate().filter(|(_, name)| !but.contains(name)) {
        let guest = guest(&bench, number + 1, &[name], grants.clone());
        let End { outcome, last_words, .. } = bench.run(guest).await;
        if !outcome.is_success() {
            failures.push(format!("{name}: {outcome}: {last_words}"));
        }
    }
    failures
}

#[tokio::test]
async fn every_behaviour_of_preview_1_is_as_promised() {
    assert_eq!(failures(&Grants::default(), &[]).await, Vec::<String>::new());
}

#[tokio::test]
async fn every_behaviour_is_the_same_in_a_deterministic_run() {
    let grants = Grants {
        clock: Clock::Virtual { start: Time::from_micros(1_700_000_000_000_000) },
        random: Random::Seeded { seed: 7 },
        ..Grants::default()
    };
    assert_eq!(failures(&grants, &WITHOUT_TIMES).await, Vec::<String>::new());
}
