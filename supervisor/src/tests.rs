//! Exact stories, against a master that does as it is told.

use crate::{Hosted, Order, Report, State, Supervisor, info};
use skep_protocol::outcome::LostBy;
use skep_scheduler::{prelude::*, testing::Cluster};
use std::time::Duration;

fn hosted(name: &str) -> Hosted {
    Hosted {
        name: TaskId::new(name).expect("an id"),
        module: Digest::of(b"scheduler"),
        args: vec!["--fast".into()],
        env: [].into(),
        role: Some("eng".into()),
        resources: "cpus:0.1;mem:64".parse().expect("resources"),
        bundle: [("work.wasm".into(), Digest::of(b"work"))].into(),
    }
}

fn order(cluster: &mut Cluster<Supervisor>, order: &Order) -> Result<Vec<Report>, String> {
    let message = serde_json::to_vec(order).expect("an order");
    let answer = cluster.ask(&message).expect("an answer at once")?;
    Ok(serde_json::from_slice(&answer).expect("reports"))
}

fn state(cluster: &mut Cluster<Supervisor>) -> Vec<(State, u32)> {
    let reports = order(cluster, &Order::List).expect("a list");
    reports.iter().map(|report| (report.state, report.attempt)).collect()
}

fn running() -> Cluster<Supervisor> {
    let mut cluster = Cluster::new(info(), Supervisor::default());
    order(&mut cluster, &Order::Run(hosted("batch"))).expect("taken");
    cluster.offer("a1", "cpus:1;mem:1000");
    assert_eq!(state(&mut cluster), [(State::Running, 1)]);
    cluster
}

#[test]
fn a_hosted_scheduler_is_a_task_that_may_speak() {
    let mut cluster = running();
    let launched = cluster.launched();
    let [task] = launched.as_slice() else { panic!("{launched:?}") };
    assert!(task.grants.framework);
    let env: Vec<(&str, &str)> =
        task.grants.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let bundle = format!("{} work.wasm", Digest::of(b"work"));
    let expected =
        [("FRAMEWORK_BUNDLE", &*bundle), ("FRAMEWORK_NAME", "batch"), ("FRAMEWORK_ROLE", "eng")];
    assert_eq!(env, expected);
    assert_eq!(task.args, ["--fast"]);
}

#[test]
fn one_that_dies_is_started_again_after_a_while_and_one_that_is_done_is_not() {
    let mut cluster = running();
    cluster.end("batch", Outcome::Exited { code: 1 });
    assert_eq!(state(&mut cluster), [(State::Waiting, 1)]);
    let early = cluster.offer("a1", "cpus:1;mem:1000");
    assert_eq!(cluster.running(), [""; 0], "it waits a second, and the offer {early} goes back");
    cluster.advance(Duration::from_secs(1));
    cluster.offer("a2", "cpus:1;mem:1000");
    assert_eq!(state(&mut cluster), [(State::Running, 2)]);
    cluster.finish("batch");
    assert_eq!(state(&mut cluster), [(State::Ended, 2)]);
    cluster.advance(Duration::from_secs(100));
    cluster.offer("a1", "cpus:1;mem:1000");
    assert_eq!(cluster.running(), [""; 0]);
}

#[test]
fn one_whose_agent_is_lost_goes_elsewhere_at_once() {
    let mut cluster = running();
    cluster.end("batch", Outcome::Lost { why: LostBy::AgentLost });
    cluster.offer("a2", "cpus:1;mem:1000");
    assert_eq!(cluster.agent_of("batch"), Some("a2"));
    assert_eq!(state(&mut cluster), [(State::Running, 2)]);
}

#[test]
fn another_instance_goes_on_where_the_first_was() {
    let mut cluster = running();
    cluster.restart(Supervisor::default());
    assert_eq!(state(&mut cluster), [(State::Running, 1)]);
    cluster.lose_agent("a1");
    cluster.restart(Supervisor::default());
    cluster.offer("a2", "cpus:1;mem:1000");
    assert_eq!(state(&mut cluster), [(State::Running, 2)]);
}

