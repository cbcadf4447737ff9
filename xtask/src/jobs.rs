//! Random job graphs on real private clusters: each must end, and as it should.
//!
//! Every second graph runs alone, by `skep job run`; the others are handed over together to a
//! cluster of two agents (`skep dev`), so that jobs come while others run. Each runs twice: with
//! an empty cache of compiled modules, and with the cache of that run. What did not end as it
//! should stays, with what was said: the folder is named.

mod draw;

use crate::chaos::Chance;
use anyhow::{Context, Result, bail};
use clap::Args;
use draw::Graph;
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    env, fmt, fs,
    fs::File,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How many graphs are handed over together.
const TOGETHER: usize = 4;
/// What a cluster may take to start, to compile and to end, beyond what the tasks take.
const SLACK: Duration = Duration::from_secs(60);
/// How long a cluster that was told to end may take.
const ENDING: Duration = Duration::from_secs(10);
/// How often is looked whether a command has ended.
const LOOK: Duration = Duration::from_millis(20);
/// What a job that failed exits with.
const FAILED: i32 = 1;

/// What to run.
#[derive(Args)]
pub(crate) struct Order {
    /// How many graphs
    #[arg(long, default_value_t = 500)]
    graphs: usize,
    /// From which they are drawn; a fresh one if it is not given
    #[arg(long)]
    seed: Option<u64>,
    /// The binary [default: target/release/skep, or target/debug/skep]
    #[arg(long)]
    skep: Option<PathBuf>,
    /// Run this job file instead of drawn ones, `--graphs` times with each cache
    #[arg(long)]
    file: Option<PathBuf>,
    /// How many seconds each may take, instead of what its tasks need and a minute
    #[arg(long)]
    bound: Option<u64>,
}

/// Jobs that are run by one command.
struct Lot {
    name: String,
    graphs: Vec<Graph>,
}

/// With which cache.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cache {
    Cold,
    Warm,
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cold => "cold",
            Self::Warm => "warm",
        })
    }
}

/// What came of all.
#[derive(Default)]
struct Tally {
    graphs: usize,
    tasks: u64,
    longest: Duration,
    wrong: Vec<String>,
}

/// Runs all graphs, and fails if one did not end as it should.
pub(crate) fn run(order: &Order) -> Result<()> {
    let skep = crate::chaos::binary(order.skep.as_deref())?;
    let seed = order.seed.unwrap_or_else(fresh);
    let folder = env::temp_dir().join(format!("skep-jobs-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    println!(
        "{} graphs from seed {seed}, by {}, in {}",
        order.graphs,
        skep.display(),
        folder.display()
    );
    let begun = Instant::now();
    let (mut tallies, mut done) = ([Tally::default(), Tally::default()], 0);
    for lot in lots(order, seed)? {
        let home = folder.join(&lot.name);
        let mut is_right = true;
        for (cache, tally) in [Cache::Cold, Cache::Warm].into_iter().zip(&mut tallies) {
            let wrong = run_lot(order, &skep, &home, &lot, cache, tally)?;
            is_right &= wrong.is_empty();
            wrong.iter().for_each(|wrong| println!("{wrong}"));
            tally.wrong.extend(wrong);
        }
        if is_right {
            fs::remove_dir_all(&home)?;
        }
        done += lot.graphs.len();
        if done.is_multiple_of(20) {
            println!("{done} graphs in {} s", begun.elapsed().as_secs());
        }
    }
    tell(&folder, seed, &tallies)
}

fn tell(folder: &Path, seed: u64, tallies: &[Tally; 2]) -> Result<()> {
    for (cache, tally) in [Cache::Cold, Cache::Warm].into_iter().zip(tallies) {
        println!(
            "{cache} cache: {} graphs with {} tasks, {} did not end as they should; the longest \
             took {:.1} s",
            tally.graphs,
            tally.tasks,
            tally.wrong.len(),
            tally.longest.as_secs_f64(),
        );
    }
    if tallies.iter().any(|tally| !tally.wrong.is_empty()) {
        bail!("what went wrong is in {}; the seed is {seed}", folder.display());
    }
    fs::remove_dir_all(folder)?;
    println!("all have ended as they should");
    Ok(())
}

fn fresh() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs()
}

