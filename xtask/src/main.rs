//! The project's own commands, run as `cargo xtask COMMAND`.
//!
//! Each check has a command of its own and says what to do when it fails; `ci` runs them all in the
//! order of their cost. CI runs `cargo xtask ci` and nothing else, so that what passes here passes
//! there.

#![expect(clippy::print_stdout, reason = "these commands talk to the person who runs them")]

mod arrows;
mod chaos;
mod ci;
mod fuzz;
mod guests;
mod interrupt;
mod jobs;
mod mutants;
mod outputs;
mod repo;
mod sim;
mod tidy;
mod vm;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about, bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything that CI checks
    Ci,
    /// Rebuild the guests' modules for wasm32-wasip1
    Guests {
        /// Change nothing: fail when a module does not match its source
        #[arg(long)]
        check: bool,
    },
    /// Check the form of all source files
    Tidy,
    /// Check that no crate depends on what it must not know
    Arrows,
    /// Play histories of the simulated cluster: seeds, faults, promises
    Sim(sim::Play),
    /// Run all property tests with fresh seeds, for as long as you say
    Fuzz(fuzz::Order),
    /// Break the cores in each way of a list, and see whether anything notices
    Mutants(mutants::Order),
    /// Break a real cluster under load, again and again, and count what was lost
    Chaos(chaos::Order),
    /// Run random job graphs on real private clusters, with a cold and a warm cache of modules
    Jobs(jobs::Order),
    /// A framework of that cluster
    #[command(hide = true)]
    ChaosFramework(chaos::load::Order),
    /// Start a machine with control groups of version 2 and try skep in them (needs QEMU, Debian)
    Vm(vm::Order),
    /// Interrupt commands of a real cluster at random moments, and look for what they leave
    Interrupt(interrupt::Order),
    /// Run a large array and check every line of its output, and what it costs in memory
    Outputs(outputs::Order),
    /// Time how a large cluster comes back to a fresh master
    Reregister,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Ci => ci::run(),
        Command::Guests { check: false } => guests::rebuild(),
        Command::Guests { check: true } => guests::check(),
        Command::Tidy => tidy::run(),
        Command::Arrows => arrows::run(),
        Command::Sim(play) => sim::play(play),
        Command::Fuzz(order) => fuzz::run(&order),
        Command::Mutants(order) => mutants::run(&order),
        Command::Jobs(order) => jobs::run(&order),
        Command::Chaos(order) => chaos::run(&order),
        Command::ChaosFramework(order) => chaos::load::run(order),
        Command::Vm(order) => vm::run(&order),
        Command::Interrupt(order) => interrupt::run(&order),
        Command::Outputs(order) => outputs::run(&order),
        Command::Reregister => sim::reregister(),
    }
}
