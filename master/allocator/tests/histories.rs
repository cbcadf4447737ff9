//! Random histories: whatever happens, the books balance, nothing is promised twice, nothing that
//! somebody wants lies idle without a reason, and looking only at what changed finds what looking
//! at everything would find.

use proptest::prelude::*;
use skep_allocator::{
    AgentSpec, Allocator, Bundle, Capability, Demand, Grant, Interest, Origin, Policy, Quota, Use,
};
use skep_protocol::{
    AgentId, Amount, FrameworkId, Resources, Role, Time, operator::Weight, resources::CPUS,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

const ROLES: [&str; 6] = ["a", "a/b", "a/b/c", "a/d", "e", "f/g"];
const FRAMEWORKS: usize = 5;
const AGENTS: usize = 5;

/// One thing that happens; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Event {
    SetAgent { agent: usize, cpus: u64, mem: u64, reserved: Option<(usize, u64)>, revocable: u64 },
    RemoveAgent(usize),
    CloseAgent(usize),
    OpenAgent(usize),
    PartAgent(usize),
    Add { framework: usize, roles: [usize; 2], revocable: bool },
    Remove(usize),
    Activate(usize),
    Deactivate(usize),
    Suppress(usize),
    Revive(usize),
    Want { framework: usize, least: u64, wants: u64 },
    WantAnything(usize),
    Weigh { role: usize, millis: u64 },
    Guarantee { role: usize, cpus: u64 },
    Limit { role: usize, cpus: u64 },
    NoQuota(usize),
    Accept(usize),
    Decline { offer: usize, seconds: u64 },
    Release(usize),
    Reserve { agent: usize, role: usize, cpus: u64 },
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let (a, f, r) = (0..AGENTS, 0..FRAMEWORKS, 0..ROLES.len());
    prop_oneof![
        4 => (a.clone(), 0..9_u64, 0..9_u64, proptest::option::of((r.clone(), 1..3_u64)), 0..2_u64)
            .prop_map(|(agent, cpus, mem, reserved, revocable)| {
                Event::SetAgent { agent, cpus, mem, reserved, revocable }
            }),
        1 => a.clone().prop_map(Event::RemoveAgent),
        1 => a.clone().prop_map(Event::CloseAgent),
        1 => a.clone().prop_map(Event::OpenAgent),
        1 => a.clone().prop_map(Event::PartAgent),
        3 => (f.clone(), [r.clone(), r.clone()], any::<bool>())
            .prop_map(|(framework, roles, revocable)| Event::Add { framework, roles, revocable }),
        1 => f.clone().prop_map(Event::Remove),
        3 => f.clone().prop_map(Event::Activate),
        1 => f.clone().prop_map(Event::Deactivate),
        1 => f.clone().prop_map(Event::Suppress),
        2 => f.clone().prop_map(Event::Revive),
        3 => (f.clone(), 0..3_u64, 0..8_u64)
            .prop_map(|(framework, least, wants)| Event::Want { framework, least, wants }),
        1 => f.clone().prop_map(Event::WantAnything),
        1 => (r.clone(), 1..5_000_u64).prop_map(|(role, millis)| Event::Weigh { role, millis }),
        1 => (r.clone(), 1..8_u64).prop_map(|(role, cpus)| Event::Guarantee { role, cpus }),
        1 => (r.clone(), 0..8_u64).prop_map(|(role, cpus)| Event::Limit { role, cpus }),
        1 => r.clone().prop_map(Event::NoQuota),
        6 => any::<usize>().prop_map(Event::Accept),
        6 => (any::<usize>(), 0..9_u64)
            .prop_map(|(offer, seconds)| Event::Decline { offer, seconds }),
        4 => any::<usize>().prop_map(Event::Release),
        1 => (a, r, 1..3_u64).prop_map(|(agent, role, cpus)| Event::Reserve { agent, role, cpus }),
        3 => (0..4_u64).prop_map(Event::Wait),
    ]
}

/// A cluster, with what its frameworks have been offered and use.
#[derive(Clone)]
struct Cluster {
    allocator: Allocator,
    now: Time,
    offers: Vec<Grant>,
    uses: Vec<Grant>,
}

fn framework(n: usize) -> FrameworkId {
    FrameworkId::new(format!("f{n}")).expect("an id")
}

fn agent(n: usize) -> AgentId {
    AgentId::new(format!("a{n}")).expect("an id")
}

fn role(n: usize) -> Role {
    Role::new(ROLES[n]).expect("a role")
}

fn cpus(units: u64) -> Resources {
    Resources::none().with(CPUS, Amount::units(units))
}

fn of(grant: &Grant) -> Use<'_> {
    let Grant { framework, role, agent, bundle } = grant;
    Use { framework, role, agent, bundle }
}

