//! Random histories: whatever peers do, in whatever order, the invariants hold, agents are not
//! given more than they have, every operation is answered, and it all happens again just so.
//!
//! The agents and frameworks here are models that are written from the protocol: they take what
//! the master sends, and say things that fit as well as things that do not.

use super::kit::{START, info, task};
use crate::{ConnectionId, Effect, Input, Master, Policy, Record, RequestId};
use proptest::prelude::*;
use skep_protocol::{
    AgentId, AllocationId, Digest, FrameworkId, Incarnation, OfferId, Outcome, Rejection,
    Resources, Role, TaskKey, TaskSpec, TaskState, Time,
    agent::{AgentInfo, HeldTask, Registration, ToAgent, ToMaster},
    framework::{Acknowledgement, Answer, Call, Event, Filters, Operation},
    operator::{Leftover, Maintenance, PeerKind, Request, Weight},
    resources::CPUS,
    task::{Feature, Terms},
};
use std::{collections::BTreeMap, time::Duration};

const PEERS: usize = 3;
const AGENT_HAS: &str = "cpus:4;disk:20;mem:1024";
/// What it lends on top, to the last of the frameworks, which takes nothing else.
const AGENT_LENDS: &str = "cpus:2";

/// One step: what happens, and two numbers that choose to whom and how.
type Step = (u8, u16, u16);

#[derive(Default)]
struct AgentModel {
    id: Option<AgentId>,
    connection: Option<ConnectionId>,
    incarnation: u64,
    tasks: BTreeMap<TaskKey, HeldTask>,
    numbers: BTreeMap<TaskKey, u64>,
    granted: BTreeMap<AllocationId, Resources>,
    killed: Vec<TaskKey>,
    /// The number of the last order to acknowledge on this connection.
    acknowledged: u64,
}

#[derive(Default)]
struct FrameworkModel {
    id: Option<FrameworkId>,
    connection: Option<ConnectionId>,
    offers: Vec<OfferId>,
    allocations: Vec<AllocationId>,
    launched: Vec<TaskSpec>,
    seen: Vec<Acknowledgement>,
    unanswered: usize,
}

struct World {
    master: Master,
    policy: Policy,
    now: Time,
    agents: [AgentModel; PEERS],
    frameworks: [FrameworkModel; PEERS],
    records: Vec<Record>,
    effects: Vec<Effect>,
    count: u64,
}

impl World {
    fn new() -> Self {
        let policy = Policy {
            lost_after: Duration::from_secs(30),
            agent_tasks_max: 12,
            ended_tasks_max: 8,
            ..Policy::default()
        };
        let mut world = Self {
            master: Master::recover([], policy.clone(), 7),
            policy,
            now: START,
            agents: Default::default(),
            frameworks: Default::default(),
            records: Vec::new(),
            effects: Vec::new(),
            count: 0,
        };
        world.feed(Input::BlobStored { digest: Digest::of(b"module") });
        for n in 0..PEERS {
            let (request, secret) = (RequestId(n as u64), Digest::of(&[n as u8]));
            let (id, kind, uses) = (n.to_string(), PeerKind::Agent, 1);
            let ttl = Duration::from_secs(1);
            world.feed(Input::CreateToken { request, id, secret, kind, uses, ttl });
            world.feed(Input::Join { request, secret, name: "node".into() });
            if let Some(Record::AgentAdmitted { agent, .. }) = world.records.last() {
                world.agents[n].id = Some(agent.clone());
            }
        }
        world
    }

    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn feed(&mut self, input: Input) {
        let effects = self.master.handle(self.now, input);
        self.master.check_invariants();
        self.effects.extend(effects.clone());
        let mut hung_up = Vec::new();
        for effect in effects {
            match effect {
                Effect::Persist(record) => self.records.push(record),
                Effect::SendAgent { connection, message } => self.at_agent(connection, message),
                Effect::SendFramework { connection, event } => {
                    self.at_framework(connection, event);
                }
                Effect::Disconnect { connection } => hung_up.push(connection),
                Effect::Answer { .. } => {}
            }
        }
        for connection in hung_up {
            self.drop_connection(connection);
            self.feed(Input::Disconnected { connection });
        }
        self.check_agents();
    }

