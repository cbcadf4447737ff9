//! From records of events to counts.

use super::*;
use crate::chaos::faults::Kind;

fn told(task: &str, attempt: u32, seq: u64, agent: &str, end: Option<End>) -> What {
    What::Told(word(task, attempt, seq, agent, "exited with code 0", end))
}

fn word(t: &str, attempt: u32, seq: u64, agent: &str, state: &str, end: Option<End>) -> Word {
    let agent = (!agent.is_empty()).then(|| agent.to_owned());
    Word { task: t.into(), attempt, seq, agent, state: state.into(), end }
}

fn launched(task: &str, attempt: u32) -> What {
    What::Launched { task: task.into(), attempt, agent: "a0".into() }
}

fn accepted(task: &str, attempt: u32) -> What {
    What::Accepted { task: task.into(), attempt, agent: "a0".into() }
}

/// One framework that wrote this down, a note a second, which begins and is registered first.
fn witness(whats: &[What]) -> Witness {
    let first = [What::Began, What::Registered { framework: "f-1".into() }];
    let whats = first.iter().chain(whats).cloned();
    let notes = whats.zip(1u64..).map(|(what, second)| Note { at: second * 1_000, what });
    Witness { name: "f0".into(), notes: notes.collect() }
}

fn counted(whats: &[What]) -> Counts {
    count(&[witness(whats)], &[])
}

const WELL: Option<End> = Some(End::Well);
const AGAIN: Option<End> = Some(End::Again);

