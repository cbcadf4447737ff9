//! Where an agent and its executors find each other again: files named after an executor's run.
//!
//! ```text
//! <run>.new    the socket on which an executor listens that has not taken guests
//! <run>.sock   the same, from the moment on that it may
//! <run>.pid    which process it is, and when that began
//! <run>.err    the pipe that is its standard error
//! boot         which start of the machine they are of
//! ```
//! Always holds: an executor that was given a guest has a `.sock`, until all that became of its
//! guests is recorded; a `.sock` has a `.pid`. So without a `.sock` there was never a guest. The
//! folder is the agent's alone, so nobody else can dial.

use cap_std::fs::Dir;
use rustix::{
    fs::{FileType, Mode, OFlags, mknodat, openat},
    io::Errno,
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
    },
    process::{Pid, PidfdFlags, pidfd_open},
};
use skep_agent_core::ExecutorRun;
use std::{
    collections::BTreeSet,
    fs, io,
    os::fd::{AsRawFd as _, OwnedFd},
    sync::Arc,
};

/// Who dials: this agent, or one that is started while this one still has the connection.
const CALLS_MAX: i32 = 4;
const BOOT: &str = "boot";
const SUFFIXES: [&str; 4] = ["new", "sock", "pid", "err"];

/// The files of one executor.
#[derive(Clone)]
pub(super) struct Rendezvous {
    folder: Arc<Dir>,
    run: ExecutorRun,
}

/// What an executor is started with.
pub(super) struct Ends {
    /// Its standard input.
    pub(super) socket: OwnedFd,
    /// Its standard error, and where the agent reads it.
    pub(super) log: OwnedFd,
    pub(super) log_reader: OwnedFd,
}

/// An executor of an earlier run of the agent that is there.
pub(super) struct Found {
    pub(super) socket: OwnedFd,
    pub(super) log_reader: OwnedFd,
    pub(super) process: OwnedFd,
}

/// Why an executor of an earlier run of the agent is not there.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotFound {
    /// It never came so far as to take a guest.
    #[error("it never got ready")]
    Unready,
    /// It may have had guests.
    #[error("it has ended")]
    Ended,
    /// Nothing is known, and it may be known later.
    #[error("it cannot be dialled")]
    Unknown(#[from] io::Error),
}

impl Rendezvous {
    pub(super) const fn new(folder: Arc<Dir>, run: ExecutorRun) -> Self {
        Self { folder, run }
    }

    fn name(&self, suffix: &str) -> String {
        format!("{}.{suffix}", self.run)
    }

    /// Makes what an executor is started with.
    pub(super) fn make(&self) -> io::Result<Ends> {
        let listener = unix_socket()?;
        bind(&listener, &self.address("new")?)?;
        listen(&listener, CALLS_MAX)?;
        let name = self.name("err");
        mknodat(&*self.folder, &name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        // Open for both, it has a reader even while there is no agent; and what does not fit is
        // dropped rather than waited for.
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let log = openat(&*self.folder, &name, flags, Mode::empty())?;
        Ok(Ends { socket: listener, log, log_reader: self.log_reader()? })
    }

    /// Dials an executor that was just started.
    pub(super) fn dial(&self) -> io::Result<OwnedFd> {
        self.dial_at("new")
    }

    /// Writes down which process it is.
    pub(super) fn note(&self, pid: Pid) -> io::Result<()> {
        let pid = pid.as_raw_pid();
        let began = began(pid).ok_or_else(|| io::Error::other("it has ended"))?;
        self.folder.write(self.name("pid"), format!("{pid} {began}"))
    }

    /// It may be given guests from now on.
    pub(super) fn is_ready(&self) -> io::Result<()> {
        match self.folder.rename(self.name("new"), &self.folder, self.name("sock")) {
            // An earlier run of the agent came so far.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            renamed => renamed,
        }
    }

    /// Looks for an executor of an earlier run of the agent.
    pub(super) fn find(&self) -> Result<Found, NotFound> {
        let socket = match self.dial_at("sock") {
            Ok(socket) => socket,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.find_new(),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(NotFound::Ended);
            }
            Err(error) => return Err(NotFound::Unknown(error)),
        };
        let process = self.process()?.ok_or(NotFound::Ended)?;
        Ok(Found { socket, log_reader: self.log_reader()?, process })
    }

    /// One that got no guests is of no use: without a caller it ends by itself.
    fn find_new(&self) -> Result<Found, NotFound> {
        match self.dial_at("new") {
            Ok(socket) => {
                let process = self.process()?.ok_or(NotFound::Unready)?;
                Ok(Found { socket, log_reader: self.log_reader()?, process })
            }
            Err(_) => Err(NotFound::Unready),
        }
    }

    /// The process that was written down, if it still runs.
    fn process(&self) -> io::Result<Option<OwnedFd>> {
        let Ok(text) = self.folder.read_to_string(self.name("pid")) else { return Ok(None) };
        let Some((pid, began_then)) = text.split_once(' ') else { return Ok(None) };
        let (Ok(pid), Ok(began_then)) = (pid.parse(), began_then.parse()) else { return Ok(None) };
        let Some(process) = Pid::from_raw(pid) else { return Ok(None) };
        let process = match pidfd_open(process, PidfdFlags::NONBLOCK) {
            Ok(process) => process,
            Err(Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Looked at while it is held: the number is nobody else's meanwhile.
        Ok((began(pid) == Some(began_then)).then_some(process))
    }

    fn log_reader(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(openat(&*self.folder, self.name("err"), flags, Mode::empty())?)
    }

    fn dial_at(&self, suffix: &str) -> io::Result<OwnedFd> {
        let caller = unix_socket()?;
        connect(&caller, &self.address(suffix)?)?;
        Ok(caller)
    }

    /// By way of the open folder: the name of a socket must be short.
    fn address(&self, suffix: &str) -> io::Result<SocketAddrUnix> {
        let folder = self.folder.as_raw_fd();
        Ok(SocketAddrUnix::new(format!("/proc/self/fd/{folder}/{}", self.name(suffix)))?)
    }

    /// Removes all of them.
    pub(super) fn forget(&self) {
        for suffix in SUFFIXES {
            match self.folder.remove_file(self.name(suffix)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(file = self.name(suffix), %error, "cannot be removed");
                }
                _ => {}
            }
        }
    }
}

/// Removes the files of executors that no record knows, and tells whether those that are recorded
/// are of this start of the machine.
pub(super) fn tidy(folder: &Dir, known: &BTreeSet<String>) -> io::Result<Machine> {
    for entry in folder.entries()? {
        let name = entry?.file_name();
        let parts = name.to_str().and_then(|name| name.rsplit_once('.'));
        if let Some((run, suffix)) = parts
            && SUFFIXES.contains(&suffix)
            && !known.contains(run)
        {
            folder.remove_file(&name)?;
        }
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    if folder.read_to_string(BOOT).is_ok_and(|earlier| earlier == boot) {
        return Ok(Machine::Same);
    }
    folder.write(BOOT, boot)?;
    Ok(Machine::Rebooted)
}

/// Whether the machine was started anew since executors were last started on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine {
    Same,
    Rebooted,
}

fn unix_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

/// When a process began, in ticks since the machine was started; none if there is no such.
fn began(pid: i32) -> Option<u64> {
    const AFTER_NAME: usize = 19;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, but what follows its last bracket are numbers.
    stat.rsplit_once(')')?.1.split_whitespace().nth(AFTER_NAME)?.parse().ok()
}
