//! The system calls that no library in use here wraps.

#![expect(unsafe_code, reason = "system calls without a safe wrapper")]

use std::{io, ptr};

/// Closes all descriptors but the first three. To be called before anything is opened that is to
/// stay: it asks nobody whose they are.
///
/// # Errors
/// If the kernel is older than Linux 5.9.
pub fn close_inherited() -> io::Result<()> {
    // SAFETY: nothing in this process owns a descriptor yet, but for the standard ones.
    match unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives this thread a working directory of its own.
pub(super) fn part_from_working_directory() -> io::Result<()> {
    // SAFETY: no memory is touched; what other threads have open stays shared.
    match unsafe { libc::unshare(libc::CLONE_FS) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The version of Landlock, if the kernel has it and it is turned on.
pub(super) fn landlock_abi() -> Option<u32> {
    const CREATE_RULESET_VERSION: u32 = 1;
    let none = ptr::null::<u8>();
    // SAFETY: asked for the version, the kernel reads no attributes.
    let abi = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, CREATE_RULESET_VERSION)
    };
    u32::try_from(abi).ok().filter(|abi| *abi > 0)
}

pub(super) fn has_seccomp_filters() -> bool {
    let action = libc::SECCOMP_RET_ERRNO;
    let ask = libc::SECCOMP_GET_ACTION_AVAIL;
    // SAFETY: the kernel only reads the action, which lives until the call is over.
    unsafe { libc::syscall(libc::SYS_seccomp, ask, 0, &raw const action) == 0 }
}
