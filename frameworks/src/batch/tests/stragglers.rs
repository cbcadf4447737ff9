//! Exact stories of tasks that take far longer than the others of their group.

use super::{Batch, Group, Job, Order, Standing, group, job, order, serving, standing, submit};
use crate::batch::{GroupReport, Stragglers};
use skep_protocol::{
    Source, TaskKey,
    framework::{Call, Event},
    outcome::{KilledBy, LostBy},
};
use skep_scheduler::{prelude::*, testing::Cluster};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const ONE: &str = "cpus:1;mem:64";

fn watched(count: u64) -> Group {
    let (after, least, done) = (Amount::units(2), SECOND, Amount::millis(750));
    Group { stragglers: Some(Stragglers { after, least, done }), ..group(count, &[]) }
}

fn report<S: Scheduler>(cluster: &mut Cluster<S>) -> GroupReport {
    let show = serde_json::to_vec(&Order::Show { job: "j".into() }).expect("an order");
    let answer = cluster.ask(&show).expect("at once").expect("known");
    let reports: Vec<super::Report> = serde_json::from_slice(&answer).expect("reports");
    reports[0].groups[0].clone()
}

/// How many are launched, done, failed, and of the copies launched, and first.
fn counts<S: Scheduler>(cluster: &mut Cluster<S>) -> [u64; 5] {
    let group = report(cluster);
    [group.launched, group.done, group.failed, group.copies, group.copies_won]
}

/// Of four tasks on one agent three have ended after ten seconds; the last runs on.
fn begin<S: Scheduler>(cluster: &mut Cluster<S>, group: Group) {
    let submit = Order::Submit { job: Box::new(job("j", &[("a", group)])) };
    let submit = serde_json::to_vec(&submit).expect("an order");
    cluster.ask(&submit).expect("at once").expect("taken");
    cluster.offer("n1", "cpus:4;mem:256");
    cluster.advance(10 * SECOND);
    ["j-1.a.0", "j-1.a.1", "j-1.a.2"].iter().for_each(|task| cluster.finish(task));
    cluster.launched();
}

/// A copy of the last runs on another agent.
fn copied(group: Group) -> Cluster<Batch> {
    let mut cluster = serving();
    begin(&mut cluster, group);
    cluster.advance(10 * SECOND);
    cluster.offer("n2", ONE);
    assert_eq!(cluster.running(), ["j-1.a.3", "j-1.a.3.copy"]);
    cluster.launched();
    cluster
}

/// Hears late, or never, that a copy runs, and that what it had killed has ended.
struct Late {
    batch: Batch,
    holds: bool,
    held: Vec<StatusUpdate>,
}

impl Late {
    fn new() -> Self {
        Self { batch: Batch::serving(), holds: true, held: Vec::new() }
    }
}

impl Scheduler for Late {
    fn restored(&mut self, driver: &mut Driver, state: &State) {
        self.batch.restored(driver, state);
    }

    fn registered(&mut self, driver: &mut Driver, framework: &FrameworkId) {
        self.batch.registered(driver, framework);
    }

    fn resource_offers(&mut self, driver: &mut Driver, offers: Vec<Offer>) {
        if !self.holds {
            self.held.iter().for_each(|update| self.batch.status_update(driver, update));
            self.held.clear();
        }
        self.batch.resource_offers(driver, offers);
    }

    fn status_update(&mut self, driver: &mut Driver, update: &StatusUpdate) {
        let killed = TaskState::Ended(Outcome::Killed { by: KilledBy::Framework });
        let is_of_copy = update.key.task.as_str().ends_with(".copy");
        let is_late = update.state == killed || is_of_copy && update.state == TaskState::Running;
        if self.holds && is_late {
            self.held.push(update.clone());
        } else {
            self.batch.status_update(driver, update);
        }
    }

    fn asked(&mut self, driver: &mut Driver, question: Question) {
        self.batch.asked(driver, question);
    }
}

