//! Files that go into tasks and come out of them, through real processes.

use crate::kit::{Cluster, Ended, Home, Process, signal, until};
use rustix::process::Signal;
use skep_protocol::Digest;
use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt as _, path::Path, process::Stdio};

/// Waits until there is a file `go` in the first directory that it is granted, then writes `made`
/// to the file `out` in the second one.
const WAITS: &str = r#"(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "go")
  (data (i32.const 8) "out")
  (data (i32.const 16) "made")
  (data (i32.const 24) "\10\00\00\00\04\00\00\00")
  (func (export "_start")
    (loop $again
      (br_if $again (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 2)
        (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 32))))
    (if (call $open (i32.const 4) (i32.const 0) (i32.const 8) (i32.const 3) (i32.const 1)
        (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 32)) (then unreachable))
    (drop (call $write (i32.load (i32.const 32)) (i32.const 24) (i32.const 1) (i32.const 36)))))"#;

fn data() -> Vec<u8> {
    (0..1_500_000_u32).map(|n| (n % 251) as u8).collect()
}

/// A home with the guest that copies `in/data` to `out/data`.
fn home() -> Home {
    let home = Home::new();
    write_guest(&home);
    home
}

fn write_guest(home: &Home) {
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests/copy.wat");
    fs::write(home.path("copy.wasm"), wat::parse_file(text).unwrap()).unwrap();
    fs::write(home.path("data.bin"), data()).unwrap();
}

fn run(home: &Home, options: &[&str]) -> Ended {
    home.output([&["run"], options, &["copy.wasm"]].concat())
}

#[test]
fn a_file_goes_into_a_task_and_another_comes_out() {
    let home = home();
    fs::write(home.path("copied.bin"), "what was there before").unwrap();
    let words = ["--input", "data.bin::in/data", "--output", "out/data::copied.bin"];
    let ended = run(&home, &words).expect_code(0);
    assert_eq!(ended.stderr, "");
    assert!(fs::read(home.path("copied.bin")).unwrap() == data());
    // Without a name it goes to its own, and the folder for it is made.
    let words = ["--input", "data.bin::in/data", "--output", "out/data", "-o", "json"];
    let document = run(&home, &words).expect_code(0).json();
    assert!(fs::read(home.path("out/data")).unwrap() == data());
    let output = &document["tasks"][0]["outputs"][0];
    assert_eq!((&output["guest"], &output["size"]), (&"out/data".into(), &1_500_000.into()));
    assert_eq!(output["digest"], Digest::of(&data()).to_string());
    // What is no file is not replaced.
    fs::create_dir(home.path("folder")).unwrap();
    let words = ["--input", "data.bin::in/data", "--output", "out/data::folder"];
    run(&home, &words).expect_code(125).expect_words(&["out/data", "folder"]);
}

#[test]
fn folders_and_patterns_go_in_and_come_out() {
    let home = home();
    fs::create_dir_all(home.path("in/deep")).unwrap();
    fs::rename(home.path("data.bin"), home.path("in/data")).unwrap();
    fs::write(home.path("in/deep/more"), "more").unwrap();
    run(&home, &["--input", "in", "--output", "out", "--output", "in::back"]).expect_code(0);
    assert!(fs::read(home.path("out/data")).unwrap() == data());
    assert_eq!(fs::read(home.path("back/deep/more")).unwrap(), b"more");
    let words = ["--input", "in/d*::in", "--output", "o*/d*::found", "--output", "in/deep/*"];
    run(&home, &words).expect_code(0);
    assert!(fs::read(home.path("found/out/data")).unwrap() == data());
    assert_eq!(fs::read(home.path("in/deep/more")).unwrap(), b"more");
}

#[test]
fn each_task_of_an_array_has_its_own_files() {
    let home = home();
    for place in 3..6 {
        fs::write(home.path(&format!("data-{place}")), place.to_string()).unwrap();
    }
    let words = ["--array", "3-5", "--input", "data-{}::in/data", "--output"];
    let ended = run(&home, &[&words[..], &["out/data::copied/{}.txt"]].concat()).expect_code(0);
    assert!(ended.stderr.contains("3 of 3 tasks finished"), "{ended:?}");
    for place in 3..6 {
        let copied = fs::read(home.path(&format!("copied/{place}.txt"))).unwrap();
        assert_eq!(copied, place.to_string().into_bytes());
    }
    let refused = run(&home, &[&words[..], &["out/data"]].concat());
    refused.expect_code(125).expect_words(&["--output out/data", "{}"]);
}

