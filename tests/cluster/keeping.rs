//! Agents under their operator's hand, and what is kept on them: reservations and volumes.

use crate::kit::{Cluster, Ended, Process, until};
use serde_json::Value;

fn order(cluster: &Cluster, words: &[&str]) -> Ended {
    cluster.home.output([words, &["--master", &cluster.address]].concat())
}

fn show(cluster: &Cluster, agent: &str) -> Value {
    order(cluster, &["agent", "show", agent, "-o", "json"]).expect_code(0).json()
}

fn ids(cluster: &Cluster) -> Vec<String> {
    let agents = cluster.view("agent list");
    let id = |agent: &Value| agent["agent"].as_str().unwrap().to_owned();
    agents.as_array().unwrap().iter().map(id).collect()
}

/// Tasks that run on an agent.
fn running(cluster: &Cluster, agent: &str) -> usize {
    let tasks = cluster.view("ps");
    let is_there = |task: &&Value| task["agent"] == agent && task["state"] == "RUNNING";
    tasks.as_array().unwrap().iter().filter(is_there).count()
}

#[test]
fn a_drained_agent_is_emptied_and_a_gone_one_is_refused_while_the_job_goes_on_elsewhere() {
    let mut cluster = Cluster::start(&["cpus:1;mem:512", "cpus:1;mem:512"]);
    let options = ["--array", "1-4", "--cpus", "0.5", "--mem", "64MiB", "-o", "json"];
    let run = cluster.run(&options, "sleep", &["3000"]).spawn().unwrap();
    let agents = ids(&cluster);
    let (first, second) = (agents[0].as_str(), agents[1].as_str());
    until("tasks run on the agent to be drained", || (running(&cluster, first) > 0).then_some(()));
    order(&cluster, &["agent", "drain", first]).expect_code(0);
    until("it is drained", || (show(&cluster, first)["duty"] == "drained").then_some(()));
    assert_eq!(running(&cluster, first), 0);
    let ended = Ended::from(run.wait_with_output().unwrap()).expect_code(0).json();
    assert_eq!(ended["outcomes"]["exited"], 4, "{ended}");

    // It stays drained over a restart of the master, and takes tasks again when it may.
    cluster.master.kill();
    let words = ["master", "--listen", &cluster.address, "--data", "master"];
    cluster.master = Process::start("master again", &mut cluster.home.skep(words));
    cluster.await_agents(2);
    assert_eq!(show(&cluster, first)["duty"], "drained");
    order(&cluster, &["agent", "deactivate", second]).expect_code(0);
    let status = cluster.view("status")["summary"].as_str().unwrap().to_owned();
    let mut waiting = cluster.run(&["--mem", "64MiB"], "noop", &[]).spawn().unwrap();
    order(&cluster, &["agent", "activate", first]).expect_code(0);
    assert!(waiting.wait().unwrap().success(), "{status}");

    let place = cluster.agents.iter().position(|agent| agent.first_line().contains(first)).unwrap();
    order(&cluster, &["agent", "gone", first]).expect_code(0);
    until("the agent that is gone ends", || cluster.agents[place].code_now());
    assert!(cluster.agents[place].said().contains("was declared gone"));
    let work = format!("agent-{place}");
    let words = ["agent", "--master", &cluster.address, "--work", &work];
    let again = cluster.home.output(words).expect_code(1);
    again.expect_words(&["was declared gone", "join token"]);
    assert_eq!(show(&cluster, first)["duty"], "gone");
    let refused = order(&cluster, &["agent", "activate", first]).expect_code(1);
    refused.expect_words(&["was declared gone"]);
    order(&cluster, &["agent", "drain", "nobody"]).expect_code(1).expect_words(&["\"nobody\""]);
}

