//! Standard input of a task: it streams from the command to the guest, and ends with either.

use crate::kit::{Cluster, Ended, Home, Process, children, module, signal, until};
use rustix::process::Signal;
use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    thread,
};

/// Far more than is on the way at any time.
const LARGE_BYTES: usize = 40 << 20;
/// What WASI calls an error of input or output.
const ERRNO_IO: i32 = 29;

/// Reads a byte and sleeps for ever in its first attempt, and copies its input in the next.
const LATE: &str = r#"(module
  (import "wasi_snapshot_preview1" "environ_get" (func $env (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func $is_first (result i32) (local $at i32)
    (drop (call $env (i32.const 1024) (i32.const 4096)))
    (local.set $at (i32.const 4096))
    (loop $on
      ;; "ATTEMPT="
      (if (i64.eq (i64.load (local.get $at)) (i64.const 0x3d54504d45545441))
        (then (return (i32.eq (i32.load8_u offset=8 (local.get $at)) (i32.const 0x31)))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $on (i32.lt_u (local.get $at) (i32.const 16384))))
    (unreachable))
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 65536))
    (i32.store (i32.const 4) (i32.const 1))
    (if (call $is_first)
      (then
        (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4))
          (then unreachable))
        (i32.store (i32.const 80) (i32.const 1))
        (i64.store (i32.const 88) (i64.const 9000000000000000))
        (drop (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 192)))))
    (loop $more
      (i32.store (i32.const 4) (i32.const 65536))
      (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4))
        (then unreachable))
      (if (i32.load (i32.const 4))
        (then
          (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))
            (then unreachable))
          (br $more))))))"#;

/// Puts a guest of the sandbox's tests into a home.
fn guest(home: &Home, name: &str) -> String {
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests");
    let file = format!("{name}.wasm");
    let module = wat::parse_file(text.join(format!("{name}.wat"))).unwrap();
    fs::write(home.path(&file), module).unwrap();
    file
}

/// Lines that tell their places.
fn lines(bytes: usize) -> Vec<u8> {
    (0..bytes as u64 / 8).flat_map(|number| format!("{number:07}\n").into_bytes()).collect()
}

/// Starts a command that is given its standard input here.
fn start(command: &mut Command) -> (Child, ChildStdin) {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    (child, stdin)
}

/// Writes for ever, until nobody reads; gives how much that was.
fn write_for_ever(mut stdin: ChildStdin) -> thread::JoinHandle<u64> {
    thread::spawn(move || {
        let (piece, mut written) = (b"y\n".repeat(8_192), 0);
        while stdin.write_all(&piece).is_ok() {
            written += piece.len() as u64;
        }
        written
    })
}

fn end(child: Child) -> Ended {
    child.wait_with_output().unwrap().into()
}

#[test]
fn a_guest_that_ends_ends_what_is_written_to_it_for_ever() {
    let cluster = Cluster::start(&["cpus:2;mem:512"]);
    let guest = guest(&cluster.home, "read_one");
    let shared = ["run", "--master", &cluster.address, "--mem", "64MiB", "--stdin", "-", &guest];
    for words in [&["run", "--stdin", "-", &guest][..], &shared] {
        let (child, stdin) = start(&mut cluster.home.skep(words.iter().copied()));
        let writing = write_for_ever(stdin);
        let ended = end(child).expect_code(0);
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
        let written = writing.join().unwrap();
        assert!(written < 64 << 20, "{written} bytes went to a guest that reads one");
    }
}

#[test]
fn a_guest_that_never_reads_holds_up_who_writes() {
    let home = Home::new();
    let guest = guest(&home, "sleep_forever");
    let (mut child, stdin) = start(&mut home.skep(["run", "--stdin", "-", &guest]));
    let written = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let count = written.clone();
    let writing = thread::spawn(move || {
        let mut stdin = stdin;
        while stdin.write_all(&[0; 4_096]).is_ok() {
            count.fetch_add(4_096, std::sync::atomic::Ordering::SeqCst);
        }
    });
    let now = || written.load(std::sync::atomic::Ordering::SeqCst);
    let mut before = 0;
    let mut looks = 0;
    // It stands still: fifty looks without a byte more.
    until("the writer is held up", || {
        looks = if now() == before { looks + 1 } else { 0 };
        before = now();
        (before > 0 && looks == 50).then_some(())
    });
    assert!(before < 16 << 20, "{before} bytes were taken for a guest that does not read");
    drop(child.stdout.take());
    assert_eq!(until("the command ends", || child.try_wait().unwrap()).code(), Some(141));
    writing.join().unwrap();
}

#[test]
fn what_is_typed_reaches_the_guest_line_by_line() {
    let cluster = Cluster::start(&["cpus:2;mem:512"]);
    let cat = module("cat");
    let cat = cat.to_str().unwrap();
    let shared = ["run", "--master", &cluster.address, "--mem", "64MiB", "--stdin", "-", cat];
    for words in [&["run", "--stdin", "-", cat][..], &shared] {
        let (mut child, mut stdin) = start(&mut cluster.home.skep(words.iter().copied()));
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        for line in ["first\n", "second\n", "third\n"] {
            stdin.write_all(line.as_bytes()).unwrap();
            let mut back = String::new();
            stdout.read_line(&mut back).unwrap();
            assert_eq!(back, line);
        }
        drop(stdin);
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
        let ended = end(child).expect_code(0);
        assert_eq!(ended.stderr, "");
    }
}

