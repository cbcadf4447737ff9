//! Maintenance windows, and who is asked to leave before they begin.

use super::kit::{START, Story, task};
use skep_protocol::{
    TaskState,
    framework::{Call, Consent},
    operator::{Leftover, Maintenance, Request, Response},
};
use std::time::Duration;

fn plan(s: &mut Story, agent: &str, from: u64, lasts: u64, tasks: Leftover) {
    let (from, lasts) = (START + Duration::from_secs(from), Duration::from_secs(lasts));
    let maintenance = Some(Maintenance { from, lasts, tasks });
    let agent = s.id_of(agent);
    s.order(Request::SetMaintenance { agent, maintenance });
}

fn call_off(s: &mut Story, agent: &str) {
    let agent = s.id_of(agent);
    s.order(Request::SetMaintenance { agent, maintenance: None });
}

fn answer(s: &mut Story, framework: &str, inverse: &str, consent: Consent) {
    let offers = vec![s.names.offer(inverse)];
    s.call(framework, Call::AnswerInverse { offers, consent });
}

/// What the operator is shown: the duty, and what each framework has said.
fn shown(s: &Story) -> (String, Vec<String>) {
    match s.master.view(s.now, &Request::Agents) {
        Some(Response::Agents(views)) => {
            let view = views.agents.into_iter().next().expect("it is listed");
            (view.duty, view.asked.into_iter().map(|asked| asked.answer).collect())
        }
        other => panic!("{other:?}"),
    }
}

/// A framework `f` with a task on agent `a`, of which the rest is offered.
fn running() -> Story {
    let mut s = Story::with_tasks(&[task("t", "cpus:1;mem:64")]);
    s.idle();
    s.expect(["f: offer o2 of a: cpus:1;mem:64"]);
    s
}

#[test]
fn who_has_tasks_there_is_asked_and_new_offers_tell_of_it() {
    let mut s = running();
    s.framework("g", "r");
    plan(&mut s, "a", 20, 60, Leftover::Ended);
    s.expect([
        "record maintenance/a",
        "f: rescinded o2",
        "f: asked i3 of a from 1020 for 60s",
        "answer: done",
    ]);
    assert_eq!(shown(&s), ("active".into(), vec!["asked".into()]));
    s.idle();
    s.expect(["g: offer o4 of a: cpus:1;mem:64 until 1020"]);
    // Whoever comes all the same is asked at once.
    s.accept("g", &["o4"], &[task("u", "cpus:1;mem:64")]);
    s.expect([
        "a: launch l2 in r within cpus:1;mem:64: g/u#1",
        "g: answered o4.0: launched l2 on a",
        "g: asked i5 of a from 1020 for 60s",
    ]);
    answer(&mut s, "f", "i3", Consent::Accepted);
    answer(&mut s, "g", "i5", Consent::Declined);
    // Nobody answers for another.
    answer(&mut s, "g", "i3", Consent::Declined);
    let mut answers = shown(&s).1;
    answers.sort();
    assert_eq!(answers, ["accepted", "declined"]);
}

#[test]
fn when_it_begins_tasks_end_and_when_it_is_over_the_agent_serves_again() {
    let mut s = running();
    plan(&mut s, "a", 20, 10, Leftover::Ended);
    s.take_effects();
    s.idle();
    s.take_effects();
    s.wait_beating("a", 20);
    s.expect(["f: rescinded o4", "a: kill f/t#1 by the draining of its agent"]);
    assert_eq!(shown(&s).0, "maintenance");
    s.wait_beating("a", 9);
    s.expect([]);
    s.wait_beating("a", 1);
    s.expect(["delete maintenance/a", "f: inverse rescinded i3"]);
    assert_eq!(shown(&s), ("active".into(), vec![]));
    s.idle();
    s.expect(["f: offer o5 of a: cpus:1;mem:64"]);
}

