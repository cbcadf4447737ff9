//! What an operator lets tasks have, and the jail around those who run them.

use crate::kit::{Cluster, Ended, Home, children, until};
use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    io::Read as _,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

fn make(folder: &Path, mode: u32) {
    fs::create_dir_all(folder).unwrap();
    fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
}

fn ended(cluster: &Cluster, options: &[&str], name: &str, args: &[&str]) -> Ended {
    cluster.run(options, name, args).output().unwrap().into()
}

/// A cluster of one agent with the volumes `books`, to read, which holds a page, and `data`.
fn with_volumes() -> Cluster {
    let mut cluster = Cluster::start(&[]);
    let path = |name: &str| cluster.home.path(name);
    // Executors may be users of their own, who have the rights of others.
    make(&path("."), 0o711);
    make(&path("books"), 0o755);
    fs::write(path("books/page"), "once").unwrap();
    make(&path("data"), 0o777);
    let books = format!("books={}:ro", path("books").display());
    let data = format!("data={}", path("data").display());
    let words = ["--volume", &books, "--volume", &data];
    cluster.start_agent_with("cpus:1;mem:512", &words);
    cluster.await_agents(1);
    cluster
}

#[test]
fn a_task_reads_a_volume_and_writes_none_that_is_only_to_be_read() {
    let cluster = with_volumes();
    let read =
        ended(&cluster, &["--volume", "books:ro", "--clock", "virtual"], "world", &["/books"]);
    let read = read.expect_code(0);
    assert!(read.stdout.contains("file \"page\" 4 [111, 110, 99, 101]"), "{read:?}");

    let path = |name: &str| cluster.home.path(name);
    let write = ended(&cluster, &["--volume", "data::/d"], "write", &["/d/new", "text"]);
    assert_eq!(write.expect_code(0).stdout, "text\n");
    assert_eq!(fs::read_to_string(path("data/new")).unwrap(), "text");

    for (volume, file) in [("books::/v:ro", "books/other"), ("data::/v:ro", "data/other")] {
        ended(&cluster, &["--volume", volume], "write", &["/v/other", "x"]).expect_code(1);
        assert!(!path(file).exists(), "{file} was written");
    }
    ended(&cluster, &["--volume", "data::/v:ro"], "write", &["/v/new", "x"]).expect_code(1);
    assert_eq!(fs::read_to_string(path("data/new")).unwrap(), "text");
}

#[test]
fn a_replay_notices_that_one_byte_of_its_input_changed() {
    let cluster = with_volumes();
    let options = ["--deterministic", "--volume", "books:ro"];
    ended(&cluster, &options, "world", &["/books"]).expect_code(0);
    let task = cluster.view("ps --all")[0]["task"].as_str().unwrap().to_owned();
    let path = |name: &str| cluster.home.path(name);
    make(&path("copy"), 0o755);
    let replay = |page: &str| {
        fs::write(path("copy/page"), page).unwrap();
        let copy = format!("books={}", path("copy").display());
        let words = ["replay", "--master", &cluster.address, "--volume", &copy, &task];
        cluster.home.output(words)
    };
    let same = replay("once").expect_code(0);
    assert!(same.stdout.contains("the same run"), "{same:?}");
    let other = replay("oncf").expect_code(1);
    assert!(other.stdout.contains("another run"), "{other:?}");
    let without = cluster.home.output(["replay", "--master", &cluster.address, &task]);
    without.expect_code(1).expect_words(&["--volume books=PATH"]);
}

#[test]
fn a_volume_that_there_is_not_or_is_not_to_be_written_is_refused_with_who_can() {
    let cluster = with_volumes();
    let write = ended(&cluster, &["--volume", "books"], "write", &["/books/new", "x"]);
    write.expect_code(125).expect_words(&["\"books\" of this agent is read-only"]);
    let none = ended(&cluster, &["--volume", "films"], "noop", &[]);
    none.expect_code(125).expect_words(&["\"films\"", "skep agent --volume films=PATH"]);
}

#[test]
fn a_directory_that_is_granted_to_read_is_not_written() {
    let home = Home::new();
    make(&home.path("in"), 0o755);
    home.run(&["--dir", "in::/d:ro"], "write", &["/d/new", "x"]).expect_code(1);
    assert!(!home.path("in/new").exists());
    home.run(&["--dir", "in::/d"], "write", &["/d/new", "x"]).expect_code(0);
    assert_eq!(fs::read_to_string(home.path("in/new")).unwrap(), "x");
}

