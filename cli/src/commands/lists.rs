//! Commands that show what the master knows.

use crate::{
    args::{Client, Ps},
    client::ask,
    failure::Result,
    output,
};
use skep_protocol::operator::{Ended, Request, Response};

/// Asks for one kind of view and prints its rows.
macro_rules! list {
    ($client:expr, $request:expr, $kind:ident . $rows:ident) => {{
        let client = $client;
        let take = |answer| match answer {
            Response::$kind(views) => Some(views.$rows),
            _ => None,
        };
        let rows = ask(&client, $request, take).await?;
        Ok(output::list(client.output, &rows)?)
    }};
}

pub(super) async fn tasks(args: Ps) -> Result {
    let ended = if args.all { Ended::Listed } else { Ended::Left };
    let request = Request::Tasks { framework: None, task: None, ended };
    list!(args.client, request, Tasks.tasks)
}

pub(super) async fn agents(client: Client) -> Result {
    list!(client, Request::Agents, Agents.agents)
}

pub(super) async fn frameworks(client: Client) -> Result {
    list!(client, Request::Frameworks, Frameworks.frameworks)
}

pub(super) async fn roles(client: Client) -> Result {
    list!(client, Request::Roles, Roles.roles)
}

pub(super) async fn offers(client: Client) -> Result {
    list!(client, Request::Offers, Offers.offers)
}

pub(super) async fn volumes(client: Client) -> Result {
    list!(client, Request::Volumes, Volumes.volumes)
}

pub(super) async fn tokens(client: Client) -> Result {
    list!(client, Request::Tokens, Tokens.tokens)
}

pub(super) async fn status(client: Client) -> Result {
    let take = |answer| match answer {
        Response::Status(status) => Some(status),
        _ => None,
    };
    let status = ask(&client, Request::Status, take).await?;
    Ok(output::status(client.output, &status)?)
}
