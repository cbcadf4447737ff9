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
    args::{Bench, Command, Module, Store, Token},
    failure::Result,
    run,
    stdout::while_read,
};
use skep_protocol::operator::Request;
use std::{future::Future, process::ExitCode, time::Duration};

/// Runs a command.
pub(crate) fn dispatch(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run(run) => block_on(run::run(*run)),
        Command::Bench(Bench::Tasks(args)) => done(block_on(bench::tasks(args))),
        Command::Bench(Bench::Cpu(args)) => done(block_on(while_read(bench::cpu(args)))),
        Command::Bench(Bench::Start(args)) => done(block_on(while_read(bench::start(args)))),
        Command::Bench(Bench::Compute(args)) => done(block_on(while_read(async move {
            tokio::task::spawn_blocking(move || bench::compute(&args)).await?
        }))),
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
        Command::Dev(args) => block_on(dev::dev(args)),
        Command::Master(args) => done(block_on(master::master(args))),
        Command::Agent(args) => match args.command {
            Some(command) => done(block_on(keeping::agent(command))),
            None => done(block_on(agent::agent(args.start))),
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
        Command::Ps(args) => done(block_on(while_read(lists::tasks(args)))),
        Command::Logs(args) => done(block_on(while_read(logs::logs(args)))),
        Command::Kill(args) => {
            let kill = Request::Kill { framework: args.framework, task: args.task };
            done(block_on(orders::order(args.client, kill)))
        }
        Command::Replay(args) => block_on(replay::replay(args)),
        Command::Framework(command) => done(block_on(frameworks::framework(command))),
        Command::Job(command) => block_on(jobs::job(command)),
        Command::Service(command) => done(block_on(kept::service(command))),
        Command::Cron(command) => done(block_on(kept::cron(command))),
        Command::Role(command) => done(block_on(sharing::role(command))),
        Command::Quota(command) => done(block_on(sharing::quota(command))),
        Command::Reserve(args) => done(block_on(sharing::reserve(args))),
        Command::Unreserve(args) => done(block_on(sharing::unreserve(args))),
        Command::Volume(command) => done(block_on(keeping::volume(command))),
        Command::Why(args) => done(block_on(while_read(sharing::why(args)))),
        Command::Module(module) => match module {
            Module::Push(args) => done(block_on(module::push(args))),
            Module::List(client) => done(block_on(module::list(client))),
            Module::Inspect(args) => done(block_on(module::inspect(args))),
            Module::Compile(args) => done(module::compile(&args)),
        },
        Command::Simulate(args) => done(simulate::simulate(&args)),
        Command::Offers(client) => done(block_on(while_read(lists::offers(client)))),
        Command::Status(client) => done(block_on(while_read(lists::status(client)))),
    }
}

fn done(result: Result) -> Result<ExitCode> {
    result.map(|()| ExitCode::SUCCESS)
}

fn block_on<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(command);
    // What is still reading a terminal, say, must not hold up the end of the command.
    runtime.shutdown_background();
    result
}
