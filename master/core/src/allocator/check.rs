//! What always holds in the books, checked from scratch.

use super::{Allocator, Held, accounts::Presence};
use skep_protocol::{AllocationId, FrameworkId, Resources, Role, Time};
use std::collections::{BTreeMap, BTreeSet};

impl Allocator {
    pub(crate) fn check(&self) {
        self.check_agents();
        self.check_holders();
        self.check_queues();
        self.filters.check();
    }

    fn check_agents(&self) {
        let mut total = Resources::none();
        for (id, agent) in &self.agents {
            let (mut used, mut allocations) = (Resources::none(), BTreeSet::new());
            for (id, allocation) in self.allocations.iter().filter(|(_, a)| a.agent == *id) {
                used.add(&allocation.occupied);
                allocations.insert(*id);
            }
            assert_eq!(agent.used, used, "{id} is used by more or less than its allocations");
            assert_eq!(agent.allocations, allocations, "{id} has other allocations");
            for (kind, offered) in agent.offered.iter() {
                let sum = agent.used.amount(kind).plus(offered);
                let all = agent.total.amount(kind);
                assert!(sum <= all, "{id} is over-committed: {kind} {sum} of {all}");
            }
            let is_spare =
                agent.presence == Presence::Open && self.policy.is_worth_offering(&agent.free());
            assert_eq!(self.spare.contains(id), is_spare, "{id} is spare or not, wrongly");
            if agent.presence != Presence::Away {
                total.add(&agent.total);
            }
        }
        assert_eq!(self.total, total, "the cluster's total is not that of its agents");
    }

    fn check_holders(&self) {
        let mut frameworks: BTreeMap<&FrameworkId, Resources> = BTreeMap::new();
        for (id, allocation) in &self.allocations {
            assert!(allocation.tasks > 0, "{id} has no task and is kept");
            let occupied = allocation.granted.at_most(&allocation.wanted);
            assert_eq!(allocation.occupied, occupied, "{id} occupies something else");
            let agent = self.agents.get(&allocation.agent);
            if agent.is_some_and(|agent| agent.presence != Presence::Away) {
                frameworks.entry(&allocation.framework).or_default().add(&occupied);
            }
        }
        let mut roles: BTreeMap<&Role, Held> = BTreeMap::new();
        for (id, framework) in &self.frameworks {
            let held = &framework.held;
            let allocated = frameworks.remove(id).unwrap_or_default();
            assert_eq!(held.allocated(), allocated, "{id} holds other allocations than its own");
            let role = roles.entry(&framework.role).or_default();
            role.sum.add(&held.sum);
            role.offered.add(&held.offered);
            let members = self.roles.get(&framework.role).map(|role| &role.frameworks);
            assert!(members.is_some_and(|m| m.contains(id)), "{id} is missing in its role");
        }
        assert!(frameworks.is_empty(), "an unknown framework has an allocation");
        for (id, role) in &self.roles {
            let sums = roles.remove(id).unwrap_or_default();
            assert_eq!(role.held.sum, sums.sum, "role {id} holds more or less than its members");
            assert_eq!(role.held.offered, sums.offered, "role {id} has other offers");
        }
    }

    fn check_queues(&self) {
        let mut queues: BTreeMap<Role, BTreeSet<(Time, AllocationId)>> = BTreeMap::new();
        let mut recalled = BTreeSet::new();
        for (id, allocation) in &self.allocations {
            let Some(framework) = self.frameworks.get(&allocation.framework) else { continue };
            if allocation.has_queue() {
                let queue = queues.entry(framework.role.clone()).or_default();
                queue.insert((allocation.since, *id));
            }
            if !allocation.is_open() {
                recalled.insert(*id);
            }
        }
        assert_eq!(self.queues, queues, "the queues that can be recalled are others");
        assert_eq!(self.recalled, recalled, "other allocations were recalled");
    }
}
