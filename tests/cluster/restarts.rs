//! An agent that dies, and the next one in its place: what its tasks notice.

use crate::kit::{Cluster, Ended, Process, children, signal, until};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    fs,
    path::PathBuf,
    process::{Child, Command},
    time::{Duration, Instant},
};

/// Tasks that run all at once, each with its own hundredth of a processor.
const TASKS: usize = 100;
const SMALL: [&str; 8] = ["--cpus", "0.01", "--mem", "4MiB", "--count", "100", "-o", "json"];
/// How long each sleeps: an agent can die and come back meanwhile.
const LONG: Duration = Duration::from_secs(8);

fn cluster() -> Cluster {
    Cluster::start(&["cpus:1;mem:1024"])
}

/// Starts many tasks that sleep, and waits until all of them run.
fn start_many(cluster: &Cluster) -> Child {
    let millis = LONG.as_millis().to_string();
    let run = cluster.run(&SMALL, "sleep", &[&millis]).spawn().unwrap();
    until("all tasks run", || {
        let tasks = cluster.view("ps");
        let running = tasks.as_array()?.iter().filter(|task| task["state"] == "RUNNING").count();
        (running == TASKS).then_some(())
    });
    run
}

/// Puts another agent in the place of one that is gone.
fn replace_agent(cluster: &mut Cluster) {
    cluster.agents[0] = Process::start("agent-0", &mut agent(cluster));
}

fn agent(cluster: &Cluster) -> Command {
    let words = ["agent", "--master", &cluster.address, "--work", "agent-0"];
    cluster.home.skep(words.into_iter().chain(["--resources", "cpus:1;mem:1024"]))
}

fn end(run: Child) -> Value {
    Ended::from(run.wait_with_output().unwrap()).expect_code(0).json()
}

/// All came to their end in their first attempt.
fn assert_unnoticed(document: &Value) {
    assert_eq!(document["outcomes"]["exited"], TASKS, "{document}");
    for task in document["tasks"].as_array().unwrap() {
        assert_eq!(task["attempt"], 1, "{task}");
    }
}

/// The sockets of executors that could take guests, by the agent's own folder.
fn sockets(cluster: &Cluster) -> Vec<PathBuf> {
    let files = fs::read_dir(cluster.home.path("agent-0/executors")).unwrap();
    let paths = files.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|suffix| suffix == "sock")).collect()
}

#[test]
fn a_hundred_tasks_do_not_notice_that_their_agent_is_killed_and_started_anew() {
    let mut cluster = cluster();
    let run = start_many(&cluster);
    let before = sockets(&cluster);
    assert_eq!(before.len(), 1, "one framework has one executor");

    cluster.agents[0].kill();
    replace_agent(&mut cluster);
    assert_unnoticed(&end(run));
    assert_eq!(sockets(&cluster), before);
    assert!(cluster.agents[0].said().contains("executor of an earlier run found"));
}

#[test]
fn tasks_that_end_while_there_is_no_agent_are_told_of_when_there_is_one() {
    let mut cluster = cluster();
    let run = start_many(&cluster);
    cluster.agents[0].kill();
    let since = Instant::now();
    // All of them slept already when the agent died.
    until("the guests awake", || (since.elapsed() > LONG).then_some(()));
    replace_agent(&mut cluster);
    assert_unnoticed(&end(run));
}

#[test]
fn an_agent_that_is_to_keep_its_tasks_leaves_them_to_the_next() {
    let mut cluster = cluster();
    cluster.agents[0].kill();
    let mut command = agent(&cluster);
    command.args(["--at-stop", "keep-tasks"]);
    cluster.agents[0] = Process::start("agent-0", &mut command);
    cluster.await_agents(1);
    let run = start_many(&cluster);

    cluster.agents[0].terminate();
    assert_eq!(cluster.agents[0].wait(), Some(0));
    replace_agent(&mut cluster);
    assert_unnoticed(&end(run));
}

#[test]
fn tasks_of_an_executor_that_died_with_its_agent_are_lost_and_run_again() {
    let mut cluster = cluster();
    let run = start_many(&cluster);
    let executors = children(cluster.agents[0].id());
    cluster.agents[0].kill();
    executors.iter().for_each(|pid| signal(*pid, Signal::KILL));
    replace_agent(&mut cluster);
    let document = end(run);
    assert_eq!(document["outcomes"]["exited"], TASKS, "{document}");
    assert!(document["tasks"].as_array().unwrap().iter().all(|task| task["attempt"] == 2));
}
