//! What the master says of tasks by its own word, without an agent.

use super::{ClusterOf, Party, id, key};
use skep_protocol::{Attempt, Source, StatusUpdate, TaskKey, TaskState, framework::Event};

impl<P: Party> ClusterOf<P> {
    /// Tells the framework that the first attempt of a task runs. The master says so of an attempt
    /// that was called lost, or that only an earlier instance knew, when its agent comes back.
    pub fn turn_up(&mut self, task: &str) {
        self.master_says(key(&id(task), Attempt(1)), TaskState::Running);
    }

    pub(super) fn master_says(&mut self, key: TaskKey, state: TaskState) {
        let update = StatusUpdate {
            key,
            seq: 0,
            agent: None,
            state,
            source: Source::Master,
            at: self.now,
            usage: None,
            result: Vec::new(),
            last_words: String::new(),
            outputs: Vec::new(),
            missing: Vec::new(),
        };
        self.tell(Event::StatusUpdates { updates: vec![update] });
    }
}
