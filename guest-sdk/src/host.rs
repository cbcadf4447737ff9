//! The functions of the host module `skep`, and the numbers it answers with.
//!
//! All unsafe code of the crate is in `imports`: foreign functions, each called in one place.

use std::{error, fmt, time::Duration};

/// Reports how far this task has come: `done` of `total`, in a unit of the guest's choosing, and a
/// few words about it. The framework sees the latest report; how many it sees is not promised.
///
/// # Errors
/// [`HostError::TooLarge`] when the message is longer than the host takes, [`HostError::Absent`]
/// outside of Wasm. The task goes on as before: most programs ignore the answer.
pub fn progress(done: u64, total: u64, message: &str) -> Result<(), HostError> {
    // The host counts in signed numbers, as Wasm does; no progress bar tells 2^63 from more.
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    HostError::check(imports::progress(signed(done), signed(total), message))
}

/// Hands `value` to the framework as this task's result. It arrives when the task ends; of several
/// calls the last one counts.
///
/// # Errors
/// [`HostError::TooLarge`] when the value is larger than the host takes (write a file then),
/// [`HostError::Absent`] outside of Wasm. An earlier result stays as it was.
pub fn set_result(value: &[u8]) -> Result<(), HostError> {
    HostError::check(imports::result(value))
}

/// Gives a sign of life. A task with a heartbeat that gives none for longer than that counts as
/// failed; [`progress`] and [`checkpoint`] are such signs, too.
///
/// # Errors
/// [`HostError::Absent`] outside of Wasm.
pub fn alive() -> Result<(), HostError> {
    HostError::check(imports::alive())
}

/// Whether this task was told to end: it has its kill grace to do so by itself, and is killed then.
/// A task without a kill grace is not told. Outside of Wasm: never.
pub fn is_cancelled() -> bool {
    imports::cancelled(0) == Some(1)
}

/// Sleeps for `time`, or until this task is told to end; says whether it was. Outside of Wasm it
/// sleeps for all of it.
pub fn sleep_unless_cancelled(time: Duration) -> bool {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    match imports::cancelled(millis) {
        Some(answer) => answer == 1,
        None => {
            #[expect(clippy::disallowed_methods, reason = "there is no host to wait in")]
            std::thread::sleep(time);
            false
        }
    }
}

/// Leaves the state that this task would go on from if it had to be started again: after a failure,
/// on this machine or another. The latest counts. It leaves the machine within a second or two, so
/// what was done since the last one may have to be done again.
///
/// # Errors
/// [`HostError::TooLarge`] above 64 KiB, or when the task's memory limit does not allow to keep it;
/// [`HostError::Absent`] outside of Wasm.
pub fn checkpoint(state: &[u8]) -> Result<(), HostError> {
    HostError::check(imports::checkpoint(state))
}

/// The state that an earlier run of this task left, or this one has. None: it begins.
pub fn restored() -> Option<Vec<u8>> {
    let mut state = Vec::new();
    loop {
        let length = usize::try_from(imports::restored(&mut state)?).ok()?;
        if length == 0 {
            return None;
        }
        if length <= state.len() {
            state.truncate(length);
            return Some(state);
        }
        state.resize(length, 0);
    }
}

/// Sends the framework a message: any bytes, at most 64 KiB. It arrives at most once, in the order
/// of sending, and is not kept: a framework that is not there misses it.
///
/// # Errors
/// [`HostError::TooLarge`]; [`HostError::TooMany`] when too much of what was sent before has not
/// left yet, so that it is worth trying again later; [`HostError::VirtualClock`] in a run that is
/// to be the same each time; [`HostError::Absent`] outside of Wasm.
pub fn send(message: &[u8]) -> Result<(), HostError> {
    HostError::check(imports::send(message))
}

