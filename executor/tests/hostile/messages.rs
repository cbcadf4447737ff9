//! Messages between guests and their framework: what comes through, in what order, and what becomes
//! of those that send or are sent too much.

use crate::kit::{Bench, EXITED, key, trapped};
use skep_protocol::{
    bounds::MESSAGE_BYTES_MAX,
    executor::{Report, StartGuest},
    ids::TaskKey,
    outcome::{KilledBy, Outcome, TaskMessage, Trap},
    task::{Clock, Policies, Retry},
    time::Time,
};
use std::time::{Duration, Instant};

const KILLED: Outcome = Outcome::Killed { by: KilledBy::Framework };
/// No test waits for so long.
const AGES: Duration = Duration::from_secs(300);

fn message(key: &TaskKey, bytes: &[u8]) -> TaskMessage {
    TaskMessage { key: key.clone(), bytes: bytes.into() }
}

/// The next messages of guests.
async fn sent(bench: &Bench, count: usize) -> Vec<TaskMessage> {
    let mut messages = Vec::new();
    while messages.len() < count {
        for report in bench.runner.reports().await {
            if let Report::Sent(message) = report {
                messages.push(message);
            }
        }
    }
    messages
}

#[tokio::test]
async fn a_guest_that_waits_gets_its_messages_in_order_and_sends_them_back() {
    let bench = Bench::new();
    let guest = bench.guest("echo_messages");
    bench.start(guest.clone());
    bench.wait_until_started(1).await;
    let longest = vec![7; MESSAGE_BYTES_MAX];
    let messages = [&b"one"[..], b"", b"two", &longest].map(|bytes| message(&guest.key, bytes));
    messages.iter().cloned().for_each(|message| bench.runner.send_message(message));
    assert_eq!(sent(&bench, messages.len()).await, messages);
    // One that waits, and is not to be told, is killed at once.
    let end = bench.kill(&guest.key).await;
    assert_eq!((end.outcome, end.result), (KILLED, Vec::new()));
    bench.runner.send_message(message(&guest.key, b"too late"));
}

#[tokio::test]
async fn a_guest_that_waits_for_a_message_is_told_to_end() {
    let bench = Bench::new();
    let mut guest = bench.guest("echo_messages");
    guest.policies.kill_grace = Some(AGES);
    bench.start(guest.clone());
    bench.wait_until_started(1).await;
    let end = bench.kill(&guest.key).await;
    assert_eq!((end.outcome, end.result), (KILLED, vec![0]), "it was told, and said so");
}

#[tokio::test]
async fn a_guest_checks_in_vain_whether_messages_reach_beyond_its_memory() {
    let bench = Bench::new();
    let guest = bench.guest("forge_messages");
    bench.start(guest.clone());
    bench.wait_until_started(1).await;
    bench.runner.send_message(message(&guest.key, b"ten bytes!"));
    let reports = bench.until_the_end().await;
    let sent = [b"ten bytes!".to_vec(), Vec::new()].map(|bytes| message(&guest.key, &bytes));
    let found = reports.iter().filter_map(|report| match report {
        Report::Sent(message) => Some(message),
        _ => None,
    });
    assert_eq!(found.clone().take(2).cloned().collect::<Vec<_>>(), sent);
    assert_eq!(found.count(), 3);
    let Some(Report::Ended { outcome, .. }) = reports.last() else { panic!("{reports:?}") };
    assert_eq!(*outcome, EXITED);
}

#[tokio::test]
async fn a_guest_whose_clock_is_virtual_neither_sends_nor_receives() {
    let bench = Bench::new();
    let mut guest = bench.guest("forge_messages");
    guest.grants.clock = Clock::Virtual { start: Time::ZERO };
    bench.start(guest);
    let reports = bench.until_the_end().await;
    assert!(!reports.iter().any(|report| matches!(report, Report::Sent(_))));
    let Some(Report::Ended { outcome, .. }) = reports.last() else { panic!("{reports:?}") };
    assert_eq!(*outcome, Outcome::Exited { code: 1 });
}

#[tokio::test]
async fn a_flood_of_messages_is_refused_to_the_guest_and_leaves_at_a_bounded_rate() {
    let bench = Bench::new();
    let mut guest = bench.guest("flood_messages");
    guest.limits.fuel = Some(200_000_000);
    let begin = Instant::now();
    bench.start(guest);
    let reports = bench.until_the_end().await;
    let numbers = reports.iter().filter_map(|report| match report {
        Report::Sent(message) => message.bytes.first_chunk().copied().map(u32::from_le_bytes),
        _ => None,
    });
    let numbers: Vec<u32> = numbers.collect();
    let count = u32::try_from(numbers.len()).expect("few");
    assert_eq!(numbers, (0..count).collect::<Vec<_>>(), "in order, and none is missing");
    // Two at once, two more each 20 ms, and in the end the four that waited.
    let most = 2 * (1 + begin.elapsed().as_millis() / 20) + 4;
    assert!(u128::from(count) <= most, "{count} messages left, of {most} at most");
    let Some(Report::Ended { outcome, result, .. }) = reports.last() else { panic!("{reports:?}") };
    assert_eq!(*outcome, Outcome::OutOfFuel { limit: 200_000_000 });
    assert_eq!(*result, [8], "it was told that it sends too much");
}

#[tokio::test]
async fn a_guest_that_never_receives_misses_what_is_too_much_and_takes_from_nobody() {
    let bench = Bench::new();
    let (deaf, spinning, listener) =
        (bench.guest("sleep_forever"), bench.guest("spin"), bench.guest("echo_messages"));
    for guest in [&deaf, &spinning, &listener] {
        bench.start(guest.clone());
    }
    bench.wait_until_started(3).await;
    let longest = vec![0; MESSAGE_BYTES_MAX];
    for _ in 0..1_000 {
        bench.runner.send_message(message(&deaf.key, &longest));
        bench.runner.send_message(message(&spinning.key, &longest));
        bench.runner.send_message(message(&key("strange"), &longest));
    }
    let heard = message(&listener.key, b"still heard");
    bench.runner.send_message(heard.clone());
    assert_eq!(sent(&bench, 1).await, [heard]);
    for guest in [deaf, spinning, listener] {
        assert_eq!(bench.kill(&guest.key).await.outcome, KILLED);
    }
}

#[tokio::test]
async fn a_guest_that_is_run_again_begins_without_messages() {
    let bench = Bench::new();
    let retry = Retry { wait: Duration::from_millis(1), ..Retry::after_any(1) };
    let policies = Policies { retry: Some(retry), ..Policies::default() };
    let guest = StartGuest { policies, ..bench.guest("leave_mail") };
    bench.start(guest.clone());
    bench.wait_until_started(1).await;
    bench.runner.send_message(message(&guest.key, b"mail"));
    let end = bench.end_of(&guest.key).await;
    assert!(!trapped(Trap::Unreachable)(&end.outcome), "the message was still there");
    assert_eq!((end.outcome, end.usage.restarts), (EXITED, 1));
}
