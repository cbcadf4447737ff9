//! What skep does where its surroundings give less than a whole machine: control groups with bounds
//! of their own, a home that cannot be written.
//!
//! Groups are made on the real kernel, of version 1 and by root; where that cannot be, the tests
//! say so and prove nothing. Version 2 is tried by `cargo xtask vm`.

use crate::kit::{Ended, Home, until};
use serde_json::Value;
use skep_agent::{Place, Version};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
};

/// A control group of version 1 with one below it, removed with this.
struct Group {
    outer: PathBuf,
    inner: PathBuf,
}

impl Group {
    /// Below the group that this process is in; none where it cannot be made.
    fn new(controller: &str, name: &str) -> Option<Self> {
        let place = Place::of(controller).filter(|place| place.version == Version::One);
        let Some(place) = place else {
            eprintln!("nothing is tried: {controller} has no group of version 1 here");
            return None;
        };
        let outer = place.own.join(format!("skep-test-{name}-{}", process::id()));
        let inner = outer.join("inner");
        if let Err(error) = fs::create_dir(&outer).and_then(|()| fs::create_dir(&inner)) {
            eprintln!("nothing is tried: {} cannot be made: {error}", inner.display());
            return None;
        }
        Some(Self { outer, inner })
    }

    /// Sets a bound of the outer group; gives the file.
    fn set(&self, file: &str, value: u64) -> String {
        let file = self.outer.join(file);
        fs::write(&file, value.to_string()).unwrap();
        file.to_str().unwrap().to_owned()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.inner.join(file)).unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What ended a moment ago may still be in it.
        until("the group is empty", || fs::remove_dir(&self.inner).ok());
        let _ = fs::remove_dir(&self.outer);
    }
}

/// Runs `skep` to its end, all of it in the inner group.
fn within(group: &Group, home: &Home, words: &[&str]) -> Ended {
    let skep = home.skep(words.iter().copied());
    let mut command = Command::new("sh");
    command.args(["-c", r#"echo $$ >"$0/cgroup.procs" && exec "$@""#]).arg(&group.inner);
    command.arg(skep.get_program()).args(skep.get_args()).current_dir(home.0.path());
    for (name, value) in skep.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.output().unwrap().into()
}

fn finding<'a>(findings: &'a Value, what: &str) -> (&'a str, &'a str) {
    let mut all = findings.as_array().unwrap().iter();
    let finding = all.find(|finding| finding["what"] == what).unwrap();
    (finding["found"].as_str().unwrap(), finding["note"].as_str().unwrap())
}

#[test]
fn an_agent_offers_what_the_control_groups_around_it_allow() {
    let Some(group) = Group::new("memory", "memory") else { return };
    let file = group.set("memory.limit_in_bytes", 1 << 30);
    let home = Home::new();
    let found = within(&group, &home, &["doctor", "-o", "json"]).expect_code(0).json();
    let note = format!(
        "the control group's {file}; an agent offers 512 MiB if it is not told --resources, the \
         rest is for skep itself"
    );
    assert_eq!(finding(&found, "memory"), ("1024 MiB", note.as_str()));
    let listing = r#"
        until "$0" agent list -o json | grep -q '"state": *"connected"'; do sleep 0.1; done
        "$0" agent list -o json"#;
    let words = ["dev", "--", "sh", "-c", listing, env!("CARGO_BIN_EXE_skep")];
    let agents = within(&group, &home, &words).expect_code(0).json();
    let offered = &agents[0]["resources"];
    assert_eq!(offered["mem"].as_f64(), Some(512.0), "{agents}");
}

#[test]
fn a_quota_of_processor_time_bounds_what_is_offered() {
    let Some(group) = Group::new("cpu", "cpu") else { return };
    group.set("cpu.cfs_period_us", 100_000);
    let file = group.set("cpu.cfs_quota_us", 75_000);
    let found = within(&group, &Home::new(), &["doctor", "-o", "json"]).expect_code(0).json();
    let note = format!(
        "the control group's {file}; an agent offers them all if it is not told --resources"
    );
    assert_eq!(finding(&found, "cpus"), ("0.75", note.as_str()));
}

#[test]
fn tasks_that_fit_into_what_is_offered_are_not_ended_by_the_kernel() {
    let Some(group) = Group::new("memory", "tasks") else { return };
    group.set("memory.limit_in_bytes", 1 << 30);
    let home = Home::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests/hold_memory.wat");
    let guest = home.path("hold.wasm");
    fs::write(&guest, wat::parse_file(source).unwrap()).unwrap();
    let guest = guest.to_str().unwrap();
    let words = ["run", "--count", "6", "--cpus", "0.1", "--mem", "256MiB", guest];
    within(&group, &home, &words).expect_code(0);
    let ends = group.read("memory.oom_control");
    assert!(ends.lines().any(|line| line == "oom_kill 0"), "{ends}");
}

#[test]
fn a_home_that_cannot_be_written_is_said_with_what_to_set() {
    let home = Home::new();
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/modules/noop.wasm");
    let guest = guest.to_str().unwrap();
    for (name, value, expected) in [
        ("HOME", "/dev/null", "/dev/null/.cache/skep"),
        ("XDG_CACHE_HOME", "/proc/none", "/proc/none/skep"),
        ("SKEP_CACHE_DIR", "/dev/null/cache", "/dev/null/cache"),
    ] {
        let mut command = home.skep(["run", guest]);
        for other in ["SKEP_CACHE_DIR", "XDG_CACHE_HOME"] {
            command.env_remove(other);
        }
        let ended = Ended::from(command.env(name, value).output().unwrap());
        assert_ne!(ended.code, Some(0), "{ended:?}");
        let begin = format!("the cache of compiled modules cannot be written, {expected}: ");
        ended.expect_words(&[&begin, "set SKEP_CACHE_DIR to a folder that you may write"]);
    }
    let mut command = home.skep(["run", guest]);
    let ended = Ended::from(command.env("TMPDIR", "/dev/null").output().unwrap());
    ended.expect_words(&["none can be made in /dev/null: ", "set TMPDIR to a folder"]);
    let mut command = home.skep(["master", "--listen", "127.0.0.1:0", "--data", "master"]);
    let ended = Ended::from(command.env("SKEP_CONFIG_DIR", "/dev/null").output().unwrap());
    ended.expect_words(&["set SKEP_CONFIG_DIR to a folder that you may write"]);
}
