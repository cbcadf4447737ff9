//! One example of each kind of message, with all of its fields set; their bytes are golden.

pub(super) use super::values::{
    agent, checkpoint, digest, framework, guest, guest_with_inputs, key, plain_spec, policies,
    resources, task, update, update_with_missing_outputs, update_with_outputs, wishes,
};
pub(in crate::codec) use super::values::{rich_spec, spec_with_files, spec_with_stream};
use super::{
    ends::{outcomes, rejections},
    values::{acknowledgements, message, now, offer, progress, refused, role, texts, usage},
    views,
};
use crate::{
    agent::{self, AgentInfo, HeldTask, Registration, ToMaster, Volume},
    data::{self, Follow, LogStream, OutputPart, OutputPiece, StreamHeader},
    executor::{self, GuestStage, HeldGuest, Report, ToExecutor},
    framework::{
        Answer, Call, Consent, Demand, Event, Filters, FrameworkInfo, InverseOffer, Operation,
        State, Window,
    },
    hello::Hello,
    ids::*,
    operator::{self, Ended, Leftover, Maintenance, Manner, PeerKind, Quota, Weight},
    outcome::*,
    rejection::Rejection,
    resources::{Amount, Resources},
    task::Terms,
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
        (
            "enqueue_with_files",
            Call::Enqueue { allocation: AllocationId(3), tasks: vec![Ok(spec_with_files())] },
        ),
        (
            "enqueue_with_stream",
            Call::Enqueue { allocation: AllocationId(3), tasks: vec![Ok(spec_with_stream())] },
        ),
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
            "save",
            Call::Save {
                entries: [("a".into(), Some(b"kept".to_vec())), ("b/c".into(), None)].into(),
            },
        ),
        ("put", Call::Put { blob: b"input".to_vec() }),
        (
            "message",
            Call::Message { task: task(), attempt: Some(Attempt(2)), bytes: b"more".to_vec() },
        ),
        (
            "message_to_any_attempt",
            Call::Message { task: task(), attempt: None, bytes: Vec::new() },
        ),
        ("reply", Call::Reply { question: 7, answer: Ok(b"[]".to_vec()) }),
        ("reply_no", Call::Reply { question: 8, answer: Err("no such job".into()) }),
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

pub(super) fn volume() -> Volume {
    Volume { name: "models".into(), role: role(), disk: Amount::units(10), made: now() }
}

pub(super) fn window() -> Window {
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
        ("subscribed", Event::Subscribed { framework: framework(), state: State::new() }),
        (
            "subscribed_again",
            Event::Subscribed {
                framework: framework(),
                state: [("slot/1".into(), b"done".to_vec())].into(),
            },
        ),
        (
            "asked",
            Event::Asked { question: 7, by: "operator/ada".into(), message: b"list".to_vec() },
        ),
        ("offers", Event::Offers { offers: vec![offer()] }),
        ("rescinded", Event::Rescinded { offer: OfferId(255) }),
        ("launched", answered(Some(OfferId(1)), launched)),
        ("rejected", answered(None, rejected)),
        (
            "tasks_accepted",
            Event::TasksAccepted { agent: agent(), tasks: vec![(task(), Attempt(2))] },
        ),
        ("status_updates", Event::StatusUpdates { updates }),
        (
            "status_updates_with_outputs",
            Event::StatusUpdates { updates: vec![update_with_outputs()] },
        ),
        (
            "status_updates_with_missing_outputs",
            Event::StatusUpdates { updates: vec![update_with_missing_outputs()] },
        ),
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
        ("message", Event::Message(message())),
        ("undelivered", Event::Refused { rejection: undelivered() }),
    ]
}

fn undelivered() -> Rejection {
    Rejection::Undelivered { task: task(), why: "it does not run".into() }
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
        (
            "status_updates_with_outputs",
            ToMaster::StatusUpdates { updates: vec![update_with_outputs()] },
        ),
        (
            "status_updates_with_missing_outputs",
            ToMaster::StatusUpdates { updates: vec![update_with_missing_outputs()] },
        ),
        ("progressed", ToMaster::Progressed { reports: vec![progress()] }),
        ("checkpointed", ToMaster::Checkpointed { checkpoints: vec![checkpoint()] }),
        ("sent", ToMaster::Sent { messages: vec![message()] }),
        ("beat", ToMaster::Beat { inputs: 4_711, unsaved_millis: 12, acknowledged: 0 }),
        (
            "beat_acknowledged",
            ToMaster::Beat { inputs: 4_711, unsaved_millis: 12, acknowledged: 7 },
        ),
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
        ("acknowledge", ToAgent::Acknowledge { number: 0, acknowledgements: acknowledgements() }),
        (
            "acknowledge_numbered",
            ToAgent::Acknowledge { number: 7, acknowledgements: acknowledgements() },
        ),
        ("remove_framework", ToAgent::RemoveFramework { framework: framework() }),
        ("message", ToAgent::Message(message())),
    ]
}

