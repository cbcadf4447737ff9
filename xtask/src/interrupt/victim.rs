//! One command that is interrupted: which, after how long, and by what; and what it came to.

use super::{cluster::Cluster, pause};
use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    fmt,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// The latest moment, in milliseconds: by then the command has been at it for a while.
const MOMENT_MAX: u64 = 6_000;
/// Half of the commands are interrupted this early: while they push, subscribe and launch.
const EARLY_MAX: u64 = 800;
/// How long a command may take to end that was told to.
const END_MAX: Duration = Duration::from_secs(40);
/// How often is looked whether it has.
const LOOK: Duration = Duration::from_millis(5);

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    number: u64,
    command: Kind,
    way: Way,
    after: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// `skep run` of one task that sleeps.
    One,
    /// `skep run` of many tasks that sleep.
    Many,
    /// `skep run` of a task that computes for ever.
    Spin,
    /// `skep job run` of groups that need each other.
    Job,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    CtrlC,
    Term,
    Hangup,
    Kill,
}

/// What was done, and what came of it.
#[derive(Debug)]
pub(super) struct Struck {
    plan: Plan,
    status: Option<ExitStatus>,
    took: Duration,
    said: String,
}

impl Plan {
    /// What follows from the seed for the command of this number.
    pub(super) fn draw(seed: u64, number: u64) -> Self {
        let mut draws = Draws(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number.wrapping_add(1));
        let command = [Kind::One, Kind::Many, Kind::Spin, Kind::Job][draws.below(4)];
        let way = [Way::CtrlC, Way::Term, Way::Hangup, Way::Kill, Way::Kill][draws.below(5)];
        let max = if draws.below(2) == 0 { EARLY_MAX } else { MOMENT_MAX };
        let after = Duration::from_millis(draws.next() % max);
        Self { number, command, way, after }
    }

    /// Begins the command, waits, and interrupts it.
    pub(super) fn carry_out(self, cluster: &Cluster) -> Result<Struck> {
        let name = format!("victim-{}", self.number);
        let sleep = cluster.module("sleep");
        let mut command = match self.command {
            Kind::One => cluster.skep(&["run", "--cpus", "0.05", "--mem", "16MiB"]),
            Kind::Many => {
                cluster.skep(&["run", "--cpus", "0.02", "--mem", "16MiB", "--count", "40"])
            }
            Kind::Spin => cluster.skep(&["run", "--cpus", "0.05", "--mem", "16MiB"]),
            Kind::Job => cluster.skep(&["job", "run"]),
        };
        match self.command {
            Kind::One => command.args(["--name", &name]).arg(sleep).arg("600000"),
            Kind::Many => command.args(["--name", &name]).arg(sleep).arg("2000"),
            Kind::Spin => command.args(["--name", &name]).arg(cluster.module("spin")),
            Kind::Job => command.arg(cluster.job(&name)?),
        };
        let said = cluster.file(&format!("{name}.stderr"));
        let stderr = std::fs::File::create(&said)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).process_group(0);
        let mut child = command.spawn().context("skep cannot be started")?;
        let begun = Instant::now();
        let mut status = None;
        while status.is_none() && begun.elapsed() < self.after {
            pause(LOOK.min(self.after));
            status = child.try_wait()?;
        }
        let group = Pid::from_raw(child.id().try_into()?).context("a process has a number")?;
        let told = Instant::now();
        if status.is_none() {
            // It may have ended since it was looked at.
            let _ = kill_process_group(group, self.way.signal());
            while status.is_none() && told.elapsed() < END_MAX {
                pause(LOOK);
                status = child.try_wait()?;
            }
        } else {
            return Ok(Struck {
                plan: self,
                status: None,
                took: Duration::ZERO,
                said: text(&said),
            });
        }
        let took = told.elapsed();
        if status.is_none() {
            let _ = kill_process_group(group, Signal::KILL);
            child.wait()?;
        }
        Ok(Struck { plan: self, status, took, said: text(&said) })
    }
}

fn text(file: &std::path::Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

impl Way {
    const fn signal(self) -> Signal {
        match self {
            Self::CtrlC => Signal::INT,
            Self::Term => Signal::TERM,
            Self::Hangup => Signal::HUP,
            Self::Kill => Signal::KILL,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::CtrlC => "by Ctrl-C",
            Self::Term => "by SIGTERM",
            Self::Hangup => "by SIGHUP",
            Self::Kill => "by kill -9",
        }
    }
}

impl Struck {
    pub(super) const fn way(&self) -> &'static str {
        self.plan.way.name()
    }

    /// Whether the command had ended by itself.
    pub(super) const fn has_ended_before(&self) -> bool {
        self.status.is_none() && self.took.is_zero()
    }

    /// What is wrong with how it ended, in words.
    pub(super) fn fault(&self) -> Option<String> {
        if self.has_ended_before() {
            return None;
        }
        let number = self.plan.way.signal().as_raw();
        let is_right = self.status.is_some_and(|status| {
            // Before it listens to signals they end it by themselves.
            status.signal() == Some(number) || status.code() == Some(128 + number)
        });
        // One that is done in the same moment is done.
        let is_done = self.status.is_some_and(|status| status.success());
        (!is_right && !is_done).then(|| format!("{self}: {}", self.said.trim()))
    }
}

impl fmt::Display for Struck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { number, command, way, after } = self.plan;
        write!(f, "{number}: {command:?}, {} after {} ms: ", way.name(), after.as_millis())?;
        match self.status {
            Some(status) => write!(f, "{status} within {} ms", self.took.as_millis()),
            None if self.has_ended_before() => f.write_str("it had ended before"),
            None => write!(f, "it did not end within {} s", END_MAX.as_secs()),
        }
    }
}

/// Numbers that follow from a seed: splitmix64.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_has_the_same_plans_and_each_way_occurs() {
        let plans =
            |seed| (0..50).map(|n| format!("{:?}", Plan::draw(seed, n))).collect::<Vec<_>>();
        assert_eq!(plans(1), plans(1));
        assert_ne!(plans(1), plans(2));
        for way in [Way::CtrlC, Way::Term, Way::Hangup, Way::Kill] {
            assert!((0..50).any(|n| Plan::draw(1, n).way == way), "{way:?}");
        }
    }
}
