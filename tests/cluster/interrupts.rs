//! Commands that are interrupted, in every way: what is left of them, and when.

use crate::kit::{Cluster, Ended, Home, Process, children, module, signal, until};
use rustix::process::Signal;
use std::{
    fs,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
};

/// What a command exits with that a signal ended.
const CODES: [(Signal, i32); 4] =
    [(Signal::HUP, 129), (Signal::INT, 130), (Signal::QUIT, 131), (Signal::TERM, 143)];
/// A task that ends in an hour.
const LONG: &str = "3600000";

fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// `skep job run` of two tasks that take an hour, with options before the file.
fn job(cluster: &Cluster, name: &str, options: &[&str]) -> Command {
    let text = format!(
        "name = {name:?}\n[tasks.a]\nmodule = {:?}\nargs = [{LONG:?}]\ncount = 2\n\
         cpus = 0.1\nmem = \"16MiB\"\n",
        module("sleep")
    );
    let file = cluster.home.path(&format!("{name}.toml"));
    fs::write(&file, text).unwrap();
    let words = ["job", "run", "--master", &cluster.address];
    cluster.home.skep([&words, options, &[file.to_str().unwrap()]].concat())
}

fn await_running(cluster: &Cluster, tasks: usize) {
    until("its tasks run", || {
        let all = cluster.view("ps");
        let running = all.as_array()?.iter().filter(|task| task["state"] == "RUNNING").count();
        (running == tasks).then_some(())
    });
}

/// The names of all frameworks but the supervisor.
fn frameworks(cluster: &Cluster) -> Vec<String> {
    let all = cluster.view("framework list");
    let names =
        all.as_array().unwrap().iter().map(|view| view["name"].as_str().unwrap().to_owned());
    names.filter(|name| name != "supervisor").collect()
}

fn tasks(cluster: &Cluster) -> usize {
    cluster.view("ps").as_array().unwrap().len()
}

