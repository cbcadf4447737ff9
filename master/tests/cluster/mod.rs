//! A master in this process, and its peers on real connections.

#![allow(dead_code, reason = "each target uses a part of it")]

use skep_master::{Config, Keep, Master, Policy};
use skep_protocol::{
    AgentId, AllocationId, Amount, Attempt, Digest, FrameworkId, Incarnation, Resources, Role,
    TaskId, TaskKey, TaskState,
    agent::{AgentInfo, HeldTask, Registration, ToAgent, ToMaster},
    data::{Request, Response},
    framework::{Call, Event, FrameworkInfo},
    operator::{self, Manner, PeerKind, Quota, Weight},
    task::{Feature, Terms},
};
use skep_transport::{
    Address, Connection, Dialer, Identity, InStream, RequestError, blob, join, log,
};
use std::{collections::BTreeMap, future::Future, net::Ipv4Addr, time::Duration};

/// What is stored at the master.
pub(crate) const BLOB: &[u8] = b"\0asm and so on";

/// Runs a test's future with a deadline, so that what does not come fails and does not hang.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it takes too long")
}

pub(crate) async fn start(keep: Keep) -> Master {
    let listen = (Ipv4Addr::LOCALHOST, 0).into();
    let config = Config { listen, advertise: None, keep, policy: Policy::default() };
    // The writer of a master that was stopped closes its file a moment later.
    soon(async {
        loop {
            match Master::start(config.clone()).await {
                Ok(master) => return master,
                Err(skep_master::StartError::Records(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await
}

fn addresses(master: &Master) -> [Address; 1] {
    [master.address().into()]
}

/// Dials until the master leads.
async fn dial(master: &Master, identity: &Identity) -> Connection {
    let dialer = Dialer::new(identity).unwrap();
    soon(async {
        loop {
            if let Ok(connection) = dialer.dial(&addresses(master)).await {
                return connection;
            }
        }
    })
    .await
}

pub(crate) struct Operator {
    connection: Connection,
    cluster: String,
}

impl Operator {
    pub(crate) async fn of(master: &Master) -> Self {
        let cluster = master.operator().cluster().to_string();
        Self { connection: dial(master, master.operator()).await, cluster }
    }

    pub(crate) fn cluster(&self) -> String {
        self.cluster.clone()
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    async fn ask(&mut self, order: operator::Request) -> operator::Response {
        match soon(self.connection.request(&Request::Operator(order))).await.unwrap() {
            Response::Operator(response) => response,
            other => panic!("{other:?}"),
        }
    }

    async fn join(&mut self, master: &Master, kind: PeerKind) -> Identity {
        let (uses, ttl) = (1, Duration::from_secs(600));
        let answer = self.ask(operator::Request::CreateToken { kind, uses, ttl }).await;
        let operator::Response::CreatedToken { token, .. } = answer else { panic!("{answer:?}") };
        soon(join(&addresses(master), &token.parse().unwrap(), "ann")).await.unwrap()
    }

    pub(crate) async fn admit_agent(&mut self, master: &Master) -> Agent {
        let identity = self.join(master, PeerKind::Agent).await;
        let mut agent = Agent { identity, connection: None };
        agent.register(master, Vec::new()).await;
        agent
    }

    pub(crate) async fn admit_framework(&mut self, master: &Master) -> Framework {
        let identity = self.join(master, PeerKind::Framework).await;
        let mut framework = Framework { identity, id: None, connection: None };
        framework.come_back_to(master).await;
        framework
    }

    /// Something of each kind: weights, quotas, reservations, volumes, tokens, a blob.
    pub(crate) async fn fill(&mut self, agent: &Agent) {
        let (agent, role) = (agent.id(), Role::new("eng").unwrap());
        let resources: Resources = "cpus:2;disk:100".parse().unwrap();
        let quota = Quota { guarantee: resources.clone(), ..Quota::default() };
        let token = (PeerKind::Agent, 3, Duration::from_secs(3_600));
        let (kind, uses, ttl) = token;
        let orders = [
            operator::Request::SetRole {
                role: role.clone(),
                weight: Weight::from_millis(2_000).unwrap(),
            },
            operator::Request::SetQuota { role: role.clone(), quota, manner: Manner::Gentle },
            operator::Request::Reserve {
                agent: agent.clone(),
                role: role.clone(),
                resources,
                from: None,
            },
            operator::Request::CreateVolume {
                agent,
                role,
                name: "data".into(),
                disk: Amount::units(50),
            },
            operator::Request::CreateToken { kind, uses, ttl },
        ];
        for order in orders {
            self.ask(order).await;
        }
        let digest = Digest::of(BLOB);
        soon(blob::put(&self.connection, digest, BLOB.len() as u64, BLOB)).await.unwrap();
    }

    /// All that people are shown of what outlives a master.
    pub(crate) async fn shown(&mut self) -> String {
        use operator::Request::{Modules, Roles, Tokens, Volumes};
        let mut shown = String::new();
        for request in [Tokens, Volumes, Modules] {
            shown += &format!("{:?}\n", self.ask(request).await);
        }
        let operator::Response::Roles(roles) = self.ask(Roles).await else { panic!("no roles") };
        for role in roles.roles {
            shown += &format!("{}: {} {:?}\n", role.role, role.weight, role.guarantee);
        }
        // When a blob was stored is when its file was made.
        let times = shown.split("stored_micros: ").map(|part| part.trim_start_matches(is_digit));
        times.collect()
    }

    pub(crate) async fn fetched_blob(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        soon(blob::fetch(&self.connection, Digest::of(BLOB), &mut bytes)).await.unwrap();
        bytes
    }

    pub(crate) async fn backup(&mut self) -> InStream {
        soon(log::read_backup(&self.connection, true)).await.unwrap()
    }
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

pub(crate) struct Agent {
    identity: Identity,
    /// Kept, so that it stays up.
    connection: Option<Connection>,
}

impl Agent {
    pub(crate) fn again(&self) -> Self {
        Self { identity: self.identity.clone(), connection: None }
    }

    pub(crate) fn id(&self) -> AgentId {
        AgentId::new(self.identity.name().id()).unwrap()
    }

    pub(crate) fn connection(&self) -> &Connection {
        self.connection.as_ref().unwrap()
    }

    /// It brings a task along that it runs.
    pub(crate) async fn come_back_to(&mut self, master: &Master, framework: FrameworkId) {
        let resources: Resources = "cpus:1;mem:64".parse().unwrap();
        let task = TaskId::new("t").unwrap();
        let held = HeldTask {
            key: TaskKey { framework, task, attempt: Attempt::FIRST },
            role: Role::default(),
            allocation: AllocationId(1),
            granted: resources.clone(),
            resources,
            terms: Terms::default(),
            name: "work".into(),
            state: TaskState::Running,
            volumes: Vec::new(),
            lost_after: None,
        };
        self.register(master, vec![held]).await;
    }

    async fn register(&mut self, master: &Master, tasks: Vec<HeldTask>) {
        let connection = dial(master, &self.identity).await;
        let (mut sender, mut receiver) = connection.control::<ToMaster, ToAgent>().unwrap();
        let info = AgentInfo {
            hostname: "node".into(),
            attributes: BTreeMap::new(),
            architecture: "x86_64".into(),
            enforces: Feature::ALL.iter().map(|feature| feature.name().into()).collect(),
            resources: "cpus:4;mem:1024;disk:1000".parse().unwrap(),
            revocable: Resources::none(),
            region: None,
            zone: None,
            reserved: BTreeMap::new(),
            build: "test".into(),
        };
        let (incarnation, volumes) = (Incarnation(1), Vec::new());
        let registration =
            Registration { incarnation, run: 1, connection: 1, info, tasks, volumes };
        soon(sender.send(&ToMaster::Register(registration))).await.unwrap();
        let answer = soon(receiver.recv()).await.unwrap();
        assert!(matches!(answer, Some(ToAgent::Registered { .. })), "{answer:?}");
        // Both ends of the control stream stay as they are for as long as the connection.
        std::mem::forget((sender, receiver));
        self.connection = Some(connection);
    }
}

pub(crate) struct Framework {
    identity: Identity,
    id: Option<FrameworkId>,
    connection: Option<(Connection, skep_transport::ControlReceiver<Event>)>,
}

impl Framework {
    pub(crate) fn again(&self) -> Self {
        Self { identity: self.identity.clone(), id: self.id.clone(), connection: None }
    }

    pub(crate) fn id(&self) -> FrameworkId {
        self.id.clone().unwrap()
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection.as_ref().unwrap().0
    }

    pub(crate) async fn come_back_to(&mut self, master: &Master) {
        let connection = dial(master, &self.identity).await;
        let (mut sender, mut receiver) = connection.control::<Call, Event>().unwrap();
        let info = FrameworkInfo { name: "test".into(), ..FrameworkInfo::default() };
        let (framework, run) = (self.id.clone(), 1);
        let call = Call::Subscribe { framework, run, connection: 1, info };
        soon(sender.send(&call)).await.unwrap();
        match soon(receiver.recv()).await.unwrap() {
            Some(Event::Subscribed { framework, .. }) => {
                assert!(self.id.as_ref().is_none_or(|id| *id == framework));
                self.id = Some(framework);
            }
            other => panic!("{other:?}"),
        }
        std::mem::forget(sender);
        self.connection = Some((connection, receiver));
    }

    pub(crate) async fn hears_that_its_task_runs(&mut self) {
        let (_, receiver) = self.connection.as_mut().unwrap();
        loop {
            if let Some(Event::StatusUpdates { updates }) = soon(receiver.recv()).await.unwrap() {
                let [update] = updates.as_slice() else { panic!("{updates:?}") };
                assert_eq!((update.key.task.as_str(), &update.state), ("t", &TaskState::Running));
                return;
            }
        }
    }

    pub(crate) async fn is_refused_a_backup(&self) -> bool {
        let (connection, _) = self.connection.as_ref().unwrap();
        let answer = soon(log::read_backup(connection, true)).await;
        matches!(answer, Err(RequestError::Refused(_)))
    }
}
