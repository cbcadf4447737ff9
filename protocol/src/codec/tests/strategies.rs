//! Any valid value of each message, for property tests.

use super::{super::Message, examples, parts::*};
use crate::{
    agent::{self, AgentInfo, HeldTask, Registration, ToMaster, Volume},
    data::{self, Follow, LogStream, OutputPiece, StreamHeader},
    executor::{self, GuestStage, HeldGuest, Report, StartGuest, ToExecutor},
    framework::{Answer, Call, Consent, Demand, Event, Filters, FrameworkInfo, Operation},
    hello::Hello,
    ids::{Incarnation, TaskKey},
    operator,
    outcome::{Checkpoint, TaskMessage},
    resources::Amount,
    task::{TaskSpec, Terms},
};
use bytes::Bytes;
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
};
use std::{path::PathBuf, time::Duration};

/// One of the messages, encoded.
pub(super) fn any_encoded() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        hello().prop_map(|m| m.encode()),
        call().prop_map(|m| m.encode()),
        event().prop_map(|m| m.encode()),
        to_master().prop_map(|m| m.encode()),
        to_agent().prop_map(|m| m.encode()),
        to_executor().prop_map(|m| m.encode()),
        from_executor().prop_map(|m| m.encode()),
        request().prop_map(|m| m.encode()),
        response().prop_map(|m| m.encode()),
        stream_header().prop_map(|m| m.encode()),
        output_piece().prop_map(|m| m.encode()),
    ]
}

pub(super) fn hello() -> impl Strategy<Value = Hello> {
    (1..9u32, 0..9u32, text(), vec(text(), 0..3)).prop_map(|(min, more, build, features)| Hello {
        protocol_min: min,
        protocol_max: min + more,
        build,
        features,
    })
}

pub(super) fn call() -> impl Strategy<Value = Call> {
    let info =
        (text(), role(), duration()).prop_map(|(name, role, failover_timeout)| FrameworkInfo {
            more_roles: [role.clone()].into(),
            capabilities: [name.clone()].into(),
            wishes: [(role.clone(), examples::wishes())].into(),
            name,
            role,
            failover_timeout,
        });
    let operation = operation();
    let filters = || option::of(duration()).prop_map(|refuse| Filters { refuse });
    prop_oneof![
        (option::of(framework()), any::<[u64; 2]>(), info).prop_map(
            |(framework, [run, connection], info)| Call::Subscribe {
                framework,
                run,
                connection,
                info,
            }
        ),
        (vec(offer_id(), 0..3), vec(operation, 0..3), filters())
            .prop_map(|(offers, operations, filters)| Call::Accept { offers, operations, filters }),
        (vec(offer_id(), 0..3), filters())
            .prop_map(|(offers, filters)| Call::Decline { offers, filters }),
        (allocation(), launches())
            .prop_map(|(allocation, tasks)| Call::Enqueue { allocation, tasks }),
        vec(role(), 0..3).prop_map(|roles| Call::Suppress { roles: roles.into_iter().collect() }),
        vec(role(), 0..3).prop_map(|roles| Call::Revive { roles: roles.into_iter().collect() }),
        (option::of(role()), option::of((resources(), resources()))).prop_map(|(role, demand)| {
            let terms = Some(Terms::Revocable);
            let demand = demand.map(|(least, wants)| Demand { least, wants, terms });
            Call::Demand { role, demand }
        }),
        task().prop_map(|task| Call::Kill { task }),
        acknowledgements().prop_map(|acknowledgements| Call::Acknowledge { acknowledgements }),
        vec((task(), attempt()), 0..3).prop_map(|tasks| Call::Reconcile { tasks }),
        Just(Call::Teardown),
        btree_map("[a-z/]{1,9}", option::of(blob()), 0..3)
            .prop_map(|entries| Call::Save { entries }),
        (any::<u64>(), blob())
            .prop_map(|(question, answer)| Call::Reply { question, answer: Ok(answer) }),
        (any::<u64>(), text())
            .prop_map(|(question, why)| Call::Reply { question, answer: Err(why) }),
        (vec(offer_id(), 0..3), any::<bool>()).prop_map(|(offers, is_accepted)| {
            let consent = if is_accepted { Consent::Accepted } else { Consent::Declined };
            Call::AnswerInverse { offers, consent }
        }),
        (task(), option::of(attempt()), blob()).prop_map(|(task, attempt, bytes)| Call::Message {
            task,
            attempt,
            bytes
        }),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        launches().prop_map(|tasks| Operation::Launch { tasks }),
        (role(), resources(), option::of(role()))
            .prop_map(|(role, resources, from)| Operation::Reserve { role, resources, from }),
        (role(), resources(), option::of(role()))
            .prop_map(|(role, resources, to)| Operation::Unreserve { role, resources, to }),
        volume().prop_map(|Volume { name, role, disk, .. }| Operation::CreateVolume {
            role,
            name,
            disk
        }),
        task().prop_map(|name| Operation::DestroyVolume { name: name.to_string() }),
    ]
}

