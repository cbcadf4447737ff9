//! Requests: each has a stream of its own, so that none waits for another.

use crate::{
    connection::{Connection, ControlReceiver, ControlSender},
    feed::Feeder,
    frame::{FrameReader, FrameWriter, StreamError},
    stream::{ExpectedStream, InStream, OutStream, not_opened},
};
use skep_protocol::{
    Rejection,
    bounds::FRAME_BYTES_MAX,
    codec::Message,
    data::{Request, Response, StreamHeader},
};
use std::convert::Infallible;

/// Why a request was not answered as hoped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The peer answered: it does not do that.
    #[error(transparent)]
    Refused(#[from] Rejection),
    /// The peer answered something that does not answer the request.
    #[error("the peer's answer does not fit what it was asked")]
    Unfitting,
    /// No answer came.
    #[error("no answer: {0}")]
    Stream(#[from] StreamError),
}

/// The answers to a request that is under way. Dropping it tells the peer that nobody waits.
#[derive(Debug)]
pub struct Answers {
    reader: FrameReader,
    connection: Connection,
}

impl Answers {
    pub(crate) async fn ask(
        connection: &Connection,
        request: &Request,
    ) -> Result<Self, StreamError> {
        let (send, receive) = connection.quinn().open_bi().await.map_err(not_opened)?;
        let mut writer = FrameWriter::new(send);
        writer.send(request).await?;
        Ok(Self::new(FrameReader::new(receive, FRAME_BYTES_MAX), connection))
    }

    pub(crate) fn new(reader: FrameReader, connection: &Connection) -> Self {
        Self { reader, connection: connection.clone() }
    }

    /// The next answer, or none if there are no more. Cancel safe.
    ///
    /// # Errors
    /// [`RequestError`]; a refusal is one.
    pub async fn next(&mut self) -> Result<Option<Response>, RequestError> {
        match self.reader.next().await {
            Ok(Some(Response::Refused { rejection })) => Err(rejection.into()),
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.connection.blame(error).into()),
        }
    }

    /// The next answer, which has to come. Cancel safe.
    ///
    /// # Errors
    /// [`RequestError`]; a refusal is one.
    pub async fn expect(&mut self) -> Result<Response, RequestError> {
        self.next().await?.ok_or(RequestError::Stream(StreamError::Cut))
    }

    /// Waits for the byte stream that was asked for. A refusal may come instead; and a stream that
    /// was cut before its header was read never arrives, but then the answers are cut too.
    pub(crate) async fn until_sent(
        &mut self,
        expected: &mut ExpectedStream,
    ) -> Result<(StreamHeader, InStream), RequestError> {
        let answer = tokio::select! {
            biased;
            arrival = expected.arrived() => return Ok(arrival?),
            answer = self.expect() => answer?,
        };
        let Response::Sending { .. } = answer else { return Err(RequestError::Unfitting) };
        tokio::select! {
            biased;
            arrival = expected.arrived() => Ok(arrival?),
            Err(error) = self.no_more() => Err(error),
        }
    }

    /// Waits for an error; answers after the last have no meaning.
    async fn no_more(&mut self) -> Result<Infallible, RequestError> {
        match self.next().await {
            Err(error) => Err(error),
            Ok(_) => std::future::pending().await,
        }
    }
}

/// A request of the peer that waits for its answer. Dropped without one, the peer sees it cut.
#[derive(Debug)]
pub struct IncomingRequest {
    /// What the peer asks for. From a peer without a certificate it is always a `Join`.
    pub request: Request,
    writer: FrameWriter,
    reader: FrameReader,
}

impl IncomingRequest {
    pub(crate) fn new(request: Request, writer: FrameWriter, reader: FrameReader) -> Self {
        Self { request, writer, reader }
    }

    /// Waits until the peer no longer wants the answer, or is gone.
    pub async fn abandoned(&self) {
        self.writer.abandoned().await;
    }

    /// Sends an answer that is followed by another.
    ///
    /// # Errors
    /// [`StreamError`] if the peer has left.
    pub async fn send(&mut self, answer: &Response) -> Result<(), StreamError> {
        self.writer.send(answer).await
    }

    /// Sends the last answer.
    ///
    /// # Errors
    /// [`StreamError`] if the peer has left.
    pub async fn respond(mut self, answer: &Response) -> Result<(), StreamError> {
        self.writer.send(answer).await
    }

    /// Answers with a stream of bytes, `size` in all if that is known.
    ///
    /// # Errors
    /// [`StreamError`] if the peer has left.
    pub async fn respond_with_bytes(
        mut self,
        connection: &Connection,
        header: &StreamHeader,
        size: Option<u64>,
    ) -> Result<OutStream, StreamError> {
        self.writer.send(&Response::Sending { size }).await?;
        Ok(connection.open_bytes(header).await?.answering(self.writer))
    }

    /// Has the peer send the bytes that it asked to feed a task with, on the stream of its request.
    ///
    /// # Errors
    /// [`StreamError`] if the peer has left.
    pub async fn take_bytes(mut self) -> Result<(InStream, Feeder), StreamError> {
        self.writer.send(&Response::Send).await?;
        let (first, rest) = self.reader.into_stream();
        Ok((InStream::new(first, rest), Feeder(self.writer)))
    }

    /// Answers, and goes on as a conversation on the same stream.
    ///
    /// # Errors
    /// [`StreamError`] if the peer has left.
    pub async fn converse<Out: Message, In: Message>(
        mut self,
        connection: &Connection,
        answer: &Response,
    ) -> Result<(ControlSender<Out>, ControlReceiver<In>), StreamError> {
        self.writer.send(answer).await?;
        Ok(connection.conversation(self.writer, self.reader))
    }

    /// Refuses, as the last answer.
    ///
    /// # Errors
    /// [`StreamError`] if the peer has left.
    pub async fn refuse(self, rejection: Rejection) -> Result<(), StreamError> {
        self.respond(&Response::Refused { rejection }).await
    }
}
