//! Standard input on its way to a task: bytes that follow a request on its own stream, for as long
//! as there are any and the task reads them.
//!
//! Each hop holds no more than a window of the stream: who reads slowly slows down who writes.
//! Always holds: bytes that end without an end of their stream were cut off, and are never taken
//! for all there is.

use crate::{
    connection::Connection,
    endpoint::BYTES_PRIORITY,
    frame::{FrameReader, FrameWriter, StreamError},
    request::{Answers, RequestError},
    stream::{OutStream, not_opened},
};
use skep_protocol::{
    Rejection, TaskKey,
    bounds::FRAME_BYTES_MAX,
    data::{Request, Response},
};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

/// Bytes passed on at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Why a standard input did not reach its task as a whole.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// It cannot be read here.
    #[error("it cannot be read: {0}")]
    Source(#[source] io::Error),
    /// The peer does not take it, or cannot be reached any more.
    #[error(transparent)]
    Peer(#[from] RequestError),
}

/// A standard input that the peer takes. None: the task has ended, and reads nothing.
#[derive(Debug)]
pub struct Feeding(Option<Taking>);

/// What is sent, and what the peer says of it.
#[derive(Debug)]
struct Taking {
    bytes: OutStream,
    answers: Answers,
}

/// Asks the peer to take the standard input of a task. One that has ended is fed at once.
///
/// # Errors
/// [`RequestError`]; a refusal is one.
pub async fn begin(connection: &Connection, key: TaskKey) -> Result<Feeding, RequestError> {
    let (send, receive) = connection.quinn().open_bi().await.map_err(not_opened)?;
    // It fails only on a stream that is closed, which the next write reports.
    let _ = send.set_priority(BYTES_PRIORITY);
    let mut writer = FrameWriter::new(send);
    writer.send(&Request::Feed { key }).await?;
    let reader = FrameReader::new(receive, FRAME_BYTES_MAX);
    let mut answers = Answers::new(reader, connection);
    match answers.expect().await? {
        Response::Send => {
            let bytes = OutStream::new(writer.into_stream());
            Ok(Feeding(Some(Taking { bytes, answers })))
        }
        Response::Fed => Ok(Feeding(None)),
        _ => Err(RequestError::Unfitting),
    }
}

impl Feeding {
    /// Passes on all that can be read, until its end or until the task reads no more.
    ///
    /// # Errors
    /// [`FeedError`]; the task then sees a standard input that was cut off.
    pub async fn pass_on(self, source: impl AsyncRead + Unpin) -> Result<(), FeedError> {
        let Some(Taking { bytes, mut answers }) = self.0 else { return Ok(()) };
        tokio::select! {
            answer = taken(&mut answers) => return Ok(answer?),
            sent = send(bytes, source) => sent.map_err(FeedError::Source)?,
        }
        Ok(taken(&mut answers).await?)
    }
}

/// Sends until the end of the source, or until the peer reads no more, which its answer explains.
async fn send(mut to: OutStream, mut from: impl AsyncRead + Unpin) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let n = from.read(&mut piece).await?;
        if n == 0 {
            return to.shutdown().await;
        }
        if to.write_all(&piece[..n]).await.is_err() {
            return Ok(());
        }
    }
}

async fn taken(answers: &mut Answers) -> Result<(), RequestError> {
    match answers.expect().await? {
        Response::Fed => Ok(()),
        _ => Err(RequestError::Unfitting),
    }
}

/// A peer that feeds a task, and waits to hear what became of its bytes. Dropped without an answer,
/// it hears that they were cut off.
#[derive(Debug)]
pub struct Feeder(pub(crate) FrameWriter);

impl Feeder {
    /// All was taken, or the task reads no more.
    ///
    /// # Errors
    /// [`StreamError`] if the peer has left.
    pub async fn fed(mut self) -> Result<(), StreamError> {
        self.0.send(&Response::Fed).await
    }

    /// Not all of it reached the task.
    ///
    /// # Errors
    /// [`StreamError`] if the peer has left.
    pub async fn refuse(mut self, rejection: Rejection) -> Result<(), StreamError> {
        self.0.send(&Response::Refused { rejection }).await
    }
}
