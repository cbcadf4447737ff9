//! The error numbers of WASI preview 1 that we give ourselves.

pub(super) const SUCCESS: i32 = 0;
pub(super) const FAULT: i32 = 21;
pub(super) const INVAL: i32 = 28;
pub(super) const MFILE: i32 = 33;
pub(super) const NOENT: i32 = 44;
pub(super) const NOMEM: i32 = 48;
pub(super) const NOSPC: i32 = 51;
pub(super) const OVERFLOW: i32 = 61;
