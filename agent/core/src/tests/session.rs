//! Registering, beats, refusals and the orderly stop.

use super::*;
use crate::ExitReason;
use skep_protocol::{
    Incarnation, Rejection,
    agent::{HeldTask, Registration},
    outcome::KilledBy,
};

fn register(incarnation: u64, connection: u64, tasks: Vec<HeldTask>) -> Effect {
    let incarnation = Incarnation(incarnation);
    Effect::SendMaster(ToMaster::Register(Registration {
        incarnation,
        run: 7,
        connection,
        info: info(),
        tasks,
        volumes: Vec::new(),
    }))
}

fn held(task: &str, state: TaskState) -> HeldTask {
    HeldTask {
        terms: Terms::Regular,
        key: key(task),
        role: Role::default(),
        allocation: AllocationId(1),
        granted: granted(),
        resources: spec(task).resources,
        name: task.into(),
        state,
        volumes: Vec::new(),
        lost_after: None,
    }
}

fn kill_by_stop(task: &str) -> Effect {
    let message = ToExecutor::Kill { key: key(task), by: KilledBy::AgentStopped };
    Effect::SendExecutor { executor: executor(), message }
}

#[test]
fn a_new_agent_registers_and_records_the_name_that_the_master_gives_it() {
    let (mut bench, effects) = Bench::with(policy(), BTreeMap::new());
    assert_eq!(effects, [Effect::Persist(Record::Incarnation(Incarnation(1)))]);
    assert_eq!(bench.act(Input::Connected), [register(1, 1, vec![])]);
    let named = Record::AgentNamed { agent: agent() };
    let registered = ToAgent::Registered { agent: agent() };
    assert_eq!(bench.master(registered.clone()), [Effect::Persist(named)]);

    bench.act(Input::Disconnected);
    assert_eq!(bench.act(Input::Connected), [register(1, 2, vec![])]);
    assert_eq!(bench.master(registered), []);
}

#[test]
fn a_registration_names_what_the_agent_holds() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("runs"), spec("sent"), spec("waits")]);
    bench.report([started("runs")]);
    let held_tasks = vec![
        held("runs", TaskState::Running),
        held("sent", TaskState::Starting),
        held("waits", TaskState::Staging),
    ];
    assert_eq!(bench.act(Input::Connected), [register(1, 2, held_tasks)]);
}

#[test]
fn a_registration_leaves_the_sentences_to_the_updates() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a")]);
    bench.report([ended_with("a", Outcome::Failed { why: "a long story".into() })]);
    let brief = over(Outcome::Failed { why: String::new() });
    assert_eq!(bench.act(Input::Connected), [register(1, 2, vec![held("a", brief)])]);
}

#[test]
fn orders_before_the_registration_are_not_heard() {
    let mut bench = Bench::new();
    bench.act(Input::Connected);
    assert_eq!(bench.launch(1, [spec("t")]), []);
}

#[test]
fn a_registered_agent_beats_every_second_with_the_inputs_it_handled() {
    let mut bench = Bench::new();
    bench.admit();
    let beat = |inputs, acknowledged| {
        Effect::SendMaster(ToMaster::Beat { inputs, unsaved_millis: 0, acknowledged })
    };
    assert_eq!(bench.pass(2), [beat(3, 0), beat(4, 0)]);
    let acknowledge = |number| ToAgent::Acknowledge { number, acknowledgements: Vec::new() };
    bench.master(acknowledge(2));
    bench.master(acknowledge(1));
    assert_eq!(bench.pass(1), [beat(7, 2)]);
    // On another connection they are counted anew: what came on this one may not have.
    bench.act(Input::Disconnected);
    bench.admit();
    assert_eq!(bench.pass(1), [beat(11, 0)]);
    bench.act(Input::Disconnected);
    assert_eq!(bench.agent.deadline(), None);
}

#[test]
fn an_agent_that_is_refused_for_good_exits_with_the_masters_sentence() {
    let mut bench = Bench::new();
    bench.act(Input::Connected);
    let rejection = Rejection::DuplicateAgent { agent: agent() };
    let effects = bench.master(ToAgent::Refused { rejection: rejection.clone() });
    assert_eq!(effects, [Effect::Exit { why: ExitReason::Refused { rejection } }]);
}

#[test]
fn an_agent_that_is_refused_for_now_connects_again() {
    let mut bench = Bench::new();
    bench.act(Input::Connected);
    let rejection = Rejection::Violation { why: "not now".into() };
    assert_eq!(bench.master(ToAgent::Refused { rejection }), [Effect::Reconnect]);
}

#[test]
fn an_orderly_stop_kills_all_tasks_reports_them_and_exits() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("runs"), spec("too"), spec("waits")]);
    bench.report([started("runs")]);
    let by = KilledBy::AgentStopped;
    let waited = update(key("waits"), 1, over(Outcome::Killed { by: by.clone() }), bench.at());
    assert_eq!(
        bench.act(Input::Stop),
        [kill_by_stop("runs"), kill_by_stop("too"), persist(&waited), send([waited])]
    );

    let killed = Outcome::Killed { by };
    bench.report([ended_with("runs", killed.clone())]);
    let last = by_executor(update(key("too"), 1, over(killed.clone()), at(0)));
    let exit = Effect::Exit { why: ExitReason::Stopped };
    assert_eq!(bench.report([ended_with("too", killed)]), [persist(&last), send([last]), exit]);
}

#[test]
fn an_orderly_stop_does_not_wait_for_ever() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("deaf")]);
    assert_eq!(bench.act(Input::Stop), [kill_by_stop("deaf")]);
    let effects = bench.pass(policy().stop_max.as_secs());
    assert_eq!(effects.last(), Some(&Effect::Exit { why: ExitReason::Stopped }));
}

#[test]
fn a_stopping_agent_takes_no_tasks() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("runs")]);
    bench.act(Input::Stop);
    let effects = bench.launch(2, [spec("late")]);
    let what = "the agent is stopping; launch the task on another".into();
    let outcome = Outcome::Refused { rejection: Rejection::NotAllowed { what } };
    let refusal = update(key("late"), 1, over(outcome), bench.at());
    assert_eq!(effects, [refused(2, key("late")), persist(&refusal), send([refusal])]);
}
