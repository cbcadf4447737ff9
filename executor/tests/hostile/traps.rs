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

/// The text of a guest with debug information, and where in it something is.
const TEXT: &str = include_str!("../../../guests/lines/src/main.rs");

fn line_of(text: &str) -> usize {
    TEXT.lines().position(|line| line.contains(text)).expect("it is there") + 1
}

#[tokio::test]
async fn the_frames_of_a_module_with_debug_information_have_files_and_lines() {
    let bench = Bench::new();
    let Outcome::Trapped { backtrace, .. } = bench.outcome(bench.program("lines")).await else {
        panic!("it did not trap");
    };
    let at = |function: &str, text: &str| {
        let line = line_of(text);
        format!("lines_guest::{function} (lines.wasm) at guests/lines/src/main.rs:{line}")
    };
    for expected in [
        at("inner", "panic!("),
        at("middle", "inner(black_box(depth) + 1)"),
        at("outer", "middle(black_box(depth) + 1)"),
    ] {
        assert!(backtrace.contains(&expected), "{expected} is not in {backtrace:#?}");
    }
}
