//! Modules and inputs: fetched once, compiled once, tried again when that can help.

use super::*;
use crate::{CacheFile, CompileFailure, FetchFailure};
use skep_protocol::Rejection;

fn fetch(digest: Digest) -> Effect {
    Effect::FetchBlob { digest }
}

fn compile() -> Effect {
    Effect::Compile { artifact: artifact() }
}

fn starting(task: &str, at: Time) -> StatusUpdate {
    update(key(task), 1, TaskState::Starting, at)
}

/// An agent whose executor runs, and that knows no module.
fn with_executor() -> Bench {
    let mut bench = Bench::warm();
    bench.agent.modules = Default::default();
    bench
}

fn broken(digest: Digest) -> Input {
    Input::BlobFailed { digest, why: FetchFailure::Failed { why: "cut off".into() } }
}

#[test]
fn two_tasks_wait_for_one_fetch_and_one_compilation() {
    let mut bench = with_executor();
    let (a, b) = (starting("a", bench.at()), starting("b", bench.at()));
    assert_eq!(
        bench.launch(1, [spec("a"), spec("b")]),
        [
            accepted(1, 1, spec("a")),
            accepted(1, 2, spec("b")),
            confirmed(["a", "b"]),
            fetch(module()),
            persist(&a),
            persist(&b),
            send([a, b]),
        ]
    );
    assert_eq!(bench.act(Input::BlobReady { digest: module() }), [compile()]);
    assert_eq!(
        bench.act(Input::Compiled { artifact: artifact() }),
        [start([spec("a"), spec("b")])]
    );
}

#[test]
fn a_task_is_told_how_long_it_waited_for_the_compilation_of_its_module() {
    let mut bench = with_executor();
    bench.launch(1, [spec("a")]);
    bench.wait(5);
    // The blob's own time does not count.
    bench.act(Input::BlobReady { digest: module() });
    bench.wait(3);
    bench.launch(1, [spec("b")]);
    bench.wait(4);
    bench.act(Input::Compiled { artifact: artifact() });
    bench.wait(2);
    let took = |task: &str, seconds| {
        let compile = Duration::from_secs(seconds);
        let finished = finished(task, 2);
        StatusUpdate { usage: Some(Usage { compile, ..usage() }), ..finished }
    };
    let (a, b) = (took("a", 7), took("b", 4));
    assert_eq!(bench.report([ended("a")]), [persist(&a), send([a])]);
    assert_eq!(bench.report([ended("b")]), [persist(&b), send([b])]);
    // A cached one takes no time.
    bench.launch(1, [spec("c")]);
    let c = finished("c", 1);
    assert_eq!(bench.report([ended("c")])[..2], [persist(&c), send([c])]);
}

#[test]
fn a_standard_input_is_fetched_besides_the_module() {
    let mut bench = with_executor();
    let stdin = Digest::of(b"input");
    let mut task = spec("a");
    task.grants.stdin = Some(stdin);
    let effects = bench.launch(1, [task.clone()]);
    let mut both = [fetch(module()), fetch(stdin)];
    both.sort_by_key(|effect| format!("{effect:?}"));
    assert_eq!(effects[2..4], both);
    bench.act(Input::BlobReady { digest: module() });
    assert_eq!(bench.act(Input::Compiled { artifact: artifact() }), []);
    assert_eq!(bench.act(Input::BlobReady { digest: stdin }), [start([task])]);
}

#[test]
fn a_rejected_module_is_not_compiled_again() {
    let mut bench = with_executor();
    bench.launch(1, [spec("a")]);
    bench.act(Input::BlobReady { digest: module() });
    let why = || "it imports env.fork".to_owned();
    let rejected =
        |task, seq, at| update(key(task), seq, over(Outcome::ModuleRejected { why: why() }), at);
    let first = rejected("a", 2, bench.at());
    let why = CompileFailure::Rejected { why: why() };
    assert_eq!(
        bench.act(Input::CompileFailed { artifact: artifact(), why }),
        [persist(&first), send([first])]
    );
    let second = rejected("b", 1, bench.at());
    assert_eq!(
        bench.launch(1, [spec("b")]),
        [accepted(1, 2, spec("b")), confirmed(["b"]), persist(&second), send([second])]
    );
}