    fn drop_connection(&mut self, connection: ConnectionId) {
        for agent in self.agents.iter_mut().filter(|a| a.connection == Some(connection)) {
            agent.connection = None;
        }
        let frameworks = self.frameworks.iter_mut();
        for framework in frameworks.filter(|f| f.connection == Some(connection)) {
            framework.connection = None;
            framework.unanswered = 0;
        }
    }

    fn at_agent(&mut self, connection: ConnectionId, message: ToAgent) {
        let agent = self.agents.iter_mut().find(|agent| agent.connection == Some(connection));
        let Some(agent) = agent else { return };
        match message {
            ToAgent::Launch { allocation, framework, role, granted, tasks } => {
                agent.granted.insert(allocation, granted.clone());
                for spec in tasks.into_iter().flatten() {
                    let (task, attempt) = (spec.task, spec.attempt);
                    let key = TaskKey { framework: framework.clone(), task, attempt };
                    let held = HeldTask {
                        key: key.clone(),
                        role: role.clone(),
                        allocation,
                        granted: granted.clone(),
                        resources: spec.resources,
                        terms: spec.terms,
                        name: spec.name,
                        state: TaskState::Staging,
                        volumes: Vec::new(),
                        lost_after: spec.policies.lost_after,
                    };
                    agent.tasks.entry(key).or_insert(held);
                }
            }
            ToAgent::Kill { framework, task, attempt, .. } => {
                agent.killed.push(TaskKey { framework, task, attempt });
            }
            ToAgent::Acknowledge { number, acknowledgements } => {
                agent.acknowledged = number;
                for ack in acknowledgements {
                    let newest = agent.numbers.get(&ack.key).copied().unwrap_or(0);
                    let held = agent.tasks.get(&ack.key);
                    if ack.seq >= newest && held.is_some_and(|held| held.state.is_terminal()) {
                        agent.tasks.remove(&ack.key);
                    }
                }
            }
            ToAgent::RemoveFramework { framework } => {
                agent.tasks.retain(|key, _| key.framework != framework);
            }
            ToAgent::Registered { .. }
            | ToAgent::Refused { .. }
            | ToAgent::Recall { .. }
            | ToAgent::Volumes { .. }
            | ToAgent::Message(_) => {}
        }
    }

    fn at_framework(&mut self, connection: ConnectionId, event: Event) {
        let framework = self.frameworks.iter_mut().find(|f| f.connection == Some(connection));
        let Some(known) = framework else { return };
        match event {
            Event::Subscribed { framework, .. } => known.id = Some(framework),
            Event::Offers { offers } => known.offers.extend(offers.iter().map(|offer| offer.id)),
            Event::Answered { answer, .. } => {
                known.unanswered -= 1;
                if let Answer::Launched { allocation, .. } = answer {
                    known.allocations.push(allocation);
                }
            }
            Event::StatusUpdates { updates } => {
                let numbered = updates.into_iter().filter(|update| update.seq > 0);
                known.seen.extend(numbered.map(|u| Acknowledgement { key: u.key, seq: u.seq }));
            }
            Event::Refused { rejection: Rejection::UnknownFramework { .. } } => known.id = None,
            _ => {}
        }
    }

    /// What the tasks of an agent could use at any moment is no more than it has; tasks that it
    /// was told to kill are left out.
    fn check_agents(&self) {
        for agent in &self.agents {
            let mut wanted: BTreeMap<(AllocationId, Terms), Resources> = BTreeMap::new();
            for (key, held) in &agent.tasks {
                if !held.state.is_terminal() && !agent.killed.contains(key) {
                    wanted.entry((held.allocation, held.terms)).or_default().add(&held.resources);
                }
            }
            let (mut used, mut lent) = (Resources::none(), Resources::none());
            for ((allocation, terms), wanted) in wanted {
                let used_of_it = wanted.at_most(&agent.granted[&allocation]);
                used.add(&used_of_it);
                if terms == Terms::Revocable {
                    lent.add(&Resources::none().with(CPUS, used_of_it.cpus()));
                }
            }
            let used = used.minus(&lent);
            let has: Resources = AGENT_HAS.parse().expect("resources");
            assert!(has.contains(&used), "{:?} may use {used} of {has}", agent.id);
            let lends: Resources = AGENT_LENDS.parse().expect("resources");
            assert!(lends.contains(&lent), "{:?} may lend {lent} of {lends}", agent.id);
        }
    }

