//! Frameworks: subscribing, failing over, going away for a while. How they go for good is in
//! `removal.rs`.
//!
//! Always holds: there is one [`Framework`] for each durable one, and only a connected framework
//! has offers out.

use crate::{
    input::ConnectionId,
    master::{Master, Peer},
    record::{KnownFramework, Link, Record},
    tasks::{Report, Stage, Tally},
    timers::Timer,
};
use skep_allocator::Constraints;
use skep_protocol::{
    AgentId, Attempt, FrameworkId, OfferId, Rejection, StatusUpdate, TaskId,
    agent::ToAgent,
    bounds::{ID_BYTES_MAX, ROLES_MAX},
    frames,
    framework::{Event, FrameworkInfo},
};
use std::collections::{BTreeMap, BTreeSet};

/// What of a framework is learnt again after a restart.
#[derive(Debug, Default)]
pub(crate) struct Framework {
    pub(crate) session: Session,
    /// Who has subscribed last.
    voice: Voice,
    /// Those that are out.
    pub(crate) offers: BTreeSet<OfferId>,
    /// Its tasks that have not ended.
    pub(crate) tally: Tally,
    /// About tasks that an agent may still bring; empty unless agents are expected.
    pub(crate) questions: BTreeMap<TaskId, Question>,
}

/// What a framework asked about a task that is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// The newest attempt that it asked about; an earlier one is no answer.
    pub(crate) attempt: Attempt,
    pub(crate) wish: Wish,
}

/// What a framework wants of a task that is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wish {
    /// To know where it stands.
    State,
    /// To have it ended, whatever state it is in.
    End,
}

/// Which process of a framework speaks, and on which of its connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Voice {
    /// A random number of the process; 0 if it did not say.
    pub(crate) run: u64,
    pub(crate) connection: u64,
}

impl Voice {
    const fn is_same_run(self, other: Self) -> bool {
        self.run != 0 && self.run == other.run
    }
}

/// Whether a framework is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Session {
    #[default]
    Disconnected,
    Connected(ConnectionId),
}

impl Framework {
    pub(crate) const fn connection(&self) -> Option<ConnectionId> {
        match self.session {
            Session::Connected(connection) => Some(connection),
            Session::Disconnected => None,
        }
    }
}

impl Master {
    /// The master has started: frameworks that were there count as gone from now on, so that
    /// restarts of the master do not prolong the life of one that never comes back.
    pub(crate) fn await_frameworks(&mut self) {
        for (id, known) in self.durable.frameworks.clone() {
            let since = match known.link {
                Link::Up => {
                    self.persist_disconnected(&id);
                    self.now
                }
                Link::Down { since } => since,
            };
            let timeout = known.info.failover_timeout;
            // Nobody could come back while the master itself was away.
            let chance = self.now + timeout.min(self.policy.return_grace);
            self.timers.set(Timer::Framework(id), chance.max(since + timeout));
        }
    }

    pub(crate) fn subscribe(
        &mut self,
        connection: ConnectionId,
        principal: String,
        id: Option<FrameworkId>,
        voice: Voice,
        info: FrameworkInfo,
    ) {
        // A first subscription whose answer was lost is made again: it is the same framework.
        let id = id
            .or_else(|| self.subscribed_before(&principal, voice))
            .or_else(|| self.only_framework_of(&principal));
        if self.is_late_subscription(id.as_ref(), voice) {
            return self.hang_up(connection);
        }
        if let Err(rejection) = self.check_subscription(id.as_ref(), &principal, &info) {
            return self.refuse_framework(connection, rejection);
        }
        let framework = match id {
            Some(framework) => {
                self.let_go_of_session(&framework, voice);
                framework
            }
            None => self.new_framework(&info),
        };
        self.connections.insert(connection, Peer::Framework(framework.clone()));
        if let Some(known) = self.frameworks.get_mut(&framework) {
            known.session = Session::Connected(connection);
            known.voice = voice;
        }
        self.timers.clear(&Timer::Framework(framework.clone()));
        let id = framework.clone();
        let wants = info.clone();
        let run = voice.run;
        self.persist(Record::FrameworkSubscribed { framework: id, info, principal, run });
        self.ledger.want(&framework, &wants);
        let state = self.state_of_framework(&framework);
        let subscribed = Event::Subscribed { framework: framework.clone(), state };
        self.send_framework(connection, subscribed);
        self.catch_up(&framework);
        self.ask_again(&framework);
    }

    /// The framework that this very process was before, if it was one.
    fn subscribed_before(&self, principal: &str, voice: Voice) -> Option<FrameworkId> {
        let known = self.durable.frameworks.iter();
        let mut same = known.filter(|(_, known)| {
            known.principal == principal && known.run == voice.run && voice.run != 0
        });
        same.next().map(|(id, _)| id.clone())
    }

    /// Whether the same process has since subscribed on a newer connection: the older one is given
    /// up, and must not be taken for an instance that takes over.
    fn is_late_subscription(&self, id: Option<&FrameworkId>, voice: Voice) -> bool {
        let known = id.and_then(|id| self.frameworks.get(id));
        known.is_some_and(|known| {
            known.voice.is_same_run(voice) && voice.connection < known.voice.connection
        })
    }

