//! From what was written down to what is counted: pure.
//!
//! A task counts as accepted when an agent has recorded it. It is lost if, accepted or not, it was
//! launched and its framework knows no end of it when all is over. An attempt is doubled if two
//! different ends of it were told, or one end twice to one instance of its framework, or if two
//! agents had it.

use super::{
    notes::{End, Note, What, Word},
    struck::{Criterion, Struck},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A framework and all that it wrote down.
#[derive(Clone, Debug)]
pub(crate) struct Witness {
    pub(crate) name: String,
    pub(crate) notes: Vec<Note>,
}

/// An attempt whose sandbox lies at an agent, by the id of its framework.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sandbox {
    pub(crate) agent: String,
    pub(crate) framework: String,
    pub(crate) task: String,
    pub(crate) attempt: u32,
}

/// What is counted in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Tasks that an agent has recorded, in whatever attempt.
    pub(crate) accepted: u64,
    /// Tasks that came to what they were made for.
    pub(crate) finished: u64,
    /// Tasks that ended as they never should.
    pub(crate) failed: u64,
    /// Attempts after one that an agent had recorded.
    pub(crate) retried: u64,
    /// Attempts after one that no agent had recorded.
    pub(crate) sent_again: u64,
    /// Ends that were told again to another instance of their framework.
    pub(crate) told_again: u64,
    /// Each in a sentence.
    pub(crate) lost: Vec<String>,
    pub(crate) doubled: Vec<String>,
}

/// What is known of one attempt.
#[derive(Debug, Default)]
struct Attempt {
    accepted: bool,
    agents: BTreeSet<String>,
    /// Each different end, with its numbers.
    ends: BTreeMap<String, BTreeSet<u64>>,
    end: Option<End>,
    /// The instances that were told the end, and how often.
    told: BTreeMap<u64, u64>,
}

type Attempts = BTreeMap<(String, u32), Attempt>;

/// Counts all of it. The sandboxes are what agents' disks say, independent of any message.
pub(crate) fn count(witnesses: &[Witness], sandboxes: &[Sandbox]) -> Counts {
    let mut counts = Counts::default();
    for witness in witnesses {
        let mut attempts = attempts(&witness.notes);
        let ids: BTreeSet<_> = witness.notes.iter().filter_map(framework_id).collect();
        for sandbox in sandboxes.iter().filter(|found| ids.contains(found.framework.as_str())) {
            let key = (sandbox.task.clone(), sandbox.attempt);
            let attempt = attempts.entry(key).or_default();
            attempt.accepted = true;
            attempt.agents.insert(sandbox.agent.clone());
        }
        add(&mut counts, &witness.name, &attempts);
    }
    counts
}

/// The id that a note says a master knows the framework by.
pub(crate) fn framework_id(note: &Note) -> Option<&str> {
    match &note.what {
        What::Registered { framework } => Some(framework),
        _ => None,
    }
}

fn attempts(notes: &[Note]) -> Attempts {
    let mut attempts = Attempts::new();
    let mut instance = 0;
    for note in notes {
        match &note.what {
            What::Began => instance += 1,
            What::Launched { task, attempt, .. } => {
                attempts.entry((task.clone(), *attempt)).or_default();
            }
            What::Accepted { task, attempt, agent } => {
                let known = attempts.entry((task.clone(), *attempt)).or_default();
                known.accepted = true;
                known.agents.insert(agent.clone());
            }
            What::Told(word) => {
                let known = heard(&mut attempts, word);
                if word.end.is_some() {
                    known.end = word.end;
                    *known.told.entry(instance).or_default() += 1;
                }
            }
            What::Sent(word) => drop(heard(&mut attempts, word)),
            _ => {}
        }
    }
    attempts
}

fn heard<'a>(attempts: &'a mut Attempts, word: &Word) -> &'a mut Attempt {
    let known = attempts.entry((word.task.clone(), word.attempt)).or_default();
    // Agents number what they tell; what the master says of itself has no number.
    if word.seq > 0 {
        known.accepted = true;
        known.agents.extend(word.agent.clone());
    }
    if word.end.is_some() {
        known.ends.entry(word.state.clone()).or_default().insert(word.seq);
    }
    known
}

