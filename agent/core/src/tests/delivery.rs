//! Inputs that a task waits for, and outputs that are on their way when its guest is over.

use super::*;
use crate::{Gone, GuestEnd};
use skep_protocol::{
    Rejection,
    executor::HeldGuest,
    outcome::{Delivered, KilledBy, LostBy, Missing, Trap},
    task::{self, DirGrant, DirSource, Form, Output},
};

const WELL: Outcome = Outcome::Exited { code: 0 };

/// A task with an output.
fn making(task: &str) -> TaskSpec {
    let mut spec = spec(task);
    spec.grants.dirs.push(DirGrant::read_write(DirSource::Sandbox, "."));
    spec.outputs.push(Output::new("out.png"));
    spec
}

fn deliver(task: &str) -> Effect {
    Effect::Deliver { key: key(task), outputs: vec![Output::new("out.png")] }
}

fn output() -> Delivered {
    let (guest, digest) = ("out.png".into(), Digest::of(b"picture"));
    Delivered { guest, digest, size: 7, form: Form::File }
}

fn delivered(task: &str) -> Input {
    answer(task, vec![output()], vec![], vec![])
}

fn answer(
    task: &str,
    outputs: Vec<Delivered>,
    missing: Vec<Missing>,
    broken: Vec<Missing>,
) -> Input {
    Input::Delivered { key: key(task), outputs, missing, broken }
}

fn absent(guest: &str) -> Missing {
    Missing::new(guest, &format!("its output {guest:?} is not there"))
}

fn cut_off(guest: &str) -> Missing {
    Missing::new(guest, &format!("its output {guest:?} could not be delivered: cut off"))
}

fn broken(task: &str) -> Input {
    answer(task, vec![], vec![], vec![cut_off("out.png")])
}

fn guest_ended(task: &str, outcome: Outcome) -> Effect {
    let (result, last_words) = (Vec::new(), String::new());
    let end = Box::new(GuestEnd { at: at(0), outcome, usage: usage(), result, last_words });
    Effect::Persist(Record::GuestEnded { key: key(task), end })
}

fn finished_with_output(task: &str, seq: u64) -> StatusUpdate {
    StatusUpdate { outputs: vec![output()], ..finished(task, seq) }
}

fn failed(task: &str, seq: u64, why: &str) -> StatusUpdate {
    let outcome = Outcome::Failed { why: why.into() };
    by_executor(update(key(task), seq, over(outcome), at(0)))
}

fn kill(task: &str) -> ToAgent {
    let TaskKey { framework, task, attempt } = key(task);
    ToAgent::Kill { framework, task, attempt, by: KilledBy::Framework }
}

fn acknowledge_reports(batch: u64) -> Effect {
    Effect::SendExecutor { executor: executor(), message: ToExecutor::Acknowledge { batch } }
}

/// An agent whose task `a` delivers, having told that it runs.
fn delivering() -> Bench {
    let mut bench = Bench::warm();
    bench.launch(1, [making("a")]);
    bench.report([started("a")]);
    bench.report([ended("a")]);
    bench
}

#[test]
fn a_task_waits_for_each_of_its_inputs_and_takes_them_along() {
    let mut bench = Bench::warm();
    let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
    let mut spec = making("a");
    let input = |digest, guest: &str, form| task::Input { digest, guest: guest.into(), form };
    spec.inputs = vec![input(one, "one", Form::File), input(other, "other", Form::Folder)];
    let effects = bench.launch(1, [spec.clone()]);
    for digest in [one, other] {
        assert!(effects.contains(&Effect::FetchBlob { digest }), "{effects:?}");
    }
    assert_eq!(bench.act(Input::BlobReady { digest: other }), []);
    assert_eq!(bench.act(Input::BlobReady { digest: one }), [start([spec])]);
    // What may be gone from the disk is asked for again.
    bench.report([ended_with("a", Outcome::Failed { why: "no such file".into() })]);
    let mut again = making("b");
    again.inputs = vec![input(one, "one", Form::File)];
    assert!(bench.launch(1, [again]).contains(&Effect::FetchBlob { digest: one }));
}

