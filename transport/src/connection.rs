//! A connection to a peer whose name is proved and whose `Hello` is read.
//!
//! Symmetric once it stands: either side may send control messages, make requests and open byte
//! streams. It lives as long as a handle, an open control half or an awaited answer of this side
//! does; then it is closed as done. What it does not do: dial again ([`crate::reconnect`]).

use crate::{
    close::{CloseCode, CloseReason, Closed},
    endpoint::BYTES_PRIORITY,
    frame::{FrameReader, FrameWriter, StreamError},
    hello::Greeting,
    inbound::{self, Inbound},
    name::PeerName,
    request::{Answers, IncomingRequest, RequestError},
    stream::{ExpectedStream, OutStream, StreamKey, Waiting, not_opened},
};
use skep_protocol::{
    Digest, TaskKey,
    bounds::FRAME_BYTES_MAX,
    codec::Message,
    data::{Request, Response, StreamHeader},
    framework::{Call, Event},
    hello::Hello,
};
use std::{
    borrow::Borrow,
    fmt,
    marker::PhantomData,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::{Mutex as AsyncMutex, mpsc};

/// Requests of one peer that are read but not yet taken up; more wait in their streams.
const REQUESTS_QUEUED_MAX: usize = 16;

/// Messages taken from an outbox at once, before what was taken is flushed.
const BATCH_MAX: usize = 256;

/// A connection; clones are handles of the same one.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    quinn: quinn::Connection,
    peer: Option<PeerName>,
    hello: Hello,
    control: Mutex<Option<(FrameWriter, FrameReader)>>,
    requests: AsyncMutex<mpsc::Receiver<IncomingRequest>>,
    waiting: Arc<Waiting>,
    log_ids: AtomicU64,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let done = CloseReason::new(CloseCode::Done, "done");
        self.quinn.close(done.code(), done.why.as_bytes());
    }
}

impl Connection {
    /// Starts to serve a connection that has been greeted. A peer without a name is a stranger.
    pub(crate) fn start(
        quinn: quinn::Connection,
        peer: Option<PeerName>,
        greeting: Greeting,
    ) -> Self {
        let (sender, requests) = mpsc::channel(REQUESTS_QUEUED_MAX);
        let waiting = Arc::new(Waiting::default());
        let inbound = Inbound { quinn: quinn.clone(), requests: sender, waiting: waiting.clone() };
        let Greeting { theirs, writer, mut reader } = greeting;
        let control = if peer.is_some() {
            reader.set_frame_bytes_max(FRAME_BYTES_MAX);
            tokio::spawn(inbound::serve_peer(inbound));
            Some((writer, reader))
        } else {
            tokio::spawn(inbound::serve_stranger(inbound, writer, reader));
            None
        };
        Self(Arc::new(Inner {
            quinn,
            peer,
            hello: theirs,
            control: Mutex::new(control),
            requests: AsyncMutex::new(requests),
            waiting,
            log_ids: AtomicU64::new(0),
        }))
    }

    /// Who the peer is; none if it showed no certificate, so that it can only join.
    pub fn peer(&self) -> Option<&PeerName> {
        self.0.peer.as_ref()
    }

    /// What the peer said about itself.
    pub fn peer_hello(&self) -> &Hello {
        &self.0.hello
    }

    /// Where the peer is now; it may change while the connection lives.
    pub fn remote_address(&self) -> SocketAddr {
        self.0.quinn.remote_address()
    }

    /// The control stream. None if it was taken already or if the peer has no name.
    pub fn control<Out: Message, In: Message>(
        &self,
    ) -> Option<(ControlSender<Out>, ControlReceiver<In>)> {
        let (writer, reader) =
            self.0.control.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(self.conversation(writer, reader))
    }

    pub(crate) fn conversation<Out: Message, In: Message>(
        &self,
        writer: FrameWriter,
        reader: FrameReader,
    ) -> (ControlSender<Out>, ControlReceiver<In>) {
        let sender = ControlSender { writer, connection: self.clone(), says: PhantomData };
        let receiver = ControlReceiver { reader, connection: self.clone(), hears: PhantomData };
        (sender, receiver)
    }

    /// Asks the peer to hear a task of this agent as a framework, on a stream of its own.
    ///
    /// # Errors
    /// [`RequestError`]; a refusal is one.
    pub async fn host(
        &self,
        key: TaskKey,
    ) -> Result<(ControlSender<Call>, ControlReceiver<Event>), RequestError> {
        let (send, receive) = self.0.quinn.open_bi().await.map_err(not_opened)?;
        let mut writer = FrameWriter::new(send);
        writer.send(&Request::Host { key }).await?;
        let mut reader = FrameReader::new(receive, FRAME_BYTES_MAX);
        match reader.expect().await.map_err(|error| self.blame(error))? {
            Response::Hosted => Ok(self.conversation(writer, reader)),
            Response::Refused { rejection } => Err(rejection.into()),
            _ => Err(RequestError::Unfitting),
        }
    }

    /// Asks the peer for something that it answers once.
    ///
    /// # Errors
    /// [`RequestError`]; a refusal is one.
    pub async fn request(&self, request: &Request) -> Result<Response, RequestError> {
        self.ask(request).await?.expect().await
    }

    /// Asks the peer for something that it may answer several times.
    ///
    /// # Errors
    /// [`StreamError`] if it could not be asked.
    pub async fn ask(&self, request: &Request) -> Result<Answers, StreamError> {
        Answers::ask(self, request).await
    }

