//! Commands of a real cluster are interrupted at random moments, many at once: afterwards nothing
//! of theirs runs, and no framework is left.
//!
//! | file | question |
//! |---|---|
//! | `cluster` | what is there, and what of the commands is still to be seen? |
//! | `victim` | which command is begun, and how does it end? |
//!
//! The master is killed and started again meanwhile. Always holds: which commands are begun, how
//! each is ended and when, follows from the seed.

mod cluster;
mod victim;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use cluster::{Cluster, Remains};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use victim::{Plan, Struck};

/// After this time nothing of a command may be left, whatever ended it.
const GONE_MAX: Duration = Duration::from_secs(120);
/// How often is looked for what is left.
const LOOK: Duration = Duration::from_millis(500);
/// How long the master runs before it is killed.
const REIGN: Duration = Duration::from_secs(20);

/// What to do.
#[derive(Args)]
pub(crate) struct Order {
    /// How many commands are interrupted
    #[arg(long, default_value_t = 200)]
    times: u64,
    /// How many of them run at once
    #[arg(long, default_value_t = 8)]
    together: u64,
    /// From which commands, signals and moments are drawn
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How often the master is killed and started again meanwhile
    #[arg(long, default_value_t = 2)]
    restarts: u64,
    /// The binary [default: target/release/skep, or target/debug/skep]
    #[arg(long)]
    skep: Option<PathBuf>,
}

/// Interrupts commands, and fails if anything of them is left after two minutes.
pub(crate) fn run(order: &Order) -> Result<()> {
    let skep = binary(order)?;
    let folder = std::env::temp_dir().join(format!("skep-interrupt-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    println!("{} in {}, seed {}", skep.display(), folder.display(), order.seed);
    let cluster = Cluster::start(&skep, &folder)?;
    let (struck, wrong) = strike_all(order, &cluster)?;
    let last = Instant::now();
    let remains = await_end(&cluster, last)?;
    cluster.run_to_the_end()?;
    let told = tell(order, &struck, last.elapsed(), cluster.restarts());
    drop(cluster);
    println!("{told}");
    if !remains.is_empty() {
        bail!("{} s after the last command this is left:\n{remains}", GONE_MAX.as_secs());
    }
    if !wrong.is_empty() {
        bail!("commands ended otherwise than they should:\n{}", wrong.join("\n"));
    }
    fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())
}

/// Begins and ends all commands, and gives how, and what was wrong with it.
fn strike_all(order: &Order, cluster: &Cluster) -> Result<(Vec<Struck>, Vec<String>)> {
    let (next, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let all = Mutex::new((Vec::new(), Vec::new()));
    let one = || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= order.times {
                return Ok(());
            }
            let plan = Plan::draw(order.seed, number);
            let struck = plan.carry_out(cluster)?;
            println!("{struck}");
            let mut all = all.lock().expect("no thread dies with it");
            all.1.extend(struck.fault());
            all.0.push(struck);
        }
    };
    thread::scope(|scope| {
        let strikers: Vec<_> = (0..order.together).map(|_| scope.spawn(one)).collect();
        let restarting = scope.spawn(|| restart(order.restarts, cluster, &done));
        let ended = strikers.into_iter().map(|striker| striker.join().expect("it does not panic"));
        let ended: Result<Vec<()>> = ended.collect();
        done.store(true, Ordering::Relaxed);
        restarting.join().expect("it does not panic")?;
        ended
    })?;
    Ok(all.into_inner().expect("no thread died with it"))
}

fn restart(times: u64, cluster: &Cluster, done: &AtomicBool) -> Result<()> {
    for _ in 0..times {
        let begun = Instant::now();
        while begun.elapsed() < REIGN {
            if done.load(Ordering::Relaxed) {
                return Ok(());
            }
            pause(LOOK);
        }
        cluster.restart_master()?;
    }
    Ok(())
}

/// Waits until nothing is left of the commands, for as long as something may be.
fn await_end(cluster: &Cluster, last: Instant) -> Result<Remains> {
    loop {
        let remains = cluster.remains()?;
        if remains.is_empty() || last.elapsed() > GONE_MAX {
            return Ok(remains);
        }
        pause(LOOK);
    }
}

/// The closing line.
fn tell(order: &Order, struck: &[Struck], took: Duration, restarts: u64) -> String {
    let mut ways: BTreeMap<&str, u64> = BTreeMap::new();
    for one in struck {
        *ways.entry(one.way()).or_default() += 1;
    }
    let mut text = format!("seed {}: {} commands, ", order.seed, struck.len());
    for (way, count) in &ways {
        let _ = write!(text, "{count} {way}, ");
    }
    let of_themselves = struck.iter().filter(|one| one.has_ended_before()).count();
    let _ = write!(
        text,
        "{of_themselves} had ended before; the master was killed {restarts} times; {:.1} s after \
         the last command no task runs, no framework, executor or folder of theirs is left",
        took.as_secs_f64()
    );
    text
}

fn binary(order: &Order) -> Result<PathBuf> {
    let built = ["release", "debug"].map(|kind| crate::repo::root().join("target").join(kind));
    let built = built.map(|folder| folder.join("skep")).into_iter().find(|path| path.exists());
    let path = order.skep.clone().or(built);
    let path = path.context("there is no skep: cargo build, or give it with --skep PATH")?;
    path.canonicalize().with_context(|| path.display().to_string())
}

/// Time is what this is about: commands run for a while.
#[expect(clippy::disallowed_methods, reason = "real processes need real time")]
fn pause(time: Duration) {
    thread::sleep(time);
}