/// The folders for temporary files that are left below a home.
fn left(home: &Home) -> Vec<String> {
    let entries = fs::read_dir(home.path("tmp")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// `skep` as a user with a folder for temporary files of their own.
fn private(home: &Home, words: &[&str]) -> Command {
    let tmp = home.path("tmp");
    fs::create_dir_all(&tmp).unwrap();
    let mut command = home.skep(words.iter().copied());
    command.env("TMPDIR", tmp).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_command_that_a_signal_ends_leaves_no_task_and_no_framework_when_it_is_gone() {
    let cluster = Cluster::start(&["cpus:2;mem:1024"]);
    for (number, code) in CODES {
        let run = cluster.run(&["--cpus", "0.1", "--mem", "16MiB"], "sleep", &[LONG]).spawn();
        let of_job = spawn(&mut job(&cluster, "long", &[]));
        await_running(&cluster, 3);
        for child in [run.unwrap(), of_job] {
            signal(child.id(), number);
            let ended = Ended::from(child.wait_with_output().unwrap()).expect_code(code);
            ended.expect_words(&["its tasks are killed"]);
        }
        assert_eq!(frameworks(&cluster), [""; 0], "after {number:?}");
        assert_eq!(tasks(&cluster), 0, "after {number:?}");
    }
}

#[test]
fn a_command_that_is_interrupted_before_its_first_task_leaves_nothing_either() {
    // No agent: its framework subscribes, and waits.
    let cluster = Cluster::start(&[]);
    let run = cluster.run(&[], "sleep", &[LONG]).spawn().unwrap();
    until("it subscribes", || (frameworks(&cluster).len() == 1).then_some(()));
    signal(run.id(), Signal::INT);
    Ended::from(run.wait_with_output().unwrap()).expect_code(130);
    assert_eq!(frameworks(&cluster), [""; 0]);
}

#[test]
fn a_command_that_is_killed_is_followed_by_its_framework_and_tasks_within_its_failover_time() {
    let cluster = Cluster::start(&["cpus:2;mem:1024"]);
    let options = ["--cpus", "0.1", "--mem", "16MiB", "--failover-timeout", "1s"];
    let mut run = cluster.run(&options, "sleep", &[LONG]).spawn().unwrap();
    let mut of_job = spawn(&mut job(&cluster, "long", &["--failover-timeout", "1s"]));
    await_running(&cluster, 3);
    let executors = children(cluster.agents[0].id());
    assert_eq!(executors.len(), 2);
    for child in [&mut run, &mut of_job] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    until("nothing is left of them", || {
        let gone = tasks(&cluster) == 0 && frameworks(&cluster).is_empty();
        (gone && children(cluster.agents[0].id()).is_empty()).then_some(())
    });
}

#[test]
fn a_command_that_cannot_tell_the_master_ends_all_the_same_and_so_do_its_tasks() {
    let mut cluster = Cluster::start(&["cpus:2;mem:1024"]);
    let options = ["--cpus", "0.1", "--mem", "16MiB", "--failover-timeout", "1s"];
    let run = cluster.run(&options, "sleep", &[LONG]).spawn().unwrap();
    await_running(&cluster, 1);
    cluster.master.kill();
    signal(run.id(), Signal::TERM);
    let ended = Ended::from(run.wait_with_output().unwrap()).expect_code(143);
    ended.expect_words(&["no master has confirmed for 15 s", "not heard of it for 1 s"]);
    let words = ["master", "--listen", &cluster.address, "--data", "master"];
    cluster.master = Process::start("master", &mut cluster.home.skep(words));
    cluster.await_agents(1);
    until("the next master ends them", || {
        (tasks(&cluster) == 0 && frameworks(&cluster).is_empty()).then_some(())
    });
}

#[test]
fn a_command_tells_a_master_that_comes_back_in_time() {
    let mut cluster = Cluster::start(&["cpus:2;mem:1024"]);
    let run = cluster.run(&["--cpus", "0.1", "--mem", "16MiB"], "sleep", &[LONG]).spawn().unwrap();
    await_running(&cluster, 1);
    cluster.master.kill();
    signal(run.id(), Signal::INT);
    let words = ["master", "--listen", &cluster.address, "--data", "master"];
    cluster.master = Process::start("master", &mut cluster.home.skep(words));
    let ended = Ended::from(run.wait_with_output().unwrap()).expect_code(130);
    assert!(!ended.stderr.contains("no master has confirmed"), "{ended:?}");
    assert_eq!(frameworks(&cluster), [""; 0]);
    cluster.await_agents(1);
    until("its task ends", || (tasks(&cluster) == 0).then_some(()));
}

#[test]
fn a_second_ctrl_c_ends_a_command_that_waits_for_a_master() {
    let cluster = Cluster::start(&["cpus:2;mem:1024"]);
    let mut run = cluster.run(&["--cpus", "0.1"], "sleep", &[LONG]).spawn().unwrap();
    await_running(&cluster, 1);
    signal(cluster.master.id(), Signal::STOP);
    let status = until("it ends", || {
        let status = run.try_wait().unwrap();
        if status.is_none() {
            signal(run.id(), Signal::INT);
        }
        status
    });
    signal(cluster.master.id(), Signal::CONT);
    assert_eq!(status.code(), Some(130));
    let ended = Ended::from(run.wait_with_output().unwrap());
    assert!(!ended.stderr.contains("no master has confirmed"), "{ended:?}");
}

#[test]
fn a_private_cluster_leaves_no_process_and_no_folder_whatever_ends_its_command() {
    let home = Home::new();
    let sleep = module("sleep");
    let words = ["run", "--cpus", "0.1", "--mem", "16MiB", sleep.to_str().unwrap(), LONG];
    for (number, code) in CODES {
        let child = private(&home, &words).spawn().unwrap();
        until("its task runs", || is_at_work(&child).then_some(()));
        let executors = children(child.id());
        signal(child.id(), number);
        Ended::from(child.wait_with_output().unwrap()).expect_code(code);
        assert_eq!(left(&home), [""; 0], "after {number:?}");
        // A compiler may have been at work as well; the kernel ends it with its parent.
        until("its processes are gone", || {
            (!executors.iter().any(|pid| is_alive(*pid))).then_some(())
        });
    }
}

#[test]
fn what_a_killed_private_cluster_leaves_goes_by_itself_or_with_the_next_command() {
    let home = Home::new();
    let sleep = module("sleep");
    let words = ["run", "--cpus", "0.1", "--mem", "16MiB", sleep.to_str().unwrap(), LONG];
    let mut child = private(&home, &words).spawn().unwrap();
    until("its task runs", || is_at_work(&child).then_some(()));
    let executors = children(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    until("its executors end", || (!executors.iter().any(|pid| is_alive(*pid))).then_some(()));
    assert!(!left(&home).is_empty(), "nobody was there to remove its folders");
    let hello = module("hello");
    let other = private(&home, &["run", hello.to_str().unwrap()]).output().unwrap();
    Ended::from(other).expect_code(0);
    until("another command removes them", || {
        if !left(&home).is_empty() {
            private(&home, &["run", hello.to_str().unwrap()]).output().unwrap();
        }
        left(&home).is_empty().then_some(())
    });
}

/// Whether a process runs: one that has ended may wait for somebody to ask how.
fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Whether an executor of a command's private cluster has a guest: it lives in its folder.
fn is_at_work(child: &Child) -> bool {
    children(child.id()).iter().any(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == b"executor")
    })
}

#[test]
fn a_command_that_is_to_outlive_its_terminal_does() {
    let home = Home::new();
    fs::create_dir_all(home.path("tmp")).unwrap();
    let sleep = module("sleep");
    let script = format!(
        "trap '' HUP; exec {} run --cpus 0.1 --mem 16MiB {} 2000",
        env!("CARGO_BIN_EXE_skep"),
        sleep.display()
    );
    let mut command = Command::new("sh");
    let like = home.skep([]);
    command.arg("-c").arg(script).process_group(0).stdin(Stdio::null());
    for (name, value) in like.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let child = spawn(&mut command);
    until("its task runs", || is_at_work(&child).then_some(()));
    signal(child.id(), Signal::HUP);
    Ended::from(child.wait_with_output().unwrap()).expect_code(0);
}

#[test]
fn a_signal_to_skep_dev_reaches_the_command_that_it_runs() {
    let home = Home::new();
    let script =
        "trap 'echo told > told; exit 0' TERM; echo begun > begun; while :; do sleep 0.1; done";
    let child = private(&home, &["dev", "--", "sh", "-c", script]).spawn().unwrap();
    until("it runs", || home.path("begun").exists().then_some(()));
    signal(child.id(), Signal::TERM);
    Ended::from(child.wait_with_output().unwrap()).expect_code(143);
    assert_eq!(fs::read_to_string(home.path("told")).unwrap(), "told\n");
    assert_eq!(left(&home), [""; 0]);
}