#[test]
fn what_is_not_there_is_told() {
    let home = home();
    let missing = run(&home, &["--input", "data::in/data", "--output", "out/data"]);
    missing.expect_code(125).expect_words(&["\"data\"", "No such file"]);
    let words = ["--input", "data.bin::in/data", "--output", "out/picture.png"];
    let ended = run(&home, &words).expect_code(125);
    ended.expect_words(&["failed", "\"out/picture.png\" is not there"]);
    // A guest that fails by itself leaves what it leaves.
    let words = ["--output", "made.txt", "--output", "other.txt"];
    let ended = home.run(&words, "write", &["made.txt", "made"]).expect_code(125);
    ended.expect_words(&["\"other.txt\" is not there"]);
    home.run(&["--output", "a.txt"], "write", &["nowhere/a.txt", "made"]).expect_code(1);
    assert!(!home.path("a.txt").exists());
    home.run(&["--output", "/a.txt"], "noop", &[]).expect_code(125).expect_words(&["absolute"]);
}

#[test]
fn an_agent_that_is_killed_while_it_delivers_goes_on_when_it_is_back() {
    let mut cluster = Cluster::start(&[]);
    let home = &cluster.home;
    fs::create_dir(home.path("gate")).unwrap();
    fs::write(home.path("waits.wasm"), wat::parse_str(WAITS).unwrap()).unwrap();
    let gate = format!("gate={}", home.path("gate").display());
    cluster.start_agent_with("cpus:1;mem:1024", &["--volume", &gate]);
    cluster.await_agents(1);
    let words = ["run", "--master", &cluster.address, "--volume", "gate", "--output", "out"];
    let mut command = cluster.home.skep(words.into_iter().chain(["waits.wasm"]));
    let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the task runs", || (cluster.view("ps")[0]["state"] == "RUNNING").then_some(()));

    // A master that takes nothing: the output is on its way, and stays so.
    signal(cluster.master.id(), Signal::STOP);
    fs::write(cluster.home.path("gate/go"), "").unwrap();
    let blob = Digest::of(b"made").hex();
    let kept = cluster.home.path(&format!("agent-0/cache/blobs/{blob}"));
    until("the output is kept", || kept.exists().then_some(()));
    cluster.agents[0].kill();
    signal(cluster.master.id(), Signal::CONT);
    let words = ["agent", "--master", &cluster.address, "--work", "agent-0"];
    let words = words.into_iter().chain(["--resources", "cpus:1;mem:1024", "--volume", &gate]);
    cluster.agents[0] = Process::start("agent-0", &mut cluster.home.skep(words));

    let ended = Ended::from(run.wait_with_output().unwrap()).expect_code(0);
    assert!(!ended.stderr.contains("started again"), "{ended:?}");
    assert_eq!(fs::read(cluster.home.path("out")).unwrap(), b"made");
}

#[test]
fn an_output_is_an_input_of_the_next_task_wherever_that_runs() {
    let cluster = Cluster::start(&["cpus:1;mem:512", "cpus:1;mem:512"]);
    write_guest(&cluster.home);
    let master = ["run", "--master", &cluster.address];
    let words = ["--input", "data.bin::in/data", "--output", "out::in", "copy.wasm"];
    cluster.home.output([&master[..], &words].concat()).expect_code(0);
    let words = ["--count", "4", "--input", "in", "--output", "out/data::all/{}", "copy.wasm"];
    cluster.home.output([&master[..], &words].concat()).expect_code(0);
    for place in 0..4 {
        assert!(fs::read(cluster.home.path(&format!("all/{place}"))).unwrap() == data());
    }
}

/// Three groups, of which each takes what the one before leaves.
const GRAPH: &str = r#"
name = "graph"

[tasks.first]
module = "copy.wasm"
inputs = ["data.bin::in/data"]
outputs = ["out/data"]

[tasks.second]
module = "copy.wasm"
count = 2
inputs = ["@first/out/data::in/data"]
outputs = ["out"]

[tasks.third]
module = "copy.wasm"
inputs = ["@second/out::all/{}", "data.bin::in/data"]
outputs = ["all"]
"#;

