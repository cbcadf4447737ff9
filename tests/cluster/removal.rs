//! Frameworks that an operator removes: of every kind, by name and by id, whoever is away.

use crate::kit::{Cluster, Ended, Process, children, module, signal, until};
use rustix::process::Signal;
use serde_json::Value;
use std::{fs, process::Child};

const SMALL: [&str; 4] = ["--cpus", "0.1", "--mem", "16MiB"];
/// A task that ends in an hour.
const LONG: &str = "3600000";

/// `skep run` of a long task, under a name.
fn run(cluster: &Cluster, name: &str) -> Child {
    let options = [&SMALL[..], &["--name", name]].concat();
    cluster.run(&options, "sleep", &[LONG]).spawn().unwrap()
}

fn await_running(cluster: &Cluster, tasks: usize) {
    until("the tasks run", || {
        let all = cluster.view("ps");
        let running = all.as_array()?.iter().filter(|task| task["state"] == "RUNNING").count();
        (running == tasks).then_some(())
    });
}

/// Those of this name.
fn named(cluster: &Cluster, name: &str) -> Vec<Value> {
    let all = cluster.view("framework list");
    all.as_array().unwrap().iter().filter(|view| view["name"] == name).cloned().collect()
}

fn id(view: &Value) -> &str {
    view["framework"].as_str().unwrap()
}

fn remove(cluster: &Cluster, named: &str) -> Ended {
    cluster.skep(&["framework", "remove", named])
}

#[test]
fn a_framework_is_removed_by_name_or_id_and_its_command_ends_in_words() {
    let cluster = Cluster::start(&["cpus:2;mem:1024"]);
    let (first, second) = (run(&cluster, "one"), run(&cluster, "two"));
    await_running(&cluster, 2);
    let two = named(&cluster, "two").remove(0);
    let told = remove(&cluster, "one").expect_code(0).stdout;
    assert!(
        told.starts_with("framework one (f-") && told.ends_with("with its 1 tasks\n"),
        "{told}"
    );
    remove(&cluster, id(&two)).expect_code(0);
    for child in [first, second] {
        let ended = Ended::from(child.wait_with_output().unwrap()).expect_code(125);
        ended.expect_words(&["the master has removed this command's framework f-"]);
    }
    assert_eq!(cluster.view("ps"), Value::Array(Vec::new()));
    assert!(named(&cluster, "one").is_empty() && named(&cluster, "two").is_empty());
    let ended = cluster.view("ps --all");
    for task in ended.as_array().unwrap() {
        assert_eq!(task["reason"], "killed by the removal of its framework", "{task}");
    }
    until("its executors end", || children(cluster.agents[0].id()).is_empty().then_some(()));
}

#[test]
fn a_name_that_several_have_or_nobody_has_is_refused_in_words() {
    let cluster = Cluster::start(&["cpus:2;mem:1024"]);
    let both = [run(&cluster, "twin"), run(&cluster, "twin")];
    await_running(&cluster, 2);
    let twins = named(&cluster, "twin");
    let ids = [id(&twins[0]), id(&twins[1])];
    let ambiguous = remove(&cluster, "twin").expect_code(1);
    ambiguous.expect_words(&["2 frameworks are called twin: give the id of one", ids[0], ids[1]]);
    let words = ["kill", "--master", &cluster.address, "--framework", "twin", "0"];
    cluster.home.output(words).expect_code(1).expect_words(&[ids[0], ids[1]]);
    remove(&cluster, "nobody").expect_code(1).expect_words(&["there is no framework nobody"]);
    let supervisor = remove(&cluster, "supervisor").expect_code(1);
    supervisor.expect_words(&["the supervisor, which stands beside every master"]);
    // Those commands that are for something else say which one is meant.
    let kill = cluster.skep(&["framework", "kill", ids[0]]).expect_code(1);
    kill.expect_words(&[&format!("skep framework remove {}", ids[0])]);
    for twin in ids {
        remove(&cluster, twin).expect_code(0);
    }
    for child in both {
        Ended::from(child.wait_with_output().unwrap()).expect_code(125);
    }
}

#[test]
fn a_framework_that_is_away_is_removed_as_one_that_is_there() {
    let cluster = Cluster::start(&["cpus:2;mem:1024"]);
    let mut child = run(&cluster, "away");
    await_running(&cluster, 1);
    child.kill().unwrap();
    child.wait().unwrap();
    until("the master misses it", || {
        (named(&cluster, "away")[0]["state"] == "disconnected").then_some(())
    });
    remove(&cluster, "away").expect_code(0);
    assert_eq!(cluster.view("ps"), Value::Array(Vec::new()));
    assert!(named(&cluster, "away").is_empty());
}

