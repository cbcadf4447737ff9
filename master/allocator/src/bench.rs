//! A synthetic cluster to measure the allocator with: Mesos's own benchmark, of any size.
//!
//! It is told the time like everything here: whoever measures brings a clock.

use crate::{AgentSpec, Allocator, Bundle, Grant, Interest, Origin, Policy, Use};
use skep_protocol::{AgentId, Amount, FrameworkId, Resources, Role, Time, resources::DISK};
use std::{collections::BTreeSet, fmt, time::Duration};

/// What stands above the rows.
pub const HEADER: &str = "agents frameworks roles | first pass ms | pass after declines ms, 10th \
                          | agent joins us | task ends us | idle event us";

/// Passes in each of which all offers are declined.
const DECLINES: usize = 10;

/// Events of one kind; the figure is their mean.
const EVENTS: usize = 1_000;

/// What was measured of one cluster.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    agents: usize,
    frameworks: usize,
    roles: usize,
    /// All agents are new and are offered.
    pub first_pass: Duration,
    /// Everything was declined with a filter and is offered anew, for the first time.
    pub declined_pass: Duration,
    /// The same for the last time.
    pub last_declined_pass: Duration,
    /// An agent joins and is offered.
    pub join: Duration,
    /// A task ends and what it used is offered.
    pub end: Duration,
    /// A filter is added and a run finds nothing to do.
    pub idle: Duration,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        write!(
            f,
            "{} {} {} | {:.1} | {:.1}, {:.1} | {:.1} | {:.1} | {:.1}",
            self.agents,
            self.frameworks,
            self.roles,
            millis(self.first_pass),
            millis(self.declined_pass),
            millis(self.last_declined_pass),
            micros(self.join),
            micros(self.end),
            micros(self.idle),
        )
    }
}

struct Bench<C> {
    allocator: Allocator,
    now: Time,
    clock: C,
}

/// Measures one cluster; `clock` says how long ago anything fixed was.
pub fn measure(
    agents: usize,
    frameworks: usize,
    roles: usize,
    clock: impl FnMut() -> Duration,
) -> Figures {
    let allocator = Allocator::new(Policy::default());
    let mut bench = Bench { allocator, now: Time::ZERO, clock };
    let roles = roles.max(1);
    for n in 0..frameworks {
        bench.add_framework(n, n % roles);
    }
    for n in 0..agents {
        bench.add_agent(n, n % frameworks.max(1), roles);
    }
    let (first_pass, mut offers) = bench.time(|bench| bench.allocator.run(bench.now));
    let mut passes = Vec::new();
    for _ in 0..DECLINES {
        bench.decline(&offers);
        bench.allocator.look_everywhere();
        let (time, again) = bench.time(|bench| bench.allocator.run(bench.now));
        passes.push(time);
        offers = again;
    }
    let (join, _) = bench.time(|bench| {
        for n in agents..agents + EVENTS {
            bench.add_agent(n, n % frameworks.max(1), roles);
            bench.allocator.run(bench.now);
        }
    });
    let events = EVENTS.min(offers.len());
    let (end, _) = bench.time(|bench| {
        for offer in &offers[..events] {
            bench.allocator.take_back(of(offer));
            bench.allocator.occupy(of(offer), Origin::Offer);
            bench.allocator.release(of(offer));
            bench.allocator.run(bench.now);
        }
    });
    let (idle, ()) = bench.time(|bench| {
        for offer in &offers[..events] {
            bench.allocator.refuse(of(offer), bench.now + Duration::from_secs(5));
            bench.allocator.run(bench.now);
        }
    });
    let mean = |time: Duration, count: usize| time / u32::try_from(count.max(1)).unwrap_or(1);
    Figures {
        agents,
        frameworks,
        roles,
        first_pass,
        declined_pass: passes.first().copied().unwrap_or_default(),
        last_declined_pass: passes.last().copied().unwrap_or_default(),
        join: mean(join, EVENTS),
        end: mean(end, events),
        idle: mean(idle, events),
    }
}

fn of(grant: &Grant) -> Use<'_> {
    let Grant { framework, role, agent, bundle } = grant;
    Use { framework, role, agent, bundle }
}

fn framework(n: usize) -> FrameworkId {
    FrameworkId::new(format!("framework-{n}")).expect("an id")
}

fn role(n: usize) -> Role {
    Role::new(format!("role-{n}")).expect("a role")
}

fn resources(cpus: u64, mem: u64, disk: u64) -> Resources {
    Resources::new(Amount::units(cpus), Amount::units(mem)).with(DISK, Amount::units(disk))
}

impl<C: FnMut() -> Duration> Bench<C> {
    fn add_framework(&mut self, n: usize, in_role: usize) {
        let id = framework(n);
        self.allocator.add_framework(&id, BTreeSet::new(), [(role(in_role), Interest::default())]);
        self.allocator.activate(&id);
    }

    /// A third to two thirds of it are in use by some framework.
    fn add_agent(&mut self, n: usize, user: usize, roles: usize) {
        let id = AgentId::new(format!("agent-{n}")).expect("an id");
        let capacity = Bundle::from(resources(24, 4_096, 4_096));
        self.allocator.set_agent(&id, AgentSpec { capacity, ..AgentSpec::default() });
        let used = Bundle::from(resources(16, 2_048 + (n as u64 % 8) * 32, 1_024));
        let (framework, role) = (framework(user), role(user % roles));
        let of = Use { framework: &framework, role: &role, agent: &id, bundle: &used };
        self.allocator.occupy(of, Origin::Found);
    }

    fn decline(&mut self, offers: &[Grant]) {
        let until = self.now + Duration::from_secs(3_600);
        for offer in offers {
            self.allocator.take_back(of(offer));
            self.allocator.refuse(of(offer), until);
        }
    }

    fn time<T>(&mut self, run: impl FnOnce(&mut Self) -> T) -> (Duration, T) {
        let begin = (self.clock)();
        let result = run(self);
        ((self.clock)().saturating_sub(begin), result)
    }
}
