//! Agents under their operator's hand: deactivated, drained, gone.

use super::kit::{OK, Story, task};
use skep_protocol::{
    Outcome, TaskState,
    operator::{Request, Response, view::AgentView},
    outcome::KilledBy,
};
use std::time::Duration;

const DRAINED: TaskState = TaskState::Ended(Outcome::Killed { by: KilledBy::AgentDrained });

/// A framework `f` with the task `t` of attempt 1 running on agent `a`, and half of `a` offered.
fn running() -> Story {
    let mut s = Story::with_tasks(&[task("t", "cpus:1;mem:64")]);
    s.idle();
    s.expect(["f: offer o2 of a: cpus:1;mem:64"]);
    s
}

fn drain(s: &mut Story, agent: &str, seconds: u64) {
    let agent = s.id_of(agent);
    s.order(Request::Drain { agent, grace: Duration::from_secs(seconds) });
}

fn deactivate(s: &mut Story, agent: &str) {
    let agent = s.id_of(agent);
    s.order(Request::Deactivate { agent });
}

fn activate(s: &mut Story, agent: &str) {
    let agent = s.id_of(agent);
    s.order(Request::Activate { agent });
}

fn gone(s: &mut Story, agent: &str) {
    let agent = s.id_of(agent);
    s.order(Request::Gone { agent });
}

