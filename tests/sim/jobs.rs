//! Histories of the schedulers that come with skep: random job graphs, services, schedules and
//! hosted schedulers on the real cores. In the end all that could be done is, and nothing is left.
//!
//! `cargo xtask sim --jobs --minutes 60` plays fresh ones, `--jobs --replay 0x123` shows one again.

mod draw;
#[cfg(test)]
mod stories;

use crate::{
    framework::Temper,
    mix::Mix,
    person::Order,
    random::Random,
    schedule::{Event, Interruption},
    shipped::Kind,
    sim::Sim,
    trace::Trace,
};
use skep_agent_core::Policy as AgentPolicy;
use skep_frameworks::{batch, cron, service};
use skep_master_core::Policy as MasterPolicy;
use skep_protocol::{Role, framework::FrameworkInfo};
use std::{ops::Range, time::Duration};

/// How long the tasks of a command live on without it; as the commands have it.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(60);
/// When things are ordered.
const ORDERS: Range<Duration> = Duration::ZERO..Duration::from_secs(30);
/// How long after healing all that is kept is no more wanted.
const KEPT: Range<Duration> = Duration::from_secs(70)..Duration::from_secs(120);
/// What agents have.
const AGENTS: [&str; 6] = [
    "cpus:1;mem:1024",
    "cpus:2;mem:2048",
    "cpus:2;mem:512",
    "cpus:3;mem:8192",
    "cpus:8;mem:8192",
    "cpus:0.5;mem:256",
];

/// Plays one history to its end. A promise that is broken is a panic.
pub(crate) fn play(seed: u64, trace: Trace) -> Sim {
    let mut sim = Sim::new(seed, MasterPolicy::default(), trace);
    sim.weather = Mix::of(seed).weather();
    sim.weather.work = work(&mut sim.random, sim.weather.work.clone());
    let kept = people(&mut sim);
    sim.next_fault();
    sim.look_from_now_on();
    let time = sim.random.duration(&(Duration::from_secs(20)..Duration::from_secs(90)));
    sim.run_for(time);
    let work = sim.weather.work.clone();
    sim.heal();
    sim.weather.work = work;
    for (of, order) in kept {
        let at = sim.now + sim.random.duration(&KEPT);
        sim.order_at(at, of, order);
    }
    sim.come_to_rest();
    sim
}

/// Agents, schedulers, and what is ordered of them. Gives what is to be ordered in the end, so that
/// nothing is kept.
fn people(sim: &mut Sim) -> Vec<(usize, Order)> {
    let mut agents = Vec::new();
    for _ in 0..sim.random.number(1..5) {
        let size = *sim.random.pick(&AGENTS).expect("some sizes");
        agents.push(size);
        sim.add_agent(&size.parse().expect("resources"), AgentPolicy::default());
    }
    let supervisor = sim.add_shipped(skep_supervisor::info(), Kind::Supervisor);
    let mut kept = Vec::new();
    if sim.random.once_in(4) {
        let hosted = draw::hosted(&mut sim.random, &agents);
        let name = hosted.name.to_string();
        order_soon(sim, supervisor, Order::Supervisor(skep_supervisor::Order::Run(hosted)));
        kept.push((supervisor, Order::Supervisor(skep_supervisor::Order::Kill { name })));
    }
    for number in 0..sim.random.number(1..5) {
        let role = *sim.random.pick(&["a", "a/b", "c"]).expect("some roles");
        let role = Role::new(role).expect("a role");
        let info = FrameworkInfo { name: format!("s{number}"), role, ..FrameworkInfo::default() };
        match sim.random.number(0..8) {
            0 | 1 => add_command(sim, info, number, &agents),
            2 => kept.extend(add_services(sim, info, &agents)),
            3 => kept.extend(add_schedules(sim, info, &agents)),
            _ => add_batch(sim, info, &agents),
        }
    }
    // Its tasks ask for a whole processor.
    let has_room = agents.iter().any(|agent| !agent.starts_with("cpus:0."));
    if has_room && sim.random.once_in(4) {
        let temper = *sim.random.pick(&[Temper::Patient, Temper::Hasty]).expect("two tempers");
        let framework = sim.add_framework("a", temper);
        let at = sim.now + sim.random.duration(&ORDERS);
        sim.schedule.arrange(at, Event::FrameworkSubmits { framework, tasks: 10 });
    }
    kept
}

fn order_soon(sim: &mut Sim, of: usize, order: Order) {
    let at = sim.now + sim.random.duration(&ORDERS);
    sim.order_at(at, of, order);
}

fn add_batch(sim: &mut Sim, info: FrameworkInfo, agents: &[&str]) {
    let of = sim.add_shipped(info, Kind::Batch);
    for job in 0..sim.random.number(1..5) {
        let name = format!("j{job}");
        let job = Box::new(draw::job(&mut sim.random, &name, agents));
        let at = sim.now + sim.random.duration(&ORDERS);
        sim.order_at(at, of, Order::Batch(batch::Order::Submit { job }));
        if sim.random.once_in(8) {
            // It is known by then, or the order is refused.
            let at = at + sim.random.duration(&ORDERS);
            sim.order_at(at, of, Order::Batch(batch::Order::Stop { job: name }));
        }
    }
}

