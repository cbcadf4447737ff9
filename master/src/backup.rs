//! A copy of all that a cluster must not lose, in one file, and a cluster made of it again.
//!
//! Always holds: a file under its final name is whole; nothing of a file is used before all of it
//! was found to be as it was written. The file holds the authority's private key as it is.

mod file;

pub(crate) use file::pack;

use crate::{
    blobs::Blobs,
    place::{Cluster, Force, Opened, Place, PlaceError},
};
use file::{Backup, Kind};
use serde::{Deserialize, Serialize};
use skep_master_core::Record;
use skep_protocol::{Digest, Time};
use skep_shell::Row;
use skep_transport::Authority;
use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};
use tokio::io::{AsyncRead, AsyncWriteExt as _};

/// Only its owner may read a backup.
const MODE: u32 = 0o600;
/// A backup that is not whole yet is called so behind its name.
const UNFINISHED: &str = ".part";

/// What a backup says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The cluster's name.
    pub cluster: String,
    /// The build that made it.
    pub build: String,
    /// When it was made, in microseconds since 1970.
    pub at: Time,
    /// How many records it holds.
    pub records: usize,
    /// How many blobs it holds.
    pub blobs: usize,
}

/// Whether a backup holds the blobs, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithBlobs {
    /// Records and authority alone: what was stored has to be stored again.
    No,
    /// All.
    Yes,
}

