//! `skep bench`: one file per benchmark.

mod compute;
mod cpu;
mod tasks;

pub(super) use compute::compute;
pub(super) use cpu::cpu;
pub(super) use tasks::tasks;
