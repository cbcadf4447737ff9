//! Standard output and standard error: the one place that writes them, and that says what it means
//! when they cannot be written.
//!
//! A reader of standard output that goes away ends the command, as SIGPIPE ends the programs of a
//! pipeline: exit code 141 and no words. [`reader_gone`] notices it without a write, because a
//! guest that is silent must end as well. What a guest writes to standard error is treated alike
//! once it is written. Every other error means that output is missing: the command fails in words.
//!
//! What skep itself says on standard error is no result. Where nobody reads it, it is dropped.

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use std::{
    fmt, io,
    os::fd::{AsFd as _, BorrowedFd},
    thread,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::watch,
    task::spawn_blocking,
    time::sleep,
};

/// How long a command that writes no more may take to end by itself when its reader has gone: one
/// that has written all and is about to end has nothing to do with its reader.
const END_BY_ITSELF: Duration = Duration::from_millis(250);
/// How much of a stream is read and written at a time.
const PIECE_BYTES: usize = 64 << 10;

/// One of the two streams that a command writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Out => "standard output",
            Self::Err => "standard error",
        })
    }
}

/// Why a stream does not take what is written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// Nobody reads it any more. This ends the command without words.
    #[error("the reader of {0} has gone")]
    ReaderGone(Stream),
    /// Output is missing.
    #[error("{0} cannot be written, so output is missing")]
    Failed(Stream, #[source] io::Error),
}

impl WriteError {
    /// What it means that a write to a stream failed.
    pub(crate) fn new(stream: Stream, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone(stream),
            _ => Self::Failed(stream, error),
        }
    }
}

/// Why a stream was not copied to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// There may be more, but it cannot be read.
    #[error("the output of the task could not be read to its end")]
    Read(#[source] io::Error),
    /// What was read cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Whether an error says that a reader has gone.
pub(crate) fn is_reader_gone(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        matches!(cause.downcast_ref(), Some(WriteError::ReaderGone(_)))
            || matches!(cause.downcast_ref(), Some(CopyError::Write(WriteError::ReaderGone(_))))
    })
}

/// Prints a line on standard output.
///
/// # Errors
/// [`WriteError`] if not all of it was written.
pub(crate) fn print(text: &str) -> Result<(), WriteError> {
    write(Stream::Out, format!("{text}\n").as_bytes())
}

/// Prints a line that tells people what a service does. Its reader may go; the service stays.
///
/// # Errors
/// [`WriteError`] if it was not written for another reason.
pub(crate) fn announce(text: &str) -> Result<(), WriteError> {
    match print(text) {
        Err(WriteError::ReaderGone(_)) => Ok(()),
        printed => printed,
    }
}

/// Says something on standard error, as it is. That nobody reads it is no error.
pub(crate) fn say(text: &str) {
    let _ = write(Stream::Err, text.as_bytes());
}

/// Writes all bytes to a stream, and waits for a reader that is slow.
///
/// # Errors
/// [`WriteError`] if not all of them were written.
pub(crate) fn write(stream: Stream, bytes: &[u8]) -> Result<(), WriteError> {
    match stream {
        Stream::Out => write_all(stream, io::stdout().as_fd(), bytes),
        Stream::Err => write_all(stream, io::stderr().as_fd(), bytes),
    }
}

fn write_all(stream: Stream, fd: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), WriteError> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            // Another process that shares the stream has made it one that does not wait.
            Err(Errno::AGAIN) => await_events(fd, PollFlags::OUT)
                .map_err(|error| WriteError::new(stream, error.into()))?,
            Err(error) => return Err(WriteError::new(stream, error.into())),
        }
    }
    Ok(())
}

