//! WASI preview 1: every function, with its price.
//!
//! The work itself is wasmtime-wasi's. Around each call stands what a cluster needs and a library
//! cannot know: its price in fuel, the guest's limits on files and random bytes, the record of a
//! deterministic run. Always holds: no call of this module blocks for longer than the disk takes;
//! a pointer or length that the guest made up gets an error code or a trap, never a panic.

use super::{
    errno, files, listing, names, price,
    price::{CHANGE, LOOK_UP, MOVE, NAME, RANDOM},
    random, wait,
};
use crate::guest::GuestState;
use wasmtime::{AsContextMut as _, Caller, Extern, Linker, bail};
use wasmtime_wasi::{
    I32Exit,
    p1::wasi_snapshot_preview1::{self as abi, WasiSnapshotPreview1 as _},
};
use wiggle::GuestMemory;

/// The module name of WASI preview 1.
pub(crate) const WASI: &str = "wasi_snapshot_preview1";
/// What one call may make the host copy. A single write of a larger buffer fails in the guest with
/// `ENOMEM`, so this is no smaller than what programs write at once.
const CALL_BYTES_MAX: usize = 64 << 20;

/// One call under way: the guest's memory, and what belongs to the guest on our side.
pub(super) struct Call<'a> {
    pub(super) memory: &'a mut [u8],
    pub(super) state: &'a mut GuestState,
}

/// Registers functions: `name(arguments), kind, price`. Kind `now` and `later` go to wasmtime-wasi
/// as they are, by a plain or an asynchronous function; a path goes to a function of ours.
macro_rules! functions {
    ($linker:ident: $($name:ident($($arg:ident: $ty:ty),*), $kind:tt, $price:ident;)*) => {$(
        $linker.func_wrap_async(
            WASI,
            stringify!($name),
            |mut caller: Caller<'_, GuestState>, ($($arg,)*): ($($ty,)*)| {
                Box::new(async move {
                    price::enter(caller.as_context_mut(), $price).await?;
                    let call = call(&mut caller)?;
                    let errno = functions!(@ $kind, $name, call, $($arg),*)?;
                    price::leave(caller.as_context_mut(), $price).await?;
                    Ok(errno)
                })
            },
        )?;
    )*};
    (@ now, $name:ident, $call:ident, $($arg:ident),*) => {
        abi::$name(&mut $call.state.wasi, &mut GuestMemory::Unshared($call.memory), $($arg),*)
    };
    (@ later, $name:ident, $call:ident, $($arg:ident),*) => {
        abi::$name(&mut $call.state.wasi, &mut GuestMemory::Unshared($call.memory), $($arg),*).await
    };
    (@ $module:ident, $name:ident, $call:ident, $($arg:ident),*) => {
        {
            let mut call = $call;
            $module::$name(&mut call, $($arg),*).await
        }
    };
}

/// Adds all functions of preview 1.
///
/// # Errors
/// Only if two of them had the same name, which no input brings about.
pub(super) fn add(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    add_process(linker)?;
    add_files(linker)?;
    add_names(linker)?;
    linker.func_wrap(WASI, "proc_exit", proc_exit)?;
    // Unlike all others it pays for its bytes first: there may be a whole memory of them.
    linker.func_wrap_async(
        WASI,
        "random_get",
        |mut caller: Caller<'_, GuestState>, (pointer, length): (i32, i32)| {
            Box::new(async move {
                price::enter(caller.as_context_mut(), RANDOM).await?;
                let Some(range) = random::claim(&mut call(&mut caller)?, pointer, length)? else {
                    return Ok(errno::FAULT);
                };
                price::leave(caller.as_context_mut(), RANDOM).await?;
                random::draw(&mut call(&mut caller)?, range).await
            })
        },
    )?;
    Ok(())
}

