//! How tasks that come, start and end change their allocation, and what the allocator hears of it.
//!
//! Always holds: of an agent no more is granted than was free.

use super::{Allocation, Ledger, allocation::Phase};
use skep_allocator::{Bundle, Origin, Presence, Use};
use skep_protocol::{AgentId, AllocationId, FrameworkId, Resources, Role, Time, task::Terms};

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

/// Whose an allocation is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) framework: &'a FrameworkId,
    pub(crate) role: &'a Role,
    pub(crate) agent: &'a AgentId,
    pub(crate) terms: Terms,
}

impl Batch {
    pub(crate) fn add(&mut self, resources: &Resources) {
        self.sum.add(resources);
        self.count += 1;
    }
}

impl Ledger {
    /// Turns free resources of an agent into an allocation with its first tasks.
    pub(crate) fn grant(
        &mut self,
        id: AllocationId,
        place: Place<'_>,
        granted: Bundle,
        tasks: Batch,
        now: Time,
    ) {
        let free = self.shares.unused(place.agent).unwrap_or_default().sum();
        let sum = granted.sum();
        assert!(free.contains(&sum), "{sum} of {} are granted, {free} are free", place.agent);
        self.begin(id, place, granted, now);
        self.reshape(id, Origin::Offer, |allocation| allocation.enter(&tasks, Begun::No));
    }

    /// Takes over a task that an agent brought along, whether or not there is room for it.
    pub(crate) fn adopt(
        &mut self,
        id: AllocationId,
        place: Place<'_>,
        granted: &Resources,
        task: (&Resources, Begun),
        now: Time,
    ) {
        let granted = self.found(place, granted);
        self.begin(id, place, granted, now);
        let (resources, begun) = task;
        let batch = Batch { sum: resources.clone(), count: 1 };
        self.reshape(id, Origin::Found, |allocation| allocation.enter(&batch, begun));
    }

    fn begin(&mut self, id: AllocationId, place: Place<'_>, granted: Bundle, now: Time) {
        let Place { framework, role, agent, terms } = place;
        self.allocations.entry(id).or_insert_with(|| Allocation {
            framework: framework.clone(),
            role: role.clone(),
            agent: agent.clone(),
            terms,
            granted,
            wanted: Resources::none(),
            occupied: Bundle::default(),
            tasks: 0,
            unstarted: 0,
            since: now,
            phase: Phase::Open,
        });
        self.of_agents.entry(agent.clone()).or_default().insert(id);
    }

    /// What the tasks of an allocation could use together from now on, of what it was granted:
    /// what it has given back may have gone to others. None: it takes no more tasks.
    pub(crate) fn room(&self, id: AllocationId) -> Option<Bundle> {
        let allocation = self.allocations.get(&id).filter(|allocation| allocation.is_open())?;
        let agent = self.shares.agent(&allocation.agent)?;
        let given_back = allocation.granted.minus(&allocation.occupied);
        (agent.presence == Presence::Open)
            .then(|| allocation.occupied.plus(&agent.free().at_most(&given_back)))
    }

    /// Adds tasks to an allocation, which may use `room` from now on.
    pub(crate) fn enqueue(&mut self, id: AllocationId, room: Bundle, tasks: &Batch) {
        self.reshape(id, Origin::Enqueued, |allocation| {
            allocation.granted = room;
            allocation.enter(tasks, Begun::No);
        });
    }

    /// A task of the allocation has started.
    pub(crate) fn start(&mut self, id: AllocationId) {
        self.reshape(id, Origin::Enqueued, |allocation| allocation.unstarted -= 1);
    }

    /// A task of the allocation has ended; with its last one the allocation ends.
    pub(crate) fn finish(&mut self, id: AllocationId, resources: &Resources, begun: Begun) {
        self.reshape(id, Origin::Offer, |allocation| {
            allocation.wanted.subtract(resources);
            allocation.tasks -= 1;
            if begun == Begun::No {
                allocation.unstarted -= 1;
            }
        });
    }

    /// The allocations of an agent that were recalled; it may not have heard.
    pub(crate) fn recalled_on(&self, agent: &AgentId) -> Vec<AllocationId> {
        let allocations = self.of_agents.get(agent).into_iter().flatten();
        allocations.filter(|id| self.recalled.contains(id)).copied().collect()
    }

    /// Marks an allocation as recalled.
    pub(super) fn book_recall(&mut self, id: AllocationId, beneficiary: &Role) {
        self.recalled.insert(id);
        self.reshape(id, Origin::Offer, |allocation| {
            allocation.phase = Phase::Recalled { beneficiary: beneficiary.clone() };
        });
    }

    /// Changes an allocation and tells the allocator the difference.
    fn reshape(&mut self, id: AllocationId, origin: Origin, change: impl FnOnce(&mut Allocation)) {
        let Some(allocation) = self.allocations.get_mut(&id) else { return };
        let had_queue = allocation.has_queue();
        change(allocation);
        let after = allocation.granted.pick(&allocation.wanted);
        let before = std::mem::replace(&mut allocation.occupied, after.clone());
        let (is_over, has_queue) = (allocation.tasks == 0, allocation.has_queue());
        let since = allocation.since;
        let (framework, role) = (allocation.framework.clone(), allocation.role.clone());
        let agent = allocation.agent.clone();
        if had_queue != has_queue {
            self.index_queue(&role, (since, id), has_queue);
            // Somebody may have waited for a queue to recall.
            self.is_unsettled = true;
        }
        let of = |bundle| Use { framework: &framework, role: &role, agent: &agent, bundle };
        let (less, more) = (before.minus(&after), after.minus(&before));
        if !less.is_empty() {
            self.shares.release(of(&less));
        }
        if !more.is_empty() {
            self.shares.occupy(of(&more), origin);
        }
        if is_over {
            self.allocations.remove(&id);
            self.recalled.remove(&id);
            if let Some(ids) = self.of_agents.get_mut(&agent) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.of_agents.remove(&agent);
                }
            }
        }
    }

    fn index_queue(&mut self, role: &Role, entry: (Time, AllocationId), has: bool) {
        let queues = self.queues.entry(role.clone()).or_default();
        if has {
            queues.insert(entry);
        } else {
            queues.remove(&entry);
        }
        if queues.is_empty() {
            self.queues.remove(role);
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
