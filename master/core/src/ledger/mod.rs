//! Allocations: what accepted offers became, on the books of the allocator.
//!
//! The sharing itself is [`skep_allocator`]'s: who is offered what, and why not. Here lies what the
//! master adds to it: allocations with their tasks and queues, and which queues are recalled for
//! whom. The allocator is told of every change; what passes through unchanged is called on
//! [`Ledger::shares`] by whoever wants it.
//!
//! | file | owns |
//! |---|---|
//! | `allocation.rs` | what an allocation is |
//! | `books.rs` | how tasks that come, start and end change it |
//! | `recall.rs` | which queues are recalled for whom |
//! | `check.rs` | what always holds |

mod allocation;
mod books;
mod check;
mod recall;

pub(crate) use allocation::Allocation;
pub(crate) use books::{Batch, Begun, Place};

use crate::policy::Policy;
use crate::record::Reservation;
use skep_allocator::{AgentSpec, Allocator, Attribute, Bundle, Capability, Constraints, Interest};
use skep_protocol::{
    AgentId, AllocationId, FrameworkId, Resources, Role, Time,
    agent::{AgentInfo, Volume},
    framework::FrameworkInfo,
    resources::{CPUS, DISK, MEM},
    task::Terms,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) shares: Allocator,
    recall_hold: Duration,
    allocations: BTreeMap<AllocationId, Allocation>,
    of_agents: BTreeMap<AgentId, BTreeSet<AllocationId>>,
    /// The allocations of each role that could be recalled, by age. No set in it is empty.
    queues: BTreeMap<Role, BTreeSet<(Time, AllocationId)>>,
    recalled: BTreeSet<AllocationId>,
    /// Queues have changed: somebody may have waited for one to recall.
    is_unsettled: bool,
}

impl Ledger {
    pub(crate) fn new(policy: &Policy) -> Self {
        let floor = |name, amount| Resources::none().with(name, amount);
        let shares = Allocator::new(skep_allocator::Policy {
            floors: vec![floor(CPUS, policy.cpus_min), floor(MEM, policy.mem_min)],
            offers_out_max: policy.offers_out_max,
            region: policy.region.clone(),
            ..skep_allocator::Policy::default()
        });
        Self {
            shares,
            recall_hold: policy.recall_hold.min(policy.offer_timeout),
            allocations: BTreeMap::new(),
            of_agents: BTreeMap::new(),
            queues: BTreeMap::new(),
            recalled: BTreeSet::new(),
            is_unsettled: false,
        }
    }

