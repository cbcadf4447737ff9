//! What tasks wrote is kept until its end is acknowledged, by the framework or, where the master
//! has told it the attempt as over, by the master.
//!
//! Some frameworks collect slowly: they acknowledge an end when they have read what the task wrote,
//! which takes them time. Until then the sandbox must be there.

use super::Promises;
use skep_protocol::{Outcome, TaskKey, framework::Acknowledgement};
use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub(super) struct Collected {
    /// Sandboxes that are gone.
    removed: BTreeSet<TaskKey>,
    /// What was read. Ends that are told again are acknowledged again, and not read.
    read: BTreeSet<TaskKey>,
}

impl Promises {
    /// An agent removes a sandbox.
    pub(crate) fn removes_sandbox(&mut self, agent: usize, key: &TaskKey) {
        let is_forgotten = self.nodes[agent].forgotten.contains(key);
        assert!(is_forgotten, "agent {agent} removes what {key} wrote, and has not forgotten it");
        self.collected.removed.insert(key.clone());
    }

    /// A framework acknowledges ends, and first reads what these tasks wrote, if it has not yet.
    pub(crate) fn collects(&mut self, ends: &[Acknowledgement]) {
        for Acknowledgement { key, .. } in ends {
            if !self.collected.read.insert(key.clone()) {
                continue;
            }
            // What its framework was told lost, or has launched anew, its agent may forget.
            let end = self.told.get(key).and_then(|told| told.end.as_ref());
            let is_given_up = self.given_up.contains(key)
                || self.forgotten_unheard.contains(key)
                || self.is_superseded(key)
                || matches!(end, Some((Outcome::Lost { .. }, _)));
            let is_there = !self.collected.removed.contains(key);
            assert!(is_there || is_given_up, "{key} is collected, and what it wrote is gone");
        }
    }
}