/// What is run together: one graph, or a few.
fn lots(order: &Order, seed: u64) -> Result<Vec<Lot>> {
    if let Some(file) = &order.file {
        let file = file.canonicalize().with_context(|| file.display().to_string())?;
        let lot = |number| Lot { name: format!("{number}"), graphs: vec![Graph::of_file(&file)] };
        return Ok((0..order.graphs).map(lot).collect());
    }
    let mut chance = Chance(seed);
    let mut lots: Vec<Lot> = Vec::new();
    let mut left = order.graphs;
    while left > 0 {
        let count = if lots.len().is_multiple_of(TOGETHER + 1) { left.min(TOGETHER) } else { 1 };
        let number = order.graphs - left;
        let graph = |place: usize| Graph::draw(&mut chance, &format!("g{}", number + place));
        lots.push(Lot { name: number.to_string(), graphs: (0..count).map(graph).collect() });
        left -= count;
    }
    Ok(lots)
}

/// Runs a lot; gives what was not as it should be.
fn run_lot(
    order: &Order,
    skep: &Path,
    home: &Path,
    lot: &Lot,
    cache: Cache,
    tally: &mut Tally,
) -> Result<Vec<String>> {
    fs::create_dir_all(home)?;
    for graph in &lot.graphs {
        graph.write(home)?;
    }
    let bound = lot.graphs.iter().map(Graph::time).sum::<Duration>() + SLACK;
    let bound = order.bound.map_or(bound, Duration::from_secs);
    let said = home.join(format!("said-{cache}"));
    // What nobody takes of its outputs comes to where the command runs.
    let here = home.join(format!("here-{cache}"));
    fs::create_dir_all(&here)?;
    let mut command = command(skep, home, lot);
    command.current_dir(here);
    let output = File::create(&said)?;
    command.stdout(output.try_clone()?).stderr(output).stdin(Stdio::null());
    let begun = Instant::now();
    let status = wait(command.process_group(0).spawn()?, bound)?;
    let took = begun.elapsed();
    tally.graphs += lot.graphs.len();
    tally.tasks += lot.graphs.iter().map(|graph| graph.tasks).sum::<u64>();
    tally.longest = tally.longest.max(took);
    let names = lot.graphs.iter().map(|graph| graph.name.as_str()).collect::<Vec<_>>().join(", ");
    let is_right = match (&status, lot.graphs.as_slice()) {
        (None, _) => {
            let bound = bound.as_secs();
            return Ok(vec![format!("{names}, {cache} cache: has not ended within {bound} s")]);
        }
        (Some(status), [only]) => status.code() == Some(if only.must_fail { FAILED } else { 0 }),
        // The script has compared each.
        (Some(status), _) => status.success(),
    };
    if is_right {
        return Ok(Vec::new());
    }
    let said = fs::read_to_string(&said).unwrap_or_default();
    let last = said.lines().last().unwrap_or_default();
    let how = status.map(|status| status.to_string()).unwrap_or_default();
    Ok(vec![format!("{names}, {cache} cache: {how}: {last}")])
}

/// Runs the lot's only graph, or hands over all of them.
fn command(skep: &Path, home: &Path, lot: &Lot) -> Command {
    let mut command = Command::new(skep);
    match lot.graphs.as_slice() {
        [only] => command.args(["job", "run"]).arg(only.file(home)),
        many => {
            command.args(["dev", "--agents", "2", "--", "sh", "-c"]).arg(script(skep, home, many))
        }
    };
    for name in ["SKEP_MASTER", "SKEP_JOIN", "SKEP_IDENTITY"] {
        command.env_remove(name);
    }
    command.env("HOME", home).env("SKEP_CACHE_DIR", home.join("cache"));
    command
}

/// Hands over graphs, one after the other, and waits for all.
fn script(skep: &Path, home: &Path, graphs: &[Graph]) -> String {
    let skep = skep.display();
    let mut lines = Vec::new();
    for graph in graphs {
        let submit = format!("{skep} job submit {}", graph.file(home).display());
        // With a cold cache and much else to do `batch` itself is not there for a while.
        lines.push(format!("{submit} || {submit} || exit 9"));
    }
    for graph in graphs {
        let code = if graph.must_fail { FAILED } else { 0 };
        let name = &graph.name;
        lines.push(format!("{skep} job wait {name}; code=$?"));
        lines.push(format!("[ $code = {code} ] || {{ echo {name} exited with $code; exit 8; }}"));
    }
    lines.join("\n")
}

/// Waits for the end of a command; none if it does not come in time, and then it is ended.
fn wait(mut child: Child, bound: Duration) -> Result<Option<ExitStatus>> {
    let begun = Instant::now();
    let mut told = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status).filter(|_| !told));
        }
        let over = begun.elapsed();
        let group = Pid::from_child(&child);
        if over > bound && !told {
            let _ = kill_process_group(group, Signal::TERM);
            told = true;
        } else if over > bound + ENDING {
            let _ = kill_process_group(group, Signal::KILL);
        }
        pause(LOOK);
    }
}

#[expect(clippy::disallowed_methods, reason = "real processes need real time")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