    /// The peer's next request; none when the connection has ended. Cancel safe.
    pub async fn accept_request(&self) -> Option<IncomingRequest> {
        self.0.requests.lock().await.recv().await
    }

    /// Opens a stream of bytes to the peer.
    ///
    /// # Errors
    /// [`StreamError`] if the connection ends first.
    pub async fn open_bytes(&self, header: &StreamHeader) -> Result<OutStream, StreamError> {
        let stream = self.0.quinn.open_uni().await.map_err(not_opened)?;
        // It fails only on a stream that is closed, which the next write reports.
        let _ = stream.set_priority(BYTES_PRIORITY);
        let mut writer = FrameWriter::new(stream);
        writer.send(header).await?;
        Ok(OutStream::new(writer.into_stream()))
    }

    /// Waits for the bytes of a blob. To be called before the peer is asked to send them.
    pub fn expect_blob(&self, digest: Digest) -> ExpectedStream {
        ExpectedStream::new(self, StreamKey::Blob(digest))
    }

    /// Waits for the bytes of a log: the `stream_id` to ask with, and the stream to come.
    pub fn expect_log(&self) -> (u64, ExpectedStream) {
        let id = self.0.log_ids.fetch_add(1, Ordering::Relaxed);
        (id, ExpectedStream::new(self, StreamKey::Log(id)))
    }

    /// Hangs up. What is still under way is lost: finish control and byte streams first.
    pub fn close(&self, reason: &CloseReason) {
        self.0.quinn.close(reason.code(), reason.why.as_bytes());
    }

    /// Waits for the end of the connection.
    pub async fn closed(&self) -> Closed {
        self.0.quinn.closed().await.into()
    }

    pub(crate) fn quinn(&self) -> &quinn::Connection {
        &self.0.quinn
    }

    pub(crate) fn waiting(&self) -> &Waiting {
        &self.0.waiting
    }

    /// Hangs up if `error` is the peer's fault.
    pub(crate) fn blame(&self, error: StreamError) -> StreamError {
        inbound::blame(&self.0.quinn, &error);
        error
    }
}

impl fmt::Display for Connection {
    /// The peer's name, or its address if it has none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.peer() {
            Some(name) => name.fmt(f),
            None => write!(f, "unnamed peer at {}", self.remote_address()),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({self})")
    }
}

/// Why the control conversation ended, and with whom it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{peer}: {error}")]
pub struct ControlError {
    /// The peer, for people.
    pub peer: String,
    /// What happened.
    pub error: StreamError,
}

/// The sending half of the control stream.
#[derive(Debug)]
pub struct ControlSender<Out> {
    writer: FrameWriter,
    connection: Connection,
    says: PhantomData<fn(Out)>,
}

impl<Out: Message> ControlSender<Out> {
    /// Takes a message; it may wait here until [`Self::flush`]. So several go out in one packet.
    ///
    /// # Errors
    /// [`ControlError`] if the message is too long or the conversation has ended.
    pub async fn feed(&mut self, message: &Out) -> Result<(), ControlError> {
        self.writer.feed(message).await.map_err(|error| fault(&self.connection, error))
    }

    /// Sends all that was fed.
    ///
    /// # Errors
    /// [`ControlError`] if the conversation has ended.
    pub async fn flush(&mut self) -> Result<(), ControlError> {
        self.writer.flush().await.map_err(|error| fault(&self.connection, error))
    }

    /// Sends one message now.
    ///
    /// # Errors
    /// [`ControlError`] if the message is too long or the conversation has ended.
    pub async fn send(&mut self, message: &Out) -> Result<(), ControlError> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Sends what comes, together what waits together, until the queue is closed; then says no
    /// more. The loop of a peer's outbox; what stands in its queue holds a message each.
    ///
    /// # Errors
    /// [`ControlError`] if the conversation has ended before.
    pub async fn send_all<T: Borrow<Out>>(
        mut self,
        mut queue: mpsc::Receiver<T>,
    ) -> Result<(), ControlError> {
        let mut batch = Vec::new();
        while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
            for message in batch.drain(..) {
                self.feed(message.borrow()).await?;
            }
            self.flush().await?;
        }
        self.finish().await
    }

    /// Says no more, and waits until the peer has everything: the way to hang up gracefully.
    ///
    /// # Errors
    /// [`ControlError`] if the conversation has ended before.
    pub async fn finish(self) -> Result<(), ControlError> {
        self.writer.finish().await.map_err(|error| fault(&self.connection, error))
    }
}

/// The receiving half of the control stream. Dropping it stops the peer's sending half.
#[derive(Debug)]
pub struct ControlReceiver<In> {
    reader: FrameReader,
    connection: Connection,
    hears: PhantomData<fn() -> In>,
}

impl<In: Message> ControlReceiver<In> {
    /// The next message, or none if the peer says no more. Cancel safe. A message that only newer
    /// builds know is logged and passed over.
    ///
    /// # Errors
    /// [`ControlError`]. If the peer sent garbage or too much, it has been hung up on.
    pub async fn recv(&mut self) -> Result<Option<In>, ControlError> {
        loop {
            match self.reader.next().await {
                Ok(message) => return Ok(message),
                Err(StreamError::Unknown { what }) => {
                    tracing::warn!(peer = %self.connection, what, "passed over a newer message");
                }
                Err(error) => return Err(fault(&self.connection, self.connection.blame(error))),
            }
        }
    }
}

fn fault(connection: &Connection, error: StreamError) -> ControlError {
    ControlError { peer: connection.to_string(), error }
}
