//! A cluster in a plain unit test: a scheduler talks to a master that does as the test says.
//!
//! ```
//! use skep_scheduler::{prelude::*, testing::Cluster};
//!
//! struct OneTask;
//! impl Scheduler for OneTask {
//!     fn resource_offers(&mut self, driver: &mut Driver, offers: Vec<Offer>) {
//!         let id = TaskId::new("only").expect("an id");
//!         let task = TaskSpec::new(id, Digest::of(b""), offers[0].resources.clone());
//!         driver.launch(&offers[0], [task]);
//!     }
//!     fn status_update(&mut self, driver: &mut Driver, update: &StatusUpdate) {
//!         if update.state.is_terminal() {
//!             driver.stop();
//!         }
//!     }
//! }
//!
//! let mut cluster = Cluster::new(framework_info("test"), OneTask);
//! cluster.offer("agent-1", "cpus:1;mem:64");
//! assert_eq!(cluster.running(), ["only"]);
//! cluster.finish("only");
//! assert_eq!(cluster.ending(), Some(&Ending::Done));
//! ```
//!
//! A guest is tested just so: `skep-guest-testing` runs one where this runs a scheduler.
//!
//! Its time stands still until [`ClusterOf::advance`]. Tasks run as soon as they are launched, and
//! as long as the test likes. Offers are what the test says, or what is free of agents that it let
//! [`join`](ClusterOf::join). What it does not do: share anything with others.

mod masters;
mod party;
mod pool;

pub use party::{Native, Party};

use self::pool::Pool;
use crate::{Ending, Scheduler};
use skep_protocol::{
    AgentId, AllocationId, Attempt, Digest, FrameworkId, OfferId, Outcome, Rejection, Resources,
    Role, Source, StatusUpdate, TaskId, TaskKey, TaskSpec, TaskState, Time,
    framework::{
        Acknowledgement, Answer, Call, Demand, Event, FrameworkInfo, LaunchTask, Offer, Operation,
        State,
    },
    outcome::{Delivered, LostBy, Missing, TaskMessage},
    task::Feature,
    task::Form,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    time::Duration,
};

/// When the time of a test begins: the first of January 2030, an ordinary Tuesday.
pub const BEGIN: Time = Time::from_micros(1_893_456_000_000_000);

/// A cluster for a scheduler of this program; see the module.
pub type Cluster<S> = ClusterOf<Native<S>>;

/// A cluster for whoever can be told and asked.
#[derive(Debug)]
pub struct ClusterOf<P> {
    info: FrameworkInfo,
    /// Who is tested.
    pub party: P,
    now: Time,
    /// What the framework keeps at the master.
    state: State,
    offers: BTreeMap<OfferId, Offer>,
    pool: Pool,
    numbers: u64,
    tasks: BTreeMap<TaskId, Task>,
    launched: Vec<TaskSpec>,
    demands: Vec<Demand>,
    killed: Vec<TaskId>,
    messages: Vec<(TaskId, Vec<u8>)>,
    answers: BTreeMap<u64, Result<Vec<u8>, String>>,
    is_connected: bool,
    is_obeying: bool,
    blobs: BTreeMap<Digest, Vec<u8>>,
    /// The ends that were told and not acknowledged.
    unacknowledged: BTreeMap<TaskKey, u64>,
}

#[derive(Debug)]
struct Task {
    spec: TaskSpec,
    agent: AgentId,
    allocation: AllocationId,
    seq: u64,
}

impl<S: Scheduler> Cluster<S> {
    /// A cluster without agents, at which the framework has subscribed.
    pub fn new(info: FrameworkInfo, scheduler: S) -> Self {
        let party = Native::new(info.clone(), scheduler, 1);
        Self::with(info, party)
    }

    /// The framework dies, and another instance takes over; tasks run on. What the dead one has
    /// ordered was heard.
    pub fn restart(&mut self, scheduler: S) {
        let party = Native::new(self.info.clone(), scheduler, self.numbers + 2);
        self.replace(party);
    }
}

