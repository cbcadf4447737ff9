//! `skep framework`, `job`, `service`, `cron`: schedulers that the cluster hosts, and what those
//! that come with skep are told.

use super::{Client, Walls};
use crate::units::{Bytes, Env, Span};
use clap::{Args, Subcommand};
use skep_protocol::{Amount, Role, TaskId};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum FrameworkCommand {
    /// Host a scheduler: a Wasm program that takes offers and launches tasks
    Run(Box<HostArgs>),
    /// List the frameworks that the master knows
    #[command(visible_alias = "ls")]
    List(Client),
    /// Show the schedulers that the cluster hosts, or one of them
    Show(ShowHosted),
    /// Show what a hosted scheduler wrote
    Logs(HostedLogs),
    /// End a hosted scheduler, and its framework with all its tasks
    Kill(OneFramework),
    /// Remove a framework, whatever it is, and end all its tasks
    #[command(visible_alias = "rm")]
    Remove(OneFramework),
}

#[derive(Debug, Args)]
pub(crate) struct HostArgs {
    #[command(flatten)]
    pub(crate) client: Client,
    /// Name of the framework (the scheduler's file name if not given)
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<TaskId>,
    /// Role in which it asks for resources; the scheduler's own if not given
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Option<Role>,
    /// A file that it finds by its name: a module to launch; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
    /// CPUs set aside for the scheduler itself
    #[arg(long, default_value = "0.1", value_name = "N", value_parser = crate::units::cpus)]
    pub(crate) cpus: Amount,
    /// Memory of the scheduler itself
    #[arg(long, default_value = "64MiB", value_name = "SIZE")]
    pub(crate) mem: Bytes,
    /// An environment variable of the scheduler
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<Env>,
    /// A WebAssembly file, or one that comes with skep (batch, service, cron); then its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "SCHEDULER [ARGS]")]
    pub(crate) words: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ShowHosted {
    #[command(flatten)]
    pub(crate) client: Client,
    /// Only this one
    pub(crate) name: Option<TaskId>,
}

#[derive(Debug, Args)]
pub(crate) struct HostedLogs {
    #[command(flatten)]
    pub(crate) client: Client,
    /// Go on until it ends
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Its name
    pub(crate) name: TaskId,
}

#[derive(Debug, Args)]
pub(crate) struct OneFramework {
    #[command(flatten)]
    pub(crate) client: Client,
    /// Its name or id, as `skep framework list` shows them
    #[arg(value_name = "NAME|ID")]
    pub(crate) named: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Run a job file and wait for it: on a private cluster of this machine, or that of --master
    Run(JobRun),
    /// Hand a job file to the cluster, which runs it without us
    Submit(JobSubmit),
    /// Check a job file
    Validate(JobFile),
    /// Show what a job file would run, and in which order
    Plan(JobFile),
    /// Write a job file to begin with
    Init(JobFile),
    /// Wait until a job that was handed to the cluster has ended
    Wait(OneJob),
    /// List the jobs that were handed to the cluster
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        client: Client,
        #[command(flatten)]
        by: By,
    },
    /// Show one of them
    Show(OneJob),
    /// Bring here what the tasks of one of them have left and no other task takes, each in a folder
    /// of its group, and of its place if there are several in it
    Fetch(FetchJob),
    /// End one of them, with its tasks
    Stop(OneJob),
}

#[derive(Debug, Args)]
pub(crate) struct FetchJob {
    #[command(flatten)]
    pub(crate) one: OneJob,
    /// Folder to put it into
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Also what other tasks take
    #[arg(long)]
    pub(crate) all: bool,
}

/// How the tasks of a command that waits for them depend on it.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Bond {
    /// How long its tasks live on when the master hears no more of this command
    #[arg(long, default_value = FAILOVER_TIMEOUT, value_name = "TIME")]
    pub(crate) failover_timeout: Span,
}

/// With the silence after which a connection counts as broken it is well below two minutes.
const FAILOVER_TIMEOUT: &str = "60s";

#[derive(Debug, Args)]
pub(crate) struct JobRun {
    #[command(flatten)]
    pub(crate) client: Client,
    #[command(flatten)]
    pub(crate) walls: Walls,
    /// Role to ask for resources in
    #[arg(long, default_value_t, value_name = "ROLE")]
    pub(crate) role: Role,
    #[command(flatten)]
    pub(crate) bond: Bond,
    /// The job file, TOML
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct JobSubmit {
    #[command(flatten)]
    pub(crate) client: Client,
    #[command(flatten)]
    pub(crate) by: By,
    /// The job file, TOML
    pub(crate) file: PathBuf,
}

/// Which framework runs jobs.
#[derive(Clone, Debug, Args)]
pub(crate) struct By {
    /// The framework that runs jobs; `batch` is started if it is not there
    #[arg(long, default_value = "batch", value_name = "NAME")]
    pub(crate) framework: String,
}

#[derive(Debug, Args)]
pub(crate) struct JobFile {
    /// The job file, TOML
    #[arg(default_value = "job.toml")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct OneJob {
    #[command(flatten)]
    pub(crate) client: Client,
    #[command(flatten)]
    pub(crate) by: By,
    /// The job's name
    pub(crate) job: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Make a service, or replace it step by step
    Apply(ApplyFile),
    /// Have more copies of a service, or fewer
    Scale {
        #[command(flatten)]
        client: Client,
        /// The service
        name: String,
        /// How many copies
        copies: u32,
    },
    /// List services and their copies
    #[command(visible_alias = "ls")]
    List(Client),
    /// End all copies of a service, and forget it
    Remove(OneNamed),
}

#[derive(Debug, Subcommand)]
pub(crate) enum CronCommand {
    /// Make a schedule, or change it
    Apply(ApplyFile),
    /// List schedules
    #[command(visible_alias = "ls")]
    List(Client),
    /// Forget a schedule
    Remove(OneNamed),
}

#[derive(Debug, Args)]
pub(crate) struct ApplyFile {
    #[command(flatten)]
    pub(crate) client: Client,
    /// What is wanted, TOML
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct OneNamed {
    #[command(flatten)]
    pub(crate) client: Client,
    /// Its name
    pub(crate) name: String,
}

/// How long `skep job wait` sleeps between two looks.
pub(crate) const LOOK_EVERY: Span = Span(std::time::Duration::from_millis(300));
