//! Frameworks that are tasks themselves, with real processes: a scheduler that is hosted, one whose
//! machine dies, those that come with skep, and schedulers that misbehave.

use crate::kit::{Cluster, Process, children, module, signal, until};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// The hosted schedulers, by name.
fn hosted(cluster: &Cluster) -> BTreeMap<String, Value> {
    let shown = cluster.view("framework show");
    let named =
        |report: &Value| (report["hosted"]["name"].as_str().unwrap().into(), report.clone());
    shown.as_array().unwrap().iter().map(named).collect()
}

/// Where a hosted scheduler runs, once it does.
fn place_of(cluster: &Cluster, name: &str) -> usize {
    let agent = until("the scheduler runs", || {
        let report = hosted(cluster).remove(name)?;
        let agent = report["agent"].as_str().filter(|_| report["state"] == "running");
        agent.map(str::to_owned)
    });
    let mut agents = cluster.agents.iter();
    agents.position(|process| process.first_line().contains(&agent)).unwrap()
}

/// An agent's machine dies, and another comes in its place.
fn lose_agent(cluster: &mut Cluster, place: usize, resources: &str, more: &[&str]) {
    let executors = children(cluster.agents[place].id());
    cluster.agents[place].kill();
    executors.iter().for_each(|pid| signal(*pid, Signal::KILL));
    cluster.start_agent_with(resources, more);
}

