//! The process of an executor, whether this run of the agent started it or an earlier one did.

use super::END_MAX;
use rustix::process::{Signal, pidfd_send_signal};
use std::{io, os::fd::OwnedFd};
use tokio::{
    io::{Interest, unix::AsyncFd},
    process::Child,
    time::timeout,
};

/// See the module. Dropping it leaves the process alone.
pub(super) enum Process {
    /// Our child: how it ended can be told.
    Child(Child),
    /// Somebody else's by now: that it ended can be told.
    Adopted(AsyncFd<OwnedFd>),
}

impl Process {
    /// Takes a process by its descriptor.
    #[expect(deprecated, reason = "the successor is unsafe for descriptors that are not owned")]
    pub(super) fn adopted(process: OwnedFd) -> io::Result<Self> {
        Ok(Self::Adopted(AsyncFd::with_interest(process, Interest::READABLE)?))
    }

    /// Waits for the end of an executor that has hung up or was told to stop; kills it if it does
    /// not come. Gives how it ended, in words.
    pub(super) async fn end(&mut self) -> io::Result<String> {
        match timeout(END_MAX, self.wait()).await {
            Ok(ended) => ended,
            Err(_) => {
                self.kill()?;
                self.wait().await
            }
        }
    }

    async fn wait(&mut self) -> io::Result<String> {
        match self {
            Self::Child(child) => Ok(child.wait().await?.to_string()),
            Self::Adopted(process) => {
                process.readable().await?.retain_ready();
                Ok("it has ended".into())
            }
        }
    }

    fn kill(&mut self) -> io::Result<()> {
        match self {
            Self::Child(child) => child.start_kill(),
            Self::Adopted(process) => Ok(pidfd_send_signal(process.get_ref(), Signal::KILL)?),
        }
    }
}
