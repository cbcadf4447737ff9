//! Jobs: groups of tasks that need each other's ends, arrays of tasks within a group.
//!
//! ```text
//! waiting --needs are done--> ready --offer--> launched --ended well--> done
//!                               ^                 +--failed, attempts left--+
//!                               +-------------------------------------------+
//! ```
//! Always holds: a task is launched only when all that it needs is done; each attempt is kept
//! before it is launched, so that another instance goes on where this one was; a job ends when no
//! task of it can begin any more. Ready tasks are taken by their job's priority, then in the order
//! of the jobs.

mod job;
mod orders;
mod progress;
mod scheduler;

pub use job::{Fault, Group, Job};
pub use orders::{GroupReport, Order, Report, Standing};
pub use scheduler::{Batch, Mode};

#[cfg(test)]
mod tests;
