//! Real processes on loopback: the binary as its users run it.
//!
//! Each test has its own folders and ports, so they run side by side. Nothing sleeps to
//! synchronise: a condition is asked for until it holds or a deadline passes. What a process said
//! is printed when its test fails.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests say what went wrong by it")]

mod bad_input;
mod deterministic;
mod dumps;
#[path = "../../store/tests/etcd/mod.rs"]
mod etcd;
mod failover;
mod files;
mod hoarding;
mod hosting;
mod interrupts;
mod keeping;
mod kit;
mod lending;
mod many;
mod messages;
mod modules;
mod one;
mod outputs;
mod peers;
mod pipelines;
mod programs;
mod quotas;
mod removal;
mod restarts;
mod sharing;
mod streams;
mod surroundings;
mod trouble;
mod walls;
