//! What a new run of the agent makes of what earlier ones left.

use super::*;
use crate::Gone;
use skep_protocol::{
    Outcome, Rejection,
    executor::{GuestStage, HeldGuest},
    outcome::{KilledBy, LostBy},
};

/// A new run on the disk of another.
fn restarted(bench: Bench) -> Bench {
    let mut next = Bench::with(policy(), bench.disk).0;
    next.now = bench.now;
    next
}

/// A new run that has the module, on the disk of another, and looks for its executor.
fn back(bench: Bench) -> Bench {
    let mut next = restarted(bench);
    next.have_module();
    assert_eq!(next.act(Input::Tick), [adopt_executor()]);
    next.admit();
    next
}

/// An agent whose executor runs `a`, was told to start `b`, and which has two more in the queue.
fn at_work() -> Bench {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a"), spec("b"), spec("c"), spec("d")]);
    bench.report([started("a")]);
    bench.acknowledge("a", 1);
    bench
}

fn adopt_executor() -> Effect {
    Effect::AdoptExecutor { executor: executor(), run: run(1) }
}

fn has<const N: usize>(guests: [(&str, GuestStage); N]) -> Input {
    let guests = guests.map(|(task, stage)| HeldGuest { key: key(task), stage, paused: false });
    Input::ExecutorReady { executor: executor(), guests: guests.into() }
}

fn a_and_b() -> Input {
    has([("a", GuestStage::Running), ("b", GuestStage::Starting)])
}

fn gone(how: Gone) -> Input {
    Input::ExecutorGone { executor: executor(), how }
}

fn kill(task: &str) -> ToAgent {
    let TaskKey { framework, task, attempt } = key(task);
    ToAgent::Kill { framework, task, attempt, by: KilledBy::Framework }
}

fn order_kill(task: &str, by: KilledBy) -> Effect {
    Effect::SendExecutor { executor: executor(), message: ToExecutor::Kill { key: key(task), by } }
}

fn acknowledged(batch: u64) -> Effect {
    Effect::SendExecutor { executor: executor(), message: ToExecutor::Acknowledge { batch } }
}

fn lost(task: &str, seq: u64, why: LostBy, at: Time) -> StatusUpdate {
    update(key(task), seq, over(Outcome::Lost { why }), at)
}

#[test]
fn every_run_has_a_higher_incarnation_and_the_same_name() {
    let first = Bench::admitted();
    let (mut second, effects) = Bench::with(policy(), first.disk);
    assert_eq!(effects, [Effect::Persist(Record::Incarnation(Incarnation(2)))]);
    assert_eq!(second.admit(), []);
}

#[test]
fn a_new_run_looks_for_the_executors_of_the_last_before_it_is_asked_anything() {
    let mut second = restarted(at_work());
    second.have_module();
    assert_eq!(second.agent.deadline(), Some(Time::ZERO));
    assert_eq!(second.act(Input::Tick), [adopt_executor()]);
}

#[test]
fn tasks_do_not_notice_that_their_agent_was_started_anew() {
    let mut second = back(at_work());
    // They go on, and nobody starts beside them.
    assert_eq!(second.act(a_and_b()), []);
    // What was reported and not acknowledged comes again.
    let b = by_executor(update(key("b"), 1, TaskState::Running, at(0)));
    let reports = vec![started("b")];
    assert_eq!(
        second.act(Input::Reports { executor: executor(), batch: 7, reports }),
        [persist(&b), send([b]), acknowledged(7)]
    );
    let a = finished("a", 2);
    assert_eq!(second.report([ended("a")]), [start([spec("c")]), persist(&a), send([a])]);
}

#[test]
fn a_report_that_was_recorded_before_the_restart_is_acknowledged_and_not_doubled() {
    let mut first = at_work();
    first.report([ended("a")]);
    let mut second = restarted(first);
    second.have_module();
    second.act(Input::Tick);
    second.admit();
    second.act(has([("b", GuestStage::Starting), ("c", GuestStage::Starting)]));
    let reports = vec![ended("a")];
    assert_eq!(
        second.act(Input::Reports { executor: executor(), batch: 3, reports }),
        [acknowledged(3)]
    );
}

