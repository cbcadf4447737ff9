//! A master and agents as processes of their own, shared by frameworks, and what becomes of a job
//! when an agent dies.

use crate::kit::{Cluster, Ended, children, signal, until};
use rustix::process::Signal;
use serde_json::Value;
use std::process::{Command, Stdio};

fn states(tasks: &Value, agent: &str) -> Vec<String> {
    let on_agent = |task: &&Value| task["agent"] == agent;
    let state = |task: &Value| task["state"].as_str().unwrap().to_owned();
    tasks.as_array().unwrap().iter().filter(on_agent).map(state).collect()
}

#[test]
fn a_framework_and_a_run_share_two_agents() {
    let cluster = Cluster::start(&["cpus:2;mem:2048", "cpus:2;mem:2048"]);
    let run = cluster.run(&["--count", "40", "--role", "batch"], "sleep", &["50"]).spawn().unwrap();

    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut hello = Command::new(cargo);
    let folder = cluster.home.path("config/clusters").join(cluster.address.replace(':', "_"));
    hello
        .args(["run", "--quiet", "-p", "hello-framework"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .env("SKEP_MASTER", &cluster.address)
        .env("SKEP_IDENTITY", folder);
    let hello = Ended::from(hello.output().unwrap()).expect_code(0);
    assert_eq!(hello.stdout.matches("FINISHED").count(), 5, "{hello:?}");

    let run = Ended::from(run.wait_with_output().unwrap()).expect_code(0);
    run.expect_words(&["40 of 40 tasks finished"]);
}

#[test]
fn a_job_outlives_a_machine_that_dies() {
    let mut cluster = Cluster::start(&["cpus:2;mem:1024", "cpus:2;mem:1024"]);
    let options = ["--array", "1-8", "--cpus", "0.5", "--mem", "64MiB", "-o", "json"];
    let run = cluster.run(&options, "sleep", &["4000"]).spawn().unwrap();
    let agents = cluster.view("agent list");
    let victim = agents[0]["agent"].as_str().unwrap();
    // Which process the victim is: the agent says its id in its first line.
    let place =
        cluster.agents.iter().position(|agent| agent.first_line().contains(victim)).unwrap();
    until("tasks run on the victim", || {
        let running = states(&cluster.view("ps"), victim);
        running.iter().any(|state| state == "RUNNING").then_some(())
    });
    let executors = children(cluster.agents[place].id());
    assert!(!executors.is_empty(), "a running task has an executor");
    // As if its machine had died.
    cluster.agents[place].kill();
    executors.iter().for_each(|pid| signal(*pid, Signal::KILL));
    let ended = Ended::from(run.wait_with_output().unwrap()).expect_code(0);
    let document = ended.json();
    let tasks = document["tasks"].as_array().unwrap();
    assert_eq!(document["outcomes"]["exited"], 8);
    assert!(tasks.iter().any(|task| task["attempt"] == 2), "{document}");
    assert!(tasks.iter().all(|task| task["agent"] != victim), "{document}");
}

#[test]
fn a_cluster_shows_what_it_does() {
    let cluster = Cluster::start(&["cpus:1;mem:512"]);
    let summary = cluster.view("status")["summary"].as_str().unwrap().to_owned();
    assert!(summary.starts_with("no framework has subscribed"), "{summary}");
    let mut run = cluster.run(&["--cpus", "1", "--mem", "64MiB"], "spin", &[]).spawn().unwrap();
    let task = until("the task runs", || {
        let tasks = cluster.view("ps");
        let task = tasks.as_array().unwrap().iter().find(|task| task["state"] == "RUNNING")?;
        Some(task["task"].as_str().unwrap().to_owned())
    });
    let agents = cluster.view("agent list");
    assert_eq!((&agents[0]["allocated"]["cpus"], &agents[0]["tasks"]), (&1.0.into(), &1.into()));
    assert_eq!(cluster.view("framework list")[0]["state"], "connected");
    assert_eq!(cluster.view("role list")[0]["share"], 1.0);
    assert_eq!(cluster.view("offers"), Value::Array(vec![]));

    let kill = ["kill", &task, "--master", &cluster.address];
    cluster.home.output(kill).expect_code(0);
    let code = until("the run ends", || run.try_wait().unwrap()).code();
    assert_eq!(code, Some(143));
    let ended = cluster.view("ps --all");
    assert_eq!(ended[0]["state"], "KILLED");
}

#[test]
fn logs_of_an_ended_task_are_still_there() {
    let cluster = Cluster::start(&["cpus:1;mem:512"]);
    let run = cluster.run(&[], "hello", &["again"]).output().unwrap();
    let shown = Ended::from(run).expect_code(0).stdout;
    let tasks = cluster.view("ps --all");
    let task = tasks[0]["task"].as_str().unwrap();
    let logs = cluster.home.output(["logs", task, "--master", &cluster.address]).expect_code(0);
    assert_eq!(logs.stdout, shown);
    let unknown = ["logs", "nobody.0", "--master", &cluster.address];
    cluster.home.output(unknown).expect_code(1).expect_words(&["nobody.0", "skep ps --all"]);
}

#[test]
fn an_agent_keeps_its_id_over_a_restart_and_a_master_its_agents() {
    let mut cluster = Cluster::start(&["cpus:1;mem:512"]);
    let before = cluster.view("agent list")[0]["agent"].clone();
    cluster.agents[0].kill();
    let words = ["agent", "--master", &cluster.address, "--work", "agent-0"];
    let again = crate::kit::Process::start("agent again", &mut cluster.home.skep(words));
    let agent = until("it registers again", || {
        let agents = cluster.view("agent list");
        (agents[0]["incarnation"] == 2).then(|| agents[0].clone())
    });
    assert_eq!(agent["agent"], before);

    cluster.master.kill();
    let words = ["master", "--listen", &cluster.address, "--data", "master"];
    cluster.master = crate::kit::Process::start("master again", &mut cluster.home.skep(words));
    cluster.await_agents(1);
    assert_eq!(cluster.view("agent list")[0]["agent"], before);
    cluster.run(&[], "noop", &[]).stdout(Stdio::null()).output().unwrap();
    drop(again);
}

#[test]
fn a_command_under_skep_dev_finds_its_cluster() {
    let home = crate::kit::Home::new();
    let skep = env!("CARGO_BIN_EXE_skep");
    let words = ["dev", "--agents", "2", "--", skep, "agent", "list", "-o", "json"];
    let ended = home.output(words).expect_code(0);
    assert_eq!(ended.json().as_array().unwrap().len(), 2);
}
