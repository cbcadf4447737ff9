//! What the shells of master and agent share: the clock, and durable records with the effects that
//! wait for them.
//!
//! One rule holds for both: `Persist(record)` orders the effects behind it,
//! not the loop. [`Journal`] keeps it: the loop goes on handling inputs while a commit is under
//! way; what arrives meanwhile goes into the next commit (group commit, no fixed delay); effects
//! are released in order, each once all records before it are on disk.
//!
//! ```text
//! core effects -> Journal -> [rows]    -> one transaction at a time, on a thread of its own
//!                         -> [effects] -> released when the rows before them are durable
//! ```
//! [`OwnFolder`] is a temporary folder that no end of a process leaves behind.
//! [`Room`] bounds what messages between tasks and frameworks take of queues.
//! Deliberately absent: what a record means. A row is a key and JSON; a later row of a key
//! replaces the earlier one, so the file stays as small as the state.

mod clock;
mod file;
mod journal;
mod own_folder;
mod room;
mod store;
#[cfg(test)]
mod torn;
mod writer;

pub use clock::Clock;
pub use file::{OpenError, Redb};
pub use journal::{Journal, Store};
pub use own_folder::OwnFolder;
pub use room::{MESSAGES_BYTES_MAX, Parcel, Room};
pub use store::{ClusterStore, Row, StoreError, WriteError};