#[test]
fn an_order_to_end_one_holds_even_if_the_instance_that_took_it_dies() {
    let mut cluster = running();
    order(&mut cluster, &Order::Kill { name: "batch".into() }).expect("taken");
    assert_eq!(cluster.killed(), ["batch"]);
    assert_eq!(state(&mut cluster), [(State::Ended, 1)]);
    cluster.restart(Supervisor::default());
    cluster.offer("a1", "cpus:1;mem:1000");
    assert_eq!(cluster.running(), [""; 0]);
    let again = order(&mut cluster, &Order::Kill { name: "batch".into() });
    assert!(again.expect_err("it is gone").contains("skep framework show"));
    order(&mut cluster, &Order::Run(hosted("batch"))).expect("the name is free");
    cluster.offer("a1", "cpus:1;mem:1000");
    assert_eq!(state(&mut cluster), [(State::Running, 2)], "its attempts are counted on");
}

#[test]
fn a_name_is_used_once_and_nonsense_is_refused_in_words() {
    let mut cluster = running();
    let twice = order(&mut cluster, &Order::Run(hosted("batch"))).expect_err("it is hosted");
    assert!(twice.contains("give another --name"), "{twice}");
    let role = Hosted { role: Some("a//b".into()), ..hosted("other") };
    order(&mut cluster, &Order::Run(role)).expect_err("no role");
    let nonsense = cluster.ask(b"hello").expect("an answer").expect_err("no order");
    assert!(nonsense.contains("no order"), "{nonsense}");
}

fn sized(name: &str, resources: &str) -> Order {
    Order::Run(Hosted { resources: resources.parse().expect("resources"), ..hosted(name) })
}

#[test]
fn one_that_no_agent_has_room_for_does_not_delay_the_others() {
    let mut cluster = Cluster::new(info(), Supervisor::default());
    cluster.join("a1", "cpus:2;mem:1024");
    order(&mut cluster, &sized("wide", "cpus:1000;mem:1")).expect("taken");
    order(&mut cluster, &sized("tall", "cpus:1;mem:4096")).expect("taken");
    cluster.advance(Duration::from_secs(12));
    let at = |cluster: &mut Cluster<Supervisor>| -> Vec<u64> {
        cluster.offered().iter().map(|(at, ..)| at.as_secs()).collect()
    };
    assert_eq!(at(&mut cluster), [0, 5, 10], "no more often than it declines");
    order(&mut cluster, &sized("small", "cpus:0.1;mem:64")).expect("taken");
    assert_eq!(cluster.running(), ["small"]);
    // Its wait is its own, though others wait for room all the time.
    cluster.end("small", Outcome::Exited { code: 1 });
    cluster.advance(Duration::from_millis(999));
    assert_eq!(cluster.running(), [""; 0]);
    cluster.advance(Duration::from_millis(1));
    assert_eq!(cluster.running(), ["small"]);
    cluster.end("small", Outcome::Lost { why: LostBy::AgentLost });
    assert_eq!(cluster.running(), ["small"], "at once");
    order(&mut cluster, &sized("another", "cpus:0.1;mem:64")).expect("taken");
    assert_eq!(cluster.running(), ["another", "small"]);
}

#[test]
fn an_attempt_that_was_called_lost_and_bars_the_next_is_ended() {
    let mut cluster = running();
    cluster.end("batch", Outcome::Lost { why: LostBy::AgentLost });
    cluster.offer("a1", "cpus:1;mem:1000");
    assert_eq!(state(&mut cluster), [(State::Running, 2)]);
    let task = TaskId::new("batch").expect("an id");
    let rejection = Rejection::DuplicateTask { task, newest: Attempt(1) };
    cluster.end("batch", Outcome::Refused { rejection });
    assert_eq!(cluster.killed(), ["batch"]);
    cluster.advance(Duration::from_secs(1));
    cluster.offer("a1", "cpus:1;mem:1000");
    assert_eq!(state(&mut cluster), [(State::Running, 3)]);
}
