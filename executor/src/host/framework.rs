//! The two functions by which a guest speaks as a framework: `call` and `event`. Documented in
//! `docs/guest-interface.md`.

use super::{
    memory::range,
    price::{self, MOVE},
    skep::{Answer, SKEP, read},
};
use crate::{
    guest::GuestState,
    speech::{Mute, Next, Speech},
};
use skep_protocol::bounds::HOSTED_BYTES_MAX;
use std::{sync::Arc, time::Duration};
use tokio::{
    select,
    time::{Instant, sleep_until},
};
use wasmtime::{AsContextMut as _, Caller, Extern, Linker};

/// What `event` answers when there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
enum NoEvent {
    /// None came in the time, or the guest was told to end.
    NotYet = 0,
    /// It would not lie in the guest's memory.
    OutOfBounds = -1,
    /// The conversation is over: subscribe again.
    Ended = -2,
    /// The task is not granted to speak as a framework.
    NotGranted = -3,
}

/// The longest wait that a guest can ask for; a longer one is as long.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(3_600);

/// Adds them.
///
/// # Errors
/// Only if two functions had the same name, which no input brings about.
pub(super) fn add(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.func_wrap_async(SKEP, "call", |mut caller: Caller<'_, GuestState>, arguments| {
        let (pointer, length): (i32, i32) = arguments;
        Box::new(async move {
            price::enter(caller.as_context_mut(), MOVE).await?;
            let answer = call(&mut caller, pointer, length).await;
            price::leave(caller.as_context_mut(), MOVE).await?;
            Ok(answer as i32)
        })
    })?;
    linker.func_wrap_async(SKEP, "event", |mut caller: Caller<'_, GuestState>, arguments| {
        let (pointer, capacity, wait_millis): (i32, i32, i64) = arguments;
        Box::new(async move {
            price::enter(caller.as_context_mut(), MOVE).await?;
            let wait = Duration::from_millis(u64::try_from(wait_millis).unwrap_or(0));
            let answer = event(&mut caller, pointer, capacity, wait).await;
            price::leave(caller.as_context_mut(), MOVE).await?;
            Ok(answer)
        })
    })?;
    Ok(())
}

async fn call(caller: &mut Caller<'_, GuestState>, pointer: i32, length: i32) -> Answer {
    let Some(speech) = caller.data().speech.clone() else { return Answer::NotGranted };
    let call = match read(caller, pointer, length, HOSTED_BYTES_MAX) {
        Ok(call) => call,
        Err(answer) => return answer,
    };
    caller.data().life.sign();
    match speech.say(call).await {
        Ok(()) => Answer::Done,
        Err(Mute::Garbage) => Answer::NoCall,
        Err(Mute::Closed) => Answer::NotSubscribed,
    }
}

/// What came of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Event,
    Nothing,
    Ended,
}

/// Waits for an event, for the end of the conversation, for the notice to end, or for so long.
pub(crate) async fn wait(state: &mut GuestState, speech: &Speech, longest: Duration) -> Waited {
    let life = Arc::clone(&state.life);
    life.sign();
    let due = Instant::now() + longest.min(WAIT_MAX);
    loop {
        match speech.next() {
            Next::Event(_) => return Waited::Event,
            Next::Ended => return Waited::Ended,
            Next::Nothing if life.notice().is_some() || due <= Instant::now() => {
                return Waited::Nothing;
            }
            Next::Nothing => {}
        }
        select! {
            () = speech.news() => {}
            _ = life.noticed_within(WAIT_MAX) => {}
            () = sleep_until(due) => {}
        }
    }
}

/// The length of the event, which is copied and gone if it fits, and stays if not.
async fn event(
    caller: &mut Caller<'_, GuestState>,
    pointer: i32,
    capacity: i32,
    longest: Duration,
) -> i32 {
    let Some(speech) = caller.data().speech.clone() else { return NoEvent::NotGranted as i32 };
    match wait(caller.data_mut(), &speech, longest).await {
        Waited::Event => hand_over(caller, &speech, pointer, capacity),
        Waited::Nothing => NoEvent::NotYet as i32,
        Waited::Ended => NoEvent::Ended as i32,
    }
}

fn hand_over(
    caller: &mut Caller<'_, GuestState>,
    speech: &Speech,
    pointer: i32,
    capacity: i32,
) -> i32 {
    let Next::Event(length) = speech.next() else { return NoEvent::NotYet as i32 };
    let length = i32::try_from(length).unwrap_or(i32::MAX);
    if length.cast_unsigned() > capacity.cast_unsigned() {
        return length;
    }
    let Some(memory) = caller.get_export("memory").and_then(Extern::into_memory) else {
        return NoEvent::OutOfBounds as i32;
    };
    let (memory, state) = memory.data_and_store_mut(caller);
    let Some(range) = range(memory, pointer, length) else {
        return NoEvent::OutOfBounds as i32;
    };
    if let Some(event) = speech.take() {
        memory[range].copy_from_slice(&event);
        state.meter.touched(event.len() as u64);
    }
    length
}
