//! A real cluster under a steady load, while its parts are broken one after another: three masters
//! on an etcd of three members, four agents and two frameworks, each on a machine of its own as far
//! as this machine can pretend that.
//!
//! | file | question |
//! |---|---|
//! | `faults`, `struck` | what is done to the cluster, and what must be seen afterwards? |
//! | `cluster`, `process`, `net`, `disk` | what is there, and how is it broken and mended? |
//! | `load`, `ledger`, `work`, `notes` | what do the frameworks run, remember and write down? |
//! | `count`, `report` | what came of it? |
//!
//! Always holds: nothing is counted that was not written down by somebody who was told it, or found
//! on an agent's disk; all that was made is gone at the end, but for the folder with what was said.

mod cluster;
mod count;
mod disk;
mod faults;
mod ledger;
pub(crate) mod load;
mod net;
mod notes;
pub(crate) mod process;
mod report;
mod strikes;
mod struck;
mod work;

use anyhow::{Context, Result, bail};
use clap::Args;
use cluster::Cluster;
pub(crate) use faults::Chance;
use faults::{Deck, Kind, Needs};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use struck::Struck;

/// How long a recovery is waited for before the run goes on without it.
const RECOVERY_MAX: Duration = Duration::from_secs(60);
/// How long the cluster is left in peace between two faults.
const CALM: Duration = Duration::from_secs(2);
/// How long the last tasks have to end when the load is over and all is healed.
const LAST_MAX: Duration = Duration::from_secs(120);
/// How often is looked for a recovery.
const LOOK: Duration = Duration::from_millis(50);

/// What to do.
#[derive(Args)]
pub(crate) struct Order {
    /// For how long faults are made
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// From which faults, tasks and times are drawn
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The binary [default: target/release/skep, or target/debug/skep]
    #[arg(long)]
    skep: Option<PathBuf>,
    /// Make this fault alone, such as leader_killed
    #[arg(long)]
    only: Option<String>,
}

/// Runs the cluster, and fails if a task was lost or doubled.
pub(crate) fn run(order: &Order) -> Result<()> {
    let skep = binary(order.skep.as_deref())?;
    let folder = std::env::temp_dir().join(format!("skep-chaos-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    println!("{} in {}", skep.display(), folder.display());
    let mut cluster = Cluster::start(&skep, &folder)?;
    let kinds = kinds(&cluster, order.only.as_deref())?;
    let (begin, mut all) = (Instant::now(), Vec::new());
    let end = Duration::from_secs(60 * order.minutes);
    for fault in Deck::new(order.seed, kinds) {
        if begin.elapsed() + fault.lasts >= end {
            break;
        }
        let mut struck = cluster.strike(&fault)?;
        let recovered = await_recovery(&mut cluster, &struck)?;
        struck.recovered_ms = recovered.and_then(|time| u64::try_from(time.as_millis()).ok());
        println!("{}", report::line(begin.elapsed(), &struck, &cluster.witnesses()?));
        all.push(struck);
        pause(CALM);
        cluster.mend()?;
    }
    let is_done = finish(&mut cluster)?;
    let witnesses = cluster.witnesses()?;
    let counts = count::count(&witnesses, &cluster.sandboxes()?);
    let told = report::tell(&counts, &all, &witnesses, &cluster.ended);
    println!("{told}");
    fs::write(folder.join("report"), &told)?;
    fs::write(folder.join("faults"), serde_json::to_vec(&all)?)?;
    drop(cluster);
    println!("what everybody said is in {}", folder.display());
    if !is_done {
        bail!("tasks had not ended {} s after the last fault", LAST_MAX.as_secs());
    }
    if !(counts.lost.is_empty() && counts.doubled.is_empty()) {
        bail!("{} tasks lost, {} doubled", counts.lost.len(), counts.doubled.len());
    }
    Ok(())
}

/// The program that is tried: this one, or what was built last.
pub(crate) fn binary(named: Option<&Path>) -> Result<PathBuf> {
    let built = ["release", "debug"].map(|kind| crate::repo::root().join("target").join(kind));
    let built = built.map(|folder| folder.join("skep")).into_iter().find(|path| path.exists());
    let path = named.map(Path::to_owned).or(built);
    let path = path.context("there is no skep: cargo build, or give it with --skep PATH")?;
    path.canonicalize().with_context(|| path.display().to_string())
}

fn kinds(cluster: &Cluster, only: Option<&str>) -> Result<Vec<Kind>> {
    let is_possible = |kind: &Kind| match kind.needs() {
        Needs::Nothing => true,
        Needs::Links => cluster.has_links(),
        Needs::Disks => cluster.has_disks(),
    };
    let named = |kind: &Kind| {
        let name = serde_json::to_string(kind).unwrap_or_default();
        only.is_none_or(|only| name.trim_matches('"') == only)
    };
    let kinds: Vec<_> =
        Kind::ALL.into_iter().filter(|kind| is_possible(kind) && named(kind)).collect();
    if kinds.is_empty() {
        bail!("no such fault can be made here");
    }
    println!("{} kinds of faults out of {}", kinds.len(), Kind::ALL.len());
    Ok(kinds)
}

fn await_recovery(cluster: &mut Cluster, struck: &Struck) -> Result<Option<Duration>> {
    let begin = Instant::now();
    while begin.elapsed() < RECOVERY_MAX {
        if let Some(time) = count::recovery(struck, &cluster.witnesses()?) {
            return Ok(Some(time));
        }
        cluster.mend()?;
        pause(LOOK);
    }
    Ok(None)
}

/// Lets the last tasks end. False: some have not.
fn finish(cluster: &mut Cluster) -> Result<bool> {
    cluster.end_load()?;
    let begin = Instant::now();
    while begin.elapsed() < LAST_MAX {
        if cluster.is_load_done()? {
            return Ok(true);
        }
        cluster.mend()?;
        pause(LOOK);
    }
    Ok(false)
}

/// Time is what this is about: faults last, and the cluster is left in peace.
#[expect(clippy::disallowed_methods, reason = "real processes need real time")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
