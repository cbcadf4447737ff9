//! Where a task is or was: whom to ask for what it wrote, and who may ask; who is an agent.

use crate::{agents::Agent, input::ConnectionId, master::Master, tasks::Stage};
use skep_protocol::{AgentId, FrameworkId, Rejection, TaskKey, Usage};

/// Where a task's output is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The connection of its agent, if there is one now.
    pub connection: Option<ConnectionId>,
    /// The agent, if it was declared gone.
    pub gone: Option<AgentId>,
    /// How many bytes the task wrote to stdout and stderr, once that is known.
    pub wrote: Option<(u64, u64)>,
    /// Who owns its framework; none once the framework is removed, and then only operators may
    /// look.
    pub principal: Option<String>,
}

impl Master {
    /// Whether an agent's identity holds: it was admitted, and not declared gone.
    pub fn admits(&self, agent: &AgentId) -> bool {
        self.durable.agents.contains_key(agent) && !self.durable.is_gone(agent)
    }

    /// Where what tasks of a framework wrote on an agent is. Asks for no task by name: also a
    /// master that was started anew knows it as soon as the agent is back, and one that remembers
    /// some ended tasks only knows it of all.
    ///
    /// # Errors
    /// Why it is not there for good.
    pub fn home_on(&self, agent: &AgentId, framework: &FrameworkId) -> Result<Home, Rejection> {
        if self.durable.is_gone(agent) {
            return Err(Rejection::AgentGone { agent: agent.clone() });
        }
        if !self.durable.agents.contains_key(agent) {
            return Err(Rejection::UnknownAgent { agent: agent.clone() });
        }
        Ok(Home {
            connection: self.agents.get(agent).and_then(Agent::connection),
            gone: None,
            wrote: None,
            principal: self.durable.frameworks.get(framework).map(|f| f.principal.clone()),
        })
    }

    /// Where a task is that runs or that is remembered.
    pub fn home_of(&self, key: &TaskKey) -> Option<Home> {
        let live = self.tasks.get(key).map(|task| (&task.agent, usage_of(&task.stage)));
        let ended = || self.tasks.history.get(key).map(|ended| (&ended.agent, ended.usage));
        let (agent, usage) = live.or_else(ended)?;
        Some(Home {
            gone: self.durable.is_gone(agent).then(|| agent.clone()),
            wrote: usage.map(|usage| (usage.stdout_bytes, usage.stderr_bytes)),
            connection: self.agents.get(agent).and_then(Agent::connection),
            principal: self.durable.frameworks.get(&key.framework).map(|f| f.principal.clone()),
        })
    }
}

const fn usage_of(stage: &Stage) -> Option<Usage> {
    match stage {
        Stage::Ended { usage, .. } => *usage,
        _ => None,
    }
}
