//! What this executor is: which artifacts it takes, and what it can enforce.

use crate::{engine, jail};
use serde::Serialize;
use skep_protocol::{Nans, task::Feature};

/// What an agent needs to know before it starts an executor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    /// Names all that decides compiled code. An artifact of another fingerprint is not taken.
    pub fingerprint: String,
    /// The limits and grants that it enforces, by their names on the wire.
    pub enforces: Vec<&'static str>,
    /// The layers of the jail that this kernel lacks.
    pub missing_layers: Vec<String>,
}

/// wasmtime does not support this machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("guests cannot run on this machine: {why}")]
pub struct Unsupported {
    /// What is missing.
    why: String,
}

/// Describes the executor of this build on this machine.
///
/// # Errors
/// [`Unsupported`] if wasmtime knows no way to run guests on this processor.
pub fn describe() -> Result<Description, Unsupported> {
    let engine = engine::compiling(Nans::Native)
        .map_err(|error| Unsupported { why: error.root_cause().to_string() })?;
    Ok(Description {
        fingerprint: engine::fingerprint(&engine),
        enforces: Feature::ALL.into_iter().map(Feature::name).collect(),
        missing_layers: jail::missing_layers().iter().map(ToString::to_string).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_a_task_can_ask_for_is_enforced() {
        let description = describe().expect("this machine is supported");
        assert!(Feature::ALWAYS.iter().all(|always| description.enforces.contains(&always.name())));
        assert!(description.enforces.contains(&"grant.dir.host"));
        assert!(description.enforces.contains(&"policy.coredump"));
    }
}
