//! What a guest sees of the world through WASI: exactly its grants, and nothing by default.
//!
//! Always holds: no environment but the `SKEP_*` names and what is granted, no directory but the
//! granted ones, no network, standard input closed unless granted; clocks and random numbers are
//! the machine's unless the task is granted others. File operations block the guest's own thread
//! only below the task's own folder; elsewhere may lie a pipe or a dead disk.

use crate::{
    component::network,
    feed::Feed,
    host::{
        clock::{FixedClock, Hands, VirtualClock},
        random,
    },
    jail,
    output::{Output, Stream, Which},
};
use chacha20::{
    ChaCha12Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use skep_protocol::{
    executor::StartGuest,
    ids::Attempt,
    task::{Access, Clock, DirGrant, DirSource, Random},
    time::Time,
};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::task::spawn_blocking;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder, WasiView as _, cli::AsyncStdinStream, p1::WasiP1Ctx};

/// What a guest has in its table besides what it opened: standard streams, granted directories, and
/// what one call holds while it runs; one more traps.
const HANDLES_SPARE: usize = 1_100;
/// What a task that must not depend on where it runs is told of that.
const NOWHERE: &str = "deterministic";

/// A guest's view of the world, and its clock if that is virtual.
pub(crate) struct View {
    pub(crate) wasi: WasiP1Ctx,
    pub(crate) clock: Option<Arc<VirtualClock>>,
}

/// Why a guest's view of the world could not be made. Not the guest's fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContextError {
    #[error("its standard input is granted, but no file came with the order")]
    NoStdin,
    #[error("its standard input cannot be waited for: {0}")]
    Pipe(#[source] io::Error),
    #[error("its folder {path:?} cannot be made: {source}")]
    Sandbox { path: PathBuf, source: io::Error },
    #[error("the directory {path:?} granted as {guest:?} cannot be opened: {why}")]
    Directory { path: PathBuf, guest: String, why: String },
    #[error("volume {name:?} is granted, but the agent names no folder for it")]
    Volume { name: String },
    #[error("the executor is stopping")]
    Stopping,
}

/// Makes a guest's view; what touches the disk is done on a blocking thread.
pub(crate) async fn view(
    guest: &StartGuest,
    stdin: Option<File>,
    output: &Arc<Output>,
) -> Result<View, ContextError> {
    let own_files = |dir: &DirGrant| dir.source == DirSource::Sandbox;
    let mut builder = WasiCtxBuilder::new();
    builder
        .arg(&guest.name)
        .args(&guest.args)
        .envs(&environment(guest))
        .stdout(Stream { output: Arc::clone(output), which: Which::Stdout })
        .stderr(Stream { output: Arc::clone(output), which: Which::Stderr })
        .max_random_size(random::STEP_BYTES as u64)
        .allow_blocking_current_thread(guest.grants.dirs.iter().all(own_files))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    if guest.grants.stdin.is_some() {
        let file = stdin.ok_or(ContextError::NoStdin)?;
        builder.stdin(AsyncStdinStream::new(tokio::fs::File::from_std(file)));
    } else if guest.grants.stdin_stream {
        let pipe = stdin.ok_or(ContextError::NoStdin)?;
        builder.stdin(Feed::new(pipe.into()).map_err(ContextError::Pipe)?);
    }
    if !guest.grants.dirs.is_empty() {
        builder = with_directories(builder, guest).await?;
    }
    network::grant(&mut builder, &guest.grants.network);
    let clock = with_clock(&mut builder, guest.grants.clock);
    if let Random::Seeded { seed } = guest.grants.random {
        with_seed(&mut builder, seed);
    }
    let mut wasi = builder.build_p1();
    let handles = usize::try_from(guest.limits.handles).unwrap_or(usize::MAX);
    wasi.ctx().table.set_max_capacity(handles.saturating_add(HANDLES_SPARE));
    Ok(View { wasi, clock })
}

fn with_clock(builder: &mut WasiCtxBuilder, clock: Clock) -> Option<Arc<VirtualClock>> {
    match clock {
        Clock::Real => None,
        Clock::Fixed { at } => {
            let clock = FixedClock(at.since(Time::ZERO));
            builder.wall_clock(clock).monotonic_clock(clock);
            None
        }
        Clock::Virtual { start } => {
            let clock = VirtualClock::new(start.since(Time::ZERO));
            let hands = Hands(Arc::clone(&clock));
            builder.wall_clock(hands.clone()).monotonic_clock(hands);
            Some(clock)
        }
    }
}

/// Three generators of one seed: what the guest draws of one must not tell the next of another.
fn with_seed(builder: &mut WasiCtxBuilder, seed: u64) {
    let generator = |kind: u64| {
        let mut generator = ChaCha12Rng::seed_from_u64(seed);
        generator.set_stream(kind);
        generator
    };
    builder
        .secure_random(generator(0))
        .insecure_random(generator(1))
        .insecure_random_seed(u128::from(generator(2).next_u64()));
}

fn environment(guest: &StartGuest) -> Vec<(&str, String)> {
    let key = &guest.key;
    let (attempt, framework, agent) = if guest.grants.is_deterministic() {
        (Attempt::FIRST, NOWHERE, NOWHERE)
    } else {
        (key.attempt, key.framework.as_str(), guest.agent.as_str())
    };
    let mut all = vec![
        ("SKEP_TASK_ID", key.task.to_string()),
        ("SKEP_TASK_ATTEMPT", attempt.to_string()),
        ("SKEP_FRAMEWORK_ID", framework.into()),
        ("SKEP_AGENT_ID", agent.into()),
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
            if let Err(why) = preopen(&mut builder, &path, &dir.guest, permissions) {
                return Err(ContextError::Directory { path, guest: dir.guest, why });
            }
        }
        Ok(builder)
    });
    opened.await.unwrap_or(Err(ContextError::Stopping))
}

/// Opens a folder for a guest: by the handle that the jail kept of it, or by its name.
fn preopen(
    builder: &mut WasiCtxBuilder,
    path: &Path,
    guest: &str,
    permissions: FsPerms,
) -> Result<(), String> {
    let mut open = || {
        let is_kept = jail::enter_folder(path).map_err(|error| error.to_string())?;
        let path = if is_kept { Path::new(".") } else { path };
        let opened = builder.preopened_dir(path, guest, permissions);
        opened.map(|_| ()).map_err(|error| error.root_cause().to_string())
    };
    if path.is_relative() {
        // The task's own folder, below the working directory of all.
        return open();
    }
    let opened = std::thread::scope(|scope| scope.spawn(open).join());
    opened.unwrap_or_else(|_| Err("the thread that opens it has failed".into()))
}

/// The folder of a guest's own files, made if it is not there.
pub(crate) fn files_folder(sandbox: &Path) -> Result<PathBuf, ContextError> {
    let path = sandbox.join("files");
    match fs::create_dir_all(&path) {
        Ok(()) => Ok(path),
        Err(source) => Err(ContextError::Sandbox { path, source }),
    }
}