#[test]
fn a_graph_passes_files_from_group_to_group_and_brings_the_last_here() {
    let home = home();
    fs::write(home.path("job.toml"), GRAPH).unwrap();
    home.output(["job", "run", "job.toml"]).expect_code(0);
    for place in 0..2 {
        assert!(fs::read(home.path(&format!("third/all/{place}/data"))).unwrap() == data());
    }
    assert!(!home.path("first").exists(), "what others take stays in the cluster");
    let without = GRAPH.replace("data.bin::in/data\"]\noutputs = [\"all\"]", "date.bin\"]");
    fs::write(home.path("job.toml"), without).unwrap();
    let refused = home.output(["job", "validate", "job.toml"]).expect_code(1);
    refused.expect_words(&["job.toml:17:34", "date.bin", "No such file"]);
}

#[test]
fn what_a_job_has_left_in_the_cluster_is_fetched_when_it_is_wanted() {
    let cluster = Cluster::start(&["cpus:2;mem:1024"]);
    write_guest(&cluster.home);
    fs::write(cluster.home.path("job.toml"), GRAPH).unwrap();
    cluster.skep(&["job", "submit", "job.toml"]).expect_code(0);
    cluster.skep(&["job", "wait", "graph"]).expect_code(0);
    let fetched = cluster.skep(&["job", "fetch", "graph", "--to", "got"]).expect_code(0);
    assert_eq!(fetched.stdout, "got/third/all\n");
    for place in 0..2 {
        let file = cluster.home.path(&format!("got/third/all/{place}/data"));
        assert!(fs::read(file).unwrap() == data());
    }
    assert!(!cluster.home.path("got/first").exists(), "what others took stays in the cluster");
    cluster.skep(&["job", "fetch", "graph", "--all", "--to", "all"]).expect_code(0);
    assert!(fs::read(cluster.home.path("all/first/out/data")).unwrap() == data());
    assert!(fs::read(cluster.home.path("all/second/1/out/data")).unwrap() == data());
    let unknown = cluster.skep(&["job", "fetch", "graf"]).expect_code(1);
    unknown.expect_words(&["there is no job graf", "skep job list"]);
}

/// A home with the guest that leaves a report and ends as it is told.
fn half_done() -> Home {
    let home = Home::new();
    write_guest_of(&home, "half_done");
    home
}

fn write_guest_of(home: &Home, name: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests");
    let module = wat::parse_file(root.join(format!("{name}.wat"))).unwrap();
    fs::write(home.path(&format!("{name}.wasm")), module).unwrap();
}

#[test]
fn what_is_there_is_brought_however_a_task_ends_and_the_rest_is_named() {
    let home = half_done();
    for (options, how, code) in [
        (&[][..], "0", 125),
        (&[], "1", 1),
        (&[], "t", 134),
        (&["--timeout", "1s"], "s", 124),
        (&["--fuel", "1M"], "s", 152),
    ] {
        let words = ["run", "--output", "report.txt::got", "--output", "missing.txt"];
        let words = [&words[..], options, &["half_done.wasm", how]].concat();
        let ended = home.output(words).expect_code(code);
        let ended = ended.expect_words(&["\"missing.txt\" is not there"]);
        assert_eq!(ended.stderr.matches("missing.txt").count(), 1, "{ended:?}");
        assert_eq!(fs::read(home.path("got")).unwrap(), b"half", "{how}");
        fs::remove_file(home.path("got")).unwrap();
    }
    let words = ["run", "-o", "json", "--output", "report.txt", "--output", "missing.txt"];
    let words = [&words[..], &["half_done.wasm", "1"]].concat();
    let document = home.output(words).expect_code(1).json();
    let task = &document["tasks"][0];
    assert_eq!(task["outputs"][0]["guest"], "report.txt");
    assert_eq!(task["missing"][0]["guest"], "missing.txt");
}

/// A task that fails twice, and leaves a report each time.
const FAILING: &str = r#"
name = "failing"

[tasks.a]
module = "half_done.wasm"
args = ["1"]
outputs = ["report.txt", "core"]
retries = 1
"#;