#[test]
fn a_compilation_that_failed_for_our_sake_is_tried_again_by_the_next_task() {
    let mut bench = with_executor();
    bench.launch(1, [spec("a")]);
    bench.act(Input::BlobReady { digest: module() });
    let why = CompileFailure::Failed { why: "the disk is full".into() };
    let effects = bench.act(Input::CompileFailed { artifact: artifact(), why });
    let why = format!("module {} could not be compiled: the disk is full", module());
    let failed = update(key("a"), 2, over(Outcome::Failed { why }), bench.at());
    assert_eq!(effects, [persist(&failed), send([failed])]);
    bench.launch(1, [spec("b")]);
    assert_eq!(bench.act(Input::BlobReady { digest: module() }), [compile()]);
}

#[test]
fn a_blob_that_the_master_does_not_have_refuses_the_tasks() {
    let mut bench = with_executor();
    bench.launch(1, [spec("a")]);
    let rejection = Rejection::UnknownBlob { digest: module() };
    let why = FetchFailure::Refused { rejection: rejection.clone() };
    let effects = bench.act(Input::BlobFailed { digest: module(), why });
    let refusal = update(key("a"), 2, over(Outcome::Refused { rejection }), bench.at());
    assert_eq!(effects, [persist(&refusal), send([refusal])]);
}

#[test]
fn a_broken_fetch_is_tried_again_after_a_wait_that_doubles() {
    let mut bench = with_executor();
    bench.launch(1, [spec("a")]);
    let fetches =
        |effects: Vec<Effect>| effects.iter().filter(|effect| **effect == fetch(module())).count();
    for wait in [2, 4, 8, 16] {
        assert_eq!(bench.act(broken(module())), []);
        assert_eq!(fetches(bench.pass(wait - 1)), 0);
        assert_eq!(fetches(bench.pass(1)), 1);
    }
    let effects = bench.act(broken(module()));
    let why = format!("blob {} could not be fetched: cut off", module());
    let failed = update(key("a"), 2, over(Outcome::Failed { why }), bench.at());
    assert_eq!(effects, [persist(&failed), send([failed])]);
}

#[test]
fn a_fetch_that_broke_with_the_connection_goes_on_with_the_next() {
    let mut bench = with_executor();
    bench.launch(1, [spec("a")]);
    bench.act(Input::Disconnected);
    assert_eq!(bench.act(broken(module())), []);
    assert!(!bench.pass(30).contains(&fetch(module())));
    assert!(bench.admit().contains(&fetch(module())));
}

#[test]
fn files_are_asked_for_again_after_an_executor_failed_a_guest() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a")]);
    bench.report([ended_with("a", Outcome::Failed { why: "no such file".into() })]);
    let effects = bench.launch(1, [spec("b")]);
    assert_eq!(effects[2], fetch(module()));
}

#[test]
fn a_full_cache_gives_up_what_no_task_needs_and_asks_for_it_again_when_one_does() {
    let mut bench = with_executor();
    bench.agent.policy.cache_bytes_max = 100;
    let kept = |file, bytes| Input::Kept { file, bytes };
    let (blob, code) = (CacheFile::Blob(module()), CacheFile::Artifact(artifact()));
    bench.launch(1, [spec("a")]);
    bench.act(kept(blob, 40));
    bench.act(Input::BlobReady { digest: module() });
    bench.act(kept(code, 50));
    bench.act(Input::Compiled { artifact: artifact() });
    // All that is there is needed, though it is too much.
    let other = Digest::of(b"other");
    assert_eq!(bench.act(kept(CacheFile::Blob(other), 60)), []);
    bench.report([ended("a")]);
    // The module was used before its machine code, so it goes first, and that is enough.
    let gone = |file| Effect::Discard { file };
    assert_eq!(bench.act(kept(CacheFile::Blob(other), 50)), [gone(blob)]);
    let more = CacheFile::Blob(Digest::of(b"more"));
    assert_eq!(bench.act(kept(more, 50)), [gone(code)]);
    assert!(bench.launch(1, [spec("b")]).contains(&fetch(module())));
}
