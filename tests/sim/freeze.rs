//! Processes that stand still for a while: stopped by somebody, swapped out, or on a machine that
//! sleeps; and disks that do.
//!
//! Always holds: a process that goes on finds all that came for it meanwhile, in order. What would
//! have had to answer for the connections was silent, so the other side may have given them up.

use crate::{
    network::{Peer, SILENCE_MAX, Side},
    schedule::Event,
    sim::Sim,
};
use skep_protocol::Time;
use std::{collections::BTreeMap, time::Duration};

/// Whose process or disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Whose {
    Master,
    Peer(Peer),
}

/// Who stands still, and until when.
#[derive(Debug, Default)]
pub(crate) struct Standstills {
    processes: BTreeMap<Whose, Time>,
    disks: BTreeMap<Whose, Time>,
}

impl Standstills {
    pub(crate) fn is_frozen(&self, whose: Whose, now: Time) -> bool {
        self.thaw(whose).is_some_and(|thaw| thaw > now)
    }

    /// Whether nobody stands still.
    pub(crate) fn are_over(&self, now: Time) -> bool {
        self.processes.values().chain(self.disks.values()).all(|until| *until <= now)
    }

    fn thaw(&self, whose: Whose) -> Option<Time> {
        self.processes.get(&whose).copied()
    }

    /// It has died, which ends that it stands still.
    pub(crate) fn end(&mut self, whose: Whose) {
        self.processes.remove(&whose);
        self.disks.remove(&whose);
    }

    /// How long no commit ends that begins now.
    pub(crate) fn disk_rests(&self, whose: Whose, now: Time) -> Duration {
        self.disks.get(&whose).map_or(Duration::ZERO, |until| until.since(now))
    }

    /// A commit that was begun while it stuck for longer ends no sooner.
    pub(crate) fn stick(&mut self, whose: Whose, until: Time) {
        let stuck = self.disks.entry(whose).or_insert(until);
        *stuck = until.max(*stuck);
    }
}

impl Sim {
    /// A process stands still from now on.
    pub(crate) fn freeze(&mut self, whose: Whose, time: Duration) {
        let thaw = self.standstills.thaw(whose).unwrap_or(self.now).max(self.now + time);
        self.standstills.processes.insert(whose, thaw);
        if time < SILENCE_MAX {
            return;
        }
        let (theirs, side) = match whose {
            Whose::Master => (None, Side::Master),
            Whose::Peer(peer) => (Some(peer), Side::Peer),
        };
        for link in self.network.links_of(theirs) {
            self.fall_silent(link, side);
        }
    }

    /// Puts off what happens to a process that stands still; gives back what may happen.
    pub(crate) fn put_off(&mut self, event: Event) -> Option<Event> {
        let thaw = self.whose(&event).and_then(|whose| self.standstills.thaw(whose));
        match thaw.filter(|thaw| *thaw > self.now) {
            Some(thaw) => {
                self.schedule.arrange(thaw, event);
                None
            }
            None => Some(event),
        }
    }

    /// Whose process has to do something for an event to happen.
    fn whose(&self, event: &Event) -> Option<Whose> {
        let agent = |agent: &usize| Some(Whose::Peer(Peer::Agent(*agent)));
        match event {
            Event::MasterTicks { .. }
            | Event::MasterIdles { .. }
            | Event::MasterCommitted { .. } => Some(Whose::Master),
            Event::AgentTicks { agent: number, .. }
            | Event::AgentCommitted { agent: number, .. }
            | Event::AgentHears { agent: number, .. }
            | Event::Fetched { agent: number, .. } => agent(number),
            Event::ExecutorGreets { executor, .. } => agent(&executor.agent),
            Event::FrameworkSubmits { framework, .. }
            | Event::FrameworkKills { framework }
            | Event::FrameworkCollects { framework, .. } => {
                Some(Whose::Peer(Peer::Framework(*framework)))
            }
            Event::SchedulerWakes { scheduler, .. } | Event::Interrupts { scheduler, .. } => {
                Some(Whose::Peer(Peer::Scheduler(*scheduler)))
            }
            Event::Dials { peer } => Some(Whose::Peer(*peer)),
            Event::Arrives { link, to: side } | Event::Notices { link, side } => match side {
                Side::Master => Some(Whose::Master),
                Side::Peer => self.network.peer_of(*link).map(Whose::Peer),
            },
            Event::MasterStarts
            | Event::AgentStarts { .. }
            | Event::ExecutorHears { .. }
            | Event::GuestMarks { .. }
            | Event::GuestEnds { .. }
            | Event::ExecutorEnds { .. }
            | Event::PersonActs { .. }
            | Event::Looks
            | Event::Strikes { .. } => None,
        }
    }
}
