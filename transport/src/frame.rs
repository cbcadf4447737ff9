//! Messages on QUIC streams: each is one frame, a four-byte length and that many bytes.
//!
//! The readers and writers here are bound to no meaning of a stream. Whatever a peer sends ends in
//! a message or in a typed [`StreamError`], never in a panic or in unbounded memory.

use crate::close::Closed;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use quinn::{ReadError, RecvStream, SendStream, WriteError};
use skep_protocol::{
    bounds::FRAME_BYTES_MAX,
    codec::{DecodeError, Message},
};
use std::io;
use tokio::io::AsyncRead;
use tokio_util::codec::{
    FramedRead, FramedWrite, LengthDelimitedCodec, length_delimited::LengthDelimitedCodecError,
};

/// A frame of a peer that is not known yet, in bytes: a `Hello` or a `Join` is far smaller.
pub(crate) const STRANGER_FRAME_BYTES_MAX: usize = 64 << 10;

/// Why a stream carries no more messages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// A frame is longer than is allowed.
    #[error("a frame is longer than {max} bytes")]
    TooLong {
        /// The most that is allowed.
        max: usize,
    },
    /// The bytes of a frame are no message.
    #[error("a frame is no message: {why}")]
    Garbage {
        /// What the codec says.
        why: String,
    },
    /// A frame is of a kind that only newer builds know.
    #[error("a message is of a newer kind: {what}")]
    Unknown {
        /// Which message, or what in it.
        what: String,
    },
    /// The stream ended within a frame, or before one that had to come.
    #[error("the stream ended before a message was complete")]
    Cut,
    /// The peer does not want the stream.
    #[error("the peer reads no further")]
    Stopped,
    /// The whole connection has ended.
    #[error(transparent)]
    Closed(#[from] Closed),
}

impl StreamError {
    /// Whether only a faulty or hostile peer causes it.
    pub(crate) fn is_violation(&self) -> bool {
        matches!(self, Self::TooLong { .. } | Self::Garbage { .. })
    }

    fn from_io(error: &io::Error, max: usize) -> Self {
        let Some(inner) = error.get_ref() else { return Self::Cut };
        if inner.is::<LengthDelimitedCodecError>() {
            return Self::TooLong { max };
        }
        match (inner.downcast_ref(), inner.downcast_ref()) {
            (Some(ReadError::ConnectionLost(lost)), _) => Self::Closed(lost.clone().into()),
            (_, Some(WriteError::ConnectionLost(lost))) => Self::Closed(lost.clone().into()),
            (_, Some(WriteError::Stopped(_))) => Self::Stopped,
            _ => Self::Cut,
        }
    }
}

impl From<DecodeError> for StreamError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::UnknownVariant { message } => Self::Unknown { what: message },
            error => Self::Garbage { why: error.to_string() },
        }
    }
}

fn codec(max: usize) -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(max).new_codec()
}

/// The sending half of a stream of messages.
#[derive(Debug)]
pub(crate) struct FrameWriter(FramedWrite<SendStream, LengthDelimitedCodec>);

impl FrameWriter {
    pub(crate) fn new(stream: SendStream) -> Self {
        Self(FramedWrite::new(stream, codec(FRAME_BYTES_MAX)))
    }

    /// Takes a message without handing it to QUIC, unless much is waiting already.
    pub(crate) async fn feed<M: Message>(&mut self, message: &M) -> Result<(), StreamError> {
        self.0.feed(message.encode()).await.map_err(|e| StreamError::from_io(&e, FRAME_BYTES_MAX))
    }

    /// Hands everything taken to QUIC.
    pub(crate) async fn flush(&mut self) -> Result<(), StreamError> {
        let flushed = SinkExt::<Bytes>::flush(&mut self.0).await;
        flushed.map_err(|error| StreamError::from_io(&error, FRAME_BYTES_MAX))
    }

    pub(crate) async fn send<M: Message>(&mut self, message: &M) -> Result<(), StreamError> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Ends the stream and waits until the peer's QUIC has all of it.
    pub(crate) async fn finish(mut self) -> Result<(), StreamError> {
        self.flush().await?;
        let mut stream = self.0.into_inner();
        let _ = stream.finish();
        match stream.stopped().await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(StreamError::Stopped),
            Err(quinn::StoppedError::ConnectionLost(lost)) => Err(Closed::from(lost).into()),
            Err(quinn::StoppedError::ZeroRttRejected) => Err(StreamError::Cut),
        }
    }

    /// Waits until the peer reads no further, or is gone.
    pub(crate) async fn abandoned(&self) {
        let _ = self.0.get_ref().stopped().await;
    }

    /// The bare stream, behind the messages sent so far.
    pub(crate) fn into_stream(self) -> SendStream {
        self.0.into_inner()
    }
}

/// The receiving half of a stream of messages.
pub(crate) type FrameReader = FrameSource<RecvStream>;

/// Messages that come out of bytes.
#[derive(Debug)]
pub(crate) struct FrameSource<S>(FramedRead<S, LengthDelimitedCodec>);

impl<S: AsyncRead + Unpin> FrameSource<S> {
    pub(crate) fn new(stream: S, frame_bytes_max: usize) -> Self {
        Self(FramedRead::new(stream, codec(frame_bytes_max)))
    }

    pub(crate) fn set_frame_bytes_max(&mut self, max: usize) {
        self.0.decoder_mut().set_max_frame_length(max);
    }

    /// The next message, or none if the peer has finished the stream. Cancel safe.
    pub(crate) async fn next<M: Message>(&mut self) -> Result<Option<M>, StreamError> {
        match self.0.next().await {
            None => Ok(None),
            Some(Ok(frame)) => Ok(Some(M::decode(&frame)?)),
            Some(Err(error)) => {
                Err(StreamError::from_io(&error, self.0.decoder().max_frame_length()))
            }
        }
    }

    /// The next message, which has to come. Cancel safe.
    pub(crate) async fn expect<M: Message>(&mut self) -> Result<M, StreamError> {
        self.next().await?.ok_or(StreamError::Cut)
    }

    /// Waits for a frame, whatever it is, or for what cannot be one.
    pub(crate) async fn anything(&mut self) {
        match self.0.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) if StreamError::from_io(&error, 0).is_violation() => {}
            None | Some(Err(_)) => std::future::pending().await,
        }
    }

    /// Bytes already read behind the last message, and the bare stream with the rest.
    pub(crate) fn into_stream(self) -> (Bytes, S) {
        let parts = self.0.into_parts();
        (parts.read_buf.freeze(), parts.io)
    }
}
