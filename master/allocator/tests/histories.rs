//! Random histories: whatever happens, the books balance, nothing is promised twice, nothing that
//! somebody wants lies idle without a reason, and looking only at what changed finds what looking
//! at everything would find.

#[path = "histories/cluster.rs"]
mod cluster;
#[path = "histories/events.rs"]
mod events;
#[path = "histories/found.rs"]
mod found;

use cluster::{Cluster, cpus, role};
use events::{Event, event, wide_event};
use proptest::prelude::*;
use skep_allocator::{AgentSpec, Allocator, Bundle, Grant, Interest, Policy};
use skep_protocol::{AgentId, Amount, FrameworkId, Resources, Time};
use std::collections::BTreeSet;

const ROLES: [&str; 6] = ["a", "a/b", "a/b/c", "a/d", "e", "f/g"];
const FRAMEWORKS: usize = 5;
const AGENTS: usize = 5;

proptest! {
    #![proptest_config(skep_properties::cases(48))]

    #[test]
    fn looking_at_what_changed_finds_what_looking_at_everything_finds(
        events in proptest::collection::vec(event(), 1..120), seed in 0..3_u64,
    ) {
        let mut cluster = Cluster::new(seed);
        for event in &events {
            cluster.apply(event);
            cluster.run();
            cluster.check();
        }
    }

    #[test]
    fn it_does_so_whatever_frameworks_say_of_their_roles(
        events in proptest::collection::vec(wide_event(), 1..120), seed in 0..3_u64,
    ) {
        let mut cluster = Cluster::new(seed);
        for event in &events {
            cluster.apply(event);
            cluster.run();
            cluster.check();
        }
    }

    #[test]
    fn events_between_two_runs_are_dealt_with_together(
        batches in proptest::collection::vec(proptest::collection::vec(wide_event(), 0..6), 1..40),
    ) {
        let mut cluster = Cluster::new(0);
        for batch in &batches {
            batch.iter().for_each(|event| cluster.apply(event));
            cluster.run();
            cluster.check();
        }
    }

    #[test]
    fn no_agent_that_keeps_its_size_is_promised_twice(
        sizes in proptest::collection::vec((0..9_u64, 0..9_u64, 0..2_u64), AGENTS),
        events in proptest::collection::vec(wide_event(), 1..120),
    ) {
        let mut cluster = Cluster::new(0);
        for (n, (cpus, mem, revocable)) in sizes.into_iter().enumerate() {
            cluster.apply(&Event::SetAgent { agent: n, cpus, mem, reserved: None, revocable });
        }
        for event in events.iter().filter(|event| {
            !matches!(
                event,
                Event::SetAgent { .. }
                    | Event::RemoveAgent(_)
                    | Event::Locate { .. }
                    | Event::Pin { .. }
                    | Event::Unpin(_)
            )
        }) {
            cluster.apply(event);
            cluster.run();
            cluster.allocator.check_not_overcommitted();
        }
    }

    #[test]
    fn the_order_of_arrivals_within_one_run_changes_nothing(
        arrivals in proptest::collection::vec(arrival(), 1..12)
            .prop_flat_map(|arrivals| (Just(arrivals.clone()), Just(arrivals).prop_shuffle())),
    ) {
        let (one, other) = arrivals;
        prop_assert_eq!(offers_after(&one), offers_after(&other));
    }
}

/// What may arrive in any order: each concerns somebody else, or says the same again.
#[derive(Clone, Debug)]
enum Arrival {
    Agent { name: u16, cpus: u64, mem: u64, reserved: usize },
    Framework { name: u16, role: usize },
}

fn arrival() -> impl Strategy<Value = Arrival> {
    prop_oneof![
        (any::<u16>(), 0..9_u64, 0..99_u64, 0..ROLES.len())
            .prop_map(|(name, cpus, mem, reserved)| Arrival::Agent { name, cpus, mem, reserved }),
        (any::<u16>(), 0..ROLES.len()).prop_map(|(name, role)| Arrival::Framework { name, role }),
    ]
}

fn offers_after(arrivals: &[Arrival]) -> Vec<Grant> {
    let mut allocator = Allocator::new(Policy { seed: 7, ..Policy::default() });
    let mut seen = BTreeSet::new();
    let mut sorted = arrivals.to_vec();
    // Of two with one name the larger counts, whichever came first.
    sorted.sort_by_key(|arrival| format!("{arrival:?}"));
    let keeps: BTreeSet<String> = sorted
        .iter()
        .filter(|arrival| match arrival {
            Arrival::Agent { name, .. } => seen.insert(format!("agent {name}")),
            Arrival::Framework { name, .. } => seen.insert(format!("framework {name}")),
        })
        .map(|arrival| format!("{arrival:?}"))
        .collect();
    for arrival in arrivals.iter().filter(|arrival| keeps.contains(&format!("{arrival:?}"))) {
        match arrival {
            Arrival::Agent { name, cpus: c, mem, reserved } => {
                let id = AgentId::new(format!("a{name}")).expect("an id");
                let mut capacity =
                    Bundle::from(Resources::new(Amount::units(*c), Amount::units(*mem)));
                capacity.reserved.insert(role(*reserved), cpus(1));
                let spec = AgentSpec { capacity, ..AgentSpec::default() };
                allocator.set_agent(&id, spec);
            }
            Arrival::Framework { name, role: r } => {
                let id = FrameworkId::new(format!("f{name}")).expect("an id");
                allocator.add_framework(&id, BTreeSet::new(), [(role(*r), Interest::default())]);
                allocator.activate(&id);
            }
        }
    }
    allocator.run(Time::ZERO)
}

#[test]
fn a_thousand_random_events_leave_what_a_recomputation_finds() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::new(skep_properties::cases(4));
    for seed in 0..4 {
        let mut cluster = Cluster::new(seed);
        for _ in 0..1_000 {
            let event = event().new_tree(&mut runner).expect("an event").current();
            cluster.apply(&event);
            cluster.run();
        }
        cluster.check();
    }
}
