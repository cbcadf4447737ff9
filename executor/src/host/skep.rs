//! skep's own functions for guests: progress and result, signs of life, the notice to end, and the
//! state to go on from. Documented in `docs/guest-interface.md`.

use super::{
    memory::{bytes, range},
    price::{self, CHANGE, LOOK_UP},
};
use crate::guest::GuestState;
use skep_protocol::bounds::{CHECKPOINT_BYTES_MAX, PROGRESS_BYTES_MAX, RESULT_BYTES_MAX};
use std::{sync::Arc, time::Duration};
use wasmtime::{AsContextMut as _, Caller, Extern, Linker};

/// The module name of skep's own functions.
pub(crate) const SKEP: &str = "skep";

/// What those functions answer that are handed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Answer {
    Done = 0,
    OutOfBounds = 1,
    TooLarge = 2,
    NotUtf8 = 3,
    /// The task is not granted to speak as a framework.
    NotGranted = 4,
    /// The bytes are no call.
    NoCall = 5,
    /// There is no conversation with the master: subscribe first.
    NotSubscribed = 6,
    /// The clock is virtual: the run is to be the same each time.
    VirtualClock = 7,
    /// Too many messages have not left yet.
    TooMany = 8,
}

/// Adds skep's own functions.
///
/// # Errors
/// Only if two of them had the same name, which no input brings about.
pub(super) fn add(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.func_wrap_async(SKEP, "progress", |mut caller: Caller<'_, GuestState>, arguments| {
        let (done, total, pointer, length): (i64, i64, i32, i32) = arguments;
        Box::new(async move {
            price::enter(caller.as_context_mut(), LOOK_UP).await?;
            let answer = progress(&mut caller, done, total, pointer, length);
            price::leave(caller.as_context_mut(), LOOK_UP).await?;
            Ok(answer as i32)
        })
    })?;
    linker.func_wrap_async(SKEP, "result", |mut caller: Caller<'_, GuestState>, arguments| {
        let (pointer, length): (i32, i32) = arguments;
        Box::new(async move {
            price::enter(caller.as_context_mut(), LOOK_UP).await?;
            let answer = result(&mut caller, pointer, length);
            price::leave(caller.as_context_mut(), LOOK_UP).await?;
            Ok(answer as i32)
        })
    })?;
    add_policies(linker)?;
    super::framework::add(linker)?;
    super::messages::add(linker)
}

/// What a task's policies go by.
fn add_policies(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.func_wrap_async(SKEP, "alive", |mut caller: Caller<'_, GuestState>, (): ()| {
        Box::new(async move {
            price::enter(caller.as_context_mut(), LOOK_UP).await?;
            caller.data().life.sign();
            Ok(Answer::Done as i32)
        })
    })?;
    linker.func_wrap_async(
        SKEP,
        "cancelled",
        |mut caller: Caller<'_, GuestState>, arguments| {
            let (wait_millis,): (i64,) = arguments;
            Box::new(async move {
                price::enter(caller.as_context_mut(), LOOK_UP).await?;
                let wait = Duration::from_millis(u64::try_from(wait_millis).unwrap_or(0));
                Ok(i32::from(cancelled(caller.data_mut(), wait).await))
            })
        },
    )?;
    linker.func_wrap_async(
        SKEP,
        "checkpoint",
        |mut caller: Caller<'_, GuestState>, arguments| {
            let (pointer, length): (i32, i32) = arguments;
            Box::new(async move {
                price::enter(caller.as_context_mut(), CHANGE).await?;
                let answer = checkpoint(&mut caller, pointer, length);
                price::leave(caller.as_context_mut(), CHANGE).await?;
                Ok(answer as i32)
            })
        },
    )?;
    linker.func_wrap_async(SKEP, "restored", |mut caller: Caller<'_, GuestState>, arguments| {
        let (pointer, capacity): (i32, i32) = arguments;
        Box::new(async move {
            price::enter(caller.as_context_mut(), LOOK_UP).await?;
            let length = restored(&mut caller, pointer, capacity);
            price::leave(caller.as_context_mut(), LOOK_UP).await?;
            Ok(length)
        })
    })?;
    Ok(())
}

