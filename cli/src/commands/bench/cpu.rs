//! `skep bench cpu`: whether guests get the processors that they are promised.
//!
//! Runs executors in this process, without an agent: shares of guests that compute, inside one
//! executor and across two; how late a guest is that wakes beside fifty that compute; how long a
//! kill takes. A guest's share is of what all guests got, in processor time as the kernel has it.

use crate::{
    args,
    failure::{Result, Sentence},
    output, stdout,
};
use rustix::thread::{CpuSet, sched_setaffinity};
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
    io,
    num::NonZeroUsize,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// `(module (func (export "_start") (loop (br 0))))`: computes for ever.
const SPIN: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\
    \x0a\x09\x01\x07\0\x03\x40\x0c\0\x0b\x0b";
/// `waker.wat`, which lies beside it.
const WAKER: &[u8] = include_bytes!("waker.wasm");
/// Guests that compute while others are measured.
const SPINNERS: u64 = 50;
/// The part of the processors that is promised to those, in thousandths of one; the rest is for
/// the guest that is measured and for this process.
const SPINNERS_MILLIS: u64 = 900;
/// What is promised to the guest that wakes, in thousandths.
const WAKER_MILLIS: u64 = 50;
/// What a guest that computes needs at most.
const MEMORY_BYTES: u64 = 1 << 20;

/// What was measured.
#[derive(Debug, Serialize)]
struct Figures {
    processors: usize,
    shares: Vec<Shares>,
    wake_late: Latency,
    kill: Latency,
}

/// How far guests that compute were from their shares.
#[derive(Debug, Serialize)]
struct Shares {
    what: &'static str,
    seconds: f64,
    /// Processor time of all guests, as a part of what the processors could give.
    busy: f64,
    /// The greatest distance of a guest from its share, as a part of the share.
    off_max: f64,
    guests: Vec<Part>,
}

#[derive(Debug, Serialize)]
struct Part {
    promised: f64,
    got: f64,
}

#[derive(Debug, Serialize)]
struct Latency {
    count: usize,
    p50_micros: u64,
    p90_micros: u64,
    p99_micros: u64,
    max_micros: u64,
}

pub(in crate::commands) async fn cpu(args: args::BenchCpu) -> Result {
    let bench = Bench::new()?;
    let span = args.time.0;
    let mut shares = Vec::new();
    let cases: [(&str, &[&[u64]]); 5] = [
        ("four, one processor, all promised", &[&[100, 200, 300, 400]]),
        ("four, one processor, half promised", &[&[50, 100, 150, 200]]),
        ("a hundred, one processor", &[&[10; 100]]),
        ("two executors, one processor, all promised", &[&[100, 400], &[200, 300]]),
        ("two executors, one bursting", &[&[300, 300, 300], &[100]]),
    ];
    for (what, executors) in cases {
        shares.push(bench.shares(what, executors, span).await?);
    }
    let figures = Figures {
        processors: processors().get(),
        shares,
        wake_late: bench.wake_late().await?,
        kill: bench.kill(args.kills.get()).await?,
    };
    match args.output {
        args::Format::Json => output::json(&figures)?,
        args::Format::Table => stdout::print(&figures.words())?,
    }
    Ok(())
}

pub(super) fn processors() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// The compiled guests.
struct Bench {
    folder: OwnFolder,
}

impl Bench {
    fn new() -> Result<Self> {
        let folder = OwnFolder::new("bench-")?;
        let bench = Self { folder };
        for (name, module) in [("spin", SPIN), ("waker", WAKER)] {
            let file = bench.folder.path().join(name);
            fs::write(&file, module)?;
            compile_unlimited(&file, &bench.artifact(name), Nans::Native)?;
        }
        Ok(bench)
    }

    fn start(&self, runner: &Runner, guest: StartGuest) -> Result {
        let artifact = Arc::new(File::open(self.artifact(&guest.name))?);
        runner.start(guest, GuestFiles { artifact, stdin: None, inputs: Vec::new() });
        Ok(())
    }

    fn artifact(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.artifact"))
    }

