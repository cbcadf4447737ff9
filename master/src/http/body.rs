//! Bodies of requests, which are bounded in size and time, and of answers.

use super::answer::Trouble;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited, combinators::UnsyncBoxBody};
use hyper::body::{Body, Frame, Incoming};
use skep_protocol::bounds::FRAME_BYTES_MAX;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::mpsc,
    time::timeout,
};
use tokio_util::{io::StreamReader, sync::CancellationToken};

/// How long a call may take to arrive, and a piece of a blob.
pub(super) const PIECE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a piece may wait for a peer that takes nothing.
const STALLED_MAX: Duration = Duration::from_secs(60);
/// Bytes read at a time of what is passed on.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that may wait for one peer, besides what hyper and the system hold.
const PIECES_MAX: usize = 4;

/// The body of an answer.
pub(super) type Answer = UnsyncBoxBody<Bytes, io::Error>;
/// Where the pieces of a streamed body go; one that is dropped ends it, an error cuts it.
pub(super) type Pieces = mpsc::Sender<io::Result<Bytes>>;

/// A body that is whole already.
pub(super) fn whole(bytes: impl Into<Bytes>) -> Answer {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that is made while it is read.
pub(super) fn streamed() -> (Pieces, Answer) {
    let (pieces, receiver) = mpsc::channel(PIECES_MAX);
    (pieces, Streamed(receiver).boxed_unsync())
}

/// Sends a piece; none if the peer is gone, or has taken nothing for too long.
pub(super) async fn send(pieces: &Pieces, piece: io::Result<Bytes>) -> Option<()> {
    timeout(STALLED_MAX, pieces.send(piece)).await.ok()?.ok()
}

/// A body of what can be read from somewhere, until its end; `cut` hangs up.
pub(super) fn copied(
    mut source: impl AsyncRead + Send + Unpin + 'static,
    cut: &CancellationToken,
) -> Answer {
    let (pieces, body) = streamed();
    let cut = cut.clone();
    tokio::spawn(async move {
        loop {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            let read = tokio::select! {
                // A log that is followed must not be followed for nobody.
                () = pieces.closed() => return,
                read = source.read_buf(&mut piece) => read,
            };
            let piece = match read {
                Ok(0) => return,
                Ok(_) => Ok(piece.into()),
                Err(error) => Err(error),
            };
            let is_last = piece.is_err();
            if send(&pieces, piece).await.is_none() {
                return cut.cancel();
            }
            if is_last {
                return;
            }
        }
    });
    body
}

/// The whole body of a call.
pub(super) async fn collect(body: Incoming) -> Result<Bytes, Trouble> {
    let limited = Limited::new(body, FRAME_BYTES_MAX);
    match timeout(PIECE_TIMEOUT, limited.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Trouble::too_large(FRAME_BYTES_MAX as u64))
        }
        Ok(Err(error)) => Err(Trouble::cut_off(&error.to_string())),
        Err(_) => Err(Trouble::slow()),
    }
}

/// What comes as a body, read as it comes.
pub(super) fn reader(body: Incoming) -> impl AsyncRead + Unpin {
    let pieces = body.into_data_stream().map_err(io::Error::other);
    StreamReader::new(pieces)
}

struct Streamed(mpsc::Receiver<io::Result<Bytes>>);

impl Body for Streamed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
