//! The conversation with the agent: orders in, reports out.
//!
//! The agent made the listening socket that is this process's standard input, and dials it. It may
//! end and be started anew, perhaps as a newer build: then it dials again, learns which guests
//! there are, and is told again what it did not acknowledge. Runs on the main thread, apart from
//! the guests' threads. Always holds: guests do not notice whether there is an agent; orders are
//! read while reports are written, so that two full sockets cannot lock each other; an agent that
//! does not read gets no more guests started; one that stays away for too long has no more guests.
//! Deliberately absent: any decision about which guest to run.

use crate::{
    jail::{self, Jail, JailError},
    lanes::Lanes,
    runner::Runner,
    wire::{FilesError, Order, Orders, framing},
};
use bytes::Bytes;
use futures_util::SinkExt as _;
use rustix::net::sockopt::socket_acceptconn;
use skep_protocol::{
    codec::{DecodeError, Message as _},
    executor::{ToAgent, ToExecutor},
    hello::{Hello, NoCommonProtocol},
};
use std::{
    io,
    num::NonZeroUsize,
    os::{fd::AsFd as _, unix::net},
    process, thread,
    time::Duration,
};
use tokio::{
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    runtime, select,
    time::{sleep, timeout},
};
use tokio_util::codec::{FramedWrite, LengthDelimitedCodec};

/// How long a process is left alone that has too many files open to accept one more.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Why an executor ended, or a conversation, otherwise than by order.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Somebody other than an agent started this process.
    #[error(
        "standard input is no listening socket: executors are started by an agent, not by hand"
    )]
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
    /// The agent speaks no protocol that this build speaks.
    #[error(transparent)]
    Version(#[from] NoCommonProtocol),
    /// The agent sent what is no order.
    #[error("the agent sent what is no order")]
    Violation(#[source] DecodeError),
    /// The agent's orders and the files that came with them do not match.
    #[error("the agent's orders and their files do not match: {0}")]
    Files(#[from] FilesError),
}

/// How a conversation ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The agent ordered to stop.
    Stopped,
    /// The agent is gone.
    HungUp,
}

/// Enters the jail, then serves the agents that dial the Unix socket on which this process's
/// standard input listens, one after the other, until one orders to stop or none has come for
/// `alone_max`. All guests end with it.
///
/// To be called by the only thread of a process that has opened nothing.
///
/// # Errors
/// [`ServeError`]
pub fn serve(jail: &Jail, alone_max: Duration) -> Result<(), ServeError> {
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
    runtime.block_on(serve_agents(socket, &runner, alone_max))
}

fn standard_input() -> io::Result<net::UnixListener> {
    let socket = net::UnixListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    if !socket_acceptconn(&socket)? {
        return Err(io::Error::other("it does not listen"));
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

async fn serve_agents(
    socket: net::UnixListener,
    runner: &Runner,
    alone_max: Duration,
) -> Result<(), ServeError> {
    let listener = UnixListener::from_std(socket).map_err(ServeError::Socket)?;
    loop {
        let agent = match timeout(alone_max, listener.accept()).await {
            Ok(Ok((agent, _))) => agent,
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot take the agent's call");
                sleep(ACCEPT_RETRY).await;
                continue;
            }
            Err(_) => {
                tracing::warn!(?alone_max, "no agent has come for too long: all guests end");
                return Ok(());
            }
        };
        let ended = converse(agent, runner).await;
        runner.hang_up_all();
        match ended {
            Ok(End::Stopped) => return Ok(()),
            Ok(End::HungUp) => tracing::info!("the agent is gone; guests run on"),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "hung up on the agent; guests run on");
            }
        }
    }
}

async fn converse(agent: UnixStream, runner: &Runner) -> Result<End, ServeError> {
    let (reader, writer) = agent.into_split();
    let (mut orders, mut agent) = (Orders::new(reader), FramedWrite::new(writer, framing()));
    say(&mut agent, Hello::ours().encode()).await?;
    match orders.hello().await? {
        Some(hello) => Hello::ours().agree(&hello)?,
        None => return Ok(End::HungUp),
    };
    select! {
        result = obey(orders, runner) => result,
        result = report(agent, runner) => result,
    }
}

