//! Frameworks: subscribing, failing over, staying away, being removed.

use super::kit::{OK, Story, info, refuse, task};
use crate::input::{ConnectionId, Input};
use skep_protocol::{FrameworkId, TaskState, framework::Call};

fn running() -> Story {
    let mut s = Story::with_tasks(&[task("t", "cpus:1;mem:64")]);
    s.idle();
    s.expect(["f: offer o2 of a: cpus:1;mem:64"]);
    s
}

#[test]
fn a_newer_instance_takes_over_and_is_told_what_it_may_have_missed() {
    let mut s = running();
    s.resubscribe("f", "r");
    s.expect([
        "old f: refused: another instance subscribed as framework f: this one must stop",
        "old f: hang up",
        "record framework/f",
        "f: subscribed",
        "f: t#1 RUNNING (1)",
    ]);
    // The older instance's offer is void and made anew.
    s.idle();
    s.expect(["f: offer o3 of a: cpus:1;mem:64"]);
    s.accept("f", &["o2"], &[task("u", "cpus:1;mem:64")]);
    s.expect(["f: answered o2.0: rejected u#1: \
               offer o2 is no longer valid: it was used, rescinded or expired; wait for another"]);
}

/// Subscribes as a process that numbers its connections.
fn subscribe_as(s: &mut Story, connection: ConnectionId, id: Option<FrameworkId>, number: u64) {
    let (framework, run, info) = (id, 9, info("g", "r"));
    let call = Call::Subscribe { framework, run, connection: number, info };
    s.feed(Input::Framework { connection, principal: "me".into(), call });
}

/// It would be told to stop, by itself.
#[test]
fn a_subscription_that_was_late_on_an_older_connection_is_no_newer_instance() {
    let mut s = Story::new();
    let late = s.connect("g");
    let newest = s.connect("g");
    subscribe_as(&mut s, newest, None, 2);
    s.expect(["record framework/g", "g: subscribed"]);
    let id = Some(s.names.framework("g"));
    subscribe_as(&mut s, late, id.clone(), 1);
    s.expect(["old g: hang up"]);
    let next = s.connect("g");
    subscribe_as(&mut s, next, id, 3);
    s.expect(["old g: hang up", "record framework/g", "g: subscribed"]);
}

#[test]
fn a_first_subscription_whose_answer_was_lost_is_made_again_by_the_same_framework() {
    let mut s = Story::new();
    let first = s.connect("g");
    subscribe_as(&mut s, first, None, 1);
    s.expect(["record framework/g", "g: subscribed"]);
    s.disconnect("g");
    s.expect(["record framework/g"]);
    let mut s = s.restart_master();
    s.take_effects();
    let second = s.connect("g");
    subscribe_as(&mut s, second, None, 2);
    s.expect(["record framework/g", "g: subscribed"]);
}

#[test]
fn a_failover_clears_refusals_and_suppression() {
    let mut s = running();
    s.decline("f", &["o2"], refuse(3_600.0));
    s.call("f", Call::Suppress { roles: [].into() });
    s.resubscribe("f", "r");
    s.take_effects();
    s.idle();
    s.expect(["f: offer o3 of a: cpus:1;mem:64"]);
}

#[test]
fn who_comes_back_must_be_known_the_same_and_in_the_same_role() {
    let mut s = Story::new();
    s.framework("f", "r");
    let f = Some(s.names.framework("f"));
    s.subscribe("g", "somebody else", f.clone(), info("f", "r"));
    s.expect(["g: refused: framework f belongs to another principal", "g: hang up"]);
    s.subscribe("g", "me", f, info("f", "another"));
    s.expect([
        "g: refused: info.role: framework f is of role r: its tasks are accounted there, \
         so it stays",
        "g: hang up",
    ]);
    let unknown = FrameworkId::new("f-00000000").ok();
    s.subscribe("g", "me", unknown, info("g", "r"));
    s.expect([
        "g: refused: framework f-00000000 is not known or was removed: subscribe without an id",
        "g: hang up",
    ]);
    s.subscribe("g", "me", None, info(&"n".repeat(129), "r"));
    s.expect(["g: refused: info.name: it must be 128 bytes at most", "g: hang up"]);
}

