//! Double entry: what is offered or allocated is booked on the agent, on the framework and on the
//! framework's role, by these few functions and no others.
//!
//! Always holds: of an agent no more is offered or granted than was free.

use super::{
    AgentAccount, Allocation, Allocator, Dirty,
    accounts::{Phase, Presence},
};
use skep_protocol::{AgentId, AllocationId, FrameworkId, Resources, Role, Time};

/// Tasks that enter an allocation together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    pub(crate) sum: Resources,
    pub(crate) count: usize,
}

/// Whether a task has begun to use what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    No,
    Yes,
}

impl Batch {
    pub(crate) fn add(&mut self, resources: &Resources) {
        self.sum.add(resources);
        self.count += 1;
    }
}

impl Allocator {
    /// Books an offer. The agent is open: only such are spare.
    pub(super) fn book_offer(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        offered: &Resources,
    ) {
        if let Some(account) = self.agents.get_mut(agent) {
            account.offered.add(offered);
        }
        let Some(account) = self.frameworks.get_mut(framework) else { return };
        account.offers_out += 1;
        let role = self.roles.get_mut(&account.role);
        for held in role.map(|role| &mut role.held).into_iter().chain([&mut account.held]) {
            held.sum.add(offered);
            held.offered.add(offered);
            held.offers += 1;
        }
        self.refresh_spare(agent);
    }

    /// An offer was used, given back or rescinded: what it held is free again.
    pub(crate) fn take_back(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        offered: &Resources,
    ) {
        if let Some(account) = self.agents.get_mut(agent) {
            account.offered.subtract(offered);
        }
        if let Some(account) = self.frameworks.get_mut(framework) {
            if account.offers_out == self.policy.offers_out_max {
                // It could not be offered what others did not want.
                self.dirty = Dirty::All;
            }
            account.offers_out -= 1;
            let role = self.roles.get_mut(&account.role);
            for held in role.map(|role| &mut role.held).into_iter().chain([&mut account.held]) {
                held.sum.subtract(offered);
                held.offered.subtract(offered);
            }
        }
        self.refresh_spare(agent);
        self.mark(agent);
    }

    /// Turns free resources of an agent into an allocation with its first tasks.
    pub(crate) fn grant(
        &mut self,
        id: AllocationId,
        framework: &FrameworkId,
        agent: &AgentId,
        granted: Resources,
        tasks: Batch,
        now: Time,
    ) {
        let free = self.agents.get(agent).map(AgentAccount::free).unwrap_or_default();
        assert!(free.contains(&granted), "{granted} of {agent} are granted, {free} are free");
        self.begin(id, framework, agent, granted, now);
        self.reshape(id, |allocation| allocation.enter(&tasks, Begun::No));
    }

    /// Takes over a task that an agent brought along, whether or not there is room for it.
    pub(crate) fn adopt(
        &mut self,
        id: AllocationId,
        framework: &FrameworkId,
        agent: &AgentId,
        granted: Resources,
        task: (&Resources, Begun),
        now: Time,
    ) {
        self.begin(id, framework, agent, granted, now);
        let (resources, begun) = task;
        let batch = Batch { sum: resources.clone(), count: 1 };
        self.reshape(id, |allocation| allocation.enter(&batch, begun));
    }

    fn begin(
        &mut self,
        id: AllocationId,
        framework: &FrameworkId,
        agent: &AgentId,
        granted: Resources,
        now: Time,
    ) {
        self.allocations.entry(id).or_insert_with(|| Allocation {
            framework: framework.clone(),
            agent: agent.clone(),
            granted,
            wanted: Resources::none(),
            occupied: Resources::none(),
            tasks: 0,
            unstarted: 0,
            since: now,
            phase: Phase::Open,
        });
        if let Some(account) = self.agents.get_mut(agent) {
            account.allocations.insert(id);
        }
    }

    /// What the tasks of an allocation could use together from now on, of what it was granted:
    /// what it has given back may have gone to others. None: it takes no more tasks.
    pub(crate) fn room(&self, id: AllocationId) -> Option<Resources> {
        let allocation = self.allocations.get(&id).filter(|allocation| allocation.is_open())?;
        let account = self.agents.get(&allocation.agent)?;
        let given_back = allocation.granted.minus(&allocation.occupied);
        (account.presence == Presence::Open)
            .then(|| allocation.occupied.plus(&account.free().at_most(&given_back)))
    }

    /// Adds tasks to an allocation, which may use `room` from now on.
    pub(crate) fn enqueue(&mut self, id: AllocationId, room: Resources, tasks: &Batch) {
        self.reshape(id, |allocation| {
            allocation.granted = room;
            allocation.enter(tasks, Begun::No);
        });
    }

