//! Commands in pipelines: a reader that goes ends the command and its tasks, without words; output
//! that cannot be written for another reason fails the command in words.

use crate::kit::{Cluster, Ended, Home, Process, children, module, until};
use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Read as _, pipe},
    path::Path,
    process::{Command, Stdio},
};

/// Writes a line to both streams every 50 ms for ever, whatever a write answers.
const TICKS: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\05\00\00\00")
  (data (i32.const 16) "tick\n")
  (func (export "_start")
    (i32.store (i32.const 80) (i32.const 1))
    (i64.store (i32.const 88) (i64.const 50000000))
    (loop $on
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 48)))
      (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 48)))
      (drop (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 192)))
      (br $on))))"#;
/// Writes lines to standard output as fast as it can.
const YES: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $i i32)
    (loop $fill
      (i32.store16 (i32.add (i32.const 1024) (local.get $i)) (i32.const 0x0a79))
      (local.set $i (i32.add (local.get $i) (i32.const 2)))
      (br_if $fill (i32.lt_u (local.get $i) (i32.const 32768))))
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 32768))
    (loop $on
      (br_if $on
        (i32.eqz (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 48)))))))"#;
/// Writes one line, and is silent for ever.
const ONCE: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\05\00\00\00")
  (data (i32.const 16) "once\n")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 48)))
    (i32.store (i32.const 80) (i32.const 1))
    (i64.store (i32.const 88) (i64.const 9000000000000000))
    (drop (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 192)))))"#;

/// Where the modules of these tests are in a home.
fn modules(home: &Home) {
    for (name, text) in [("ticks", TICKS), ("yes", YES), ("once", ONCE)] {
        std::fs::write(home.path(&format!("{name}.wasm")), wat::parse_str(text).unwrap()).unwrap();
    }
}

/// Runs a command, reads so many lines of what it prints, and leaves. Gives what was read and what
/// the command came to.
fn leave_after(lines: usize, command: &mut Command) -> (Vec<String>, Ended) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let read = (0..lines).map(|_| {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line
    });
    let read = read.collect();
    let executors = children(child.id());
    drop(reader);
    let status = until("the command ends", || child.try_wait().unwrap());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    for executor in executors {
        let is_gone = || (!Path::new(&format!("/proc/{executor}/cmdline")).exists()).then_some(());
        until("its processes end", is_gone);
    }
    (read, Ended { code: status.code(), stdout: String::new(), stderr })
}

/// Runs a command whose output nobody reads from the beginning on.
fn unread(command: &mut Command) -> Ended {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    command.stdout(writer).output().unwrap().into()
}

fn silent(ended: &Ended) {
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(141), ""), "{ended:?}");
}

#[test]
fn the_reader_of_a_private_run_goes_and_the_command_ends_without_a_word() {
    let home = Home::new();
    modules(&home);
    for (module, line) in [("yes.wasm", "y\n"), ("once.wasm", "once\n")] {
        let (read, ended) = leave_after(1, &mut home.skep(["run", module]));
        assert_eq!(read, [line], "{ended:?}");
        silent(&ended);
    }
    // What it says on stderr before is the guest's.
    let (read, ended) = leave_after(3, &mut home.skep(["run", "ticks.wasm"]));
    assert_eq!(read, ["tick\n"; 3], "{ended:?}");
    assert_eq!(ended.code, Some(141), "{ended:?}");
    assert!(ended.stderr.lines().all(|line| line == "tick"), "{ended:?}");
    // JSON comes at the end, so nothing is ever written.
    silent(&leave_after(0, &mut home.skep(["run", "-o", "json", "once.wasm"])).1);
}

#[test]
fn the_reader_of_an_array_goes_and_all_its_tasks_end() {
    let home = Home::new();
    modules(&home);
    let echo = module("echo");
    let words = ["run", "--count", "1000", echo.to_str().unwrap(), "{}"];
    let (read, ended) = leave_after(1, &mut home.skep(words));
    assert!(!read[0].is_empty(), "{ended:?}");
    silent(&ended);
    silent(&leave_after(0, &mut home.skep(["run", "--count", "20", "once.wasm"])).1);
}

