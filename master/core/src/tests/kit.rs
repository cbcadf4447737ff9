//! A cluster told as a story: peers have short names, effects are compared as lines of text.
//!
//! Every effect must be looked at: a story that ends with effects nobody expected has failed.
//! After each input the invariants are checked.

use super::show::Names;
use crate::{ConnectionId, Effect, Input, Master, Policy, Record, RequestId};
use skep_protocol::{
    AgentId, Attempt, Digest, FrameworkId, Incarnation, Outcome, Resources, Role, StatusUpdate,
    TaskId, TaskKey, TaskSpec, TaskState, Time, Usage,
    agent::{AgentInfo, HeldTask, Registration, ToMaster},
    framework::{Acknowledgement, Call, Filters, FrameworkInfo, LaunchTask, Operation},
    operator::{PeerKind, Request, Weight},
    outcome::Source,
    task::Feature,
};
use std::{collections::BTreeMap, time::Duration};

pub(crate) const START: Time = Time::from_micros(1_000_000_000);
pub(crate) const OK: TaskState = TaskState::Ended(Outcome::Exited { code: 0 });

pub(crate) struct Story {
    pub(crate) master: Master,
    pub(crate) now: Time,
    pub(crate) names: Names,
    pub(crate) records: Vec<Record>,
    policy: Policy,
    /// Those that nobody has looked at yet.
    effects: Vec<String>,
    agents: BTreeMap<String, AgentSide>,
    connections: u64,
    requests: u64,
    runs: u64,
}

struct AgentSide {
    id: AgentId,
    resources: Resources,
    revocable: Resources,
    region: Option<String>,
    reserved: BTreeMap<Role, Resources>,
    incarnation: u64,
    run: u64,
}

/// A task of the module that every story has stored.
pub(crate) fn task(name: &str, resources: &str) -> TaskSpec {
    let (name, attempt) = name.split_once('#').unwrap_or((name, "1"));
    let resources = resources.parse().expect("resources");
    let mut spec =
        TaskSpec::new(TaskId::new(name).expect("a task id"), Digest::of(b"module"), resources);
    spec.attempt = Attempt(attempt.parse().expect("an attempt"));
    spec
}

pub(crate) fn refuse(seconds: f64) -> Filters {
    Filters { refuse: Some(Duration::from_secs_f64(seconds)) }
}

