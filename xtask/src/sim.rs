//! The swarm: the cores in a simulated cluster, by seeds (`tests/sim`).

use crate::repo::{command, run};
use anyhow::Result;
use clap::Args;

/// What to play.
#[derive(Args)]
pub(crate) struct Play {
    /// How many histories, each from a seed of its own
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed; fresh ones if it is not given
    #[arg(long)]
    from: Option<String>,
    /// Play this seed alone and show its end (LINES=1000 shows more of it)
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    replay: Option<String>,
}

/// Plays histories on all cores; fails if one breaks a promise.
pub(crate) fn play(Play { seeds, from, replay }: Play) -> Result<()> {
    let seeds = seeds.to_string();
    let mut words = match &replay {
        Some(seed) => vec!["show", seed],
        None => vec!["play", "--seeds", &seeds],
    };
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
