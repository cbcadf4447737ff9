//! What lies in a guest's own folder before it starts.
//!
//! The agent hands over open files, which several guests may share: each is read from its
//! beginning without moving the place that others read from. Always holds: what is laid is a copy,
//! so that a guest that changes it changes nothing of the agent's.

use crate::wasi::files_folder;
use skep_parcel::{Budget, Folder, UnpackError, unpack};
use skep_protocol::{executor::StartGuest, outcome::Outcome, task::Input};
use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::task::spawn_blocking;

/// Lays the inputs of a guest into its folder. `files` are theirs, in their order.
///
/// # Errors
/// How the guest has ended without having run.
pub(crate) async fn lay(guest: &StartGuest, files: &[Arc<File>]) -> Result<(), Outcome> {
    let (sandbox, inputs, files) = (guest.sandbox.clone(), guest.inputs.clone(), files.to_vec());
    let budget = Budget { bytes: guest.limits.disk_bytes, names: guest.limits.files };
    // A guest that is killed meanwhile does not wait for the rest.
    let wanted = Wanted(Arc::new(AtomicBool::new(true)));
    let still = Arc::clone(&wanted.0);
    let laid = spawn_blocking(move || {
        let goes_on = || still.load(Ordering::Relaxed);
        lay_all(&sandbox, &inputs, files, budget, goes_on)
    });
    let why = match laid.await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(Fault { source: UnpackError::Full, .. })) => {
            let (bytes, files) = (guest.limits.disk_bytes, guest.limits.files);
            return Err(Outcome::DiskLimit { bytes, files });
        }
        Ok(Err(fault)) => fault.to_string(),
        Err(_) => "the executor is stopping".into(),
    };
    Err(Outcome::Failed { why })
}

#[derive(Debug, thiserror::Error)]
#[error("its input {guest:?} cannot be laid into its folder: {source}")]
struct Fault {
    guest: String,
    source: UnpackError,
}

/// Says that it is not wanted any more when it is dropped.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn lay_all(
    sandbox: &Path,
    inputs: &[Input],
    files: Vec<Arc<File>>,
    mut budget: Budget,
    goes_on: impl Fn() -> bool,
) -> Result<(), Fault> {
    let fault = |guest: &str, source| Fault { guest: guest.into(), source };
    let root = files_folder(sandbox).map_err(io::Error::other).and_then(|path| Folder::open(&path));
    let root =
        root.map_err(|source| fault(".", UnpackError::Write { path: sandbox.into(), source }))?;
    for (Input { guest, form, .. }, file) in inputs.iter().zip(files) {
        let blob = Whole { file, offset: 0 };
        let laid = unpack(&root, guest, *form, blob, &mut budget, &goes_on);
        laid.map_err(|source| fault(guest, source))?;
    }
    Ok(())
}

/// Reads a file from its beginning, wherever others are in it.
struct Whole {
    file: Arc<File>,
    offset: u64,
}

impl Read for Whole {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(bytes, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
