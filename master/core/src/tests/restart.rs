//! A restart of the master: what it knows again from its records, and what peers bring back.

use super::kit::{OK, START, Story, task};
use crate::{Change, Duty, Master, Policy, Record, Reservation, Token, record::Durable};
use skep_protocol::{
    AgentId, Amount, Attempt, Digest, FrameworkId, Outcome, Resources, Role, TaskState, Time,
    agent::Volume,
    operator::{Leftover, Maintenance, PeerKind, Quota, Weight},
    outcome::KilledBy,
};
use std::collections::BTreeMap;

fn running() -> Story {
    let mut s = Story::new();
    s.weigh("r", 2_000);
    s.framework("f", "r");
    s.agent("a", "cpus:2;mem:128");
    s.idle();
    s.expect(["f: offer o1 of a: cpus:2;mem:128"]);
    s.run("f", "o1", "a", &[task("t", "cpus:1;mem:64")]);
    s
}

fn held(s: &Story, name: &str, state: TaskState) -> skep_protocol::agent::HeldTask {
    s.held("f", &task(name, "cpus:1;mem:64"), "l1", "cpus:2;mem:128", state)
}

#[test]
fn the_rows_of_the_store_give_the_state_that_the_records_made() {
    let mut s = running();
    s.disconnect("f");
    s.admit_agent("b", "cpus:1;mem:64");
    s.framework("g", "r");
    s.call("g", skep_protocol::framework::Call::Teardown);
    s.take_effects();
    let mut rows: BTreeMap<String, Record> = BTreeMap::new();
    for record in &s.records {
        match record.change() {
            Change::Put => rows.insert(record.key(), record.clone()),
            Change::Delete => rows.remove(&record.key()),
        };
    }
    let mut of_rows = Durable::default();
    rows.values().for_each(|record| of_rows.apply(record));
    assert_eq!(of_rows, s.master.durable);
    let recovered = Master::recover(s.records.clone(), Policy::default(), 1);
    assert_eq!(recovered.durable, s.master.durable);
    // Two agents, two used-up tokens, one framework, one weight.
    assert_eq!(rows.len(), 6);
}

#[test]
fn running_tasks_are_adopted_and_told_to_their_framework() {
    let s = running();
    let t = held(&s, "t", TaskState::Running);
    let mut s = s.restart_master();
    s.expect(["record framework/f"]);
    s.resubscribe("f", "r");
    s.expect(["record framework/f", "f: subscribed"]);
    s.register("a", &[t]);
    s.expect(["a: registered", "f: t#1 RUNNING"]);
    // It occupies what it uses; the rest is free.
    s.idle();
    s.expect(["f: offer o1 of a: cpus:1;mem:64"]);
    s.enqueue("f", "l1", &[task("u", "cpus:1;mem:32")]);
    s.expect([
        "a: launch l1 in r within cpus:1;mem:64: f/u#1",
        "f: answered enqueue: launched l1 on a",
    ]);
    s.update("a", "f", "t", 7, OK);
    s.expect(["f: t#1 exited with code 0 (7)"]);
}

#[test]
fn an_end_that_the_old_master_did_not_pass_on_comes_through() {
    let s = running();
    let t = held(&s, "t", OK);
    let mut s = s.restart_master();
    s.resubscribe("f", "r");
    s.take_effects();
    s.register("a", &[t]);
    s.expect(["a: registered"]);
    s.idle();
    s.expect(["f: offer o1 of a: cpus:2;mem:128"]);
    s.resubscribe("f", "r");
    s.take_effects();
    s.update("a", "f", "t", 2, OK);
    s.expect(["f: t#1 exited with code 0 (2)"]);
    s.acknowledge("f", "t", 2);
    s.expect(["a: acknowledge f/t#1 (2)"]);
}

/// The old master had given it up and had it killed for it, and died before its framework was back.
#[test]
fn what_the_old_master_gave_up_is_lost_and_not_killed_for_an_attempt_that_nobody_launched() {
    let s = running();
    let by = KilledBy::NewerAttempt(Attempt(2));
    let killed = TaskState::Ended(Outcome::Killed { by });
    let t = held(&s, "t", killed.clone());
    let mut s = s.restart_master();
    s.resubscribe("f", "r");
    s.register("a", &[t]);
    s.take_effects();
    // However often the agent says it.
    for _ in 0..2 {
        s.update("a", "f", "t", 3, killed.clone());
        s.expect(["f: t#1 lost: its agent was not heard of for too long (3)"]);
    }
}

#[test]
fn an_acknowledgement_that_the_old_master_did_not_pass_on_counts() {
    let s = running();
    let t = held(&s, "t", OK);
    let mut s = s.restart_master();
    s.resubscribe("f", "r");
    s.register("a", &[t]);
    s.take_effects();
    s.acknowledge("f", "t", 2);
    s.expect(["a: acknowledge f/t#1 (2)"]);
    s.update("a", "f", "t", 2, OK);
    s.expect(["a: acknowledge f/t#1 (2)"]);
}