#[test]
fn tasks_that_are_kept_go_on_while_nothing_is_offered() {
    let mut s = running();
    plan(&mut s, "a", 5, 10, Leftover::Kept);
    s.take_effects();
    s.wait_beating("a", 5);
    s.take_effects();
    s.idle();
    s.expect([]);
    assert_eq!(shown(&s).0, "maintenance");
    s.wait_beating("a", 10);
    s.expect(["delete maintenance/a", "f: inverse rescinded i3"]);
    s.idle();
    s.expect(["f: offer o5 of a: cpus:1;mem:64"]);
}

#[test]
fn what_is_planned_survives_a_restart_and_frameworks_are_asked_again() {
    let mut s = running();
    plan(&mut s, "a", 20, 10, Leftover::Ended);
    s.take_effects();
    answer(&mut s, "f", "i3", Consent::Accepted);
    let mut s = s.restart_master();
    s.resubscribe("f", "r");
    s.take_effects();
    let held = s.held("f", &task("t", "cpus:1;mem:64"), "l1", "cpus:1;mem:64", TaskState::Running);
    s.register("a", &[held]);
    s.expect(["a: registered", "f: t#1 RUNNING", "f: asked i1 of a from 1020 for 10s"]);
    s.idle();
    s.expect(["f: offer o2 of a: cpus:1;mem:64 until 1020"]);
    s.wait_beating("a", 20);
    s.expect(["f: rescinded o2", "a: kill f/t#1 by the draining of its agent"]);
    // What was missed while the master was away ends at its first input.
    let mut s = s.restart_master();
    s.now = START + Duration::from_secs(100);
    s.feed(crate::Input::Tick);
    assert!(s.take_effects().contains(&"delete maintenance/a".to_owned()));
}

#[test]
fn a_window_that_is_called_off_or_moved_is_taken_back_from_those_who_were_asked() {
    let mut s = running();
    plan(&mut s, "a", 20, 10, Leftover::Ended);
    s.take_effects();
    plan(&mut s, "a", 20, 10, Leftover::Ended);
    s.expect(["answer: done"]);
    plan(&mut s, "a", 30, 10, Leftover::Ended);
    s.expect([
        "f: inverse rescinded i3",
        "record maintenance/a",
        "f: asked i4 of a from 1030 for 10s",
        "answer: done",
    ]);
    call_off(&mut s, "a");
    s.expect(["delete maintenance/a", "f: inverse rescinded i4", "answer: done"]);
    call_off(&mut s, "a");
    s.expect(["answer: done"]);
    s.idle();
    s.expect(["f: offer o5 of a: cpus:1;mem:64"]);
}

#[test]
fn a_framework_that_comes_back_is_asked_again_and_a_deactivated_agent_stays_so_after_it() {
    let mut s = running();
    plan(&mut s, "a", 20, 10, Leftover::Kept);
    let agent = s.id_of("a");
    s.order(Request::Deactivate { agent });
    s.take_effects();
    s.disconnect("f");
    s.take_effects();
    assert_eq!(shown(&s).1, Vec::<String>::new());
    s.resubscribe("f", "r");
    s.expect([
        "record framework/f",
        "f: subscribed",
        "f: t#1 RUNNING (1)",
        "f: asked i4 of a from 1020 for 10s",
    ]);
    s.wait_beating("a", 30);
    s.take_effects();
    assert_eq!(shown(&s).0, "deactivated");
    s.idle();
    s.expect([]);
}

#[test]
fn a_window_that_cannot_be_is_refused() {
    let mut s = Story::new();
    s.agent("a", "cpus:1;mem:64");
    plan(&mut s, "a", 0, 0, Leftover::Ended);
    s.expect(["answer: refused: maintenance: it lasts for some time, and for ten years at most"]);
    s.wait_beating("a", 5);
    plan(&mut s, "a", 0, 2, Leftover::Ended);
    s.expect(["answer: refused: maintenance: it would be over already"]);
}
