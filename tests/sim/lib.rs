//! The cores of master and agent, and the schedulers that come with skep, in a simulated cluster:
//! real decisions, simulated shells.
//!
//! | file | owns |
//! |---|---|
//! | `run.rs` | many seeds on all cores, and what is told of them |
//! | `swarm.rs`, `mix.rs` | histories from seeds, by mixes of faults |
//! | `jobs.rs`, `person.rs` | histories of jobs, services, schedules, and who orders them |
//! | `stories.rs` | histories that are told, each with its moral |
//! | `promises/`, `rest.rs` | what must hold, watched from outside; and where it all ends |
//! | `work/` | what was ordered and how far it is: nothing waits that could run |
//! | `sim.rs`, `schedule.rs`, `random.rs`, `trace.rs` | the world: time, chance, what happened |
//! | `network.rs`, `journal.rs`, `clock.rs`, `freeze.rs` | what words and records go through |
//! | `faults.rs` | what goes wrong |
//! | `master.rs`, `agent.rs`, `barrier.rs` | the shells |
//! | `executor.rs`, `guest.rs` | what runs on the nodes |
//! | `framework.rs` | frameworks that do all that the protocol allows |
//! | `shipped.rs` | the schedulers that come with skep, on the real driver |
//! | `reregister.rs` | a benchmark: a large cluster comes back to a fresh master |

pub mod reregister;
pub mod run;

mod jobs;
mod mix;
mod swarm;

#[cfg(test)]
mod found;
#[cfg(test)]
mod stories;

mod promises;
mod rest;
mod work;

mod sim;

mod faults;
mod freeze;
mod random;
mod schedule;
mod trace;

mod clock;
mod journal;
mod network;

mod agent;
mod barrier;
mod executor;
mod framework;
mod guest;
mod master;
mod person;
mod shipped;
