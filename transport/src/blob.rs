//! Blobs on the way: copied in pieces, counted and hashed as they pass, never held whole.
//!
//! The receiver believes neither the size nor the digest that it was told: a blob counts only when
//! [`receive`] says so. Storing, and throwing away what did not count, is the caller's.

use crate::{
    connection::Connection,
    frame::StreamError,
    request::{IncomingRequest, RequestError},
    stream::{InStream, OutStream},
};
use sha2::{Digest as _, Sha256};
use skep_protocol::{
    Digest,
    bounds::BLOB_BYTES_MAX,
    data::{Request, Response, StreamHeader},
};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes copied at a time: large enough to hide the cost of a turn, small enough for a thousand.
const PIECE_BYTES: usize = 64 << 10;

/// Why a blob did not arrive, or was not sent.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// It is longer than any blob may be.
    #[error("blob {digest} has {size} bytes, more than {BLOB_BYTES_MAX}")]
    TooLarge {
        /// Which blob.
        digest: Digest,
        /// Its size.
        size: u64,
    },
    /// Its bytes are not those of its digest.
    #[error("blob {digest}: the bytes that came are {found}")]
    WrongDigest {
        /// Which blob.
        digest: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// It is not as long as was said.
    #[error("blob {digest}: it ended after {found} of {size} bytes, or has more")]
    WrongSize {
        /// Which blob.
        digest: Digest,
        /// How many bytes it should have.
        size: u64,
        /// How many came before the end, or before there were too many.
        found: u64,
    },
    /// It was cut off on its way.
    #[error("blob {digest}: cut off after {found} bytes: {source}")]
    Truncated {
        /// Which blob.
        digest: Digest,
        /// How many bytes came.
        found: u64,
        /// What the stream says.
        source: io::Error,
    },
    /// Its source or destination here failed.
    #[error("blob {digest}: {source}")]
    Local {
        /// Which blob.
        digest: Digest,
        /// What the system said.
        source: io::Error,
    },
    /// The peer refused it or did not answer.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl From<StreamError> for BlobError {
    fn from(error: StreamError) -> Self {
        Self::Request(error.into())
    }
}

/// Sends a blob of `size` bytes on a stream of its own, and waits until the peer has it.
///
/// # Errors
/// [`BlobError`]; the peer then sees a stream that was cut.
pub async fn send(
    connection: &Connection,
    digest: Digest,
    size: u64,
    source: impl AsyncRead + Unpin,
) -> Result<(), BlobError> {
    let stream = connection.open_bytes(&StreamHeader::Blob { digest, size }).await?;
    copy(stream, digest, size, source).await
}

async fn copy(
    mut stream: OutStream,
    digest: Digest,
    size: u64,
    mut source: impl AsyncRead + Unpin,
) -> Result<(), BlobError> {
    let mut sent = 0;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let n = source.read(&mut piece).await.map_err(|source| local(digest, source))?;
        if n == 0 && sent == size {
            break;
        }
        sent += n as u64;
        if n == 0 || sent > size {
            return Err(BlobError::WrongSize { digest, size, found: sent });
        }
        let written = stream.write_all(&piece[..n]).await;
        written.map_err(|source| BlobError::Truncated { digest, found: sent, source })?;
    }
    Ok(stream.finish().await?)
}

/// Takes a blob from its stream and checks it against its digest and size.
///
/// # Errors
/// [`BlobError`]; what was written to `destination` by then is worthless.
pub async fn receive(
    stream: &mut InStream,
    digest: Digest,
    size: u64,
    destination: &mut (impl AsyncWrite + Unpin),
) -> Result<(), BlobError> {
    if size > BLOB_BYTES_MAX {
        return Err(BlobError::TooLarge { digest, size });
    }
    let mut hasher = Sha256::new();
    let mut found = 0;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let n = stream.read(&mut piece).await.map_err(|source| BlobError::Truncated {
            digest,
            found,
            source,
        })?;
        if n == 0 {
            break;
        }
        found += n as u64;
        if found > size {
            return Err(BlobError::WrongSize { digest, size, found });
        }
        hasher.update(&piece[..n]);
        let written = destination.write_all(&piece[..n]).await;
        written.map_err(|source| local(digest, source))?;
    }
    destination.flush().await.map_err(|source| local(digest, source))?;
    if found != size {
        return Err(BlobError::WrongSize { digest, size, found });
    }
    let came = Digest::from_bytes(hasher.finalize().into());
    if came != digest {
        return Err(BlobError::WrongDigest { digest, found: came });
    }
    Ok(())
}

