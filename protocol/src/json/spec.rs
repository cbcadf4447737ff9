//! What a framework may leave out of a task spec, and durations as numbers of seconds.
//!
//! The rest is the form that [`TaskSpec`](crate::TaskSpec) has in the records.

use crate::framework::FAILOVER_TIMEOUT_DEFAULT;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The memory of a task that does not say how much it needs, in MiB.
const MEM_DEFAULT: u64 = 64;

/// Fills in the defaults of the task specs and the framework's description in an untagged call.
pub(super) fn complete(call: &mut Value) {
    let launches = super::call::operations(call)
        .filter_map(|operation| operation.pointer_mut("/launch/tasks"));
    for tasks in launches {
        each(tasks, complete_spec);
    }
    if let Some(tasks) = call.pointer_mut("/enqueue/tasks") {
        each(tasks, complete_spec);
    }
    if let Some(Value::Object(info)) = call.pointer_mut("/subscribe/info") {
        or_insert(info, "name", || json!(""));
        or_insert(info, "role", || json!("default"));
        or_insert(info, "failover_timeout", || json!(FAILOVER_TIMEOUT_DEFAULT.as_secs()));
        of_seconds(info, &["failover_timeout"]);
    }
}

fn each(list: &mut Value, change: fn(&mut Map<String, Value>)) {
    let items = list.as_array_mut().into_iter().flatten();
    items.filter_map(Value::as_object_mut).for_each(change);
}

fn complete_spec(spec: &mut Map<String, Value>) {
    let name = spec.get("task").cloned().unwrap_or_else(|| json!(""));
    or_insert(spec, "name", || name);
    or_insert(spec, "attempt", || json!(1));
    or_insert(spec, "args", || json!([]));
    for key in ["limits", "grants", "labels", "resources"] {
        or_insert(spec, key, || json!({}));
    }
    if let Some(Value::Object(resources)) = spec.get_mut("resources") {
        or_insert(resources, "cpus", || json!(1));
        or_insert(resources, "mem", || json!(MEM_DEFAULT));
    }
    if let Some(Value::Object(limits)) = spec.get_mut("limits") {
        of_seconds(limits, &["deadline"]);
    }
    if let Some(Value::Object(policies)) = spec.get_mut("policies") {
        of_seconds(policies, &["kill_grace", "heartbeat", "lost_after"]);
        if let Some(Value::Object(retry)) = policies.get_mut("retry") {
            or_insert(retry, "wait", || json!(1));
            or_insert(retry, "on", || json!(crate::task::RetryOn::ALL));
            of_seconds(retry, &["wait"]);
        }
    }
}

fn or_insert(map: &mut Map<String, Value>, key: &str, value: impl FnOnce() -> Value) {
    if map.get(key).is_none_or(Value::is_null) {
        map.insert(key.into(), value());
    }
}

/// Numbers of seconds, in the form that the records have. What is no number of seconds stays, for
/// serde to refuse.
fn of_seconds(map: &mut Map<String, Value>, keys: &[&str]) {
    for key in keys {
        let seconds = map.get(*key).and_then(Value::as_f64);
        if let Some(duration) = seconds.and_then(from_seconds) {
            map.insert((*key).into(), json!(duration));
        }
    }
}

/// Durations in the form that the records have, as numbers of seconds.
pub(super) fn to_seconds(map: &mut Map<String, Value>, keys: &[&str]) {
    for key in keys {
        let duration = map.get(*key).cloned().map(serde_json::from_value::<Duration>);
        if let Some(Ok(duration)) = duration {
            map.insert((*key).into(), json!(duration.as_secs_f64()));
        }
    }
}

/// The duration of so many seconds, to the microsecond; none if there is no such one.
pub(super) fn from_seconds(seconds: f64) -> Option<Duration> {
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    Some(Duration::from_micros(u64::try_from((duration.as_nanos() + 500) / 1_000).ok()?))
}
