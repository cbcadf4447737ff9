//! What many tasks wrote, in one request: a stream of [`OutputPiece`]s, a frame each.
//!
//! A request for one task at a time costs more than a small task itself. The master passes the
//! stream on as it is, so that only its two ends look at the pieces.

use crate::{
    connection::Connection,
    frame::{FrameSource, StreamError},
    request::RequestError,
    stream::{InStream, OutStream},
};
use futures_util::SinkExt;
use skep_protocol::{
    AgentId, Attempt, FrameworkId, TaskId,
    bounds::FRAME_BYTES_MAX,
    codec::Message as _,
    data::{OutputPiece, Request},
};
use std::io;
use tokio_util::codec::{FramedWrite, LengthDelimitedCodec};

/// Asks the peer for what tasks of a framework wrote on an agent. An agent answers with
/// [`PieceWriter`]; whoever wants the pieces reads them by [`Pieces`].
///
/// # Errors
/// [`RequestError`]; a refusal is one.
pub async fn read(
    connection: &Connection,
    agent: AgentId,
    framework: FrameworkId,
    tasks: Vec<(TaskId, Attempt)>,
) -> Result<InStream, RequestError> {
    let (stream_id, mut expected) = connection.expect_log();
    let request = Request::ReadOutputs { agent, framework, tasks, stream_id };
    let mut answers = connection.ask(&request).await?;
    let (_, bytes) = answers.until_sent(&mut expected).await?;
    Ok(bytes)
}

/// The receiving end.
#[derive(Debug)]
pub struct Pieces(FrameSource<InStream>);

impl Pieces {
    /// The pieces that a stream brings.
    pub fn of(stream: InStream) -> Self {
        Self(FrameSource::new(stream, FRAME_BYTES_MAX))
    }

    /// The next piece, or none if the sender has finished. Cancel safe.
    ///
    /// # Errors
    /// [`StreamError`] if the stream was cut, or carries something else.
    pub async fn next(&mut self) -> Result<Option<OutputPiece>, StreamError> {
        self.0.next().await
    }
}

/// The sending end.
#[derive(Debug)]
pub struct PieceWriter(FramedWrite<OutStream, LengthDelimitedCodec>);

impl PieceWriter {
    /// Writes pieces to a stream.
    pub fn to(stream: OutStream) -> Self {
        let codec = LengthDelimitedCodec::builder().max_frame_length(FRAME_BYTES_MAX).new_codec();
        Self(FramedWrite::new(stream, codec))
    }

    /// Sends a piece; it may wait here for more until [`Self::finish`].
    ///
    /// # Errors
    /// If the peer reads no further or is gone.
    pub async fn send(&mut self, piece: &OutputPiece) -> io::Result<()> {
        self.0.feed(piece.encode()).await
    }

    /// Ends the stream and waits until the peer's QUIC has all of it.
    ///
    /// # Errors
    /// If the peer reads no further or is gone.
    pub async fn finish(mut self) -> io::Result<()> {
        SinkExt::<bytes::Bytes>::flush(&mut self.0).await?;
        self.0.into_inner().finish().await.map_err(io::Error::other)
    }
}
