//! What is done about tasks in trouble, with real processes: started again where they are, told to
//! end, going on elsewhere from their last checkpoint.

use crate::kit::{Cluster, Ended, Process, children, signal, until};
use rustix::process::Signal;
use serde_json::Value;
use std::process::Stdio;

const SMALL: [&str; 4] = ["--cpus", "0.5", "--mem", "16MiB"];

/// The one task that runs, once its guest is well under way.
fn under_way(cluster: &Cluster) -> Value {
    until("the guest counts", || {
        let tasks = cluster.view("ps");
        let task = tasks.as_array()?.iter().find(|task| task["state"] == "RUNNING")?.clone();
        let words = ["logs", task["task"].as_str()?, "--master", &cluster.address];
        let said = cluster.home.output(words).stdout;
        said.contains("counting on").then_some(task)
    })
}

#[test]
fn a_task_goes_on_from_its_checkpoint_on_another_agent() {
    let mut cluster = Cluster::start(&["cpus:1;mem:256", "cpus:1;mem:256"]);
    let run =
        cluster.run(&SMALL, "counter", &["60", "100"]).stdout(Stdio::piped()).spawn().unwrap();
    let task = under_way(&cluster);
    let victim = task["agent"].as_str().unwrap();
    let place =
        cluster.agents.iter().position(|agent| agent.first_line().contains(victim)).unwrap();
    // Nothing shows what is in the store of records but the store itself.
    let (store, wanted) = (cluster.home.path("master"), b"checkpointed");
    until("the master has recorded a checkpoint", || {
        let files = std::fs::read_dir(&store).ok()?.flatten();
        let mut texts = files.filter_map(|file| std::fs::read(file.path()).ok());
        texts.any(|text| text.windows(wanted.len()).any(|part| part == wanted)).then_some(())
    });
    let executors = children(cluster.agents[place].id());
    cluster.agents[place].kill();
    executors.iter().for_each(|pid| signal(*pid, Signal::KILL));
    let ended = Ended::from(run.wait_with_output().unwrap()).expect_code(0);
    let from =
        |line: &str| line.strip_prefix("counting on from ").map(|n| n.parse::<u64>().unwrap());
    let begins: Vec<u64> = ended.stdout.lines().filter_map(from).collect();
    let last = *begins.last().expect("it says where it begins");
    assert!(last > 0, "it began anew: {ended:?}");
    assert!(ended.stdout.ends_with("counted to 60\n"), "{ended:?}");
}

#[test]
fn a_guest_that_fails_is_started_again_while_its_agent_is_dead() {
    let mut cluster = Cluster::start(&["cpus:1;mem:256"]);
    let mut options = SMALL.to_vec();
    options.extend(["--restart", "3", "--restart-wait", "3s", "-o", "json", "--count", "1"]);
    let run = cluster.run(&options, "exit", &["7"]).spawn().unwrap();
    until("it waits to be started again", || {
        let tasks = cluster.view("ps");
        tasks.as_array()?.iter().any(|task| task["state"] == "RUNNING").then_some(())
    });
    cluster.agents[0].kill();
    let words = ["agent", "--master", &cluster.address, "--work", "agent-0"];
    let words = words.into_iter().chain(["--resources", "cpus:1;mem:256"]);
    cluster.agents[0] = Process::start("agent-0", &mut cluster.home.skep(words));
    let ended = Ended::from(run.wait_with_output().unwrap()).json();
    let task = &ended["tasks"][0];
    assert_eq!((&task["attempt"], &task["usage"]["restarts"]), (&1.into(), &3.into()), "{ended}");
}

#[test]
fn a_guest_that_is_killed_is_told_before() {
    let cluster = Cluster::start(&["cpus:1;mem:256"]);
    let mut options = SMALL.to_vec();
    options.extend(["--kill-grace", "60s"]);
    let mut run = cluster.run(&options, "counter", &["1000", "50"]);
    let run = run.stdout(Stdio::piped()).spawn().unwrap();
    let task = under_way(&cluster);
    let kill = ["kill", task["task"].as_str().unwrap(), "--master", &cluster.address];
    cluster.home.output(kill).expect_code(0);
    let ended = Ended::from(run.wait_with_output().unwrap()).expect_code(143);
    assert!(ended.stdout.contains("told to end at "), "{ended:?}");
}
