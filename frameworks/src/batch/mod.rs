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
//!
//! More tasks are launched on an offer than fit, and into its allocation as soon as half of those
//! have ended, without another offer: as long as they are alike, and nothing goes before them.
//!
//! Of a launched task that takes far longer than the others of its group a copy is launched, if
//! the job wants that and no ready task could use the room. The first of the two that ends well
//! does the task; one that is left, of this or of a job that was stopped, is remembered until it
//! has ended, and told to end again on each connection.

mod active;
mod files;
mod fitting;
mod job;
mod keeping;
mod launching;
mod meaning;
mod orders;
mod progress;
mod rooms;
mod scheduler;
mod stragglers;

pub use active::Place;
pub use files::{FailedAttempt, FailedOutput, FileInput, FileSource, JobOutput};
pub use fitting::{Fitting, usable};
pub use job::{Fault, Group, Job, Own};
pub use orders::{GroupReport, Order, Report, Standing};
pub use scheduler::{Batch, Hold, Mode};
pub use stragglers::Stragglers;

#[cfg(test)]
mod tests;
