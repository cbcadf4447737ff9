//! Taking tasks, and killing them.

use super::*;
use skep_protocol::{
    Rejection,
    framework::RefusedTask,
    outcome::KilledBy,
    task::{DirGrant, DirSource},
};

fn kill(task: &str, by: KilledBy) -> Effect {
    Effect::SendExecutor { executor: executor(), message: ToExecutor::Kill { key: key(task), by } }
}

fn kill_order(task: &str, attempt: u32) -> ToAgent {
    let task = TaskId::new(task).expect("an id");
    let (attempt, by) = (Attempt(attempt), KilledBy::Framework);
    ToAgent::Kill { framework: framework(), task, attempt, by }
}

fn assert_refused(bench: &mut Bench, spec: TaskSpec, rejection: Rejection) {
    let key = key_of(spec.task.as_str(), spec.attempt.0);
    let effects = bench.launch(1, [spec]);
    let refusal = update(key.clone(), 1, over(Outcome::Refused { rejection }), bench.at());
    assert_eq!(effects, [refused(1, key), persist(&refusal), send([refusal])]);
}

#[test]
fn a_task_is_recorded_before_it_is_confirmed_and_started() {
    let mut bench = Bench::warm();
    assert_eq!(
        bench.launch(1, [spec("a"), spec("b")]),
        [
            accepted(1, 1, spec("a")),
            accepted(1, 2, spec("b")),
            confirmed(["a", "b"]),
            start([spec("a"), spec("b")]),
        ]
    );
}

#[test]
fn a_task_that_is_launched_again_is_only_confirmed_again() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a")]);
    assert_eq!(bench.launch(1, [spec("a")]), [confirmed(["a"])]);
}

#[test]
fn a_task_that_has_ended_and_is_launched_again_is_not_started_again() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a")]);
    bench.report([ended("a")]);
    assert_eq!(bench.launch(1, [spec("a")]), [confirmed(["a"]), send([finished("a", 1)])]);
}

#[test]
fn an_older_attempt_is_refused() {
    let mut bench = Bench::warm();
    bench.launch(1, [attempt("a", 2)]);
    let (task, newest) = (spec("a").task, Attempt(2));
    assert_refused(&mut bench, spec("a"), Rejection::DuplicateTask { task, newest });
}

#[test]
fn a_newer_attempt_has_the_older_one_killed() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a")]);
    let tasks = vec![key_of("a", 2)];
    assert_eq!(
        bench.launch(1, [attempt("a", 2)]),
        [
            kill("a", KilledBy::NewerAttempt(Attempt(2))),
            accepted(1, 2, attempt("a", 2)),
            Effect::SendMaster(ToMaster::TasksAccepted { tasks }),
            start([attempt("a", 2)]),
        ]
    );
}

#[test]
fn a_limit_that_the_agent_cannot_enforce_is_refused() {
    let mut bench = Bench::warm();
    let mut spec = spec("a");
    spec.grants.env.insert("HOME".into(), "/".into());
    let rejection = Rejection::NotEnforced { agent: agent(), name: "grant.env".into() };
    assert_refused(&mut bench, spec, rejection);
}

#[test]
fn a_folder_of_the_machine_is_granted_only_by_policy() {
    let mut with_dir = spec("a");
    let source = DirSource::Host("/data".into());
    with_dir.grants.dirs.push(DirGrant::read_write(source, "/data"));
    let what = "this agent grants no folders of its machine, and the task asks for /data; its \
                operator can name it a volume (skep agent --volume NAME=/data)"
        .into();
    assert_refused(&mut Bench::warm(), with_dir.clone(), Rejection::NotAllowed { what });

    let policy = Policy { host_dirs: HostDirs::Allowed, ..policy() };
    let mut bench = Bench::with(policy, BTreeMap::new()).0;
    bench.admit();
    assert_eq!(bench.launch(1, [with_dir.clone()])[0], accepted(1, 0, with_dir));
}

#[test]
fn a_spec_that_could_not_be_read_is_refused_for_the_reason_that_was_found() {
    let mut bench = Bench::warm();
    let rejection = Rejection::Unsupported { name: "limit.energy".into() };
    let (task, attempt) = (spec("a").task, Attempt(1));
    let launch = ToAgent::Launch {
        allocation: AllocationId(1),
        framework: framework(),
        role: Role::default(),
        granted: granted(),
        tasks: vec![Err(RefusedTask { task, attempt, rejection: rejection.clone() })],
    };
    let refusal = update(key("a"), 1, over(Outcome::Refused { rejection }), bench.at());
    assert_eq!(bench.master(launch), [refused(1, key("a")), persist(&refusal), send([refusal])]);
}

#[test]
fn a_task_beyond_the_bound_is_refused_once_and_not_kept() {
    let mut bench = Bench::warm();
    bench.launch(1, ["1", "2", "3", "4", "5", "6", "7", "8"].map(spec));
    let rejection = Rejection::TooMany { what: "tasks on this agent".into(), max: 8 };
    let refusal = update(key("9"), 1, over(Outcome::Refused { rejection }), bench.at());
    assert_eq!(bench.launch(1, [spec("9")]), [send([refusal])]);
}

#[test]
fn a_kill_ends_a_queued_task_at_once_and_a_running_one_through_its_executor() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a"), spec("b"), spec("queued")]);
    assert_eq!(bench.master(kill_order("a", 1)), [kill("a", KilledBy::Framework)]);
    let killed = over(Outcome::Killed { by: KilledBy::Framework });
    let killed = update(key("queued"), 1, killed, bench.at());
    assert_eq!(bench.master(kill_order("queued", 1)), [persist(&killed), send([killed.clone()])]);
    assert_eq!(bench.master(kill_order("queued", 1)), [send([killed])]);
    assert_eq!(bench.master(kill_order("unknown", 1)), []);
}

#[test]
fn a_kill_spares_later_attempts() {
    let mut bench = Bench::warm();
    bench.launch(1, [attempt("a", 2)]);
    assert_eq!(bench.master(kill_order("a", 1)), []);
}

#[test]
fn a_removed_framework_leaves_nothing_behind() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a"), spec("b"), spec("queued")]);
    bench.report([started("a")]);
    let forgotten = |task, seq| Effect::Persist(Record::TaskForgotten { key: key(task), seq });
    assert_eq!(
        bench.master(ToAgent::RemoveFramework { framework: framework() }),
        [stop_executor(), forgotten("a", 1), forgotten("b", 0), forgotten("queued", 0)]
    );
    let why = "ended by order".into();
    let over = bench.act(Input::ExecutorEnded { executor: executor(), why });
    assert_eq!(over, executor_over(1));
    let left: Vec<_> = bench.disk.keys().collect();
    assert_eq!(left, ["agent", "incarnation"]);
}
