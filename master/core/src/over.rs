//! Attempts that are over for their frameworks, and that their agent may still have: what it says
//! of them is news to nobody.
//!
//! Always holds: one is known until the agent has it no more, by the beat that says that it has
//! carried out the order to forget it, or because it does not bring it at its return. So a crash
//! that costs an agent its last records makes nothing that has ended end again, however many
//! ended since.

use skep_protocol::TaskKey;
use std::collections::{BTreeSet, VecDeque};

/// Those of one agent that it was ordered to forget and are known: more than end within some beats.
/// One that never says what it has carried out costs no more than that.
const ORDERED_MAX: usize = 1 << 16;

/// Those of one agent.
#[derive(Debug, Default)]
pub(crate) struct Over {
    /// Those that it has, as far as anybody knows: told lost while it was away, or brought by it.
    held: BTreeSet<TaskKey>,
    /// Those that it was ordered to forget on this connection, with the order, oldest first.
    ordered: VecDeque<(u64, TaskKey)>,
    /// How many orders to acknowledge were given.
    orders: u64,
}

impl Over {
    /// Whether an attempt that the agent brings is one of them.
    pub(crate) fn contains(&self, key: &TaskKey) -> bool {
        self.held.contains(key)
    }

    /// The framework of an attempt that the agent has knows it as over.
    pub(crate) fn add(&mut self, key: TaskKey) {
        self.held.insert(key);
    }

    /// The agent is ordered to acknowledge, which lets it forget these. Gives the order's number.
    pub(crate) fn order(&mut self, forgotten: impl IntoIterator<Item = TaskKey>) -> u64 {
        self.orders += 1;
        let number = self.orders;
        self.ordered.extend(forgotten.into_iter().map(|key| (number, key)));
        let excess = self.ordered.len().saturating_sub(ORDERED_MAX);
        self.ordered.drain(..excess);
        number
    }

    /// The agent has carried out all orders up to this.
    pub(crate) fn carried_out(&mut self, number: u64) {
        while let Some((_, key)) = self.ordered.pop_front_if(|(order, _)| *order <= number) {
            self.held.remove(&key);
        }
    }

    /// The agent is back on another connection, with these: what it was ordered on the one before
    /// may not have come.
    pub(crate) fn come_back(&mut self, brought: &BTreeSet<&TaskKey>) {
        self.held.extend(self.ordered.drain(..).map(|(_, key)| key));
        self.held.retain(|key| brought.contains(key));
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
        assert_eq!((over.order([key(1)]), over.order([key(2)]), over.order([])), (1, 2, 3));
        over.carried_out(0);
        over.carried_out(1);
        let keys: Vec<TaskKey> = (0..4).map(key).collect();
        let known = |over: &Over| (0..4).filter(|n| over.contains(&keys[*n])).collect::<Vec<_>>();
        over.come_back(&keys.iter().collect());
        assert_eq!(
            known(&over),
            [0, 2],
            "it was ordered to forget 2, and has not said that it has"
        );
        over.come_back(&[&keys[2]].into());
        over.carried_out(3);
        assert_eq!(known(&over), [2], "the orders of the connection before do not count");
        assert_eq!(over.order([key(2)]), 4);
        over.carried_out(4);
        assert_eq!(known(&over), [0; 0]);
    }

    #[test]
    fn an_agent_that_never_says_so_costs_no_more_than_the_bound() {
        let mut over = Over::default();
        over.order((0..ORDERED_MAX + 100).map(key));
        assert_eq!(over.ordered.len(), ORDERED_MAX);
        assert_eq!(over.ordered[0], (1, key(100)), "the oldest give way");
    }
}