    fn guest(&self, module: &str, number: u64, share: u64) -> StartGuest {
        let bytes = if module == "spin" { SPIN } else { WAKER };
        StartGuest {
            key: key(module, number),
            agent: AgentId::new("bench").expect("a plain name"),
            module: Digest::of(bytes),
            name: module.into(),
            args: Vec::new(),
            index: None,
            cpus: Amount::millis(share),
            memory_bytes: MEMORY_BYTES,
            limits: Limits::default(),
            grants: Grants::default(),
            inputs: Vec::new(),
            diagnostics: Diagnostics::default(),
            policies: Policies::default(),
            checkpoint: Vec::new(),
            sandbox: self.folder.path().join("sandbox"),
        }
    }

    /// Lets guests compute on one processor; each list of shares is an executor.
    async fn shares(
        &self,
        what: &'static str,
        executors: &[&[u64]],
        span: Duration,
    ) -> Result<Shares> {
        let runners: Vec<_> = executors.iter().map(|_| on_one()).collect::<io::Result<_>>()?;
        let began = Instant::now();
        for (runner, shares) in runners.iter().zip(executors) {
            for (number, share) in (0..).zip(*shares) {
                let mut guest = self.guest("spin", number, *share);
                guest.limits.deadline = Some(span);
                self.start(runner, guest)?;
            }
        }
        let mut used = Vec::new();
        for (runner, shares) in runners.iter().zip(executors) {
            let mut left = shares.len();
            let mut times = vec![Duration::ZERO; left];
            while left > 0 {
                for (key, end) in ends(runner).await {
                    let number: usize = number(&key)?;
                    times[number] = end.cpu;
                    left -= 1;
                }
            }
            used.extend(times.into_iter().zip(shares.iter().copied()));
        }
        Ok(Shares::new(what, began.elapsed(), &used))
    }

    /// How late a guest is that wakes every 10 ms while others compute on all processors.
    async fn wake_late(&self) -> Result<Latency> {
        let runner = Runner::new(processors())?;
        self.spinners(&runner).await?;
        self.start(&runner, self.guest("waker", 0, WAKER_MILLIS))?;
        loop {
            if let Some((_, end)) = ends(&runner).await.into_iter().next() {
                let numbers = end.result.chunks_exact(4);
                let late = numbers.map(|four| {
                    u64::from(u32::from_le_bytes(four.try_into().expect("four bytes")))
                });
                return Latency::new(late.map(Duration::from_nanos).collect());
            }
        }
    }

    /// How long it takes from the order to end one of many that compute to its reported end.
    async fn kill(&self, count: u64) -> Result<Latency> {
        let runner = Runner::new(processors())?;
        let share = self.spinners(&runner).await?;
        let mut took = Vec::new();
        for number in 0..count {
            self.start(&runner, self.guest("spin", SPINNERS + number, share))?;
            started(&runner, 1).await;
            let began = Instant::now();
            runner.kill(&key("spin", number), KilledBy::Operator);
            let all = ends(&runner).await;
            took.push(began.elapsed());
            if all.iter().any(|(_, end)| !matches!(end.outcome, Outcome::Killed { .. })) {
                return Err(Sentence("a guest ended by itself".into()).into());
            }
        }
        Latency::new(took)
    }

    /// Starts guests that compute, and gives the share of each.
    async fn spinners(&self, runner: &Runner) -> Result<u64> {
        let share = processors().get() as u64 * SPINNERS_MILLIS / SPINNERS;
        for number in 0..SPINNERS {
            self.start(runner, self.guest("spin", number, share))?;
        }
        started(runner, SPINNERS).await;
        Ok(share)
    }
}

/// An executor all of whose threads share one processor.
pub(super) fn on_one() -> io::Result<Runner> {
    let made = thread::spawn(|| {
        let mut first = CpuSet::new();
        first.set(0);
        sched_setaffinity(None, &first)?;
        Runner::new(NonZeroUsize::MIN)
    });
    made.join().unwrap_or_else(|_| Err(io::Error::other("a thread died")))
}

struct End {
    outcome: Outcome,
    cpu: Duration,
    result: Vec<u8>,
}

