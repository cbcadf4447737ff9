//! What tasks write reaches whoever runs them, or the command fails and says what is missing.

use crate::kit::{Cluster, Ended, Home, Process, until};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A guest that says its index; task 0 sleeps before, the others say more before, if told to.
fn index_line(home: &Home) -> PathBuf {
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests/index_line.wat");
    let module = home.path("index_line.wasm");
    fs::write(&module, wat::parse_file(text).unwrap()).unwrap();
    module
}

/// `skep run` of it, with these options and arguments.
fn run(home: &Home, options: &[&str], args: &[&str]) -> Command {
    let module = index_line(home);
    let module = [module.to_str().unwrap()];
    home.skep([&["run"], options, &module[..], args].concat())
}

/// The lines that so many tasks say.
fn lines(count: usize) -> String {
    (0..count).map(|index| format!("{index}\n")).collect()
}

#[track_caller]
fn assert_whole(ended: &Ended, count: usize) {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let is_right = ended.stdout == lines(count);
    assert!(is_right, "{} of {count} lines: {}", ended.stdout.lines().count(), ended.stderr);
}

#[test]
fn every_line_of_more_tasks_than_anybody_remembers_comes_in_order_though_the_first_is_slow() {
    let home = Home::new();
    let options = ["--count", "12000", "--cpus", "0.01", "--mem", "4MiB"];
    let ended = run(&home, &options, &["{}", "8000"]).output().unwrap();
    assert_whole(&Ended::from(ended), 12_000);
}

#[test]
fn outputs_that_are_too_large_to_wait_here_come_in_order() {
    let home = Home::new();
    let args = ["{}", "1000", "300000"];
    let ended = Ended::from(run(&home, &["--count", "12"], &args).output().unwrap());
    let padded = |index: usize| match index {
        0 => "0\n".to_owned(),
        index => format!("{}{index}\n", "x".repeat(300_000)),
    };
    let expected: String = (0..12).map(padded).collect();
    assert_eq!((ended.code, ended.stdout.len()), (Some(0), expected.len()), "{}", ended.stderr);
    assert!(ended.stdout == expected, "the bytes differ");
}

#[test]
fn json_holds_whole_outputs_also_large_ones_and_bytes_that_are_no_text() {
    let home = Home::new();
    let options = ["--count", "3", "-o", "json"];
    let ended = Ended::from(run(&home, &options, &["{}", "0", "3000000"]).output().unwrap());
    let document = ended.expect_code(0).json();
    assert_eq!(document.get("output_missing"), None);
    let wrote = |task: usize| document["tasks"][task]["stdout"].as_str().unwrap().to_owned();
    assert_eq!(wrote(0), "0\n");
    assert_eq!(wrote(2), format!("{}2\n", "x".repeat(3_000_000)));
    fs::write(home.path("bytes"), [0x61, 0xff, 0x62]).unwrap();
    let options = ["--stdin", "bytes", "-o", "json"];
    let document = home.run(&options, "cat", &[]).expect_code(0).json();
    assert_eq!(document["tasks"][0]["stdout_base64"], "Yf9i");
}

#[test]
fn output_that_cannot_be_written_fails_every_command() {
    let cluster = Cluster::start(&["cpus:1;mem:512"]);
    let home = &cluster.home;
    let full = |mut command: Command| -> Ended {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let child = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        child.wait_with_output().unwrap().into()
    };
    let no_space = ["No space left on device"];
    for options in [&[][..], &["--count", "3"], &["-o", "json"], &["--count", "3", "-o", "json"]] {
        let ended = full(run(home, options, &["{}", "0"]));
        ended.expect_code(125).expect_words(&no_space);
    }
    let ended = Ended::from(cluster_run(&cluster, &["--count", "1"], &[]).output().unwrap());
    let task = ended.expect_code(0);
    assert_eq!(task.stdout, "0\n");
    let task = cluster.view("ps --all")[0]["task"].as_str().unwrap().to_owned();
    let master = ["--master", &cluster.address];
    for words in [
        &["status"][..],
        &["ps", "--all"],
        &["ps", "--all", "-o", "json"],
        &["agent", "list"],
        &["logs", &task],
        &["framework", "list"],
    ] {
        let ended = full(home.skep([words, &master].concat()));
        assert_ne!(ended.code, Some(0), "{words:?}: {ended:?}");
        ended.expect_words(&no_space);
    }
    for words in [&["--help"][..], &["run", "--help"], &["--version"]] {
        let ended = full(home.skep(words.iter().copied()));
        assert_ne!(ended.code, Some(0), "{words:?}: {ended:?}");
    }
}

/// `skep run` of the guest in a cluster, in the background.
fn cluster_run(cluster: &Cluster, options: &[&str], args: &[&str]) -> Command {
    let master = ["--master", cluster.address.as_str()];
    let args = [&["{}"], args].concat();
    run(&cluster.home, &[&master[..], options].concat(), &args)
}

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until so many tasks have ended.
fn await_ends(cluster: &Cluster, count: usize) {
    until("tasks end", || {
        let tasks = cluster.view("ps --all");
        let ended = tasks.as_array()?.iter().filter(|task| task["state"] == "FINISHED").count();
        (ended >= count).then_some(())
    });
}

