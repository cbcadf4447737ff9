//! The swarm: many seeds, each a cluster, a workload and a history of faults.
//!
//! The last hexadecimal digit of a seed names its mix of faults, so that a seed alone is enough to
//! see a history again: `SEED=0x123 cargo test -p skep-tests --test sim seed_of_choice`.
//! `LINES=1000` shows more of its end, and `SEEDS=1000` plays so many histories of each mix.
//!
//! When the faults have had their time everything is healed, and then the whole must come to rest
//! with all that was asked for done.

use crate::{
    faults::{Fault, Weather},
    framework::{JobStage, Temper},
    random::Random,
    schedule::Event,
    sim::Sim,
};
use skep_agent_core::Policy as AgentPolicy;
use skep_master_core::Policy as MasterPolicy;
use skep_protocol::Resources;
use std::{env, time::Duration};

/// How many histories of each mix are played, if `SEEDS` does not say otherwise.
const SEEDS: u64 = 40;

/// What can go wrong in a history, by the last digit of its seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mix {
    Calm,
    Slow,
    BrokenConnections,
    Partitions,
    AgentCrashes,
    MasterCrashes,
    Everything,
}

impl Mix {
    const ALL: [Self; 7] = [
        Self::Calm,
        Self::Slow,
        Self::BrokenConnections,
        Self::Partitions,
        Self::AgentCrashes,
        Self::MasterCrashes,
        Self::Everything,
    ];

    fn of(seed: u64) -> Self {
        Self::ALL[usize::try_from(seed & 0xf).expect("one digit") % Self::ALL.len()]
    }

    fn weather(self, seed: u64) -> Weather {
        use Fault::{
            AgentCrash, AgentStop, BrokenConnection, Departure, ExecutorCrash, MasterCrash,
            NodeCrash, Partition,
        };
        match self {
            Self::Calm => Weather::calm(),
            Self::Slow => Weather::slow(),
            Self::BrokenConnections => Weather::calm().with(&[BrokenConnection]),
            Self::Partitions => Weather::calm().with(&[Partition]),
            Self::AgentCrashes => {
                Weather::calm().with(&[AgentCrash, AgentStop, ExecutorCrash, NodeCrash])
            }
            Self::MasterCrashes => Weather::calm().with(&[MasterCrash]),
            Self::Everything => {
                let is_slow = seed & 0x10 == 0;
                let weather = if is_slow { Weather::slow() } else { Weather::calm() };
                let often =
                    [BrokenConnection, Partition, AgentCrash, MasterCrash, NodeCrash].repeat(3);
                weather.with(&[&often[..], &[AgentStop, ExecutorCrash, Departure]].concat())
            }
        }
    }
}

/// Plays one history to its end.
fn play(seed: u64) -> Sim {
    let mut sim = cluster(seed);
    sim.weather = Mix::of(seed).weather(seed);
    sim.next_fault();
    let time = sim.random.duration(&(Duration::from_secs(20)..Duration::from_secs(120)));
    sim.run_for(time);
    sim.heal();
    sim.come_to_rest();
    sim
}

fn cluster(seed: u64) -> Sim {
    let mut sim = Sim::new(seed, master_policy(seed));
    if let Ok(lines) = env::var("LINES") {
        sim.trace.keep(lines.parse().expect("LINES is a number"));
    }
    sim.replay = format!("SEED={seed:#x} cargo test -p skep-tests --test sim seed_of_choice");
    for _ in 0..sim.random.number(1..5) {
        let sizes = ["cpus:1;mem:128", "cpus:2;mem:256", "cpus:4;mem:1024"];
        let resources = sim.random.pick(&sizes).expect("some sizes").parse().expect("resources");
        let policy = agent_policy(&mut sim);
        sim.add_agent(&resources, policy);
    }
    for _ in 0..sim.random.number(1..4) {
        let role = *sim.random.pick(&["a", "b"]).expect("two roles");
        let temper = *sim.random.pick(&[Temper::Patient, Temper::Hasty]).expect("two tempers");
        let framework = sim.add_framework(role, temper);
        for _ in 0..sim.random.number(1..4) {
            let at = sim.now + sim.random.duration(&(Duration::ZERO..Duration::from_secs(60)));
            let tasks = sim.random.number(1..20);
            sim.schedule.arrange(at, Event::FrameworkSubmits { framework, tasks });
            let at = sim.now + sim.random.duration(&(Duration::ZERO..Duration::from_secs(90)));
            sim.schedule.arrange(at, Event::FrameworkKills { framework });
        }
    }
    sim
}

