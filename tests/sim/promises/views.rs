//! What frameworks believe is so, once nothing goes wrong any more: their views converge with what
//! runs on the nodes.

use super::Promises;
use skep_protocol::{TaskKey, Time, operator::view::TaskView};
use std::time::Duration;

/// How long a view may be wrong in a sound cluster: longer than the longest time-out and pause of
/// any policy that the swarm draws.
const CONVERGENCE_MAX: Duration = Duration::from_secs(90);

impl Promises {
    /// Nothing goes wrong from now on.
    pub(crate) fn is_healed(&mut self, now: Time) {
        self.healed = Some(now);
    }

    /// What runs is believed to run, and what is believed to run does.
    pub(crate) fn check_views(&self, now: Time, master: &[TaskView]) {
        let Some(healed) = self.healed else { return };
        let is_settled = |since: Time| now.since(since.max(healed)) > CONVERGENCE_MAX;
        for (key, since) in self.nodes.iter().flat_map(|node| &node.running) {
            if is_settled(*since) && self.is_wanted(key) {
                let told = self.told(key);
                assert_eq!(told.last(), Some(&"RUNNING"), "{key} runs, and its framework heard");
                let shown = master.iter().find(|view| is_of(view, key)).map(|view| &*view.state);
                assert_eq!(shown, Some("RUNNING"), "{key} runs, and the master shows");
            }
        }
        for (key, told) in &self.told {
            let runs = told.states.last() == Some(&"RUNNING") && told.end.is_none();
            let since = self.ended.get(key).map_or(told.heard, |ended| told.heard.max(*ended));
            if runs && is_settled(since) && self.is_wanted(key) {
                let home = self.home_of(key);
                assert!(home.is_some(), "{key} is believed to run, and runs nowhere");
            }
        }
    }

    /// Whether its framework is there and waits for it.
    fn is_wanted(&self, key: &TaskKey) -> bool {
        !self.departed.contains(&key.framework) && !self.given_up.contains(key)
    }
}

fn is_of(view: &TaskView, key: &TaskKey) -> bool {
    let TaskKey { framework, task, attempt } = key;
    view.framework == framework.as_str() && view.task == task.as_str() && view.attempt == attempt.0
}
