//! Who waits for what: the tasks that have room to run but miss a file or their executor.

use crate::profile::ExecutorKey;
use skep_protocol::{Artifact, Digest, TaskKey};
use std::collections::BTreeMap;

/// One thing that a task must have before it can start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    Blob(Digest),
    Artifact(Artifact),
    Executor(ExecutorKey),
    /// That the guests in this executor of a removed framework are gone.
    Departure(ExecutorKey),
    /// That regular tasks leave room for it.
    Room,
}

/// The waiting tasks per need, in the order of their arrival.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    /// No list in it is empty.
    lists: BTreeMap<Need, BTreeMap<u64, TaskKey>>,
}

impl Waits {
    pub(crate) fn join(&mut self, need: Need, arrival: u64, key: TaskKey) {
        self.lists.entry(need).or_default().insert(arrival, key);
    }

    pub(crate) fn leave(&mut self, need: &Need, arrival: u64) {
        let Some(list) = self.lists.get_mut(need) else { return };
        list.remove(&arrival);
        if list.is_empty() {
            self.lists.remove(need);
        }
    }

    /// All who wait for `need`, oldest first. They stay in the list until each has left.
    pub(crate) fn all(&self, need: &Need) -> Vec<TaskKey> {
        self.lists.get(need).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    pub(crate) fn is_awaited(&self, need: &Need) -> bool {
        self.lists.contains_key(need)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Need, u64, &TaskKey)> {
        self.lists
            .iter()
            .flat_map(|(need, list)| list.iter().map(move |(arrival, key)| (need, *arrival, key)))
    }
}
