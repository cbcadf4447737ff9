//! Frameworks that are tasks of the cluster themselves: which task may speak, and as whom.
//!
//! Always holds: a task speaks only as the one framework that is its own, whatever its attempt;
//! only the attempt that was launched last may, and only through the agent that runs it. What an
//! older attempt still says is refused, wherever it runs on.

use crate::{input::ConnectionId, master::Master, record::Record, tasks::Task};
use skep_protocol::{
    AgentId, Attempt, FrameworkId, Rejection, TaskId, TaskKey, TaskSpec, framework::Call,
};

/// Whose framework the supervisor is: the certificate that each master makes for its own.
pub(crate) const SUPERVISOR: &str = "framework/supervisor";

/// Whose frameworks are: `task/<framework>/<task>` for one that is a task.
pub(crate) fn principal_of(framework: &FrameworkId, task: &TaskId) -> String {
    format!("task/{framework}/{task}")
}

/// Whose task the scheduler of a framework is, and which, by the framework's principal.
pub(crate) fn host_of(principal: &str) -> Option<(FrameworkId, TaskId)> {
    let (framework, task) = principal.strip_prefix("task/")?.split_once('/')?;
    Some((framework.parse().ok()?, task.parse().ok()?))
}

impl Master {
    /// Whether a task that runs on this agent may speak as a framework.
    ///
    /// # Errors
    /// A rejection that says what is missing.
    pub fn may_speak(&self, agent: &AgentId, key: &TaskKey) -> Result<(), Rejection> {
        let TaskKey { framework, task, attempt } = key;
        let hosts = self.durable.hosts.get(framework);
        if hosts.and_then(|hosts| hosts.get(task)) != Some(attempt) {
            let what = format!("speaking as a framework from {key}: the grant is another's");
            return Err(Rejection::NotAllowed { what });
        }
        let is_there =
            |task: &&Task| task.agent == *agent && !task.is_condemned() && !task.stage.is_ended();
        match self.tasks.get(key).filter(is_there) {
            Some(_) => Ok(()),
            None => Err(Rejection::UnknownTask { task: key.to_string() }),
        }
    }

    pub(crate) fn on_hosted(
        &mut self,
        connection: ConnectionId,
        agent: &AgentId,
        key: &TaskKey,
        call: Call,
    ) {
        match self.may_speak(agent, key) {
            Ok(()) => {
                let principal = principal_of(&key.framework, &key.task);
                self.on_framework(connection, principal, call);
            }
            Err(rejection) if !self.is_hung_up(connection) => {
                self.refuse_framework(connection, rejection);
            }
            Err(_) => {}
        }
    }

    /// The framework of somebody who has just one: of a task that was it before, in this attempt or
    /// an earlier one; of the supervisor of hosted schedulers, whichever master it stands beside.
    pub(crate) fn only_framework_of(&self, principal: &str) -> Option<FrameworkId> {
        if !principal.starts_with("task/") && principal != SUPERVISOR {
            return None;
        }
        let mut own =
            self.durable.frameworks.iter().filter(|(_, known)| known.principal == principal);
        own.next().map(|(id, _)| id.clone())
    }

    /// A task was launched that may speak; an earlier attempt of it may not any more.
    pub(crate) fn grant_speech(&mut self, framework: &FrameworkId, spec: &TaskSpec) {
        if spec.grants.framework {
            let (framework, task, attempt) = (framework.clone(), spec.task.clone(), spec.attempt);
            self.persist(Record::SpeechGranted { key: TaskKey { framework, task, attempt } });
        }
    }

    /// An attempt is forgotten; a later one may have been launched meanwhile.
    pub(crate) fn revoke_speech(&mut self, key: &TaskKey) {
        let hosts = self.durable.hosts.get(&key.framework);
        if hosts.and_then(|hosts| hosts.get(&key.task)) == Some(&key.attempt) {
            self.persist(Record::SpeechRevoked { key: key.clone() });
        }
    }

    pub(crate) fn revoke_speech_of(&mut self, framework: &FrameworkId) {
        let own = self.durable.hosts.get(framework).into_iter().flatten();
        let key = |(task, attempt): (&TaskId, &Attempt)| TaskKey {
            framework: framework.clone(),
            task: task.clone(),
            attempt: *attempt,
        };
        for key in own.map(key).collect::<Vec<_>>() {
            self.persist(Record::SpeechRevoked { key });
        }
    }
}