/// Why there is no backup, or nothing was restored from one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("{path} cannot be written")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is there already.
    #[error("{path} is there already: a backup replaces no file, name another")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It is no backup.
    #[error("{path} is no backup of a cluster")]
    NoBackup {
        /// The file.
        path: PathBuf,
    },
    /// A newer build wrote it.
    #[error("{path} has format {found}, and this build reads up to {newest}: use a newer skep")]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that this build reads.
        newest: u32,
    },
    /// It ends before its end.
    #[error("{path} is cut off: its end is missing; take another backup")]
    Truncated {
        /// The file.
        path: PathBuf,
    },
    /// Something in it has changed.
    #[error("{path} is damaged: it is not as it was written ({why}); take another backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// It holds what a newer build has recorded.
    #[error("{path} holds a record {key:?} that this version cannot read: use a newer skep")]
    Record {
        /// The file.
        path: PathBuf,
        /// The record's key.
        key: String,
        /// What does not fit.
        #[source]
        source: serde_json::Error,
    },
    /// A blob went away meanwhile.
    #[error("blob {digest} is not there any more: try again")]
    BlobGone {
        /// Which.
        digest: Digest,
    },
    /// The bytes did not come, or did not go.
    #[error("the backup was cut off")]
    Cut(#[from] io::Error),
    /// The folder of blobs.
    #[error("the blobs in {path} cannot be read or written")]
    Blobs {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The cluster cannot be read or written.
    #[error(transparent)]
    Place(#[from] PlaceError),
}

/// What goes into a backup.
pub(crate) struct Contents {
    pub(crate) rows: Vec<Row>,
    pub(crate) authority: String,
    pub(crate) cluster: String,
    pub(crate) blobs: Vec<Digest>,
}

/// Backs up a cluster that no master runs on. `folder` has its blobs.
///
/// # Errors
/// [`BackupError`]: then there is no such file.
pub async fn back_up(
    place: &Place,
    folder: &Path,
    blobs: WithBlobs,
    file: &Path,
) -> Result<Header, BackupError> {
    let place = place.clone();
    let cluster = on_thread(move || {
        let mut opened = place.open()?;
        let cluster = opened.take();
        opened.close();
        cluster
    });
    let cluster = cluster.await?;
    let (folder, cannot) = blobs_in(folder);
    let held = Blobs::open(&folder).map_err(&cannot)?;
    let contents = Contents {
        rows: cluster.rows,
        authority: cluster.authority.to_pem(),
        cluster: cluster.authority.cluster().to_string(),
        blobs: match blobs {
            WithBlobs::No => Vec::new(),
            WithBlobs::Yes => held.stored().map_err(&cannot)?,
        },
    };
    let mut unfinished = Unfinished::create(file)?;
    pack(&mut unfinished.to, &contents, &held).await?;
    unfinished.finish().await
}

/// Writes the backup that comes from a running master to a file.
///
/// # Errors
/// [`BackupError`]: then there is no such file.
pub async fn receive(
    from: &mut (impl AsyncRead + Unpin),
    file: &Path,
) -> Result<Header, BackupError> {
    let mut unfinished = Unfinished::create(file)?;
    tokio::io::copy(from, &mut unfinished.to).await?;
    unfinished.finish().await
}

/// A backup on its way to a file; gone if it is dropped before its end.
struct Unfinished {
    to: tokio::fs::File,
    path: PathBuf,
    file: PathBuf,
}

impl Unfinished {
    fn create(file: &Path) -> Result<Self, BackupError> {
        if file.exists() {
            return Err(BackupError::Exists { path: file.into() });
        }
        let mut path = OsString::from(file);
        path.push(UNFINISHED);
        let path = PathBuf::from(path);
        let cannot = |source| BackupError::Write { path: path.clone(), source };
        // A leftover may have other permissions: begin anew.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot(error)),
            _ => {}
        }
        let mut options = fs::OpenOptions::new();
        let to = options.write(true).create_new(true).mode(MODE).open(&path).map_err(cannot)?;
        Ok(Self { to: to.into(), path, file: file.into() })
    }

    /// Reads it all again before it gets its name.
    async fn finish(mut self) -> Result<Header, BackupError> {
        let (path, file) = (self.path.clone(), self.file.clone());
        let cannot = |source| BackupError::Write { path: path.clone(), source };
        self.to.flush().await.map_err(cannot)?;
        self.to.sync_all().await.map_err(cannot)?;
        let written = path.clone();
        let header = on_thread(move || inspect(&written)).await?;
        fs::rename(&path, &file).map_err(cannot)?;
        let folder = file.parent().filter(|folder| *folder != Path::new(""));
        let synced = fs::File::open(folder.unwrap_or(Path::new("."))).and_then(|f| f.sync_all());
        synced.map_err(cannot)?;
        Ok(header)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Under its final name already, if it was finished.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes a cluster of a backup where there is none. `folder` gets its blobs.
///
/// # Errors
/// [`BackupError`]: if the file is not whole, nothing was written.
pub async fn restore(
    file: &Path,
    place: &Place,
    folder: &Path,
    force: Force,
) -> Result<Header, BackupError> {
    let (file, place, folder) = (file.to_owned(), place.clone(), folder.to_owned());
    let restored = on_thread(move || {
        let backup = Backup::open(&file)?;
        let header = backup.header.clone();
        let mut opened = place.open()?;
        let restored = unpack(backup, &mut opened, &folder, force);
        opened.close();
        restored.map(|()| header)
    });
    restored.await
}

/// What a backup says about itself, once it was found to be whole. Blocks.
///
/// # Errors
/// [`BackupError`] if it is not.
pub fn inspect(file: &Path) -> Result<Header, BackupError> {
    Ok(Backup::open(file)?.header)
}

/// Runs what blocks on a thread that may.
async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("reading and writing a backup does not panic")
}

/// Blobs first: records that are found find theirs.
fn unpack(
    mut backup: Backup,
    opened: &mut Opened,
    folder: &Path,
    force: Force,
) -> Result<(), BackupError> {
    opened.check(force)?;
    let (folder, cannot) = blobs_in(folder);
    let blobs = Blobs::open(&folder).map_err(&cannot)?;
    let (mut rows, mut authority) = (Vec::new(), None);
    while let Some((kind, name)) = backup.next()? {
        match kind {
            Kind::Record => {
                let value = backup.bytes()?;
                let record = serde_json::from_slice::<Record>(&value);
                let path = || backup.path().to_owned();
                record.map_err(|source| {
                    let (path, key) = (path(), name.clone());
                    BackupError::Record { path, key, source }
                })?;
                rows.push(Row { key: name, value: Some(value) });
            }
            Kind::Authority => {
                let pem = String::from_utf8(backup.bytes()?).ok();
                let pem = pem.and_then(|pem| Authority::from_pem(&pem).ok());
                authority = Some(pem.ok_or_else(|| backup.damaged("its authority is none"))?);
            }
            Kind::Blob => {
                let digest = format!("sha256:{name}").parse::<Digest>();
                let digest = digest.map_err(|error| backup.damaged(error))?;
                blobs.store(&digest, &mut backup.reader()).map_err(&cannot)?;
                opened.note_blob(&digest)?;
            }
        }
    }
    let authority = authority.ok_or_else(|| backup.damaged("it has no authority"))?;
    Ok(opened.put(Cluster { rows, authority }, force)?)
}

fn blobs_in(folder: &Path) -> (PathBuf, impl Fn(io::Error) -> BackupError) {
    let path = folder.join("blobs");
    (path.clone(), move |source| BackupError::Blobs { path: path.clone(), source })
}
