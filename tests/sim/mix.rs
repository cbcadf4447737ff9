//! Mixes of faults: what can go wrong in a history, named by the last hexadecimal digit of its
//! seed, so that a seed alone is enough to see a history again.

use crate::{
    clock::Wrongness,
    faults::{Fault, Weather},
};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mix {
    Calm,
    Slow,
    /// Packets are lost and doubled.
    Lossy,
    BrokenConnections,
    Partitions,
    OneWayPartitions,
    AddressChanges,
    AgentCrashes,
    MasterCrashes,
    Failovers,
    Clocks,
    Freezes,
    DeadDisks,
    Everything,
    EverythingSlow,
    EverythingWrong,
}

impl Mix {
    /// By their digits.
    pub(crate) const ALL: [Self; 16] = [
        Self::Calm,
        Self::Slow,
        Self::Lossy,
        Self::BrokenConnections,
        Self::Partitions,
        Self::OneWayPartitions,
        Self::AddressChanges,
        Self::AgentCrashes,
        Self::MasterCrashes,
        Self::Failovers,
        Self::Clocks,
        Self::Freezes,
        Self::DeadDisks,
        Self::Everything,
        Self::EverythingSlow,
        Self::EverythingWrong,
    ];

    pub(crate) fn of(seed: u64) -> Self {
        Self::ALL[usize::try_from(seed & 0xf).expect("one digit")]
    }

    pub(crate) fn weather(self) -> Weather {
        use Fault::{
            AddressChange, AgentCrash, AgentStop, BrokenConnection, DeadDisk, Departure,
            ExecutorCrash, Failover, Freeze, HalfBrokenConnection, MasterCrash, NodeCrash,
            OneWayPartition, Partition,
        };
        let broken = [BrokenConnection, HalfBrokenConnection];
        match self {
            Self::Calm => Weather::calm(),
            Self::Slow => Weather::slow(),
            Self::Lossy => Weather::lossy().with(&broken),
            Self::BrokenConnections => Weather::calm().with(&broken),
            Self::Partitions => Weather::calm().with(&[Partition]),
            Self::OneWayPartitions => Weather::calm().with(&[OneWayPartition]),
            Self::AddressChanges => Weather::lossy().with(&[AddressChange]),
            Self::AgentCrashes => {
                let crashes = [AgentCrash, NodeCrash, AgentStop, ExecutorCrash];
                Weather::calm().with(&crashes)
            }
            Self::MasterCrashes => Weather::calm().with(&[MasterCrash]),
            Self::Failovers => {
                Weather::calm().with(&[Failover, Failover, BrokenConnection, Departure])
            }
            Self::Clocks => {
                let weather =
                    Weather::calm().with(&[AgentCrash, NodeCrash, MasterCrash, Partition]);
                Weather { clocks: WRONG, ..weather }
            }
            Self::Freezes => Weather::calm().with(&[Freeze]),
            Self::DeadDisks => {
                let crashes = [AgentCrash, NodeCrash, MasterCrash];
                Weather::slow().with(&[&[DeadDisk; 3][..], &crashes].concat())
            }
            Self::Everything => Weather::calm().with(&everything()),
            Self::EverythingSlow => Weather::slow().with(&everything()),
            Self::EverythingWrong => {
                Weather { clocks: WRONG, ..Weather::lossy().with(&everything()) }
            }
        }
    }
}

/// Far worse than the clocks of machines are: a wrong time zone, and a minute lost in an hour.
const WRONG: Wrongness = Wrongness { skew_max: Duration::from_secs(3_600), drift_max: 20_000 };

/// What is rarer in life is rarer here.
fn everything() -> Vec<Fault> {
    let often = [
        Fault::BrokenConnection,
        Fault::HalfBrokenConnection,
        Fault::Partition,
        Fault::OneWayPartition,
        Fault::AgentCrash,
        Fault::NodeCrash,
        Fault::MasterCrash,
    ];
    let seldom = [
        Fault::AddressChange,
        Fault::AgentStop,
        Fault::ExecutorCrash,
        Fault::Failover,
        Fault::Freeze,
        Fault::DeadDisk,
        Fault::Departure,
    ];
    [often.repeat(2), seldom.to_vec()].concat()
}
