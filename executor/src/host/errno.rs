//! The error numbers of WASI preview 1 that we give ourselves.

use rustix::io::Errno;

pub(super) const SUCCESS: i32 = 0;
pub(super) const ACCES: i32 = 2;
pub(super) const BADF: i32 = 8;
pub(super) const FAULT: i32 = 21;
/// A name that is not UTF-8.
pub(super) const ILSEQ: i32 = 25;
pub(super) const INVAL: i32 = 28;
pub(super) const IO: i32 = 29;
pub(super) const MFILE: i32 = 33;
pub(super) const NFILE: i32 = 41;
pub(super) const NOENT: i32 = 44;
pub(super) const NOMEM: i32 = 48;
pub(super) const NOSPC: i32 = 51;
pub(super) const NOTDIR: i32 = 54;
pub(super) const PERM: i32 = 63;

/// What the kernel says when a directory is opened and read.
pub(super) const fn of(errno: Errno) -> i32 {
    match errno {
        Errno::ACCESS => ACCES,
        Errno::MFILE => MFILE,
        Errno::NFILE => NFILE,
        Errno::NOENT => NOENT,
        Errno::NOMEM => NOMEM,
        Errno::NOTDIR => NOTDIR,
        Errno::PERM => PERM,
        _ => IO,
    }
}
