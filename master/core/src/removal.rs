//! How a framework goes for good: by its own word, by an operator's, or because it has stayed away
//! for longer than its failover time-out.
//!
//! Always holds: what is removed is gone from the disk before anybody is told so, its tasks end on
//! agents that are away as soon as those are back, and its id is not used again.

use crate::{
    frameworks::Framework,
    hosting::{SUPERVISOR, host_of},
    input::ConnectionId,
    master::Master,
    record::Record,
    tasks::{Report, Stage},
    timers::Timer,
};
use skep_protocol::{
    AgentId, FrameworkId, Outcome, Rejection, TaskId, TaskKey, agent::ToAgent, framework::Event,
    outcome::KilledBy,
};
use std::collections::BTreeSet;

/// So many ids of frameworks of one name are told to who has to choose.
const NAMESAKES_SHOWN_MAX: usize = 20;

impl Master {
    /// It wants to go. That the master hangs up says that it is gone for good: the record stands
    /// before that.
    pub(crate) fn tear_down(&mut self, connection: ConnectionId, framework: &FrameworkId) {
        self.remove_framework(framework);
        self.replace(connection);
    }

    /// An operator wants it gone, whatever it is. Its scheduler, where it is a task of the cluster,
    /// ends with it, and cannot come back as another framework meanwhile.
    pub(crate) fn dismiss(&mut self, named: &str) -> Result<(), Rejection> {
        let framework = self.find_framework(named)?;
        let Some(known) = self.durable.frameworks.get(&framework) else {
            return Err(Rejection::UnknownFramework { framework });
        };
        if known.principal == SUPERVISOR {
            let what = "removing the supervisor, which stands beside every master: name one of \
                        the frameworks that it hosts";
            return Err(Rejection::NotAllowed { what: what.into() });
        }
        let host = host_of(&known.principal);
        let connection = self.frameworks.get(&framework).and_then(Framework::connection);
        self.remove_framework(&framework);
        if let Some(connection) = connection {
            let rejection = Rejection::UnknownFramework { framework };
            self.send_framework(connection, Event::Refused { rejection });
            self.replace(connection);
        }
        if let Some((supervisor, task)) = host {
            self.end_host(&supervisor, &task);
        }
        Ok(())
    }

    /// Ends the task that is a framework's scheduler, in whatever attempt.
    fn end_host(&mut self, supervisor: &FrameworkId, task: &TaskId) {
        let live = self.tasks.newest(supervisor, task);
        let live = live.filter(|(_, task)| !task.stage.is_ended() && !task.is_condemned());
        let attempt = live.map(|(attempt, _)| attempt);
        let granted = self.durable.hosts.get(supervisor).and_then(|hosts| hosts.get(task));
        if let Some(attempt) = granted.copied() {
            let (framework, task) = (supervisor.clone(), task.clone());
            self.revoke_speech(&TaskKey { framework, task, attempt });
        }
        if let Some(attempt) = attempt {
            let (framework, task) = (supervisor.clone(), task.clone());
            self.order_end(&TaskKey { framework, task, attempt }, KilledBy::Operator);
        }
    }

    /// The framework of this id, or the only one of this name.
    pub(crate) fn find_framework(&self, named: &str) -> Result<FrameworkId, Rejection> {
        let known = &self.durable.frameworks;
        if let Some((id, _)) = known.iter().find(|(id, _)| id.as_str() == named) {
            return Ok(id.clone());
        }
        let meant = known.iter().filter(|(_, known)| known.info.name == named);
        let meant: Vec<&FrameworkId> = meant.map(|(id, _)| id).collect();
        let why = match meant.as_slice() {
            [one] => return Ok((*one).clone()),
            [] => format!("there is no framework {named}: see `skep framework list`"),
            several => {
                let ids: Vec<&str> =
                    several.iter().take(NAMESAKES_SHOWN_MAX).map(|id| id.as_str()).collect();
                let rest = match several.len() - ids.len() {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let (count, ids) = (several.len(), ids.join(", "));
                format!("{count} frameworks are called {named}: give the id of one: {ids}{rest}")
            }
        };
        Err(Rejection::invalid("framework", why))
    }

    /// Its failover time-out is over, or it wants to go: its tasks end, its id is not used again.
    pub(crate) fn remove_framework(&mut self, framework: &FrameworkId) {
        self.timers.clear(&Timer::Framework(framework.clone()));
        self.void_offers_of(framework);
        self.forget_asked_of(framework);
        self.persist(Record::FrameworkRemoved { framework: framework.clone() });
        let mut agents: BTreeSet<AgentId> = BTreeSet::new();
        for key in self.tasks.keys_of(framework) {
            agents.extend(self.tasks.get(&key).map(|task| task.agent.clone()));
            let outcome = Outcome::Killed { by: KilledBy::FrameworkRemoved };
            let report = Report::Master;
            self.advance_task(&key, Stage::Ended { outcome, usage: None, report });
            self.forget_task(&key);
        }
        // Agents that are not there are told when they bring a task of it along.
        for agent in agents {
            self.order_agent(&agent, ToAgent::RemoveFramework { framework: framework.clone() });
        }
        self.forget_checkpoints_of(framework);
        self.forget_state_of(framework);
        self.revoke_speech_of(framework);
        self.refuse_inquiries_of(framework);
        self.frameworks.remove(framework);
        self.ledger.shares.remove_framework(framework);
    }
}
