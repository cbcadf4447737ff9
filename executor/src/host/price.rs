//! What host calls cost: fuel by the call and by the byte, never by time.
//!
//! wasmtime counts the guest's own instructions; what the host does for the guest would be free,
//! so that a guest that does nothing but call the host would never run out and never yield. Always
//! holds: the same calls cost the same fuel on every machine; a guest that calls the host yields as
//! often as one that computes; calls beyond the guest's rate wait their time. Deliberately absent:
//! how long a call really takes.

use crate::{
    cpu::yield_now,
    guest::{GuestState, SLICE_FUEL},
};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use wasmtime::{AsContextMut, StoreContextMut, Trap};

/// What one kind of host call costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Price {
    call: u64,
    byte: u64,
}

/// A call that looks something up: some hundred nanoseconds, of which most is the crossing itself.
pub(crate) const LOOK_UP: Price = Price { call: 500, byte: 1 };
/// A call that moves bytes of an open file or a stream: a system call and a copy.
pub(crate) const MOVE: Price = Price { call: 1_000, byte: 1 };
/// A call that the file system resolves a name for.
pub(super) const NAME: Price = Price { call: 5_000, byte: 10 };
/// A call that changes the file system's names.
pub(super) const CHANGE: Price = Price { call: 10_000, byte: 10 };
/// Random numbers: a byte takes some five nanoseconds.
pub(super) const RANDOM: Price = Price { call: 1_000, byte: 10 };

/// The count of one guest's host calls.
#[derive(Debug)]
pub(crate) struct Meter {
    budget: u64,
    /// The fuel that was left when the guest last yielded at a host call.
    left_at_yield: u64,
    /// Bytes that the call under way has moved and that are not yet paid for.
    moved: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    rate: Option<Rate>,
}

/// So many calls a second, and a second's worth at once.
#[derive(Debug)]
struct Rate {
    per_second: u64,
    /// When the next call is free of waiting; up to a second in the past.
    next: Instant,
}

impl Meter {
    /// A meter for a guest with `budget` units of fuel.
    pub(crate) fn new(budget: u64, calls_per_second: Option<u64>) -> Self {
        let rate = calls_per_second.map(|per_second| Rate { per_second, next: Instant::now() });
        Self { budget, left_at_yield: budget, moved: 0, bytes_in: 0, bytes_out: 0, rate }
    }

    /// The fuel that the guest had to begin with.
    pub(crate) const fn budget(&self) -> u64 {
        self.budget
    }

    /// Bytes that the host did something for, beside those read or written.
    pub(crate) const fn touched(&mut self, bytes: u64) {
        self.moved = self.moved.saturating_add(bytes);
    }

    pub(crate) const fn read(&mut self, bytes: u64) {
        self.bytes_in = self.bytes_in.saturating_add(bytes);
        self.touched(bytes);
    }

    pub(crate) const fn written(&mut self, bytes: u64) {
        self.bytes_out = self.bytes_out.saturating_add(bytes);
        self.touched(bytes);
    }
}

impl Rate {
    /// Counts a call and gives when it may begin.
    fn admit(&mut self, now: Instant) -> Instant {
        let one = Duration::from_secs(1) / u32::try_from(self.per_second).unwrap_or(u32::MAX);
        let earliest = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
        let at = self.next.max(earliest);
        self.next = at + one;
        at
    }
}

/// Before a host call: waits for its turn and takes its price.
pub(crate) async fn enter(
    mut store: StoreContextMut<'_, GuestState>,
    price: Price,
) -> wasmtime::Result<()> {
    if let Some(rate) = &mut store.data_mut().meter.rate {
        let (now, at) = (Instant::now(), rate.admit(Instant::now()));
        if at > now {
            sleep_until(at).await;
        }
    }
    pay(&mut store, price.call).await
}

/// After a host call: takes the price of what it moved.
pub(crate) async fn leave(
    mut store: StoreContextMut<'_, GuestState>,
    price: Price,
) -> wasmtime::Result<()> {
    let moved = std::mem::take(&mut store.data_mut().meter.moved);
    if moved == 0 {
        return Ok(());
    }
    pay(&mut store, moved.saturating_mul(price.byte)).await
}

async fn pay(store: &mut StoreContextMut<'_, GuestState>, fuel: u64) -> wasmtime::Result<()> {
    let before = store.get_fuel()?;
    let left = before.saturating_sub(fuel);
    // Setting the fuel also starts wasmtime's own count to the next yield anew: see below.
    store.as_context_mut().set_fuel(left)?;
    if before < fuel {
        return Err(Trap::OutOfFuel.into());
    }
    let state = store.data_mut();
    if let Some(clock) = &state.clock {
        clock.worked(state.meter.budget - left);
    }
    if state.meter.left_at_yield - left >= SLICE_FUEL {
        state.meter.left_at_yield = left;
        yield_now().await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_allows_a_second_s_worth_at_once_and_spaces_out_the_rest() {
        let start = Instant::now() + Duration::from_secs(10);
        let mut rate = Rate { per_second: 4, next: start - Duration::from_secs(5) };
        let waits: Vec<_> =
            (0..6).map(|_| rate.admit(start).saturating_duration_since(start)).collect();
        let quarter = Duration::from_millis(250);
        assert_eq!(waits[..5], [Duration::ZERO; 5]);
        assert_eq!(waits[5], quarter);
        assert_eq!(rate.admit(start + quarter), start + 2 * quarter);
    }
}
