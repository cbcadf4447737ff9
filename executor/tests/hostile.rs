//! Hostile guests, one sin each (`tests/guests/*.wat`): every one is stopped for the right reason.
//!
//! Each test goes the way of a real task: the module is compiled to an artifact, a runner starts
//! it from there, and what it reports is compared.

use skep_executor::{CompileError, Runner, compile_unlimited};
use skep_protocol::{
    bounds::STACK_BYTES_MAX,
    executor::{Report, StartGuest},
    ids::{AgentId, Attempt, Digest, FrameworkId, TaskId, TaskKey},
    outcome::{KilledBy, Outcome, Progress, Trap, Usage},
    resources::Amount,
    task::{Diagnostics, DirGrant, DirSource, Grants, Limits},
};
use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

/// A runner with a folder for its modules and sandboxes.
struct Bench {
    folder: TempDir,
    runner: Runner,
}

struct End {
    outcome: Outcome,
    usage: Usage,
}

impl Bench {
    fn new() -> Self {
        let workers = NonZeroUsize::new(2).expect("two");
        let runner = Runner::new(workers).expect("threads");
        Self { folder: tempfile::tempdir().expect("a folder"), runner }
    }

    /// A guest of the module `name` with 64 MiB, default limits and no grants.
    fn guest(&self, name: &str) -> StartGuest {
        let module = guest_bytes(name);
        let artifact = self.folder.path().join(format!("{name}.artifact"));
        if !artifact.exists() {
            let file = self.folder.path().join(format!("{name}.wasm"));
            fs::write(&file, &module).expect("written");
            compile_unlimited(&file, &artifact).expect("compiled");
        }
        StartGuest {
            key: key(name),
            agent: AgentId::new("agent").expect("an id"),
            module: Digest::of(&module),
            artifact,
            name: format!("{name}.wasm"),
            args: Vec::new(),
            index: None,
            cpus: Amount::units(1),
            memory_bytes: 64 << 20,
            limits: Limits::default(),
            grants: Grants::default(),
            diagnostics: Diagnostics::default(),
            stdin: None,
            sandbox: self.folder.path().join(format!("{name}.sandbox")),
        }
    }

    /// Starts a guest and waits for its end; other guests' reports are dropped.
    async fn run(&self, guest: StartGuest) -> End {
        let key = guest.key.clone();
        self.runner.start(guest);
        self.end_of(&key).await
    }

    async fn end_of(&self, expected: &TaskKey) -> End {
        loop {
            for report in self.runner.reports().await {
                if let Report::Ended { key, outcome, usage, .. } = report
                    && key == *expected
                {
                    return End { outcome, usage };
                }
            }
        }
    }

    async fn outcome(&self, guest: StartGuest) -> Outcome {
        self.run(guest).await.outcome
    }

    async fn wait_until_started(&self, mut count: usize) {
        while count > 0 {
            let reports = self.runner.reports().await;
            count -= reports.iter().filter(|r| matches!(r, Report::Started { .. })).count();
        }
    }
}

fn key(task: &str) -> TaskKey {
    let framework = FrameworkId::new("framework").expect("an id");
    TaskKey { framework, task: TaskId::new(task).expect("an id"), attempt: Attempt::FIRST }
}

fn guest_bytes(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests");
    wat::parse_file(folder.join(format!("{name}.wat"))).expect("a guest of ours")
}

fn trapped(trap: Trap) -> impl Fn(&Outcome) -> bool {
    move |outcome| matches!(outcome, Outcome::Trapped { trap: actual, .. } if *actual == trap)
}

const EXITED: Outcome = Outcome::Exited { code: 0 };
const SOON: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_guest_that_ends_well_is_reported_started_and_ended() {
    let bench = Bench::new();
    bench.runner.start(bench.guest("noop"));
    let mut reports = Vec::new();
    while reports.len() < 2 {
        reports.extend(bench.runner.reports().await);
    }
    let [
        Report::Started { key: started, at: since },
        Report::Ended { key: ended, at, outcome, .. },
    ] = reports.as_slice()
    else {
        panic!("{reports:?}");
    };
    assert_eq!((started, ended, outcome), (&key("noop"), &key("noop"), &EXITED));
    assert!(since <= at);
    assert!(!bench.folder.path().join("noop.sandbox").exists(), "a silent guest needs no folder");
}

