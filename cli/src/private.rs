//! A whole cluster in this process: a master and agents, joined over real QUIC, each guest in a
//! real executor process. Nothing of it is kept but the cache of compiled modules.

use crate::{
    args::{Client, Walls},
    client::connect,
    failure::{Failure, Result, Sentence},
    signals::unless_told_to_end,
};
use skep_agent::{Config, HostDirs, NetRule, Sandbox, Volume};
use skep_framework::Cluster;
use skep_master::{Keep, Master, Policy};
use skep_protocol::{
    Amount, ModuleLimits, Resources,
    operator::{PeerKind, Request, Response},
};
use skep_shell::OwnFolder;
use skep_transport::{Address, JoinToken, join};
use std::{
    collections::BTreeMap,
    fs::DirBuilder,
    io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// Nobody comes after a private cluster to take up its tasks.
const ALONE_MAX: Duration = Duration::from_secs(2);
/// What the cache of the user's private clusters may take: that of an agent by default.
const CACHE_BYTES_MAX: u64 = 8 << 30;
/// For how long the agents' token is valid: they use it at once.
const TOKEN_TTL: Duration = Duration::from_secs(60);

/// Does a command's work on the cluster that it names, or, if it names none, on a private one that
/// ends with it. What is said to end the command while it works is for the work to hear.
///
/// # Errors
/// That of the work; and of a private cluster, that it did not start, or lost its agent.
pub(crate) async fn on_its_cluster<T>(
    client: &Client,
    walls: &Walls,
    work: impl AsyncFnOnce(Cluster) -> Result<T>,
) -> Result<T> {
    if !client.masters().is_empty() {
        return work(unless_told_to_end(connect(client)).await??).await;
    }
    let private = Private::start(1, (Ipv4Addr::LOCALHOST, 0).into(), walls.mode());
    let private = unless_told_to_end(private).await??;
    let working = async { work(private.connect().await?).await };
    let result = tokio::select! {
        result = working => result,
        failure = private.failed() => Err(failure),
    };
    private.stop().await;
    result
}

/// A running private cluster.
pub(crate) struct Private {
    master: Master,
    agents: JoinSet<()>,
    /// Why an agent ended by itself, once one has.
    failed: watch::Sender<Option<String>>,
    stop: CancellationToken,
    work: OwnFolder,
    sandbox: Sandbox,
    /// What its tasks can be granted by name.
    volumes: BTreeMap<String, Volume>,
}

impl Private {
    /// Starts a cluster whose agents share this machine's resources.
    pub(crate) async fn start(agents: usize, listen: SocketAddr, sandbox: Sandbox) -> Result<Self> {
        Self::with_volumes(agents, listen, sandbox, BTreeMap::new()).await
    }

    /// As [`Private::start`]; tasks can be granted these folders by name.
    pub(crate) async fn with_volumes(
        agents: usize,
        listen: SocketAddr,
        sandbox: Sandbox,
        volumes: BTreeMap<String, Volume>,
    ) -> Result<Self> {
        let work = OwnFolder::new("").map_err(no_temporary)?;
        let keep = Keep::Nothing;
        let policy = Policy::default();
        let config = skep_master::Config { listen, advertise: None, keep, policy };
        let master = Master::start(config).await?;
        let stop = CancellationToken::new();
        let failed = watch::Sender::new(None);
        let mut private =
            Self { master, agents: JoinSet::new(), failed, stop, work, sandbox, volumes };
        let token = private.agent_token(agents).await?;
        let each = split(&skep_agent::machine_resources(), agents);
        for number in 0..agents {
            private.start_agent(number, &token, each.clone()).await?;
        }
        Ok(private)
    }

    async fn agent_token(&self, agents: usize) -> Result<JoinToken> {
        let cluster = self.connect().await?;
        let uses = u32::try_from(agents).unwrap_or(u32::MAX);
        let request = Request::CreateToken { kind: PeerKind::Agent, uses, ttl: TOKEN_TTL };
        let answer = cluster.ask(request).await?;
        cluster.close().await;
        match answer {
            Response::CreatedToken { token, .. } => Ok(token.parse()?),
            _ => Err(Sentence("the master made no token".into()).into()),
        }
    }

    async fn start_agent(
        &mut self,
        number: usize,
        token: &JoinToken,
        resources: Resources,
    ) -> Result {
        let address = Address::from(self.address());
        let identity = join(std::slice::from_ref(&address), token, "private").await?;
        let work_dir = self.work.path().join(format!("agent-{number}"));
        let config = Config {
            cache_dir: match cache_dir() {
                Some(cache) => made(cache)?,
                None => work_dir.join("cache"),
            },
            work_dir,
            program: std::env::current_exe()?,
            resources: Some(resources),
            revocable: Resources::none(),
            region: None,
            zone: None,
            reserved: BTreeMap::new(),
            attributes: BTreeMap::new(),
            cache_bytes_max: CACHE_BYTES_MAX,
            module_limits: ModuleLimits::default(),
            host_dirs: HostDirs::Allowed,
            volumes: self.volumes.clone(),
            // Its operator is the one who launches. For the same reason executors stay who they
            // are: the user's own folders are the user's alone.
            network: vec![NetRule::Any],
            sandbox: self.sandbox,
            group: skep_agent::SecondWall::Absent,
            at_stop: skep_agent::AtStop::EndTasks,
            alone_max: ALONE_MAX,
            users: None,
            records: skep_agent::Records::Memory,
        };
        let running = skep_agent::run(config, vec![address], identity, self.stop.clone());
        let failed = self.failed.clone();
        self.agents.spawn(async move {
            if let Err(error) = running.await {
                failed.send_replace(Some(format!("{:#}", anyhow::Error::from(error))));
            }
        });
        Ok(())
    }

    /// Waits until an agent ends by itself: without it the cluster would wait for ever.
    pub(crate) async fn failed(&self) -> Failure {
        let mut failed = self.failed.subscribe();
        let why = failed.wait_for(Option::is_some).await.map(|why| why.clone());
        Sentence(why.ok().flatten().unwrap_or_else(|| "an agent ended".into())).into()
    }

    /// The master's address, as this machine reaches it.
    pub(crate) fn address(&self) -> SocketAddr {
        let mut address = self.master.address();
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        address
    }

    /// The master.
    pub(crate) fn master(&self) -> &Master {
        &self.master
    }

    /// A folder that is gone with the cluster.
    pub(crate) fn folder(&self) -> &Path {
        self.work.path()
    }

    /// A connection to it as its operator.
    pub(crate) async fn connect(&self) -> Result<Cluster> {
        let addresses = vec![self.address().into()];
        Ok(Cluster::connect(addresses, self.master.operator()).await?)
    }

    /// Ends the cluster: agents first, so that they can say what became of their tasks.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while self.agents.join_next().await.is_some() {}
        self.master.stop().await;
    }
}

