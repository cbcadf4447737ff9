//! The functions that a framework's guest calls: WASI, and those of `docs/guest-interface.md`.

use crate::{
    Program,
    talk::{End, Heard, Talk},
};
use skep_protocol::{Time, codec::Message as _, framework::Call};
use std::{sync::Arc, time::Duration};
use wasmtime::{Caller, Extern, Linker, Memory, Store};
use wasmtime_wasi::{
    HostMonotonicClock, HostWallClock, I32Exit, WasiCtxBuilder,
    p1::{self, WasiP1Ctx},
    p2::pipe::MemoryOutputPipe,
};

/// The module name of skep's own functions.
const SKEP: &str = "skep";
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// What [`Host::add`]'s functions answer.
const DONE: i32 = 0;
const OUT_OF_BOUNDS: i32 = 1;
const NO_CALL: i32 = 5;
const NOT_SUBSCRIBED: i32 = 6;
const NO_MEMORY: i32 = -1;
const BROKEN: i32 = -2;

/// A guest's host, on its thread.
pub(crate) struct Host {
    program: Program,
    talk: Arc<Talk>,
}

struct Inside {
    wasi: WasiP1Ctx,
    talk: Arc<Talk>,
}

struct Clock(Arc<Talk>);

impl Clock {
    fn since_epoch(&self) -> Duration {
        self.0.now().since(Time::ZERO)
    }
}

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_micros(1)
    }

    fn now(&self) -> Duration {
        self.since_epoch()
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        1_000
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since_epoch().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Host {
    pub(crate) const fn new(program: Program, talk: Arc<Talk>) -> Self {
        Self { program, talk }
    }

    /// Runs the guest to its end.
    pub(crate) fn run(self) {
        let errors = MemoryOutputPipe::new(OUTPUT_BYTES_MAX);
        let ended = self.try_run(&errors);
        let wrote = errors.contents();
        let wrote = String::from_utf8_lossy(&wrote);
        let end: End = match ended {
            Ok(()) => Ok(()),
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(I32Exit(0)) => Ok(()),
                Some(exit) => Err(format!("{exit}\n{wrote}")),
                None => Err(format!("{error:?}\n{wrote}")),
            },
        };
        self.talk.end(end);
    }

    fn try_run(&self, errors: &MemoryOutputPipe) -> wasmtime::Result<()> {
        let Program { engine, module, args, env, bundle } = &self.program;
        let clock = || Clock(Arc::clone(&self.talk));
        let mut wasi = WasiCtxBuilder::new();
        wasi.arg("guest").args(args).envs(env).env("FRAMEWORK_BUNDLE", bundle);
        wasi.wall_clock(clock()).monotonic_clock(clock()).stderr(errors.clone());
        let inside = Inside { wasi: wasi.build_p1(), talk: Arc::clone(&self.talk) };
        let mut store = Store::new(engine, inside);
        // The end of the test is the first.
        store.set_epoch_deadline(1);
        let mut linker = Linker::new(engine);
        p1::add_to_linker_sync(&mut linker, |inside: &mut Inside| &mut inside.wasi)?;
        Self::add(&mut linker)?;
        linker.define_unknown_imports_as_traps(module)?;
        let instance = linker.instantiate(&mut store, module)?;
        instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ())
    }

    fn add(linker: &mut Linker<Inside>) -> wasmtime::Result<()> {
        linker.func_wrap(SKEP, "call", |mut caller: Caller<'_, Inside>, at: i32, len: i32| {
            let Some(bytes) = read(&mut caller, at, len) else { return OUT_OF_BOUNDS };
            let Ok(call) = Call::decode(&bytes) else { return NO_CALL };
            if caller.data().talk.say(call) { DONE } else { NOT_SUBSCRIBED }
        })?;
        linker.func_wrap(SKEP, "event", event)?;
        linker.func_wrap(SKEP, "cancelled", |caller: Caller<'_, Inside>, millis: i64| {
            caller.data().talk.sleep(wait(millis))?;
            Ok(0)
        })?;
        // A framework's own progress, result and state to go on from: nobody is told.
        linker.func_wrap(SKEP, "alive", || DONE)?;
        linker.func_wrap(SKEP, "progress", |_: i64, _: i64, _: i32, _: i32| DONE)?;
        linker.func_wrap(SKEP, "result", |_: i32, _: i32| DONE)?;
        linker.func_wrap(SKEP, "checkpoint", |_: i32, _: i32| DONE)?;
        linker.func_wrap(SKEP, "restored", |_: i32, _: i32| 0)?;
        Ok(())
    }
}

fn event(
    mut caller: Caller<'_, Inside>,
    at: i32,
    capacity: i32,
    millis: i64,
) -> wasmtime::Result<i32> {
    let talk = Arc::clone(&caller.data().talk);
    let capacity = usize::try_from(capacity.cast_unsigned())?;
    let event = match talk.hear(capacity, wait(millis))? {
        Heard::Event(event) => event,
        Heard::Larger(length) => return Ok(i32::try_from(length)?),
        Heard::Nothing => return Ok(0),
        Heard::Broken => return Ok(BROKEN),
    };
    let Some(memory) = memory(&mut caller) else { return Ok(NO_MEMORY) };
    let at = usize::try_from(at.cast_unsigned())?;
    match memory.write(&mut caller, at, &event) {
        Ok(()) => Ok(i32::try_from(event.len())?),
        Err(_) => Ok(NO_MEMORY),
    }
}

fn wait(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

fn memory(caller: &mut Caller<'_, Inside>) -> Option<Memory> {
    caller.get_export("memory").and_then(Extern::into_memory)
}

fn read(caller: &mut Caller<'_, Inside>, at: i32, length: i32) -> Option<Vec<u8>> {
    let memory = memory(caller)?;
    let at = usize::try_from(at.cast_unsigned()).ok()?;
    let end = at.checked_add(usize::try_from(length.cast_unsigned()).ok()?)?;
    memory.data(caller).get(at..end).map(<[u8]>::to_vec)
}
