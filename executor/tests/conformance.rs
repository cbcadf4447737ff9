//! WASI preview 1, a behaviour at a time: the guest `conformance` tries each in a sandbox of its
//! own and says which answer is wrong.
//!
//! What it expects is what the public test suite of WASI expects, and what plain wasmtime answers.
//! It is the net under everything that stands between wasmtime-wasi and a guest here: prices of
//! host calls, limits on disk and handles, clocks.

use skep_executor::{GuestFiles, Runner, compile_unlimited};
use skep_protocol::{
    Nans,
    executor::{Report, StartGuest},
    ids::{AgentId, Attempt, Digest, FrameworkId, TaskId, TaskKey},
    outcome::Outcome,
    resources::Amount,
    task::{Access, Clock, Diagnostics, DirGrant, DirSource, Grants, Limits, Random},
    time::Time,
};
use std::{
    fs::{self, File},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;

/// Behaviours that the guest knows at least: fewer mean that it lost some.
const BEHAVIOURS_MIN: usize = 75;

/// What a deterministic run answers otherwise on purpose: there a file has no times.
const WITHOUT_TIMES: [&str; 2] =
    ["a file's times can be set", "the status of a link is its own unless followed"];

/// A runner, the compiled guest, and a folder for sandboxes.
struct Bench {
    folder: TempDir,
    runner: Runner,
    module: Digest,
    artifact: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let runner = Runner::new(NonZeroUsize::new(2).expect("two")).expect("threads");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/modules/conformance.wasm");
        let module = Digest::of(&fs::read(&file).expect("the guest"));
        let artifact = folder.path().join("conformance.artifact");
        compile_unlimited(&file, &artifact, Nans::Native).expect("compiled");
        Self { folder, runner, module, artifact }
    }

    /// The guest with these arguments, in an empty sandbox directory that it sees as its root.
    fn guest(&self, number: usize, args: &[&str], grants: Grants) -> StartGuest {
        let framework = FrameworkId::new("framework").expect("an id");
        let task = TaskId::new(format!("conformance-{number}")).expect("an id");
        let root =
            DirGrant { source: DirSource::Sandbox, guest: "/".into(), access: Access::ReadWrite };
        StartGuest {
            key: TaskKey { framework, task, attempt: Attempt::FIRST },
            agent: AgentId::new("agent").expect("an id"),
            module: self.module,
            name: "conformance.wasm".into(),
            args: args.iter().map(ToString::to_string).collect(),
            index: None,
            cpus: Amount::units(1),
            memory_bytes: 64 << 20,
            limits: Limits::default(),
            grants: Grants { dirs: vec![root], ..grants },
            diagnostics: Diagnostics::default(),
            sandbox: self.folder.path().join(format!("sandbox-{number}")),
        }
    }

    /// Runs a guest to its end: what came of it, and its last words if it did not end well.
    async fn run(&self, guest: StartGuest) -> (Outcome, String) {
        let expected = guest.key.clone();
        let artifact = Arc::new(File::open(&self.artifact).expect("opened"));
        self.runner.start(guest, GuestFiles { artifact, stdin: None });
        loop {
            for report in self.runner.reports().await {
                if let Report::Ended { key, outcome, last_words, .. } = report
                    && key == expected
                {
                    return (outcome, last_words);
                }
            }
        }
    }

    /// Tries every behaviour under these grants, but some. Returns which of them failed, and how.
    async fn failures(&self, grants: &Grants, but: &[&str]) -> Vec<String> {
        let listing = self.guest(0, &[], grants.clone());
        let sandbox = listing.sandbox.clone();
        let (outcome, words) = self.run(listing).await;
        assert!(outcome.is_success(), "{outcome}: {words}");
        let names = fs::read_to_string(sandbox.join("stdout")).expect("the names");
        let names: Vec<_> = names.lines().collect();
        assert!(names.len() >= BEHAVIOURS_MIN, "only {} behaviours", names.len());
        let mut failures = Vec::new();
        for (number, name) in names.iter().enumerate().filter(|(_, name)| !but.contains(name)) {
            let guest = self.guest(number + 1, &[name], grants.clone());
            let (outcome, words) = self.run(guest).await;
            if !outcome.is_success() {
                failures.push(format!("{name}: {outcome}: {words}"));
            }
        }
        failures
    }
}

#[tokio::test]
async fn every_behaviour_of_preview_1_is_as_promised() {
    assert_eq!(Bench::new().failures(&Grants::default(), &[]).await, Vec::<String>::new());
}

#[tokio::test]
async fn every_behaviour_is_the_same_in_a_deterministic_run() {
    let grants = Grants {
        clock: Clock::Virtual { start: Time::from_micros(1_700_000_000_000_000) },
        random: Random::Seeded { seed: 7 },
        ..Grants::default()
    };
    assert_eq!(Bench::new().failures(&grants, &WITHOUT_TIMES).await, Vec::<String>::new());
}
