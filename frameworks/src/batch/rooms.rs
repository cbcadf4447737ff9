//! Allocations that are filled again, without a trip to the master.
//!
//! More tasks than fit at once are queued at the agent. How deep is found out: a queue that half
//! empties within [`DRAINED_QUICKLY`] is made twice as deep, so short tasks never wait for the
//! master, and long ones stay free to go to an agent that joins later.
//!
//! Always holds: the tasks of a room are of one group, and some of them have not ended. Where tasks
//! of several groups were launched together, there is none.

use super::active::Place;
use skep_protocol::{AgentId, AllocationId, OfferId, Resources, TaskId, Time};
use std::{collections::BTreeMap, time::Duration};

/// The most tasks in flight in one allocation; a recall gives them all back.
const DEPTH_MAX: u64 = 4_096;
/// A queue that half empties in this time is too short.
const DRAINED_QUICKLY: Duration = Duration::from_millis(200);

/// An allocation, and how many tasks to keep in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) job: String,
    pub(super) serial: u64,
    pub(super) group: String,
    pub(super) agent: AgentId,
    /// What each of its tasks is given.
    pub(super) each: Resources,
    in_flight: u64,
    depth: u64,
    filled: Time,
}

impl Room {
    /// One for tasks like this on an agent.
    pub(super) fn new(place: &Place, agent: &AgentId, each: Resources) -> Self {
        let Place { job, serial, group, .. } = place;
        let (job, serial, group, agent) = (job.clone(), *serial, group.clone(), agent.clone());
        Self { job, serial, group, agent, each, in_flight: 0, depth: 0, filled: Time::ZERO }
    }

    /// How many tasks it lacks, if it is time to fill it.
    pub(super) const fn lacks(&self) -> Option<u64> {
        if self.in_flight > self.depth / 2 { None } else { Some(self.depth - self.in_flight) }
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Rooms {
    /// What was launched on these offers, of which the master has not said the allocation.
    unanswered: BTreeMap<OfferId, (Room, Vec<TaskId>)>,
    open: BTreeMap<AllocationId, Room>,
}

impl Rooms {
    /// These tasks were launched together.
    pub(super) fn launched(&mut self, offer: OfferId, room: Room, tasks: Vec<TaskId>) {
        self.unanswered.insert(offer, (room, tasks));
    }

    /// The master has answered a launch: the tasks that are in the allocation, if it is a room now.
    pub(super) fn answered(
        &mut self,
        now: Time,
        offer: OfferId,
        allocation: Option<AllocationId>,
    ) -> Vec<TaskId> {
        let Some((room, tasks)) = self.unanswered.remove(&offer) else { return Vec::new() };
        let Some(allocation) = allocation else { return Vec::new() };
        let depth = (tasks.len() as u64).min(DEPTH_MAX);
        self.open.insert(allocation, Room { in_flight: depth, depth, filled: now, ..room });
        tasks
    }

    /// Launches that were not answered on an earlier connection will not be.
    pub(super) fn forget_unanswered(&mut self) {
        self.unanswered.clear();
    }

    /// A task has left its allocation.
    pub(super) fn left(&mut self, allocation: AllocationId) {
        if let Some(room) = self.open.get_mut(&allocation) {
            room.in_flight = room.in_flight.saturating_sub(1);
            // It is over when its last task is.
            if room.in_flight == 0 {
                self.open.remove(&allocation);
            }
        }
    }

    /// The allocation takes no more: it was recalled, or its agent is in doubt.
    pub(super) fn close(&mut self, allocation: AllocationId) {
        self.open.remove(&allocation);
    }

    pub(super) fn get(&self, allocation: AllocationId) -> Option<&Room> {
        self.open.get(&allocation)
    }

    /// A room that half empties quickly is made deeper, and so are others of its group from the
    /// beginning: it may be over before it is filled. Gives how deep those are; 0: as deep as any.
    pub(super) fn deepen(&mut self, now: Time, allocation: AllocationId) -> u64 {
        let Some(room) = self.open.get_mut(&allocation) else { return 0 };
        let is_short = now.since(room.filled) < DRAINED_QUICKLY;
        if is_short {
            room.depth = (room.depth * 2).min(DEPTH_MAX);
        }
        room.filled = now;
        if is_short { room.depth } else { 0 }
    }

    /// So many tasks were put into a room.
    pub(super) fn filled(&mut self, allocation: AllocationId, count: usize) {
        if let Some(room) = self.open.get_mut(&allocation) {
            room.in_flight += count as u64;
        }
    }
}
