//! `skep dev`: a cluster for trying things out, gone when the command ends.

use super::master::keep_operator;
use crate::{
    args,
    failure::{Result, Sentence},
    private::Private,
    signals::{SIGNALLED, Signal, told_to_end, unless_told_to_end},
    stdout, supervise, words,
};
use rustix::process::{Pid, kill_process};
use std::{
    ffi::{OsStr, OsString},
    process::{ExitCode, ExitStatus},
    time::Duration,
};
use tokio::{process::Child, time::timeout};

/// How long a command has to end by itself that has been told to.
const GRACE: Duration = Duration::from_secs(5);
/// How long one has that got the same signal from the terminal, before it is told once more.
const GRACE_OF_TERMINAL: Duration = Duration::from_secs(1);

pub(super) async fn dev(args: args::Dev) -> Result<ExitCode> {
    let any_free = if args.command.is_empty() { "127.0.0.1:5050" } else { "127.0.0.1:0" };
    let listen = args.listen.map_or_else(|| any_free.parse(), Ok)?;
    let cluster = Private::start(args.agents.get(), listen, args.walls.mode());
    let cluster = unless_told_to_end(cluster).await??;
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
    stdout::print(&format!(
        "skep {}  development cluster (nothing is kept)\n\
         \x20 master  {address}\n\
         \x20 agents  {agents}\n\
         Try:  skep run --master {address} examples/hello/hello.wasm",
        env!("CARGO_PKG_VERSION"),
    ))?;
    match told_to_end().await {
        signal @ Signal::Pipe => Err(signal.failure()),
        _ => Ok(ExitCode::SUCCESS),
    }
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
        signal = told_to_end() => {
            end(&mut command, signal).await;
            Ok(ExitCode::from(signal.code()))
        }
    }
}

/// Passes a signal on to the command, and ends it if that does not.
async fn end(command: &mut Child, signal: Signal) {
    let from_terminal = matches!(signal, Signal::Interrupt | Signal::Quit);
    if from_terminal && timeout(GRACE_OF_TERMINAL, command.wait()).await.is_ok() {
        return;
    }
    let pid = command.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    let sent = rustix::process::Signal::from_named_raw(signal.number().into());
    if let (Some(pid), Some(sent)) = (pid, sent) {
        // One that has ended meanwhile cannot be told, and need not be.
        let _ = kill_process(pid, sent);
    }
    let _ = timeout(GRACE, command.wait()).await;
}

fn code_of(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    let signalled = |signal| i32::from(SIGNALLED) + signal;
    let code = status.code().or(status.signal().map(signalled));
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}