#[test]
fn tasks_are_counted_by_how_they_ended() {
    let counts = counted(&[
        launched("t-1", 1),
        accepted("t-1", 1),
        told("t-1", 1, 3, "a0", WELL),
        launched("t-2", 1),
        told("t-2", 1, 0, "", AGAIN),
        launched("t-2", 2),
        told("t-2", 2, 1, "a1", AGAIN),
        launched("t-2", 3),
        told("t-2", 3, 2, "a2", Some(End::Badly)),
    ]);
    let expected = Counts {
        accepted: 2,
        finished: 1,
        failed: 1,
        retried: 1,
        sent_again: 1,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
}

#[test]
fn a_task_without_an_end_is_lost_accepted_or_not() {
    let counts = counted(&[
        launched("t-1", 1),
        launched("t-2", 1),
        accepted("t-2", 1),
        launched("t-3", 1),
        told("t-3", 1, 1, "a0", AGAIN),
    ]);
    let lost = ["f0/t-1#1, last known at no agent", "f0/t-2#1, last known at a0"];
    assert_eq!(counts.lost[..2], lost);
    assert_eq!(counts.lost[2], "f0/t-3#1, last known at a0", "it was never started again");
    assert_eq!(counts.doubled, [""; 0]);
}

#[test]
fn an_end_told_twice_to_one_instance_is_doubled_and_to_the_next_one_is_not() {
    let end = told("t-1", 1, 3, "a0", WELL);
    let twice = counted(&[launched("t-1", 1), end.clone(), end.clone()]);
    assert_eq!(twice.doubled, ["f0/t-1#1: its end was told more than once to one instance"]);
    let again = counted(&[launched("t-1", 1), end.clone(), What::Began, end]);
    assert_eq!((again.doubled.len(), again.told_again, again.finished), (0, 1, 1));
}

#[test]
fn two_ends_of_an_attempt_are_doubled_also_if_the_driver_hid_one() {
    let lost = What::Sent(word("t-1", 1, 0, "", "lost: nobody knows it", AGAIN));
    let counts = counted(&[launched("t-1", 1), told("t-1", 1, 3, "a0", WELL), lost]);
    assert_eq!(counts.doubled.len(), 1, "{:?}", counts.doubled);
    let repeated = What::Sent(word("t-1", 1, 0, "a0", "exited with code 0", WELL));
    let counts = counted(&[launched("t-1", 1), told("t-1", 1, 3, "a0", WELL), repeated]);
    assert_eq!(counts.doubled, [""; 0], "the master repeats what the agent said");
    let other = What::Sent(word("t-1", 1, 4, "a0", "exited with code 0", WELL));
    let counts = counted(&[launched("t-1", 1), told("t-1", 1, 3, "a0", WELL), other]);
    assert_eq!(counts.doubled.len(), 1, "an agent ended it twice");
}

#[test]
fn an_attempt_at_two_agents_is_doubled_by_their_words_or_by_their_disks() {
    let counts = counted(&[
        launched("t-1", 1),
        told("t-1", 1, 1, "a0", None),
        told("t-1", 1, 2, "a1", WELL),
    ]);
    assert_eq!(counts.doubled, ["f0/t-1#1 was at several agents: {\"a0\", \"a1\"}"]);

    let notes = witness(&[launched("t-1", 1), told("t-1", 1, 1, "a0", WELL)]);
    let sandbox = |agent: &str, framework: &str| Sandbox {
        agent: agent.into(),
        framework: framework.into(),
        task: "t-1".into(),
        attempt: 1,
    };
    let found = [sandbox("a0", "f-1"), sandbox("a1", "f-2")];
    assert_eq!(count(std::slice::from_ref(&notes), &found).doubled, [""; 0]);
    let found = [sandbox("a0", "f-1"), sandbox("a1", "f-1")];
    assert_eq!(count(&[notes], &found).doubled.len(), 1);
}

#[test]
fn a_gap_without_offers_begins_anew_with_each_instance() {
    // Began at 1 s, registered at 2, offers at 3, 6, 12 and 14; the instance of 11 began anew.
    let other = accepted("t-1", 1);
    let notes = witness(&[
        What::Offered,
        other.clone(),
        other.clone(),
        What::Offered,
        other.clone(),
        other.clone(),
        other.clone(),
        other.clone(),
        What::Began,
        What::Offered,
        other,
        What::Offered,
    ])
    .notes;
    let gap = |seconds, from| Gap { lasted: Duration::from_secs(seconds), from };
    assert_eq!(longest_gap(&notes, 0, u64::MAX), gap(3, 3_000));
    assert_eq!(longest_gap(&notes, 7_000, u64::MAX), gap(2, 12_000));
    assert_eq!(longest_gap(&notes, 0, 2_000), gap(2, 1_000));
}

fn struck(clock: u64, criterion: Criterion) -> Struck {
    let (kind, target) = (Kind::LeaderKilled, "m0".to_owned());
    Struck { kind, target, from: clock, healed: clock, clock, criterion, recovered_ms: None }
}

#[test]
fn a_recovery_is_seen_by_what_was_told() {
    let again = What::Registered { framework: "f-1".into() };
    // Ends at 3, 5 and 6 s; registered again at 4 s.
    let seen = witness(&[
        told("t-1", 1, 1, "a0", WELL),
        again,
        told("t-2", 1, 1, "a1", AGAIN),
        told("t-3", 1, 1, "a0", WELL),
    ]);
    let witnesses = [seen];
    let took = |clock, criterion| {
        recovery(&struck(clock, criterion), &witnesses).map(|took| took.as_millis())
    };
    assert_eq!(took(2_500, Criterion::AnotherMaster), Some(2_500));
    assert_eq!(took(2_500, Criterion::Everybody), Some(500));
    assert_eq!(took(3_500, Criterion::Framework("f0".into())), Some(1_500));
    assert_eq!(took(3_500, Criterion::Agent("a0".into())), Some(2_500));
    assert_eq!(took(3_500, Criterion::Agent("a1".into())), Some(1_500));
    assert_eq!(took(3_500, Criterion::AgentOf("a1".into(), "f0".into())), None);
    assert_eq!(took(4_500, Criterion::AnotherMaster), None, "nobody has registered since");
}
