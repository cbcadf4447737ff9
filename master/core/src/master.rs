//! The master itself: its state, how it is recovered, and where each input goes.

use crate::{
    agents::Agent,
    effect::{Answer, Effect},
    frameworks::{Framework, Voice},
    input::{ConnectionId, Input, RequestId},
    inquiries::Inquiry,
    ledger::Ledger,
    maintenance::Asked,
    mint::Mint,
    offers::Offer,
    policy::Policy,
    record::{Durable, Record},
    tasks::Tasks,
    timers::{Timer, Timers},
};
use skep_protocol::{
    AgentId, Digest, FrameworkId, OfferId, Rejection, Role, Time,
    agent::{ToAgent, ToMaster},
    framework::{Call, Event},
};
use std::collections::{BTreeMap, BTreeSet};

/// Shares a cluster: keeps agents, frameworks and roles, makes offers, passes tasks on.
///
/// One loop owns it and feeds it [`Input`]s; it answers each with [`Effect`]s.
#[derive(Debug)]
pub struct Master {
    pub(crate) policy: Policy,
    /// What survives a restart; changed by [`Master::persist`] alone.
    pub(crate) durable: Durable,
    pub(crate) mint: Mint,
    phase: Phase,
    /// Who speaks on which connection; those that nobody has spoken on yet are not in it.
    pub(crate) connections: BTreeMap<ConnectionId, Peer>,
    /// Those that have registered in this run of the master.
    pub(crate) agents: BTreeMap<AgentId, Agent>,
    /// Those that were admitted to an earlier run and may come back with tasks.
    pub(crate) expected: BTreeSet<AgentId>,
    /// One for each durable framework.
    pub(crate) frameworks: BTreeMap<FrameworkId, Framework>,
    pub(crate) offers: BTreeMap<OfferId, Offer>,
    /// Frameworks that were asked to leave an agent. No map in it is empty.
    pub(crate) asked: BTreeMap<AgentId, BTreeMap<FrameworkId, Asked>>,
    pub(crate) tasks: Tasks,
    /// Agents that have become crowded in this turn, or are not any more.
    pub(crate) crowds: BTreeSet<AgentId>,
    pub(crate) ledger: Ledger,
    /// As many as the store holds; each is 32 bytes here.
    pub(crate) blobs: BTreeSet<Digest>,
    /// What frameworks were asked, by number.
    pub(crate) inquiries: BTreeMap<u64, Inquiry>,
    pub(crate) last_inquiry: u64,
    pub(crate) timers: Timers,
    /// When the present input was handled; never runs backwards.
    pub(crate) now: Time,
    /// What the present input has caused so far; empty between inputs.
    effects: Vec<Effect>,
}

/// Whether the master has been told the time yet.
#[derive(Debug)]
enum Phase {
    Recovered,
    Serving { since: Time },
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Agent(AgentId),
    Framework(FrameworkId),
    /// The master has hung up: what still arrives does not count.
    HungUp,
}

impl Master {
    /// A master that goes on where its records end. `seed` must be new in each run.
    pub fn recover(records: impl IntoIterator<Item = Record>, policy: Policy, seed: u64) -> Self {
        let mut durable = Durable::default();
        records.into_iter().for_each(|record| durable.apply(&record));
        let mut ledger = Ledger::new(&policy);
        for (role, weight) in &durable.weights {
            ledger.shares.set_weight(role, *weight);
        }
        for (role, quota) in &durable.quotas {
            // One that cannot be kept was never recorded.
            let _ = ledger.shares.set_quota(role, quota);
        }
        for (framework, known) in &durable.frameworks {
            ledger.add_framework(framework, &known.info);
        }
        let ids = durable.frameworks.keys().cloned();
        Self {
            tasks: Tasks::new(policy.ended_tasks_max),
            crowds: BTreeSet::new(),
            frameworks: ids.map(|id| (id, Framework::default())).collect(),
            expected: durable.agents.keys().filter(|id| !durable.is_gone(id)).cloned().collect(),
            policy,
            durable,
            mint: Mint::new(seed),
            phase: Phase::Recovered,
            connections: BTreeMap::new(),
            agents: BTreeMap::new(),
            offers: BTreeMap::new(),
            asked: BTreeMap::new(),
            ledger,
            blobs: BTreeSet::new(),
            inquiries: BTreeMap::new(),
            last_inquiry: 0,
            timers: Timers::default(),
            now: Time::ZERO,
            effects: Vec::new(),
        }
    }

