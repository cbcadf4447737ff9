//! Offers: made from grants of the allocator, and void when used, given back, expired or
//! rescinded.
//!
//! Always holds: what an offer holds is booked as offered until it is void, and nobody can use a
//! void one.

use crate::{master::Master, timers::Timer};
use skep_allocator::{Bundle, Grant, Use};
use skep_protocol::{
    AgentId, FrameworkId, OfferId, Rejection, Role, Time,
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
    pub(crate) role: Role,
    pub(crate) agent: AgentId,
    pub(crate) bundle: Bundle,
    pub(crate) made: Time,
    pub(crate) expires: Time,
}

/// Offers of one agent that an ACCEPT uses.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) agent: AgentId,
    pub(crate) role: Role,
    pub(crate) bundle: Bundle,
}

impl Offer {
    const fn held(&self) -> Use<'_> {
        let Self { framework, role, agent, bundle, .. } = self;
        Use { framework, role, agent, bundle }
    }
}

impl Master {
    pub(crate) fn allocate_if_dirty(&mut self) {
        if self.ledger.is_dirty() {
            self.allocate();
        }
    }

    /// Offers what is free, and recalls queues for those who got nothing.
    pub(crate) fn allocate(&mut self) {
        self.timers.clear(&Timer::Allocation);
        self.timers.clear(&Timer::Recall);
        let grants = self.ledger.shares.run(self.now);
        self.make_offers(grants);
        let recalls = self.ledger.recall(self.now);
        for (agent, allocation) in recalls.allocations {
            self.order_agent(&agent, ToAgent::Recall { allocation });
        }
        if let Some(next) = recalls.next {
            self.timers.set(Timer::Recall, next);
        }
    }

    fn make_offers(&mut self, grants: Vec<Grant>) {
        let mut events: BTreeMap<FrameworkId, Vec<framework::Offer>> = BTreeMap::new();
        for grant in grants {
            let framework = grant.framework.clone();
            let offer = self.make_offer(grant);
            events.entry(framework).or_default().extend(offer);
        }
        for (framework, offers) in events {
            for offers in frames::cut(offers, frames::offer_bytes) {
                self.tell(&framework, Event::Offers { offers });
            }
        }
    }

    fn make_offer(&mut self, grant: Grant) -> Option<framework::Offer> {
        let Grant { framework, role, agent, bundle } = grant;
        let id = self.mint.offer();
        let expires = self.now + self.policy.offer_timeout;
        self.frameworks.get_mut(&framework)?.offers.insert(id);
        let known = self.agents.get_mut(&agent)?;
        known.offers.insert(id);
        let info = &known.info;
        let volumes = self.durable.volumes_on(&agent);
        let offer = framework::Offer {
            id,
            agent: agent.clone(),
            hostname: info.hostname.clone(),
            role: role.clone(),
            resources: bundle.sum(),
            attributes: info.attributes.clone(),
            architecture: info.architecture.clone(),
            enforces: info.enforces.clone(),
            expires,
            reserved: bundle.reserved.clone(),
            revocable: bundle.revocable.clone(),
            unavailable: self.durable.window_of(&agent),
            volumes: volumes.filter(|volume| role.is_within(&volume.role)).cloned().collect(),
        };
        let made = self.now;
        self.offers.insert(id, Offer { framework, role, agent, bundle, made, expires });
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
        self.ledger.shares.take_back(offer.held());
        Some(offer)
    }

    /// The same; says to whom it was made.
    pub(crate) fn void_offer(&mut self, id: OfferId) -> Option<FrameworkId> {
        self.void(id).map(|offer| offer.framework)
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
        let Some(Offer { framework, role, agent, bundle, .. }) = self.void(id) else { return };
        self.tell(&framework, Event::Rescinded { offer: id });
        self.refuse((&framework, &role), &agent, &bundle, REFUSE_DEFAULT);
    }

    /// Gives offers back. One that is void already has crossed with its rescission.
    pub(crate) fn decline(
        &mut self,
        framework: &FrameworkId,
        offers: &[OfferId],
        filters: Filters,
    ) {
        let mut refused: BTreeMap<(AgentId, Role), Bundle> = BTreeMap::new();
        for id in offers {
            if let Some(Offer { agent, role, bundle, .. }) = self.void_own(framework, *id) {
                let sum = refused.entry((agent, role)).or_default();
                *sum = sum.plus(&bundle);
            }
        }
        let refuse = filters.refuse.unwrap_or(REFUSE_DEFAULT);
        for ((agent, role), bundle) in refused {
            self.refuse((framework, &role), &agent, &bundle, refuse);
        }
    }

    pub(crate) fn refuse(
        &mut self,
        (framework, role): (&FrameworkId, &Role),
        agent: &AgentId,
        bundle: &Bundle,
        refuse: Duration,
    ) {
        if refuse > Duration::ZERO {
            let until = self.now + refuse.min(REFUSE_MAX);
            self.ledger.shares.refuse(Use { framework, role, agent, bundle }, until);
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
        let mut taken: BTreeMap<(AgentId, Role), Bundle> = BTreeMap::new();
        let mut invalid = None;
        for id in &unique {
            match self.void_own(framework, *id) {
                Some(Offer { agent, role, bundle, .. }) => {
                    let sum = taken.entry((agent, role)).or_default();
                    *sum = sum.plus(&bundle);
                }
                None => invalid = invalid.or(Some(*id)),
            }
        }
        if let Some(offer) = invalid {
            return Err(Rejection::InvalidOffer { offer });
        }
        match taken.pop_first() {
            Some(((agent, role), bundle)) if taken.is_empty() && unique.len() == ids.len() => {
                Ok(Taken { agent, role, bundle })
            }
            _ => Err(Rejection::OffersDoNotMatch),
        }
    }

    fn void_own(&mut self, framework: &FrameworkId, id: OfferId) -> Option<Offer> {
        let is_own = self.offers.get(&id).is_some_and(|offer| offer.framework == *framework);
        is_own.then(|| self.void(id)).flatten()
    }
}
