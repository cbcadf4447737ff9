//! Queues: more tasks than fit at once, and recalls.

use super::*;
use skep_protocol::Rejection;

#[test]
fn what_does_not_fit_waits_and_starts_when_an_earlier_task_ends() {
    let mut bench = Bench::warm();
    let effects = bench.launch(1, [spec("a"), spec("b"), spec("c"), spec("d")]);
    assert_eq!(effects.last(), Some(&start([spec("a"), spec("b")])));
    let update = finished("a", 1);
    assert_eq!(bench.report([ended("a")]), [start([spec("c")]), persist(&update), send([update])]);
}

#[test]
fn a_large_task_at_the_head_is_not_overtaken() {
    let mut bench = Bench::warm();
    let large = TaskSpec { resources: granted(), ..spec("large") };
    let effects = bench.launch(1, [spec("a"), large.clone(), spec("small")]);
    assert_eq!(effects.last(), Some(&start([spec("a")])));
    assert_eq!(bench.report([ended("a")])[0], start([large]));
}

#[test]
fn allocations_do_not_share_their_room() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a"), spec("b"), spec("c")]);
    let effects = bench.launch(2, [spec("d")]);
    assert_eq!(effects.last(), Some(&start([spec("d")])));
    assert_eq!(bench.report([ended("d")])[0], persist(&finished("d", 1)));
}

/// A master that was restarted learns from it what the others may have.
#[test]
fn what_an_allocation_may_use_is_told_as_its_last_launch_said() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a"), spec("b")]);
    bench.report([ended("a")]);
    let less = spec("c").resources;
    bench.master(ToAgent::Launch {
        allocation: AllocationId(1),
        framework: framework(),
        role: Role::default(),
        granted: less.clone(),
        tasks: vec![Ok(spec("c"))],
    });
    let effects = bench.act(Input::Connected);
    let Some(Effect::SendMaster(ToMaster::Register(registration))) = effects.last() else {
        panic!("{effects:?} is no registration");
    };
    let unended = registration.tasks.iter().filter(|task| !task.state.is_terminal());
    let granted: Vec<_> = unended.map(|task| (task.key.clone(), task.granted.clone())).collect();
    assert_eq!(granted, [(key("b"), less.clone()), (key("c"), less)]);
}

#[test]
fn a_task_larger_than_its_allocation_is_refused() {
    let mut bench = Bench::warm();
    let asked = Resources::new(Amount::units(3), Amount::units(64));
    let huge = TaskSpec { resources: asked.clone(), ..spec("huge") };
    let (task, offered) = (huge.task.clone(), granted());
    let rejection = Rejection::DoesNotFit { task, asked, offered };
    let refusal = update(key("huge"), 1, over(Outcome::Refused { rejection }), bench.at());
    assert_eq!(
        bench.launch(1, [huge.clone(), spec("b")]),
        [
            accepted(1, 1, huge),
            accepted(1, 2, spec("b")),
            confirmed(["huge", "b"]),
            start([spec("b")]),
            persist(&refusal),
            send([refusal]),
        ]
    );
}

#[test]
fn a_recall_gives_back_what_has_not_started_and_closes_the_allocation() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a"), spec("b"), spec("c"), spec("d")]);
    let recalled = || over(Outcome::Refused { rejection: Rejection::Recalled });
    let (c, d) = ["c", "d"].map(|task| update(key(task), 1, recalled(), bench.at())).into();
    assert_eq!(
        bench.master(ToAgent::Recall { allocation: AllocationId(1) }),
        [persist(&c), persist(&d), send([c, d])]
    );

    let late = bench.launch(1, [spec("late")]);
    let rejection = Rejection::AllocationEnded { allocation: AllocationId(1) };
    let refusal = update(key("late"), 1, over(Outcome::Refused { rejection }), bench.at());
    assert_eq!(late, [refused(1, key("late")), persist(&refusal), send([refusal])]);
}

#[test]
fn of_many_kept_sandboxes_the_oldest_are_removed() {
    let mut bench = Bench::warm();
    // The sandbox of the first task is kept already.
    bench.launch(1, [spec("a"), spec("b"), spec("c")]);
    bench.report([ended("a"), ended("b")]);
    bench.report([ended("c")]);
    let removed = Effect::RemoveSandbox { key: key("first") };
    let forgotten = |task, seq| Effect::Persist(Record::TaskForgotten { key: key(task), seq });
    assert_eq!(bench.acknowledge("a", 1).last(), Some(&forgotten("a", 1)));
    assert_eq!(bench.acknowledge("b", 1).last(), Some(&forgotten("b", 1)));
    assert_eq!(bench.acknowledge("c", 1).last(), Some(&removed));
}

#[test]
fn no_sandbox_is_removed_before_the_end_of_its_task_is_acknowledged() {
    let mut bench = Bench::warm();
    // As many as the agent of these tests holds.
    let tasks: [String; 8] = std::array::from_fn(|number| format!("t{number}"));
    let removes = |effects: &[Effect]| {
        effects.iter().any(|effect| matches!(effect, Effect::RemoveSandbox { .. }))
    };
    for (number, task) in (1..).zip(&tasks) {
        bench.launch(number, [spec(task)]);
        assert!(!removes(&bench.report([ended(task)])), "{task} has just ended");
    }
    assert_eq!(bench.agent.uncollected.len(), 8);
    assert_eq!(bench.agent.sandboxes, [key("first")]);
    // Three are kept for people; with the first that makes four.
    let removed: Vec<usize> =
        (0..8).filter(|task| removes(&bench.acknowledge(&tasks[*task], 1))).collect();
    assert_eq!(removed, (2..8).collect::<Vec<_>>());
    assert_eq!(bench.agent.sandboxes, [key("t5"), key("t6"), key("t7")]);
    assert!(bench.agent.uncollected.is_empty());
}

#[test]
fn a_task_that_wrote_nothing_has_no_sandbox_to_keep() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a")]);
    let silent = Usage { stdout_bytes: 0, ..usage() };
    let (outcome, result) = (Outcome::Exited { code: 0 }, Vec::new());
    bench.report([Report::Ended {
        key: key("a"),
        at: at(0),
        outcome,
        usage: silent,
        result,
        last_words: String::new(),
    }]);
    assert_eq!(bench.agent.sandboxes, [key("first")]);
    assert!(bench.agent.uncollected.is_empty());
}

#[test]
fn sandboxes_of_an_earlier_run_count() {
    let mut bench = Bench::new();
    for task in ["a", "b", "c"] {
        assert_eq!(bench.act(Input::SandboxKept { key: key(task) }), []);
    }
    let effects = bench.act(Input::SandboxKept { key: key("d") });
    assert_eq!(effects, [Effect::RemoveSandbox { key: key("a") }]);
}
