//! Accepting offers: every operation is answered, every refusal has its reason.

use super::kit::{Story, launch, task};
use skep_protocol::{
    Attempt, Digest, Rejection, TaskState,
    bounds::LAUNCH_TASKS_MAX,
    framework::{Call, Filters, Operation, RefusedTask},
    operator,
};

fn offered() -> Story {
    let mut s = Story::new();
    s.framework("f", "r");
    s.agent("a", "cpus:4;mem:4096");
    s.idle();
    s.expect(["f: offer o1 of a: cpus:4;mem:4096"]);
    s
}

#[test]
fn an_accept_sends_the_tasks_to_the_agent_and_is_answered() {
    let mut s = offered();
    s.accept("f", &["o1"], &[task("t", "cpus:1;mem:64"), task("u", "cpus:1;mem:64")]);
    s.expect([
        "a: launch l1 in r within cpus:2;mem:128: f/t#1 f/u#1",
        "f: answered o1.0: launched l1 on a",
    ]);
    s.recorded("a", "f", &["t", "u"]);
    s.expect(["f: accepted by a: t#1 u#1"]);
}

#[test]
fn each_operation_of_an_accept_is_answered_and_gets_what_the_ones_before_left() {
    let mut s = offered();
    let operation = |name| Operation::Launch { tasks: launch(&[task(name, "cpus:3;mem:64")]) };
    let offers = vec![s.names.offer("o1")];
    let operations = vec![operation("t"), operation("u"), Operation::Launch { tasks: vec![] }];
    s.call("f", Call::Accept { offers, operations, filters: Filters::default() });
    s.expect([
        "a: launch l1 in r within cpus:3;mem:64: f/t#1",
        "f: answered o1.0: launched l1 on a",
        "f: answered o1.1: launched l2 on a; refused u#1: \
         task u needs cpus:3;mem:64, but the offer holds cpus:1;mem:4032",
        "f: answered o1.2: rejected: tasks: a launch names at least one task",
    ]);
}

#[test]
fn two_offers_of_one_agent_can_be_used_together() {
    let mut s = offered();
    s.run("f", "o1", "a", &[task("t", "cpus:2;mem:64"), task("u", "cpus:1;mem:64")]);
    s.idle();
    s.expect(["f: offer o2 of a: cpus:1;mem:3968"]);
    s.update("a", "f", "t", 2, super::kit::OK);
    s.idle();
    s.expect(["f: t#1 exited with code 0 (2)", "f: offer o3 of a: cpus:2;mem:64"]);
    s.accept("f", &["o2", "o3"], &[task("v", "cpus:3;mem:4032")]);
    s.expect([
        "a: launch l2 in r within cpus:3;mem:4032: f/v#1",
        "f: answered o2.0: launched l2 on a",
    ]);
}

#[test]
fn an_offer_is_usable_once() {
    let mut s = offered();
    s.run("f", "o1", "a", &[task("t", "cpus:1;mem:64")]);
    s.accept("f", &["o1"], &[task("u", "cpus:1;mem:64")]);
    s.expect(["f: answered o1.0: rejected u#1: \
               offer o1 is no longer valid: it was used, rescinded or expired; wait for another"]);
}

#[test]
fn somebody_elses_offer_cannot_be_used_and_stays_theirs() {
    let mut s = offered();
    s.framework("g", "r");
    s.accept("g", &["o1"], &[task("t", "cpus:1;mem:64")]);
    s.expect(["g: answered o1.0: rejected t#1: \
               offer o1 is no longer valid: it was used, rescinded or expired; wait for another"]);
    s.accept("f", &["o1"], &[task("t", "cpus:1;mem:64")]);
    s.expect([
        "a: launch l1 in r within cpus:1;mem:64: f/t#1",
        "f: answered o1.0: launched l1 on a",
    ]);
}

#[test]
fn offers_that_do_not_go_together_are_used_up_and_answered() {
    let mut s = offered();
    s.agent("b", "cpus:1;mem:1024");
    s.idle();
    s.expect(["f: offer o2 of b: cpus:1;mem:1024"]);
    let rejected = "rejected t#1: the offers of one ACCEPT must be different ones of one agent";
    s.accept("f", &["o1", "o2"], &[task("t", "cpus:1;mem:64")]);
    s.expect([&format!("f: answered o1.0: {rejected}")]);
    s.idle();
    assert_eq!(s.take_effects().len(), 2);
    s.accept("f", &["o3", "o3"], &[task("t", "cpus:1;mem:64")]);
    s.expect([&format!("f: answered o3.0: {rejected}")]);
    s.accept("f", &[], &[task("t", "cpus:1;mem:64")]);
    s.expect([&format!("f: answered enqueue: {rejected}")]);
}