#[test]
fn the_reader_of_a_run_on_a_shared_cluster_goes_and_nothing_is_left_there() {
    let cluster = Cluster::start(&["cpus:2;mem:1024"]);
    modules(&cluster.home);
    let master = cluster.address.as_str();
    let job = "name = \"j\"\n[tasks.a]\nmodule = \"once.wasm\"\ncount = 3\ncpus = 0.1\n";
    std::fs::write(cluster.home.path("j.toml"), job).unwrap();
    let commands: [(usize, &[&str]); 4] = [
        (1, &["run", "--master", master, "once.wasm"]),
        (1, &["run", "--master", master, "yes.wasm"]),
        (1, &["run", "--master", master, "--count", "8", "--cpus", "0.1", "yes.wasm"]),
        (0, &["job", "run", "--master", master, "j.toml"]),
    ];
    for (lines, words) in commands {
        silent(&leave_after(lines, &mut cluster.home.skep(words.iter().copied())).1);
        until("its tasks and its framework are gone", || {
            let tasks = cluster.view("ps").as_array().unwrap().len();
            let mut frameworks = cluster.view("framework list").as_array().unwrap().clone();
            frameworks.retain(|view| view["name"] != "supervisor");
            (tasks == 0 && frameworks.is_empty()).then_some(())
        });
    }
}

#[test]
fn the_reader_of_a_log_goes_and_the_task_runs_on() {
    let cluster = Cluster::start(&["cpus:2;mem:1024"]);
    modules(&cluster.home);
    let master = cluster.address.as_str();
    let words = ["run", "--master", master, "once.wasm"];
    let mut running = Process::start("run", &mut cluster.home.skep(words));
    let task = cluster.view("ps")[0]["task"].as_str().unwrap().to_owned();
    let words = ["logs", "--master", master, "--follow", &task];
    let (read, ended) = leave_after(1, &mut cluster.home.skep(words));
    assert_eq!(read, ["once\n"]);
    silent(&ended);
    assert_eq!(cluster.view("ps")[0]["state"], "RUNNING");
    assert_eq!(running.code_now(), None);
}

#[test]
fn a_command_that_prints_to_nobody_ends_as_by_sigpipe() {
    let cluster = Cluster::start(&["cpus:1;mem:64"]);
    let master = cluster.address.as_str();
    let views: [&[&str]; 7] = [
        &["status", "--master", master],
        &["ps", "--all", "--master", master, "-o", "json"],
        &["agent", "list", "--master", master],
        &["module", "list", "--master", master],
        &["token", "create", "--role", "agent", "--master", master],
        &["doctor"],
        &["--help"],
    ];
    for words in views {
        silent(&unread(&mut cluster.home.skep(words.iter().copied())));
    }
}

#[test]
fn a_development_cluster_ends_with_its_reader_and_passes_on_how_its_command_ended() {
    let home = Home::new();
    modules(&home);
    let (_, ended) = leave_after(2, &mut home.skep(["dev", "--listen", "127.0.0.1:0"]));
    silent(&ended);
    let skep = env!("CARGO_BIN_EXE_skep");
    let words = ["dev", "--", skep, "run", "once.wasm"];
    let (read, ended) = leave_after(1, &mut home.skep(words));
    assert_eq!(read, ["once\n"]);
    silent(&ended);
}

#[test]
fn output_that_cannot_be_written_fails_the_command_in_words() {
    let home = Home::new();
    modules(&home);
    let full = || -> File { OpenOptions::new().write(true).open("/dev/full").unwrap() };
    let commands: [(&[&str], i32); 4] = [
        (&["run", "once.wasm"], 125),
        (&["run", "--count", "3", "yes.wasm"], 125),
        (&["doctor"], 1),
        (&["--help"], 1),
    ];
    for (words, code) in commands {
        let mut command = home.skep(words.iter().copied());
        let ended: Ended = command.stdout(full()).output().unwrap().into();
        ended.expect_code(code).expect_words(&["standard output cannot be written", "No space"]);
    }
}

#[test]
fn nobody_reads_standard_error_and_only_what_a_guest_writes_there_ends_the_command() {
    let home = Home::new();
    modules(&home);
    let unheard = |words: &[&str]| {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        home.skep(words.iter().copied()).stderr(writer).output().unwrap().status.code()
    };
    assert_eq!(unheard(&["run", "absent.wasm"]), Some(125), "its words are dropped");
    assert_eq!(unheard(&["ps", "--master", "nowhere.invalid:1"]), Some(1));
    assert_eq!(unheard(&["run", "ticks.wasm"]), Some(141), "the guest's are not");
}
