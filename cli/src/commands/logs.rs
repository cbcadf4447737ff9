//! `skep logs`: what a task wrote, stdout to stdout and stderr to stderr.

use super::{Result, connect};
use crate::{args, failure::Sentence};
use skep_framework::Cluster;
use skep_protocol::{
    TaskId, TaskKey,
    data::{Follow, LogStream},
    operator::{Ended, Request, Response},
};
use tokio::io::AsyncWriteExt as _;

pub(super) async fn logs(args: args::Logs) -> Result {
    let cluster = connect(&args.client).await?;
    let key = find(&cluster, &args.task).await?;
    let follow = if args.follow { Follow::UntilEnded } else { Follow::No };
    copy_output(&cluster, &key, follow).await?;
    cluster.close().await;
    Ok(())
}

/// The newest attempt of a task.
async fn find(cluster: &Cluster, task: &TaskId) -> Result<TaskKey> {
    let request =
        Request::Tasks { framework: None, task: Some(task.clone()), ended: Ended::Listed };
    let Response::Tasks(views) = cluster.ask(request).await? else {
        return Err(Sentence("the master answered something else: is it older?".into()).into());
    };
    let newest = views.tasks.into_iter().max_by_key(|view| (view.since_micros, view.attempt));
    let view = newest.ok_or_else(|| {
        Sentence(format!("no task {task} is known: `skep ps --all` lists those that are"))
    })?;
    Ok(TaskKey {
        framework: view.framework.parse()?,
        task: task.clone(),
        attempt: skep_protocol::Attempt(view.attempt),
    })
}

/// Copies both streams of a task to those of this command, side by side.
pub(crate) async fn copy_output(cluster: &Cluster, key: &TaskKey, follow: Follow) -> Result {
    let out = async {
        let mut from = cluster.read_log(key.clone(), LogStream::Stdout, 0, follow).await?;
        let mut to = tokio::io::stdout();
        tokio::io::copy(&mut from, &mut to).await?;
        Ok(to.flush().await?)
    };
    let err = async {
        let mut from = cluster.read_log(key.clone(), LogStream::Stderr, 0, follow).await?;
        let mut to = tokio::io::stderr();
        tokio::io::copy(&mut from, &mut to).await?;
        Ok(to.flush().await?)
    };
    let (out, err): (Result, Result) = tokio::join!(out, err);
    out.and(err)
}
