//! Agents that have as many tasks as they may, those included whose end is not acknowledged.
//!
//! What a framework has not collected is not forgotten: it stays with its agent, and counts there.
//! Where that meets the bound, launching slows: the agent is offered to nobody until some of it is
//! acknowledged. Always holds: a crowded agent has no offers out.

use crate::master::Master;
use skep_protocol::AgentId;

impl Master {
    /// An agent has a task more or less: whether it is offered may change with that.
    pub(crate) fn mind_crowd(&mut self, id: &AgentId) {
        let max = self.policy.agent_tasks_max;
        let Some(agent) = self.agents.get_mut(id) else { return };
        let is_crowded = match agent.is_crowded {
            // Not for one task at a time: each would cost an offer.
            true => agent.tasks.len() >= max - max / 8,
            false => agent.tasks.len() >= max,
        };
        if std::mem::replace(&mut agent.is_crowded, is_crowded) != is_crowded {
            self.crowds.insert(id.clone());
        }
    }

    /// Offers agents no more that have become crowded, and those again that are not any more.
    pub(crate) fn settle_crowds(&mut self) {
        while let Some(id) = self.crowds.pop_first() {
            self.enforce_duty(&id);
        }
    }

    pub(crate) fn is_crowded(&self, id: &AgentId) -> bool {
        self.agents.get(id).is_some_and(|agent| agent.is_crowded)
    }

    /// Says which agents are crowded, if any is, and with what.
    pub(crate) fn crowd_sentence(&self) -> Option<String> {
        let crowded = self.agents.values().filter(|agent| agent.is_crowded);
        let (mut agents, mut ended) = (0, 0);
        for agent in crowded {
            agents += 1;
            ended += agent.tasks.len() - agent.tally.sum();
        }
        let max = self.policy.agent_tasks_max;
        (agents > 0).then(|| {
            format!(
                "{agents} agents have as many tasks as they may, {max}: of these {ended} have \
                 ended, and their frameworks have not acknowledged it"
            )
        })
    }
}
