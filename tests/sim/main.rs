//! `swarm`: plays histories of the simulated cluster. `cargo xtask sim` is the way to it.

#![expect(clippy::print_stdout, reason = "it talks to the person who runs it")]

use lexopt::{Arg, Parser, ValueExt as _};
use skep_swarm::{
    reregister,
    run::{self, About, BROKEN_MAX, Order, Progress, Summary},
};
use std::{
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// That of a master, whose time `reregister` tells.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "\
swarm play [--jobs] [--seeds N | --minutes N] [--from SEED] [--until-broken] [--quiet]
    plays N histories (default 1000), fresh ones if no first seed is named;
    with --jobs those of the schedulers that come with skep
swarm show [--jobs] SEED
    plays one and shows its end; LINES=N shows more
swarm reregister [--agents N] [--tasks N]
    times how a large cluster comes back to a fresh master";

/// What was asked for.
enum Wish {
    Play(Order),
    Show(About, u64),
    Reregister { agents: u64, tasks: u64 },
}

fn main() -> ExitCode {
    match parse() {
        Ok(Wish::Play(order)) => play(order),
        Ok(Wish::Show(about, seed)) => {
            run::show(about, seed);
            ExitCode::SUCCESS
        }
        Ok(Wish::Reregister { agents, tasks }) => {
            println!("{}", reregister::time(agents, tasks));
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn parse() -> Result<Wish, lexopt::Error> {
    let mut parser = Parser::from_env();
    let command = match parser.next()? {
        Some(Arg::Value(command)) => command.string()?,
        _ => return Err("name a command".into()),
    };
    let (progress, broken_max) = (Progress::Told, BROKEN_MAX);
    let (about, time_max) = (About::Tasks, Duration::MAX);
    let mut order = Order { about, from: fresh(), seeds: 1_000, time_max, broken_max, progress };
    // What issue 5 asks for, and what Mesos 1.5 was measured with.
    let (mut agents, mut tasks) = (40_000, 400_000);
    let mut seed = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("seeds") => order.seeds = parser.value()?.parse()?,
            Arg::Long("minutes") => {
                let minutes: u64 = parser.value()?.parse()?;
                (order.seeds, order.time_max) = (u64::MAX, Duration::from_secs(60 * minutes));
            }
            Arg::Long("jobs") => order.about = About::Jobs,
            Arg::Long("from") => order.from = seed_of(&parser.value()?.string()?)?,
            Arg::Long("until-broken") => order.broken_max = 1,
            Arg::Long("quiet") => order.progress = Progress::Untold,
            Arg::Long("agents") => agents = parser.value()?.parse()?,
            Arg::Long("tasks") => tasks = parser.value()?.parse()?,
            Arg::Value(text) if seed.is_none() => seed = Some(seed_of(&text.string()?)?),
            other => return Err(other.unexpected()),
        }
    }
    match (command.as_str(), seed) {
        ("play", None) => Ok(Wish::Play(order)),
        ("show", Some(seed)) => Ok(Wish::Show(order.about, seed)),
        ("reregister", None) => Ok(Wish::Reregister { agents, tasks }),
        _ => Err("no such command, or it wants something else".into()),
    }
}

/// Hexadecimal with `0x`, else decimal.
fn seed_of(text: &str) -> Result<u64, lexopt::Error> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("`{text}` is no seed").into())
}

/// A first seed that was hardly played before. Its last digit is 0, so that it is a calm one.
fn fresh() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_millis() as u64) << 16
}

fn play(order: Order) -> ExitCode {
    match order.seeds {
        u64::MAX => println!("playing histories from seed {:#x}", order.from),
        seeds => println!("playing {seeds} histories from seed {:#x}", order.from),
    }
    let sum = run::run(order);
    let Summary { played, steps, simulated, took, broken } = &sum;
    println!(
        "{played} histories, {steps} steps, {:.1} simulated hours in {:.1} s: \
         {:.0} simulated hours a minute",
        simulated.as_secs_f64() / 3600.0,
        took.as_secs_f64(),
        sum.hours_per_minute()
    );
    if broken.is_empty() {
        println!("no promise was broken, nothing was stuck");
        return ExitCode::SUCCESS;
    }
    let jobs = if order.about == About::Jobs { "--jobs " } else { "" };
    for seed in broken {
        println!("broken: {seed:#x}; see it alone: cargo xtask sim {jobs}--replay {seed:#x}");
    }
    ExitCode::FAILURE
}