    fn step(&mut self, (kind, a, b): Step) {
        let (who, how) = (usize::from(a) % PEERS, usize::from(b));
        match kind % 20 {
            0 | 1 => self.register(who, how),
            2 => self.disconnect_agent(who),
            3 | 4 => self.subscribe(who),
            5 => self.disconnect_framework(who, how),
            6..=8 => self.accept(who, how),
            9 => self.decline(who, how),
            10 => self.enqueue(who, how),
            11 | 12 => self.record(who),
            13..=15 => self.update(who, how),
            16 => self.acknowledge(who, how),
            17 => self.ask(who, how),
            18 => self.odd(who, how),
            _ => self.pass_time(how),
        }
        self.feed(Input::Idle);
    }

    fn register(&mut self, who: usize, how: usize) {
        let connection = ConnectionId(self.next());
        let agent = &mut self.agents[who];
        agent.acknowledged = 0;
        agent.incarnation += u64::from(how.is_multiple_of(3));
        if how.is_multiple_of(7) {
            agent.tasks.pop_first();
        }
        let registration = Registration {
            incarnation: Incarnation(agent.incarnation),
            run: agent.incarnation,
            connection: 0,
            info: AgentInfo {
                hostname: String::new(),
                attributes: BTreeMap::new(),
                architecture: String::new(),
                enforces: Feature::ALL.iter().map(|feature| feature.name().into()).collect(),
                resources: AGENT_HAS.parse().expect("resources"),
                build: String::new(),
                revocable: AGENT_LENDS.parse().expect("resources"),
                region: None,
                zone: None,
                reserved: BTreeMap::new(),
            },
            tasks: agent.tasks.values().cloned().collect(),
            volumes: Vec::new(),
        };
        agent.connection = Some(connection);
        let Some(agent) = agent.id.clone() else { return };
        self.feed(Input::Agent { connection, agent, message: ToMaster::Register(registration) });
    }

    fn disconnect_agent(&mut self, who: usize) {
        if let Some(connection) = self.agents[who].connection.take() {
            self.feed(Input::Disconnected { connection });
        }
    }

    fn agent_says(&mut self, who: usize, message: ToMaster) {
        let AgentModel { id, connection, .. } = &self.agents[who];
        if let (Some(agent), Some(connection)) = (id.clone(), *connection) {
            self.feed(Input::Agent { connection, agent, message });
        }
    }

    fn call(&mut self, who: usize, call: Call) {
        if let Some(connection) = self.frameworks[who].connection {
            let principal = "me".into();
            self.feed(Input::Framework { connection, principal, call });
        }
    }

    fn subscribe(&mut self, who: usize) {
        let connection = ConnectionId(self.next());
        let known = &mut self.frameworks[who];
        *known = FrameworkModel {
            id: known.id.clone(),
            launched: std::mem::take(&mut known.launched),
            connection: Some(connection),
            ..FrameworkModel::default()
        };
        let mut info = info("f", if who == 0 { "a" } else { "b" });
        info.failover_timeout = Duration::from_secs(20);
        if who == PEERS - 1 {
            info.capabilities.insert("revocable".into());
        }
        self.call(
            who,
            Call::Subscribe {
                framework: self.frameworks[who].id.clone(),
                run: 0,
                connection: 0,
                info,
            },
        );
    }

    fn disconnect_framework(&mut self, who: usize, how: usize) {
        if how.is_multiple_of(4) {
            self.call(who, Call::Teardown);
        } else if let Some(connection) = self.frameworks[who].connection {
            self.drop_connection(connection);
            self.feed(Input::Disconnected { connection });
        }
    }

    /// New tasks, with a later attempt of an old one among them now and then.
    fn tasks(&mut self, who: usize, how: usize) -> Vec<TaskSpec> {
        let mut tasks = Vec::new();
        for n in 0..how % 5 {
            let name = format!("t{}", self.next());
            let terms = if who == PEERS - 1 { Terms::Revocable } else { Terms::Regular };
            let task = task(&name, ["cpus:1;mem:128", "cpus:3;mem:64"][n % 2]);
            tasks.push(TaskSpec { terms, ..task });
        }
        let launched = &mut self.frameworks[who].launched;
        if let Some(old) = launched.get(how % 8) {
            let attempt = if how.is_multiple_of(2) { old.attempt } else { old.attempt.next() };
            tasks.push(TaskSpec { attempt, ..old.clone() });
        }
        launched.extend(tasks.iter().cloned());
        tasks
    }

