//! Everything that a guest may call: the one file to read for what crosses the sandbox wall.
//!
//! Owns the two groups of imports: `wasi_snapshot_preview1`, from wasmtime-wasi with two functions
//! of our own in place of its, and `skep`, which a guest tells its progress and result. Always
//! holds: a pointer or length that the guest made up gets an error code or a trap, never a panic.
//! Documented for authors of guests in `docs/guest-interface.md`.

use crate::{
    guest::GuestState,
    outbox::Outbox,
    output::Output,
    precheck::{self, Provided},
    wasi::RANDOM_BYTES_MAX,
};
use skep_protocol::{
    bounds::{PROGRESS_BYTES_MAX, RESULT_BYTES_MAX},
    ids::{Attempt, FrameworkId, TaskId, TaskKey},
};
use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::yield_now;
use wasmtime::{
    CallHook, CallHookHandler, Caller, Engine, Extern, Linker, Memory, Store, StoreContextMut,
};
use wasmtime_wasi::{
    I32Exit, WasiCtxBuilder, async_trait, p1::add_to_linker_async,
    p2::bindings::random::random::Host as _, random::WasiRandomView as _,
};

/// The module name of WASI p1.
pub(crate) const WASI: &str = "wasi_snapshot_preview1";
/// The module name of skep's own functions.
pub(crate) const SKEP: &str = "skep";

/// WASI's number for success, and for an address outside of the guest's memory.
const ERRNO_SUCCESS: i32 = 0;
const ERRNO_FAULT: i32 = 21;

/// What `skep.progress` and `skep.result` answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
enum Answer {
    Done = 0,
    OutOfBounds = 1,
    TooLarge = 2,
    NotUtf8 = 3,
}

/// All functions that a guest of `engine` may import.
///
/// # Errors
/// Only if two of them had the same name and type, which no input brings about.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    add_to_linker_async(&mut linker, |state: &mut GuestState| &mut state.wasi)?;
    linker.allow_shadowing(true);
    linker.func_wrap(WASI, "proc_exit", proc_exit)?;
    linker.func_wrap_async(WASI, "random_get", |caller, (pointer, length): (i32, i32)| {
        Box::new(random_get(caller, pointer, length))
    })?;
    linker.func_wrap(SKEP, "progress", progress)?;
    linker.func_wrap(SKEP, "result", result)?;
    linker.allow_shadowing(false);
    Ok(linker)
}

/// The functions of [`linker`] and their types, for checking a module before it is compiled.
///
/// # Errors
/// As [`linker`].
pub(crate) fn provided(engine: &Engine) -> wasmtime::Result<Provided> {
    let linker = linker(engine)?;
    // A linker tells its types only in a store, in which no guest ever runs.
    let mut store = Store::new(engine, state_of_nobody());
    let all: Vec<_> = linker.iter(&mut store).collect();
    let functions = all.into_iter().filter_map(|(module, name, item)| {
        let ty = item.into_func()?.ty(&store);
        let key = (module.to_owned(), name.to_owned());
        Some((key, precheck::signature(ty.params(), ty.results())))
    });
    Ok(functions.collect())
}

fn state_of_nobody() -> GuestState {
    let framework = FrameworkId::new("nobody").expect("an id");
    let task = TaskId::new("nothing").expect("an id");
    let key = TaskKey { framework, task, attempt: Attempt::FIRST };
    let wasi = WasiCtxBuilder::new().build_p1();
    GuestState::new(key, 0, wasi, Output::new("/nowhere".into(), 0), Arc::new(Outbox::new()))
}

/// In place of wasmtime-wasi's, which takes codes above 125 for a fault of the guest.
fn proc_exit(code: i32) -> wasmtime::Result<()> {
    Err(I32Exit(code).into())
}

