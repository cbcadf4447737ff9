//! What a task may use at most, besides its memory and its processors.

use crate::{
    bounds::{
        DISK_BYTES_DEFAULT, FILES_DEFAULT, HANDLES_DEFAULT, HANDLES_MAX, OUTPUT_BYTES_DEFAULT,
        STACK_BYTES_DEFAULT, STACK_BYTES_MAX,
    },
    rejection::Rejection,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Hard limits of one task besides its memory and its processors. Exceeding one ends the task with
/// a typed outcome, but for the rate of host calls, which only slows it down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Fuel: deterministic units of guest computation. None: counted, not limited.
    pub fuel: Option<u64>,
    /// Wall-clock time from the guest's first instruction. None: it may run for ever.
    pub deadline: Option<Duration>,
    /// Wasm stack in bytes, at most [`STACK_BYTES_MAX`].
    pub stack_bytes: u64,
    /// Bytes of stdout and stderr together.
    pub output_bytes: u64,
    /// Bytes of the files in its sandbox directory together.
    pub disk_bytes: u64,
    /// Files, directories and links in its sandbox directory.
    pub files: u64,
    /// Files, directories, sockets and waits that it may have open at once, at most
    /// [`HANDLES_MAX`].
    pub handles: u32,
    /// Random bytes that it may draw in all. None: no limit.
    pub random_bytes: Option<u64>,
    /// Host calls a second, with a second's worth at once. None: no limit but their price in fuel.
    pub host_calls_per_second: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: None,
            deadline: None,
            stack_bytes: STACK_BYTES_DEFAULT,
            output_bytes: OUTPUT_BYTES_DEFAULT,
            disk_bytes: DISK_BYTES_DEFAULT,
            files: FILES_DEFAULT,
            handles: HANDLES_DEFAULT,
            random_bytes: None,
            host_calls_per_second: None,
        }
    }
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), Rejection> {
        let fail = |field: &str, why: String| Err(Rejection::invalid(field, why));
        if self.fuel == Some(0) {
            return fail("limits.fuel", "no fuel, no run: leave it out for no limit".into());
        }
        if self.deadline == Some(Duration::ZERO) {
            return fail("limits.deadline", "it is zero: leave it out for no limit".into());
        }
        if !(1..=STACK_BYTES_MAX).contains(&self.stack_bytes) {
            return fail("limits.stack_bytes", format!("it must be 1 to {STACK_BYTES_MAX}"));
        }
        if !(1..=HANDLES_MAX).contains(&self.handles) {
            return fail("limits.handles", format!("it must be 1 to {HANDLES_MAX}"));
        }
        if self.host_calls_per_second == Some(0) {
            let why = "no host call, no output: leave it out for no limit".into();
            return fail("limits.host_calls_per_second", why);
        }
        Ok(())
    }
}
