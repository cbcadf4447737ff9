//! What a framework asks about its tasks, and what it orders of them.
//!
//! The answers to a reconciliation, in this order, as in Mesos:
//!
//! 1. a live task: its latest state; the update that tells its end, if that is not acknowledged;
//! 2. a task that has ended and is remembered: how it ended;
//! 3. an unknown task, or one of which only earlier attempts are known, while agents that were
//!    there before a restart of the master are still missing: nothing yet, for one of them may
//!    bring it. Mesos would have the framework ask again; here the question is kept, and a kill
//!    is carried out when the task turns up;
//! 4. else: lost, nobody knows it.
//!
//! Answers carry `seq` 0 and need no acknowledgement, except the update of 1. In Mesos any update
//! that is not acknowledged is one; but one that a framework has had before tells it nothing, even
//! if it has heard since that the agent was out of reach. A kill names no
//! attempt: if nobody knows the task, the answer carries [`EVERY_ATTEMPT`].

use crate::{
    frameworks::{Question, Wish},
    master::Master,
    tasks::{Fate, Report, Stage},
};
use skep_protocol::{
    AgentId, Attempt, FrameworkId, Outcome, StatusUpdate, TaskId, TaskKey, TaskState,
    agent::ToAgent,
    outcome::{KilledBy, LostBy},
};

/// The attempt in an answer about a task of which no attempt is known.
const EVERY_ATTEMPT: Attempt = Attempt(u32::MAX);
/// The attempt in a question about a task, whichever attempt is known.
const ANY_ATTEMPT: Attempt = Attempt(0);

/// Questions of one framework that are kept until all agents are back; more are to be asked again.
const QUESTIONS_MAX: usize = 20_000;

impl Master {
    pub(crate) fn reconcile(&mut self, framework: &FrameworkId, tasks: &[(TaskId, Attempt)]) {
        let mut answers = Vec::new();
        if tasks.is_empty() {
            let keys = self.tasks.keys_of(framework);
            answers.extend(keys.iter().filter_map(|key| self.stand_of(key)));
        }
        for (task, attempt) in tasks {
            let question = Question { attempt: *attempt, wish: Wish::State };
            answers.extend(self.about(framework, task, question));
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
                let question = Question { attempt: ANY_ATTEMPT, wish: Wish::End };
                let answer = self.about(framework, task, question);
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
        let is_meant = |attempt| attempt >= question.attempt;
        let live = self.tasks.newest(framework, task).map(|(attempt, _)| attempt);
        if let Some(attempt) = live.filter(|attempt| is_meant(*attempt)) {
            return self.stand_of(&key_of(framework, task, attempt));
        }
        let ended = self.tasks.history.newest(framework, task);
        if let Some((key, ended)) = ended.filter(|(key, _)| is_meant(key.attempt)) {
            let state = TaskState::Ended(ended.outcome.clone());
            let word = self.word(key, Some(&ended.agent), state);
            return Some(StatusUpdate { usage: ended.usage, ..word });
        }
        if self.expected.is_empty() {
            return Some(self.about_unknown(framework, task, question));
        }
        let questions = &mut self.frameworks.get_mut(framework)?.questions;
        if questions.len() < QUESTIONS_MAX {
            let asked = questions.entry(task.clone()).or_insert(question);
            asked.attempt = asked.attempt.max(question.attempt);
            asked.wish = asked.wish.max(question.wish);
        }
        None
    }

    fn about_unknown(
        &self,
        framework: &FrameworkId,
        task: &TaskId,
        question: Question,
    ) -> StatusUpdate {
        let attempt = match question.attempt {
            ANY_ATTEMPT => EVERY_ATTEMPT,
            asked => asked,
        };
        let lost = TaskState::Ended(Outcome::Lost { why: LostBy::Unknown });
        self.word(&key_of(framework, task, attempt), None, lost)
    }

    /// Where a live task stands, in words that a framework has not had before.
    fn stand_of(&self, key: &TaskKey) -> Option<StatusUpdate> {
        let latest = self.about_live(key)?;
        if latest.state.is_terminal() {
            return Some(latest);
        }
        Some(self.word(key, latest.agent.as_ref(), latest.state))
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
            for (task, question) in questions.unwrap_or_default() {
                answers.push(self.about_unknown(&framework, &task, question));
            }
        }
        self.tell_updates(answers);
    }

    /// An agent has brought a task: what was asked about this attempt is answered by that, and a
    /// kill is now due.
    pub(crate) fn resolve_question(&mut self, key: &TaskKey) -> Fate {
        let known = self.frameworks.get_mut(&key.framework);
        let Some(questions) = known.map(|known| &mut known.questions) else { return Fate::Wanted };
        let Some(Question { attempt, wish }) = questions.get(&key.task).copied() else {
            return Fate::Wanted;
        };
        if key.attempt >= attempt {
            questions.remove(&key.task);
        }
        match wish {
            Wish::End => Fate::ToEnd(KilledBy::Framework),
            Wish::State => Fate::Wanted,
        }
    }
}

fn key_of(framework: &FrameworkId, task: &TaskId, attempt: Attempt) -> TaskKey {
    TaskKey { framework: framework.clone(), task: task.clone(), attempt }
}