/// A run that is to be the same each time is not told, and does not wait: its clock is moved.
pub(crate) async fn cancelled(state: &mut GuestState, wait: Duration) -> bool {
    if let Some(clock) = &state.clock {
        clock.waited(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
        return false;
    }
    let life = Arc::clone(&state.life);
    life.noticed_within(wait).await
}

/// The host holds the checkpoint as long as the guest runs, so it counts as the guest's memory.
fn checkpoint(caller: &mut Caller<'_, GuestState>, pointer: i32, length: i32) -> Answer {
    match read(caller, pointer, length, CHECKPOINT_BYTES_MAX) {
        Ok(bytes) => match keep_checkpoint(caller.data_mut(), bytes) {
            true => Answer::Done,
            false => Answer::TooLarge,
        },
        Err(answer) => answer,
    }
}

/// Keeps the state to go on from, if the memory limit has room for it.
pub(crate) fn keep_checkpoint(state: &mut GuestState, bytes: Vec<u8>) -> bool {
    state.life.sign();
    state.limiter.release(state.checkpoint.len() as u64);
    let fits = state.limiter.hold(bytes.len() as u64);
    if fits {
        state.leave_checkpoint(bytes);
    } else {
        state.checkpoint.clear();
    }
    fits
}

/// The length of the state to go on from; copied if it fits. -1: it does not lie in the memory.
fn restored(caller: &mut Caller<'_, GuestState>, pointer: i32, capacity: i32) -> i32 {
    let length = i32::try_from(caller.data().checkpoint.len()).unwrap_or(i32::MAX);
    if length.cast_unsigned() > capacity.cast_unsigned() || length == 0 {
        return length;
    }
    let Some(memory) = caller.get_export("memory").and_then(Extern::into_memory) else {
        return -1;
    };
    let (memory, state) = memory.data_and_store_mut(caller);
    let Some(range) = range(memory, pointer, length) else { return -1 };
    memory[range].copy_from_slice(&state.checkpoint);
    state.meter.touched(state.checkpoint.len() as u64);
    length
}

fn progress(
    caller: &mut Caller<'_, GuestState>,
    done: i64,
    total: i64,
    pointer: i32,
    length: i32,
) -> Answer {
    let message = match read(caller, pointer, length, PROGRESS_BYTES_MAX) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| Answer::NotUtf8),
        Err(answer) => Err(answer),
    };
    match message {
        Ok(message) => {
            caller.data().progress(done.cast_unsigned(), total.cast_unsigned(), message);
            Answer::Done
        }
        Err(answer) => answer,
    }
}

/// The host holds the result until the guest has ended, so it counts as the guest's memory.
fn result(caller: &mut Caller<'_, GuestState>, pointer: i32, length: i32) -> Answer {
    match read(caller, pointer, length, RESULT_BYTES_MAX) {
        Ok(bytes) => match keep_result(caller.data_mut(), bytes) {
            true => Answer::Done,
            false => Answer::TooLarge,
        },
        Err(answer) => answer,
    }
}

/// Keeps a result, if the memory limit has room for it; an earlier one is gone.
pub(crate) fn keep_result(state: &mut GuestState, bytes: Vec<u8>) -> bool {
    state.limiter.release(state.result.len() as u64);
    state.result.clear();
    let fits = state.limiter.hold(bytes.len() as u64);
    if fits {
        state.result = bytes;
    }
    fits
}

pub(super) fn read(
    caller: &mut Caller<'_, GuestState>,
    pointer: i32,
    length: i32,
    max: usize,
) -> Result<Vec<u8>, Answer> {
    if length.cast_unsigned() as usize > max {
        return Err(Answer::TooLarge);
    }
    let memory = caller.get_export("memory").and_then(Extern::into_memory);
    let memory = memory.ok_or(Answer::OutOfBounds)?;
    let bytes = bytes(memory.data(&*caller), pointer, length).map(<[u8]>::to_vec);
    let bytes = bytes.ok_or(Answer::OutOfBounds)?;
    caller.data_mut().meter.touched(bytes.len() as u64);
    Ok(bytes)
}
