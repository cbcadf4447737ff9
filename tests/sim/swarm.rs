//! The swarm: many seeds, each a cluster, a workload and a history of faults.
//!
//! `cargo xtask sim --seeds 1000` plays fresh ones on all cores, `--replay 0x123` shows one again.
//! The tests here play the same few of each mix in every run.
//!
//! When the faults have had their time everything is healed, and then the whole must come to rest
//! with all that was asked for done.

use crate::{
    framework::{JobStage, Temper},
    mix::Mix,
    random::Random,
    schedule::Event,
    sim::Sim,
    trace::Trace,
};
use skep_agent_core::Policy as AgentPolicy;
use skep_master_core::Policy as MasterPolicy;
use skep_protocol::Resources;
use std::time::Duration;

/// Plays one history to its end. A promise that is broken is a panic.
pub(crate) fn play(seed: u64, trace: Trace) -> Sim {
    let mut sim = cluster(seed, trace);
    sim.weather = Mix::of(seed).weather();
    sim.next_fault();
    let time = sim.random.duration(&(Duration::from_secs(20)..Duration::from_secs(120)));
    sim.run_for(time);
    sim.heal();
    sim.come_to_rest();
    sim
}

fn cluster(seed: u64, trace: Trace) -> Sim {
    let mut sim = Sim::new(seed, master_policy(seed), trace);
    sim.weather.clocks = Mix::of(seed).weather().clocks;
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
        // So few that only those stay of which somebody has not acknowledged the end.
        sandboxes_kept_max: 2,
        ..default
    }
}

impl Sim {
    pub(crate) fn submit_some(&mut self, framework: usize, tasks: u64) {
        for _ in 0..tasks {
            let sizes = ["cpus:1;mem:64", "cpus:0.5;mem:32", "cpus:0.1;mem:128"];
            let size = self.random.pick(&sizes).expect("some sizes");
            let resources: Resources = size.parse().expect("resources");
            // Some outlive the faults, and all of them outlive most restarts.
            let longest = match self.random.number(0..20) {
                0 => 200_000,
                1..5 => 20_000,
                _ => 500,
            };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        run::{self, About},
        trace::Detail,
    };

    /// How many histories of each mix are played every time.
    const SEEDS: u64 = 30;

    fn play_all(mix: Mix) {
        let digit = Mix::ALL.iter().position(|other| *other == mix).expect("one of all");
        let seeds = (0..SEEDS).map(|seed| seed << 4 | digit as u64);
        let broken: Vec<_> =
            seeds.filter_map(|seed| run::judge(About::Tasks, seed).err()).collect();
        assert!(broken.is_empty(), "{broken:?}; cargo xtask sim --replay 0x... shows one of them");
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
    fn packets_may_be_lost_and_doubled() {
        play_all(Mix::Lossy);
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
    fn words_may_go_one_way_only() {
        play_all(Mix::OneWayPartitions);
    }

    #[test]
    fn peers_may_move_to_another_address() {
        play_all(Mix::AddressChanges);
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
    fn another_instance_of_a_framework_may_take_over() {
        play_all(Mix::Failovers);
    }

    #[test]
    fn clocks_may_be_wrong_and_jump() {
        play_all(Mix::Clocks);
    }

    #[test]
    fn processes_may_stand_still() {
        play_all(Mix::Freezes);
    }

    #[test]
    fn disks_may_stand_still() {
        play_all(Mix::DeadDisks);
    }

    #[test]
    fn everything_may_go_wrong_at_once() {
        play_all(Mix::Everything);
    }

    #[test]
    fn everything_may_go_wrong_slowly() {
        play_all(Mix::EverythingSlow);
    }

    #[test]
    fn everything_may_go_wrong_and_clocks_too() {
        play_all(Mix::EverythingWrong);
    }

    #[test]
    fn the_same_seed_is_the_same_history() {
        let told = |seed| play(seed, Trace::new(Detail::Told(1)));
        let (one, other) = (told(0x77d), told(0x77d));
        assert_eq!((one.steps(), one.digest()), (other.steps(), other.digest()));
        assert_ne!(one.digest(), told(0x78d).digest());
        // That nobody listens changes nothing.
        let counted = play(0x77d, Trace::new(Detail::Counted));
        assert_eq!((one.steps(), one.now), (counted.steps(), counted.now));
    }
}
