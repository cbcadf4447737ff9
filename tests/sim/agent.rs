//! An agent's shell, simulated around the real core: its journal, its clock, its session with the
//! master, its files.

use crate::{
    barrier::Barrier,
    clock::Clock,
    executor::Executors,
    freeze::Whose,
    journal::{Disk, LastCommit},
    master::{CHECKED_ONCE_IN, REPLAYED_ONCE_IN, module},
    network::{Link, Peer, Side, Word},
    schedule::Event,
    sim::Sim,
};
use skep_agent_core::{Agent as Core, Effect, ExitReason, FetchFailure, Input, Policy, Record};
use skep_protocol::{
    AgentId, Artifact, Digest, Resources, TaskKey, Time,
    agent::{AgentInfo, ToAgent, ToMaster},
    outcome::{Delivered, Missing},
    task::{Feature, Form, Output},
};
use std::collections::{BTreeMap, BTreeSet};

/// What stays on a node, and what runs on it.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    pub(crate) info: AgentInfo,
    pub(crate) policy: Policy,
    pub(crate) disk: Disk<Record>,
    blobs: BTreeSet<Digest>,
    artifacts: BTreeSet<Artifact>,
    /// They outlive the process.
    pub(crate) executors: Executors,
    /// None: it is down.
    pub(crate) process: Option<Process>,
    runs: u64,
}

/// One run of an agent.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) run: u64,
    clock: Clock,
    core: Core,
    pub(crate) barrier: Barrier,
    /// The earliest tick that is arranged.
    tick: Option<Time>,
    turns: u64,
    /// Counts the connections: what was decided on an earlier one is not sent on this one.
    connection: u64,
    /// Where it speaks; none while it dials, or once it has hung up.
    link: Option<Link>,
    session: Session,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    Dialling,
    /// On this connection, though it may have hung up there.
    On(Link),
}

impl Agent {
    pub(crate) fn new(id: AgentId, resources: Resources, policy: Policy) -> Self {
        let info = AgentInfo {
            hostname: id.to_string(),
            attributes: BTreeMap::new(),
            architecture: "x86_64".into(),
            enforces: Feature::ALL.iter().map(|feature| feature.name().into()).collect(),
            resources,
            build: "simulated".into(),
            revocable: Resources::none(),
            region: None,
            zone: None,
            reserved: BTreeMap::new(),
        };
        let (disk, executors) = (Disk::new(), Executors::default());
        let (blobs, artifacts) = (BTreeSet::new(), BTreeSet::new());
        Self { id, info, policy, disk, blobs, artifacts, executors, process: None, runs: 0 }
    }

    pub(crate) fn running(&mut self, run: u64) -> Option<&mut Process> {
        self.process.as_mut().filter(|process| process.run == run)
    }

    pub(crate) fn wants_connection(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.session == Session::Dialling)
    }

    /// Whether it is up, holds and runs no task, and has nothing under way to its disk.
    pub(crate) fn is_quiet(&self) -> bool {
        let holds_task = self.disk.keys().any(|key| key.starts_with("task/"));
        let is_settled = |process: &Process| {
            let is_empty = self.executors.is_empty_of_guests();
            process.link.is_some() && process.barrier.is_settled() && is_empty
        };
        !holds_task && self.process.as_ref().is_some_and(is_settled)
    }
}

impl Sim {
    pub(crate) fn start_agent(&mut self, number: usize) {
        let agent = &mut self.agents[number];
        if agent.process.is_some() {
            return;
        }
        self.trace.fact(self.now, &format!("agent {number} starts"));
        agent.runs += 1;
        let run = agent.runs;
        let records: Vec<Record> = agent.disk.values().cloned().collect();
        self.promises.recovers(number, &records);
        let (policy, info) = (agent.policy.clone(), agent.info.clone());
        let (core, effects) = Core::recover(records, policy, info, self.random.next());
        let clock = self.set_clock();
        let agent = &mut self.agents[number];
        agent.process = Some(Process {
            run,
            clock,
            core,
            barrier: Barrier::new(),
            tick: None,
            turns: 0,
            connection: 0,
            link: None,
            session: Session::Dialling,
        });
        let blobs = agent.blobs.iter().map(|digest| Input::BlobReady { digest: *digest });
        let artifacts =
            agent.artifacts.iter().map(|artifact| Input::Compiled { artifact: *artifact });
        let found: Vec<Input> = blobs.chain(artifacts).collect();
        self.take_agent_effects(number, effects);
        for input in found {
            self.agent_takes(number, input);
        }
        self.dial_later(Peer::Agent(number));
    }

    /// The node dies, and with it all that runs on it.
    pub(crate) fn crash_node(&mut self, number: usize, last: LastCommit) {
        self.crash_agent(number, last);
        self.agents[number].executors.all_end();
        self.promises.all_end(self.now, number);
    }

