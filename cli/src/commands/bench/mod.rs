//! `skep bench`: one file per benchmark.

mod allocator;
mod compute;
mod cpu;
mod start;
mod tasks;

pub(super) use allocator::allocator;
pub(super) use compute::compute;
pub(super) use cpu::cpu;
pub(super) use start::start;
pub(super) use tasks::tasks;
