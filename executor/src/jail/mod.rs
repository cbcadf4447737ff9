//! The jail: what this process gives up before it reads a byte that a guest or its author wrote.
//!
//! Guests run in wasmtime's sandbox; the jail is for the day on which one breaks out of it. Then
//! it is in a process that can read and write the sandboxes of its own framework and what its
//! profile was granted, and nothing else: no other file, no socket (but in the network profile, of
//! the internet protocols), no process, no signal, no privilege.
//!
//! | file | layer |
//! |---|---|
//! | `raw` | inherited descriptors, and what the kernel offers |
//! | `privileges` | no-new-privileges, capabilities, user and groups, resource limits |
//! | `files` | Landlock: folders, and signals and sockets across the border where it can |
//! | `folders` | granted folders, which the user could not reach by their names |
//! | `calls` | seccomp: the system calls that executors make, and no other |
//!
//! The compiler is in jail too, without any folder (`compile.rs`).
//!
//! Always holds: it is entered by the only thread there is, since Landlock and the user are a
//! thread's own and pass to the threads that it starts; what needs more than the jail allows (the
//! engines' view of their own page tables, the number of processors) is opened before. Deliberately
//! absent: namespaces and chroot, which need privileges that an agent of an ordinary user has not.

mod calls;
mod files;
mod folders;
mod privileges;
mod raw;

use skep_protocol::task::Access;
use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

pub use raw::close_inherited;

pub(crate) use folders::enter as enter_folder;

/// The least version of Landlock that counts: the first that also stops truncation.
const LANDLOCK_ABI_MIN: u32 = 3;

/// What is left open to an executor.
#[derive(Clone, Debug)]
pub struct Jail {
    /// What is done about a kernel that lacks a layer.
    pub strictness: Strictness,
    /// The user and group to become; none: stay who we are.
    pub user: Option<u32>,
    /// The folder of the framework's sandboxes, to read and write; becomes the working directory,
    /// so that the user needs no right to the folders above it. None: a process that needs no file
    /// but those that are open.
    pub root: Option<PathBuf>,
    /// The folders of the profile.
    pub dirs: BTreeMap<PathBuf, Access>,
    /// Whether sockets of the internet protocols can be opened.
    pub network: Network,
    /// Whose the files are that guests make.
    pub files: Files,
}

/// Whose the files are that guests make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Files {
    /// Their user's, to write.
    #[default]
    Own,
    /// Everybody's who gets to them: volumes are shared by the executors of a role, which are
    /// different users.
    Shared,
}

/// What is done about a kernel that lacks a layer of the jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// No guest runs.
    Strict,
    /// The other layers must do; a warning says which is missing.
    BestEffort,
}

/// Whether sockets can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// None.
    Closed,
    /// Those of the internet protocols, to connect and not to listen.
    Open,
}

/// A layer that not every kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Layer {
    /// Files.
    #[error("landlock (Linux 6.2 or later, with `landlock` among its security modules)")]
    Landlock,
    /// System calls.
    #[error("seccomp (a kernel with filters, on x86_64 or aarch64)")]
    Seccomp,
}

/// Why a process is not in jail. It must not go on.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// The operator wants all layers.
    #[error(
        "the sandbox is strict and this kernel lacks {layer}; allow it with --sandbox best-effort"
    )]
    Missing {
        /// Which layer.
        layer: Layer,
    },
    /// Somebody started threads, which would stay outside.
    #[error("the jail must be entered before there are threads, and there are {threads}")]
    Threads {
        /// How many.
        threads: usize,
    },
    /// A folder that it is to leave open.
    #[error("the folder {path:?} cannot be opened for the jail: {source}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The kernel refused a step.
    #[error("{step} failed: {source}")]
    Step {
        /// Which.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// The layers that this kernel lacks.
pub fn missing_layers() -> Vec<Layer> {
    let landlock = landlock_abi().is_none_or(|abi| abi < LANDLOCK_ABI_MIN);
    let seccomp = !calls::is_known_architecture() || !raw::has_seccomp_filters();
    let lacks = [(landlock, Layer::Landlock), (seccomp, Layer::Seccomp)];
    lacks.into_iter().filter_map(|(lacks, layer)| lacks.then_some(layer)).collect()
}

/// The version of Landlock that this kernel offers.
pub fn landlock_abi() -> Option<u32> {
    raw::landlock_abi()
}

/// Puts this process, which has one thread, into jail for good.
///
/// # Errors
/// [`JailError`]
pub fn enter(jail: &Jail) -> Result<(), JailError> {
    let threads = threads().map_err(step("counting threads"))?;
    if threads != 1 {
        return Err(JailError::Threads { threads });
    }
    let missing = missing_layers();
    for layer in &missing {
        match jail.strictness {
            Strictness::Strict => return Err(JailError::Missing { layer: *layer }),
            Strictness::BestEffort => {
                tracing::warn!("this kernel lacks a wall of the jail: {layer}")
            }
        }
    }
    if let Some(root) = &jail.root {
        env::set_current_dir(root).map_err(folder(root))?;
    }
    // The folders are opened while we may still reach them by their names.
    let files = files::prepare(jail)?;
    folders::keep(jail)?;
    if jail.files == Files::Shared {
        rustix::process::umask(rustix::fs::Mode::empty());
    }
    privileges::drop_all(jail.user)?;
    if !missing.contains(&Layer::Landlock) {
        files::close(files)?;
    }
    if !missing.contains(&Layer::Seccomp) {
        calls::filter(jail.network)?;
    }
    Ok(())
}

fn threads() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/task")?.count())
}

fn step<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> JailError {
    move |source| JailError::Step { step, source: source.into() }
}

fn folder(path: &Path) -> impl FnOnce(io::Error) -> JailError {
    let path = path.to_owned();
    move |source| JailError::Folder { path, source }
}