#[test]
fn of_two_attempts_that_agents_bring_back_the_older_is_killed_whoever_comes_first() {
    for newer_first in [false, true].map(usize::from) {
        let mut s = running();
        s.admit_agent("b", "cpus:2;mem:128");
        let old = s.held("f", &task("t", "cpus:1;mem:64"), "l1", "cpus:1;mem:64", OK);
        let old = skep_protocol::agent::HeldTask { state: TaskState::Running, ..old };
        let mut new = old.clone();
        new.key = s.key("f", "t#2");
        new.allocation.0 += 1;
        let mut s = s.restart_master();
        s.resubscribe("f", "r");
        s.take_effects();
        let mut arrivals = [("a", old), ("b", new)];
        arrivals.rotate_left(newer_first);
        for (agent, task) in arrivals {
            s.register(agent, &[task]);
        }
        let mut effects = s.take_effects();
        effects.retain(|line| line.contains("kill"));
        assert_eq!(effects, ["a: kill f/t#1 by its newer attempt 2"]);
    }
}

#[test]
fn an_attempt_that_is_brought_back_after_a_later_one_has_ended_is_killed() {
    let mut s = running();
    s.admit_agent("b", "cpus:2;mem:128");
    let old = held(&s, "t", TaskState::Running);
    let mut new = held(&s, "t", OK);
    new.key = s.key("f", "t#2");
    let mut s = s.restart_master();
    s.resubscribe("f", "r");
    s.register("b", &[new]);
    s.update("b", "f", "t#2", 1, OK);
    s.acknowledge("f", "t#2", 1);
    s.take_effects();
    s.register("a", &[old]);
    s.expect(["a: registered", "a: kill f/t#1 by its newer attempt 2"]);
}

#[test]
fn agents_that_name_the_same_allocation_do_not_share_one() {
    let s = running();
    let (mut t, mut u) = (held(&s, "t", TaskState::Running), held(&s, "u", TaskState::Running));
    t.granted = "cpus:1;mem:64".parse().expect("resources");
    u.granted = t.granted.clone();
    let mut s = s.restart_master();
    s.admit_agent("b", "cpus:2;mem:128");
    s.resubscribe("f", "r");
    s.register("a", &[t]);
    s.register("b", &[u]);
    assert_eq!(s.master.ledger.allocations().count(), 2);
    s.take_effects();
}

#[test]
fn a_framework_that_does_not_come_back_is_removed_on_time() {
    let mut s = running();
    s.disconnect("f");
    s.wait_beating("a", 40);
    s.take_effects();
    let t = held(&s, "t", TaskState::Running);
    let mut s = s.restart_master();
    s.register("a", &[t]);
    s.expect(["a: registered"]);
    s.wait_beating("a", 19);
    s.expect([]);
    s.wait(1.0);
    s.expect(["delete framework/f", "a: remove f"]);
}

#[test]
fn a_framework_gets_a_chance_to_come_back_after_the_master_was_away() {
    let mut s = running();
    s.disconnect("f");
    s.take_effects();
    s.now = START + std::time::Duration::from_secs(3_600);
    let mut s = s.restart_master();
    s.wait(9.9);
    s.expect([]);
    s.wait(0.1);
    s.expect(["delete framework/f"]);
}

#[test]
fn ids_of_an_earlier_run_are_not_valid_and_weights_are_kept() {
    let s = running();
    let offer = s.names.offer("o1");
    let mut s = s.restart_master();
    s.resubscribe("f", "r");
    s.register("a", &[]);
    s.idle();
    s.take_effects();
    assert_ne!(s.names.offer("o1"), offer);
    let role = Role::new("r").expect("a role");
    assert_eq!(s.master.ledger.shares.role(&role).map(|r| r.weight.as_millis()), Some(2_000));
}

