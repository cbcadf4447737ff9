//! How a running cluster is shared: roles, quotas, reservations, and the reason why somebody waits.

use crate::kit::{Cluster, Ended, Process, until};
use serde_json::Value;

/// Gives an order to the cluster.
fn order(cluster: &Cluster, words: &[&str]) -> Ended {
    cluster.home.output([words, &["--master", &cluster.address]].concat())
}

fn role(cluster: &Cluster, role: &str) -> Value {
    order(cluster, &["role", "show", role, "-o", "json"]).expect_code(0).json()
}

#[test]
fn a_quota_binds_a_running_cluster_and_outlives_its_master() {
    let mut cluster = Cluster::start(&["cpus:2;mem:1024"]);
    order(&cluster, &["quota", "set", "batch", "--limit", "cpus:1"]).expect_code(0);
    let options = ["--cpus", "1", "--mem", "64MiB", "--role", "batch"];
    let mut run = cluster.run(&options, "spin", &[]).spawn().unwrap();
    let busy = until("the role has all that it may have", || {
        let batch = role(&cluster, "batch");
        (batch["allocated"]["cpus"] == 1.0).then_some(batch)
    });
    assert_eq!(busy["limit"]["cpus"], 1.0);

    // The agent has room for another, and the role has not.
    let mut waiting = cluster.run(&options, "noop", &[]).spawn().unwrap();
    let why = until("the second one waits, and it is said why", || {
        let frameworks = cluster.view("framework list");
        let ids = frameworks.as_array().unwrap().iter().map(|view| view["framework"].as_str());
        let why = |id: &str| order(&cluster, &["why", id, "--needs", "cpus:1;mem:64"]).stdout;
        ids.flatten().map(why).find(|words| words.contains("held back by the limit"))
    });
    assert!(why.contains("1 agent"), "{why}");
    assert!(waiting.try_wait().unwrap().is_none());

    // Below what it has, only by force.
    let less = ["quota", "set", "batch", "--limit", "cpus:0.5"];
    order(&cluster, &less).expect_code(1).expect_words(&["force it"]);
    order(&cluster, &[&less[..], &["--force"]].concat()).expect_code(0);
    assert_eq!(role(&cluster, "batch")["limit"]["cpus"], 0.5);
    for run in [&mut run, &mut waiting] {
        run.kill().unwrap();
        run.wait().unwrap();
    }

    cluster.master.kill();
    let words = ["master", "--listen", &cluster.address, "--data", "master"];
    cluster.master = Process::start("master again", &mut cluster.home.skep(words));
    cluster.await_agents(1);
    assert_eq!(role(&cluster, "batch")["limit"]["cpus"], 0.5);
    order(&cluster, &["role", "remove", "batch"]).expect_code(0);
    until("nothing is left of the quota", || {
        let shown = order(&cluster, &["role", "show", "batch", "-o", "json"]);
        (shown.code != Some(0) || shown.json()["limit"] == serde_json::json!({})).then_some(())
    });
}

#[test]
fn what_is_reserved_for_a_role_is_offered_to_it_alone() {
    let cluster = Cluster::start(&["cpus:1;mem:512"]);
    let agents = cluster.view("agent list");
    let agent = agents[0]["agent"].as_str().unwrap();
    order(&cluster, &["reserve", agent, "eng", "cpus:1;mem:256"]).expect_code(0);
    let too_much = order(&cluster, &["reserve", agent, "eng", "cpus:9"]).expect_code(1);
    assert!(too_much.stderr.contains("cpus"), "{too_much:?}");

    let words = ["--cpus", "0.5", "--mem", "64MiB", "--role", "other"];
    let mut other = cluster.run(&words, "noop", &[]).spawn().unwrap();
    let eng = ["--cpus", "0.5", "--mem", "64MiB", "--role", "eng/build"];
    Ended::from(cluster.run(&eng, "noop", &[]).output().unwrap()).expect_code(0);
    assert!(other.try_wait().unwrap().is_none(), "it has no processor that is not reserved");

    order(&cluster, &["unreserve", agent, "eng", "cpus:1;mem:256"]).expect_code(0);
    assert!(other.wait().unwrap().success());
}
