//! Status updates, acknowledgements and progress, on their way through the master.

use super::kit::{OK, Story, task};
use skep_protocol::{
    TaskState,
    agent::ToMaster,
    framework::{Acknowledgement, Call},
    outcome::Progress,
};

fn launched() -> Story {
    let mut s = Story::new();
    s.framework("f", "r");
    s.agent("a", "cpus:2;mem:128");
    s.idle();
    s.expect(["f: offer o1 of a: cpus:2;mem:128"]);
    s.accept("f", &["o1"], &[task("t", "cpus:1;mem:64"), task("u", "cpus:1;mem:64")]);
    s.recorded("a", "f", &["t", "u"]);
    s.take_effects();
    s
}

#[test]
fn the_updates_of_one_message_reach_the_framework_as_one() {
    let mut s = launched();
    let updates = vec![
        s.status_update("f", "t", 1, TaskState::Starting),
        s.status_update("f", "t", 2, TaskState::Running),
        s.status_update("f", "u", 1, OK),
    ];
    s.agent_says("a", ToMaster::StatusUpdates { updates });
    s.expect(["f: t#1 STARTING (1), t#1 RUNNING (2), u#1 exited with code 0 (1)"]);
}

#[test]
fn resources_are_free_with_the_end_and_not_with_its_acknowledgement() {
    let mut s = launched();
    s.update("a", "f", "t", 1, OK);
    s.idle();
    s.expect(["f: t#1 exited with code 0 (1)", "f: offer o2 of a: cpus:1;mem:64"]);
    s.acknowledge("f", "t", 1);
    s.expect(["a: acknowledge f/t#1 (1)"]);
}

#[test]
fn an_update_that_is_repeated_is_passed_on_until_it_is_acknowledged_and_counts_once() {
    let mut s = launched();
    s.update("a", "f", "t", 1, OK);
    s.update("a", "f", "t", 1, OK);
    s.expect(["f: t#1 exited with code 0 (1)", "f: t#1 exited with code 0 (1)"]);
    s.idle();
    s.expect(["f: offer o2 of a: cpus:1;mem:64"]);
    s.acknowledge("f", "t", 1);
    s.expect(["a: acknowledge f/t#1 (1)"]);
    // The acknowledgement got lost on its way to the agent.
    s.update("a", "f", "t", 1, OK);
    s.expect(["a: acknowledge f/t#1 (1)"]);
    s.acknowledge("f", "t", 1);
    s.expect([]);
}

#[test]
fn an_acknowledgement_covers_all_numbers_up_to_its_own() {
    let mut s = launched();
    s.update("a", "f", "t", 1, TaskState::Starting);
    s.update("a", "f", "t", 2, TaskState::Running);
    s.acknowledge("f", "t", 2);
    s.take_effects();
    s.update("a", "f", "t", 1, TaskState::Starting);
    s.expect(["a: acknowledge f/t#1 (1)"]);
    s.resubscribe("f", "r");
    let effects = s.take_effects();
    assert_eq!(effects.last().map(String::as_str), Some("f: t#1 RUNNING, u#1 STAGING"));
}

#[test]
fn acknowledgements_are_sent_to_each_agent_together() {
    let mut s = launched();
    s.update("a", "f", "t", 1, OK);
    s.update("a", "f", "u", 1, OK);
    s.take_effects();
    let acknowledgements = ["t", "u", "strange"]
        .map(|name| Acknowledgement { key: s.key("f", name), seq: 1 })
        .to_vec();
    s.call("f", Call::Acknowledge { acknowledgements });
    s.expect(["a: acknowledge f/t#1 (1) f/u#1 (1)"]);
}

#[test]
fn nobody_acknowledges_for_another() {
    let mut s = launched();
    s.framework("g", "r");
    s.update("a", "f", "t", 1, OK);
    s.expect(["f: t#1 exited with code 0 (1)"]);
    let acknowledgements = vec![Acknowledgement { key: s.key("f", "t"), seq: 1 }];
    s.call("g", Call::Acknowledge { acknowledgements });
    s.expect([]);
}

#[test]
fn an_agent_speaks_only_for_its_own_tasks() {
    let mut s = launched();
    s.agent("b", "cpus:0.001;mem:1");
    s.update("b", "f", "t", 1, OK);
    s.expect(["b: acknowledge f/t#1 (1)"]);
    s.recorded("b", "f", &["t"]);
    s.update("a", "f", "t", 1, TaskState::Running);
    s.expect(["f: t#1 RUNNING (1)"]);
}

#[test]
fn what_no_agent_may_say_is_not_passed_on() {
    let mut s = launched();
    s.update("a", "f", "t", 1, TaskState::Unreachable);
    s.update("a", "f", "t", 0, OK);
    s.expect([]);
}

#[test]
fn nothing_follows_an_end() {
    let mut s = launched();
    s.update("a", "f", "t", 2, OK);
    s.expect(["f: t#1 exited with code 0 (2)"]);
    s.update("a", "f", "t", 3, TaskState::Running);
    s.expect(["a: acknowledge f/t#1 (3)"]);
    s.update("a", "f", "t", 1, TaskState::Running);
    s.expect(["f: t#1 RUNNING (1)"]);
    s.idle();
    s.expect(["f: offer o2 of a: cpus:1;mem:64"]);
}

#[test]
fn progress_is_passed_on_while_the_task_lives() {
    let mut s = launched();
    let report = |s: &Story, name| {
        let (key, message) = (s.key("f", name), "rows".into());
        Progress { key, done: 1, total: 3, message }
    };
    s.update("a", "f", "u", 1, OK);
    s.take_effects();
    let reports = ["t", "u", "strange"].map(|name| report(&s, name)).to_vec();
    s.agent_says("a", ToMaster::Progressed { reports });
    s.expect(["f: progressed f/t#1 1/3"]);
}

#[test]
fn large_updates_are_split_so_that_each_message_fits_a_frame() {
    let mut s = launched();
    let mut updates = Vec::new();
    for seq in 1..=12 {
        let mut update = s.status_update("f", "t", seq, TaskState::Running);
        update.result = vec![0; skep_protocol::bounds::RESULT_BYTES_MAX];
        updates.push(update);
    }
    s.agent_says("a", ToMaster::StatusUpdates { updates });
    assert_eq!(s.take_effects().len(), 2);
}

/// What the agent had not written to its disk when it died, and however many tasks have ended.
#[test]
fn an_end_that_was_acknowledged_is_no_news_when_its_agent_has_forgotten_that() {
    let mut s = Story::with(|policy| policy.ended_tasks_max = 1);
    s.framework("f", "r");
    s.agent("a", "cpus:2;mem:128");
    s.idle();
    let specs = ["t", "u"].map(|name| task(name, "cpus:1;mem:64"));
    s.run("f", "o1", "a", &specs);
    for name in ["t", "u"] {
        s.update("a", "f", name, 2, OK);
        s.acknowledge("f", name, 2);
    }
    s.take_effects();
    let held = specs.map(|spec| s.held("f", &spec, "l1", "cpus:2;mem:128", OK));
    s.disconnect("a");
    s.register("a", &held);
    s.expect(["a: registered"]);
    // Nor is it lost when the agent goes before it has said more.
    s.disconnect("a");
    s.wait(3_600.0);
    s.expect([]);
    s.register("a", &held);
    s.update("a", "f", "t", 2, OK);
    s.update("a", "f", "u", 2, OK);
    s.expect(["a: registered", "a: acknowledge f/t#1 (2)", "a: acknowledge f/u#1 (2)"]);
}
