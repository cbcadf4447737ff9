//! Guests that take: memory, tables, output, descriptors, room and names on the disk, randomness.

use crate::kit::{Bench, EXITED, End, MEMORY_BYTES, SECRET, files_of, held_by, trapped};
use skep_protocol::{
    bounds::STACK_BYTES_MAX,
    executor::StartGuest,
    outcome::{Outcome, Trap},
};
use std::{fs, path::Path, time::Duration};

const DISK_BYTES: u64 = 100_500;
const FILES: u64 = 20;
/// What a guest pays for itself that makes one call: it begins, and it calls.
const PROGRAM_FUEL: u64 = 5;

#[tokio::test]
async fn a_guest_that_dies_after_it_was_refused_memory_died_of_memory() {
    let bench = Bench::new();
    let limit = MEMORY_BYTES;
    for (name, asked) in [
        ("hoard", limit + (1 << 20) - (15 << 16)),
        ("hoard_then_trap", (60_001) << 16),
        ("hoard_at_birth", 128 << 20),
        ("huge_minimum", 512 << 20),
    ] {
        let end = bench.run(bench.guest(name)).await;
        assert_eq!(end.outcome, Outcome::OutOfMemory { asked, limit }, "{name}");
        assert!(end.usage.memory_bytes_peak <= limit, "{name}");
    }
    assert_eq!(bench.outcome(bench.guest("hoard_and_cope")).await, EXITED);
}

#[tokio::test]
async fn a_table_counts_as_memory() {
    let bench = Bench::new();
    let guest = StartGuest { memory_bytes: 128 << 10, ..bench.guest("grow_table") };
    let Outcome::OutOfMemory { asked, limit } = bench.outcome(guest).await else {
        panic!("it did not die of memory");
    };
    assert_eq!((asked, limit), ((64 << 10) + 8_001 * 8 + 8_000, 128 << 10));
}

#[tokio::test]
async fn a_result_that_the_host_holds_counts_as_memory() {
    let bench = Bench::new();
    let limit = 300 << 10;
    let guest = StartGuest { memory_bytes: limit, ..bench.guest("hoard_result") };
    let end = bench.run(guest).await;
    assert_eq!(end.outcome, Outcome::OutOfMemory { asked: 512 << 10, limit });
    assert_eq!(bench.outcome(bench.guest("hoard_result")).await, EXITED);
}

#[tokio::test]
async fn what_exceeds_a_slot_of_the_pool_runs_on_demand() {
    let bench = Bench::new();
    let large = StartGuest { memory_bytes: 1 << 30, ..bench.guest("huge_minimum") };
    assert_eq!(bench.outcome(large).await, EXITED);
    let roomy = StartGuest { memory_bytes: 300 << 20, ..bench.guest("hoard") };
    let end = bench.run(roomy).await;
    assert_eq!(end.outcome.name(), "out_of_memory");
    assert!(end.usage.memory_bytes_peak > 256 << 20, "it got beyond the size of a slot");
}

#[tokio::test]
async fn a_stack_limit_below_the_default_is_kept() {
    let bench = Bench::new();
    assert_eq!(bench.outcome(bench.guest("recurse_some")).await, EXITED);
    let mut guest = bench.guest("recurse_some");
    guest.limits.stack_bytes = 16 << 10;
    assert!(trapped(Trap::StackOverflow)(&bench.outcome(guest).await));
    let mut guest = bench.guest("recurse_some");
    guest.limits.stack_bytes = STACK_BYTES_MAX / 2;
    assert_eq!(bench.outcome(guest).await, EXITED);
}

#[tokio::test]
async fn output_beyond_its_limit_ends_a_guest_and_what_fits_is_kept() {
    let bench = Bench::new();
    let mut guest = bench.guest("flood_stdout");
    guest.limits.output_bytes = 1_000;
    let end = bench.run(guest.clone()).await;
    assert_eq!(end.outcome, Outcome::OutputLimit { limit: 1_000 });
    assert_eq!((end.usage.stdout_bytes, end.usage.stderr_bytes), (1_000, 0));
    let kept = fs::read(guest.sandbox.join("stdout")).expect("stdout");
    let whole = "a line of thirty-one characters\n".repeat(32);
    assert_eq!(kept, &whole.as_bytes()[..1_000]);
    assert!(!guest.sandbox.join("stderr").exists());
}

