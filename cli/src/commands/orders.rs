//! Commands that order something of the master.

use super::frameworks;
use crate::{
    args::{Client, Format, Kill},
    client::ask,
    failure::Result,
    output, stdout,
};
use serde::Serialize;
use skep_protocol::operator::{PeerKind, Request, Response};
use std::time::Duration;

/// Gives an order that is answered by its being done.
pub(super) async fn order(client: Client, request: Request) -> Result {
    ask(&client, request, |answer| matches!(answer, Response::Done).then_some(())).await
}

/// Ends a task.
pub(super) async fn kill(args: Kill) -> Result {
    let framework = match &args.framework {
        Some(named) => Some(frameworks::id_of(&args.client, named).await?),
        None => None,
    };
    order(args.client, Request::Kill { framework, task: args.task }).await
}

/// A new token, and the command that uses it.
#[derive(Serialize)]
struct NewToken {
    id: String,
    token: String,
    command: String,
}

pub(super) async fn create_token(
    client: Client,
    kind: PeerKind,
    uses: u32,
    ttl: Duration,
) -> Result {
    let take = |answer| match answer {
        Response::CreatedToken { token, id } => Some((token, id)),
        _ => None,
    };
    let (token, id) = ask(&client, Request::CreateToken { kind, uses, ttl }, take).await?;
    let master = client.masters().join(",");
    let command = match kind {
        PeerKind::Agent => format!("skep agent --join {token} --master {master}"),
        _ => format!("skep status --join {token} --master {master}"),
    };
    let new = NewToken { id, token, command };
    match client.output {
        Format::Json => output::json(&new)?,
        Format::Table => stdout::print(&new.command)?,
    }
    Ok(())
}
