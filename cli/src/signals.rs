//! How a command is told to end: by a signal, or by the reader of its output that goes, which
//! counts as SIGPIPE; and what it exits with then.
//!
//! From [`heed`] on a signal does not end the process: the command hears of it ([`told_to_end`]),
//! ends its work, and exits with 128 and the signal's number, as shells have it. Always holds: the
//! first signal counts, whenever somebody looks; after it the process ends, at once if the keyboard
//! says so a second time, and within [`END_MAX`] whatever hangs.

use crate::{
    failure::{Failure, Result, Sentence},
    stdout::{Stream, WriteError, reader_gone},
};
use skep_shell::OwnFolder;
use std::{fmt, future::pending, io, sync::OnceLock, thread, time::Duration};
use tokio::{
    runtime::Builder,
    select,
    signal::unix::{Signal as Listener, SignalKind, signal},
    sync::watch,
    time::{Instant, sleep_until},
};

/// How long a command may take to end its work, once it is told to.
const END_MAX: Duration = Duration::from_secs(30);
/// A signal that comes again so soon is the same one, sent to the process and to its group.
const SAME_MAX: Duration = Duration::from_millis(300);
/// What a command that a signal ended exits with: this and the signal's number, as in shells.
pub(crate) const SIGNALLED: u8 = 128;

/// A signal that ends a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Its terminal is gone.
    Hangup,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-\.
    Quit,
    /// Nobody reads its output any more.
    Pipe,
    /// Somebody or something ends the process.
    Terminate,
}

/// What a signal does to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The command is told, and ends.
    Tells,
    /// So is a service, but nobody need read what it says.
    Serves,
    /// The process ends, for the command looks at nothing until it is done.
    Ends,
}

/// The first signal; nothing if this process does not heed them.
static TOLD: OnceLock<watch::Receiver<Option<Signal>>> = OnceLock::new();

impl Signal {
    /// What the command exits with.
    pub(crate) const fn code(self) -> u8 {
        SIGNALLED + self.number()
    }

    /// The number, the same on all systems.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Hangup => 1,
            Self::Interrupt => 2,
            Self::Quit => 3,
            Self::Pipe => 13,
            Self::Terminate => 15,
        }
    }

    /// The failure of a command whose tasks end for it.
    pub(crate) fn failure(self) -> Failure {
        if self == Self::Pipe {
            return WriteError::ReaderGone(Stream::Out).into();
        }
        let failure = Failure::from(Sentence(format!("{self}: its tasks are killed")));
        failure.with_code(self.code())
    }

    /// Ends the process without a word. What it has in temporary folders goes with it.
    pub(crate) fn end_process(self) -> ! {
        OwnFolder::remove_all();
        std::process::exit(self.code().into())
    }

    fn listen(self) -> io::Result<Listener> {
        signal(SignalKind::from_raw(self.number().into()))
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hangup => "the terminal is gone (SIGHUP)",
            Self::Interrupt => "interrupted (SIGINT)",
            Self::Quit => "told to quit (SIGQUIT)",
            Self::Pipe => "the reader of standard output has gone (SIGPIPE)",
            Self::Terminate => "terminated (SIGTERM)",
        })
    }
}

/// Has signals heard from now on instead of ending this process. They are listened to by a thread
/// of their own, which nothing that the command does can hold up.
///
/// # Errors
/// If they cannot be listened to.
pub(crate) fn heed(manner: Manner) -> io::Result<()> {
    if TOLD.get().is_some() {
        return Ok(());
    }
    let (tell, told) = watch::channel(None);
    let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
    thread::Builder::new().name("signals".into()).spawn(move || {
        let listening = Builder::new_current_thread().enable_all().build().and_then(|runtime| {
            let listeners = runtime.block_on(async { Listeners::open() })?;
            Ok((runtime, listeners))
        });
        match listening {
            Ok((runtime, listeners)) => {
                let _ = ready.send(Ok(()));
                runtime.block_on(listeners.tell(&tell, manner));
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        }
    })?;
    is_ready.recv().map_err(io::Error::other)??;
    let _ = TOLD.set(told);
    Ok(())
}

/// Waits until this command is told to end; for ever if it does not heed signals.
pub(crate) async fn told_to_end() -> Signal {
    let Some(told) = TOLD.get() else { return pending().await };
    let told = told.clone().wait_for(Option::is_some).await.ok().and_then(|signal| *signal);
    match told {
        Some(signal) => signal,
        None => pending().await,
    }
}

/// Does some work that may be dropped anywhere.
///
/// # Errors
/// [`Signal::failure`] if the command is told to end before the work is done.
pub(crate) async fn unless_told_to_end<T>(work: impl Future<Output = T>) -> Result<T> {
    select! {
        biased;
        done = work => Ok(done),
        signal = told_to_end() => Err(signal.failure()),
    }
}

/// The ears of the thread.
struct Listeners {
    /// None if SIGHUP was ignored at the start, as by `nohup`: the command outlives its terminal.
    hangup: Option<Listener>,
    interrupt: Listener,
    quit: Listener,
    terminate: Listener,
}

impl Listeners {
    fn open() -> io::Result<Self> {
        Ok(Self {
            hangup: if is_hangup_ignored() { None } else { Some(Signal::Hangup.listen()?) },
            interrupt: Signal::Interrupt.listen()?,
            quit: Signal::Quit.listen()?,
            terminate: Signal::Terminate.listen()?,
        })
    }

    async fn next(&mut self) -> Signal {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => pending().await,
            }
        };
        select! {
            _ = hangup => Signal::Hangup,
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.quit.recv() => Signal::Quit,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }

    /// Tells the first signal, and sees to it that the process ends.
    async fn tell(mut self, tell: &watch::Sender<Option<Signal>>, manner: Manner) {
        let gone = async {
            match manner {
                Manner::Serves => pending().await,
                Manner::Tells | Manner::Ends => reader_gone().await,
            }
        };
        let first = select! {
            signal = self.next() => signal,
            () = gone => Signal::Pipe,
        };
        if manner == Manner::Ends {
            first.end_process();
        }
        tell.send_replace(Some(first));
        let told_at = Instant::now();
        loop {
            select! {
                again = self.next() => {
                    // A terminal that goes may say so twice, and so may a supervisor of processes.
                    let by_hand = matches!(again, Signal::Interrupt | Signal::Quit);
                    if by_hand && told_at.elapsed() > SAME_MAX {
                        again.end_process();
                    }
                }
                () = sleep_until(told_at + END_MAX) => {
                    if first != Signal::Pipe {
                        let why = format!("{first}, but its work has not ended for {END_MAX:?}");
                        Failure::from(Sentence(why)).tell();
                    }
                    first.end_process();
                }
            }
        }
    }
}

/// Whether SIGHUP was ignored when this process began, as `nohup` has it.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores_hangup(&status)
}

/// What the kernel says of a process: a bit for each signal that is ignored, the first for SIGHUP.
fn ignores_hangup(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    ignored.is_some_and(|bits| bits & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_exits_with_128_and_the_number_of_the_signal_that_ended_it() {
        let all =
            [Signal::Hangup, Signal::Interrupt, Signal::Quit, Signal::Pipe, Signal::Terminate];
        assert_eq!(all.map(Signal::code), [129, 130, 131, 141, 143]);
    }

    #[test]
    fn who_was_started_by_nohup_is_told_from_who_was_not() {
        assert!(ignores_hangup("Name:\tskep\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"));
        assert!(!ignores_hangup("Name:\tskep\nSigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup(""));
    }
}