    /// The process dies, and its executors run on.
    pub(crate) fn crash_agent(&mut self, number: usize, last: LastCommit) {
        let Some(process) = self.agents[number].process.take() else { return };
        self.trace.fact(self.now, &format!("agent {number} dies"));
        process.barrier.crash(&mut self.agents[number].disk, last);
        self.agents[number].executors.agent_ends();
        self.standstills.end(Whose::Peer(Peer::Agent(number)));
        self.drop_links(Side::Peer, |peer| peer == Peer::Agent(number));
    }

    pub(crate) fn agent_takes(&mut self, number: usize, input: Input) {
        let Some(process) = &mut self.agents[number].process else { return };
        let effects = process.core.handle(process.clock.at(self.now), input.clone());
        if self.trace.is_told() || process.turns.is_multiple_of(CHECKED_ONCE_IN) {
            process.core.check_invariants();
        }
        process.turns += 1;
        let is_replayed = process.turns.is_multiple_of(REPLAYED_ONCE_IN);
        self.trace.turn(self.now, &format_args!("agent {number}"), &input, &effects);
        self.take_agent_effects(number, effects);
        if is_replayed {
            self.check_agent_replay(number);
        }
        self.arrange_agent_tick(number);
    }

    fn check_agent_replay(&self, number: usize) {
        let Agent { process, disk, .. } = &self.agents[number];
        let Some(process) = process else { return };
        process.core.check_replay(process.barrier.will_hold(disk).into_values());
    }

    fn take_agent_effects(&mut self, number: usize, effects: Vec<Effect>) {
        for effect in effects {
            let Some(process) = &mut self.agents[number].process else { return };
            match effect {
                Effect::Persist(record) => {
                    self.promises.records(number, &record);
                    process.barrier.persist(self.now, record);
                }
                effect => {
                    let connection = process.connection;
                    if let Some(effect) = process.barrier.pass(connection, effect) {
                        self.agent_carries_out_one(number, connection, effect);
                    }
                }
            }
        }
        self.agent_carries_out(number);
    }

    fn agent_carries_out(&mut self, number: usize) {
        while let Some(process) = &mut self.agents[number].process {
            if process.barrier.begin().is_some() {
                let run = process.run;
                let at = self.now + self.commit_time(Whose::Peer(Peer::Agent(number)));
                self.schedule.arrange(at, Event::AgentCommitted { agent: number, run });
                continue;
            }
            let Some((connection, effect)) = process.barrier.release() else { return };
            self.agent_carries_out_one(number, connection, effect);
        }
    }

    fn agent_carries_out_one(&mut self, number: usize, connection: u64, effect: Effect) {
        let Some(process) = &mut self.agents[number].process else { return };
        let run = process.run;
        match effect {
            Effect::SendMaster(message) => self.tell_master(number, connection, message),
            Effect::SendExecutor { executor, message } => {
                self.order_executor(number, &executor, message);
            }
            Effect::FetchBlob { digest } => {
                let at = self.now + self.random.duration(&self.weather.work);
                self.schedule.arrange(at, Event::Fetched { agent: number, run, digest });
            }
            Effect::Compile { artifact } => {
                let at = self.now + self.random.duration(&self.weather.work);
                let what = Box::new(Input::Compiled { artifact });
                self.schedule.arrange(at, Event::AgentHears { agent: number, run, what });
            }
            Effect::Deliver { key, outputs } => {
                let at = self.now + self.random.duration(&self.weather.work);
                let what = Box::new(self.delivery(number, key, outputs));
                self.schedule.arrange(at, Event::AgentHears { agent: number, run, what });
            }
            Effect::StartExecutor { executor, run } => self.start_executor(number, executor, run),
            Effect::AdoptExecutor { executor, run } => self.adopt_executor(number, executor, run),
            Effect::ForgetExecutor { run } => self.agents[number].executors.forget(run),
            Effect::StopExecutor { executor } => self.stop_executor(number, &executor),
            Effect::RemoveSandbox { key } => self.promises.removes_sandbox(number, &key),
            Effect::Discard { .. } | Effect::MakeVolume { .. } | Effect::RemoveVolume { .. } => {}
            Effect::Reconnect => {
                if let Some(link) = process.link.take() {
                    self.hang_up(link, Side::Peer);
                }
            }
            Effect::Exit { why } => self.agent_exits(number, &why),
            Effect::Persist(_) => unreachable!("records are handed to the barrier"),
        }
    }

    /// What becomes of outputs that are sent to the master.
    fn delivery(&mut self, number: usize, key: TaskKey, outputs: Vec<Output>) -> Input {
        let no_master =
            self.agents[number].process.as_ref().is_none_or(|process| process.link.is_none());
        let has_faults = !self.weather.faults.is_empty();
        let (mut delivered, mut missing, mut broken) = (Vec::new(), Vec::new(), Vec::new());
        for Output { guest } in outputs {
            if has_faults && self.random.once_in(30) {
                missing.push(Missing::new(guest, "it is not there"));
            } else if no_master || has_faults && self.random.once_in(8) {
                broken.push(Missing::new(guest, "it broke"));
            } else {
                let form = Form::File;
                delivered.push(Delivered { guest, digest: module(), size: 1, form });
            }
        }
        Input::Delivered { key, outputs: delivered, missing, broken }
    }

