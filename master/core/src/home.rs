//! Where a task is or was: whom to ask for what it wrote, and who may ask; who is an agent.

use crate::{agents::Agent, input::ConnectionId, master::Master};
use skep_protocol::{AgentId, TaskKey};

/// Where a task's output is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The connection of its agent, if there is one now.
    pub connection: Option<ConnectionId>,
    /// Who owns its framework; none once the framework is removed, and then only operators may
    /// look.
    pub principal: Option<String>,
}

impl Master {
    /// Whether an agent's identity holds: it was admitted, and not declared gone.
    pub fn admits(&self, agent: &AgentId) -> bool {
        self.durable.agents.contains_key(agent) && !self.durable.is_gone(agent)
    }

    /// Where a task is that runs or that is remembered.
    pub fn home_of(&self, key: &TaskKey) -> Option<Home> {
        let live = self.tasks.get(key).map(|task| &task.agent);
        let agent = live.or_else(|| self.tasks.history.get(key).map(|ended| &ended.agent))?;
        Some(Home {
            connection: self.agents.get(agent).and_then(Agent::connection),
            principal: self.durable.frameworks.get(&key.framework).map(|f| f.principal.clone()),
        })
    }
}
