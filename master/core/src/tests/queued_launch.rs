//! More tasks than fit: queues at agents, what they occupy, and how they are recalled.

use super::kit::{OK, Story, task};
use skep_protocol::{
    Outcome, Rejection, TaskSpec, TaskState,
    framework::{Call, Demand},
};

fn tasks<const N: usize>(names: [&str; N]) -> [TaskSpec; N] {
    names.map(|name| task(name, "cpus:1;mem:64"))
}

/// `f` of role `r` has launched four tasks of one cpu on an agent of two; `t` and `u` run.
fn queued() -> Story {
    let mut s = Story::new();
    s.framework("f", "r");
    s.agent("a", "cpus:2;mem:256");
    s.idle();
    s.expect(["f: offer o1 of a: cpus:2;mem:256"]);
    s.accept("f", &["o1"], &tasks(["t", "u", "v", "w"]));
    s.expect([
        "a: launch l1 in r within cpus:2;mem:256: f/t#1 f/u#1 f/v#1 f/w#1",
        "f: answered o1.0: launched l1 on a",
    ]);
    s.recorded("a", "f", &["t", "u", "v", "w"]);
    s.update("a", "f", "t", 1, TaskState::Running);
    s.update("a", "f", "u", 1, TaskState::Running);
    s.take_effects();
    s
}

fn recalled() -> TaskState {
    TaskState::Ended(Outcome::Refused { rejection: Rejection::Recalled })
}

#[test]
fn a_queue_keeps_what_it_was_granted_and_gives_back_bit_by_bit_once_it_is_empty() {
    let mut s = queued();
    for name in ["t", "u"] {
        s.update("a", "f", name, 2, OK);
        s.idle();
        let memory_is_freed = s.take_effects();
        assert_eq!(memory_is_freed.len(), 2, "{memory_is_freed:?}");
    }
    s.update("a", "f", "v", 1, OK);
    s.idle();
    s.expect(["f: v#1 exited with code 0 (1)", "f: offer o4 of a: cpus:1;mem:64"]);
    s.update("a", "f", "w", 1, OK);
    s.idle();
    s.expect(["f: w#1 exited with code 0 (1)", "f: offer o5 of a: cpus:1;mem:64"]);
    s.enqueue("f", "l1", &tasks(["x"]));
    s.expect(["f: answered enqueue: rejected x#1: \
               allocation l1 has ended: wait for another offer"]);
}

#[test]
fn more_can_be_enqueued_while_tasks_run() {
    let mut s = queued();
    s.enqueue("f", "l1", &tasks(["x"]));
    s.expect([
        "a: launch l1 in r within cpus:2;mem:256: f/x#1",
        "f: answered enqueue: launched l1 on a",
    ]);
    s.enqueue("f", "l1", &[task("huge", "cpus:3;mem:64"), task("t", "cpus:1;mem:64")]);
    s.expect([
        "f: answered enqueue: launched l1 on a; refused huge#1: \
         task huge needs cpus:3;mem:64, but the offer holds cpus:2;mem:256",
        "f: accepted by a: t#1",
    ]);
}

#[test]
fn what_an_allocation_gave_back_to_others_it_does_not_get_back() {
    let mut s = queued();
    for name in ["t", "u", "v"] {
        s.update("a", "f", name, 2, OK);
    }
    s.take_effects();
    // One cpu is used by w, one is free: as long as nobody has it, a queue may take it again.
    s.enqueue("f", "l1", &tasks(["x"]));
    s.expect([
        "a: launch l1 in r within cpus:2;mem:256: f/x#1",
        "f: answered enqueue: launched l1 on a",
    ]);
    s.update("a", "f", "x", 1, OK);
    s.idle();
    s.expect(["f: x#1 exited with code 0 (1)", "f: offer o2 of a: cpus:1;mem:192"]);
    s.enqueue("f", "l1", &tasks(["y"]));
    s.expect([
        "a: launch l1 in r within cpus:1;mem:64: f/y#1",
        "f: answered enqueue: launched l1 on a",
    ]);
}

#[test]
fn nobody_enqueues_into_an_allocation_of_another_or_of_an_agent_that_is_away() {
    let mut s = queued();
    s.framework("g", "r");
    let ended = "rejected x#1: allocation l1 has ended: wait for another offer";
    s.enqueue("g", "l1", &tasks(["x"]));
    s.expect([&format!("g: answered enqueue: {ended}")]);
    s.disconnect("a");
    s.enqueue("f", "l1", &tasks(["x"]));
    s.expect([&format!("f: answered enqueue: {ended}")]);
}

#[test]
fn a_queue_is_recalled_for_a_role_with_a_lower_share_once_it_is_a_second_old() {
    let mut s = queued();
    s.call("f", Call::Suppress { roles: [].into() });
    s.framework("g", "other");
    s.idle();
    s.expect([]);
    s.wait(0.999);
    s.expect([]);
    s.wait(0.001);
    s.expect(["a: recall l1"]);
    s.enqueue("f", "l1", &tasks(["x"]));
    s.expect(["f: answered enqueue: rejected x#1: \
               allocation l1 has ended: wait for another offer"]);
    // The queue comes back, the running tasks stay, and what they leave goes to who waits.
    s.update("a", "f", "v", 1, recalled());
    s.update("a", "f", "w", 1, recalled());
    s.idle();
    let why = "refused: recalled before it started: a role with a lower share waits; \
               launch it again";
    s.expect([
        &format!("f: v#1 {why} (1)"),
        &format!("f: w#1 {why} (1)"),
        "g: offer o2 of a: mem:128",
    ]);
    s.update("a", "f", "t", 2, OK);
    s.idle();
    s.expect(["f: t#1 exited with code 0 (2)", "g: offer o3 of a: cpus:1;mem:64"]);
}