impl<P: Party> ClusterOf<P> {
    /// A cluster without agents, at which this framework has subscribed.
    pub fn with(info: FrameworkInfo, party: P) -> Self {
        let mut cluster = Self {
            info,
            party,
            now: BEGIN,
            state: State::new(),
            offers: BTreeMap::new(),
            pool: Pool::default(),
            numbers: 0,
            tasks: BTreeMap::new(),
            launched: Vec::new(),
            demands: Vec::new(),
            killed: Vec::new(),
            messages: Vec::new(),
            answers: BTreeMap::new(),
            is_connected: false,
            is_obeying: false,
            blobs: BTreeMap::new(),
            unacknowledged: BTreeMap::new(),
        };
        cluster.reconnect();
        cluster
    }

    /// The framework dies, and this instance takes over; tasks run on. What the dead one has
    /// ordered was heard.
    pub fn replace(&mut self, party: P) {
        self.party = party;
        self.numbers += 1;
        self.offers.clear();
        self.reconnect();
    }

    /// The connection to the master breaks: orders are lost until [`Self::reconnect`].
    pub fn disconnect(&mut self) {
        self.is_connected = false;
        self.offers.clear();
        self.party.disconnected(self.now);
    }

    /// A connection is there; the framework is told where its tasks stand.
    pub fn reconnect(&mut self) {
        self.is_connected = true;
        self.pool.subscribed();
        self.party.connected(self.now);
        let (framework, state) = (framework(), self.state.clone());
        self.tell(Event::Subscribed { framework, state });
        let names: Vec<TaskId> = self.tasks.keys().cloned().collect();
        for task in names {
            self.update(&task, TaskState::Running, Vec::new());
        }
    }

    /// Offers resources of an agent, such as `cpus:1;mem:64`.
    ///
    /// # Panics
    /// If that is no resources, or no agent's name.
    pub fn offer(&mut self, agent: &str, resources: &str) -> OfferId {
        self.offer_with(agent, resources, &[])
    }

    /// Offers resources of an agent that has these attributes.
    ///
    /// # Panics
    /// As [`Self::offer`].
    pub fn offer_with(
        &mut self,
        agent: &str,
        resources: &str,
        attributes: &[(&str, &str)],
    ) -> OfferId {
        let offer = self.an_offer(agent, resources, attributes);
        let id = offer.id;
        self.tell(Event::Offers { offers: vec![offer] });
        id
    }

    /// Offers resources of several agents at once, such as `("agent-1", "cpus:1;mem:64")`.
    ///
    /// # Panics
    /// As [`Self::offer`].
    pub fn offer_all(&mut self, offered: &[(&str, &str)]) {
        let offers = offered.iter().map(|(agent, resources)| self.an_offer(agent, resources, &[]));
        let offers = offers.collect();
        self.tell(Event::Offers { offers });
    }

    fn an_offer(&mut self, agent: &str, resources: &str, attributes: &[(&str, &str)]) -> Offer {
        self.numbers += 1;
        let id = OfferId(self.numbers);
        let text = |(key, value): &(&str, &str)| ((*key).into(), (*value).into());
        let offer = Offer {
            id,
            agent: AgentId::new(agent).expect("an agent's name"),
            hostname: agent.into(),
            role: self.info.role.clone(),
            resources: resources.parse().expect("resources, such as cpus:1;mem:64"),
            attributes: attributes.iter().map(text).collect(),
            architecture: "x86_64".into(),
            enforces: Feature::ALL.iter().map(|feature| feature.name().into()).collect(),
            expires: self.now + Duration::from_secs(30),
            reserved: BTreeMap::<Role, Resources>::new(),
            revocable: Resources::none(),
            unavailable: None,
            volumes: Vec::new(),
        };
        self.offers.insert(id, offer.clone());
        offer
    }

    /// A running task ends well; its outputs, if it has any, have the digests of `TASK/PATH`.
    ///
    /// # Panics
    /// If it does not run.
    pub fn finish(&mut self, task: &str) {
        self.end(task, Outcome::Exited { code: 0 });
    }

