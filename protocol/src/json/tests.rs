//! Calls and events as docs/http-api.md and docs/openapi.json have them, and what is refused.

use super::{call::Words, read, read_call, write_event, write_heartbeat};
use crate::{
    agent::Volume,
    bounds::MESSAGE_BYTES_MAX,
    codec::tests::{examples, strategies},
    framework::*,
    ids::*,
    outcome::*,
    rejection::Rejection,
    resources::{Amount, DISK, Resources},
    task::TaskSpec,
    time::Time,
};
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

const PAGE: &str = include_str!("../../../docs/http-api.md");
const OPENAPI: &str = include_str!("../../../docs/openapi.json");
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The blocks of the page that are marked with a word.
fn blocks(word: &str) -> Vec<Value> {
    let fence = format!("```json {word}\n");
    let texts = PAGE.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap_or(""));
    let parsed = |text| serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    texts.map(parsed).collect()
}

fn kind(value: &Value) -> String {
    value["type"].as_str().expect("a type").into()
}

/// What serde lists between backticks.
fn listed(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(Into::into).collect()
}

/// The names of all calls.
fn call_names() -> BTreeSet<String> {
    let fault = read::<Words>(json!({ "~": {} })).expect_err("no such call");
    listed(&fault.hint)
}

fn fault_of(call: &Value) -> super::Fault {
    read_call(call.to_string().as_bytes()).expect_err("a bad call")
}

fn framework() -> FrameworkId {
    FrameworkId::new("f-1c2d").expect("an id")
}

fn agent() -> AgentId {
    AgentId::new("a-7").expect("an id")
}

fn task() -> TaskId {
    TaskId::new("hello-1").expect("an id")
}

fn key() -> TaskKey {
    TaskKey { framework: framework(), task: task(), attempt: Attempt(1) }
}

fn update(seq: u64, state: TaskState, usage: Option<Usage>) -> StatusUpdate {
    let (source, at) = (Source::Executor, Time::from_micros(1_795_903_200_000_000));
    let (agent, result) = (Some(agent()), b"42".to_vec());
    let result = if seq == 2 { result } else { Vec::new() };
    let last_words = String::new();
    let form = crate::task::Form::File;
    let output = Delivered { guest: "a.png".into(), digest: Digest::of(b"a"), size: 1, form };
    let outputs = if seq == 2 { vec![output] } else { Vec::new() };
    let missing =
        if seq == 2 { vec![Missing::new("b.png", "it is not there")] } else { Vec::new() };
    StatusUpdate {
        key: key(),
        seq,
        agent,
        state,
        source,
        at,
        usage,
        result,
        last_words,
        outputs,
        missing,
    }
}

fn offer() -> Offer {
    let role = Role::new("eng").expect("a role");
    let volume = Volume {
        name: "models".into(),
        role: role.clone(),
        disk: Amount::units(10),
        made: Time::from_micros(1_795_903_100_000_000),
    };
    let window = Window {
        from: Time::from_micros(1_795_910_400_000_000),
        lasts: Some(Duration::from_secs(7_200)),
    };
    Offer {
        id: OfferId(0x1f),
        agent: agent(),
        hostname: "node-7".into(),
        role: role.clone(),
        resources: Resources::new(Amount::millis(3_500), Amount::units(8_192)),
        attributes: [("zone".to_owned(), "a".to_owned())].into(),
        architecture: "x86_64".into(),
        enforces: vec!["limit.fuel".into(), "limit.memory".into()],
        expires: Time::from_micros(1_795_903_260_000_000),
        reserved: [(role, Resources::none().with(DISK, Amount::units(10)))].into(),
        revocable: Resources::none(),
        unavailable: Some(window),
        volumes: vec![volume],
    }
}

fn window_without_end() -> InverseOffer {
    let window = Window { from: Time::from_micros(1_795_910_400_000_000), lasts: None };
    InverseOffer { id: OfferId(7), agent: agent(), hostname: "node-7".into(), window }
}