#[test]
fn what_the_executor_was_never_told_to_start_starts_in_its_turn() {
    let mut second = back(at_work());
    let starts = second.act(has([("b", GuestStage::Starting)]));
    assert_eq!(starts, [start([spec("a")])]);
}

#[test]
fn nobody_new_starts_before_it_is_known_what_runs() {
    let mut second = back(at_work());
    let effects = second.launch(1, [spec("e")]);
    assert_eq!(effects, [accepted(1, 5, spec("e")), confirmed(["e"])]);
    assert_eq!(second.act(a_and_b()), []);
}

#[test]
fn tasks_of_an_executor_that_ended_meanwhile_are_lost() {
    let mut second = back(at_work());
    let lost = |task, seq| lost(task, seq, LostBy::ExecutorEnded, second.now);
    let updates = [lost("a", 2), lost("b", 1), lost("c", 1), lost("d", 1)];
    let mut expected: Vec<Effect> = updates.iter().map(persist).collect();
    expected.push(send(updates));
    expected.extend(executor_over(1));
    assert_eq!(second.act(gone(Gone::Ended)), expected);
}

#[test]
fn tasks_of_a_machine_that_was_started_anew_are_lost_to_that() {
    let mut second = back(at_work());
    let a = lost("a", 2, LostBy::NodeRebooted, second.now);
    assert_eq!(second.act(gone(Gone::Rebooted))[0], persist(&a));
}

#[test]
fn tasks_of_an_executor_that_never_got_ready_start_in_another() {
    let mut first = Bench::admitted();
    first.launch(1, [spec("a")]);
    let mut second = back(first);
    let effects = second.act(gone(Gone::Unready));
    assert_eq!(effects[..2], executor_over(1));
    let run = ExecutorRun { incarnation: Incarnation(2), count: 1 };
    assert_eq!(effects[3..], [Effect::StartExecutor { executor: executor(), run }]);
    // That it is starting was told already.
    assert_eq!(second.act(executor_ready()), [start([spec("a")])]);
}

#[test]
fn an_executor_that_does_not_answer_is_stopped_and_its_tasks_are_lost() {
    let mut second = back(at_work());
    let effects = second.pass(policy().executor_ready_max.as_secs());
    assert!(effects.contains(&stop_executor()), "{effects:?}");
    assert_eq!(second.act(a_and_b()), []);
    let over = second.act(Input::ExecutorEnded { executor: executor(), why: "killed".into() });
    assert_eq!(over[0], persist(&lost("a", 2, LostBy::ExecutorEnded, second.now)));
}

#[test]
fn what_is_ordered_meanwhile_is_done_when_it_is_known_who_has_the_task() {
    let mut second = back(at_work());
    assert_eq!(second.master(kill("a")), []);
    assert_eq!(second.master(kill("c")), []);
    assert_eq!(second.master(ToAgent::Recall { allocation: AllocationId(1) }), []);
    let effects = second.act(a_and_b());
    assert_eq!(effects[0], order_kill("a", KilledBy::Framework));
    let killed = over(Outcome::Killed { by: KilledBy::Framework });
    let recalled = over(Outcome::Refused { rejection: Rejection::Recalled });
    let c = update(key("c"), 1, killed, second.now);
    let d = update(key("d"), 1, recalled, second.now);
    assert_eq!(effects[1..], [persist(&c), persist(&d), send([c, d])]);
}

#[test]
fn a_guest_that_is_no_task_any_more_is_ended() {
    let mut second = back(at_work());
    let effects = second.act(has([
        ("a", GuestStage::Running),
        ("b", GuestStage::Starting),
        ("first", GuestStage::Running),
    ]));
    assert_eq!(effects, [order_kill("first", KilledBy::AgentStopped)]);
}

#[test]
fn a_paused_guest_goes_on() {
    let mut second = back(at_work());
    let message = ToExecutor::Resume { key: key("a") };
    let held = |task, paused| HeldGuest { key: key(task), stage: GuestStage::Running, paused };
    let guests = vec![held("a", true), held("b", false)];
    assert_eq!(
        second.act(Input::ExecutorReady { executor: executor(), guests }),
        [Effect::SendExecutor { executor: executor(), message }]
    );
}