#[tokio::test]
async fn stdout_and_stderr_share_one_limit() {
    let bench = Bench::new();
    let mut guest = bench.guest("flood_both");
    guest.limits.output_bytes = 40;
    assert_eq!(bench.outcome(guest.clone()).await, EXITED);
    guest.limits.output_bytes = 30;
    let end = bench.run(guest).await;
    assert_eq!(end.outcome, Outcome::OutputLimit { limit: 30 });
    assert_eq!((end.usage.stdout_bytes, end.usage.stderr_bytes), (20, 10));
}

#[tokio::test]
async fn a_guest_that_dies_after_it_was_refused_an_open_file_died_of_its_handles() {
    let bench = Bench::new();
    for name in ["hoard_handles", "hoard_directories_open"] {
        for limit in [1, 40] {
            let mut guest = bench.guest_with_directory(name);
            guest.limits.handles = limit;
            assert_eq!(bench.outcome(guest).await, Outcome::HandleLimit { limit }, "{name}");
        }
    }
    let mut guest = bench.guest_with_directory("hoard_handles_and_cope");
    guest.limits.handles = 40;
    assert_eq!(bench.outcome(guest).await, EXITED);
}

#[tokio::test]
async fn an_open_file_that_is_replaced_by_another_is_closed() {
    let bench = Bench::new();
    let mut guest = bench.guest_with_directory("hoard_renumbered");
    guest.limits.handles = 3;
    assert_eq!(bench.outcome(guest).await, EXITED);
}

/// Runs a guest that hoards room on the disk to its death.
async fn full(bench: &Bench, name: &str) -> (End, u64, u64) {
    let mut guest = bench.guest_with_directory(name);
    guest.limits.disk_bytes = DISK_BYTES;
    guest.limits.files = FILES;
    let folder = files_of(&guest);
    let end = bench.run(guest).await;
    let limit = Outcome::DiskLimit { bytes: DISK_BYTES, files: FILES };
    assert_eq!(end.outcome, limit, "{name}");
    let (bytes, names) = held_by(&folder);
    (end, bytes, names)
}

#[tokio::test]
async fn a_disk_that_is_full_holds_not_a_byte_more_than_its_limit() {
    let bench = Bench::new();
    for (name, expected) in [
        // In writes of a thousand bytes each, the last of which found no room.
        ("hoard_disk", 100_000),
        ("hoard_disk_append", 100_000),
        ("hoard_disk_by_stdout", 100_000),
        ("hoard_disk_two_handles", 100_500),
        ("hoard_disk_pwrite", 0),
        ("hoard_disk_seek", 0),
        ("hoard_disk_set_size", 0),
    ] {
        let (end, bytes, names) = full(&bench, name).await;
        assert_eq!((bytes, names), (expected, 1), "{name}");
        assert_eq!((end.usage.stdout_bytes, end.usage.stderr_bytes), (0, 0), "{name}");
    }
    let (_, bytes, names) = full(&bench, "hoard_disk_nameless").await;
    assert_eq!((bytes, names), (0, 0), "what has no name is gone with its last handle");
}

#[tokio::test]
async fn a_disk_that_has_all_its_names_gets_no_other() {
    let bench = Bench::new();
    for name in [
        "hoard_files",
        "hoard_folders",
        "hoard_nested_folders",
        "hoard_symlinks",
        "hoard_hard_links",
        "hoard_renames",
    ] {
        let (_, _, names) = full(&bench, name).await;
        assert_eq!(names, FILES, "{name}");
    }
}

#[tokio::test]
async fn a_guest_that_makes_room_on_its_disk_may_use_it_again() {
    let bench = Bench::new();
    let mut guest = bench.guest_with_directory("disk_cope");
    (guest.limits.disk_bytes, guest.limits.files) = (DISK_BYTES, 1);
    assert_eq!(bench.outcome(guest).await, EXITED);
}

