//! From a configuration to a running master.

use crate::{
    authority::{self, SharedError},
    blobs::Blobs,
    copies::Copies,
    http,
    reign::{Court, Electorate, EndError, Reign, accept},
};
use skep_master_core::{Effect, Policy, Record};
use skep_protocol::operator::PeerKind;
use skep_shell::{Journal, OpenError, Parcel, Store};
use skep_store::Etcd;
use skep_transport::{
    Authority, ClusterName, FileError, Identity, Listener, PeerName, SetupError, TlsListener,
};
use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// How many ports to try that are free for UDP, until one is free for TCP too.
const BIND_TRIES_MAX: u32 = 16;

/// What a master is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on, with UDP for skep and with TCP for HTTP; port 0 takes one that is
    /// free for both.
    pub listen: SocketAddr,
    /// What others reach it at, host:port; what it listens on if nothing is said.
    pub advertise: Option<String>,
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
    /// Authority and records in etcd, which several masters share; blobs in a folder.
    Shared(Shared),
}

/// What masters that share an etcd are told.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The folder of blobs, which is made if it is not there.
    pub folder: PathBuf,
    /// Where the records are.
    pub etcd: Etcd,
    /// The file of the key that opens the authority in etcd.
    pub key: PathBuf,
    /// How long a leader that is not heard of leads: what a failover takes, about.
    pub lease: Duration,
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
    /// The authority in etcd cannot be had.
    #[error(transparent)]
    Shared(#[from] SharedError),
    /// The records cannot be read, or another master has them open.
    #[error(transparent)]
    Records(#[from] OpenError),
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] SetupError),
}

/// What the supervisor's certificate calls it.
const SUPERVISOR: &str = "supervisor";

/// When a master leads.
#[derive(Clone, Debug)]
pub struct Leads(watch::Receiver<Option<Reign>>);

impl Leads {
    /// Waits until the master leads. False: it has ended.
    pub async fn begun(&mut self) -> bool {
        self.0.wait_for(Option::is_some).await.is_ok()
    }

    /// Waits until it leads no more, or has ended.
    pub async fn over(&mut self) {
        // A master that has ended leads no more.
        let _ = self.0.wait_for(Option::is_none).await;
    }
}

/// A running master.
#[derive(Debug)]
pub struct Master {
    address: SocketAddr,
    advertised: String,
    operator: Identity,
    supervisor: Identity,
    reigns: watch::Receiver<Option<Reign>>,
    stop: CancellationToken,
    shell: JoinHandle<Result<(), EndError>>,
    accepting: JoinHandle<()>,
    http: JoinHandle<()>,
}

impl Master {
    /// Starts a master.
    ///
    /// # Errors
    /// [`StartError`] if its folder or its address cannot be used.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let Opened { records, authority, blobs } = open(&config.keep).await?;
        let cluster = authority.cluster().clone();
        let own = |kind, id: &str| {
            let name = PeerName::new(cluster.clone(), kind, id).expect("a plain name");
            authority.issue_own(&name)
        };
        let operator = own(PeerKind::Operator, "local");
        let supervisor = own(PeerKind::Framework, SUPERVISOR);
        let own_master = own(PeerKind::Master, "master");
        let (listener, http, address) = bind(config.listen, &own_master)?;
        let advertised = config.advertise.unwrap_or_else(|| reachable(address));

        let stop = CancellationToken::new();
        let (throne, reigns) = watch::channel(None);
        let standing = listener.standing();
        let http = http::serve(http, reigns.clone(), standing.clone(), stop.clone());
        let http = tokio::spawn(http);
        let blobs = Arc::new(blobs);
        let copies = match &records {
            Records::Own(..) => None,
            Records::Shared(Shared { etcd, .. }) => {
                let (etcd, address) = (etcd.clone(), advertised.clone());
                let copies = Copies::new(etcd, address, &own_master, blobs.clone())?;
                Some(Arc::new(copies))
            }
        };
        if let Some(copies) = copies.clone() {
            let stop = stop.clone();
            tokio::spawn(async move { stop.run_until_cancelled(copies.attend()).await });
        }
        let court = Court {
            blobs,
            copies: copies.clone(),
            authority: Arc::new(authority),
            policy: config.policy,
            throne,
            stop: stop.clone(),
        };
        let shell = match records {
            Records::Own(journal, records) => {
                let crowned = court.crown(journal, records, None, BTreeSet::new());
                let crowned = crowned.map_err(|source| folder_error(&config.keep, source))?;
                tokio::spawn(async move { court.lead(crowned).await })
            }
            Records::Shared(Shared { etcd, lease, .. }) => {
                standing.stand_by(String::new());
                let address = advertised.clone();
                tokio::spawn(court.stand(Electorate { etcd, address, lease, standing }))
            }
        };
        let accepting = tokio::spawn(accept(listener, reigns.clone(), copies, stop.clone()));
        tracing::info!(%address, %cluster, "master listens");
        Ok(Self { address, advertised, operator, supervisor, reigns, stop, shell, accepting, http })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What others reach it at, host:port.
    pub fn advertised(&self) -> &str {
        &self.advertised
    }

