//! The one binary: parses the command line and starts what it names.

mod args;
mod builtin;
mod client;
mod commands;
mod failure;
mod files;
mod foreground;
mod local;
mod output;
mod private;
mod run;
mod signals;
mod stdout;
mod supervise;
mod units;
mod watched;
mod words;

use args::{Cli, Command};
use clap::{CommandFactory as _, Parser as _, error::ErrorKind};
use failure::Result;
use std::{io::IsTerminal as _, process::ExitCode};
use stdout::{Stream, WriteError};
use tracing_subscriber::EnvFilter;

/// What one thread decodes another drops, in loops of master, agent and executor alike, and glibc's
/// allocator took a quarter of their time for it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = match Cli::try_parse() {
        Ok(cli) => {
            init_tracing(&cli.command);
            commands::dispatch(cli.command)
        }
        Err(error) if error.kind() == ErrorKind::InvalidUtf8 => {
            let why = words::foreign(std::env::args_os());
            explain(&Cli::command().error(ErrorKind::InvalidUtf8, why))
        }
        Err(words) => explain(&words),
    };
    done.unwrap_or_else(|failure| {
        failure.tell();
        failure.code()
    })
}

/// Prints help on standard output, and what is wrong with a command line on standard error.
fn explain(words: &clap::Error) -> Result<ExitCode> {
    match words.print() {
        Err(error) if !words.use_stderr() => Err(WriteError::new(Stream::Out, error).into()),
        _ => Ok(u8::try_from(words.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)),
    }
}

/// Logs go to stderr: nothing unless `SKEP_LOG` asks for it, but for the long-running processes,
/// which say what they do.
fn init_tracing(command: &Command) {
    let default = match command {
        Command::Master(_) | Command::Agent(_) => "info,quinn=warn,quinn_proto=warn",
        Command::Executor(_) => "warn",
        _ => "off",
    };
    let filter = EnvFilter::try_from_env("SKEP_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        // Who reads it may be gone; that is no reason to panic.
        .log_internal_errors(false)
        .init();
}
