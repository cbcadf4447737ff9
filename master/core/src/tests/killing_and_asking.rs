//! Kills and reconciliation: what is known is acted on or told, what is not known is said to be.

use super::kit::{OK, Story, task};
use skep_protocol::{Attempt, TaskId, TaskState, framework::Call};

fn running() -> Story {
    Story::with_tasks(&[task("t", "cpus:1;mem:64"), task("u", "cpus:1;mem:64")])
}

fn id(name: &str) -> TaskId {
    TaskId::new(name).expect("a task id")
}

fn kill(name: &str) -> Call {
    Call::Kill { task: id(name) }
}

fn ask(names: &[&str]) -> Call {
    Call::Reconcile { tasks: names.iter().map(|name| (id(name), Attempt::FIRST)).collect() }
}

const UNKNOWN: &str = "f: t#1 lost: nobody knows it";

#[test]
fn a_kill_goes_to_the_agent_and_its_end_comes_back() {
    let mut s = running();
    s.call("f", kill("t"));
    s.expect(["a: kill f/t#1 by its framework"]);
    let killed = skep_protocol::Outcome::Killed { by: skep_protocol::outcome::KilledBy::Framework };
    s.update("a", "f", "t", 2, TaskState::Ended(killed));
    s.expect(["f: t#1 killed by its framework (2)"]);
}

#[test]
fn a_kill_is_told_again_to_an_agent_that_was_away_or_may_have_missed_it() {
    let mut s = running();
    let t = s.held("f", &task("t", "cpus:1;mem:64"), "l1", "cpus:2;mem:128", TaskState::Running);
    let u = s.held("f", &task("u", "cpus:1;mem:64"), "l1", "cpus:2;mem:128", TaskState::Running);
    s.call("f", kill("t"));
    s.expect(["a: kill f/t#1 by its framework"]);
    s.disconnect("a");
    s.call("f", kill("u"));
    s.expect([]);
    s.register("a", &[t, u]);
    s.expect(["a: registered", "a: kill f/t#1 by its framework", "a: kill f/u#1 by its framework"]);
}

#[test]
fn a_kill_of_a_launch_that_was_lost_follows_the_launch() {
    let mut s = Story::new();
    s.framework("f", "r");
    s.agent("a", "cpus:1;mem:64");
    s.idle();
    s.accept_first();
    s.disconnect("a");
    s.call("f", kill("t"));
    s.expect([]);
    s.register("a", &[]);
    s.expect([
        "a: registered",
        "a: launch l1 in r within cpus:1;mem:64: f/t#1",
        "a: kill f/t#1 by its framework",
    ]);
}

#[test]
fn killing_or_asking_for_a_task_that_nobody_knows_is_answered_lost() {
    let mut s = Story::new();
    s.framework("f", "r");
    s.call("f", kill("t"));
    // A kill is meant for whatever attempt there is.
    s.expect(["f: t#4294967295 lost: nobody knows it"]);
    s.call("f", ask(&["t"]));
    s.expect([UNKNOWN]);
}

#[test]
fn asking_for_all_tells_where_each_task_stands() {
    let mut s = running();
    s.acknowledge("f", "t", 1);
    s.take_effects();
    s.call("f", ask(&[]));
    // By the master itself, also of the one whose update is not acknowledged: it may be known.
    s.expect(["f: t#1 RUNNING, u#1 RUNNING"]);
    s.disconnect("a");
    s.wait(5.0);
    s.expect(["f: t#1 UNREACHABLE, u#1 UNREACHABLE"]);
    s.call("f", ask(&["u"]));
    s.expect(["f: u#1 UNREACHABLE"]);
}

