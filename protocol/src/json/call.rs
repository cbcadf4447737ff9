//! Calls, as JSON has them.

use super::spec::from_seconds;
use crate::{
    framework::{Acknowledgement, Call, Consent, Demand, Filters, FrameworkInfo, LaunchTask},
    ids::{AllocationId, Attempt, FrameworkId, OfferId, Role, TaskId},
    resources::{Amount, Resources},
    task::{TaskSpec, Terms},
};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A call without its type. Its documentation is that of [`Call`].
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Words {
    Subscribe {
        framework: Option<FrameworkId>,
        #[serde(default)]
        run: u64,
        #[serde(default)]
        connection: u64,
        info: FrameworkInfo,
    },
    Accept {
        offers: Vec<OfferId>,
        #[serde(default)]
        operations: Vec<Operation>,
        #[serde(default)]
        filters: FilterWords,
    },
    Decline {
        offers: Vec<OfferId>,
        #[serde(default)]
        filters: FilterWords,
    },
    Enqueue {
        allocation: AllocationId,
        tasks: Vec<TaskSpec>,
    },
    Suppress {
        #[serde(default)]
        roles: BTreeSet<Role>,
    },
    Revive {
        #[serde(default)]
        roles: BTreeSet<Role>,
    },
    Kill {
        task: TaskId,
    },
    Acknowledge {
        acknowledgements: Vec<Acknowledgement>,
    },
    Reconcile {
        #[serde(default)]
        tasks: Vec<TaskAttempt>,
    },
    Teardown {},
    Demand {
        role: Option<Role>,
        demand: Option<DemandWords>,
    },
    AnswerInverse {
        offers: Vec<OfferId>,
        accepted: bool,
    },
    Save {
        entries: BTreeMap<String, Option<Hex>>,
    },
    Reply {
        question: u64,
        message: Option<Hex>,
        refusal: Option<String>,
    },
    Message {
        task: TaskId,
        attempt: Option<Attempt>,
        bytes: Hex,
    },
}

/// Bytes as hex digits.
#[derive(Debug, Deserialize)]
pub(super) struct Hex(#[serde(with = "hex::serde")] Vec<u8>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Operation {
    Launch { tasks: Vec<TaskSpec> },
    Reserve { role: Role, resources: Resources, from: Option<Role> },
    Unreserve { role: Role, resources: Resources, to: Option<Role> },
    CreateVolume { role: Role, name: String, disk: Amount },
    DestroyVolume { name: String },
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilterWords {
    #[serde(default, deserialize_with = "seconds")]
    refuse_seconds: Option<Duration>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DemandWords {
    #[serde(default)]
    least: Resources,
    #[serde(default)]
    wants: Resources,
    terms: Option<Terms>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskAttempt {
    task: TaskId,
    #[serde(default = "first")]
    attempt: Attempt,
}

/// The operations of an untagged call.
pub(super) fn operations(call: &mut Value) -> impl Iterator<Item = &mut Value> {
    call.pointer_mut("/accept/operations").and_then(Value::as_array_mut).into_iter().flatten()
}

const fn first() -> Attempt {
    Attempt::FIRST
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let Some(seconds) = Option::<f64>::deserialize(deserializer)? else { return Ok(None) };
    let wrong = || D::Error::custom(format!("{seconds} is no number of seconds"));
    from_seconds(seconds).map(Some).ok_or_else(wrong)
}

fn to_launch(tasks: Vec<TaskSpec>) -> Vec<LaunchTask> {
    tasks.into_iter().map(Ok).collect()
}

impl From<Words> for Call {
    fn from(words: Words) -> Self {
        match words {
            Words::Subscribe { framework, run, connection, info } => {
                Self::Subscribe { framework, run, connection, info }
            }
            Words::Accept { offers, operations, filters } => Self::Accept {
                offers,
                operations: operations.into_iter().map(Into::into).collect(),
                filters: filters.into(),
            },
            Words::Decline { offers, filters } => Self::Decline { offers, filters: filters.into() },
            Words::Enqueue { allocation, tasks } => {
                Self::Enqueue { allocation, tasks: to_launch(tasks) }
            }
            Words::Suppress { roles } => Self::Suppress { roles },
            Words::Revive { roles } => Self::Revive { roles },
            Words::Kill { task } => Self::Kill { task },
            Words::Acknowledge { acknowledgements } => Self::Acknowledge { acknowledgements },
            Words::Reconcile { tasks } => {
                Self::Reconcile { tasks: tasks.into_iter().map(|t| (t.task, t.attempt)).collect() }
            }
            Words::Teardown {} => Self::Teardown,
            Words::Demand { role, demand } => {
                let demand =
                    demand.map(|d| Demand { least: d.least, wants: d.wants, terms: d.terms });
                Self::Demand { role, demand }
            }
            Words::AnswerInverse { offers, accepted } => {
                let consent = if accepted { Consent::Accepted } else { Consent::Declined };
                Self::AnswerInverse { offers, consent }
            }
            Words::Save { entries } => {
                let value = |value: Option<Hex>| value.map(|value| value.0);
                let entries = entries.into_iter().map(|(key, kept)| (key, value(kept)));
                Self::Save { entries: entries.collect() }
            }
            Words::Reply { question, message, refusal } => {
                let refusal = || refusal.unwrap_or_else(|| "it gave no answer".into());
                let answer = message.map(|message| message.0).ok_or_else(refusal);
                Self::Reply { question, answer }
            }
            Words::Message { task, attempt, bytes } => {
                Self::Message { task, attempt, bytes: bytes.0 }
            }
        }
    }
}

impl From<Operation> for super::Operation {
    fn from(words: Operation) -> Self {
        match words {
            Operation::Launch { tasks } => Self::Launch { tasks: to_launch(tasks) },
            Operation::Reserve { role, resources, from } => Self::Reserve { role, resources, from },
            Operation::Unreserve { role, resources, to } => Self::Unreserve { role, resources, to },
            Operation::CreateVolume { role, name, disk } => Self::CreateVolume { role, name, disk },
            Operation::DestroyVolume { name } => Self::DestroyVolume { name },
        }
    }
}

impl From<FilterWords> for Filters {
    fn from(words: FilterWords) -> Self {
        Self { refuse: words.refuse_seconds }
    }
}