    /// A task of the allocation has started.
    pub(crate) fn start(&mut self, id: AllocationId) {
        self.reshape(id, |allocation| allocation.unstarted -= 1);
    }

    /// A task of the allocation has ended; with its last one the allocation ends.
    pub(crate) fn finish(&mut self, id: AllocationId, resources: &Resources, begun: Begun) {
        self.reshape(id, |allocation| {
            allocation.wanted.subtract(resources);
            allocation.tasks -= 1;
            if begun == Begun::No {
                allocation.unstarted -= 1;
            }
        });
    }

    /// The allocations of an agent that were recalled; it may not have heard.
    pub(crate) fn recalled_on(&self, agent: &AgentId) -> Vec<AllocationId> {
        let account = self.agents.get(agent);
        let allocations = account.into_iter().flat_map(|account| &account.allocations);
        allocations.filter(|id| self.recalled.contains(id)).copied().collect()
    }

    /// Marks an allocation as recalled.
    pub(super) fn book_recall(&mut self, id: AllocationId, beneficiary: &Role) {
        self.recalled.insert(id);
        self.reshape(id, |allocation| {
            allocation.phase = Phase::Recalled { beneficiary: beneficiary.clone() };
        });
    }

    /// Changes an allocation and carries the difference to all books.
    fn reshape(&mut self, id: AllocationId, change: impl FnOnce(&mut Allocation)) {
        let Some(allocation) = self.allocations.get_mut(&id) else { return };
        let (before, had_queue) = (allocation.occupied.clone(), allocation.has_queue());
        change(allocation);
        allocation.occupied = allocation.granted.at_most(&allocation.wanted);
        let changed = (before != allocation.occupied).then(|| allocation.occupied.clone());
        let (is_over, has_queue) = (allocation.tasks == 0, allocation.has_queue());
        let (framework, agent) = (allocation.framework.clone(), allocation.agent.clone());
        let since = allocation.since;
        if had_queue != has_queue {
            self.index_queue(&framework, (since, id), has_queue);
            // Somebody may have waited for a queue to recall.
            self.mark(&agent);
        }
        if let Some(after) = changed {
            self.rebook(&framework, &agent, &before, &after);
        }
        if is_over {
            self.allocations.remove(&id);
            self.recalled.remove(&id);
            if let Some(account) = self.agents.get_mut(&agent) {
                account.allocations.remove(&id);
            }
        }
    }

    fn rebook(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        before: &Resources,
        after: &Resources,
    ) {
        let Some(account) = self.agents.get_mut(agent) else { return };
        account.used.add(after);
        account.used.subtract(before);
        if account.presence != Presence::Away {
            self.change_held(framework, before, after);
        }
        self.refresh_spare(agent);
        if !after.contains(before) {
            self.mark(agent);
        }
    }

    fn change_held(&mut self, framework: &FrameworkId, before: &Resources, after: &Resources) {
        let Some(account) = self.frameworks.get_mut(framework) else { return };
        let role = self.roles.get_mut(&account.role);
        for held in role.map(|role| &mut role.held).into_iter().chain([&mut account.held]) {
            held.sum.add(after);
            held.sum.subtract(before);
        }
    }

    /// The allocation's agent is back and counts.
    pub(super) fn hold_again(&mut self, id: AllocationId) {
        if let Some(Allocation { framework, occupied, .. }) = self.allocations.get(&id).cloned() {
            self.change_held(&framework, &Resources::none(), &occupied);
        }
    }

    /// The allocation's agent is away and does not count.
    pub(super) fn hold_no_longer(&mut self, id: AllocationId) {
        if let Some(Allocation { framework, occupied, .. }) = self.allocations.get(&id).cloned() {
            self.change_held(&framework, &occupied, &Resources::none());
        }
    }

    fn index_queue(&mut self, framework: &FrameworkId, entry: (Time, AllocationId), has: bool) {
        let Some(account) = self.frameworks.get(framework) else { return };
        let queues = self.queues.entry(account.role.clone()).or_default();
        if has {
            queues.insert(entry);
        } else {
            queues.remove(&entry);
        }
        if queues.is_empty() {
            self.queues.remove(&account.role);
        }
    }
}

impl Allocation {
    fn enter(&mut self, tasks: &Batch, begun: Begun) {
        self.wanted.add(&tasks.sum);
        self.tasks += tasks.count;
        if begun == Begun::No {
            self.unstarted += tasks.count;
        }
    }
}
