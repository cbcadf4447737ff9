//! Offers: made from grants of the allocator, and void when used, given back, expired or
//! rescinded.
//!
//! Always holds: what an offer holds is booked as offered until it is void, and nobody can use a
//! void one.

use crate::{allocator::Grant, master::Master, timers::Timer};
use skep_protocol::{
    AgentId, FrameworkId, OfferId, Rejection, Resources, Time,
    agent::ToAgent,
    bounds::{REFUSE_DEFAULT, REFUSE_MAX},
    frames,
    framework::{self, Event, Filters},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// An offer that is out.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) framework: FrameworkId,
    pub(crate) agent: AgentId,
    pub(crate) resources: Resources,
    pub(crate) made: Time,
    pub(crate) expires: Time,
}

/// Offers of one agent that an ACCEPT uses.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) agent: AgentId,
    pub(crate) resources: Resources,
}

impl Master {
    pub(crate) fn allocate_if_dirty(&mut self) {
        if self.allocator.is_dirty() {
            self.allocate();
        }
    }

    /// Offers what is free, and recalls queues for those who got nothing.
    pub(crate) fn allocate(&mut self) {
        self.timers.clear(&Timer::Allocation);
        self.timers.clear(&Timer::Recall);
        let grants = self.allocator.run(self.now);
        self.make_offers(grants);
        let recalls = self.allocator.recall(self.now);
        for (agent, allocation) in recalls.allocations {
            self.order_agent(&agent, ToAgent::Recall { allocation });
        }
        if let Some(next) = recalls.next {
            self.timers.set(Timer::Recall, next);
        }
    }

    fn make_offers(&mut self, grants: Vec<Grant>) {
        let mut events: BTreeMap<FrameworkId, Vec<framework::Offer>> = BTreeMap::new();
        for Grant { framework, agent, offered } in grants {
            let offer = self.make_offer(&framework, &agent, offered);
            events.entry(framework).or_default().extend(offer);
        }
        for (framework, offers) in events {
            for offers in frames::cut(offers, frames::offer_bytes) {
                self.tell(&framework, Event::Offers { offers });
            }
        }
    }

    fn make_offer(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        resources: Resources,
    ) -> Option<framework::Offer> {
        let role = self.durable.frameworks.get(framework)?.info.role.clone();
        let id = self.mint.offer();
        let expires = self.now + self.policy.offer_timeout;
        self.frameworks.get_mut(framework)?.offers.insert(id);
        let known = self.agents.get_mut(agent)?;
        known.offers.insert(id);
        let info = &known.info;
        let offer = framework::Offer {
            id,
            agent: agent.clone(),
            hostname: info.hostname.clone(),
            role,
            resources: resources.clone(),
            attributes: info.attributes.clone(),
            architecture: info.architecture.clone(),
            enforces: info.enforces.clone(),
            expires,
        };
        let (framework, agent) = (framework.clone(), agent.clone());
        let made = self.now;
        self.offers.insert(id, Offer { framework, agent, resources, made, expires });
        self.timers.set(Timer::Offer(id), expires);
        Some(offer)
    }

    /// Makes an offer void; what it held is free.
    fn void(&mut self, id: OfferId) -> Option<Offer> {
        let offer = self.offers.remove(&id)?;
        self.timers.clear(&Timer::Offer(id));
        if let Some(framework) = self.frameworks.get_mut(&offer.framework) {
            framework.offers.remove(&id);
        }
        if let Some(agent) = self.agents.get_mut(&offer.agent) {
            agent.offers.remove(&id);
        }
        self.allocator.take_back(&offer.framework, &offer.agent, &offer.resources);
        Some(offer)
    }

    pub(crate) fn void_offers_of(&mut self, framework: &FrameworkId) {
        let offers = self.frameworks.get(framework).map(|known| known.offers.clone());
        for id in offers.unwrap_or_default() {
            self.void(id);
        }
    }

    pub(crate) fn rescind_offers_of(&mut self, agent: &AgentId) {
        let offers = self.agents.get(agent).map(|known| known.offers.clone());
        for id in offers.unwrap_or_default() {
            if let Some(offer) = self.void(id) {
                self.tell(&offer.framework, Event::Rescinded { offer: id });
            }
        }
    }

    /// A framework that leaves an offer unanswered is treated as if it had declined, so that the
    /// next one gets its turn.
    pub(crate) fn expire_offer(&mut self, id: OfferId) {
        let Some(Offer { framework, agent, resources, .. }) = self.void(id) else { return };
        self.tell(&framework, Event::Rescinded { offer: id });
        self.refuse(&framework, &agent, resources, REFUSE_DEFAULT);
    }

    /// Gives offers back. One that is void already has crossed with its rescission.
    pub(crate) fn decline(
        &mut self,
        framework: &FrameworkId,
        offers: &[OfferId],
        filters: Filters,
    ) {
        let mut refused: BTreeMap<AgentId, Resources> = BTreeMap::new();
        for id in offers {
            if let Some(offer) = self.void_own(framework, *id) {
                refused.entry(offer.agent).or_default().add(&offer.resources);
            }
        }
        let refuse = filters.refuse.unwrap_or(REFUSE_DEFAULT);
        for (agent, resources) in refused {
            self.refuse(framework, &agent, resources, refuse);
        }
    }

    pub(crate) fn refuse(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        refused: Resources,
        refuse: Duration,
    ) {
        if refuse > Duration::ZERO && !refused.is_empty() {
            let until = self.now + refuse.min(REFUSE_MAX);
            self.allocator.refuse(framework, agent, refused, until);
        }
    }

    /// Uses up the offers of an ACCEPT, all of them, also if they do not go together: an offer is
    /// usable once.
    pub(crate) fn take_offers(
        &mut self,
        framework: &FrameworkId,
        ids: &[OfferId],
    ) -> Result<Taken, Rejection> {
        let unique: BTreeSet<OfferId> = ids.iter().copied().collect();
        let mut taken: BTreeMap<AgentId, Resources> = BTreeMap::new();
        let mut invalid = None;
        for id in &unique {
            match self.void_own(framework, *id) {
                Some(offer) => taken.entry(offer.agent).or_default().add(&offer.resources),
                None => invalid = invalid.or(Some(*id)),
            }
        }
        if let Some(offer) = invalid {
            return Err(Rejection::InvalidOffer { offer });
        }
        match taken.pop_first() {
            Some((agent, resources)) if taken.is_empty() && unique.len() == ids.len() => {
                Ok(Taken { agent, resources })
            }
            _ => Err(Rejection::OffersDoNotMatch),
        }
    }

    fn void_own(&mut self, framework: &FrameworkId, id: OfferId) -> Option<Offer> {
        let is_own = self.offers.get(&id).is_some_and(|offer| offer.framework == *framework);
        is_own.then(|| self.void(id)).flatten()
    }
}
