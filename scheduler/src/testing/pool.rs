//! Agents of a test cluster whose free resources are offered without a word of the test: as a
//! master offers them to a framework that is alone.

use super::{BEGIN, ClusterOf, Party, Task};
use skep_protocol::{
    AgentId, AllocationId, OfferId, Rejection, Resources, Time,
    bounds::REFUSE_DEFAULT,
    framework::{Demand, Event, Filters, Operation},
};
use std::{collections::BTreeMap, mem, time::Duration};

/// What there is to offer, and what the framework has said about it.
#[derive(Debug, Default)]
pub(super) struct Pool {
    agents: BTreeMap<AgentId, Resources>,
    /// Offers of these agents that are out.
    out: BTreeMap<OfferId, (AgentId, Resources)>,
    refused: Vec<(AgentId, Resources, Time)>,
    is_suppressed: bool,
    demand: Option<Wait>,
    made: Vec<(Time, String, String)>,
}

/// A demand, and what of it is left.
#[derive(Debug)]
struct Wait {
    demand: Demand,
    left: Resources,
}

impl Pool {
    pub(super) fn add(&mut self, agent: AgentId, resources: Resources) {
        self.agents.insert(agent, resources);
    }

    pub(super) fn remove(&mut self, agent: &AgentId) {
        self.agents.remove(agent);
    }

    /// The framework has subscribed: nothing of before counts.
    pub(super) fn subscribed(&mut self) {
        (self.is_suppressed, self.demand) = (false, None);
        self.out.clear();
        self.refused.clear();
    }

    pub(super) const fn suppress(&mut self) {
        self.is_suppressed = true;
    }

    pub(super) fn revive(&mut self) {
        self.is_suppressed = false;
        self.refused.clear();
        if let Some(Wait { demand, left }) = &mut self.demand {
            left.clone_from(&demand.wants);
        }
    }

    pub(super) fn demand(&mut self, demand: Option<Demand>) {
        let useful = |demand: &Demand| (demand.least.clone(), demand.terms);
        let before = self.demand.as_ref().map(|wait| useful(&wait.demand));
        if before != demand.as_ref().map(useful) {
            self.refused.clear();
        }
        self.demand = demand.map(|demand| Wait { left: demand.wants.clone(), demand });
    }

    /// Offers are given back, of which so much was used.
    pub(super) fn give_back(
        &mut self,
        offers: &[OfferId],
        used: &Resources,
        filters: Filters,
        now: Time,
    ) {
        let default = if used.is_empty() { REFUSE_DEFAULT } else { Duration::ZERO };
        let refuse = filters.refuse.unwrap_or(default);
        for (agent, resources) in offers.iter().filter_map(|offer| self.out.remove(offer)) {
            if refuse > Duration::ZERO {
                self.refused.push((agent, resources.minus(used), now + refuse));
            }
        }
    }

    /// So much was launched on offers.
    pub(super) fn use_up(&mut self, resources: &Resources) {
        if let Some(wait) = &mut self.demand {
            wait.left.subtract(resources);
        }
    }

    /// When something may be offered again that was refused.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.refused.iter().map(|(.., until)| *until).min()
    }

    /// What is offered next; `used` is what tasks have of each agent. It is out from now on.
    pub(super) fn next(
        &mut self,
        id: OfferId,
        now: Time,
        used: &BTreeMap<AgentId, Resources>,
    ) -> Option<(AgentId, Resources)> {
        self.refused.retain(|(.., until)| *until > now);
        if self.is_suppressed {
            return None;
        }
        let found = self.agents.iter().find_map(|(agent, all)| {
            let mut free = all.minus(used.get(agent).unwrap_or(&Resources::none()));
            let mut offered = Resources::none();
            for (of, resources) in self.out.values() {
                offered.add(resources);
                if of == agent {
                    free.subtract(resources);
                }
            }
            let least = match &self.demand {
                None => Resources::none(),
                Some(Wait { demand, left }) => {
                    free = free.at_most(&left.minus(&offered));
                    demand.least.clone()
                }
            };
            let is_refused = |(of, resources, _): &(AgentId, Resources, Time)| {
                of == agent && resources.contains(&free)
            };
            let is_of_use = !free.is_empty() && free.contains(&least);
            let is_new = is_of_use && !self.refused.iter().any(is_refused);
            is_new.then(|| (agent.clone(), free))
        });
        let (agent, resources) = found?;
        self.out.insert(id, (agent.clone(), resources.clone()));
        self.made.push((now, agent.to_string(), resources.to_string()));
        Some((agent, resources))
    }

    pub(super) fn made(&mut self) -> Vec<(Time, String, String)> {
        mem::take(&mut self.made)
    }
}

impl<P: Party> ClusterOf<P> {
    /// An agent joins that has so much, such as `cpus:1;mem:64`. What is free of it is offered as
    /// a master does it: at once, but nothing that was declined before its time is over, and no
    /// less and no more than the framework has said that it waits for.
    ///
    /// # Panics
    /// If that is no resources, or no agent's name.
    pub fn join(&mut self, agent: &str, resources: &str) {
        let resources = resources.parse().expect("resources, such as cpus:1;mem:64");
        self.pool.add(AgentId::new(agent).expect("an agent's name"), resources);
        self.carry_out();
    }

    /// The offers of agents that have joined, since this was last asked, in order: after how long,
    /// of which agent, and how much.
    pub fn offered(&mut self) -> Vec<(Duration, String, String)> {
        let made = self.pool.made().into_iter();
        made.map(|(at, agent, resources)| (at.since(BEGIN), agent, resources)).collect()
    }

    pub(super) fn accept(
        &mut self,
        offers: &[OfferId],
        operations: Vec<Operation>,
        filters: Filters,
    ) {
        self.pool.give_back(offers, &launched_by(&operations), filters, self.now);
        let taken: Vec<_> = offers.iter().filter_map(|offer| self.offers.remove(offer)).collect();
        let [offer, ..] = taken.as_slice() else {
            let rejection = Rejection::InvalidOffer { offer: offers[0] };
            return self.reject(offers, operations, &rejection);
        };
        let agent = offer.agent.clone();
        for (number, operation) in (0..).zip(operations) {
            if let Operation::Launch { tasks } = operation {
                self.numbers += 1;
                let place = (AllocationId(self.numbers), &agent);
                self.launch((offers.first().copied(), number), place, tasks);
            }
        }
    }

    /// Offers what is free of the first agent that has something to offer; false: none has.
    pub(super) fn offer_next(&mut self) -> bool {
        if !self.is_connected || self.party.ending().is_some() {
            return false;
        }
        let mut used: BTreeMap<AgentId, Resources> = BTreeMap::new();
        for Task { agent, spec, .. } in self.tasks.values() {
            used.entry(agent.clone()).or_default().add(&spec.resources);
        }
        let id = OfferId(self.numbers + 1);
        let Some((agent, resources)) = self.pool.next(id, self.now, &used) else { return false };
        let offer = self.an_offer(agent.as_str(), &resources.to_string(), &[]);
        self.party.handle(self.now, Event::Offers { offers: vec![offer] });
        true
    }
}

/// What the tasks of these operations are given together.
pub(super) fn launched_by(operations: &[Operation]) -> Resources {
    let mut sum = Resources::none();
    for operation in operations {
        if let Operation::Launch { tasks } = operation {
            tasks.iter().flatten().for_each(|spec| sum.add(&spec.resources));
        }
    }
    sum
}
