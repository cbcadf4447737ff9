//! Messages between tasks and their frameworks: who gets them, and who hears that nobody does.

use super::kit::{OK, Story, task};
use skep_protocol::{
    Attempt, TaskId, TaskState, agent::ToMaster, framework::Call, outcome::TaskMessage,
};

fn running() -> Story {
    Story::with_tasks(&[task("t", "cpus:1;mem:64"), task("u", "cpus:1;mem:64")])
}

fn to(task: &str, attempt: Option<u32>) -> Call {
    let task = TaskId::new(task).expect("a task id");
    Call::Message { task, attempt: attempt.map(Attempt), bytes: b"go".to_vec() }
}

fn from(s: &Story, task: &str, text: &str) -> TaskMessage {
    TaskMessage { key: s.key("f", task), bytes: text.into() }
}

#[test]
fn a_message_goes_to_the_agent_of_the_attempt_that_runs() {
    let mut s = running();
    s.call("f", to("t", None));
    s.expect(["a: message to f/t#1: go"]);
    s.call("f", to("t", Some(1)));
    s.expect(["a: message to f/t#1: go"]);
    s.update("a", "f", "t", 2, TaskState::Paused);
    s.expect(["f: t#1 PAUSED (2)"]);
    s.call("f", to("t", None));
    s.expect(["a: message to f/t#1: go"]);
}

#[test]
fn a_message_that_nobody_can_get_is_answered_in_words_and_the_conversation_goes_on() {
    const DROPPED: &str = "f: refused: the message to task t was dropped: ";
    let mut s = running();
    s.call("f", to("t", Some(2)));
    s.expect([&*format!("{DROPPED}it was for attempt 2, and the newest is 1")]);
    s.disconnect("a");
    s.call("f", to("t", None));
    s.expect([&*format!("{DROPPED}its agent is not connected: send it again later")]);
    let t = s.held("f", &task("t", "cpus:1;mem:64"), "l1", "cpus:2;mem:128", TaskState::Running);
    let u = s.held("f", &task("u", "cpus:1;mem:64"), "l1", "cpus:2;mem:128", TaskState::Running);
    s.register("a", &[t, u]);
    s.take_effects();
    s.update("a", "f", "t", 2, OK);
    s.expect(["f: t#1 exited with code 0 (2)"]);
    s.call("f", to("t", None));
    s.expect([&*format!("{DROPPED}it has ended")]);
    s.acknowledge("f", "t", 2);
    s.take_effects();
    s.call("f", to("t", None));
    s.expect([&*format!("{DROPPED}it is not known, or has ended")]);
    s.call("f", to("u", None));
    s.expect(["a: message to f/u#1: go"]);
}

#[test]
fn a_task_that_does_not_run_yet_gets_no_messages() {
    let mut s = Story::new();
    s.framework("f", "r");
    s.agent("a", "cpus:1;mem:64");
    s.idle();
    s.accept("f", &["o1"], &[task("t", "cpus:1;mem:64")]);
    s.take_effects();
    let why = "it does not run yet: wait until it is RUNNING";
    let refused = format!("f: refused: the message to task t was dropped: {why}");
    s.call("f", to("t", None));
    s.expect([&*refused]);
    s.recorded("a", "f", &["t"]);
    s.update("a", "f", "t", 1, TaskState::Starting);
    s.take_effects();
    s.call("f", to("t", None));
    s.expect([&*refused]);
}

#[test]
fn another_framework_s_task_is_not_known() {
    let mut s = running();
    s.framework("g", "r");
    s.call("g", to("t", None));
    s.expect(["g: refused: the message to task t was dropped: it is not known, or has ended"]);
}

#[test]
fn a_task_s_messages_go_to_its_framework_and_an_agent_speaks_for_its_own_tasks_alone() {
    let mut s = running();
    s.agent("b", "cpus:0.001;mem:1");
    s.update("a", "f", "u", 2, OK);
    s.take_effects();
    let messages = || vec![from(&s, "t", "one"), from(&s, "u", "late"), from(&s, "t", "two")];
    let (of_a, of_b) = (messages(), messages());
    s.agent_says("b", ToMaster::Sent { messages: of_b });
    s.expect([]);
    s.agent_says("a", ToMaster::Sent { messages: of_a });
    s.expect(["f: message of f/t#1: one", "f: message of f/t#1: two"]);
    s.disconnect("f");
    s.take_effects();
    let unheard = vec![from(&s, "t", "three")];
    s.agent_says("a", ToMaster::Sent { messages: unheard });
    s.expect([]);
}
