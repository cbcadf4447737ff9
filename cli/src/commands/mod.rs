//! One file per group of commands; here they are told apart.

mod agent;
mod bench;
mod compile;
mod dev;
mod doctor;
mod frameworks;
pub(crate) mod jobs;
mod keeping;
mod kept;
mod lists;
mod logs;
mod master;
mod module;
mod orders;
mod replay;
mod sharing;
mod simulate;
mod store;

use crate::{
    args::{Bench, Command, JobCommand, Module, Store, Token},
    failure::Result,
    run,
    signals::{Manner, heed, told_to_end},
};
use skep_protocol::operator::Request;
use std::{future::Future, process::ExitCode, time::Duration};

/// Runs a command.
pub(crate) fn dispatch(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run(run) => owning(run::run(*run)),
        Command::Bench(Bench::Tasks(args)) => done(owning(bench::tasks(args))),
        Command::Bench(Bench::Cpu(args)) => done(at_once(bench::cpu(args))),
        Command::Bench(Bench::Start(args)) => done(at_once(bench::start(args))),
        Command::Bench(Bench::Compute(args)) => done(bench::compute(&args)),
        Command::Executor(args) => {
            let alone_max = Duration::from_secs(args.alone_max);
            Ok(skep_executor::serve(&args.jail(), alone_max).map(|()| ExitCode::SUCCESS)?)
        }
        Command::Doctor(args) => done(doctor::doctor(args.output)),
        Command::Bench(Bench::Allocator(args)) => done(bench::allocator(&args)),
        Command::Compile(args) => compile::compile(&args),
        Command::Store(Store::Migrate(args)) => done(store::move_store(args)),
        Command::Backup(args) => done(block_on(store::back_up(*args))),
        Command::Restore(args) => done(block_on(store::restore_cluster(*args))),
        Command::Dev(args) => owning(dev::dev(args)),
        Command::Master(args) => done(serving(master::master(args))),
        Command::Agent(args) => match args.command {
            Some(command) => done(block_on(keeping::agent(command))),
            None => done(serving(agent::agent(args.start))),
        },
        Command::Token(token) => done(block_on(async {
            match token {
                Token::Create { client, role, uses, ttl } => {
                    orders::create_token(client, role, uses, ttl.0).await
                }
                Token::List(client) => lists::tokens(client).await,
                Token::Revoke { client, id } => {
                    orders::order(client, Request::RevokeToken { id }).await
                }
            }
        })),
        Command::Ps(args) => done(block_on(lists::tasks(args))),
        Command::Logs(args) => done(block_on(logs::logs(args))),
        Command::Kill(args) => done(block_on(orders::kill(args))),
        Command::Replay(args) => owning(replay::replay(args)),
        Command::Framework(command) => done(block_on(frameworks::framework(command))),
        Command::Job(command @ JobCommand::Run(_)) => owning(jobs::job(command)),
        Command::Job(command) => block_on(jobs::job(command)),
        Command::Service(command) => done(block_on(kept::service(command))),
        Command::Cron(command) => done(block_on(kept::cron(command))),
        Command::Role(command) => done(block_on(sharing::role(command))),
        Command::Quota(command) => done(block_on(sharing::quota(command))),
        Command::Reserve(args) => done(block_on(sharing::reserve(args))),
        Command::Unreserve(args) => done(block_on(sharing::unreserve(args))),
        Command::Volume(command) => done(block_on(keeping::volume(command))),
        Command::Why(args) => done(block_on(sharing::why(args))),
        Command::Module(module) => match module {
            Module::Push(args) => done(block_on(module::push(args))),
            Module::List(client) => done(block_on(module::list(client))),
            Module::Inspect(args) => done(block_on(module::inspect(args))),
            Module::Compile(args) => done(at_once(async { module::compile(&args) })),
        },
        Command::Simulate(args) => done(simulate::simulate(&args)),
        Command::Offers(client) => done(block_on(lists::offers(client))),
        Command::Status(client) => done(block_on(lists::status(client))),
    }
}

fn done(result: Result) -> Result<ExitCode> {
    result.map(|()| ExitCode::SUCCESS)
}

/// Runs a command that leaves nothing behind wherever it is dropped.
fn block_on<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    owning(async {
        tokio::select! {
            biased;
            result = command => result,
            signal = told_to_end() => signal.end_process(),
        }
    })
}

/// Runs a command that has work to end when it is told to: it looks for that itself.
fn owning<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    on_runtime(Manner::Tells, command)
}

/// Runs a service: it looks itself for when it is told to end, and nobody need read what it says.
fn serving<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    on_runtime(Manner::Serves, command)
}

/// Runs a command that computes, and looks for nothing meanwhile.
fn at_once<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    on_runtime(Manner::Ends, command)
}

fn on_runtime<T>(manner: Manner, command: impl Future<Output = Result<T>>) -> Result<T> {
    heed(manner)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(command);
    // What is still reading a terminal, say, must not hold up the end of the command.
    runtime.shutdown_background();
    result
}
