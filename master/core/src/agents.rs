//! Agents: registering, being heard, falling silent, being lost.
//!
//! ```text
//!             connection breaks          unreachable_after           lost_after
//! Connected ---------------------> Away ------------------> Unreachable ------> Lost
//!     ^       or no sound beat       |   its tasks become        |  its tasks    |
//!     |                              |   unreachable             |  are lost     |
//!     +------------------------------+---------------------------+---------------+
//!                                   it registers again
//! ```
//! A task may say for itself how long it counts as unreachable before it counts as lost.
//! Always holds: only a connected agent has offers out, and its connection is known as its own.

use crate::{
    input::ConnectionId,
    master::{Master, Peer},
    over::Over,
    tasks::Tally,
    timers::Timer,
};
use skep_protocol::{
    AgentId, Incarnation, OfferId, Rejection, TaskKey, TaskState, Time,
    agent::{AgentInfo, Registration, ToAgent},
    outcome::LostBy,
};
use std::{collections::BTreeSet, time::Duration};

/// An agent that has registered in this run of the master.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) standing: Standing,
    /// The newest that has registered.
    pub(crate) incarnation: Incarnation,
    run: u64,
    /// The newest of this run that has registered.
    connection: u64,
    pub(crate) info: AgentInfo,
    /// Those that are out.
    pub(crate) offers: BTreeSet<OfferId>,
    /// Its live tasks, ended ones included until their end is acknowledged.
    pub(crate) tasks: BTreeSet<TaskKey>,
    /// Those of them that have not ended.
    pub(crate) tally: Tally,
    pub(crate) over: Over,
    /// Whether it has as many tasks as it may, or had until a moment ago.
    pub(crate) is_crowded: bool,
}

/// Whether an agent is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Connected {
        connection: ConnectionId,
    },
    /// For a moment, it seems.
    Away {
        since: Time,
    },
    /// Its tasks may well go on.
    Unreachable {
        since: Time,
    },
    /// Its tasks are over, as far as their frameworks know.
    Lost,
}

impl Agent {
    pub(crate) const fn connection(&self) -> Option<ConnectionId> {
        match self.standing {
            Standing::Connected { connection } => Some(connection),
            _ => None,
        }
    }

    pub(crate) const fn is_out_of_reach(&self) -> bool {
        matches!(self.standing, Standing::Unreachable { .. } | Standing::Lost)
    }
}

impl Master {
    pub(crate) fn register(
        &mut self,
        connection: ConnectionId,
        id: &AgentId,
        registration: Registration,
    ) {
        let Registration { incarnation, run, connection: number, info, tasks, volumes } =
            registration;
        if self.is_late_registration(id, incarnation, run, number) {
            return self.hang_up(connection);
        }
        if let Err(rejection) = self.check_registration(id, incarnation, run) {
            self.send_agent(connection, ToAgent::Refused { rejection });
            return self.hang_up(connection);
        }
        let before = self.agents.get(id).map(|agent| agent.standing);
        match before {
            Some(Standing::Connected { connection: old }) if old != connection => {
                self.replace(old);
            }
            _ => {}
        }
        self.rescind_offers_of(id);
        self.connections.insert(connection, Peer::Agent(id.clone()));
        let standing = Standing::Connected { connection };
        let reserved = self.durable.reservations_on(id);
        self.ledger.open(id, &info, &reserved, self.durable.volumes_on(id));
        if let Some(agent) = self.agents.get_mut(id) {
            (agent.standing, agent.incarnation, agent.run) = (standing, incarnation, run);
            (agent.connection, agent.info) = (number, info);
        } else {
            let (offers, tasks, tally, over) = Default::default();
            let agent = Agent {
                standing,
                incarnation,
                run,
                connection: number,
                info,
                offers,
                tasks,
                tally,
                over,
                is_crowded: false,
            };
            self.agents.insert(id.clone(), agent);
        }
        self.expect_beat(id);
        self.send_agent(connection, ToAgent::Registered { agent: id.clone() });
        if !volumes.is_empty() || self.durable.volumes.contains_key(id) {
            self.send_volumes(id);
        }
        self.come_home(id, connection, tasks, before);
        self.enforce_duty(id);
        if self.expected.remove(id) && self.expected.is_empty() {
            self.answer_questions();
        }
    }

    /// Whether the agent has since registered on a newer connection. What it said on this one it
    /// no longer means: tasks that it lacked then it may have by now.
    fn is_late_registration(
        &self,
        id: &AgentId,
        incarnation: Incarnation,
        run: u64,
        number: u64,
    ) -> bool {
        self.agents.get(id).is_some_and(|known| {
            (known.incarnation, known.run) == (incarnation, run) && number < known.connection
        })
    }