#[test]
fn guests_of_a_removed_framework_are_waited_for_though_nobody_knows_them() {
    let mut second = back(at_work());
    let effects = second.master(ToAgent::RemoveFramework { framework: framework() });
    assert_eq!(effects[0], stop_executor());
    assert_eq!(second.act(a_and_b()), []);
    let over = second.act(Input::ExecutorEnded { executor: executor(), why: "told to".into() });
    assert_eq!(over, executor_over(1));
}

#[test]
fn a_lost_task_is_reported_once_however_often_the_agent_restarts() {
    let mut second = back(at_work());
    second.act(gone(Gone::Ended));
    let at = second.at();
    let mut third = restarted(second);
    third.wait(5);
    let lost = |task, seq| lost(task, seq, LostBy::ExecutorEnded, at);
    let all = [lost("a", 2), lost("b", 1), lost("c", 1), lost("d", 1)];
    assert_eq!(third.admit(), [send(all)]);
}

#[test]
fn the_sandbox_of_a_task_that_runs_on_is_not_removed() {
    let mut second = restarted(at_work());
    second.act(Input::SandboxKept { key: key("a") });
    for other in ["w", "x", "y"] {
        assert_eq!(second.act(Input::SandboxKept { key: key(other) }), []);
    }
    let w = Effect::RemoveSandbox { key: key("w") };
    assert_eq!(second.act(Input::SandboxKept { key: key("z") }), [w]);
}

#[test]
fn a_sandbox_that_is_found_is_kept_until_the_end_of_its_task_is_acknowledged() {
    let mut first = at_work();
    first.report([ended("a")]);
    let mut second = restarted(first);
    second.act(Input::SandboxKept { key: key("a") });
    assert_eq!((second.agent.uncollected.len(), second.agent.sandboxes.len()), (1, 0));
    for other in ["v", "w", "x", "y", "z"] {
        let removes = |effect: &Effect| *effect == Effect::RemoveSandbox { key: key("a") };
        assert!(!second.act(Input::SandboxKept { key: key(other) }).iter().any(removes));
    }
    second.admit();
    second.acknowledge("a", 2);
    assert!(second.agent.uncollected.is_empty());
    assert_eq!(second.agent.sandboxes.back(), Some(&key("a")), "now it is one of those kept");
}

#[test]
fn records_survive_their_json() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a"), spec("b"), spec("c")]);
    bench.report([started("a"), ended("b")]);
    bench.acknowledge("a", 1);
    for record in bench.disk.values() {
        let json = serde_json::to_string(record).expect("a record is JSON");
        assert_eq!(&serde_json::from_str::<Record>(&json).expect("a record"), record);
    }
    let row = &bench.disk["task/f1/b#1/00000000000000000001"];
    let golden = concat!(
        r#"{"updated":{"key":{"framework":"f1","task":"b","attempt":1},"seq":1,"agent":"a1","#,
        r#""state":{"ended":{"outcome":"exited","code":0}},"source":"executor","at":1000000000,"#,
        r#""usage":{"fuel":100,"stdout_bytes":5}}}"#,
    );
    assert_eq!(serde_json::to_string(row).expect("a record is JSON"), golden);
    let golden = concat!(
        r#"{"executor_started":{"run":{"incarnation":1,"count":1},"executor":{"framework":"f1","#,
        r#""profile":{"network":"closed","dirs":{}}}}}"#,
    );
    let row = serde_json::to_string(&bench.disk["executor/1-1"]).expect("a record is JSON");
    assert_eq!(row, golden);
}

#[test]
fn until_its_executor_has_answered_a_task_is_where_it_was_told_to_be() {
    let mut second = restarted(at_work());
    second.act(Input::Tick);
    let effects = second.act(Input::Connected);
    let [Effect::SendMaster(ToMaster::Register(registration))] = &effects[..] else {
        panic!("a registration, not {effects:?}")
    };
    // That `a` runs is acknowledged, and is not told again.
    let states = registration.tasks.iter().map(|held| (held.key.task.as_str(), &held.state));
    let (running, starting) = (&TaskState::Running, &TaskState::Starting);
    let expected = [("a", running), ("b", starting), ("c", starting), ("d", starting)];
    assert_eq!(states.collect::<Vec<_>>(), expected);
}