fn volume() -> impl Strategy<Value = Volume> {
    (task(), role(), 0..1_000_000u64, time()).prop_map(|(name, role, disk, made)| Volume {
        name: name.to_string(),
        role,
        disk: Amount::millis(disk),
        made,
    })
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
    let answer = prop_oneof![
        (allocation(), agent(), vec(refused(), 0..3)).prop_map(|(allocation, agent, refused)| {
            Answer::Launched { allocation, agent, refused }
        }),
        (rejection(), vec((task(), attempt()), 0..3))
            .prop_map(|(rejection, tasks)| Answer::Rejected { rejection, tasks }),
        Just(Answer::Applied),
    ];
    prop_oneof![
        (framework(), btree_map("[a-z/]{1,9}", blob(), 0..3))
            .prop_map(|(framework, state)| Event::Subscribed { framework, state }),
        (any::<u64>(), text(), blob()).prop_map(|(question, by, message)| Event::Asked {
            question,
            by,
            message
        }),
        vec(offer(), 0..3).prop_map(|offers| Event::Offers { offers }),
        offer_id().prop_map(|offer| Event::Rescinded { offer }),
        (option::of(offer_id()), any::<u32>(), answer)
            .prop_map(|(offer, operation, answer)| Event::Answered { offer, operation, answer }),
        (agent(), vec((task(), attempt()), 0..3))
            .prop_map(|(agent, tasks)| Event::TasksAccepted { agent, tasks }),
        vec(update(), 0..3).prop_map(|updates| Event::StatusUpdates { updates }),
        vec(progress(), 0..3).prop_map(|reports| Event::Progressed { reports }),
        rejection().prop_map(|rejection| Event::Refused { rejection }),
        message().prop_map(Event::Message),
    ]
}

fn message() -> impl Strategy<Value = TaskMessage> {
    (key(), blob()).prop_map(|(key, bytes)| TaskMessage { key, bytes })
}

pub(super) fn to_master() -> impl Strategy<Value = ToMaster> {
    let info = (text(), texts(), text(), vec(text(), 0..3), resources(), text()).prop_map(
        |(hostname, attributes, architecture, enforces, resources, build)| AgentInfo {
            hostname,
            attributes,
            architecture,
            enforces,
            revocable: resources.clone(),
            resources,
            region: (!build.is_empty()).then(|| build.clone()),
            zone: None,
            build,
            reserved: [].into(),
        },
    );
    let held = (key(), role(), allocation(), resources(), resources(), text(), state()).prop_map(
        |(key, role, allocation, granted, resources, name, state)| HeldTask {
            key,
            role,
            allocation,
            granted,
            resources,
            terms: Terms::Revocable,
            name,
            state,
            volumes: vec!["models".into()],
            lost_after: Some(Duration::from_secs(9)),
        },
    );
    let registration = (any::<u64>(), any::<[u64; 2]>(), info, vec(held, 0..3)).prop_map(
        |(incarnation, [run, connection], info, tasks)| Registration {
            incarnation: Incarnation(incarnation),
            run,
            connection,
            info,
            tasks,
            volumes: Vec::new(),
        },
    );
    prop_oneof![
        registration.prop_map(ToMaster::Register),
        vec(key(), 0..3).prop_map(|tasks| ToMaster::TasksAccepted { tasks }),
        vec(update(), 0..3).prop_map(|updates| ToMaster::StatusUpdates { updates }),
        vec(progress(), 0..3).prop_map(|reports| ToMaster::Progressed { reports }),
        (key(), blob()).prop_map(|(key, bytes)| ToMaster::Checkpointed {
            checkpoints: vec![Checkpoint { key, bytes }]
        }),
        vec(message(), 0..3).prop_map(|messages| ToMaster::Sent { messages }),
        any::<(u64, u64, u64)>().prop_map(|(inputs, unsaved_millis, acknowledged)| {
            ToMaster::Beat { inputs, unsaved_millis, acknowledged }
        }),
    ]
}

