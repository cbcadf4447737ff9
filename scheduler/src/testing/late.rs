//! What comes when nobody expects it any more.

use super::{ClusterOf, Party, id, key};
use skep_protocol::{Attempt, Source, StatusUpdate, TaskState, framework::Event};

impl<P: Party> ClusterOf<P> {
    /// The framework is told that a task runs which was called lost, or which only an instance
    /// before this one knew: its agent has come back to another master.
    pub fn turn_up(&mut self, task: &str) {
        let update = StatusUpdate {
            key: key(&id(task), Attempt(1)),
            seq: 0,
            agent: None,
            state: TaskState::Running,
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
