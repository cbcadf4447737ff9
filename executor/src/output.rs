//! What a guest writes to stdout and stderr: two files in its sandbox folder, under one limit.
//!
//! Always holds: both files together never exceed the limit; what fits below it is kept, the write
//! that does not ends the guest. A write that the file system refuses fails for the guest, and one
//! that ignores it has failed all the same: nothing that it wrote is lost without a word. A file
//! comes into being with its first byte, so a silent guest costs no file. Writes go straight
//! to the page cache on the guest's own worker thread: handing them over would cost ten times what
//! they take. Creating a file does wait for the file system's journal, so that is handed to a
//! blocking thread.

use bytes::Bytes;
use skep_protocol::bounds::LAST_WORDS_BYTES_MAX;
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};
use tokio::{io::AsyncWrite, task::spawn_blocking};
use wasmtime_wasi::{
    async_trait,
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamError, StreamResult},
};

/// The most that the host takes over from a guest in one step.
const PERMIT_BYTES: usize = 64 << 10;

/// Both output streams of one guest.
#[derive(Debug)]
pub(crate) struct Output {
    folder: PathBuf,
    limit: u64,
    written: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    streams: [Sink; 2],
    exceeded: bool,
    /// Why a write came to nothing, if one did.
    failed: Option<String>,
    /// The end of stderr, and a little more.
    stderr_tail: Vec<u8>,
}

#[derive(Debug, Default)]
struct Sink {
    file: Option<File>,
    bytes: u64,
}

/// One of the two.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    Stdout,
    Stderr,
}

/// The guest wrote more than it may; ends it.
#[derive(Debug, thiserror::Error)]
#[error("the guest wrote more to stdout and stderr than its limit allows")]
struct LimitExceeded;

impl Output {
    pub(crate) fn new(folder: PathBuf, limit: u64) -> Arc<Self> {
        Arc::new(Self { folder, limit, written: Mutex::default() })
    }

    /// Bytes written to stdout and stderr.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let written = self.lock();
        (written.streams[0].bytes, written.streams[1].bytes)
    }

    /// Whether the guest tried to write more than its limit.
    pub(crate) fn exceeded(&self) -> bool {
        self.lock().exceeded
    }

    /// Why some of what it wrote is not kept, other than for its limit.
    pub(crate) fn failed(&self) -> Option<String> {
        self.lock().failed.clone()
    }

    /// The end of its stderr, as text.
    pub(crate) fn last_words(&self) -> String {
        let written = self.lock();
        let tail = &written.stderr_tail;
        let tail = &tail[tail.len().saturating_sub(LAST_WORDS_BYTES_MAX)..];
        // What was cut in the middle of a character is left out, not shown as garbage.
        let start = tail.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count();
        let text = String::from_utf8_lossy(&tail[start..]);
        text[..text.floor_char_boundary(LAST_WORDS_BYTES_MAX)].into()
    }

    fn append(&self, which: Which, bytes: &[u8]) -> StreamResult<()> {
        let mut written = self.lock();
        let used: u64 = written.streams.iter().map(|sink| sink.bytes).sum();
        let room = usize::try_from(self.limit - used).unwrap_or(usize::MAX);
        let kept = &bytes[..bytes.len().min(room)];
        if !kept.is_empty() {
            let sink = &mut written.streams[which as usize];
            let (took, result) = match self.file(which, sink) {
                Ok(file) => write_most(file, kept),
                Err(error) => (0, Err(error)),
            };
            sink.bytes += took as u64;
            if let Err(error) = result {
                written.failed.get_or_insert_with(|| error.to_string());
                return Err(StreamError::LastOperationFailed(error.into()));
            }
            if let Which::Stderr = which {
                keep_tail(&mut written.stderr_tail, kept);
            }
        }
        if kept.len() < bytes.len() {
            written.exceeded = true;
            return Err(StreamError::Trap(LimitExceeded.into()));
        }
        Ok(())
    }

    fn file<'a>(&self, which: Which, sink: &'a mut Sink) -> io::Result<&'a File> {
        if sink.file.is_none() {
            fs::create_dir_all(&self.folder)?;
            let path = self.folder.join(which.file_name());
            sink.file = Some(File::create(path)?);
        }
        Ok(sink.file.as_ref().expect("it was opened above"))
    }

    fn is_open(&self, which: Which) -> bool {
        self.lock().streams[which as usize].file.is_some()
    }

    /// A panic while the lock is held leaves counts that are still right or too low by one write.
    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all, or as much as the file takes; gives how much that is.
