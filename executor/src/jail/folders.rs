//! Granted folders, opened before the jail is closed.
//!
//! An executor that has become another user may have no right to the folders above a volume. So it
//! keeps a handle of each, and reaches it as the working directory of a thread of its own.

use super::{Jail, JailError, folder, raw};
use rustix::{
    fs::{Mode, OFlags, open},
    process::fchdir,
};
use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::OnceLock,
};

static FOLDERS: OnceLock<BTreeMap<PathBuf, OwnedFd>> = OnceLock::new();

/// Opens the folders of the profile, once in the life of the process.
pub(super) fn keep(jail: &Jail) -> Result<(), JailError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut opened = BTreeMap::new();
    for path in jail.dirs.keys() {
        let handle = open(path, flags, Mode::empty());
        let handle = handle.map_err(|error| folder(path)(io::Error::from(error)))?;
        opened.insert(path.clone(), handle);
    }
    // A jail is entered once; in tests the first one counts.
    let _ = FOLDERS.set(opened);
    Ok(())
}

/// Makes a granted folder the working directory of this thread alone, which must be one that ends
/// before it does anything else. False: it has no handle, and is reached by its name.
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn enter(path: &Path) -> io::Result<bool> {
    let Some(handle) = FOLDERS.get().and_then(|folders| folders.get(path)) else {
        return Ok(false);
    };
    raw::part_from_working_directory()?;
    fchdir(handle)?;
    Ok(true)
}