    fn check_registration(
        &self,
        id: &AgentId,
        incarnation: Incarnation,
        run: u64,
    ) -> Result<(), Rejection> {
        if !self.durable.agents.contains_key(id) {
            let what = format!("agent {id} is not admitted: join with a token of this cluster");
            return Err(Rejection::NotAllowed { what });
        }
        if self.durable.is_gone(id) {
            return Err(Rejection::AgentGone { agent: id.clone() });
        }
        let Some(known) = self.agents.get(id) else { return Ok(()) };
        let agent = id.clone();
        if incarnation < known.incarnation {
            return Err(Rejection::StaleIncarnation { agent, newest: known.incarnation });
        }
        let is_twin = incarnation == known.incarnation && run != known.run;
        if is_twin && known.connection().is_some() {
            return Err(Rejection::DuplicateAgent { agent });
        }
        Ok(())
    }

    /// The agent's loop is alive. If its disk is not, the beat does not count: an agent that
    /// cannot record a task must not be given one.
    pub(crate) fn beat(&mut self, id: &AgentId, unsaved_millis: u64, acknowledged: u64) {
        if let Some(agent) = self.agents.get_mut(id) {
            agent.over.carried_out(acknowledged);
        }
        if Duration::from_millis(unsaved_millis) <= self.policy.unsaved_max {
            self.expect_beat(id);
        }
    }

    fn expect_beat(&mut self, id: &AgentId) {
        self.timers.set(Timer::Agent(id.clone()), self.now + self.policy.beat_silence_max);
    }

    /// Its connection is no longer known as its own when this is called.
    pub(crate) fn agent_disconnected(&mut self, id: &AgentId) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.standing = Standing::Away { since: self.now };
        self.rescind_offers_of(id);
        self.ledger.shares.close(id);
        self.timers.set(Timer::Agent(id.clone()), self.now + self.policy.unreachable_after);
    }

    pub(crate) fn agent_timer(&mut self, id: &AgentId) {
        let Some(agent) = self.agents.get(id) else { return };
        match agent.standing {
            Standing::Connected { connection } => self.hang_up(connection),
            Standing::Away { since } => self.agent_unreachable(id, since),
            Standing::Unreachable { since } => self.lose_overdue(id, since),
            Standing::Lost => {}
        }
    }

    fn agent_unreachable(&mut self, id: &AgentId, since: Time) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.standing = Standing::Unreachable { since };
        let keys: Vec<TaskKey> = agent.tasks.iter().cloned().collect();
        self.ledger.shares.part(id);
        let mut words = Vec::new();
        for key in keys {
            if self.tasks.get(&key).is_some_and(|t| !t.stage.is_ended() && !t.is_condemned()) {
                words.push(self.word(&key, Some(id), TaskState::Unreachable));
            }
        }
        self.tell_updates(words);
        self.lose_overdue(id, since);
    }

    /// Loses those tasks of an unreachable agent whose time is over; when that is all of them, and
    /// its own time is over, too, the agent.
    fn lose_overdue(&mut self, id: &AgentId, since: Time) {
        let Some(agent) = self.agents.get(id) else { return };
        let own_due = since + self.policy.lost_after;
        let due = |key: &TaskKey| {
            let said = self.tasks.get(key).and_then(|task| task.lost_after);
            (said.map_or(own_due, |said| since + said), key.clone())
        };
        let dues: BTreeSet<(Time, TaskKey)> = agent.tasks.iter().map(due).collect();
        let later = dues.iter().map(|(due, _)| *due).filter(|due| *due > self.now);
        let next = later.chain((own_due > self.now).then_some(own_due)).min();
        let Some(next) = next else { return self.lose_agent(id, LostBy::AgentLost) };
        let over = dues.into_iter().take_while(|(due, _)| *due <= self.now);
        let mut words = Vec::new();
        for (_, key) in over.collect::<Vec<_>>() {
            words.extend(self.lose_task(&key, LostBy::AgentLost));
        }
        self.timers.set(Timer::Agent(id.clone()), next);
        self.tell_updates(words);
    }

    /// Its tasks are over, as far as their frameworks know.
    pub(crate) fn lose_agent(&mut self, id: &AgentId, why: LostBy) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.standing = Standing::Lost;
        let keys: Vec<TaskKey> = agent.tasks.iter().cloned().collect();
        let mut words = Vec::new();
        for key in keys {
            words.extend(self.lose_task(&key, why));
        }
        self.tell_updates(words);
    }
}