fn write(cluster: &Cluster, name: &str, text: &str) -> String {
    let path = cluster.home.path(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn one_source_is_a_guest_too_and_does_the_same() {
    let cluster = Cluster::start(&["cpus:2;mem:2048"]);
    let scheduler = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/hello-framework/hello-framework.wasm");
    let (hello, scheduler) = (module("hello"), text(&scheduler).to_owned());
    let run = ["framework", "run", "--file", text(&hello), "--role", "eng", &scheduler];
    cluster.skep(&run).expect_code(0);
    until("it has done its work", || {
        (hosted(&cluster).get("hello-framework")?["state"] == "ended").then_some(())
    });
    let said = cluster.skep(&["framework", "logs", "hello-framework"]).expect_code(0).stdout;
    assert_eq!(said.matches("FINISHED").count(), 5, "{said}");
    let again = cluster.skep(&["framework", "logs", "nobody"]).expect_code(1);
    again.expect_words(&["no scheduler nobody is hosted"]);
}

#[test]
fn a_framework_in_c_needs_the_header_alone() {
    let cluster = Cluster::start(&["cpus:2;mem:1024"]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let scheduler = cluster.home.path("c-framework.wasm");
    let compiled = std::process::Command::new("clang")
        .args(["--target=wasm32-wasi", "-Os", "-Wall", "-Wextra", "-Werror", "-I"])
        .args([root.join("guest-sdk/include"), root.join("examples/c-framework/framework.c")])
        .arg("-o")
        .arg(&scheduler)
        .output()
        .expect("clang, lld, wasi-libc and libclang-rt-dev-wasm32 are installed");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let hello = module("hello");
    let run = ["framework", "run", "--file", text(&hello), text(&scheduler)];
    cluster.skep(&run).expect_code(0);
    until("it has done its work", || {
        (hosted(&cluster).get("c-framework")?["state"] == "ended").then_some(())
    });
    let said = cluster.skep(&["framework", "logs", "c-framework"]).expect_code(0).stdout;
    assert_eq!(said.matches(" ended").count(), 3, "{said}");
}

#[test]
fn a_graph_of_a_thousand_tasks_outlives_two_machines_of_its_scheduler() {
    const EACH: &str = "cpus:1;mem:1024";
    let mut cluster = Cluster::start(&[EACH, EACH]);
    let sleep = module("sleep");
    let mut job = String::from("name = \"graph\"\n");
    for layer in 0..10 {
        let sleep = text(&sleep);
        let _ = write!(
            job,
            "[tasks.layer{layer}]\nmodule = {sleep:?}\nargs = [\"500\"]\ncount = 100\n\
             cpus = 0.02\nmem = \"16MiB\"\n"
        );
        if layer > 0 {
            let _ = writeln!(job, "needs = [\"layer{}\"]", layer - 1);
        }
    }
    let file = write(&cluster, "graph.toml", &job);
    cluster.skep(&["job", "submit", &file]).expect_code(0);
    for part in [150, 600] {
        until("a part of the graph is done", || {
            let shown = cluster.skep(&["job", "show", "graph", "-o", "json"]);
            let report: Value = serde_json::from_str(&shown.stdout).ok()?;
            let groups = report[0]["groups"].as_array()?;
            let done: u64 = groups.iter().filter_map(|group| group["done"].as_u64()).sum();
            (done >= part).then_some(())
        });
        let place = place_of(&cluster, "batch");
        lose_agent(&mut cluster, place, EACH, &[]);
        until("the scheduler is taken for lost", || {
            (hosted(&cluster)["batch"]["attempt"].as_u64()? > 1 + part / 600).then_some(())
        });
    }
    let waited = cluster.skep(&["job", "wait", "graph", "-o", "json"]).expect_code(0).json();
    let groups = waited[0]["groups"].as_array().unwrap();
    assert!(groups.iter().all(|group| group["done"] == 100 && group["failed"] == 0), "{waited}");
    assert_eq!(hosted(&cluster)["batch"]["attempt"], 3);
}

#[test]
fn a_run_that_is_handed_over_goes_on_without_its_command() {
    let cluster = Cluster::start(&["cpus:2;mem:1024"]);
    let hello = module("hello");
    let many = ["--detach", "--name", "later", "--count", "5", text(&hello), "number {}"];
    let words = [&["run", "--master", &cluster.address], &many[..]].concat();
    let said = cluster.home.output(words).expect_code(0).stdout;
    assert!(said.contains("skep job wait later"), "{said}");
    let waited = cluster.skep(&["job", "wait", "later", "-o", "json"]).expect_code(0).json();
    assert_eq!(waited[0]["groups"][0]["done"], 5);
    let task = ["logs", "--master", &cluster.address, "later-1.run.3"];
    let said = cluster.home.output(task).expect_code(0).stdout;
    assert!(said.contains("number 3"), "{said}");
    let exit = module("exit");
    let failing = ["--detach", "--name", "never", text(&exit), "3"];
    let words = [&["run", "--master", &cluster.address], &failing[..]].concat();
    cluster.home.output(words).expect_code(0);
    let waited = cluster.skep(&["job", "wait", "never"]).expect_code(1);
    waited.expect_words(&["never-2.run.0: exited with code 3"]);
}

#[test]
fn lines_and_files_of_single_tasks_are_handed_over() {
    let cluster = Cluster::start(&["cpus:2;mem:1024"]);
    let (home, echo) = (&cluster.home, module("echo"));
    let copy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests/copy.wat");
    let copy = wat::parse_file(copy).unwrap();
    fs::write(home.path("copy.wasm"), copy).unwrap();
    fs::write(home.path("lines"), "one\ntwo words\n").unwrap();
    fs::write(home.path("one"), "1").unwrap();
    fs::write(home.path("two words"), "2").unwrap();
    let files = ["--input", "{}::in/data", "--output", "out/data"];
    let run = ["run", "--master", &cluster.address, "--detach", "--each-line", "lines"];
    let copies = ["--name", "copies", "copy.wasm", "{}"];
    home.output([&run[..], &files, &copies].concat()).expect_code(0);
    let echoes = ["--name", "echoes", text(&echo), "<{}>"];
    home.output([&run[..], &echoes].concat()).expect_code(0);
    for job in ["copies", "echoes"] {
        cluster.skep(&["job", "wait", job]).expect_code(0);
    }
    let said = cluster.skep(&["logs", "echoes-2.run.1"]).expect_code(0).stdout;
    assert!(said.contains("<two words>"), "{said}");
    cluster.skep(&["job", "fetch", "copies", "--to", "fetched"]).expect_code(0);
    for (place, copied) in ["1", "2"].iter().enumerate() {
        let file = home.path(&format!("fetched/run/{place}/out/data"));
        assert_eq!(fs::read_to_string(file).unwrap(), *copied);
    }
}

#[test]
fn a_service_keeps_its_copies_through_a_death_and_a_replacement() {
    const EACH: &str = "cpus:2;mem:512";
    const ZONES: [&str; 3] = ["zone:a", "zone:b", "zone:c"];
    let mut cluster = Cluster::start(&[]);
    for zone in ZONES {
        cluster.start_agent_with(EACH, &["--attributes", zone]);
    }
    cluster.await_agents(3);
    let file = |name: &str, millis: &str| {
        let sleep = module("sleep");
        let service = format!(
            "name = \"web\"\ncopies = 3\nspread = \"zone\"\n[work]\nmodule = {:?}\n\
             args = [\"{millis}\"]\n\
             cpus = 0.5\nmem = \"16MiB\"\n",
            text(&sleep)
        );
        write(&cluster, name, &service)
    };
    let (one, two) = (file("one.toml", "600000"), file("two.toml", "700000"));
    cluster.skep(&["service", "apply", &one]).expect_code(0);
    let healthy = |cluster: &Cluster| {
        let shown = cluster.skep(&["service", "list", "-o", "json"]);
        // While the scheduler itself is moved it cannot be asked.
        let report: Value = serde_json::from_str(&shown.stdout).ok()?;
        Some((report[0]["healthy"].as_u64()?, report[0]["copies"].as_array()?.clone()))
    };
    let three_of = |cluster: &Cluster, version: u64| {
        until("three copies are healthy", || {
            let (count, copies) = healthy(cluster)?;
            let right = copies.len() == 3 && copies.iter().all(|copy| copy["version"] == version);
            (count == 3 && right).then_some(copies)
        })
    };
    let copies = three_of(&cluster, 1);
    let places: std::collections::BTreeSet<_> =
        copies.iter().map(|copy| copy["agent"].as_str().unwrap()).collect();
    assert_eq!(places.len(), 3, "they are spread: {copies:?}");

    // Not the machine of the scheduler: that it may die is shown elsewhere.
    let host = place_of(&cluster, "service");
    let victim = (host + 1) % 3;
    lose_agent(&mut cluster, victim, EACH, &["--attributes", ZONES[victim]]);
    until("it is missed", || (healthy(&cluster)?.0 < 3).then_some(()));
    three_of(&cluster, 1);

    let over = AtomicBool::new(false);
    let least = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut least = u64::MAX;
            while !over.load(Ordering::Relaxed) {
                least = least.min(healthy(&cluster).map_or(u64::MAX, |(count, _)| count));
            }
            least
        });
        cluster.skep(&["service", "apply", &two]).expect_code(0);
        three_of(&cluster, 2);
        over.store(true, Ordering::Relaxed);
        watch.join().unwrap()
    });
    assert!(least >= 2, "only {least} were healthy at one time");
    cluster.skep(&["service", "remove", "web"]).expect_code(0);
    until("all are gone", || (cluster.view("service list") == Value::Array(vec![])).then_some(()));
}

