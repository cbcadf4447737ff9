//! Quota and demand: what a role may have, what a framework waits for; and why somebody waits.
//!
//! Always holds: what is recorded is what the allocator goes by, also after a restart.

use crate::{master::Master, record::Record};
use skep_allocator::Explanation;
use skep_protocol::{
    FrameworkId, OfferId, Rejection, Resources, Role, Time,
    framework::{Demand, Event},
    operator::{Manner, Quota, Response, view::WhyView},
};
use std::collections::BTreeSet;

/// Quotas and reservations, each: what a person can survey, and a start reads in no time.
pub(crate) const DECISIONS_MAX: usize = 10_000;

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

    /// Why a framework has no offer, in each of its roles.
    pub(crate) fn why(
        &self,
        now: Time,
        framework: &FrameworkId,
        needs: Option<&Resources>,
    ) -> Response {
        let known = self.durable.frameworks.get(framework);
        let mut roles: Vec<Role> =
            known.into_iter().flat_map(|known| known.info.roles().cloned()).collect();
        if roles.is_empty() {
            roles.push(Role::default());
        }
        let explain =
            |role: &Role| self.ledger.shares.explain(framework, role, needs, now.max(self.now));
        let whys: Vec<(&Role, Explanation)> =
            roles.iter().map(|role| (role, explain(role))).collect();
        let mut view = why_view(&whys);
        view.sentences.extend(self.crowd_sentence());
        Response::Why(view)
    }
}

/// The sentences of all roles; the numbers of the first in which it is offered something at all.
fn why_view(whys: &[(&Role, Explanation)]) -> WhyView {
    let mut sentences = Vec::new();
    for (role, why) in whys {
        if whys.len() > 1 {
            sentences.push(format!("In role {role}:"));
        }
        sentences.extend(why.to_string().lines().map(str::to_owned));
    }
    let speaking = whys.iter().find(|(_, why)| why.silence.is_none());
    let Some((_, why)) = speaking.or_else(|| whys.first()) else { return WhyView::default() };
    WhyView {
        sentences,
        possible: why.possible as u64,
        agents: why.causes.iter().map(|(cause, n)| (cause.to_string(), *n as u64)).collect(),
        ahead: why.ahead as u64,
        share: why.share,
    }
}