/// Waits for a message of the framework, but not for longer than `wait`, and not when this task is
/// told to end ([`is_cancelled`] says whether it was). Messages come in the order of sending; of
/// what waits, 64 messages or 256 KiB are kept, and what comes then is lost. A task that is started
/// again begins without any.
///
/// # Errors
/// [`HostError::VirtualClock`] in a run that is to be the same each time; [`HostError::Absent`]
/// outside of Wasm.
pub fn receive(wait: Duration) -> Result<Option<Vec<u8>>, HostError> {
    let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    let mut message = Vec::new();
    loop {
        let answer = imports::receive(&mut message, millis).ok_or(HostError::Absent)?;
        match (answer, usize::try_from(answer)) {
            (_, Ok(length)) if length <= message.len() => {
                message.truncate(length);
                return Ok(Some(message));
            }
            (_, Ok(length)) => message.resize(length, 0),
            (-2, _) => return Ok(None),
            (-3, _) => return Err(HostError::VirtualClock),
            (number, _) => return Err(HostError::Refused(number)),
        }
    }
}

/// Why the host did not take a report or a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostError {
    /// This program is not Wasm: there is no host to tell.
    Absent,
    /// The text or value is larger than the host takes.
    TooLarge,
    /// Too many messages have not left yet.
    TooMany,
    /// The task's clock is virtual: its run is to be the same each time.
    VirtualClock,
    /// The host answered with a number that this version does not know.
    Refused(i32),
}

impl HostError {
    /// Host answers are 0 for taken, 1 for out of bounds, 2 for too large, 3 for not UTF-8, 7 for a
    /// virtual clock, 8 for too many messages. A slice is in bounds and a `str` is UTF-8, so that 1
    /// and 3 count as unknown here.
    fn check(answer: Option<i32>) -> Result<(), Self> {
        match answer {
            None => Err(Self::Absent),
            Some(0) => Ok(()),
            Some(2) => Err(Self::TooLarge),
            Some(7) => Err(Self::VirtualClock),
            Some(8) => Err(Self::TooMany),
            Some(number) => Err(Self::Refused(number)),
        }
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("no host: this program was not compiled to Wasm"),
            Self::TooLarge => f.write_str("it is larger than the host takes: send less"),
            Self::TooMany => f.write_str("too many messages have not left yet: try again later"),
            Self::VirtualClock => {
                f.write_str("its clock is virtual: such a run neither sends nor receives messages")
            }
            Self::Refused(number) => write!(f, "the host refused it with the number {number}"),
        }
    }
}

impl error::Error for HostError {}

#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "calls into the host are foreign functions")]
pub(crate) mod imports {
    #[link(wasm_import_module = "skep")]
    unsafe extern "C" {
        #[link_name = "progress"]
        fn host_progress(done: i64, total: i64, text: *const u8, len: usize) -> i32;
        #[link_name = "result"]
        fn host_result(value: *const u8, len: usize) -> i32;
        #[link_name = "alive"]
        fn host_alive() -> i32;
        #[link_name = "cancelled"]
        fn host_cancelled(wait_millis: i64) -> i32;
        #[link_name = "checkpoint"]
        fn host_checkpoint(state: *const u8, len: usize) -> i32;
        #[link_name = "restored"]
        fn host_restored(state: *mut u8, capacity: usize) -> i32;
        #[link_name = "send"]
        fn host_send(message: *const u8, len: usize) -> i32;
        #[link_name = "receive"]
        fn host_receive(message: *mut u8, capacity: usize, wait_millis: i64) -> i32;
        #[cfg(feature = "framework")]
        #[link_name = "call"]
        fn host_call(call: *const u8, len: usize) -> i32;
        #[cfg(feature = "framework")]
        #[link_name = "event"]
        fn host_event(event: *mut u8, capacity: usize, wait_millis: i64) -> i32;
    }

    #[cfg(feature = "framework")]
    pub(crate) fn call(call: &[u8]) -> Option<i32> {
        // SAFETY: as in `progress`.
        Some(unsafe { host_call(call.as_ptr(), call.len()) })
    }

    #[cfg(feature = "framework")]
    pub(crate) fn event(buffer: &mut [u8], wait_millis: i64) -> Option<i32> {
        // SAFETY: as in `restored`.
        Some(unsafe { host_event(buffer.as_mut_ptr(), buffer.len(), wait_millis) })
    }

