//! Tasks that begin at times of day.
//!
//! ```text
//! slot is due --kept--> launched --ended--> (told)
//!    +--the last still runs: skipped, run beside it, or in its place
//! ```
//! Always holds: of each slot at most one task comes to run, whoever dies meanwhile: the slot is
//! kept as taken before its task is launched. A slot that nobody was there for is made up for, or
//! not, as the schedule says.

mod orders;
mod scheduler;
mod times;

pub use orders::{Missed, Order, Overlap, Report, Spec};
pub use scheduler::Cron;
pub use times::Times;

#[cfg(test)]
mod tests;