#[test]
fn tasks_of_a_removed_framework_end_when_their_agent_is_back_also_at_the_next_master() {
    let mut cluster = Cluster::start(&["cpus:2;mem:1024"]);
    let child = run(&cluster, "gone");
    await_running(&cluster, 1);
    signal(cluster.agents[0].id(), Signal::STOP);
    until("the agent is missed", || {
        (cluster.view("status")["agents_connected"] == 0).then_some(())
    });
    remove(&cluster, "gone").expect_code(0);
    Ended::from(child.wait_with_output().unwrap()).expect_code(125);
    assert_eq!(cluster.view("ps"), Value::Array(Vec::new()));
    cluster.master.kill();
    let words = ["master", "--listen", &cluster.address, "--data", "master"];
    cluster.master = Process::start("master", &mut cluster.home.skep(words));
    assert!(named(&cluster, "gone").is_empty());
    assert_eq!(children(cluster.agents[0].id()).len(), 1, "its executor knows nothing yet");
    signal(cluster.agents[0].id(), Signal::CONT);
    until("its executor ends", || children(cluster.agents[0].id()).is_empty().then_some(()));
    assert_eq!(cluster.view("ps"), Value::Array(Vec::new()));
}

/// A job of one task that takes an hour, handed to `batch` in the cluster.
fn submit(cluster: &Cluster, name: &str) {
    let text = format!(
        "name = {name:?}\n[tasks.a]\nmodule = {:?}\nargs = [{LONG:?}]\n\
         cpus = 0.1\nmem = \"16MiB\"\n",
        module("sleep")
    );
    let file = cluster.home.path(&format!("{name}.toml"));
    fs::write(&file, text).unwrap();
    cluster.skep(&["job", "submit", file.to_str().unwrap()]).expect_code(0);
}

#[test]
fn a_hosted_framework_goes_with_its_scheduler_and_is_not_started_again() {
    let cluster = Cluster::start(&["cpus:2;mem:1024"]);
    submit(&cluster, "first");
    await_running(&cluster, 2);
    remove(&cluster, "batch").expect_code(0);
    assert!(named(&cluster, "batch").is_empty());
    until("nothing of it runs", || {
        (cluster.view("ps").as_array().unwrap().is_empty()).then_some(())
    });
    until("the supervisor is done with it", || {
        (cluster.view("framework show")[0]["state"] == "ended").then_some(())
    });
    let again = remove(&cluster, "batch").expect_code(1);
    again.expect_words(&["there is no framework batch"]);
    // Whoever needs it has it hosted again, as a new framework that knows nothing of the first.
    submit(&cluster, "second");
    let jobs = cluster.view("job list");
    let names: Vec<&Value> = jobs.as_array().unwrap().iter().map(|job| &job["job"]).collect();
    assert_eq!(names, ["second"]);
    await_running(&cluster, 2);
    // `kill` does the same, by the id that is listed.
    let batch = named(&cluster, "batch").remove(0);
    cluster.skep(&["framework", "kill", id(&batch)]).expect_code(0);
    assert!(named(&cluster, "batch").is_empty());
    until("nothing of it runs", || {
        (cluster.view("ps").as_array().unwrap().is_empty()).then_some(())
    });
}

#[test]
fn a_job_that_a_command_runs_is_not_the_clusters_and_job_stop_says_whose_it_is() {
    let cluster = Cluster::start(&["cpus:2;mem:1024"]);
    submit(&cluster, "handed");
    let child = run(&cluster, "mine");
    await_running(&cluster, 3);
    let mine = named(&cluster, "mine").remove(0);
    let stop = cluster.skep(&["job", "stop", "mine"]).expect_code(1);
    stop.expect_words(&["no job mine", &format!("skep framework remove {}", id(&mine))]);
    cluster.skep(&["job", "stop", "nobody"]).expect_code(1).expect_words(&["no job nobody"]);
    cluster.skep(&["job", "stop", "handed"]).expect_code(0);
    await_running(&cluster, 2);
    signal(child.id(), Signal::TERM);
    Ended::from(child.wait_with_output().unwrap()).expect_code(143);
}