#[test]
fn a_schedule_fires_once_a_slot_over_the_death_of_the_master() {
    let mut cluster = Cluster::start(&["cpus:2;mem:512"]);
    let file = write(&cluster, "tick.toml", &tick());
    cluster.skep(&["cron", "apply", &file]).expect_code(0);
    let report = |cluster: &Cluster| -> Option<Value> {
        let shown = cluster.skep(&["cron", "list", "-o", "json"]);
        serde_json::from_str::<Value>(&shown.stdout).ok().map(|all| all[0].clone())
    };
    until("it has fired", || (report(&cluster)?["begun"].as_u64()? >= 3).then_some(()));
    cluster.master.kill();
    let words = ["master", "--listen", &cluster.address, "--data", "master"];
    let again = Process::start("master again", &mut cluster.home.skep(words));
    let before = std::mem::replace(&mut cluster.master, again);
    drop(before);
    let last = until("it fires again", || {
        let report = report(&cluster)?;
        (report["begun"].as_u64()? >= 8).then_some(report)
    });
    assert_eq!((&last["missed"], &last["skipped"]), (&0.into(), &0.into()), "{last}");
    // Each task that ran has a folder of its own on the agent. One that was on its way when the
    // master died is launched again once it is known that nobody has it.
    let ran = until("each slot has its task", || {
        let slots = slots_that_ran(&cluster.home.path("agent-0"));
        has_each(&slots, 7).then_some(slots)
    });
    assert!(ran.values().all(|tasks| *tasks == 1), "{ran:?}");
}

/// Whether tasks ran in so many slots, and in each between the first and the last.
pub(crate) fn has_each(slots: &BTreeMap<u64, u32>, count: u64) -> bool {
    let (Some(first), Some(end)) = (slots.keys().next(), slots.keys().last()) else {
        return false;
    };
    (*first..=*end).all(|slot| slots.contains_key(&slot)) && end - first >= count
}

