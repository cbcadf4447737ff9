//! Everything that a guest may call: the folder to read for what crosses the sandbox wall.
//!
//! | file | question |
//! |---|---|
//! | `p1` | which functions of WASI preview 1 are there, and which price has each? |
//! | `price` | what does a host call cost, and when does its guest yield? |
//! | `files`, `names`, `directory`, `listing` | what does a call do to the guest's files? |
//! | `disk` | how much room do they take? |
//! | `wait`, `clock`, `random` | which time is it, and what is random? |
//! | `skep`, `framework`, `messages` | what is there besides WASI? |
//! | `transcript` | were two deterministic runs the same? |
//!
//! Always holds: a pointer or length that the guest made up gets an error code or a trap, never a
//! panic. Documented for authors of guests in `docs/guest-interface.md`.

pub(crate) mod clock;
pub(crate) mod directory;
pub(crate) mod disk;
mod errno;
pub(crate) mod files;
pub(crate) mod framework;
pub(crate) mod listing;
mod memory;
pub(crate) mod messages;
mod names;
mod p1;
pub(crate) mod price;
pub(crate) mod random;
pub(crate) mod skep;
pub(crate) mod transcript;
mod wait;

use crate::{
    guest::GuestState,
    precheck::{self, Provided},
};
use wasmtime::{Engine, Linker, Store};

/// All functions that a guest of `engine` may import.
///
/// # Errors
/// Only if two of them had the same name, which no input brings about.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    p1::add(&mut linker)?;
    skep::add(&mut linker)?;
    Ok(linker)
}

/// The functions of [`linker`] and their types, for checking a module before it is compiled.
///
/// # Errors
/// As [`linker`].
pub(crate) fn provided(engine: &Engine) -> wasmtime::Result<Provided> {
    let linker = linker(engine)?;
    // A linker tells its types only in a store, in which no guest ever runs.
    let mut store = Store::new(engine, GuestState::of_nobody());
    let all: Vec<_> = linker.iter(&mut store).collect();
    let functions = all.into_iter().filter_map(|(module, name, item)| {
        let ty = item.into_func()?.ty(&store);
        let key = (module.to_owned(), name.to_owned());
        Some((key, precheck::signature(ty.params(), ty.results())))
    });
    Ok(functions.collect())
}
