//! Exact stories of services.

use super::{Order, Report, Services, Spec};
use crate::kit;
use skep_protocol::outcome::{KilledBy, LostBy};
use skep_scheduler::{prelude::*, testing::Cluster};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn spec(version: &str, copies: u32) -> Spec {
    let work = kit::work(version);
    Spec {
        name: "web".into(),
        work,
        copies,
        spread: "hostname".into(),
        healthy_after: SECOND,
        surge: 1,
        unavailable: 0,
    }
}

fn order(cluster: &mut Cluster<Services>, order: &Order) -> Result<Vec<Report>, String> {
    let message = serde_json::to_vec(order).expect("an order");
    let answer = cluster.ask(&message).expect("an answer at once")?;
    Ok(serde_json::from_slice(&answer).expect("reports"))
}

fn healthy(cluster: &mut Cluster<Services>) -> u32 {
    order(cluster, &Order::List).expect("a list")[0].healthy
}

/// Three copies on three agents, all healthy.
fn three() -> Cluster<Services> {
    let mut cluster = Cluster::new(framework_info("service"), Services::default());
    order(&mut cluster, &Order::Apply { spec: Box::new(spec("one", 3)) }).expect("taken");
    for agent in ["n1", "n2", "n3"] {
        cluster.offer(agent, "cpus:1;mem:64");
    }
    assert_eq!(healthy(&mut cluster), 0, "they have just begun");
    cluster.advance(SECOND);
    assert_eq!(healthy(&mut cluster), 3);
    cluster
}

#[test]
fn a_copy_that_ends_is_replaced_after_a_wait_and_one_that_is_lost_at_once() {
    let mut cluster = three();
    cluster.end("web.0", Outcome::Exited { code: 1 });
    cluster.offer("n1", "cpus:1;mem:64");
    assert_eq!(cluster.running(), ["web.1", "web.2"]);
    cluster.advance(SECOND);
    cluster.offer("n1", "cpus:1;mem:64");
    assert_eq!(cluster.running(), ["web.1", "web.2", "web.3"]);
    cluster.end("web.1", Outcome::Lost { why: LostBy::AgentLost });
    cluster.offer("n4", "cpus:1;mem:64");
    assert_eq!(cluster.running(), ["web.2", "web.3", "web.4"]);
}

#[test]
fn a_copy_whose_offer_was_gone_or_whose_agent_stops_is_started_again_at_once() {
    let ends = [
        Outcome::Refused { rejection: Rejection::OffersDoNotMatch },
        Outcome::Refused { rejection: Rejection::Recalled },
        Outcome::Killed { by: KilledBy::AgentDrained },
        Outcome::Killed { by: KilledBy::AgentStopped },
    ];
    for end in ends {
        let mut cluster = three();
        let first = cluster.running()[0].clone();
        cluster.end(&first, end.clone());
        cluster.offer("n9", "cpus:4;mem:1024");
        assert_eq!(cluster.running().len(), 3, "{end}");
    }
}

#[test]
fn a_copy_that_nobody_knows_any_more_is_ended_when_it_turns_up() {
    let mut cluster = three();
    cluster.end("web.0", Outcome::Lost { why: LostBy::AgentLost });
    cluster.turn_up("web.0");
    assert_eq!(cluster.killed(), ["web.0"]);
    cluster.restart(Services::default());
    cluster.turn_up("web.0");
    cluster.turn_up("gone.7");
    assert_eq!(cluster.killed(), ["web.0", "gone.7"]);
    assert_eq!(cluster.running(), ["web.1", "web.2"]);
}

#[test]
fn copies_are_spread() {
    let mut cluster = three();
    order(&mut cluster, &Order::Scale { name: "web".into(), copies: 5 }).expect("scaled");
    cluster.offer("n1", "cpus:1;mem:64");
    cluster.offer("n2", "cpus:8;mem:640");
    assert_eq!(cluster.agent_of("web.3"), Some("n1"));
    assert_eq!(cluster.agent_of("web.4"), Some("n2"));
    let zones = Spec { name: "zoned".into(), spread: "zone".into(), ..spec("one", 2) };
    order(&mut cluster, &Order::Apply { spec: Box::new(zones) }).expect("taken");
    cluster.offer_with("n5", "cpus:1;mem:64", &[("zone", "a")]);
    cluster.offer_with("n6", "cpus:1;mem:64", &[("zone", "b")]);
    assert_eq!(cluster.agent_of("zoned.0"), Some("n5"));
    assert_eq!(cluster.agent_of("zoned.1"), Some("n6"));
}

#[test]
fn a_new_version_replaces_the_old_without_one_healthy_copy_less() {
    let mut cluster = three();
    order(&mut cluster, &Order::Apply { spec: Box::new(spec("two", 3)) }).expect("taken");
    cluster.launched();
    for round in 0..3 {
        cluster.offer("n4", "cpus:1;mem:64");
        assert_eq!(cluster.launched().len(), 1, "round {round}: one more at a time");
        assert_eq!(cluster.killed(), [""; 0], "it is not healthy yet");
        assert_eq!(healthy(&mut cluster), 3);
        cluster.advance(SECOND);
        assert_eq!(cluster.killed(), [format!("web.{round}")]);
        assert_eq!(healthy(&mut cluster), 3);
    }
    assert_eq!(cluster.running(), ["web.3", "web.4", "web.5"]);
    cluster.offer("n4", "cpus:1;mem:64");
    assert_eq!(cluster.launched(), []);
}

