//! What all commands of a client have in common: connecting, asking, reading a task's output.

use crate::{
    args::Client,
    failure::{Failure, Result, Sentence},
    stdout::{self, CopyError, Stream, WriteError},
};
use serde::{Serialize, de::DeserializeOwned};
use skep_framework::Cluster;
use skep_protocol::{
    Rejection, TaskKey,
    data::{Follow, LogStream},
    operator::{Request, Response},
};
use skep_transport::RequestError;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncWriteExt as _},
};

/// Connects to the master that the options or the environment name.
pub(crate) async fn connect(client: &Client) -> Result<Cluster> {
    let (masters, folder) = (client.masters(), client.identity.as_deref());
    let cluster = Cluster::connect_with(&masters, folder, client.join.as_deref());
    Ok(cluster.await?)
}

/// Connects, asks one thing, and hands the answer to `take`.
pub(crate) async fn ask<T>(
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
    answer.await.map_err(|failure: Failure| failure.told_as(client.output))
}

/// Asks a framework something, in its own words.
pub(crate) async fn question<A: DeserializeOwned>(
    cluster: &Cluster,
    framework: &str,
    question: &impl Serialize,
) -> Result<A> {
    let message = serde_json::to_vec(question)?;
    match cluster.ask(Request::Ask { framework: framework.into(), message }).await? {
        Response::Told { message } => Ok(serde_json::from_slice(&message)?),
        _ => Err(Sentence("the master answered something else: is it older?".into()).into()),
    }
}

/// The same of a framework that may have just been started, or is being started anew.
pub(crate) async fn question_when_there<A: DeserializeOwned>(
    cluster: &Cluster,
    framework: &str,
    words: &impl Serialize,
) -> Result<A> {
    let begin = Instant::now();
    loop {
        let message = serde_json::to_vec(words)?;
        match cluster.ask(Request::Ask { framework: framework.into(), message }).await {
            Ok(Response::Told { message }) => return Ok(serde_json::from_slice(&message)?),
            Ok(_) => {
                let why = "the master answered something else: is it older?";
                return Err(Sentence(why.into()).into());
            }
            Err(RequestError::Refused(Rejection::Invalid { field, .. }))
                if field == "framework" && begin.elapsed() < APPEARANCE_MAX =>
            {
                tokio::time::sleep(APPEARANCE_LOOK).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// How long a framework may take to appear, or to come back.
const APPEARANCE_MAX: Duration = Duration::from_secs(60);
/// How often it is looked for.
const APPEARANCE_LOOK: Duration = Duration::from_millis(100);

/// Copies both streams of a task to those of this command, side by side. Ends at once when one
/// cannot be written; what cannot be read of one does not stop the other.
pub(crate) async fn copy_output(
    cluster: &Cluster,
    key: &TaskKey,
    follow: Follow,
) -> Result<Result, WriteError> {
    let copy = async |from: LogStream, to: Stream| {
        let mut from = match cluster.read_log(key.clone(), from, 0, follow).await {
            Ok(from) => from,
            Err(refused) => return Ok(Err(refused.into())),
        };
        match stdout::copy(&mut from, to).await {
            Ok(_) => Ok(Ok(())),
            Err(CopyError::Write(error)) => Err(error),
            Err(unread @ CopyError::Read(_)) => Ok(Err(unread.into())),
        }
    };
    let out = copy(LogStream::Stdout, Stream::Out);
    let err = copy(LogStream::Stderr, Stream::Err);
    let (out, err): (Result, Result) = tokio::try_join!(out, err)?;
    Ok(out.and(err))
}

/// Copies a task's core dump to a file, which comes into being with its first byte. Gives how many
/// bytes there were: none if the task left no dump.
pub(crate) async fn copy_core(
    cluster: &Cluster,
    key: &TaskKey,
    follow: Follow,
    file: &Path,
) -> Result<u64> {
    let mut from = cluster.read_log(key.clone(), LogStream::Core, 0, follow).await?;
    let mut first = [0];
    if from.read(&mut first).await? == 0 {
        return Ok(0);
    }
    let cannot = |error| Sentence(format!("{}: {error}", file.display()));
    let mut to = File::create(file).await.map_err(cannot)?;
    to.write_all(&first).await.map_err(cannot)?;
    let rest = tokio::io::copy(&mut from, &mut to).await?;
    to.flush().await.map_err(cannot)?;
    Ok(rest + 1)
}

/// Copies a task's core dump to stdout, and gives how many bytes there were.
pub(crate) async fn show_core(cluster: &Cluster, key: &TaskKey, follow: Follow) -> Result<u64> {
    let mut from = cluster.read_log(key.clone(), LogStream::Core, 0, follow).await?;
    Ok(stdout::copy(&mut from, Stream::Out).await?)
}
