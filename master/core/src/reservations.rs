//! Reservations: what of an agent is set aside for a role and those below it.
//!
//! ```text
//! the agent's own operator reserves (fixed)      an order or a framework reserves
//!              |    ^                                        |     ^
//!              v    | lent                                   v     | given back
//!          for a/b, by refinement  <--- refined from a ---  for a, a/b
//! ```
//! Always holds: what is recorded is what the allocator goes by, also after a restart; what a
//! framework gives back goes to where it came from, so that nobody can strip the role above of its
//! own; and what an agent's operator has reserved only the agent's operator gives back.

use crate::{
    master::Master,
    quota::DECISIONS_MAX,
    record::{Record, Reservation},
};
use skep_allocator::Bundle;
use skep_protocol::{AgentId, Rejection, Resources, Role};
use std::collections::BTreeMap;

/// Who wants something reserved or given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hand {
    /// An operator, of what nobody uses: offers are rescinded for it.
    Operator,
    /// A framework, of what it was offered.
    Framework,
}

impl Master {
    pub(crate) fn reserve(
        &mut self,
        hand: Hand,
        agent: &AgentId,
        from: Option<Role>,
        to: Option<Role>,
        resources: &Resources,
    ) -> Result<(), Rejection> {
        self.check_present(agent)?;
        let count = self.durable.reservations.values().map(BTreeMap::len).sum::<usize>();
        if to.is_some() && count >= DECISIONS_MAX {
            let what = "reservations".into();
            return Err(Rejection::TooMany { what, max: DECISIONS_MAX as u64 });
        }
        if let (Some(one), Some(other)) = (&from, &to) {
            check_lineage(one, other)?;
        }
        self.check_giving_back(hand, agent, from.as_ref(), to.as_ref(), resources)?;
        if hand == Hand::Operator {
            // What is only offered comes free for it.
            self.rescind_offers_of(agent);
        }
        self.ledger
            .shares
            .move_reservation(agent, from.as_ref(), to.as_ref(), resources)
            .map_err(|why| Rejection::invalid("resources", why.to_string()))?;
        let mut reservations = self.durable.reservations_on(agent);
        if let Some(from) = &from {
            take(reservations.entry(from.clone()).or_default(), from, to.as_ref(), resources);
        }
        if let Some(to) = &to {
            give(reservations.entry(to.clone()).or_default(), to, from.as_ref(), resources);
        }
        for role in from.into_iter().chain(to) {
            let reservation = reservations.remove(&role).unwrap_or_default();
            self.record_reservation(agent, role, reservation);
        }
        Ok(())
    }

    /// Refuses to change what is on an agent that has not registered in this run.
    pub(crate) fn check_present(&self, agent: &AgentId) -> Result<(), Rejection> {
        self.check_agent(agent)?;
        if self.agents.contains_key(agent) {
            return Ok(());
        }
        let why = format!("agent {agent} has not registered with this run of the master");
        Err(Rejection::invalid("agent", why))
    }

    /// What is given back, and not refined for a role below, was reserved by order, and if a
    /// framework does it, came from where it goes.
    fn check_giving_back(
        &self,
        hand: Hand,
        agent: &AgentId,
        from: Option<&Role>,
        to: Option<&Role>,
        resources: &Resources,
    ) -> Result<(), Rejection> {
        let Some(from) = from else { return Ok(()) };
        if to.is_some_and(|to| to.is_within(from)) {
            return Ok(());
        }
        let known = self.durable.reservations_on(agent).remove(from).unwrap_or_default();
        let mut refined = Resources::none();
        known.refined.values().for_each(|part| refined.add(part));
        let (most, source) = match (hand, to) {
            (Hand::Operator, _) => (known.resources, "by order"),
            (Hand::Framework, None) => (known.resources.minus(&refined), "out of what was free"),
            (Hand::Framework, Some(to)) => {
                let part = known.refined.get(to).cloned().unwrap_or_default();
                (part.at_most(&known.resources), "out of what that role has")
            }
        };
        if most.contains(resources) {
            return Ok(());
        }
        let why = format!("of what {from} has there, {most} was reserved {source}");
        Err(Rejection::invalid("resources", why))
    }

    fn record_reservation(&mut self, agent: &AgentId, role: Role, reservation: Reservation) {
        let before = self.durable.reservations.get(agent).and_then(|known| known.get(&role));
        let agent = agent.clone();
        match (before.is_some(), reservation.is_none()) {
            (true, true) => self.persist(Record::Unreserved { agent, role }),
            (false, true) => {}
            (_, false) => self.persist(Record::Reserved { agent, role, reservation }),
        }
    }

    /// A framework's operation: sets aside what it was offered, and says what it holds then.
    pub(crate) fn reserve_offered(
        &mut self,
        agent: &AgentId,
        offered: (&Role, &Bundle),
        from: Option<Role>,
        to: Option<Role>,
        resources: &Resources,
    ) -> Result<Bundle, Rejection> {
        let (role, bundle) = offered;
        let none = Resources::none();
        let source = match &from {
            None => &bundle.unreserved,
            Some(from) => bundle.reserved.get(from).unwrap_or(&none),
        };
        if resources.is_empty() || !source.contains(resources) {
            let why = format!("the offer holds {source} on these terms, not {resources}");
            return Err(Rejection::invalid("resources", why));
        }
        self.reserve(Hand::Framework, agent, from.clone(), to.clone(), resources)?;
        let mut rest = bundle.clone();
        match from {
            None => rest.unreserved.subtract(resources),
            Some(from) => rest.reserved.entry(from).or_default().subtract(resources),
        }
        match to {
            None => rest.unreserved.add(resources),
            // What is for a role below is for others from now on.
            Some(to) if !role.is_within(&to) => {}
            Some(to) => rest.reserved.entry(to).or_default().add(resources),
        }
        rest.reserved.retain(|_, part| !part.is_empty());
        Ok(rest)
    }
}

/// Takes out of a reservation; `to` is a role below, one above, or nobody.
fn take(known: &mut Reservation, own: &Role, to: Option<&Role>, resources: &Resources) {
    let ordered = known.resources.at_most(resources);
    known.resources.subtract(&ordered);
    match to {
        Some(below) if below.is_within(own) => known.lent.add(&resources.minus(&ordered)),
        Some(above) => {
            if let Some(part) = known.refined.get_mut(above) {
                part.subtract(resources);
            }
        }
        // An operator gives to everybody what may have come from above.
        None => {
            let mut left = known.resources.clone();
            for part in known.refined.values_mut() {
                *part = part.at_most(&left);
                left.subtract(part);
            }
        }
    }
    known.refined.retain(|_, part| !part.is_empty());
}

/// Adds to a reservation; `from` is a role above, one below, or nobody.
fn give(known: &mut Reservation, own: &Role, from: Option<&Role>, resources: &Resources) {
    match from {
        Some(below) if below.is_within(own) => {
            let back = known.lent.at_most(resources);
            known.lent.subtract(&back);
            known.resources.add(&resources.minus(&back));
        }
        Some(above) => {
            known.resources.add(resources);
            known.refined.entry(above.clone()).or_default().add(resources);
        }
        None => known.resources.add(resources),
    }
}

/// What is reserved for a role can be refined for one below it, and given back to one above it.
fn check_lineage(one: &Role, other: &Role) -> Result<(), Rejection> {
    if one != other && (one.is_within(other) || other.is_within(one)) {
        return Ok(());
    }
    let why = format!("neither of {one} and {other} stands below the other");
    Err(Rejection::invalid("role", why))
}
