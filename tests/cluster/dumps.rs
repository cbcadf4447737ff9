//! Core dumps, from the guest that traps to the file of who asked for one.

use crate::kit::{Cluster, Ended, Home};
use std::{fs, path::Path};
use wasmparser::{KnownCustom, Parser, Payload};

/// Reads a dump, and gives how many frames are on its stack.
fn frames(dump: &[u8]) -> usize {
    let mut frames = 0;
    let mut memories = 0;
    for payload in Parser::new(0).parse_all(dump) {
        match payload.unwrap() {
            Payload::MemorySection(section) => memories += section.count(),
            Payload::CustomSection(section) => {
                if let KnownCustom::CoreDumpStack(stack) = section.as_known() {
                    frames += stack.frames.len();
                }
            }
            _ => {}
        }
    }
    assert_eq!(memories, 1);
    frames
}

fn frames_in(file: &Path) -> usize {
    frames(&fs::read(file).unwrap())
}

#[test]
fn a_core_dump_is_kept_of_a_task_that_traps_and_of_no_other() {
    let home = Home::new();
    let ended = home.run(&["--coredump"], "trap", &[]).expect_code(134);
    ended.expect_words(&["skep: core dump of", "bytes in core", "trapped"]);
    assert!(frames_in(&home.path("core")) > 3);
    home.run(&["--coredump=other"], "echo", &["hi"]).expect_code(0);
    assert!(!home.path("other").exists());
    home.run(&["--coredump=many", "--count", "2"], "trap", &[]);
    assert_eq!([0, 1].map(|n| frames_in(&home.path(&format!("many.{n}"))) > 3), [true; 2]);
}

#[test]
fn a_core_dump_of_a_cluster_is_read_by_whoever_may_read_its_logs() {
    let cluster = Cluster::start(&["cpus:1;mem:512"]);
    let run = cluster.run(&["--coredump=here", "--fuel", "1000000"], "spin", &[]).output().unwrap();
    Ended::from(run).expect_code(152).expect_words(&["bytes in here"]);
    let tasks = cluster.view("ps --all");
    let task = tasks[0]["task"].as_str().unwrap();
    let words = ["logs", "--core", task, "--master", &cluster.address];
    let read = cluster.home.skep(words).output().unwrap();
    assert!(read.status.success(), "{read:?}");
    assert!(frames(&read.stdout) > 0);
    assert!(read.stdout == fs::read(cluster.home.path("here")).unwrap());

    let plain = cluster.run(&[], "trap", &[]).output().unwrap();
    Ended::from(plain).expect_code(134);
    let tasks = cluster.view("ps --all");
    let other = |view: &&serde_json::Value| view["task"] != task;
    let other = tasks.as_array().unwrap().iter().find(other).unwrap();
    let words = ["logs", "--core", other["task"].as_str().unwrap(), "--master", &cluster.address];
    cluster.home.output(words).expect_code(1).expect_words(&["left no core dump", "--coredump"]);
}
