//! Reading one object of a scenario field by field, so that a fault names its field, and a
//! misspelt field is one.

use serde_json::{Map, Value};
use skep_allocator::Quota;
use skep_protocol::{AgentId, Amount, FrameworkId, Resources, Role, operator::Weight};
use std::collections::BTreeMap;

/// A field and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) field: String,
    pub(crate) why: String,
}

impl Fault {
    pub(crate) fn new(field: &str, why: impl ToString) -> Self {
        Self { field: field.into(), why: why.to_string() }
    }
}

pub(crate) type Reading<T> = Result<T, Fault>;

/// The fields of an object that have not been read yet.
#[derive(Debug)]
pub(crate) struct Fields {
    rest: Map<String, Value>,
}

impl Fields {
    pub(crate) fn of(field: &str, value: Value) -> Reading<Self> {
        match value {
            Value::Object(rest) => Ok(Self { rest }),
            other => Err(Fault::new(field, format!("{other} is no object"))),
        }
    }

    /// A field that may be left out, or be null.
    pub(crate) fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str, Value) -> Reading<T>,
    ) -> Reading<Option<T>> {
        match self.rest.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(name, value).map(Some),
        }
    }

    pub(crate) fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str, Value) -> Reading<T>,
    ) -> Reading<T> {
        self.optional(name, read)?.ok_or_else(|| Fault::new(name, "it is missing"))
    }

    /// Nothing may be left over.
    pub(crate) fn end(self) -> Reading<()> {
        match self.rest.keys().next() {
            Some(name) => Err(Fault::new(name, "there is no such field here")),
            None => Ok(()),
        }
    }
}

pub(crate) fn text(field: &str, value: Value) -> Reading<String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(Fault::new(field, format!("{other} is no text"))),
    }
}

pub(crate) fn truth(field: &str, value: Value) -> Reading<bool> {
    value.as_bool().ok_or_else(|| Fault::new(field, format!("{value} is neither true nor false")))
}

pub(crate) fn number(field: &str, value: Value) -> Reading<f64> {
    value.as_f64().ok_or_else(|| Fault::new(field, format!("{value} is no number")))
}

pub(crate) fn count(field: &str, value: Value) -> Reading<u64> {
    value.as_u64().ok_or_else(|| Fault::new(field, format!("{value} is no count")))
}

pub(crate) fn role(field: &str, value: Value) -> Reading<Role> {
    Role::new(text(field, value)?).map_err(|why| Fault::new(field, why))
}

pub(crate) fn framework(field: &str, value: Value) -> Reading<FrameworkId> {
    FrameworkId::new(text(field, value)?).map_err(|why| Fault::new(field, why))
}

pub(crate) fn agent(field: &str, value: Value) -> Reading<AgentId> {
    AgentId::new(text(field, value)?).map_err(|why| Fault::new(field, why))
}

pub(crate) fn list<T>(
    item: impl Fn(&str, Value) -> Reading<T>,
) -> impl FnOnce(&str, Value) -> Reading<Vec<T>> {
    move |field, value| match value {
        Value::Array(items) => items.into_iter().map(|value| item(field, value)).collect(),
        other => Err(Fault::new(field, format!("{other} is no list"))),
    }
}

fn amount(field: &str, value: &Value) -> Reading<Amount> {
    let fault = |why: String| Fault::new(field, why);
    let units = value.as_f64().ok_or_else(|| fault(format!("{value} is no number")))?;
    if units.is_sign_negative() && units != 0.0 {
        return Err(fault(format!("{units} is less than nothing")));
    }
    Amount::try_from(units).map_err(|why| fault(why.to_string()))
}

pub(crate) fn amounts(field: &str, value: Value) -> Reading<BTreeMap<String, Amount>> {
    let Value::Object(object) = value else {
        return Err(Fault::new(
            field,
            format!("{value} are no resources, such as {{\"cpus\": 1}}"),
        ));
    };
    let mut amounts = BTreeMap::new();
    for (name, value) in object {
        // Also of a kind of which there is nothing the name must be one.
        Resources::none().insert(&name, Amount::ZERO).map_err(|why| Fault::new(field, why))?;
        amounts.insert(name, amount(field, &value)?);
    }
    Ok(amounts)
}

pub(crate) fn resources(field: &str, value: Value) -> Reading<Resources> {
    let mut resources = Resources::none();
    for (name, amount) in amounts(field, value)? {
        resources.insert(&name, amount).map_err(|why| Fault::new(field, why))?;
    }
    Ok(resources)
}

pub(crate) fn weight(field: &str, value: Value) -> Reading<Weight> {
    let weight = amount(field, &value)?;
    Weight::from_millis(weight.as_millis()).map_err(|why| Fault::new(field, why))
}

pub(crate) fn quota(fields: &mut Fields) -> Reading<Quota> {
    let guarantee = fields.optional("guarantee", resources)?.unwrap_or_default();
    let limit = fields.optional("limit", amounts)?.unwrap_or_default();
    Ok(Quota { guarantee, limit })
}