/// Waits until a file has one of these events, an error or a hang-up.
fn await_events(fd: BorrowedFd<'_>, events: PollFlags) -> Result<(), Errno> {
    loop {
        match poll(&mut [PollFd::new(&fd, events)], None) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Copies all that can be read to a stream, piece by piece, and gives how many bytes there were.
///
/// # Errors
/// [`CopyError`] as soon as nothing more can be read or written.
pub(crate) async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    stream: Stream,
) -> Result<u64, CopyError> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut copied = 0;
    loop {
        let read = from.read(&mut piece).await.map_err(CopyError::Read)?;
        if read == 0 {
            return Ok(copied);
        }
        // A reader that is slow holds up a thread and not the runtime.
        let writing = spawn_blocking(move || {
            let written = write(stream, &piece[..read]);
            (piece, written)
        });
        let failed = |error| WriteError::Failed(stream, io::Error::other(error));
        let (back, written) = writing.await.map_err(failed)?;
        written?;
        piece = back;
        copied += read as u64;
    }
}

/// Waits until nobody reads standard output any more; for ever where that cannot come to be, as
/// with a file.
pub(crate) async fn reader_gone() {
    let mut gone = watch_reader();
    if gone.wait_for(|gone| *gone).await.is_err() {
        return std::future::pending().await;
    }
    sleep(END_BY_ITSELF).await;
}

/// The kernel tells of a reader that goes to those who poll for nothing at all; a thread does,
/// because files cannot be registered with the runtime. It ends with the process.
fn watch_reader() -> watch::Receiver<bool> {
    let (tell, told) = watch::channel(false);
    let polling = move || {
        if await_events(io::stdout().as_fd(), PollFlags::empty()).is_ok() {
            tell.send_replace(true);
        }
    };
    // Without the thread the next write tells.
    let _ = thread::Builder::new().name("stdout".into()).spawn(polling);
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;
    use std::{fs::OpenOptions, io::Read as _, os::unix::net::UnixStream};

    fn code_of(failure: &Failure) -> String {
        format!("{:?}", failure.code())
    }

    #[test]
    fn a_reader_that_has_gone_is_told_from_a_disk_that_is_full() {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let gone = write_all(Stream::Out, writer.as_fd(), b"a").expect_err("nobody reads");
        assert_eq!(gone.to_string(), "the reader of standard output has gone");
        let full = OpenOptions::new().write(true).open("/dev/full").expect("it is there");
        let failed = write_all(Stream::Err, full.as_fd(), b"a").expect_err("it is full");
        assert!(matches!(&failed, WriteError::Failed(Stream::Err, error)
            if error.kind() == io::ErrorKind::StorageFull));
        let code = |code: u8| format!("{:?}", std::process::ExitCode::from(code));
        assert_eq!(code_of(&gone.into()), code(141));
        assert_eq!(code_of(&failed.into()), code(1));
        let copied = CopyError::from(WriteError::ReaderGone(Stream::Err));
        assert_eq!(code_of(&Failure::from(copied).or_code(125)), code(141));
    }

    #[test]
    fn all_is_written_to_a_stream_that_does_not_wait() {
        let (mut reader, writer) = UnixStream::pair().expect("a pair");
        writer.set_nonblocking(true).expect("set");
        let sent = vec![7; 4 << 20];
        let reading = thread::spawn(move || {
            let mut read = Vec::new();
            reader.read_to_end(&mut read).map(|_| read)
        });
        write_all(Stream::Out, writer.as_fd(), &sent).expect("it is read");
        drop(writer);
        assert_eq!(reading.join().expect("no panic").expect("read").len(), sent.len());
    }

    #[test]
    fn a_reader_is_seen_to_go_without_a_write_and_unread_bytes_do_not_matter() {
        let (reader, writer) = io::pipe().expect("a pipe");
        write_all(Stream::Out, writer.as_fd(), b"unread").expect("there is room");
        let waiting = thread::spawn(move || await_events(writer.as_fd(), PollFlags::empty()));
        drop(reader);
        waiting.join().expect("no panic").expect("it is told");
        let (peer, writer) = UnixStream::pair().expect("a pair");
        let waiting = thread::spawn(move || await_events(writer.as_fd(), PollFlags::empty()));
        drop(peer);
        waiting.join().expect("no panic").expect("it is told");
    }
}
