//! What is done about a guest in trouble: started again, told to end, found silent.

use crate::kit::{Bench, EXITED, SOON, key, trapped};
use skep_protocol::{
    executor::{Report, StartGuest},
    outcome::{KilledBy, Outcome, Progress, Trap},
    task::{DirGrant, DirSource, Policies, Retry, RetryOn},
};
use std::time::{Duration, Instant};

const KILLED: Outcome = Outcome::Killed { by: KilledBy::Framework };
/// No test waits for so long.
const AGES: Duration = Duration::from_secs(300);

fn retried(guest: StartGuest, times: u32) -> StartGuest {
    let retry = Retry { wait: Duration::from_millis(1), ..Retry::after_any(times) };
    StartGuest { policies: Policies { retry: Some(retry), ..Policies::default() }, ..guest }
}

#[tokio::test]
async fn a_guest_that_fails_is_run_again_with_what_it_left_until_it_ends_well() {
    let bench = Bench::new();
    let once = bench.run(bench.guest("count_runs")).await;
    assert_eq!((once.outcome, once.usage.restarts), (Outcome::Exited { code: 9 }, 0));
    bench.start(retried(bench.guest("count_runs"), 5));
    let reports = bench.until_the_end().await;
    for report in &reports {
        match report {
            Report::Ended { outcome, usage, result, .. } => {
                assert_eq!((outcome, usage.restarts, &result[..]), (&EXITED, 2, &[3][..]));
                assert!(usage.fuel > 2 * once.usage.fuel, "the fuel is that of all runs");
            }
            Report::Progressed(Progress { done, total, .. }) => {
                assert!((1..=2).contains(done) && *total == 5);
            }
            Report::Checkpointed(checkpoint) => assert_eq!(checkpoint.key, key("count_runs")),
            Report::Started { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    let starts = reports.iter().filter(|report| matches!(report, Report::Started { .. }));
    assert_eq!(starts.count(), 1, "for the agent it is one run");
}

#[tokio::test]
async fn a_guest_begins_with_the_checkpoint_that_its_order_brings() {
    let bench = Bench::new();
    let end = bench.run(StartGuest { checkpoint: vec![2], ..bench.guest("count_runs") }).await;
    assert_eq!((end.outcome, end.result), (EXITED, vec![3]));
}

#[tokio::test]
async fn a_guest_is_run_again_as_often_as_it_may_and_for_the_reasons_named() {
    let bench = Bench::new();
    let end = bench.run(retried(bench.guest("exit_code"), 2)).await;
    let failed = Outcome::Exited { code: 1 + i32::try_from("exit_code.wasm".len()).expect("few") };
    assert_eq!((&end.outcome, end.usage.restarts), (&failed, 2));
    let mut guest = retried(bench.guest("exit_code"), 2);
    let retry = guest.policies.retry.as_mut().expect("it is retried");
    retry.on = [RetryOn::Trap].into();
    let end = bench.run(guest).await;
    assert_eq!((end.outcome, end.usage.restarts), (failed, 0));
    let mut guest = retried(bench.guest("spin"), 2);
    guest.limits.fuel = Some(1_000);
    let end = bench.run(guest).await;
    assert_eq!((end.outcome, end.usage.restarts), (Outcome::OutOfFuel { limit: 1_000 }, 0));
    let end = bench.run(retried(bench.guest("hoard_then_trap"), 1)).await;
    assert_eq!(end.usage.restarts, 1);
}

#[tokio::test]
async fn a_limit_on_output_and_files_is_for_all_runs_together() {
    let bench = Bench::new();
    let mut guest = retried(bench.guest("hoard_files"), 3);
    guest.grants.dirs = vec![DirGrant::read_write(DirSource::Sandbox, ".")];
    guest.limits.files = 20;
    let end = bench.run(guest).await;
    assert!(matches!(end.outcome, Outcome::DiskLimit { files: 20, .. }), "{:?}", end.outcome);
    assert_eq!(end.usage.restarts, 0, "what a limit ends would end so again");
}

#[tokio::test]
async fn a_guest_that_waits_to_be_run_again_can_be_killed_and_meets_its_deadline() {
    let bench = Bench::new();
    let slow = |name| {
        let mut guest = retried(bench.guest(name), 5);
        guest.policies.retry.as_mut().expect("it is retried").wait = AGES;
        guest
    };
    let guest = slow("exit_code");
    bench.start(guest.clone());
    bench.wait_for(|report| matches!(report, Report::Progressed(_))).await;
    let end = bench.kill(&guest.key).await;
    assert_eq!((end.outcome, end.usage.restarts), (KILLED, 0));
    let mut guest = slow("exit_negative");
    guest.limits.deadline = Some(SOON);
    assert_eq!(bench.outcome(guest).await, Outcome::DeadlinePassed { limit: SOON });
}

#[tokio::test]
async fn a_guest_that_is_told_to_end_has_its_grace_and_no_more() {
    let bench = Bench::new();
    let graced = |name, grace| {
        let mut guest = bench.guest(name);
        guest.policies.kill_grace = Some(grace);
        guest
    };
    let guest = graced("heed_notice", AGES);
    bench.start(guest.clone());
    bench.wait_until_started(1).await;
    let end = bench.kill(&guest.key).await;
    assert_eq!((end.outcome, end.result), (KILLED, vec![0]), "it was told, and said so");
    for name in ["spin", "sleep_forever"] {
        let guest = graced(name, SOON);
        bench.start(guest.clone());
        bench.wait_until_started(1).await;
        let begin = Instant::now();
        assert_eq!(bench.kill(&guest.key).await.outcome, KILLED);
        assert!(begin.elapsed() >= SOON, "{name} had no grace");
    }
    // One that is not to be told is not.
    let guest = bench.guest("heed_notice");
    bench.start(guest.clone());
    bench.wait_until_started(1).await;
    let end = bench.kill(&guest.key).await;
    assert_eq!((end.outcome, end.result), (KILLED, Vec::new()));
}

#[tokio::test]
async fn a_guest_that_is_to_end_is_not_run_again() {
    let bench = Bench::new();
    let mut guest = retried(bench.guest("heed_notice"), 5);
    guest.policies.kill_grace = Some(AGES);
    bench.start(guest.clone());
    bench.wait_until_started(1).await;
    let end = bench.kill(&guest.key).await;
    assert_eq!((end.outcome, end.usage.restarts), (KILLED, 0));
}

#[tokio::test]
async fn a_guest_that_gives_no_sign_of_life_is_ended_and_one_that_does_is_not() {
    let bench = Bench::new();
    let checked = |name, limit| {
        let mut guest = bench.guest(name);
        guest.policies.heartbeat = Some(limit);
        guest
    };
    for name in ["spin", "sleep_forever"] {
        let outcome = bench.outcome(checked(name, SOON)).await;
        assert_eq!(outcome, Outcome::Unhealthy { limit: SOON }, "{name}");
    }
    let limit = Duration::from_millis(500);
    assert_eq!(bench.outcome(checked("beat", limit)).await, EXITED);
}

#[tokio::test]
async fn a_checkpoint_lies_in_the_guests_memory_and_is_no_longer_than_it_may_be() {
    let bench = Bench::new();
    assert_eq!(bench.outcome(bench.guest("forge_checkpoint")).await, EXITED);
    let mut small = bench.guest("forge_checkpoint");
    // Two pages, and nothing for the host to keep.
    small.memory_bytes = 128 << 10;
    assert!(
        trapped(Trap::Unreachable)(&bench.outcome(small.clone()).await) || {
            let outcome = bench.outcome(small).await;
            matches!(outcome, Outcome::OutOfMemory { .. })
        }
    );
}

#[tokio::test]
async fn a_flood_of_checkpoints_leaves_once_a_second() {
    let bench = Bench::new();
    let mut guest = bench.guest("flood_checkpoints");
    guest.limits.fuel = Some(200_000_000);
    let begin = Instant::now();
    bench.start(guest);
    let reports = bench.until_the_end().await;
    let left = reports.iter().filter(|report| matches!(report, Report::Checkpointed(_)));
    let count = left.count() as u64;
    let Some(Report::Ended { outcome, .. }) = reports.last() else { panic!("{reports:?}") };
    assert_eq!(*outcome, Outcome::OutOfFuel { limit: 200_000_000 });
    // One at once, one a second, and the last.
    let most = 2 + begin.elapsed().as_secs();
    assert!((1..=most).contains(&count), "{count} checkpoints left");
}

#[tokio::test]
async fn a_guest_speaks_as_a_framework_if_it_may_and_makes_sense() {
    let bench = Bench::new();
    let guest = bench.guest("forge_framework");
    assert_eq!(bench.outcome(guest.clone()).await, Outcome::Exited { code: 1 });
    let mut granted = guest;
    granted.grants.framework = true;
    assert_eq!(bench.outcome(granted).await, EXITED);
}

#[tokio::test]
async fn a_guest_that_says_more_than_is_taken_waits_and_can_be_killed() {
    let bench = Bench::new();
    let mut guest = bench.guest("flood_calls");
    guest.grants.framework = true;
    guest.limits.fuel = Some(10_000_000);
    guest.limits.deadline = Some(SOON);
    // It would be out of fuel if it did not wait.
    assert_eq!(bench.outcome(guest).await, Outcome::DeadlinePassed { limit: SOON });
}