/// An equal part of everything.
fn split(all: &Resources, parts: usize) -> Resources {
    let mut each = Resources::none();
    for (name, amount) in all.iter() {
        let part = amount.as_millis() / parts as u64;
        each = each.with(name, Amount::millis(part));
    }
    each
}

fn no_temporary(error: io::Error) -> Sentence {
    let folder = std::env::temp_dir();
    Sentence(format!(
        "the private cluster has no folder for its files: none can be made in {}: {error}; set \
         TMPDIR to a folder that you may write",
        folder.display()
    ))
}

/// The cache's folder, made if need be. What cannot be written is said before anything starts.
fn made(cache: PathBuf) -> Result<PathBuf> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&cache);
    match made.and_then(|()| tempfile::tempfile_in(&cache)) {
        Ok(_) => Ok(cache),
        Err(error) => {
            let cache = cache.display();
            let why = format!(
                "the cache of compiled modules cannot be written, {cache}: {error}; set \
                 SKEP_CACHE_DIR to a folder that you may write"
            );
            Err(Sentence(why).into())
        }
    }
}

/// Where blobs and compiled modules of this user outlive a private cluster:
/// `$SKEP_CACHE_DIR`, else `$XDG_CACHE_HOME/skep`, else `$HOME/.cache/skep`.
fn cache_dir() -> Option<PathBuf> {
    let set =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("SKEP_CACHE_DIR")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("skep")))
        .or_else(|| Some(set("HOME")?.join(".cache/skep")))
}
