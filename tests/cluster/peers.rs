//! Who may come in: tokens, certificates, and agents that are not who they say.

use crate::kit::{Cluster, Ended, Home, Process};

#[test]
fn a_token_that_is_used_up_admits_nobody() {
    let cluster = Cluster::start(&[]);
    let (home, address) = (&cluster.home, &cluster.address);
    let token = cluster.token("agent");
    let join = |work: &str| {
        let words = ["agent", "--join", &token, "--master", address, "--work", work];
        home.skep(words)
    };
    let _first = Process::start("first", &mut join("first"));
    let second = Ended::from(join("second").output().unwrap());
    second.expect_code(1).expect_words(&["used up", "skep token create"]);
    cluster.await_agents(1);
}

#[test]
fn a_revoked_token_admits_nobody() {
    let cluster = Cluster::start(&[]);
    let token = cluster.token("framework");
    let id = cluster.view("token list")[0]["id"].as_str().unwrap().to_owned();
    let revoke = ["token", "revoke", &id, "--master", &cluster.address];
    cluster.home.output(revoke).expect_code(0);
    let stranger = Home::new();
    let status = ["status", "--master", &cluster.address, "--join", &token];
    stranger.output(status).expect_code(1).expect_words(&["revoked", "skep token create"]);
}

#[test]
fn somebody_without_an_identity_is_told_how_to_get_one() {
    let cluster = Cluster::start(&[]);
    let ended = Home::new().output(["status", "--master", &cluster.address]);
    ended.expect_code(1).expect_words(&["no identity", "skep token create"]);
}

#[test]
fn an_identity_of_another_cluster_is_refused_and_nobody_else_notices() {
    let (ours, theirs) = (Cluster::start(&["cpus:1;mem:256"]), Cluster::start(&[]));
    let mut command = theirs.home.skep(["status", "--master", &ours.address]);
    command.env("SKEP_IDENTITY", {
        let name = theirs.address.replace(':', "_");
        theirs.home.path("config").join("clusters").join(name)
    });
    let ended = Ended::from(command.output().unwrap());
    ended.expect_code(1).expect_words(&["another cluster"]);
    assert_eq!(ours.view("status")["agents_connected"], 1);
}

#[test]
fn a_token_of_another_cluster_is_refused() {
    let (ours, theirs) = (Cluster::start(&[]), Cluster::start(&[]));
    let token = theirs.token("framework");
    let status = ["status", "--master", &ours.address, "--join", &token];
    Home::new().output(status).expect_code(1).expect_words(&["another cluster"]);
}

#[test]
fn a_text_that_is_no_token_is_named() {
    let cluster = Cluster::start(&[]);
    let status = ["status", "--master", &cluster.address, "--join", "sesame"];
    Home::new().output(status).expect_code(1).expect_words(&["token", "skepj1"]);
}

#[test]
fn a_framework_may_not_make_tokens() {
    let cluster = Cluster::start(&[]);
    let token = cluster.token("framework");
    let create = ["token", "create", "--role", "agent", "--master", &cluster.address];
    let words = [&create[..], &["--join", &token]].concat();
    Home::new().output(words).expect_code(1).expect_words(&["framework", "operator"]);
}

#[test]
fn a_second_agent_on_the_same_work_folder_is_refused() {
    let cluster = Cluster::start(&["cpus:1;mem:256"]);
    let again = ["agent", "--master", &cluster.address, "--work", "agent-0"];
    cluster.home.output(again).expect_code(1).expect_words(&["in use"]);
    cluster.await_agents(1);
}

#[test]
fn a_copied_agent_is_told_apart_and_one_of_the_two_ends() {
    let mut cluster = Cluster::start(&["cpus:1;mem:256"]);
    // Copied before its first start, an identity gives two agents of the same incarnation.
    let copy = |from: &str, to: &str| {
        let (from, to) = (cluster.home.path(from), cluster.home.path(to));
        std::fs::create_dir_all(&to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    };
    copy("agent-0/identity", "copy/identity");
    let words = ["agent", "--master", &cluster.address, "--work", "copy"];
    let ended = cluster.home.output(words).expect_code(1);
    ended.expect_words(&["connected already from another process", "join token of its own"]);
    cluster.await_agents(1);
    assert_eq!(cluster.agents[0].code_now(), None, "the first agent goes on");
}

#[test]
fn an_address_where_nobody_listens_is_named() {
    let home = Home::new();
    let cluster = Cluster::start(&[]);
    let folder = cluster.home.path("config/clusters").join(cluster.address.replace(':', "_"));
    let identity = folder.to_str().unwrap();
    let status = ["status", "--master", "127.0.0.1:9", "--identity", identity];
    home.output(status).expect_code(1).expect_words(&["127.0.0.1:9"]);
}