#[test]
fn asking_for_an_ended_task_tells_how_it_ended() {
    let mut s = running();
    s.update("a", "f", "t", 2, OK);
    s.expect(["f: t#1 exited with code 0 (2)"]);
    s.call("f", ask(&["t"]));
    s.expect(["f: t#1 exited with code 0 (2)"]);
    s.acknowledge("f", "t", 2);
    s.expect(["a: acknowledge f/t#1 (2)"]);
    s.call("f", ask(&["t"]));
    s.expect(["f: t#1 exited with code 0"]);
    s.call("f", kill("t"));
    s.expect(["f: t#1 exited with code 0"]);
}

/// The launch of the attempt was lost on its way, or its refusal on its way back.
#[test]
fn how_an_earlier_attempt_stands_is_no_answer() {
    let mut s = running();
    let second = || Call::Reconcile { tasks: vec![(id("t"), Attempt(2))] };
    s.call("f", second());
    s.expect(["f: t#2 lost: nobody knows it"]);
    s.update("a", "f", "t", 2, OK);
    s.acknowledge("f", "t", 2);
    s.take_effects();
    s.call("f", second());
    s.expect(["f: t#2 lost: nobody knows it"]);
    s.call("f", ask(&["t"]));
    s.expect(["f: t#1 exited with code 0"]);
}

#[test]
fn an_earlier_attempt_that_an_agent_brings_after_a_restart_is_no_answer() {
    let s = running();
    let t = s.held("f", &task("t", "cpus:1;mem:64"), "l1", "cpus:2;mem:128", TaskState::Running);
    let mut s = s.restart_master();
    s.resubscribe("f", "r");
    s.take_effects();
    s.call("f", Call::Reconcile { tasks: vec![(id("t"), Attempt(2))] });
    s.expect([]);
    s.register("a", &[t]);
    s.expect(["a: registered", "f: t#1 RUNNING", "f: t#2 lost: nobody knows it"]);
}

#[test]
fn the_last_ended_tasks_are_remembered_and_earlier_ones_are_unknown() {
    let mut s = Story::with(|policy| policy.ended_tasks_max = 1);
    s.framework("f", "r");
    s.agent("a", "cpus:2;mem:128");
    s.idle();
    s.expect(["f: offer o1 of a: cpus:2;mem:128"]);
    s.run("f", "o1", "a", &[task("t", "cpus:1;mem:64"), task("u", "cpus:1;mem:64")]);
    for name in ["t", "u"] {
        s.update("a", "f", name, 2, OK);
        s.acknowledge("f", name, 2);
    }
    s.take_effects();
    s.call("f", ask(&["t", "u"]));
    s.expect(["f: t#1 lost: nobody knows it, u#1 exited with code 0"]);
}

#[test]
fn while_agents_are_missing_after_a_restart_an_unknown_task_is_not_called_lost() {
    let s = running();
    let t = s.held("f", &task("t", "cpus:1;mem:64"), "l1", "cpus:2;mem:128", TaskState::Running);
    let mut s = s.restart_master();
    s.resubscribe("f", "r");
    s.take_effects();
    s.call("f", ask(&["t", "v"]));
    s.call("f", kill("t"));
    s.expect([]);
    s.register("a", &[t]);
    s.expect([
        "a: registered",
        "a: kill f/t#1 by its framework",
        "f: t#1 RUNNING",
        "f: v#1 lost: nobody knows it",
    ]);
}

#[test]
fn agents_that_do_not_return_after_a_restart_are_given_up() {
    let mut s = running().restart_master();
    s.resubscribe("f", "r");
    s.take_effects();
    s.call("f", ask(&["t"]));
    s.wait(599.0);
    s.expect([]);
    s.wait(1.0);
    s.expect([UNKNOWN]);
}

impl Story {
    /// Accepts `o1` with the task `t`, which its agent has not recorded.
    fn accept_first(&mut self) {
        self.expect(["f: offer o1 of a: cpus:1;mem:64"]);
        self.accept("f", &["o1"], &[task("t", "cpus:1;mem:64")]);
        self.expect([
            "a: launch l1 in r within cpus:1;mem:64: f/t#1",
            "f: answered o1.0: launched l1 on a",
        ]);
    }
}
