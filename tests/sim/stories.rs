//! Histories that are told: each is a promise, and what it is worth when something goes wrong.
//!
//! Some were found by the swarm first; the seed is gone, the story stays.

use crate::{
    framework::{JobStage, Older, Temper},
    freeze::Whose,
    journal::LastCommit,
    network::{Peer, SILENCE_MAX, Side, Word},
    promises::Mark,
    sim::Sim,
    trace::{Detail, LINES, Trace},
};
use skep_agent_core::Policy as AgentPolicy;
use skep_master_core::Policy as MasterPolicy;
use skep_protocol::{Attempt, TaskId, TaskKey, framework::Call};
use std::time::Duration;

/// How long whatever a story waits for may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// When the tasks of an agent that is gone count as lost.
const LOST_AFTER: Duration = Duration::from_secs(60);
/// What a task of a story needs, unless it says otherwise; an agent has room for one or more.
const SLOT: &str = "cpus:1;mem:64";

#[test]
fn a_task_on_an_agent_that_dies_is_run_elsewhere_as_a_new_attempt() {
    let mut sim = story().agents(2, SLOT).framework("batch");
    let task = sim.launch("batch", SLOT, seconds(20));
    sim.until_it_runs(&task, 1);
    let first = sim.home_of(&task, 1);

    sim.crash_node(first, LastCommit::Done);
    sim.until_it_runs(&task, 2);
    assert_ne!(sim.home_of(&task, 2), first);

    sim.start_agent(first);
    sim.come_to_rest();
    sim.assert_told(&task, 1, &["STARTING", "RUNNING", "UNREACHABLE", "LOST"]);
    sim.assert_told(&task, 2, &["STARTING", "RUNNING", "FINISHED"]);
}

/// Also where the master was started anew in between.
#[test]
fn a_task_goes_on_from_its_last_checkpoint_wherever_it_is_run_again() {
    for restarts in [false, true] {
        let mut sim = story().agents(2, "cpus:2;mem:128").framework("batch");
        sim.launch("batch", SLOT, seconds(1));
        // The second one says once how far it is.
        let task = sim.launch("batch", SLOT, seconds(20));
        sim.until_it_runs(&task, 1);
        sim.run_for(seconds(12));
        if restarts {
            sim.crash_master(LastCommit::Undone);
            sim.start_master();
            sim.run_for(seconds(2));
        }
        let first = sim.home_of(&task, 1);
        sim.crash_node(first, LastCommit::Undone);
        sim.until_it_runs(&task, 2);
        sim.start_agent(first);
        let origin = sim.promises.origin_of(&sim.key(&task, 2)).cloned();
        assert_eq!(origin, Some(Mark { key: sim.key(&task, 1), number: 1 }));
        sim.come_to_rest();
    }
}

/// Neither the one that runs on, nor the one that ends meanwhile.
#[test]
fn tasks_do_not_notice_that_their_agent_dies_and_is_started_anew() {
    let mut sim = story().agents(1, "cpus:2;mem:128").framework("batch");
    let (short, long) =
        (sim.launch("batch", SLOT, seconds(2)), sim.launch("batch", SLOT, seconds(30)));
    sim.until_it_runs(&short, 1);
    sim.until_it_runs(&long, 1);

    sim.crash_agent(0, LastCommit::Undone);
    sim.run_for(seconds(4));
    sim.start_agent(0);
    sim.come_to_rest();
    for task in [short, long] {
        sim.assert_told(&task, 1, &["STARTING", "RUNNING", "FINISHED"]);
    }
}

#[test]
fn a_master_that_restarts_finds_its_tasks_again() {
    let mut sim = story().agents(1, SLOT).framework("batch");
    let (task, next) =
        (sim.launch("batch", SLOT, seconds(30)), sim.launch("batch", SLOT, seconds(1)));
    sim.until_it_runs(&task, 1);

    sim.crash_master(LastCommit::Undone);
    sim.run_for(seconds(20));
    assert_eq!(sim.home_of(&task, 1), 0);
    sim.start_master();

    sim.come_to_rest();
    sim.assert_told(&task, 1, &["STARTING", "RUNNING", "FINISHED"]);
    sim.assert_told(&next, 1, &["STAGING", "RUNNING", "FINISHED"]);
}