/// One event of each kind, and of each kind of answer.
fn events() -> Vec<Event> {
    let tasks = || vec![(task(), Attempt(1))];
    let refused = RefusedTask {
        task: TaskId::new("hello-2").expect("an id"),
        attempt: Attempt(1),
        rejection: Rejection::invalid("limits.fuel", "no fuel, no run"),
    };
    let launched =
        Answer::Launched { allocation: AllocationId(3), agent: agent(), refused: vec![refused] };
    let rejection = Rejection::InvalidOffer { offer: OfferId(0x1f) };
    let rejected = Answer::Rejected { rejection, tasks: tasks() };
    let answered = |answer| Event::Answered { offer: Some(OfferId(0x1f)), operation: 0, answer };
    let usage = Usage {
        fuel: 21_000,
        cpu: Duration::from_micros(1_500),
        wall: Duration::from_millis(2),
        memory_bytes_peak: 1 << 20,
        ..Usage::default()
    };
    let done = TaskState::Ended(Outcome::Exited { code: 0 });
    let report = Progress { key: key(), done: 3, total: 10, message: "tiles".into() };
    vec![
        Event::Subscribed {
            framework: framework(),
            state: [("slot".to_owned(), b"3".to_vec())].into(),
        },
        Event::Offers { offers: vec![offer()] },
        Event::Rescinded { offer: OfferId(0x1f) },
        answered(launched),
        answered(rejected),
        answered(Answer::Applied),
        Event::TasksAccepted { agent: agent(), tasks: tasks() },
        Event::StatusUpdates {
            updates: vec![update(1, TaskState::Running, None), update(2, done, Some(usage))],
        },
        Event::Progressed { reports: vec![report] },
        Event::Refused { rejection: Rejection::FailedOver { framework: framework() } },
        Event::InverseOffers { offers: vec![window_without_end()] },
        Event::InverseRescinded { offer: OfferId(7) },
        Event::Asked { question: 7, by: "operator/ada".into(), message: b"list".to_vec() },
        Event::Message(TaskMessage { key: key(), bytes: b"ready".to_vec() }),
    ]
}

fn parsed(line: &[u8]) -> Value {
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "one line");
    serde_json::from_slice(line).expect("JSON")
}

#[test]
fn the_page_has_every_call_and_each_of_its_examples_is_taken() {
    let calls = blocks("call");
    for call in &calls {
        read_call(call.to_string().as_bytes()).unwrap_or_else(|e| panic!("{e}: {call}"));
    }
    let shown: BTreeSet<_> = calls.iter().map(|call| kind(call).to_ascii_lowercase()).collect();
    assert_eq!(shown, call_names());
}

#[test]
fn the_page_has_every_event_as_it_is_written() {
    let mut written: Vec<_> =
        events().iter().map(|event| parsed(&write_event(event, HEARTBEAT))).collect();
    written.push(parsed(&write_heartbeat()));
    let shown = blocks("event");
    for (written, shown) in written.iter().zip(&shown) {
        assert_eq!(written, shown, "write:\n{written:#}");
    }
    assert_eq!(written.len(), shown.len(), "write:\n{:#}", json!(written));
}

#[test]
fn the_page_has_an_error_as_it_is_written() {
    let spec = json!({"task": "t", "module": Digest::of(b""), "limits": {"fule": 1}});
    let launch = json!({"launch": {"tasks": [spec]}});
    let fault = fault_of(&json!({"accept": {"offers": ["o-1f"], "operations": [launch]}}));
    assert_eq!(blocks("error"), [json!({ "error": fault })]);
}

#[test]
fn the_schema_has_the_keys_of_every_call_and_event() {
    let schema: Value = serde_json::from_str(OPENAPI).expect("JSON");
    let of = |of: &str| schema["components"]["schemas"][of]["properties"].clone();
    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    let kinds = |value: &Value| -> BTreeSet<String> {
        let kinds = value["type"]["enum"].as_array().expect("kinds");
        kinds.iter().map(|kind| kind.as_str().expect("a kind").to_ascii_lowercase()).collect()
    };
    let with_type = |mut names: BTreeSet<String>| {
        names.insert("type".into());
        names
    };
    let calls = of("Call");
    assert_eq!(kinds(&calls), call_names());
    assert_eq!(keys(&calls), with_type(call_names()));
    for name in call_names() {
        let fault = read::<Words>(json!({ &name: { "~": 0 } })).expect_err("no such key");
        let known = listed(&fault.hint);
        assert_eq!(keys(&calls[&name]["properties"]), known, "{name}");
    }
    let mut shown: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in blocks("event") {
        let name = kind(&event).to_ascii_lowercase();
        shown.entry(name.clone()).or_default().extend(keys(&event[&name]));
    }
    let events = of("Event");
    assert_eq!(kinds(&events), shown.keys().cloned().collect());
    for (name, shown) in shown {
        assert_eq!(keys(&events[&name]["properties"]), shown, "{name}");
    }
}