#[test]
fn a_task_ends_when_its_outputs_are_delivered_and_keeps_its_room_until_then() {
    let mut bench = Bench::warm();
    let large = TaskSpec { resources: granted(), ..making("a") };
    bench.launch(1, [large, spec("b")]);
    let running = by_executor(update(key("a"), 1, TaskState::Running, at(0)));
    let reports = vec![started("a"), ended("a")];
    assert_eq!(
        bench.act(Input::Reports { executor: executor(), batch: 4, reports }),
        [
            guest_ended("a", WELL),
            deliver("a"),
            persist(&running),
            send([running]),
            acknowledge_reports(4),
        ]
    );
    let a = finished_with_output("a", 2);
    assert_eq!(bench.act(delivered("a")), [start([spec("b")]), persist(&a), send([a])]);
    assert_eq!(bench.act(delivered("a")), [], "it is told once");
    let forgotten = bench.acknowledge("a", 2);
    let records = [
        Record::GuestEndForgotten { key: key("a") },
        Record::TaskForgotten { key: key("a"), seq: 2 },
    ];
    assert_eq!(forgotten, records.map(Effect::Persist));
}

#[test]
fn a_guest_that_does_badly_or_dies_delivers_what_is_there_and_its_reason_stays() {
    let second = Duration::from_secs(1);
    let trap = Trap::Unreachable;
    for outcome in [
        Outcome::Exited { code: 3 },
        Outcome::Trapped { trap, why: "unreachable".into(), backtrace: vec![] },
        Outcome::OutOfFuel { limit: 5 },
        Outcome::OutOfMemory { asked: 6, limit: 5 },
        Outcome::DeadlinePassed { limit: second },
        Outcome::OutputLimit { limit: 5 },
        Outcome::DiskLimit { bytes: 5, files: 5 },
        Outcome::HandleLimit { limit: 5 },
        Outcome::RandomLimit { limit: 5 },
        Outcome::Unhealthy { limit: second },
        Outcome::Failed { why: "its standard input is gone".into() },
        Outcome::Killed { by: KilledBy::Framework },
        Outcome::Killed { by: KilledBy::Operator },
        Outcome::Killed { by: KilledBy::Preemption },
        Outcome::Killed { by: KilledBy::AgentDrained },
    ] {
        let mut bench = Bench::warm();
        let mut spec = making("a");
        spec.outputs.push(Output::new("log"));
        bench.launch(1, [spec.clone()]);
        let effects = bench.report([ended_with("a", outcome.clone())]);
        let outputs = spec.outputs;
        let all = Effect::Deliver { key: key("a"), outputs };
        assert_eq!(effects, [guest_ended("a", outcome.clone()), all]);
        let a = by_executor(update(key("a"), 1, over(outcome), at(0)));
        let (outputs, missing) = (vec![output()], vec![absent("log")]);
        let a = StatusUpdate { outputs: outputs.clone(), missing: missing.clone(), ..a };
        let effects = bench.act(answer("a", outputs, missing, vec![]));
        assert_eq!(effects, [persist(&a), send([a])]);
    }
}

#[test]
fn a_guest_that_never_ran_or_that_nobody_waits_for_delivers_nothing() {
    for outcome in [
        Outcome::ModuleRejected { why: "it imports env.x".into() },
        Outcome::Refused { rejection: Rejection::Recalled },
        Outcome::Killed { by: KilledBy::NewerAttempt(Attempt(2)) },
        Outcome::Killed { by: KilledBy::FrameworkRemoved },
    ] {
        let mut bench = Bench::warm();
        bench.launch(1, [making("a")]);
        let a = by_executor(update(key("a"), 1, over(outcome.clone()), at(0)));
        assert_eq!(bench.report([ended_with("a", outcome)]), [persist(&a), send([a])]);
    }
}

#[test]
fn what_an_executor_leaves_that_dies_under_its_guests_is_delivered() {
    let mut bench = Bench::warm();
    bench.launch(1, [making("a")]);
    bench.report([started("a")]);
    let ended = Input::ExecutorEnded { executor: executor(), why: "killed".into() };
    let effects = bench.act(ended);
    assert!(effects.contains(&deliver("a")), "{effects:?}");
    let lost = over(Outcome::Lost { why: LostBy::ExecutorEnded });
    let a = StatusUpdate { outputs: vec![output()], ..update(key("a"), 2, lost, bench.at()) };
    assert_eq!(bench.act(delivered("a")), [persist(&a), send([a])]);
}

