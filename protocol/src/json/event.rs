//! Events, as JSON has them.

use super::{spec::to_seconds, tagged};
use crate::{
    agent::Volume,
    framework::{Answer, Event, InverseOffer, Offer, RefusedTask, Window},
    ids::{AgentId, AllocationId, Attempt, FrameworkId, OfferId, Role, TaskId, TaskKey},
    outcome::{
        Delivered, Missing, Outcome, Progress, Source, StatusUpdate, TaskMessage, TaskState, Usage,
    },
    rejection::Rejection,
    resources::Resources,
    time::Time,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, time::Duration};

/// An event as one line, with the line's end. `heartbeat` is how often the reader hears at least.
pub fn write_event(event: &Event, heartbeat: Duration) -> Vec<u8> {
    line(&Words::of(event, heartbeat))
}

/// The line that says that nothing happened.
pub fn write_heartbeat() -> Vec<u8> {
    line(&Words::Heartbeat {})
}

/// The type first, for people.
fn line(words: &Words<'_>) -> Vec<u8> {
    let text = serde_json::to_string(words).expect(PLAIN);
    let name = text.split('"').nth(1).unwrap_or_default().to_ascii_uppercase();
    let rest = text.strip_prefix('{').unwrap_or_default();
    format!("{{\"type\":\"{name}\",{rest}\n").into_bytes()
}

const PLAIN: &str = "these words have texts as keys and no odd numbers";

/// An event without its type. Its documentation is that of [`Event`].
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Words<'a> {
    Subscribed {
        framework: &'a FrameworkId,
        heartbeat_seconds: f64,
        state: BTreeMap<&'a str, String>,
    },
    Offers {
        offers: Vec<OfferWords<'a>>,
    },
    Rescinded {
        offer: OfferId,
    },
    Answered {
        offer: Option<OfferId>,
        operation: u32,
        answer: Value,
    },
    TasksAccepted {
        agent: &'a AgentId,
        tasks: Vec<TaskAttempt<'a>>,
    },
    StatusUpdates {
        updates: Vec<UpdateWords<'a>>,
    },
    Progressed {
        reports: Vec<ProgressWords<'a>>,
    },
    Refused {
        rejection: Value,
    },
    InverseOffers {
        offers: Vec<InverseWords<'a>>,
    },
    InverseRescinded {
        offer: OfferId,
    },
    Asked {
        question: u64,
        by: &'a str,
        message: String,
    },
    Message {
        key: &'a TaskKey,
        bytes: String,
    },
    Heartbeat {},
}

impl<'a> Words<'a> {
    fn of(event: &'a Event, heartbeat: Duration) -> Self {
        match event {
            Event::Subscribed { framework, state } => {
                let kept = state.iter().map(|(key, value)| (key.as_str(), hex::encode(value)));
                let heartbeat_seconds = heartbeat.as_secs_f64();
                Self::Subscribed { framework, heartbeat_seconds, state: kept.collect() }
            }
            Event::Offers { offers } => {
                Self::Offers { offers: offers.iter().map(OfferWords::of).collect() }
            }
            Event::Rescinded { offer } => Self::Rescinded { offer: *offer },
            Event::Answered { offer, operation, answer } => Self::Answered {
                offer: *offer,
                operation: *operation,
                answer: tagged(value(&AnswerWords::of(answer))),
            },
            Event::TasksAccepted { agent, tasks } => {
                Self::TasksAccepted { agent, tasks: tasks.iter().map(TaskAttempt::of).collect() }
            }
            Event::StatusUpdates { updates } => {
                Self::StatusUpdates { updates: updates.iter().map(UpdateWords::of).collect() }
            }
            Event::Progressed { reports } => {
                Self::Progressed { reports: reports.iter().map(ProgressWords::of).collect() }
            }
            Event::Refused { rejection: why } => Self::Refused { rejection: rejection(why) },
            Event::InverseOffers { offers } => {
                Self::InverseOffers { offers: offers.iter().map(InverseWords::of).collect() }
            }
            Event::InverseRescinded { offer } => Self::InverseRescinded { offer: *offer },
            Event::Asked { question, by, message } => {
                Self::Asked { question: *question, by, message: hex::encode(message) }
            }
            Event::Message(TaskMessage { key, bytes }) => {
                Self::Message { key, bytes: hex::encode(bytes) }
            }
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum AnswerWords<'a> {
    Launched { allocation: AllocationId, agent: &'a AgentId, refused: Vec<RefusedWords<'a>> },
    Rejected { rejection: Value, tasks: Vec<TaskAttempt<'a>> },
    Applied {},
}

impl<'a> AnswerWords<'a> {
    fn of(answer: &'a Answer) -> Self {
        match answer {
            Answer::Launched { allocation, agent, refused } => Self::Launched {
                allocation: *allocation,
                agent,
                refused: refused.iter().map(RefusedWords::of).collect(),
            },
            Answer::Rejected { rejection: why, tasks } => Self::Rejected {
                rejection: rejection(why),
                tasks: tasks.iter().map(TaskAttempt::of).collect(),
            },
            Answer::Applied => Self::Applied {},
        }
    }
}

#[derive(Serialize)]
struct RefusedWords<'a> {
    task: &'a TaskId,
    attempt: Attempt,
    rejection: Value,
}

impl<'a> RefusedWords<'a> {
    fn of(RefusedTask { task, attempt, rejection: why }: &'a RefusedTask) -> Self {
        Self { task, attempt: *attempt, rejection: rejection(why) }
    }
}

#[derive(Serialize)]
struct TaskAttempt<'a> {
    task: &'a TaskId,
    attempt: Attempt,
}

impl<'a> TaskAttempt<'a> {
    fn of((task, attempt): &'a (TaskId, Attempt)) -> Self {
        Self { task, attempt: *attempt }
    }
}

#[derive(Serialize)]
struct OfferWords<'a> {
    id: OfferId,
    agent: &'a AgentId,
    hostname: &'a str,
    role: &'a Role,
    resources: &'a Resources,
    attributes: &'a BTreeMap<String, String>,
    architecture: &'a str,
    enforces: &'a [String],
    expires: Time,
    reserved: &'a BTreeMap<Role, Resources>,
    revocable: &'a Resources,
    unavailable: Option<WindowWords>,
    volumes: &'a [Volume],
}

