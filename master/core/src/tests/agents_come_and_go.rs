//! Agents: who may register, what silence means, what a return brings.

use super::kit::{OK, Story, task};
use crate::{ConnectionId, Input};
use skep_protocol::{AgentId, TaskState, agent::ToMaster};

/// A framework `f` with the task `t` of attempt 1 running on agent `a`.
fn running() -> Story {
    Story::with_tasks(&[task("t", "cpus:2;mem:128")])
}

fn held(s: &Story, state: TaskState) -> skep_protocol::agent::HeldTask {
    s.held("f", &task("t", "cpus:2;mem:128"), "l1", "cpus:2;mem:128", state)
}

#[test]
fn an_agent_that_was_never_admitted_is_refused() {
    let mut s = Story::new();
    s.agent("a", "cpus:1;mem:64");
    let connection = s.connect("stranger");
    let message = ToMaster::Register(skep_protocol::agent::Registration {
        incarnation: Default::default(),
        run: 1,
        connection: 1,
        info: s.master.agents[&s.id_of("a")].info.clone(),
        tasks: Vec::new(),
        volumes: Vec::new(),
    });
    let agent = AgentId::new("a-00000000").expect("an id");
    s.feed(Input::Agent { connection, agent, message });
    s.expect([
        "stranger: refused: not allowed: \
         agent a-00000000 is not admitted: join with a token of this cluster",
        "stranger: hang up",
    ]);
}

#[test]
fn an_agent_that_does_not_register_first_is_refused_and_then_not_heard() {
    let mut s = Story::new();
    s.admit_agent("a", "cpus:1;mem:64");
    s.connect("a");
    let beat = ToMaster::Beat { inputs: 1, unsaved_millis: 0, acknowledged: 0 };
    s.agent_says("a", beat.clone());
    s.expect(["a: refused: protocol violation: the first message must be Register", "a: hang up"]);
    s.agent_says("a", beat);
    s.expect([]);
    s.disconnect("a");
    s.expect([]);
}

#[test]
fn of_two_connections_of_one_process_the_newer_wins() {
    let mut s = running();
    let state = held(&s, TaskState::Running);
    s.register("a", &[state]);
    s.expect(["old a: hang up", "a: registered"]);
    // What the old connection still brings does not count, its end neither.
    let (connection, agent) = (ConnectionId(2), s.id_of("a"));
    let updates = vec![s.status_update("f", "t", 2, OK)];
    s.feed(Input::Agent { connection, agent, message: ToMaster::StatusUpdates { updates } });
    s.feed(Input::Disconnected { connection });
    s.expect([]);
}

#[test]
fn a_registration_that_is_repeated_on_its_connection_changes_nothing() {
    let mut s = running();
    let connection = s.names.connection("a");
    let state = held(&s, TaskState::Running);
    s.register_on(connection, "a", &[state]);
    s.expect(["a: registered"]);
}

/// A task that it lacked then it may have by now: taken at its word, it would lose it.
#[test]
fn a_registration_that_was_late_on_an_older_connection_is_not_heard() {
    let mut s = running();
    let late = s.connect("a");
    let state = held(&s, TaskState::Running);
    s.register("a", &[state]);
    s.expect(["old a: hang up", "a: registered"]);
    s.register_on(late, "a", &[]);
    s.expect(["old a: hang up"]);
    s.update("a", "f", "t", 2, OK);
    s.expect(["f: t#1 exited with code 0 (2)"]);
}

#[test]
fn two_processes_of_one_agent_are_told_apart() {
    let mut s = Story::new();
    s.agent("a", "cpus:1;mem:64");
    s.rerun("a", 1);
    s.register("a", &[]);
    s.expect([
        "a: refused: agent a is connected already from another process: was its work folder \
         copied? Give this one a work folder and join token of its own",
        "a: hang up",
    ]);
    s.rerun("a", 3);
    s.register("a", &[]);
    s.expect(["old a: hang up", "a: registered"]);
    s.rerun("a", 2);
    s.register("a", &[]);
    s.expect([
        "a: refused: agent a is registered by a newer process (incarnation 3): \
         give this one a work folder and join token of its own",
        "a: hang up",
    ]);
}

#[test]
fn after_a_restart_of_the_agent_its_new_process_is_taken_also_while_the_old_seems_connected() {
    let mut s = running();
    s.rerun("a", 2);
    let ended = TaskState::Ended(skep_protocol::Outcome::Lost {
        why: skep_protocol::outcome::LostBy::NodeRebooted,
    });
    let state = held(&s, ended.clone());
    s.register("a", &[state]);
    s.expect(["old a: hang up", "a: registered"]);
    s.update("a", "f", "t", 2, ended);
    s.expect(["f: t#1 lost: its node was started anew (2)"]);
}

#[test]
fn a_disconnected_agent_is_not_offered_and_its_tasks_become_unreachable_after_five_seconds() {
    let mut s = running();
    s.agent("b", "cpus:1;mem:64");
    s.idle();
    s.expect(["f: offer o2 of b: cpus:1;mem:64"]);
    s.disconnect("b");
    s.expect(["f: rescinded o2"]);
    s.disconnect("a");
    s.wait(4.9);
    s.expect([]);
    s.wait(0.1);
    s.expect(["f: t#1 UNREACHABLE"]);
}

