//! Exact stories of schedules. Time begins with the first of January 2030.

use super::{Cron, Missed, Order, Overlap, Report, Spec};
use crate::kit;
use skep_protocol::outcome::LostBy;
use skep_scheduler::{prelude::*, testing::Cluster};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
/// The seconds of the begin.
const BEGIN: u64 = 1_893_456_000;

fn spec(overlap: Overlap, missed: Missed) -> Spec {
    let work = kit::work("module");
    let (name, schedule, zone) = ("backup".into(), "* * * * *".into(), "UTC".into());
    Spec { name, schedule, zone, overlap, missed, work }
}

fn order(cluster: &mut Cluster<Cron>, order: &Order) -> Result<Vec<Report>, String> {
    let message = serde_json::to_vec(order).expect("an order");
    let answer = cluster.ask(&message).expect("an answer at once")?;
    Ok(serde_json::from_slice(&answer).expect("reports"))
}

fn scheduled(overlap: Overlap, missed: Missed) -> Cluster<Cron> {
    let mut cluster = Cluster::new(framework_info("cron"), Cron::default());
    order(&mut cluster, &Order::Apply { spec: Box::new(spec(overlap, missed)) }).expect("taken");
    cluster
}

fn slot(minute: u64) -> String {
    format!("backup.{}", BEGIN + 60 * minute)
}

#[test]
fn a_task_begins_at_each_slot_and_is_told_which() {
    let mut cluster = scheduled(Overlap::Skip, Missed::Last);
    cluster.offer("n1", "cpus:1;mem:64");
    assert_eq!(cluster.running(), [""; 0], "no slot has come");
    for minute in 1..=2 {
        cluster.advance(MINUTE);
        cluster.offer("n1", "cpus:1;mem:64");
        assert_eq!(cluster.running(), [slot(minute)]);
        let task = &cluster.launched()[0];
        assert_eq!(task.grants.env["SLOT"], (BEGIN + 60 * minute).to_string());
        cluster.finish(&slot(minute));
    }
    let report = &order(&mut cluster, &Order::List).expect("a list")[0];
    assert_eq!((report.begun, report.skipped, report.missed), (2, 0, 0));
    assert_eq!(report.next, "2030-01-01T00:03:00+00:00");
}

#[test]
fn if_the_last_still_runs_the_slot_passes_or_not_as_the_schedule_says() {
    let expected = [
        (Overlap::Skip, vec![slot(1)]),
        (Overlap::Allow, vec![slot(1), slot(2)]),
        (Overlap::Replace, vec![slot(2)]),
    ];
    for (overlap, running) in expected {
        let mut cluster = scheduled(overlap, Missed::Last);
        for _ in 0..2 {
            cluster.advance(MINUTE);
            cluster.offer("n1", "cpus:4;mem:256");
        }
        assert_eq!(cluster.running(), running, "{overlap:?}");
    }
}

#[test]
fn slots_that_nobody_was_there_for_are_made_up_for_as_the_schedule_says() {
    let expected = [
        (Missed::Skip, vec![], 3),
        (Missed::Last, vec![slot(3)], 2),
        (Missed::All, vec![slot(1), slot(2), slot(3)], 0),
    ];
    for (missed, running, passed) in expected {
        let mut cluster = scheduled(Overlap::Allow, missed);
        // It is gone for three minutes.
        cluster.disconnect();
        cluster.party.scheduler = Cron::default();
        cluster.advance(3 * MINUTE);
        cluster.restart(Cron::default());
        cluster.offer("n1", "cpus:4;mem:256");
        assert_eq!(cluster.running(), running, "{missed:?}");
        assert_eq!(order(&mut cluster, &Order::List).expect("a list")[0].missed, passed);
    }
}

#[test]
fn a_slot_is_run_once_whoever_dies() {
    let mut cluster = scheduled(Overlap::Allow, Missed::All);
    cluster.advance(MINUTE);
    cluster.offer("n1", "cpus:1;mem:64");
    cluster.restart(Cron::default());
    cluster.offer("n1", "cpus:4;mem:256");
    assert_eq!(cluster.launched().len(), 1, "the first instance had launched it");
    cluster.end(&slot(1), Outcome::Lost { why: LostBy::AgentLost });
    cluster.offer("n1", "cpus:4;mem:256");
    assert_eq!(cluster.running(), [""; 0], "it may have run");
    cluster.advance(MINUTE);
    cluster.offer("n1", "cpus:1;mem:64");
    cluster.end(&slot(2), Outcome::Lost { why: LostBy::Unknown });
    cluster.offer("n1", "cpus:1;mem:64");
    assert_eq!(cluster.running(), [slot(2)], "it has never come to run");
    assert_eq!(cluster.launched().last().expect("launched").attempt, Attempt(2));
}

#[test]
fn what_cannot_be_had_is_refused() {
    let mut cluster = Cluster::new(framework_info("cron"), Cron::default());
    let wrong = Spec { schedule: "soon".into(), ..spec(Overlap::Skip, Missed::Skip) };
    let refused = order(&mut cluster, &Order::Apply { spec: Box::new(wrong) });
    assert!(refused.expect_err("no schedule").starts_with("schedule:"));
    order(&mut cluster, &Order::Remove { name: "x".into() }).expect_err("there is none");
}

