//! Commands that say how the cluster is shared, and why somebody waits.

use super::orders::order;
use crate::{
    args,
    client::ask,
    failure::{Result, Sentence},
    output, stdout,
};
use skep_protocol::{
    Amount, Role,
    operator::{Manner, Quota, Request, Response, Weight},
};

pub(super) async fn role(command: args::RoleCommand) -> Result {
    match command {
        args::RoleCommand::List(client) => super::lists::roles(client).await,
        args::RoleCommand::Show { client, role } => show(client, &role).await,
        args::RoleCommand::Set { client, role, weight } => set_weight(client, role, weight).await,
        args::RoleCommand::Remove { client, role } => {
            // Gently, because a role without a quota may have whatever it has.
            set_quota(client.clone(), role.clone(), Quota::default(), Manner::Gentle).await?;
            order(client, Request::SetRole { role, weight: Weight::ONE }).await
        }
    }
}

pub(super) async fn quota(command: args::QuotaCommand) -> Result {
    match command {
        args::QuotaCommand::Set { client, role, quota, force } => {
            let guarantee = quota.guarantee.map(|scalars| scalars.0).unwrap_or_default();
            let limit = quota.limit.map(|limits| limits.0).unwrap_or_default();
            let manner = if force { Manner::Forced } else { Manner::Gentle };
            set_quota(client, role, Quota { guarantee, limit }, manner).await
        }
        args::QuotaCommand::Remove { client, role } => {
            set_quota(client, role, Quota::default(), Manner::Gentle).await
        }
    }
}

async fn set_quota(client: args::Client, role: Role, quota: Quota, manner: Manner) -> Result {
    order(client, Request::SetQuota { role, quota, manner }).await
}

async fn set_weight(client: args::Client, role: Role, weight: Amount) -> Result {
    let weight = Weight::from_millis(weight.as_millis())?;
    order(client, Request::SetRole { role, weight }).await
}

async fn show(client: args::Client, role: &Role) -> Result {
    let take = |answer| match answer {
        Response::Roles(views) => Some(views.roles),
        _ => None,
    };
    let roles = ask(&client, Request::Roles, take).await?;
    let view = roles.into_iter().find(|view| view.role == role.to_string());
    let unknown = || Sentence(format!("role {role} has no framework, no weight and no quota"));
    Ok(output::role(client.output, &view.ok_or_else(unknown)?)?)
}

pub(super) async fn reserve(args: args::Reserve) -> Result {
    let args::Reserve { reservation, from } = args;
    let args::Reservation { client, agent, role, resources } = reservation;
    order(client, Request::Reserve { agent, role, resources: resources.0, from }).await
}

pub(super) async fn unreserve(args: args::Unreserve) -> Result {
    let args::Unreserve { reservation, to } = args;
    let args::Reservation { client, agent, role, resources } = reservation;
    order(client, Request::Unreserve { agent, role, resources: resources.0, to }).await
}

pub(super) async fn why(args: args::Why) -> Result {
    let take = |answer| match answer {
        Response::Why(view) => Some(view),
        _ => None,
    };
    let needs = args.needs.map(|scalars| scalars.0);
    let request = Request::Why { framework: args.framework, needs };
    let view = ask(&args.client, request, take).await?;
    match args.client.output {
        args::Format::Json => output::json(&view)?,
        args::Format::Table => stdout::print(&view.sentences.join("\n"))?,
    }
    Ok(())
}
