//! States to go on from: kept for the next attempt, wherever it runs.

use super::kit::{OK, Story, task};
use skep_protocol::{
    Outcome, TaskState,
    agent::{HeldTask, ToMaster},
    outcome::{Checkpoint, KilledBy},
};
use std::time::Duration;

/// A framework `f` with the task `t` running on agent `a`, which has all there is.
fn running() -> Story {
    let mut s = Story::with(|policy| policy.checkpoints_max = 2);
    s.framework("f", "r");
    s.agent("a", "cpus:2;mem:128");
    s.idle();
    s.take_effects();
    s.run("f", "o1", "a", &[task("t", "cpus:1;mem:64"), task("u", "cpus:1;mem:64")]);
    s
}

fn leave(s: &mut Story, task: &str, bytes: &[u8]) {
    let checkpoint = Checkpoint { key: s.key("f", task), bytes: bytes.to_vec() };
    s.agent_says("a", ToMaster::Checkpointed { checkpoints: vec![checkpoint] });
}

fn kept(s: &Story, task: &str) -> Option<Vec<u8>> {
    let key = s.key("f", task);
    let theirs = s.master.durable.checkpoints.get(&key.framework)?;
    theirs.get(&key.task).map(|kept| kept.checkpoint.bytes.clone())
}

/// Another agent comes, and is offered.
fn offered_of_b(s: &mut Story) -> String {
    s.agent("b", "cpus:1;mem:64");
    s.idle();
    let effects = s.take_effects();
    let offers = effects.iter().filter_map(|line| line.strip_prefix("f: offer "));
    let mut offers = offers.filter_map(|line| line.split_once(" of b"));
    offers.next().expect("an offer of b").0.to_owned()
}

fn failed() -> TaskState {
    TaskState::Ended(Outcome::Exited { code: 1 })
}

#[test]
fn the_next_attempt_gets_the_last_checkpoint_wherever_it_runs() {
    let mut s = running();
    leave(&mut s, "t", b"one");
    s.expect(["record checkpoint/f/t"]);
    leave(&mut s, "t", b"two");
    s.expect(["record checkpoint/f/t"]);
    // An agent repeats them when it comes back.
    leave(&mut s, "t", b"two");
    s.expect([]);
    s.update("a", "f", "t", 2, failed());
    s.acknowledge("f", "t", 2);
    s.take_effects();
    let mut s = s.restart_master();
    s.resubscribe("f", "r");
    let offer = offered_of_b(&mut s);
    s.accept("f", &[&offer], &[task("t#2", "cpus:1;mem:64")]);
    s.take_effects();
    let launched = s.master.tasks.get(&s.key("f", "t#2")).expect("it was launched");
    let crate::tasks::Stage::Sent { spec } = &launched.stage else { panic!("{launched:?}") };
    assert_eq!(spec.checkpoint, b"two");
}

#[test]
fn no_checkpoint_outlives_a_task_that_ended_well_or_that_nobody_wants() {
    for (end, is_kept) in [
        (OK, false),
        (failed(), true),
        (TaskState::Ended(Outcome::Killed { by: KilledBy::Framework }), false),
        (TaskState::Ended(Outcome::Killed { by: KilledBy::AgentDrained }), true),
    ] {
        let mut s = running();
        leave(&mut s, "t", b"one");
        s.update("a", "f", "t", 2, end.clone());
        assert!(kept(&s, "t").is_some(), "its framework has not heard of the end");
        s.acknowledge("f", "t", 2);
        assert_eq!(kept(&s, "t").is_some(), is_kept, "{end:?}");
        s.call("f", skep_protocol::framework::Call::Teardown);
        assert_eq!(kept(&s, "t"), None);
        s.take_effects();
    }
}

#[test]
fn who_does_not_run_leaves_nothing_and_the_oldest_give_way() {
    let mut s = running();
    leave(&mut s, "stranger", b"one");
    assert_eq!(kept(&s, "stranger"), None);
    leave(&mut s, "t", b"one");
    s.wait(1.0);
    leave(&mut s, "u", b"one");
    s.wait(1.0);
    let offer = offered_of_b(&mut s);
    s.run("f", &offer, "b", &[task("v", "cpus:1;mem:64")]);
    let checkpoint = Checkpoint { key: s.key("f", "v"), bytes: b"one".to_vec() };
    s.agent_says("b", ToMaster::Checkpointed { checkpoints: vec![checkpoint] });
    assert_eq!((kept(&s, "t"), kept(&s, "u")), (None, Some(b"one".to_vec())));
    assert!(kept(&s, "v").is_some());
    s.take_effects();
}

