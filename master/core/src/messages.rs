//! Messages between tasks and their frameworks, on their way through the master.
//!
//! Always holds: nothing is kept of them. A framework's goes to the agent of the attempt that runs,
//! or its framework hears why not; a task's goes to its framework if it is there, and an agent
//! speaks only for the tasks that live on it.

use crate::{input::ConnectionId, master::Master, tasks::Stage};
use skep_protocol::{
    AgentId, Attempt, FrameworkId, Rejection, TaskId, TaskKey, agent::ToAgent, framework::Event,
    outcome::TaskMessage,
};

impl Master {
    /// A framework sends something to one of its tasks.
    pub(crate) fn message(
        &mut self,
        connection: ConnectionId,
        framework: &FrameworkId,
        task: TaskId,
        attempt: Option<Attempt>,
        bytes: Vec<u8>,
    ) {
        match self.way_to(framework, &task, attempt) {
            Ok((agent, attempt)) => {
                let key = TaskKey { framework: framework.clone(), task, attempt };
                self.send_agent(agent, ToAgent::Message(TaskMessage { key, bytes }));
            }
            Err(why) => {
                let rejection = Rejection::Undelivered { task, why };
                self.send_framework(connection, Event::Refused { rejection });
            }
        }
    }

    /// The connection of the agent that runs a task, and the attempt that it runs; or why there is
    /// none.
    fn way_to(
        &self,
        framework: &FrameworkId,
        task: &TaskId,
        attempt: Option<Attempt>,
    ) -> Result<(ConnectionId, Attempt), String> {
        let newest = self.tasks.newest(framework, task);
        let (live, known) = newest.ok_or("it is not known, or has ended")?;
        if let Some(meant) = attempt.filter(|meant| *meant != live) {
            return Err(format!("it was for attempt {meant}, and the newest is {live}"));
        }
        match known.stage {
            Stage::Running | Stage::Paused => {}
            Stage::Ended { .. } => return Err("it has ended".into()),
            Stage::Sent { .. } | Stage::Queued | Stage::Starting => {
                return Err("it does not run yet: wait until it is RUNNING".into());
            }
        }
        let agent = self.agents.get(&known.agent);
        let connection = agent.and_then(|agent| agent.connection());
        let connection = connection.ok_or("its agent is not connected: send it again later")?;
        Ok((connection, live))
    }

    /// Tasks have sent something to their frameworks; whoever is not there misses it.
    pub(crate) fn sent(&mut self, agent: &AgentId, messages: Vec<TaskMessage>) {
        for message in messages {
            if self.lives_on(agent, &message.key) {
                let framework = message.key.framework.clone();
                self.tell(&framework, Event::Message(message));
            }
        }
    }

    /// Whether an agent may speak for a task.
    pub(crate) fn lives_on(&self, agent: &AgentId, key: &TaskKey) -> bool {
        let task = self.tasks.get(key).filter(|task| task.agent == *agent);
        task.is_some_and(|task| !task.is_condemned() && !task.stage.is_ended())
    }
}
