//! `skep bench start`: what starting a guest costs, and what one costs that waits.
//!
//! Runs executors in this process, without an agent. Warm starts: guests that do nothing, one
//! after another on one processor, each with all limits and logs of a task; what counts is this
//! process's processor time. Waiting guests: many that sleep, and this process's resident memory
//! before and with them.

use super::cpu::{on_one, processors};
use crate::{
    args,
    failure::{Result, Sentence},
    output, stdout,
};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use skep_executor::{GuestFiles, Runner, compile_unlimited};
use skep_protocol::{
    AgentId, Amount, Attempt, Digest, FrameworkId, Nans, TaskId, TaskKey,
    executor::{Report, StartGuest},
    outcome::{KilledBy, Outcome},
    task::{Diagnostics, Grants, Limits, Policies},
};
use skep_shell::OwnFolder;
use std::{
    fs::{self, File},
    ops::Range,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// `(module (func (export "_start")))`: ends at once.
const NOOP: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\
    \x0a\x04\x01\x02\0\x0b";
/// A program of Rust's that ends at once.
const RUST_NOOP: &[u8] = include_bytes!("../../../../guests/modules/noop.wasm");
/// A program of Rust's that sleeps as many milliseconds as it is told.
const SLEEP: &[u8] = include_bytes!("../../../../guests/modules/sleep.wasm");
/// Longer than any measurement.
const SLEEP_MILLIS: &str = "36000000";
/// Guests that are under way at once, so that the loop that starts them need not be woken for each.
const UNDER_WAY: usize = 32;
const MEMORY_BYTES: u64 = 4 << 20;
/// A page as `/proc` counts it.
const PAGE_BYTES: u64 = 4_096;

/// What was measured.
#[derive(Debug, Serialize)]
struct Figures {
    warm: Vec<Warm>,
    waiting: Waiting,
}

#[derive(Debug, Serialize)]
struct Warm {
    module: &'static str,
    processors: usize,
    guests: usize,
    /// Processor time of this process for each guest.
    cpu_micros: f64,
    guests_per_second: f64,
}

#[derive(Debug, Serialize)]
struct Waiting {
    guests: usize,
    /// Resident memory of this process before them.
    idle_bytes: u64,
    /// What each adds.
    bytes_per_guest: f64,
    start_seconds: f64,
}

pub(in crate::commands) async fn start(args: args::BenchStart) -> Result {
    let folder = OwnFolder::new("bench-")?;
    let guests = args.guests.get();
    let mut warm = Vec::new();
    for (name, module) in [("empty module", NOOP), ("Rust program", RUST_NOOP)] {
        let one = Bench { runner: on_one()?, program: Program::new(folder.path(), module)? };
        warm.push(one.warm(name, 1, guests).await?);
        let program = Program::new(folder.path(), module)?;
        let all = Bench { runner: Runner::new(processors())?, program };
        warm.push(all.warm(name, processors().get(), guests).await?);
    }
    let program = Program::new(folder.path(), SLEEP)?;
    let waiting = Bench { runner: Runner::new(processors())?, program };
    let waiting = waiting.waiting(args.waiting.get()).await?;
    let figures = Figures { warm, waiting };
    match args.output {
        args::Format::Json => output::json(&figures)?,
        args::Format::Table => stdout::print(&figures.words())?,
    }
    Ok(())
}

/// A compiled module, and what a guest of it is.
struct Program {
    artifact: Arc<File>,
    guest: StartGuest,
}

impl Program {
    fn new(folder: &Path, module: &[u8]) -> Result<Self> {
        let (file, artifact) = (folder.join("module"), folder.join("artifact"));
        fs::write(&file, module)?;
        compile_unlimited(&file, &artifact, Nans::Native)?;
        let guest = StartGuest {
            key: key(0),
            agent: AgentId::new("bench").expect("a plain name"),
            module: Digest::of(module),
            name: "bench".into(),
            args: vec![SLEEP_MILLIS.into()],
            index: None,
            cpus: Amount::millis(10),
            memory_bytes: MEMORY_BYTES,
            limits: Limits { fuel: Some(1 << 40), ..Limits::default() },
            grants: Grants::default(),
            inputs: Vec::new(),
            diagnostics: Diagnostics::default(),
            policies: Policies::default(),
            checkpoint: Vec::new(),
            sandbox: folder.join("sandbox"),
        };
        Ok(Self { artifact: Arc::new(File::open(artifact)?), guest })
    }
}

struct Bench {
    runner: Runner,
    program: Program,
}

impl Bench {
    fn start(&self, numbers: Range<usize>) {
        self.runner.start_all(numbers.map(|number| {
            let artifact = Arc::clone(&self.program.artifact);
            let guest = StartGuest { key: key(number), ..self.program.guest.clone() };
            (guest, GuestFiles { artifact, stdin: None, inputs: Vec::new() })
        }));
    }

    /// Runs guests to their end, a few at a time.
    async fn run(&self, guests: usize) -> Result {
        let (mut begun, mut ended) = (0, 0);
        while ended < guests {
            let next = guests.min(ended + UNDER_WAY);
            self.start(begun..next);
            begun = next;
            for report in self.runner.reports().await {
                if let Report::Ended { outcome, .. } = report {
                    if outcome != (Outcome::Exited { code: 0 }) {
                        return Err(Sentence(format!("a guest ended otherwise: {outcome}")).into());
                    }
                    ended += 1;
                }
            }
        }
        Ok(())
    }

    async fn warm(&self, module: &'static str, processors: usize, guests: usize) -> Result<Warm> {
        // The first ones load the module and fault in its pages.
        self.run(guests.div_ceil(10)).await?;
        let (cpu, began) = (cpu_time(), Instant::now());
        self.run(guests).await?;
        let (cpu, wall) = (cpu_time().saturating_sub(cpu), began.elapsed());
        let each = |time: Duration| time.as_secs_f64() / guests as f64;
        let cpu_micros = each(cpu) * 1e6;
        Ok(Warm { module, processors, guests, cpu_micros, guests_per_second: 1.0 / each(wall) })
    }

    async fn waiting(&self, guests: usize) -> Result<Waiting> {
        let (idle_bytes, began) = (resident_bytes()?, Instant::now());
        let mut sleeping = 0;
        self.start(0..guests);
        while sleeping < guests {
            for report in self.runner.reports().await {
                match report {
                    Report::Started { .. } => sleeping += 1,
                    Report::Ended { outcome, .. } => {
                        let why = format!("guest {sleeping} did not wait: {outcome}");
                        return Err(Sentence(why).into());
                    }
                    _ => {}
                }
            }
        }
        let start_seconds = began.elapsed().as_secs_f64();
        let more = resident_bytes()?.saturating_sub(idle_bytes);
        for number in 0..guests {
            self.runner.kill(&key(number), KilledBy::Operator);
        }
        let bytes_per_guest = more as f64 / guests as f64;
        Ok(Waiting { guests, idle_bytes, bytes_per_guest, start_seconds })
    }
}

fn key(number: usize) -> TaskKey {
    TaskKey {
        framework: FrameworkId::new("bench").expect("a plain name"),
        task: TaskId::new(format!("t{number}")).expect("a plain name"),
        attempt: Attempt::FIRST,
    }
}

/// Processor time of this process, all its threads together.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

fn resident_bytes() -> Result<u64> {
    let told = fs::read_to_string("/proc/self/statm")?;
    let pages = told.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    let pages = pages.ok_or_else(|| Sentence("/proc/self/statm makes no sense".into()))?;
    Ok(pages * PAGE_BYTES)
}

impl Figures {
    fn words(&self) -> String {
        let mut lines: Vec<String> = self.warm.iter().map(Warm::words).collect();
        let Waiting { guests, idle_bytes, bytes_per_guest, start_seconds } = &self.waiting;
        lines.push(format!(
            "{guests} guests that sleep: {:.1} KiB each beside {:.1} MiB, started in \
             {start_seconds:.2} s",
            bytes_per_guest / 1024.0,
            *idle_bytes as f64 / f64::from(1 << 20),
        ));
        lines.join("\n")
    }
}

impl Warm {
    fn words(&self) -> String {
        format!(
            "{}, {} processors: {:.1} µs of processor time each, {:.0} a second",
            self.module, self.processors, self.cpu_micros, self.guests_per_second
        )
    }
}
