//! `skep run`: a job of one task or many, on a private cluster or on the one that `--master` names.
//!
//! ```text
//! plan (pure) -> a job of one group -> scheduler (`batch`) <-> master -> agents
//!                                          |
//!                                          +-- Told --> collect: output, progress, summary -> exit
//! ```
//! `skep run --detach` hands the job to the `batch` that the cluster hosts instead.

mod collect;
mod detach;
pub(crate) mod exit;
mod fetch;
mod files;
mod lacking;
mod missing;
mod plan;
mod scheduler;
mod show;
mod spool;
mod stdin;
mod summary;
mod targets;

use crate::{
    args,
    failure::{Failure, Result, Sentence},
    foreground,
    private::on_its_cluster,
    signals::{told_to_end, unless_told_to_end},
    words,
};
use collect::{Collected, Collector};
use plan::{Input, Inputs, Job};
use scheduler::Order;
use skep_framework::Cluster;
use skep_frameworks::batch::{self, Fitting};
use skep_protocol::{
    Digest, Resources, Role, TaskKey,
    bounds::MODULE_BYTES_MAX,
    framework::FrameworkInfo,
    operator::{Request, Response, view},
    task::Terms,
    wishes::Wishes,
};
use skep_transport::RequestError;
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    io::IsTerminal as _,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    pin::pin,
    process::ExitCode,
    time::Duration,
};
use stdin::{Fed, Feeder, Source, Stdin, has_all};
use tokio::sync::{mpsc, watch};

/// How often to look for agents while there is none.
const AGENTS_INTERVAL: Duration = Duration::from_millis(100);

/// Runs a job and gives the command's exit code.
pub(crate) async fn run(args: args::Run) -> Result<ExitCode> {
    let format = args.client.output;
    let told = |failure: Failure| failure.or_code(exit::FAILURE).told_as(format);
    run_job(&args).await.map_err(told)
}

async fn run_job(args: &args::Run) -> Result<ExitCode> {
    if args.detach {
        detach::check(args)?;
    }
    let program = Program::of(args)?;
    if !args.client.masters().is_empty() && !args.grants.dirs.is_empty() {
        let why = "--dir names folders of this machine, which agents of a cluster do not have: \
                   leave --master out to run here, name a --volume of the agents, or hand the \
                   input over by --stdin";
        return Err(Sentence(why.into()).into());
    }
    let work = async |cluster| run_on(cluster, args, &program).await;
    on_its_cluster(&args.client, &args.walls, work).await
}

/// What is to run.
enum Program {
    /// A file of this machine, read and checked.
    Read(Vec<u8>),
    /// What the master has stored; it is checked where it runs.
    Stored(Digest),
}

impl Program {
    fn of(args: &args::Run) -> Result<Self> {
        match args.module().to_str().unwrap_or_default().parse() {
            Ok(_) if args.client.masters().is_empty() => {
                let why = "a digest names a module that a master has stored: say which master \
                           with --master, or name a file";
                Err(Sentence(why.into()).into())
            }
            Ok(digest) => Ok(Self::Stored(digest)),
            Err(_) => {
                let module = read_module(args.module())?;
                check_needs(args, &module)?;
                Ok(Self::Read(module))
            }
        }
    }
}

async fn run_on(cluster: Cluster, args: &args::Run, program: &Program) -> Result<ExitCode> {
    let (job, stdin) = unless_told_to_end(prepare(&cluster, args, program)).await??;
    if args.detach {
        return detach::hand_over(cluster, args, job).await;
    }
    let fed = watch::Sender::new(Fed::Whole);
    let feeder = |running| Feeder { cluster: &cluster, source: stdin, running, fed: &fed };
    let Collected { document, mut code } = execute(&cluster, args, job, feeder).await?;
    if *fed.borrow() != Fed::Whole && code == 0 {
        // Many programs take an error of their input for its end.
        code = exit::FAILURE;
    }
    cluster.close().await;
    if let Some(document) = document {
        document.print(code).await?;
    }
    Ok(ExitCode::from(code))
}

/// Reads a module far enough to say what is wrong with it before anything is started.
pub(crate) fn read_module(path: &Path) -> Result<Vec<u8>> {
    let cannot = |why: String| Sentence(format!("{}: {why}", words::shown(path)));
    let size = std::fs::metadata(path).map_err(|error| cannot(error.to_string()))?.len();
    if size > MODULE_BYTES_MAX {
        let max = bytesize::ByteSize(MODULE_BYTES_MAX);
        return Err(cannot(format!("it is larger than the {max} that a module may have")).into());
    }
    let bytes = std::fs::read(path).map_err(|error| cannot(error.to_string()))?;
    if !bytes.starts_with(b"\0asm") {
        let why = "it is no WebAssembly module: it does not begin with \\0asm; \
                   compile for a wasm32-wasip1 target";
        return Err(cannot(why.into()).into());
    }
    Ok(bytes)
}

