//! A benchmark: a large cluster comes back to a master that has just started.
//!
//! One core, one thread, no network: the time is that of the master's decisions, its allocations
//! among them, since it is ticked as its shell ticks it, and, apart, that of reading what the
//! agents send. Mesos 1.5 took 19 s for 40,000 agents with 400,000 tasks.
//!
//! The time is the processor's: what else the machine does then does not count.

use rustix::time::{ClockId, clock_gettime};
use skep_master_core::{ConnectionId, Input, Master, Policy, Record};
use skep_protocol::{
    AgentId, AllocationId, Attempt, FrameworkId, Incarnation, Resources, Role, TaskId, TaskKey,
    TaskState, Time,
    agent::{AgentInfo, HeldTask, Registration, ToMaster},
    codec::Message as _,
    framework::{Call, FrameworkInfo},
    task::{Feature, Terms},
};
use std::{collections::BTreeMap, fmt, time::Duration};

/// Whose the tasks are: a few large frameworks, as in Mesos's own benchmark.
const FRAMEWORKS: u64 = 10;
/// When it begins. Any time will do but the epoch, which no clock shows.
const BEGINNING: Time = Time::from_micros(1_000_000_000_000);

/// How long it took.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    agents: u64,
    tasks: u64,
    /// From the records to a core.
    recovery: Duration,
    /// From the bytes to the messages.
    decoding: Duration,
    bytes: usize,
    /// From the first registration to the last task known, allocations included.
    registration: Duration,
    /// The longest that one input took.
    longest: Duration,
    effects: usize,
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agents, tasks, recovery, decoding, bytes, registration, .. } = self;
        let megabytes = *bytes as f64 / 1e6;
        writeln!(f, "{agents} agents with {tasks} tasks of {FRAMEWORKS} frameworks")?;
        writeln!(f, "recovered from records  {:7.3} s", recovery.as_secs_f64())?;
        writeln!(f, "decoded {megabytes:5.0} MB         {:7.3} s", decoding.as_secs_f64())?;
        writeln!(f, "registered              {:7.3} s", registration.as_secs_f64())?;
        let all = (*recovery + *decoding + *registration).as_secs_f64();
        writeln!(f, "together                {all:7.3} s")?;
        let longest = self.longest.as_secs_f64() * 1e3;
        write!(f, "longest input {longest:.1} ms, {} effects", self.effects)
    }
}

/// Lets so many agents, with so many tasks in all, register with a fresh master.
pub fn time(agents: u64, tasks: u64) -> Timing {
    let wire: Vec<_> =
        (0..agents).map(|agent| registration(agent, tasks / agents.max(1)).encode()).collect();
    let watch = Stopwatch::start();
    let policy = Policy::default();
    let mut master = Master::recover(records(agents), policy, 7);
    let mut effects = 0;
    let mut longest = Duration::ZERO;
    let mut handle = |input: Input| {
        let before = watch.shows();
        effects += master.handle(BEGINNING + before, input).len();
        let mut after = watch.shows();
        if master.deadline().is_some_and(|due| due <= BEGINNING + after) {
            effects += master.handle(BEGINNING + after, Input::Tick).len();
            after = watch.shows();
        }
        longest = longest.max(after.saturating_sub(before));
    };
    handle(Input::Tick);
    let recovery = watch.shows();
    let bytes = wire.iter().map(|frame| frame.len()).sum();
    let (mut decoding, mut registration) = (Duration::ZERO, Duration::ZERO);
    for number in 0..FRAMEWORKS {
        let (framework, info) = (Some(framework(number)), info(number));
        let connection = ConnectionId(agents + number);
        let call = Call::Subscribe { framework, run: number + 1, connection: 1, info };
        handle(Input::Framework { connection, principal: principal(number), call });
    }
    for (number, bytes) in (0..).zip(wire) {
        let start = watch.shows();
        let message = ToMaster::decode(&bytes).expect("it was encoded just now");
        let decoded = watch.shows();
        let (connection, agent) = (ConnectionId(number), agent(number));
        handle(Input::Agent { connection, agent, message });
        decoding += decoded.saturating_sub(start);
        registration += watch.shows().saturating_sub(decoded);
    }
    let start = watch.shows();
    handle(Input::Idle);
    registration += watch.shows().saturating_sub(start);
    Timing { agents, tasks, recovery, decoding, bytes, registration, longest, effects }
}

/// How long this thread has worked.
#[derive(Debug)]
struct Stopwatch {
    before: Duration,
}

impl Stopwatch {
    fn start() -> Self {
        Self { before: worked() }
    }

    fn shows(&self) -> Duration {
        worked().saturating_sub(self.before)
    }
}

/// For how long this thread had a processor.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// What the master's disk holds after a life with them all.
fn records(agents: u64) -> Vec<Record> {
    let admitted = (0..agents).map(|number| Record::AgentAdmitted {
        agent: agent(number),
        name: format!("node{number}"),
        at: BEGINNING,
    });
    let subscribed = (0..FRAMEWORKS).map(|number| Record::FrameworkSubscribed {
        framework: framework(number),
        info: info(number),
        principal: principal(number),
        run: number + 1,
    });
    admitted.chain(subscribed).collect()
}

fn agent(number: u64) -> AgentId {
    AgentId::new(format!("a-{number:08x}")).expect("a good id")
}

fn framework(number: u64) -> FrameworkId {
    FrameworkId::new(format!("f-{number:08x}")).expect("a good id")
}

fn principal(number: u64) -> String {
    format!("framework/{number}")
}

fn role(number: u64) -> Role {
    Role::new(format!("role{number}")).expect("a good role")
}

fn info(number: u64) -> FrameworkInfo {
    let (name, role) = (format!("framework {number}"), role(number));
    FrameworkInfo { name, role, ..FrameworkInfo::default() }
}

/// An agent with room left, whose tasks are of several frameworks and all run.
fn registration(number: u64, tasks: u64) -> ToMaster {
    let resources: Resources = "cpus:32;mem:65536".parse().expect("resources");
    let info = AgentInfo {
        hostname: format!("node{number}.example.org"),
        attributes: BTreeMap::from([("zone".into(), format!("z{}", number % 3))]),
        architecture: "x86_64".into(),
        enforces: Feature::ALL.iter().map(|feature| feature.name().into()).collect(),
        resources,
        revocable: Resources::none(),
        region: None,
        zone: None,
        reserved: BTreeMap::new(),
        build: "benchmark".into(),
    };
    let needs: Resources = "cpus:1;mem:1024".parse().expect("resources");
    let held = (0..tasks).map(|task| {
        let place = number * tasks + task;
        let whose = place % FRAMEWORKS;
        let task = TaskId::new(format!("task-{place}")).expect("a good id");
        HeldTask {
            key: TaskKey { framework: framework(whose), task, attempt: Attempt(1) },
            role: role(whose),
            allocation: AllocationId(place + 1),
            granted: needs.clone(),
            resources: needs.clone(),
            terms: Terms::default(),
            name: "work".into(),
            state: TaskState::Running,
            volumes: Vec::new(),
            lost_after: None,
        }
    });
    let (incarnation, run) = (Incarnation(1), number);
    let (tasks, volumes) = (held.collect(), Vec::new());
    ToMaster::Register(Registration { incarnation, run, connection: 1, info, tasks, volumes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_cluster_comes_back_whole() {
        let timing = time(20, 200);
        assert!(timing.effects > 200, "every task is told to its framework: {timing}");
    }
}
