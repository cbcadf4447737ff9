//! What those who show and collect are told, and when the framework ends.

use super::*;
use skep_framework::{Scheduler as _, testing::Cluster};
use skep_frameworks::batch::Group;
use skep_protocol::{Amount, Digest, Resources, TaskId, TaskSpec, framework::FrameworkInfo};

type Kit = (Watched<Teller>, mpsc::UnboundedReceiver<Told>, mpsc::UnboundedSender<Order>);

/// A scheduler of `count` tasks of one cpu and 64 MiB, with the ends of its channels.
fn kit(count: u64) -> Kit {
    let each = Resources::new(Amount::units(1), Amount::units(64));
    let template = TaskSpec::new(TaskId::new("any").expect("an id"), Digest::of(b"m"), each);
    let group = Group { losses: 1, ..Group::of_template(template, 3, count) };
    let groups = [("run".to_owned(), group)].into();
    let (tell, told) = mpsc::unbounded_channel();
    let (orders, ordered) = mpsc::unbounded_channel();
    let job = batch::Job { name: "j".into(), priority: 0, groups };
    let (running, _) = mpsc::unbounded_channel();
    (scheduler(job, tell, ordered, running), told, orders)
}

/// What was told since, as words.
fn heard(told: &mut mpsc::UnboundedReceiver<Told>) -> Vec<String> {
    let task = |update: &StatusUpdate| format!("{}#{}", update.key.task, update.key.attempt);
    let told = std::iter::from_fn(|| told.try_recv().ok());
    let words = told.map(|told| match told {
        Told::Started { update } => format!("started {}", task(&update)),
        Told::Ended { place, update } => format!("ended {place} {}", task(&update)),
        Told::Again { update } => format!("again {}", task(&update)),
        Told::Connection(link) => format!("{link:?}"),
        Told::AllDone => "all done".into(),
    });
    words.collect()
}

#[test]
fn each_step_of_each_task_is_told_and_when_all_are_done() {
    let (scheduler, mut told, _orders) = kit(2);
    let mut cluster = Cluster::new(FrameworkInfo::default(), scheduler);
    assert_eq!(heard(&mut told), ["Up"]);
    cluster.offer("n1", "cpus:2;mem:128");
    assert_eq!(heard(&mut told), ["started j.3#1", "started j.4#1"]);
    cluster.finish("j.4");
    cluster.lose_agent("n1");
    assert_eq!(heard(&mut told), ["ended 1 j.4#1", "again j.3#1"]);
    cluster.disconnect();
    cluster.reconnect();
    assert_eq!(heard(&mut told), ["Down", "Up"]);
    cluster.offer("n2", "cpus:2;mem:128");
    cluster.lose_agent("n2");
    assert_eq!(heard(&mut told), ["started j.3#2", "ended 0 j.3#2", "all done"]);
    assert_eq!(cluster.ending(), None, "outputs are yet to be collected");
    assert!(cluster.state().is_empty(), "nothing is kept at the master");
}

#[test]
fn one_that_goes_on_where_another_has_ended_is_told_like_any_other() {
    let (scheduler, mut told, _orders) = kit(4);
    let mut cluster = Cluster::new(FrameworkInfo::default(), scheduler);
    cluster.offer("n1", "cpus:1;mem:64");
    heard(&mut told);
    cluster.finish("j.3");
    let words = heard(&mut told);
    assert!(words.contains(&"ended 0 j.3#1".into()), "{words:?}");
    assert!(words.contains(&"started j.6#1".into()), "without an offer: {words:?}");
}

#[test]
fn an_end_is_acknowledged_when_what_the_task_left_is_collected() {
    let (scheduler, mut told, orders) = kit(2);
    let mut cluster = Cluster::new(FrameworkInfo::default(), scheduler);
    cluster.offer("n1", "cpus:2;mem:128");
    cluster.finish("j.3");
    cluster.finish("j.4");
    assert_eq!(cluster.unacknowledged(), ["j.3#1", "j.4#1"]);
    let ends = std::iter::from_fn(|| told.try_recv().ok()).filter_map(|told| match told {
        Told::Ended { update, .. } => Some(update.key),
        _ => None,
    });
    let keys: Vec<TaskKey> = ends.collect();
    assert_eq!(keys.len(), 2);
    orders.send(Order::Collected(keys[..1].to_vec())).expect("the scheduler listens");
    cluster.wake();
    assert_eq!(cluster.unacknowledged(), ["j.4#1"]);
}

/// Runs all that can be launched to its end; gives the keys of those that ended.
fn run_all(
    cluster: &mut Cluster<Watched<Teller>>,
    told: &mut mpsc::UnboundedReceiver<Told>,
) -> Vec<TaskKey> {
    loop {
        cluster.offer("n1", "cpus:1000;mem:64000");
        let running = cluster.running();
        if running.is_empty() {
            break;
        }
        running.iter().for_each(|task| cluster.finish(task));
    }
    let ends = std::iter::from_fn(|| told.try_recv().ok()).filter_map(|told| match told {
        Told::Ended { update, .. } => Some(update.key),
        _ => None,
    });
    ends.collect()
}

#[test]
fn no_new_task_is_launched_while_too_much_is_not_collected() {
    let count = 20_000;
    let (scheduler, mut told, orders) = kit(count);
    let mut cluster = Cluster::new(FrameworkInfo::default(), scheduler);
    let mut all = Vec::new();
    let mut rounds = 0;
    while (all.len() as u64) < count {
        let ended = run_all(&mut cluster, &mut told);
        // What was on its way then ends, too.
        assert!((1..=16_000).contains(&ended.len()), "{} ended at once", ended.len());
        all.extend(ended.iter().cloned());
        rounds += 1;
        orders.send(Order::Collected(ended)).expect("the scheduler listens");
        cluster.wake();
    }
    assert!(rounds > 1, "it was held back");
    assert!(cluster.unacknowledged().is_empty());
}

#[test]
fn the_framework_is_torn_down_when_it_is_ordered_to() {
    let (mut scheduler, _told, orders) = kit(1);
    let mut driver = Driver::new(FrameworkInfo::default(), None);
    scheduler.woken(&mut driver);
    assert_eq!(driver.ending(), None);
    orders.send(Order::Stop).expect("the scheduler listens");
    scheduler.woken(&mut driver);
    assert_eq!(driver.ending(), Some(&skep_framework::Ending::Done));
}
