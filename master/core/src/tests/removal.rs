//! Frameworks that go for good: removed by an operator in each state, or by the master in time.

use super::kit::{OK, Story, info, task};
use crate::{ConnectionId, Input};
use skep_protocol::{
    TaskKey, TaskSpec, TaskState,
    framework::Call,
    operator::{Ended, Request, Response},
};

fn remove(named: &str) -> Request {
    Request::Teardown { framework: named.into() }
}

/// A framework `f` with the task `t` running on agent `a`, and an offer.
fn running() -> Story {
    let mut s = Story::with_tasks(&[task("t", "cpus:1;mem:64")]);
    s.idle();
    s.expect(["f: offer o2 of a: cpus:1;mem:64"]);
    s
}

/// How the tasks have ended that are remembered.
fn ends(s: &Story) -> Vec<String> {
    let request = Request::Tasks { framework: None, task: None, ended: Ended::Listed };
    match s.master.view(s.now, &request) {
        Some(Response::Tasks(views)) => views.tasks.into_iter().map(|task| task.reason).collect(),
        other => panic!("{other:?} are no tasks"),
    }
}

/// That the master lists no framework any more.
#[track_caller]
fn assert_no_framework(s: &Story) {
    match s.master.view(s.now, &Request::Frameworks) {
        Some(Response::Frameworks(views)) => assert_eq!(views.frameworks, []),
        other => panic!("{other:?} are no frameworks"),
    }
}

#[test]
fn a_connected_framework_is_removed_by_its_name_and_told_when_that_is_recorded() {
    let mut s = running();
    s.order(remove("f"));
    s.expect([
        "delete framework/f",
        "a: remove f",
        "f: refused: framework f is not known or was removed: subscribe without an id",
        "f: hang up",
        "answer: done",
    ]);
    assert_eq!(ends(&s), ["killed by the removal of its framework"]);
    assert_no_framework(&s);
    // What it held is free at once.
    s.framework("g", "r");
    s.idle();
    s.expect(["g: offer o3 of a: cpus:2;mem:128"]);
}

#[test]
fn a_framework_that_is_away_is_removed_by_its_id_and_cannot_come_back() {
    let mut s = running();
    s.disconnect("f");
    s.expect(["record framework/f"]);
    let id = s.names.framework("f").to_string();
    s.order(remove(&id));
    s.expect(["delete framework/f", "a: remove f", "answer: done"]);
    assert_no_framework(&s);
    s.resubscribe("f", "r");
    s.expect([
        "f: refused: framework f is not known or was removed: subscribe without an id",
        "f: hang up",
    ]);
    // Its time-out is no more, either.
    s.wait_beating("a", 61);
    s.expect([]);
}

#[test]
fn an_agent_that_is_away_ends_the_tasks_of_a_removed_framework_when_it_is_back() {
    let mut s = running();
    let t = s.held("f", &task("t", "cpus:1;mem:64"), "l1", "cpus:1;mem:64", TaskState::Running);
    s.disconnect("a");
    s.expect(["f: rescinded o2"]);
    s.order(remove("f"));
    s.take_effects();
    let mut s = s.restart_master();
    s.take_effects();
    assert_no_framework(&s);
    s.register("a", &[t]);
    s.expect(["a: registered", "a: remove f"]);
    s.update("a", "f", "t", 2, OK);
    s.expect(["a: acknowledge f/t#1 (2)"]);
}

#[test]
fn a_framework_that_never_launched_is_removed_in_time_also_over_a_restart() {
    let mut s = Story::new();
    s.framework("f", "r");
    s.disconnect("f");
    s.expect(["record framework/f"]);
    s.wait(50.0);
    s.expect([]);
    let mut s = s.restart_master();
    s.wait(9.9);
    s.expect([]);
    s.wait(0.2);
    s.expect(["delete framework/f"]);
    assert_no_framework(&s);
}

#[test]
fn one_that_dies_with_its_master_is_removed_in_time_by_the_next() {
    let mut s = Story::new();
    s.framework("f", "r");
    let mut s = s.restart_master();
    s.wait(0.0);
    s.expect(["record framework/f"]);
    s.wait(59.0);
    s.expect([]);
    s.wait(1.0);
    s.expect(["delete framework/f"]);
}