/// Refuses a program that imports what its tasks do not grant, before anything is sent.
fn check_needs(args: &args::Run, module: &[u8]) -> Result<()> {
    match skep_admission::needs(module).lacking(&args.grants.network()) {
        Some(lacking) => {
            // A feature that is off explains imports that belong to it.
            let why = skep_admission::lacking_features(module);
            let why = why.unwrap_or_else(|| lacking.to_string());
            let module = words::shown(args.module());
            Err(Sentence(format!("{module}: module rejected: {why}")).into())
        }
        None => Ok(()),
    }
}

/// Stores what the tasks need at the master, and plans them. Gives what is to be fed to the task.
async fn prepare(
    cluster: &Cluster,
    args: &args::Run,
    program: &Program,
) -> Result<(Job, Option<Source>)> {
    let file_name = words::name_of(args.module());
    let (stdin, source) = match stdin::prepare(cluster, args).await? {
        Stdin::Closed => (Input::Closed, None),
        Stdin::Blob(digest) => (Input::Blob(digest), None),
        Stdin::Stream(source) => (Input::Stream { size: source.size() }, Some(source)),
    };
    let lines = match &args.many.each_line {
        Some(path) => Some(read_lines(path)?),
        None => None,
    };
    let mut dirs = Vec::new();
    for dir in &args.grants.dirs {
        let cannot = |why: String| Sentence(format!("--dir {}: {why}", words::shown(&dir.host)));
        let path = dir.host.canonicalize().map_err(|error| cannot(error.to_string()))?;
        let why = "a path that is granted is: grant a folder above it";
        let path = words::text(path.as_os_str(), why);
        dirs.push(path.map_err(|refused| cannot(refused.to_string()))?);
    }
    let id = uuid::Uuid::now_v7().simple().to_string();
    let inputs = Inputs {
        // The last digits of a version 7 id are random; the first are the time.
        job: id[id.len() - 8..].into(),
        name: args.name.clone().unwrap_or(file_name),
        module: match program {
            Program::Read(module) => cluster.push(module).await?,
            Program::Stored(digest) => *digest,
        },
        stdin,
        dirs,
        lines,
    };
    let mut job = plan::plan(args, inputs, |name| std::env::var_os(name))?;
    if !args.detach {
        targets::check(&args.files, &job.group, job.shape)?;
    }
    files::hand_over(cluster, &args.files, &mut job.group).await?;
    Ok((job, source))
}

fn read_lines(path: &Path) -> Result<Vec<String>> {
    let cannot = |why: String| Sentence(format!("--each-line {}: {why}", words::shown(path)));
    let bytes = std::fs::read(path).map_err(|error| cannot(error.to_string()))?;
    Ok(lines(&bytes).map_err(cannot)?)
}

/// The lines that are not empty. Err: which of them is no text.
fn lines(bytes: &[u8]) -> std::result::Result<Vec<String>, String> {
    let text = |(number, line): (usize, &[u8])| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = words::text(OsStr::from_bytes(line), words::TOLD);
        text.map_err(|refused| format!("line {number}: {refused}"))
    };
    let lines = (1..).zip(bytes.split(|byte| *byte == b'\n')).map(text);
    lines.filter(|line| line.as_ref().is_ok_and(|line| !line.is_empty()) || line.is_err()).collect()
}

