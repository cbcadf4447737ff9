//! One example of each kind of message, with all of its fields set; their bytes are golden.

use super::{
    ends::{outcomes, rejections},
    views,
};
use crate::{
    agent::{self, AgentInfo, HeldTask, Registration, ToMaster, Volume},
    data::{self, Follow, LogStream, StreamHeader},
    executor::{self, GuestStage, HeldGuest, Report, StartGuest, ToExecutor},
    framework::{
        Acknowledgement, Answer, Call, Consent, Demand, Event, Filters, FrameworkInfo,
        InverseOffer, Offer, Operation, RefusedTask, Window,
    },
    hello::Hello,
    ids::*,
    operator::{self, Ended, Leftover, Maintenance, Manner, PeerKind, Quota, Weight},
    outcome::*,
    rejection::Rejection,
    resources::{Amount, DISK, Resources},
    task::{
        Access, Clock, Diagnostics, DirGrant, DirSource, Grants, Limits, Policies, Random, Retry,
        RetryOn, TaskSpec, Terms,
    },
    time::Time,
    wishes::Wishes,
};
use std::{collections::BTreeMap, time::Duration};

/// Examples of one message, each with the name of its kind.
type Examples<M> = Vec<(&'static str, M)>;

pub(super) fn hellos() -> Examples<Hello> {
    let features = vec!["queued_launch".into()];
    vec![("hello", Hello { protocol_min: 1, protocol_max: 2, build: "0.1.0".into(), features })]
}

pub(super) fn calls() -> Examples<Call> {
    let info = FrameworkInfo {
        name: "nightly".into(),
        role: role(),
        more_roles: [Role::new("ops").expect("a role")].into(),
        capabilities: ["revocable".to_owned()].into(),
        wishes: [(role(), wishes())].into(),
        failover_timeout: Duration::from_secs(3_600),
    };
    let filters = Filters { refuse: Some(Duration::from_millis(1_500)) };
    let tasks = vec![Ok(rich_spec()), Ok(plain_spec()), Err(refused(Rejection::Recalled))];
    let mut operations = vec![Operation::Launch { tasks: tasks.clone() }];
    operations.extend(keeping_operations());
    vec![
        (
            "subscribe",
            Call::Subscribe { framework: Some(framework()), run: 1 << 59, connection: 2, info },
        ),
        ("accept", Call::Accept { offers: vec![OfferId(1), OfferId(255)], operations, filters }),
        ("decline", Call::Decline { offers: vec![OfferId(2)], filters: Filters::default() }),
        ("enqueue", Call::Enqueue { allocation: AllocationId(3), tasks }),
        ("suppress", Call::Suppress { roles: [].into() }),
        ("revive", Call::Revive { roles: [].into() }),
        (
            "demand",
            Call::Demand {
                role: Some(role()),
                demand: Some(Demand {
                    least: resources(),
                    wants: resources(),
                    terms: Some(Terms::Revocable),
                }),
            },
        ),
        ("demand_of_anything", Call::Demand { role: None, demand: None }),
        ("kill", Call::Kill { task: task() }),
        ("acknowledge", Call::Acknowledge { acknowledgements: acknowledgements() }),
        ("reconcile", Call::Reconcile { tasks: vec![(task(), Attempt(2))] }),
        ("teardown", Call::Teardown),
        (
            "answer_inverse",
            Call::AnswerInverse { offers: vec![OfferId(7)], consent: Consent::Accepted },
        ),
    ]
}

fn keeping_operations() -> [Operation; 4] {
    let above = || Role::new("eng").ok();
    [
        Operation::Reserve { role: role(), resources: resources(), from: above() },
        Operation::Unreserve { role: role(), resources: resources(), to: above() },
        Operation::CreateVolume { role: role(), name: "models".into(), disk: Amount::units(10) },
        Operation::DestroyVolume { name: "models".into() },
    ]
}

fn volume() -> Volume {
    Volume { name: "models".into(), role: role(), disk: Amount::units(10), made: now() }
}

fn window() -> Window {
    Window { from: now(), lasts: Some(Duration::from_secs(3_600)) }
}

pub(crate) fn events() -> Examples<Event> {
    let launched = Answer::Launched {
        allocation: AllocationId(3),
        agent: agent(),
        refused: rejections().into_iter().map(refused).collect(),
    };
    let rejected = Answer::Rejected {
        rejection: Rejection::OffersDoNotMatch,
        tasks: vec![(task(), Attempt(2))],
    };
    let answered = |offer, answer| Event::Answered { offer, operation: 1, answer };
    let mut updates: Vec<_> = outcomes().into_iter().map(TaskState::Ended).map(update).collect();
    updates.extend(
        [TaskState::Staging, TaskState::Starting, TaskState::Running, TaskState::Unreachable]
            .map(update),
    );
    vec![
        ("subscribed", Event::Subscribed { framework: framework() }),
        ("offers", Event::Offers { offers: vec![offer()] }),
        ("rescinded", Event::Rescinded { offer: OfferId(255) }),
        ("launched", answered(Some(OfferId(1)), launched)),
        ("rejected", answered(None, rejected)),
        (
            "tasks_accepted",
            Event::TasksAccepted { agent: agent(), tasks: vec![(task(), Attempt(2))] },
        ),
        ("status_updates", Event::StatusUpdates { updates }),
        ("progressed", Event::Progressed { reports: vec![progress()] }),
        ("refused", Event::Refused { rejection: Rejection::FailedOver { framework: framework() } }),
        ("applied", answered(Some(OfferId(1)), Answer::Applied)),
        (
            "inverse_offers",
            Event::InverseOffers {
                offers: vec![InverseOffer {
                    id: OfferId(7),
                    agent: agent(),
                    hostname: "node-7.example.org".into(),
                    window: window(),
                }],
            },
        ),
        ("inverse_rescinded", Event::InverseRescinded { offer: OfferId(7) }),
    ]
}

pub(super) fn to_master() -> Examples<ToMaster> {
    let info = AgentInfo {
        hostname: "node-7.example.org".into(),
        attributes: texts("zone", "a"),
        architecture: "x86_64".into(),
        enforces: vec!["limit.memory".into(), "limit.fuel".into()],
        resources: resources(),
        build: "0.1.0".into(),
        revocable: Resources::new(Amount::units(2), Amount::units(64)),
        region: Some("north".into()),
        zone: Some("n1".into()),
        reserved: BTreeMap::from([(role(), resources())]),
    };
    let held = HeldTask {
        key: key(),
        role: role(),
        allocation: AllocationId(3),
        granted: resources(),
        resources: Resources::new(Amount::millis(500), Amount::units(64)),
        terms: Terms::Revocable,
        name: "prime".into(),
        state: TaskState::Paused,
        volumes: vec!["models".into()],
        lost_after: Some(Duration::from_secs(60)),
    };
    let registration = Registration {
        incarnation: Incarnation(7),
        run: 1 << 60,
        connection: 3,
        info,
        tasks: vec![held],
        volumes: vec!["models".into()],
    };
    let failed = update(TaskState::Ended(Outcome::OutOfFuel { limit: 1_000_000 }));
    vec![
        ("register", ToMaster::Register(registration)),
        ("tasks_accepted", ToMaster::TasksAccepted { tasks: vec![key()] }),
        ("status_updates", ToMaster::StatusUpdates { updates: vec![failed] }),
        ("progressed", ToMaster::Progressed { reports: vec![progress()] }),
        ("checkpointed", ToMaster::Checkpointed { checkpoints: vec![checkpoint()] }),
        ("beat", ToMaster::Beat { inputs: 4_711, unsaved_millis: 12 }),
    ]
}

pub(super) fn to_agent() -> Examples<agent::ToAgent> {
    use agent::ToAgent;
    let kill = |by| {
        let TaskKey { framework, task, attempt } = key();
        ToAgent::Kill { framework, task, attempt, by }
    };
    let launch = ToAgent::Launch {
        allocation: AllocationId(3),
        framework: framework(),
        role: role(),
        granted: resources(),
        tasks: vec![Ok(rich_spec())],
    };
    vec![
        ("registered", ToAgent::Registered { agent: agent() }),
        ("refused", ToAgent::Refused { rejection: Rejection::DuplicateAgent { agent: agent() } }),
        ("launch", launch),
        ("recall", ToAgent::Recall { allocation: AllocationId(3) }),
        ("kill_by_framework", kill(KilledBy::Framework)),
        ("kill_by_operator", kill(KilledBy::Operator)),
        ("kill_by_newer_attempt", kill(KilledBy::NewerAttempt(Attempt(3)))),
        ("kill_by_framework_removed", kill(KilledBy::FrameworkRemoved)),
        ("kill_by_agent_stopped", kill(KilledBy::AgentStopped)),
        ("kill_by_preemption", kill(KilledBy::Preemption)),
        ("kill_by_agent_drained", kill(KilledBy::AgentDrained)),
        ("volumes", ToAgent::Volumes { volumes: vec![volume()] }),
        ("acknowledge", ToAgent::Acknowledge { acknowledgements: acknowledgements() }),
        ("remove_framework", ToAgent::RemoveFramework { framework: framework() }),
    ]
}

pub(super) fn to_executor() -> Examples<ToExecutor> {
    vec![
        ("start", ToExecutor::Start { guests: vec![guest()] }),
        ("kill", ToExecutor::Kill { key: key(), by: KilledBy::Framework }),
        ("pause", ToExecutor::Pause { key: key() }),
        ("resume", ToExecutor::Resume { key: key() }),
        ("acknowledge", ToExecutor::Acknowledge { batch: 12 }),
        ("stop", ToExecutor::Stop),
    ]
}

pub(super) fn from_executor() -> Examples<executor::ToAgent> {
    let reports = vec![
        Report::Started { key: key(), at: now() },
        Report::Progressed(progress()),
        Report::Checkpointed(checkpoint()),
        Report::Ended {
            key: key(),
            at: now(),
            outcome: Outcome::Exited { code: 0 },
            usage: usage(),
            result: b"42".to_vec(),
            last_words: "a last word".into(),
        },
        Report::Paused { key: key(), at: now() },
        Report::Resumed { key: key(), at: now() },
    ];
    let stages = [(GuestStage::Starting, false), (GuestStage::Running, true)];
    let held = |(stage, paused)| HeldGuest { key: key(), stage, paused };
    vec![
        ("ready", executor::ToAgent::Ready { guests: stages.map(held).into() }),
        ("reports", executor::ToAgent::Reports { batch: 12, reports }),
    ]
}

pub(super) fn requests() -> Examples<data::Request> {
    use data::Request;
    use operator::Request as Order;
    let read_log = |stream, follow| Request::ReadLog {
        key: key(),
        stream,
        offset: 4_096,
        follow,
        stream_id: 9,
    };
    let join = Request::Join {
        secret: b"secret".to_vec(),
        csr: b"request".to_vec(),
        name: "node-7".into(),
    };
    let tasks =
        Order::Tasks { framework: Some(framework()), task: Some(task()), ended: Ended::Listed };
    let set_role = Order::SetRole { role: role(), weight: Weight::ONE };
    let create_token =
        Order::CreateToken { kind: PeerKind::Agent, uses: 10, ttl: Duration::from_secs(3_600) };
    let order = Request::Operator;
    let mut requests = vec![
        ("join", join),
        ("put_blob", Request::PutBlob { digest: digest(), size: 70 << 20 }),
        ("fetch_blob", Request::FetchBlob { digest: digest() }),
        ("read_stdout", read_log(LogStream::Stdout, Follow::No)),
        ("read_stderr", read_log(LogStream::Stderr, Follow::UntilEnded)),
        ("read_core", read_log(LogStream::Core, Follow::No)),
        ("backup", Request::Backup { blobs: true, stream_id: 9 }),
        ("tasks", order(tasks)),
        ("kill", order(Order::Kill { framework: None, task: task() })),
        ("recorded", order(Order::Recorded { framework: Some(framework()), task: task() })),
        ("agents", order(Order::Agents)),
        ("frameworks", order(Order::Frameworks)),
        ("roles", order(Order::Roles)),
        ("set_role", order(set_role)),
        ("set_quota", order(set_quota())),
        (
            "reserve",
            order(Order::Reserve {
                agent: agent(),
                role: role(),
                resources: resources(),
                from: Role::new("eng").ok(),
            }),
        ),
        (
            "unreserve",
            order(Order::Unreserve {
                agent: agent(),
                role: role(),
                resources: resources(),
                to: Role::new("eng").ok(),
            }),
        ),
        ("why", order(Order::Why { framework: framework(), needs: Some(resources()) })),
        ("offers", order(Order::Offers)),
        ("status", order(Order::Status)),
        ("create_token", order(create_token)),
        ("tokens", order(Order::Tokens)),
        ("modules", order(Order::Modules)),
        ("revoke_token", order(Order::RevokeToken { id: "t-1".into() })),
    ];
    requests.extend(keeping_requests());
    requests
}

fn keeping_requests() -> Examples<data::Request> {
    use operator::Request as Order;
    let order = data::Request::Operator;
    vec![
        ("drain", order(Order::Drain { agent: agent(), grace: Duration::from_secs(60) })),
        ("deactivate", order(Order::Deactivate { agent: agent() })),
        ("activate", order(Order::Activate { agent: agent() })),
        ("gone", order(Order::Gone { agent: agent() })),
        ("set_maintenance", order(set_maintenance())),
        (
            "create_volume",
            order(Order::CreateVolume {
                agent: agent(),
                role: role(),
                name: "models".into(),
                disk: Amount::units(10),
            }),
        ),
        ("destroy_volume", order(Order::DestroyVolume { agent: agent(), name: "models".into() })),
        ("volumes", order(Order::Volumes)),
    ]
}

fn set_maintenance() -> operator::Request {
    let (from, lasts, tasks) = (now(), Duration::from_secs(3_600), Leftover::Kept);
    let maintenance = Some(Maintenance { from, lasts, tasks });
    operator::Request::SetMaintenance { agent: agent(), maintenance }
}

fn set_quota() -> operator::Request {
    let limit = BTreeMap::from([("cpus".to_owned(), Amount::units(8))]);
    let quota = Quota { guarantee: resources(), limit };
    operator::Request::SetQuota { role: role(), quota, manner: Manner::Forced }
}

pub(super) fn responses() -> Examples<data::Response> {
    use data::Response;
    use operator::Response as Shown;
    let joined =
        Response::Joined { certificate: b"certificate".to_vec(), authority: b"authority".to_vec() };
    let created = Shown::CreatedToken { token: "skep-secret".into(), id: "t-1".into() };
    let shown = Response::Operator;
    vec![
        ("joined", joined),
        ("send", Response::Send),
        ("stored", Response::Stored),
        ("sending", Response::Sending { size: Some(70 << 20) }),
        ("sending_so_far", Response::Sending { size: None }),
        ("refused", Response::Refused { rejection: Rejection::UnknownToken }),
        ("tasks", shown(Shown::Tasks(views::tasks()))),
        ("recorded", shown(Shown::Recorded(Box::new(recorded())))),
        ("done", shown(Shown::Done)),
        ("agents", shown(Shown::Agents(views::agents()))),
        ("frameworks", shown(Shown::Frameworks(views::frameworks()))),
        ("roles", shown(Shown::Roles(views::roles()))),
        ("why", shown(Shown::Why(views::why()))),
        ("offers", shown(Shown::Offers(views::offers()))),
        ("status", shown(Shown::Status(views::status()))),
        ("created_token", shown(created)),
        ("tokens", shown(Shown::Tokens(views::tokens()))),
        ("modules", shown(Shown::Modules(views::modules()))),
        ("volumes", shown(Shown::Volumes(views::volumes()))),
    ]
}

fn recorded() -> operator::Recorded {
    let (key, outcome) = (key(), Outcome::Exited { code: 0 });
    operator::Recorded { key, spec: rich_spec(), outcome, usage: usage() }
}

pub(super) fn stream_headers() -> Examples<StreamHeader> {
    vec![
        ("blob", StreamHeader::Blob { digest: digest(), size: 70 << 20 }),
        ("log", StreamHeader::Log { stream_id: 9 }),
    ]
}

pub(super) fn wishes() -> Wishes {
    let constraints = [
        "zone exists",
        "gpu missing",
        "zone equals z1",
        "zone differs z2",
        "rack matches r[0-9]+",
        "rack mismatches r0.*",
    ];
    let constraints = constraints.iter().map(|text| text.parse().expect("a constraint"));
    Wishes { floors: vec![resources()], groups: vec![constraints.collect()] }
}

/// A spec that says no more than it must.
pub(super) fn plain_spec() -> TaskSpec {
    TaskSpec::new(task(), digest(), Resources::new(Amount::units(1), Amount::units(64)))
}

/// A spec that uses every field.
pub(in crate::codec) fn rich_spec() -> TaskSpec {
    let dirs = vec![
        DirGrant::read_write(DirSource::Sandbox, "."),
        DirGrant {
            source: DirSource::Host("/srv/data".into()),
            guest: "/data".into(),
            access: Access::ReadOnly,
        },
        DirGrant::read_write(DirSource::Volume("models".into()), "/models"),
    ];
    TaskSpec {
        attempt: Attempt(2),
        name: "prime".into(),
        args: vec!["--from".into(), "2".into()],
        index: Some(17),
        resources: resources(),
        limits: Limits {
            fuel: Some(1_000_000),
            deadline: Some(Duration::from_millis(2_500)),
            stack_bytes: 64 << 10,
            output_bytes: 1 << 20,
            disk_bytes: 2 << 20,
            files: 100,
            handles: 32,
            random_bytes: Some(4_096),
            host_calls_per_second: Some(10_000),
        },
        grants: Grants {
            env: texts("LANG", "C"),
            stdin: Some(digest()),
            dirs,
            clock: Clock::Virtual { start: now() },
            random: Random::Seeded { seed: 42 },
            network: ["example.org:443".parse().expect("a peer")].into(),
        },
        diagnostics: Diagnostics::Coredump,
        terms: Terms::Revocable,
        policies: policies(),
        checkpoint: b"halfway".to_vec(),
        labels: texts("owner", "ada"),
        ..plain_spec()
    }
}

pub(super) fn policies() -> Policies {
    Policies {
        retry: Some(Retry { on: [RetryOn::Exit, RetryOn::Trap].into(), ..Retry::after_any(3) }),
        kill_grace: Some(Duration::from_secs(10)),
        heartbeat: Some(Duration::from_secs(5)),
        lost_after: Some(Duration::from_secs(60)),
    }
}

pub(super) fn checkpoint() -> Checkpoint {
    Checkpoint { key: key(), bytes: b"halfway".to_vec() }
}

/// A guest with every limit and grant.
pub(super) fn guest() -> StartGuest {
    let TaskSpec { module, name, args, index, limits, grants, diagnostics, .. } = rich_spec();
    StartGuest {
        key: key(),
        agent: agent(),
        module,
        name,
        args,
        index,
        cpus: Amount::millis(250),
        memory_bytes: 64 << 20,
        limits,
        grants,
        diagnostics,
        policies: policies(),
        checkpoint: b"halfway".to_vec(),
        sandbox: "/tasks/prime".into(),
    }
}

/// The last update of a task, in that state.
pub(super) fn update(state: TaskState) -> StatusUpdate {
    StatusUpdate {
        key: key(),
        seq: 3,
        agent: Some(agent()),
        state,
        source: Source::Executor,
        at: now(),
        usage: Some(usage()),
        result: b"42".to_vec(),
        last_words: "a last word".into(),
    }
}

fn refused(rejection: Rejection) -> RefusedTask {
    RefusedTask { task: task(), attempt: Attempt(2), rejection }
}

fn offer() -> Offer {
    Offer {
        id: OfferId(255),
        agent: agent(),
        hostname: "node-7.example.org".into(),
        role: role(),
        resources: resources(),
        attributes: texts("zone", "a"),
        architecture: "x86_64".into(),
        enforces: vec!["limit.memory".into()],
        expires: now() + Duration::from_secs(30),
        reserved: BTreeMap::from([(role(), resources())]),
        revocable: resources(),
        unavailable: Some(window()),
        volumes: vec![volume()],
    }
}

fn acknowledgements() -> Vec<Acknowledgement> {
    vec![Acknowledgement { key: key(), seq: 3 }]
}

fn progress() -> Progress {
    Progress { key: key(), done: 3, total: 10, message: "sieving".into() }
}

fn usage() -> Usage {
    Usage {
        fuel: 123_456,
        cpu: Duration::from_micros(2_000),
        wall: Duration::from_micros(2_500),
        compile: Duration::from_micros(70_000),
        start: Duration::from_micros(90),
        memory_bytes_peak: 1 << 20,
        stdout_bytes: 3,
        stderr_bytes: 1,
        bytes_in: 12,
        bytes_out: 4,
        run_digest: Some(digest()),
        restarts: 2,
    }
}

pub(super) fn resources() -> Resources {
    Resources::new(Amount::millis(1_500), Amount::units(512)).with(DISK, Amount::units(10))
}

fn texts(key: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(key.into(), value.into())])
}

fn key() -> TaskKey {
    TaskKey { framework: framework(), task: task(), attempt: Attempt(2) }
}

pub(super) fn framework() -> FrameworkId {
    FrameworkId::new("f-1").expect("a framework id")
}

pub(super) fn agent() -> AgentId {
    AgentId::new("a-7").expect("an agent id")
}

pub(super) fn task() -> TaskId {
    TaskId::new("prime.17").expect("a task id")
}

fn role() -> Role {
    Role::new("eng/batch").expect("a role")
}

pub(super) fn digest() -> Digest {
    Digest::of(b"module")
}

fn now() -> Time {
    Time::from_micros(1_700_000_000_000_000)
}