pub(super) fn to_agent() -> impl Strategy<Value = agent::ToAgent> {
    use agent::ToAgent;
    prop_oneof![
        agent().prop_map(|agent| ToAgent::Registered { agent }),
        rejection().prop_map(|rejection| ToAgent::Refused { rejection }),
        (allocation(), framework(), role(), resources(), launches()).prop_map(
            |(allocation, framework, role, granted, tasks)| ToAgent::Launch {
                allocation,
                framework,
                role,
                granted,
                tasks,
            }
        ),
        allocation().prop_map(|allocation| ToAgent::Recall { allocation }),
        (key(), killed_by()).prop_map(|(TaskKey { framework, task, attempt }, by)| {
            ToAgent::Kill { framework, task, attempt, by }
        }),
        (any::<u64>(), acknowledgements()).prop_map(|(number, acknowledgements)| {
            ToAgent::Acknowledge { number, acknowledgements }
        }),
        framework().prop_map(|framework| ToAgent::RemoveFramework { framework }),
        vec(volume(), 0..3).prop_map(|volumes| ToAgent::Volumes { volumes }),
        message().prop_map(ToAgent::Message),
    ]
}

pub(super) fn to_executor() -> impl Strategy<Value = ToExecutor> {
    let path = || "/[a-z/]{0,20}".prop_map(PathBuf::from);
    let names = (key(), agent(), text(), vec(text(), 0..3), option::of(any::<u64>()));
    let guest = (names, digest(), any::<u64>(), spec(), path()).prop_map(
        |(names, module, memory_bytes, spec, sandbox)| {
            let (key, agent, name, args, index) = names;
            let TaskSpec { limits, grants, diagnostics, policies, checkpoint, inputs, .. } = spec;
            StartGuest {
                key,
                agent,
                module,
                name,
                args,
                index,
                cpus: Amount::millis(memory_bytes),
                memory_bytes,
                limits,
                grants,
                diagnostics,
                policies,
                checkpoint,
                inputs,
                sandbox,
            }
        },
    );
    prop_oneof![
        vec(guest, 0..3).prop_map(|guests| ToExecutor::Start { guests }),
        (key(), killed_by()).prop_map(|(key, by)| ToExecutor::Kill { key, by }),
        key().prop_map(|key| ToExecutor::Pause { key }),
        key().prop_map(|key| ToExecutor::Resume { key }),
        any::<u64>().prop_map(|batch| ToExecutor::Acknowledge { batch }),
        (key(), blob()).prop_map(|(key, event)| ToExecutor::Tell { key, event }),
        key().prop_map(|key| ToExecutor::HangUp { key }),
        message().prop_map(ToExecutor::Message),
        Just(ToExecutor::Stop),
    ]
}

pub(super) fn from_executor() -> impl Strategy<Value = executor::ToAgent> {
    let report = prop_oneof![
        (key(), time()).prop_map(|(key, at)| Report::Started { key, at }),
        progress().prop_map(Report::Progressed),
        (key(), blob()).prop_map(|(key, bytes)| Report::Checkpointed(Checkpoint { key, bytes })),
        (key(), time(), outcome(), usage(), blob()).prop_map(
            |(key, at, outcome, usage, result)| Report::Ended {
                key,
                at,
                outcome,
                usage,
                result,
                last_words: "no more".into(),
            }
        ),
        message().prop_map(Report::Sent),
        (key(), time()).prop_map(|(key, at)| Report::Paused { key, at }),
        (key(), time()).prop_map(|(key, at)| Report::Resumed { key, at }),
    ];
    let stage = prop_oneof![Just(GuestStage::Starting), Just(GuestStage::Running)];
    let held = (key(), stage, any::<bool>()).prop_map(|(key, stage, paused)| HeldGuest {
        key,
        stage,
        paused,
    });
    prop_oneof![
        vec(held, 0..3).prop_map(|guests| executor::ToAgent::Ready { guests }),
        (any::<u64>(), vec(report, 0..3))
            .prop_map(|(batch, reports)| executor::ToAgent::Reports { batch, reports }),
    ]
}

