//! A runner with a folder, and guests for it: for all tests that run guests.
//!
//! A guest goes the way of a real task: its module is compiled to an artifact, a runner starts it
//! from there, and what the runner reports is compared.

#![allow(dead_code, reason = "each target uses a part of it")]

use skep_executor::{GuestFiles, Runner, compile_unlimited};
use skep_protocol::{
    Nans,
    executor::{Report, StartGuest},
    ids::{AgentId, Attempt, Digest, FrameworkId, TaskId, TaskKey},
    outcome::{KilledBy, Outcome, Trap, Usage},
    resources::Amount,
    task::{Access, Diagnostics, DirGrant, DirSource, Form, Grants, Input, Limits, Policies},
};
use std::{
    fs::{self, File},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

pub(crate) const EXITED: Outcome = Outcome::Exited { code: 0 };
/// A deadline that is over at once, and yet leaves a guest some turns.
pub(crate) const SOON: Duration = Duration::from_millis(50);
/// Memory of a guest that does not ask for more.
pub(crate) const MEMORY_BYTES: u64 = 64 << 20;
/// What lies beside a guest's directory, for it not to reach.
pub(crate) const SECRET: &str = "what no guest may read";

pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) runner: Runner,
}

#[derive(Debug)]
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    pub(crate) usage: Usage,
    pub(crate) result: Vec<u8>,
    pub(crate) last_words: String,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with_workers(2)
    }

    pub(crate) fn with_workers(workers: usize) -> Self {
        let workers = NonZeroUsize::new(workers).expect("some");
        let runner = Runner::new(workers).expect("threads");
        Self { folder: tempfile::tempdir().expect("a folder"), runner }
    }

    /// A guest of the text `name` with 64 MiB, default limits and no grants.
    pub(crate) fn guest(&self, name: &str) -> StartGuest {
        self.guest_of(name, &guest_bytes(name))
    }

    /// As [`Bench::guest`], made a component.
    pub(crate) fn component(&self, name: &str) -> StartGuest {
        let file = guests_folder().join(format!("components/{name}.wasm"));
        self.guest_of(name, &fs::read(file).expect("a guest of ours"))
    }

    /// As [`Bench::guest`], of a program in Rust.
    pub(crate) fn program(&self, name: &str) -> StartGuest {
        self.guest_of(
            name,
            &fs::read(programs_folder().join(format!("{name}.wasm"))).expect("a guest of ours"),
        )
    }

    /// A guest of a module that has no file.
    pub(crate) fn guest_of(&self, name: &str, module: &[u8]) -> StartGuest {
        let digest = Digest::of(module);
        let artifact = self.file(&digest);
        if !artifact.exists() {
            let file = self.path(&format!("{name}.wasm"));
            fs::write(&file, module).expect("written");
            compile_unlimited(&file, &artifact, Nans::Native).expect("compiled");
        }
        StartGuest {
            key: key(name),
            agent: AgentId::new("agent").expect("an id"),
            module: digest,
            name: format!("{name}.wasm"),
            args: Vec::new(),
            index: None,
            cpus: Amount::units(1),
            memory_bytes: MEMORY_BYTES,
            limits: Limits::default(),
            grants: Grants::default(),
            inputs: Vec::new(),
            diagnostics: Diagnostics::default(),
            policies: Policies::default(),
            checkpoint: Vec::new(),
            sandbox: self.path(&format!("{name}.sandbox")),
        }
    }

    /// As [`Bench::guest`], with its sandbox directory to read and write, and a secret beside it.
    pub(crate) fn guest_with_directory(&self, name: &str) -> StartGuest {
        let mut guest = self.guest(name);
        guest.grants.dirs = vec![DirGrant::read_write(DirSource::Sandbox, ".")];
        fs::create_dir_all(files_of(&guest)).expect("made");
        fs::write(guest.sandbox.join("secret"), SECRET).expect("written");
        guest
    }

    /// Grants a guest its standard input.
    pub(crate) fn give_input(&self, guest: &mut StartGuest, input: &[u8]) {
        let digest = Digest::of(input);
        fs::write(self.file(&digest), input).expect("written");
        guest.grants.stdin = Some(digest);
    }

    /// Gives a guest an input.
    pub(crate) fn give_file(&self, guest: &mut StartGuest, path: &str, form: Form, bytes: &[u8]) {
        let digest = Digest::of(bytes);
        fs::write(self.file(&digest), bytes).expect("written");
        guest.inputs.push(Input { digest, guest: path.into(), form });
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The artifact of a module, or a standard input.
    pub(crate) fn file(&self, digest: &Digest) -> PathBuf {
        self.path(&digest.to_string().replace(':', "-"))
    }

    /// Starts a guest with the files that it needs, as an agent does.
    pub(crate) fn start(&self, guest: StartGuest) {
        let open = |digest: &Digest| File::open(self.file(digest)).expect("opened");
        let (artifact, stdin) = (open(&guest.module), guest.grants.stdin.as_ref().map(open));
        let inputs = guest.inputs.iter().map(|input| Arc::new(open(&input.digest))).collect();
        self.runner.start(guest, GuestFiles { artifact: Arc::new(artifact), stdin, inputs });
    }

    /// Starts a guest and waits for its end; other guests' reports are dropped.
    pub(crate) async fn run(&self, guest: StartGuest) -> End {
        let key = guest.key.clone();
        self.start(guest);
        self.end_of(&key).await
    }

    pub(crate) async fn end_of(&self, expected: &TaskKey) -> End {
        let ended =
            |report: &Report| matches!(report, Report::Ended { key, .. } if key == expected);
        let Report::Ended { outcome, usage, result, last_words, .. } = self.wait_for(ended).await
        else {
            unreachable!("only ends are wanted");
        };
        End { outcome, usage, result, last_words }
    }

    /// Waits for reports until one is wanted; others are dropped.
    pub(crate) async fn wait_for(&self, wanted: impl Fn(&Report) -> bool) -> Report {
        loop {
            for report in self.runner.reports().await {
                if wanted(&report) {
                    return report;
                }
            }
        }
    }

    /// All reports of the one guest that runs.
    pub(crate) async fn until_the_end(&self) -> Vec<Report> {
        let mut reports = Vec::new();
        while !matches!(reports.last(), Some(Report::Ended { .. })) {
            reports.extend(self.runner.reports().await);
        }
        reports
    }

    pub(crate) async fn outcome(&self, guest: StartGuest) -> Outcome {
        self.run(guest).await.outcome
    }

    pub(crate) async fn wait_until_started(&self, mut count: usize) {
        while count > 0 {
            let reports = self.runner.reports().await;
            count -= reports.iter().filter(|r| matches!(r, Report::Started { .. })).count();
        }
    }

    /// Ends a guest that does not end.
    pub(crate) async fn kill(&self, key: &TaskKey) -> End {
        self.runner.kill(key, KilledBy::Framework);
        self.end_of(key).await
    }
}

