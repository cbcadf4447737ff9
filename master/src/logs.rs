//! What tasks wrote, passed on from the agents that have it: nobody but the master is connected to
//! agents.
//!
//! Always holds: what ends here as a whole log is whole. Of a task whose end is known so is how
//! much it wrote; a log that ends before that is cut, and one that is gone is refused.

use crate::{hub::Hub, peers::principal, requests::Cut};
use skep_master_core::Home;
use skep_protocol::{
    AgentId, Attempt, FrameworkId, Rejection, TaskId, TaskKey,
    data::{Follow, LogStream},
    operator::PeerKind,
};
use skep_transport::{Connection, InStream, IncomingRequest, PeerName, RequestError, log, outputs};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, ReadBuf};

/// A wish to read a task's output.
pub(crate) struct Log {
    pub(crate) key: TaskKey,
    pub(crate) stream: LogStream,
    pub(crate) offset: u64,
    pub(crate) follow: Follow,
}

/// A wish to read what tasks of a framework wrote on an agent.
pub(crate) struct Outputs {
    pub(crate) agent: AgentId,
    pub(crate) framework: FrameworkId,
    pub(crate) tasks: Vec<(TaskId, Attempt)>,
}

/// Passes a log on.
pub(crate) async fn read_log(
    incoming: IncomingRequest,
    connection: &Connection,
    hub: &Hub,
    log: Log,
    stream_id: u64,
) -> Result<(), Cut> {
    let Some(peer) = connection.peer() else { return Ok(()) };
    match open_log(hub, peer, log).await? {
        Ok(mut from) => {
            let mut to = log::serve(connection, incoming, stream_id).await?;
            tokio::io::copy(&mut from, &mut to).await?;
            Ok(to.finish().await?)
        }
        Err(rejection) => Ok(incoming.refuse(rejection).await?),
    }
}

/// Passes the outputs of many tasks on, without a look at them: who asked sees whether all are
/// there.
pub(crate) async fn read_outputs(
    incoming: IncomingRequest,
    connection: &Connection,
    hub: &Hub,
    wanted: Outputs,
    stream_id: u64,
) -> Result<(), Cut> {
    let Some(peer) = connection.peer() else { return Ok(()) };
    let Outputs { agent, framework, tasks } = wanted;
    let home = hub.find_on(agent.clone(), framework.clone()).await;
    let found = home.and_then(|home| reach(hub, peer, home, &framework));
    let from = match found {
        Ok(connection) => outputs::read(&connection, agent, framework, tasks).await,
        Err(rejection) => Err(rejection.into()),
    };
    match from {
        Ok(mut from) => {
            let mut to = log::serve(connection, incoming, stream_id).await?;
            tokio::io::copy(&mut from, &mut to).await?;
            Ok(to.finish().await?)
        }
        Err(RequestError::Refused(rejection)) => Ok(incoming.refuse(rejection).await?),
        Err(error) => Err(error.into()),
    }
}

/// Asks the agent that has a task's output for it, if this peer may have it.
pub(crate) async fn open_log(
    hub: &Hub,
    peer: &PeerName,
    log: Log,
) -> Result<Result<Whole<InStream>, Rejection>, RequestError> {
    let Log { key, stream, offset, follow } = log;
    let Some(home) = hub.find(&key).await else {
        return Ok(Err(Rejection::UnknownTask { task: key.task.to_string() }));
    };
    let wrote = match stream {
        LogStream::Stdout => home.wrote.map_or(0, |(stdout, _)| stdout),
        LogStream::Stderr => home.wrote.map_or(0, |(_, stderr)| stderr),
        LogStream::Core => 0,
    };
    let agent = match reach(hub, peer, home, &key.framework) {
        Ok(agent) => agent,
        Err(rejection) => return Ok(Err(rejection)),
    };
    let task = key.task.clone();
    match log::read(&agent, key, stream, offset, follow).await {
        Ok(from) => {
            let mut from = Whole::of(from, wrote.saturating_sub(offset));
            Ok(match from.begin().await {
                Ok(()) => Ok(from),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Err(Rejection::OutputGone { task, bytes: from.lacks() })
                }
                Err(_) => return Err(RequestError::Stream(skep_transport::StreamError::Cut)),
            })
        }
        Err(RequestError::Refused(rejection)) => Ok(Err(rejection)),
        Err(error) => Err(error),
    }
}

/// The agent that has something, if it is there and this peer may have it.
fn reach(
    hub: &Hub,
    peer: &PeerName,
    home: Home,
    framework: &FrameworkId,
) -> Result<Connection, Rejection> {
    if peer.kind() != PeerKind::Operator && home.principal != Some(principal(peer)) {
        return Err(Rejection::NotYours { framework: framework.clone() });
    }
    if let Some(agent) = home.gone {
        return Err(Rejection::AgentGone { agent });
    }
    home.connection.and_then(|id| hub.agent(id)).ok_or_else(|| {
        let what = "reading from an agent that is not connected: try again when it is".into();
        Rejection::NotAllowed { what }
    })
}

/// A log of which so much must come at least; that it ends before is an error.
pub(crate) struct Whole<R> {
    from: R,
    /// What was read to see that there is something.
    first: Vec<u8>,
    lacks: u64,
}

/// What is read to see whether a log is there.
const FIRST_BYTES: usize = 4_096;

impl<R: AsyncRead + Unpin> Whole<R> {
    fn of(from: R, lacks: u64) -> Self {
        Self { from, first: Vec::new(), lacks }
    }

    /// How many bytes must come yet.
    const fn lacks(&self) -> u64 {
        self.lacks
    }

    /// Waits for the first bytes, if there must be some.
    async fn begin(&mut self) -> io::Result<()> {
        use tokio::io::AsyncReadExt as _;
        if self.lacks == 0 {
            return Ok(());
        }
        let mut first = vec![0; FIRST_BYTES];
        let read = self.read(&mut first).await?;
        first.truncate(read);
        self.first = first;
        Ok(())
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Whole<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let count = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first[..count]);
            self.first.drain(..count);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.from).poll_read(cx, buffer))?;
        let read = (buffer.filled().len() - before) as u64;
        if read == 0 && self.lacks > 0 && buffer.remaining() > 0 {
            let why = format!("{} bytes of the log are not there any more", self.lacks);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, why)));
        }
        self.lacks = self.lacks.saturating_sub(read);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn a_log_that_ends_early_is_an_error_and_one_that_is_longer_is_not() {
        let mut whole = Whole::of(&b"abcdef"[..], 4);
        whole.begin().await.expect("it is there");
        let mut read = Vec::new();
        whole.read_to_end(&mut read).await.expect("it is whole");
        assert_eq!(read, b"abcdef");

        let mut short = Whole::of(&b"abc"[..], 4);
        short.begin().await.expect("some of it is there");
        let mut read = Vec::new();
        let error = short.read_to_end(&mut read).await.expect_err("one byte is missing");
        assert_eq!((error.kind(), &read[..]), (io::ErrorKind::UnexpectedEof, &b"abc"[..]));
        assert_eq!(error.to_string(), "1 bytes of the log are not there any more");

        let mut gone = Whole::of(&b""[..], 4);
        let error = gone.begin().await.expect_err("it is gone");
        assert_eq!((error.kind(), gone.lacks()), (io::ErrorKind::UnexpectedEof, 4));
    }
}
