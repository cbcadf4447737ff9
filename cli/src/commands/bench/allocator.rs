//! `skep bench allocator`: the allocator alone, in a synthetic cluster of any size.

use crate::{args::BenchAllocator, failure::Result};
use anyhow::Context;
use skep_allocator::bench;
use std::{
    io::{self, Write as _},
    time::Instant,
};

pub(crate) fn allocator(args: &BenchAllocator) -> Result {
    let begin = Instant::now();
    let (agents, frameworks, roles) = (args.agents, args.frameworks, args.roles);
    let figures = bench::measure(agents.get(), frameworks.get(), roles.get(), || begin.elapsed());
    writeln!(io::stdout(), "{}\n{figures}", bench::HEADER).context("cannot print")?;
    Ok(())
}
