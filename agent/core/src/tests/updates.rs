//! Status updates: coalesced, kept until acknowledged, sent again.

use super::*;

fn running(task: &str, seq: u64) -> StatusUpdate {
    by_executor(update(key(task), seq, TaskState::Running, at(0)))
}

fn updates_in(effects: Vec<Effect>) -> Vec<Effect> {
    let is_update =
        |effect: &Effect| matches!(effect, Effect::SendMaster(ToMaster::StatusUpdates { .. }));
    effects.into_iter().filter(is_update).collect()
}

#[test]
fn states_passed_through_in_one_input_are_told_as_their_last() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a")]);
    let end = finished("a", 1);
    assert_eq!(bench.report([started("a"), ended("a")]), [persist(&end), send([end])]);
}

#[test]
fn the_updates_of_a_task_are_numbered_in_their_order() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a")]);
    let runs = running("a", 1);
    assert_eq!(bench.report([started("a")]), [persist(&runs), send([runs])]);
    let end = finished("a", 2);
    assert_eq!(bench.report([ended("a")]), [persist(&end), send([end])]);
}

#[test]
fn an_update_is_sent_again_after_ten_seconds_then_after_twice_that() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a")]);
    bench.report([started("a")]);
    for wait in [10, 20, 40] {
        assert_eq!(updates_in(bench.pass(wait - 1)), []);
        assert_eq!(updates_in(bench.pass(1)), [send([running("a", 1)])]);
    }
}

#[test]
fn an_acknowledged_update_is_not_sent_again() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a")]);
    bench.report([started("a")]);
    let acknowledged =
        Record::Acknowledged { key: key("a"), seq: 1, state: Some(TaskState::Running) };
    assert_eq!(bench.acknowledge("a", 1), [Effect::Persist(acknowledged)]);
    assert_eq!(bench.acknowledge("a", 1), []);
    assert_eq!(updates_in(bench.pass(100)), []);
}

#[test]
fn an_acknowledgement_covers_all_earlier_updates_and_the_end_forgets_the_task() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a")]);
    bench.report([started("a")]);
    bench.report([ended("a")]);
    let forgotten = Record::TaskForgotten { key: key("a"), seq: 2 };
    assert_eq!(bench.acknowledge("a", 2), [Effect::Persist(forgotten)]);
    let left: Vec<_> = bench.disk.keys().collect();
    assert_eq!(left, ["agent", "executor/1-1", "incarnation"]);
}

#[test]
fn a_checkpoint_is_recorded_told_and_told_again_until_the_task_is_forgotten() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a")]);
    bench.report([started("a")]);
    let left = |byte| Checkpoint { key: key("a"), bytes: vec![byte] };
    let told = |byte| Effect::SendMaster(ToMaster::Checkpointed { checkpoints: vec![left(byte)] });
    let record = |byte| Effect::Persist(Record::Checkpointed(left(byte)));
    assert_eq!(bench.report([Report::Checkpointed(left(1))]), [record(1), told(1)]);
    // Ahead of the end: the next attempt is to have it.
    let end = finished("a", 2);
    let effects = bench.report([Report::Checkpointed(left(2)), ended("a")]);
    assert_eq!(effects, [record(2), told(2), persist(&end), send([end.clone()])]);
    bench.act(Input::Disconnected);
    bench.act(Input::Connected);
    let effects = bench.master(ToAgent::Registered { agent: agent() });
    assert_eq!(effects[0], told(2));
    assert!(bench.disk.contains_key("task/f1/a#1/checkpoint"));
    bench.acknowledge("a", 2);
    assert!(!bench.disk.contains_key("task/f1/a#1/checkpoint"));
    // Nobody else speaks for a guest.
    let other = Checkpoint { key: key("b"), bytes: vec![1] };
    assert_eq!(bench.report([Report::Checkpointed(other)]), []);
}

#[test]
fn what_was_not_sent_is_not_acknowledged() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a")]);
    assert_eq!(bench.acknowledge("a", 99), []);
    assert_eq!(bench.acknowledge("unknown", 1), []);
}

#[test]
fn updates_made_while_disconnected_are_sent_in_order_after_the_registration() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a"), spec("b")]);
    bench.act(Input::Disconnected);
    assert_eq!(bench.report([started("a")]), [persist(&running("a", 1))]);
    assert_eq!(bench.report([ended("b")]), [persist(&finished("b", 1))]);
    bench.report([ended("a")]);
    assert_eq!(bench.admit(), [send([running("a", 1), finished("a", 2), finished("b", 1)])]);
}

#[test]
fn large_updates_are_sent_in_several_frames() {
    let mut bench = Bench::new();
    bench.have_module();
    bench.admit();
    let names = ["1", "2", "3", "4", "5", "6", "7", "8"];
    bench.launch(
        1,
        names.map(|task| {
            let resources = Resources::new(Amount::millis(1), Amount::millis(1));
            TaskSpec { resources, ..spec(task) }
        }),
    );
    bench.act(executor_ready());
    let effects = bench.report(names.map(|task| Report::Ended {
        key: key(task),
        at: at(0),
        outcome: Outcome::Exited { code: 0 },
        usage: usage(),
        result: vec![1; 500 << 10],
        last_words: String::new(),
    }));
    assert_eq!(updates_in(effects).len(), 2);
}
