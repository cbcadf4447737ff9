//! What is wrong with a request, for whoever sent it.

use crate::{codec::DecodeError, rejection::Rejection};
use serde::Serialize;
use serde_json::Value;

/// Why a request was not taken: the `error` of an answer of the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{field}: {why} ({hint})")]
pub struct Fault {
    /// One word for programs: `no_json`, `unknown_key`, `invalid`, or a kind of [`Rejection`].
    pub kind: String,
    /// Which field, such as `accept.offers[2]`; empty if it is the request as a whole.
    pub field: String,
    /// What is wrong with it.
    pub why: String,
    /// What to do.
    pub hint: String,
}

impl Fault {
    /// Where all words are written down.
    pub(super) const LOOK_UP: &str = "GET /api/v1/openapi.json describes every call and its keys";

    /// A fault of this kind.
    pub fn new(
        kind: &str,
        field: impl Into<String>,
        why: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { kind: kind.into(), field: field.into(), why: why.into(), hint: hint.into() }
    }

    pub(super) fn invalid(field: &str, why: impl Into<String>) -> Self {
        Self::new("invalid", field, why, Self::LOOK_UP)
    }

    pub(super) fn unknown_key(field: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new("unknown_key", field, "no such key is known here", hint)
    }

    pub(super) fn no_json(error: &serde_json::Error) -> Self {
        Self::new("no_json", "", error.to_string(), "the body is one JSON object, in UTF-8")
    }

    /// What serde says of a value at a place.
    pub(super) fn unread(error: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        let path = error.path().to_string();
        let field = if path == "." { "" } else { path.as_str() };
        let why = error.inner().to_string();
        // Serde names a key that is not known, and those that are, in one sentence.
        let Some((key, known)) = why
            .strip_prefix("unknown field `")
            .and_then(|rest| rest.split_once("`, "))
            .or_else(|| why.strip_prefix("unknown variant `")?.split_once("`, "))
        else {
            return Self::invalid(field, why);
        };
        let is_there = field.rsplit('.').next() == Some(key);
        let field = if is_there { field.into() } else { super::join(field, key) };
        Self::unknown_key(field, known)
    }

    /// A refusal, as a fault: its kind is that of the refusal.
    pub fn refused(rejection: &Rejection) -> Self {
        let kind = match serde_json::to_value(rejection) {
            Ok(Value::Object(mut map)) => map.remove("rejection"),
            _ => None,
        };
        let kind = kind.as_ref().and_then(Value::as_str).unwrap_or("refused");
        match rejection {
            Rejection::Invalid { field, why } => Self::new(kind, field, why, Self::LOOK_UP),
            other => Self::new(kind, "", other.to_string(), "see `why`"),
        }
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Invalid { field, why } => Self::invalid(&field, why),
            DecodeError::UnknownVariant { message: field } => {
                Self::invalid(&field, "it is empty or of a kind that is not known here")
            }
            DecodeError::NoProtobuf { message, source } => {
                Self::invalid(message, source.to_string())
            }
        }
    }
}
