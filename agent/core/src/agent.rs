//! [`Agent`]: what it consists of, how it recovers, and who deals with which input.

use crate::{
    cache::Cache,
    delivery::Deliveries,
    effect::Effect,
    executors::Executors,
    grants::Profiles,
    input::Input,
    launch::Batch,
    modules::Modules,
    policy::Policy,
    preemption::Preemption,
    profile::ExecutorKey,
    queue::Queues,
    record::Record,
    session::{Phase, Session},
    state::State,
    tasks::Live,
    turn::Turn,
    updates::Retries,
    waits::Waits,
};
use skep_protocol::{
    Incarnation, TaskKey, Time,
    agent::{AgentInfo, ToAgent, Volume},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The decisions of one node.
#[derive(Debug)]
pub struct Agent {
    pub(crate) policy: Policy,
    pub(crate) info: AgentInfo,
    /// A random number of this process.
    pub(crate) run: u64,

    pub(crate) state: State,

    // All below is soft: it ends with the process.
    pub(crate) session: Session,
    /// Counts the connections to the master.
    pub(crate) connections: u64,
    pub(crate) phase: Phase,
    /// The tasks that have not ended, each held in `state` as accepted.
    pub(crate) live: BTreeMap<TaskKey, Live>,
    /// Counts the tasks taken, to keep their order.
    pub(crate) arrivals: u64,
    pub(crate) queues: Queues,
    pub(crate) preemption: Preemption,
    pub(crate) waits: Waits,
    pub(crate) modules: Modules,
    pub(crate) cache: Cache,
    pub(crate) deliveries: Deliveries,
    pub(crate) executors: Executors,
    pub(crate) profiles: Profiles,
    /// The volumes that the master wants, by name, while those that are here are others.
    pub(crate) volumes_wanted: Option<BTreeMap<String, Volume>>,
    pub(crate) retries: Retries,
    /// The sandboxes of tasks whose end is not acknowledged: what they wrote may not be collected.
    pub(crate) uncollected: BTreeSet<TaskKey>,
    /// The sandboxes of tasks that nobody waits for, oldest first.
    pub(crate) sandboxes: VecDeque<TaskKey>,
    pub(crate) inputs: u64,
    pub(crate) turn: Turn,
}

impl Agent {
    /// An agent with the state that the records of its earlier runs leave it, in a new
    /// incarnation. `run` is a random number of this process.
    ///
    /// The executors of the earlier run may have outlived it, with the tasks in them. They are
    /// looked for at the first input that is not about the disk, or tick, since only inputs come
    /// with the time.
    pub fn recover(
        records: impl IntoIterator<Item = Record>,
        policy: Policy,
        info: AgentInfo,
        run: u64,
    ) -> (Self, Vec<Effect>) {
        let mut state = State::default();
        records.into_iter().for_each(|record| state.apply(&record));
        let incarnation = Incarnation(state.incarnation().0 + 1);
        let arrivals = state.tasks().values().map(|task| task.arrival + 1).max().unwrap_or(0);
        let mut agent = Self {
            policy,
            info,
            run,
            state,
            session: Session::Disconnected,
            connections: 0,
            phase: Phase::Recovered,
            live: BTreeMap::new(),
            arrivals,
            queues: Queues::default(),
            preemption: Preemption::default(),
            waits: Waits::default(),
            modules: Modules::default(),
            cache: Cache::default(),
            deliveries: Deliveries::default(),
            executors: Executors::default(),
            profiles: Profiles::default(),
            volumes_wanted: None,
            retries: Retries::default(),
            uncollected: BTreeSet::new(),
            sandboxes: VecDeque::new(),
            inputs: 0,
            turn: Turn::default(),
        };
        agent.persist(Record::Incarnation(incarnation));
        // The earlier run may have ended between a record and its folder.
        for volume in agent.state.volumes().values().cloned().collect::<Vec<_>>() {
            agent.effect(Effect::MakeVolume { volume });
        }
        let effects = agent.settle();
        (agent, effects)
    }

    /// Takes one thing that happened, returns what must now be done, in order.
    ///
    /// Total: no input panics, whoever it comes from.
    pub fn handle(&mut self, now: Time, input: Input) -> Vec<Effect> {
        self.turn.now = now;
        self.inputs += 1;
        if self.phase == Phase::Recovered && !input.is_found() {
            self.begin();
        }
        match input {
            Input::Connected => self.connected(),
            Input::Disconnected => self.disconnected(),
            Input::Master(order) => self.master(order),
            Input::BlobReady { digest } => self.blob_ready(digest),
            Input::BlobFailed { digest, why } => self.blob_failed(digest, why),
            Input::Kept { file, bytes } => self.kept(file, bytes),
            Input::Compiled { artifact } => self.compiled(artifact),
            Input::CompileFailed { artifact, why } => self.compile_failed(artifact, why),
            Input::ExecutorReady { executor, guests } => self.executor_ready(&executor, guests),
            Input::Reports { executor, batch, reports } => {
                self.reports(&executor, batch, reports);
            }
            Input::ExecutorGone { executor, how } => self.executor_gone(&executor, how),
            Input::ExecutorEnded { executor, why } => self.executor_ended(&executor, &why),
            Input::Delivered { key, outputs, missing, broken } => {
                self.delivered(&key, outputs, missing, broken);
            }
            Input::SandboxKept { key } => self.sandbox_found(key),
            Input::Tick => self.tick(),
            Input::Stop => self.stop(),
        }
        self.settle()
    }

    /// When [`Input::Tick`] is next due.
    pub fn deadline(&self) -> Option<Time> {
        if self.phase == Phase::Recovered {
            return Some(Time::ZERO);
        }
        let dues = [
            self.session_due(),
            self.retries.due(),
            self.fetch_due(),
            self.delivery_due(),
            self.executors_due(),
        ];
        dues.into_iter().flatten().min()
    }

    /// Whether a task has been taken and has not ended: whether its logs may still grow.
    pub fn is_live(&self, key: &TaskKey) -> bool {
        self.live.contains_key(key)
    }

    /// Whether this executor speaks the truth that this task of its speaks as a framework.
    pub fn may_speak(&self, executor: &ExecutorKey, key: &TaskKey) -> bool {
        let is_granted = self.spec(key).is_some_and(|spec| spec.grants.framework);
        is_granted && self.executor_of_live(key).as_ref() == Some(executor)
    }

    /// The executor that has been told to start a task that has not ended.
    pub fn executor_of_live(&self, key: &TaskKey) -> Option<ExecutorKey> {
        self.live.get(key).filter(|live| live.is_in_executor())?;
        self.executor_of(key)
    }

    fn master(&mut self, order: ToAgent) {
        match order {
            ToAgent::Registered { agent } => return self.registered(agent),
            ToAgent::Refused { rejection } => return self.refused(rejection),
            // A master that gives orders before it admits us is broken; its orders would go
            // unanswered, since nothing is told before the registration.
            _ if !self.is_registered() => return,
            _ => {}
        }
        match order {
            ToAgent::Registered { .. } | ToAgent::Refused { .. } => {}
            ToAgent::Launch { allocation, framework, role, granted, tasks } => {
                self.launch(&Batch { allocation, framework, role, granted }, tasks);
            }
            ToAgent::Recall { allocation } => self.recall(allocation),
            ToAgent::Kill { framework, task, attempt, by } => {
                self.kill_attempts(&framework, &task, attempt, &by);
            }
            ToAgent::Acknowledge { number, acknowledgements } => {
                acknowledgements.iter().for_each(|ack| self.acknowledged(ack));
                self.session.carried_out(number);
            }
            ToAgent::RemoveFramework { framework } => self.remove_framework(&framework),
            ToAgent::Volumes { volumes } => self.want_volumes(volumes),
            ToAgent::Message(message) => self.pass_message(message),
        }
    }

    fn tick(&mut self) {
        self.session_tick();
        self.resend_due();
        self.executors_tick();
        self.deliveries_tick();
    }
}