#[test]
fn records_are_stored_in_a_form_that_never_changes() {
    let framework = FrameworkId::new("f-1").expect("an id");
    let (info, principal) = (super::kit::info("f", "r"), String::from("me"));
    let (id, at) = (String::from("t"), Time::from_micros(5));
    let (secret, kind) = (Digest::from_bytes([0; 32]), PeerKind::Agent);
    let token = Token { secret, kind, uses_left: 1, expires: at };
    let info_json = r#""info":{"name":"f","role":"r","failover_timeout":{"secs":60,"nanos":0}}"#;
    let zeros = "0".repeat(64);
    let token_json = format!(
        r#""token":{{"secret":"sha256:{zeros}","kind":"agent","uses_left":1,"expires":5}}"#
    );
    let agent = AgentId::new("a-1").expect("an id");
    let (role, weight) = (Role::default(), Weight::ONE);
    let forms = [
        (
            Record::AgentAdmitted { agent, name: "n".into(), at },
            r#""agent_admitted","agent":"a-1","name":"n","at":5"#.into(),
        ),
        (
            Record::FrameworkSubscribed {
                framework: framework.clone(),
                info: info.clone(),
                principal: principal.clone(),
                run: 0,
            },
            format!(r#""framework_subscribed","framework":"f-1",{info_json},"principal":"me""#),
        ),
        (
            Record::FrameworkDisconnected {
                framework: framework.clone(),
                info,
                principal,
                run: 6,
                at,
            },
            format!(
                r#""framework_disconnected","framework":"f-1",{info_json},{}"#,
                r#""principal":"me","run":6,"at":5"#,
            ),
        ),
        (Record::FrameworkRemoved { framework }, r#""framework_removed","framework":"f-1""#.into()),
        (Record::RoleSet { role, weight }, r#""role_set","role":"default","weight":1000"#.into()),
        (
            Record::TokenCreated { id: id.clone(), token: token.clone() },
            format!(r#""token_created","id":"t",{token_json}"#),
        ),
        (
            Record::TokenUsed { id: id.clone(), token },
            format!(r#""token_used","id":"t",{token_json}"#),
        ),
        (Record::TokenRevoked { id }, r#""token_revoked","id":"t""#.into()),
    ];
    check(forms);
}

#[test]
fn records_of_sharing_are_stored_in_a_form_that_never_changes() {
    let (agent, role) = (AgentId::new("a-1").expect("an id"), Role::default());
    let resources: Resources = "cpus:1.5".parse().expect("resources");
    let limit = [("mem".to_owned(), Amount::ZERO)].into();
    let quota = Quota { guarantee: resources.clone(), limit };
    check([
        (
            Record::QuotaSet { role: role.clone(), quota },
            r#""quota_set","role":"default","quota":{"guarantee":{"cpus":1.5},"limit":{"mem":0.0}}"#
                .into(),
        ),
        (
            Record::QuotaRemoved { role: role.clone() },
            r#""quota_removed","role":"default""#.into(),
        ),
        (
            Record::Reserved {
                agent: agent.clone(),
                role: role.clone(),
                reservation: Reservation { resources, ..Reservation::default() },
            },
            r#""reserved","agent":"a-1","role":"default","reservation":{"resources":{"cpus":1.5}}"#
                .into(),
        ),
        (
            Record::Unreserved { agent, role },
            r#""unreserved","agent":"a-1","role":"default""#.into(),
        ),
    ]);
}

#[test]
fn records_of_agents_and_what_is_kept_on_them_have_the_form_that_earlier_versions_wrote() {
    let agent = || AgentId::new("a-1").expect("an id");
    let (from, lasts) = (Time::from_micros(5), std::time::Duration::from_secs(60));
    let maintenance = Maintenance { from, lasts, tasks: Leftover::Kept };
    let (role, disk) = (Role::default(), Amount::units(10));
    let volume = Volume { name: "v".into(), role, disk, made: from };
    check([
        (
            Record::DutySet { agent: agent(), duty: Duty::Drained { due: from } },
            r#""duty_set","agent":"a-1","duty":{"drained":{"due":5}}"#.into(),
        ),
        (
            Record::DutySet { agent: agent(), duty: Duty::Gone },
            r#""duty_set","agent":"a-1","duty":"gone""#.into(),
        ),
        (Record::DutyCleared { agent: agent() }, r#""duty_cleared","agent":"a-1""#.into()),
        (
            Record::MaintenanceSet { agent: agent(), maintenance },
            concat!(
                r#""maintenance_set","agent":"a-1","maintenance":{"from":5,"#,
                r#""lasts":{"secs":60,"nanos":0},"tasks":"kept"}"#,
            )
            .into(),
        ),
        (
            Record::MaintenanceCleared { agent: agent() },
            r#""maintenance_cleared","agent":"a-1""#.into(),
        ),
        (
            Record::VolumeMade { agent: agent(), volume },
            concat!(
                r#""volume_made","agent":"a-1","#,
                r#""volume":{"name":"v","role":"default","disk":10.0,"made":5}"#,
            )
            .into(),
        ),
        (
            Record::VolumeRemoved { agent: agent(), name: "v".into() },
            r#""volume_removed","agent":"a-1","name":"v""#.into(),
        ),
    ]);
}

/// Asserts the form of each record, and that it can be read again.
fn check(forms: impl IntoIterator<Item = (Record, String)>) {
    for (record, form) in forms {
        let text = serde_json::to_string(&record).expect("a record can be written");
        assert_eq!(text, format!(r#"{{"record":{form}}}"#));
        assert_eq!(serde_json::from_str::<Record>(&text).ok(), Some(record));
    }
}
