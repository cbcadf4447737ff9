//! What dominant resource fairness promises, on one agent, where it promises it: each role in turn,
//! the one that stands first, runs one more of its tasks, until none fits.
//!
//! Tasks are whole, so each promise holds up to one task. On several agents a task has to fit
//! somewhere; `docs/allocation.md` has the counter-examples.

use proptest::prelude::*;
use skep_allocator::{AgentSpec, Allocator, Bundle, Interest, Origin, Policy, Use};
use skep_protocol::{AgentId, Amount, FrameworkId, Resources, Role};
use std::collections::BTreeSet;

/// Thousandths of cpus and of memory.
type Vector = [u64; 2];

const WHOLE: Vector = [1_000_000, 1_000_000];

fn resources(of: Vector) -> Resources {
    Resources::new(Amount::millis(of[0]), Amount::millis(of[1]))
}

/// How many tasks each role runs in the end.
fn fill(tasks: &[Vector]) -> Vec<u64> {
    let mut allocator = Allocator::new(Policy::default());
    let agent = AgentId::new("cluster").expect("an id");
    let capacity = Bundle::from(resources(WHOLE));
    allocator.set_agent(&agent, AgentSpec { capacity, ..AgentSpec::default() });
    let names: Vec<String> = (0..tasks.len()).map(|n| format!("r{n}")).collect();
    for name in &names {
        let framework = FrameworkId::new(name).expect("an id");
        let role = (Role::new(name).expect("a role"), Interest::default());
        allocator.add_framework(&framework, BTreeSet::new(), [role]);
        allocator.activate(&framework);
    }
    let mut counts = vec![0; tasks.len()];
    loop {
        let free = allocator.agent(&agent).expect("it is there").free().sum();
        let order = allocator.order();
        let place = |role: &Role| names.iter().position(|name| *name == role.as_str());
        let next = order.iter().filter_map(place).find(|n| free.contains(&resources(tasks[*n])));
        let Some(n) = next else { return counts };
        let (framework, role) =
            (FrameworkId::new(&names[n]).expect("an id"), Role::new(&names[n]).expect("a role"));
        let bundle = Bundle::from(resources(tasks[n]));
        let of = Use { framework: &framework, role: &role, agent: &agent, bundle: &bundle };
        allocator.occupy(of, Origin::Found);
        counts[n] += 1;
    }
}

/// The dominant share of one task, in millionths: the agent has a million of each.
fn dominant(task: Vector) -> u64 {
    task[0].max(task[1])
}

/// How many tasks fit into what is held.
fn tasks_in(held: Vector, task: Vector) -> u64 {
    (0..2).filter(|r| task[*r] > 0).map(|r| held[r] / task[r]).min().unwrap_or(0)
}

fn times(task: Vector, count: u64) -> Vector {
    [task[0] * count, task[1] * count]
}

fn tasks(largest: u64) -> impl Strategy<Value = Vec<Vector>> {
    proptest::collection::vec([1_000..largest, 1_000..largest], 2..6)
}

/// What divisible fairness gives: all shares rise together until some resource is used up, which
/// stops everybody, since everybody needs some of each. The common share, exactly, as a fraction.
fn divisible_share(tasks: &[Vector]) -> f64 {
    let use_of = |r: usize| -> f64 {
        tasks.iter().map(|task| task[r] as f64 / dominant(*task) as f64).sum()
    };
    1.0 / use_of(0).max(use_of(1))
}

proptest! {
    #![proptest_config(skep_properties::cases(64))]

    #[test]
    fn nothing_is_left_that_a_task_fits_into(tasks in tasks(400_000)) {
        let counts = fill(&tasks);
        let used = |r: usize| tasks.iter().zip(&counts).map(|(t, n)| t[r] * n).sum::<u64>();
        let free = [WHOLE[0] - used(0), WHOLE[1] - used(1)];
        prop_assert!(tasks.iter().all(|task| tasks_in(free, *task) == 0));
    }

    #[test]
    fn everybody_has_its_part_of_the_cluster_up_to_one_task_of_each(tasks in tasks(400_000)) {
        let counts = fill(&tasks);
        let slack: u64 = tasks.iter().map(|task| dominant(*task)).sum();
        for (task, count) in tasks.iter().zip(&counts) {
            let share = dominant(*task) * count;
            prop_assert!(share * tasks.len() as u64 + slack >= WHOLE[0], "{tasks:?} {counts:?}");
        }
    }

    #[test]
    fn nobody_would_rather_have_what_another_has_without_one_task(tasks in tasks(400_000)) {
        let counts = fill(&tasks);
        for (mine, my_count) in tasks.iter().zip(&counts) {
            for (theirs, count) in tasks.iter().zip(&counts) {
                let envied = tasks_in(times(*theirs, count.saturating_sub(1)), *mine);
                // One task of my own: I may have been stopped just before it fitted.
                prop_assert!(envied <= my_count + 1, "{tasks:?} {counts:?}");
            }
        }
    }

    #[test]
    fn whole_tasks_come_out_as_divisible_ones_up_to_one_task_of_each(tasks in tasks(60_000)) {
        let counts = fill(&tasks);
        let exact = divisible_share(&tasks) * WHOLE[0] as f64;
        let slack: u64 = tasks.iter().map(|task| dominant(*task)).sum();
        for (task, count) in tasks.iter().zip(&counts) {
            let share = (dominant(*task) * count) as f64;
            prop_assert!(share + slack as f64 >= exact, "{tasks:?} {counts:?} {exact}");
        }
        // Whoever went on after the others were stopped took only what they could not use.
        let least = tasks.iter().zip(&counts).map(|(t, n)| dominant(*t) * n).min().unwrap_or(0);
        prop_assert!(least as f64 <= exact + slack as f64, "{tasks:?} {counts:?} {exact}");
    }

    #[test]
    fn who_overstates_its_needs_runs_no_more_tasks(
        tasks in tasks(60_000), more in [0..30_000_u64, 0..30_000_u64],
    ) {
        // Exactly, where resources are divisible: tasks that the share it is given is good for.
        let truth = tasks[0];
        let mut told = tasks.clone();
        told[0] = [truth[0] + more[0], truth[1] + more[1]];
        let good_for = |told: &[Vector]| {
            let scale = divisible_share(told) / dominant(told[0]) as f64 * WHOLE[0] as f64;
            let of = |r: usize| told[0][r] as f64 * scale / truth[r] as f64;
            of(0).min(of(1))
        };
        prop_assert!(good_for(&told) <= good_for(&tasks) * (1.0 + 1e-9));
        // And as it is, within what whole tasks make of it.
        let honest = fill(&tasks)[0];
        let lying = tasks_in(times(told[0], fill(&told)[0]), truth);
        let slack = tasks.iter().chain([&told[0]]).map(|task| dominant(*task)).sum::<u64>();
        prop_assert!(lying <= honest + slack.div_ceil(dominant(truth)) + 1);
    }
}

#[test]
fn the_example_of_the_drf_paper_ends_with_three_tasks_against_two() {
    // 9 cpus and 18 GB; tasks of 1 cpu and 4 GB, of 3 cpus and 1 GB; as parts of a million.
    assert_eq!(fill(&[[111_111, 222_222], [333_333, 55_555]]), [3, 2]);
}
