//! What people decide about sharing beside weights: quota and reservations; and why somebody waits.
//!
//! Always holds: what is recorded is what the allocator goes by, also after a restart.

use crate::{master::Master, record::Record};
use skep_allocator::Explanation;
use skep_protocol::{
    AgentId, FrameworkId, OfferId, Rejection, Resources, Role,
    framework::{Demand, Event},
    operator::{Manner, Quota, Response, view::WhyView},
};
use std::collections::{BTreeMap, BTreeSet};

/// Quotas and reservations, each: what a person can survey, and a start reads in no time.
const DECISIONS_MAX: usize = 10_000;

impl Master {
    /// What a framework waits for; its offers are cut to it from now on.
    pub(crate) fn demand(
        &mut self,
        framework: &FrameworkId,
        role: Option<Role>,
        demand: Option<&Demand>,
    ) {
        let Some(known) = self.durable.frameworks.get(framework) else { return };
        let role = role.unwrap_or_else(|| known.info.role.clone());
        self.ledger.shares.set_demand(framework, &role, demand);
    }

    /// Offers again; roles that the framework has given up stay silent.
    pub(crate) fn revive(&mut self, framework: &FrameworkId, roles: &BTreeSet<Role>) {
        let Some(known) = self.durable.frameworks.get(framework) else { return };
        let is_named = |role: &&Role| roles.is_empty() || roles.contains(role);
        let roles: Vec<Role> = known.info.roles().filter(is_named).cloned().collect();
        if !roles.is_empty() {
            self.ledger.shares.revive(framework, &roles);
        }
    }

    pub(crate) fn set_quota(
        &mut self,
        role: Role,
        quota: Quota,
        manner: Manner,
    ) -> Result<(), Rejection> {
        let is_new = !self.durable.quotas.contains_key(&role);
        if is_new && self.durable.quotas.len() >= DECISIONS_MAX {
            let what = "roles with a quota".into();
            return Err(Rejection::TooMany { what, max: DECISIONS_MAX as u64 });
        }
        let invalid = |why: skep_allocator::QuotaError| {
            Rejection::invalid("quota", format!("{why}: give back, or force it"))
        };
        if manner == Manner::Gentle {
            self.ledger.shares.check_quota(&role, &quota).map_err(invalid)?;
        }
        self.ledger.shares.set_quota(&role, &quota).map_err(invalid)?;
        self.rescind_beyond(&role, &quota);
        if quota.is_none() {
            self.persist(Record::QuotaRemoved { role });
        } else {
            self.persist(Record::QuotaSet { role, quota });
        }
        Ok(())
    }

    /// Rescinds offers to a role, the newest first, until it is within its limit or has none.
    fn rescind_beyond(&mut self, role: &Role, quota: &Quota) {
        let offers = self.offers.iter().filter(|(_, offer)| offer.role.is_within(role));
        let mut offers: Vec<OfferId> = offers.map(|(id, _)| *id).collect();
        while self.ledger.shares.check_quota(role, quota).is_err() {
            let Some(offer) = offers.pop() else { return };
            self.rescind(offer);
        }
    }

    fn rescind(&mut self, id: OfferId) {
        if let Some(framework) = self.void_offer(id) {
            self.tell(&framework, Event::Rescinded { offer: id });
        }
    }

    pub(crate) fn reserve(
        &mut self,
        agent: AgentId,
        from: Option<Role>,
        to: Option<Role>,
        resources: Resources,
    ) -> Result<(), Rejection> {
        if !self.agents.contains_key(&agent) {
            let why = format!("agent {agent} has not registered with this run of the master");
            return Err(Rejection::invalid("agent", why));
        }
        let count = self.durable.reservations.values().map(BTreeMap::len).sum::<usize>();
        if count >= DECISIONS_MAX {
            let what = "reservations".into();
            return Err(Rejection::TooMany { what, max: DECISIONS_MAX as u64 });
        }
        if let (Some(above), Some(role)) = (&from, &to) {
            check_lineage(above, role)?;
        }
        // What is only offered comes free for it.
        self.rescind_offers_of(&agent);
        self.ledger
            .shares
            .move_reservation(&agent, from.as_ref(), to.as_ref(), &resources)
            .map_err(|why| Rejection::invalid("resources", why.to_string()))?;
        for (role, is_gain) in [(from, false), (to, true)] {
            if let Some(role) = role {
                self.record_reservation(&agent, role, &resources, is_gain);
            }
        }
        Ok(())
    }

    fn record_reservation(
        &mut self,
        agent: &AgentId,
        role: Role,
        change: &Resources,
        is_gain: bool,
    ) {
        let reserved = self.durable.reservations_on(agent);
        let before = reserved.get(&role).cloned().unwrap_or_default();
        let after = if is_gain { before.plus(change) } else { before.minus(change) };
        let agent = agent.clone();
        if after.is_empty() {
            self.persist(Record::Unreserved { agent, role });
        } else {
            self.persist(Record::Reserved { agent, role, resources: after });
        }
    }

    pub(crate) fn why(&self, framework: &FrameworkId, needs: Option<&Resources>) -> Response {
        let known = self.durable.frameworks.get(framework);
        let role = known.map(|known| known.info.role.clone()).unwrap_or_default();
        let why = self.ledger.shares.explain(framework, &role, needs, self.now);
        Response::Why(why_view(&why))
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

fn why_view(why: &Explanation) -> WhyView {
    let causes = why.causes.iter();
    WhyView {
        sentences: why.to_string().lines().map(str::to_owned).collect(),
        possible: why.possible as u64,
        agents: causes.map(|(cause, count)| (cause.to_string(), *count as u64)).collect(),
        ahead: why.ahead as u64,
        share: why.share,
    }
}