#[test]
fn maintenance_is_planned_shown_and_called_off() {
    let cluster = Cluster::start(&["cpus:1;mem:512"]);
    let agent = &ids(&cluster)[0];
    let plan = ["agent", "maintenance", agent, "--from", "1h", "--for", "30m"];
    order(&cluster, &plan).expect_code(0);
    let view = show(&cluster, agent);
    assert_eq!(
        (&view["duty"], &view["maintenance"]["manner"]),
        (&"active".into(), &"drain".into())
    );
    order(&cluster, &["agent", "maintenance", agent, "--cancel"]).expect_code(0);
    assert_eq!(show(&cluster, agent)["maintenance"], Value::Null);
    // One that has begun keeps offers back until it is called off.
    let now = ["agent", "maintenance", agent, "--from", "0s", "--for", "1h", "--keep-tasks"];
    order(&cluster, &now).expect_code(0);
    until("it has begun", || (show(&cluster, agent)["duty"] == "maintenance").then_some(()));
    let mut waiting = cluster.run(&["--mem", "64MiB"], "noop", &[]).spawn().unwrap();
    order(&cluster, &["agent", "maintenance", agent, "--cancel"]).expect_code(0);
    assert!(waiting.wait().unwrap().success());
}

const HAS: &str = "cpus:1;mem:512;disk:100";
const RESERVES: [&str; 2] = ["--reserve", "eng=cpus:0.5,disk:60"];

#[test]
fn what_one_task_writes_into_a_volume_another_reads_after_a_restart_of_the_agent() {
    let mut cluster = Cluster::start(&[]);
    cluster.start_agent_with(HAS, &RESERVES);
    cluster.await_agents(1);
    let agent = ids(&cluster)[0].clone();
    let create = ["volume", "create", &agent, "eng", "models", "--size", "40MiB"];
    order(&cluster, &create).expect_code(0);
    let more = ["volume", "create", &agent, "eng", "more", "--size", "40MiB"];
    order(&cluster, &more).expect_code(1).expect_words(&["disk:20"]);
    let reserved = &show(&cluster, &agent)["reservations"][0];
    assert_eq!((&reserved["role"], &reserved["fixed"]["disk"]), (&"eng".into(), &60.0.into()));

    let options = |role| ["--cpus", "0.5", "--mem", "64MiB", "--role", role];
    let ended = |cluster: &Cluster, role, volume, name: &str, args: &[&str]| {
        let options = [&options(role)[..], &["--volume", volume]].concat();
        Ended::from(cluster.run(&options, name, args).output().unwrap())
    };
    ended(&cluster, "eng", "models::/m", "write", &["/m/page", "once"]).expect_code(0);

    cluster.agents[0].kill();
    let words = ["agent", "--master", &cluster.address, "--work", "agent-0", "--resources", HAS];
    let words = [&words[..], &RESERVES].concat();
    let _again = Process::start("agent again", &mut cluster.home.skep(words));
    until("it registers again", || {
        let view = show(&cluster, &agent);
        (view["incarnation"] == 2 && view["state"] == "connected").then_some(())
    });
    // With a virtual clock, under which the hour that it waits is over at once.
    let words = [&options("eng/web")[..], &["--volume", "models:ro", "--deterministic"]].concat();
    let read = cluster.run(&words, "world", &["/models"]).output().unwrap();
    let read = Ended::from(read).expect_code(0);
    assert!(read.stdout.contains("file \"page\" 4 [111, 110, 99, 101]"), "{read:?}");
    // Another framework of the role, which is another user, may write it as well.
    ended(&cluster, "eng", "models::/m", "write", &["/m/page", "twice"]).expect_code(0);
    let refused = ended(&cluster, "ops", "models", "noop", &[]).expect_code(125);
    refused.expect_words(&["\"models\""]);

    let volumes = cluster.view("volume list");
    assert_eq!((&volumes[0]["name"], &volumes[0]["role"]), (&"models".into(), &"eng".into()));
    order(&cluster, &["volume", "destroy", &agent, "models"]).expect_code(0);
    assert_eq!(cluster.view("volume list"), Value::Array(vec![]));
    let folder = cluster.home.path("agent-0/volumes");
    until("its folder is removed", || {
        std::fs::read_dir(&folder).unwrap().next().is_none().then_some(())
    });
}