#[test]
fn a_name_must_be_known_and_be_of_one_framework() {
    let mut s = Story::new();
    s.order(remove("f"));
    s.expect(["answer: refused: framework: there is no framework f: see `skep framework list`"]);
    s.subscribe("f", "me", None, info("twin", "r"));
    s.subscribe("g", "me", None, info("twin", "r"));
    s.take_effects();
    let mut ids = [s.names.framework("f").to_string(), s.names.framework("g").to_string()];
    ids.sort();
    s.order(remove("twin"));
    let answer = s.take_effects().remove(0);
    let why = format!("2 frameworks are called twin: give the id of one: {}, {}", ids[0], ids[1]);
    assert!(answer.ends_with(&why) || answer.contains("2 frameworks are called twin"), "{answer}");
    s.order(remove(&ids[0]));
    s.take_effects();
    s.order(remove("twin"));
    s.take_effects();
    assert_no_framework(&s);
}

#[test]
fn the_supervisor_is_not_removed() {
    let mut s = Story::new();
    s.subscribe("f", "framework/supervisor", None, info("supervisor", "skep"));
    s.expect(["record framework/f", "f: subscribed"]);
    s.order(remove("supervisor"));
    s.expect(["answer: refused: not allowed: removing the supervisor, which stands beside every \
               master: name one of the frameworks that it hosts"]);
}

fn speaker(name: &str) -> TaskSpec {
    let mut spec = task(name, "cpus:1;mem:64");
    spec.grants.framework = true;
    spec
}

/// What a task says by way of its agent.
fn say(s: &mut Story, connection: ConnectionId, key: &TaskKey, call: Call) {
    let (agent, key) = (s.id_of("a"), key.clone());
    s.feed(Input::Hosted { connection, agent, key, call });
}

fn subscribe(name: &str) -> Call {
    Call::Subscribe { framework: None, run: 7, connection: 1, info: info(name, "r2") }
}

#[test]
fn a_hosted_framework_takes_its_scheduler_along_which_speaks_no_more() {
    let mut s = Story::with_tasks(&[speaker("t")]);
    let key = s.key("f", "t");
    let h = s.connect("h");
    say(&mut s, h, &key, subscribe("h"));
    s.expect(["record framework/h", "h: subscribed"]);
    s.order(remove("h"));
    let effects = s.take_effects();
    assert_eq!(
        effects,
        [
            "delete framework/h",
            "h: refused: framework h is not known or was removed: subscribe without an id",
            "h: hang up",
            "delete host/f/t",
            "a: kill f/t#1 by an operator",
            "answer: done",
        ]
    );
    // Until it ends it has its grace, and a voice no more; nor has it after a restart.
    let again = s.connect("again");
    say(&mut s, again, &key, subscribe("again"));
    let effects = s.take_effects();
    assert!(effects[0].starts_with("again: refused: not allowed: speaking"), "{effects:?}");
    let t = s.held("f", &speaker("t"), "l1", "cpus:1;mem:64", TaskState::Running);
    let mut s = s.restart_master();
    s.take_effects();
    s.register("a", &[t]);
    s.take_effects();
    let later = s.connect("later");
    say(&mut s, later, &key, subscribe("later"));
    let effects = s.take_effects();
    assert!(effects[0].starts_with("later: refused: not allowed: speaking"), "{effects:?}");
}

#[test]
fn a_hosted_framework_whose_scheduler_is_dead_is_removed_alone() {
    let mut s = Story::with_tasks(&[speaker("t")]);
    let key = s.key("f", "t");
    let h = s.connect("h");
    say(&mut s, h, &key, subscribe("h"));
    s.update("a", "f", "t", 2, OK);
    s.acknowledge("f", "t", 2);
    s.feed(Input::Disconnected { connection: h });
    s.take_effects();
    s.order(remove("h"));
    s.expect(["delete framework/h", "answer: done"]);
}