#[test]
fn a_copy_is_launched_when_it_is_due_and_on_another_agent_and_the_first_to_end_well_counts() {
    let mut cluster = serving();
    begin(&mut cluster, watched(4));
    cluster.advance(10 * SECOND - MS);
    cluster.offer("n2", ONE);
    assert_eq!(cluster.running(), ["j-1.a.3"], "too early");
    cluster.advance(MS);
    let own = cluster.offer("n1", ONE);
    assert!(!cluster.unanswered().contains(&own), "what cannot be used goes back");
    assert_eq!(cluster.running(), ["j-1.a.3"], "it runs there");
    cluster.offer("n2", "cpus:4;mem:256");
    assert_eq!(cluster.agent_of("j-1.a.3.copy"), Some("n2"));
    let [copy] = &cluster.launched()[..] else { panic!("one copy") };
    assert_eq!((copy.index, copy.attempt), (Some(3), Attempt(1)));
    cluster.advance(100 * SECOND);
    cluster.offer("n3", ONE);
    assert_eq!(cluster.running(), ["j-1.a.3", "j-1.a.3.copy"], "at most one at a time");
    assert_eq!(counts(&mut cluster), [1, 3, 0, 1, 0]);
    cluster.finish("j-1.a.3.copy");
    assert_eq!(cluster.killed(), ["j-1.a.3"]);
    assert_eq!(standing(&mut cluster, "j"), Standing::Done);
    assert_eq!((counts(&mut cluster), report(&mut cluster).attempts), ([0, 4, 0, 1, 1], 4));
    let kept: Vec<&String> = cluster.state().keys().collect();
    assert_eq!(kept, ["job/j"], "of a job that is over only that is kept");
}

#[test]
fn the_result_is_that_of_the_first_to_end_well() {
    for (winner, loser, won) in [("j-1.a.3", "j-1.a.3.copy", 0), ("j-1.a.3.copy", "j-1.a.3", 1)] {
        let mut cluster = serving();
        let after = Group { input: Some("a".into()), ..group(4, &[]) };
        let job = job("j", &[("a", watched(4)), ("b", after)]);
        submit(&mut cluster, job);
        cluster.offer("n1", "cpus:4;mem:256");
        cluster.advance(SECOND);
        ["j-1.a.0", "j-1.a.1", "j-1.a.2"].iter().for_each(|task| cluster.finish(task));
        cluster.advance(SECOND);
        cluster.offer("n2", ONE);
        cluster.launched();
        cluster.finish_with(winner, b"first");
        assert_eq!(cluster.killed(), [loser]);
        assert_eq!(counts(&mut cluster), [0, 4, 0, 1, won]);
        cluster.offer("n1", "cpus:4;mem:256");
        let launched = cluster.launched();
        let input = launched[3].grants.stdin.expect("an input");
        assert_eq!(cluster.blob(&input), Some(&b"first"[..]));
    }
}

#[test]
fn a_copy_has_the_input_of_its_task() {
    let mut cluster = serving();
    let group = Group { input: Some("b".into()), ..watched(4) };
    submit(&mut cluster, job("j", &[("a", group), ("b", super::group(1, &[]))]));
    cluster.offer("n1", ONE);
    cluster.finish_with("j-1.b.0", b"input");
    cluster.offer("n1", "cpus:4;mem:256");
    cluster.advance(SECOND);
    ["j-1.a.0", "j-1.a.1", "j-1.a.2"].iter().for_each(|task| cluster.finish(task));
    cluster.advance(SECOND);
    cluster.launched();
    cluster.offer("n2", ONE);
    let [copy] = &cluster.launched()[..] else { panic!("one copy") };
    let input = copy.grants.stdin.expect("an input");
    assert_eq!(cluster.blob(&input), Some(&b"input"[..]));
}

