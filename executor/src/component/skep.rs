//! skep's own interfaces for components: `wit/skep.wit`.
//!
//! Each function does what the one of the same name does for modules (`host/skep.rs`,
//! `host/framework.rs`, `host/messages.rs`), with the same limits; strings and lists are the
//! component model's.

use crate::{
    guest::GuestState,
    host::{
        framework,
        messages::{self, Unsent},
        skep,
    },
    speech::Mute,
};
use skep_protocol::{
    bounds::{CHECKPOINT_BYTES_MAX, HOSTED_BYTES_MAX, PROGRESS_BYTES_MAX, RESULT_BYTES_MAX},
    codec::Message as _,
    framework::Event,
    json,
};
use std::time::Duration;
use wasmtime::{
    StoreContextMut,
    component::{ComponentType, Lift, Linker, LinkerInstance, Lower},
};

const GUEST: &str = "skep:cluster/guest@0.1.0";
const CONVERSATION: &str = "skep:cluster/conversation@0.1.0";
const MESSAGES: &str = "skep:cluster/messages@0.1.0";
/// What a stream of events over HTTP says of its heartbeats; here there are none.
const NO_HEARTBEAT: Duration = Duration::ZERO;

/// Why the host did not do it: the enum of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
enum Refusal {
    #[component(name = "too-large")]
    TooLarge,
    #[component(name = "not-granted")]
    NotGranted,
    #[component(name = "no-call")]
    NoCall,
    #[component(name = "not-subscribed")]
    NotSubscribed,
}

/// Why there is no message: the enum of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
enum NoMessage {
    #[component(name = "too-large")]
    TooLarge,
    #[component(name = "too-many")]
    TooMany,
    #[component(name = "virtual-clock")]
    VirtualClock,
}

type Done<E> = Result<(), E>;
type Store<'a> = StoreContextMut<'a, GuestState>;

/// Adds all interfaces.
///
/// # Errors
/// Only if two functions had the same name, which no input brings about.
pub(super) fn add(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    guest(&mut linker.instance(GUEST)?)?;
    conversation(&mut linker.instance(CONVERSATION)?)?;
    exchange(&mut linker.instance(MESSAGES)?)
}

fn guest(guest: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    guest.func_wrap("progress", |store: Store<'_>, (done, total, text): (u64, u64, String)| {
        if text.len() > PROGRESS_BYTES_MAX {
            return Ok((Err(Refusal::TooLarge),));
        }
        store.data().progress(done, total, text);
        Ok((Done::<Refusal>::Ok(()),))
    })?;
    guest.func_wrap("set-result", |mut store: Store<'_>, (value,): (Vec<u8>,)| {
        let fits = value.len() <= RESULT_BYTES_MAX && skep::keep_result(store.data_mut(), value);
        Ok((if fits { Ok(()) } else { Err(Refusal::TooLarge) },))
    })?;
    guest.func_wrap("alive", |store: Store<'_>, (): ()| {
        store.data().life.sign();
        Ok(())
    })?;
    guest.func_wrap_async("cancelled", |mut store: Store<'_>, (wait_millis,): (u64,)| {
        Box::new(async move {
            let wait = Duration::from_millis(wait_millis);
            Ok((skep::cancelled(store.data_mut(), wait).await,))
        })
    })?;
    guest.func_wrap("checkpoint", |mut store: Store<'_>, (state,): (Vec<u8>,)| {
        let fits =
            state.len() <= CHECKPOINT_BYTES_MAX && skep::keep_checkpoint(store.data_mut(), state);
        Ok((if fits { Ok(()) } else { Err(Refusal::TooLarge) },))
    })?;
    guest.func_wrap("restored", |store: Store<'_>, (): ()| {
        let state = &store.data().checkpoint;
        Ok(((!state.is_empty()).then(|| state.clone()),))
    })
}

