//! Commands that say what agents are still good for, and what is kept on them.

use super::orders::order;
use crate::{
    args::{AgentCommand, Client, MaintenanceArgs, OneAgent, VolumeCommand},
    client::ask,
    failure::{Result, Sentence},
    output,
    units::Begin,
};
use skep_protocol::{
    AgentId, Time,
    operator::{Leftover, Maintenance, Request, Response, view::AgentView},
};
use std::time::{Duration, SystemTime};

pub(super) async fn agent(command: AgentCommand) -> Result {
    match command {
        AgentCommand::List(client) => super::lists::agents(client).await,
        AgentCommand::Show(one) => {
            let view = find(&one).await?;
            Ok(output::agent(one.client.output, &view)?)
        }
        AgentCommand::Drain { agent, grace } => {
            let grace = grace.map_or(Duration::ZERO, |span| span.0);
            order_about(agent, |agent| Request::Drain { agent, grace }).await
        }
        AgentCommand::Deactivate(one) => {
            order_about(one, |agent| Request::Deactivate { agent }).await
        }
        AgentCommand::Activate(one) => order_about(one, |agent| Request::Activate { agent }).await,
        AgentCommand::Gone(one) => order_about(one, |agent| Request::Gone { agent }).await,
        AgentCommand::Maintenance(args) => maintenance(args).await,
    }
}

async fn maintenance(args: MaintenanceArgs) -> Result {
    let MaintenanceArgs { agent, from, lasts, keep_tasks, cancel } = args;
    let now = Time::from(SystemTime::now());
    let tasks = if keep_tasks { Leftover::Kept } else { Leftover::Ended };
    // Neither is there if it is called off.
    let maintenance = from.zip(lasts).filter(|_| !cancel).map(|(from, lasts)| {
        let from = match from {
            Begin::At(time) => time,
            Begin::In(span) => now + span,
        };
        Maintenance { from, lasts: lasts.0, tasks }
    });
    order_about(agent, |agent| Request::SetMaintenance { agent, maintenance }).await
}

pub(super) async fn volume(command: VolumeCommand) -> Result {
    match command {
        VolumeCommand::List(client) => super::lists::volumes(client).await,
        VolumeCommand::Create { agent, role, volume, size } => {
            let (name, disk) = (volume, size.as_mem());
            order_about(agent, |agent| Request::CreateVolume { agent, role, name, disk }).await
        }
        VolumeCommand::Destroy { agent, volume } => {
            let name = volume;
            order_about(agent, |agent| Request::DestroyVolume { agent, name }).await
        }
    }
}

async fn order_about(one: OneAgent, request: impl FnOnce(AgentId) -> Request) -> Result {
    let agent: AgentId = find(&one).await?.agent.parse()?;
    order(one.client, request(agent)).await
}

/// The agent of this id, or the only one of this host.
async fn find(one: &OneAgent) -> Result<AgentView> {
    let agents = agents(&one.client).await?;
    if let Some(agent) = agents.iter().find(|view| view.agent == one.name) {
        return Ok(agent.clone());
    }
    let of_host: Vec<&AgentView> = agents.iter().filter(|view| view.hostname == one.name).collect();
    let why = match of_host.as_slice() {
        [only] => return Ok((*only).clone()),
        [] => format!("agent {:?} is not known: `skep agent list` shows those that are", one.name),
        [first, second, ..] => format!(
            "{} and {} and perhaps others run on {}: name one by its id",
            first.agent, second.agent, one.name
        ),
    };
    Err(Sentence(why).into())
}

async fn agents(client: &Client) -> Result<Vec<AgentView>> {
    let take = |answer| match answer {
        Response::Agents(views) => Some(views.agents),
        _ => None,
    };
    ask(client, Request::Agents, take).await
}
