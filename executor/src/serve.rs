//! The conversation with the agent: orders in, reports out, over the socket that is standard input.
//!
//! Runs on the main thread, apart from the guests' threads. Always holds: orders are read while
//! reports are written, so that two full sockets cannot lock each other; an agent that does not
//! read gets no more guests started; without an agent there are no guests. Deliberately absent:
//! any decision about which guest to run.

use crate::{
    jail::{self, Jail, JailError},
    lanes::Lanes,
    runner::Runner,
    wire::{FilesError, Order, Orders, framing},
};
use bytes::Bytes;
use futures_util::SinkExt as _;
use skep_protocol::{
    codec::{DecodeError, Message as _},
    executor::{ToAgent, ToExecutor},
};
use std::{
    io,
    num::NonZeroUsize,
    os::{fd::AsFd as _, unix::net},
    process, thread,
};
use tokio::{
    net::{UnixStream, unix::OwnedWriteHalf},
    runtime, select,
};
use tokio_util::codec::{FramedWrite, LengthDelimitedCodec};

/// Why an executor ended otherwise than by order.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Somebody other than an agent started this process.
    #[error("standard input is no socket: executors are started by an agent, not by hand")]
    NotASocket(#[source] io::Error),
    /// The machine gives no threads or no event queue.
    #[error("the executor cannot set itself up")]
    Setup(#[source] io::Error),
    /// What was inherited cannot be closed, or the process is not in jail.
    #[error("no guest may run: the executor is not in jail")]
    Jail(#[from] JailError),
    /// The socket failed.
    #[error("the connection with the agent broke")]
    Socket(#[source] io::Error),
    /// The agent sent what is no order.
    #[error("the agent sent what is no order")]
    Violation(#[source] DecodeError),
    /// The agent's orders and the files that came with them do not match.
    #[error("the agent's orders and their files do not match: {0}")]
    Files(#[from] FilesError),
}

/// Enters the jail, then serves the agent on the Unix socket that is this process's standard input,
/// until it orders to stop or goes away. All guests end with it.
///
/// To be called by the only thread of a process that has opened nothing.
///
/// # Errors
/// [`ServeError`]
pub fn serve(jail: &Jail) -> Result<(), ServeError> {
    jail::close_inherited().map_err(ServeError::Setup)?;
    let socket = standard_input().map_err(ServeError::NotASocket)?;
    // These look at files that are out of reach afterwards, and the first runtime makes a pair of
    // sockets that all others use. It has no thread of its own.
    let workers = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let lanes = Lanes::new();
    let runtime =
        runtime::Builder::new_current_thread().enable_all().build().map_err(ServeError::Setup)?;
    jail::enter(jail)?;
    let runner = Runner::with(lanes, workers).map_err(ServeError::Setup)?;
    tracing::info!(workers, pid = process::id(), "executor ready");
    runtime.block_on(converse(socket, &runner))
}

fn standard_input() -> io::Result<net::UnixStream> {
    let socket = net::UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    socket.peer_addr()?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

async fn converse(socket: net::UnixStream, runner: &Runner) -> Result<(), ServeError> {
    let (reader, writer) = UnixStream::from_std(socket).map_err(ServeError::Socket)?.into_split();
    select! {
        result = obey(Orders::new(reader), runner) => result,
        result = report(FramedWrite::new(writer, framing()), runner) => result,
    }
}

async fn obey(mut orders: Orders, runner: &Runner) -> Result<(), ServeError> {
    loop {
        runner.caught_up().await;
        let order = match orders.next().await? {
            None => return Ok(()),
            Some(Order::Start(guests)) => {
                guests.into_iter().for_each(|(guest, files)| runner.start(guest, files));
                continue;
            }
            Some(Order::Other(order)) => order,
        };
        match order {
            ToExecutor::Start { .. } => unreachable!("it comes with its files"),
            ToExecutor::Kill { key, by } => runner.kill(&key, by),
            ToExecutor::Pause { key } => runner.pause(&key),
            ToExecutor::Resume { key } => runner.resume(&key),
            ToExecutor::Stop => return Ok(()),
        }
    }
}

async fn report(
    mut agent: FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>,
    runner: &Runner,
) -> Result<(), ServeError> {
    let mut message = ToAgent::Ready { pid: process::id() };
    loop {
        let frame: Bytes = message.encode();
        agent.send(frame).await.map_err(ServeError::Socket)?;
        message = ToAgent::Reports { reports: runner.reports().await };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt as _;
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use skep_protocol::{
        executor::{Report, StartGuest},
        ids::{AgentId, Attempt, Digest, FrameworkId, TaskId, TaskKey},
        outcome::Outcome,
        resources::Amount,
        task::{Diagnostics, Grants, Limits},
    };
    use std::{io::IoSlice, mem::MaybeUninit, os::fd::BorrowedFd};
    use tokio::join;
    use tokio_util::codec::Framed;

    type Agent = Framed<UnixStream, LengthDelimitedCodec>;

    fn pair() -> (Agent, net::UnixStream, Runner) {
        let (agent, executor) = net::UnixStream::pair().expect("a pair of sockets");
        agent.set_nonblocking(true).expect("set");
        executor.set_nonblocking(true).expect("set");
        let agent = UnixStream::from_std(agent).expect("registered");
        let runner = Runner::new(NonZeroUsize::MIN).expect("a thread");
        (Framed::new(agent, framing()), executor, runner)
    }

    async fn next(agent: &mut Agent) -> ToAgent {
        let frame = agent.next().await.expect("the executor is there").expect("a frame");
        ToAgent::decode(&frame).expect("a message")
    }

    /// The order comes with a file that is no artifact.
    async fn start_with_spoilt_artifact(agent: &mut Agent, guest: StartGuest) {
        let order = ToExecutor::Start { guests: vec![guest] }.encode();
        let length = u32::try_from(order.len()).expect("it is short").to_be_bytes();
        let file = tempfile::tempfile().expect("a file");
        let files: [BorrowedFd<'_>; 1] = [file.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
        let bytes = [IoSlice::new(&length), IoSlice::new(&order)];
        sendmsg(agent.get_ref(), &bytes, &mut control, SendFlags::empty()).expect("sent");
    }

    fn guest() -> StartGuest {
        let framework = FrameworkId::new("framework").expect("an id");
        let task = TaskId::new("task").expect("an id");
        StartGuest {
            key: TaskKey { framework, task, attempt: Attempt::FIRST },
            agent: AgentId::new("agent").expect("an id"),
            module: Digest::of(b"module"),
            name: "task".into(),
            args: Vec::new(),
            index: None,
            cpus: Amount::units(1),
            memory_bytes: 1 << 20,
            limits: Limits::default(),
            grants: Grants::default(),
            diagnostics: Diagnostics::default(),
            sandbox: "/nowhere".into(),
        }
    }

    #[tokio::test]
    async fn an_executor_says_that_it_is_ready_obeys_and_stops() {
        let (mut agent, executor, runner) = pair();
        let orders = async {
            assert_eq!(next(&mut agent).await, ToAgent::Ready { pid: process::id() });
            let guest = guest();
            let key = guest.key.clone();
            start_with_spoilt_artifact(&mut agent, guest).await;
            let ToAgent::Reports { reports } = next(&mut agent).await else {
                panic!("not a report");
            };
            let [Report::Ended { key: ended, outcome: Outcome::Failed { why }, .. }] =
                reports.as_slice()
            else {
                panic!("{reports:?}");
            };
            assert_eq!(*ended, key);
            assert!(why.contains("cannot be loaded"), "{why}");
            agent.send(ToExecutor::Stop.encode()).await.expect("sent");
        };
        let (ended, ()) = join!(converse(executor, &runner), orders);
        ended.expect("an orderly end");
    }

    #[tokio::test]
    async fn an_executor_ends_when_its_agent_is_gone() {
        let (agent, executor, runner) = pair();
        let (ended, ()) = join!(converse(executor, &runner), async { drop(agent) });
        assert!(matches!(ended, Ok(()) | Err(ServeError::Socket(_))), "{ended:?}");
    }

    #[tokio::test]
    async fn what_is_no_order_ends_the_conversation() {
        let (mut agent, executor, runner) = pair();
        let garbage = async { agent.send(Bytes::from_static(b"\xff\xff")).await.expect("sent") };
        let (ended, ()) = join!(converse(executor, &runner), garbage);
        assert!(matches!(ended, Err(ServeError::Violation(_))), "{ended:?}");
    }
}