#[test]
fn a_queue_is_recalled_for_a_role_with_a_lower_share() {
    let mut sim = story().agents(1, "cpus:2;mem:128").framework("greedy").framework("modest");
    let short = sim.launch("greedy", SLOT, seconds(20));
    let long = sim.launch("greedy", SLOT, seconds(60));
    let queued = sim.launch("greedy", SLOT, seconds(20));
    sim.until_it_runs(&long, 1);

    let modest = sim.launch("modest", SLOT, seconds(1));
    sim.until_it_runs(&modest, 1);
    assert!(sim.has_ended(&short, 1) && !sim.has_ended(&long, 1));
    assert!(!sim.has_started(&queued, 2), "the queue went on");

    sim.come_to_rest();
    sim.assert_told(&queued, 1, &["DROPPED"]);
}

#[test]
fn a_task_on_an_agent_that_is_cut_off_goes_on_and_its_end_is_told_later() {
    let mut sim = story().agents(1, SLOT).framework("batch");
    let task = sim.launch("batch", SLOT, seconds(20));
    sim.until_it_runs(&task, 1);

    sim.cut(Peer::Agent(0), seconds(40));
    sim.come_to_rest();
    sim.assert_told(&task, 1, &["STARTING", "RUNNING", "UNREACHABLE", "FINISHED"]);
}

#[test]
fn a_short_silence_of_the_network_is_no_more_than_a_delay() {
    let mut sim = story().agents(1, SLOT).framework("batch");
    let task = sim.launch("batch", SLOT, seconds(2));
    sim.until_it_runs(&task, 1);

    sim.cut(Peer::Agent(0), SILENCE_MAX - seconds(1));
    sim.come_to_rest();
    sim.assert_told(&task, 1, &["STARTING", "RUNNING", "FINISHED"]);
}

#[test]
fn a_change_of_address_is_not_even_a_reconnect() {
    let mut sim = story().agents(1, SLOT).framework("batch");
    let task = sim.launch("batch", SLOT, seconds(10));
    sim.until_it_runs(&task, 1);
    let before = sim.network.sound_link(Peer::Agent(0));

    sim.cut(Peer::Agent(0), seconds(3));
    sim.run_for(seconds(5));
    assert_eq!(sim.network.sound_link(Peer::Agent(0)), before);
    sim.come_to_rest();
    sim.assert_told(&task, 1, &["STARTING", "RUNNING", "FINISHED"]);
}

#[test]
fn words_that_go_one_way_only_cost_a_task_nothing() {
    for deaf in [Side::Master, Side::Peer] {
        let mut sim = story().agents(1, SLOT).framework("batch");
        let task = sim.launch("batch", SLOT, seconds(20));
        sim.until_it_runs(&task, 1);

        sim.cut_one_way(Peer::Agent(0), deaf, seconds(40));
        sim.come_to_rest();
        sim.assert_told(&task, 1, &["STARTING", "RUNNING", "UNREACHABLE", "FINISHED"]);
    }
}

#[test]
fn an_agent_that_stood_still_goes_on_and_tells_what_happened_meanwhile() {
    let mut sim = story().agents(1, SLOT).framework("batch");
    let task = sim.launch("batch", SLOT, seconds(10));
    sim.until_it_runs(&task, 1);

    sim.freeze(Whose::Peer(Peer::Agent(0)), seconds(30));
    sim.come_to_rest();
    sim.assert_told(&task, 1, &["STARTING", "RUNNING", "UNREACHABLE", "FINISHED"]);
}

#[test]
fn an_instance_that_was_replaced_is_told_to_go_and_heard_no_more() {
    let mut sim = story().agents(1, SLOT).framework("batch");
    let task = sim.launch("batch", SLOT, seconds(20));
    sim.until_it_runs(&task, 1);
    let link = sim.frameworks[0].link().expect("it has just spoken");

    sim.fail_over(0, Older::StillThere);
    sim.run_until("the older instance is told", PATIENCE, |sim| !sim.frameworks[0].has_older());
    let kill = Call::Kill { task: task.task.clone() };
    sim.send(link, Side::Peer, Word::FromFramework(kill));
    sim.come_to_rest();
    sim.assert_told(&task, 1, &["STARTING", "RUNNING", "FINISHED"]);
}

