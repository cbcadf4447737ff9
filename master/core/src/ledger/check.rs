//! What always holds in the ledger, checked from scratch.

use super::Ledger;
use skep_protocol::{AgentId, AllocationId, Resources, Role, Time};
use std::collections::{BTreeMap, BTreeSet};

impl Ledger {
    pub(crate) fn check(&self) {
        self.shares.check();
        let mut used: BTreeMap<&AgentId, Resources> = BTreeMap::new();
        let mut of_agents: BTreeMap<AgentId, BTreeSet<AllocationId>> = BTreeMap::new();
        let mut queues: BTreeMap<Role, BTreeSet<(Time, AllocationId)>> = BTreeMap::new();
        let mut recalled = BTreeSet::new();
        for (id, allocation) in &self.allocations {
            assert!(allocation.tasks > 0, "{id} has no task and is kept");
            let occupied = allocation.granted.pick(&allocation.wanted);
            assert_eq!(allocation.occupied, occupied, "{id} occupies something else");
            used.entry(&allocation.agent).or_default().add(&occupied.sum());
            of_agents.entry(allocation.agent.clone()).or_default().insert(*id);
            if allocation.has_queue() {
                let queue = queues.entry(allocation.role.clone()).or_default();
                queue.insert((allocation.since, *id));
            }
            if !allocation.is_open() {
                recalled.insert(*id);
            }
        }
        for (agent, used) in used {
            let known = self.shares.agent(agent).map(|agent| agent.used.sum());
            assert_eq!(known, Some(used), "{agent} is used by more or less than its allocations");
        }
        assert_eq!(self.of_agents, of_agents, "agents have other allocations");
        assert_eq!(self.queues, queues, "the queues that can be recalled are others");
        assert_eq!(self.recalled, recalled, "other allocations were recalled");
    }
}