/// A schedule of one slot a second, of which none is to be left out.
pub(crate) fn tick() -> String {
    format!(
        "name = \"tick\"\nschedule = \"* * * * * *\"\noverlap = \"allow\"\nmissed = \"all\"\n\
         [work]\nmodule = {:?}\ncpus = 0.1\nmem = \"16MiB\"\n",
        text(&module("hello"))
    )
}

/// How many tasks of `tick` an agent has begun, by slot: each has a folder of its own there.
pub(crate) fn slots_that_ran(agent: &Path) -> BTreeMap<u64, u32> {
    let mut slots = BTreeMap::new();
    let found =
        std::process::Command::new("find").arg(agent).args(["-name", "*tick.*"]).output().unwrap();
    for line in String::from_utf8(found.stdout).unwrap().lines() {
        let name = line.rsplit('/').next().unwrap();
        let digits = name.split("tick.").nth(1).unwrap();
        let slot: String = digits.chars().take_while(char::is_ascii_digit).collect();
        *slots.entry(slot.parse().unwrap()).or_default() += 1;
    }
    slots
}

#[test]
fn schedulers_that_misbehave_trouble_nobody() {
    let cluster = Cluster::start(&["cpus:2;mem:1024"]);
    for name in ["trap", "spin", "hoard", "noop"] {
        let module = module(name);
        let words = ["framework", "run", "--cpus", "0.2", "--mem", "32MiB", text(&module)];
        cluster.skep(&words).expect_code(0);
    }
    until("those that die are started again, after a wait", || {
        let all = hosted(&cluster);
        let again = |name: &str| all[name]["restarts"].as_u64() >= Some(2);
        (again("trap") && again("hoard") && all["noop"]["state"] == "ended").then_some(())
    });
    let trap = &hosted(&cluster)["trap"];
    assert!(trap["ended"].as_str().unwrap().contains("unreachable"), "{trap}");
    assert_eq!(hosted(&cluster)["spin"]["state"], "running");
    let ran = cluster.run(&["--cpus", "0.5", "--mem", "64MiB"], "hello", &[]).output().unwrap();
    crate::kit::Ended::from(ran).expect_code(0);
    cluster.skep(&["framework", "kill", "spin"]).expect_code(0);
    until("it has ended", || (hosted(&cluster)["spin"]["state"] == "ended").then_some(()));
    let twice = cluster.skep(&["framework", "kill", "spin"]).expect_code(1);
    twice.expect_words(&["no scheduler spin is hosted"]);
}

#[test]
fn guest_frameworks_share_a_full_cluster_by_their_weights() {
    let cluster = Cluster::start(&["cpus:2;mem:4096"]);
    for (role, weight) in [("one", "1"), ("two", "2")] {
        cluster.skep(&["role", "set", role, "--weight", weight]).expect_code(0);
        let words = ["framework", "run", "--name", role, "--role", role, "--cpus", "0.1", "batch"];
        cluster.skep(&words).expect_code(0);
        let job = format!(
            "name = \"load\"\n[tasks.sleep]\nmodule = {:?}\nargs = [\"1000\"]\ncount = 10000\n\
             cpus = 0.02\nmem = \"16MiB\"\n",
            text(&module("sleep"))
        );
        let file = write(&cluster, role, &job);
        cluster.skep(&["job", "submit", "--framework", role, &file]).expect_code(0);
    }
    let done = |role: &str| -> Option<f64> {
        let shown = cluster.skep(&["job", "show", "--framework", role, "load", "-o", "json"]);
        let report: Value = serde_json::from_str(&shown.stdout).ok()?;
        report[0]["groups"][0]["done"].as_f64()
    };
    let both = || Some((done("one")?, done("two")?));
    // The one that was hosted first had all until the other was there.
    let (one_before, two_before) =
        until("both have been at it", || both().filter(|(_, two)| *two > 300.0));
    let (one_after, two_after) = until("much is done", || {
        both().filter(|(one, two)| one + two > one_before + two_before + 2_000.0)
    });
    let (one, two) = (one_after - one_before, two_after - two_before);
    let ratio = two / one;
    assert!((1.9..=2.1).contains(&ratio), "{ratio}: {two} to {one}");
}