#[test]
fn a_task_that_the_agent_had_not_written_down_is_launched_again_in_the_same_attempt() {
    let mut sim = story().agents(1, SLOT).framework("batch");
    let task = sim.launch_and_crash_while_writing(LastCommit::Undone);
    sim.come_to_rest();
    sim.assert_told(&task, 1, &["STARTING", "RUNNING", "FINISHED"]);
}

#[test]
fn a_task_that_the_agent_had_written_down_and_not_started_runs_when_it_is_back() {
    let mut sim = story().agents(1, SLOT).framework("batch");
    let task = sim.launch_and_crash_while_writing(LastCommit::Done);
    sim.come_to_rest();
    sim.assert_told(&task, 1, &["STARTING", "RUNNING", "FINISHED"]);
}

/// What the master knows of the first attempt must not be taken for news of the second.
#[test]
fn a_launch_that_was_lost_on_its_way_is_found_out_by_asking() {
    let mut sim = story().agents(1, SLOT).framework("batch");
    let task = sim.launch("batch", SLOT, seconds(20));
    sim.until_it_runs(&task, 1);
    sim.crash_node(0, LastCommit::Done);
    sim.start_agent(0);
    let is_sent = |sim: &Sim| sim.job(&task) == (Attempt(2), JobStage::Launched(None));
    sim.run_until("the second launch is sent", PATIENCE, is_sent);

    let link = sim.network.sound_link(Peer::Framework(0)).expect("it has just spoken");
    sim.break_link(link, seconds(1)..seconds(2));
    sim.come_to_rest();
    assert!(!sim.promises.is_ordered(&sim.key(&task, 2)), "the launch was not lost");
    sim.assert_told(&task, 2, &["LOST"]);
    sim.assert_told(&task, 3, &["STARTING", "RUNNING", "FINISHED"]);
}

/// The allocation has changed its size since its first tasks were launched.
#[test]
fn what_an_allocation_has_given_back_stays_with_others_when_the_master_restarts() {
    let (whole, half) = ("cpus:1;mem:64", "cpus:0.5;mem:32");
    let never = Duration::from_secs(3_600);
    let policy =
        MasterPolicy { recall_hold: never, offer_timeout: never, ..MasterPolicy::default() };
    let sim = Sim::new(7, policy, Trace::new(Detail::Told(LINES))).agents(1, "cpus:2;mem:128");
    let mut sim = sim.framework("first").framework("second");
    // Slow enough that what is given back is offered before its former holder can ask for it.
    sim.weather.delay = Duration::from_millis(5)..Duration::from_millis(10);
    sim.frameworks[0].refills = 2..3;
    let _long = sim.launch("first", whole, seconds(100));
    let ends_first = sim.launch("first", half, seconds(5));
    let ends_next = sim.launch("first", half, seconds(30));
    sim.until_it_runs(&ends_first, 1);
    let queued = [10, 11, 12].map(|time| sim.launch("first", half, seconds(time)));
    let other = sim.launch("second", half, seconds(90));
    sim.until_it_runs(&other, 1);
    sim.run_until("two are queued", PATIENCE, |sim| {
        sim.promises.is_ordered(&sim.key(&queued[1], 1))
    });

    sim.crash_master(LastCommit::Done);
    sim.start_master();
    sim.run_until("the third follows", PATIENCE, |sim| {
        sim.promises.is_ordered(&sim.key(&queued[2], 1))
    });
    assert!(sim.has_ended(&ends_next, 1));
    // That no more starts than fits is a promise.
    sim.come_to_rest();
}