#[test]
fn the_first_call_must_be_subscribe_and_no_other_may_be() {
    let mut s = Story::new();
    s.connect("f");
    s.call("f", Call::Revive { roles: [].into() });
    s.expect(["f: refused: protocol violation: the first call must be Subscribe", "f: hang up"]);
    s.framework("g", "r");
    s.call("g", Call::Subscribe { framework: None, run: 0, connection: 0, info: info("g", "r") });
    s.expect([
        "g: refused: protocol violation: this connection is subscribed already: open another",
        "g: hang up",
        "record framework/g",
    ]);
}

#[test]
fn frameworks_are_bounded() {
    let mut s = Story::with(|policy| policy.frameworks_max = 1);
    s.framework("f", "r");
    s.subscribe("g", "me", None, info("g", "r"));
    s.expect(["g: refused: too many frameworks: at most 1", "g: hang up"]);
}

#[test]
fn tasks_live_on_without_their_framework_until_its_time_out() {
    let mut s = running();
    s.disconnect("f");
    s.expect(["record framework/f"]);
    s.wait_beating("a", 59);
    // What was offered to it is free, but nobody is there to take it.
    s.idle();
    s.expect([]);
    s.wait(1.0);
    s.expect(["delete framework/f", "a: remove f"]);
    s.resubscribe("f", "r");
    s.expect([
        "f: refused: framework f is not known or was removed: subscribe without an id",
        "f: hang up",
    ]);
    s.framework("g", "r");
    s.idle();
    s.expect(["g: offer o3 of a: cpus:2;mem:128"]);
}

#[test]
fn a_framework_that_is_back_in_time_keeps_its_tasks() {
    let mut s = running();
    s.disconnect("f");
    s.wait_beating("a", 50);
    s.resubscribe("f", "r");
    s.expect(["record framework/f", "record framework/f", "f: subscribed", "f: t#1 RUNNING (1)"]);
    s.wait_beating("a", 20);
    assert!(s.take_effects().iter().all(|line| line.starts_with("f: offer")));
}

#[test]
fn what_happens_while_a_framework_is_away_is_told_when_it_is_back() {
    let mut s = running();
    s.run("f", "o2", "a", &[task("u", "cpus:1;mem:64")]);
    s.acknowledge("f", "t", 1);
    s.expect(["a: acknowledge f/t#1 (1)"]);
    s.disconnect("f");
    s.update("a", "f", "t", 2, OK);
    let u = s.held("f", &task("u", "cpus:1;mem:64"), "l1", "cpus:1;mem:64", TaskState::Running);
    s.expect(["record framework/f"]);
    s.register("a", &[]);
    s.expect(["old a: hang up", "a: registered"]);
    s.resubscribe("f", "r");
    s.expect([
        "record framework/f",
        "f: subscribed",
        "f: t#1 exited with code 0 (2), u#1 RUNNING (1), u#1 lost: its agent does not know it",
    ]);
    // It has been told, so it is over: an agent that brings it after all has it killed.
    s.register("a", &[u]);
    s.expect(["old a: hang up", "a: registered", "a: kill f/u#1 by its newer attempt 2"]);
}

#[test]
fn teardown_removes_the_framework_at_once_and_agents_that_are_away_hear_of_it_later() {
    let mut s = running();
    let t = s.held("f", &task("t", "cpus:1;mem:64"), "l1", "cpus:1;mem:64", TaskState::Running);
    s.disconnect("a");
    s.expect(["f: rescinded o2"]);
    s.call("f", Call::Teardown);
    s.expect(["delete framework/f", "f: hang up"]);
    s.disconnect("f");
    s.register("a", &[t]);
    s.expect(["a: registered", "a: remove f"]);
    s.update("a", "f", "t", 2, OK);
    s.expect(["a: acknowledge f/t#1 (2)"]);
}

#[test]
fn a_framework_without_a_failover_timeout_goes_with_its_connection() {
    let mut s = Story::new();
    let mut info = info("f", "r");
    info.failover_timeout = std::time::Duration::ZERO;
    s.subscribe("f", "me", None, info);
    s.disconnect("f");
    s.wait(0.0);
    s.expect(["record framework/f", "f: subscribed", "record framework/f", "delete framework/f"]);
}