/// Says what would otherwise wait for ever: that no agent there is could run a task. Ends well
/// once there is one that could.
async fn find_room(cluster: &Cluster, role: &Role, job: &Fitting) -> Result {
    loop {
        let views = match cluster.ask(Request::Agents).await {
            Ok(Response::Agents(views)) => views,
            Ok(_) => return Ok(()),
            Err(RequestError::Stream(_)) => {
                // The master is away for a moment; the driver connects again.
                tokio::time::sleep(AGENTS_INTERVAL).await;
                continue;
            }
            Err(refused) => return Err(refused.into()),
        };
        let connected = views.agents.into_iter().filter(|agent| agent.state == "connected");
        let lacking = |agent: &view::AgentView| {
            let is_ours = |of: &str| of.parse().is_ok_and(|of| role.is_within(&of));
            let made = agent.volumes.iter().filter(|volume| is_ours(&volume.role));
            let made = made.map(|volume| volume.name.as_str());
            job.lacking(&agent.attributes, made).map(str::to_owned)
        };
        let (suited, others): (Vec<_>, Vec<_>) =
            connected.partition(|agent| lacking(agent).is_none());
        if suited.is_empty()
            && let Some(volume) = others.iter().find_map(lacking)
        {
            let why = format!(
                "no agent has all volumes of the task, {volume:?} among them; an agent's operator \
                 names one by skep agent --volume {volume}=PATH, or one is made by skep volume \
                 create"
            );
            return Err(Sentence(why).into());
        }
        let totals: Vec<Resources> =
            suited.into_iter().filter_map(|agent| usable(agent, job.terms())).collect();
        if totals.iter().any(|total| job.fit(total).is_some()) {
            return Ok(());
        }
        if let Some(largest) = totals.iter().max_by_key(|total| (total.cpus(), total.mem())) {
            let least = job.least();
            let why = format!(
                "no agent is large enough: a task needs {least}, the largest agent has {largest}; \
                 ask for less with --cpus and --mem"
            );
            let why = match largest.is_empty() {
                true => "no agent lends anything; one does with skep agent --revocable".into(),
                false => why,
            };
            return Err(Sentence(why).into());
        }
        tokio::time::sleep(AGENTS_INTERVAL).await;
    }
}

/// What tasks on these terms could use of an agent that is empty.
fn usable(agent: view::AgentView, terms: Terms) -> Option<Resources> {
    let has: Resources = agent.resources.try_into().ok()?;
    let lends: Resources = agent.revocable.try_into().ok()?;
    Some(batch::usable(&has, &lends, terms))
}

fn capabilities(wanted: &args::Wanted) -> BTreeSet<String> {
    let words = [("revocable", wanted.revocable), ("region_aware", wanted.any_region)];
    words.into_iter().filter(|(_, has)| *has).map(|(word, _)| word.to_owned()).collect()
}

fn wishes(args: &args::Run) -> BTreeMap<Role, Wishes> {
    let group = args.wanted.constraints.clone();
    let wishes = Wishes { groups: vec![group], ..Wishes::default() };
    let is_stated = !args.wanted.constraints.is_empty();
    is_stated.then(|| (args.role.clone(), wishes)).into_iter().collect()
}

/// Runs the framework and collects what comes of it, until all is shown.
async fn execute<'a>(
    cluster: &Cluster,
    args: &args::Run,
    job: Job,
    feeder: impl FnOnce(mpsc::UnboundedReceiver<TaskKey>) -> Feeder<'a>,
) -> Result<Collected> {
    let (tell, told) = mpsc::unbounded_channel();
    let (tell_running, running) = mpsc::unbounded_channel();
    let feeder = feeder(running);
    let (order, orders) = mpsc::unbounded_channel();
    let info = FrameworkInfo {
        name: args.name.clone().unwrap_or_else(|| format!("run {}", job.id)),
        role: args.role.clone(),
        capabilities: capabilities(&args.wanted),
        wishes: wishes(args),
        failover_timeout: args.bond.failover_timeout.0,
        ..FrameworkInfo::default()
    };
    let collector = Collector::new(cluster, &job, args, told, order.clone());
    let fitting = Fitting::of(&job.group);
    let id = job.id.clone();
    let job = job.named(id);
    job.check().map_err(|fault| Sentence(fault.to_string()))?;
    let mut scheduler = scheduler::scheduler(job, tell, orders, tell_running);
    let waker = cluster.waker();
    let collecting = async {
        let fed = feeder.fed;
        let mut feeding = pin!(feeder.run());
        let collected = tokio::select! {
            collected = collector.run() => collected,
            Err(failure) = find_room(cluster, &args.role, &fitting) => Err(failure),
            Err(failure) = &mut feeding => Err(failure),
            signal = told_to_end() => Err(signal.failure()),
        };
        if collected.is_ok() {
            tokio::select! {
                _ = has_all(fed) => {}
                _ = feeding => {}
            }
        }
        // The scheduler is gone only if the master refused it, which its own end says.
        let _ = order.send(Order::Stop);
        waker.wake();
        collected
    };
    // The scheduler ends with its run, so that the collector hears of a run that was refused.
    let running = async move { cluster.run(info, &mut scheduler).await };
    let (ending, collected) = tokio::join!(running, collecting);
    foreground::see_off(ending)?;
    collected
}

/// Whether people watch stderr.
fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}
