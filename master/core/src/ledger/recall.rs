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
//! Two roles are compared where their paths part, as the allocator compares them.

use super::{Allocation, Ledger, allocation::Phase};
use skep_allocator::{Presence, Projection};
use skep_protocol::{AgentId, AllocationId, FrameworkId, Role, Time};
use std::collections::BTreeMap;

/// What is to be recalled.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Recalls {
    pub(crate) allocations: Vec<(AgentId, AllocationId)>,
    /// When an allocation that is too young now can be recalled.
    pub(crate) next: Option<Time>,
}

impl Ledger {
    /// Recalls queues for roles that wait. To be asked after each run.
    pub(crate) fn recall(&mut self, now: Time) -> Recalls {
        self.is_unsettled = false;
        let mut recalls = Recalls::default();
        if self.queues.is_empty() {
            return recalls;
        }
        let mut projection = self.projection();
        let mut waiting: Vec<(Role, Vec<FrameworkId>)> = self.waiting().into_iter().collect();
        waiting.sort_by(|(one, _), (other, _)| self.shares.compare(&projection, one, other));
        for (role, frameworks) in &waiting {
            while let Some(id) = self.victim(role, frameworks, &projection, now, &mut recalls) {
                self.book_recall(id, role);
                let Some(allocation) = self.allocations.get(&id) else { break };
                recalls.allocations.push((allocation.agent.clone(), id));
                self.project(&mut projection, allocation, role);
            }
        }
        self.is_unsettled = false;
        recalls
    }

    /// Frameworks that would take something and were offered nothing, by role.
    fn waiting(&self) -> BTreeMap<Role, Vec<FrameworkId>> {
        let mut waiting: BTreeMap<Role, Vec<FrameworkId>> = BTreeMap::new();
        for (framework, role) in self.shares.waiting() {
            waiting.entry(role).or_default().push(framework);
        }
        waiting
    }

    /// What the roles will hold once all that is recalled has come back.
    fn projection(&self) -> Projection {
        let mut projection = Projection::default();
        for allocation in self.recalled.iter().filter_map(|id| self.allocations.get(id)) {
            if let Phase::Recalled { beneficiary } = &allocation.phase {
                self.project(&mut projection, allocation, beneficiary);
            }
        }
        projection
    }

    /// Moves what an allocation occupies to whom it is recalled for.
    fn project(&self, projection: &mut Projection, allocation: &Allocation, beneficiary: &Role) {
        let Allocation { role, agent, occupied, .. } = allocation;
        if self.shares.agent(agent).is_some_and(|agent| agent.presence != Presence::Away) {
            self.shares.project(projection, role, beneficiary, occupied);
        }
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
        let is_richer = |other: &&Role| self.shares.is_poorer(projection, role, other);
        let mut richer: Vec<&Role> = self.queues.keys().filter(is_richer).collect();
        richer.sort_by(|one, other| self.shares.compare(projection, other, one));
        for other in richer {
            for (since, id) in self.queues.get(other).into_iter().flatten() {
                if !self.is_wanted(*id, role, frameworks, now) {
                    continue;
                }
                let ripe = *since + self.recall_hold;
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
    fn is_wanted(
        &self,
        id: AllocationId,
        role: &Role,
        frameworks: &[FrameworkId],
        now: Time,
    ) -> bool {
        let Some(Allocation { agent, occupied, .. }) = self.allocations.get(&id) else {
            return false;
        };
        let takes = |f: &FrameworkId| self.shares.would_take(f, role, agent, occupied, now);
        frameworks.iter().any(takes)
    }
}
