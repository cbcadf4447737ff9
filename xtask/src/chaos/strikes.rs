//! How each fault is made and healed.

use super::{
    cluster::{self, Cluster, SMALL_DISKS},
    faults::{Fault, Kind},
    notes::now,
    pause,
    process::{executors, signal_to},
    struck::{Criterion, Struck},
};
use anyhow::{Context, Result};
use rustix::process::Signal;
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// How long a master that was told to end may take.
const END_MAX: Duration = Duration::from_secs(10);

/// When the clock of the recovery begins to run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// With the fault: others are to go on without the one that is struck.
    AtOnce,
    /// When it is healed: that one is to come back.
    WhenHealed,
}

impl Cluster {
    /// Makes a fault, lets it last, and heals it.
    pub(super) fn strike(&mut self, fault: &Fault) -> Result<Struck> {
        use Kind::*;
        match fault.kind {
            LeaderKilled | LeaderPaused | LeaderCut | LeaderDiskLost | LeaderEnded => {
                self.strike_leader(fault)
            }
            StandbyKilled | StandbyCut => {
                let leader = self.leader()?;
                let standbys = cluster::masters().filter(|name| *name != leader);
                let target = pick(standbys, fault)?;
                self.strike_machine(fault, target, Clock::AtOnce, Criterion::Everybody)
            }
            MasterDiskFull => {
                let target = SMALL_DISKS[0].to_owned();
                self.strike_machine(fault, target, Clock::AtOnce, Criterion::Everybody)
            }
            AgentKilled | AgentAway | AgentPaused | AgentCut | AgentRebooted => {
                let target = pick(cluster::agents(), fault)?;
                let criterion = Criterion::Agent(self.agent_id(&target)?);
                self.strike_machine(fault, target, Clock::WhenHealed, criterion)
            }
            AgentDiskFull => {
                let target = SMALL_DISKS[1].to_owned();
                let criterion = Criterion::Agent(self.agent_id(&target)?);
                self.strike_machine(fault, target, Clock::WhenHealed, criterion)
            }
            ExecutorKilled | ExecutorPaused => self.strike_executor(fault),
            FrameworkKilled | FrameworkCut => {
                let target = pick(cluster::frameworks(), fault)?;
                let criterion = Criterion::Framework(target.clone());
                self.strike_machine(fault, target, Clock::WhenHealed, criterion)
            }
            EtcdKilled | EtcdCut => {
                let target = pick(cluster::members(), fault)?;
                self.strike_machine(fault, target, Clock::AtOnce, Criterion::Everybody)
            }
            EtcdMajorityKilled => self.strike_majority(fault),
        }
    }

    fn strike_leader(&mut self, fault: &Fault) -> Result<Struck> {
        let leader = self.leader()?;
        self.strike_machine(fault, leader, Clock::AtOnce, Criterion::AnotherMaster)
    }

    fn strike_machine(
        &mut self,
        fault: &Fault,
        target: String,
        clock: Clock,
        criterion: Criterion,
    ) -> Result<Struck> {
        let from = now();
        self.hurt(fault.kind, &target)?;
        pause(fault.lasts);
        self.heal(fault.kind, &target)?;
        let healed = now();
        let clock = if clock == Clock::AtOnce { from } else { healed };
        let kind = fault.kind;
        Ok(Struck { kind, target, from, healed, clock, criterion, recovered_ms: None })
    }

    fn hurt(&mut self, kind: Kind, target: &str) -> Result<()> {
        use Kind::*;
        match kind {
            LeaderPaused | AgentPaused => self.process(target)?.signal(Signal::STOP),
            LeaderCut | StandbyCut | AgentCut | FrameworkCut | EtcdCut => self.net.cut(target),
            LeaderEnded => self.order_to_end(target),
            LeaderDiskLost => {
                self.process(target)?.kill()?;
                let folder = self.folder.join(target);
                clear(&folder).with_context(|| folder.display().to_string())
            }
            MasterDiskFull | AgentDiskFull => {
                self.disks.get(target).context("no disk of its own")?.fill()
            }
            AgentRebooted => {
                self.process(target)?.kill()?;
                for (pid, _) in executors(&self.folder.join(target))? {
                    // One that has ended meanwhile is as dead.
                    let _ = signal_to(pid, Signal::KILL);
                }
                Ok(())
            }
            _ => self.process(target)?.kill(),
        }
    }

    fn heal(&mut self, kind: Kind, target: &str) -> Result<()> {
        use Kind::*;
        match kind {
            LeaderPaused | AgentPaused => self.process(target)?.signal(Signal::CONT),
            LeaderCut | StandbyCut | AgentCut | FrameworkCut | EtcdCut => self.net.heal(target),
            MasterDiskFull | AgentDiskFull => {
                self.disks.get(target).context("no disk of its own")?.empty()?;
                self.mend()
            }
            _ => self.launch(target),
        }
    }

    /// Tells a master to end, and waits until it has.
    fn order_to_end(&mut self, target: &str) -> Result<()> {
        let process = self.process(target)?;
        process.signal(Signal::TERM)?;
        let begin = Instant::now();
        while begin.elapsed() < END_MAX && process.ended()?.is_none() {
            pause(Duration::from_millis(20));
        }
        if process.is_running() {
            process.kill()?;
            self.ended.push(format!("{} {target} did not end when it was told to", now()));
        }
        Ok(())
    }

    fn strike_executor(&mut self, fault: &Fault) -> Result<Struck> {
        let from = now();
        let all = executors(&self.folder)?;
        let (pid, root) = &all[usize::try_from(fault.pick)? % all.len().max(1)];
        let inside = root.strip_prefix(&self.folder)?;
        let machine = inside.iter().next().unwrap_or_default().to_string_lossy().into_owned();
        let id = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (agent, framework) = (self.agent_id(&machine)?, self.framework_of(&id)?);
        let criterion = match framework {
            Some(framework) => Criterion::AgentOf(agent, framework),
            None => Criterion::Agent(agent),
        };
        if fault.kind == Kind::ExecutorPaused {
            signal_to(*pid, Signal::STOP)?;
            pause(fault.lasts);
            signal_to(*pid, Signal::CONT)?;
        } else {
            signal_to(*pid, Signal::KILL)?;
        }
        let (healed, kind) = (now(), fault.kind);
        let target = format!("{machine}, {id}");
        Ok(Struck { kind, target, from, healed, clock: healed, criterion, recovered_ms: None })
    }

    fn strike_majority(&mut self, fault: &Fault) -> Result<Struck> {
        let spared = pick(cluster::members(), fault)?;
        let struck: Vec<_> = cluster::members().filter(|name| *name != spared).collect();
        let from = now();
        for name in &struck {
            self.process(name)?.kill()?;
        }
        pause(fault.lasts);
        struck.iter().try_for_each(|name| self.launch(name))?;
        let (kind, target, healed) = (fault.kind, struck.join(", "), now());
        let criterion = Criterion::Everybody;
        Ok(Struck { kind, target, from, healed, clock: healed, criterion, recovered_ms: None })
    }
}

fn pick(among: impl Iterator<Item = String>, fault: &Fault) -> Result<String> {
    let mut all: Vec<_> = among.collect();
    let at = usize::try_from(fault.pick % all.len().max(1) as u64)?;
    Ok(all.swap_remove(at))
}

/// Removes all that is in a folder; the folder may be where a disk is mounted.
fn clear(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    Ok(())
}