fn shown(s: &Story, agent: &str) -> AgentView {
    let id = s.id_of(agent).to_string();
    match s.master.view(s.now, &Request::Agents) {
        Some(Response::Agents(views)) => {
            views.agents.into_iter().find(|view| view.agent == id).expect("it is listed")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_deactivated_agent_is_offered_no_more_and_its_tasks_go_on() {
    let mut s = running();
    deactivate(&mut s, "a");
    s.expect(["record duty/a", "f: rescinded o2", "answer: done"]);
    assert_eq!(shown(&s, "a").duty, "deactivated");
    s.idle();
    s.expect([]);
    // Said again, it changes nothing.
    deactivate(&mut s, "a");
    s.expect(["answer: done"]);
    s.update("a", "f", "t", 2, OK);
    s.expect(["f: t#1 exited with code 0 (2)"]);
    s.idle();
    s.expect([]);
    activate(&mut s, "a");
    s.expect(["delete duty/a", "answer: done"]);
    s.idle();
    s.expect(["f: offer o3 of a: cpus:2;mem:128"]);
    activate(&mut s, "a");
    s.expect(["answer: done"]);
}

#[test]
fn a_deactivated_agent_stays_so_over_restarts_of_itself_and_of_the_master() {
    let mut s = Story::new();
    s.framework("f", "r");
    s.agent("a", "cpus:1;mem:64");
    deactivate(&mut s, "a");
    s.take_effects();
    s.rerun("a", 2);
    s.register("a", &[]);
    s.take_effects();
    s.idle();
    s.expect([]);
    let mut s = s.restart_master();
    s.resubscribe("f", "r");
    s.rerun("a", 3);
    s.register("a", &[]);
    s.take_effects();
    s.idle();
    s.expect([]);
    assert_eq!(shown(&s, "a").duty, "deactivated");
}

#[test]
fn an_agent_without_offers_takes_no_more_tasks_into_its_queues() {
    let mut s = running();
    deactivate(&mut s, "a");
    s.take_effects();
    s.enqueue("f", "l1", &[task("more", "cpus:1;mem:64")]);
    s.expect([
        "f: answered enqueue: rejected more#1: allocation l1 has ended: wait for another offer",
    ]);
    // An answer that crosses with the rescission finds its offer void.
    s.accept("f", &["o2"], &[task("late", "cpus:1;mem:64")]);
    s.expect([
        "f: answered o2.0: rejected late#1: offer o2 is no longer valid: it was used, rescinded \
         or expired; wait for another",
    ]);
}

#[test]
fn a_drained_agent_ends_its_tasks_and_is_drained_when_their_ends_are_known() {
    let mut s = running();
    drain(&mut s, "a", 0);
    s.expect([
        "record duty/a",
        "f: rescinded o2",
        "a: kill f/t#1 by the draining of its agent",
        "answer: done",
    ]);
    assert_eq!(shown(&s, "a").duty, "draining");
    drain(&mut s, "a", 60);
    s.expect(["answer: done"]);
    s.update("a", "f", "t", 2, DRAINED);
    s.expect(["f: t#1 killed by the draining of its agent (2)"]);
    assert_eq!(shown(&s, "a").duty, "draining");
    s.acknowledge("f", "t", 2);
    s.expect(["a: acknowledge f/t#1 (2)"]);
    assert_eq!(shown(&s, "a").duty, "drained");
    s.idle();
    s.expect([]);
    activate(&mut s, "a");
    s.idle();
    s.expect(["delete duty/a", "answer: done", "f: offer o3 of a: cpus:2;mem:128"]);
}

#[test]
fn with_grace_queued_tasks_end_at_once_and_running_ones_when_it_is_over() {
    let mut s = Story::new();
    s.framework("f", "r");
    s.agent("a", "cpus:1;mem:64");
    s.idle();
    s.take_effects();
    let tasks = [task("runs", "cpus:1;mem:64"), task("waits", "cpus:1;mem:64")];
    s.accept("f", &["o1"], &tasks);
    s.recorded("a", "f", &["runs", "waits"]);
    s.update("a", "f", "runs", 1, TaskState::Running);
    s.take_effects();
    drain(&mut s, "a", 10);
    s.expect([
        "record duty/a",
        "a: kill f/waits#1 by the draining of its agent",
        "f: asked i2 of a from 1010 for good",
        "answer: done",
    ]);
    s.wait_beating("a", 9);
    s.expect([]);
    // A shorter grace counts, a longer one does not.
    drain(&mut s, "a", 60);
    s.expect(["answer: done"]);
    s.wait_beating("a", 1);
    s.expect(["a: kill f/runs#1 by the draining of its agent"]);
}

#[test]
fn a_drain_goes_on_over_a_restart_of_the_master_with_what_agents_bring() {
    let mut s = running();
    drain(&mut s, "a", 0);
    s.take_effects();
    let mut s = s.restart_master();
    s.resubscribe("f", "r");
    s.take_effects();
    assert_eq!(shown(&s, "a").duty, "draining");
    let held = s.held("f", &task("t", "cpus:1;mem:64"), "l1", "cpus:1;mem:64", TaskState::Running);
    s.register("a", &[held]);
    s.expect(["a: registered", "f: t#1 RUNNING", "a: kill f/t#1 by the draining of its agent"]);
}

#[test]
fn a_gone_agent_is_refused_for_good_and_its_tasks_are_lost() {
    let mut s = running();
    gone(&mut s, "a");
    s.expect([
        "record duty/a",
        "a: refused: agent a was declared gone: give the node a new work folder and join token",
        "a: hang up",
        "f: rescinded o2",
        "f: t#1 lost: its agent was declared gone",
        "answer: done",
    ]);
    let view = shown(&s, "a");
    assert_eq!((view.duty.as_str(), view.state.as_str(), view.tasks), ("gone", "lost", 0));
    gone(&mut s, "a");
    s.expect(["answer: done"]);
    s.register("a", &[]);
    s.expect([
        "a: refused: agent a was declared gone: give the node a new work folder and join token",
        "a: hang up",
    ]);
    let mut s = s.restart_master();
    s.register("a", &[]);
    s.expect([
        "record framework/f",
        "a: refused: agent a was declared gone: give the node a new work folder and join token",
        "a: hang up",
    ]);
    assert_eq!(shown(&s, "a").duty, "gone");
}

#[test]
fn nobody_waits_for_a_gone_agent_to_bring_a_task() {
    let mut s = running();
    s.agent("b", "cpus:1;mem:64");
    let mut s = s.restart_master();
    s.resubscribe("f", "r");
    s.register("b", &[]);
    s.take_effects();
    let key = s.key("f", "t");
    let tasks = vec![(key.task, key.attempt)];
    s.call("f", skep_protocol::framework::Call::Reconcile { tasks });
    s.expect([]);
    gone(&mut s, "a");
    s.expect(["record duty/a", "f: t#1 lost: nobody knows it", "answer: done"]);
}

#[test]
fn what_cannot_be_ordered_of_an_agent_is_refused_with_the_reason() {
    let mut s = Story::new();
    let stranger = skep_protocol::AgentId::new("nobody").expect("an id");
    s.order(Request::Drain { agent: stranger.clone(), grace: Duration::ZERO });
    s.order(Request::Deactivate { agent: stranger.clone() });
    s.order(Request::Activate { agent: stranger.clone() });
    s.order(Request::Gone { agent: stranger });
    let unknown = "answer: refused: agent nobody is not known: `skep agent list` shows those \
                   that are";
    s.expect([unknown; 4]);
    s.agent("a", "cpus:1;mem:64");
    gone(&mut s, "a");
    s.take_effects();
    drain(&mut s, "a", 0);
    deactivate(&mut s, "a");
    activate(&mut s, "a");
    let refused = "answer: refused: agent a was declared gone: give the node a new work folder \
                   and join token";
    s.expect([refused; 3]);
}