#[test]
fn a_job_keeps_what_its_failed_attempts_leave() {
    let cluster = Cluster::start(&["cpus:2;mem:1024"]);
    let home = &cluster.home;
    write_guest_of(home, "half_done");
    fs::write(home.path("job.toml"), FAILING).unwrap();
    let ended = home.output(["job", "run", "job.toml"]).expect_code(1);
    ended.expect_words(&["exited with code 1; its output \"core\" is not there"]);
    for attempt in ["failed-1", "failed-2"] {
        let report = fs::read(home.path(&format!("a/{attempt}/report.txt"))).unwrap();
        assert_eq!(report, b"half");
    }
    cluster.skep(&["job", "submit", "job.toml"]).expect_code(0);
    cluster.skep(&["job", "wait", "failing"]).expect_code(1);
    let fetched = cluster.skep(&["job", "fetch", "failing", "--to", "got"]).expect_code(0);
    assert_eq!(fetched.stdout, "got/a/failed-1/report.txt\ngot/a/failed-2/report.txt\n");
    assert_eq!(fs::read(home.path("got/a/failed-2/report.txt")).unwrap(), b"half");
}

#[test]
fn names_that_are_no_text_are_served_where_they_may_be_and_else_refused_by_their_names() {
    let home = half_done();
    write_guest_of(&home, "list_names");
    let foreign = OsStr::from_bytes(b"caf\xe9");
    fs::create_dir(home.path("d")).unwrap();
    fs::write(home.path("d").join(foreign), "").unwrap();
    fs::write(home.path("d/good"), "").unwrap();
    // 25: an illegal sequence of bytes.
    let ended = home.output(["run", "--dir", "d::.", "list_names.wasm"]).expect_code(25);
    assert!(ended.stdout.contains("good") && ended.stdout.contains("caf\\xE9"), "{ended:?}");
    let ended = home.output(["run", "--input", "d/*", "list_names.wasm"]).expect_code(25);
    assert!(ended.stdout.contains("good") && ended.stdout.contains("caf\\xE9"), "{ended:?}");

    // Paths of this machine are bytes.
    let module = home.path("caf").with_file_name(foreign).with_extension("wasm");
    fs::copy(home.path("half_done.wasm"), &module).unwrap();
    let with = |before: &[&str], word: &OsStr, after: &[&str]| {
        let mut command = home.skep(before.iter().copied());
        Ended::from(command.arg(word).args(after).output().unwrap())
    };
    with(&["run", "--scratch"], module.as_os_str(), &["0"]).expect_code(0);
    let output = OsStr::from_bytes(b"report.txt::caf\xe9");
    with(&["run", "--output"], output, &["half_done.wasm", "0"]).expect_code(0);
    assert_eq!(fs::read(home.path("x").with_file_name(foreign)).unwrap(), b"half");
    let input = OsStr::from_bytes(b"caf\xe9::in");
    with(&["run", "--input"], input, &["half_done.wasm", "0"]).expect_code(0);

    // What goes to a guest is text.
    let named = |ended: Ended| ended.expect_words(&["\"caf\\xE9\"", "UTF-8"]);
    named(with(&["run", "--scratch", "half_done.wasm"], foreign, &[])).expect_code(125);
    named(with(&["run", "--input"], foreign, &["half_done.wasm", "0"])).expect_code(125);
    let mut command = home.skep(["run", "--scratch", "--env", "X", "half_done.wasm", "0"]);
    named(command.env("X", foreign).output().unwrap().into()).expect_code(125);
    fs::write(home.path("lines"), b"a\ncaf\xe9\n").unwrap();
    let ended = home.output(["run", "--each-line", "lines", "half_done.wasm", "{}"]);
    named(ended).expect_code(125).expect_words(&["line 2"]);
    with(&["run", "--name"], foreign, &["half_done.wasm"])
        .expect_code(2)
        .expect_words(&["caf\\xE9"]);
}

#[test]
fn outputs_that_would_meet_or_lead_out_are_refused_before_anything_runs() {
    let home = half_done();
    for (lines, words) in [
        ("0\n1\n0\n", ["\"0\" and \"0\"", "both write out/0"]),
        ("0\n./0\n", ["\"0\" and \"./0\"", "both write out/0"]),
        ("../0\n", ["out/../0", "outside of the folder"]),
    ] {
        fs::write(home.path("lines"), lines).unwrap();
        let options = ["run", "--each-line", "lines", "--output", "report.txt::out/{}"];
        let ended = home.output([&options[..], &["half_done.wasm", "{}"]].concat());
        ended.expect_code(125).expect_words(&words);
        assert!(!home.path("out").exists());
    }
}
