//! `skep simulate`: the allocator on paper. A scenario is read, run in virtual time, and told step
//! by step; nothing else than the allocator decides anything.
//!
//! | file | owns |
//! |---|---|
//! | `scenario.rs`, `fields.rs` | the form of a scenario, and what is wrong with one |
//! | `step.rs` | the steps, read |
//! | `stage.rs` | running them |
//! | `script.rs` | what each step does to the allocator |
//! | `told.rs` | what is printed |
//! | `plot.rs` | shares over the steps, drawn |

mod fields;
mod plot;
mod scenario;
mod script;
mod stage;
mod step;
mod told;

pub use plot::{PlotError, plot};

use scenario::Scenario;
use serde_json::Value;
use stage::Stage;

/// What is wrong with a scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// The text is neither JSON nor TOML.
    #[error("the scenario is no {form}: {why}")]
    Unreadable {
        /// What it was read as.
        form: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Something outside the steps.
    #[error("{field}: {why}")]
    Option {
        /// Which field.
        field: String,
        /// What is wrong with it.
        why: String,
    },
    /// A step that cannot be read or done.
    #[error("step {step}: {field}: {why}")]
    Step {
        /// Which, from 1.
        step: usize,
        /// Which field of it.
        field: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Runs a scenario and returns one object for each step.
///
/// # Errors
/// [`ScenarioError`] for the first thing that is wrong with it.
pub fn simulate(text: &str) -> Result<Vec<Value>, ScenarioError> {
    let scenario = Scenario::parse(text)?;
    let mut stage = Stage::new(&scenario.options);
    let steps = (1..).zip(&scenario.steps);
    steps.map(|(number, step)| stage.play(number, step)).collect()
}