#[test]
fn another_instance_knows_the_copies_and_what_was_to_end() {
    let mut cluster = three();
    cluster.restart(Services::default());
    cluster.offer("n4", "cpus:4;mem:256");
    assert_eq!(cluster.running(), ["web.0", "web.1", "web.2"]);
    cluster.end("web.2", Outcome::Lost { why: LostBy::AgentLost });
    cluster.restart(Services::default());
    cluster.offer("n4", "cpus:4;mem:256");
    assert_eq!(cluster.running(), ["web.0", "web.1", "web.3"]);
}

#[test]
fn fewer_copies_and_none() {
    let mut cluster = three();
    order(&mut cluster, &Order::Scale { name: "web".into(), copies: 1 }).expect("scaled");
    assert_eq!(cluster.killed(), ["web.2", "web.1"]);
    order(&mut cluster, &Order::Remove { name: "web".into() }).expect("removed");
    assert_eq!(cluster.killed(), ["web.0"]);
    assert!(cluster.state().is_empty());
    order(&mut cluster, &Order::Scale { name: "web".into(), copies: 1 }).expect_err("gone");
}

#[test]
fn what_cannot_be_had_is_refused() {
    let mut cluster = Cluster::new(framework_info("service"), Services::default());
    let mut refused = |spec: Spec| {
        order(&mut cluster, &Order::Apply { spec: Box::new(spec) }).expect_err("refused")
    };
    assert!(refused(Spec { name: "a b".into(), ..spec("one", 1) }).starts_with("name:"));
    assert!(refused(Spec { surge: 0, ..spec("one", 1) }).starts_with("surge and unavailable:"));
    assert!(refused(spec("one", 100_000)).starts_with("copies:"));
}

fn named(name: &str, cpus: &str, copies: u32) -> Order {
    let mut spec = Spec { name: name.into(), ..spec("one", copies) };
    spec.work.resources = format!("cpus:{cpus};mem:16").parse().expect("resources");
    Order::Apply { spec: Box::new(spec) }
}

fn offers(cluster: &mut Cluster<Services>) -> Vec<u64> {
    cluster.offered().iter().map(|(at, ..)| at.as_secs()).collect()
}

#[test]
fn one_that_no_agent_has_room_for_does_not_delay_the_others() {
    let mut cluster = Cluster::new(framework_info("service"), Services::default());
    cluster.join("n1", "cpus:2;mem:1024");
    order(&mut cluster, &named("huge", "1000", 1)).expect("taken");
    cluster.advance(2 * SECOND);
    assert_eq!(offers(&mut cluster), [0_u64; 0], "nothing is of use to it");
    order(&mut cluster, &named("small", "0.1", 1)).expect("taken");
    assert_eq!((cluster.running(), offers(&mut cluster)), (vec!["small.0".into()], vec![2]));
    order(&mut cluster, &Order::Scale { name: "small".into(), copies: 3 }).expect("scaled");
    assert_eq!(cluster.running(), ["small.0", "small.1", "small.2"]);
    cluster.end("small.1", Outcome::Lost { why: LostBy::AgentLost });
    assert_eq!(cluster.running(), ["small.0", "small.2", "small.3"]);
    cluster.end("small.2", Outcome::Exited { code: 1 });
    cluster.advance(SECOND);
    assert_eq!(cluster.running(), ["small.0", "small.3", "small.4"]);
    assert_eq!(offers(&mut cluster), [2, 2, 3]);
    cluster.advance(60 * SECOND);
    assert_eq!(offers(&mut cluster), [0_u64; 0]);
}

/// Of what each of the two needs there is enough somewhere, but not in one place.
#[test]
fn what_was_declined_for_two_is_offered_for_a_third_at_once_and_else_no_sooner_than_before() {
    let mut cluster = Cluster::new(framework_info("service"), Services::default());
    cluster.join("n1", "cpus:2;mem:512");
    order(&mut cluster, &named("wide", "4", 1)).expect("taken");
    let mut tall = spec("one", 1);
    tall.work.resources = "cpus:0.1;mem:1024".parse().expect("resources");
    order(&mut cluster, &Order::Apply { spec: Box::new(tall) }).expect("taken");
    cluster.advance(12 * SECOND);
    assert_eq!(offers(&mut cluster), [0, 5, 10]);
    order(&mut cluster, &named("small", "0.1", 1)).expect("taken");
    assert_eq!((cluster.running(), offers(&mut cluster)), (vec!["small.0".into()], vec![12, 12]));
    cluster.advance(4 * SECOND);
    assert_eq!(offers(&mut cluster), [0_u64; 0]);
}

/// What the old copies use is the room for the new.
#[test]
fn a_new_version_goes_on_when_there_is_no_room_for_as_many_more_as_there_may_be() {
    let mut cluster = Cluster::new(framework_info("service"), Services::default());
    cluster.join("n1", "cpus:4;mem:1024");
    let version = |number: &str| {
        let mut spec = Spec { surge: 2, ..spec(number, 3) };
        spec.work.resources = "cpus:1;mem:16".parse().expect("resources");
        Order::Apply { spec: Box::new(spec) }
    };
    order(&mut cluster, &version("one")).expect("taken");
    cluster.advance(SECOND);
    order(&mut cluster, &version("two")).expect("taken");
    cluster.advance(3 * SECOND);
    assert_eq!(cluster.running(), ["web.3", "web.4", "web.5"]);
}