fn write_most(mut file: &File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut took = 0;
    while took < bytes.len() {
        match file.write(&bytes[took..]) {
            Ok(0) => return (took, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => took += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (took, Err(error)),
        }
    }
    (took, Ok(()))
}

fn keep_tail(tail: &mut Vec<u8>, bytes: &[u8]) {
    tail.extend_from_slice(&bytes[bytes.len().saturating_sub(LAST_WORDS_BYTES_MAX)..]);
    if tail.len() > 4 * LAST_WORDS_BYTES_MAX {
        tail.drain(..tail.len() - LAST_WORDS_BYTES_MAX);
    }
}

impl Which {
    const fn file_name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The guest's handle on one of its streams.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) output: Arc<Output>,
    pub(crate) which: Which,
}

impl StdoutStream for Stream {
    /// Not left to the default, whose buffer can be made to grow without bound.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

#[async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.output.append(self.which, &bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT_BYTES)
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        if self.output.is_open(self.which) {
            return self.output.append(self.which, &bytes);
        }
        let (output, which) = (Arc::clone(&self.output), self.which);
        let first = spawn_blocking(move || output.append(which, &bytes));
        first.await.map_err(|error| StreamError::Trap(error.into()))?
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.output.append(self.which, bytes).map_err(io::Error::other);
        Poll::Ready(written.map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_below_the_limit_is_kept_and_the_rest_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let sandbox = folder.path().join("sandbox");
        let output = Output::new(sandbox.clone(), 10);
        assert!(!sandbox.exists());
        output.append(Which::Stderr, b"1234").expect("room for four");
        assert!(!output.exceeded());
        output.append(Which::Stdout, b"abcdefgh").expect_err("room for six only");
        assert!(output.exceeded());
        assert_eq!(output.bytes(), (6, 4));
        assert_eq!(fs::read(sandbox.join("stdout")).expect("stdout"), b"abcdef");
        assert_eq!(fs::read(sandbox.join("stderr")).expect("stderr"), b"1234");
        assert_eq!(output.last_words(), "1234");
    }

    #[test]
    fn a_write_that_the_file_system_does_not_take_is_remembered() {
        let folder = tempfile::tempdir().expect("a folder");
        // A folder cannot be made below a file.
        let file = folder.path().join("file");
        fs::write(&file, "").expect("written");
        let output = Output::new(file.join("sandbox"), 10);
        assert_eq!(output.failed(), None);
        output.append(Which::Stdout, b"1234").expect_err("there is no place for it");
        assert_eq!(output.bytes(), (0, 0));
        let why = output.failed().expect("it is remembered");
        assert!(why.contains("Not a directory"), "{why}");
        let full = File::options().write(true).open("/dev/full").expect("a full disk");
        let (took, result) = write_most(&full, b"1234");
        assert_eq!((took, result.is_err()), (0, true));
    }

    #[test]
    fn the_last_words_are_the_end_of_stderr_in_whole_characters() {
        let folder = tempfile::tempdir().expect("a folder");
        let output = Output::new(folder.path().join("sandbox"), 1 << 20);
        for _ in 0..3_000 {
            output.append(Which::Stderr, "ü€".as_bytes()).expect("room");
        }
        output.append(Which::Stderr, b"!").expect("room");
        let words = output.last_words();
        assert!(words.ends_with("ü€!") && words.len() > LAST_WORDS_BYTES_MAX - 4, "{words}");
        assert!(!words.contains('\u{fffd}'), "{words}");
    }
}
