//! The shell of an agent: sockets, processes, files and clock around [`skep_agent_core`].
//!
//! ```text
//! session, modules, executors --inputs--> shell (owns the core) --effects--> barrier
//!     ^                                                                         |
//!     +---------------------- orders <------------------------------------------+
//! ```
//! Always holds: the agent never links the engine that runs guests; it starts `skep executor` and
//! `skep compile` as processes. What it writes below its folders goes through directory handles
//! that no name can leave.

mod bounds;
mod config;
mod groups;
mod machine;
mod run;

mod barrier;
mod shell;

mod outbox;
mod outputs;
mod session;

mod artifacts;
mod compiler;
mod delivery;
mod executors;
mod feeds;
mod folders;
mod group;
mod hosting;
mod launch;
mod logs;
mod modules;
mod sandboxes;
mod volumes;

pub use bounds::{Bound, Bounds, By};
pub use config::{AtStop, Config, Records, Sandbox, SecondWall};
pub use groups::{Place, Version};
pub use machine::{OfferError, machine_resources};
pub use run::{RunError, run};
pub use skep_agent_core::{HostDirs, NetRule, Volume};
