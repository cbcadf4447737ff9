//! Frameworks that are tasks: who may speak; what they keep; what they are asked.

use super::kit::{START, Story, info, task};
use crate::{ConnectionId, Input, RequestId};
use skep_protocol::{
    TaskKey, TaskSpec, TaskState,
    framework::{Call, FrameworkInfo},
    operator::Request,
};
use std::time::Duration;

fn speaker(name: &str) -> TaskSpec {
    let mut spec = task(name, "cpus:1;mem:64");
    spec.grants.framework = true;
    spec
}

/// A framework `f` with the task `t` running on agent `a`, which may speak.
fn running() -> Story {
    Story::with_tasks(&[speaker("t")])
}

fn subscribe(info: FrameworkInfo, run: u64) -> Call {
    Call::Subscribe { framework: None, run, connection: 1, info }
}

/// What a task says by way of an agent, on the connection of that name.
fn say(s: &mut Story, connection: ConnectionId, agent: &str, key: &TaskKey, call: Call) {
    let (agent, key) = (s.id_of(agent), key.clone());
    s.feed(Input::Hosted { connection, agent, key, call });
}

#[test]
fn a_task_that_is_granted_it_speaks_as_a_framework_of_its_own() {
    let mut s = running();
    let key = s.key("f", "t");
    let h = s.connect("h");
    say(&mut s, h, "a", &key, subscribe(info("h", "r2"), 7));
    s.expect(["record framework/h", "h: subscribed"]);
    s.idle();
    s.expect(["h: offer o2 of a: cpus:1;mem:64"]);
    let view = s.master.view(START, &Request::Frameworks);
    let text = format!("{view:?}");
    assert!(text.contains(&format!("task/{}/t", key.framework)), "{text}");
}

#[test]
fn neither_another_task_nor_another_agent_nor_an_ended_attempt_may_speak() {
    let mut s = running();
    s.agent("b", "cpus:1;mem:64");
    s.idle();
    s.take_effects();
    let key = s.key("f", "t");
    let mut try_it = |agent: &str, key: &TaskKey| {
        let connection = s.connect("x");
        say(&mut s, connection, agent, key, subscribe(info("x", "r2"), 7));
        s.take_effects()
    };
    let of_b = try_it("b", &key);
    assert!(of_b[0].contains("refused: task f/t#1 is not known"), "{of_b:?}");
    let mut other = key.clone();
    other.task = "other".parse().expect("an id");
    let of_other = try_it("a", &other);
    assert!(of_other[0].contains("speaking as a framework"), "{of_other:?}");
    s.update("a", "f", "t", 2, TaskState::Ended(skep_protocol::Outcome::Exited { code: 1 }));
    s.acknowledge("f", "t", 2);
    s.take_effects();
    let connection = s.connect("x");
    say(&mut s, connection, "a", &key, subscribe(info("x", "r2"), 7));
    let ended = s.take_effects();
    assert!(ended[0].contains("refused: not allowed: speaking"), "{ended:?}");
}

#[test]
fn a_later_attempt_is_the_same_framework_and_the_earlier_one_is_fenced() {
    let mut s = running();
    let first = s.key("f", "t");
    let h = s.connect("h");
    say(&mut s, h, "a", &first, subscribe(info("h", "r2"), 7));
    let entries = [("slot".into(), Some(b"3".to_vec()))].into();
    say(&mut s, h, "a", &first, Call::Save { entries });
    let effects = s.take_effects();
    assert!(effects.contains(&"record state/h/slot".to_owned()), "{effects:?}");

    // Its agent is cut off; another attempt is launched elsewhere while the first runs on.
    s.disconnect("a");
    s.feed(Input::Disconnected { connection: h });
    s.wait(6.0);
    s.agent("b", "cpus:1;mem:64");
    s.idle();
    let effects = s.take_effects();
    let offer = effects.iter().find_map(|line| line.strip_prefix("f: offer "));
    let offer = offer.expect("an offer").split_once(' ').expect("words").0.to_owned();
    s.run("f", &offer, "b", &[speaker("t#2")]);
    let second = TaskKey { attempt: skep_protocol::Attempt(2), ..first.clone() };
    let h2 = s.connect("h");
    say(&mut s, h2, "b", &second, subscribe(info("h", "r2"), 8));
    s.expect(["record framework/h", "h: subscribed with slot"]);

    // The first is back and knows nothing.
    let old = s.connect("old");
    say(&mut s, old, "a", &first, subscribe(info("h", "r2"), 7));
    let effects = s.take_effects();
    assert!(effects[0].starts_with("old: refused"), "{effects:?}");
}

#[test]
fn what_a_framework_keeps_survives_the_master_and_goes_with_the_framework() {
    let mut s = Story::new();
    s.framework("f", "r");
    let save = |key: &str, value: Option<&[u8]>| Call::Save {
        entries: [(key.into(), value.map(<[u8]>::to_vec))].into(),
    };
    s.call("f", save("a", Some(b"1")));
    s.call("f", save("b", Some(b"2")));
    s.call("f", save("b", Some(b"2")));
    s.call("f", save("a", None));
    s.expect(["record state/f/a", "record state/f/b", "delete state/f/a"]);
    let mut s = s.restart_master();
    s.resubscribe("f", "r");
    s.expect(["record framework/f", "record framework/f", "f: subscribed with b"]);
    s.call("f", Call::Teardown);
    s.expect(["delete framework/f", "delete state/f/b", "f: hang up"]);
}

#[test]
fn more_than_the_bounds_allow_is_not_kept() {
    let mut s = Story::new();
    s.framework("f", "r");
    let value = |n: usize| (format!("k{n}"), Some(vec![0; 200 << 10]));
    s.call("f", Call::Save { entries: (0..6).map(value).collect() });
    let effects = s.take_effects();
    assert!(effects[0].starts_with("f: refused: too many bytes of a framework's state"));
    assert_eq!(effects.len(), 1);
}

#[test]
fn a_question_goes_to_the_framework_and_its_answer_back() {
    let mut s = Story::new();
    let ask = |s: &mut Story, number, framework: &str| {
        let (by, message) = ("operator/ada".into(), b"list".to_vec());
        let (request, framework) = (RequestId(number), framework.into());
        s.feed(Input::Inquiry { request, by, framework, message });
    };
    ask(&mut s, 91, "f");
    let effects = s.take_effects();
    assert!(effects[0].contains("there is no framework f"), "{effects:?}");
    s.framework("f", "r");
    ask(&mut s, 92, "f");
    s.expect(["f: asked 1 by operator/ada: list"]);
    s.call("f", Call::Reply { question: 1, answer: Ok(b"nothing".to_vec()) });
    let effects = s.take_effects();
    assert!(effects[0].contains("Told"), "{effects:?}");
    s.call("f", Call::Reply { question: 1, answer: Ok(b"again".to_vec()) });
    s.expect([]);

    ask(&mut s, 93, "f");
    s.take_effects();
    s.now = s.now + Duration::from_secs(31);
    s.feed(Input::Tick);
    let effects = s.take_effects();
    assert!(effects[0].contains("did not answer in time"), "{effects:?}");

    ask(&mut s, 94, "f");
    s.take_effects();
    s.disconnect("f");
    let effects = s.take_effects();
    assert!(effects.iter().any(|line| line.contains("left before it answered")), "{effects:?}");
}
