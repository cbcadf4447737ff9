//! When the master is asked for offers, and for what.

use super::*;
use crate::{Needs, testing::Cluster};
use std::collections::BTreeSet;

fn of(text: &str) -> Resources {
    text.parse().expect("resources")
}

/// The works of these names, a task of each that needs so much.
fn needs(works: &[(&str, &str)]) -> Needs {
    let mut needs = Needs::none();
    works.iter().for_each(|(work, each)| needs.add(work, &of(each), 1));
    needs
}

fn words(driver: &mut Driver) -> Vec<String> {
    let word = |call: &Call| match call {
        Call::Demand { demand: Some(demand), .. } => format!("demand {}", demand.least),
        Call::Demand { demand: None, .. } => "demand anything".into(),
        Call::Suppress { .. } => "suppress".into(),
        Call::Revive { .. } => "revive".into(),
        Call::Decline { .. } => "decline".into(),
        Call::Accept { .. } => "accept".into(),
        other => format!("{other:?}"),
    };
    driver.take_calls().iter().map(word).collect()
}

fn after_a_decline(works: &[(&str, &str)]) -> Driver {
    let (mut driver, _) = subscribed();
    driver.ask_for(&needs(works));
    driver.decline(OfferId(1), None);
    driver.ask_for(&needs(works));
    driver.take_calls();
    driver
}

#[test]
fn what_waits_is_said_once_and_no_offers_are_asked_for_when_nothing_does() {
    let (mut driver, _) = subscribed();
    driver.ask_for(&needs(&[("a", "cpus:1;mem:64")]));
    assert_eq!(words(&mut driver), ["demand cpus:1;mem:64"]);
    driver.ask_for(&needs(&[("a", "cpus:1;mem:64")]));
    assert_eq!(words(&mut driver), [""; 0]);
    driver.ask_for(&Needs::none());
    driver.ask_for(&Needs::none());
    assert_eq!(words(&mut driver), ["suppress"]);
    driver.ask_for(&needs(&[("a", "cpus:1;mem:64")]));
    assert_eq!(words(&mut driver), ["revive"]);
}

/// Another instance may have said something, or the same before the connection broke.
#[test]
fn after_each_registration_it_is_said_again() {
    let (mut driver, mut told) = subscribed();
    driver.ask_for(&needs(&[("a", "cpus:1")]));
    driver.connected();
    let event = Event::Subscribed { framework: framework(), state: State::new() };
    driver.handle(Time::ZERO, event, &mut told);
    driver.ask_for(&needs(&[("a", "cpus:1")]));
    assert_eq!(words(&mut driver), ["demand cpus:1"]);
}

/// The master counts what is launched on offers: what it was told is not what it waits for.
#[test]
fn what_was_launched_on_offers_or_into_allocations_is_said_anew_if_more_waits() {
    let (mut driver, _) = subscribed();
    let waits = |driver: &mut Driver, count| {
        let mut needs = Needs::none();
        needs.add("a", &of("cpus:1;mem:64"), count);
        driver.ask_for(&needs);
        words(driver)
    };
    assert_eq!(waits(&mut driver, 4), ["demand cpus:1;mem:64"]);
    driver.accept(&[OfferId(1)], [spec("t1"), spec("t2")], Filters::default());
    driver.take_calls();
    assert_eq!(waits(&mut driver, 2), [""; 0]);
    driver.enqueue(AllocationId(1), [spec("t3")]);
    driver.take_calls();
    assert_eq!(waits(&mut driver, 1), [""; 0]);
    assert_eq!(waits(&mut driver, 2), ["demand cpus:1;mem:64"], "one has failed");
}

#[test]
fn what_was_declined_for_other_work_is_asked_for_again_once_work_comes() {
    let wide = ("wide", "cpus:4;mem:1");
    let tall = ("tall", "cpus:1;mem:64");
    let mut driver = after_a_decline(&[wide, tall]);
    for _ in 0..3 {
        driver.ask_for(&needs(&[wide, tall]));
        assert_eq!(words(&mut driver), [""; 0], "no news");
    }
    let small = ("small", "cpus:1;mem:1");
    driver.ask_for(&needs(&[wide, tall, small]));
    assert_eq!(words(&mut driver), ["demand cpus:1;mem:1", "revive"]);
    driver.decline(OfferId(2), None);
    driver.ask_for(&needs(&[wide, tall, small]));
    assert_eq!(words(&mut driver), ["decline"], "it was declined for all of them");
    // What comes again did not wait when the last was declined.
    driver.ask_for(&needs(&[wide, tall]));
    driver.decline(OfferId(3), None);
    driver.ask_for(&needs(&[wide, tall]));
    driver.take_calls();
    driver.ask_for(&needs(&[wide, tall, small]));
    assert!(words(&mut driver).contains(&"revive".into()));
}

