//! What several masters of one cluster share, in etcd: who leads, the records, the authority.
//!
//! ```text
//! <name>/leader          address of the leader; its create revision is the epoch of a reign
//! <name>/commit          the last commit, as <epoch>/<number>
//! <name>/record/<key>    the rows of the store, JSON as in redb
//! <name>/pending/<part>  a commit that is larger than a transaction may be
//! <name>/pending-parts   how many parts there are: once it stands, that commit is made
//! <name>/master/<address> a master that lives
//! <name>/blob/<digest>    a blob that most masters have
//! <name>/kept/<key>      what is written once: the sealed authority
//! ```
//! Always holds: each write compares the epoch in its own transaction, so etcd refuses one of a
//! leader that was followed by another, however late it arrives; and it compares the commit before
//! it, so one that was sent twice is made once. A leader counts on its lease only as long as its
//! own clock says that it cannot have ended.
//!
//! Deliberately absent: an etcd client library. The stable one wants gRPC and a compiler for it;
//! the gateway that every etcd has speaks JSON over HTTP/1.1, and ten calls are all we need.

mod access;
mod attendance;
mod election;
mod gateway;
mod records;

pub use access::{Access, AccessError, User};
pub use election::{Campaign, Leadership, Lease};
pub use gateway::{AddressError, Etcd, EtcdError};
pub use records::EtcdStore;
