//! `skep framework remove` and `kill`: a framework ends with all its tasks, and if the cluster
//! hosts its scheduler that ends too, and is not started again.
//!
//! The supervisor is told first, so that it starts nothing again; then the master removes the
//! framework, and with it its scheduler's right to speak.

use super::{frameworks, order, sentence, supervisor};
use crate::{
    args::OneFramework,
    client::{connect, question_when_there},
    failure::Result,
    stdout,
};
use skep_framework::Cluster;
use skep_protocol::operator::{Request, view::FrameworkView};
use skep_supervisor::{Order, Report, State, info};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long a scheduler may take to end that is to be gone: longer than the grace that it has.
const END_MAX: Duration = Duration::from_secs(30);
/// How often to look whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Removes a framework of any kind.
pub(super) async fn remove(args: OneFramework) -> Result {
    let cluster = connect(&args.client).await?;
    let ended = match find(&cluster, &args.named).await? {
        Found::Hosted { name } => end_hosted(&cluster, &name).await,
        Found::Other { view } => tear_down(&cluster, &view).await,
        // The master says what is wrong with it.
        Found::Unclear => {
            cluster.ask(Request::Teardown { framework: args.named }).await?;
            Ok(())
        }
    };
    cluster.close().await;
    ended
}

/// Ends a scheduler that the cluster hosts, and nothing else.
pub(super) async fn kill(args: OneFramework) -> Result {
    let cluster = connect(&args.client).await?;
    let ended = match find(&cluster, &args.named).await? {
        Found::Hosted { name } => end_hosted(&cluster, &name).await,
        Found::Other { view } => {
            let FrameworkView { framework, name, .. } = view;
            Err(sentence(&format!(
                "the cluster does not host the scheduler of framework {name} ({framework}), so \
                 that it cannot end it: skep framework remove {framework} removes the framework \
                 and ends its tasks"
            ))
            .into())
        }
        Found::Unclear => Err(sentence(&format!(
            "no scheduler {} is hosted: skep framework show lists those that are, and \
             skep framework remove ends frameworks of any kind",
            args.named
        ))
        .into()),
    };
    cluster.close().await;
    ended
}

/// What somebody means by a name or an id.
enum Found {
    /// A scheduler that the cluster hosts; its framework may not have subscribed yet.
    Hosted { name: String },
    /// A framework whose scheduler is elsewhere.
    Other { view: FrameworkView },
    /// Nothing, or several.
    Unclear,
}

async fn find(cluster: &Cluster, named: &str) -> Result<Found> {
    let views = frameworks(cluster).await?;
    let of_hosted = format!("task/{}/", supervisor(cluster).await?);
    let by_id = views.iter().find(|view| view.framework == named);
    let mut by_name = views.iter().filter(|view| view.name == named);
    let meant = match (by_id, by_name.next(), by_name.next()) {
        (Some(one), _, _) | (None, Some(one), None) => Some(one),
        (None, Some(_), Some(_)) => return Ok(Found::Unclear),
        (None, None, _) => None,
    };
    if let Some(view) = meant {
        return Ok(match view.principal.strip_prefix(&of_hosted) {
            Some(name) => Found::Hosted { name: name.into() },
            None => Found::Other { view: view.clone() },
        });
    }
    // What has not subscribed yet, or as a framework of another name.
    let is_meant =
        |report: &Report| report.hosted.name.as_str() == named && report.state != State::Ended;
    Ok(match reports(cluster).await?.iter().find(|report| is_meant(report)) {
        Some(report) => Found::Hosted { name: report.hosted.name.to_string() },
        None => Found::Unclear,
    })
}

async fn tear_down(cluster: &Cluster, view: &FrameworkView) -> Result {
    cluster.ask(Request::Teardown { framework: view.framework.clone() }).await?;
    tell(view)
}

fn tell(FrameworkView { framework, name, tasks, .. }: &FrameworkView) -> Result {
    let words = format!("framework {name} ({framework}) is removed, with its {tasks} tasks");
    Ok(stdout::print(&words)?)
}

async fn end_hosted(cluster: &Cluster, name: &str) -> Result {
    let wanted = reports(cluster).await?.into_iter();
    let wanted = wanted.filter(|report| report.hosted.name.as_str() == name);
    // One that ends already, or has, is not to be told so again; its framework may be left.
    if wanted.into_iter().any(|report| !matches!(report.state, State::Ending | State::Ended)) {
        order(cluster, &Order::Kill { name: name.into() }).await?;
    }
    let principal = format!("task/{}/{name}", supervisor(cluster).await?);
    let begun = Instant::now();
    loop {
        // Looked at before its framework is: what has ended makes none any more.
        let all = reports(cluster).await?;
        let mut live = all.iter().filter(|report| report.state != State::Ended);
        let has_ended = !live.any(|report| report.hosted.name.as_str() == name);
        let own = frameworks(cluster).await?.into_iter().find(|view| view.principal == principal);
        if let Some(view) = own {
            // It cannot come back: with its framework its right to speak is gone.
            return tear_down(cluster, &view).await;
        }
        if has_ended {
            return Ok(stdout::print(&format!("scheduler {name} has ended"))?);
        }
        if begun.elapsed() > END_MAX {
            let why = format!(
                "scheduler {name} is told to end and has not, for its agent does not answer: it \
                 ends when the agent is back or given up; skep framework show {name} tells"
            );
            return Err(sentence(&why).into());
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn reports(cluster: &Cluster) -> Result<Vec<Report>> {
    question_when_there(cluster, &info().name, &Order::List).await
}
