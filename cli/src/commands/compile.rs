//! `skep compile`, which agents start: a process of its own, because compilers are where hostile
//! modules do the most damage.

use crate::{
    args,
    failure::{Failure, Result},
    stdout,
};
use rustix::process::{Signal, set_parent_process_death_signal};
use skep_executor::{CompileError, CompileOrder};
use skep_protocol::Nans;
use std::process::ExitCode;

/// What the agent reads as: the module's own fault, do not try again.
pub(super) const REJECTED: u8 = 3;

pub(super) fn compile(args: &args::Compile) -> Result<ExitCode> {
    let (Some(module), Some(artifact)) = (&args.module, &args.artifact) else {
        stdout::print(&serde_json::to_string(&skep_executor::describe()?)?)?;
        return Ok(ExitCode::SUCCESS);
    };
    // The agent that started this compiler may be killed, and can then not end it.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let nans = if args.deterministic { Nans::Canonical } else { Nans::Native };
    let order = CompileOrder {
        module: module.clone(),
        artifact: artifact.clone(),
        nans,
        limits: args.module_limits,
        strictness: args.walls.sandbox.strictness(),
    };
    match skep_executor::compile(&order) {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(error @ CompileError::Rejected { .. }) => Err(Failure::from(error).with_code(REJECTED)),
        Err(error) => Err(error.into()),
    }
}