/// What its guests use is given to others at once; that these do not start is a promise.
#[test]
fn the_room_of_a_framework_that_has_left_is_used_when_its_guests_are_gone() {
    let mut sim = story().agents(1, SLOT).framework("leaving").framework("staying");
    sim.weather.dying = seconds(3)..seconds(4);
    let old = sim.launch("leaving", SLOT, seconds(100));
    sim.until_it_runs(&old, 1);
    let new = sim.launch("staying", SLOT, seconds(1));

    let (old, number) = (sim.key(&old, 1), old.framework);
    sim.tear_down(number);
    sim.run_until("the launch arrives", PATIENCE, |sim| sim.promises.is_ordered(&sim.key(&new, 1)));
    assert!(sim.promises.home_of(&old).is_some(), "the guest is gone too soon for the story");
    sim.come_to_rest();
    sim.assert_told(&new, 1, &["STARTING", "RUNNING", "FINISHED"]);
}

/// A task of a story, and the number of its framework.
#[derive(Debug)]
struct Task {
    framework: usize,
    task: TaskId,
}

fn story() -> Sim {
    let policy = MasterPolicy { lost_after: LOST_AFTER, ..MasterPolicy::default() };
    Sim::new(7, policy, Trace::new(Detail::Told(LINES)))
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Sim {
    fn agents(mut self, count: usize, resources: &str) -> Self {
        let resources = resources.parse().expect("resources");
        for _ in 0..count {
            self.add_agent(&resources, AgentPolicy::default());
        }
        self
    }

    /// Adds a framework with a role of its own, which takes all that it is offered, and more.
    fn framework(mut self, role: &str) -> Self {
        let number = self.add_framework(role, Temper::Patient);
        self.frameworks[number].greed = 8..9;
        // Its offers have come and gone when the story begins.
        self.run_for(seconds(5));
        self
    }

    fn launch(&mut self, role: &str, resources: &str, time: Duration) -> Task {
        let is_meant = |framework: &crate::framework::Framework| framework.role().as_str() == role;
        let framework =
            self.frameworks.iter().position(is_meant).expect("a framework of the story");
        let resources = resources.parse().expect("resources");
        Task { framework, task: self.submit(framework, resources, time, 0) }
    }

    /// The agent dies while the acceptance of a task is on its way to the disk, and comes back.
    fn launch_and_crash_while_writing(&mut self, last: LastCommit) -> Task {
        self.weather.commit = seconds(1)..seconds(2);
        let task = self.launch("batch", SLOT, seconds(1));
        self.run_until("the launch arrives", PATIENCE, |sim| {
            sim.promises.is_ordered(&sim.key(&task, 1))
        });
        self.crash_agent(0, last);
        self.start_agent(0);
        task
    }

    fn key(&self, task: &Task, attempt: u32) -> TaskKey {
        let key = self.frameworks[task.framework].key(&task.task).expect("a task of the story");
        TaskKey { attempt: Attempt(attempt), ..key }
    }

    fn job(&self, task: &Task) -> (Attempt, JobStage) {
        let job = &self.frameworks[task.framework].jobs[&task.task];
        (job.spec.attempt, job.stage)
    }

    /// Until it runs, and its framework knows it.
    #[track_caller]
    fn until_it_runs(&mut self, task: &Task, attempt: u32) {
        let key = self.key(task, attempt);
        let is_running = |sim: &Self| sim.promises.told(&key).last() == Some(&"RUNNING");
        self.run_until(&format!("{key} runs"), PATIENCE, is_running);
    }

    #[track_caller]
    fn home_of(&self, task: &Task, attempt: u32) -> usize {
        self.promises.home_of(&self.key(task, attempt)).expect("it runs")
    }

    fn has_started(&self, task: &Task, attempt: u32) -> bool {
        self.promises.has_started(&self.key(task, attempt))
    }

    fn has_ended(&self, task: &Task, attempt: u32) -> bool {
        let key = self.key(task, attempt);
        self.promises.has_started(&key) && self.promises.home_of(&key).is_none()
    }

    #[track_caller]
    fn assert_told(&self, task: &Task, attempt: u32, expected: &[&str]) {
        let key = self.key(task, attempt);
        assert_eq!(self.promises.told(&key), expected, "what {key} was told to be");
    }
}
