//! Attempts that are over for their frameworks, and that their agent may still have: what it says
//! of them is news to nobody.
//!
//! Always holds: one is known until the agent has it no more, by the beat that says that it has
//! carried out the order to forget it, or because it does not bring it at its return. So a crash
//! that costs an agent its last records makes nothing that has ended end again, however many
//! ended since.

use skep_protocol::TaskKey;
use std::collections::{BTreeMap, BTreeSet};

/// Those of one agent that are known: more than end within some beats. One that never says what it
/// has carried out costs no more than that.
const OVER_MAX: usize = 1 << 16;

/// Those of one agent.
#[derive(Debug, Default)]
pub(crate) struct Over {
    /// Each with the order that lets the agent forget it, if it was given on this connection.
    attempts: BTreeMap<TaskKey, Option<u64>>,
    /// How many orders to forget were given.
    orders: u64,
}

impl Over {
    pub(crate) fn contains(&self, key: &TaskKey) -> bool {
        self.attempts.contains_key(key)
    }

    /// The framework of an attempt knows it as over.
    pub(crate) fn add(&mut self, key: TaskKey) {
        self.attempts.entry(key).or_default();
    }

    /// The agent is ordered to acknowledge, which lets it forget these. Gives the order's number.
    pub(crate) fn order(&mut self, forgotten: impl IntoIterator<Item = TaskKey>) -> u64 {
        self.orders += 1;
        let number = Some(self.orders);
        self.attempts.extend(forgotten.into_iter().map(|key| (key, number)));
        while self.attempts.len() > OVER_MAX {
            self.attempts.pop_first();
        }
        self.orders
    }

    /// The agent has carried out all orders up to this.
    pub(crate) fn carried_out(&mut self, number: u64) {
        if number > 0 {
            self.attempts.retain(|_, order| order.is_none_or(|order| order > number));
        }
    }

    /// The agent is back on another connection, with these.
    pub(crate) fn come_back(&mut self, brought: &BTreeSet<&TaskKey>) {
        self.attempts.retain(|key, _| brought.contains(key));
        self.attempts.values_mut().for_each(|order| *order = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_protocol::{Attempt, FrameworkId, TaskId};

    fn key(number: usize) -> TaskKey {
        let framework = FrameworkId::new("f").expect("an id");
        let task = TaskId::new(format!("t{number}")).expect("an id");
        TaskKey { framework, task, attempt: Attempt::FIRST }
    }

    #[test]
    fn what_an_agent_was_ordered_to_forget_is_known_until_it_says_that_it_has() {
        let mut over = Over::default();
        over.add(key(0));
        assert_eq!((over.order([key(1)]), over.order([key(2)])), (1, 2));
        over.carried_out(0);
        assert!(over.contains(&key(1)));
        over.carried_out(1);
        let known = |over: &Over| (0..3).filter(|n| over.contains(&key(*n))).collect::<Vec<_>>();
        assert_eq!(known(&over), [0, 2]);
        // What was ordered on the connection before may not have come.
        over.come_back(&[&key(2)].into());
        over.carried_out(2);
        assert_eq!(known(&over), [2]);
        assert_eq!(over.order([key(2)]), 3);
        over.carried_out(3);
        assert_eq!(known(&over), [0; 0]);
    }

    #[test]
    fn an_agent_that_never_says_so_costs_no_more_than_the_bound() {
        let mut over = Over::default();
        over.order((0..OVER_MAX + 100).map(key));
        assert_eq!(over.attempts.len(), OVER_MAX);
    }
}