pub(super) fn request() -> impl Strategy<Value = data::Request> {
    use data::Request;
    let stream =
        prop_oneof![Just(LogStream::Stdout), Just(LogStream::Stderr), Just(LogStream::Core)];
    let follow = prop_oneof![Just(Follow::No), Just(Follow::UntilEnded)];
    prop_oneof![
        (blob(), blob(), text()).prop_map(|(secret, csr, name)| Request::Join {
            secret,
            csr,
            name
        }),
        (digest(), any::<u64>()).prop_map(|(digest, size)| Request::PutBlob { digest, size }),
        digest().prop_map(|digest| Request::FetchBlob { digest }),
        (key(), stream, any::<u64>(), follow, any::<u64>()).prop_map(
            |(key, stream, offset, follow, stream_id)| Request::ReadLog {
                key,
                stream,
                offset,
                follow,
                stream_id,
            }
        ),
        proptest::sample::select(examples::requests()).prop_map(|(_, request)| request),
        (any::<bool>(), any::<u64>())
            .prop_map(|(blobs, stream_id)| Request::Backup { blobs, stream_id }),
        operator_request().prop_map(Request::Operator),
    ]
}

fn operator_request() -> impl Strategy<Value = operator::Request> {
    use operator::{Ended, Manner, PeerKind, Quota, Request, Weight};
    let ended = prop_oneof![Just(Ended::Left), Just(Ended::Listed)];
    let weight = (1..=1_000_000u64).prop_map(|m| Weight::from_millis(m).expect("a weight"));
    let kind = prop_oneof![
        Just(PeerKind::Master),
        Just(PeerKind::Agent),
        Just(PeerKind::Framework),
        Just(PeerKind::Operator)
    ];
    prop_oneof![
        (option::of(framework()), option::of(task()), ended)
            .prop_map(|(framework, task, ended)| Request::Tasks { framework, task, ended }),
        (option::of(framework()), task())
            .prop_map(|(framework, task)| Request::Kill { framework, task }),
        Just(Request::Agents),
        Just(Request::Frameworks),
        Just(Request::Roles),
        (role(), weight).prop_map(|(role, weight)| Request::SetRole { role, weight }),
        (role(), resources(), any::<bool>()).prop_map(|(role, guarantee, is_forced)| {
            let limit = guarantee.iter().map(|(kind, amount)| (kind.to_owned(), amount)).collect();
            let manner = if is_forced { Manner::Forced } else { Manner::Gentle };
            Request::SetQuota { role, quota: Quota { guarantee, limit }, manner }
        }),
        (agent(), role(), resources(), option::of(role())).prop_map(
            |(agent, role, resources, from)| Request::Reserve { agent, role, resources, from }
        ),
        (agent(), role(), resources(), option::of(role())).prop_map(
            |(agent, role, resources, to)| Request::Unreserve { agent, role, resources, to }
        ),
        (framework(), option::of(resources()))
            .prop_map(|(framework, needs)| Request::Why { framework, needs }),
        Just(Request::Offers),
        Just(Request::Status),
        (kind, any::<u32>(), duration()).prop_map(|(kind, uses, ttl)| Request::CreateToken {
            kind,
            uses,
            ttl
        }),
        Just(Request::Tokens),
        Just(Request::Modules),
        text().prop_map(|id| Request::RevokeToken { id }),
    ]
}

pub(super) fn response() -> impl Strategy<Value = data::Response> {
    use data::Response;
    prop_oneof![
        (blob(), blob())
            .prop_map(|(certificate, authority)| Response::Joined { certificate, authority }),
        Just(Response::Send),
        Just(Response::Stored),
        option::of(any::<u64>()).prop_map(|size| Response::Sending { size }),
        (text(), text()).prop_map(|(token, id)| {
            Response::Operator(operator::Response::CreatedToken { token, id })
        }),
        proptest::sample::select(examples::responses()).prop_map(|(_, response)| response),
        rejection().prop_map(|rejection| Response::Refused { rejection }),
    ]
}

pub(super) fn output_piece() -> impl Strategy<Value = OutputPiece> {
    proptest::sample::select(examples::output_pieces()).prop_map(|(_, piece)| piece)
}

pub(super) fn stream_header() -> impl Strategy<Value = StreamHeader> {
    prop_oneof![
        (digest(), any::<u64>()).prop_map(|(digest, size)| StreamHeader::Blob { digest, size }),
        any::<u64>().prop_map(|stream_id| StreamHeader::Log { stream_id }),
    ]
}
