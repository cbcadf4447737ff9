//! The frameworks that come with skep, each an ordinary scheduler without privileges.
//!
//! - [`batch`]: jobs of arrays of tasks, in the order of what they need of each other.
//! - [`service`]: copies of one program, kept running and replaced without a gap.
//! - [`cron`]: tasks that begin at times of day.
//!
//! They compile to guests, which `skep framework run` hosts, and to programs of their own. What
//! people order of them goes as JSON by `skep job`, `skep service` and `skep cron`; what they must
//! not forget they keep at the master.

pub mod batch;
pub mod cron;
#[cfg(test)]
mod kit;
mod program;
pub mod service;
mod work;

pub use work::Work;

#[cfg(all(feature = "programs", target_family = "wasm"))]
pub use skep_guest::framework as skep;

#[cfg(all(feature = "programs", not(target_family = "wasm")))]
pub use skep_framework as skep;
