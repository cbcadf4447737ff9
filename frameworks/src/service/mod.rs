//! Services: so many copies of a program, kept running.
//!
//! ```text
//! offer -> launched -> running -> healthy --ended--> (back-off) another copy
//! new version: one copy more, until it is healthy; then one old copy less; and so on
//! ```
//! Always holds: while a service is replaced, no healthy copy is ended that is needed; each copy is
//! a task of its own, kept before it is launched; copies are spread over the values of an attribute
//! as evenly as the offers allow.

mod copies;
mod orders;
mod scheduler;

pub use orders::{CopyReport, Order, Report, Spec};
pub use scheduler::Services;

#[cfg(test)]
mod tests;