/// In place of wasmtime-wasi's, which would make all bytes in one step without yielding, and trap
/// above a limit.
async fn random_get(
    mut caller: Caller<'_, GuestState>,
    pointer: i32,
    length: i32,
) -> wasmtime::Result<i32> {
    let Some(memory) = memory(&mut caller) else { return Ok(ERRNO_FAULT) };
    let Some(range) = range(pointer, length) else { return Ok(ERRNO_FAULT) };
    if range.end > memory.data_size(&caller) {
        return Ok(ERRNO_FAULT);
    }
    for start in range.clone().step_by(RANDOM_BYTES_MAX) {
        let step = RANDOM_BYTES_MAX.min(range.end - start);
        let bytes = caller.data_mut().wasi.random().get_random_bytes(step as u64)?;
        memory.write(&mut caller, start, &bytes)?;
        if start + step < range.end {
            yield_now().await;
        }
    }
    Ok(ERRNO_SUCCESS)
}

fn progress(
    mut caller: Caller<'_, GuestState>,
    done: i64,
    total: i64,
    pointer: i32,
    length: i32,
) -> i32 {
    let message = match read(&mut caller, pointer, length, PROGRESS_BYTES_MAX) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| Answer::NotUtf8),
        Err(answer) => Err(answer),
    };
    match message {
        Ok(message) => {
            caller.data().progress(done.cast_unsigned(), total.cast_unsigned(), message);
            Answer::Done as i32
        }
        Err(answer) => answer as i32,
    }
}

fn result(mut caller: Caller<'_, GuestState>, pointer: i32, length: i32) -> i32 {
    match read(&mut caller, pointer, length, RESULT_BYTES_MAX) {
        Ok(bytes) => {
            caller.data_mut().result = bytes;
            Answer::Done as i32
        }
        Err(answer) => answer as i32,
    }
}

fn read(
    caller: &mut Caller<'_, GuestState>,
    pointer: i32,
    length: i32,
    max: usize,
) -> Result<Vec<u8>, Answer> {
    let range = range(pointer, length).ok_or(Answer::OutOfBounds)?;
    if range.len() > max {
        return Err(Answer::TooLarge);
    }
    let memory = memory(caller).ok_or(Answer::OutOfBounds)?;
    memory.data(&*caller).get(range).map(<[u8]>::to_vec).ok_or(Answer::OutOfBounds)
}

/// The bytes that a guest means: its addresses and lengths are unsigned, Wasm's types are not.
fn range(pointer: i32, length: i32) -> Option<Range<usize>> {
    let start = usize::try_from(pointer.cast_unsigned()).ok()?;
    let length = usize::try_from(length.cast_unsigned()).ok()?;
    Some(start..start.checked_add(length)?)
}

fn memory(caller: &mut Caller<'_, GuestState>) -> Option<Memory> {
    caller.get_export("memory").and_then(Extern::into_memory)
}

/// How long a guest may stay in host calls before others get their turn.
const HOST_SLICE: Duration = Duration::from_millis(1);

/// Makes a guest yield for the time it spends in host calls: they cost no fuel, so that a guest
/// that does nothing else would otherwise keep its worker thread.
#[derive(Debug)]
pub(crate) struct HostTime;

#[async_trait]
impl CallHookHandler<GuestState> for HostTime {
    async fn handle_call_event(
        &self,
        mut context: StoreContextMut<'_, GuestState>,
        event: CallHook,
    ) -> wasmtime::Result<()> {
        let host_time = &mut context.data_mut().host_time;
        match event {
            CallHook::CallingHost => host_time.entered = Some(Instant::now()),
            CallHook::ReturningFromHost => {
                let entered = host_time.entered.take();
                host_time.spent += entered.map_or(Duration::ZERO, |since| since.elapsed());
                if host_time.spent >= HOST_SLICE {
                    host_time.spent = Duration::ZERO;
                    yield_now().await;
                }
            }
            CallHook::CallingWasm | CallHook::ReturningFromWasm => {}
        }
        Ok(())
    }
}

/// The time that a guest has spent in host calls since it last yielded for it.
#[derive(Debug, Default)]
pub(crate) struct HostClock {
    entered: Option<Instant>,
    spent: Duration,
}
