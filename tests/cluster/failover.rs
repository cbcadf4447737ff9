//! Three masters on one etcd, and what tasks notice when the leader dies or is stopped: nothing.

use crate::{
    etcd::Server,
    hosting,
    kit::{Cluster, Ended, Home, Process, signal, until},
};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    fs,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

/// Short, so that tests are; about as long as it takes peers to find a connection silent (6 s),
/// which no failover is faster than.
const LEASE: Duration = Duration::from_secs(5);
/// What a failover may take beyond the lease: Mesos's four seconds.
const BEYOND_LEASE: Duration = Duration::from_secs(4);
const MASTERS: usize = 3;
/// Tasks that run all at once, and how long each sleeps: longer than any failover.
const TASKS: usize = 50;
const SMALL: [&str; 8] = ["--cpus", "0.01", "--mem", "4MiB", "--count", "50", "-o", "json"];
const LONG: Duration = Duration::from_secs(14);

/// Masters, an agent and an etcd.
struct Hive {
    home: Home,
    masters: Vec<Process>,
    /// Of all masters, with commas, as clients are told them.
    addresses: String,
    agent: Process,
    _etcd: Server,
}

impl Hive {
    fn start() -> Self {
        let (home, etcd) = (Home::new(), Server::start());
        let masters: Vec<_> =
            (0..MASTERS).map(|number| start_master(&home, &etcd.address(), number)).collect();
        let address =
            |master: &Process| master.first_line().trim().rsplit(' ').next().map(String::from);
        let addresses = masters.iter().filter_map(address).collect::<Vec<_>>().join(",");
        let token = until("there is a leader", || {
            let words =
                ["token", "create", "--role", "agent", "-o", "json", "--master", &addresses];
            let said = home.output(words);
            Some(said.code? == 0).filter(|is_well| *is_well)?;
            said.json()["token"].as_str().map(String::from)
        });
        let words = ["agent", "--join", &token, "--master", &addresses, "--work", "agent"];
        let words = words.into_iter().chain(["--resources", "cpus:1;mem:1024"]);
        let agent = Process::start("agent", &mut home.skep(words));
        let hive = Self { home, masters, addresses, agent, _etcd: etcd };
        hive.await_agent();
        hive
    }

    /// The number of the one that said last that it leads, and how many have said so in all.
    fn leader(&self) -> (usize, usize) {
        let reign = |(number, master): (usize, &Process)| {
            let said = master.said();
            let epochs = said.lines().filter_map(|line| {
                line.contains("this master leads").then(|| epoch(line)).flatten()
            });
            epochs.map(|epoch| (epoch, number)).collect::<Vec<_>>()
        };
        let mut reigns: Vec<_> = self.masters.iter().enumerate().flat_map(reign).collect();
        reigns.sort_unstable();
        (reigns.last().unwrap().1, reigns.len())
    }

    /// Asks whichever leads; none while none does.
    fn view(&self, view: &str) -> Option<Value> {
        let words = view.split(' ').chain(["--master", &self.addresses, "-o", "json"]);
        let said = self.home.output(words);
        (said.code == Some(0)).then(|| said.json())
    }

    fn await_agent(&self) {
        until("the agent connects", || {
            (self.view("status")?["agents_connected"] == 1).then_some(())
        });
    }

    /// Starts many tasks that sleep, and waits until all of them run.
    fn start_many(&self) -> Child {
        let millis = LONG.as_millis().to_string();
        let module = crate::kit::module("sleep");
        let words = ["run", "--master", &self.addresses].into_iter().chain(SMALL);
        let words = words.chain([module.to_str().unwrap(), &millis]);
        let mut command = self.home.skep(words);
        let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until("all tasks run", || (self.running()? == TASKS).then_some(()));
        run
    }

    fn running(&self) -> Option<usize> {
        let tasks = self.view("ps")?;
        Some(tasks.as_array()?.iter().filter(|task| task["state"] == "RUNNING").count())
    }

