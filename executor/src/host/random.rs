//! Random bytes for preview 1: any number at a time, within the guest's limit.

use super::{errno, memory::range, p1::Call};
use crate::cpu::yield_now;
use std::ops::Range;
use wasmtime_wasi::{p2::bindings::random::random::Host as _, random::WasiRandomView as _};

/// Random bytes made in one step.
pub(crate) const STEP_BYTES: usize = 64 << 10;

/// The guest drew more random bytes than it may; ends it.
#[derive(Debug, thiserror::Error)]
#[error("the guest drew more random bytes than its limit allows")]
pub(crate) struct RandomLimitExceeded;

/// What a guest may still draw. None: as much as it likes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RandomBudget(pub(crate) Option<u64>);

impl RandomBudget {
    /// Takes `bytes` of it.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<(), RandomLimitExceeded> {
        let Some(left) = &mut self.0 else { return Ok(()) };
        *left = left.checked_sub(bytes).ok_or(RandomLimitExceeded)?;
        Ok(())
    }
}

/// Takes the bytes there from what the guest may draw, and counts their price. None: they do not
/// lie in its memory.
pub(super) fn claim(
    call: &mut Call<'_>,
    pointer: i32,
    length: i32,
) -> wasmtime::Result<Option<Range<usize>>> {
    let Some(range) = range(call.memory, pointer, length) else { return Ok(None) };
    call.state.random.take(range.len() as u64)?;
    call.state.meter.touched(range.len() as u64);
    Ok(Some(range))
}

/// Draws what was claimed, in place of wasmtime-wasi's, which traps above a limit of its own.
pub(super) async fn draw(call: &mut Call<'_>, range: Range<usize>) -> wasmtime::Result<i32> {
    for start in range.clone().step_by(STEP_BYTES) {
        let end = range.end.min(start + STEP_BYTES);
        let bytes = call.state.wasi.random().get_random_bytes((end - start) as u64)?;
        call.memory[start..end].copy_from_slice(&bytes);
        if end < range.end {
            // A guest may ask for all of its memory at once, which takes seconds.
            yield_now().await;
        }
    }
    Ok(errno::SUCCESS)
}