#[test]
fn one_that_no_agent_has_room_for_does_not_delay_the_others() {
    let mut cluster = Cluster::new(framework_info("cron"), Cron::default());
    cluster.join("n1", "cpus:2;mem:1024");
    let mut huge = spec(Overlap::Skip, Missed::Last);
    (huge.name, huge.work.resources) =
        ("huge".into(), "cpus:1000;mem:64".parse().expect("resources"));
    order(&mut cluster, &Order::Apply { spec: Box::new(huge) }).expect("taken");
    let mut tall = spec(Overlap::Allow, Missed::Last);
    (tall.name, tall.work.resources) = ("tall".into(), "cpus:1;mem:2048".parse().expect("one"));
    order(&mut cluster, &Order::Apply { spec: Box::new(tall) }).expect("taken");
    let every_second = Spec { schedule: "* * * * * *".into(), ..spec(Overlap::Skip, Missed::Last) };
    cluster.advance(MINUTE);
    order(&mut cluster, &Order::Apply { spec: Box::new(every_second) }).expect("taken");
    for second in 61..=70 {
        cluster.advance(Duration::from_secs(1));
        let task = format!("backup.{}", BEGIN + second);
        assert_eq!(cluster.running(), [task.as_str()], "each slot at its time");
        cluster.finish(&task);
    }
    let reports = order(&mut cluster, &Order::List).expect("a list");
    let of = |name: &str| reports.iter().find(|r| r.spec.name == name).expect("listed");
    assert_eq!((of("backup").begun, of("backup").skipped), (10, 0));
    assert_eq!((of("huge").begun, of("tall").begun), (0, 0));
}

#[test]
fn the_slot_that_has_waited_longest_goes_first_whatever_its_schedule_is_called() {
    let mut cluster = Cluster::new(framework_info("cron"), Cron::default());
    for (name, schedule) in [("a", "* * * * * *"), ("b", "* * * * *"), ("c", "* * * * * *")] {
        let (name, schedule) = (name.into(), schedule.into());
        let spec = Spec { name, schedule, ..spec(Overlap::Allow, Missed::Last) };
        order(&mut cluster, &Order::Apply { spec: Box::new(spec) }).expect("taken");
    }
    cluster.advance(Duration::from_secs(59));
    let begin = |cluster: &mut Cluster<Cron>, count: u64| {
        cluster.offer("n1", &format!("cpus:{count};mem:{}", 64 * count));
        let running = cluster.running();
        running.iter().for_each(|task| cluster.finish(task));
        running
    };
    begin(&mut cluster, 116);
    // Of b there is one slot in a minute, of the others one in each second.
    cluster.advance(Duration::from_secs(2));
    let at = |name: &str, second: u64| format!("{name}.{}", BEGIN + second);
    assert_eq!(begin(&mut cluster, 4), [at("a", 59), at("a", 60), at("b", 60), at("c", 59)]);
    assert_eq!(begin(&mut cluster, 4), [at("a", 61), at("c", 60), at("c", 61)]);
}

#[test]
fn of_slots_that_wait_for_room_the_oldest_pass_and_are_counted() {
    let mut cluster = scheduled(Overlap::Allow, Missed::All);
    for _ in 0..103 {
        cluster.advance(MINUTE);
    }
    let report = &order(&mut cluster, &Order::List).expect("a list")[0];
    assert_eq!((report.begun, report.missed), (0, 3));
    cluster.offer("n1", "cpus:1;mem:64");
    assert_eq!(cluster.running(), [slot(4)]);
}

/// The task of the first slot was launched, and never came to run.
fn first_never_ran(overlap: Overlap) -> Cluster<Cron> {
    let mut cluster = scheduled(overlap, Missed::Last);
    cluster.advance(MINUTE);
    cluster.offer("n1", "cpus:1;mem:64");
    cluster.end(&slot(1), Outcome::Lost { why: LostBy::Unknown });
    cluster
}

#[test]
fn a_slot_whose_task_never_ran_is_begun_though_the_schedule_is_applied_again() {
    let mut cluster = first_never_ran(Overlap::Skip);
    let again = spec(Overlap::Skip, Missed::Last);
    order(&mut cluster, &Order::Apply { spec: Box::new(again) }).expect("taken");
    cluster.offer("n1", "cpus:1;mem:64");
    assert_eq!(cluster.running(), [slot(1)]);
    cluster.finish(&slot(1));
    cluster.advance(MINUTE);
    cluster.offer("n1", "cpus:1;mem:64");
    assert_eq!(cluster.running(), [slot(2)], "nothing is taken to run that does not");
}

#[test]
fn a_slot_that_gives_way_to_the_next_before_it_ran_is_over() {
    let mut cluster = first_never_ran(Overlap::Replace);
    cluster.advance(MINUTE);
    cluster.offer("n1", "cpus:4;mem:256");
    assert_eq!(cluster.running(), [slot(2)]);
    let report = &order(&mut cluster, &Order::List).expect("a list")[0];
    assert_eq!((report.begun, report.skipped), (2, 1));
}

#[test]
fn a_slots_task_that_nobody_knows_any_more_is_ended_when_it_turns_up() {
    let mut cluster = scheduled(Overlap::Skip, Missed::Last);
    cluster.turn_up("backup.7");
    cluster.turn_up("gone.7");
    assert_eq!(cluster.killed(), ["backup.7", "gone.7"]);
}

#[test]
fn a_slot_whose_earlier_attempt_runs_after_all_is_not_begun_again() {
    let mut cluster = first_never_ran(Overlap::Skip);
    cluster.offer("n1", "cpus:1;mem:64");
    let task = TaskId::new(slot(1)).expect("an id");
    let rejection = Rejection::DuplicateTask { task, newest: Attempt(1) };
    cluster.end(&slot(1), Outcome::Refused { rejection });
    cluster.offer("n1", "cpus:1;mem:64");
    assert_eq!(cluster.running(), [""; 0]);
    cluster.advance(MINUTE);
    cluster.offer("n1", "cpus:1;mem:64");
    assert_eq!(cluster.running(), [slot(2)]);
}
