//! What the master knows and decides. No sockets, no disk, no clock, no randomness.
//!
//! [`Master`] takes one [`Input`] at a time and answers with [`Effect`]s for its shell to carry
//! out, in order. The life of an offer and of the tasks launched on it:
//!
//! ```text
//! free -> offered -> accepted: an allocation with tasks -> occupied -> free again, bit by bit
//!            |                                                            as the tasks end
//!            +-> declined, expired, rescinded -> free again
//!
//! sent -> queued -> starting -> running -> ended -> remembered (once acknowledged)
//!   (the agent has recorded it)
//! ```
//! Always holds: the same inputs give the same effects; what must survive a restart changes only
//! by a [`Record`] that is made durable before anybody hears of it; every operation of an ACCEPT
//! is answered. [`Master::check_invariants`] has the rest.
//!
//! | file | owns |
//! |---|---|
//! | `master.rs` | where each input goes |
//! | `agents.rs`, `homecoming.rs` | who is there; what an agent brings when it comes back |
//! | `frameworks.rs`, `state.rs`, `inquiries.rs` | who subscribes; what they keep, and are asked |
//! | `hosting.rs` | which task may speak as a framework |
//! | `offers.rs`, `launch.rs` | what the allocator grants, offered; what is launched on it |
//! | `ledger/` | allocations, and what the allocator hears of their tasks |
//! | `tasks.rs`, `history.rs` | live tasks; those that ended last |
//! | `crowding.rs` | agents that have as many tasks as they may |
//! | `over.rs` | those that are over, and that agents may still have |
//! | `updates.rs`, `reconcile.rs`, `checkpoints.rs` | what tasks tell, are asked, and leave |
//! | `quota.rs`, `reservations.rs`, `volumes.rs` | what roles may have, and have set aside |
//! | `duty.rs`, `maintenance.rs`, `orders.rs`, `tokens.rs` | what operators decide |
//! | `record.rs`, `snapshot.rs` | what is durable |
//! | `home.rs`, `view.rs` | whom to ask for what a task wrote; what people are shown |
//! | `mint.rs`, `invariants.rs` | new ids; what always holds |
//!
//! Deliberately absent: tasks and offers are not recorded. After a restart agents bring their
//! tasks along, and all offers are made anew.

mod master;

mod effect;
mod input;
mod policy;
mod quota;
mod record;
mod snapshot;

mod agents;
mod checkpoints;
mod crowding;
mod duty;
mod frameworks;
mod history;
mod homecoming;
mod hosting;
mod inquiries;
mod launch;
mod ledger;
mod maintenance;
mod messages;
mod offers;
mod orders;
mod over;
mod reconcile;
mod removal;
mod reservations;
mod state;
mod tasks;
mod tokens;
mod updates;
mod volumes;

mod mint;
mod timers;

mod home;
mod invariants;
mod view;

#[cfg(test)]
mod tests;

pub use effect::{Answer, Effect};
pub use home::Home;
pub use input::{ConnectionId, Input, RequestId};
pub use master::Master;
pub use policy::Policy;
pub use record::{Change, Duty, Record, Reservation, Token};
