//! The whole life of a framework that is a program of its own, so that the same source is one
//! inside the sandbox too: there, guest-sdk has these names.

use crate::{Cluster, ConnectError, PushError, RunError};
use skep_protocol::{Digest, framework::FrameworkInfo};
use skep_scheduler::{Ending, Scheduler};
use std::{error::Error as _, fmt, future::pending, io};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};

/// Why a framework could not begin, or ended otherwise than it wanted.
#[derive(thiserror::Error)]
pub enum ProgramError {
    /// The machine gives no threads.
    #[error("there is nothing to run on")]
    Setup(#[source] io::Error),
    /// No connection to a cluster.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A module could not be stored.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The master does not want the framework.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The master refused the framework.
    #[error("the master refused the framework: {0}")]
    Refused(skep_protocol::Rejection),
    /// SIGINT or SIGTERM: the framework is torn down.
    #[error("told to end: its tasks are killed")]
    Told,
}

/// As `main` prints it that returns it: in words, with all causes.
impl fmt::Debug for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// The modules that a framework launches.
#[derive(Debug)]
pub struct Modules<'a> {
    runtime: &'a Runtime,
    cluster: &'a Cluster,
}

impl Modules<'_> {
    /// The digest of a module, by its file's name. The file is stored in the cluster first, unless
    /// it is there.
    ///
    /// # Errors
    /// [`ProgramError::Push`] if it cannot be read or stored.
    pub fn find(&self, file: &str) -> Result<Digest, ProgramError> {
        Ok(self.runtime.block_on(self.cluster.push_file(file.as_ref()))?)
    }
}

/// Connects to the cluster that the environment names (see [`Cluster::connect_from_env`]), makes a
/// scheduler, and runs it until it stops itself. For `fn main`.
///
/// The framework is gone with this process: SIGINT (Ctrl-C) and SIGTERM tear it down. One that is
/// to go on in another process keeps its id, and comes back by [`Cluster::resume`].
///
/// # Errors
/// [`ProgramError`], which says what to do.
pub fn run<S: Scheduler>(
    info: FrameworkInfo,
    make: impl FnOnce(&Modules<'_>) -> Result<S, ProgramError>,
) -> Result<(), ProgramError> {
    let runtime =
        Builder::new_current_thread().enable_all().build().map_err(ProgramError::Setup)?;
    let cluster = runtime.block_on(Cluster::connect_from_env())?;
    let mut scheduler = make(&Modules { runtime: &runtime, cluster: &cluster })?;
    let mut is_told = false;
    let told = async {
        told_to_end().await;
        is_told = true;
    };
    let ended = runtime.block_on(cluster.run_until(info, &mut scheduler, told))?;
    runtime.block_on(cluster.close());
    match ended {
        Ending::Refused(rejection) => Err(ProgramError::Refused(rejection)),
        Ending::Done | Ending::Paused if is_told => Err(ProgramError::Told),
        Ending::Done | Ending::Paused => Ok(()),
    }
}

/// Waits for one of the signals that end programs; for ever if they cannot be listened to, and then
/// they end this one as they are.
async fn told_to_end() {
    let listeners = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = listeners else { return pending().await };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
