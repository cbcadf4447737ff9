//! From a configuration to a running agent, and to its end.

use crate::{
    artifacts::Artifacts,
    barrier::Barrier,
    bounds::Bounds,
    compiler::{self, Compiler, CompilerError, Description},
    config::{Config, Sandbox, SecondWall},
    executors::Executors,
    feeds::Feeds,
    folders::{self, FolderError, Folders},
    group::Group,
    hosting::Hosting,
    launch::Launcher,
    logs::Logs,
    machine::{self, OfferError},
    modules::{self, Modules},
    sandboxes,
    session::Session,
    shell::{INBOX_MAX, Parts, Shell},
};
use skep_agent_core::{Agent as Core, ExitReason, HostDirs, Input, Policy, Record, Volume};
use skep_protocol::{Rejection, Resources, agent::AgentInfo, hello::Hello, task::Feature};
use skep_shell::{Journal, OpenError, WriteError};
use skep_transport::{Address, Dialer, Identity, SetupError};
use std::{
    collections::BTreeMap,
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::SystemTime,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Why an agent did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A folder cannot be made or opened.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// What earlier runs left cannot be listed.
    #[error("what earlier runs left in the agent's folders cannot be listed")]
    List(#[source] io::Error),
    /// The key that seals artifacts cannot be read or made.
    #[error("the key of the cache folder cannot be read or made")]
    Key(#[source] io::Error),
    /// The records cannot be read, or another agent has them open.
    #[error(transparent)]
    Records(#[from] OpenError),
    /// The skep binary cannot compile.
    #[error(transparent)]
    Compiler(#[from] CompilerError),
    /// More processors are offered than there are.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// No socket is to be had, or the identity does not serve.
    #[error(transparent)]
    Dialer(#[from] SetupError),
    /// The master will never admit it as it is.
    #[error("the master refuses this agent: {rejection}")]
    Refused {
        /// Why, and what to do.
        rejection: Rejection,
    },
    /// The operator wants all layers of the jail.
    #[error(
        "the sandbox is strict and this kernel lacks {layers}; allow it with --sandbox best-effort"
    )]
    Sandbox {
        /// Which layers.
        layers: String,
    },
    /// More is reserved than there is.
    #[error("{reserved} are reserved, and the agent has {resources}: reserve less")]
    Reserved {
        /// For all roles together.
        reserved: Resources,
        /// All that it offers.
        resources: Resources,
    },
    /// A volume is not there.
    #[error("the volume {name}, {path:?}, is no folder that can be opened")]
    Volume {
        /// Its name.
        name: String,
        /// Where it was to be.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// The disk failed while it ran.
    #[error(transparent)]
    Disk(#[from] WriteError),
}

/// The attribute that lists an agent's volumes, with commas between them.
const VOLUMES: &str = "volumes";

/// Runs an agent until `stop`, or until its master refuses it for good or its disk fails. When it
/// is stopped it kills its tasks and tells the master before it ends, or leaves them running, as
/// the configuration says. However else it ends, its tasks run on, and the next agent in its work
/// folder takes them up.
///
/// # Errors
/// [`RunError`]
pub async fn run(
    config: Config,
    master: Vec<Address>,
    identity: Identity,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let bounds = Bounds::here();
    let config = settled(config, &bounds)?;
    folders::make(&config.work_dir)?;
    // First of all: the records also keep a second agent off the folder.
    let (journal, records) = Journal::open::<Record>(&config.records)?;
    let compiler = compiler::describe(&config.program).await?;
    check_sandbox(config.sandbox, &compiler.missing_layers)?;
    let volumes = volumes(&config.volumes)?;
    let folders =
        Arc::new(Folders::open(&config.work_dir, &config.cache_dir, &compiler.fingerprint)?);
    let artifacts = Arc::new(Artifacts::new(folders.clone()).map_err(RunError::Key)?);
    let dialer = Dialer::new(&identity)?;

    let policy = policy(&config, volumes, &folders);
    let records: Vec<Record> = records.into_iter().collect();
    let about = info(&config, compiler);
    let (core, effects) = Core::recover(records.iter().cloned(), policy, about, run_number());
    let (inbox, events) = mpsc::channel(INBOX_MAX);
    let (link, connection) = watch::channel(None);
    let launcher = Launcher {
        program: config.program.clone(),
        sandbox: config.sandbox,
        users: config.users.clone(),
        folders: folders.clone(),
        group: second_wall(&config, identity.name().id(), &bounds),
        alone_max: config.alone_max,
        choosing: Mutex::default(),
    };
    let feeds = Feeds::default();
    let limits = config.module_limits;
    let compiler = Compiler { program: config.program.clone(), limits, sandbox: config.sandbox };
    let parts = Parts {
        hosting: Hosting::new(connection.clone(), inbox.clone()),
        modules: Modules::new(
            folders.clone(),
            artifacts.clone(),
            compiler,
            connection,
            inbox.clone(),
        ),
        executors: Executors::new(launcher, artifacts, feeds.clone(), &records, inbox.clone())
            .map_err(RunError::List)?,
        folders: folders.clone(),
        feeds: feeds.clone(),
    };
    let mut shell = Shell::new(core, effects, Barrier::new(journal), events, parts);
    for input in found(&folders).map_err(RunError::List)? {
        shell.handle(input);
    }

    let over = CancellationToken::new();
    let logs = Logs { folders, inbox: inbox.clone(), feeds };
    let session = Session { dialer, addresses: master, inbox, link, logs, over: over.clone() };
    let session = tokio::spawn(session.run());
    let ended = shell.run(stop, config.at_stop).await;
    over.cancel();
    // Only a panic of the loop, already printed, would show here.
    let _ = session.await;
    match ended? {
        ExitReason::Stopped => Ok(()),
        ExitReason::Refused { rejection } => Err(RunError::Refused { rejection }),
    }
}

fn policy(config: &Config, volumes: BTreeMap<String, Volume>, folders: &Folders) -> Policy {
    Policy {
        cache_bytes_max: config.cache_bytes_max,
        host_dirs: config.host_dirs,
        volumes,
        network: config.network.clone(),
        layout: folders.layout.clone(),
        ..Policy::default()
    }
}

/// The control group of the executors, or none: all limits hold without.
fn second_wall(config: &Config, agent: &str, bounds: &Bounds) -> Option<Group> {
    if config.group == SecondWall::Absent {
        return None;
    }
    let tasks = resources(config).plus(&config.revocable).mem_bytes();
    let made = Group::make(&format!("skep-{agent}"), tasks, &bounds.memory_bytes);
    made.inspect_err(|why| tracing::info!("no control group around executors: {why}")).ok()
}

fn check_reserved(config: &Config) -> Result<(), RunError> {
    let mut reserved = Resources::none();
    config.reserved.values().for_each(|part| reserved.add(part));
    let resources = resources(config);
    if resources.contains(&reserved) {
        return Ok(());
    }
    Err(RunError::Reserved { reserved, resources })
}

/// The configuration with what is offered, which fits into what there is.
fn settled(config: Config, bounds: &Bounds) -> Result<Config, RunError> {
    machine::check(bounds, config.resources.as_ref())?;
    let resources = config.resources.clone().unwrap_or_else(|| by_default(bounds));
    let config = Config { resources: Some(resources), ..config };
    check_reserved(&config)?;
    Ok(config)
}

/// What is offered if nobody says what.
fn by_default(bounds: &Bounds) -> Resources {
    let resources = bounds.resources();
    let Bounds { memory_bytes: memory, cpus } = bounds;
    tracing::info!(
        %resources,
        "offers what there is: {} bytes of memory, {}, and {} cpus, {}",
        memory.most, memory.by, cpus.most, cpus.by
    );
    resources
}

fn resources(config: &Config) -> Resources {
    config.resources.clone().unwrap_or_else(Resources::none)
}

fn check_sandbox(sandbox: Sandbox, missing: &[String]) -> Result<(), RunError> {
    if sandbox == Sandbox::Strict && !missing.is_empty() {
        return Err(RunError::Sandbox { layers: missing.join(" and ") });
    }
    for layer in missing {
        tracing::warn!("this kernel lacks a wall of the jail around executors: {layer}");
    }
    Ok(())
}

/// The volumes by the paths that they really have: what a symbolic link leads to is jailed, not
/// the link.
fn volumes(named: &BTreeMap<String, Volume>) -> Result<BTreeMap<String, Volume>, RunError> {
    let resolve = |(name, volume): (&String, &Volume)| {
        let path =
            fs::canonicalize(&volume.path).and_then(|path| fs::read_dir(&path).map(|_| path));
        let path = path.map_err(|source| {
            let (name, path) = (name.clone(), volume.path.clone());
            RunError::Volume { name, path, source }
        })?;
        Ok::<_, RunError>((name.clone(), Volume { path, access: volume.access }))
    };
    named.iter().map(resolve).collect()
}

fn found(folders: &Folders) -> io::Result<Vec<Input>> {
    for build in folders.forget_other_builds(SystemTime::now())? {
        tracing::info!(build, "removed the machine code of a build that nobody uses any more");
    }
    let mut inputs = modules::found(folders)?;
    inputs.extend(sandboxes::found(folders)?);
    Ok(inputs)
}

fn info(config: &Config, compiler: Description) -> AgentInfo {
    let mut enforces = compiler.enforces;
    if config.host_dirs == HostDirs::Refused {
        enforces.retain(|name| name != Feature::HostDir.name());
    }
    if config.network.is_empty() {
        enforces.retain(|name| name != Feature::Network.name());
    }
    let mut attributes = config.attributes.clone();
    if !config.volumes.is_empty() {
        // So that a framework can tell the offers where its tasks find their folders.
        let names: Vec<&str> = config.volumes.keys().map(String::as_str).collect();
        attributes.entry(VOLUMES.into()).or_insert_with(|| names.join(","));
    }
    AgentInfo {
        hostname: machine::hostname(),
        attributes,
        architecture: std::env::consts::ARCH.into(),
        enforces,
        resources: resources(config),
        build: Hello::ours().build,
        revocable: config.revocable.clone(),
        region: config.region.clone(),
        zone: config.zone.clone(),
        reserved: config.reserved.clone(),
    }
}

/// Tells two processes of one agent apart, so it is random.
fn run_number() -> u64 {
    uuid::Uuid::now_v7().as_u64_pair().1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_lacks_a_wall_is_refused_if_the_operator_wants_all() {
        let missing = ["landlock (Linux 6.2 or later)".to_owned()];
        let refused = check_sandbox(Sandbox::Strict, &missing).expect_err("a wall is missing");
        let why = refused.to_string();
        assert!(why.contains("lacks landlock") && why.contains("--sandbox best-effort"), "{why}");
        check_sandbox(Sandbox::BestEffort, &missing).expect("it is not asked for");
        check_sandbox(Sandbox::Strict, &[]).expect("nothing is missing");
    }
}