#[test]
fn a_task_that_fails_while_its_copy_runs_leaves_it_as_its_retry() {
    let mut cluster = copied(watched(4));
    cluster.end("j-1.a.3", Outcome::Exited { code: 1 });
    cluster.offer("n3", ONE);
    assert_eq!(cluster.running(), ["j-1.a.3.copy"]);
    cluster.finish("j-1.a.3.copy");
    assert_eq!(standing(&mut cluster, "j"), Standing::Done);
    assert_eq!(counts(&mut cluster), [0, 4, 0, 1, 1]);

    let mut cluster = copied(Group { retries: 1, ..watched(4) });
    cluster.end("j-1.a.3", Outcome::Exited { code: 1 });
    cluster.end("j-1.a.3.copy", Outcome::Exited { code: 2 });
    let report = &order(&mut cluster, &Order::Show { job: "j".into() }).expect("known")[0];
    assert_eq!(report.standing, Standing::Failed);
    assert_eq!(report.failures, ["j-1.a.3.copy: exited with code 2"], "both attempts are used");

    let mut cluster = copied(Group { retries: 1, ..watched(4) });
    cluster.lose_agent("n1");
    cluster.end("j-1.a.3.copy", Outcome::Exited { code: 2 });
    assert_eq!(counts(&mut cluster), [0, 3, 0, 1, 0]);
    cluster.offer("n3", ONE);
    let [retry] = &cluster.launched()[..] else { panic!("the retry") };
    assert_eq!((retry.task.as_str(), retry.attempt), ("j-1.a.3", Attempt(2)));
    cluster.finish("j-1.a.3");
    assert_eq!(standing(&mut cluster, "j"), Standing::Done);
}

#[test]
fn a_copy_that_fails_uses_up_no_retry_and_three_are_launched_at_most() {
    let mut cluster = copied(watched(4));
    let lost = Outcome::Lost { why: LostBy::AgentLost };
    cluster.end("j-1.a.3.copy", Outcome::Exited { code: 1 });
    for (attempt, outcome) in [(2, lost), (3, Outcome::Exited { code: 1 })] {
        cluster.offer("n2", ONE);
        let [copy] = &cluster.launched()[..] else { panic!("one copy") };
        assert_eq!((copy.task.as_str(), copy.attempt), ("j-1.a.3.copy", Attempt(attempt)));
        cluster.end("j-1.a.3.copy", outcome);
        assert_eq!(cluster.running(), ["j-1.a.3"]);
    }
    cluster.offer("n2", ONE);
    assert_eq!(cluster.running(), ["j-1.a.3"]);
    cluster.finish("j-1.a.3");
    assert_eq!(standing(&mut cluster, "j"), Standing::Done);
    assert_eq!((counts(&mut cluster), report(&mut cluster).attempts), ([0, 4, 0, 3, 0], 4));
    assert_eq!(cluster.killed(), [""; 0]);
}

#[test]
fn a_task_whose_copy_has_failed_has_all_its_retries() {
    let mut cluster = copied(Group { retries: 1, ..watched(4) });
    cluster.end("j-1.a.3.copy", Outcome::Exited { code: 1 });
    cluster.end("j-1.a.3", Outcome::Exited { code: 1 });
    cluster.offer("n3", ONE);
    let [retry] = &cluster.launched()[..] else { panic!("the retry") };
    assert_eq!((retry.task.as_str(), retry.attempt), ("j-1.a.3", Attempt(2)));
}

#[test]
fn a_retry_that_is_a_straggler_is_copied_when_it_has_run_for_so_long() {
    let mut cluster = serving();
    begin(&mut cluster, Group { retries: 1, ..watched(4) });
    cluster.advance(9 * SECOND);
    cluster.end("j-1.a.3", Outcome::Exited { code: 1 });
    cluster.offer("n1", ONE);
    cluster.advance(20 * SECOND - MS);
    cluster.offer("n2", ONE);
    assert_eq!(cluster.running(), ["j-1.a.3"]);
    cluster.advance(MS);
    cluster.offer("n2", ONE);
    assert_eq!(cluster.running(), ["j-1.a.3", "j-1.a.3.copy"]);
}