    /// Takes one thing that happened, returns what must now be done, in order.
    ///
    /// Total: any input from any peer is dealt with, and none panics.
    pub fn handle(&mut self, now: Time, input: Input) -> Vec<Effect> {
        self.now = self.now.max(now);
        if matches!(self.phase, Phase::Recovered) {
            self.phase = Phase::Serving { since: self.now };
            self.start();
        }
        match input {
            Input::Agent { connection, agent, message } => {
                self.on_agent(connection, agent, message);
            }
            Input::Framework { connection, principal, call } => {
                self.on_framework(connection, principal, call);
            }
            Input::Hosted { connection, agent, key, call } => {
                self.on_hosted(connection, &agent, &key, call);
            }
            Input::Inquiry { request, by, framework, message } => {
                self.inquire(request, by, &framework, message);
            }
            Input::Disconnected { connection } => self.on_disconnected(connection),
            Input::Join { request, secret, name } => self.join(request, &secret, &name),
            Input::CreateToken { request, id, secret, kind, uses, ttl } => {
                self.create_token(request, id, secret, kind, uses, ttl);
            }
            Input::Order { request, order } => self.on_order(request, order),
            Input::Records { request } => {
                let records = self.durable.records();
                self.answer(request, Ok(Answer::Records(records)));
            }
            Input::BlobStored { digest } => {
                self.blobs.insert(digest);
            }
            Input::Idle => self.allocate_if_dirty(),
            Input::Tick => self.on_tick(),
        }
        self.settle_crowds();
        if self.ledger.is_dirty() && !self.timers.is_set(&Timer::Allocation) {
            self.timers.set(Timer::Allocation, self.now + self.policy.coalesce);
        }
        std::mem::take(&mut self.effects)
    }

    /// When [`Input::Tick`] is next due; the shell sleeps until then.
    pub fn deadline(&self) -> Option<Time> {
        match self.phase {
            // Time-outs of frameworks that were gone before begin with the first input.
            Phase::Recovered => Some(Time::ZERO),
            Phase::Serving { .. } => {
                self.timers.next().into_iter().chain(self.ledger.shares.deadline()).min()
            }
        }
    }

    /// When this run of the master began.
    pub(crate) const fn started(&self) -> Time {
        match self.phase {
            Phase::Recovered => Time::ZERO,
            Phase::Serving { since } => since,
        }
    }

    fn start(&mut self) {
        self.await_frameworks();
        for agent in self.durable.maintenance.keys().cloned().collect::<Vec<_>>() {
            self.await_maintenance(&agent);
        }
        if !self.expected.is_empty() {
            self.timers.set(Timer::Returns, self.now + self.policy.lost_after);
        }
    }

    fn on_tick(&mut self) {
        self.ledger.shares.tick(self.now);
        while let Some(timer) = self.timers.take_due(self.now) {
            match timer {
                Timer::Allocation | Timer::Recall => self.allocate(),
                Timer::Returns => {
                    self.expected.clear();
                    self.answer_questions();
                }
                Timer::Offer(offer) => self.expire_offer(offer),
                Timer::Agent(agent) => self.agent_timer(&agent),
                Timer::Framework(framework) => self.remove_framework(&framework),
                Timer::Drain(agent) => self.enforce_duty(&agent),
                Timer::Inquiry(question) => self.inquiry_is_overdue(question),
                Timer::Maintenance(agent) => self.maintenance_due(&agent),
            }
        }
    }

    fn on_agent(&mut self, connection: ConnectionId, agent: AgentId, message: ToMaster) {
        let is_known = match self.connections.get(&connection) {
            Some(Peer::HungUp) => return,
            Some(Peer::Agent(id)) if *id == agent => true,
            None => false,
            Some(_) => return self.refuse_agent(connection, violation("another peer's message")),
        };
        match message {
            ToMaster::Register(registration) => self.register(connection, &agent, registration),
            _ if !is_known => {
                self.refuse_agent(connection, violation("the first message must be Register"));
            }
            ToMaster::TasksAccepted { tasks } => self.tasks_accepted(&agent, tasks),
            ToMaster::StatusUpdates { updates } => self.status_updates(&agent, updates),
            ToMaster::Progressed { reports } => self.progressed(&agent, reports),
            ToMaster::Checkpointed { checkpoints } => self.checkpointed(&agent, checkpoints),
            ToMaster::Sent { messages } => self.sent(&agent, messages),
            ToMaster::Beat { unsaved_millis, acknowledged, .. } => {
                self.beat(&agent, unsaved_millis, acknowledged);
            }
        }
    }