    fn accept(&mut self, who: usize, how: usize) {
        let tasks = self.tasks(who, how);
        let known = &mut self.frameworks[who];
        let Some(offer) = known.offers.get(how % known.offers.len().max(1)).copied() else {
            return;
        };
        let mut offers = vec![offer];
        offers.extend(known.offers.first().filter(|_| how.is_multiple_of(5)));
        let tasks = tasks.into_iter().map(Ok).collect();
        let operations = vec![Operation::Launch { tasks }; 1 + how % 2];
        if known.connection.is_some() {
            known.unanswered += operations.len();
        }
        let filters = Filters { refuse: (how.is_multiple_of(3)).then_some(Duration::ZERO) };
        self.call(who, Call::Accept { offers, operations, filters });
        assert_eq!(self.frameworks[who].unanswered, 0, "an operation was not answered");
    }

    fn enqueue(&mut self, who: usize, how: usize) {
        let tasks: Vec<_> = self.tasks(who, how).into_iter().map(Ok).collect();
        let known = &mut self.frameworks[who];
        let allocations = &known.allocations;
        let Some(allocation) = allocations.get(how % allocations.len().max(1)).copied() else {
            return;
        };
        if known.connection.is_some() {
            known.unanswered += 1;
        }
        self.call(who, Call::Enqueue { allocation, tasks });
        assert_eq!(self.frameworks[who].unanswered, 0, "an operation was not answered");
    }

    fn decline(&mut self, who: usize, how: usize) {
        let offers = std::mem::take(&mut self.frameworks[who].offers);
        let filters = Filters { refuse: Some(Duration::from_millis(how as u64 % 9_000)) };
        self.call(who, Call::Decline { offers, filters });
    }

    fn record(&mut self, who: usize) {
        let tasks = self.agents[who].tasks.keys().cloned().collect();
        self.agent_says(who, ToMaster::TasksAccepted { tasks });
    }

    /// An agent moves one of its tasks on, or repeats itself.
    fn update(&mut self, who: usize, how: usize) {
        let agent = &mut self.agents[who];
        let Some(held) = agent.tasks.values_mut().nth(how % 5) else { return };
        let number = agent.numbers.entry(held.key.clone()).or_insert(0);
        if !held.state.is_terminal() && !how.is_multiple_of(6) {
            held.state = match how % 4 {
                0 => TaskState::Running,
                1 => TaskState::Ended(Outcome::Refused { rejection: Rejection::Recalled }),
                _ => super::kit::OK,
            };
            *number += 1;
        }
        let (key, state, seq) = (held.key.clone(), held.state.clone(), *number);
        let update = skep_protocol::StatusUpdate {
            key,
            seq,
            agent: None,
            state,
            source: skep_protocol::Source::Executor,
            at: self.now,
            usage: None,
            result: Vec::new(),
            last_words: String::new(),
            outputs: Vec::new(),
            missing: Vec::new(),
        };
        self.agent_says(who, ToMaster::StatusUpdates { updates: vec![update] });
    }

    fn acknowledge(&mut self, who: usize, how: usize) {
        let seen = &mut self.frameworks[who].seen;
        let keep = seen.len().saturating_sub(how % 4);
        let acknowledgements = seen.split_off(keep);
        self.call(who, Call::Acknowledge { acknowledgements });
    }

    fn ask(&mut self, who: usize, how: usize) {
        let launched = &self.frameworks[who].launched;
        let name = launched.get(how % 16).map(|spec| (spec.task.clone(), spec.attempt));
        match (how % 6, name) {
            (0, Some((task, _))) => self.call(who, Call::Kill { task }),
            (1, name) => self.call(who, Call::Reconcile { tasks: name.into_iter().collect() }),
            (2, _) => self.call(who, Call::Suppress { roles: [].into() }),
            (3, Some((task, _))) => {
                let order = Request::Kill { framework: None, task };
                self.feed(Input::Order { request: RequestId(0), order });
            }
            _ => self.call(who, Call::Revive { roles: [].into() }),
        }
    }

