//! A scenario: options and steps, from JSON or TOML.

use crate::{
    ScenarioError,
    fields::{self, Fault, Fields, Reading},
    step::Step,
};
use serde_json::Value;
use skep_allocator::{Freed, Policy};
use std::time::Duration;

/// What is to be simulated.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// How the allocator is set up.
    pub(crate) options: Options,
    /// What happens, in order.
    pub(crate) steps: Vec<Step>,
}

/// How the allocator is set up.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Between two ticks.
    pub(crate) interval: Duration,
    /// Whether events start a run, or ticks alone.
    pub(crate) runs: Runs,
    /// The allocator's own settings.
    pub(crate) policy: Policy,
}

/// What starts a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runs {
    OnEvents,
    OnTicks,
}

impl Scenario {
    /// Reads a scenario: JSON if it begins with a brace, else TOML.
    ///
    /// # Errors
    /// [`ScenarioError`] for the first thing that is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, ScenarioError> {
        let is_json = text.trim_start().starts_with('{');
        let unreadable = |form, why: String| ScenarioError::Unreadable { form, why };
        let value: Value = if is_json {
            serde_json::from_str(text).map_err(|why| unreadable("JSON", why.to_string()))?
        } else {
            toml::from_str(text).map_err(|why| unreadable("TOML", why.to_string()))?
        };
        let outside = |Fault { field, why }| ScenarioError::Option { field, why };
        let (options, steps) = read(value).map_err(outside)?;
        let steps = (1..).zip(steps).map(|(step, value)| {
            let at = |Fault { field, why }| ScenarioError::Step { step, field, why };
            Step::read(value).map_err(at)
        });
        Ok(Self { options, steps: steps.collect::<Result<_, _>>()? })
    }
}

fn read(value: Value) -> Reading<(Options, Vec<Value>)> {
    let mut fields = Fields::of("scenario", value)?;
    let options = fields.optional("options", |name, value| {
        let mut fields = Fields::of(name, value)?;
        let options = Options::read(&mut fields)?;
        fields.end()?;
        Ok(options)
    })?;
    let steps = fields.required("steps", fields::list(|_, value| Ok(value)))?;
    fields.end()?;
    Ok((options.unwrap_or_default(), steps))
}

impl Default for Options {
    fn default() -> Self {
        // As Mesos's allocation_interval.
        let interval = Duration::from_secs(1);
        let policy = Policy { offers_out_max: usize::MAX, ..Policy::default() };
        Self { interval, runs: Runs::OnEvents, policy }
    }
}

impl Options {
    fn read(fields: &mut Fields) -> Reading<Self> {
        let mut options = Self::default();
        if let Some(seconds) = fields.optional("allocation_interval_seconds", fields::number)? {
            options.interval = Duration::try_from_secs_f64(seconds)
                .ok()
                .filter(|interval| !interval.is_zero())
                .ok_or_else(|| Fault::new("allocation_interval_seconds", "it must be above 0"))?;
        }
        if fields.optional("allocate_on_free", fields::truth)? == Some(false) {
            options.policy.freed = Freed::NextPass;
        }
        if fields.optional("allocate_on_events", fields::truth)? == Some(false) {
            options.runs = Runs::OnTicks;
        }
        if let Some(names) = fields.optional("fair_sharing_excluded", fields::list(fields::text))? {
            options.policy.excluded = names.into_iter().collect();
        }
        if let Some(seed) = fields.optional("seed", fields::count)? {
            options.policy.seed = seed;
        }
        if let Some(floors) = fields.optional("min_allocatable", fields::list(fields::resources))? {
            options.policy.floors = floors;
        }
        if let Some(names) = fields.optional("scarce", fields::list(fields::text))? {
            options.policy.scarce = names.into_iter().collect();
        }
        options.policy.region = fields.optional("region", fields::text)?;
        Ok(options)
    }
}