    pub(super) fn send(message: &[u8]) -> Option<i32> {
        // SAFETY: as in `progress`.
        Some(unsafe { host_send(message.as_ptr(), message.len()) })
    }

    pub(super) fn receive(buffer: &mut [u8], wait_millis: i64) -> Option<i32> {
        // SAFETY: as in `restored`.
        Some(unsafe { host_receive(buffer.as_mut_ptr(), buffer.len(), wait_millis) })
    }

    pub(super) fn alive() -> Option<i32> {
        // SAFETY: it takes nothing.
        Some(unsafe { host_alive() })
    }

    pub(super) fn cancelled(wait_millis: i64) -> Option<i32> {
        // SAFETY: it takes a number.
        Some(unsafe { host_cancelled(wait_millis) })
    }

    pub(super) fn checkpoint(state: &[u8]) -> Option<i32> {
        // SAFETY: as in `progress`.
        Some(unsafe { host_checkpoint(state.as_ptr(), state.len()) })
    }

    pub(super) fn restored(state: &mut [u8]) -> Option<i32> {
        // SAFETY: the host writes `capacity` bytes at most from the pointer on before it returns;
        // both come from one live slice.
        Some(unsafe { host_restored(state.as_mut_ptr(), state.len()) })
    }

    pub(super) fn progress(done: i64, total: i64, message: &str) -> Option<i32> {
        // SAFETY: the host reads `len` bytes from the pointer before it returns and keeps neither;
        // both come from one live slice.
        Some(unsafe { host_progress(done, total, message.as_ptr(), message.len()) })
    }

    pub(super) fn result(value: &[u8]) -> Option<i32> {
        // SAFETY: as in `progress`.
        Some(unsafe { host_result(value.as_ptr(), value.len()) })
    }
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod imports {
    pub(super) fn progress(_done: i64, _total: i64, _message: &str) -> Option<i32> {
        None
    }

    pub(super) fn result(_value: &[u8]) -> Option<i32> {
        None
    }

    pub(super) fn alive() -> Option<i32> {
        None
    }

    pub(super) fn cancelled(_wait_millis: i64) -> Option<i32> {
        None
    }

    pub(super) fn checkpoint(_state: &[u8]) -> Option<i32> {
        None
    }

    pub(super) fn restored(_state: &mut [u8]) -> Option<i32> {
        None
    }

    pub(super) fn send(_message: &[u8]) -> Option<i32> {
        None
    }

    pub(super) fn receive(_buffer: &mut [u8], _wait_millis: i64) -> Option<i32> {
        None
    }

    #[cfg(feature = "framework")]
    pub(crate) fn call(_call: &[u8]) -> Option<i32> {
        None
    }

    #[cfg(feature = "framework")]
    pub(crate) fn event(_buffer: &mut [u8], _wait_millis: i64) -> Option<i32> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_of_wasm_the_calls_say_so() {
        assert_eq!(progress(1, 2, "half"), Err(HostError::Absent));
        assert_eq!(set_result(b"42"), Err(HostError::Absent));
        assert_eq!(alive(), Err(HostError::Absent));
        assert_eq!(checkpoint(b"42"), Err(HostError::Absent));
        assert_eq!(restored(), None);
        assert_eq!(send(b"42"), Err(HostError::Absent));
        assert_eq!(receive(Duration::ZERO), Err(HostError::Absent));
        assert!(!is_cancelled() && !sleep_unless_cancelled(Duration::ZERO));
    }

    #[test]
    fn every_answer_of_the_host_has_a_meaning() {
        assert_eq!(HostError::check(Some(0)), Ok(()));
        assert_eq!(HostError::check(Some(2)), Err(HostError::TooLarge));
        assert_eq!(HostError::check(Some(7)), Err(HostError::VirtualClock));
        assert_eq!(HostError::check(Some(8)), Err(HostError::TooMany));
        assert_eq!(HostError::check(Some(9)), Err(HostError::Refused(9)));
        assert_eq!(HostError::check(None), Err(HostError::Absent));
    }
}
