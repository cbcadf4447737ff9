//! The swarm: the cores in a simulated cluster, by seeds (`tests/sim`).

use crate::repo::{command, run};
use anyhow::Result;
use clap::Args;

/// What to play.
#[derive(Args)]
pub(crate) struct Play {
    /// Histories of the schedulers that come with skep: job graphs, services, schedules
    #[arg(long)]
    jobs: bool,
    /// How many histories, each from a seed of its own
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// For so many minutes, instead of a number of histories
    #[arg(long, conflicts_with = "seeds")]
    minutes: Option<u64>,
    /// The first seed; fresh ones if it is not given
    #[arg(long)]
    from: Option<String>,
    /// Play this seed alone and show its end (LINES=1000 shows more of it)
    #[arg(long, conflicts_with_all = ["seeds", "minutes", "from"])]
    replay: Option<String>,
}

/// Plays histories on all cores; fails if one breaks a promise.
pub(crate) fn play(order: Play) -> Result<()> {
    let Play { jobs, seeds, minutes, from, replay } = order;
    let (seeds, minutes) = (seeds.to_string(), minutes.map(|minutes| minutes.to_string()));
    let mut words = match &replay {
        Some(seed) => vec!["show", seed],
        None => match &minutes {
            Some(minutes) => vec!["play", "--minutes", minutes],
            None => vec!["play", "--seeds", &seeds],
        },
    };
    if jobs {
        words.push("--jobs");
    }
    if let Some(from) = &from {
        words.extend(["--from", from]);
    }
    swarm(&["--release"], &words)
}

/// Times how 40,000 agents with 400,000 tasks come back to a fresh master.
pub(crate) fn reregister() -> Result<()> {
    swarm(&["--release"], &["reregister"])
}

fn swarm(options: &[&str], words: &[&str]) -> Result<()> {
    let mut cargo = command("cargo", &["run", "--quiet", "--package", "skep-swarm"]);
    run(cargo.args(options).args(["--bin", "swarm", "--"]).args(words))
}