async fn obey(mut orders: Orders, runner: &Runner) -> Result<End, ServeError> {
    loop {
        runner.caught_up().await;
        let order = match orders.next().await? {
            None => return Ok(End::HungUp),
            Some(Order::Start(guests)) => {
                runner.start_all(guests);
                continue;
            }
            Some(Order::Other(order)) => order,
        };
        match order {
            ToExecutor::Start { .. } => unreachable!("it comes with its files"),
            ToExecutor::Kill { key, by } => runner.kill(&key, by),
            ToExecutor::Pause { key } => runner.pause(&key),
            ToExecutor::Resume { key } => runner.resume(&key),
            ToExecutor::Acknowledge { batch } => runner.acknowledged(batch),
            ToExecutor::Tell { key, event } => runner.tell(&key, event),
            ToExecutor::HangUp { key } => runner.hang_up(&key),
            ToExecutor::Message(message) => runner.send_message(message),
            ToExecutor::Stop => return Ok(End::Stopped),
        }
    }
}

type Agent = FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>;

async fn report(mut agent: Agent, runner: &Runner) -> Result<End, ServeError> {
    // What has happened by now and did not leave yet follows after, so nothing is missed.
    let guests = runner.held();
    say(&mut agent, ToAgent::Ready { guests }.encode()).await?;
    for frame in runner.again() {
        say(&mut agent, frame).await?;
    }
    loop {
        let frame = select! {
            // Kept before it is sent: this may be dropped while it waits for the socket.
            reports = runner.reports() => runner.leave(reports),
            said = runner.said() => said.encode(),
        };
        say(&mut agent, frame).await?;
    }
}

