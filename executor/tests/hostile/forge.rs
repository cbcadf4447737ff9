//! Guests that lie to the host: about where things lie, how long they are, and what they are.

use crate::kit::{Bench, EXITED, trapped};
use skep_protocol::outcome::{Outcome, Trap};

#[tokio::test]
async fn lies_about_pointers_are_answered_with_a_code() {
    let bench = Bench::new();
    for name in ["lie_about_pointers", "forge_progress", "forge_waits"] {
        assert_eq!(bench.outcome(bench.guest(name)).await, EXITED, "{name}");
    }
}

#[tokio::test]
async fn what_lies_outside_of_a_guests_memory_is_neither_read_nor_written() {
    let bench = Bench::new();
    for (name, cases) in [("forge_buffers", 10), ("forge_answers", 10), ("hoard_environment", 5)] {
        for case in 0..cases {
            let mut guest = bench.guest_with_directory(name);
            guest.args = vec!["long".repeat(1_000); case];
            let outcome = bench.outcome(guest).await;
            let refused = outcome == Outcome::Exited { code: 1 };
            assert!(refused || trapped(Trap::HostCall)(&outcome), "{name} {case}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_result_is_as_long_as_it_may_be_and_lies_in_the_guests_memory() {
    let bench = Bench::new();
    let end = bench.run(bench.guest("forge_result")).await;
    assert_eq!(end.outcome, EXITED);
    assert!(end.result == vec![0; 256 << 10]);
    // skep's number for what lies out of bounds.
    let nowhere = bench.outcome(bench.guest("forge_skep_no_memory")).await;
    assert_eq!(nowhere, Outcome::Exited { code: 1 });
}

#[tokio::test]
async fn a_guest_without_a_memory_that_calls_the_host_traps() {
    let bench = Bench::new();
    for name in ["forge_no_memory", "forge_memory"] {
        let outcome = bench.outcome(bench.guest(name)).await;
        assert!(trapped(Trap::HostCall)(&outcome), "{name}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_signal_that_a_guest_raises_hits_nobody_else() {
    let bench = Bench::new();
    let outcome = bench.outcome(bench.guest("forge_signal")).await;
    assert!(outcome == EXITED || trapped(Trap::HostCall)(&outcome), "{outcome:?}");
    assert_eq!(bench.outcome(bench.guest("noop")).await, EXITED);
}
