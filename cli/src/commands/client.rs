//! The connection that all commands of a client begin with.

use crate::{args::Client, commands::Result, failure::Sentence};
use skep_framework::Cluster;
use skep_protocol::operator::{Request, Response};

/// Connects to the master that the options or the environment name.
pub(crate) async fn connect(client: &Client) -> Result<Cluster> {
    let cluster = Cluster::connect_with(
        &client.masters(),
        client.identity.as_deref(),
        client.join.as_deref(),
    );
    Ok(cluster.await?)
}

/// Connects, asks one thing, and hands the answer to `take`.
pub(super) async fn ask<T>(
    client: &Client,
    request: Request,
    take: impl FnOnce(Response) -> Option<T>,
) -> Result<T> {
    let answer = async {
        let cluster = connect(client).await?;
        let answer = cluster.ask(request).await;
        cluster.close().await;
        let unfitting = || Sentence("the master answered something else: is it older?".into());
        Ok(take(answer?).ok_or_else(unfitting)?)
    };
    answer.await.map_err(|failure: crate::failure::Failure| failure.told_as(client.output))
}
