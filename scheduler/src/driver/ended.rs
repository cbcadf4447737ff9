//! Which attempts have ended, for so long that a repeated last update is not delivered twice.

use skep_protocol::TaskKey;
use std::collections::{BTreeSet, VecDeque};

/// How many ended attempts are remembered.
const ENDED_MAX: usize = 100_000;

/// The last [`ENDED_MAX`] attempts that have ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    keys: BTreeSet<TaskKey>,
    oldest_first: VecDeque<TaskKey>,
}

impl Ended {
    pub(super) fn contains(&self, key: &TaskKey) -> bool {
        self.keys.contains(key)
    }

    pub(super) fn insert(&mut self, key: TaskKey) {
        if self.oldest_first.len() == ENDED_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.keys.remove(&oldest);
        }
        self.keys.insert(key.clone());
        self.oldest_first.push_back(key);
    }
}