#[test]
fn a_task_connects_to_whom_the_operator_allows_and_to_nobody_else() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (peer, word) = (format!("127.0.0.1:{port}"), format!("c{port}"));
    let mut cluster = Cluster::start(&[]);
    cluster.start_agent_with("cpus:1;mem:512", &["--allow-net", &peer]);
    cluster.await_agents(1);
    ended(&cluster, &["--net", &peer], "network", &[&word]).expect_code(0);
    let mut said = String::new();
    listener.accept().unwrap().0.read_to_string(&mut said).unwrap();
    assert_eq!(said, "hello");
    let other = ended(&cluster, &["--net", "127.0.0.1:1"], "network", &["c1"]);
    other.expect_code(125).expect_words(&["skep agent --allow-net 127.0.0.1:1"]);

    let closed = Cluster::start(&["cpus:1;mem:512"]);
    let refused = ended(&closed, &["--net", &peer], "network", &[&word]);
    refused.expect_code(125).expect_words(&["network"]);
}

/// A line of `/proc/<pid>/status`.
fn status(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').split_whitespace().next().unwrap().to_owned()
}

#[test]
fn each_framework_has_an_executor_in_jail_and_if_the_agent_is_root_a_user_of_its_own() {
    let cluster = Cluster::start(&["cpus:1;mem:512"]);
    let options = ["--cpus", "0.1", "--mem", "64MiB"];
    let mut runs = ["first", "second"].map(|_| cluster.run(&options, "spin", &[]).spawn().unwrap());
    until("both run", || {
        let tasks = cluster.view("ps");
        let running = |task: &&serde_json::Value| task["state"] == "RUNNING";
        (tasks.as_array().unwrap().iter().filter(running).count() == 2).then_some(())
    });
    let executors = children(cluster.agents[0].id());
    assert_eq!(executors.len(), 2);
    let mut users = BTreeSet::new();
    for pid in executors {
        assert_eq!(status(pid, "NoNewPrivs"), "1");
        assert_eq!(status(pid, "Seccomp"), "2");
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(u64::from_str_radix(&status(pid, set), 16), Ok(0), "{set}");
        }
        users.insert(status(pid, "Uid"));
    }
    if status(std::process::id(), "Uid") == "0" {
        let range = 600_000..=665_535;
        assert_eq!(users.len(), 2, "{users:?}");
        assert!(users.iter().all(|user| range.contains(&user.parse().unwrap())), "{users:?}");
    }
    for run in &mut runs {
        run.kill().unwrap();
        run.wait().unwrap();
    }
}

#[test]
fn the_doctor_says_of_each_wall_whether_this_machine_has_it() {
    let found = Home::new().output(["doctor", "-o", "json"]).expect_code(0).json();
    let found = found.as_array().unwrap();
    for what in ["landlock", "seccomp", "--sandbox strict"] {
        let finding = found.iter().find(|finding| finding["what"] == what);
        assert!(finding.is_some_and(|finding| finding["verdict"] == "good"), "{what}: {found:?}");
    }
}

#[test]
fn a_module_is_judged_by_the_limits_of_the_agents_operator() {
    let mut cluster = Cluster::start(&[]);
    cluster.start_agent_with("cpus:1;mem:512", &["--module-limits", "functions=3"]);
    cluster.await_agents(1);
    let refused = ended(&cluster, &[], "hello", &[]).expect_code(125);
    assert!(refused.stderr.contains("functions, a module may have 3"), "{refused:?}");
}

#[test]
fn an_agent_with_limits_that_there_are_not_does_not_start() {
    let said = Home::new().output(["agent", "--master", "x:1", "--module-limits", "cats=9"]);
    said.expect_code(2).expect_words(&["no limit \"cats\"", "there are functions"]);
}

#[test]
fn executors_are_in_the_agents_control_group_where_there_can_be_one() {
    let cluster = Cluster::start(&["cpus:1;mem:512"]);
    ended(&cluster, &[], "noop", &[]).expect_code(0);
    let agent = &cluster.agents[0];
    let said = agent.said();
    for executor in children(agent.id()) {
        let groups = fs::read_to_string(format!("/proc/{executor}/cgroup")).unwrap();
        let enclosed = groups.lines().any(|line| line.contains("/skep-a-"));
        assert_eq!(enclosed, said.contains("executors are in a control group"), "{said}\n{groups}");
        assert_ne!(enclosed, said.contains("no control group around executors"), "{said}");
    }
}
