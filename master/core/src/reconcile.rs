//! What a framework asks about its tasks, and what it orders of them.
//!
//! The answers to a reconciliation, in this order, as in Mesos:
//!
//! 1. a live task: its latest state, or the update that is not yet acknowledged;
//! 2. a task that has ended and is remembered: how it ended;
//! 3. an unknown task while agents that were there before a restart of the master are still
//!    missing: nothing yet, for one of them may bring it. Mesos would have the framework ask again;
//!    here the question is kept, and a kill is carried out when the task turns up;
//! 4. else: lost, nobody knows it.
//!
//! Answers carry `seq` 0 and need no acknowledgement, except the update of 1. No attempt is known
//! for the last one: it carries [`EVERY_ATTEMPT`].

use crate::{
    frameworks::Question,
    master::Master,
    tasks::{Fate, Report, Stage},
};
use skep_protocol::{
    AgentId, Attempt, FrameworkId, Outcome, StatusUpdate, TaskId, TaskKey, TaskState,
    agent::ToAgent,
    outcome::{KilledBy, LostBy},
};

/// The attempt in an answer about an unknown task: whichever attempt is meant, it is not known.
const EVERY_ATTEMPT: Attempt = Attempt(u32::MAX);

/// Questions of one framework that are kept until all agents are back; more are to be asked again.
const QUESTIONS_MAX: usize = 20_000;

impl Master {
    pub(crate) fn reconcile(&mut self, framework: &FrameworkId, tasks: &[TaskId]) {
        let mut answers = Vec::new();
        if tasks.is_empty() {
            let keys = self.tasks.keys_of(framework);
            answers.extend(keys.iter().filter_map(|key| self.about_live(key)));
        }
        for task in tasks {
            answers.extend(self.about(framework, task, Question::State));
        }
        self.tell_updates(answers);
    }

    /// Ends a task. If it is not live its framework hears where it stands instead.
    pub(crate) fn kill(&mut self, framework: &FrameworkId, task: &TaskId) {
        match self.tasks.newest(framework, task) {
            Some((attempt, known)) if !known.stage.is_ended() => {
                self.order_end(&key_of(framework, task, attempt), KilledBy::Framework);
            }
            _ => {
                let answer = self.about(framework, task, Question::End);
                self.tell_updates(answer.into_iter().collect());
            }
        }
    }

    /// Has a live task ended: now, or as soon as its agent is back.
    pub(crate) fn order_end(&mut self, key: &TaskKey, by: KilledBy) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        task.fate = Fate::ToEnd(by.clone());
        let agent = task.agent.clone();
        self.order_kill(&agent, key, by);
    }

    pub(crate) fn order_kill(&mut self, agent: &AgentId, key: &TaskKey, by: KilledBy) {
        let TaskKey { framework, task, attempt } = key.clone();
        self.order_agent(agent, ToAgent::Kill { framework, task, attempt, by });
    }

    /// Where a task stands, if that can be told.
    fn about(
        &mut self,
        framework: &FrameworkId,
        task: &TaskId,
        question: Question,
    ) -> Option<StatusUpdate> {
        if let Some((attempt, _)) = self.tasks.newest(framework, task) {
            return self.about_live(&key_of(framework, task, attempt));
        }
        if let Some((key, ended)) = self.tasks.history.newest(framework, task) {
            let state = TaskState::Ended(ended.outcome.clone());
            let word = self.word(key, Some(&ended.agent), state);
            return Some(StatusUpdate { usage: ended.usage, ..word });
        }
        if self.expected.is_empty() {
            return Some(self.about_unknown(framework, task));
        }
        let questions = &mut self.frameworks.get_mut(framework)?.questions;
        if questions.len() < QUESTIONS_MAX {
            let asked = questions.entry(task.clone()).or_insert(question);
            *asked = question.max(*asked);
        }
        None
    }

    fn about_unknown(&self, framework: &FrameworkId, task: &TaskId) -> StatusUpdate {
        let lost = TaskState::Ended(Outcome::Lost { why: LostBy::Unknown });
        self.word(&key_of(framework, task, EVERY_ATTEMPT), None, lost)
    }

    /// Where a live task stands; none while the update that says how it ended is on its way.
    pub(crate) fn about_live(&self, key: &TaskKey) -> Option<StatusUpdate> {
        let task = self.tasks.get(key).filter(|task| !task.is_condemned())?;
        if matches!(task.stage, Stage::Ended { report: Report::Awaited, .. }) {
            return None;
        }
        let state = self.state_of(task);
        let update = task.unacknowledged.back().filter(|last| last.state == state).cloned();
        Some(update.unwrap_or_else(|| self.word(key, Some(&task.agent), state)))
    }

    /// No agent is expected any more: what nobody has brought, nobody knows.
    pub(crate) fn answer_questions(&mut self) {
        let mut answers = Vec::new();
        for framework in self.frameworks.keys().cloned().collect::<Vec<_>>() {
            let known = self.frameworks.get_mut(&framework);
            let questions = known.map(|known| std::mem::take(&mut known.questions));
            for task in questions.unwrap_or_default().into_keys() {
                answers.push(self.about_unknown(&framework, &task));
            }
        }
        self.tell_updates(answers);
    }

    /// An agent has brought a task: what was asked about it is answered by that, and a kill is
    /// now due.
    pub(crate) fn resolve_question(&mut self, key: &TaskKey) -> Fate {
        let known = self.frameworks.get_mut(&key.framework);
        match known.and_then(|known| known.questions.remove(&key.task)) {
            Some(Question::End) => Fate::ToEnd(KilledBy::Framework),
            Some(Question::State) | None => Fate::Wanted,
        }
    }
}

fn key_of(framework: &FrameworkId, task: &TaskId, attempt: Attempt) -> TaskKey {
    TaskKey { framework: framework.clone(), task: task.clone(), attempt }
}
