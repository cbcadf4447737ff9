//! Scenarios of the core, each told as inputs and the exact effects they have.

mod delivery;
mod executors;
mod grants;
mod launching;
mod modules;
mod overtaking;
mod preemption;
mod queueing;
mod recovery;
mod session;
mod swarm;
mod updates;
mod volumes;

use crate::{
    Agent, Effect, ExecutorKey, ExecutorRun, HostDirs, Input, Policy, Profile, Record, Volume,
    state::State,
};
use skep_protocol::{
    AgentId, AllocationId, Amount, Artifact, Digest, FrameworkId, Incarnation, Nans, Outcome,
    Resources, Role, Source, StatusUpdate, TaskId, TaskKey, TaskSpec, TaskState, Time, Usage,
    agent::{AgentInfo, ToAgent, ToMaster},
    executor::{Report, StartGuest, ToExecutor},
    framework::Acknowledgement,
    ids::Attempt,
    outcome::Checkpoint,
    task::{Access, Feature, Terms},
};
use std::{collections::BTreeMap, time::Duration};

/// An agent, the disk it writes to and the clock it is told.
struct Bench {
    agent: Agent,
    now: Time,
    disk: BTreeMap<String, Record>,
}

impl Bench {
    fn new() -> Self {
        Self::with(policy(), BTreeMap::new()).0
    }

    fn with(policy: Policy, mut disk: BTreeMap<String, Record>) -> (Self, Vec<Effect>) {
        let (agent, effects) = Agent::recover(disk.values().cloned(), policy, info(), 7);
        write(&mut disk, &effects);
        let bench = Self { agent, now: at(0), disk };
        bench.check();
        (bench, effects)
    }

    /// An admitted agent that has the module and its artifact, and no executor yet.
    fn admitted() -> Self {
        let mut bench = Self::new();
        bench.have_module();
        bench.admit();
        bench
    }

    /// An admitted agent with all it needs to start a task at once.
    fn warm() -> Self {
        let mut bench = Self::admitted();
        bench.warm_up();
        bench
    }

    fn have_module(&mut self) {
        assert_eq!(self.act(Input::BlobReady { digest: module() }), []);
        assert_eq!(self.act(Input::Compiled { artifact: artifact() }), []);
    }

    fn admit(&mut self) -> Vec<Effect> {
        self.act(Input::Connected);
        self.master(ToAgent::Registered { agent: agent() })
    }

    /// Runs a first task to its end, so that the executor is there.
    fn warm_up(&mut self) {
        self.launch(9, [spec("first")]);
        self.act(executor_ready());
        self.report([ended("first")]);
        self.acknowledge("first", 2);
    }

    fn act(&mut self, input: Input) -> Vec<Effect> {
        let effects = self.agent.handle(self.now, input);
        write(&mut self.disk, &effects);
        self.check();
        effects
    }

    /// What always holds, and: what was written gives back what is known.
    fn check(&self) {
        self.agent.check_invariants();
        let mut replayed = State::default();
        self.disk.values().for_each(|record| replayed.apply(record));
        assert_eq!(replayed, self.agent.state);
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }

    /// Lets the time pass, with every tick that is due in it.
    fn pass(&mut self, seconds: u64) -> Vec<Effect> {
        let end = self.now + Duration::from_secs(seconds);
        let mut effects = Vec::new();
        while let Some(due) = self.agent.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            effects.extend(self.act(Input::Tick));
        }
        self.now = end;
        effects
    }

    fn master(&mut self, order: ToAgent) -> Vec<Effect> {
        self.act(Input::Master(order))
    }

    fn launch<const N: usize>(&mut self, allocation: u64, specs: [TaskSpec; N]) -> Vec<Effect> {
        self.master(ToAgent::Launch {
            allocation: AllocationId(allocation),
            framework: framework(),
            role: Role::default(),
            granted: granted(),
            tasks: specs.into_iter().map(Ok).collect(),
        })
    }

    fn report<const N: usize>(&mut self, reports: [Report; N]) -> Vec<Effect> {
        self.act(Input::Reports { executor: executor(), batch: 0, reports: reports.into() })
    }

    fn acknowledge(&mut self, task: &str, seq: u64) -> Vec<Effect> {
        let acknowledgements = vec![Acknowledgement { key: key(task), seq }];
        self.master(ToAgent::Acknowledge { number: 1, acknowledgements })
    }

    fn at(&self) -> Time {
        self.now
    }
}

