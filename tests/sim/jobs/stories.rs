//! Jobs that once hung, as they were: each ends soon after its last task could.

use super::draw;
use crate::{
    shipped::{Kind, Stage},
    sim::Sim,
    trace::{Detail, LINES, Trace},
};
use skep_agent_core::Policy as AgentPolicy;
use skep_frameworks::batch::{Group, Job};
use skep_master_core::Policy as MasterPolicy;
use skep_protocol::framework::FrameworkInfo;
use std::{collections::BTreeSet, time::Duration};

/// Longer than any of these jobs takes, and shorter than a filter and a half.
const SOON: Duration = Duration::from_secs(8);

fn tasks(count: u64, args: [u64; 5], needs: &[&str]) -> Group {
    let needs: BTreeSet<String> = needs.iter().map(|name| (*name).to_owned()).collect();
    Group { retries: 2, needs, ..draw::group_of(count, "cpus:1;mem:64", args) }
}

/// Runs a job alone on one agent, as `skep job run` does.
fn run(seed: u64, agent: &str, groups: &[(&str, Group)]) {
    let trace = Trace::new(Detail::Told(LINES));
    let mut sim = Sim::new(seed, MasterPolicy::default(), trace);
    sim.add_agent(&agent.parse().expect("resources"), AgentPolicy::default());
    let groups = groups.iter().map(|(name, group)| ((*name).to_owned(), group.clone()));
    let job = Job { name: "j".into(), priority: 0, groups: groups.collect() };
    let info = FrameworkInfo { name: "job".into(), ..FrameworkInfo::default() };
    let number = sim.add_shipped(info, Kind::Once(Box::new(job)));
    sim.look_from_now_on();
    sim.run_until("the job has ended", SOON, |sim| sim.shipped[number].stage != Stage::Here);
    sim.come_to_rest();
}

/// What came into a queue that had run half empty was counted off what was waited for.
#[test]
fn a_group_that_needs_another_begins_when_that_is_done() {
    for (seed, agent) in [(1, "cpus:2;mem:4096"), (2, "cpus:3;mem:4096"), (3, "cpus:1;mem:64")] {
        let eight = tasks(8, [300, 0, 0, 0, 0], &[]);
        let last = tasks(1, [10, 0, 0, 0, 0], &["b"]);
        run(seed, agent, &[("b", eight), ("c", last)]);
    }
}

#[test]
fn the_last_task_of_a_job_is_tried_again_at_once() {
    for (seed, agent) in [(1, "cpus:2;mem:4096"), (2, "cpus:3;mem:4096"), (3, "cpus:1;mem:64")] {
        // The last of them begins last, and is one of those that fail at first.
        run(seed, agent, &[("b", tasks(8, [500, 0, 0, 3, 0], &[]))]);
    }
}