fn conversation(guest: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    guest.func_wrap_async("call", |mut store: Store<'_>, (call,): (Vec<u8>,)| {
        Box::new(async move { Ok((say(store.data_mut(), call).await,)) })
    })?;
    guest.func_wrap_async("event", |mut store: Store<'_>, (wait_millis,): (u64,)| {
        Box::new(async move { Ok((hear(store.data_mut(), wait_millis).await,)) })
    })?;
    guest.func_wrap_async("call-json", |mut store: Store<'_>, (call,): (String,)| {
        Box::new(async move {
            let call = match json::read_call(call.as_bytes()) {
                Ok(call) => call.encode().to_vec(),
                Err(fault) => return Ok((Err(fault.to_string()),)),
            };
            let said = say(store.data_mut(), call).await;
            Ok((said.map_err(|refusal| words(refusal).to_owned()),))
        })
    })?;
    guest.func_wrap_async("event-json", |mut store: Store<'_>, (wait_millis,): (u64,)| {
        Box::new(async move {
            let heard = hear(store.data_mut(), wait_millis).await;
            let text = |event: Vec<u8>| {
                // What only a newer build knows is passed over.
                let event = Event::decode(&event).ok()?;
                String::from_utf8(json::write_event(&event, NO_HEARTBEAT)).ok()
            };
            Ok((heard.map(|event| event.and_then(text)),))
        })
    })
}

fn exchange(guest: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    guest.func_wrap("send", |mut store: Store<'_>, (message,): (Vec<u8>,)| {
        let length = message.len() as u64;
        let sent = messages::send(store.data(), message).map_err(|unsent| match unsent {
            Unsent::TooLarge => NoMessage::TooLarge,
            Unsent::TooMany => NoMessage::TooMany,
            Unsent::VirtualClock => NoMessage::VirtualClock,
        });
        store.data_mut().meter.touched(length);
        Ok((sent,))
    })?;
    guest.func_wrap_async("receive", |mut store: Store<'_>, (wait_millis,): (u64,)| {
        Box::new(async move { Ok((receive(store.data_mut(), wait_millis).await,)) })
    })
}

async fn receive(state: &mut GuestState, wait_millis: u64) -> Result<Option<Vec<u8>>, NoMessage> {
    if state.clock.is_some() {
        return Err(NoMessage::VirtualClock);
    }
    if !messages::wait(state, Duration::from_millis(wait_millis)).await {
        return Ok(None);
    }
    let message = state.mailbox.take();
    state.meter.touched(message.as_ref().map_or(0, |message| message.len() as u64));
    Ok(message)
}

async fn say(state: &mut GuestState, call: Vec<u8>) -> Done<Refusal> {
    let speech = state.speech.clone().ok_or(Refusal::NotGranted)?;
    if call.len() > HOSTED_BYTES_MAX {
        return Err(Refusal::TooLarge);
    }
    state.life.sign();
    speech.say(call).await.map_err(|mute| match mute {
        Mute::Garbage => Refusal::NoCall,
        Mute::Closed => Refusal::NotSubscribed,
    })
}

async fn hear(state: &mut GuestState, wait_millis: u64) -> Result<Option<Vec<u8>>, Refusal> {
    let speech = state.speech.clone().ok_or(Refusal::NotGranted)?;
    match framework::wait(state, &speech, Duration::from_millis(wait_millis)).await {
        framework::Waited::Event => {
            let event = speech.take();
            state.meter.touched(event.as_ref().map_or(0, |event| event.len() as u64));
            Ok(event)
        }
        framework::Waited::Nothing => Ok(None),
        framework::Waited::Ended => Err(Refusal::NotSubscribed),
    }
}

const fn words(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::TooLarge => "it is too long",
        Refusal::NotGranted => "the task is not granted to speak as a framework",
        Refusal::NoCall => "it is no call",
        Refusal::NotSubscribed => "there is no conversation with the master: subscribe",
    }
}