#[test]
fn a_large_input_passes_through_as_it_is_from_a_file_or_a_pipe() {
    let cluster = Cluster::start(&["cpus:2;mem:512"]);
    let text = lines(LARGE_BYTES);
    fs::write(cluster.home.path("large"), &text).unwrap();
    let cat = module("cat");
    let cat = cat.to_str().unwrap();
    let shared = ["run", "--master", &cluster.address, "--mem", "64MiB", "--stdin", "large", cat];
    let private = ["run", "--stdin", "large", cat];
    let piped = ["run", "--stdin", "-", cat];
    for words in [&private[..], &shared, &piped] {
        let mut command = cluster.home.skep(words.iter().copied());
        command.stdin(File::open(cluster.home.path("large")).unwrap());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout == text, "{words:?}: {} bytes came back", output.stdout.len());
    }
}

#[test]
fn tasks_of_an_array_and_one_that_may_run_again_are_given_all_of_it_each() {
    let home = Home::new();
    let cat = module("cat");
    let cat = cat.to_str().unwrap();
    for (words, copies) in [(["--count", "3"], 3), (["--restart", "1"], 1)] {
        let words = [&["run"], &words[..], &["--stdin", "-", cat]].concat();
        let (child, mut stdin) = start(&mut home.skep(words));
        stdin.write_all(b"typed\n").unwrap();
        drop(stdin);
        assert_eq!(end(child).expect_code(0).stdout, "typed\n".repeat(copies));
    }
}

#[test]
fn input_that_cannot_be_read_is_told_before_anything_runs() {
    let home = Home::new();
    fs::create_dir(home.path("folder")).unwrap();
    for (file, why) in [("folder", "directory"), ("absent", "No such file")] {
        let ended = home.run(&["--stdin", file], "cat", &[]).expect_code(125);
        ended.expect_words(&["--stdin", file, why]);
    }
}

/// A cluster whose one agent dies while it runs the task of a command.
struct Dying {
    cluster: Cluster,
    child: Child,
    stdin: ChildStdin,
}

impl Dying {
    /// Waits until the task has been given some of its input.
    fn start(stdin: &str, guest: &str) -> Self {
        let cluster = Cluster::start(&["cpus:1;mem:512"]);
        fs::write(cluster.home.path("input"), lines(LARGE_BYTES)).unwrap();
        fs::write(cluster.home.path("late.wasm"), wat::parse_str(LATE).unwrap()).unwrap();
        self::guest(&cluster.home, "read_all");
        let master = ["run", "--master", &cluster.address, "--mem", "64MiB"];
        let words = [&master[..], &["--stdin", stdin, guest]].concat();
        let (child, mut pipe) = start(&mut cluster.home.skep(words));
        if stdin == "-" {
            // More than all pipes on the way take, if nobody reads at the other end.
            pipe.write_all(&[b'y'; 1 << 18]).unwrap();
        }
        until("the task runs", || (cluster.view("ps")[0]["state"] == "RUNNING").then_some(()));
        Self { cluster, child, stdin: pipe }
    }

    /// Kills the agent, and its executors with it or not; another one takes its place.
    fn kill_agent(&mut self, with_executors: bool) {
        let executors = children(self.cluster.agents[0].id());
        self.cluster.agents[0].kill();
        if with_executors {
            executors.iter().for_each(|pid| signal(*pid, Signal::KILL));
        }
        let words = ["agent", "--master", &self.cluster.address, "--work", "agent-0"];
        let words = words.into_iter().chain(["--resources", "cpus:1;mem:512"]);
        self.cluster.agents[0] = Process::start("agent-0", &mut self.cluster.home.skep(words));
    }
}

#[test]
fn input_that_is_cut_off_with_an_agent_is_an_error_to_the_guest_and_told() {
    let mut dying = Dying::start("-", "read_all.wasm");
    dying.kill_agent(false);
    let ended = end(dying.child).expect_code(ERRNO_IO);
    ended.expect_words(&["standard input of task", "was cut off"]);
    drop(dying.stdin);
}

#[test]
fn a_file_is_given_again_to_a_task_that_is_started_again() {
    let mut dying = Dying::start("input", "late.wasm");
    dying.kill_agent(true);
    let ended = end(dying.child).expect_code(0);
    assert!(ended.stdout.as_bytes() == lines(LARGE_BYTES), "{} bytes came", ended.stdout.len());
    ended.expect_words(&["started again"]);
}

#[test]
fn a_pipe_is_not_given_again_and_the_command_says_so() {
    let mut dying = Dying::start("-", "late.wasm");
    dying.kill_agent(true);
    end(dying.child).expect_code(125).expect_words(&["cannot be read again", "--stdin FILE"]);
    drop(dying.stdin);
}
