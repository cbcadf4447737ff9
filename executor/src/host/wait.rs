//! Preview 1's waiting: for a time to come or a file to be ready, without keeping a thread.
//!
//! Always holds: a wait for nothing but a time goes to a timer, never to a sleeping thread; under a
//! virtual clock nobody waits: the clock is moved to the first time that is waited for.

use super::{
    errno,
    memory::{bytes, range},
    p1::Call,
};
use crate::cpu::yield_now;
use std::time::Duration;
use wasmtime_wasi::p1::wasi_snapshot_preview1 as abi;
use wiggle::GuestMemory;

/// Bytes of a subscription and of an event, and where their fields lie.
const SUBSCRIPTION_BYTES: usize = 48;
const EVENT_BYTES: usize = 32;
const KIND_AT: usize = 8;
const CLOCK_AT: usize = 16;
const TIMEOUT_AT: usize = 24;
const FLAGS_AT: usize = 40;
const EVENT_KIND_AT: usize = 10;
/// The kind of a subscription to a clock, and its flag for a time of day rather than a span.
const CLOCK: u8 = 0;
const ABSOLUTE: u16 = 1;
/// The clock of the time of day.
const REALTIME: u32 = 0;
/// Subscriptions of one call: each holds memory of ours while it is waited for.
const SUBSCRIPTIONS_MAX: i32 = 1_024;

/// A subscription to a clock.
#[derive(Clone, Copy, Debug)]
struct Alarm {
    user_data: [u8; 8],
    clock: u32,
    nanos: u64,
    absolute: bool,
}

impl Alarm {
    /// None: it is to a file.
    fn read(subscription: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            u64::from_le_bytes(subscription[at..at + 8].try_into().expect("eight bytes"))
        };
        let flags = u16::from_le_bytes([subscription[FLAGS_AT], subscription[FLAGS_AT + 1]]);
        (subscription[KIND_AT] == CLOCK).then(|| Self {
            user_data: subscription[..8].try_into().expect("eight bytes"),
            clock: u32::try_from(number(CLOCK_AT) & u64::from(u32::MAX)).expect("32 bits"),
            nanos: number(TIMEOUT_AT),
            absolute: flags & ABSOLUTE != 0,
        })
    }

    fn event(&self) -> [u8; EVENT_BYTES] {
        let mut event = [0; EVENT_BYTES];
        event[..8].copy_from_slice(&self.user_data);
        event[EVENT_KIND_AT] = CLOCK;
        event
    }
}

pub(super) async fn poll_oneoff(
    call: &mut Call<'_>,
    subscriptions: i32,
    events: i32,
    count: i32,
    ready_at: i32,
) -> wasmtime::Result<i32> {
    if !(1..=SUBSCRIPTIONS_MAX).contains(&count) {
        return Ok(errno::INVAL);
    }
    let size = i32::try_from(SUBSCRIPTION_BYTES).expect("a small number");
    let Some(list) = bytes(call.memory, subscriptions, count * size) else {
        return Ok(errno::FAULT);
    };
    call.state.meter.touched(list.len() as u64);
    let alarms: Option<Vec<_>> = list.chunks_exact(SUBSCRIPTION_BYTES).map(Alarm::read).collect();
    match alarms {
        Some(alarms) if call.state.clock.is_some() => {
            let ready = skip_to_first(call, &alarms);
            Ok(answer(call, events, ready_at, &ready))
        }
        Some(alarms) if alarms.len() == 1 && !alarms[0].absolute => {
            match alarms[0].nanos {
                // A timer's tick takes a millisecond.
                0 => yield_now().await,
                nanos => tokio::time::sleep(Duration::from_nanos(nanos)).await,
            }
            Ok(answer(call, events, ready_at, &alarms))
        }
        // Files are always ready, so that a virtual clock has nothing to skip.
        Some(_) | None => {
            let memory = &mut GuestMemory::Unshared(call.memory);
            let wasi = &mut call.state.wasi;
            abi::poll_oneoff(wasi, memory, subscriptions, events, count, ready_at).await
        }
    }
}

/// Moves the virtual clock to the first of `alarms`, and gives all that are due then.
fn skip_to_first(call: &Call<'_>, alarms: &[Alarm]) -> Vec<Alarm> {
    let clock = call.state.clock.as_ref().expect("the clock is virtual");
    let left = |alarm: &Alarm| match (alarm.absolute, alarm.clock) {
        (false, _) => alarm.nanos,
        (true, REALTIME) => alarm.nanos.saturating_sub(clock.wall_nanos()),
        (true, _) => alarm.nanos.saturating_sub(clock.nanos()),
    };
    let waits: Vec<_> = alarms.iter().map(left).collect();
    let first = waits.iter().copied().min().unwrap_or(0);
    clock.waited(first);
    let due = alarms.iter().zip(waits).filter(|(_, wait)| *wait <= first);
    due.map(|(alarm, _)| *alarm).collect()
}

fn answer(call: &mut Call<'_>, events: i32, ready_at: i32, ready: &[Alarm]) -> i32 {
    let bytes: Vec<u8> = ready.iter().flat_map(Alarm::event).collect();
    let length = i32::try_from(bytes.len()).expect("a thousand events");
    let count = u32::try_from(ready.len()).expect("a thousand events");
    let (Some(events), Some(ready_at)) =
        (range(call.memory, events, length), range(call.memory, ready_at, 4))
    else {
        return errno::FAULT;
    };
    call.memory[events].copy_from_slice(&bytes);
    call.memory[ready_at].copy_from_slice(&count.to_le_bytes());
    errno::SUCCESS
}