#[test]
fn one_task_that_cannot_be_launched_does_not_hold_up_the_others() {
    let mut s = offered();
    let mut invalid = task("invalid", "cpus:1;mem:64");
    invalid.limits.fuel = Some(0);
    let mut strange = task("strange", "cpus:1;mem:64");
    strange.module = Digest::of(b"not stored");
    let mut no_input = task("no-input", "cpus:1;mem:64");
    no_input.grants.stdin = Some(Digest::of(b"not stored"));
    let missing = format!("blob {} is not stored at the master: push it first", strange.module);
    s.accept(
        "f",
        &["o1"],
        &[
            invalid,
            strange,
            no_input,
            task("large", "cpus:5;mem:64"),
            task("good", "cpus:1;mem:64"),
            task("good#2", "cpus:1;mem:64"),
        ],
    );
    s.expect([
        "a: launch l1 in r within cpus:1;mem:64: f/good#1",
        &[
            "f: answered o1.0: launched l1 on a",
            "refused invalid#1: limits.fuel: no fuel, no run: leave it out for no limit",
            &format!("refused strange#1: {missing}"),
            &format!("refused no-input#1: {missing}"),
            "refused large#1: task large needs cpus:5;mem:64, but the offer holds cpus:4;mem:4096",
            "refused good#2: task good is live already as attempt 1: \
             give another id or a later attempt",
        ]
        .join("; "),
    ]);
}

#[test]
fn a_task_that_could_not_be_read_is_refused_with_the_readers_reason() {
    let mut s = offered();
    let unread = task("t", "cpus:1;mem:64");
    let rejection = Rejection::Unsupported { name: "limit.dreams".into() };
    let refused = RefusedTask { task: unread.task, attempt: Attempt(1), rejection };
    let offers = vec![s.names.offer("o1")];
    let operations = vec![Operation::Launch { tasks: vec![Err(refused)] }];
    s.call("f", Call::Accept { offers, operations, filters: Filters::default() });
    s.expect(["f: answered o1.0: launched l1 on a; refused t#1: \"limit.dreams\" is not known \
               here: the receiver is of an older version, update it"]);
}

#[test]
fn what_the_agent_cannot_enforce_is_not_sent_to_it() {
    let mut s = offered();
    let agent = s.id_of("a");
    let known = s.master.agents.get_mut(&agent).expect("the agent");
    known.info.enforces.retain(|name| name != "limit.fuel");
    let mut limited = task("t", "cpus:1;mem:64");
    limited.limits.fuel = Some(1_000);
    s.accept("f", &["o1"], &[limited, task("u", "cpus:1;mem:64")]);
    s.expect([
        "a: launch l1 in r within cpus:1;mem:64: f/u#1",
        "f: answered o1.0: launched l1 on a; refused t#1: \
         agent a cannot enforce \"limit.fuel\": launch the task on another agent",
    ]);
}

#[test]
fn a_launch_and_an_agent_take_so_many_tasks_and_no_more() {
    let mut s = Story::with(|policy| policy.agent_tasks_max = 2);
    s.framework("f", "r");
    s.agent("a", "cpus:4;mem:4096");
    s.idle();
    s.expect(["f: offer o1 of a: cpus:4;mem:4096"]);
    let three = ["t", "u", "v"].map(|name| task(name, "cpus:1;mem:64"));
    s.accept("f", &["o1"], &three);
    s.expect([
        "a: launch l1 in r within cpus:2;mem:128: f/t#1 f/u#1",
        "f: answered o1.0: launched l1 on a; refused v#1: too many tasks on agent a: at most 2",
    ]);
    let mut s = offered();
    let many: Vec<_> =
        (0..=LAUNCH_TASKS_MAX).map(|n| task(&format!("t{n}"), "cpus:1;mem:64")).collect();
    s.accept("f", &["o1"], &many);
    let answer = s.take_effects().pop().expect("an answer");
    assert!(answer.starts_with("f: answered o1.0: rejected t0#1 t1#1"), "{answer}");
    assert!(answer.ends_with("too many tasks in one launch: at most 1000"), "{answer}");
}

#[test]
fn of_two_tasks_of_one_id_in_a_launch_one_is_launched_and_the_other_refused() {
    let mut s = offered();
    let twice = ["t#1", "t#1", "u#1", "u#2"].map(|name| task(name, "cpus:1;mem:64"));
    s.accept("f", &["o1"], &twice);
    let live = |task, attempt| {
        format!(
            "task {task} is live already as attempt {attempt}: \
             give another id or a later attempt"
        )
    };
    let (t, u) = (live("t", 1), live("u", 1));
    s.expect([
        "a: launch l1 in r within cpus:2;mem:128: f/t#1 f/u#1",
        &format!("f: answered o1.0: launched l1 on a; refused t#1: {t}; refused u#2: {u}"),
    ]);
}

