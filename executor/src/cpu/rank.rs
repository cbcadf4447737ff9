//! The rank of a thread in the kernel's eyes: common, or only what all others leave.
//!
//! Owns the one system call that no library wraps, and so has unsafe code. Always holds: a refusal
//! of the kernel is no fault: shares then hold within an executor, but not between two.

#![expect(unsafe_code, reason = "the standard library and rustix do not set a thread's policy")]

use rustix::{
    process::{Pid, RawPid},
    thread::gettid,
};
use std::{io, mem};

/// Gives a thread of this process the rank of any other. The kernel may refuse it to a process
/// without privileges, according to its `RLIMIT_NICE`.
pub(super) fn raise(thread: Pid) -> io::Result<()> {
    set(thread.as_raw_nonzero().get(), libc::SCHED_OTHER)
}

/// Gives this thread the lowest rank: it only gets what all others leave.
pub(super) fn lower() -> io::Result<()> {
    set(gettid().as_raw_nonzero().get(), libc::SCHED_IDLE)
}

fn set(thread: RawPid, policy: libc::c_int) -> io::Result<()> {
    // SAFETY: all zeros is a valid value of this structure of integers.
    let parameter: libc::sched_param = unsafe { mem::zeroed() };
    // SAFETY: the kernel only reads the structure, which lives until the call is over.
    match unsafe { libc::sched_setscheduler(thread, policy, &raw const parameter) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
