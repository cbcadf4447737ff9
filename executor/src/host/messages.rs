//! The two functions by which a guest and its framework send each other messages: `send` and
//! `receive`. Documented in `docs/guest-interface.md`.

use super::{
    framework::WAIT_MAX,
    memory::range,
    price::{self, MOVE},
    skep::{Answer, SKEP, read},
};
use crate::guest::GuestState;
use skep_protocol::bounds::MESSAGE_BYTES_MAX;
use std::{sync::Arc, time::Duration};
use tokio::{
    select,
    time::{Instant, sleep_until},
};
use wasmtime::{AsContextMut as _, Caller, Extern, Linker};

/// What `receive` answers when there is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
enum NoMessage {
    /// It would not lie in the guest's memory.
    OutOfBounds = -1,
    /// None came in the time, or the guest was told to end.
    NotYet = -2,
    /// The run is to be the same each time: nothing from outside gets in.
    VirtualClock = -3,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsent {
    TooLarge,
    /// Too many have not left yet.
    TooMany,
    /// The run is to be the same each time, and how many have left is not.
    VirtualClock,
}

/// Adds them.
///
/// # Errors
/// Only if two functions had the same name, which no input brings about.
pub(super) fn add(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.func_wrap_async(SKEP, "send", |mut caller: Caller<'_, GuestState>, arguments| {
        let (pointer, length): (i32, i32) = arguments;
        Box::new(async move {
            price::enter(caller.as_context_mut(), MOVE).await?;
            let answer = match read(&mut caller, pointer, length, MESSAGE_BYTES_MAX) {
                Ok(bytes) => match send(caller.data(), bytes) {
                    Ok(()) => Answer::Done,
                    Err(Unsent::TooLarge) => Answer::TooLarge,
                    Err(Unsent::TooMany) => Answer::TooMany,
                    Err(Unsent::VirtualClock) => Answer::VirtualClock,
                },
                Err(answer) => answer,
            };
            price::leave(caller.as_context_mut(), MOVE).await?;
            Ok(answer as i32)
        })
    })?;
    linker.func_wrap_async(SKEP, "receive", |mut caller: Caller<'_, GuestState>, arguments| {
        let (pointer, capacity, wait_millis): (i32, i32, i64) = arguments;
        Box::new(async move {
            price::enter(caller.as_context_mut(), MOVE).await?;
            let wait = Duration::from_millis(u64::try_from(wait_millis).unwrap_or(0));
            let answer = receive(&mut caller, pointer, capacity, wait).await;
            price::leave(caller.as_context_mut(), MOVE).await?;
            Ok(answer)
        })
    })?;
    Ok(())
}

/// Sends the framework a message.
pub(crate) fn send(state: &GuestState, bytes: Vec<u8>) -> Result<(), Unsent> {
    if state.clock.is_some() {
        return Err(Unsent::VirtualClock);
    }
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(Unsent::TooLarge);
    }
    match state.send(bytes) {
        true => Ok(()),
        false => Err(Unsent::TooMany),
    }
}

/// Waits for a message, for the notice to end, or for so long. True: a message is there.
pub(crate) async fn wait(state: &mut GuestState, longest: Duration) -> bool {
    let (life, mailbox) = (Arc::clone(&state.life), Arc::clone(&state.mailbox));
    life.sign();
    let due = Instant::now() + longest.min(WAIT_MAX);
    loop {
        if mailbox.next().is_some() {
            return true;
        }
        if life.notice().is_some() || due <= Instant::now() {
            return false;
        }
        select! {
            () = mailbox.news() => {}
            _ = life.noticed_within(WAIT_MAX) => {}
            () = sleep_until(due) => {}
        }
    }
}

/// The length of the message, which is copied and gone if it fits, and stays if not.
async fn receive(
    caller: &mut Caller<'_, GuestState>,
    pointer: i32,
    capacity: i32,
    longest: Duration,
) -> i32 {
    if caller.data().clock.is_some() {
        return NoMessage::VirtualClock as i32;
    }
    match wait(caller.data_mut(), longest).await {
        true => hand_over(caller, pointer, capacity),
        false => NoMessage::NotYet as i32,
    }
}

fn hand_over(caller: &mut Caller<'_, GuestState>, pointer: i32, capacity: i32) -> i32 {
    let Some(length) = caller.data().mailbox.next() else { return NoMessage::NotYet as i32 };
    let length = i32::try_from(length).unwrap_or(i32::MAX);
    if length.cast_unsigned() > capacity.cast_unsigned() {
        return length;
    }
    let Some(memory) = caller.get_export("memory").and_then(Extern::into_memory) else {
        return NoMessage::OutOfBounds as i32;
    };
    let (memory, state) = memory.data_and_store_mut(caller);
    let Some(range) = range(memory, pointer, length) else {
        return NoMessage::OutOfBounds as i32;
    };
    if let Some(message) = state.mailbox.take() {
        memory[range].copy_from_slice(&message);
        state.meter.touched(message.len() as u64);
    }
    length
}
