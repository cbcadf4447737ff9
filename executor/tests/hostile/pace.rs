//! A guest keeps its pace, whoever its neighbour is.
//!
//! What is measured is what the neighbour itself counts: its loops in a fixed time, beside a hog in
//! an executor of one worker, and at the same time, in another such executor, beside an identical
//! neighbour instead of the hog. Half of that executor is a fair share, and whatever else the
//! machine has to do slows both executors. Ratios within one round only; no figure of one round is
//! compared with one of another.

use crate::{
    kit::{Bench, EXITED, key},
    spin::{SPINNERS, SPINNERS_ON_DISK},
};
use skep_protocol::{
    executor::{Report, StartGuest},
    ids::TaskKey,
    resources::Amount,
};

/// What a neighbour must have of its fair share.
const PACE_MIN: f64 = 0.8;
/// How long a neighbour counts: hundreds of turns.
const ROUND_MILLIS: usize = 200;
/// A round in which the machine gave one of the executors less than the other says nothing of the
/// hog, so that there are more; a hog that takes what is not its own takes it in each.
const ROUNDS_MAX: usize = 40;
/// Half a processor each, of the one that an executor here has.
const SHARE: Amount = Amount::millis(500);

/// Guests that end at once, by a trap or by a limit, and are started again as soon as they do.
const SHORT_LIVED: [&str; 6] =
    ["trap_unreachable", "hoard", "hoard_then_trap", "flood_stdout", "recurse", "poll_flood"];
/// As they, in a directory of their own.
const SHORT_LIVED_ON_DISK: [&str; 6] = [
    "hoard_disk",
    "hoard_disk_nameless",
    "hoard_files",
    "hoard_hard_links",
    "hoard_handles",
    "escape_new_links",
];

fn counting(bench: &Bench, name: &str) -> StartGuest {
    let name_of_right_length = "n".repeat(ROUND_MILLIS);
    let neighbour = bench.guest("neighbour");
    StartGuest { key: key(name), name: name_of_right_length, cpus: SHARE, ..neighbour }
}

/// The loops that a neighbour counted.
fn loops(result: &[u8]) -> f64 {
    let count = u64::from_le_bytes(result.try_into().expect("eight bytes"));
    f64::from(u32::try_from(count).expect("a few millions at most"))
}

/// Lets a neighbour count beside a hog, which is started again whenever it has ended.
async fn beside_hog(bench: &Bench, hog: &StartGuest) -> f64 {
    let neighbour = counting(bench, "neighbour");
    let expected = neighbour.key.clone();
    let (mut starts, mut current) = (1, start_again(bench, hog, 0));
    let (mut waiting, mut counted) = (Some(neighbour), None);
    while counted.is_none() {
        for report in bench.runner.reports().await {
            match report {
                Report::Started { .. } => {
                    waiting.take().into_iter().for_each(|neighbour| bench.start(neighbour));
                }
                Report::Ended { key, outcome, result, .. } if key == expected => {
                    assert_eq!(outcome, EXITED);
                    counted = Some(loops(&result));
                }
                Report::Ended { key, .. } if current == key => {
                    current = start_again(bench, hog, starts);
                    starts += 1;
                }
                _ => {}
            }
        }
    }
    bench.kill(&current).await;
    counted.expect("it has ended")
}

fn start_again(bench: &Bench, hog: &StartGuest, starts: u32) -> TaskKey {
    let key = key(&format!("hog{starts}"));
    bench.start(StartGuest { key: key.clone(), ..hog.clone() });
    key
}

/// Lets two neighbours count beside each other, and gives the mean.
async fn beside_each_other(bench: &Bench) -> f64 {
    let (one, other) = (counting(bench, "one"), counting(bench, "other"));
    bench.start(one);
    bench.start(other);
    let (mut ended, mut sum) = (0, 0.0);
    while ended < 2 {
        for report in bench.runner.reports().await {
            if let Report::Ended { outcome, result, .. } = report {
                assert_eq!(outcome, EXITED);
                sum += loops(&result);
                ended += 1;
            }
        }
    }
    sum / 2.0
}

/// The best pace of a neighbour, as a part of its fair share, in as many rounds as it takes.
async fn pace_beside(hogged: &Bench, control: &Bench, hog: &StartGuest) -> f64 {
    let mut best = 0.0_f64;
    for _ in 0..ROUNDS_MAX {
        let (beside_hog, fair) = tokio::join!(beside_hog(hogged, hog), beside_each_other(control));
        best = best.max(beside_hog / fair);
        if best >= PACE_MIN {
            break;
        }
    }
    best
}

async fn keeps_its_pace(names: &[&str], guest: impl Fn(&Bench, &str) -> StartGuest) {
    let (hogged, control) = (Bench::with_workers(1), Bench::with_workers(1));
    let mut slow = Vec::new();
    for name in names {
        let mut hog = guest(&hogged, name);
        hog.cpus = SHARE;
        hog.limits.output_bytes = 1 << 20;
        hog.limits.disk_bytes = 1 << 20;
        hog.limits.files = 50;
        let pace = pace_beside(&hogged, &control, &hog).await;
        if pace < PACE_MIN {
            slow.push(format!("{name}: {pace:.2}"));
        }
    }
    assert_eq!(slow, Vec::<String>::new(), "neighbours of these hogs lose their pace");
}

#[tokio::test]
async fn a_guest_keeps_its_pace_beside_one_that_spins() {
    keeps_its_pace(&SPINNERS, Bench::guest).await;
}

#[tokio::test]
async fn a_guest_keeps_its_pace_beside_one_that_keeps_the_disk_busy() {
    keeps_its_pace(&SPINNERS_ON_DISK, Bench::guest_with_directory).await;
}

#[tokio::test]
async fn a_guest_keeps_its_pace_beside_one_that_dies_and_comes_again() {
    keeps_its_pace(&SHORT_LIVED, Bench::guest).await;
}

#[tokio::test]
async fn a_guest_keeps_its_pace_beside_one_that_fills_the_disk_and_comes_again() {
    keeps_its_pace(&SHORT_LIVED_ON_DISK, Bench::guest_with_directory).await;
}

#[tokio::test]
async fn a_guest_keeps_its_pace_beside_one_that_sips_its_input() {
    keeps_its_pace(&["sip_stdin"], |bench, name| {
        let mut guest = bench.guest(name);
        bench.give_input(&mut guest, &vec![b'x'; 8 << 20]);
        guest
    })
    .await;
}
