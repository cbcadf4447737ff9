//! Standard input that is streamed to a guest: the end to read of a pipe that the agent writes.
//!
//! Always holds: no more than a piece is held here, so a guest that does not read holds up whoever
//! feeds it; a guest that waits for input takes no thread; input that was cut off is an error for
//! the guest, again at each read, and never an end.

use bytes::{Bytes, BytesMut};
use skep_protocol::feed::{HEAD_BYTES, length};
use std::{
    future::poll_fn,
    io,
    os::fd::OwnedFd,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::unix::pipe,
};
use wasmtime_wasi::{
    async_trait,
    cli::{IsTerminal, StdinStream},
    p2::{InputStream, Pollable, StreamError, StreamResult},
};

/// A guest's standard input. Its handles share their place in it.
#[derive(Clone, Debug)]
pub(crate) struct Feed(Arc<Mutex<Pipe>>);

#[derive(Debug)]
struct Pipe {
    receiver: pipe::Receiver,
    frames: Frames,
}

/// What was read of a pipe.
#[derive(Debug)]
struct Frames {
    /// What there is of the head of the next frame.
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    /// What is left of the frame in the pipe.
    frame_left: usize,
    /// What was read and not handed out.
    piece: BytesMut,
    end: End,
}

/// How far the input has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// There may be more.
    No,
    /// All was read.
    Whole,
    /// There was more, and it will not come.
    Cut,
}

/// What a guest reads instead of the rest.
#[derive(Debug, thiserror::Error)]
#[error("standard input was cut off on its way")]
struct CutOff;

impl Feed {
    /// Reads from a pipe that does not block.
    ///
    /// # Errors
    /// If it is nothing that can be waited for.
    pub(crate) fn new(pipe: OwnedFd) -> io::Result<Self> {
        let receiver = pipe::Receiver::from_owned_fd_unchecked(pipe)?;
        Ok(Self(Arc::new(Mutex::new(Pipe { receiver, frames: Frames::new() }))))
    }

    /// A panic while the lock is held leaves a pipe that is read on from where it was.
    fn pipe(&self) -> MutexGuard<'_, Pipe> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipe {
    /// Waits until a read gives something.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while !self.fill() {
            if ready!(self.receiver.poll_read_ready(context)).is_err() {
                self.frames.end = End::Cut;
            }
        }
        Poll::Ready(())
    }

    /// Reads on if nothing is there. False: the pipe is empty.
    fn fill(&mut self) -> bool {
        match self.frames.fill(&self.receiver) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(_) => {
                self.frames.end = End::Cut;
                true
            }
        }
    }

    /// Hands out what is there, `size` bytes at most; nothing if the guest has to wait.
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.fill();
        let frames = &mut self.frames;
        if !frames.piece.is_empty() {
            let bytes = size.min(frames.piece.len());
            return Ok(frames.piece.split_to(bytes).freeze());
        }
        match frames.end {
            End::No => Ok(Bytes::new()),
            End::Whole => Err(StreamError::Closed),
            End::Cut => Err(StreamError::LastOperationFailed(io::Error::other(CutOff).into())),
        }
    }
}

impl Frames {
    fn new() -> Self {
        Self {
            head: [0; HEAD_BYTES],
            head_bytes: 0,
            frame_left: 0,
            piece: BytesMut::new(),
            end: End::No,
        }
    }

    /// Whether a read gives something: bytes, the end, or an error.
    fn is_ready(&self) -> bool {
        !self.piece.is_empty() || self.end != End::No
    }

