//! `skep dev`: a cluster for trying things out, gone when the command ends.

use super::master::keep_operator;
use crate::{
    args,
    failure::{Result, Sentence},
    output,
    private::Private,
    run::exit,
    signals::stop_signal,
    supervise, words,
};
use std::{
    ffi::{OsStr, OsString},
    process::{ExitCode, ExitStatus},
};

/// What a command that a signal ended exits with here: 128 and the signal's number, as in shells.
const SIGNALLED: i32 = 128;

pub(super) async fn dev(args: args::Dev) -> Result<ExitCode> {
    let any_free = if args.command.is_empty() { "127.0.0.1:5050" } else { "127.0.0.1:0" };
    let listen = args.listen.map_or_else(|| any_free.parse(), Ok)?;
    let cluster = Private::start(args.agents.get(), listen, args.walls.mode()).await?;
    let supervisor = supervise::start(cluster.master());
    let serve = async {
        match args.command.split_first() {
            Some((program, words)) => command(&cluster, program, words).await,
            None => attend(&cluster, args.agents.get()).await,
        }
    };
    let ended = tokio::select! {
        ended = serve => ended,
        failure = cluster.failed() => Err(failure),
    };
    supervisor.abort();
    cluster.stop().await;
    ended
}

/// Says how to use the cluster, and waits for the end.
async fn attend(cluster: &Private, agents: usize) -> Result<ExitCode> {
    let address = cluster.address().to_string();
    keep_operator(cluster.master(), &address)?;
    output::print(&format!(
        "skep {}  development cluster (nothing is kept)\n\
         \x20 master  {address}\n\
         \x20 agents  {agents}\n\
         Try:  skep run --master {address} examples/hello/hello.wasm",
        env!("CARGO_PKG_VERSION"),
    ))?;
    stop_signal().await?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a command that finds the cluster in its environment.
async fn command(cluster: &Private, program: &OsStr, rest: &[OsString]) -> Result<ExitCode> {
    let identity = cluster.folder().join("operator");
    cluster.master().operator().save(&identity)?;
    let mut command = tokio::process::Command::new(program)
        .args(rest)
        .env("SKEP_MASTER", cluster.address().to_string())
        .env("SKEP_IDENTITY", identity)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Sentence(format!("{}: {error}", words::shown(program))))?;
    tokio::select! {
        status = command.wait() => Ok(code_of(status?)),
        stopped = stop_signal() => {
            stopped?;
            Ok(ExitCode::from(exit::INTERRUPTED))
        }
    }
}

fn code_of(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or(status.signal().map(|signal| SIGNALLED + signal));
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}
