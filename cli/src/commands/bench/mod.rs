//! `skep bench`: one file per benchmark.

mod cpu;
mod tasks;

pub(super) use cpu::cpu;
pub(super) use tasks::tasks;