#[tokio::test]
async fn a_guest_that_never_ends_dies_of_its_fuel_or_its_deadline() {
    let bench = Bench::new();
    let mut guest = bench.guest("spin");
    guest.limits.fuel = Some(10_000_000);
    let end = bench.run(guest).await;
    assert_eq!(end.outcome, Outcome::OutOfFuel { limit: 10_000_000 });
    assert_eq!(end.usage.fuel, 10_000_000);
    for name in ["spin", "spin_in_start", "sleep_forever", "random_hog", "host_call_hog"] {
        let mut guest = bench.guest(name);
        guest.limits.deadline = Some(SOON);
        let end = bench.run(guest).await;
        assert_eq!(end.outcome, Outcome::DeadlinePassed { limit: SOON }, "{name}");
        assert!(end.usage.wall >= SOON, "{name}");
    }
}

#[tokio::test]
async fn the_same_work_costs_the_same_fuel() {
    let bench = Bench::new();
    let first = bench.run(bench.guest("recurse_some")).await;
    let second = bench.run(bench.guest("recurse_some")).await;
    assert_eq!(first.outcome, EXITED);
    assert!(first.usage.fuel > 1_000);
    assert_eq!(first.usage.fuel, second.usage.fuel);
}

#[tokio::test]
async fn spinners_on_every_worker_hold_up_neither_neighbour_nor_kill() {
    let bench = Bench::new();
    let hogs = ["spin", "random_hog", "host_call_hog"];
    let mut keys = Vec::new();
    for (n, name) in hogs.iter().cycle().take(12).enumerate() {
        let guest = StartGuest { key: key(&format!("hog{n}")), ..bench.guest(name) };
        keys.push(guest.key.clone());
        bench.runner.start(guest);
    }
    bench.wait_until_started(keys.len()).await;
    assert_eq!(bench.outcome(bench.guest("recurse_some")).await, EXITED);
    for key in &keys {
        bench.runner.kill(key, KilledBy::Framework);
        let end = bench.end_of(key).await;
        assert_eq!(end.outcome, Outcome::Killed { by: KilledBy::Framework });
    }
}

#[tokio::test]
async fn a_kill_finds_a_guest_that_sleeps_and_is_told_only_once() {
    let bench = Bench::new();
    let guest = bench.guest("sleep_forever");
    bench.runner.start(guest.clone());
    bench.wait_until_started(1).await;
    bench.runner.kill(&guest.key, KilledBy::Operator);
    bench.runner.kill(&guest.key, KilledBy::Framework);
    let end = bench.end_of(&guest.key).await;
    assert_eq!(end.outcome, Outcome::Killed { by: KilledBy::Operator });
}

#[tokio::test]
async fn a_guest_that_dies_after_it_was_refused_memory_died_of_memory() {
    let bench = Bench::new();
    let limit = 64 << 20;
    for (name, asked) in [
        ("hoard", limit + (1 << 20) - (15 << 16)),
        ("hoard_then_trap", (60_001) << 16),
        ("hoard_at_birth", 128 << 20),
        ("huge_minimum", 512 << 20),
    ] {
        let end = bench.run(bench.guest(name)).await;
        assert_eq!(end.outcome, Outcome::OutOfMemory { asked, limit }, "{name}");
        assert!(end.usage.memory_bytes_peak <= limit, "{name}");
    }
    assert_eq!(bench.outcome(bench.guest("hoard_and_cope")).await, EXITED);
}

#[tokio::test]
async fn a_table_counts_as_memory() {
    let bench = Bench::new();
    let guest = StartGuest { memory_bytes: 128 << 10, ..bench.guest("grow_table") };
    let Outcome::OutOfMemory { asked, limit } = bench.outcome(guest).await else {
        panic!("it did not die of memory");
    };
    assert_eq!((asked, limit), ((64 << 10) + 8_001 * 8 + 8_000, 128 << 10));
}

#[tokio::test]
async fn what_exceeds_a_slot_of_the_pool_runs_on_demand() {
    let bench = Bench::new();
    let large = StartGuest { memory_bytes: 1 << 30, ..bench.guest("huge_minimum") };
    assert_eq!(bench.outcome(large).await, EXITED);
    let roomy = StartGuest { memory_bytes: 300 << 20, ..bench.guest("hoard") };
    let end = bench.run(roomy).await;
    assert_eq!(end.outcome.name(), "out_of_memory");
    assert!(end.usage.memory_bytes_peak > 256 << 20, "it got beyond the size of a slot");
}