#[test]
fn copies_have_only_what_no_other_task_could_use() {
    let mut cluster = serving();
    begin(&mut cluster, watched(4));
    cluster.advance(10 * SECOND);
    let mut large = group(1, &[]);
    large.work.resources = "cpus:8;mem:64".parse().expect("resources");
    submit(&mut cluster, job("other", &[("large", large), ("small", group(3, &[]))]));
    cluster.offer("n2", ONE);
    assert_eq!(cluster.running(), ["j-1.a.3", "other-2.small.0", "other-2.small.1"]);
    cluster.offer("n3", ONE);
    assert_eq!(cluster.running().len(), 4, "all that are small, and no copy beside them");
    cluster.offer("n3", ONE);
    assert_eq!(cluster.agent_of("j-1.a.3.copy"), Some("n3"), "it is too small for the large one");

    let mut cluster = serving();
    begin(&mut cluster, watched(4));
    cluster.advance(10 * SECOND);
    let mut double = group(3, &[]);
    double.work.resources = "cpus:2;mem:64".parse().expect("resources");
    submit(&mut cluster, job("other", &[("a", double)]));
    cluster.offer("n2", "cpus:3;mem:256");
    assert_eq!(cluster.running(), ["j-1.a.3", "other-2.a.0", "other-2.a.1"], "a third one waits");
}

#[test]
fn of_the_stragglers_the_oldest_is_copied_first() {
    let mut cluster = serving();
    submit(&mut cluster, job("j", &[("a", watched(8))]));
    cluster.offer("n1", "cpus:7;mem:448");
    cluster.finish("j-1.a.7");
    cluster.offer("n1", ONE);
    for index in [0, 1, 2, 4, 5] {
        cluster.finish(&format!("j-1.a.{index}"));
    }
    cluster.end("j-1.a.3", Outcome::Lost { why: LostBy::AgentLost });
    cluster.advance(MS);
    cluster.offer("n1", ONE);
    cluster.advance(SECOND);
    cluster.offer("n2", ONE);
    assert_eq!(cluster.running(), ["j-1.a.3", "j-1.a.6", "j-1.a.6.copy"]);
}

#[test]
fn another_instance_knows_since_when_tasks_run_and_which_are_copied() {
    let mut cluster = serving();
    begin(&mut cluster, watched(4));
    cluster.advance(5 * SECOND);
    cluster.restart(Batch::serving());
    cluster.advance(5 * SECOND - MS);
    cluster.offer("n2", ONE);
    assert_eq!(cluster.running(), ["j-1.a.3"], "too early");
    cluster.advance(MS);
    cluster.offer("n1", ONE);
    assert_eq!(cluster.running(), ["j-1.a.3"], "it runs there");
    cluster.offer("n2", ONE);
    assert_eq!(cluster.running(), ["j-1.a.3", "j-1.a.3.copy"]);
    cluster.restart(Batch::serving());
    cluster.offer("n3", ONE);
    assert_eq!(cluster.running(), ["j-1.a.3", "j-1.a.3.copy"]);
    assert_eq!(cluster.killed(), [""; 0]);
    assert_eq!(counts(&mut cluster), [1, 3, 0, 1, 0]);
    cluster.end("j-1.a.3", Outcome::Exited { code: 1 });
    cluster.restart(Batch::serving());
    assert_eq!(cluster.running(), ["j-1.a.3.copy"]);
    cluster.finish("j-1.a.3.copy");
    assert_eq!(standing(&mut cluster, "j"), Standing::Done);
    assert_eq!(counts(&mut cluster), [0, 4, 0, 1, 1]);
}

#[test]
fn how_long_tasks_ran_includes_what_an_earlier_instance_saw() {
    let mut cluster = serving();
    submit(&mut cluster, job("j", &[("a", watched(4))]));
    cluster.offer("n1", "cpus:4;mem:256");
    cluster.advance(5 * SECOND);
    cluster.restart(Batch::serving());
    cluster.advance(5 * SECOND);
    ["j-1.a.0", "j-1.a.1", "j-1.a.2"].iter().for_each(|task| cluster.finish(task));
    cluster.advance(10 * SECOND - MS);
    cluster.offer("n2", ONE);
    assert_eq!(cluster.running(), ["j-1.a.3"]);
    cluster.advance(MS);
    cluster.offer("n2", ONE);
    assert_eq!(cluster.running(), ["j-1.a.3", "j-1.a.3.copy"]);
}

