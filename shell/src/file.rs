//! One redb file with one table of rows: the store of a process that is alone.

use crate::store::{ClusterStore, Row, StoreError};
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use std::path::{Path, PathBuf};

const TABLE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");

/// Why a store of records cannot be used.
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
    /// The rows cannot be read.
    #[error("the records in {place} cannot be read")]
    Read {
        /// The store.
        place: String,
        /// What is wrong.
        #[source]
        source: StoreError,
    },
    /// A row is no record of this version.
    #[error("{place} holds a record {key:?} that this version cannot read")]
    Record {
        /// The store.
        place: String,
        /// The row's key.
        key: String,
        /// What does not fit.
        #[source]
        source: serde_json::Error,
    },
}

/// An open file of records; while it is open no other process can open it.
#[derive(Debug)]
pub struct Redb {
    database: Database,
    path: PathBuf,
}

impl Redb {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// [`OpenError`] if it is in use or cannot be read.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let database = Database::create(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path: path.into() },
            other => OpenError::File { path: path.into(), source: Box::new(other.into()) },
        })?;
        Ok(Self { database, path: path.into() })
    }
}

impl ClusterStore for Redb {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn read(&mut self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        read(&self.database).map_err(failed)
    }

    fn write(&mut self, rows: Vec<Row>) -> Result<(), StoreError> {
        write(&self.database, rows).map_err(failed)
    }
}

fn failed(error: redb::Error) -> StoreError {
    StoreError::Failed(Box::new(error))
}

pub(crate) fn read(database: &Database) -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
    let reading = database.begin_read()?;
    let table = match reading.open_table(TABLE) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table?,
    };
    let mut rows = Vec::new();
    for row in table.iter()? {
        let (key, value) = row?;
        rows.push((key.value().to_owned(), value.value().to_owned()));
    }
    Ok(rows)
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