#[test]
fn a_task_says_for_itself_when_it_counts_as_lost() {
    let mut s = Story::new();
    s.framework("f", "r");
    s.agent("a", "cpus:3;mem:192");
    s.idle();
    s.take_effects();
    let said = |name: &str, seconds: Option<u64>| {
        let mut spec = task(name, "cpus:1;mem:64");
        spec.policies.lost_after = seconds.map(Duration::from_secs);
        spec
    };
    let specs = [said("now", Some(1)), said("soon", Some(60)), said("late", Some(7_200))];
    s.run("f", "o1", "a", &specs);
    s.disconnect("a");
    s.wait(10.0);
    s.expect([
        "f: late#1 UNREACHABLE, now#1 UNREACHABLE, soon#1 UNREACHABLE",
        "f: now#1 lost: its agent was not heard of for too long",
    ]);
    s.wait(60.0);
    s.expect(["f: soon#1 lost: its agent was not heard of for too long"]);
    // Longer than the master waits for any agent, and what it told lost is ended on the return.
    s.wait(3_600.0);
    s.expect([]);
    let held: Vec<HeldTask> = specs
        .iter()
        .map(|spec| s.held("f", spec, "l1", "cpus:3;mem:192", TaskState::Running))
        .collect();
    s.register("a", &held);
    s.expect([
        "a: registered",
        "a: kill f/now#1 by its newer attempt 2",
        "a: kill f/soon#1 by its newer attempt 2",
        "f: late#1 RUNNING",
    ]);
    s.disconnect("a");
    s.wait(7_200.0);
    s.expect(["f: late#1 UNREACHABLE", "f: late#1 lost: its agent was not heard of for too long"]);
}

/// However many have ended since, and however often the agent repeats it.
#[test]
fn what_was_told_lost_is_no_news_when_its_agent_is_back() {
    let mut s = Story::with(|policy| policy.ended_tasks_max = 1);
    s.framework("f", "r");
    s.agent("a", "cpus:2;mem:128");
    s.idle();
    let tasks = [1, 2, 3_600].map(|seconds| {
        let mut spec = task(&format!("t{seconds}"), "cpus:0.1;mem:32");
        spec.policies.lost_after = Some(Duration::from_secs(seconds));
        spec
    });
    s.run("f", "o1", "a", &tasks);
    s.disconnect("a");
    s.wait(10.0);
    s.take_effects();
    let states = [OK, TaskState::Running, TaskState::Running];
    let held: Vec<HeldTask> = tasks
        .iter()
        .zip(states)
        .map(|(spec, state)| s.held("f", spec, "l1", "cpus:2;mem:128", state))
        .collect();
    s.register("a", &held);
    let kill = "a: kill f/t2#1 by its newer attempt 2";
    s.expect(["a: registered", kill, "f: t3600#1 RUNNING"]);
    s.update("a", "f", "t1", 2, OK);
    s.expect(["a: acknowledge f/t1#1 (2)"]);
    // That was lost on its way.
    s.disconnect("a");
    s.register("a", &held);
    s.update("a", "f", "t1", 2, OK);
    s.expect(["a: registered", kill, "a: acknowledge f/t1#1 (2)"]);
    // It has not forgotten what it has not told the end of.
    s.update("a", "f", "t2", 1, TaskState::Running);
    s.expect(["a: acknowledge f/t2#1 (1)"]);
    s.agent_says("a", ToMaster::Beat { inputs: 1, unsaved_millis: 0, acknowledged: 3 });
    s.disconnect("a");
    let ended = s.held("f", &tasks[1], "l1", "cpus:2;mem:128", OK);
    s.register("a", &[held[2].clone(), ended]);
    s.update("a", "f", "t2", 2, OK);
    s.expect(["a: registered", "a: acknowledge f/t2#1 (2)"]);
}