#[test]
fn a_missing_output_keeps_no_other_from_being_delivered() {
    let mut bench = Bench::warm();
    let mut spec = making("a");
    spec.outputs.push(Output::new("log"));
    bench.launch(1, [spec]);
    bench.report([ended("a")]);
    // What broke is tried again, and only that.
    let effects = bench.act(answer("a", vec![], vec![absent("log")], vec![cut_off("out.png")]));
    assert_eq!(effects, []);
    assert!(bench.pass(2).contains(&deliver("a")));
    let a = failed("a", 1, "its output \"log\" is not there");
    let a = StatusUpdate { outputs: vec![output()], missing: vec![absent("log")], ..a };
    let effects = bench.act(delivered("a"));
    assert_eq!(effects, [persist(&a), send([a])]);
}

#[test]
fn an_output_that_is_not_there_fails_a_task_that_did_well() {
    let mut bench = delivering();
    let why = "its output \"out.png\" is not there";
    let missing = || vec![absent("out.png")];
    let a = StatusUpdate { missing: missing(), ..failed("a", 2, why) };
    let effects = bench.act(answer("a", vec![], missing(), vec![]));
    assert_eq!(effects, [persist(&a), send([a])]);
    // Of one that did not, the code is worth more.
    bench.launch(1, [making("b")]);
    let code = Outcome::Exited { code: 3 };
    bench.report([ended_with("b", code.clone())]);
    let b = by_executor(update(key("b"), 1, over(code), at(0)));
    let b = StatusUpdate { missing: missing(), ..b };
    let effects = bench.act(answer("b", vec![], missing(), vec![]));
    assert_eq!(effects, [persist(&b), send([b])]);
}

#[test]
fn a_broken_delivery_is_tried_again_and_given_up_after_two_minutes() {
    let mut bench = delivering();
    for tries in 1..8_u32 {
        assert_eq!(bench.act(broken("a")), []);
        let wait = 1 << tries;
        assert!(!bench.pass(wait - 1).contains(&deliver("a")), "{tries}");
        assert!(bench.pass(1).contains(&deliver("a")), "{tries}");
    }
    let why = "its output \"out.png\" could not be delivered: cut off";
    let a = StatusUpdate { missing: vec![cut_off("out.png")], ..failed("a", 2, why) };
    assert_eq!(bench.act(broken("a")), [persist(&a), send([a])]);
}

#[test]
fn an_agent_that_is_cut_off_delivers_when_there_is_a_master_and_counts_no_try() {
    let mut bench = delivering();
    bench.act(Input::Disconnected);
    for _ in 0..20 {
        assert_eq!(bench.act(broken("a")), []);
        assert!(!bench.pass(100).contains(&deliver("a")));
    }
    assert!(bench.admit().contains(&deliver("a")));
    let a = finished_with_output("a", 2);
    assert_eq!(bench.act(delivered("a")), [persist(&a), send([a])]);
}

#[test]
fn a_task_that_is_killed_while_it_delivers_ends_at_once() {
    let mut bench = delivering();
    let killed = over(Outcome::Killed { by: KilledBy::Framework });
    let missing = vec![undelivered("its task was ended before")];
    let a = update(key("a"), 2, killed, bench.at());
    let a = StatusUpdate { usage: Some(usage()), missing, ..a };
    assert_eq!(bench.master(kill("a")), [persist(&a), send([a])]);
    assert_eq!(bench.act(delivered("a")), []);
    assert_eq!(bench.act(broken("a")), []);
}

fn undelivered(why: &str) -> Missing {
    Missing::new("out.png", &format!("its output \"out.png\" was not delivered: {why}"))
}

#[test]
fn a_killed_task_delivers_for_half_a_minute_and_hears_the_order_once() {
    let outcome = Outcome::Killed { by: KilledBy::Framework };
    let killed = || {
        let mut bench = Bench::warm();
        bench.launch(1, [making("a")]);
        let effects = bench.report([ended_with("a", outcome.clone())]);
        assert_eq!(effects, [guest_ended("a", outcome.clone()), deliver("a")]);
        assert_eq!(bench.master(kill("a")), []);
        bench
    };
    let end = by_executor(update(key("a"), 1, over(outcome.clone()), at(0)));
    let mut bench = killed();
    let a = StatusUpdate { outputs: vec![output()], ..end.clone() };
    assert_eq!(bench.act(delivered("a")), [persist(&a), send([a])]);
    let mut bench = killed();
    assert!(!bench.pass(29).iter().any(|effect| matches!(effect, Effect::Persist(_))));
    let a = StatusUpdate { missing: vec![undelivered("there was no time left for it")], ..end };
    let effects = bench.pass(1);
    assert!(effects.contains(&persist(&a)), "{effects:?}");
}

