//! Core dumps: of whom there is one, and what stands in it.

use crate::kit::{Bench, files_of};
use skep_protocol::{executor::StartGuest, outcome::Outcome, task::Diagnostics};
use std::{fs, time::Duration};
use wasmparser::{CoreDumpStackSection, KnownCustom, Parser, Payload};

/// What a dump tells.
#[derive(Debug, Default, PartialEq, Eq)]
struct Dump {
    /// Functions on the stack, the innermost first.
    stack: Vec<u32>,
    /// All bytes of its memories that are not zero, as they stand in the segments.
    memory: Vec<u8>,
    memories: u32,
}

impl Dump {
    fn of(guest: &StartGuest) -> Option<Self> {
        let bytes = fs::read(guest.sandbox.join("core")).ok()?;
        let mut dump = Self::default();
        for payload in Parser::new(0).parse_all(&bytes) {
            match payload.expect("a whole dump") {
                Payload::MemorySection(memories) => dump.memories = memories.count(),
                Payload::DataSection(segments) => {
                    let segments = segments.into_iter().map(|segment| segment.expect("a segment"));
                    dump.memory = segments.flat_map(|segment| segment.data.to_vec()).collect();
                }
                Payload::CustomSection(section) => {
                    if let KnownCustom::CoreDumpStack(stack) = section.as_known() {
                        dump.stack = functions(&stack);
                    }
                }
                _ => {}
            }
        }
        Some(dump)
    }
}

fn functions(stack: &CoreDumpStackSection<'_>) -> Vec<u32> {
    stack.frames.iter().map(|frame| frame.funcidx).collect()
}

fn guest(bench: &Bench, name: &str) -> StartGuest {
    StartGuest { diagnostics: Diagnostics::Coredump, ..bench.guest_with_directory(name) }
}

#[tokio::test]
async fn a_trap_leaves_a_dump_of_stack_and_memory() {
    let bench = Bench::new();
    let guest = guest(&bench, "trap_dump");
    assert_eq!(bench.outcome(guest.clone()).await.name(), "trapped");
    let dump = Dump::of(&guest).expect("a dump");
    assert_eq!((dump.stack.as_slice(), dump.memories), (&[0, 1, 2][..], 1));
    assert_eq!(dump.memory, b"what it knew");
    let mut names: Vec<_> = fs::read_dir(&guest.sandbox).expect("a folder").collect();
    names.retain(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name() != "secret"));
    assert_eq!(names.len(), 2, "the guest's own files, and the dump: {names:?}");
    assert_eq!(fs::read_dir(files_of(&guest)).expect("a folder").count(), 0);
}

#[tokio::test]
async fn each_death_by_a_limit_leaves_a_dump() {
    let bench = Bench::new();
    let short = Duration::from_millis(50);
    for (name, dies_itself) in [
        ("hoard", true),
        ("hoard_then_trap", true),
        ("hoard_disk", true),
        ("hoard_handles", true),
        ("hoard_random", true),
        ("flood_stdout", true),
        ("spin_recursion", true),
        ("spin", false),
        ("sleep_forever", false),
    ] {
        let mut guest = guest(&bench, name);
        guest.limits.output_bytes = 1_000;
        guest.limits.disk_bytes = 1_000;
        guest.limits.handles = 3;
        guest.limits.random_bytes = Some(100);
        match name {
            "spin_recursion" => guest.limits.fuel = Some(1_000_000),
            _ => guest.limits.deadline = (!dies_itself).then_some(short),
        }
        let outcome = bench.outcome(guest.clone()).await;
        let dump = Dump::of(&guest).unwrap_or_else(|| panic!("{name} left none: {outcome}"));
        assert!(!dump.stack.is_empty(), "{name}: {outcome}");
    }
}

#[tokio::test]
async fn who_did_not_ask_or_did_not_die_leaves_no_dump() {
    let bench = Bench::new();
    let plain = bench.guest("trap_dump");
    assert_eq!(bench.outcome(plain.clone()).await.name(), "trapped");
    assert_eq!(Dump::of(&plain), None);
    for name in ["noop", "exit_code"] {
        let guest = guest(&bench, name);
        assert_eq!(bench.outcome(guest.clone()).await.name(), "exited");
        assert_eq!(Dump::of(&guest), None, "{name}");
    }
    let killed = guest(&bench, "sleep_forever");
    bench.start(killed.clone());
    bench.wait_until_started(1).await;
    assert_eq!(bench.kill(&killed.key).await.outcome.name(), "killed");
    assert_eq!(Dump::of(&killed), None);
}

#[tokio::test]
async fn a_memory_that_is_too_large_is_not_dumped_and_the_outcome_is_the_same() {
    let bench = Bench::new();
    let limit = 200 << 20;
    let guest = StartGuest { memory_bytes: limit, ..guest(&bench, "hoard") };
    let outcome = bench.outcome(guest.clone()).await;
    assert!(matches!(outcome, Outcome::OutOfMemory { limit: l, .. } if l == limit), "{outcome}");
    assert_eq!(Dump::of(&guest), None);
}

#[tokio::test]
async fn a_component_leaves_a_dump_of_its_modules() {
    let bench = Bench::new();
    let component = bench.component("trap_unreachable");
    let component = StartGuest { diagnostics: Diagnostics::Coredump, ..component };
    assert_eq!(bench.outcome(component.clone()).await.name(), "trapped");
    let dump = Dump::of(&component).expect("a dump");
    assert!(!dump.stack.is_empty() && dump.memories == 1, "{dump:?}");
}