#[test]
fn the_median_is_of_all_that_are_done() {
    let mut cluster = serving();
    submit(&mut cluster, job("j", &[("a", watched(8))]));
    cluster.offer("n1", "cpus:8;mem:512");
    for index in 0..6 {
        cluster.advance(SECOND);
        cluster.finish(&format!("j-1.a.{index}"));
    }
    cluster.advance(2 * SECOND - MS);
    cluster.offer("n2", "cpus:2;mem:128");
    assert_eq!(cluster.running().len(), 2);
    cluster.advance(MS);
    cluster.offer("n2", "cpus:2;mem:128");
    assert_eq!(cluster.running().len(), 4, "after twice four seconds");
}

#[test]
fn what_is_kept_of_a_copy_that_won_is_how_long_it_ran_itself() {
    let mut cluster = serving();
    let groups = [("a", watched(4)), ("b", group(1, &[]))];
    submit(&mut cluster, job("j", &groups));
    cluster.offer("n1", "cpus:5;mem:320");
    cluster.advance(SECOND);
    ["j-1.a.0", "j-1.a.1", "j-1.a.2"].iter().for_each(|task| cluster.finish(task));
    cluster.advance(SECOND);
    cluster.offer("n2", ONE);
    cluster.advance(5 * SECOND);
    cluster.end("j-1.a.3.copy", Outcome::Exited { code: 1 });
    cluster.offer("n2", ONE);
    cluster.advance(3 * SECOND);
    cluster.finish("j-1.a.3.copy");
    let done = r#"{"a":1,"s":"d","t":1000}"#;
    let won = r#"{"a":1,"s":"d","c":2,"w":true,"t":3000}"#;
    let piece = cluster.state()["p/1/a/0"].clone();
    let piece = String::from_utf8(piece).expect("text");
    assert_eq!(piece, format!("[{done},{done},{done},{won}]"));
}

#[test]
fn an_end_that_came_while_nobody_listened_counts_once() {
    let mut cluster = copied(watched(4));
    cluster.disconnect();
    cluster.end("j-1.a.3", Outcome::Exited { code: 1 });
    cluster.restart(Batch::serving());
    assert_eq!(counts(&mut cluster), [1, 3, 0, 1, 0]);
    cluster.finish("j-1.a.3.copy");
    assert_eq!(counts(&mut cluster), [0, 4, 0, 1, 1]);
}

#[test]
fn a_copy_is_kept_before_it_is_launched() {
    let mut cluster = Cluster::new(framework_info("batch"), Late::new());
    begin(&mut cluster, watched(4));
    cluster.advance(10 * SECOND);
    cluster.offer("n2", ONE);
    cluster.restart(Late::new());
    assert_eq!(counts(&mut cluster), [1, 3, 0, 1, 0]);
    cluster.finish("j-1.a.3");
    assert_eq!(cluster.killed(), ["j-1.a.3.copy"]);
}

#[test]
fn what_is_left_is_told_to_end_again_by_another_instance_and_forgotten_when_it_has_ended() {
    let mut cluster = Cluster::new(framework_info("batch"), Late::new());
    begin(&mut cluster, watched(4));
    cluster.advance(10 * SECOND);
    cluster.offer("n2", ONE);
    cluster.finish("j-1.a.3.copy");
    assert_eq!(cluster.killed(), ["j-1.a.3"]);
    assert_eq!(counts(&mut cluster), [0, 4, 0, 1, 1]);
    let kept: Vec<&String> = cluster.state().keys().collect();
    assert_eq!(kept, ["job/j", "p/1/a/0"], "the job is over, but something of it runs");
    cluster.restart(Late::new());
    assert_eq!(cluster.killed(), ["j-1.a.3"]);
    assert_eq!(counts(&mut cluster), [0, 4, 0, 1, 1]);
    let kept: Vec<&String> = cluster.state().keys().collect();
    assert_eq!(kept, ["job/j"]);
}

#[test]
fn a_job_that_is_stopped_ends_both_and_another_instance_sees_to_it() {
    let mut cluster = Cluster::new(framework_info("batch"), Late::new());
    begin(&mut cluster, watched(4));
    cluster.advance(10 * SECOND);
    cluster.offer("n2", ONE);
    let stop = serde_json::to_vec(&Order::Stop { job: "j".into() }).expect("an order");
    cluster.ask(&stop).expect("at once").expect("stopped");
    assert_eq!(cluster.killed(), ["j-1.a.3", "j-1.a.3.copy"]);
    cluster.restart(Late::new());
    assert_eq!(cluster.killed(), ["j-1.a.3", "j-1.a.3.copy"]);
    let kept: Vec<&String> = cluster.state().keys().collect();
    assert_eq!(kept, ["job/j"]);
    cluster.offer("n3", ONE);
    assert_eq!(cluster.running(), [""; 0]);
}

