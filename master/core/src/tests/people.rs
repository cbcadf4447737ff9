//! What people order and what they are shown.

use super::kit::{OK, Story, task};
use skep_protocol::{
    TaskId, TaskState,
    framework::Call,
    operator::{
        Ended, PeerKind, Request, Response,
        view::{RoleView, StatusView, TaskView},
    },
};
use std::{collections::BTreeMap, time::Duration};

fn running() -> Story {
    let mut s = Story::new();
    s.framework("f", "r");
    s.agent("a", "cpus:4;mem:128");
    s.idle();
    s.expect(["f: offer o1 of a: cpus:4;mem:128"]);
    s.run("f", "o1", "a", &[task("t", "cpus:1;mem:64")]);
    s
}

fn status(s: &Story) -> StatusView {
    match s.master.view(s.now, &Request::Status) {
        Some(Response::Status(status)) => status,
        other => panic!("{other:?} is no status"),
    }
}

fn tasks(s: &Story, ended: Ended) -> Vec<TaskView> {
    let request = Request::Tasks { framework: None, task: None, ended };
    match s.master.view(s.now, &request) {
        Some(Response::Tasks(views)) => views.tasks,
        other => panic!("{other:?} are no tasks"),
    }
}

fn kill(name: &str) -> Request {
    Request::Kill { framework: None, task: TaskId::new(name).expect("a task id") }
}

#[test]
fn an_operator_can_end_a_task() {
    let mut s = running();
    s.order(kill("t"));
    s.expect(["a: kill f/t#1 by an operator", "answer: done"]);
    s.order(kill("u"));
    s.expect(["answer: refused: task u is not known"]);
    s.update("a", "f", "t", 2, OK);
    s.take_effects();
    for _ in 0..2 {
        s.order(kill("t"));
        s.expect(["answer: refused: task: f/t#1 has ended already"]);
        s.acknowledge("f", "t", 2);
        s.take_effects();
    }
}

#[test]
fn an_operator_must_say_whose_task_if_two_have_one() {
    let mut s = running();
    s.framework("g", "r");
    s.idle();
    s.expect(["g: offer o2 of a: cpus:3;mem:64"]);
    s.run("g", "o2", "a", &[task("t", "cpus:1;mem:64")]);
    s.order(kill("t"));
    let answer = s.take_effects().pop().expect("an answer");
    assert!(answer.ends_with("and perhaps others have a task t: name one"), "{answer}");
    let framework = Some(s.names.framework("g"));
    s.order(Request::Kill { framework, task: TaskId::new("t").expect("a task id") });
    s.expect(["a: kill g/t#1 by an operator", "answer: done"]);
}

#[test]
fn a_view_can_be_ordered_and_a_token_cannot() {
    let mut s = Story::new();
    s.order(Request::Offers);
    s.expect(["answer: Offers(OfferViews { offers: [] })"]);
    let ttl = Duration::from_secs(1);
    s.order(Request::CreateToken { kind: PeerKind::Agent, uses: 1, ttl });
    s.expect(["answer: refused: not allowed: making a token: it needs a secret, \
               which the master's shell makes"]);
    assert_eq!(s.master.view(s.now, &kill("t")), None);
}

#[test]
fn weights_are_bounded_in_number() {
    let mut s = Story::with(|policy| policy.roles_max = 1);
    s.weigh("r", 2_000);
    s.weigh("r", 3_000);
    let role = skep_protocol::Role::new("q").expect("a role");
    let weight = skep_protocol::operator::Weight::ONE;
    s.order(Request::SetRole { role, weight });
    s.expect(["answer: refused: too many roles with a weight: at most 1"]);
}

#[test]
fn tasks_are_shown_live_or_ended_with_what_they_used() {
    let mut s = running();
    let [view] = &tasks(&s, Ended::Left)[..] else { panic!("one task runs") };
    assert_eq!((view.state.as_str(), view.reason.as_str()), ("RUNNING", ""));
    assert_eq!((view.task.as_str(), view.attempt, view.role.as_str()), ("t", 1, "r"));
    assert_eq!(view.resources, BTreeMap::from([("cpus".into(), 1.0), ("mem".into(), 64.0)]));
    s.update("a", "f", "t", 2, OK);
    s.take_effects();
    for _ in 0..2 {
        assert_eq!(tasks(&s, Ended::Left), []);
        let [view] = &tasks(&s, Ended::Listed)[..] else { panic!("one task has ended") };
        assert_eq!((view.state.as_str(), view.exit_code), ("FINISHED", Some(0)));
        assert_eq!((view.reason.as_str(), view.fuel), ("exited with code 0", Some(0)));
        s.acknowledge("f", "t", 2);
        s.take_effects();
    }
}

