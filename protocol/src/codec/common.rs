//! `common.proto`: ids, digests, resources, time; and the bounds of texts.

use super::{
    DecodeError,
    convert::{Convert, at_most, read},
    wire::common as wire,
};
use crate::{
    bounds::{FEATURES_MAX, ID_BYTES_MAX, LABELS_MAX, WHY_BYTES_MAX},
    ids::{
        AgentId, AllocationId, Attempt, Digest, FrameworkId, Incarnation, OfferId, Role, TaskId,
        TaskKey,
    },
    resources::{Amount, Resources},
    time::Time,
};
use std::{collections::BTreeMap, time::Duration};

macro_rules! convert_text_id {
    ($($type:ty),+) => {$(
        impl Convert for $type {
            type Wire = String;

            fn to_wire(&self) -> String {
                self.to_string()
            }

            fn from_wire(wire: String) -> Result<Self, DecodeError> {
                wire.parse().map_err(DecodeError::invalid)
            }
        }
    )+};
}
convert_text_id!(AgentId, FrameworkId, TaskId, Role, OfferId, AllocationId);

impl Convert for Attempt {
    type Wire = u32;

    fn to_wire(&self) -> u32 {
        self.0
    }

    fn from_wire(wire: u32) -> Result<Self, DecodeError> {
        Ok(Self(wire))
    }
}

impl Convert for Incarnation {
    type Wire = u64;

    fn to_wire(&self) -> u64 {
        self.0
    }

    fn from_wire(wire: u64) -> Result<Self, DecodeError> {
        Ok(Self(wire))
    }
}

impl Convert for TaskKey {
    type Wire = wire::TaskKey;

    fn to_wire(&self) -> wire::TaskKey {
        let Self { framework, task, attempt } = self;
        wire::TaskKey {
            framework: framework.to_wire(),
            task: task.to_wire(),
            attempt: attempt.to_wire(),
        }
    }

    fn from_wire(wire: wire::TaskKey) -> Result<Self, DecodeError> {
        Ok(Self {
            framework: read("framework", wire.framework)?,
            task: read("task", wire.task)?,
            attempt: read("attempt", wire.attempt)?,
        })
    }
}

impl Convert for Amount {
    type Wire = u64;

    fn to_wire(&self) -> u64 {
        self.as_millis()
    }

    fn from_wire(wire: u64) -> Result<Self, DecodeError> {
        let amount = Self::millis(wire);
        if amount > Self::MAX {
            let why = format!("{wire} thousandths are more than {} can be", Self::MAX);
            return Err(DecodeError::invalid(why));
        }
        Ok(amount)
    }
}

impl Convert for (TaskId, Attempt) {
    type Wire = wire::TaskAttempt;

    fn to_wire(&self) -> wire::TaskAttempt {
        wire::TaskAttempt { task: self.0.to_wire(), attempt: self.1.to_wire() }
    }

    fn from_wire(wire: wire::TaskAttempt) -> Result<Self, DecodeError> {
        Ok((read("task", wire.task)?, read("attempt", wire.attempt)?))
    }
}

impl Convert for Digest {
    type Wire = Vec<u8>;

    fn to_wire(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn from_wire(wire: Vec<u8>) -> Result<Self, DecodeError> {
        let length = wire.len();
        let bytes = wire.try_into().map_err(|_| {
            DecodeError::invalid(format!("a SHA-256 has 32 bytes, this has {length}"))
        })?;
        Ok(Self::from_bytes(bytes))
    }
}

impl Convert for Resources {
    type Wire = wire::Resources;

    fn to_wire(&self) -> wire::Resources {
        let amounts_millis =
            self.iter().map(|(name, amount)| (name.into(), amount.as_millis())).collect();
        wire::Resources { amounts_millis }
    }

    fn from_wire(wire: wire::Resources) -> Result<Self, DecodeError> {
        let mut resources = Self::none();
        for (name, millis) in &wire.amounts_millis {
            resources.insert(name, Amount::millis(*millis)).map_err(DecodeError::invalid)?;
        }
        Ok(resources)
    }
}

/// In microseconds; what is finer is dropped, what is too long is as long as can be.
impl Convert for Duration {
    type Wire = u64;

    fn to_wire(&self) -> u64 {
        u64::try_from(self.as_micros()).unwrap_or(u64::MAX)
    }

    fn from_wire(wire: u64) -> Result<Self, DecodeError> {
        Ok(Self::from_micros(wire))
    }
}

impl Convert for Time {
    type Wire = u64;

    fn to_wire(&self) -> u64 {
        self.as_micros()
    }

    fn from_wire(wire: u64) -> Result<Self, DecodeError> {
        Ok(Self::from_micros(wire))
    }
}

/// A text of at most `bytes_max` bytes.
pub(super) fn text(field: &str, bytes_max: usize, text: String) -> Result<String, DecodeError> {
    if text.len() > bytes_max {
        let why = format!("it has {} bytes, at most {bytes_max} are allowed", text.len());
        return Err(DecodeError::invalid(why).within(field));
    }
    Ok(text)
}

/// At most `bytes_max` bytes.
pub(super) fn bytes(field: &str, bytes_max: usize, bytes: Vec<u8>) -> Result<Vec<u8>, DecodeError> {
    if bytes.len() > bytes_max {
        let why = format!("it has {} bytes, at most {bytes_max} are allowed", bytes.len());
        return Err(DecodeError::invalid(why).within(field));
    }
    Ok(bytes)
}

/// The name of a volume, which is formed as a task's.
pub(super) fn name(field: &str, name: String) -> Result<String, DecodeError> {
    let checked = TaskId::new(&name).map_err(|error| DecodeError::invalid(error).within(field));
    checked.map(|_| name)
}

/// Names of features, of this build or another.
pub(super) fn names(field: &str, names: Vec<String>) -> Result<Vec<String>, DecodeError> {
    let names = at_most(field, FEATURES_MAX, names)?;
    names.into_iter().map(|name| text(field, ID_BYTES_MAX, name)).collect()
}

/// What an operator says about an agent.
pub(super) fn attributes(
    field: &str,
    attributes: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, DecodeError> {
    let too_long = |(k, v): (&String, &String)| k.len().max(v.len()) > ID_BYTES_MAX;
    if attributes.len() > LABELS_MAX || attributes.iter().any(too_long) {
        let why = format!("at most {LABELS_MAX}, of {ID_BYTES_MAX} bytes each");
        return Err(DecodeError::invalid(why).within(field));
    }
    Ok(attributes)
}

/// A text for people, cut to [`WHY_BYTES_MAX`].
pub(super) fn sentence(text: &str) -> String {
    cut(text, WHY_BYTES_MAX)
}

/// The first `bytes_max` bytes of `text`, or a few less so as not to cut a character.
pub(super) fn cut(text: &str, bytes_max: usize) -> String {
    text[..text.floor_char_boundary(bytes_max)].into()
}