#[tokio::test]
async fn what_would_get_around_the_count_of_the_disk_is_not_to_be_had() {
    let bench = Bench::new();
    let guest = bench.guest_with_directory("hoard_disk_allocate");
    let folder = files_of(&guest);
    // 58 is WASI's number for what is not supported.
    assert_eq!(bench.outcome(guest).await, Outcome::Exited { code: 58 });
    assert_eq!(held_by(&folder), (0, 1));
    // 48: out of memory.
    let large = bench.guest_with_directory("hoard_write");
    let large = StartGuest { memory_bytes: 128 << 20, ..large };
    assert_eq!(bench.outcome(large).await, Outcome::Exited { code: 48 });
}

#[tokio::test]
async fn a_guest_draws_as_many_random_bytes_as_it_may_and_no_more() {
    let bench = Bench::new();
    for name in ["hoard_random", "hoard_random_at_once"] {
        let mut guest = bench.guest(name);
        guest.limits.random_bytes = Some(1_050);
        assert_eq!(bench.outcome(guest).await, Outcome::RandomLimit { limit: 1_050 }, "{name}");
    }
}

#[tokio::test]
async fn random_bytes_that_cannot_be_paid_for_are_not_drawn() {
    let bench = Bench::new();
    let mut guest = bench.guest("hoard_random_at_once");
    // Sixteen mebibytes cost ten units of fuel each, and eighty milliseconds to draw.
    for limit in [1_000_000, 100_000_000] {
        guest.limits.fuel = Some(limit);
        let end = bench.run(guest.clone()).await;
        assert_eq!(end.outcome, Outcome::OutOfFuel { limit });
        assert!(end.usage.cpu < Duration::from_millis(20), "{:?}", end.usage);
    }
    guest.limits.fuel = Some(200_000_000);
    let end = bench.run(guest).await;
    assert_eq!(end.outcome, EXITED);
    assert_eq!(end.usage.fuel, 10 * (16 << 20) + 1_000 + PROGRAM_FUEL);
}

#[tokio::test]
async fn what_a_guest_has_open_and_lists_counts_as_its_memory() {
    let bench = Bench::new();
    let own = 64 << 10;
    // A handle is a KiB, so that a hundred of them are more than this.
    let limit = own + (50 << 10);
    let guest = bench.guest_with_directory("hoard_handles");
    let end = bench.run(StartGuest { memory_bytes: limit, ..guest }).await;
    assert_eq!(end.outcome, Outcome::OutOfMemory { asked: limit + (1 << 10), limit });
    // Some dozens of entries of 52 bytes each, with their places in a list.
    let mut guest = bench.guest_with_directory("spin_list");
    guest.limits.fuel = Some(20_000_000);
    let end = bench.run(guest.clone()).await;
    assert_eq!(end.outcome.name(), "out_of_fuel");
    let held = end.usage.memory_bytes_peak - own;
    assert!((2_000..20_000).contains(&held), "{held} bytes for a listing");
    let mut guest = bench.guest_with_directory("hoard_handles_and_cope");
    guest.limits.handles = 40;
    guest.memory_bytes = own + (40 << 10);
    assert_eq!(bench.outcome(guest).await, EXITED, "what is closed is given back");
}

#[tokio::test]
async fn what_is_too_much_at_once_is_refused_by_a_code() {
    let bench = Bench::new();
    assert_eq!(bench.outcome(bench.guest("hoard_waits")).await, EXITED);
    let guest = bench.guest("poll_flood");
    assert_ne!(bench.outcome(guest).await.name(), "failed");
}

#[tokio::test]
async fn a_guest_whose_disk_is_full_leaves_what_is_not_its_own_alone() {
    let bench = Bench::new();
    let mut guest = bench.guest_with_directory("hoard_disk");
    guest.limits.disk_bytes = DISK_BYTES;
    let secret = guest.sandbox.join("secret");
    assert_eq!(bench.outcome(guest).await.name(), "disk_limit");
    assert_eq!(read(&secret), SECRET);
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("text")
}
