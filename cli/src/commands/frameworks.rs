//! `skep framework`: schedulers that the cluster hosts.

mod removal;

use crate::{
    args::{Client, FrameworkCommand, HostArgs, HostedLogs, ShowHosted},
    builtin,
    client::{connect, copy_output, question},
    commands::lists,
    failure::{Failure, Result, Sentence},
    output::{self, Row},
    words,
};
use skep_framework::Cluster;
use skep_protocol::{
    Amount, Attempt, Digest, FrameworkId, Resources, TaskId, TaskKey,
    data::Follow,
    operator::{Request, Response, view::FrameworkView},
};
use skep_supervisor::{Hosted, Order, Report, info};
use std::{collections::BTreeMap, path::Path};

impl Row for Report {
    const HEADINGS: &'static [&'static str] =
        &["NAME", "STATE", "ATTEMPT", "AGENT", "RESTARTS", "LAST END"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.hosted.name.to_string(),
            self.state.name().into(),
            self.attempt.to_string(),
            self.agent.clone().unwrap_or_else(|| "-".into()),
            self.restarts.to_string(),
            if self.ended.is_empty() { "-".into() } else { self.ended.clone() },
        ]
    }
}

pub(super) async fn framework(command: FrameworkCommand) -> Result {
    match command {
        FrameworkCommand::Run(args) => run(*args).await,
        FrameworkCommand::List(client) => lists::frameworks(client).await,
        FrameworkCommand::Show(args) => show(args).await,
        FrameworkCommand::Logs(args) => logs(args).await,
        FrameworkCommand::Kill(args) => removal::kill(args).await,
        FrameworkCommand::Remove(args) => removal::remove(args).await,
    }
}

async fn run(args: HostArgs) -> Result {
    let cluster = connect(&args.client).await?;
    let (file, words) = args.words.split_first().ok_or_else(|| sentence("no scheduler"))?;
    let (module, stem) = match builtin::module(file) {
        Some(bytes) => (cluster.push(&bytes).await?, file.clone()),
        None => {
            let stem = Path::new(file).file_stem().unwrap_or_default().to_string_lossy();
            (cluster.push_file(file.as_ref()).await?, stem.into_owned())
        }
    };
    let name = match args.name {
        Some(name) => name,
        None => TaskId::new(&stem).map_err(|_| sentence(&format!("{stem:?}: give a --name")))?,
    };
    let mut bundle = BTreeMap::new();
    for file in &args.file {
        let base = file.file_name().unwrap_or_default();
        let base = words::text(base, "a scheduler finds the file by its name, which is")?;
        bundle.insert(base, cluster.push_file(file).await?);
    }
    let mut env = BTreeMap::new();
    for variable in &args.env {
        env.insert(variable.name.clone(), variable.value(|name| std::env::var_os(name))?);
    }
    let mem = Amount::millis(args.mem.0.saturating_mul(1_000).div_ceil(1 << 20));
    let hosted = Hosted {
        name,
        module,
        args: words.to_vec(),
        env,
        role: args.role.map(|role| role.to_string()),
        resources: Resources::new(args.cpus, mem),
        bundle,
    };
    let reports = order(&cluster, &Order::Run(hosted)).await?;
    cluster.close().await;
    output::list(args.client.output, &reports)?;
    Ok(())
}

async fn show(args: ShowHosted) -> Result {
    let cluster = connect(&args.client).await?;
    let mut reports = order(&cluster, &Order::List).await?;
    cluster.close().await;
    if let Some(name) = &args.name {
        reports.retain(|report| report.hosted.name == *name);
        if reports.is_empty() {
            return Err(unknown(name).into());
        }
    }
    Ok(output::list(args.client.output, &reports)?)
}

async fn logs(args: HostedLogs) -> Result {
    let cluster = connect(&args.client).await?;
    let reports = order(&cluster, &Order::List).await?;
    let report = reports.into_iter().find(|report| report.hosted.name == args.name);
    let report = report.ok_or_else(|| unknown(&args.name))?;
    if report.attempt == 0 {
        return Err(sentence(&format!("{} has not begun yet", args.name)).into());
    }
    let key = TaskKey {
        framework: supervisor(&cluster).await?,
        task: args.name,
        attempt: Attempt(report.attempt),
    };
    let follow = if args.follow { Follow::UntilEnded } else { Follow::No };
    copy_output(&cluster, &key, follow).await??;
    cluster.close().await;
    Ok(())
}

/// The id of the framework that a name or an id means.
pub(super) async fn id_of(client: &Client, named: &str) -> Result<FrameworkId> {
    let found = async {
        let cluster = connect(client).await?;
        let views = frameworks(&cluster).await?;
        cluster.close().await;
        let ids = |is_meant: &dyn Fn(&FrameworkView) -> bool| -> Vec<String> {
            let meant = views.iter().filter(|view| is_meant(view));
            meant.map(|view| view.framework.clone()).collect()
        };
        let by_id = ids(&|view| view.framework == named);
        let meant = if by_id.is_empty() { ids(&|view| view.name == named) } else { by_id };
        match meant.as_slice() {
            [one] => Ok(one.parse()?),
            [] => {
                let why = format!("there is no framework {named}: see skep framework list");
                Err(sentence(&why).into())
            }
            several => {
                let (count, ids) = (several.len(), several.join(", "));
                let why =
                    format!("{count} frameworks are called {named}: give the id of one: {ids}");
                Err(sentence(&why).into())
            }
        }
    };
    found.await.map_err(|failure: Failure| failure.told_as(client.output))
}

/// The framework whose tasks the hosted schedulers are.
async fn supervisor(cluster: &Cluster) -> Result<FrameworkId> {
    let name = info().name;
    let own = |view: &FrameworkView| view.principal == format!("framework/{name}");
    let view = frameworks(cluster).await?.into_iter().find(own);
    let view = view.ok_or_else(|| sentence("the master has no supervisor: is it older?"))?;
    Ok(view.framework.parse()?)
}

async fn frameworks(cluster: &Cluster) -> Result<Vec<FrameworkView>> {
    match cluster.ask(Request::Frameworks).await? {
        Response::Frameworks(views) => Ok(views.frameworks),
        _ => Err(sentence("the master answered something else: is it older?").into()),
    }
}

/// Hosts a framework that comes with skep, unless it is hosted.
pub(super) async fn host_builtin(cluster: &Cluster, name: &str) -> Result {
    let reports = order(cluster, &Order::List).await?;
    let is_hosted = |report: &Report| {
        report.hosted.name.as_str() == name && report.state != skep_supervisor::State::Ended
    };
    if reports.iter().any(is_hosted) {
        return Ok(());
    }
    let bytes = builtin::module(name).ok_or_else(|| sentence("it does not come with skep"))?;
    let module: Digest = cluster.push(&bytes).await?;
    let hosted = Hosted {
        name: TaskId::new(name)?,
        module,
        args: Vec::new(),
        env: BTreeMap::new(),
        role: None,
        resources: Resources::new(Amount::millis(100), Amount::units(64)),
        bundle: BTreeMap::new(),
    };
    order(cluster, &Order::Run(hosted)).await.map(drop)
}

async fn order(cluster: &Cluster, order: &Order) -> Result<Vec<Report>> {
    question(cluster, &info().name, order).await
}

fn sentence(text: &str) -> Sentence {
    Sentence(text.into())
}

fn unknown(name: &TaskId) -> Sentence {
    sentence(&format!("no scheduler {name} is hosted: see `skep framework show`"))
}