fn replace_agent(cluster: &mut Cluster, resources: &str) {
    let words = ["agent", "--master", &cluster.address, "--work", "agent-0"];
    let words = words.into_iter().chain(["--resources", resources]);
    cluster.agents[0] = Process::start("agent-0", &mut cluster.home.skep(words));
}

#[test]
fn an_agent_that_is_killed_in_the_middle_of_an_array_costs_no_line() {
    let mut cluster = Cluster::start(&["cpus:1;mem:1024"]);
    let options = ["--count", "2000", "--cpus", "0.02", "--mem", "8MiB"];
    let child = start(cluster_run(&cluster, &options, &["6000"]));
    for ends in [20, 200] {
        await_ends(&cluster, ends);
        cluster.agents[0].kill();
        replace_agent(&mut cluster, "cpus:1;mem:1024");
    }
    assert_whole(&Ended::from(child.wait_with_output().unwrap()), 2_000);
}

#[test]
fn a_master_that_is_restarted_in_the_middle_of_an_array_costs_no_line() {
    let mut cluster = Cluster::start(&["cpus:1;mem:1024", "cpus:1;mem:1024"]);
    let options = ["--count", "2000", "--cpus", "0.02", "--mem", "8MiB"];
    let child = start(cluster_run(&cluster, &options, &["6000"]));
    for ends in [20, 200] {
        await_ends(&cluster, ends);
        cluster.master.kill();
        let words = ["master", "--listen", &cluster.address, "--data", "master"];
        cluster.master = Process::start("master again", &mut cluster.home.skep(words));
        cluster.await_agents(2);
        // It remembers no end of before.
        if ends == 20 {
            await_ends(&cluster, 1);
        }
    }
    assert_whole(&Ended::from(child.wait_with_output().unwrap()), 2_000);
}

#[test]
fn a_single_task_is_shown_to_its_end_though_its_master_is_restarted() {
    let mut cluster = Cluster::start(&["cpus:1;mem:512"]);
    let child = start(run(&cluster.home, &["--master", &cluster.address], &["0", "4000"]));
    until("it runs", || (cluster.view("ps")[0]["state"] == "RUNNING").then_some(()));
    cluster.master.kill();
    let words = ["master", "--listen", &cluster.address, "--data", "master"];
    cluster.master = Process::start("master again", &mut cluster.home.skep(words));
    assert_whole(&Ended::from(child.wait_with_output().unwrap()), 1);
}

#[test]
fn what_is_lost_with_its_machine_is_named_and_counted_and_no_success() {
    let mut cluster = Cluster::start(&["cpus:1;mem:512", "cpus:1;mem:512"]);
    let options = ["--count", "2", "--cpus", "1", "--mem", "64MiB"];
    // The second writes so much that it stays with its agent until its turn comes.
    let child = start(cluster_run(&cluster, &options, &["5000", "300000"]));
    await_ends(&cluster, 1);
    let tasks = cluster.view("ps --all");
    let tasks = tasks.as_array().unwrap();
    let ended = tasks.iter().find(|task| task["state"] == "FINISHED").unwrap();
    let agent = ended["agent"].as_str().unwrap().to_owned();
    let agents = cluster.view("agent list");
    let place = agents.as_array().unwrap().iter().position(|known| known["agent"] == *agent);
    assert!(place.is_some(), "{agents}");
    // Which process it is does not matter: it is declared gone, whatever it says.
    cluster.skep(&["agent", "gone", &agent]).expect_code(0);
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(ended.stdout, "0\n", "{}", ended.stderr);
    let why = format!("300002 bytes: agent {agent} was declared gone");
    let ended = ended.expect_code(125);
    ended.expect_words(&["skep: output is missing: 300002 bytes of 1 tasks", &why]);
    cluster.agents.clear();
}

#[test]
fn a_log_that_is_not_kept_any_more_is_an_error() {
    let cluster = Cluster::start(&["cpus:1;mem:512"]);
    let ended = Ended::from(cluster_run(&cluster, &["--count", "1"], &[]).output().unwrap());
    ended.expect_code(0);
    let task = cluster.view("ps --all")[0]["task"].as_str().unwrap().to_owned();
    let words = ["logs", "--master", &cluster.address, &task];
    assert_eq!(cluster.home.output(words).expect_code(0).stdout, "0\n");
    let sandboxes = cluster.home.path("agent-0/tasks");
    for framework in fs::read_dir(sandboxes).unwrap() {
        fs::remove_dir_all(framework.unwrap().path()).unwrap();
    }
    let ended = cluster.home.output(words).expect_code(1);
    ended.expect_words(&["2 bytes that task", "are gone"]);
}
