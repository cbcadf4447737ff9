//! From a configuration to a running master.

use crate::{
    blobs::Blobs,
    hub::Hub,
    peers,
    shell::{INBOX_MAX, Shell},
};
use skep_master_core::{ConnectionId, Input, Master as Core, Policy, Record};
use skep_protocol::operator::PeerKind;
use skep_shell::{Journal, OpenError, Store, WriteError};
use skep_transport::{Authority, ClusterName, FileError, Identity, Listener, PeerName, SetupError};
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// What a master is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// UDP address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where what it keeps is kept.
    pub keep: Keep,
    /// The times and bounds of its decisions.
    pub policy: Policy,
}

/// Where a master keeps its authority, records and blobs.
#[derive(Clone, Debug)]
pub enum Keep {
    /// In this folder, which is made if it is not there.
    Folder(PathBuf),
    /// Nowhere: the cluster ends with its process.
    Nothing,
}

/// Why a master did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A folder cannot be used.
    #[error("{path} cannot be used as a folder of the master")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The authority's file is damaged.
    #[error(transparent)]
    Authority(#[from] FileError),
    /// The records cannot be read, or another master has them open.
    #[error(transparent)]
    Records(#[from] OpenError),
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] SetupError),
}

/// A running master.
#[derive(Debug)]
pub struct Master {
    address: SocketAddr,
    operator: Identity,
    stop: CancellationToken,
    shell: JoinHandle<Result<(), WriteError>>,
    accepting: JoinHandle<()>,
}

impl Master {
    /// Starts a master.
    ///
    /// # Errors
    /// [`StartError`] if its folder or its address cannot be used.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        // First of all: the records also keep a second master off the folder.
        let (journal, records) = Journal::open::<Record>(&store(&config.keep)?)?;
        let (authority, blobs) = open(&config.keep)?;
        let core = Core::recover(records, config.policy, seed());
        let stored = blobs.stored().map_err(|source| folder_error(&config.keep, source))?;
        let cluster = authority.cluster().clone();
        let own = |kind, id: &str| {
            let name = PeerName::new(cluster.clone(), kind, id).expect("a plain name");
            authority.issue_own(&name)
        };
        let operator = own(PeerKind::Operator, "local");
        let listener = Listener::bind(config.listen, &own(PeerKind::Master, "master"))?;
        let address = listener.local_addr().map_err(|source| folder_error(&config.keep, source))?;

        let (inbox, events) = mpsc::channel(INBOX_MAX);
        let hub = Hub::new(inbox, blobs, authority);
        let mut shell = Shell::new(core, journal, events);
        for digest in stored {
            shell.handle(Input::BlobStored { digest });
        }
        let stop = CancellationToken::new();
        let shell = tokio::spawn(shell.run(stop.clone()));
        let accepting = tokio::spawn(accept(listener, hub, stop.clone()));
        tracing::info!(%address, %cluster, "master listens");
        Ok(Self { address, operator, stop, shell, accepting })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// An identity of the operator of this machine, for the commands of its user.
    pub fn operator(&self) -> &Identity {
        &self.operator
    }

    /// Waits until the master ends by itself, which it does only if its disk fails.
    ///
    /// # Errors
    /// [`WriteError`] from the disk.
    ///
    /// # Panics
    /// If its loop panicked, which is a fault of ours.
    pub async fn ended(&mut self) -> Result<(), WriteError> {
        (&mut self.shell).await.expect("the master's loop does not panic")
    }

    /// Stops it: peers are told, and connect again to whoever listens next.
    pub async fn stop(self) {
        self.stop.cancel();
        // Only a panic of a loop, already printed, would show here.
        let _ = self.accepting.await;
        let _ = self.shell.await;
    }
}

async fn accept(mut listener: Listener, hub: Hub, stop: CancellationToken) {
    loop {
        let connection = tokio::select! {
            () = stop.cancelled() => break,
            connection = listener.accept() => connection,
        };
        let Some(connection) = connection else { break };
        let id = ConnectionId(hub.number());
        tokio::spawn(peers::serve(connection, id, hub.clone()));
    }
    listener.close("the master is stopped").await;
}

fn store(keep: &Keep) -> Result<Store, StartError> {
    match keep {
        Keep::Nothing => Ok(Store::Memory),
        Keep::Folder(folder) => {
            std::fs::create_dir_all(folder).map_err(|source| folder_error(keep, source))?;
            Ok(Store::File(folder.join("master.redb")))
        }
    }
}

fn open(keep: &Keep) -> Result<(Authority, Blobs), StartError> {
    let error = |source| folder_error(keep, source);
    match keep {
        Keep::Nothing => {
            let authority = Authority::create(&ClusterName::random());
            Ok((authority, Blobs::temporary().map_err(error)?))
        }
        Keep::Folder(folder) => {
            let authority = authority(&folder.join("authority.pem"))?;
            Ok((authority, Blobs::open(&folder.join("blobs")).map_err(error)?))
        }
    }
}

fn authority(path: &Path) -> Result<Authority, FileError> {
    if path.exists() {
        return Authority::load(path);
    }
    let authority = Authority::create(&ClusterName::random());
    authority.save(path)?;
    Ok(authority)
}

fn folder_error(keep: &Keep, source: io::Error) -> StartError {
    let path = match keep {
        Keep::Folder(path) => path.clone(),
        Keep::Nothing => std::env::temp_dir(),
    };
    StartError::Folder { path, source }
}

/// A seed for the core's ids, different at each start.
fn seed() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}