    fn check_subscription(
        &self,
        id: Option<&FrameworkId>,
        principal: &str,
        info: &FrameworkInfo,
    ) -> Result<(), Rejection> {
        if info.more_roles.len() > ROLES_MAX {
            let max = ROLES_MAX as u64;
            return Err(Rejection::TooMany { what: "roles of a framework".into(), max });
        }
        if info.name.len() > ID_BYTES_MAX {
            return Err(Rejection::invalid("info.name", "it must be 128 bytes at most"));
        }
        for wishes in info.wishes.values() {
            wishes.check()?;
            let compiled = Constraints::compile(&wishes.groups);
            compiled.map_err(|why| Rejection::invalid("info.wishes", why.to_string()))?;
        }
        let Some(framework) = id else {
            let max = self.policy.frameworks_max;
            let is_full = self.frameworks.len() >= max;
            let too_many = Rejection::TooMany { what: "frameworks".into(), max: max as u64 };
            return if is_full { Err(too_many) } else { Ok(()) };
        };
        let Some(known) = self.durable.frameworks.get(framework) else {
            return Err(Rejection::UnknownFramework { framework: framework.clone() });
        };
        if known.principal != principal {
            return Err(Rejection::NotYours { framework: framework.clone() });
        }
        if known.info.role != info.role {
            let why = format!(
                "framework {framework} is of role {}: its tasks are accounted there, so it stays",
                known.info.role
            );
            return Err(Rejection::invalid("info.role", why));
        }
        Ok(())
    }

    fn new_framework(&mut self, info: &FrameworkInfo) -> FrameworkId {
        let known = &self.frameworks;
        let framework = self.mint.framework(|id| known.contains_key(id));
        self.frameworks.insert(framework.clone(), Framework::default());
        self.ledger.add_framework(&framework, info);
        framework
    }

    /// A newer connection or a newer instance takes over: what the older one was offered is void.
    fn let_go_of_session(&mut self, framework: &FrameworkId, voice: Voice) {
        let Some(known) = self.frameworks.get(framework) else { return };
        if let Some(old) = known.connection() {
            if !known.voice.is_same_run(voice) {
                let rejection = Rejection::FailedOver { framework: framework.clone() };
                self.send_framework(old, Event::Refused { rejection });
            }
            self.replace(old);
            self.void_offers_of(framework);
        }
        self.forget_asked_of(framework);
        self.refuse_inquiries_of(framework);
        if let Some(known) = self.frameworks.get_mut(framework) {
            known.questions.clear();
        }
    }

    /// Tells a framework that has come back what it may have missed: the updates it has not
    /// acknowledged, and where each of its other tasks stands.
    fn catch_up(&mut self, framework: &FrameworkId) {
        let (mut updates, mut told) = (Vec::new(), Vec::new());
        for key in self.tasks.keys_of(framework) {
            let Some(task) = self.tasks.get(&key).filter(|task| !task.is_condemned()) else {
                continue;
            };
            updates.extend(task.unacknowledged.iter().cloned());
            let latest = self.about_live(&key);
            updates.extend(latest.filter(|word| Some(word) != task.unacknowledged.back()));
            if matches!(task.stage, Stage::Ended { report: Report::Master, .. }) {
                told.push(key);
            }
        }
        self.tell_updates(updates);
        for key in told {
            self.forget_task(&key);
        }
    }

    /// Its connection is no longer known as its own when this is called.
    pub(crate) fn framework_disconnected(&mut self, framework: &FrameworkId) {
        let Some(known) = self.frameworks.get_mut(framework) else { return };
        known.session = Session::Disconnected;
        known.questions.clear();
        self.void_offers_of(framework);
        self.forget_asked_of(framework);
        self.refuse_inquiries_of(framework);
        self.ledger.shares.deactivate(framework);
        self.persist_disconnected(framework);
        let Some(known) = self.durable.frameworks.get(framework) else { return };
        let end = self.now + known.info.failover_timeout;
        self.timers.set(Timer::Framework(framework.clone()), end);
    }

    fn persist_disconnected(&mut self, framework: &FrameworkId) {
        let Some(known) = self.durable.frameworks.get(framework).cloned() else { return };
        let KnownFramework { info, principal, run, .. } = known;
        let (framework, at) = (framework.clone(), self.now);
        self.persist(Record::FrameworkDisconnected { framework, info, principal, run, at });
    }

    /// Tells frameworks of updates, each of its own; those that are not there are told when they
    /// come back, or ask.
    pub(crate) fn tell_updates(&mut self, updates: Vec<StatusUpdate>) {
        let by_framework = crate::updates::by_framework(updates, |u| &u.key.framework);
        for (framework, updates) in by_framework {
            for updates in frames::cut(updates, frames::update_bytes) {
                self.tell(&framework, Event::StatusUpdates { updates });
            }
        }
    }

    pub(crate) fn tell(&mut self, framework: &FrameworkId, event: Event) {
        let known = self.frameworks.get(framework);
        if let Some(connection) = known.and_then(Framework::connection) {
            self.send_framework(connection, event);
        }
    }

    /// Gives an agent an order, if it is there.
    pub(crate) fn order_agent(&mut self, agent: &AgentId, message: ToAgent) {
        let known = self.agents.get(agent);
        if let Some(connection) = known.and_then(|agent| agent.connection()) {
            self.send_agent(connection, message);
        }
    }
}