async fn say(agent: &mut Agent, frame: Bytes) -> Result<(), ServeError> {
    agent.send(frame).await.map_err(ServeError::Socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt as _;
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use skep_protocol::{
        executor::{GuestStage, HeldGuest, Report, StartGuest},
        ids::{AgentId, Attempt, Digest, FrameworkId, TaskId, TaskKey},
        outcome::Outcome,
        resources::Amount,
        task::{Diagnostics, Grants, Limits, Policies},
    };
    use std::{io::IoSlice, mem::MaybeUninit, os::fd::BorrowedFd};
    use tokio::join;
    use tokio_util::codec::Framed;

    type Caller = Framed<UnixStream, LengthDelimitedCodec>;

    fn pair() -> (Caller, UnixStream, Runner) {
        let (agent, executor) = net::UnixStream::pair().expect("a pair of sockets");
        agent.set_nonblocking(true).expect("set");
        executor.set_nonblocking(true).expect("set");
        let agent = UnixStream::from_std(agent).expect("registered");
        let executor = UnixStream::from_std(executor).expect("registered");
        let runner = Runner::new(NonZeroUsize::MIN).expect("a thread");
        (Framed::new(agent, framing()), executor, runner)
    }

    async fn next(agent: &mut Caller) -> ToAgent {
        let frame = agent.next().await.expect("the executor is there").expect("a frame");
        ToAgent::decode(&frame).expect("a message")
    }

    /// The order comes with a file that is no artifact.
    async fn start_with_spoilt_artifact(agent: &mut Caller, guest: StartGuest) {
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
            inputs: Vec::new(),
            diagnostics: Diagnostics::default(),
            policies: Policies::default(),
            checkpoint: Vec::new(),
            sandbox: "/nowhere".into(),
        }
    }

    /// Both sides say hello, and the executor what it has.
    async fn greet(agent: &mut Caller) -> ToAgent {
        let frame = agent.next().await.expect("the executor is there").expect("a frame");
        assert_eq!(Hello::decode(&frame).expect("a hello"), Hello::ours());
        agent.send(Hello::ours().encode()).await.expect("sent");
        next(agent).await
    }

    fn nobody() -> ToAgent {
        ToAgent::Ready { guests: Vec::new() }
    }

    /// Reads the report of a guest that cannot be loaded.
    async fn failure(agent: &mut Caller, expected: &TaskKey) -> u64 {
        let ToAgent::Reports { batch, reports } = next(agent).await else {
            panic!("not a report");
        };
        let [Report::Ended { key, outcome: Outcome::Failed { why }, .. }] = reports.as_slice()
        else {
            panic!("{reports:?}");
        };
        assert_eq!(key, expected);
        assert!(why.contains("cannot be loaded"), "{why}");
        batch
    }

    #[tokio::test]
    async fn an_executor_says_that_it_is_ready_obeys_and_stops() {
        let (mut agent, executor, runner) = pair();
        let orders = async {
            assert_eq!(greet(&mut agent).await, nobody());
            let guest = guest();
            let key = guest.key.clone();
            start_with_spoilt_artifact(&mut agent, guest).await;
            assert_eq!(failure(&mut agent, &key).await, 1);
            agent.send(ToExecutor::Stop.encode()).await.expect("sent");
        };
        let (ended, ()) = join!(converse(executor, &runner), orders);
        assert_eq!(ended.expect("an orderly end"), End::Stopped);
    }

    #[tokio::test]
    async fn the_next_agent_hears_what_the_last_did_not_acknowledge() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let socket = net::UnixListener::bind(&path).expect("a socket");
        socket.set_nonblocking(true).expect("set");
        let runner = Runner::new(NonZeroUsize::MIN).expect("a thread");
        let dial = async || {
            let agent = UnixStream::connect(&path).await.expect("the executor listens");
            Framed::new(agent, framing())
        };
        let agents = async {
            let mut first = dial().await;
            assert_eq!(greet(&mut first).await, nobody());
            let guest = guest();
            let key = guest.key.clone();
            start_with_spoilt_artifact(&mut first, guest).await;
            assert_eq!(failure(&mut first, &key).await, 1);
            drop(first);

            let mut second = dial().await;
            let (stage, paused) = (GuestStage::Starting, false);
            let guests = vec![HeldGuest { key: key.clone(), stage, paused }];
            assert_eq!(greet(&mut second).await, ToAgent::Ready { guests });
            assert_eq!(failure(&mut second, &key).await, 1);
            let acknowledge = ToExecutor::Acknowledge { batch: 1 };
            second.send(acknowledge.encode()).await.expect("sent");
            drop(second);

            let mut third = dial().await;
            assert_eq!(greet(&mut third).await, nobody());
            third.send(ToExecutor::Stop.encode()).await.expect("sent");
        };
        let served = serve_agents(socket, &runner, Duration::from_secs(60));
        let (ended, ()) = join!(served, agents);
        ended.expect("an orderly end");
    }

    #[tokio::test]
    async fn an_executor_to_which_no_agent_comes_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = net::UnixListener::bind(folder.path().join("socket")).expect("a socket");
        socket.set_nonblocking(true).expect("set");
        let runner = Runner::new(NonZeroUsize::MIN).expect("a thread");
        serve_agents(socket, &runner, Duration::ZERO).await.expect("an orderly end");
    }

    #[tokio::test]
    async fn an_agent_that_is_gone_is_no_fault() {
        let (agent, executor, runner) = pair();
        let (ended, ()) = join!(converse(executor, &runner), async { drop(agent) });
        assert!(matches!(ended, Ok(End::HungUp) | Err(ServeError::Socket(_))), "{ended:?}");
    }

    #[tokio::test]
    async fn an_agent_of_another_age_is_told_so() {
        let (mut agent, executor, runner) = pair();
        let future = Hello { protocol_min: 99, protocol_max: 99, ..Hello::ours() };
        let hello = async { agent.send(future.encode()).await.expect("sent") };
        let (ended, ()) = join!(converse(executor, &runner), hello);
        assert!(matches!(ended, Err(ServeError::Version(_))), "{ended:?}");
    }

    #[tokio::test]
    async fn what_is_no_order_ends_the_conversation() {
        let (mut agent, executor, runner) = pair();
        let garbage = async {
            greet(&mut agent).await;
            agent.send(Bytes::from_static(b"\xff\xff")).await.expect("sent");
        };
        let (ended, ()) = join!(converse(executor, &runner), garbage);
        assert!(matches!(ended, Err(ServeError::Violation(_))), "{ended:?}");
    }
}