pub(crate) fn key(task: &str) -> TaskKey {
    let framework = FrameworkId::new("framework").expect("an id");
    TaskKey { framework, task: TaskId::new(task).expect("an id"), attempt: Attempt::FIRST }
}

pub(crate) fn guests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests")
}

/// Where the modules of programs in Rust lie.
pub(crate) fn programs_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/modules")
}

pub(crate) fn guest_bytes(name: &str) -> Vec<u8> {
    wat::parse_file(guests_folder().join(format!("{name}.wat"))).expect("a guest of ours")
}

/// Where a guest's own files lie.
pub(crate) fn files_of(guest: &StartGuest) -> PathBuf {
    guest.sandbox.join("files")
}

/// Bytes and names below a folder.
pub(crate) fn held_by(folder: &Path) -> (u64, u64) {
    let (mut bytes, mut names) = (0, 0);
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let kind = entry.file_type().expect("a kind");
        names += 1;
        if kind.is_dir() {
            let (more_bytes, more_names) = held_by(&entry.path());
            bytes += more_bytes;
            names += more_names;
        } else if kind.is_file() {
            bytes += entry.metadata().expect("metadata").len();
        }
    }
    (bytes, names)
}

/// A grant of a folder of the host's.
pub(crate) fn host_dir(path: &Path, guest: &str, access: Access) -> DirGrant {
    let source = DirSource::Host(path.to_str().expect("text").to_owned());
    DirGrant { source, guest: guest.into(), access }
}

pub(crate) fn trapped(trap: Trap) -> impl Fn(&Outcome) -> bool {
    move |outcome| matches!(outcome, Outcome::Trapped { trap: actual, .. } if *actual == trap)
}
