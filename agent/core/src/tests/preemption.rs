//! Revocable tasks: paused, resumed and killed as regular ones need what the agent lends.

use super::*;
use skep_protocol::{
    executor::{GuestStage, HeldGuest},
    outcome::KilledBy,
    task::Terms,
};

/// A task that takes this many cpus and MiB of what the agent lends. It has 4 cpus and 1024 MiB.
fn lent(task: &str, cpus: u64, mem: u64) -> TaskSpec {
    TaskSpec { terms: Terms::Revocable, ..sized(task, cpus, mem) }
}

fn sized(task: &str, cpus: u64, mem: u64) -> TaskSpec {
    let resources = Resources::new(Amount::units(cpus), Amount::units(mem));
    TaskSpec { resources, ..spec(task) }
}

fn launch<const N: usize>(bench: &mut Bench, id: u64, specs: [TaskSpec; N]) -> Vec<Effect> {
    let mut granted = Resources::none();
    specs.iter().for_each(|spec| granted.add(&spec.resources));
    bench.master(ToAgent::Launch {
        allocation: AllocationId(id),
        framework: framework(),
        role: Role::default(),
        granted,
        tasks: specs.into_iter().map(Ok).collect(),
    })
}

fn orders(effects: Vec<Effect>) -> Vec<ToExecutor> {
    let order = |effect| match effect {
        Effect::SendExecutor { message, .. } => Some(message),
        _ => None,
    };
    effects.into_iter().filter_map(order).collect()
}

fn pause(task: &str) -> ToExecutor {
    ToExecutor::Pause { key: key(task) }
}

fn resume(task: &str) -> ToExecutor {
    ToExecutor::Resume { key: key(task) }
}

fn starts<const N: usize>(specs: [TaskSpec; N]) -> ToExecutor {
    ToExecutor::Start { guests: specs.into_iter().map(guest).collect() }
}

fn paused(task: &str) -> Report {
    Report::Paused { key: key(task), at: at(0) }
}

fn resumed(task: &str) -> Report {
    Report::Resumed { key: key(task), at: at(0) }
}

/// Two revocable tasks of 1 cpu that run, `old` and `new`.
fn lending() -> Bench {
    let mut bench = Bench::warm();
    launch(&mut bench, 1, [lent("old", 1, 100), lent("new", 1, 100)]);
    bench.report([started("old"), started("new")]);
    bench
}

#[test]
fn a_regular_task_pauses_the_newest_revocable_one_and_its_end_resumes_it() {
    let mut bench = lending();
    let work = sized("work", 3, 100);
    let effects = orders(launch(&mut bench, 2, [work.clone()]));
    assert_eq!(effects, [pause("new"), starts([work])]);

    let told = by_executor(update(key("new"), 3, TaskState::Paused, at(0)));
    assert_eq!(bench.report([paused("new")]), [persist(&told), send([told])]);

    assert_eq!(orders(bench.report([ended("work")])), [resume("new")]);
    let told = by_executor(update(key("new"), 4, TaskState::Running, at(0)));
    assert_eq!(bench.report([resumed("new")]), [persist(&told), send([told])]);
}

#[test]
fn they_are_paused_newest_first_and_resumed_oldest_first() {
    let mut bench = lending();
    let effects = orders(launch(&mut bench, 2, [sized("one", 3, 10)]));
    assert_eq!(effects[0], pause("new"));
    let effects = orders(launch(&mut bench, 3, [sized("two", 1, 10)]));
    assert_eq!(effects[0], pause("old"));
    assert_eq!(orders(bench.report([ended("two")])), [resume("old")]);
    assert_eq!(orders(bench.report([ended("one")])), [resume("new")]);
}

#[test]
fn a_task_that_is_given_room_counts_before_its_module_is_there() {
    let mut bench = lending();
    let module = Digest::of(b"other");
    let work = TaskSpec { module, ..sized("work", 4, 100) };
    let effects = orders(launch(&mut bench, 2, [work]));
    assert_eq!(effects, [pause("old"), pause("new")]);
}

