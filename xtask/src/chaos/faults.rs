//! Which fault comes next, and how long it lasts: drawn from a seed, without touching anything.
//!
//! Always holds: the kinds come in rounds, each once a round in a drawn order, so that a run of any
//! length has seen each about as often as the others.

use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// What is done to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The leader's process is killed, and started again.
    LeaderKilled,
    /// It is stopped (SIGSTOP) for longer than its lease, and goes on.
    LeaderPaused,
    /// Its link is down for longer than its lease.
    LeaderCut,
    /// It is killed, its disk is deleted, and it is started again.
    LeaderDiskLost,
    /// It is told to end (SIGTERM), and started again.
    LeaderEnded,
    /// A standby is killed, and started again.
    StandbyKilled,
    /// A standby's link is down.
    StandbyCut,
    /// The disk of one of the masters is full.
    MasterDiskFull,
    /// An agent's process is killed and started again a second later.
    AgentKilled,
    /// An agent's process is killed and stays away until its tasks count as unreachable.
    AgentAway,
    /// An agent is stopped (SIGSTOP), and goes on.
    AgentPaused,
    /// An agent's link is down.
    AgentCut,
    /// An agent's process is killed and all its executors with it, and it is started again.
    AgentRebooted,
    /// The disk of one of the agents is full.
    AgentDiskFull,
    /// An executor is killed.
    ExecutorKilled,
    /// An executor is stopped (SIGSTOP), and goes on.
    ExecutorPaused,
    /// A framework's process is killed, and another instance takes over.
    FrameworkKilled,
    /// A framework's link is down.
    FrameworkCut,
    /// A member of etcd is killed, and started again.
    EtcdKilled,
    /// The link of a member of etcd is down.
    EtcdCut,
    /// Two of three members of etcd are killed, for longer than the lease.
    EtcdMajorityKilled,
}

/// What a fault needs of the machine that it is made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Processes alone.
    Nothing,
    /// Links of its own for each of them.
    Links,
    /// A small file system of its own.
    Disks,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 21] = [
        Self::LeaderKilled,
        Self::LeaderPaused,
        Self::LeaderCut,
        Self::LeaderDiskLost,
        Self::LeaderEnded,
        Self::StandbyKilled,
        Self::StandbyCut,
        Self::MasterDiskFull,
        Self::AgentKilled,
        Self::AgentAway,
        Self::AgentPaused,
        Self::AgentCut,
        Self::AgentRebooted,
        Self::AgentDiskFull,
        Self::ExecutorKilled,
        Self::ExecutorPaused,
        Self::FrameworkKilled,
        Self::FrameworkCut,
        Self::EtcdKilled,
        Self::EtcdCut,
        Self::EtcdMajorityKilled,
    ];

    /// What it needs.
    pub(crate) const fn needs(self) -> Needs {
        match self {
            Self::LeaderCut
            | Self::StandbyCut
            | Self::AgentCut
            | Self::FrameworkCut
            | Self::EtcdCut => Needs::Links,
            Self::MasterDiskFull | Self::AgentDiskFull => Needs::Disks,
            _ => Needs::Nothing,
        }
    }

    /// How long it lasts, in milliseconds: the least and the most.
    const fn lasts_ms(self) -> (u64, u64) {
        match self {
            // Beyond the lease of the run, which is 5 s, by the time that others need to lead.
            Self::LeaderPaused | Self::LeaderCut => (8_000, 14_000),
            Self::EtcdMajorityKilled => (8_000, 12_000),
            Self::LeaderKilled | Self::LeaderDiskLost | Self::StandbyKilled => (1_000, 12_000),
            Self::LeaderEnded | Self::AgentKilled | Self::AgentRebooted => (1_000, 1_001),
            Self::FrameworkKilled => (500, 4_000),
            // Tasks count as unreachable after 5 s.
            Self::AgentAway => (8_000, 15_000),
            Self::AgentPaused | Self::AgentCut | Self::FrameworkCut => (2_000, 15_000),
            Self::ExecutorKilled => (0, 1),
            Self::ExecutorPaused | Self::MasterDiskFull | Self::AgentDiskFull => (3_000, 8_000),
            Self::StandbyCut | Self::EtcdKilled | Self::EtcdCut => (2_000, 10_000),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeaderKilled => "leader killed",
            Self::LeaderPaused => "leader paused beyond its lease",
            Self::LeaderCut => "leader cut off",
            Self::LeaderDiskLost => "leader killed, its disk deleted",
            Self::LeaderEnded => "leader told to end",
            Self::StandbyKilled => "standby killed",
            Self::StandbyCut => "standby cut off",
            Self::MasterDiskFull => "a master's disk full",
            Self::AgentKilled => "agent killed",
            Self::AgentAway => "agent killed and away",
            Self::AgentPaused => "agent paused",
            Self::AgentCut => "agent cut off",
            Self::AgentRebooted => "agent and executors killed",
            Self::AgentDiskFull => "an agent's disk full",
            Self::ExecutorKilled => "executor killed",
            Self::ExecutorPaused => "executor paused",
            Self::FrameworkKilled => "framework killed",
            Self::FrameworkCut => "framework cut off",
            Self::EtcdKilled => "etcd member killed",
            Self::EtcdCut => "etcd member cut off",
            Self::EtcdMajorityKilled => "two etcd members killed",
        })
    }
}

