//! What an agent knows and decides. No sockets, no disk, no clock, no randomness.
//!
//! [`Agent`] takes one [`Input`] at a time and answers with [`Effect`]s for its shell to carry
//! out. The life of a task here:
//!
//! ```text
//! Launch -> queued -> preparing -> sent -> running -> ended -> forgotten
//!             |          |  (module, inputs,  | \       ^ |
//!             |          |   executor)        |  \      | +- its end is acknowledged
//!             |          |                    |   delivering, if it has outputs: `delivery`
//!             +----------+--------------------+- killed, recalled, lost: ended as well
//!                                   paused <--+--> running, if it is revocable: `preemption`
//! ```
//! Always holds: what a framework is told was recorded before, a task is recorded before it
//! starts, and no attempt of a task starts twice. [`Agent::check_invariants`] has the rest.

mod agent;

mod effect;
mod input;
mod layout;
mod overtaking;
mod policy;
mod record;

mod session;
mod turn;

mod launch;
mod preemption;
mod queue;
mod start;
mod tasks;

mod adoption;
mod cache;
mod delivery;
mod executors;
mod grants;
mod modules;
mod profile;
mod volumes;
mod waits;

mod state;
mod updates;

mod invariants;

#[cfg(test)]
mod tests;

pub use agent::Agent;
pub use cache::CacheFile;
pub use effect::{Effect, ExitReason};
pub use input::{CompileFailure, FetchFailure, Gone, Input};
pub use layout::Layout;
pub use overtaking::{Acceptance, Overtaking};
pub use policy::{HostDirs, NetRule, Policy, Volume};
pub use profile::{ExecutorKey, ExecutorRun, Network, Profile};
pub use record::{GuestEnd, Record};
