//! What is printed: grants and reports as JSON.

use serde_json::{Map, Number, Value, json};
use skep_allocator::{Grant, RoleReport};
use skep_protocol::Resources;

pub(crate) fn resources(resources: &Resources) -> Value {
    let entries = resources.iter().map(|(name, amount)| (name.to_owned(), units(amount.as_f64())));
    Value::Object(entries.collect::<Map<_, _>>())
}

/// Whole numbers without a point.
pub(crate) fn units(number: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "amounts are below 2^53")]
    if number.fract() == 0.0 {
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

pub(crate) fn offer(grant: &Grant) -> Value {
    let Grant { framework, role, agent, bundle } = grant;
    let reserved = bundle.reserved.iter();
    let reserved: Vec<Value> = reserved
        .map(|(role, part)| json!({"role": role.as_str(), "resources": resources(part)}))
        .collect();
    json!({
        "framework": framework.as_str(),
        "role": role.as_str(),
        "agent": agent.as_str(),
        "resources": resources(&bundle.sum()),
        "reserved": reserved,
        "revocable": resources(&bundle.revocable),
    })
}

pub(crate) fn role(report: &RoleReport) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "weights are below a million thousandths")]
    let weight = report.weight.as_millis() as f64 / 1_000.0;
    json!({
        "role": report.role.as_str(),
        "share": units(six_places(report.share)),
        "weight": units(weight),
        "weighted_share": units(six_places(report.weighted_share)),
        "allocated": resources(&report.held),
    })
}

fn six_places(share: f64) -> f64 {
    (share * 1e6).round() / 1e6
}