#[test]
fn nothing_is_recalled_for_equals_for_the_content_or_for_who_refused_the_agent() {
    let mut s = queued();
    s.framework("same-role", "r");
    s.framework("content", "other");
    s.call("content", Call::Suppress { roles: [].into() });
    s.wait_beating("a", 3);
    s.expect([]);
    s.framework("picky", "other");
    s.agent("b", "cpus:2;mem:256");
    s.idle();
    s.expect(["picky: offer o2 of b: cpus:2;mem:256"]);
    // While it thinks about an offer it does not wait.
    s.wait_beating("a", 3);
    s.expect([]);
}

#[test]
fn nothing_is_recalled_for_a_framework_that_refuses_as_much_of_the_agent() {
    let mut s = Story::new();
    s.framework("g", "other");
    s.agent("a", "cpus:2;mem:256");
    s.idle();
    s.expect(["g: offer o1 of a: cpus:2;mem:256"]);
    s.framework("f", "r");
    s.decline("g", &["o1"], super::kit::refuse(10.0));
    s.idle();
    s.expect(["f: offer o2 of a: cpus:2;mem:256"]);
    s.accept("f", &["o2"], &tasks(["t", "u", "v", "w"]));
    s.take_effects();
    s.wait_beating("a", 9);
    s.expect([]);
    s.wait_beating("a", 2);
    s.expect(["a: recall l1"]);
}

#[test]
fn an_allocation_without_a_queue_is_left_alone() {
    let mut s = Story::new();
    s.framework("f", "r");
    s.agent("a", "cpus:2;mem:256");
    s.idle();
    s.expect(["f: offer o1 of a: cpus:2;mem:256"]);
    s.accept("f", &["o1"], &[task("t", "cpus:2;mem:256")]);
    s.take_effects();
    s.framework("g", "other");
    s.wait_beating("a", 5);
    s.expect([]);
}

#[test]
fn a_queue_that_grows_while_another_role_waits_is_recalled_too() {
    let mut s = Story::new();
    s.framework("f", "r");
    s.agent("a", "cpus:2;mem:256");
    s.idle();
    s.expect(["f: offer o1 of a: cpus:2;mem:256"]);
    s.accept("f", &["o1"], &[task("t", "cpus:2;mem:256")]);
    s.take_effects();
    s.framework("g", "other");
    s.wait_beating("a", 5);
    s.expect([]);
    s.enqueue("f", "l1", &tasks(["u"]));
    s.idle();
    s.expect([
        "a: launch l1 in r within cpus:2;mem:256: f/u#1",
        "f: answered enqueue: launched l1 on a",
        "a: recall l1",
    ]);
}

#[test]
fn of_many_queues_no_more_are_recalled_than_the_role_that_waits_is_behind() {
    let mut s = Story::new();
    s.framework("f", "r");
    for n in 1..=4 {
        s.agent(&format!("a{n}"), "cpus:1;mem:64");
        s.idle();
        s.take_effects();
        s.accept("f", &[&format!("o{n}")], &tasks([&format!("t{n}"), &format!("u{n}")]));
        s.take_effects();
        s.wait(0.01);
    }
    s.framework("g", "other");
    s.idle();
    s.wait(2.0);
    // The oldest two; then both have half, once these have come back. The wait adds nothing.
    s.expect(["a1: recall l1", "a2: recall l2"]);
    s.wait(2.0);
    s.expect([]);
}

#[test]
fn a_recall_is_repeated_to_an_agent_that_may_have_missed_it() {
    let mut s = queued();
    s.framework("g", "other");
    s.wait(1.0);
    s.expect(["a: recall l1"]);
    let held = ["t", "u", "v", "w"].map(|name| {
        let state = if name < "v" { TaskState::Running } else { TaskState::Staging };
        s.held("f", &task(name, "cpus:1;mem:64"), "l1", "cpus:2;mem:256", state)
    });
    s.register("a", &held);
    s.expect(["old a: hang up", "a: registered", "a: recall l1"]);
}

fn demand(s: &mut Story, least: &str, wants: &str) {
    let (least, wants) = (least.parse().expect("one"), wants.parse().expect("one"));
    let demand = Some(Demand { least, wants, terms: None });
    s.call("f", Call::Demand { role: None, demand });
}

/// An allocation whose queue has shrunk takes its memory anew when it is filled: that is none of
/// what its framework waits for, which knows only of what it has launched on offers.
#[test]
fn who_fills_its_queue_waits_for_as_much_as_before() {
    let mut s = Story::new();
    s.framework("f", "r");
    demand(&mut s, "cpus:1;mem:64", "cpus:8;mem:512");
    s.agent("a", "cpus:2;mem:1024");
    s.idle();
    s.expect(["f: offer o1 of a: cpus:2;mem:512"]);
    s.run("f", "o1", "a", &tasks(["t1", "t2", "t3", "t4"]));
    demand(&mut s, "cpus:1;mem:64", "cpus:4;mem:256");
    for (ended, filled) in [(["t1", "t2"], ["t5", "t6"]), (["t3", "t4"], ["t7", "t8"])] {
        ended.iter().for_each(|task| s.update("a", "f", task, 2, OK));
        s.enqueue("f", "l1", &tasks(filled));
        s.recorded("a", "f", &filled);
        filled.iter().for_each(|task| s.update("a", "f", task, 1, TaskState::Running));
        s.idle();
    }
    s.call("f", Call::Suppress { roles: [].into() });
    ["t5", "t6", "t7", "t8"].iter().for_each(|task| s.update("a", "f", task, 2, OK));
    s.idle();
    s.take_effects();
    s.call("f", Call::Revive { roles: [].into() });
    s.idle();
    s.expect(["f: offer o2 of a: cpus:2;mem:256"]);
}
