//! The words of the conversation of a framework with the master, as JSON: for the scheduler API
//! over HTTP.
//!
//! Whatever is one of several is `{"type": "NAME", "name": {...}}`, as in Mesos's v1 API; the type
//! may be left out of what is read. A duration is a number of seconds, a time a number of
//! microseconds since the Unix epoch, bytes are hex digits. Calls are only read and events only
//! written here. Always holds: a [`Call`] that is read here went through the protobuf codec's own
//! checks, so both ways in have the same bounds; a key that is not known is refused by its name.
//!
//! A new kind of call is a variant of `call::Words` and an arm of its conversion; a new kind of
//! event the same in `event`.

mod call;
mod event;
mod fault;
mod spec;

pub use event::{rejection, write_event, write_heartbeat};
pub use fault::Fault;

use crate::{
    codec,
    framework::{Call, Operation},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The key that names which of several a thing is.
const TYPE: &str = "type";

/// Reads a call that a framework sent.
///
/// As with protobuf, a task spec that cannot be carried out is the `Err` of its
/// [`LaunchTask`](crate::framework::LaunchTask) and does not hinder the others.
///
/// # Errors
/// [`Fault`] naming the field, what is wrong with it and what would be right.
pub fn read_call(bytes: &[u8]) -> Result<Call, Fault> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| Fault::no_json(&error))?;
    let mut value = untagged(value, "")?;
    for operation in call::operations(&mut value) {
        let whole = std::mem::take(operation);
        *operation = untagged(whole, "accept.operations")?;
    }
    spec::complete(&mut value);
    let words: call::Words = read(value)?;
    codec::checked(&Call::from(words)).map_err(Fault::from)
}

/// `{"type": "NAME", "name": {...}}` without its type: one key, the name in lower case.
fn untagged(value: Value, at: &str) -> Result<Value, Fault> {
    let Value::Object(mut map) = value else {
        return Err(Fault::invalid(at, "it is no object: write {\"type\": \"NAME\", ...}"));
    };
    let Some(tag) = map.remove(TYPE) else { return Ok(Value::Object(map)) };
    let Value::String(tag) = tag else {
        return Err(Fault::invalid(&join(at, TYPE), "it is no text"));
    };
    let name = tag.to_ascii_lowercase();
    // What takes no arguments needs no object.
    let body = map.remove(&name).unwrap_or_else(|| Value::Object(Map::new()));
    if let Some(key) = map.keys().next() {
        let hint = format!("beside the type {tag} stands the key {name:?} alone");
        return Err(Fault::unknown_key(join(at, key), hint));
    }
    map.insert(name, body);
    Ok(Value::Object(map))
}

/// An object of one key, with its type beside it.
fn tagged(value: Value) -> Value {
    let Value::Object(mut map) = value else { return value };
    if let Some(name) = map.keys().next() {
        map.insert(TYPE.into(), name.to_ascii_uppercase().into());
    }
    Value::Object(map)
}

/// Reads a value into words; every key in it must be known.
fn read<T: DeserializeOwned>(value: Value) -> Result<T, Fault> {
    let names = Names::of(&value);
    let mut unknown = None;
    let mut note = |path: serde_ignored::Path<'_>| {
        unknown.get_or_insert_with(|| join(&names.call, &names.place(&path)));
    };
    let value = serde_ignored::Deserializer::new(value, &mut note);
    let words = serde_path_to_error::deserialize(value).map_err(|error| Fault::unread(&error))?;
    match unknown {
        Some(field) => Err(Fault::unknown_key(field, Fault::LOOK_UP)),
        None => Ok(words),
    }
}

/// What paths to keys that are not known lack: which of several a thing is.
struct Names {
    call: String,
    operations: Vec<String>,
}

impl Names {
    fn of(call: &Value) -> Self {
        let name = |value: &Value| {
            let name = value.as_object().and_then(|map| map.keys().next());
            name.cloned().unwrap_or_default()
        };
        let operations = call.pointer("/accept/operations").and_then(Value::as_array);
        let operations = operations.into_iter().flatten().map(name).collect();
        Self { call: name(call), operations }
    }

    /// A path as faults show it: `operations[0].launch.tasks[1].limits.fule`.
    fn place(&self, path: &serde_ignored::Path<'_>) -> String {
        use serde_ignored::Path;
        match path {
            Path::Root => String::new(),
            Path::Seq { parent, index } => {
                let list = self.place(parent);
                let name = self.operations.get(*index).filter(|_| list == "operations");
                join(&format!("{list}[{index}]"), name.map_or("", String::as_str))
            }
            Path::Map { parent, key } => join(&self.place(parent), key),
            Path::Some { parent }
            | Path::NewtypeStruct { parent }
            | Path::NewtypeVariant { parent } => self.place(parent),
        }
    }
}

fn join(outer: &str, inner: &str) -> String {
    let dot = if outer.is_empty() || inner.is_empty() { "" } else { "." };
    format!("{outer}{dot}{inner}")
}

#[cfg(test)]
mod tests;
