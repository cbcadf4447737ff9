//! The tasks that ended last, for people and for reconciliation.
//!
//! Always holds: no more are remembered than the policy says; the oldest give way.

use skep_protocol::{
    AgentId, Attempt, FrameworkId, Outcome, Resources, Role, TaskId, TaskKey, TaskSpec, Time, Usage,
};
use std::{collections::BTreeMap, sync::Arc};

#[derive(Debug)]
pub(crate) struct History {
    tasks: BTreeMap<TaskKey, (u64, EndedTask)>,
    /// The same, oldest first.
    order: BTreeMap<u64, TaskKey>,
    count: u64,
    max: usize,
}

/// What is remembered of an ended task.
#[derive(Clone, Debug)]
pub(crate) struct EndedTask {
    pub(crate) agent: AgentId,
    pub(crate) role: Role,
    pub(crate) resources: Resources,
    pub(crate) name: String,
    pub(crate) since: Time,
    pub(crate) outcome: Outcome,
    pub(crate) usage: Option<Usage>,
    pub(crate) repeatable: Option<Arc<TaskSpec>>,
}

impl History {
    pub(crate) const fn new(max: usize) -> Self {
        Self { tasks: BTreeMap::new(), order: BTreeMap::new(), count: 0, max }
    }

    pub(crate) fn contains(&self, key: &TaskKey) -> bool {
        self.tasks.contains_key(key)
    }

    pub(crate) fn get(&self, key: &TaskKey) -> Option<&EndedTask> {
        self.tasks.get(key).map(|(_, ended)| ended)
    }

    /// The newest remembered attempt of a task.
    pub(crate) fn newest(
        &self,
        framework: &FrameworkId,
        task: &TaskId,
    ) -> Option<(&TaskKey, &EndedTask)> {
        let at = |attempt| TaskKey {
            framework: framework.clone(),
            task: task.clone(),
            attempt: Attempt(attempt),
        };
        let newest = self.tasks.range(at(0)..=at(u32::MAX)).next_back();
        newest.map(|(key, (_, ended))| (key, ended))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&TaskKey, &EndedTask)> {
        self.tasks.iter().map(|(key, (_, ended))| (key, ended))
    }

    pub(crate) fn remember(&mut self, key: TaskKey, ended: EndedTask) {
        self.forget(&key);
        self.count += 1;
        self.order.insert(self.count, key.clone());
        self.tasks.insert(key, (self.count, ended));
        if self.tasks.len() > self.max
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.tasks.remove(&oldest);
        }
    }

    pub(crate) fn forget(&mut self, key: &TaskKey) {
        if let Some((number, _)) = self.tasks.remove(key) {
            self.order.remove(&number);
        }
    }

    pub(crate) fn check(&self) {
        assert!(self.tasks.len() <= self.max, "more ended tasks are remembered than may be");
        assert_eq!(self.tasks.len(), self.order.len(), "the two sides of the history disagree");
        for (number, key) in &self.order {
            let known = self.tasks.get(key).map(|(number, _)| number);
            assert_eq!(known, Some(number), "{key} is remembered at another place");
        }
    }
}