#[test]
fn an_agent_that_stops_delivers_until_it_must_end_and_leaves_no_task_without_an_end() {
    let mut bench = delivering();
    assert_eq!(bench.act(Input::Stop), []);
    let mut late = bench.pass(9);
    assert!(!late.iter().any(|effect| matches!(effect, Effect::Persist(_))), "{late:?}");
    late = bench.pass(1);
    let missing = undelivered("there was no time left for it");
    let a = StatusUpdate { missing: vec![missing.clone()], ..failed("a", 2, &missing.why) };
    assert!(late.contains(&persist(&a)), "{late:?}");
    let exit = Effect::Exit { why: crate::ExitReason::Stopped };
    assert_eq!(late.last(), Some(&exit));
    // In time, it is as if nobody had stopped it.
    let mut bench = delivering();
    bench.act(Input::Stop);
    let a = finished_with_output("a", 2);
    assert_eq!(bench.act(delivered("a")), [persist(&a), send([a]), exit.clone()]);
    // Without a master there is nothing to wait for.
    let mut bench = delivering();
    bench.act(Input::Disconnected);
    assert_eq!(bench.act(Input::Stop).last(), Some(&exit));
}

#[test]
fn a_run_of_the_agent_that_ends_while_it_delivers_is_followed_by_one_that_goes_on() {
    let first = delivering();
    let (now, disk) = (first.now, first.disk);
    let mut second = Bench::with(policy(), disk).0;
    second.now = now;
    second.have_module();
    let adopt = Effect::AdoptExecutor { executor: executor(), run: run(1) };
    assert_eq!(second.act(Input::Tick), [adopt]);
    let registered = second.admit();
    assert!(!registered.contains(&deliver("a")), "the machine may be a new one");
    // The executor has not heard that its report was recorded, and makes it again.
    let stage = skep_protocol::executor::GuestStage::Starting;
    let guests = vec![HeldGuest { key: key("a"), stage, paused: false }];
    let effects = second.act(Input::ExecutorReady { executor: executor(), guests });
    assert!(effects.contains(&deliver("a")), "{effects:?}");
    let reports = vec![ended("a")];
    let again = second.act(Input::Reports { executor: executor(), batch: 3, reports });
    assert_eq!(again, [acknowledge_reports(3)]);
    let a = finished_with_output("a", 2);
    assert_eq!(second.act(delivered("a")), [persist(&a), send([a])]);
}

#[test]
fn an_executor_that_is_gone_takes_no_outputs_along_and_a_reboot_does() {
    for (how, is_lost) in [(Gone::Ended, false), (Gone::Rebooted, true)] {
        let first = delivering();
        let (now, disk) = (first.now, first.disk);
        let mut second = Bench::with(policy(), disk).0;
        second.now = now;
        second.have_module();
        second.act(Input::Tick);
        second.admit();
        let effects = second.act(Input::ExecutorGone { executor: executor(), how });
        assert_eq!(effects.contains(&deliver("a")), !is_lost, "{how:?}");
        let lost = over(Outcome::Lost { why: LostBy::NodeRebooted });
        let missing = vec![undelivered("its node was started anew")];
        let a = update(key("a"), 2, lost, now);
        let a = StatusUpdate { usage: Some(usage()), missing, ..a };
        assert_eq!(effects.contains(&persist(&a)), is_lost, "{how:?} {effects:?}");
    }
}

#[test]
fn a_task_that_delivers_stands_in_no_revocable_tasks_way() {
    let mut bench = Bench::warm();
    let lent = |spec: TaskSpec| {
        let resources = Resources::new(Amount::units(4), Amount::units(64));
        TaskSpec { terms: Terms::Revocable, resources, ..spec }
    };
    let launch = |allocation, spec| ToAgent::Launch {
        allocation: AllocationId(allocation),
        framework: framework(),
        role: Role::default(),
        granted: Resources::new(Amount::units(4), Amount::units(64)),
        tasks: vec![Ok(spec)],
    };
    bench.master(launch(1, lent(making("a"))));
    bench.master(launch(2, lent(spec("b"))));
    let effects = bench.report([ended("a")]);
    assert!(effects.contains(&start([lent(spec("b"))])), "{effects:?}");
    assert!(effects.contains(&deliver("a")), "{effects:?}");
}
