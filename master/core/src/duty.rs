//! What an agent is still good for, by its operator's word.
//!
//! ```text
//!           deactivate               drain                  its last task has ended
//! active ---------------> deactivated -----> draining -----------------------------> drained
//!    ^                         |                |                                       |
//!    +-------------------------+----- activate -+---------------------------------------+
//!    +-- gone, from anywhere: for good
//! ```
//! Always holds: what was ordered is durable before it is answered, an order that is repeated
//! changes nothing, and only an agent without orders has offers out. Deliberately absent: whether
//! a draining agent is empty is no record; it follows from the tasks that it has.

use crate::{
    agents::Agent,
    master::Master,
    record::{Duty, Record},
    tasks::{Fate, Phase},
    timers::Timer,
};
use skep_allocator::Presence;
use skep_protocol::{
    AgentId, Rejection, TaskKey, Time,
    agent::ToAgent,
    operator::Leftover,
    outcome::{KilledBy, LostBy},
};
use std::time::Duration;

/// What an agent is to do at a moment, all orders taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stance {
    Offered,
    /// Its tasks go on.
    Closed,
    /// Those of its tasks that still run end then; queued ones end now.
    Emptied {
        due: Time,
    },
    Gone,
}

impl Master {
    pub(crate) fn stance(&self, agent: &AgentId) -> Stance {
        let maintenance = self.durable.maintenance.get(agent);
        let maintenance = maintenance.filter(|m| m.from <= self.now && self.now < m.until());
        match (self.durable.duties.get(agent), maintenance) {
            (Some(Duty::Gone), _) => Stance::Gone,
            (Some(Duty::Drained { due }), Some(m)) if m.tasks == Leftover::Ended => {
                Stance::Emptied { due: (*due).min(m.from) }
            }
            (Some(Duty::Drained { due }), _) => Stance::Emptied { due: *due },
            (_, Some(m)) if m.tasks == Leftover::Ended => Stance::Emptied { due: m.from },
            (Some(Duty::Deactivated), _) | (_, Some(_)) => Stance::Closed,
            (None, None) => Stance::Offered,
        }
    }

    pub(crate) fn is_offered(&self, agent: &AgentId) -> bool {
        self.stance(agent) == Stance::Offered
    }

    /// The agents that are connected.
    pub(crate) fn connected(&self) -> impl Iterator<Item = &AgentId> {
        self.agents.iter().filter(|(_, agent)| agent.connection().is_some()).map(|(id, _)| id)
    }

    /// Brings an agent in line with its orders: after one, after it has come, when time is up.
    pub(crate) fn enforce_duty(&mut self, id: &AgentId) {
        let Some(agent) = self.agents.get(id) else { return };
        let is_connected = agent.connection().is_some();
        let stance = match self.stance(id) {
            Stance::Offered if self.is_crowded(id) => Stance::Closed,
            stance => stance,
        };
        if stance != Stance::Offered {
            self.rescind_offers_of(id);
        }
        let presence = self.ledger.shares.agent(id).map(|agent| agent.presence);
        match (stance, presence) {
            (Stance::Offered, Some(Presence::Closed)) if is_connected => {
                self.ledger.shares.open(id);
            }
            (Stance::Closed | Stance::Emptied { .. } | Stance::Gone, Some(Presence::Open)) => {
                self.ledger.shares.close(id);
            }
            _ => {}
        }
        if let Stance::Emptied { due } = stance {
            if due > self.now {
                self.timers.set(Timer::Drain(id.clone()), due);
            }
            self.end_tasks_on(id, due);
        }
        self.ask_back(id);
    }

    /// Ends the tasks of an agent, those that have begun only when they are due.
    fn end_tasks_on(&mut self, id: &AgentId, due: Time) {
        let keys = self.agents.get(id).map(|agent| agent.tasks.clone()).unwrap_or_default();
        let is_to_end = |key: &TaskKey| {
            self.tasks.get(key).is_some_and(|task| match task.stage.phase() {
                Phase::Waiting => task.fate == Fate::Wanted,
                Phase::Active => task.fate == Fate::Wanted && due <= self.now,
                Phase::Over => false,
            })
        };
        for key in keys.into_iter().filter(is_to_end).collect::<Vec<_>>() {
            self.order_end(&key, KilledBy::AgentDrained);
        }
    }

