//! Unidirectional streams of bytes: blobs and logs, each behind a header that says which.
//!
//! A stream that its sender drops unfinished arrives as an error, never as a short success. Who
//! waits for a stream says so before asking for it; one that nobody waits for (any more) is
//! stopped, which is no fault: who asked may have left meanwhile.

use crate::{
    close::Closed,
    connection::Connection,
    frame::{FrameWriter, StreamError},
};
use bytes::Bytes;
use quinn::{ConnectionError, RecvStream, SendStream, StoppedError};
use skep_protocol::{Digest, data::StreamHeader};
use std::{
    collections::{HashMap, VecDeque},
    io::{self, Cursor},
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, Chain, ReadBuf},
    sync::oneshot,
};

/// What an unfinished stream is reset with. QUIC wants a number; it has no further meaning.
const CUT: u32 = 1;

/// Bytes on their way to the peer.
///
/// Ends with [`Self::finish`] or `shutdown`; dropped before that, it is cut and the peer knows.
#[derive(Debug)]
pub struct OutStream {
    stream: SendStream,
    end: End,
    /// The answers to the request that asked for the bytes, if one did. Cut with the stream:
    /// otherwise a peer that has not yet read the header of a cut stream would wait for ever.
    answers: Option<FrameWriter>,
}

#[derive(Debug, PartialEq)]
enum End {
    Open,
    Finished,
}

impl OutStream {
    pub(crate) fn new(stream: SendStream) -> Self {
        Self { stream, end: End::Open, answers: None }
    }

    /// Ties the fate of a request's answers to the stream's.
    pub(crate) fn answering(mut self, answers: FrameWriter) -> Self {
        self.answers = Some(answers);
        self
    }

    /// Ends the stream and waits until the peer's QUIC has all of it.
    ///
    /// # Errors
    /// [`StreamError`] if the peer reads no further or the connection ends.
    pub async fn finish(mut self) -> Result<(), StreamError> {
        self.end();
        match self.stream.stopped().await {
            Ok(None) => Ok(()),
            Ok(Some(_)) | Err(StoppedError::ZeroRttRejected) => Err(StreamError::Stopped),
            Err(StoppedError::ConnectionLost(lost)) => Err(Closed::from(lost).into()),
        }
    }

    /// Waits until the peer reads no further, or the connection ends. Cancel safe.
    pub async fn abandoned(&self) {
        // Either way nobody reads.
        let _ = self.stream.stopped().await;
    }

    fn end(&mut self) {
        // It fails only if the peer has stopped the stream, which writes and `finish` report.
        let _ = self.stream.finish();
        self.end = End::Finished;
    }
}

impl Drop for OutStream {
    fn drop(&mut self) {
        if self.end == End::Open {
            // It fails only on a stream that the peer has stopped.
            let _ = self.stream.reset(CUT.into());
            if let Some(answers) = self.answers.take() {
                let _ = answers.into_stream().reset(CUT.into());
            }
        }
    }
}

impl AsyncWrite for OutStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.stream), cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.stream), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end();
        Poll::Ready(Ok(()))
    }
}

/// Bytes that come from the peer. Dropping it tells the peer that nobody reads on.
#[derive(Debug)]
pub struct InStream(Chain<Cursor<Bytes>, RecvStream>);

impl InStream {
    pub(crate) fn new(first: Bytes, rest: RecvStream) -> Self {
        Self(Cursor::new(first).chain(rest))
    }
}

impl AsyncRead for InStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

/// What tells streams apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum StreamKey {
    Blob(Digest),
    Log(u64),
}

impl From<&StreamHeader> for StreamKey {
    fn from(header: &StreamHeader) -> Self {
        match header {
            StreamHeader::Blob { digest, .. } => Self::Blob(*digest),
            StreamHeader::Log { stream_id } => Self::Log(*stream_id),
        }
    }
}

type Arrival = (StreamHeader, InStream);

/// Those who wait for streams of one connection; several for one key are served in turn.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<HashMap<StreamKey, VecDeque<oneshot::Sender<Arrival>>>>);

impl Waiting {
    fn wait(&self, key: StreamKey) -> oneshot::Receiver<Arrival> {
        let (sender, receiver) = oneshot::channel();
        self.lock().entry(key).or_default().push_back(sender);
        receiver
    }

    /// Hands a stream to who has waited longest; drops it if there is none.
    pub(crate) fn arrived(&self, header: StreamHeader, stream: InStream) {
        let key = StreamKey::from(&header);
        let mut arrival = (header, stream);
        while let Some(waiter) = self.pop(key) {
            match waiter.send(arrival) {
                Ok(()) => return,
                Err(back) => arrival = back,
            }
        }
        tracing::debug!(?key, "a stream that nobody waits for is stopped");
    }

    fn pop(&self, key: StreamKey) -> Option<oneshot::Sender<Arrival>> {
        self.lock().get_mut(&key)?.pop_front()
    }

    /// Forgets those of `key` who have left.
    fn sweep(&self, key: StreamKey) {
        let mut all = self.lock();
        if let Some(waiters) = all.get_mut(&key) {
            waiters.retain(|waiter| !waiter.is_closed());
            if waiters.is_empty() {
                all.remove(&key);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamKey, VecDeque<oneshot::Sender<Arrival>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that is to come.
#[derive(Debug)]
pub struct ExpectedStream {
    key: StreamKey,
    receiver: oneshot::Receiver<Arrival>,
    connection: Connection,
}

impl ExpectedStream {
    pub(crate) fn new(connection: &Connection, key: StreamKey) -> Self {
        let receiver = connection.waiting().wait(key);
        Self { key, receiver, connection: connection.clone() }
    }

    /// Waits for it; cancel safe.
    ///
    /// # Errors
    /// How the connection ended, if that comes first.
    pub async fn arrived(&mut self) -> Result<(StreamHeader, InStream), StreamError> {
        tokio::select! {
            biased;
            arrival = &mut self.receiver => {
                arrival.map_err(|_| StreamError::Cut)
            }
            closed = self.connection.closed() => Err(closed.into()),
        }
    }
}

impl Drop for ExpectedStream {
    fn drop(&mut self) {
        self.receiver.close();
        self.connection.waiting().sweep(self.key);
    }
}

/// What a failed open of a stream means.
pub(crate) fn not_opened(error: ConnectionError) -> StreamError {
    Closed::from(error).into()
}