    /// Waits until another leads than before, to whom agent and framework have told everything, and
    /// gives the time since `from`.
    fn await_recovery(&self, reigns: usize, from: Instant) -> Duration {
        until("another leads", || (self.leader().1 > reigns).then_some(()));
        until("the agent has told its tasks", || (self.running()? == TASKS).then_some(()));
        from.elapsed()
    }
}

fn start_master(home: &Home, etcd: &str, number: usize) -> Process {
    let (data, lease) = (format!("master-{number}"), format!("{}s", LEASE.as_secs()));
    let words = ["master", "--listen", "127.0.0.1:0", "--data", &data, "--lease", &lease];
    let words = words.into_iter().chain(["--store", etcd, "--store-key", "store.key"]);
    Process::start(&data, home.skep(words).env("SKEP_LOG", "info"))
}

fn epoch(line: &str) -> Option<u64> {
    let digits = line.split("epoch=").nth(1)?;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// All came to their end, each in its first attempt, each told once.
fn assert_unnoticed(run: Child) {
    let document = Ended::from(run.wait_with_output().unwrap()).expect_code(0).json();
    assert_eq!(document["outcomes"]["exited"], TASKS, "{document}");
    let tasks = document["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), TASKS);
    for task in tasks {
        assert_eq!(task["attempt"], 1, "{task}");
    }
}

#[test]
fn tasks_do_not_notice_that_the_leader_is_killed() {
    let mut hive = Hive::start();
    let run = hive.start_many();
    let (leader, reigns) = hive.leader();
    let killed = Instant::now();
    hive.masters[leader].kill();
    let took = hive.await_recovery(reigns, killed);
    eprintln!("a new leader knew all tasks after {took:?}, with a lease of {LEASE:?}");
    assert!(took < LEASE + BEYOND_LEASE, "{took:?}");
    assert_ne!(hive.leader().0, leader);
    assert_unnoticed(run);
    assert_eq!(hive.agent.code_now(), None);
}

#[test]
fn a_leader_that_was_stopped_past_its_lease_steps_down_when_it_goes_on() {
    let hive = Hive::start();
    let run = hive.start_many();
    let (leader, reigns) = hive.leader();
    let stopped = Instant::now();
    signal(hive.masters[leader].id(), Signal::STOP);
    let took = hive.await_recovery(reigns, stopped);
    assert!(took < LEASE + BEYOND_LEASE, "{took:?}");

    signal(hive.masters[leader].id(), Signal::CONT);
    until("the old leader steps down", || {
        hive.masters[leader].said().contains("this master steps down").then_some(())
    });
    assert_ne!(hive.leader().0, leader, "it is a standby like others");
    assert_eq!(hive.leader().1, reigns + 1, "nobody else has led");
    assert_unnoticed(run);
}

#[test]
fn a_leader_that_is_told_to_stop_hands_over_at_once() {
    let mut hive = Hive::start();
    let (leader, reigns) = hive.leader();
    hive.masters[leader].terminate();
    assert_eq!(hive.masters[leader].wait(), Some(0));
    let told = Instant::now();
    until("another leads", || (hive.leader().1 > reigns).then_some(()));
    let took = told.elapsed();
    assert!(took < LEASE, "{took:?}: the lease was not given back");
    hive.await_agent();
    assert!(hive.home.run(&["--master", &hive.addresses], "hello", &[]).stdout.contains("Hello"));
}

#[test]
fn a_blob_that_the_dead_leader_took_in_is_had_from_the_others() {
    let mut hive = Hive::start();
    let (leader, reigns) = hive.leader();
    let module = crate::kit::module("hello");
    let push = ["module", "push", module.to_str().unwrap(), "--master", &hive.addresses];
    let digest = hive.home.output(push).expect_code(0).stdout.trim().to_owned();
    let name = digest.strip_prefix("sha256:").unwrap();
    let folder = hive.home.path("");
    let copy = |master: usize| folder.join(format!("master-{master}/blobs/{name}"));
    let (next, last) = ((leader + 1) % MASTERS, (leader + 2) % MASTERS);
    until("both standbys have it", || {
        [next, last].iter().all(|at| copy(*at).exists()).then_some(())
    });

    // The next to lead lacks it, and the last is no candidate.
    fs::remove_file(copy(next)).unwrap();
    fs::remove_file(copy(leader)).unwrap();
    signal(hive.masters[last].id(), Signal::STOP);
    hive.masters[leader].kill();
    until("the next leads", || (hive.leader() == (next, reigns + 1)).then_some(()));
    signal(hive.masters[last].id(), Signal::CONT);
    hive.await_agent();
    let said = hive.home.output(["run", "--master", &hive.addresses, &digest]).expect_code(0);
    assert!(said.stdout.starts_with("Hello"), "{said:?}");
    assert!(copy(next).exists(), "it keeps a copy");
}

#[test]
fn a_cluster_moves_from_a_folder_to_etcd_and_back() {
    let mut cluster = Cluster::start(&["cpus:1;mem:512"]);
    let etcd = Server::start();
    let address = etcd.address();
    cluster
        .home
        .output(["role", "set", "eng", "--weight", "3", "--master", &cluster.address])
        .expect_code(0);
    let roles = cluster.view("role list");
    let moved = |to: &str| {
        let words = ["store", "migrate", "--data", "master", "--store", &address, "--to", to];
        cluster.home.output(words)
    };
    moved("etcd").expect_code(1).expect_words(&["in use"]);
    cluster.master.terminate();
    cluster.master.wait();
    moved("etcd").expect_code(0);
    moved("etcd").expect_code(1).expect_words(&["master.redb is not there"]);

    let listen = cluster.address.clone();
    let words = ["master", "--listen", &listen, "--data", "master", "--store", &address];
    let mut master = Process::start("master", &mut cluster.home.skep(words));
    until("the agent is back", || {
        let words = ["status", "--master", &listen, "-o", "json"];
        let said = cluster.home.output(words);
        (said.code == Some(0) && said.json()["agents_connected"] == 1).then_some(())
    });
    assert_eq!(cluster.view("role list"), roles);
    moved("folder").expect_code(1).expect_words(&["a master leads"]);
    master.terminate();
    master.wait();
    moved("folder").expect_code(0);
    moved("folder").expect_code(1).expect_words(&["there is a cluster"]);
    let words = ["master", "--listen", &listen, "--data", "master"];
    let _master = Process::start("master", &mut cluster.home.skep(words));
    until("the agent is back", || {
        let words = ["status", "--master", &listen, "-o", "json"];
        let said = cluster.home.output(words);
        (said.code == Some(0) && said.json()["agents_connected"] == 1).then_some(())
    });
    assert_eq!(cluster.view("role list"), roles);
}

#[test]
fn a_master_without_the_key_to_the_store_says_what_to_do() {
    let (home, etcd) = (Home::new(), Server::start());
    let _first = start_master(&home, &etcd.address(), 0);
    let words = ["master", "--listen", "127.0.0.1:0", "--data", "other", "--store"];
    let address = etcd.address();
    let said = home.output(words.into_iter().chain([address.as_str()]));
    said.expect_code(1).expect_words(&["copy the key", "--store-key"]);
}

#[test]
fn a_schedule_fires_once_a_slot_when_another_master_takes_over() {
    let mut hive = Hive::start();
    fs::write(hive.home.path("tick.toml"), hosting::tick()).unwrap();
    let apply = ["cron", "apply", "tick.toml", "--master", &hive.addresses];
    hive.home.output(apply).expect_code(0);
    let begun = |hive: &Hive| hive.view("cron list")?[0]["begun"].as_u64();
    until("it has fired", || (begun(&hive)? >= 3).then_some(()));
    let (leader, reigns) = hive.leader();
    hive.masters[leader].kill();
    until("another leads", || (hive.leader().1 > reigns).then_some(()));
    let before = until("the scheduler is heard there", || begun(&hive));
    until("it fires on", || (begun(&hive)? >= before + 5).then_some(()));
    let ran = until("each slot has its task", || {
        let slots = hosting::slots_that_ran(&hive.home.path("agent"));
        hosting::has_each(&slots, 10).then_some(slots)
    });
    assert!(ran.values().all(|tasks| *tasks == 1), "{ran:?}");
    assert_eq!(hive.view("cron list").unwrap()[0]["missed"], 0);
}