/// Whether there is a duration in the form of the records.
fn has_record_form(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.contains_key("nanos") || map.values().any(has_record_form),
        Value::Array(list) => list.iter().any(has_record_form),
        _ => false,
    }
}

#[test]
fn every_outcome_and_refusal_is_written_with_its_kind_and_its_durations_in_seconds() {
    for (name, event) in examples::events() {
        let written = parsed(&write_event(&event, HEARTBEAT));
        assert!(!has_record_form(&written), "{name}: {written:#}");
        let updates = written["status_updates"]["updates"].as_array().into_iter().flatten();
        for update in updates.filter(|update| update["terminal"] == true) {
            assert!(update["outcome"]["kind"].is_string(), "{update:#}");
            assert!(update["outcome"]["message"].is_string(), "{update:#}");
        }
    }
}

proptest! {
    #![proptest_config(skep_properties::cases(256))]

    #[test]
    fn every_event_is_a_line(event in strategies::event()) {
        let written = parsed(&write_event(&event, HEARTBEAT));
        let name = kind(&written).to_ascii_lowercase();
        prop_assert!(written[name].is_object());
    }

    #[test]
    fn no_text_harms(text in "\\PC{0,40}", call in any::<Index>(), end in any::<Index>()) {
        let _ = read_call(text.as_bytes());
        let calls = blocks("call");
        let whole = call.get(&calls).to_string();
        let cut = &whole.as_bytes()[..end.index(whole.len())];
        prop_assert!(read_call(cut).is_err());
    }
}

#[test]
fn what_a_spec_leaves_out_has_its_default() {
    let digest = Digest::of(b"module");
    let call = json!({"type": "ENQUEUE", "enqueue": {
        "allocation": "l-3", "tasks": [{"task": "t", "module": digest}]}});
    let resources = Resources::new(Amount::units(1), Amount::units(64));
    let spec = TaskSpec::new(TaskId::new("t").expect("an id"), digest, resources);
    let expected = Call::Enqueue { allocation: AllocationId(3), tasks: vec![Ok(spec)] };
    assert_eq!(read_call(call.to_string().as_bytes()), Ok(expected));
}

#[test]
fn durations_are_seconds() {
    let call = json!({"decline": {"offers": ["o-1"], "filters": {"refuse_seconds": 1.5}}});
    let filters = Filters { refuse: Some(Duration::from_millis(1_500)) };
    let expected = Call::Decline { offers: vec![OfferId(1)], filters };
    assert_eq!(read_call(call.to_string().as_bytes()), Ok(expected));
    let spec = json!({"task": "t", "module": Digest::of(b""), "limits": {"deadline": 90},
        "policies": {"retry": {"times": 2}, "kill_grace": 0.5}});
    let call = json!({"enqueue": {"allocation": "l-3", "tasks": [spec]}});
    let Ok(Call::Enqueue { tasks, .. }) = read_call(call.to_string().as_bytes()) else {
        panic!("not taken");
    };
    let spec = tasks[0].as_ref().expect("a good spec");
    assert_eq!(spec.limits.deadline, Some(Duration::from_secs(90)));
    assert_eq!(spec.policies.kill_grace, Some(Duration::from_millis(500)));
    assert_eq!(spec.policies.retry, Some(crate::task::Retry::after_any(2)));
}

