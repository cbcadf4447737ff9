//! Components: programs of WASI 0.2 (`wasi:cli/run`), with the limits that modules have.
//!
//! | file | question |
//! |---|---|
//! | `files` | what does a call do to the guest's files and the room they take? |
//! | `streams` | what moves through streams and waits, and what is charged for it? |
//! | `network` | which peers may it connect to, which names may it look up? |
//! | `world` | clocks and random numbers |
//! | `skep` | skep's own interfaces: progress, checkpoints, speaking as a framework |
//! | `admit` | which components are compiled, and what must a task grant them? |
//!
//! The work is wasmtime-wasi's; what a cluster needs stands around it, as in `host/` for preview 1.
//! Always holds: each crossing into the host costs fuel, by the call and by the byte, and never by
//! time, so that a component yields as often in host calls as when it computes. Deliberately
//! absent: `wasi:http`, and everything of WASI 0.3.

pub(crate) mod admit;
mod files;
pub(crate) mod network;
mod skep;
mod streams;
mod world;

pub(crate) use streams::FileStreams;

use crate::{
    guest::GuestState,
    host::price::{self, LOOK_UP, MOVE},
};
use wasmtime::{
    CallHook, CallHookHandler, Engine, Store, StoreContextMut,
    component::{HasSelf, Linker},
};
use wasmtime_wasi::{
    I32Exit, WasiCtxView, WasiView, async_trait,
    p2::{
        add_to_linker_async,
        bindings::{
            CommandPre, clocks::monotonic_clock, filesystem, random, sockets::ip_name_lookup,
        },
    },
};
use wasmtime_wasi_io::bindings::wasi::io;

/// What one call may make the host copy out of the guest. Programs write some kilobytes at once.
const CALL_BYTES_MAX: usize = 16 << 20;

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi.ctx()
    }
}

/// All functions that a component of `engine` may import.
///
/// # Errors
/// Only if two of them had the same name, which no input brings about.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    add_to_linker_async(&mut linker)?;
    let l = &mut linker;
    l.allow_shadowing(true);
    filesystem::types::add_to_linker::<_, HasSelf<GuestState>>(l, |state| state)?;
    io::streams::add_to_linker::<_, HasSelf<GuestState>>(l, |state| state)?;
    io::poll::add_to_linker::<_, HasSelf<GuestState>>(l, |state| state)?;
    monotonic_clock::add_to_linker::<_, HasSelf<GuestState>>(l, |state| state)?;
    random::random::add_to_linker::<_, HasSelf<GuestState>>(l, |state| state)?;
    random::insecure::add_to_linker::<_, HasSelf<GuestState>>(l, |state| state)?;
    ip_name_lookup::add_to_linker::<_, HasSelf<GuestState>>(l, |state| state)?;
    l.allow_shadowing(false);
    skep::add(l)?;
    Ok(linker)
}

/// Makes a store charge for every crossing into the host.
pub(crate) fn set_up(store: &mut Store<GuestState>) {
    store.set_hostcall_fuel(CALL_BYTES_MAX);
    store.call_hook_async(Toll);
}

/// Runs a component from its first instruction to its end.
pub(crate) async fn execute(
    store: &mut Store<GuestState>,
    program: &CommandPre<GuestState>,
) -> wasmtime::Result<()> {
    let command = program.instantiate_async(&mut *store).await?;
    let ended = command.wasi_cli_run().call_run(store).await?;
    ended.map_err(|()| I32Exit(1).into())
}

/// Takes the price of host calls. Growing a memory is one, too.
#[derive(Debug)]
struct Toll;

#[async_trait]
impl CallHookHandler<GuestState> for Toll {
    async fn handle_call_event(
        &self,
        store: StoreContextMut<'_, GuestState>,
        event: CallHook,
    ) -> wasmtime::Result<()> {
        match event {
            CallHook::CallingHost => price::enter(store, LOOK_UP).await,
            CallHook::ReturningFromHost => price::leave(store, MOVE).await,
            CallHook::CallingWasm | CallHook::ReturningFromWasm => Ok(()),
        }
    }
}
