//! Where a cluster is kept, opened while no master runs on it: a folder, or etcd.
//!
//! Always holds: whoever has etcd open leads there, so that no master does meanwhile; and a
//! folder's records let in one process alone.

use crate::authority::{self, SharedError};
use skep_protocol::Digest;
use skep_shell::{ClusterStore, OpenError, Redb, Row, StoreError};
use skep_store::{Campaign, Etcd, EtcdError, Leadership};
use skep_transport::{Authority, FileError};
use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long the lead may last before it has to be renewed; it is.
const LEASE: Duration = Duration::from_secs(10);
/// Who leads meanwhile, as masters that look see it.
const KEEPER: &str = "";

/// Where a cluster keeps its records and its authority.
#[derive(Clone, Debug)]
pub enum Place {
    /// In the folder of one master.
    Folder(PathBuf),
    /// In etcd, the authority sealed with the key in a file.
    Etcd {
        /// The etcd.
        etcd: Etcd,
        /// The key's file.
        key: PathBuf,
    },
}

/// Why a cluster was not read, or not written.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// There is nothing in the folder.
    #[error("{path} is not there: is this the folder of a master?")]
    Nothing {
        /// What is missing.
        path: PathBuf,
    },
    /// There is a cluster already where it was to go.
    #[error("there is a cluster in {place} already: nothing is put on top of it")]
    Occupied {
        /// Where.
        place: String,
    },
    /// A master leads.
    #[error("a master leads, at {leader}: stop all masters first")]
    Led {
        /// Where it is.
        leader: String,
    },
    /// The folder cannot be made.
    #[error("{path} cannot be used as a folder of the master")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The records of the folder.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A store failed.
    #[error("the records cannot be moved")]
    Store(#[from] StoreError),
    /// Etcd failed.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    /// The authority.
    #[error(transparent)]
    Shared(#[from] SharedError),
    /// The authority's file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file cannot be put aside.
    #[error("{path} cannot be put aside")]
    Aside {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// What of a cluster is moved.
pub(crate) struct Cluster {
    pub(crate) rows: Vec<Row>,
    pub(crate) authority: Authority,
}

/// What is to happen to a cluster that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// It stays, and nothing is written.
    No,
    /// It goes.
    Yes,
}

/// A place that no master runs on until this is dropped.
pub(crate) enum Opened {
    /// Its records are open as soon as there are any.
    Folder {
        folder: PathBuf,
        store: Option<Redb>,
    },
    Etcd {
        etcd: Etcd,
        key: PathBuf,
        reign: Leadership,
    },
}

impl Place {
    /// Opens it. Blocks.
    pub(crate) fn open(&self) -> Result<Opened, PlaceError> {
        match self {
            Self::Folder(folder) => {
                let path = records_in(folder);
                let store = path.exists().then(|| Redb::open(&path)).transpose()?;
                Ok(Opened::Folder { folder: folder.clone(), store })
            }
            Self::Etcd { etcd, key } => match etcd.campaign(KEEPER, LEASE)? {
                Campaign::Elected(reign) => {
                    Ok(Opened::Etcd { etcd: etcd.clone(), key: key.clone(), reign })
                }
                Campaign::Standby { leader } => Err(PlaceError::Led { leader }),
            },
        }
    }
}

/// The file of a folder's records.
pub(crate) fn records_in(folder: &Path) -> PathBuf {
    folder.join("master.redb")
}

/// The file of a folder's authority.
pub(crate) fn authority_in(folder: &Path) -> PathBuf {
    folder.join("authority.pem")
}

impl Opened {
    /// All that is there. Blocks.
    pub(crate) fn take(&mut self) -> Result<Cluster, PlaceError> {
        let (rows, authority) = match self {
            Self::Folder { folder, store } => {
                let (path, pem) = (records_in(folder), authority_in(folder));
                let store = store.as_mut().ok_or(PlaceError::Nothing { path })?;
                if !pem.exists() {
                    return Err(PlaceError::Nothing { path: pem });
                }
                (store.read()?, Authority::load(&pem)?)
            }
            Self::Etcd { etcd, key, reign } => {
                if !authority::is_shared(etcd)? {
                    return Err(PlaceError::Nothing { path: etcd.place().into() });
                }
                let authority = authority::shared(etcd, key)?;
                (reign.store().read()?, authority)
            }
        };
        let row = |(key, value)| Row { key, value: Some(value) };
        Ok(Cluster { rows: rows.into_iter().map(row).collect(), authority })
    }

    /// Whether a cluster may be put there. Blocks.
    pub(crate) fn check(&self, force: Force) -> Result<(), PlaceError> {
        let (is_free, place) = match self {
            Self::Folder { folder, store } => {
                let is_free = store.is_none() && !authority_in(folder).exists();
                (is_free, folder.display().to_string())
            }
            Self::Etcd { etcd, reign, .. } => {
                let mut store = reign.store();
                let is_free = store.read()?.is_empty() && !authority::is_shared(etcd)?;
                (is_free, store.place())
            }
        };
        if is_free || force == Force::Yes { Ok(()) } else { Err(PlaceError::Occupied { place }) }
    }

    /// Puts a cluster there, all of its records at once and its authority last: a master that finds
    /// it in etcd finds all. Blocks.
    pub(crate) fn put(&mut self, cluster: Cluster, force: Force) -> Result<(), PlaceError> {
        self.check(force)?;
        match self {
            Self::Folder { folder, store } => {
                std::fs::create_dir_all(&*folder)
                    .map_err(|source| PlaceError::Folder { path: folder.clone(), source })?;
                let store = match store {
                    Some(store) => store,
                    none => none.insert(Redb::open(&records_in(folder))?),
                };
                let held = store.read()?;
                store.write(replacing(&held, cluster.rows))?;
                Ok(cluster.authority.save(&authority_in(folder))?)
            }
            Self::Etcd { etcd, key, reign } => {
                let mut store = reign.store();
                let held = store.read()?;
                store.write(replacing(&held, cluster.rows))?;
                authority::share(etcd, key, &cluster.authority)?;
                Ok(())
            }
        }
    }

    /// Tells the masters that share this place of a blob that one of them has.
    pub(crate) fn note_blob(&self, digest: &Digest) -> Result<(), PlaceError> {
        match self {
            Self::Folder { .. } => Ok(()),
            Self::Etcd { etcd, .. } => Ok(etcd.note_blob(&digest.hex())?),
        }
    }

    /// Lets masters lead again.
    pub(crate) fn close(self) {
        if let Self::Etcd { reign, .. } = self {
            reign.resign();
        }
    }
}

/// Rows that leave nothing of what was held before.
fn replacing(held: &[(String, Vec<u8>)], mut rows: Vec<Row>) -> Vec<Row> {
    let new: BTreeSet<&str> = rows.iter().map(|row| row.key.as_str()).collect();
    let old = held.iter().filter(|(key, _)| !new.contains(key.as_str()));
    let old: Vec<Row> = old.map(|(key, _)| Row::delete(key.clone())).collect();
    rows.extend(old);
    rows
}