/// A command that runs one job, and may be interrupted.
fn add_command(sim: &mut Sim, info: FrameworkInfo, number: u64, agents: &[&str]) {
    let info = FrameworkInfo { failover_timeout: FAILOVER_TIMEOUT, ..info };
    let job = draw::job(&mut sim.random, &format!("c{number}"), agents);
    let scheduler = sim.add_shipped(info, Kind::Once(Box::new(job)));
    if sim.random.once_in(3) {
        let how = if sim.random.once_in(2) { Interruption::Told } else { Interruption::Killed };
        let at = sim.now + sim.random.duration(&ORDERS);
        sim.schedule.arrange(at, Event::Interrupts { scheduler, how });
    }
}

fn add_services(sim: &mut Sim, info: FrameworkInfo, agents: &[&str]) -> Vec<(usize, Order)> {
    let of = sim.add_shipped(info, Kind::Services);
    let mut kept = Vec::new();
    for number in 0..sim.random.number(1..4) {
        let name = format!("v{number}");
        let spec = draw::service(&mut sim.random, &name, agents);
        let apply = |spec| Order::Service(service::Order::Apply { spec: Box::new(spec) });
        let first = sim.now + sim.random.duration(&ORDERS);
        sim.order_at(first, of, apply(spec));
        if sim.random.once_in(2) {
            let at = first + Duration::from_secs(45) + sim.random.duration(&ORDERS);
            let spec = draw::service(&mut sim.random, &name, agents);
            sim.order_at(at, of, apply(spec));
        }
        kept.push((of, Order::Service(service::Order::Remove { name })));
    }
    kept
}

fn add_schedules(sim: &mut Sim, info: FrameworkInfo, agents: &[&str]) -> Vec<(usize, Order)> {
    let of = sim.add_shipped(info, Kind::Cron);
    let mut kept = Vec::new();
    for number in 0..sim.random.number(1..4) {
        let name = format!("t{number}");
        let spec = Box::new(draw::schedule(&mut sim.random, &name, agents));
        order_soon(sim, of, Order::Cron(cron::Order::Apply { spec }));
        kept.push((of, Order::Cron(cron::Order::Remove { name })));
    }
    kept
}

/// How long it takes to fetch and compile modules, and to start executors: in some clusters the
/// caches are cold.
fn work(random: &mut Random, of_weather: Range<Duration>) -> Range<Duration> {
    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }
    match random.number(0..3) {
        0 => millis(300)..millis(1_500),
        1 => millis(1)..millis(10),
        _ => of_weather,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{self, About};

    /// How many histories of each mix are played every time.
    const SEEDS: u64 = 6;

    fn play_all(mixes: &[Mix]) {
        let digits = mixes
            .iter()
            .map(|mix| Mix::ALL.iter().position(|other| other == mix).expect("one of all") as u64);
        let seeds = digits.flat_map(|digit| (0..SEEDS).map(move |seed| seed << 4 | digit));
        let broken: Vec<_> = seeds.filter_map(|seed| run::judge(About::Jobs, seed).err()).collect();
        let how = "cargo xtask sim --jobs --replay 0x... shows one of them";
        assert!(broken.is_empty(), "{broken:?}; {how}");
    }

    #[test]
    fn every_job_that_can_finish_does() {
        play_all(&[Mix::Calm, Mix::Slow]);
    }

    #[test]
    fn jobs_finish_though_words_are_lost_and_connections_break() {
        play_all(&[Mix::Lossy, Mix::BrokenConnections, Mix::AddressChanges]);
    }

    #[test]
    fn jobs_finish_though_peers_are_cut_off() {
        play_all(&[Mix::Partitions, Mix::OneWayPartitions]);
    }

    #[test]
    fn jobs_finish_though_agents_and_masters_crash() {
        play_all(&[Mix::AgentCrashes, Mix::MasterCrashes]);
    }

    #[test]
    fn jobs_finish_though_schedulers_die() {
        play_all(&[Mix::Failovers]);
    }

    #[test]
    fn jobs_finish_though_clocks_are_wrong_and_processes_and_disks_stand_still() {
        play_all(&[Mix::Clocks, Mix::Freezes, Mix::DeadDisks]);
    }

    #[test]
    fn jobs_finish_though_everything_goes_wrong() {
        play_all(&[Mix::Everything, Mix::EverythingSlow, Mix::EverythingWrong]);
    }

    /// The agent of a service's lost copy came back to a later master before the scheduler did: the
    /// copy's own update was all that the scheduler heard, and it ran on for ever.
    #[test]
    fn what_was_called_lost_is_ended_though_its_scheduler_was_away_when_it_came_back() {
        run::judge(About::Jobs, 0x01a2_2f9c_2f7a_078f).expect("no promise is broken");
    }

    /// The same, and the scheduler was another instance by then, which had never heard of the copy.
    #[test]
    fn what_was_called_lost_is_ended_by_an_instance_that_does_not_know_of_it() {
        run::judge(About::Jobs, 0x01a2_2fd0_a10c_0a3e).expect("no promise is broken");
    }
}
