//! What is going to happen, and when: the simulation's only clock.
//!
//! Always holds: what is due at the same moment happens in the order in which it was arranged.

use crate::{
    faults::Fault,
    network::{Link, Peer, Side},
};
use skep_agent_core::{ExecutorKey, Input as AgentInput};
use skep_protocol::{Digest, TaskKey, Time, executor::ToExecutor, framework::Acknowledgement};
use std::collections::BTreeMap;

/// One thing that is going to happen.
///
/// What happens to a process names the run of that process: the next run is past it.
#[derive(Debug)]
pub(crate) enum Event {
    MasterStarts,
    MasterTicks {
        run: u64,
    },
    /// Nothing waits in the master's inbox.
    MasterIdles {
        run: u64,
    },
    MasterCommitted {
        run: u64,
    },
    AgentStarts {
        agent: usize,
    },
    AgentTicks {
        agent: usize,
        run: u64,
    },
    AgentCommitted {
        agent: usize,
        run: u64,
    },
    /// A part of the agent has something to tell its loop.
    AgentHears {
        agent: usize,
        run: u64,
        what: Box<AgentInput>,
    },
    /// A transfer from the master has come to its end.
    Fetched {
        agent: usize,
        run: u64,
        digest: Digest,
    },
    /// An executor can take guests, and says so to a run of its agent.
    ExecutorGreets {
        executor: ExecutorRun,
        run: u64,
    },
    /// An order has reached an executor.
    ExecutorHears {
        executor: ExecutorRun,
        /// The run of the agent that gave it.
        by: Option<u64>,
        order: Box<ToExecutor>,
    },
    /// A guest says how far it is.
    GuestMarks {
        executor: ExecutorRun,
        key: TaskKey,
        number: u64,
    },
    GuestEnds {
        executor: ExecutorRun,
        key: TaskKey,
    },
    ExecutorEnds {
        executor: ExecutorRun,
    },
    FrameworkSubmits {
        framework: usize,
        tasks: u64,
    },
    FrameworkKills {
        framework: usize,
    },
    /// A scheduler that comes with skep wanted to be woken.
    SchedulerWakes {
        scheduler: usize,
        instance: u64,
    },
    /// Somebody ends the command that a scheduler is a part of.
    Interrupts {
        scheduler: usize,
        how: Interruption,
    },
    /// A person gives an order, or looks for its answer.
    PersonActs {
        order: usize,
    },
    /// It is looked whether everybody who waits has to.
    Looks,
    /// A framework has read what tasks wrote that have ended.
    FrameworkCollects {
        framework: usize,
        ends: Vec<Acknowledgement>,
    },
    Dials {
        peer: Peer,
    },
    /// The next word of a connection arrives at one side.
    Arrives {
        link: Link,
        to: Side,
    },
    /// One side finds out that a connection is over.
    Notices {
        link: Link,
        side: Side,
    },
    Strikes {
        fault: Fault,
    },
}

/// How a command comes to its end before its work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interruption {
    /// It is told to end, and ends its work.
    Told,
    /// Its process is killed.
    Killed,
}

/// One run of one executor of one run of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExecutorRun {
    pub(crate) agent: usize,
    pub(crate) key: ExecutorKey,
    /// Counted over all executors of all agents.
    pub(crate) number: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Schedule {
    events: BTreeMap<(Time, u64), Event>,
    count: u64,
}

impl Schedule {
    pub(crate) fn arrange(&mut self, at: Time, event: Event) {
        self.count += 1;
        self.events.insert((at, self.count), event);
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.values()
    }

    pub(crate) fn take(&mut self) -> Option<(Time, Event)> {
        self.events.pop_first().map(|((at, _), event)| (at, event))
    }
}