    fn tell_master(&mut self, number: usize, connection: u64, message: ToMaster) {
        let Some(process) = &self.agents[number].process else { return };
        let message = match message {
            ToMaster::Beat { inputs, acknowledged, .. } => {
                let age = process.barrier.unsaved_age(self.now).as_millis();
                let unsaved_millis = u64::try_from(age).unwrap_or(u64::MAX);
                ToMaster::Beat { inputs, unsaved_millis, acknowledged }
            }
            message => message,
        };
        self.promises.says(number, &self.agents[number].disk, &message);
        if let ToMaster::Register(registration) = &message {
            self.promises.registers(number, registration);
        }
        if let Some(link) = process.link
            && process.connection == connection
        {
            self.send(link, Side::Peer, Word::FromAgent(message));
        }
    }

    /// An orderly end. All that was to be written has been: nothing is released before.
    fn agent_exits(&mut self, number: usize, why: &ExitReason) {
        assert_eq!(*why, ExitReason::Stopped, "the master turned away a rightful agent {number}");
        let Some(process) = self.agents[number].process.take() else { return };
        self.trace.fact(self.now, &format!("agent {number} has stopped"));
        self.agents[number].executors.agent_stops();
        self.promises.all_end(self.now, number);
        self.standstills.end(Whose::Peer(Peer::Agent(number)));
        if let Some(link) = process.link {
            self.leave(link, Side::Peer);
        }
        self.restart_agent_later(number);
    }

    fn arrange_agent_tick(&mut self, number: usize) {
        let Some(process) = &mut self.agents[number].process else { return };
        let due = process.core.deadline().map(|due| process.clock.when(due).max(self.now));
        let Some(due) = due else { return };
        if process.tick.is_none_or(|tick| due < tick) {
            process.tick = Some(due);
            let event = Event::AgentTicks { agent: number, run: process.run };
            self.schedule.arrange(due, event);
        }
    }

    pub(crate) fn agent_ticks(&mut self, number: usize, run: u64) {
        let now = self.now;
        // It may come late, to a process that stood still.
        let is_due = |process: &&mut Process| process.tick.is_some_and(|tick| tick <= now);
        let Some(process) = self.agents[number].running(run).filter(is_due) else { return };
        process.tick = None;
        let shown = process.clock.at(now);
        if process.core.deadline().is_some_and(|due| due <= shown) {
            self.agent_takes(number, Input::Tick);
        } else {
            self.arrange_agent_tick(number);
        }
    }

    pub(crate) fn agent_committed(&mut self, number: usize, run: u64) {
        let Agent { process, disk, .. } = &mut self.agents[number];
        let Some(process) = process.as_mut().filter(|process| process.run == run) else { return };
        process.barrier.committed(disk);
        self.agent_carries_out(number);
    }

    pub(crate) fn agent_hears(&mut self, number: usize, run: u64, input: Input) {
        if self.agents[number].running(run).is_none() {
            return;
        }
        if let Input::Compiled { artifact } = &input {
            self.agents[number].artifacts.insert(*artifact);
        }
        self.agent_takes(number, input);
    }

    pub(crate) fn agent_is_told(&mut self, number: usize, order: ToAgent) {
        self.promises.ordered(number, &order);
        self.agent_takes(number, Input::Master(order));
    }

    /// A transfer needs the connection that the session has when it ends.
    pub(crate) fn fetched(&mut self, number: usize, run: u64, digest: Digest) {
        if self.agents[number].running(run).is_none() {
            return;
        }
        let is_reached = self.network.sound_link(Peer::Agent(number)).is_some();
        if is_reached && self.master.blobs.contains(&digest) && !self.random.once_in(20) {
            self.agents[number].blobs.insert(digest);
            self.agent_takes(number, Input::BlobReady { digest });
        } else {
            let why = FetchFailure::Failed { why: "the connection ended".into() };
            self.agent_takes(number, Input::BlobFailed { digest, why });
        }
    }

    pub(crate) fn agent_connected(&mut self, number: usize, link: Link) {
        let Some(process) = &mut self.agents[number].process else { return };
        process.connection += 1;
        process.link = Some(link);
        process.session = Session::On(link);
        self.agent_takes(number, Input::Connected);
    }

    pub(crate) fn agent_disconnected(&mut self, number: usize, link: Link) {
        let Some(process) = &mut self.agents[number].process else { return };
        if process.session != Session::On(link) {
            return;
        }
        process.link = None;
        process.session = Session::Dialling;
        self.agent_takes(number, Input::Disconnected);
        self.dial_later(Peer::Agent(number));
    }
}
