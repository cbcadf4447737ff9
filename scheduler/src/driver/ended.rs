//! Which attempts have ended, for so long that a repeated last update is not delivered twice.

use skep_protocol::TaskKey;
use std::collections::{BTreeMap, VecDeque};

/// How many ended attempts are remembered.
const ENDED_MAX: usize = 100_000;

/// The last [`ENDED_MAX`] attempts that have ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Whether the master said so, and no agent did.
    keys: BTreeMap<TaskKey, bool>,
    oldest_first: VecDeque<TaskKey>,
}

impl Ended {
    pub(super) fn contains(&self, key: &TaskKey) -> bool {
        self.keys.contains_key(key)
    }

    /// Whether the master called it lost, or refused it: it may run nevertheless.
    pub(super) fn is_given_up(&self, key: &TaskKey) -> bool {
        self.keys.get(key).is_some_and(|by_master| *by_master)
    }

    pub(super) fn insert(&mut self, key: TaskKey, by_master: bool) {
        if self.oldest_first.len() == ENDED_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.keys.remove(&oldest);
        }
        self.keys.insert(key.clone(), by_master);
        self.oldest_first.push_back(key);
    }
}
