//! Allocations that are filled again without a trip to the master.

use super::*;
use std::time::Duration;

fn run(cluster: &mut Cluster<Batch>) -> Vec<String> {
    cluster.launched().iter().map(|spec| spec.task.to_string()).collect()
}

fn ids(tasks: std::ops::Range<u64>) -> Vec<String> {
    tasks.map(|index| format!("j.{index}")).collect()
}

fn once(count: u64) -> Cluster<Batch> {
    let job = job("j", &[("a", group(count, &[]))]);
    Cluster::new(framework_info("once"), Batch::once(job))
}

#[test]
fn a_half_empty_queue_is_filled_up_without_an_offer_and_made_deeper() {
    let mut cluster = once(20);
    cluster.offer("n1", "cpus:2;mem:128");
    assert_eq!(run(&mut cluster), ids(0..4), "twice as many as fit");
    cluster.finish("j.0");
    assert_eq!(run(&mut cluster), ids(0..0), "it is not half empty");
    cluster.finish("j.1");
    assert_eq!(run(&mut cluster), ids(4..10), "it drained at once: eight in flight");
    for index in 2..6 {
        cluster.advance(Duration::from_secs(1));
        cluster.finish(&format!("j.{index}"));
    }
    assert_eq!(run(&mut cluster), ids(10..14), "it took its time: eight as before");
    assert_eq!(cluster.agent_of("j.13"), Some("n1"));
}

/// Updates come together: the master may know of the last end before the queue is filled.
#[test]
fn a_queue_that_was_over_before_it_was_filled_is_deeper_the_next_time() {
    let mut cluster = once(40);
    cluster.offer("n1", "cpus:2;mem:128");
    cluster.finish("j.0");
    cluster.finish("j.1");
    run(&mut cluster);
    for task in cluster.running() {
        let allocation = skep_protocol::AllocationId(1);
        cluster
            .end(&task, Outcome::Refused { rejection: Rejection::AllocationEnded { allocation } });
    }
    cluster.offer("n1", "cpus:2;mem:128");
    assert_eq!(run(&mut cluster), ids(2..10), "eight in flight from the beginning");
    (2..10).for_each(|index| cluster.finish(&format!("j.{index}")));
    assert_eq!(run(&mut cluster), ids(0..0), "what would be over is not filled");
    cluster.offer("n1", "cpus:2;mem:128");
    assert_eq!(run(&mut cluster), ids(10..26));
    for index in 10..18 {
        cluster.advance(Duration::from_secs(1));
        cluster.finish(&format!("j.{index}"));
    }
    assert_eq!(run(&mut cluster), ids(26..34), "it takes its time now");
    cluster.end("j.25", Outcome::Refused { rejection: Rejection::Recalled });
    cluster.offer("n2", "cpus:2;mem:128");
    assert_eq!(run(&mut cluster).len(), 4, "as if nothing were known");
}

#[test]
fn few_tasks_are_spread_over_the_offers_that_come_together() {
    let mut cluster = once(6);
    cluster.offer_all(&[("n1", "cpus:4;mem:256"), ("n2", "cpus:2;mem:128")]);
    let on = |agent: &str| -> Vec<String> {
        let running = cluster.running().into_iter();
        running.filter(|task| cluster.agent_of(task) == Some(agent)).collect()
    };
    assert_eq!((on("n1"), on("n2")), (ids(0..4), ids(4..6)));
}

#[test]
fn an_allocation_that_was_recalled_or_whose_agent_is_in_doubt_is_left_alone() {
    let recalled = Outcome::Refused { rejection: Rejection::Recalled };
    for outcome in [recalled, Outcome::Lost { why: LostBy::ExecutorEnded }] {
        let mut cluster = once(20);
        cluster.offer("n1", "cpus:2;mem:128");
        run(&mut cluster);
        cluster.end("j.3", outcome);
        (0..3).for_each(|index| cluster.finish(&format!("j.{index}")));
        assert_eq!(run(&mut cluster), ids(0..0));
        cluster.offer("n2", "cpus:1;mem:64");
        assert_eq!(run(&mut cluster), ids(3..5), "they wait for another offer");
    }
}

#[test]
fn a_launch_whose_answer_was_lost_makes_no_room() {
    let mut cluster = once(20);
    cluster.offer("n1", "cpus:2;mem:128");
    cluster.disconnect();
    cluster.reconnect();
    cluster.finish("j.0");
    cluster.finish("j.1");
    assert_eq!(cluster.running().len(), 8, "it was answered before");
    cluster.end("j.2", Outcome::Refused { rejection: Rejection::Recalled });
    (3..10).for_each(|index| cluster.finish(&format!("j.{index}")));
    assert_eq!(cluster.running(), [""; 0]);
}

/// What is launched together is filled again only if it is alike, and nothing goes before it.
#[test]
fn a_job_of_higher_priority_has_what_comes_free() {
    let mut cluster = serving();
    submit(&mut cluster, job("low", &[("a", group(40, &[]))]));
    cluster.offer("n1", "cpus:2;mem:128");
    let wide = Group {
        work: crate::Work {
            resources: "cpus:2;mem:64".parse().expect("resources"),
            ..kit::work("wide")
        },
        ..group(1, &[])
    };
    submit(&mut cluster, Job { priority: 1, ..job("high", &[("a", wide)]) });
    run(&mut cluster);
    (0..3).for_each(|index| cluster.finish(&format!("low-1.a.{index}")));
    assert_eq!(run(&mut cluster), [""; 0], "what waits of the other would wait for longer");
    cluster.offer("n2", "cpus:2;mem:64");
    assert_eq!(run(&mut cluster), ["high-2.a.0", "low-1.a.4"], "the other waits at the agent");
    cluster.offer("n3", "cpus:1;mem:64");
    assert_eq!(run(&mut cluster), ["low-1.a.5", "low-1.a.6"]);
    cluster.finish("low-1.a.5");
    assert_eq!(run(&mut cluster)[..2], ["low-1.a.7", "low-1.a.8"], "nothing goes before it");
}

#[test]
fn tasks_of_two_groups_that_were_launched_together_make_no_room() {
    let mut cluster = serving();
    submit(&mut cluster, job("j", &[("a", group(1, &[])), ("b", group(40, &[]))]));
    cluster.offer("n1", "cpus:2;mem:128");
    assert_eq!(run(&mut cluster), ["j-1.a.0", "j-1.b.0", "j-1.b.1", "j-1.b.2"]);
    for task in ["j-1.b.0", "j-1.b.1", "j-1.b.2"] {
        cluster.finish(task);
    }
    assert_eq!(run(&mut cluster), [""; 0]);
}

#[test]
fn what_is_launched_without_an_offer_is_kept_before_it_and_known_to_the_next_instance() {
    let mut cluster = serving();
    submit(&mut cluster, job("j", &[("a", group(12, &[]))]));
    cluster.offer("n1", "cpus:2;mem:128");
    cluster.finish("j-1.a.0");
    cluster.finish("j-1.a.1");
    cluster.restart(Batch::serving());
    let before = &order(&mut cluster, &Order::List).expect("known")[0].groups[0];
    assert_eq!((before.done, before.launched), (2, 8));
    (2..10).for_each(|index| cluster.finish(&format!("j-1.a.{index}")));
    cluster.offer("n1", "cpus:2;mem:128");
    cluster.finish("j-1.a.10");
    cluster.finish("j-1.a.11");
    assert_eq!(standing(&mut cluster, "j"), Standing::Done);
}