impl<'a> OfferWords<'a> {
    fn of(offer: &'a Offer) -> Self {
        Self {
            id: offer.id,
            agent: &offer.agent,
            hostname: &offer.hostname,
            role: &offer.role,
            resources: &offer.resources,
            attributes: &offer.attributes,
            architecture: &offer.architecture,
            enforces: &offer.enforces,
            expires: offer.expires,
            reserved: &offer.reserved,
            revocable: &offer.revocable,
            unavailable: offer.unavailable.map(WindowWords::of),
            volumes: &offer.volumes,
        }
    }
}

#[derive(Serialize)]
struct WindowWords {
    from: Time,
    lasts: Option<f64>,
}

impl WindowWords {
    fn of(window: Window) -> Self {
        Self { from: window.from, lasts: window.lasts.map(|lasts| lasts.as_secs_f64()) }
    }
}

#[derive(Serialize)]
struct InverseWords<'a> {
    id: OfferId,
    agent: &'a AgentId,
    hostname: &'a str,
    window: WindowWords,
}

impl<'a> InverseWords<'a> {
    fn of(InverseOffer { id, agent, hostname, window }: &'a InverseOffer) -> Self {
        Self { id: *id, agent, hostname, window: WindowWords::of(*window) }
    }
}

#[derive(Serialize)]
struct ProgressWords<'a> {
    key: &'a TaskKey,
    done: u64,
    total: u64,
    message: &'a str,
}

impl<'a> ProgressWords<'a> {
    fn of(Progress { key, done, total, message }: &'a Progress) -> Self {
        Self { key, done: *done, total: *total, message }
    }
}

#[derive(Serialize)]
struct UpdateWords<'a> {
    key: &'a TaskKey,
    seq: u64,
    /// In Mesos's words: `RUNNING`, `FINISHED`.
    state: &'static str,
    terminal: bool,
    /// How it ended, if it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a AgentId>,
    source: Source,
    at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
    #[serde(skip_serializing_if = "String::is_empty")]
    result: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    last_words: &'a str,
    #[serde(skip_serializing_if = "<[Delivered]>::is_empty")]
    outputs: &'a [Delivered],
    #[serde(skip_serializing_if = "<[Missing]>::is_empty")]
    missing: &'a [Missing],
}

impl<'a> UpdateWords<'a> {
    fn of(update: &'a StatusUpdate) -> Self {
        let outcome = match &update.state {
            TaskState::Ended(end) => Some(outcome(end)),
            _ => None,
        };
        Self {
            key: &update.key,
            seq: update.seq,
            state: update.state.name(),
            terminal: update.state.is_terminal(),
            outcome,
            agent: update.agent.as_ref(),
            source: update.source,
            at: update.at,
            usage: update.usage.as_ref().map(usage),
            result: hex::encode(&update.result),
            last_words: &update.last_words,
            outputs: &update.outputs,
            missing: &update.missing,
        }
    }
}

/// A refusal: its `kind`, what it names, and a `message` for people.
pub fn rejection(rejection: &Rejection) -> Value {
    kinded(value(rejection), "rejection", &rejection.to_string())
}

fn outcome(end: &Outcome) -> Value {
    let mut outcome = kinded(value(end), "outcome", &end.to_string());
    if let Value::Object(map) = &mut outcome {
        to_seconds(map, &["limit"]);
        if let Outcome::Refused { rejection: why } = end {
            map.insert("rejection".into(), rejection(why));
        }
    }
    outcome
}

fn usage(usage: &Usage) -> Value {
    let mut usage = value(usage);
    if let Value::Object(map) = &mut usage {
        to_seconds(map, &["cpu", "wall", "compile", "start"]);
    }
    usage
}

/// An object of the records whose kind stands under `tag`.
fn kinded(value: Value, tag: &str, message: &str) -> Value {
    let Value::Object(mut map) = value else { return value };
    let kind = map.remove(tag).unwrap_or_default();
    let mut kinded = Map::from_iter([("kind".into(), kind), ("message".into(), json!(message))]);
    kinded.extend(map);
    Value::Object(kinded)
}

fn value(words: &impl Serialize) -> Value {
    serde_json::to_value(words).expect(PLAIN)
}