#[test]
fn an_agent_that_is_back_at_once_was_never_away() {
    let mut s = running();
    s.disconnect("a");
    s.wait(4.0);
    let state = held(&s, TaskState::Running);
    s.register("a", &[state]);
    s.expect(["a: registered"]);
    s.wait_beating("a", 10);
    s.expect([]);
}

#[test]
fn an_unreachable_task_goes_on_when_its_agent_returns() {
    let mut s = running();
    s.disconnect("a");
    s.wait(300.0);
    s.expect(["f: t#1 UNREACHABLE"]);
    let state = held(&s, TaskState::Running);
    s.register("a", &[state]);
    s.expect(["a: registered", "f: t#1 RUNNING"]);
}

#[test]
fn a_task_on_a_lost_agent_is_told_lost_exactly_once_and_killed_if_the_agent_returns() {
    let mut s = running();
    s.disconnect("a");
    s.wait(600.0);
    s.expect(["f: t#1 UNREACHABLE", "f: t#1 lost: its agent was not heard of for too long"]);
    let state = held(&s, TaskState::Running);
    s.register("a", std::slice::from_ref(&state));
    s.expect(["a: registered", "a: kill f/t#1 by its newer attempt 2"]);
    // What it uses is not offered before it has ended there.
    s.idle();
    s.expect([]);
    s.disconnect("a");
    s.register("a", &[state]);
    s.expect(["a: registered", "a: kill f/t#1 by its newer attempt 2"]);
    s.update("a", "f", "t", 2, OK);
    s.idle();
    s.expect(["a: acknowledge f/t#1 (2)", "f: offer o2 of a: cpus:2;mem:128"]);
}

#[test]
fn what_ended_on_an_agent_that_was_given_up_is_acknowledged_unheard() {
    let mut s = running();
    s.disconnect("a");
    s.wait(600.0);
    s.take_effects();
    let state = held(&s, OK);
    s.register("a", &[state]);
    s.update("a", "f", "t", 2, OK);
    s.expect(["a: registered", "a: acknowledge f/t#1 (2)"]);
}

#[test]
fn an_agent_that_does_not_beat_is_hung_up() {
    let mut s = running();
    s.wait_beating("a", 20);
    s.expect([]);
    s.wait(13.9);
    s.expect([]);
    s.wait(0.1);
    s.expect(["a: hang up"]);
    s.wait(5.0);
    s.expect(["f: t#1 UNREACHABLE"]);
}

#[test]
fn a_beat_from_an_agent_whose_disk_is_dead_does_not_count() {
    let mut s = running();
    for _ in 0..15 {
        s.agent_says("a", ToMaster::Beat { inputs: 1, unsaved_millis: 10_001, acknowledged: 0 });
        s.wait(1.0);
    }
    s.expect(["a: hang up"]);
}

#[test]
fn a_launch_that_was_lost_on_its_way_is_sent_again_when_the_agent_registers() {
    let mut s = Story::new();
    s.framework("f", "r");
    s.agent("a", "cpus:2;mem:128");
    s.idle();
    s.expect(["f: offer o1 of a: cpus:2;mem:128"]);
    s.accept("f", &["o1"], &[task("t", "cpus:1;mem:64"), task("u", "cpus:1;mem:64")]);
    s.expect([
        "a: launch l1 in r within cpus:2;mem:128: f/t#1 f/u#1",
        "f: answered o1.0: launched l1 on a",
    ]);
    s.disconnect("a");
    // The agent has recorded one of the two; that it said so was lost as well.
    let one = s.held("f", &task("t", "cpus:1;mem:64"), "l1", "cpus:2;mem:128", TaskState::Staging);
    s.register("a", &[one]);
    s.expect([
        "a: registered",
        "a: launch l1 in r within cpus:2;mem:128: f/u#1",
        "f: accepted by a: t#1",
    ]);
}

#[test]
fn a_recorded_task_that_its_agent_no_longer_knows_is_lost() {
    let mut s = running();
    s.register("a", &[]);
    s.expect(["old a: hang up", "a: registered", "f: t#1 lost: its agent does not know it"]);
    s.idle();
    s.expect(["f: offer o2 of a: cpus:2;mem:128"]);
}

#[test]
fn an_agent_that_shrinks_below_what_runs_on_it_is_not_offered_until_enough_has_ended() {
    let mut s = running();
    s.resize("a", "cpus:1;mem:256");
    let state = held(&s, TaskState::Running);
    s.register("a", &[state]);
    s.expect(["old a: hang up", "a: registered"]);
    s.idle();
    s.expect(["f: offer o2 of a: mem:128"]);
    s.update("a", "f", "t", 2, OK);
    s.idle();
    s.expect(["f: t#1 exited with code 0 (2)", "f: offer o3 of a: cpus:1;mem:128"]);
}
