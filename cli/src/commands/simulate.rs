//! `skep simulate`: a scenario for the allocator, on paper; what it prints is made in
//! `skep-simulate`.

use crate::{args::Simulate, failure::Result, stdout};
use anyhow::Context;
use std::fs;

/// Runs a scenario and prints one JSON object for each step.
pub(crate) fn simulate(args: &Simulate) -> Result {
    let name = args.file.display();
    let text = fs::read_to_string(&args.file).with_context(|| format!("cannot read {name}"))?;
    let lines = skep_simulate::simulate(&text).with_context(|| name.to_string())?;
    if let Some(plot) = &args.plot {
        let svg = skep_simulate::plot(&text).with_context(|| name.to_string())?;
        fs::write(plot, svg).with_context(|| format!("cannot write {}", plot.display()))?;
    }
    for line in lines {
        stdout::print(&line.to_string())?;
    }
    Ok(())
}
