//! The shell of the master: sockets, disk and clock around [`skep_master_core`].
//!
//! ```text
//! connection loops (peers, requests, http) --inputs--> shell (owns the core) --effects--> journal
//!        ^                                                                            |
//!        +--------------------------- outboxes <--------------------------------------+
//! ```
//! Always holds: the master never starts a task and never opens a guest's file; whoever is not
//! named by a certificate of this cluster can only join.

mod authority;
mod backup;
mod blobs;
mod copies;
mod http;
mod hub;
mod logs;
mod migrate;
mod outbox;
mod peers;
mod place;
mod reign;
mod requests;
mod shell;
mod start;

pub use authority::SharedError;
pub use backup::{BackupError, Header, WithBlobs, back_up, inspect, receive, restore};
pub use migrate::{Way, migrate};
pub use place::{Force, Place, PlaceError};
pub use reign::EndError;
pub use skep_master_core::Policy;
pub use skep_store::{Access, AccessError, Etcd, User};
pub use start::{Config, Keep, Leads, Master, Shared, StartError};