/// Drawn apart, since the simulation's own chance begins with its master.
fn master_policy(seed: u64) -> MasterPolicy {
    let mut random = Random::new(!seed);
    let mut seconds = |range| Duration::from_secs(random.number(range));
    let default = MasterPolicy::default();
    MasterPolicy {
        offer_timeout: seconds(2..30),
        unreachable_after: seconds(1..6),
        lost_after: seconds(8..60),
        recall_hold: seconds(0..3),
        agent_tasks_max: if random.once_in(3) { 6 } else { default.agent_tasks_max },
        ended_tasks_max: if random.once_in(3) { 8 } else { default.ended_tasks_max },
        ..default
    }
}

fn agent_policy(sim: &mut Sim) -> AgentPolicy {
    let default = AgentPolicy::default();
    AgentPolicy {
        update_retry: Duration::from_secs(sim.random.number(1..10)),
        update_retry_max: Duration::from_secs(30),
        executor_idle_max: Duration::from_secs(sim.random.number(1..30)),
        tasks_max: if sim.random.once_in(3) { 6 } else { default.tasks_max },
        ..default
    }
}

impl Sim {
    pub(crate) fn submit_some(&mut self, framework: usize, tasks: u64) {
        for _ in 0..tasks {
            let sizes = ["cpus:1;mem:64", "cpus:0.5;mem:32", "cpus:0.1;mem:128"];
            let size = self.random.pick(&sizes).expect("some sizes");
            let resources: Resources = size.parse().expect("resources");
            let longest = if self.random.once_in(4) { 20_000 } else { 500 };
            let time = Duration::from_millis(self.random.number(1..longest));
            let code = u8::from(self.random.once_in(10));
            self.submit(framework, resources, time, code);
        }
    }

    pub(crate) fn kill_one(&mut self, framework: usize) {
        let jobs = &self.frameworks[framework].jobs;
        let open = jobs.iter().filter(|(_, job)| job.stage != JobStage::Done);
        let open: Vec<_> = open.map(|(task, _)| task.clone()).collect();
        if let Some(task) = self.random.pick(&open).cloned() {
            self.kill(framework, &task);
        }
    }
}

fn play_all(mix: Mix) {
    let digit = Mix::ALL.iter().position(|other| *other == mix).expect("one of all");
    let count = env::var("SEEDS").map_or(SEEDS, |text| text.parse().expect("SEEDS is a number"));
    for seed in 0..count {
        play(seed << 4 | digit as u64);
    }
}

#[test]
fn all_is_well_in_calm_weather() {
    play_all(Mix::Calm);
}

#[test]
fn words_and_disks_may_be_slow() {
    play_all(Mix::Slow);
}

#[test]
fn connections_may_break() {
    play_all(Mix::BrokenConnections);
}

#[test]
fn peers_may_be_cut_off() {
    play_all(Mix::Partitions);
}

#[test]
fn agents_may_crash() {
    play_all(Mix::AgentCrashes);
}

#[test]
fn masters_may_crash() {
    play_all(Mix::MasterCrashes);
}

#[test]
fn everything_may_go_wrong_at_once() {
    play_all(Mix::Everything);
}

#[test]
fn the_same_seed_is_the_same_history() {
    let (one, other) = (play(0x776), play(0x776));
    assert_eq!((one.steps(), one.digest()), (other.steps(), other.digest()));
    assert_ne!(one.digest(), play(0x786).digest());
}

/// Plays the seed that the environment names, and shows how it ended.
#[test]
fn seed_of_choice() {
    let Ok(text) = env::var("SEED") else { return };
    let digits = text.strip_prefix("0x").unwrap_or(&text);
    let seed = u64::from_str_radix(digits, 16).expect("SEED is a hexadecimal number");
    play(seed).print_last();
}