    /// Reads on if nothing is there.
    ///
    /// # Errors
    /// `WouldBlock` if the pipe is empty.
    fn fill(&mut self, pipe: &pipe::Receiver) -> io::Result<()> {
        while !self.is_ready() {
            if self.frame_left > 0 {
                self.piece.resize(self.frame_left, 0);
                let came = pipe.try_read(&mut self.piece);
                self.piece.truncate(*came.as_ref().unwrap_or(&0));
                match came? {
                    0 => self.end = End::Cut,
                    bytes => self.frame_left -= bytes,
                }
                continue;
            }
            match pipe.try_read(&mut self.head[self.head_bytes..])? {
                0 => self.end = End::Cut,
                bytes => self.head_bytes += bytes,
            }
            if self.head_bytes == HEAD_BYTES {
                self.head_bytes = 0;
                match length(self.head) {
                    Ok(0) => self.end = End::Whole,
                    Ok(bytes) => self.frame_left = bytes,
                    Err(_) => self.end = End::Cut,
                }
            }
        }
        Ok(())
    }
}

impl StdinStream for Feed {
    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.clone())
    }
}

impl IsTerminal for Feed {
    fn is_terminal(&self) -> bool {
        false
    }
}

#[async_trait]
impl InputStream for Feed {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.pipe().read(size)
    }
}

#[async_trait]
impl Pollable for Feed {
    async fn ready(&mut self) {
        poll_fn(|context| self.pipe().poll_ready(context)).await;
    }
}

impl AsyncRead for Feed {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut pipe = self.pipe();
        ready!(pipe.poll_ready(context));
        match pipe.read(buffer.remaining()) {
            Ok(bytes) => buffer.put_slice(&bytes),
            Err(StreamError::Closed) => {}
            Err(error) => return Poll::Ready(Err(io::Error::other(error))),
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};
    use skep_protocol::feed::{END, head};
    use std::{fs::File, io::Write as _};

    fn feed() -> (File, Feed) {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).expect("a pipe");
        (write.into(), Feed::new(read).expect("it can be waited for"))
    }

    fn frame(text: &str) -> Vec<u8> {
        [&head(text.len())[..], text.as_bytes()].concat()
    }

    /// What a read gives: text, or `-` for nothing yet, `end`, `error`.
    fn given(feed: &mut Feed, size: usize) -> String {
        match InputStream::read(feed, size) {
            Ok(bytes) if bytes.is_empty() => "-".into(),
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(StreamError::Closed) => "end".into(),
            Err(error) => {
                assert!(matches!(error, StreamError::LastOperationFailed(_)), "{error}");
                "error".into()
            }
        }
    }

    #[tokio::test]
    async fn frames_are_handed_out_in_pieces_up_to_the_end_for_all_handles() {
        let (mut writer, mut feed) = feed();
        let mut other = feed.clone();
        assert_eq!(given(&mut feed, 9), "-");
        let all = [frame("abcdef"), frame("gh"), END.to_vec()].concat();
        for byte in all {
            writer.write_all(&[byte]).expect("there is room");
        }
        feed.ready().await;
        assert_eq!(
            [given(&mut feed, 4), given(&mut other, 9), given(&mut feed, 9)],
            ["abcd", "ef", "gh"]
        );
        feed.ready().await;
        assert_eq!([given(&mut feed, 9), given(&mut other, 9)], ["end", "end"]);
    }

    #[tokio::test]
    async fn input_that_is_cut_off_is_an_error_again_and_again_and_never_an_end() {
        let frames = [frame("ab"), head(9).to_vec(), vec![0], vec![0xff; HEAD_BYTES], Vec::new()];
        for cut in frames {
            let (mut writer, mut feed) = feed();
            writer.write_all(&cut).expect("there is room");
            drop(writer);
            if cut == frame("ab") {
                feed.ready().await;
                assert_eq!(given(&mut feed, 9), "ab");
            }
            for _ in 0..3 {
                feed.ready().await;
                assert_eq!(given(&mut feed, 9), "error", "{cut:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_guest_that_waits_is_woken_by_what_comes() {
        let (mut writer, mut feed) = feed();
        let waiting = tokio::spawn(async move {
            feed.ready().await;
            (given(&mut feed, 9), feed)
        });
        // Half a head wakes nobody for good.
        writer.write_all(&head(2)[..3]).expect("there is room");
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        writer.write_all(&frame("ab")[3..]).expect("there is room");
        let (text, _feed) = waiting.await.expect("no panic");
        assert_eq!(text, "ab");
    }
}