/// Waits until at least one guest has ended.
async fn ends(runner: &Runner) -> Vec<(TaskKey, End)> {
    loop {
        let reports = runner.reports().await.into_iter();
        let all = reports.filter_map(|report| match report {
            Report::Ended { key, outcome, usage, result, .. } => {
                Some((key, End { outcome, cpu: usage.cpu, result }))
            }
            _ => None,
        });
        let all: Vec<_> = all.collect();
        if !all.is_empty() {
            return all;
        }
    }
}

async fn started(runner: &Runner, mut count: u64) {
    while count > 0 {
        let reports = runner.reports().await;
        count -= reports.iter().filter(|r| matches!(r, Report::Started { .. })).count() as u64;
    }
}

fn key(module: &str, number: u64) -> TaskKey {
    TaskKey {
        framework: FrameworkId::new("bench").expect("a plain name"),
        task: TaskId::new(format!("{module}-{number}")).expect("a plain name"),
        attempt: Attempt::FIRST,
    }
}

fn number(key: &TaskKey) -> Result<usize> {
    let name = key.task.to_string();
    Ok(name.rsplit('-').next().unwrap_or_default().parse()?)
}

impl Shares {
    #[expect(clippy::cast_precision_loss, reason = "shares are small numbers")]
    fn new(what: &'static str, took: Duration, used: &[(Duration, u64)]) -> Self {
        let all: f64 = used.iter().map(|(time, _)| time.as_secs_f64()).sum();
        let promised: u64 = used.iter().map(|(_, share)| share).sum();
        let part = |(time, share): &(Duration, u64)| Part {
            promised: *share as f64 / promised as f64,
            got: time.as_secs_f64() / all,
        };
        let guests: Vec<_> = used.iter().map(part).collect();
        let off = guests.iter().map(|part| (part.got / part.promised - 1.0).abs());
        let off_max = off.fold(0.0, f64::max);
        let seconds = took.as_secs_f64();
        Self { what, seconds, busy: all / seconds, off_max, guests }
    }
}

impl Latency {
    fn new(mut all: Vec<Duration>) -> Result<Self> {
        if all.is_empty() {
            return Err(Sentence("nothing was measured".into()).into());
        }
        all.sort_unstable();
        let at = |percent: usize| {
            let place = (all.len() * percent / 100).min(all.len() - 1);
            u64::try_from(all[place].as_micros()).unwrap_or(u64::MAX)
        };
        Ok(Self {
            count: all.len(),
            p50_micros: at(50),
            p90_micros: at(90),
            p99_micros: at(99),
            max_micros: at(100),
        })
    }

    fn words(&self) -> String {
        let Self { count, p50_micros, p90_micros, p99_micros, max_micros } = self;
        format!(
            "p50 {p50_micros} us, p90 {p90_micros} us, p99 {p99_micros} us, \
             max {max_micros} us ({count} times)"
        )
    }
}

impl Figures {
    fn words(&self) -> String {
        let mut lines: Vec<String> = self.shares.iter().map(Shares::words).collect();
        lines.push(format!("a waker beside {SPINNERS} is late  {}", self.wake_late.words()));
        lines.push(format!("a kill among {SPINNERS}            {}", self.kill.words()));
        lines.join("\n")
    }
}

impl Shares {
    fn words(&self) -> String {
        let first = self.guests.iter().take(4);
        let parts: Vec<_> = first.map(|p| format!("{:.3}/{:.3}", p.got, p.promised)).collect();
        let more = if self.guests.len() > parts.len() { " ..." } else { "" };
        format!(
            "{:<44} off by {:.1} % at most, busy {:.1} %: {}{more}",
            self.what,
            self.off_max * 100.0,
            self.busy * 100.0,
            parts.join(" "),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modules_are_what_their_texts_say() {
        let spin = r#"(module (func (export "_start") (loop (br 0))))"#;
        assert_eq!(wat::parse_str(spin).expect("a module"), SPIN);
        let waker = wat::parse_str(include_str!("waker.wat")).expect("a module");
        assert!(waker == WAKER, "assemble waker.wat anew");
    }
}