    /// An agent has registered and has this much, of which parts are reserved by its own operator
    /// and by order, and volumes take theirs.
    pub(crate) fn open<'a>(
        &mut self,
        agent: &AgentId,
        info: &AgentInfo,
        ordered: &BTreeMap<Role, Reservation>,
        volumes: impl Iterator<Item = &'a Volume>,
    ) {
        let mut capacity = Bundle::from(info.resources.clone());
        capacity.revocable.clone_from(&info.revocable);
        let roles: BTreeSet<&Role> = info.reserved.keys().chain(ordered.keys()).collect();
        for role in roles {
            let Reservation { resources, lent, .. } =
                ordered.get(role).cloned().unwrap_or_default();
            let fixed = info.reserved.get(role).cloned().unwrap_or_default();
            let part = fixed.minus(&lent).plus(&resources);
            // An agent that has shrunk keeps as much of a reservation as it can.
            let part = part.at_most(&capacity.unreserved);
            capacity.unreserved.subtract(&part);
            if !part.is_empty() {
                capacity.reserved.insert(role.clone(), part);
            }
        }
        for Volume { role, disk, .. } in volumes {
            if let Some(part) = capacity.reserved.get_mut(role) {
                part.subtract(&Resources::none().with(DISK, *disk));
            }
        }
        capacity.reserved.retain(|_, part| !part.is_empty());
        let text =
            |(name, value): (&String, &String)| (name.clone(), Attribute::Text(value.clone()));
        let mut attributes: BTreeMap<String, Attribute> =
            info.attributes.iter().map(text).collect();
        let names = [
            ("hostname", Some(&info.hostname)),
            ("region", info.region.as_ref()),
            ("zone", info.zone.as_ref()),
        ];
        for (name, value) in names {
            let value = value.map(|value| (name.to_owned(), Attribute::Text(value.clone())));
            attributes.extend(value);
        }
        let region = info.region.clone();
        self.shares.set_agent(agent, AgentSpec { capacity, attributes, region });
    }

    /// A framework is known; it is offered nothing until it [wants](Self::want) it.
    pub(crate) fn add_framework(&mut self, framework: &FrameworkId, info: &FrameworkInfo) {
        let roles = info.roles().map(|role| (role.clone(), Interest::default()));
        self.shares.add_framework(framework, capabilities(info), roles);
        self.take_wishes(framework, info);
    }

    /// A framework takes offers in these roles, of whatever it refused before too, and whatever
    /// there is until it says what it waits for. In roles that it names no more it keeps what it
    /// has, and is offered nothing.
    pub(crate) fn want(&mut self, framework: &FrameworkId, info: &FrameworkInfo) {
        self.shares.set_capabilities(framework, capabilities(info));
        for role in info.roles() {
            self.shares.add_role(framework, role, Interest::default());
        }
        self.take_wishes(framework, info);
        let roles: Vec<Role> = info.roles().cloned().collect();
        roles.iter().for_each(|role| self.shares.set_demand(framework, role, None));
        self.shares.suppress(framework, &[]);
        self.shares.revive(framework, &roles);
        self.shares.activate(framework);
    }

    fn take_wishes(&mut self, framework: &FrameworkId, info: &FrameworkInfo) {
        for role in info.roles() {
            let wishes = info.wishes.get(role).cloned().unwrap_or_default();
            // They were compiled before they were recorded.
            let constraints = Constraints::compile(&wishes.groups).unwrap_or_default();
            self.shares.set_wishes(framework, role, wishes.floors, constraints);
        }
    }

    /// What tasks on these terms could use of what is offered or free of an agent.
    pub(crate) fn usable(&self, agent: &AgentId, rest: &Bundle, terms: Terms) -> Bundle {
        let lent = match terms {
            Terms::Regular => None,
            Terms::Revocable => self.shares.lent(agent),
        };
        rest.on(terms, &lent.unwrap_or_default())
    }

    /// Whether a run, or looking for something to recall, would find anything new.
    pub(crate) fn is_dirty(&self) -> bool {
        self.is_unsettled || self.shares.is_dirty()
    }

    pub(crate) fn allocation(&self, id: AllocationId) -> Option<&Allocation> {
        self.allocations.get(&id)
    }

    pub(crate) fn allocations(&self) -> impl Iterator<Item = (&AllocationId, &Allocation)> {
        self.allocations.iter()
    }

    /// What a task of a role that an agent has brought along takes of it: of what is reserved for
    /// the role first, and of the rest more than there is if need be.
    pub(crate) fn found(&self, place: Place<'_>, resources: &Resources) -> Bundle {
        let Place { role, agent, terms, .. } = place;
        let free = self.shares.unused(agent).unwrap_or_default();
        let mut usable = self.usable(agent, &free, terms);
        usable.reserved.retain(|of, _| role.is_within(of));
        let mut picked = usable.pick(resources);
        let beyond = resources.minus(&picked.sum());
        match terms {
            Terms::Regular => picked.unreserved.add(&beyond),
            Terms::Revocable => picked.revocable.add(&beyond),
        }
        picked
    }
}

/// What a framework can deal with; what is no word of the allocator's is a scarce kind.
fn capabilities(info: &FrameworkInfo) -> BTreeSet<Capability> {
    let capability = |name: &String| match name.as_str() {
        "revocable" => Capability::Revocable,
        "region_aware" => Capability::RegionAware,
        _ => Capability::Scarce(name.clone()),
    };
    info.capabilities.iter().map(capability).collect()
}
