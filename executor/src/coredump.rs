//! Core dumps: what a guest held when it died, for who asked for it beforehand.
//!
//! In the tool conventions' format: memories, globals and the stack, without locals, which compiled
//! code does not keep. The file `core` lies beside the guest's own files, where it cannot reach it.
//! Always holds: a dump is whole or not there; one is made at a time, on a blocking thread, for it
//! takes up to three times its length in memory; one that cannot be made is logged and changes
//! nothing else. A guest that its deadline stopped has lost its stack: its dump shows the start.
//! Deliberately absent: dumps of guests that were killed or that exited, and of components that
//! their deadline stopped.

use crate::guest::GuestState;
use skep_protocol::{executor::StartGuest, outcome::Outcome};
use std::{
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};
use tokio::{sync::Semaphore, task::spawn_blocking};
use wasmtime::{Error, Store, WasmCoreDump};

/// The largest memory of which a dump is made; the file is a hundredth larger at most, and a few
/// mebibytes if the guest has a hundred thousand globals. What is made at once is bounded by it.
const MEMORY_BYTES_MAX: u64 = 128 << 20;
/// The file's name in the sandbox folder, and the one it has until it is whole.
const FILE: &str = "core";
const DRAFT: &str = "core.draft";

/// One dump at a time.
static MAKING: Semaphore = Semaphore::const_new(1);

/// Why there is no dump.
#[derive(Debug, thiserror::Error)]
enum NoDump {
    #[error("its memory of {0} bytes is larger than the {MEMORY_BYTES_MAX} that are dumped")]
    TooLarge(u64),
    #[error("a fault in wasmtime")]
    Fault,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Whether a guest that ends like this leaves a dump: a trap, or a limit.
fn is_wanted(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Trapped { .. }
        | Outcome::OutOfFuel { .. }
        | Outcome::OutOfMemory { .. }
        | Outcome::DeadlinePassed { .. }
        | Outcome::OutputLimit { .. }
        | Outcome::DiskLimit { .. }
        | Outcome::HandleLimit { .. }
        | Outcome::RandomLimit { .. } => true,
        Outcome::Exited { .. }
        | Outcome::Unhealthy { .. }
        | Outcome::Killed { .. }
        | Outcome::ModuleRejected { .. }
        | Outcome::Refused { .. }
        | Outcome::Failed { .. }
        | Outcome::Lost { .. } => false,
    }
}

/// Writes the dump of a guest whose last call returned `error`, or never did, and gives its store
/// back; none if the executor is stopping.
pub(crate) async fn leave(
    mut store: Store<GuestState>,
    outcome: &Outcome,
    error: Option<Error>,
    guest: &StartGuest,
) -> Option<Store<GuestState>> {
    if !is_wanted(outcome) {
        return Some(store);
    }
    let error = match error {
        Some(error) => Some(error),
        None => stopped(&mut store).await,
    };
    let Some(error) = error.filter(|error| error.is::<WasmCoreDump>()) else {
        tracing::debug!(key = %guest.key, "died before there was anything to dump");
        return Some(store);
    };
    let _turn = MAKING.acquire().await;
    let (folder, name, key) = (guest.sandbox.clone(), guest.name.clone(), guest.key.clone());
    let made = spawn_blocking(move || {
        let dump = error.downcast_ref().expect("it was looked at");
        let written = make(&mut store, dump, &name).and_then(|bytes| write(&folder, &bytes));
        if let Err(why) = written {
            tracing::warn!(%key, %why, "no core dump");
        }
        store
    });
    made.await.ok()
}

/// The state of a guest that was stopped from outside. wasmtime tells it with a trap, so the guest
/// is called once more, without fuel: it traps before its first instruction.
async fn stopped(store: &mut Store<GuestState>) -> Option<Error> {
    let instance = store.data().instance?;
    store.set_fuel(0).ok()?;
    let start = instance.get_typed_func::<(), ()>(&mut *store, "_start").ok()?;
    start.call_async(store, ()).await.err()
}

fn make(store: &mut Store<GuestState>, dump: &WasmCoreDump, name: &str) -> Result<Vec<u8>, NoDump> {
    let bytes: u64 = dump.memories().iter().map(|memory| memory.data_size(&*store) as u64).sum();
    if bytes > MEMORY_BYTES_MAX {
        return Err(NoDump::TooLarge(bytes));
    }
    catch_unwind(AssertUnwindSafe(|| dump.serialize(&mut *store, name))).map_err(|_| NoDump::Fault)
}

fn write(folder: &Path, bytes: &[u8]) -> Result<(), NoDump> {
    fs::create_dir_all(folder)?;
    let draft = folder.join(DRAFT);
    let written = fs::write(&draft, bytes).and_then(|()| fs::rename(&draft, folder.join(FILE)));
    if written.is_err() {
        // The disk may be full; what there is of it is of no use.
        let _ = fs::remove_file(&draft);
    }
    Ok(written?)
}
