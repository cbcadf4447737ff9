//! The cores of master and agent in a simulated cluster: real decisions, simulated shells.
//!
//! | file | owns |
//! |---|---|
//! | `stories.rs` | histories that are told, each with its moral |
//! | `swarm.rs` | histories from seeds, by mixes of faults |
//! | `promises.rs`, `rest.rs` | what must hold, watched from outside; and where it all ends |
//! | `sim.rs`, `schedule.rs`, `random.rs`, `trace.rs` | the world: clock, chance, what happened |
//! | `network.rs`, `journal.rs`, `faults.rs` | what words and records travel through |
//! | `master.rs`, `agent.rs`, `barrier.rs` | the shells |
//! | `executor.rs`, `framework.rs` | those whom the cores speak with |

#![expect(clippy::print_stderr, reason = "a failure tells its history")]

mod stories;
mod swarm;

mod promises;
mod rest;

mod sim;

mod faults;
mod random;
mod schedule;
mod trace;

mod journal;
mod network;

mod agent;
mod barrier;
mod executor;
mod framework;
mod master;
