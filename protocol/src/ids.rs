//! Ids: newtypes that cannot be mixed up, parsed once at the edge.
//!
//! Ids that name folders or appear in URLs share one alphabet (`A-Z a-z 0-9 . _ -`), so that no
//! path check is needed behind the parser.

use crate::bounds::{ID_BYTES_MAX, ROLE_BYTES_MAX};
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr, sync::Arc};

/// Why a text is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: {why}")]
pub struct IdError {
    /// What was to be parsed, such as `task id`.
    pub what: &'static str,
    /// The text, cut to [`ID_BYTES_MAX`].
    pub text: String,
    /// What is wrong with it, and what would be right.
    pub why: &'static str,
}

impl IdError {
    fn new(what: &'static str, text: &str, why: &'static str) -> Self {
        let text = text.chars().take(ID_BYTES_MAX).collect();
        Self { what, text, why }
    }
}

/// Whether `text` may name a folder of ours: see the module's alphabet.
fn check_name(what: &'static str, text: &str) -> Result<(), IdError> {
    let fail = |why| Err(IdError::new(what, text, why));
    if text.is_empty() {
        return fail("it is empty");
    }
    if text.len() > ID_BYTES_MAX {
        return fail("it is longer than 128 bytes");
    }
    if text.starts_with('.') || text.starts_with('-') {
        return fail("it starts with '.' or '-'");
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if !text.bytes().all(allowed) {
        return fail("only letters, digits, '.', '_' and '-' are allowed");
    }
    Ok(())
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl $name {
            /// Parses an id.
            ///
            /// # Errors
            /// [`IdError`] if the text breaks the rules of this kind of id.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                let text = text.as_ref();
                $check($what, text)?;
                Ok(Self(text.into()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// An agent, named by the master when it is admitted; kept over restarts.
    AgentId, "agent id", check_name
);
text_id!(
    /// A framework, named by the master at its first subscription; kept over failovers.
    FrameworkId, "framework id", check_name
);
text_id!(
    /// A task, named by its framework and unique within it.
    TaskId, "task id", check_name
);
text_id!(
    /// A node of the sharing tree: names joined by `/`, such as `eng/batch`.
    Role, "role", check_role
);

fn check_role(what: &'static str, text: &str) -> Result<(), IdError> {
    if text.len() > ROLE_BYTES_MAX {
        return Err(IdError::new(what, text, "it is longer than 256 bytes"));
    }
    text.split('/').try_for_each(|name| check_name(what, name))
}

impl Role {
    /// Whether it is `other` or stands below it: `eng/web` is within `eng`, `engine` is not.
    pub fn is_within(&self, other: &Self) -> bool {
        let rest = self.as_str().strip_prefix(other.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl Default for Role {
    /// The role of frameworks that name none.
    fn default() -> Self {
        Self("default".into())
    }
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(pub u64);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{:x}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix($prefix)
                    .and_then(|hex| u64::from_str_radix(hex, 16).ok())
                    .map(Self)
                    .ok_or_else(|| IdError::new($what, text, concat!("it is not ", $prefix, "HEX")))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

number_id!(
    /// An offer; usable once, and only in the run of the master that made it.
    OfferId, "o-", "offer id"
);
number_id!(
    /// What an ACCEPT turned an offer into: the resources its tasks, queued or running, may use.
    AllocationId, "l-", "allocation id"
);

/// The generation of a task start, from 1. A later attempt replaces an earlier one of its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempt(pub u32);

impl Attempt {
    /// The first start of a task.
    pub const FIRST: Self = Self(1);

    /// The attempt after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The generation of an agent run, from 1: counted up on the agent's disk at each start.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One start of one task: what orders and reports about tasks name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskKey {
    /// Whose task it is.
    pub framework: FrameworkId,
    /// Which of its tasks.
    pub task: TaskId,
    /// Which start of it.
    pub attempt: Attempt,
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}#{}", self.framework, self.task, self.attempt)
    }
}

/// The SHA-256 of a blob's bytes, written `sha256:<hex>` as OCI registries do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A digest that was computed elsewhere, for instance while a blob streamed by.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hex digits, for file names.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 64];
        hex::encode_to_slice(self.0, &mut digits).expect("two digits a byte");
        f.write_str("sha256:")?;
        f.write_str(str::from_utf8(&digits).expect("hex digits are ASCII"))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut bytes = [0; 32];
        text.strip_prefix("sha256:")
            .filter(|digits| hex::decode_to_slice(digits, &mut bytes).is_ok())
            .map(|_| Self(bytes))
            .ok_or_else(|| IdError::new("digest", text, "it is not sha256:<64 hex digits>"))
    }
}

impl TryFrom<String> for Digest {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_leave_their_folder_are_refused() {
        for bad in ["", ".", "..", ".hidden", "a/b", "a b", "-rf", "é", "a\0b"] {
            assert!(TaskId::new(bad).is_err(), "{bad:?} was taken");
        }
        assert!(TaskId::new("a".repeat(129)).is_err());
        assert_eq!(TaskId::new("4be1a07c.17").map(String::from), Ok("4be1a07c.17".into()));
    }

    #[test]
    fn a_role_is_a_path_of_names() {
        assert!(Role::new("eng/batch").is_ok());
        for bad in ["", "/", "eng/", "/eng", "eng//batch", "eng/.."] {
            assert!(Role::new(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_digest_survives_its_text() {
        let digest = Digest::of(b"skep");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("sha256:abcd".parse::<Digest>().is_err());
        assert!(digest.hex().parse::<Digest>().is_err());
    }
}