impl Story {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Policy)) -> Self {
        let mut policy = Policy::default();
        change(&mut policy);
        Self::start(policy, Vec::new(), START, BTreeMap::new())
    }

    fn start(
        policy: Policy,
        records: Vec<Record>,
        now: Time,
        agents: BTreeMap<String, AgentSide>,
    ) -> Self {
        // New in each run, as a shell's seed is.
        let seed = now.as_micros() + records.len() as u64;
        let master = Master::recover(records.clone(), policy.clone(), seed);
        let mut story = Self {
            master,
            now,
            names: Names::default(),
            records,
            policy,
            effects: Vec::new(),
            agents,
            connections: 0,
            requests: 0,
            runs: 0,
        };
        story.feed(Input::BlobStored { digest: Digest::of(b"module") });
        story
    }

    /// The master dies and is started again on its records; all connections are gone.
    pub(crate) fn restart_master(mut self) -> Self {
        self.expect([""; 0]);
        let agents = std::mem::take(&mut self.agents);
        let names = std::mem::take(&mut self.names);
        let (policy, records) = (self.policy.clone(), std::mem::take(&mut self.records));
        let mut story = Self::start(policy, records, self.now, agents);
        story.names = names.of_the_next_run();
        story.connections = self.connections;
        story.runs = self.runs;
        story
    }

    /// Handles one input; what it causes is to be expected next.
    pub(crate) fn feed(&mut self, input: Input) {
        let effects = self.master.handle(self.now, input);
        self.master.check_invariants();
        for effect in effects {
            if let Effect::Persist(record) = &effect {
                self.records.push(record.clone());
            }
            self.effects.extend(self.names.show(&effect));
        }
    }

    /// Compares all effects since the last look.
    #[track_caller]
    pub(crate) fn expect<const N: usize>(&mut self, lines: [&str; N]) {
        let lines: Vec<String> = lines.iter().map(|line| (*line).into()).collect();
        assert_eq!(self.take_effects(), lines);
    }

    /// The effects since the last look, for those who compare them in another way.
    pub(crate) fn take_effects(&mut self) -> Vec<String> {
        let effects = std::mem::take(&mut self.effects);
        effects.iter().map(|line| self.names.shorten(line)).collect()
    }

    pub(crate) fn idle(&mut self) {
        self.feed(Input::Idle);
    }

    /// Lets time pass; ticks come exactly when the master asks for them.
    pub(crate) fn wait(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while let Some(due) = self.master.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.feed(Input::Tick);
        }
        self.now = end;
    }

    /// Admits an agent with a token and registers it, which is checked here.
    #[track_caller]
    pub(crate) fn agent(&mut self, name: &str, resources: &str) {
        self.admit_agent(name, resources);
        self.register(name, &[]);
        self.expect([&format!("{name}: registered")]);
    }

    #[track_caller]
    pub(crate) fn admit_agent(&mut self, name: &str, resources: &str) {
        let secret = Digest::of(name.as_bytes());
        let request = self.request();
        let (id, kind) = (format!("token-of-{name}"), PeerKind::Agent);
        let ttl = Duration::from_secs(60);
        self.feed(Input::CreateToken { request, id, secret, kind, uses: 1, ttl });
        let request = self.request();
        self.feed(Input::Join { request, secret, name: name.into() });
        self.take_effects();
        let Some(Record::AgentAdmitted { agent, .. }) = self.records.last() else {
            panic!("{name} was not admitted");
        };
        let id = agent.clone();
        self.names.agent(&id, name);
        let resources = resources.parse().expect("resources");
        self.runs += 1;
        let side = AgentSide {
            id,
            resources,
            revocable: Resources::none(),
            region: None,
            reserved: BTreeMap::new(),
            incarnation: 1,
            run: self.runs,
        };
        self.agents.insert(name.into(), side);
    }

    /// Connects an agent, which brings these tasks along.
    pub(crate) fn register(&mut self, name: &str, tasks: &[HeldTask]) {
        let connection = self.connect(name);
        self.register_on(connection, name, tasks);
    }

    pub(crate) fn register_on(&mut self, connection: ConnectionId, name: &str, tasks: &[HeldTask]) {
        let side = &self.agents[name];
        let info = AgentInfo {
            hostname: format!("host-of-{name}"),
            attributes: BTreeMap::new(),
            architecture: "x86_64".into(),
            enforces: Feature::ALL.iter().map(|feature| feature.name().into()).collect(),
            resources: side.resources.clone(),
            build: "test".into(),
            revocable: side.revocable.clone(),
            region: side.region.clone(),
            zone: None,
            reserved: side.reserved.clone(),
        };
        let (incarnation, run) = (Incarnation(side.incarnation), side.run);
        let registration = Registration {
            incarnation,
            run,
            connection: connection.0,
            info,
            tasks: tasks.to_vec(),
            volumes: Vec::new(),
        };
        let (agent, message) = (side.id.clone(), ToMaster::Register(registration));
        self.feed(Input::Agent { connection, agent, message });
    }

    /// The next registration is of another process of the agent.
    pub(crate) fn rerun(&mut self, name: &str, incarnation: u64) {
        self.runs += 1;
        let run = self.runs;
        let side = self.agents.get_mut(name).expect("an agent of the story");
        (side.incarnation, side.run) = (incarnation, run);
    }

    pub(crate) fn resize(&mut self, name: &str, resources: &str) {
        let side = self.agents.get_mut(name).expect("an agent of the story");
        side.resources = resources.parse().expect("resources");
    }

    /// Its next registration says that it lends so much.
    pub(crate) fn lend(&mut self, name: &str, revocable: &str) {
        let side = self.agents.get_mut(name).expect("an agent of the story");
        side.revocable = revocable.parse().expect("resources");
    }

    /// Its next registration says that it is there.
    pub(crate) fn locate(&mut self, name: &str, region: &str) {
        let side = self.agents.get_mut(name).expect("an agent of the story");
        side.region = Some(region.into());
    }

    /// The agent's own operator reserves this from its next registration on.
    pub(crate) fn reserve_fixed(&mut self, name: &str, role: &str, resources: &str) {
        let side = self.agents.get_mut(name).expect("an agent of the story");
        let role = Role::new(role).expect("a role");
        side.reserved.insert(role, resources.parse().expect("resources"));
    }

    pub(crate) fn id_of(&self, name: &str) -> AgentId {
        self.agents[name].id.clone()
    }

    pub(crate) fn agent_says(&mut self, name: &str, message: ToMaster) {
        let connection = self.names.connection(name);
        self.feed(Input::Agent { connection, agent: self.id_of(name), message });
    }

    /// The agent's loop is alive for so many seconds, as it says each second.
    pub(crate) fn wait_beating(&mut self, name: &str, seconds: u32) {
        for _ in 0..seconds {
            self.agent_says(name, ToMaster::Beat { inputs: 1, unsaved_millis: 0, acknowledged: 0 });
            self.wait(1.0);
        }
    }

    /// Subscribes a new framework in a role, which is checked here.
    #[track_caller]
    pub(crate) fn framework(&mut self, name: &str, role: &str) {
        let info = info(name, role);
        self.subscribe(name, "me", None, info);
        self.expect([&format!("record framework/{name}"), &format!("{name}: subscribed")]);
    }

    pub(crate) fn subscribe(
        &mut self,
        name: &str,
        principal: &str,
        framework: Option<FrameworkId>,
        info: FrameworkInfo,
    ) {
        let connection = self.connect(name);
        let (run, number) = (0, 0);
        let call = Call::Subscribe { framework, run, connection: number, info };
        let principal = principal.into();
        self.feed(Input::Framework { connection, principal, call });
    }

    /// The same framework again, on a connection of its own.
    pub(crate) fn resubscribe(&mut self, name: &str, role: &str) {
        let framework = Some(self.names.framework(name));
        self.subscribe(name, "me", framework, info(name, role));
    }

    pub(crate) fn call(&mut self, name: &str, call: Call) {
        let connection = self.names.connection(name);
        self.feed(Input::Framework { connection, principal: "me".into(), call });
    }

    pub(crate) fn accept(&mut self, name: &str, offers: &[&str], tasks: &[TaskSpec]) {
        self.accept_with(name, offers, tasks, Filters::default());
    }

    pub(crate) fn accept_with(
        &mut self,
        name: &str,
        offers: &[&str],
        tasks: &[TaskSpec],
        filters: Filters,
    ) {
        let offers = offers.iter().map(|offer| self.names.offer(offer)).collect();
        let operations = vec![Operation::Launch { tasks: launch(tasks) }];
        self.call(name, Call::Accept { offers, operations, filters });
    }

    pub(crate) fn decline(&mut self, name: &str, offers: &[&str], filters: Filters) {
        let offers = offers.iter().map(|offer| self.names.offer(offer)).collect();
        self.call(name, Call::Decline { offers, filters });
    }

    pub(crate) fn enqueue(&mut self, name: &str, allocation: &str, tasks: &[TaskSpec]) {
        let allocation = self.names.allocation(allocation);
        self.call(name, Call::Enqueue { allocation, tasks: launch(tasks) });
    }

    pub(crate) fn acknowledge(&mut self, name: &str, task: &str, seq: u64) {
        let key = self.key(name, task);
        self.call(name, Call::Acknowledge { acknowledgements: vec![Acknowledgement { key, seq }] });
    }

    /// The agent has recorded tasks of a framework.
    pub(crate) fn recorded(&mut self, agent: &str, framework: &str, tasks: &[&str]) {
        let tasks = tasks.iter().map(|task| self.key(framework, task)).collect();
        self.agent_says(agent, ToMaster::TasksAccepted { tasks });
    }

    pub(crate) fn update(
        &mut self,
        agent: &str,
        framework: &str,
        task: &str,
        seq: u64,
        state: TaskState,
    ) {
        let update = self.status_update(framework, task, seq, state);
        self.agent_says(agent, ToMaster::StatusUpdates { updates: vec![update] });
    }

    pub(crate) fn status_update(
        &self,
        framework: &str,
        task: &str,
        seq: u64,
        state: TaskState,
    ) -> StatusUpdate {
        let usage = state.is_terminal().then(Usage::default);
        StatusUpdate {
            key: self.key(framework, task),
            seq,
            agent: None,
            state,
            source: Source::Agent,
            at: self.now,
            usage,
            result: Vec::new(),
            last_words: String::new(),
            outputs: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// A framework `f` with these tasks running on agent `a`, which has two cpus; of the rest
    /// nothing is offered yet.
    #[track_caller]
    pub(crate) fn with_tasks(tasks: &[TaskSpec]) -> Self {
        let mut story = Self::new();
        story.framework("f", "r");
        story.agent("a", "cpus:2;mem:128");
        story.idle();
        story.expect(["f: offer o1 of a: cpus:2;mem:128"]);
        story.run("f", "o1", "a", tasks);
        story
    }

    /// Launches tasks on an offer, has them recorded, and looks away.
    #[track_caller]
    pub(crate) fn run(&mut self, framework: &str, offer: &str, agent: &str, tasks: &[TaskSpec]) {
        self.accept(framework, &[offer], tasks);
        let names: Vec<String> =
            tasks.iter().map(|spec| format!("{}#{}", spec.task, spec.attempt)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.recorded(agent, framework, &names);
        for name in &names {
            self.update(agent, framework, name, 1, TaskState::Running);
        }
        let effects = self.take_effects();
        assert!(effects.iter().all(|line| !line.contains("refused")), "{effects:?}");
    }

    /// A task as its agent reports it on registering.
    pub(crate) fn held(
        &self,
        framework: &str,
        spec: &TaskSpec,
        allocation: &str,
        granted: &str,
        state: TaskState,
    ) -> HeldTask {
        HeldTask {
            key: self.key(framework, &format!("{}#{}", spec.task, spec.attempt)),
            role: Role::default(),
            allocation: self.names.allocation(allocation),
            granted: granted.parse().expect("resources"),
            resources: spec.resources.clone(),
            terms: spec.terms,
            name: spec.name.clone(),
            state,
            volumes: Vec::new(),
            lost_after: spec.policies.lost_after,
        }
    }

    pub(crate) fn key(&self, framework: &str, task: &str) -> TaskKey {
        let (task, attempt) = task.split_once('#').unwrap_or((task, "1"));
        TaskKey {
            framework: self.names.framework(framework),
            task: TaskId::new(task).expect("a task id"),
            attempt: Attempt(attempt.parse().expect("an attempt")),
        }
    }

    pub(crate) fn disconnect(&mut self, name: &str) {
        let connection = self.names.connection(name);
        self.feed(Input::Disconnected { connection });
    }

    pub(crate) fn order(&mut self, order: Request) {
        let request = self.request();
        self.feed(Input::Order { request, order });
    }

    #[track_caller]
    pub(crate) fn weigh(&mut self, role: &str, millis: u64) {
        let weight = Weight::from_millis(millis).expect("a weight");
        self.order(Request::SetRole { role: Role::new(role).expect("a role"), weight });
        self.expect([&format!("record role/{role}"), "answer: done"]);
    }

    pub(crate) fn request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    pub(crate) fn connect(&mut self, name: &str) -> ConnectionId {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        self.names.connected(name, connection);
        connection
    }
}

pub(crate) fn info(name: &str, role: &str) -> FrameworkInfo {
    let role = Role::new(role).expect("a role");
    FrameworkInfo {
        name: name.into(),
        role,
        failover_timeout: Duration::from_secs(60),
        ..FrameworkInfo::default()
    }
}

pub(crate) fn launch(tasks: &[TaskSpec]) -> Vec<LaunchTask> {
    tasks.iter().cloned().map(Ok).collect()
}

impl Drop for Story {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.effects.is_empty(), "nobody looked at {:#?}", self.effects);
        }
    }
}
