//! `skep module`: programs, before they run.

use super::{Client, Format};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Module {
    /// Store a module at the master and print its digest, by which tasks can name it
    Push(Push),
    /// List the modules that the master has stored
    #[command(visible_alias = "ls")]
    List(Client),
    /// Show what a module imports, what its task must grant, its memory and size
    Inspect(Inspect),
    /// Check and compile a module as agents do, and show what that costs; nothing is kept
    Compile(TryCompile),
}

#[derive(Debug, Args)]
pub(crate) struct Push {
    #[command(flatten)]
    pub(crate) client: Client,
    /// The module
    #[arg(value_name = "MODULE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    #[command(flatten)]
    pub(crate) client: Client,
    /// The module: a file, or the digest of one that the master has stored
    #[arg(value_name = "MODULE")]
    pub(crate) module: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct TryCompile {
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,
    /// As for tasks that run with --deterministic
    #[arg(long)]
    pub(crate) deterministic: bool,
    /// The module
    #[arg(value_name = "MODULE")]
    pub(crate) file: PathBuf,
}
