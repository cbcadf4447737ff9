//! `skep bench allocator`: the allocator alone, in a synthetic cluster of any size.

use crate::{args::BenchAllocator, failure::Result, stdout};
use skep_allocator::bench;
use std::time::Instant;

pub(crate) fn allocator(args: &BenchAllocator) -> Result {
    let begin = Instant::now();
    let (agents, frameworks, roles) = (args.agents, args.frameworks, args.roles);
    let figures = bench::measure(agents.get(), frameworks.get(), roles.get(), || begin.elapsed());
    Ok(stdout::print(&format!("{}\n{figures}", bench::HEADER))?)
}
