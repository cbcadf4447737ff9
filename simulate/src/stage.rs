//! Running a scenario, step by step, in virtual time.
//!
//! Each step takes a microsecond, so that what follows a tick comes after it, as in life: a filter
//! of five seconds that is set after a tick outlasts the fifth tick from there.

use crate::{
    ScenarioError,
    fields::Fault,
    scenario::{Options, Runs},
    step::{Deed, Step, Whose},
    told,
};
use serde_json::{Value, json};
use skep_allocator::{Allocator, Bundle, Freed, Grant};
use skep_protocol::{FrameworkId, Role, Time};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Where a scenario is played.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) allocator: Allocator,
    pub(crate) interval: Duration,
    pub(crate) runs: Runs,
    pub(crate) freed: Freed,
    pub(crate) now: Time,
    /// The frameworks that are there, and their roles.
    pub(crate) frameworks: BTreeMap<FrameworkId, BTreeSet<Role>>,
    /// What frameworks use that are not there.
    pub(crate) strangers: BTreeMap<Whose, Bundle>,
}

impl Stage {
    /// An empty cluster.
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            allocator: Allocator::new(options.policy.clone()),
            interval: options.interval,
            runs: options.runs,
            freed: options.policy.freed,
            now: Time::ZERO,
            frameworks: BTreeMap::new(),
            strangers: BTreeMap::new(),
        }
    }

    /// Does a step, and says what came of it.
    ///
    /// # Errors
    /// [`ScenarioError`] if the step cannot be done.
    pub(crate) fn play(&mut self, number: usize, step: &Step) -> Result<Value, ScenarioError> {
        let at = |Fault { field, why }| ScenarioError::Step { step: number, field, why };
        self.now = self.now + Duration::from_micros(1);
        let mut grants = Vec::new();
        let mut line = json!({"step": number, "do": step.word});
        match &step.deed {
            Deed::Tick { count } => {
                for _ in 0..*count {
                    grants.extend(self.tick());
                }
            }
            Deed::Report => {
                let roles = self.allocator.roles();
                line["roles"] = roles.iter().map(told::role).collect();
                let order = self.allocator.order();
                line["order"] = order.iter().map(|role| Value::from(role.as_str())).collect();
            }
            Deed::Why { framework, role, needs } => {
                self.check_role(framework, role).map_err(at)?;
                let why = self.allocator.explain(framework, role, needs.as_ref(), self.now);
                line["why"] = why.to_string().lines().map(Value::from).collect();
            }
            deed => {
                self.act(deed).map_err(at)?;
                if self.runs == Runs::OnEvents && self.allocator.is_dirty() {
                    grants = self.allocator.run(self.now);
                }
            }
        }
        // Agents are visited in an order of their own; people read them by name.
        grants.sort_by(|a: &Grant, b: &Grant| a.agent.cmp(&b.agent));
        line["offers"] = grants.iter().map(told::offer).collect();
        Ok(line)
    }

    /// The shares of all roles, for a plot.
    pub(crate) fn shares(&self) -> BTreeMap<Role, f64> {
        self.allocator.roles().into_iter().map(|report| (report.role, report.share)).collect()
    }

    fn tick(&mut self) -> Vec<Grant> {
        let interval = u64::try_from(self.interval.as_micros()).unwrap_or(u64::MAX).max(1);
        let ticks = self.now.as_micros() / interval + 1;
        self.now = Time::from_micros(ticks.saturating_mul(interval));
        self.allocator.tick(self.now);
        self.allocator.look_everywhere();
        self.allocator.run(self.now)
    }
}
