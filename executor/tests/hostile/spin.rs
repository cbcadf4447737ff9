//! Guests that never end: by computing, by bulk operations, by calling the host, by sleeping.

use crate::kit::{Bench, EXITED, SOON, key};
use skep_protocol::{
    executor::{Report, StartGuest},
    outcome::{KilledBy, Outcome},
};
use std::time::Duration;

/// Guests that never end and use up fuel all the while.
pub(crate) const SPINNERS: [&str; 22] = [
    "spin",
    "spin_in_start",
    "spin_recursion",
    "spin_indirect",
    "spin_branches",
    "spin_float",
    "spin_memory_fill",
    "spin_memory_copy",
    "spin_memory_init",
    "spin_memory_grow",
    "spin_table_fill",
    "spin_table_copy",
    "spin_clock",
    "spin_poll",
    "spin_yield",
    "spin_empty_writes",
    "spin_buffers",
    "spin_stdin",
    "random_hog",
    "host_call_hog",
    "flood_progress",
    "flood_result",
];
/// As they, in a directory of their own.
pub(crate) const SPINNERS_ON_DISK: [&str; 4] =
    ["spin_stat", "spin_open", "spin_list", "spin_rename"];

/// Some milliseconds of computing, or five thousand host calls.
const FUEL: u64 = 5_000_000;
/// How late a deadline may be noticed on a busy machine: the longest that a worker thread does not
/// look up is one bulk operation or host call over the memory of one guest.
const LATE: Duration = Duration::from_secs(3);

fn spinners(bench: &Bench) -> Vec<StartGuest> {
    let computing = SPINNERS.iter().map(|name| bench.guest(name));
    let on_disk = SPINNERS_ON_DISK.iter().map(|name| bench.guest_with_directory(name));
    let mut sipping = bench.guest("sip_stdin");
    bench.give_input(&mut sipping, &vec![b'x'; 8 << 20]);
    computing.chain(on_disk).chain([sipping]).collect()
}

#[tokio::test]
async fn a_guest_that_never_ends_dies_when_its_deadline_passes() {
    let bench = Bench::new();
    for mut guest in spinners(&bench).into_iter().chain([bench.guest("sleep_forever")]) {
        let name = guest.name.clone();
        guest.limits.deadline = Some(SOON);
        let end = bench.run(guest).await;
        assert_eq!(end.outcome, Outcome::DeadlinePassed { limit: SOON }, "{name}");
        assert!(end.usage.wall >= SOON, "{name}");
        assert!(end.usage.wall < SOON + LATE, "{name} ended after {:?}", end.usage.wall);
    }
}

#[tokio::test]
async fn a_guest_that_never_ends_uses_up_its_fuel_and_not_a_unit_more() {
    let bench = Bench::new();
    for mut guest in spinners(&bench) {
        let name = guest.name.clone();
        // A wait of no time takes a tick of the clock, a thousandth of a second.
        let limit = if name == "spin_poll.wasm" { FUEL / 100 } else { FUEL };
        guest.limits.fuel = Some(limit);
        let end = bench.run(guest).await;
        assert_eq!(end.outcome, Outcome::OutOfFuel { limit }, "{name}");
        assert_eq!(end.usage.fuel, limit, "{name}");
    }
}

#[tokio::test]
async fn a_guest_that_spins_by_calling_the_host_is_slowed_to_its_rate() {
    let bench = Bench::new();
    for name in ["spin_clock", "spin_poll", "spin_empty_writes", "host_call_hog"] {
        let mut guest = bench.guest(name);
        guest.limits.host_calls_per_second = Some(100);
        guest.limits.deadline = Some(SOON);
        let end = bench.run(guest).await;
        assert_eq!(end.outcome, Outcome::DeadlinePassed { limit: SOON }, "{name}");
        // A second's worth at once, and some more for a machine that is late.
        assert!(end.usage.fuel < 1_000 * 3_000, "{name} used {}", end.usage.fuel);
    }
}

#[tokio::test]
async fn spinners_on_every_worker_hold_up_neither_neighbour_nor_kill() {
    let bench = Bench::new();
    let hogs = ["spin", "random_hog", "host_call_hog"];
    let mut keys = Vec::new();
    for (n, name) in hogs.iter().cycle().take(12).enumerate() {
        let guest = StartGuest { key: key(&format!("hog{n}")), ..bench.guest(name) };
        keys.push(guest.key.clone());
        bench.start(guest);
    }
    bench.wait_until_started(keys.len()).await;
    assert_eq!(bench.outcome(bench.guest("recurse_some")).await, EXITED);
    for key in &keys {
        let end = bench.kill(key).await;
        assert_eq!(end.outcome, Outcome::Killed { by: KilledBy::Framework });
    }
}

#[tokio::test]
async fn a_kill_finds_a_guest_that_sleeps_and_is_told_only_once() {
    let bench = Bench::new();
    let guest = bench.guest("sleep_forever");
    bench.start(guest.clone());
    bench.wait_until_started(1).await;
    bench.runner.kill(&guest.key, KilledBy::Operator);
    bench.runner.kill(&guest.key, KilledBy::Framework);
    let end = bench.end_of(&guest.key).await;
    assert_eq!(end.outcome, Outcome::Killed { by: KilledBy::Operator });
}

#[tokio::test]
async fn a_flood_of_progress_leaves_the_executor_a_drop_at_a_time() {
    let bench = Bench::new();
    let mut guest = bench.guest("flood_progress");
    guest.limits.deadline = Some(Duration::from_millis(250));
    let key = guest.key.clone();
    bench.start(guest);
    let mut words = 0;
    loop {
        for report in bench.runner.reports().await {
            match report {
                Report::Progressed(_) => words += 1,
                Report::Ended { key: ended, usage, .. } => {
                    assert_eq!(ended, key);
                    // Ten a second, the first at once and the last with the end.
                    let allowed = 2 + usage.wall.as_millis() / 100;
                    assert!(words <= allowed, "{words} words, {allowed} allowed");
                    return;
                }
                _ => {}
            }
        }
    }
}
