//! Jobs whose tasks wait for room, on agents that are offered as a master does it.

use super::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn sized(count: u64, needs: &[&str], resources: &str) -> Group {
    let work =
        crate::Work { resources: resources.parse().expect("resources"), ..kit::work("module") };
    Group { work, ..group(count, needs) }
}

fn offers(cluster: &mut Cluster<Batch>) -> Vec<u64> {
    cluster.offered().iter().map(|(at, ..)| at.as_secs()).collect()
}

/// Ends all tasks, round by round, until none runs.
fn finish_all(cluster: &mut Cluster<Batch>) {
    for _ in 0..100 {
        let running = cluster.running();
        running.iter().for_each(|task| cluster.finish(task));
        if running.is_empty() {
            return;
        }
    }
    panic!("it does not end");
}

#[test]
fn a_group_that_needs_one_whose_queues_were_filled_again_and_again_begins() {
    for (cpus, count) in [("1", 8), ("2", 8), ("3", 8), ("2", 9), ("4", 300)] {
        let mut cluster = serving();
        cluster.join("n1", &format!("cpus:{cpus};mem:100000"));
        let groups = [("b", group(count, &[])), ("c", group(1, &["b"])), ("d", group(9, &["c"]))];
        submit(&mut cluster, job("j", &groups));
        finish_all(&mut cluster);
        assert_eq!(standing(&mut cluster, "j"), Standing::Done, "{count} tasks on {cpus} cpus");
        cluster.advance(60 * SECOND);
    }
}

#[test]
fn a_job_that_no_agent_has_room_for_does_not_delay_the_others() {
    let mut cluster = serving();
    cluster.join("n1", "cpus:2;mem:512");
    submit(&mut cluster, job("huge", &[("a", sized(3, &[], "cpus:1000;mem:64"))]));
    cluster.advance(2 * SECOND);
    assert_eq!(offers(&mut cluster), [0_u64; 0], "nothing is of use to it");
    submit(&mut cluster, job("tall", &[("a", sized(1, &[], "cpus:1;mem:1024"))]));
    cluster.advance(11 * SECOND);
    assert_eq!(offers(&mut cluster), [2, 7, 12], "no more often than it declines");
    let small = |count| [("a", sized(count, &[], "cpus:1;mem:64"))];
    submit(&mut cluster, job("small", &small(1)));
    assert_eq!(cluster.running(), ["small-3.a.0"]);
    submit(&mut cluster, job("more", &small(1)));
    assert_eq!(cluster.running(), ["more-4.a.0", "small-3.a.0"]);
}

/// It waits anew, beside work that waited when the last offers were declined.
#[test]
fn a_task_that_is_tried_again_or_whose_needs_are_met_begins_at_once() {
    let mut cluster = serving();
    cluster.join("n1", "cpus:2;mem:512");
    submit(&mut cluster, job("wide", &[("a", sized(1, &[], "cpus:4;mem:1"))]));
    submit(&mut cluster, job("tall", &[("a", sized(1, &[], "cpus:0.1;mem:1024"))]));
    let once = Group { retries: 2, ..sized(1, &[], "cpus:1;mem:64") };
    submit(&mut cluster, job("j", &[("a", once), ("b", sized(1, &["a"], "cpus:1;mem:64"))]));
    for attempt in 1..=2 {
        assert_eq!(cluster.launched().last().expect("one").attempt, Attempt(attempt));
        cluster.advance(Duration::from_secs(7));
        cluster.end("j-3.a.0", Outcome::Exited { code: 1 });
        assert_eq!(cluster.running(), ["j-3.a.0"]);
    }
    cluster.finish("j-3.a.0");
    assert_eq!(cluster.running(), ["j-3.b.0"]);
}