#[test]
fn a_bad_call_is_refused_naming_the_field() {
    let spec = |more: Value| {
        let mut spec = json!({"task": "t", "module": Digest::of(b"")});
        spec.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        json!({"type": "ACCEPT", "accept": {"offers": ["o-1"], "operations": [
            {"type": "LAUNCH", "launch": {"tasks": [spec]}}]}})
    };
    let year = 366 * 24 * 3_600;
    let cases = [
        (json!([]), "invalid", ""),
        (json!({"type": 1}), "invalid", "type"),
        (json!({"type": "DANCE"}), "unknown_key", "dance"),
        (json!({"type": "KILL", "kill": {"task": "t"}, "why": 1}), "unknown_key", "why"),
        (json!({"type": "KILL", "kill": {"task": "../t"}}), "invalid", "kill.task"),
        (json!({"type": "KILL", "kill": {"tsak": "t"}}), "unknown_key", "kill.tsak"),
        (json!({"type": "KILL"}), "invalid", "kill"),
        (
            json!({"message": {"task": "t", "bytes": "00".repeat(MESSAGE_BYTES_MAX + 1)}}),
            "invalid",
            "message.bytes",
        ),
        (json!({"message": {"task": "t", "bytes": "0"}}), "invalid", "message.bytes"),
        (
            json!({"type": "SUBSCRIBE", "subscribe": {"info": {"nmae": "x"}}}),
            "unknown_key",
            "subscribe.info.nmae",
        ),
        (
            json!({"type": "SUBSCRIBE", "subscribe": {"info": {"name": "x".repeat(129)}}}),
            "invalid",
            "subscribe.info.name",
        ),
        (
            json!({"type": "DECLINE", "decline": {"offers": ["o-1", "1"]}}),
            "invalid",
            "decline.offers[1]",
        ),
        (
            json!({"decline": {"offers": [], "filters": {"refuse_seconds": -1}}}),
            "invalid",
            "decline.filters.refuse_seconds",
        ),
        (
            spec(json!({"limits": {"fule": 1}})),
            "unknown_key",
            "accept.operations[0].launch.tasks[0].limits.fule",
        ),
        (
            spec(json!({"limits": {"fuel": "x"}})),
            "invalid",
            "accept.operations[0].launch.tasks[0].limits.fuel",
        ),
        (spec(json!({"agrs": []})), "unknown_key", "accept.operations[0].launch.tasks[0].agrs"),
    ];
    for (call, kind, field) in cases {
        let fault = fault_of(&call);
        assert_eq!((fault.kind.as_str(), fault.field.as_str()), (kind, field), "{call}: {fault}");
        assert!(!fault.why.is_empty() && !fault.hint.is_empty(), "{fault:?}");
    }
    let fault = read_call(b"{\"type\"").expect_err("no JSON");
    assert_eq!(fault.kind, "no_json");
    // As over QUIC, how long a decline may last at most is the core's to say.
    let call = json!({"decline": {"offers": [], "filters": {"refuse_seconds": year}}});
    read_call(call.to_string().as_bytes()).expect("taken");
}

#[test]
fn a_call_has_the_bounds_of_the_codec() {
    let task = json!({"task": "t", "module": Digest::of(b"")});
    let tasks = vec![task; crate::bounds::LAUNCH_TASKS_MAX + 1];
    let fault = fault_of(&json!({"enqueue": {"allocation": "l-3", "tasks": tasks}}));
    assert_eq!((fault.kind.as_str(), fault.field.as_str()), ("invalid", "enqueue.tasks"));
}

#[test]
fn a_spec_that_cannot_be_carried_out_does_not_hinder_the_others() {
    let good = json!({"task": "good", "module": Digest::of(b"")});
    let bad = json!({"task": "bad", "module": Digest::of(b""), "limits": {"fuel": 0}});
    let call = json!({"enqueue": {"allocation": "l-3", "tasks": [bad, good]}});
    let Ok(Call::Enqueue { tasks, .. }) = read_call(call.to_string().as_bytes()) else {
        panic!("not taken");
    };
    let Err(RefusedTask { rejection: Rejection::Invalid { field, .. }, .. }) = &tasks[0] else {
        panic!("{:?}", tasks[0]);
    };
    assert_eq!(field, "limits.fuel");
    assert_eq!(tasks[1].as_ref().map(|spec| spec.task.as_str()), Ok("good"));
}