fn add_process(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    functions! { linker:
        args_get(a: i32, b: i32), now, LOOK_UP;
        args_sizes_get(a: i32, b: i32), now, LOOK_UP;
        environ_get(a: i32, b: i32), now, LOOK_UP;
        environ_sizes_get(a: i32, b: i32), now, LOOK_UP;
        clock_res_get(a: i32, b: i32), now, LOOK_UP;
        clock_time_get(a: i32, b: i64, c: i32), now, LOOK_UP;
        poll_oneoff(a: i32, b: i32, c: i32, d: i32), wait, MOVE;
        proc_raise(a: i32), now, LOOK_UP;
        sched_yield(), now, LOOK_UP;
        sock_accept(a: i32, b: i32, c: i32), now, LOOK_UP;
        sock_recv(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32), now, LOOK_UP;
        sock_send(a: i32, b: i32, c: i32, d: i32, e: i32), now, LOOK_UP;
        sock_shutdown(a: i32, b: i32), now, LOOK_UP;
    }
    Ok(())
}

fn add_files(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    functions! { linker:
        fd_advise(a: i32, b: i64, c: i64, d: i32), later, MOVE;
        fd_allocate(a: i32, b: i64, c: i64), now, MOVE;
        fd_close(a: i32), files, MOVE;
        fd_datasync(a: i32), later, CHANGE;
        fd_fdstat_get(a: i32, b: i32), later, MOVE;
        fd_fdstat_set_flags(a: i32, b: i32), files, MOVE;
        fd_fdstat_set_rights(a: i32, b: i64, c: i64), now, LOOK_UP;
        fd_filestat_get(a: i32, b: i32), files, MOVE;
        fd_filestat_set_size(a: i32, b: i64), files, CHANGE;
        fd_filestat_set_times(a: i32, b: i64, c: i64, d: i32), later, MOVE;
        fd_pread(a: i32, b: i32, c: i32, d: i64, e: i32), files, MOVE;
        fd_prestat_get(a: i32, b: i32), now, LOOK_UP;
        fd_prestat_dir_name(a: i32, b: i32, c: i32), now, LOOK_UP;
        fd_pwrite(a: i32, b: i32, c: i32, d: i64, e: i32), files, MOVE;
        fd_read(a: i32, b: i32, c: i32, d: i32), files, MOVE;
        fd_readdir(a: i32, b: i32, c: i32, d: i64, e: i32), listing, NAME;
        fd_renumber(a: i32, b: i32), files, MOVE;
        fd_seek(a: i32, b: i64, c: i32, d: i32), later, MOVE;
        fd_sync(a: i32), later, CHANGE;
        fd_tell(a: i32, b: i32), now, LOOK_UP;
        fd_write(a: i32, b: i32, c: i32, d: i32), files, MOVE;
    }
    Ok(())
}

fn add_names(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    functions! { linker:
        path_create_directory(a: i32, b: i32, c: i32), names, CHANGE;
        path_filestat_get(a: i32, b: i32, c: i32, d: i32, e: i32), names, NAME;
        path_filestat_set_times(
            a: i32, b: i32, c: i32, d: i32, e: i64, f: i64, g: i32
        ), names, NAME;
        path_link(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32), names, CHANGE;
        path_open(
            a: i32, b: i32, c: i32, d: i32, e: i32, f: i64, g: i64, h: i32, i: i32
        ), names, CHANGE;
        path_readlink(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32), names, NAME;
        path_remove_directory(a: i32, b: i32, c: i32), names, CHANGE;
        path_rename(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32), names, CHANGE;
        path_symlink(a: i32, b: i32, c: i32, d: i32, e: i32), names, CHANGE;
        path_unlink_file(a: i32, b: i32, c: i32), names, CHANGE;
    }
    Ok(())
}

/// In place of wasmtime-wasi's, which takes codes above 125 for a fault of the guest.
fn proc_exit(code: i32) -> wasmtime::Result<()> {
    Err(I32Exit(code).into())
}

/// Splits the guest's memory from its state.
fn call<'a>(caller: &'a mut Caller<'_, GuestState>) -> wasmtime::Result<Call<'a>> {
    let Some(memory) = caller.get_export("memory").and_then(Extern::into_memory) else {
        bail!("it calls WASI and exports no memory");
    };
    let (memory, state) = memory.data_and_store_mut(caller);
    state.wasi.set_hostcall_fuel(CALL_BYTES_MAX);
    Ok(Call { memory, state })
}