/// Writes to the disk what a store would.
fn write(disk: &mut BTreeMap<String, Record>, effects: &[Effect]) {
    for effect in effects {
        let Effect::Persist(record) = effect else { continue };
        let key = record.key();
        if record.is_deletion() {
            for key in record.keys_below().into_iter().chain([key]) {
                assert!(disk.remove(&key).is_some(), "{key} was never written");
            }
        } else {
            disk.insert(key, record.clone());
        }
    }
}

fn policy() -> Policy {
    let volume = |path: &str, access| Volume { path: path.into(), access };
    let volumes = [
        ("data".into(), volume("/srv/data", Access::ReadWrite)),
        ("books".into(), volume("/srv/books", Access::ReadOnly)),
    ];
    Policy {
        tasks_max: 8,
        sandboxes_kept_max: 3,
        executors_per_framework_max: 2,
        volumes: volumes.into(),
        network: vec!["example.org:*".parse().expect("a rule")],
        ..Policy::default()
    }
}

fn info() -> AgentInfo {
    let features = Feature::ALL.into_iter().filter(|feature| *feature != Feature::Env);
    AgentInfo {
        hostname: "node".into(),
        attributes: BTreeMap::new(),
        architecture: "x86_64".into(),
        enforces: features.map(|feature| feature.name().into()).collect(),
        resources: Resources::new(Amount::units(4), Amount::units(1_024)),
        build: "0.1.0".into(),
        revocable: Resources::new(Amount::units(4), Amount::units(512)),
        region: None,
        zone: None,
        reserved: BTreeMap::new(),
    }
}

fn at(seconds: u64) -> Time {
    Time::from_micros(1_000_000_000) + Duration::from_secs(seconds)
}

fn agent() -> AgentId {
    AgentId::new("a1").expect("an id")
}

fn framework() -> FrameworkId {
    FrameworkId::new("f1").expect("an id")
}

fn executor() -> ExecutorKey {
    executor_of(framework())
}

fn executor_of(framework: FrameworkId) -> ExecutorKey {
    ExecutorKey { framework, profile: Profile::default() }
}

fn module() -> Digest {
    Digest::of(b"module")
}

fn artifact() -> Artifact {
    native(module())
}

fn native(module: Digest) -> Artifact {
    Artifact { module, nans: Nans::Native }
}

/// Room for two tasks.
fn granted() -> Resources {
    Resources::new(Amount::units(2), Amount::units(128))
}

fn spec(task: &str) -> TaskSpec {
    let resources = Resources::new(Amount::units(1), Amount::units(64));
    TaskSpec::new(TaskId::new(task).expect("an id"), module(), resources)
}

fn attempt(task: &str, attempt: u32) -> TaskSpec {
    TaskSpec { attempt: Attempt(attempt), ..spec(task) }
}

fn key(task: &str) -> TaskKey {
    key_of(task, 1)
}

fn key_of(task: &str, attempt: u32) -> TaskKey {
    let task = TaskId::new(task).expect("an id");
    TaskKey { framework: framework(), task, attempt: Attempt(attempt) }
}

fn accepted(allocation: u64, arrival: u64, spec: TaskSpec) -> Effect {
    let key = TaskKey { framework: framework(), task: spec.task.clone(), attempt: spec.attempt };
    Effect::Persist(Record::TaskAccepted {
        key,
        role: Role::default(),
        allocation: AllocationId(allocation),
        granted: granted(),
        arrival,
        spec: Box::new(spec),
    })
}

