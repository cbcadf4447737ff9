//! Deterministic tasks: the same module, arguments and inputs give the same run.

use crate::kit::{Cluster, Ended, Home};
use serde_json::Value;
use std::collections::BTreeSet;

/// What a run of `world` prints, uses and is, for each of its tasks.
fn runs(options: &[&str]) -> BTreeSet<(String, u64, String)> {
    let words = [options, &["-o", "json"]].concat();
    let summary = Home::new().run(&words, "world", &[]).expect_code(0).json();
    let of = |task: &Value| {
        let digest = task["usage"]["run_digest"].as_str().unwrap().to_owned();
        let stdout = task["stdout"].as_str().unwrap().to_owned();
        (stdout, task["usage"]["fuel"].as_u64().unwrap(), digest)
    };
    summary["tasks"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn a_hundred_runs_give_one_output_and_one_fuel_figure() {
    let all = runs(&["--deterministic=7", "--count", "100"]);
    assert_eq!(all.len(), 100, "each has another index, which is part of its digest");
    let seen: BTreeSet<_> = all.iter().map(|(stdout, fuel, _)| (stdout, fuel)).collect();
    assert_eq!(seen.len(), 1, "{seen:?}");
    let (stdout, _) = seen.first().unwrap();
    assert!(stdout.contains("now 946684800."), "{stdout}");
    assert!(stdout.contains("waited 3600."), "an hour passes, though nobody waits: {stdout}");
    let elsewhere = runs(&["--deterministic=7", "--count", "1"]);
    assert!(all.is_superset(&elsewhere), "{elsewhere:?}");
    let (other_seed, ..) = runs(&["--deterministic=8"]).pop_first().unwrap();
    assert_ne!(&other_seed, *stdout);
}

#[test]
fn an_ended_task_is_replayed_from_its_cluster() {
    let cluster = Cluster::start(&["cpus:1;mem:512"]);
    let stdin = cluster.home.path("input");
    std::fs::write(&stdin, b"some input").unwrap();
    let words = ["--deterministic", "--mem", "64MiB", "--stdin", stdin.to_str().unwrap()];
    let ended = Ended::from(cluster.run(&words, "world", &[]).output().unwrap()).expect_code(0);
    assert!(ended.stdout.contains("input 10 "), "{ended:?}");
    let task = cluster.view("ps --all")[0]["task"].as_str().unwrap().to_owned();
    let replayed = cluster.home.output(["replay", "--master", &cluster.address, &task]);
    let replayed = replayed.expect_code(0);
    assert!(replayed.stdout.contains("the same run"), "{replayed:?}");
    let plain = cluster.run(&[], "hello", &["x"]).output().unwrap();
    Ended::from(plain).expect_code(0);
    let tasks = cluster.view("ps --all");
    let tasks = tasks.as_array().unwrap().iter();
    let names: Vec<_> = tasks.map(|task| task["task"].as_str().unwrap().to_owned()).collect();
    let plain = names.iter().find(|name| **name != task).unwrap();
    let refused = cluster.home.output(["replay", "--master", &cluster.address, plain]);
    refused.expect_code(1).expect_words(&["not deterministic"]);
}
