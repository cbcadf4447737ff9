//! Which allocations give their queues back, so that a role with a lower share need not wait until
//! the queues of others run dry.
//!
//! ```text
//! a framework wants something, was offered nothing, has no offer out
//!   -> of the roles with a higher share the highest gives back its oldest queue
//!   -> and so on, as long as a higher share is left when all that is recalled has come back
//! ```
//! Running tasks are left alone: a recalled allocation shrinks as they end. Looking at shares as
//! they will be keeps a role that waits from recalling more at each run until something ends.

use super::{
    Allocation, Allocator, Appetite,
    accounts::{Phase, Presence},
    share::Share,
};
use skep_protocol::{AgentId, AllocationId, FrameworkId, Resources, Role, Time};
use std::collections::BTreeMap;

/// What is to be recalled.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Recalls {
    pub(crate) allocations: Vec<(AgentId, AllocationId)>,
    /// When an allocation that is too young now can be recalled.
    pub(crate) next: Option<Time>,
}

/// What the roles will hold once all that is recalled has come back.
type Projection = BTreeMap<Role, Resources>;

impl Allocator {
    /// Recalls queues for roles that wait. To be asked after each run.
    pub(crate) fn recall(&mut self, now: Time) -> Recalls {
        let mut recalls = Recalls::default();
        if self.queues.is_empty() {
            return recalls;
        }
        let mut projection = self.projection();
        let mut waiting: Vec<(Role, Vec<FrameworkId>)> = self.waiting().into_iter().collect();
        waiting.sort_by_cached_key(|(role, _)| self.projected_share(&projection, role));
        for (role, frameworks) in &waiting {
            while let Some(id) = self.victim(role, frameworks, &projection, now, &mut recalls) {
                self.book_recall(id, role);
                let Some(allocation) = self.allocations.get(&id) else { break };
                recalls.allocations.push((allocation.agent.clone(), id));
                self.project(&mut projection, allocation, role);
            }
        }
        recalls
    }

    /// Frameworks that would take something and were offered nothing, by role.
    fn waiting(&self) -> BTreeMap<Role, Vec<FrameworkId>> {
        let mut waiting: BTreeMap<Role, Vec<FrameworkId>> = BTreeMap::new();
        for (framework, account) in &self.frameworks {
            if account.appetite == Appetite::Wanting && account.offers_out == 0 {
                waiting.entry(account.role.clone()).or_default().push(framework.clone());
            }
        }
        waiting
    }

    fn projection(&self) -> Projection {
        let held =
            self.roles.iter().map(|(role, account)| (role.clone(), account.held.sum.clone()));
        let mut projection: Projection = held.collect();
        for allocation in self.recalled.iter().filter_map(|id| self.allocations.get(id)) {
            if let Phase::Recalled { beneficiary } = &allocation.phase {
                self.project(&mut projection, allocation, beneficiary);
            }
        }
        projection
    }

    /// Moves what an allocation occupies to whom it is recalled for.
    fn project(&self, projection: &mut Projection, allocation: &Allocation, beneficiary: &Role) {
        if self.agents.get(&allocation.agent).is_some_and(|a| a.presence == Presence::Away) {
            return;
        }
        let holder = self.frameworks.get(&allocation.framework).map(|account| &account.role);
        if let Some(held) = holder.and_then(|role| projection.get_mut(role)) {
            held.subtract(&allocation.occupied);
        }
        if let Some(held) = projection.get_mut(beneficiary) {
            held.add(&allocation.occupied);
        }
    }

    fn projected_share(&self, projection: &Projection, role: &Role) -> Option<Share> {
        let account = self.roles.get(role)?;
        Some(Share::of(projection.get(role)?, &self.total, account.weight))
    }

    /// The oldest queue of the role with the highest share above that of `role`.
    fn victim(
        &self,
        role: &Role,
        frameworks: &[FrameworkId],
        projection: &Projection,
        now: Time,
        recalls: &mut Recalls,
    ) -> Option<AllocationId> {
        let own = self.projected_share(projection, role)?;
        let mut richer: Vec<(Share, &Role)> = self
            .queues
            .keys()
            .filter_map(|other| Some((self.projected_share(projection, other)?, other)))
            .filter(|(share, _)| *share > own)
            .collect();
        richer.sort_by(|a, b| b.cmp(a));
        let hold = self.policy.recall_hold.min(self.policy.offer_timeout);
        for (_, other) in richer {
            for (since, id) in self.queues.get(other).into_iter().flatten() {
                if !self.is_wanted(*id, frameworks, now) {
                    continue;
                }
                let ripe = *since + hold;
                if ripe <= now {
                    return Some(*id);
                }
                recalls.next = Some(recalls.next.map_or(ripe, |next| next.min(ripe)));
                break;
            }
        }
        None
    }

    /// Whether any of the frameworks would take what the allocation gives back.
    fn is_wanted(&self, id: AllocationId, frameworks: &[FrameworkId], now: Time) -> bool {
        let Some(Allocation { agent, occupied, .. }) = self.allocations.get(&id) else {
            return false;
        };
        let is_open = self.agents.get(agent).is_some_and(|a| a.presence == Presence::Open);
        is_open && frameworks.iter().any(|f| !self.filters.refuses(f, agent, occupied, now))
    }
}