/// Has the peer store a blob: sends it unless the peer has it already.
///
/// # Errors
/// [`BlobError`].
pub async fn put(
    connection: &Connection,
    digest: Digest,
    size: u64,
    source: impl AsyncRead + Unpin,
) -> Result<(), BlobError> {
    let mut answers = connection.ask(&Request::PutBlob { digest, size }).await?;
    match answers.expect().await? {
        Response::Stored => return Ok(()),
        Response::Send => {}
        _ => return Err(RequestError::Unfitting.into()),
    }
    let sent = send(connection, digest, size, source).await;
    if let Err(error @ (BlobError::Local { .. } | BlobError::WrongSize { .. })) = sent {
        // Leaving tells the peer, which has perhaps not even seen the stream begin.
        return Err(error);
    }
    // A peer that stops reading says why in its answer, which is worth more than the broken pipe.
    match (answers.expect().await, sent) {
        (Ok(Response::Stored), _) => Ok(()),
        (Err(refused @ RequestError::Refused(_)), _) => Err(refused.into()),
        (_, Err(error)) => Err(error),
        (Err(error), Ok(())) => Err(error.into()),
        (Ok(_), Ok(())) => Err(RequestError::Unfitting.into()),
    }
}

/// Takes the blob of a `PutBlob` that was not there yet. The caller stores it and answers.
///
/// # Errors
/// [`BlobError`]; the caller refuses the request.
pub async fn take_put(
    connection: &Connection,
    incoming: &mut IncomingRequest,
    digest: Digest,
    size: u64,
    destination: &mut (impl AsyncWrite + Unpin),
) -> Result<(), BlobError> {
    if size > BLOB_BYTES_MAX {
        return Err(BlobError::TooLarge { digest, size });
    }
    let mut expected = connection.expect_blob(digest);
    incoming.send(&Response::Send).await?;
    let (_, mut stream) = tokio::select! {
        arrival = expected.arrived() => arrival?,
        () = incoming.abandoned() => return Err(StreamError::Stopped.into()),
    };
    receive(&mut stream, digest, size, destination).await
}

/// Asks the peer for a blob and writes it to `destination`.
///
/// # Errors
/// [`BlobError`]; what was written to `destination` by then is worthless.
pub async fn fetch(
    connection: &Connection,
    digest: Digest,
    destination: &mut (impl AsyncWrite + Unpin),
) -> Result<(), BlobError> {
    let mut expected = connection.expect_blob(digest);
    let request = Request::FetchBlob { digest };
    let mut answers = connection.ask(&request).await?;
    let (header, mut stream) = answers.until_sent(&mut expected).await?;
    let StreamHeader::Blob { size, .. } = header else {
        return Err(RequestError::Unfitting.into());
    };
    receive(&mut stream, digest, size, destination).await
}

/// Answers a `FetchBlob`: sends the blob of `size` bytes and waits until the peer has it.
///
/// # Errors
/// [`BlobError`]; the peer then sees a stream that was cut.
pub async fn serve_fetch(
    connection: &Connection,
    incoming: IncomingRequest,
    digest: Digest,
    size: u64,
    source: impl AsyncRead + Unpin,
) -> Result<(), BlobError> {
    let header = StreamHeader::Blob { digest, size };
    let stream = incoming.respond_with_bytes(connection, &header, Some(size)).await?;
    copy(stream, digest, size, source).await
}

fn local(digest: Digest, source: io::Error) -> BlobError {
    BlobError::Local { digest, source }
}