    /// What happens seldom, or never if peers are sound.
    fn odd(&mut self, who: usize, how: usize) {
        match how % 7 {
            0 => self.restart_master(),
            1 => {
                let weight = Weight::from_millis(1 + how as u64).unwrap_or(Weight::ONE);
                let role = Role::new(["a", "b"][who % 2]).expect("a role");
                let order = Request::SetRole { role, weight };
                self.feed(Input::Order { request: RequestId(0), order });
            }
            2 => {
                // An agent that speaks for another's tasks.
                let other = self.agents[(who + 1) % PEERS].tasks.keys().cloned().collect();
                self.agent_says(who, ToMaster::TasksAccepted { tasks: other });
            }
            3 => self.call(
                who,
                Call::Subscribe { framework: None, run: 0, connection: 0, info: info("f", "a") },
            ),
            4 => self.order_duty(who, how / 7),
            5 => self.keep(who, how / 7),
            _ => self.feed(Input::Disconnected { connection: ConnectionId(u64::MAX) }),
        }
    }

    /// What an operator decides about an agent.
    fn order_duty(&mut self, who: usize, how: usize) {
        let Some(agent) = self.agents[who].id.clone() else { return };
        let seconds = |n: usize| Duration::from_secs(n as u64 % 40);
        let order = match how % 9 {
            0 | 1 => Request::Drain { agent, grace: seconds(how / 9) },
            2 => Request::Deactivate { agent },
            3..=5 => Request::Activate { agent },
            6 => {
                let (from, lasts) = (self.now + seconds(how / 9), seconds(how / 3));
                let tasks = if how.is_multiple_of(2) { Leftover::Ended } else { Leftover::Kept };
                let maintenance = Some(Maintenance { from, lasts, tasks });
                Request::SetMaintenance { agent, maintenance }
            }
            7 => Request::SetMaintenance { agent, maintenance: None },
            _ if how.is_multiple_of(5) => Request::Gone { agent },
            _ => return,
        };
        self.feed(Input::Order { request: RequestId(0), order });
    }

    /// Reservations and volumes, by order and by operation.
    fn keep(&mut self, who: usize, how: usize) {
        let Some(agent) = self.agents[who].id.clone() else { return };
        let role = |name: &str| Role::new(name).expect("a role");
        let (own, below) = (role(["a", "b"][who % 2]), role(["a/c", "b/c"][who % 2]));
        let resources: Resources = "cpus:1;disk:10".parse().expect("resources");
        let name = String::from("v");
        let order = match how % 5 {
            0 => Request::Reserve { agent, role: own, resources, from: None },
            1 => Request::Reserve { agent, role: below, resources, from: Some(own) },
            2 => Request::Unreserve { agent, role: own, resources, to: None },
            3 => {
                let disk = skep_protocol::Amount::units(5);
                Request::CreateVolume { agent, role: own, name, disk }
            }
            _ => Request::DestroyVolume { agent, name },
        };
        self.feed(Input::Order { request: RequestId(0), order });
    }

    fn restart_master(&mut self) {
        let records = self.records.clone();
        let seed = self.next();
        let before = std::mem::replace(
            &mut self.master,
            Master::recover(records, self.policy.clone(), seed),
        );
        assert_eq!(self.master.durable, before.durable, "the records give another state");
        self.agents.iter_mut().for_each(|agent| agent.connection = None);
        for framework in &mut self.frameworks {
            *framework = FrameworkModel {
                id: framework.id.clone(),
                launched: std::mem::take(&mut framework.launched),
                ..FrameworkModel::default()
            };
        }
        self.feed(Input::BlobStored { digest: Digest::of(b"module") });
    }

    fn pass_time(&mut self, how: usize) {
        let end = self.now + Duration::from_millis([1, 300, 2_000, 9_000, 31_000][how % 5]);
        while let Some(due) = self.master.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.feed(Input::Tick);
        }
        self.now = end;
        for who in 0..PEERS {
            let acknowledged = self.agents[who].acknowledged;
            self.agent_says(who, ToMaster::Beat { inputs: 0, unsaved_millis: 0, acknowledged });
        }
    }
}

fn told(steps: &[Step]) -> Vec<Effect> {
    let mut world = World::new();
    for step in steps {
        world.step(*step);
    }
    world.effects
}

proptest! {
    #![proptest_config(skep_properties::cases(300))]

    #[test]
    fn whatever_happens_the_invariants_hold_and_it_happens_again_just_so(
        steps in prop::collection::vec(any::<Step>(), 1..250),
    ) {
        prop_assert_eq!(told(&steps), told(&steps));
    }
}
