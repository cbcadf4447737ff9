//! Guests that do what Wasm forbids: each trap has its name, and the executor outlives it.

use crate::kit::{Bench, EXITED, trapped};
use skep_protocol::outcome::{Outcome, Trap};

#[tokio::test]
async fn each_trap_has_its_name() {
    let bench = Bench::new();
    for (name, trap) in [
        ("trap_unreachable", Trap::Unreachable),
        ("trap_in_start", Trap::Unreachable),
        ("trap_div", Trap::IntegerDivisionByZero),
        ("trap_overflow", Trap::IntegerOverflow),
        ("trap_conversion", Trap::BadConversionToInteger),
        ("trap_oob", Trap::MemoryOutOfBounds),
        ("trap_fill", Trap::MemoryOutOfBounds),
        ("trap_dropped_segment", Trap::MemoryOutOfBounds),
        ("trap_at_birth", Trap::MemoryOutOfBounds),
        ("trap_table", Trap::TableOutOfBounds),
        ("trap_table_copy", Trap::TableOutOfBounds),
        ("trap_null", Trap::IndirectCallToNull),
        ("trap_signature", Trap::BadSignature),
        ("recurse", Trap::StackOverflow),
        ("trap_wide_frames", Trap::StackOverflow),
    ] {
        let outcome = bench.outcome(bench.guest(name)).await;
        assert!(trapped(trap)(&outcome), "{name}: {outcome:?}");
        assert_eq!(bench.outcome(bench.guest("noop")).await, EXITED, "after {name}");
    }
}

#[tokio::test]
async fn a_trap_comes_with_the_guests_own_frames() {
    let bench = Bench::new();
    let Outcome::Trapped { why, backtrace, .. } =
        bench.outcome(bench.guest("trap_unreachable")).await
    else {
        panic!("it did not trap");
    };
    assert_eq!(why, "it reached an unreachable instruction: a panic or an abort");
    let expected = ["main::inner", "outer", "start"];
    assert_eq!(backtrace, expected.map(|name| format!("{name} (trap_unreachable.wasm)")));
}