fn add(counts: &mut Counts, framework: &str, attempts: &Attempts) {
    let mut tasks: BTreeMap<&str, Vec<(u32, &Attempt)>> = BTreeMap::new();
    for ((task, number), attempt) in attempts {
        tasks.entry(task).or_default().push((*number, attempt));
        let name = format!("{framework}/{task}#{number}");
        counts.doubled.extend(doubled(&name, attempt));
        let told_to = attempt.told.len() as u64;
        counts.told_again += told_to.saturating_sub(1);
    }
    for (task, attempts) in tasks {
        let accepted = attempts.iter().any(|(_, attempt)| attempt.accepted);
        counts.accepted += u64::from(accepted);
        for pair in attempts.windows(2) {
            let before = u64::from(pair[0].1.accepted);
            counts.retried += before;
            counts.sent_again += 1 - before;
        }
        let Some((number, last)) = attempts.last() else { continue };
        match last.end {
            Some(End::Well) => counts.finished += 1,
            Some(End::Badly) => counts.failed += 1,
            Some(End::Again) | None => {
                let had: Vec<_> = last.agents.iter().map(String::as_str).collect();
                let had = if had.is_empty() { "no agent".to_owned() } else { had.join(", ") };
                counts.lost.push(format!("{framework}/{task}#{number}, last known at {had}"));
            }
        }
    }
}

fn doubled(name: &str, attempt: &Attempt) -> Vec<String> {
    let mut found = Vec::new();
    if attempt.agents.len() > 1 {
        found.push(format!("{name} was at several agents: {:?}", attempt.agents));
    }
    let numbers: BTreeSet<_> =
        attempt.ends.values().flatten().filter(|number| **number > 0).collect();
    if attempt.ends.len() > 1 || numbers.len() > 1 {
        found.push(format!("{name} ended more than once: {:?}", attempt.ends));
    }
    if attempt.told.values().any(|times| *times > 1) {
        found.push(format!("{name}: its end was told more than once to one instance"));
    }
    found
}

/// A time without offers: how long, and from when on, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Gap {
    pub(crate) lasted: Duration,
    pub(crate) from: u64,
}

/// The longest time without offers while an instance of the framework lived, of those that touch
/// the span of time.
pub(crate) fn longest_gap(notes: &[Note], from: u64, until: u64) -> Gap {
    let mut last = None;
    let mut longest = Gap::default();
    for note in notes {
        if note.what == What::Began {
            last = Some(note.at);
        }
        if note.what != What::Offered {
            continue;
        }
        if let Some(last) = last.filter(|last| *last <= until && note.at >= from) {
            let lasted = Duration::from_millis(note.at.saturating_sub(last));
            longest = longest.max(Gap { lasted, from: last });
        }
        last = Some(note.at);
    }
    longest
}

/// How long it took until the fault was felt no more; none if that has not happened yet.
pub(crate) fn recovery(struck: &Struck, witnesses: &[Witness]) -> Option<Duration> {
    let since = |found: u64| Duration::from_millis(found.saturating_sub(struck.clock));
    match &struck.criterion {
        Criterion::AnotherMaster => {
            let each = witnesses.iter().map(|witness| {
                let known =
                    find(witness, struck.clock, |what| matches!(what, What::Registered { .. }))?;
                find(witness, known, is_end)
            });
            each.collect::<Option<Vec<_>>>()?.into_iter().max().map(since)
        }
        Criterion::Everybody => {
            let each = witnesses.iter().map(|witness| find(witness, struck.clock, is_end));
            each.collect::<Option<Vec<_>>>()?.into_iter().max().map(since)
        }
        Criterion::Framework(name) => {
            let witness = witnesses.iter().find(|witness| witness.name == *name)?;
            let known = find(witness, struck.clock, |what| {
                matches!(what, What::Registered { .. } | What::Told(_))
            })?;
            find(witness, known, is_end).map(since)
        }
        Criterion::Agent(id) => {
            let is_word = |what: &What| match what {
                What::Told(word) => word.seq > 0 && word.agent.as_ref() == Some(id),
                _ => false,
            };
            let each = witnesses.iter().map(|witness| find(witness, struck.clock, is_word));
            each.flatten().min().map(since)
        }
        Criterion::AgentOf(id, framework) => {
            let is_success = |what: &What| match what {
                What::Told(word) => word.end == Some(End::Well) && word.agent.as_ref() == Some(id),
                _ => false,
            };
            let witness = witnesses.iter().find(|witness| witness.name == *framework)?;
            find(witness, struck.clock, is_success).map(since)
        }
    }
}

/// When the first note of a kind from a time on was written. Looks from the end backwards, since
/// that is asked again and again.
fn find(witness: &Witness, from: u64, is: impl Fn(&What) -> bool) -> Option<u64> {
    let recent = witness.notes.iter().rev().take_while(|note| note.at >= from);
    recent.filter(|note| is(&note.what)).map(|note| note.at).min()
}

fn is_end(what: &What) -> bool {
    matches!(what, What::Told(word) if word.seq > 0 && word.end.is_some())
}

#[cfg(test)]
mod tests;