#[test]
fn an_agent_with_as_many_tasks_as_it_may_have_is_offered_when_ends_are_acknowledged() {
    let mut s = Story::with(|policy| policy.agent_tasks_max = 2);
    s.framework("f", "r");
    s.agent("a", "cpus:4;mem:4096");
    s.idle();
    s.expect(["f: offer o1 of a: cpus:4;mem:4096"]);
    s.run("f", "o1", "a", &["t", "u"].map(|name| task(name, "cpus:1;mem:64")));
    s.idle();
    s.expect([]);
    ["t", "u"].iter().for_each(|name| s.update("a", "f", name, 2, super::kit::OK));
    s.take_effects();
    // All of it is free, and what was told is not collected.
    s.wait_beating("a", 60);
    let offers = s.take_effects().iter().filter(|line| line.contains("offer")).count();
    assert_eq!(offers, 0);
    let why = |s: &Story| {
        let framework = s.names.framework("f");
        let request = operator::Request::Why { framework, needs: None };
        match s.master.view(s.now, &request) {
            Some(operator::Response::Why(why)) => why.sentences.join("; "),
            other => panic!("{other:?}"),
        }
    };
    let crowded = "1 agents have as many tasks as they may, 2: of these 2 have ended, and their \
                   frameworks have not acknowledged it";
    assert!(why(&s).contains(crowded), "{}", why(&s));
    s.acknowledge("f", "t", 2);
    s.idle();
    let offers = s.take_effects();
    assert!(offers.iter().any(|line| line.ends_with("of a: cpus:4;mem:4096")), "{offers:?}");
    assert!(!why(&s).contains("as many tasks as they may"), "{}", why(&s));
}

#[test]
fn a_live_id_is_not_used_twice() {
    let mut s = offered();
    s.run("f", "o1", "a", &[task("t#2", "cpus:1;mem:64")]);
    s.idle();
    s.expect(["f: offer o2 of a: cpus:3;mem:4032"]);
    s.accept("f", &["o2"], &[task("t#1", "cpus:1;mem:64"), task("t#3", "cpus:1;mem:64")]);
    let live = "task t is live already as attempt 2: give another id or a later attempt";
    s.expect([&format!(
        "f: answered o2.0: launched l2 on a; refused t#1: {live}; refused t#3: {live}"
    )]);
}

#[test]
fn a_launch_that_is_sent_again_is_answered_as_launched_and_not_launched_twice() {
    let mut s = offered();
    s.accept("f", &["o1"], &[task("t", "cpus:1;mem:64")]);
    s.take_effects();
    s.idle();
    s.expect(["f: offer o2 of a: cpus:3;mem:4032"]);
    s.accept("f", &["o2"], &[task("t", "cpus:1;mem:64")]);
    s.expect(["f: answered o2.0: launched l2 on a"]);
    s.recorded("a", "f", &["t"]);
    s.expect(["f: accepted by a: t#1"]);
    s.wait(5.1);
    s.expect(["f: offer o3 of a: cpus:3;mem:4032"]);
    s.accept("f", &["o3"], &[task("t", "cpus:1;mem:64")]);
    s.expect(["f: answered o3.0: launched l3 on a", "f: accepted by a: t#1"]);
}

#[test]
fn a_later_attempt_replaces_one_that_is_unreachable_and_the_old_one_is_killed_on_return() {
    let mut s = offered();
    let old = task("t", "cpus:1;mem:64");
    s.run("f", "o1", "a", std::slice::from_ref(&old));
    s.idle();
    s.expect(["f: offer o2 of a: cpus:3;mem:4032"]);
    s.disconnect("a");
    s.expect(["f: rescinded o2"]);
    s.wait(5.0);
    s.expect(["f: t#1 UNREACHABLE"]);
    s.agent("b", "cpus:4;mem:4096");
    s.idle();
    s.expect(["f: offer o3 of b: cpus:4;mem:4096"]);
    s.run("f", "o3", "b", &[task("t#2", "cpus:1;mem:64")]);

    let held = s.held("f", &old, "l1", "cpus:1;mem:64", TaskState::Running);
    s.register("a", &[held]);
    s.expect(["a: registered", "a: kill f/t#1 by its newer attempt 2"]);
    // It holds what it uses until it has ended, and nobody hears of it.
    s.idle();
    let mut offers = s.take_effects();
    offers.sort();
    assert_eq!(offers.len(), 2);
    assert!(offers.iter().all(|offer| offer.ends_with("cpus:3;mem:4032")), "{offers:?}");
    s.update("a", "f", "t", 2, super::kit::OK);
    s.expect(["a: acknowledge f/t#1 (2)"]);
    s.idle();
    s.expect(["f: offer o6 of a: cpus:1;mem:64"]);
}
