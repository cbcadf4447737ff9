//! Shares of the processors, pause and resume, with real guests.
//!
//! What is asserted of time are ratios within one run, with wide margins: how exact shares are is
//! for the queue's own tests, in virtual time, and for `skep bench cpu`.

mod kit;

use kit::{Bench, EXITED, End, key};
use skep_protocol::{
    executor::{Report, StartGuest},
    outcome::{KilledBy, Outcome},
    resources::Amount,
};
use std::time::Duration;

/// Spins for ever.
const SPIN: &str = r#"(module (func (export "_start") (loop $more (br $more))))"#;
/// Counts to twenty million, which takes tens of turns.
const COUNT: &str = r#"(module (func (export "_start") (local $left i32)
    (local.set $left (i32.const 20000000))
    (loop $more
      (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))"#;
/// Counts to twenty million, but first says that it is there.
const COUNT_ALOUD: &str = r#"(module
  (import "skep" "progress" (func $progress (param i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $left i32)
    (drop (call $progress (i64.const 1) (i64.const 2) (i32.const 0) (i32.const 0)))
    (local.set $left (i32.const 20000000))
    (loop $more
      (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))"#;

const KILLED: Outcome = Outcome::Killed { by: KilledBy::Operator };

/// A guest of a module given as text, with a share in thousandths.
fn guest(bench: &Bench, name: &str, text: &str, share: u64) -> StartGuest {
    let module = wat::parse_str(text).expect("a guest of ours");
    let cpus = Amount::millis(share);
    StartGuest { cpus, memory_bytes: 1 << 20, ..bench.guest_of(name, &module) }
}

async fn end_of(bench: &Bench, name: &str) -> End {
    bench.end_of(&key(name)).await
}

#[tokio::test]
async fn guests_that_compute_get_what_their_shares_say() {
    let bench = Bench::with_workers(1);
    // All die together when the first of them, which has the largest share, has used its fuel.
    for (name, share) in [("one", 100), ("three", 300), ("six", 600)] {
        let mut guest = guest(&bench, name, SPIN, share);
        guest.limits.fuel = (share == 600).then_some(600_000_000);
        bench.start(guest);
    }
    let End { outcome, usage: six, .. } = end_of(&bench, "six").await;
    assert_eq!(outcome, Outcome::OutOfFuel { limit: 600_000_000 });
    let mut others = Vec::new();
    for name in ["three", "one"] {
        bench.runner.kill(&key(name), KilledBy::Operator);
        let End { outcome, usage, .. } = end_of(&bench, name).await;
        assert_eq!(outcome, KILLED);
        others.push(usage);
    }
    let [three, one] = others.as_slice() else { unreachable!("there are two") };
    let ratio = |a: u64, b: u64| a * 100 / b.max(1);
    assert!((140..=280).contains(&ratio(six.fuel, three.fuel)), "{} {}", six.fuel, three.fuel);
    assert!((200..=450).contains(&ratio(three.fuel, one.fuel)), "{} {}", three.fuel, one.fuel);
}

#[tokio::test]
async fn processor_time_is_counted_and_no_more_than_passed() {
    let bench = Bench::with_workers(2);
    bench.start(guest(&bench, "counts", COUNT, 1_000));
    let End { outcome, usage, .. } = end_of(&bench, "counts").await;
    assert_eq!(outcome, EXITED);
    assert!(usage.cpu > Duration::ZERO);
    assert!(usage.cpu <= usage.wall + usage.start, "{usage:?}");
}

#[tokio::test]
async fn a_paused_guest_stands_still_and_then_ends_as_if_nothing_had_been() {
    let bench = Bench::with_workers(1);
    bench.start(guest(&bench, "undisturbed", COUNT_ALOUD, 500));
    let undisturbed = end_of(&bench, "undisturbed").await.usage;

    bench.start(guest(&bench, "paused", COUNT_ALOUD, 500));
    bench.wait_for(|report| matches!(report, Report::Started { .. })).await;
    bench.runner.pause(&key("paused"));
    bench.runner.pause(&key("paused"));
    bench.wait_for(|report| matches!(report, Report::Paused { .. })).await;
    // Another guest with the same work ends meanwhile, with all of the processor to itself.
    bench.start(guest(&bench, "other", COUNT, 10));
    loop {
        let reports = bench.runner.reports().await;
        let other = |report: &Report| match report {
            Report::Ended { key: ended, .. } => {
                assert_eq!(*ended, key("other"));
                true
            }
            Report::Started { .. } | Report::Progressed(_) => false,
            report => panic!("{report:?}"),
        };
        if reports.iter().any(other) {
            break;
        }
    }
    bench.runner.resume(&key("paused"));
    bench.runner.resume(&key("paused"));
    let next = |report: &Report| !matches!(report, Report::Progressed(_));
    assert!(matches!(bench.wait_for(next).await, Report::Resumed { .. }));
    let End { outcome, usage, .. } = end_of(&bench, "paused").await;
    assert_eq!(outcome, EXITED);
    assert_eq!(usage.fuel, undisturbed.fuel);
}

#[tokio::test]
async fn a_paused_guest_that_spins_uses_no_fuel() {
    let bench = Bench::with_workers(1);
    bench.start(guest(&bench, "paused", SPIN, 500));
    bench.wait_for(|report| matches!(report, Report::Started { .. })).await;
    bench.runner.pause(&key("paused"));
    bench.wait_for(|report| matches!(report, Report::Paused { .. })).await;
    let mut guest = guest(&bench, "other", SPIN, 10);
    guest.limits.fuel = Some(200_000_000);
    bench.start(guest);
    let other = end_of(&bench, "other").await.usage;
    bench.runner.kill(&key("paused"), KilledBy::Operator);
    let End { outcome, usage: paused, .. } = end_of(&bench, "paused").await;
    assert_eq!(outcome, KILLED);
    assert!(paused.fuel < other.fuel / 4, "{} {}", paused.fuel, other.fuel);
}

#[tokio::test]
async fn a_deadline_finds_a_paused_guest() {
    let bench = Bench::with_workers(1);
    let limit = Duration::from_millis(100);
    let mut guest = guest(&bench, "paused", SPIN, 500);
    guest.limits.deadline = Some(limit);
    bench.start(guest);
    bench.runner.pause(&key("paused"));
    assert_eq!(end_of(&bench, "paused").await.outcome, Outcome::DeadlinePassed { limit });
}

#[tokio::test]
async fn orders_for_a_guest_that_does_not_run_are_harmless() {
    let bench = Bench::with_workers(1);
    bench.runner.pause(&key("nobody"));
    bench.runner.resume(&key("nobody"));
    bench.runner.kill(&key("nobody"), KilledBy::Operator);
    bench.start(guest(&bench, "counts", COUNT, 0));
    assert_eq!(end_of(&bench, "counts").await.outcome, EXITED);
    bench.runner.pause(&key("counts"));
}

#[tokio::test]
async fn a_kill_ends_each_of_fifty_spinners() {
    let bench = Bench::with_workers(2);
    let names: Vec<_> = (0..50).map(|number| format!("spin{number}")).collect();
    for name in &names {
        bench.start(guest(&bench, name, SPIN, 20));
    }
    for name in &names {
        bench.runner.kill(&key(name), KilledBy::Operator);
        assert_eq!(end_of(&bench, name).await.outcome, KILLED);
    }
}