fn refused(allocation: u64, key: TaskKey) -> Effect {
    Effect::Persist(Record::TaskRefused {
        key,
        role: Role::default(),
        allocation: AllocationId(allocation),
        granted: granted(),
    })
}

fn confirmed<const N: usize>(tasks: [&str; N]) -> Effect {
    let tasks = tasks.into_iter().map(key).collect();
    Effect::SendMaster(ToMaster::TasksAccepted { tasks })
}

fn start<const N: usize>(specs: [TaskSpec; N]) -> Effect {
    let message = ToExecutor::Start { guests: specs.into_iter().map(guest).collect() };
    Effect::SendExecutor { executor: executor(), message }
}

fn guest(spec: TaskSpec) -> StartGuest {
    StartGuest {
        key: key_of(spec.task.as_str(), spec.attempt.0),
        agent: agent(),
        module: spec.module,
        name: spec.name,
        args: spec.args,
        index: spec.index,
        cpus: spec.resources.cpus(),
        memory_bytes: spec.resources.mem_bytes(),
        diagnostics: spec.diagnostics,
        limits: spec.limits,
        grants: spec.grants,
        inputs: spec.inputs,
        policies: spec.policies,
        checkpoint: spec.checkpoint,
        sandbox: format!("tasks/f1/{}.{}", spec.task, spec.attempt).into(),
    }
}

/// Counts those that the first run of an agent starts.
fn run(count: u64) -> ExecutorRun {
    ExecutorRun { incarnation: Incarnation(1), count }
}

fn executor_ready() -> Input {
    ready(executor())
}

fn ready(executor: ExecutorKey) -> Input {
    Input::ExecutorReady { executor, guests: Vec::new() }
}

fn start_executor(count: u64) -> [Effect; 2] {
    let (executor, run) = (executor(), run(count));
    let started = Record::ExecutorStarted { run, executor: executor.clone() };
    [Effect::Persist(started), Effect::StartExecutor { executor, run }]
}

fn executor_over(count: u64) -> [Effect; 2] {
    let run = run(count);
    [Effect::Persist(Record::ExecutorEnded { run }), Effect::ForgetExecutor { run }]
}

fn stop_executor() -> Effect {
    Effect::StopExecutor { executor: executor() }
}

fn update(key: TaskKey, seq: u64, state: TaskState, at: Time) -> StatusUpdate {
    let (agent, source) = (Some(agent()), Source::Agent);
    StatusUpdate {
        key,
        seq,
        agent,
        state,
        source,
        at,
        usage: None,
        result: Vec::new(),
        last_words: String::new(),
        outputs: Vec::new(),
        missing: Vec::new(),
    }
}

fn by_executor(update: StatusUpdate) -> StatusUpdate {
    let usage = update.state.is_terminal().then_some(usage());
    StatusUpdate { source: Source::Executor, usage, ..update }
}

fn over(outcome: Outcome) -> TaskState {
    TaskState::Ended(outcome)
}

fn persist(update: &StatusUpdate) -> Effect {
    Effect::Persist(Record::Updated(update.clone()))
}

fn send<const N: usize>(updates: [StatusUpdate; N]) -> Effect {
    Effect::SendMaster(ToMaster::StatusUpdates { updates: updates.into() })
}

fn usage() -> Usage {
    Usage { fuel: 100, stdout_bytes: 5, ..Usage::default() }
}

fn started(task: &str) -> Report {
    Report::Started { key: key(task), at: at(0) }
}

fn ended(task: &str) -> Report {
    ended_with(task, Outcome::Exited { code: 0 })
}

fn ended_with(task: &str, outcome: Outcome) -> Report {
    let (result, last_words) = (Vec::new(), String::new());
    Report::Ended { key: key(task), at: at(0), outcome, usage: usage(), result, last_words }
}

/// The update of a task that ended well by its executor's word.
fn finished(task: &str, seq: u64) -> StatusUpdate {
    by_executor(update(key(task), seq, over(Outcome::Exited { code: 0 }), at(0)))
}