#[test]
fn a_role_is_shown_with_its_dominant_share() {
    let s = running();
    let Some(Response::Roles(views)) = s.master.view(s.now, &Request::Roles) else {
        panic!("no roles");
    };
    let allocated = BTreeMap::from([("cpus".into(), 1.0), ("mem".into(), 64.0)]);
    let view = RoleView {
        role: "r".into(),
        weight: 1.0,
        share: 0.5,
        weighted_share: 0.5,
        dominant: "mem".into(),
        consumed: allocated.clone(),
        allocated,
        frameworks: 1,
        ..RoleView::default()
    };
    assert_eq!(views.roles, [view]);
}

#[test]
fn agents_frameworks_and_offers_are_shown_as_they_are() {
    let mut s = running();
    s.idle();
    s.expect(["f: offer o2 of a: cpus:3;mem:64"]);
    s.admit_agent("b", "cpus:1;mem:64");
    let Some(Response::Agents(views)) = s.master.view(s.now, &Request::Agents) else {
        panic!("no agents");
    };
    let mut agents: Vec<_> = views
        .agents
        .iter()
        .map(|a| (a.hostname.as_str(), a.state.as_str(), a.tasks, a.offered.len()))
        .collect();
    agents.sort_unstable();
    assert_eq!(agents, [("b", "disconnected", 0, 0), ("host-of-a", "connected", 1, 2)]);
    let Some(Response::Frameworks(views)) = s.master.view(s.now, &Request::Frameworks) else {
        panic!("no frameworks");
    };
    let [view] = &views.frameworks[..] else { panic!("one framework") };
    assert_eq!((view.state.as_str(), view.principal.as_str(), view.tasks), ("connected", "me", 1));
    assert_eq!(view.failover_timeout_seconds, 60);
    let Some(Response::Offers(views)) =
        s.master.view(s.now + Duration::from_secs(1), &Request::Offers)
    else {
        panic!("no offers");
    };
    let [view] = &views.offers[..] else { panic!("one offer") };
    assert_eq!((view.age_micros, view.expires_in_micros), (1_000_000, 29_000_000));
}

#[test]
fn usable_tokens_are_shown() {
    let mut s = Story::new();
    s.agent("a", "cpus:1;mem:64");
    let shown = |s: &Story| match s.master.view(s.now, &Request::Tokens) {
        Some(Response::Tokens(views)) => views.tokens.len(),
        other => panic!("{other:?} are no tokens"),
    };
    assert_eq!(shown(&s), 0, "the token of a is used up");
    let request = s.request();
    let secret = skep_protocol::Digest::of(b"secret");
    let (id, kind) = ("t".into(), PeerKind::Operator);
    let ttl = Duration::from_secs(60);
    s.feed(crate::Input::CreateToken { request, id, secret, kind, uses: 1, ttl });
    s.take_effects();
    assert_eq!(shown(&s), 1);
}

#[test]
fn the_status_says_in_a_sentence_why_nothing_runs() {
    let mut s = Story::new();
    let says = |s: &Story, expected: &str| assert_eq!(status(s).summary, expected);
    says(
        &s,
        "no agent has joined: make a token with `skep token create --role agent`, \
         then start an agent with it",
    );
    s.agent("a", "cpus:4;mem:128");
    says(&s, "no framework has subscribed: nobody asks for work to be done");
    s.framework("f", "r");
    says(&s, "offers are about to be made");
    s.idle();
    s.expect(["f: offer o1 of a: cpus:4;mem:128"]);
    says(&s, "1 framework holds offers that it has not answered");
    s.decline("f", &["o1"], super::kit::refuse(60.0));
    s.idle();
    says(&s, "every framework has declined what is free");
    s.call("f", Call::Suppress { roles: [].into() });
    says(&s, "every connected framework has suppressed its offers: it has nothing to run");
    s.call("f", Call::Revive { roles: [].into() });
    s.idle();
    s.expect(["f: offer o2 of a: cpus:4;mem:128"]);
    s.accept("f", &["o2"], &[task("t", "cpus:1;mem:64")]);
    s.take_effects();
    says(&s, "1 task is on its way");
    s.update("a", "f", "t", 1, TaskState::Running);
    s.take_effects();
    says(&s, "1 task runs, 0 wait");
    s.disconnect("a");
    says(&s, "1 task runs, 0 wait");
    s.wait(5.0);
    s.take_effects();
    says(&s, "no agent is connected; 1 known");
    assert_eq!(status(&s).tasks_unreachable, 1);
    s.agent("b", "cpus:0.001;mem:1");
    says(&s, "no agent has anything left that is worth an offer");
    s.disconnect("f");
    s.take_effects();
    says(&s, "no framework is connected; 1 may come back");
}

#[test]
fn an_operator_cannot_end_what_its_framework_knows_as_lost() {
    let mut s = running();
    let t = s.held("f", &task("t", "cpus:1;mem:64"), "l1", "cpus:1;mem:64", TaskState::Running);
    s.disconnect("a");
    s.wait(600.0);
    s.register("a", &[t]);
    s.take_effects();
    s.order(kill("t"));
    s.expect(["answer: refused: task: f/t#1 has ended already"]);
}
