//! One redb file with one table of rows, and the thread that writes it.

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
};
use tokio::sync::mpsc as to_loop;

const TABLE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");

/// What is to stand under a key from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    key: String,
    value: Option<Vec<u8>>,
}

impl Row {
    /// `record`, as JSON, stands under `key`.
    pub fn put(key: String, record: &impl Serialize) -> Self {
        let value =
            serde_json::to_vec(record).expect("records are plain data, which JSON can hold");
        Self { key, value: Some(value) }
    }

    /// Nothing stands under `key`.
    pub const fn delete(key: String) -> Self {
        Self { key, value: None }
    }
}

/// Why the file of records cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{path} is in use: another skep process runs on this folder; stop it or use another")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be opened or read.
    #[error("{path} cannot be opened")]
    File {
        /// The file.
        path: PathBuf,
        /// What the database says.
        #[source]
        source: Box<redb::Error>,
    },
    /// A row is no record of this version.
    #[error("{path} holds a record {key:?} that this version cannot read")]
    Record {
        /// The file.
        path: PathBuf,
        /// The row's key.
        key: String,
        /// What does not fit.
        #[source]
        source: serde_json::Error,
    },
}

/// A commit failed: what is in memory is ahead of the disk, so the process must end.
#[derive(Debug, thiserror::Error)]
#[error("the records could not be written to {path}: is the disk full or gone?")]
pub struct WriteError {
    path: PathBuf,
    #[source]
    source: Box<redb::Error>,
}

/// An open file: what it held, and its writer.
#[derive(Debug)]
pub(crate) struct File {
    commits: mpsc::Sender<Vec<Row>>,
    done: to_loop::UnboundedReceiver<Result<(), WriteError>>,
}

impl File {
    /// Opens or makes the file; gives the records it holds, by key.
    pub(crate) fn open<R: DeserializeOwned>(path: &Path) -> Result<(Self, Vec<R>), OpenError> {
        let database = Database::create(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path: path.into() },
            other => failed(path, other),
        })?;
        let records = read(&database, path)?;
        let (commits, batches) = mpsc::channel();
        let (finished, done) = to_loop::unbounded_channel();
        let path = path.to_owned();
        // A thread of its own: a commit sleeps in fsync, and never more than one is under way.
        thread::spawn(move || {
            for rows in batches {
                let written = write(&database, rows);
                let result = written
                    .map_err(|source| WriteError { path: path.clone(), source: Box::new(source) });
                if finished.send(result).is_err() {
                    return;
                }
            }
        });
        Ok((Self { commits, done }, records))
    }

    /// Begins a commit. The caller has none under way.
    pub(crate) fn begin(&self, rows: Vec<Row>) {
        // A writer that is gone shows in `finished`, where there is somebody to tell.
        let _ = self.commits.send(rows);
    }

    /// Waits for the commit under way. Cancel safe.
    pub(crate) async fn finished(&mut self) -> Result<(), WriteError> {
        self.done.recv().await.expect("the writer lives as long as its file")
    }
}

fn failed(path: &Path, error: impl Into<redb::Error>) -> OpenError {
    OpenError::File { path: path.into(), source: Box::new(error.into()) }
}

pub(crate) fn read<R: DeserializeOwned>(
    database: &Database,
    path: &Path,
) -> Result<Vec<R>, OpenError> {
    let reading = database.begin_read().map_err(|e| failed(path, e))?;
    let table = match reading.open_table(TABLE) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table.map_err(|e| failed(path, e))?,
    };
    let mut records = Vec::new();
    for row in table.iter().map_err(|e| failed(path, e))? {
        let (key, value) = row.map_err(|e| failed(path, e))?;
        let record = serde_json::from_slice(value.value()).map_err(|source| OpenError::Record {
            path: path.into(),
            key: key.value().into(),
            source,
        })?;
        records.push(record);
    }
    Ok(records)
}

pub(crate) fn write(database: &Database, rows: Vec<Row>) -> Result<(), redb::Error> {
    let writing = database.begin_write()?;
    {
        let mut table = writing.open_table(TABLE)?;
        for Row { key, value } in rows {
            match value {
                Some(value) => table.insert(key.as_str(), value.as_slice())?,
                None => table.remove(key.as_str())?,
            };
        }
    }
    writing.commit()?;
    Ok(())
}