    /// A running task ends well and leaves this result.
    ///
    /// # Panics
    /// If it does not run.
    pub fn finish_with(&mut self, task: &str, result: &[u8]) {
        let ended = TaskState::Ended(Outcome::Exited { code: 0 });
        self.update(&id(task), ended, result.to_vec());
    }

    /// A running task ends.
    ///
    /// # Panics
    /// If it does not run.
    pub fn end(&mut self, task: &str, outcome: Outcome) {
        self.update(&id(task), TaskState::Ended(outcome), Vec::new());
    }

    /// A running task ends so, and of its outputs leaves these and no others.
    ///
    /// # Panics
    /// If it does not run.
    pub fn end_leaving(&mut self, task: &str, outcome: Outcome, outputs: &[&str]) {
        let left = |guest: &str| outputs.contains(&guest);
        self.update_leaving(&id(task), TaskState::Ended(outcome), Vec::new(), left);
    }

    /// A running task sends the framework bytes.
    ///
    /// # Panics
    /// If it does not run.
    pub fn message(&mut self, task: &str, bytes: &[u8]) {
        let task = id(task);
        let known = self.tasks.get(&task).unwrap_or_else(|| panic!("{task} does not run"));
        let key = key(&task, known.spec.attempt);
        self.tell(Event::Message(TaskMessage { key, bytes: bytes.into() }));
    }