#[tokio::test]
async fn each_trap_has_its_name() {
    let bench = Bench::new();
    for (name, trap) in [
        ("trap_unreachable", Trap::Unreachable),
        ("trap_div", Trap::IntegerDivisionByZero),
        ("trap_oob", Trap::MemoryOutOfBounds),
        ("trap_signature", Trap::BadSignature),
        ("recurse", Trap::StackOverflow),
        ("poll_flood", Trap::HostCall),
    ] {
        let outcome = bench.outcome(bench.guest(name)).await;
        assert!(trapped(trap)(&outcome), "{name}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_trap_comes_with_the_guests_own_frames() {
    let bench = Bench::new();
    let Outcome::Trapped { why, backtrace, .. } =
        bench.outcome(bench.guest("trap_unreachable")).await
    else {
        panic!("it did not trap");
    };
    assert_eq!(why, "it reached an unreachable instruction: a panic or an abort");
    let expected = ["main::inner", "outer", "start"];
    assert_eq!(backtrace, expected.map(|name| format!("{name} (trap_unreachable.wasm)")));
}

#[tokio::test]
async fn a_stack_limit_below_the_default_is_kept() {
    let bench = Bench::new();
    assert_eq!(bench.outcome(bench.guest("recurse_some")).await, EXITED);
    let mut guest = bench.guest("recurse_some");
    guest.limits.stack_bytes = 16 << 10;
    assert!(trapped(Trap::StackOverflow)(&bench.outcome(guest).await));
    let mut guest = bench.guest("recurse_some");
    guest.limits.stack_bytes = STACK_BYTES_MAX / 2;
    assert_eq!(bench.outcome(guest).await, EXITED);
}

#[tokio::test]
async fn an_exit_code_is_passed_on_as_it_is() {
    let bench = Bench::new();
    for code in [1, 77, 126, 1_000] {
        // The guest's one argument is its name, which counts with its NUL.
        let name = "x".repeat(code - 1);
        let guest = StartGuest { name, ..bench.guest("exit_code") };
        let code = i32::try_from(code).expect("a small number");
        assert_eq!(bench.outcome(guest).await, Outcome::Exited { code });
    }
    assert_eq!(bench.outcome(bench.guest("exit_negative")).await, Outcome::Exited { code: -1 });
}

#[tokio::test]
async fn output_beyond_its_limit_ends_a_guest_and_what_fits_is_kept() {
    let bench = Bench::new();
    let mut guest = bench.guest("flood_stdout");
    guest.limits.output_bytes = 1_000;
    let end = bench.run(guest.clone()).await;
    assert_eq!(end.outcome, Outcome::OutputLimit { limit: 1_000 });
    assert_eq!((end.usage.stdout_bytes, end.usage.stderr_bytes), (1_000, 0));
    let kept = fs::read(guest.sandbox.join("stdout")).expect("stdout");
    let whole = "a line of thirty-one characters\n".repeat(32);
    assert_eq!(kept, &whole.as_bytes()[..1_000]);
    assert!(!guest.sandbox.join("stderr").exists());
}

#[tokio::test]
async fn stdout_and_stderr_share_one_limit() {
    let bench = Bench::new();
    let mut guest = bench.guest("flood_both");
    guest.limits.output_bytes = 40;
    assert_eq!(bench.outcome(guest.clone()).await, EXITED);
    guest.limits.output_bytes = 30;
    let end = bench.run(guest).await;
    assert_eq!(end.outcome, Outcome::OutputLimit { limit: 30 });
    assert_eq!((end.usage.stdout_bytes, end.usage.stderr_bytes), (20, 10));
}

#[tokio::test]
async fn lies_about_pointers_are_answered_with_a_code() {
    let bench = Bench::new();
    assert_eq!(bench.outcome(bench.guest("lie_about_pointers")).await, EXITED);
}

#[tokio::test]
async fn progress_and_result_reach_the_agent_in_order() {
    let bench = Bench::new();
    let guest = bench.guest("report");
    bench.runner.start(guest.clone());
    let mut reports = Vec::new();
    while !matches!(reports.last(), Some(Report::Ended { .. })) {
        reports.extend(bench.runner.reports().await);
    }
    let message = "almost done".to_owned();
    let last = Progress { key: guest.key, done: 3, total: 3, message };
    assert!(matches!(reports.first(), Some(Report::Started { .. })));
    assert_eq!(reports.get(reports.len() - 2), Some(&Report::Progressed(last)));
    let Some(Report::Ended { outcome, result, .. }) = reports.last() else {
        panic!("{reports:?}");
    };
    assert_eq!((outcome, result.as_slice()), (&EXITED, &b"forty-two"[..]));
}

#[tokio::test]
async fn without_grants_there_is_no_directory() {
    let bench = Bench::new();
    let outcome = bench.outcome(bench.guest("look_around")).await;
    assert_eq!(outcome, Outcome::Exited { code: 8 });
}

#[tokio::test]
async fn a_granted_directory_is_the_only_way_out_and_none_leads_further() {
    let bench = Bench::new();
    let host = bench.folder.path().join("host");
    fs::create_dir(&host).expect("made");
    let sandbox = DirGrant::read_write(DirSource::Sandbox, ".");
    let host_path = host.to_str().expect("text").to_owned();
    let host_dir = DirGrant::read_write(DirSource::Host(host_path), "/data");
    for (grant, folder) in
        [(sandbox, bench.guest("write_file").sandbox.join("files")), (host_dir, host)]
    {
        let mut writer = bench.guest("write_file");
        writer.grants.dirs = vec![grant.clone()];
        assert_eq!(bench.outcome(writer).await, EXITED);
        assert_eq!(fs::read(folder.join("out")).expect("out"), b"written");
        let mut prowler = bench.guest("look_around");
        prowler.grants.dirs = vec![grant];
        // 63 is WASI's number for an operation that is not permitted.
        assert_eq!(bench.outcome(prowler).await, Outcome::Exited { code: 63 });
    }
}

#[tokio::test]
async fn the_environment_is_what_is_granted_and_who_the_guest_is() {
    let bench = Bench::new();
    let mut guest = bench.guest("environment");
    guest.index = Some(7);
    guest.grants.env.insert("COLOUR".into(), "blue".into());
    assert_eq!(bench.outcome(guest.clone()).await, EXITED);
    let text = fs::read_to_string(guest.sandbox.join("stdout")).expect("stdout");
    let mut entries: Vec<_> = text.split_terminator('\0').collect();
    entries.sort_unstable();
    let expected = [
        "COLOUR=blue",
        "SKEP_AGENT_ID=agent",
        "SKEP_FRAMEWORK_ID=framework",
        "SKEP_TASK_ATTEMPT=1",
        "SKEP_TASK_ID=environment",
        "SKEP_TASK_INDEX=7",
    ];
    assert_eq!(entries, expected);
}

#[tokio::test]
async fn standard_input_is_closed_or_the_granted_file() {
    let bench = Bench::new();
    let closed = bench.guest("cat");
    assert_eq!(bench.outcome(closed.clone()).await, EXITED);
    assert!(!closed.sandbox.exists());

    let input: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let path = bench.folder.path().join("input");
    fs::write(&path, &input).expect("written");
    let mut guest = closed;
    guest.grants.stdin = Some(Digest::of(&input));
    guest.stdin = Some(path);
    assert_eq!(bench.outcome(guest.clone()).await, EXITED);
    assert!(fs::read(guest.sandbox.join("stdout")).expect("stdout") == input);
}

#[tokio::test]
async fn what_cannot_be_started_is_no_fault_of_the_guest() {
    let bench = Bench::new();
    let lost = StartGuest { artifact: PathBuf::from("/nowhere"), ..bench.guest("noop") };
    assert_eq!(bench.outcome(lost).await.name(), "failed");
    let mut guest = bench.guest("noop");
    let source = DirSource::Host("/does/not/exist".into());
    guest.grants.dirs = vec![DirGrant::read_write(source, "/data")];
    let Outcome::Failed { why } = bench.outcome(guest).await else {
        panic!("it did not fail");
    };
    assert!(why.contains(r#""/does/not/exist" granted as "/data""#), "{why}");
}

#[test]
fn a_bad_module_is_rejected_with_a_reason() {
    let noop = guest_bytes("noop");
    let mut damaged = noop.clone();
    damaged[9] = 0xff;
    let cases = [
        (b"#!/bin/sh\n".to_vec(), "it is not Wasm: it does not begin with \\0asm"),
        (Vec::new(), "it is empty"),
        (noop[..6].to_vec(), "it is truncated: not even its header is whole"),
        (noop[..noop.len() - 3].to_vec(), "it is truncated or damaged: "),
        (damaged, "it is truncated or damaged: "),
        (guest_bytes("import_unknown"), "it imports env.foo, which skep does not provide: "),
        (guest_bytes("component"), "it is a component that exports no wasi:cli/run of WASI 0.2"),
        (guest_bytes("library"), "it exports no function _start"),
        (guest_bytes("threads"), "it is no valid module: threads"),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    for (bytes, expected) in cases {
        let module = folder.path().join("module.wasm");
        let artifact = folder.path().join("artifact");
        fs::write(&module, bytes).expect("written");
        let Err(CompileError::Rejected { why }) = compile_unlimited(&module, &artifact) else {
            panic!("not rejected: {expected}");
        };
        assert!(why.starts_with(expected), "{why}");
        assert!(!artifact.exists());
    }
}
