//! From what wasmtime says to what the cluster is told: the reason of a guest's death.
//!
//! The order of the questions matters: an exit is no fault; a limit that was met explains the trap
//! that followed it; only then is a trap a trap. A guest that was refused memory, disk or handles
//! and did not end well died of that, whatever it did about it.

use crate::{guest::GuestState, host::random::RandomLimitExceeded, lines::Lines};
use skep_protocol::{
    bounds::{BACKTRACE_FRAMES_MAX, WHY_BYTES_MAX},
    executor::StartGuest,
    outcome::{self, Outcome},
};
use wasmtime::{Error, FrameInfo, Trap, WasmBacktrace};
use wasmtime_wasi::{I32Exit, ResourceTableError};

/// The longest name of a function in a backtrace; generic code makes names of any length.
const FRAME_BYTES_MAX: usize = 200;

/// How a guest ended that ended by itself.
pub(crate) fn of(
    returned: Result<(), &Error>,
    state: &GuestState,
    guest: &StartGuest,
    lines: Option<&Lines>,
) -> Outcome {
    let ended_well = || match state.output.failed() {
        None => Outcome::Exited { code: 0 },
        Some(why) => Outcome::Failed {
            why: cut(format!("what it wrote could not be kept: {why}"), WHY_BYTES_MAX),
        },
    };
    let Err(error) = returned else { return ended_well() };
    let exit = error.downcast_ref::<I32Exit>().map(|exit| exit.0);
    if let Some(0) = exit {
        return ended_well();
    }
    if state.output.exceeded() {
        return Outcome::OutputLimit { limit: guest.limits.output_bytes };
    }
    let trap = error.downcast_ref::<Trap>();
    if let (Some(Trap::OutOfFuel), Some(limit)) = (trap, guest.limits.fuel) {
        return Outcome::OutOfFuel { limit };
    }
    let limits = &guest.limits;
    if error.is::<RandomLimitExceeded>()
        && let Some(limit) = limits.random_bytes
    {
        return Outcome::RandomLimit { limit };
    }
    if let Some(asked) = state.limiter.refused() {
        return Outcome::OutOfMemory { asked, limit: guest.memory_bytes };
    }
    if state.disk.refused() {
        return Outcome::DiskLimit { bytes: limits.disk_bytes, files: limits.files };
    }
    let full = matches!(error.downcast_ref(), Some(ResourceTableError::Full));
    if full || state.files.refused() {
        return Outcome::HandleLimit { limit: limits.handles };
    }
    if let Some(code) = exit {
        return Outcome::Exited { code };
    }
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    let frames = |backtrace| frames(backtrace, &guest.name, lines);
    match (trap, backtrace) {
        (Some(trap), backtrace) => {
            let (trap, why) = kind(*trap);
            Outcome::Trapped { trap, why, backtrace: frames(backtrace) }
        }
        (None, Some(_)) => Outcome::Trapped {
            trap: outcome::Trap::HostCall,
            why: cut(error.root_cause().to_string(), WHY_BYTES_MAX),
            backtrace: frames(backtrace),
        },
        (None, None) => Outcome::Failed {
            why: cut(format!("the guest cannot be started: {}", error.root_cause()), WHY_BYTES_MAX),
        },
    }
}

fn kind(trap: Trap) -> (outcome::Trap, String) {
    use outcome::Trap as Kind;
    let (kind, why) = match trap {
        Trap::UnreachableCodeReached => {
            (Kind::Unreachable, "it reached an unreachable instruction: a panic or an abort")
        }
        Trap::MemoryOutOfBounds | Trap::HeapMisaligned => {
            (Kind::MemoryOutOfBounds, "it accessed memory out of bounds")
        }
        Trap::TableOutOfBounds => {
            (Kind::TableOutOfBounds, "it called or accessed a table entry that does not exist")
        }
        Trap::IndirectCallToNull => (Kind::IndirectCallToNull, "it called a null function pointer"),
        Trap::BadSignature => {
            (Kind::BadSignature, "it called a function pointer of another signature")
        }
        Trap::IntegerOverflow => (Kind::IntegerOverflow, "an integer division overflowed"),
        Trap::IntegerDivisionByZero => {
            (Kind::IntegerDivisionByZero, "it divided an integer by zero")
        }
        Trap::BadConversionToInteger => {
            (Kind::BadConversionToInteger, "it made an integer of a number that is none")
        }
        Trap::StackOverflow => (
            Kind::StackOverflow,
            "its stack overflowed: endless recursion, or too deep for its limit",
        ),
        other => return (Kind::Other, other.to_string()),
    };
    (kind, why.into())
}

/// The guest's frames, innermost first: `main::fib (fib.wasm) at src/main.rs:12`.
fn frames(backtrace: Option<&WasmBacktrace>, guest: &str, lines: Option<&Lines>) -> Vec<String> {
    let frames = backtrace.map_or(&[][..], WasmBacktrace::frames);
    frames.iter().take(BACKTRACE_FRAMES_MAX).map(|frame| describe(frame, guest, lines)).collect()
}

fn describe(frame: &FrameInfo, guest: &str, lines: Option<&Lines>) -> String {
    let name = match frame.func_name() {
        Some(name) => cut(format!("{:#}", rustc_demangle::demangle(name)), FRAME_BYTES_MAX),
        None => format!("function {}", frame.func_index()),
    };
    match frame.module_offset().and_then(|address| lines?.find(address)) {
        Some((file, line)) => format!("{name} ({guest}) at {file}:{line}"),
        None => format!("{name} ({guest})"),
    }
}

fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}
