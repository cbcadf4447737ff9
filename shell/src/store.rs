//! What a store of records is, whatever keeps it: rows in, rows out, all of a commit or nothing.
//!
//! Two keep them: one redb file for a process that is alone ([`crate::Redb`]), and etcd for
//! several masters (the crate `skep-store`). One suite of tests runs on both.
//! Deliberately absent: reads while the process runs. What is durable is also in memory.

use serde::Serialize;
use std::error::Error;

/// What is to stand under a key from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name; no two rows of a store share one.
    pub key: String,
    /// What stands there; none removes the row.
    pub value: Option<Vec<u8>>,
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

/// Keeps records for one process at a time: whoever has it open, or leads.
///
/// Its calls block, so they are made on a thread that may.
pub trait ClusterStore: Send + 'static {
    /// Where it is, for people.
    fn place(&self) -> String;

    /// All rows, in the order of their keys.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read whole.
    fn read(&mut self) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// Makes these rows durable, in their order, all or none. When it has returned they are.
    ///
    /// # Errors
    /// [`StoreError`]: whether they were written is then unknown. After
    /// [`StoreError::Deposed`] nothing will be written any more.
    fn write(&mut self, rows: Vec<Row>) -> Result<(), StoreError>;
}

/// Why a store did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, read or written.
    #[error("the store failed")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
    /// Another process leads by now, or may: this one must write nothing more.
    #[error("{why}")]
    Deposed {
        /// How that was noticed.
        why: String,
    },
}

/// A commit failed: what is in memory is ahead of the store, so its core must not go on.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The store is gone or full.
    #[error("the records could not be written to {place}: is the disk full or gone?")]
    Store {
        /// Where they were to be.
        place: String,
        /// What is wrong.
        #[source]
        source: StoreError,
    },
    /// Another process leads by now, or may.
    #[error("this master leads no longer: {why}")]
    Deposed {
        /// How that was noticed.
        why: String,
    },
}

impl WriteError {
    pub(crate) fn at(place: &str, source: StoreError) -> Self {
        match source {
            StoreError::Deposed { why } => Self::Deposed { why },
            source @ StoreError::Failed(_) => Self::Store { place: place.into(), source },
        }
    }
}
