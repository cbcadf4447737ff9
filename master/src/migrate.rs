//! Moving a cluster's records and authority between a folder and etcd, while no master runs.
//!
//! Always holds: what was moved is whole where it went before it is put aside where it was, and it
//! is put aside, so that no master starts on what is old. Blobs stay in the folder.

use crate::authority::{self, SharedError};
use skep_shell::{ClusterStore, OpenError, Redb, Row, StoreError};
use skep_store::{Campaign, Etcd, EtcdError, Leadership};
use skep_transport::{Authority, FileError};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long the move may lead before it has to be renewed; it is.
const LEASE: Duration = Duration::from_secs(10);
/// Who leads meanwhile, as masters that look see it.
const MOVER: &str = "";
/// What is put aside is called so behind its name.
const ASIDE: &str = "moved";

/// Where a cluster's records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From a folder to etcd: one master becomes several.
    ToEtcd,
    /// From etcd to a folder: several become one.
    ToFolder,
}

/// Why nothing was moved.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// There is nothing in the folder.
    #[error("{path} is not there: is this the folder of a master?")]
    Nothing {
        /// What is missing.
        path: PathBuf,
    },
    /// There is a cluster already where it was to go.
    #[error("there is a cluster in {place} already: nothing is moved on top of it")]
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

/// Moves a cluster; gives the number of its records. Blocks.
///
/// # Errors
/// [`MigrateError`] if it is not moved.
pub fn migrate(folder: &Path, etcd: &Etcd, key: &Path, way: Way) -> Result<usize, MigrateError> {
    let reign = match etcd.campaign(MOVER, LEASE)? {
        Campaign::Elected(reign) => reign,
        Campaign::Standby { leader } => return Err(MigrateError::Led { leader }),
    };
    let moved = match way {
        Way::ToEtcd => to_etcd(folder, etcd, key, &reign),
        Way::ToFolder => to_folder(folder, etcd, key, &reign),
    };
    reign.resign();
    moved
}

fn to_etcd(
    folder: &Path,
    etcd: &Etcd,
    key: &Path,
    reign: &Leadership,
) -> Result<usize, MigrateError> {
    let (records, pem) = (folder.join("master.redb"), folder.join("authority.pem"));
    for path in [&records, &pem] {
        if !path.exists() {
            return Err(MigrateError::Nothing { path: path.clone() });
        }
    }
    let mut from = Redb::open(&records)?;
    let authority = Authority::load(&pem)?;
    let mut to = reign.store();
    if authority::is_shared(etcd)? || !to.read()?.is_empty() {
        return Err(MigrateError::Occupied { place: to.place() });
    }
    let rows = rows(from.read()?);
    let count = rows.len();
    to.write(rows)?;
    // Last: a master that finds it finds all.
    authority::share(etcd, key, &authority)?;
    drop(from);
    put_aside(&records)?;
    put_aside(&pem)?;
    Ok(count)
}

fn to_folder(
    folder: &Path,
    etcd: &Etcd,
    key: &Path,
    reign: &Leadership,
) -> Result<usize, MigrateError> {
    let (records, pem) = (folder.join("master.redb"), folder.join("authority.pem"));
    if records.exists() || pem.exists() {
        return Err(MigrateError::Occupied { place: folder.display().to_string() });
    }
    if !authority::is_shared(etcd)? {
        return Err(MigrateError::Nothing { path: etcd.place().into() });
    }
    let authority = authority::shared(etcd, key)?;
    let rows = rows(reign.store().read()?);
    let count = rows.len();
    let mut to = Redb::open(&records)?;
    to.write(rows)?;
    authority.save(&pem)?;
    Ok(count)
}

fn rows(held: Vec<(String, Vec<u8>)>) -> Vec<Row> {
    held.into_iter().map(|(key, value)| Row { key, value: Some(value) }).collect()
}

fn put_aside(path: &Path) -> Result<(), MigrateError> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{ASIDE}"));
    fs::rename(path, aside).map_err(|source| MigrateError::Aside { path: path.into(), source })
}
