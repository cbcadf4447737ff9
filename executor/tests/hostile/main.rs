//! Hostile guests, one sin each (`tests/guests/*.wat`): every one is stopped, for the right reason,
//! and none takes from its neighbours.
//!
//! One target for all of them, since each target links the engine once more. What proves which
//! limit stands in `docs/sandbox.md`; that its table is true of names and files is `table.rs`.

#[path = "../kit/mod.rs"]
mod kit;

mod dumps;
mod escape;
mod forge;
mod fuzz;
mod hoard;
mod inputs;
mod jailed;
mod messages;
mod modules;
mod names;
mod ordinary;
mod pace;
mod policies;
mod spin;
mod streams;
mod table;
mod traps;
