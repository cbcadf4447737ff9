//! The states that tasks would go on from: kept for the next attempt, which gets the last one.
//!
//! Always holds: of a task the newest attempt's last word is kept; none of a framework that is
//! gone, and none of a task that ended well or that nobody wants any more; of one framework no more
//! than the policy says, the oldest give way.

use crate::{master::Master, record::Record};
use skep_protocol::{
    AgentId, FrameworkId, Outcome, TaskKey, TaskSpec,
    outcome::{Checkpoint, KilledBy},
    task::Feature,
};

impl Master {
    /// Running guests have left states to go on from. An agent repeats them when it comes back.
    pub(crate) fn checkpointed(&mut self, agent: &AgentId, checkpoints: Vec<Checkpoint>) {
        for checkpoint in checkpoints {
            let task = self.tasks.get(&checkpoint.key).filter(|task| task.agent == *agent);
            if task.is_none_or(|task| task.is_condemned() || task.stage.is_ended()) {
                continue;
            }
            let TaskKey { framework, task, attempt } = &checkpoint.key;
            let theirs = self.durable.checkpoints.get(framework);
            let (count, held) = theirs.map_or((0, None), |theirs| (theirs.len(), theirs.get(task)));
            let is_news = held.is_none_or(|held| {
                let (newest, last) = (held.checkpoint.key.attempt, &held.checkpoint.bytes);
                newest < *attempt || (newest == *attempt && *last != checkpoint.bytes)
            });
            if !is_news {
                continue;
            }
            if held.is_none() && count >= self.policy.checkpoints_max {
                self.forget_oldest_checkpoint(&framework.clone());
            }
            self.persist(Record::Checkpointed { checkpoint, at: self.now });
        }
    }

    fn forget_oldest_checkpoint(&mut self, framework: &FrameworkId) {
        let theirs = self.durable.checkpoints.get(framework);
        let oldest = theirs.and_then(|theirs| theirs.values().min_by_key(|held| held.at));
        if let Some(key) = oldest.map(|held| held.checkpoint.key.clone()) {
            self.persist(Record::CheckpointForgotten { key });
        }
    }

    /// An attempt has ended, and its framework knows: no other follows one that ended well, or that
    /// was ended because nobody wants it.
    pub(crate) fn settle_checkpoint(&mut self, key: &TaskKey, outcome: &Outcome) {
        let by_wish = matches!(
            outcome,
            Outcome::Killed {
                by: KilledBy::Framework | KilledBy::Operator | KilledBy::FrameworkRemoved
            }
        );
        let theirs = self.durable.checkpoints.get(&key.framework);
        let held = theirs.and_then(|theirs| theirs.get(&key.task));
        let is_over = held.is_some_and(|held| held.checkpoint.key.attempt <= key.attempt);
        if is_over && (by_wish || outcome.is_success()) {
            self.persist(Record::CheckpointForgotten { key: key.clone() });
        }
    }

    pub(crate) fn forget_checkpoints_of(&mut self, framework: &FrameworkId) {
        let theirs = self.durable.checkpoints.get(framework).into_iter().flatten();
        let keys: Vec<_> = theirs.map(|(_, held)| held.checkpoint.key.clone()).collect();
        for key in keys {
            self.persist(Record::CheckpointForgotten { key });
        }
    }

    /// Puts the last checkpoint of earlier attempts into a spec that brings none, if its agent can
    /// deal with one.
    pub(crate) fn restore(&self, framework: &FrameworkId, agent: &AgentId, spec: &mut TaskSpec) {
        let theirs = self.durable.checkpoints.get(framework);
        let Some(held) = theirs.and_then(|theirs| theirs.get(&spec.task)) else { return };
        let enforces = self.agents.get(agent).map_or(&[][..], |known| &known.info.enforces);
        let can = enforces.iter().any(|name| name == Feature::Checkpoint.name());
        if can && spec.checkpoint.is_empty() && held.checkpoint.key.attempt < spec.attempt {
            spec.checkpoint.clone_from(&held.checkpoint.bytes);
        }
    }
}
