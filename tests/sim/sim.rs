//! A whole cluster on one thread, with a clock of its own: the real cores in simulated shells.
//!
//! Always holds: all chance comes from one seed and nothing else does, so a seed is a history.
//! Turns of a core are followed by its `check_invariants`; [`crate::promises`] watches the rest.

use crate::{
    agent::Agent,
    faults::Weather,
    framework::{Framework, Temper},
    freeze::Standstills,
    master::Master,
    network::{Network, Peer},
    person::Person,
    promises::Promises,
    random::Random,
    schedule::{Event, Interruption, Schedule},
    shipped::Shipped,
    trace::Trace,
    work::Work,
};
use skep_agent_core::Policy as AgentPolicy;
use skep_master_core::Policy as MasterPolicy;
use skep_protocol::{Resources, Time};
use std::time::Duration;

/// When every simulation begins. Any time will do but the epoch, which no clock shows.
const BEGINNING: Time = Time::from_micros(1_000_000_000_000);
/// How many events may pass without the clock moving on; more is a loop without end.
const STANDSTILL_MAX: u64 = 100_000;

#[derive(Debug)]
pub(crate) struct Sim {
    seed: u64,
    pub(crate) now: Time,
    pub(crate) random: Random,
    pub(crate) weather: Weather,
    /// How much earlier than the one before a process may have been by its clock.
    pub(crate) set_back_max: Duration,
    pub(crate) schedule: Schedule,
    pub(crate) network: Network,
    pub(crate) standstills: Standstills,
    pub(crate) master: Master,
    pub(crate) agents: Vec<Agent>,
    pub(crate) frameworks: Vec<Framework>,
    pub(crate) shipped: Vec<Shipped>,
    pub(crate) person: Person,
    pub(crate) work: Work,
    /// Executors ever started.
    pub(crate) executors: u64,
    pub(crate) promises: Promises,
    pub(crate) trace: Trace,
    /// Events since the clock last moved on.
    standstill: u64,
}

impl Sim {
    /// A master that runs, and nobody else.
    pub(crate) fn new(seed: u64, policy: MasterPolicy, trace: Trace) -> Self {
        let mut sim = Self {
            seed,
            now: BEGINNING,
            random: Random::new(seed),
            weather: Weather::calm(),
            set_back_max: Duration::ZERO,
            schedule: Schedule::default(),
            network: Network::default(),
            standstills: Standstills::default(),
            master: Master::new(policy),
            agents: Vec::new(),
            frameworks: Vec::new(),
            shipped: Vec::new(),
            person: Person::default(),
            work: Work::default(),
            executors: 0,
            promises: Promises::default(),
            trace,
            standstill: 0,
        };
        sim.start_master();
        sim
    }

    /// Adds an agent, which starts at once. Gives its number.
    pub(crate) fn add_agent(&mut self, resources: &Resources, policy: AgentPolicy) -> usize {
        let (id, number) = (self.admit_agent(), self.agents.len());
        self.promises.add_agent(resources.clone());
        self.agents.push(Agent::new(id, resources.clone(), policy));
        self.start_agent(number);
        number
    }

    /// Adds a framework, which subscribes as soon as it can. Gives its number.
    pub(crate) fn add_framework(&mut self, role: &str, temper: Temper) -> usize {
        let number = self.frameworks.len();
        let (name, run) = (format!("f{number}"), self.random.next());
        self.frameworks.push(Framework::new(&name, role, temper, run));
        self.dial_later(Peer::Framework(number));
        number
    }

    /// Lets the next thing happen.
    pub(crate) fn step(&mut self) {
        let (at, event) = self.schedule.take().expect("something is always due: agents beat");
        self.standstill = if at > self.now { 0 } else { self.standstill + 1 };
        assert!(self.standstill < STANDSTILL_MAX, "time stands still");
        self.now = at.max(self.now);
        let Some(event) = self.put_off(event) else { return };
        match event {
            Event::MasterStarts => self.start_master(),
            Event::MasterTicks { run } => self.master_ticks(run),
            Event::MasterIdles { run } => self.master_idles(run),
            Event::MasterCommitted { run } => self.master_committed(run),
            Event::AgentStarts { agent } => self.start_agent(agent),
            Event::AgentTicks { agent, run } => self.agent_ticks(agent, run),
            Event::AgentCommitted { agent, run } => self.agent_committed(agent, run),
            Event::AgentHears { agent, run, what } => self.agent_hears(agent, run, *what),
            Event::Fetched { agent, run, digest } => self.fetched(agent, run, digest),
            Event::ExecutorGreets { executor, run } => self.executor_greets(&executor, run),
            Event::ExecutorHears { executor, by, order } => {
                self.executor_hears(executor, by, *order);
            }
            Event::GuestMarks { executor, key, number } => {
                self.guest_marks(&executor, key, number);
            }
            Event::GuestEnds { executor, key } => self.guest_ends(&executor, key),
            Event::ExecutorEnds { executor } => self.executor_ends(&executor),
            Event::FrameworkSubmits { framework, tasks } => self.submit_some(framework, tasks),
            Event::FrameworkKills { framework } => self.kill_one(framework),
            Event::SchedulerWakes { scheduler, instance } => {
                self.shipped_wakes(scheduler, instance);
            }
            Event::Interrupts { scheduler, how: Interruption::Told } => self.interrupt(scheduler),
            Event::Interrupts { scheduler, how: Interruption::Killed } => {
                self.kill_shipped(scheduler);
            }
            Event::PersonActs { order } => self.person_acts(order),
            Event::Looks => self.looks(),
            Event::FrameworkCollects { framework, ends } => self.collect(framework, ends),
            Event::Dials { peer } => self.dials(peer),
            Event::Arrives { link, to } => self.arrives(link, to),
            Event::Notices { link, side } => self.notices(link, side),
            Event::Strikes { fault } => self.strikes(fault),
        }
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.schedule.next().is_some_and(|next| next <= end) {
            self.step();
        }
        self.now = end;
    }

    /// How much time has passed.
    pub(crate) fn simulated(&self) -> Duration {
        self.now.since(BEGINNING)
    }

    /// Runs until it is so; if it is not within the time, that is a failure.
    #[cfg(test)]
    #[track_caller]
    pub(crate) fn run_until(
        &mut self,
        what: &str,
        time_max: Duration,
        is_so: impl Fn(&Self) -> bool,
    ) {
        let end = self.now + time_max;
        while !is_so(self) {
            assert!(self.now <= end, "{what}: not so within {} s", time_max.as_secs());
            self.step();
        }
    }

    #[cfg(test)]
    pub(crate) fn digest(&self) -> u64 {
        self.trace.digest()
    }

    pub(crate) const fn steps(&self) -> u64 {
        self.trace.steps()
    }

    /// The last things that have happened.
    #[expect(clippy::print_stderr, reason = "a failure tells its history")]
    pub(crate) fn print_last(&self) {
        for line in self.trace.last() {
            eprintln!("{line}");
        }
        eprintln!("seed {:#x}, step {}", self.seed, self.trace.steps());
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() && self.trace.is_told() {
            self.print_last();
        }
    }
}