    /// An identity of the operator of this machine, for the commands of its user.
    pub fn operator(&self) -> &Identity {
        &self.operator
    }

    /// An identity of the supervisor of hosted schedulers that stands beside this master.
    pub fn supervisor(&self) -> &Identity {
        &self.supervisor
    }

    /// Tells when this master leads.
    pub fn leads(&self) -> Leads {
        Leads(self.reigns.clone())
    }

    /// Waits until the master ends by itself, which it does only if its store fails.
    ///
    /// # Errors
    /// [`EndError`] from the store.
    ///
    /// # Panics
    /// If its loop panicked, which is a fault of ours.
    pub async fn ended(&mut self) -> Result<(), EndError> {
        (&mut self.shell).await.expect("the master's loop does not panic")
    }

    /// Stops it: peers are told, and connect again to whoever listens next.
    pub async fn stop(self) {
        self.stop.cancel();
        // Only a panic of a loop, already printed, would show here.
        let _ = self.accepting.await;
        let _ = self.http.await;
        let _ = self.shell.await;
    }
}

/// Listens with UDP and TCP at the same port.
fn bind(
    listen: SocketAddr,
    identity: &Identity,
) -> Result<(Listener, TlsListener, SocketAddr), SetupError> {
    let mut tries = if listen.port() == 0 { BIND_TRIES_MAX } else { 1 };
    loop {
        tries -= 1;
        let udp = Listener::bind(listen, identity)?;
        let unusable = |source| SetupError::Socket { address: listen, source };
        let address = udp.local_addr().map_err(unusable)?;
        match TlsListener::bind(address, identity) {
            Ok(tcp) => return Ok((udp, tcp, address)),
            Err(error) if tries == 0 => return Err(error),
            // The port that was free for UDP is taken for TCP.
            Err(_) => {}
        }
    }
}

/// What a master finds where it keeps things.
struct Opened {
    records: Records,
    authority: Authority,
    blobs: Blobs,
}

enum Records {
    Own(Journal<Parcel<Effect>>, Vec<Record>),
    Shared(Shared),
}

async fn open(keep: &Keep) -> Result<Opened, StartError> {
    let error = |source| folder_error(keep, source);
    let make = |folder: &Path| std::fs::create_dir_all(folder).map_err(error);
    let blobs = |folder: &Path| Blobs::open(&folder.join("blobs")).map_err(error);
    Ok(match keep {
        Keep::Nothing => {
            let (journal, records) = Journal::open(&Store::Memory)?;
            let authority = Authority::create(&ClusterName::random());
            let blobs = Blobs::temporary().map_err(error)?;
            Opened { records: Records::Own(journal, records), authority, blobs }
        }
        Keep::Folder(folder) => {
            make(folder)?;
            // First of all: the records also keep a second master off the folder.
            let (journal, records) = Journal::open(&Store::File(folder.join("master.redb")))?;
            let authority = authority::alone(&folder.join("authority.pem"))?;
            let records = Records::Own(journal, records);
            Opened { records, authority, blobs: blobs(folder)? }
        }
        Keep::Shared(shared) => {
            make(&shared.folder)?;
            let (etcd, key) = (shared.etcd.clone(), shared.key.clone());
            let authority = move || authority::shared(&etcd, &key);
            let authority = tokio::task::spawn_blocking(authority).await;
            let authority = authority.expect("reading the authority does not panic")?;
            let records = Records::Shared(shared.clone());
            Opened { records, authority, blobs: blobs(&shared.folder)? }
        }
    })
}

fn folder_error(keep: &Keep, source: io::Error) -> StartError {
    let path = match keep {
        Keep::Folder(path) => path.clone(),
        Keep::Shared(shared) => shared.folder.clone(),
        Keep::Nothing => std::env::temp_dir(),
    };
    StartError::Folder { path, source }
}

/// How others on the network name a listening address: one that means "all of this machine" cannot
/// be dialled, the machine's name can.
fn reachable(listening: SocketAddr) -> String {
    if listening.ip().is_unspecified() {
        let name = rustix::system::uname();
        return format!("{}:{}", name.nodename().to_string_lossy(), listening.port());
    }
    listening.to_string()
}
