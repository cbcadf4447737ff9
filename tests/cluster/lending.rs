//! What agents lend, and a scheduler that hoards: who waits is served.

use crate::kit::{Cluster, Ended, until};
use serde_json::Value;

/// Some seconds of one processor.
const WORK: [&str; 2] = ["sha256", "8000"];

fn task_of<'a>(tasks: &'a Value, role: &str) -> Option<&'a Value> {
    tasks.as_array().unwrap().iter().find(|task| task["role"] == role)
}

fn state_of(cluster: &Cluster, role: &str) -> Option<String> {
    Some(task_of(&cluster.view("ps"), role)?["state"].as_str()?.to_owned())
}

fn lending(resources: &str) -> Cluster {
    let mut cluster = Cluster::start(&[]);
    cluster.start_agent_with(resources, &["--revocable", "cpus:1;mem:256"]);
    cluster.await_agents(1);
    cluster
}

fn await_state(cluster: &Cluster, role: &str, state: &str) {
    let what = format!("the task of {role} is {state}");
    until(&what, || (state_of(cluster, role).as_deref() == Some(state)).then_some(()));
}

#[test]
fn a_revocable_task_stops_while_a_regular_one_works_and_ends_as_if_undisturbed() {
    let cluster = lending("cpus:1;mem:256");
    let job = ["--cpus", "1", "--mem", "64MiB", "--deterministic=1", "-o", "json"];
    let lent = [&["--revocable", "--role", "lent"], &job[..]].concat();

    let alone = cluster.run(&lent, "compute", &WORK).output().unwrap();
    let alone = Ended::from(alone).expect_code(0).json();

    let disturbed = cluster.run(&lent, "compute", &WORK).spawn().unwrap();
    await_state(&cluster, "lent", "RUNNING");
    let work = ["--role", "work", "--cpus", "1", "--mem", "64MiB"];
    let mut work = cluster.run(&work, "sleep", &["1000000"]).spawn().unwrap();
    await_state(&cluster, "work", "RUNNING");
    await_state(&cluster, "lent", "PAUSED");
    let task = task_of(&cluster.view("ps"), "work").unwrap()["task"].as_str().unwrap().to_owned();
    let kill = ["kill", &task, "--master", &cluster.address];
    cluster.home.output(kill).expect_code(0);
    work.wait().unwrap();

    let disturbed = Ended::from(disturbed.wait_with_output().unwrap()).json();
    let of = |document: &Value, place: &str| document["tasks"][0].pointer(place).cloned();
    for place in ["/outcome", "/attempt", "/usage/fuel", "/usage/run_digest", "/stdout"] {
        let (one, other) = (of(&disturbed, place), of(&alone, place));
        assert!(one.is_some() && one == other, "{place}: {disturbed} {alone}");
    }
}

#[test]
fn a_revocable_task_is_killed_for_memory_and_started_again_when_there_is_room() {
    let cluster = lending("cpus:2;mem:256");
    let lent = ["--revocable", "--role", "lent", "--cpus", "0.1", "--mem", "200MiB"];
    let lent = cluster.run(&lent, "sleep", &["3000"]).spawn().unwrap();
    await_state(&cluster, "lent", "RUNNING");
    let work = ["--role", "work", "--cpus", "1", "--mem", "100MiB"];
    let work = cluster.run(&work, "sleep", &["100"]).output().unwrap();
    Ended::from(work).expect_code(0);
    Ended::from(lent.wait_with_output().unwrap()).expect_code(0);
    let tasks = cluster.view("ps --all");
    let attempts = tasks.as_array().unwrap().iter().filter(|task| task["role"] == "lent");
    let reasons: Vec<&str> = attempts.map(|task| task["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons.len(), 2, "{tasks}");
    assert!(reasons[1].contains("preemption"), "{tasks}");
}

#[test]
fn a_task_runs_where_its_constraint_holds_and_why_says_where_it_does_not() {
    let mut cluster = Cluster::start(&[]);
    cluster.start_agent_with("cpus:2;mem:512", &["--zone", "z1"]);
    cluster.await_agents(1);
    let job = ["--cpus", "1", "--mem", "64MiB", "--constraint", "zone equals z2"];
    let waiting = cluster.run(&job, "noop", &[]).spawn().unwrap();
    let framework = until("the framework subscribes", || {
        let frameworks = cluster.view("framework list");
        let mut own = frameworks.as_array()?.iter().filter(|view| view["role"] != "skep");
        Some(own.next()?["framework"].as_str()?.to_owned())
    });
    let why = cluster.view(&format!("why {framework}"));
    let causes = why["agents"].as_object().unwrap();
    assert!(causes.keys().any(|cause| cause.contains("constraints")), "{why}");
    cluster.start_agent_with("cpus:2;mem:512", &["--zone", "z2"]);
    Ended::from(waiting.wait_with_output().unwrap()).expect_code(0);
    let agents = cluster.view("agent list");
    let in_z2 = agents.as_array().unwrap().iter().find(|agent| agent["zone"] == "z2").unwrap();
    assert_eq!(cluster.view("ps --all")[0]["agent"], in_z2["agent"]);
}
