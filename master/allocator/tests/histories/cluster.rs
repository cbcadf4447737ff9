//! A cluster to which things happen.

use crate::{FRAMEWORKS, ROLES, events::Event};
use skep_allocator::{
    AgentSpec, Allocator, Attribute, Bundle, Capability, Constraint, Constraints, Demand, Grant,
    Interest, Origin, Policy, Predicate, Quota, Use,
};
use skep_protocol::{
    AgentId, Amount, FrameworkId, Resources, Role, Time, operator::Weight, resources::CPUS,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A scarce kind of resource.
const GPUS: &str = "gpus";

/// A cluster, with what its frameworks have been offered and use.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) allocator: Allocator,
    now: Time,
    specs: BTreeMap<usize, AgentSpec>,
    offers: Vec<Grant>,
    uses: Vec<Grant>,
    /// What is used of agents by nobody that is known.
    pinned: BTreeMap<usize, u64>,
}

fn framework(n: usize) -> FrameworkId {
    FrameworkId::new(format!("f{n}")).expect("an id")
}

fn agent(n: usize) -> AgentId {
    AgentId::new(format!("a{n}")).expect("an id")
}

pub(crate) fn role(n: usize) -> Role {
    Role::new(ROLES[n]).expect("a role")
}

pub(crate) fn cpus(units: u64) -> Resources {
    Resources::none().with(CPUS, Amount::units(units))
}

fn of(grant: &Grant) -> Use<'_> {
    let Grant { framework, role, agent, bundle } = grant;
    Use { framework, role, agent, bundle }
}

impl Cluster {
    pub(crate) fn new(seed: u64) -> Self {
        let scarce = [GPUS.to_owned()].into();
        let policy = Policy { seed, offers_out_max: 3, scarce, ..Policy::default() };
        Self {
            allocator: Allocator::new(policy),
            now: Time::ZERO,
            specs: BTreeMap::new(),
            offers: Vec::new(),
            uses: Vec::new(),
            pinned: BTreeMap::new(),
        }
    }

    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::SetAgent { .. }
            | Event::RemoveAgent(_)
            | Event::CloseAgent(_)
            | Event::OpenAgent(_)
            | Event::PartAgent(_)
            | Event::Reserve { .. }
            | Event::Unreserve { .. }
            | Event::Locate { .. }
            | Event::Pin { .. }
            | Event::Unpin(_) => self.apply_to_agents(event),
            Event::Accept(_)
            | Event::Decline { .. }
            | Event::Release(_)
            | Event::Use { .. }
            | Event::Fill { .. } => self.answer(event),
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
                let spec = self.specs.entry(*a).or_default();
                spec.capacity = capacity;
                self.allocator.set_agent(&agent(*a), spec.clone());
            }
            Event::Locate { agent: a, zone, elsewhere, gpus } => {
                // Of one that is not there nothing is known.
                let Some(spec) = self.specs.get_mut(a) else { return };
                let zone = Attribute::Text(zone.to_string());
                spec.attributes.insert("zone".into(), zone);
                spec.region = elsewhere.then(|| "elsewhere".into());
                let unreserved = std::mem::take(&mut spec.capacity.unreserved);
                spec.capacity.unreserved = unreserved.with(GPUS, Amount::units(*gpus));
                self.allocator.set_agent(&agent(*a), spec.clone());
            }
            Event::Unreserve { agent: a, role: r, cpus: n } => {
                let from = role(*r);
                let _ = self.allocator.move_reservation(&agent(*a), Some(&from), None, &cpus(*n));
            }
            Event::Pin { agent: a, cpus: n } if self.specs.contains_key(a) => {
                *self.pinned.entry(*a).or_default() += n;
                self.allocator.pin(&agent(*a), &cpus(*n).into());
            }
            Event::Unpin(a) => {
                if let Some(n) = self.pinned.remove(a) {
                    self.allocator.unpin(&agent(*a), &cpus(n).into());
                }
            }
            Event::RemoveAgent(a) => {
                self.specs.remove(a);
                self.pinned.remove(a);
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
            Event::Can { framework: f, revocable, anywhere, gpus } => {
                let gpus = gpus.then(|| Capability::Scarce(GPUS.into()));
                let capabilities = revocable.then_some(Capability::Revocable).into_iter();
                let capabilities =
                    capabilities.chain(anywhere.then_some(Capability::RegionAware)).chain(gpus);
                allocator.set_capabilities(&framework(*f), capabilities.collect());
            }
            // Its framework must be known.
            Event::Join { framework: f, role: r }
                if allocator.appetite(&framework(*f)).is_some() =>
            {
                allocator.add_role(&framework(*f), &role(*r), Interest::default());
            }
            Event::Say { framework: f, role: r, least, wants, terms } => {
                let of = |[c, m]: [u64; 2]| Resources::new(Amount::units(c), Amount::units(m));
                let demand = Demand { least: of(*least), wants: of(*wants), terms: *terms };
                allocator.set_demand(&framework(*f), &role(*r), Some(&demand));
            }
            Event::SayAnything { framework: f, role: r } => {
                allocator.set_demand(&framework(*f), &role(*r), None);
            }
            Event::Wish { framework: f, role: r, floors, zone } => {
                let floors =
                    floors.as_ref().map(|floors| floors.iter().map(|n| cpus(*n)).collect());
                let is = |zone: &usize| Constraint {
                    attribute: "zone".into(),
                    predicate: Predicate::Equals(zone.to_string()),
                };
                let groups = zone.iter().map(|zone| vec![is(zone)]).collect();
                let constraints = Constraints { groups };
                allocator.set_wishes(&framework(*f), &role(*r), floors, constraints);
            }
            Event::SuppressIn { framework: f, role: r } => {
                allocator.suppress(&framework(*f), &[role(*r)]);
            }
            Event::ReviveIn { framework: f, role: r } => {
                allocator.revive(&framework(*f), &[role(*r)]);
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
            Event::Use { offer, cpus, mem, seconds } => {
                let Some(n) = choose(*offer, &self.offers) else { return };
                let offer = self.offers.swap_remove(n);
                self.allocator.take_back(of(&offer));
                let task = Resources::new(Amount::units(*cpus), Amount::units(*mem));
                let used = Grant { bundle: offer.bundle.pick(&task), ..offer.clone() };
                let rest = Grant { bundle: offer.bundle.minus(&used.bundle), ..offer };
                if !used.bundle.is_empty() {
                    self.allocator.occupy(of(&used), Origin::Offer);
                    self.uses.push(used);
                }
                if *seconds > 0 {
                    let until = self.now + Duration::from_secs(*seconds);
                    self.allocator.refuse(of(&rest), until);
                }
            }
            Event::Fill { held } => {
                let Some(n) = choose(*held, &self.uses) else { return };
                let held = self.uses[n].clone();
                let free = self.allocator.agent(&held.agent).map(|agent| agent.free());
                let more = Bundle::from(free.unwrap_or_default().unreserved.at_most(&cpus(1)));
                if !more.is_empty() {
                    let more = Grant { bundle: more, ..held };
                    self.allocator.occupy(of(&more), Origin::Enqueued);
                    self.uses.push(more);
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
    pub(crate) fn run(&mut self) {
        let mut other = self.allocator.clone();
        other.look_everywhere();
        other.forget_orders();
        let grants = self.allocator.run(self.now);
        assert_eq!(grants, other.run(self.now), "a run missed something, or found too much");
        self.offers.extend(grants);
    }

    pub(crate) fn check(&self) {
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