/// One fault to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// Says which of several it strikes.
    pub(crate) pick: u64,
    pub(crate) lasts: Duration,
}

/// Faults without end.
#[derive(Clone, Debug)]
pub(crate) struct Deck {
    chance: Chance,
    kinds: Vec<Kind>,
    /// What is left of this round; the last comes next.
    left: Vec<Kind>,
}

impl Deck {
    /// Draws among these kinds.
    pub(crate) const fn new(seed: u64, kinds: Vec<Kind>) -> Self {
        Self { chance: Chance(seed), kinds, left: Vec::new() }
    }
}

impl Iterator for Deck {
    type Item = Fault;

    fn next(&mut self) -> Option<Fault> {
        if self.left.is_empty() {
            self.left.clone_from(&self.kinds);
            for last in (1..self.left.len()).rev() {
                self.left.swap(last, self.chance.below(last + 1));
            }
        }
        let kind = self.left.pop()?;
        let (least, most) = kind.lasts_ms();
        let lasts = Duration::from_millis(least + self.chance.draw() % (most - least));
        Some(Fault { kind, pick: self.chance.draw(), lasts })
    }
}

/// Numbers that look random and come again with the same seed: splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub(crate) const fn below(&mut self, bound: usize) -> usize {
        (self.draw() % bound as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn drawn(seed: u64, count: usize) -> Vec<Fault> {
        Deck::new(seed, Kind::ALL.to_vec()).take(count).collect()
    }

    #[test]
    fn the_same_seed_draws_the_same_faults_and_another_draws_others() {
        assert_eq!(drawn(7, 100), drawn(7, 100));
        assert_ne!(drawn(7, 21), drawn(8, 21));
    }

    #[test]
    fn each_kind_comes_once_in_a_round() {
        for round in drawn(1, 63).chunks(21) {
            let kinds: BTreeSet<_> = round.iter().map(|fault| fault.kind).collect();
            assert_eq!(kinds.len(), Kind::ALL.len());
        }
    }

    #[test]
    fn a_fault_lasts_as_long_as_its_kind_may() {
        for Fault { kind, lasts, .. } in drawn(3, 210) {
            let (least, most) = kind.lasts_ms();
            let (least, most) = (Duration::from_millis(least), Duration::from_millis(most));
            assert!((least..most).contains(&lasts), "{kind}: {lasts:?}");
        }
    }

    #[test]
    fn what_the_machine_cannot_do_is_not_drawn() {
        let kinds: Vec<_> =
            Kind::ALL.into_iter().filter(|kind| kind.needs() == Needs::Nothing).collect();
        assert_eq!(kinds.len(), 14);
        let mut deck = Deck::new(5, kinds);
        assert!(deck.by_ref().take(140).all(|fault| fault.kind.needs() == Needs::Nothing));
    }
}