    /// An agent dies with all its tasks, and the framework is told at once.
    pub fn lose_agent(&mut self, agent: &str) {
        self.pool.remove(&AgentId::new(agent).expect("an agent's name"));
        let on_it = self.tasks.iter().filter(|(_, task)| task.agent.as_str() == agent);
        for task in on_it.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            let lost = Outcome::Lost { why: LostBy::AgentGone };
            self.update(&task, TaskState::Ended(lost), Vec::new());
        }
    }

    /// Time passes; the framework is woken whenever it wants to be.
    pub fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let (wake, again) = (self.party.deadline(), self.pool.deadline());
            let Some(due) = wake.into_iter().chain(again).min().filter(|due| *due <= end) else {
                break;
            };
            self.now = self.now.max(due);
            if wake == Some(due) {
                self.party.woken(self.now);
            }
            self.carry_out();
        }
        self.now = end;
    }

    /// Asks the framework something. None: it has not answered yet.
    pub fn ask(&mut self, message: &[u8]) -> Option<Result<Vec<u8>, String>> {
        self.numbers += 1;
        let question = self.numbers;
        self.tell(Event::Asked { question, by: "operator/test".into(), message: message.into() });
        self.answers.remove(&question)
    }

    /// The tasks that run, in the order of their names.
    pub fn running(&self) -> Vec<String> {
        self.tasks.keys().map(ToString::to_string).collect()
    }

    /// The attempts whose end was told and is not acknowledged: their agents keep what they wrote.
    pub fn unacknowledged(&self) -> Vec<String> {
        let keys = self.unacknowledged.keys();
        keys.map(|key| format!("{}#{}", key.task, key.attempt)).collect()
    }

    /// Somebody outside the conversation wakes the framework.
    pub fn wake(&mut self) {
        self.party.woken(self.now);
        self.carry_out();
    }

    /// On which agent a task runs.
    pub fn agent_of(&self, task: &str) -> Option<&str> {
        self.tasks.get(&id(task)).map(|task| task.agent.as_str())
    }

    /// The specs of the tasks that were launched since this was last asked, in order.
    pub fn launched(&mut self) -> Vec<TaskSpec> {
        mem::take(&mut self.launched)
    }

    /// What the framework has said since this was last asked that it waits for, in order.
    pub fn demands(&mut self) -> Vec<Demand> {
        mem::take(&mut self.demands)
    }

    /// The tasks that were killed since this was last asked, in order.
    pub fn killed(&mut self) -> Vec<String> {
        mem::take(&mut self.killed).iter().map(ToString::to_string).collect()
    }

    /// What running tasks were sent since this was last asked, in order.
    pub fn messages(&mut self) -> Vec<(String, Vec<u8>)> {
        let sent = mem::take(&mut self.messages);
        sent.into_iter().map(|(task, bytes)| (task.to_string(), bytes)).collect()
    }

    /// What the framework keeps at the master.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// A blob that the framework has stored.
    pub fn blob(&self, digest: &Digest) -> Option<&[u8]> {
        self.blobs.get(digest).map(Vec::as_slice)
    }

    /// The offers that the framework holds without having answered.
    pub fn unanswered(&self) -> BTreeSet<OfferId> {
        self.offers.keys().copied().collect()
    }

    /// Why the framework has stopped, if it has.
    pub fn ending(&self) -> Option<&Ending> {
        self.party.ending()
    }

    /// The time of day.
    pub const fn now(&self) -> Time {
        self.now
    }

    fn tell(&mut self, event: Event) {
        if self.is_connected && self.party.ending().is_none() {
            self.party.handle(self.now, event);
        }
        self.carry_out();
    }

    fn update(&mut self, task: &TaskId, state: TaskState, result: Vec<u8>) {
        let is_done = matches!(&state, TaskState::Ended(outcome) if outcome.is_success());
        self.update_leaving(task, state, result, |_| is_done);
    }

    fn update_leaving(
        &mut self,
        task: &TaskId,
        state: TaskState,
        result: Vec<u8>,
        is_left: impl Fn(&str) -> bool,
    ) {
        let known = self.tasks.get_mut(task).unwrap_or_else(|| panic!("{task} does not run"));
        known.seq += 1;
        let is_over = state.is_terminal();
        let all = known.spec.outputs.iter().map(|output| output.guest.clone());
        let (left, lacking): (Vec<_>, Vec<_>) = all.partition(|guest| is_left(guest));
        let delivered = |guest: String| Delivered {
            digest: Digest::of(format!("{task}/{guest}").as_bytes()),
            guest,
            size: 1,
            form: Form::File,
        };
        let missing = |guest: String| {
            let why = format!("its output {guest:?} is not there");
            Missing::new(guest, &why)
        };
        let outputs = left.into_iter().filter(|_| is_over).map(delivered).collect();
        let missing = lacking.into_iter().filter(|_| is_over).map(missing).collect();
        let update = StatusUpdate {
            key: key(task, known.spec.attempt),
            seq: known.seq,
            agent: Some(known.agent.clone()),
            state,
            source: Source::Agent,
            at: self.now,
            usage: None,
            result,
            last_words: String::new(),
            outputs,
            missing,
        };
        if update.state.is_terminal() {
            self.tasks.remove(task);
            self.unacknowledged.insert(update.key.clone(), update.seq);
        }
        self.tell(Event::StatusUpdates { updates: vec![update] });
    }

    /// Does what the framework has ordered, all of it, and then offers what it would take.
    fn carry_out(&mut self) {
        let is_within = mem::replace(&mut self.is_obeying, true);
        loop {
            let calls = self.party.take_calls();
            if calls.is_empty() && (is_within || !self.offer_next()) {
                break;
            }
            for call in calls {
                if self.is_connected {
                    self.obey(call);
                }
            }
        }
        self.is_obeying = is_within;
    }

    fn obey(&mut self, call: Call) {
        match call {
            Call::Accept { offers, operations, filters } => {
                self.accept(&offers, operations, filters);
            }
            Call::Enqueue { tasks, allocation } => self.enqueue(allocation, tasks),
            Call::Decline { offers, filters } => {
                self.offers.retain(|id, _| !offers.contains(id));
                self.pool.give_back(&offers, &Resources::none(), filters, self.now);
            }
            Call::Kill { task } => {
                self.killed.push(task.clone());
                if self.tasks.contains_key(&task) {
                    let by = skep_protocol::outcome::KilledBy::Framework;
                    let killed = TaskState::Ended(Outcome::Killed { by });
                    self.update(&task, killed, Vec::new());
                }
            }
            Call::Message { task, attempt, bytes } => {
                let known = self.tasks.get(&task).map(|task| task.spec.attempt);
                if known.is_some_and(|known| attempt.is_none_or(|meant| meant == known)) {
                    self.messages.push((task, bytes));
                } else {
                    let why = "it is not known, or has ended".into();
                    let rejection = Rejection::Undelivered { task, why };
                    self.tell(Event::Refused { rejection });
                }
            }
            Call::Save { entries } => {
                for (key, value) in entries {
                    match value {
                        Some(value) => self.state.insert(key, value),
                        None => self.state.remove(&key),
                    };
                }
            }
            Call::Put { blob } => {
                self.blobs.insert(Digest::of(&blob), blob);
            }
            Call::Reply { question, answer } => {
                self.answers.insert(question, answer);
            }
            Call::Reconcile { tasks } => self.reconcile(tasks),
            Call::Teardown => self.tasks.clear(),
            Call::Demand { demand, .. } => {
                self.pool.demand(demand.clone());
                self.demands.extend(demand);
            }
            Call::Suppress { .. } => self.pool.suppress(),
            Call::Revive { .. } => self.pool.revive(),
            Call::Subscribe { .. } | Call::AnswerInverse { .. } => {}
            Call::Acknowledge { acknowledgements } => {
                for Acknowledgement { key, seq } in acknowledgements {
                    if self.unacknowledged.get(&key).is_some_and(|end| *end <= seq) {
                        self.unacknowledged.remove(&key);
                    }
                }
            }
        }
    }

    fn enqueue(&mut self, allocation: AllocationId, tasks: Vec<LaunchTask>) {
        let in_it = |task: &&Task| task.allocation == allocation;
        match self.tasks.values().find(in_it).map(|task| task.agent.clone()) {
            Some(agent) => self.launch((None, 0), (allocation, &agent), tasks),
            None => {
                let why = Rejection::AllocationEnded { allocation };
                self.reject(&[], vec![Operation::Launch { tasks }], &why);
            }
        }
    }

    fn launch(
        &mut self,
        (offer, operation): (Option<OfferId>, u32),
        (allocation, agent): (AllocationId, &AgentId),
        tasks: Vec<LaunchTask>,
    ) {
        let specs: Vec<TaskSpec> = tasks.into_iter().flatten().collect();
        self.launched.extend(specs.iter().cloned());
        if offer.is_some() {
            specs.iter().for_each(|spec| self.pool.use_up(&spec.resources));
        }
        let names: Vec<TaskId> = specs.iter().map(|spec| spec.task.clone()).collect();
        for spec in specs {
            let (task, agent) = (spec.task.clone(), agent.clone());
            self.tasks.insert(task, Task { spec, agent, allocation, seq: 0 });
        }
        let answer = Answer::Launched { allocation, agent: agent.clone(), refused: Vec::new() };
        self.tell(Event::Answered { offer, operation, answer });
        for task in names {
            if self.tasks.contains_key(&task) {
                self.update(&task, TaskState::Running, Vec::new());
            }
        }
    }

    fn reject(&mut self, offers: &[OfferId], operations: Vec<Operation>, why: &Rejection) {
        for (operation, order) in (0..).zip(operations) {
            let Operation::Launch { tasks } = order else { continue };
            let named = tasks.into_iter().flatten().map(|spec| (spec.task, spec.attempt));
            let answer = Answer::Rejected { rejection: why.clone(), tasks: named.collect() };
            self.tell(Event::Answered { offer: offers.first().copied(), operation, answer });
        }
    }

    /// Attempts that are not known are lost.
    fn reconcile(&mut self, tasks: Vec<(TaskId, Attempt)>) {
        for (task, attempt) in tasks {
            let is_known = self.tasks.get(&task).is_some_and(|task| task.spec.attempt == attempt);
            if is_known {
                continue;
            }
            let lost = Outcome::Lost { why: LostBy::Unknown };
            self.master_says(key(&task, attempt), TaskState::Ended(lost));
        }
    }
}

fn framework() -> FrameworkId {
    FrameworkId::new("f-test").expect("an id")
}

fn id(task: &str) -> TaskId {
    TaskId::new(task).expect("a task's id")
}

fn key(task: &TaskId, attempt: Attempt) -> TaskKey {
    TaskKey { framework: framework(), task: task.clone(), attempt }
}