#[test]
fn memory_is_had_back_by_killing_the_newest() {
    let mut bench = lending();
    let work = sized("work", 1, 900);
    let effects = orders(launch(&mut bench, 2, [work.clone()]));
    let by = KilledBy::Preemption;
    let kill = ToExecutor::Kill { key: key("new"), by: by.clone() };
    assert_eq!(effects, [kill, starts([work])]);
    let outcome = Outcome::Killed { by };
    let effects = bench.report([ended_with("new", outcome.clone())]);
    let update = by_executor(update(key("new"), 3, over(outcome), at(0)));
    assert_eq!(effects, [persist(&update), send([update])]);
}

#[test]
fn a_revocable_task_starts_when_regular_ones_leave_room() {
    let mut bench = Bench::warm();
    launch(&mut bench, 1, [sized("work", 4, 100)]);
    let wanted = lent("lent", 1, 100);
    assert_eq!(orders(launch(&mut bench, 2, [wanted.clone()])), []);
    assert_eq!(orders(bench.report([ended("work")])), [starts([wanted])]);
}

#[test]
fn a_paused_task_can_be_killed_and_its_room_goes_to_the_next() {
    let mut bench = lending();
    launch(&mut bench, 2, [sized("work", 3, 100)]);
    let kill = ToAgent::Kill {
        framework: framework(),
        task: key("old").task,
        attempt: Attempt::FIRST,
        by: KilledBy::Framework,
    };
    let ordered = ToExecutor::Kill { key: key("old"), by: KilledBy::Framework };
    assert_eq!(orders(bench.master(kill)), [ordered]);
    let killed = ended_with("old", Outcome::Killed { by: KilledBy::Framework });
    assert_eq!(orders(bench.report([killed])), [resume("new")]);
}

#[test]
fn a_registration_says_who_is_paused() {
    let mut bench = lending();
    launch(&mut bench, 2, [sized("work", 3, 100)]);
    bench.report([paused("new")]);
    let effects = bench.act(Input::Connected);
    let Some(Effect::SendMaster(ToMaster::Register(registration))) = effects.last() else {
        panic!("{effects:?} is no registration");
    };
    let states = registration.tasks.iter().map(|task| (&task.key, task.terms, &task.state));
    let held: Vec<_> = states.filter(|(_, _, state)| !state.is_terminal()).collect();
    let expected = [
        (&key("new"), Terms::Revocable, &TaskState::Paused),
        (&key("old"), Terms::Revocable, &TaskState::Running),
        (&key("work"), Terms::Regular, &TaskState::Starting),
    ];
    assert_eq!(held, expected);
}

/// A framework that is away for a week is not told of a thousand pauses when it returns.
#[test]
fn pauses_that_nobody_hears_are_not_kept_one_by_one() {
    let mut bench = lending();
    for _ in 0..20 {
        bench.report([paused("new")]);
        bench.report([resumed("new")]);
    }
    bench.report([paused("new")]);
    let kept = bench.agent.state.task(&key("new")).expect("it is held").updates().len();
    assert_eq!(kept, 8);
    let effects = bench.acknowledge("new", 8);
    let told = update(key("new"), 9, TaskState::Paused, bench.at());
    assert_eq!(effects[1..], [persist(&told), send([told])]);
}

/// What an executor that outlived its agent has: `new` is paused, the others run.
fn at_rest() -> Vec<HeldGuest> {
    let held = |task| {
        let paused = task == "new";
        HeldGuest { key: key(task), stage: GuestStage::Running, paused }
    };
    ["new", "old", "work"].map(held).to_vec()
}

#[test]
fn who_is_paused_stays_so_over_a_restart_of_the_agent_and_goes_on_in_time() {
    let mut bench = lending();
    launch(&mut bench, 2, [sized("work", 3, 100)]);
    bench.report([started("work"), paused("new")]);
    let (mut next, _) = Bench::with(policy(), bench.disk);
    next.admit();
    let effects = next.act(Input::ExecutorReady { executor: executor(), guests: at_rest() });
    assert_eq!(orders(effects), []);
    assert_eq!(orders(next.report([ended("work")])), [resume("new")]);
}
