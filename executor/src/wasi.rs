//! What a guest sees of the world through WASI: exactly its grants, and nothing by default.
//!
//! Always holds: no environment but the `SKEP_*` names and what is granted, no directory but the
//! granted ones, no network, standard input closed unless granted, and no call that blocks the
//! thread. Clocks and randomness are real.

use crate::output::{Output, Stream, Which};
use skep_protocol::{
    executor::StartGuest,
    task::{Access, DirSource},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{fs::File, task::spawn_blocking};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder, WasiView as _, cli::AsyncStdinStream, p1::WasiP1Ctx};

/// Open files, directories and pollables of one guest. They are file descriptors of the executor,
/// which all its guests share; one more traps.
const HANDLES_MAX: usize = 256;
/// Random bytes made in one step; `random_get` asks as often as it needs.
pub(crate) const RANDOM_BYTES_MAX: usize = 64 << 10;

/// Why a guest's view of the world could not be made. Not the guest's fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContextError {
    #[error("its standard input is granted, but the agent names no file")]
    NoStdin,
    #[error("its standard input {path:?} cannot be opened: {source}")]
    Stdin { path: PathBuf, source: io::Error },
    #[error("its folder {path:?} cannot be made: {source}")]
    Sandbox { path: PathBuf, source: io::Error },
    #[error("the directory {path:?} granted as {guest:?} cannot be opened: {why}")]
    Directory { path: PathBuf, guest: String, why: String },
    #[error("volume {name:?} is granted, but the agent names no folder for it")]
    Volume { name: String },
    #[error("the executor is stopping")]
    Stopping,
}

/// Makes a guest's context; what touches the disk is done on a blocking thread.
pub(crate) async fn context(
    guest: &StartGuest,
    output: &Arc<Output>,
) -> Result<WasiP1Ctx, ContextError> {
    let mut builder = WasiCtxBuilder::new();
    builder
        .arg(&guest.name)
        .args(&guest.args)
        .envs(&environment(guest))
        .stdout(Stream { output: Arc::clone(output), which: Which::Stdout })
        .stderr(Stream { output: Arc::clone(output), which: Which::Stderr })
        .max_random_size(RANDOM_BYTES_MAX as u64)
        .allow_blocking_current_thread(false)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    if guest.grants.stdin.is_some() {
        let path = guest.stdin.as_ref().ok_or(ContextError::NoStdin)?;
        let file = File::open(path).await;
        let file = file.map_err(|source| ContextError::Stdin { path: path.clone(), source })?;
        builder.stdin(AsyncStdinStream::new(file));
    }
    if !guest.grants.dirs.is_empty() {
        builder = with_directories(builder, guest).await?;
    }
    let mut context = builder.build_p1();
    context.ctx().table.set_max_capacity(HANDLES_MAX);
    Ok(context)
}

fn environment(guest: &StartGuest) -> Vec<(&str, String)> {
    let key = &guest.key;
    let mut all = vec![
        ("SKEP_TASK_ID", key.task.to_string()),
        ("SKEP_TASK_ATTEMPT", key.attempt.to_string()),
        ("SKEP_FRAMEWORK_ID", key.framework.to_string()),
        ("SKEP_AGENT_ID", guest.agent.to_string()),
    ];
    all.extend(guest.index.map(|index| ("SKEP_TASK_INDEX", index.to_string())));
    all.extend(guest.grants.env.iter().map(|(name, value)| (name.as_str(), value.clone())));
    all
}

async fn with_directories(
    mut builder: WasiCtxBuilder,
    guest: &StartGuest,
) -> Result<WasiCtxBuilder, ContextError> {
    let (dirs, sandbox) = (guest.grants.dirs.clone(), guest.sandbox.clone());
    let opened = spawn_blocking(move || {
        for dir in dirs {
            let path = match dir.source {
                DirSource::Sandbox => files_folder(&sandbox)?,
                DirSource::Host(path) => path.into(),
                DirSource::Volume(name) => return Err(ContextError::Volume { name }),
            };
            let permissions = match dir.access {
                Access::ReadOnly => FsPerms::ReadOnly,
                Access::ReadWrite => FsPerms::ReadWrite,
            };
            if let Err(error) = builder.preopened_dir(&path, &dir.guest, permissions) {
                let why = error.root_cause().to_string();
                return Err(ContextError::Directory { path, guest: dir.guest, why });
            }
        }
        Ok(builder)
    });
    opened.await.unwrap_or(Err(ContextError::Stopping))
}

fn files_folder(sandbox: &Path) -> Result<PathBuf, ContextError> {
    let path = sandbox.join("files");
    match fs::create_dir_all(&path) {
        Ok(()) => Ok(path),
        Err(source) => Err(ContextError::Sandbox { path, source }),
    }
}