    /// Refuses to order anything of an agent that is unknown or gone.
    pub(crate) fn check_agent(&self, agent: &AgentId) -> Result<(), Rejection> {
        if !self.durable.agents.contains_key(agent) {
            return Err(Rejection::UnknownAgent { agent: agent.clone() });
        }
        if self.durable.is_gone(agent) {
            return Err(Rejection::AgentGone { agent: agent.clone() });
        }
        Ok(())
    }

    pub(crate) fn deactivate(&mut self, agent: &AgentId) -> Result<(), Rejection> {
        self.check_agent(agent)?;
        // One that is drained is deactivated, too.
        if !self.durable.duties.contains_key(agent) {
            self.set_duty(agent, Duty::Deactivated);
        }
        Ok(())
    }

    pub(crate) fn drain(&mut self, agent: &AgentId, grace: Duration) -> Result<(), Rejection> {
        self.check_agent(agent)?;
        let due = self.now + grace;
        match self.durable.duties.get(agent) {
            // Repeated, the order prolongs nothing.
            Some(Duty::Drained { due: before }) if *before <= due => {}
            _ => {
                self.forget_asked(agent);
                self.set_duty(agent, Duty::Drained { due });
            }
        }
        Ok(())
    }

    pub(crate) fn activate(&mut self, agent: &AgentId) -> Result<(), Rejection> {
        self.check_agent(agent)?;
        if self.durable.duties.contains_key(agent) {
            self.persist(Record::DutyCleared { agent: agent.clone() });
            self.timers.clear(&Timer::Drain(agent.clone()));
            self.forget_asked(agent);
            self.enforce_duty(agent);
        }
        Ok(())
    }

    fn set_duty(&mut self, agent: &AgentId, duty: Duty) {
        self.persist(Record::DutySet { agent: agent.clone(), duty });
        self.enforce_duty(agent);
    }

    /// It never comes back: whatever it had to do and to keep is over.
    pub(crate) fn declare_gone(&mut self, id: &AgentId) -> Result<(), Rejection> {
        if self.durable.is_gone(id) {
            return Ok(());
        }
        self.check_agent(id)?;
        self.persist(Record::DutySet { agent: id.clone(), duty: Duty::Gone });
        self.forget_asked(id);
        self.let_go_of_keepings(id);
        for timer in [Timer::Drain(id.clone()), Timer::Maintenance(id.clone())] {
            self.timers.clear(&timer);
        }
        if let Some(connection) = self.agents.get(id).and_then(Agent::connection) {
            let rejection = Rejection::AgentGone { agent: id.clone() };
            self.send_agent(connection, ToAgent::Refused { rejection });
            self.hang_up(connection);
        }
        self.timers.clear(&Timer::Agent(id.clone()));
        self.ledger.shares.part(id);
        self.lose_agent(id, LostBy::AgentGone);
        if self.expected.remove(id) && self.expected.is_empty() {
            self.answer_questions();
        }
        Ok(())
    }

    /// What was planned for a gone agent, reserved on it and stored there.
    fn let_go_of_keepings(&mut self, id: &AgentId) {
        let agent = || id.clone();
        if self.durable.maintenance.contains_key(id) {
            self.persist(Record::MaintenanceCleared { agent: agent() });
        }
        for role in self.durable.reservations_on(id).into_keys() {
            self.persist(Record::Unreserved { agent: agent(), role });
        }
        let names = self.durable.volumes_on(id).map(|volume| volume.name.clone());
        for name in names.collect::<Vec<_>>() {
            self.persist(Record::VolumeRemoved { agent: agent(), name });
        }
    }

    /// The word for people.
    pub(crate) fn duty_name(&self, id: &AgentId) -> &'static str {
        let is_empty = || match self.agents.get(id) {
            Some(agent) => agent.tasks.is_empty(),
            // One that may still come back may bring tasks along.
            None => !self.expected.contains(id),
        };
        match (self.durable.duties.get(id), self.stance(id)) {
            (Some(Duty::Gone), _) => "gone",
            (Some(Duty::Drained { .. }), _) if is_empty() => "drained",
            (Some(Duty::Drained { .. }), _) => "draining",
            (Some(Duty::Deactivated), _) => "deactivated",
            (None, Stance::Offered) => "active",
            (None, _) => "maintenance",
        }
    }
}
