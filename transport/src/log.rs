//! Logs on the way: what a task wrote, as a byte stream of unknown length that may be followed. A
//! backup of the master travels in the same way.

use crate::{
    connection::Connection,
    frame::StreamError,
    request::{IncomingRequest, RequestError},
    stream::{InStream, OutStream},
};
use skep_protocol::{
    TaskKey,
    data::{Follow, LogStream, Request, StreamHeader},
};

/// Asks the peer for what a task wrote, from byte `offset` on.
///
/// # Errors
/// [`RequestError`]; a refusal is one.
pub async fn read(
    connection: &Connection,
    key: TaskKey,
    stream: LogStream,
    offset: u64,
    follow: Follow,
) -> Result<InStream, RequestError> {
    let (stream_id, mut expected) = connection.expect_log();
    let request = Request::ReadLog { key, stream, offset, follow, stream_id };
    let mut answers = connection.ask(&request).await?;
    let (_, bytes) = answers.until_sent(&mut expected).await?;
    Ok(bytes)
}

/// Asks a master for a backup of all that it must not lose, `blobs` too or not.
///
/// # Errors
/// [`RequestError`]; a refusal is one.
pub async fn read_backup(connection: &Connection, blobs: bool) -> Result<InStream, RequestError> {
    let (stream_id, mut expected) = connection.expect_log();
    let mut answers = connection.ask(&Request::Backup { blobs, stream_id }).await?;
    let (_, bytes) = answers.until_sent(&mut expected).await?;
    Ok(bytes)
}

/// Answers a `ReadLog` or `Backup` with a stream to write it to; its end is
/// [`OutStream::finish`].
///
/// # Errors
/// [`StreamError`] if the peer has left.
pub async fn serve(
    connection: &Connection,
    incoming: IncomingRequest,
    stream_id: u64,
) -> Result<OutStream, StreamError> {
    incoming.respond_with_bytes(connection, &StreamHeader::Log { stream_id }, None).await
}
