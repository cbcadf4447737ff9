//! Keeps schedulers running that are tasks of the cluster: the one framework that comes with every
//! master. It asks for resources in the role `skep`, launches each hosted scheduler on an offer
//! like any other task, and starts it again, elsewhere if need be, when it has died.
//!
//! ```text
//! skep framework run -> Order -> Supervisor -> task with the grant `framework`
//! ```
//! Always holds: of a hosted scheduler one attempt is wanted, and it is recorded before it is
//! launched; what is recorded survives masters. Deliberately absent: what the schedulers do, and
//! their connections, which are the agents' and the master's matter.

mod backoff;
mod hosted;
mod orders;
mod supervisor;

pub use hosted::{BUNDLE, Hosted, NAME, ROLE, bundle_text};
pub use orders::{Order, Report, State};
pub use supervisor::{ROLE_OF_SUPERVISOR, Supervisor, info};

#[cfg(test)]
mod tests;
