//! What was said is on the disk: nobody tells what a crash could take back.

use super::Promises;
use crate::journal::Disk;
use skep_agent_core::Record as AgentRecord;
use skep_master_core::{Answer, Record as MasterRecord};
use skep_protocol::{
    Outcome, Rejection, StatusUpdate, TaskKey, TaskState,
    agent::ToMaster,
    framework::{Acknowledgement, Event},
    operator::PeerKind,
};

impl Promises {
    /// An agent hands a record to its disk.
    pub(crate) fn records(&mut self, agent: usize, record: &AgentRecord) {
        if let AgentRecord::TaskForgotten { key, .. } = record {
            self.nodes[agent].forgotten.insert(key.clone());
        }
    }

    /// A word of an agent leaves it.
    pub(crate) fn says(&self, agent: usize, disk: &Disk<AgentRecord>, message: &ToMaster) {
        let forgotten = &self.nodes[agent].forgotten;
        let is_kept = |key: &TaskKey, row: &str| disk.contains_key(row) || forgotten.contains(key);
        match message {
            ToMaster::TasksAccepted { tasks } => {
                for key in tasks {
                    let is_kept = is_kept(key, &task_row(key));
                    assert!(is_kept, "agent {agent} says that it has {key}, which is on no disk");
                }
            }
            ToMaster::StatusUpdates { updates } => {
                // A refusal may be on no disk: then it may be lost, and the task is launched anew.
                let is_kept_at_all = |update: &&StatusUpdate| {
                    let refused = matches!(update.state, TaskState::Ended(Outcome::Refused { .. }));
                    update.seq > 0 && !refused
                };
                for update in updates.iter().filter(is_kept_at_all) {
                    let (key, seq) = (update.key.clone(), update.seq);
                    let row =
                        AgentRecord::Acknowledged { key: key.clone(), seq, state: None }.key();
                    let is_kept = is_kept(&key, &row);
                    assert!(is_kept, "agent {agent} tells update {seq} of {key}, on no disk");
                }
            }
            ToMaster::Register(_)
            | ToMaster::Progressed { .. }
            | ToMaster::Sent { .. }
            | ToMaster::Checkpointed { .. }
            | ToMaster::Beat { .. } => {}
        }
    }

    /// An agent is told that updates have been dealt with, so that it forgets them. Its framework
    /// has heard them; or else it must hear from the master that the attempt is over.
    pub(crate) fn acknowledged(&mut self, acknowledgements: &[Acknowledgement]) {
        for Acknowledgement { key, seq } in acknowledgements {
            if self.told.get(key).is_none_or(|told| told.seen < *seq) {
                self.forgotten_unheard.insert(key.clone());
            }
        }
    }

    /// Nothing happens any more: who has not heard of an attempt's last updates knows it as over.
    pub(super) fn check_forgotten(&self) {
        for key in &self.forgotten_unheard {
            let is_over = self.told.get(key).is_some_and(|told| told.end.is_some())
                || self.departed.contains(&key.framework)
                || self.given_up.contains(key)
                || self.is_superseded(key);
            assert!(is_over, "updates of {key} were acknowledged, and nobody heard them");
        }
    }

    /// Whether its framework has launched a later attempt of the task.
    pub(super) fn is_superseded(&self, key: &TaskKey) -> bool {
        let later = TaskKey { attempt: key.attempt.next(), ..key.clone() };
        self.launched
            .range(later..)
            .next()
            .is_some_and(|newest| (&newest.framework, &newest.task) == (&key.framework, &key.task))
    }

    /// The master hands a record to its disk.
    pub(crate) fn master_records(&mut self, record: &MasterRecord) {
        if let MasterRecord::FrameworkRemoved { framework } = record {
            self.departed.insert(framework.clone());
        }
    }

    /// A word of the master to a framework leaves it.
    pub(crate) fn master_tells(&self, disk: &Disk<MasterRecord>, event: &Event) {
        if let Event::Subscribed { framework, .. } = event {
            let is_kept = disk.contains_key(&format!("framework/{framework}"));
            let is_kept = is_kept || self.departed.contains(framework);
            assert!(is_kept, "{framework} is told its name, which is on no disk");
        }
    }

    /// An answer of the master leaves it.
    pub(crate) fn master_answers(
        &self,
        disk: &Disk<MasterRecord>,
        answer: &Result<Answer, Rejection>,
    ) {
        if let Ok(Answer::Admitted { kind: PeerKind::Agent, id }) = answer {
            let is_kept = disk.contains_key(&format!("agent/{id}"));
            assert!(is_kept, "{id} is admitted, which is on no disk");
            let mut tokens = disk.values().filter_map(|record| match record {
                MasterRecord::TokenCreated { token, .. }
                | MasterRecord::TokenUsed { token, .. } => Some(token.uses_left),
                _ => None,
            });
            // Every agent of the simulation has a token of its own, good for once.
            assert!(tokens.any(|uses| uses == 0), "{id} has used a token, which is on no disk");
        }
    }
}

fn task_row(key: &TaskKey) -> String {
    AgentRecord::TaskForgotten { key: key.clone(), seq: 0 }.key()
}