impl Cluster {
    fn new(seed: u64) -> Self {
        let policy = Policy { seed, offers_out_max: 3, ..Policy::default() };
        let allocator = Allocator::new(policy);
        Self { allocator, now: Time::ZERO, offers: Vec::new(), uses: Vec::new() }
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::SetAgent { .. }
            | Event::RemoveAgent(_)
            | Event::CloseAgent(_)
            | Event::OpenAgent(_)
            | Event::PartAgent(_)
            | Event::Reserve { .. } => self.apply_to_agents(event),
            Event::Accept(_) | Event::Decline { .. } | Event::Release(_) => self.answer(event),
            Event::Wait(seconds) => {
                self.now = self.now + Duration::from_secs(*seconds);
                self.allocator.tick(self.now);
            }
            Event::Weigh { role: r, millis } => {
                self.allocator.set_weight(&role(*r), Weight::from_millis(*millis).expect("one"));
            }
            Event::Guarantee { role: r, cpus: n } => {
                let quota = Quota { guarantee: cpus(*n), limit: BTreeMap::new() };
                self.allocator.set_quota(&role(*r), &quota).expect("a quota");
            }
            Event::Limit { role: r, cpus } => {
                let limit = BTreeMap::from([(CPUS.to_owned(), Amount::units(*cpus))]);
                let quota = Quota { guarantee: Resources::none(), limit };
                self.allocator.set_quota(&role(*r), &quota).expect("a quota");
            }
            Event::NoQuota(r) => {
                self.allocator.set_quota(&role(*r), &Quota::default()).expect("no quota");
            }
            _ => self.apply_to_frameworks(event),
        }
    }

    fn apply_to_agents(&mut self, event: &Event) {
        match event {
            Event::SetAgent { agent: a, cpus: c, mem, reserved, revocable } => {
                let mut capacity =
                    Bundle::from(Resources::new(Amount::units(*c), Amount::units(*mem)));
                capacity.reserved.extend(reserved.map(|(r, n)| (role(r), cpus(n))));
                capacity.revocable = cpus(*revocable);
                let spec = AgentSpec { capacity, ..AgentSpec::default() };
                self.allocator.set_agent(&agent(*a), spec);
            }
            Event::RemoveAgent(a) => {
                self.offers.retain(|offer| offer.agent != agent(*a));
                self.uses.retain(|held| held.agent != agent(*a));
                self.allocator.remove_agent(&agent(*a));
            }
            Event::CloseAgent(a) => self.allocator.close(&agent(*a)),
            Event::OpenAgent(a) => self.allocator.open(&agent(*a)),
            Event::PartAgent(a) => self.allocator.part(&agent(*a)),
            Event::Reserve { agent: a, role: r, cpus: n } => {
                // Refused if so much is not free.
                let _ =
                    self.allocator.move_reservation(&agent(*a), None, Some(&role(*r)), &cpus(*n));
            }
            _ => {}
        }
    }

    fn apply_to_frameworks(&mut self, event: &Event) {
        let allocator = &mut self.allocator;
        match event {
            Event::Add { framework: f, roles, revocable } => {
                let capabilities: BTreeSet<_> =
                    revocable.then_some(Capability::Revocable).into_iter().collect();
                let roles = roles.iter().map(|r| (role(*r), Interest::default()));
                allocator.add_framework(&framework(*f), capabilities, roles);
            }
            Event::Remove(f) => {
                self.offers.retain(|offer| offer.framework != framework(*f));
                self.uses.retain(|held| held.framework != framework(*f));
                allocator.remove_framework(&framework(*f));
            }
            Event::Activate(f) => allocator.activate(&framework(*f)),
            Event::Deactivate(f) => allocator.deactivate(&framework(*f)),
            Event::Suppress(f) => allocator.suppress(&framework(*f), &[role(0)]),
            Event::Revive(f) => allocator.revive(&framework(*f), &[]),
            Event::Want { framework: f, least, wants } => {
                let demand = Demand { least: cpus(*least), wants: cpus(*wants), terms: None };
                ROLES.iter().for_each(|name| {
                    let role = Role::new(name).expect("a role");
                    allocator.set_demand(&framework(*f), &role, Some(&demand));
                });
            }
            Event::WantAnything(f) => ROLES.iter().for_each(|name| {
                let role = Role::new(name).expect("a role");
                allocator.set_demand(&framework(*f), &role, None);
            }),
            _ => {}
        }
    }

    fn answer(&mut self, event: &Event) {
        let choose = |n: usize, of: &[Grant]| (!of.is_empty()).then(|| n % of.len());
        match event {
            Event::Accept(n) => {
                let Some(n) = choose(*n, &self.offers) else { return };
                let offer = self.offers.swap_remove(n);
                self.allocator.take_back(of(&offer));
                self.allocator.occupy(of(&offer), Origin::Offer);
                self.uses.push(offer);
            }
            Event::Decline { offer, seconds } => {
                let Some(n) = choose(*offer, &self.offers) else { return };
                let offer = self.offers.swap_remove(n);
                self.allocator.take_back(of(&offer));
                if *seconds > 0 {
                    let until = self.now + Duration::from_secs(*seconds);
                    self.allocator.refuse(of(&offer), until);
                }
            }
            Event::Release(n) => {
                let Some(n) = choose(*n, &self.uses) else { return };
                let held = self.uses.swap_remove(n);
                self.allocator.release(of(&held));
            }
            _ => {}
        }
    }

    /// Runs, and compares with a run that looks at everything in orders made anew.
    fn run(&mut self) {
        let mut other = self.allocator.clone();
        other.look_everywhere();
        other.forget_orders();
        let grants = self.allocator.run(self.now);
        assert_eq!(grants, other.run(self.now), "a run missed something, or found too much");
        self.offers.extend(grants);
    }

    fn check(&self) {
        self.allocator.check();
        for f in 0..FRAMEWORKS {
            for (r, name) in ROLES.iter().enumerate() {
                let why = self.allocator.explain(&framework(f), &role(r), None, self.now);
                assert!(
                    why.silence.is_some() || why.possible == 0,
                    "f{f} could be offered something in {name} and is not:\n{why}"
                );
            }
        }
    }
}

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
    fn events_between_two_runs_are_dealt_with_together(
        batches in proptest::collection::vec(proptest::collection::vec(event(), 0..6), 1..40),
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
        events in proptest::collection::vec(event(), 1..120),
    ) {
        let mut cluster = Cluster::new(0);
        for (n, (cpus, mem, revocable)) in sizes.into_iter().enumerate() {
            cluster.apply(&Event::SetAgent { agent: n, cpus, mem, reserved: None, revocable });
        }
        for event in events.iter().filter(|event| {
            !matches!(event, Event::SetAgent { .. } | Event::RemoveAgent(_))
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