    pub(crate) fn on_framework(&mut self, connection: ConnectionId, principal: String, call: Call) {
        let framework = match self.connections.get(&connection) {
            Some(Peer::HungUp) => return,
            Some(Peer::Framework(framework)) => framework.clone(),
            None => {
                return match call {
                    Call::Subscribe { framework, run, connection: number, info } => {
                        let voice = Voice { run, connection: number };
                        self.subscribe(connection, principal, framework, voice, info);
                    }
                    _ => {
                        let why = "the first call must be Subscribe";
                        self.refuse_framework(connection, violation(why));
                    }
                };
            }
            Some(Peer::Agent(_)) => {
                return self.refuse_framework(connection, violation("another peer's call"));
            }
        };
        match call {
            Call::Subscribe { .. } => {
                let why = "this connection is subscribed already: open another";
                self.refuse_framework(connection, violation(why));
            }
            Call::Accept { offers, operations, filters } => {
                self.accept(&framework, &offers, operations, filters);
            }
            Call::Decline { offers, filters } => self.decline(&framework, &offers, filters),
            Call::Enqueue { allocation, tasks } => self.enqueue(&framework, allocation, tasks),
            Call::Suppress { roles } => {
                let roles: Vec<Role> = roles.into_iter().collect();
                self.ledger.shares.suppress(&framework, &roles);
            }
            Call::Revive { roles } => self.revive(&framework, &roles),
            Call::Demand { role, demand } => self.demand(&framework, role, demand.as_ref()),
            Call::Kill { task } => self.kill(&framework, &task),
            Call::Acknowledge { acknowledgements } => {
                self.acknowledge(&framework, acknowledgements);
            }
            Call::Reconcile { tasks } => self.reconcile(&framework, &tasks),
            Call::Save { entries } => self.save(connection, &framework, entries),
            // The shell has stored it.
            Call::Put { .. } => {}
            Call::Message { task, attempt, bytes } => {
                self.message(connection, &framework, task, attempt, bytes);
            }
            Call::Reply { question, answer } => self.reply(&framework, question, answer),
            Call::Teardown => self.tear_down(connection, &framework),
            Call::AnswerInverse { offers, consent } => {
                self.answer_inverse(&framework, &offers, consent);
            }
        }
    }

    fn on_disconnected(&mut self, connection: ConnectionId) {
        match self.connections.remove(&connection) {
            Some(Peer::Agent(agent)) => self.agent_disconnected(&agent),
            Some(Peer::Framework(framework)) => self.framework_disconnected(&framework),
            Some(Peer::HungUp) | None => {}
        }
    }

    pub(crate) fn is_hung_up(&self, connection: ConnectionId) -> bool {
        self.connections.get(&connection) == Some(&Peer::HungUp)
    }

    /// Hangs up. Whose connection it was is as good as disconnected.
    pub(crate) fn hang_up(&mut self, connection: ConnectionId) {
        self.effects.push(Effect::Disconnect { connection });
        match self.connections.insert(connection, Peer::HungUp) {
            Some(Peer::Agent(agent)) => self.agent_disconnected(&agent),
            Some(Peer::Framework(framework)) => self.framework_disconnected(&framework),
            Some(Peer::HungUp) | None => {}
        }
    }

    /// Hangs up because a newer connection of the same peer takes over.
    pub(crate) fn replace(&mut self, connection: ConnectionId) {
        self.effects.push(Effect::Disconnect { connection });
        self.connections.insert(connection, Peer::HungUp);
    }

    /// Makes a durable change: applied and recorded, in this one place.
    pub(crate) fn persist(&mut self, record: Record) {
        self.durable.apply(&record);
        self.effects.push(Effect::Persist(record));
    }

    pub(crate) fn send_agent(&mut self, connection: ConnectionId, message: ToAgent) {
        self.effects.push(Effect::SendAgent { connection, message });
    }

    pub(crate) fn send_framework(&mut self, connection: ConnectionId, event: Event) {
        self.effects.push(Effect::SendFramework { connection, event });
    }

    pub(crate) fn answer(&mut self, request: RequestId, answer: Result<Answer, Rejection>) {
        self.effects.push(Effect::Answer { request, answer });
    }

    fn refuse_agent(&mut self, connection: ConnectionId, rejection: Rejection) {
        self.send_agent(connection, ToAgent::Refused { rejection });
        self.hang_up(connection);
    }

    pub(crate) fn refuse_framework(&mut self, connection: ConnectionId, rejection: Rejection) {
        self.send_framework(connection, Event::Refused { rejection });
        self.hang_up(connection);
    }
}

fn violation(why: &str) -> Rejection {
    Rejection::Violation { why: why.into() }
}