/// It came in the very callback that declines: the offers were looked at without it.
#[test]
fn work_that_comes_with_a_decline_is_news() {
    let (mut driver, _) = subscribed();
    driver.ask_for(&needs(&[("a", "cpus:4")]));
    driver.decline(OfferId(1), None);
    driver.take_calls();
    driver.ask_for(&needs(&[("a", "cpus:4"), ("b", "cpus:4")]));
    assert_eq!(words(&mut driver).last().expect("a call"), "revive");
}

#[test]
fn what_is_given_back_without_a_filter_is_no_decline() {
    let (mut driver, _) = subscribed();
    driver.ask_for(&needs(&[("a", "cpus:4")]));
    driver.decline(OfferId(1), Some(Duration::ZERO));
    driver.accept(&[OfferId(2)], [spec("t")], Filters::default());
    driver.ask_for(&needs(&[("a", "cpus:4")]));
    driver.take_calls();
    driver.ask_for(&needs(&[("a", "cpus:4"), ("b", "cpus:4")]));
    assert!(!words(&mut driver).contains(&"revive".into()), "the master offers it anyway");
    driver.accept(&[OfferId(3)], [spec("u")], Filters { refuse: Some(Duration::from_secs(9)) });
    driver.ask_for(&needs(&[("a", "cpus:4"), ("b", "cpus:4")]));
    driver.take_calls();
    driver.ask_for(&needs(&[("a", "cpus:4"), ("b", "cpus:4"), ("c", "cpus:4")]));
    assert_eq!(words(&mut driver).last().expect("a call"), "revive");
}

/// Has one task at a time that each agent refuses, by the master or by itself.
#[derive(Default)]
struct Stubborn {
    waits: BTreeSet<String>,
    attempts: u32,
}

impl Stubborn {
    fn settle(&self, driver: &mut Driver) {
        let mut needs = Needs::none();
        self.waits.iter().for_each(|work| needs.add(work, &of("cpus:1"), 1));
        driver.ask_for(&needs);
    }
}

impl Scheduler for Stubborn {
    fn registered(&mut self, driver: &mut Driver, _: &FrameworkId) {
        self.waits.insert("stubborn".into());
        self.settle(driver);
    }

    fn resource_offers(&mut self, driver: &mut Driver, offers: Vec<Offer>) {
        for offer in offers {
            let tasks = self.waits.pop_first().map(|name| {
                self.attempts += 1;
                let spec = TaskSpec::new(
                    TaskId::new(name).expect("an id"),
                    Digest::of(b"m"),
                    of("cpus:1"),
                );
                TaskSpec { attempt: Attempt(self.attempts), ..spec }
            });
            driver.launch_or_decline(&offer, tasks.into_iter().collect());
        }
        self.settle(driver);
    }

    fn status_update(&mut self, driver: &mut Driver, update: &StatusUpdate) {
        if update.state.is_terminal() {
            self.waits.insert(update.key.task.to_string());
        }
        self.settle(driver);
    }

    fn woken(&mut self, driver: &mut Driver) {
        self.waits.insert("new".into());
        self.settle(driver);
    }
}

#[test]
fn a_task_that_is_refused_wherever_it_is_launched_does_not_go_round_as_fast_as_messages_travel() {
    let mut cluster = Cluster::new(info(), Stubborn::default());
    cluster.join("a", "cpus:1");
    let name = "agent".into();
    let refused = || Outcome::Refused { rejection: Rejection::Unsupported { name } };
    let recalled = Outcome::Refused { rejection: Rejection::Recalled };
    cluster.end("stubborn", recalled);
    assert_eq!(cluster.running(), ["stubborn"], "that was nobody's fault: it begins at once");
    cluster.end("stubborn", refused());
    cluster.advance(Duration::from_millis(499));
    assert_eq!(cluster.running(), [""; 0]);
    cluster.advance(Duration::from_millis(1));
    assert_eq!(cluster.running(), ["new"], "it was woken then, and has found more work");
    let at: Vec<u128> = cluster.offered().iter().map(|(at, ..)| at.as_millis()).collect();
    assert_eq!(at, [0, 0, 500]);
}
