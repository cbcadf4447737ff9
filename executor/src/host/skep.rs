//! skep's own functions for guests: progress and result. Documented in `docs/guest-interface.md`.

use super::{
    memory::bytes,
    price::{self, LOOK_UP},
};
use crate::guest::GuestState;
use skep_protocol::bounds::{PROGRESS_BYTES_MAX, RESULT_BYTES_MAX};
use wasmtime::{AsContextMut as _, Caller, Extern, Linker};

/// The module name of skep's own functions.
pub(crate) const SKEP: &str = "skep";

/// What `skep.progress` and `skep.result` answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
enum Answer {
    Done = 0,
    OutOfBounds = 1,
    TooLarge = 2,
    NotUtf8 = 3,
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
    Ok(())
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
        Ok(bytes) => {
            let state = caller.data_mut();
            state.limiter.release(state.result.len() as u64);
            state.result.clear();
            if !state.limiter.hold(bytes.len() as u64) {
                return Answer::TooLarge;
            }
            state.result = bytes;
            Answer::Done
        }
        Err(answer) => answer,
    }
}

fn read(
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