#[test]
fn what_is_left_of_a_job_does_not_touch_the_next_of_its_name() {
    let mut cluster = Cluster::new(framework_info("batch"), Late::new());
    begin(&mut cluster, watched(4));
    let stop = serde_json::to_vec(&Order::Stop { job: "j".into() }).expect("an order");
    cluster.ask(&stop).expect("at once").expect("stopped");
    let next = Order::Submit { job: Box::new(job("j", &[("a", group(4, &[]))])) };
    let next = serde_json::to_vec(&next).expect("an order");
    cluster.ask(&next).expect("at once").expect("taken");
    let kept: Vec<&String> = cluster.state().keys().collect();
    assert_eq!(kept, ["job/j"], "of the first nothing is");
    cluster.offer("n1", "cpus:4;mem:256");
    cluster.party.scheduler.holds = false;
    cluster.offer("n1", ONE);
    assert_eq!(cluster.running(), ["j-2.a.0", "j-2.a.1", "j-2.a.2", "j-2.a.3"]);
    assert_eq!(counts(&mut cluster), [4, 0, 0, 0, 0]);
}

#[test]
fn nothing_of_it_happens_to_groups_that_do_not_ask_for_it() {
    let mut cluster = serving();
    begin(&mut cluster, group(4, &[]));
    cluster.advance(10_000 * SECOND);
    cluster.offer("n2", ONE);
    assert_eq!(cluster.running(), ["j-1.a.3"]);
    let report = report(&mut cluster);
    let shown = serde_json::to_string(&report).expect("JSON");
    assert!(!shown.contains("copies"), "{shown}");
    let piece = cluster.state()["p/1/a/0"].clone();
    let done = r#"{"a":1,"s":"d"}"#;
    let kept = format!(r#"[{done},{done},{done},{{"a":1,"s":"l"}}]"#);
    assert_eq!(String::from_utf8(piece).expect("text"), kept, "as it was kept before");
}

/// Another instance, with its driver, and the event by which it is told what is kept.
fn kept(cluster: &Cluster<Batch>) -> (Driver, Batch, Event) {
    let framework = FrameworkId::new("f-test").expect("an id");
    let subscribed = Event::Subscribed { framework, state: cluster.state().clone() };
    let mut driver = Driver::new(framework_info("batch"), None);
    driver.connected();
    (driver, Batch::serving(), subscribed)
}

#[test]
fn offers_are_asked_for_when_a_copy_is_due() {
    let mut cluster = serving();
    begin(&mut cluster, watched(4));
    let (mut driver, mut batch, subscribed) = kept(&cluster);
    driver.handle(cluster.now(), subscribed, &mut batch);
    assert!(driver.take_calls().contains(&Call::Suppress { roles: [].into() }));
    let due = cluster.now() + 10 * SECOND;
    assert_eq!(driver.deadline(), Some(due));
    driver.woken(due, &mut batch);
    let [Call::Demand { demand: Some(demand), .. }, Call::Revive { .. }] = &driver.take_calls()[..]
    else {
        panic!("it asks for offers")
    };
    assert_eq!(demand.least, ONE.parse().expect("resources"));
    assert_eq!(driver.deadline(), None);
}

#[test]
fn of_two_ends_at_once_the_first_counts() {
    let cluster = copied(watched(4));
    let (mut driver, mut batch, subscribed) = kept(&cluster);
    driver.handle(cluster.now(), subscribed, &mut batch);
    let end = |task: &str| StatusUpdate {
        key: TaskKey {
            framework: FrameworkId::new("f-test").expect("an id"),
            task: TaskId::new(task).expect("an id"),
            attempt: Attempt(1),
        },
        seq: 2,
        agent: None,
        state: TaskState::Ended(Outcome::Exited { code: 0 }),
        source: Source::Agent,
        at: cluster.now(),
        usage: None,
        result: Vec::new(),
        last_words: String::new(),
        outputs: Vec::new(),
        missing: Vec::new(),
    };
    let updates = vec![end("j-1.a.3.copy"), end("j-1.a.3")];
    driver.handle(cluster.now(), Event::StatusUpdates { updates }, &mut batch);
    let [report] = &batch.reports()[..] else { panic!("one job") };
    let group = &report.groups[0];
    assert_eq!(report.standing, Standing::Done);
    assert_eq!((group.done, group.failed, group.copies_won), (4, 0, 1));
}

#[test]
fn a_copy_is_told_by_an_id_that_fits() {
    let name = "n".repeat(40);
    let mut cluster = serving();
    submit(&mut cluster, Job { name: name.clone(), ..job("", &[(name.as_str(), watched(4))]) });
    cluster.offer("n1", "cpus:4;mem:256");
    cluster.advance(SECOND);
    let all = cluster.running();
    all[1..].iter().for_each(|task| cluster.finish(task));
    cluster.advance(SECOND);
    cluster.offer("n2", ONE);
    assert_eq!(
        cluster.running(),
        [format!("{name}-1.{name}.0"), format!("{name}-1.{name}.0.copy")]
    );
}

#[test]
fn values_that_make_no_sense_are_refused_with_the_place() {
    let fault = |count, change: &dyn Fn(&mut Group, &mut Stragglers)| {
        let mut group = watched(count);
        let mut stragglers = group.stragglers.expect("watched");
        change(&mut group, &mut stragglers);
        group.stragglers = Some(stragglers);
        let fault = job("j", &[("a", group)]).check().expect_err("a fault");
        assert_eq!(fault.field, "stragglers");
        fault.to_string()
    };
    for after in [Amount::millis(999), Amount::millis(1_000_001)] {
        let told = fault(4, &|_, stragglers| stragglers.after = after);
        assert!(told.starts_with(&format!("a.stragglers: after: {after}: how many times")));
        assert!(told.ends_with("from 1 to 1000, such as 2"), "{told}");
    }
    for done in [Amount::ZERO, Amount::units(1)] {
        let told = fault(4, &|_, stragglers| stragglers.done = done);
        assert!(told.starts_with(&format!("a.stragglers: done: {done}: the share")), "{told}");
    }
    let alone = fault(1, &|_, _| {});
    assert_eq!(alone, "a.stragglers: a group of one task has no others to be slower than");
    let late = fault(4, &|group, _| group.work.deadline = Some(SECOND));
    let why = "no task runs for so long, for its deadline is 1s";
    assert_eq!(late, format!("a.stragglers: least: 1s: {why}"));
    let told = fault(4, &|group, _| {
        let id = TaskId::new("template").expect("an id");
        let mut template = TaskSpec::new(id, group.work.module, group.work.resources.clone());
        template.limits.deadline = Some(SECOND / 2);
        group.template = Some(Box::new(template));
    });
    assert!(told.ends_with("its deadline is 500ms"), "{told}");
    let in_time = |group: &mut Group| group.work.deadline = Some(SECOND + MS);
    let (mut least, mut most) = (watched(2), watched(2));
    let bounds = [(&mut least, Amount::units(1), 1), (&mut most, Amount::units(1_000), 999)];
    for (group, after, done) in bounds {
        in_time(group);
        let done = Amount::millis(done);
        group.stragglers = Some(Stragglers { after, least: SECOND, done });
        job("j", &[("a", group.clone())]).check().expect("no fault");
    }
}

#[test]
fn who_says_only_the_factor_has_the_rest() {
    let read: Stragglers = serde_json::from_str(r#"{"after": 1.5}"#).expect("stragglers");
    let (least, done) = (10 * SECOND, Amount::millis(750));
    assert_eq!(read, Stragglers { after: Amount::millis(1_500), least, done });
    serde_json::from_str::<Stragglers>(r#"{"after": -1}"#).expect_err("no factor");
    serde_json::from_str::<Stragglers>(r#"{"after": 2, "most": 1}"#).expect_err("no such key");
}
