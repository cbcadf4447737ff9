//! `skep logs`: what a task wrote, stdout to stdout and stderr to stderr; or its core dump.

use crate::{
    args,
    client::{connect, copy_output, show_core},
    failure::{Result, Sentence},
};
use skep_framework::Cluster;
use skep_protocol::{
    TaskId, TaskKey,
    data::Follow,
    operator::{Ended, Request, Response},
};

pub(super) async fn logs(args: args::Logs) -> Result {
    let cluster = connect(&args.client).await?;
    let key = find(&cluster, &args.task).await?;
    let follow = if args.follow { Follow::UntilEnded } else { Follow::No };
    if args.core && show_core(&cluster, &key, follow).await? == 0 {
        let why = format!(
            "task {} left no core dump: those do that were started with --coredump, died of a trap \
             or of a limit, and held no more than 128 MiB",
            key.task
        );
        return Err(Sentence(why).into());
    }
    if !args.core {
        copy_output(&cluster, &key, follow).await??;
    }
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
