//! What a new run of the agent makes of what earlier ones left.

use super::*;
use skep_protocol::{Incarnation, Outcome, outcome::LostBy};

/// A new run on the disk of another.
fn restarted(bench: Bench) -> Bench {
    let mut next = Bench::with(policy(), bench.disk).0;
    next.now = bench.now;
    next
}

fn lost(task: &str, seq: u64, at: Time) -> StatusUpdate {
    update(key(task), seq, over(Outcome::Lost { why: LostBy::AgentRestarted }), at)
}

#[test]
fn every_run_has_a_higher_incarnation_and_the_same_name() {
    let first = Bench::admitted();
    let (mut second, effects) = Bench::with(policy(), first.disk);
    assert_eq!(effects, [Effect::Persist(Record::Incarnation(Incarnation(2)))]);
    assert_eq!(second.admit(), []);
}

#[test]
fn tasks_that_had_not_ended_are_lost_and_those_that_had_are_told_again() {
    let mut first = Bench::warm();
    first.launch(1, [spec("a"), spec("b"), spec("queued")]);
    first.report([started("a")]);
    first.report([ended("b")]);
    let mut second = restarted(first);
    let (a, queued) = (lost("a", 2, second.at()), lost("queued", 1, second.at()));
    let effects = second.act(Input::Connected);
    assert_eq!(effects[..2], [persist(&a), persist(&queued)]);
    let Effect::SendMaster(ToMaster::Register(registration)) = &effects[2] else {
        panic!("{:?} is no registration", effects[2]);
    };
    assert!(registration.tasks.iter().all(|task| task.state.is_terminal()));

    let runs = by_executor(update(key("a"), 1, TaskState::Running, at(0)));
    assert_eq!(
        second.master(ToAgent::Registered { agent: agent() }),
        [send([runs, a, finished("b", 1), queued])]
    );
}

#[test]
fn numbers_go_on_behind_what_was_acknowledged_before_the_restart() {
    let mut first = Bench::warm();
    first.launch(1, [spec("a")]);
    first.report([started("a")]);
    first.acknowledge("a", 1);
    let mut second = restarted(first);
    let a = lost("a", 2, second.at());
    assert_eq!(second.act(Input::Connected)[0], persist(&a));
}

#[test]
fn a_lost_task_is_reported_once_however_often_the_agent_restarts() {
    let mut first = Bench::warm();
    first.launch(1, [spec("a")]);
    let mut second = restarted(first);
    second.act(Input::Connected);
    let at = second.at();
    let mut third = restarted(second);
    third.wait(5);
    assert_eq!(third.admit(), [send([lost("a", 1, at)])]);
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
}