pub(super) fn to_executor() -> Examples<ToExecutor> {
    vec![
        ("start", ToExecutor::Start { guests: vec![guest()] }),
        ("start_with_inputs", ToExecutor::Start { guests: vec![guest_with_inputs()] }),
        ("kill", ToExecutor::Kill { key: key(), by: KilledBy::Framework }),
        ("pause", ToExecutor::Pause { key: key() }),
        ("resume", ToExecutor::Resume { key: key() }),
        ("acknowledge", ToExecutor::Acknowledge { batch: 12 }),
        ("tell", ToExecutor::Tell { key: key(), event: b"event".to_vec() }),
        ("hang_up", ToExecutor::HangUp { key: key() }),
        ("message", ToExecutor::Message(message())),
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
    let sent = vec![Report::Sent(message())];
    let stages = [(GuestStage::Starting, false), (GuestStage::Running, true)];
    let held = |(stage, paused)| HeldGuest { key: key(), stage, paused };
    vec![
        ("ready", executor::ToAgent::Ready { guests: stages.map(held).into() }),
        ("reports", executor::ToAgent::Reports { batch: 12, reports }),
        ("sent", executor::ToAgent::Reports { batch: 0, reports: sent }),
        ("say", executor::ToAgent::Say { key: key(), call: b"call".to_vec() }),
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
    let read_outputs = Request::ReadOutputs {
        agent: agent(),
        framework: framework(),
        tasks: vec![(task(), Attempt(2)), (task(), Attempt(300))],
        stream_id: 9,
    };
    let (agent, role, resources, eng) = (agent(), role(), resources(), Role::new("eng").ok());
    let unreserve = Order::Unreserve {
        agent: agent.clone(),
        role: role.clone(),
        resources: resources.clone(),
        to: eng.clone(),
    };
    let needs = resources.clone();
    let reserve = Order::Reserve { agent, role, resources, from: eng };
    let order = Request::Operator;
    let mut requests = vec![
        ("join", join),
        ("put_blob", Request::PutBlob { digest: digest(), size: 70 << 20 }),
        ("fetch_blob", Request::FetchBlob { digest: digest() }),
        ("read_stdout", read_log(LogStream::Stdout, Follow::No)),
        ("read_stderr", read_log(LogStream::Stderr, Follow::UntilEnded)),
        ("read_core", read_log(LogStream::Core, Follow::No)),
        ("read_outputs", read_outputs),
        ("backup", Request::Backup { blobs: true, stream_id: 9 }),
        ("tasks", order(tasks)),
        ("kill", order(Order::Kill { framework: None, task: task() })),
        ("recorded", order(Order::Recorded { framework: Some(framework()), task: task() })),
        ("agents", order(Order::Agents)),
        ("frameworks", order(Order::Frameworks)),
        ("roles", order(Order::Roles)),
        ("set_role", order(set_role)),
        ("set_quota", order(set_quota())),
        ("reserve", order(reserve)),
        ("unreserve", order(unreserve)),
        ("why", order(Order::Why { framework: framework(), needs: Some(needs) })),
        ("offers", order(Order::Offers)),
        ("status", order(Order::Status)),
        ("create_token", order(create_token)),
        ("tokens", order(Order::Tokens)),
        ("modules", order(Order::Modules)),
        ("ask", order(Order::Ask { framework: "batch".into(), message: b"list".to_vec() })),
        ("teardown", order(Order::Teardown { framework: framework().to_string() })),
        ("host", Request::Host { key: key() }),
        ("feed", Request::Feed { key: key() }),
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
        ("hosted", Response::Hosted),
        ("fed", Response::Fed),
        ("told", shown(Shown::Told { message: b"[]".to_vec() })),
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

pub(super) fn output_pieces() -> Examples<OutputPiece> {
    let piece = |part| OutputPiece { task: 3, part };
    vec![
        ("stdout", piece(OutputPart::Stdout(b"out\n".to_vec()))),
        ("stderr", piece(OutputPart::Stderr(vec![0, 255]))),
        ("complete", piece(OutputPart::Complete)),
        ("unreadable", piece(OutputPart::Unreadable { why: "Input/output error".into() })),
    ]
}

pub(super) fn stream_headers() -> Examples<StreamHeader> {
    vec![
        ("blob", StreamHeader::Blob { digest: digest(), size: 70 << 20 }),
        ("log", StreamHeader::Log { stream_id: 9 }),
    ]
}
