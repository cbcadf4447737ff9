//! The greeting: the first stream, opened by who dials, carries a `Hello` each way and then the
//! control conversation.
//!
//! ```text
//! dialler                       listener
//!   open stream, Hello  ------->
//!                       <-------  Hello             both: newest common protocol, or hang up
//!   control messages    <------>  control messages
//! ```

use crate::{
    close::{CloseCode, CloseReason, Closed},
    endpoint::CONTROL_PRIORITY,
    frame::{FrameReader, FrameWriter, STRANGER_FRAME_BYTES_MAX, StreamError},
};
use quinn::{RecvStream, SendStream};
use skep_protocol::hello::{Hello, NoCommonProtocol};

/// What a greeting leaves behind.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) theirs: Hello,
    pub(crate) writer: FrameWriter,
    pub(crate) reader: FrameReader,
}

/// Why a greeting failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GreetingError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    NoCommonProtocol(#[from] NoCommonProtocol),
}

impl GreetingError {
    /// What the peer is told when it is hung up on.
    pub(crate) fn close_reason(&self) -> CloseReason {
        let code = match self {
            Self::Stream(_) => CloseCode::Violation,
            Self::NoCommonProtocol(_) => CloseCode::NoCommonProtocol,
        };
        CloseReason::new(code, self.to_string())
    }
}

/// Greets as the side that dialled.
pub(crate) async fn dial(connection: &quinn::Connection) -> Result<Greeting, GreetingError> {
    let (send, receive) = connection.open_bi().await.map_err(broken)?;
    let (mut writer, mut reader) = frames(send, receive);
    let ours = Hello::ours();
    writer.send(&ours).await?;
    let theirs: Hello = reader.expect().await?;
    ours.agree(&theirs)?;
    Ok(Greeting { theirs, writer, reader })
}

/// Greets as the side that listens.
pub(crate) async fn listen(connection: &quinn::Connection) -> Result<Greeting, GreetingError> {
    let (send, receive) = connection.accept_bi().await.map_err(broken)?;
    let (mut writer, mut reader) = frames(send, receive);
    let theirs: Hello = reader.expect().await?;
    let ours = Hello::ours();
    writer.send(&ours).await?;
    if let Err(error) = ours.agree(&theirs) {
        // Hanging up at once could overtake our Hello: the dialler, who sees the same, does it.
        connection.closed().await;
        return Err(error.into());
    }
    Ok(Greeting { theirs, writer, reader })
}

fn frames(send: SendStream, receive: RecvStream) -> (FrameWriter, FrameReader) {
    // It fails only on a stream that is closed, which the next write reports.
    let _ = send.set_priority(CONTROL_PRIORITY);
    (FrameWriter::new(send), FrameReader::new(receive, STRANGER_FRAME_BYTES_MAX))
}

fn broken(error: quinn::ConnectionError) -> StreamError {
    Closed::from(error).into()
}
