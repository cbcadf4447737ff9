//! Executors: started when needed, replaced when they end, stopped when idle.

use super::*;
use skep_protocol::outcome::{LostBy, Progress, TaskMessage};

fn executor_ended() -> Input {
    Input::ExecutorEnded { executor: executor(), why: "exit status 1".into() }
}

/// The executor that was started as this one ended, and is started again.
fn again(count: u64) -> Vec<Effect> {
    [executor_over(count), start_executor(count + 1)].concat()
}

#[test]
fn the_first_task_of_a_framework_starts_its_executor_and_waits_for_it() {
    let mut bench = Bench::admitted();
    let (a, b) = ["a", "b"].map(|t| update(key(t), 1, TaskState::Starting, bench.at())).into();
    let [started, starts] = start_executor(1);
    assert_eq!(
        bench.launch(1, [spec("a"), spec("b")]),
        [
            accepted(1, 0, spec("a")),
            accepted(1, 1, spec("b")),
            confirmed(["a", "b"]),
            started,
            starts,
            persist(&a),
            persist(&b),
            send([a, b]),
        ]
    );
    assert_eq!(bench.act(executor_ready()), [start([spec("a"), spec("b")])]);
}

#[test]
fn an_executor_that_ends_loses_its_guests_and_the_next_task_starts_another() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a"), spec("b"), spec("queued")]);
    bench.report([started("a")]);
    let lost = || over(Outcome::Lost { why: LostBy::ExecutorEnded });
    let a = update(key("a"), 2, lost(), bench.at());
    let b = update(key("b"), 1, lost(), bench.at());
    let queued = update(key("queued"), 1, TaskState::Starting, bench.at());
    let lost = vec![persist(&a), persist(&b), send([a, b])];
    let waits = vec![persist(&queued), send([queued])];
    assert_eq!(
        bench.act(executor_ended()),
        [lost, executor_over(1).into(), start_executor(2).into(), waits].concat()
    );
    assert_eq!(bench.act(executor_ready()), [start([spec("queued")])]);
}

#[test]
fn an_executor_that_never_gets_ready_fails_the_tasks_that_wait_after_three_tries() {
    let mut bench = Bench::admitted();
    bench.launch(1, [spec("a")]);
    for n in [1, 2] {
        assert_eq!(bench.act(executor_ended()), again(n));
    }
    let why = "the executor did not start: exit status 1".into();
    let failed = update(key("a"), 2, over(Outcome::Failed { why }), bench.at());
    let told = vec![persist(&failed), send([failed])];
    assert_eq!(bench.act(executor_ended()), [executor_over(3).into(), told].concat());
}

#[test]
fn an_executor_that_takes_too_long_to_get_ready_is_stopped_and_started_again() {
    let mut bench = Bench::admitted();
    bench.launch(1, [spec("a")]);
    let effects = bench.pass(policy().executor_ready_max.as_secs());
    assert!(effects.contains(&stop_executor()));
    assert_eq!(bench.act(executor_ready()), []);
    assert_eq!(bench.act(executor_ended()), again(1));
}

#[test]
fn an_idle_executor_is_stopped_and_a_later_task_starts_another() {
    let mut bench = Bench::warm();
    let idle = policy().executor_idle_max.as_secs();
    assert!(!bench.pass(idle - 1).contains(&stop_executor()));
    assert!(bench.pass(1).contains(&stop_executor()));

    bench.launch(1, [spec("a")]);
    assert_eq!(bench.act(executor_ended()), again(1));
    assert_eq!(bench.act(executor_ready()), [start([spec("a")])]);
}

/// Its resources are given to others as soon as it is removed.
#[test]
fn nobody_starts_before_the_guests_of_a_removed_framework_are_gone() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a")]);
    let effects = bench.master(ToAgent::RemoveFramework { framework: framework() });
    assert_eq!(effects[0], stop_executor());

    let other = || FrameworkId::new("f2").expect("an id");
    let launch = ToAgent::Launch {
        allocation: AllocationId(2),
        framework: other(),
        role: Role::default(),
        granted: granted(),
        tasks: vec![Ok(spec("b"))],
    };
    let effects = bench.master(launch);
    let executor = executor_of(other());
    assert!(effects.contains(&Effect::StartExecutor { executor: executor.clone(), run: run(2) }));
    assert_eq!(bench.act(ready(executor)), []);
    let effects = bench.act(executor_ended());
    assert_eq!(effects[..2], executor_over(1));
    let [Effect::SendExecutor { executor, message: ToExecutor::Start { guests } }] = &effects[2..]
    else {
        panic!("{effects:?} starts nothing");
    };
    assert_eq!((&executor.framework, &guests[0].key.task), (&other(), &key("b").task));
}

#[test]
fn an_executor_cannot_speak_for_other_frameworks_or_for_guests_it_does_not_have() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a"), spec("b"), spec("queued")]);
    let executor = executor_of(FrameworkId::new("f2").expect("an id"));
    let reports = vec![ended("a")];
    assert_eq!(bench.act(Input::Reports { executor, batch: 0, reports }), []);
    assert_eq!(bench.report([ended("queued"), ended("first"), started("queued")]), []);
}

fn message(key: TaskKey, text: &str) -> TaskMessage {
    TaskMessage { key, bytes: text.into() }
}

#[test]
fn a_message_goes_to_the_executor_of_a_task_that_was_told_to_start_and_nowhere_else() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a"), spec("b"), spec("queued")]);
    let pass = |key| ToAgent::Message(message(key, "go"));
    let message = ToExecutor::Message(message(key("a"), "go"));
    let sent = Effect::SendExecutor { executor: executor(), message };
    assert_eq!(bench.master(pass(key("a"))), [sent]);
    assert_eq!(bench.master(pass(key("queued"))), []);
    assert_eq!(bench.master(pass(key("strange"))), []);
    assert_eq!(bench.master(pass(key_of("a", 2))), []);
    bench.report([started("a"), ended("a")]);
    assert_eq!(bench.master(pass(key("a"))), []);
}

#[test]
fn messages_of_guests_leave_ahead_of_their_ends_and_are_not_recorded() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a"), spec("b")]);
    bench.report([started("a")]);
    let messages = ["one", "two"].map(|text| message(key("a"), text));
    let sent = messages.clone().map(Report::Sent);
    let strange = Report::Sent(message(key("strange"), "heard"));
    let [one, two] = sent;
    let effects = bench.report([one, strange, two, ended("a")]);
    let passed = Effect::SendMaster(ToMaster::Sent { messages: messages.to_vec() });
    let told = |effect: &Effect| matches!(effect, Effect::SendMaster(_));
    let told: Vec<_> = effects.into_iter().filter(told).collect();
    let updates = Effect::SendMaster(ToMaster::StatusUpdates { updates: vec![finished("a", 2)] });
    assert_eq!(told, [passed, updates]);
    // Whoever is not connected drops them.
    bench.act(Input::Disconnected);
    assert_eq!(bench.report([Report::Sent(message(key("b"), "unheard"))]), []);
}

#[test]
fn progress_is_passed_on_and_not_recorded() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a")]);
    let progress = Progress { key: key("a"), done: 1, total: 2, message: "half".into() };
    let passed = ToMaster::Progressed { reports: vec![progress.clone()] };
    assert_eq!(bench.report([Report::Progressed(progress)]), [Effect::SendMaster(passed)]);
}
