//! `skep bench`.

use super::{Client, Format, Walls};
use crate::units::Span;
use clap::{Args, Subcommand};
use std::num::{NonZeroU64, NonZeroUsize};

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Tasks end to end: latency of one, throughput of many
    Tasks(BenchTasks),
    /// Processors inside executors: shares, lateness of those that wake, time of a kill
    Cpu(BenchCpu),
    /// Starts: what a guest costs that does nothing, and one that waits
    Start(BenchStart),
    /// What the sandbox costs a program that only computes
    Compute(BenchCompute),
    /// Sharing: passes and single events in a cluster of any size, on paper
    Allocator(BenchAllocator),
}

#[derive(Debug, Args)]
pub(crate) struct BenchAllocator {
    /// Agents, each with 24 cpus of which 16 are in use
    #[arg(long, default_value = "20000", value_name = "N")]
    pub(crate) agents: NonZeroUsize,
    /// Frameworks
    #[arg(long, default_value = "2000", value_name = "N")]
    pub(crate) frameworks: NonZeroUsize,
    /// Roles that they share out among themselves
    #[arg(long, default_value = "1", value_name = "N")]
    pub(crate) roles: NonZeroUsize,
}

#[derive(Debug, Args)]
pub(crate) struct BenchCompute {
    /// How often each kernel runs in each way; the fastest run counts
    #[arg(long, default_value = "5", value_name = "N")]
    pub(crate) repeat: NonZeroUsize,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct BenchCpu {
    /// For how long guests compute each time shares are measured
    #[arg(long, default_value = "10s", value_name = "TIME")]
    pub(crate) time: Span,
    /// Guests to kill, one after another
    #[arg(long, default_value = "300", value_name = "N")]
    pub(crate) kills: NonZeroU64,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct BenchStart {
    /// Guests to start and end
    #[arg(long, default_value = "20000", value_name = "N")]
    pub(crate) guests: NonZeroUsize,
    /// Guests that wait at once
    #[arg(long, default_value = "4000", value_name = "N")]
    pub(crate) waiting: NonZeroUsize,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct BenchTasks {
    #[command(flatten)]
    pub(crate) client: Client,
    #[command(flatten)]
    pub(crate) walls: Walls,
    /// Tasks to run one at a time
    #[arg(long, default_value = "1000", value_name = "N")]
    pub(crate) latency: NonZeroUsize,
    /// Tasks to run together
    #[arg(long, default_value = "10000", value_name = "N")]
    pub(crate) count: NonZeroUsize,
}
