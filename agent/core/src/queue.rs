//! The queues: one per allocation, first in, first out, within what the allocation may use.
//!
//! A task that does not fit holds up those behind it: skipping it would starve large tasks.

use skep_protocol::{AllocationId, Resources, TaskKey};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(crate) struct Queues {
    /// No queue in it is empty of both waiting and placed tasks.
    queues: BTreeMap<AllocationId, Queue>,
}

#[derive(Debug)]
pub(crate) struct Queue {
    granted: Resources,
    /// The arrival of the task whose launch said so.
    granted_at: u64,
    /// The sum of what the placed tasks use.
    used: Resources,
    waiting: BTreeMap<u64, TaskKey>,
    /// Tasks that have been given room and have not ended.
    placed: usize,
    standing: Standing,
}

/// Whether an allocation takes tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Open,
    Recalled,
}

/// What to do about the head of a queue.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// It was given room.
    Place(TaskKey),
    /// It is larger than all the allocation may use, so it would wait for ever.
    TooLarge(TaskKey),
    /// Nothing waits, or the head waits for those before it to end.
    Wait,
}

impl Queues {
    pub(crate) fn join(
        &mut self,
        id: AllocationId,
        granted: &Resources,
        arrival: u64,
        key: TaskKey,
    ) {
        self.queue(id, granted, arrival).waiting.insert(arrival, key);
    }

    /// A task that was given room by an earlier run of the agent has it still.
    pub(crate) fn take_back(
        &mut self,
        id: AllocationId,
        granted: &Resources,
        arrival: u64,
        used: &Resources,
    ) {
        let queue = self.queue(id, granted, arrival);
        queue.used.add(used);
        queue.placed += 1;
    }

    /// The queue of an allocation, which may use what its last launch said.
    fn queue(&mut self, id: AllocationId, granted: &Resources, arrival: u64) -> &mut Queue {
        let queue = self.queues.entry(id).or_insert_with(Queue::new);
        if arrival >= queue.granted_at {
            queue.granted.clone_from(granted);
            queue.granted_at = arrival;
        }
        queue
    }

    pub(crate) fn recall(&mut self, id: AllocationId) {
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.standing = Standing::Recalled;
        }
    }

    pub(crate) fn is_recalled(&self, id: AllocationId) -> bool {
        self.queues.get(&id).is_some_and(|queue| queue.standing == Standing::Recalled)
    }

    /// What an allocation may use as its last launch said; none if no task of it is left.
    pub(crate) fn granted(&self, id: AllocationId) -> Option<&Resources> {
        self.queues.get(&id).map(Queue::granted)
    }

    /// Takes the head of the queue if there is room for it.
    pub(crate) fn next<'a>(
        &mut self,
        id: AllocationId,
        resources: impl Fn(&TaskKey) -> &'a Resources,
    ) -> Next {
        let Some(queue) = self.queues.get_mut(&id) else { return Next::Wait };
        let Some(head) = queue.waiting.first_entry() else { return Next::Wait };
        let needed = resources(head.get());
        let sum = queue.used.plus(needed);
        if queue.granted.contains(&sum) {
            queue.used = sum;
            queue.placed += 1;
            Next::Place(head.remove())
        } else if queue.placed == 0 {
            Next::TooLarge(head.get().clone())
        } else {
            Next::Wait
        }
    }

    /// A task ends that was never given room.
    pub(crate) fn leave_waiting(&mut self, id: AllocationId, arrival: u64) {
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.waiting.remove(&arrival);
        }
        self.drop_if_empty(id);
    }

    /// A task ends and leaves its room to the next.
    pub(crate) fn leave_placed(&mut self, id: AllocationId, resources: &Resources) {
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.used.subtract(resources);
            queue.placed -= 1;
        }
        self.drop_if_empty(id);
    }

    fn drop_if_empty(&mut self, id: AllocationId) {
        if self.queues.get(&id).is_some_and(|q| q.placed == 0 && q.waiting.is_empty()) {
            self.queues.remove(&id);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&AllocationId, &Queue)> {
        self.queues.iter()
    }
}

impl Queue {
    const fn new() -> Self {
        Self {
            granted: Resources::none(),
            granted_at: 0,
            used: Resources::none(),
            waiting: BTreeMap::new(),
            placed: 0,
            standing: Standing::Open,
        }
    }

    pub(crate) const fn granted(&self) -> &Resources {
        &self.granted
    }

    pub(crate) const fn used(&self) -> &Resources {
        &self.used
    }

    pub(crate) const fn waiting(&self) -> &BTreeMap<u64, TaskKey> {
        &self.waiting
    }

    pub(crate) const fn placed(&self) -> usize {
        self.placed
    }
}
