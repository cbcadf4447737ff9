//! Standard input that is fed through a master: whose it may be, and what becomes of it where one
//! of the three breaks off.

#![expect(clippy::unwrap_used, reason = "a failed test says where")]

mod cluster;

use cluster::{Agent, Framework, Operator, soon, start};
use skep_master::{Keep, Master};
use skep_protocol::{
    Attempt, Rejection, TaskId, TaskKey,
    data::{Follow, LogStream, Request, Response},
};
use skep_transport::{
    Connection, FeedError, Feeder, InStream, RequestError,
    feed::{self, Feeding},
    log,
};
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, ReadBuf, repeat},
    task::yield_now,
};

/// A framework whose task `t` an agent runs, and another one.
struct Stage {
    _master: Master,
    operator: Operator,
    agent: Agent,
    owner: Framework,
    other: Framework,
}

impl Stage {
    async fn new() -> Self {
        let master = start(Keep::Nothing).await;
        let mut operator = Operator::of(&master).await;
        let mut agent = operator.admit_agent(&master).await;
        let mut owner = operator.admit_framework(&master).await;
        let other = operator.admit_framework(&master).await;
        agent.come_back_to(&master, owner.id()).await;
        owner.hears_that_its_task_runs().await;
        Self { _master: master, operator, agent, owner, other }
    }

    fn key(&self) -> TaskKey {
        let task = TaskId::new("t").unwrap();
        TaskKey { framework: self.owner.id(), task, attempt: Attempt::FIRST }
    }

    /// The owner begins to feed, and the agent to take it.
    async fn begin(&self) -> (Feeding, InStream, Feeder) {
        let taking = async {
            let incoming = self.agent.connection().accept_request().await.unwrap();
            assert_eq!(incoming.request, Request::Feed { key: self.key() });
            incoming.take_bytes().await.unwrap()
        };
        let beginning = feed::begin(self.owner.connection(), self.key());
        let (feeding, (bytes, feeder)) = soon(async { tokio::join!(beginning, taking) }).await;
        (feeding.unwrap(), bytes, feeder)
    }
}

async fn refused(connection: &Connection, key: TaskKey) -> Rejection {
    match soon(feed::begin(connection, key)).await {
        Err(RequestError::Refused(rejection)) => rejection,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_task_is_fed_by_its_own_framework_and_by_nobody_else() {
    let stage = Stage::new().await;
    let key = stage.key();
    let not_yours = Rejection::NotYours { framework: stage.owner.id() };
    assert_eq!(refused(stage.other.connection(), key.clone()).await, not_yours);
    assert_eq!(refused(stage.operator.connection(), key.clone()).await, not_yours);
    let kind = refused(stage.agent.connection(), key.clone()).await;
    assert!(matches!(kind, Rejection::WrongKind { .. }), "{kind:?}");
    let unknown = TaskKey { task: TaskId::new("u").unwrap(), ..key };
    let unknown = refused(stage.owner.connection(), unknown).await;
    assert_eq!(unknown, Rejection::UnknownTask { task: "u".into() });

    let (feeding, mut bytes, feeder) = stage.begin().await;
    let taking = async {
        let mut text = String::new();
        bytes.read_to_string(&mut text).await.unwrap();
        feeder.fed().await.unwrap();
        text
    };
    let fed = feeding.pass_on(&b"some input"[..]);
    let (fed, text) = soon(async { tokio::join!(fed, taking) }).await;
    fed.unwrap();
    assert_eq!(text, "some input");
}

#[tokio::test]
async fn a_task_that_reads_no_more_ends_what_feeds_it_for_ever() {
    let stage = Stage::new().await;
    let (feeding, mut bytes, feeder) = stage.begin().await;
    let taking = async {
        assert_eq!(bytes.read_u8().await.unwrap(), b'y');
        feeder.fed().await.unwrap();
        drop(bytes);
    };
    let (fed, ()) = soon(async { tokio::join!(feeding.pass_on(repeat(b'y')), taking) }).await;
    fed.unwrap();
}

/// What may be on the way at once: the windows of two streams, and a few pieces.
const UNREAD_BYTES_MAX: u64 = 4 << 20;
const ALL_BYTES: u64 = 48 << 20;

/// A source that fails as soon as more was taken of it than may be on the way.
struct Counted {
    left: u64,
    taken: Arc<AtomicU64>,
    read: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = self.left.min(buffer.remaining() as u64);
        let taken = self.taken.fetch_add(bytes, Ordering::SeqCst) + bytes;
        let unread = taken - self.read.load(Ordering::SeqCst);
        if unread > UNREAD_BYTES_MAX {
            return Poll::Ready(Err(io::Error::other(format!("{unread} bytes are on the way"))));
        }
        self.left -= bytes;
        buffer.put_slice(&vec![0; bytes as usize]);
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_read_holds_up_who_feeds() {
    let stage = Stage::new().await;
    let (feeding, mut bytes, feeder) = stage.begin().await;
    let (taken, read) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let source = Counted { left: ALL_BYTES, taken: taken.clone(), read: read.clone() };
    let taking = async {
        let mut piece = vec![0; 64 << 10];
        // Twice, whoever feeds has all the time to get too far ahead.
        for pause_at in [0, ALL_BYTES / 2] {
            while read.load(Ordering::SeqCst) < pause_at {
                let n = bytes.read(&mut piece).await.unwrap();
                read.fetch_add(n as u64, Ordering::SeqCst);
            }
            while taken.load(Ordering::SeqCst) < pause_at + (1 << 20) {
                yield_now().await;
            }
            for _ in 0..10_000 {
                yield_now().await;
            }
        }
        while let n @ 1.. = bytes.read(&mut piece).await.unwrap() {
            read.fetch_add(n as u64, Ordering::SeqCst);
        }
        feeder.fed().await.unwrap();
    };
    let (fed, ()) = soon(async { tokio::join!(feeding.pass_on(source), taking) }).await;
    fed.unwrap();
    assert_eq!(read.load(Ordering::SeqCst), ALL_BYTES);
}

/// As the master has it.
const FEEDS_MAX: usize = 32;

#[tokio::test]
async fn those_who_feed_and_say_nothing_do_not_hold_up_those_who_read() {
    let stage = Stage::new().await;
    let (owner, agent) = (stage.owner.connection(), stage.agent.connection());
    let mut silent = Vec::new();
    for _ in 0..FEEDS_MAX {
        silent.push(stage.begin().await);
    }
    let why = refused(owner, stage.key()).await;
    assert!(matches!(why, Rejection::NotAllowed { .. }), "{why:?}");
    let read = soon(async {
        tokio::select! {
            read = log::read(owner, stage.key(), LogStream::Stdout, 0, Follow::UntilEnded) => {
                panic!("nobody has answered: {read:?}")
            }
            incoming = agent.accept_request() => incoming.unwrap().request,
        }
    });
    assert!(matches!(read.await, Request::ReadLog { .. }));
    silent.pop();
    // Its place is free as soon as the master has heard of it.
    let again = soon(async {
        loop {
            tokio::select! {
                begun = feed::begin(owner, stage.key()) => match begun {
                    Err(RequestError::Refused(Rejection::NotAllowed { .. })) => {}
                    other => panic!("nobody has answered: {other:?}"),
                },
                incoming = agent.accept_request() => return incoming.unwrap().request,
            }
        }
    });
    assert!(matches!(again.await, Request::Feed { .. }));
}

#[tokio::test]
async fn a_task_that_ended_before_it_was_fed_has_all_that_it_reads() {
    let stage = Stage::new().await;
    let (owner, agent) = (stage.owner.connection(), stage.agent.connection());
    let answering = async {
        let incoming = agent.accept_request().await.unwrap();
        incoming.respond(&Response::Fed).await.unwrap();
    };
    let feeding = async { feed::begin(owner, stage.key()).await?.pass_on(repeat(b'y')).await };
    let (fed, ()) = soon(async { tokio::join!(feeding, answering) }).await;
    fed.unwrap();
}

#[tokio::test]
async fn a_framework_that_breaks_off_leaves_an_error_and_no_end() {
    let stage = Stage::new().await;
    let (feeding, mut bytes, _feeder) = stage.begin().await;
    drop(feeding);
    soon(bytes.read_u8()).await.expect_err("it was cut off");
}

#[tokio::test]
async fn an_agent_that_breaks_off_is_told_to_the_framework() {
    let stage = Stage::new().await;
    let (feeding, bytes, feeder) = stage.begin().await;
    drop((bytes, feeder));
    let failed = soon(feeding.pass_on(repeat(b'y'))).await.expect_err("it was cut off");
    let FeedError::Peer(RequestError::Refused(Rejection::NotAllowed { what })) = failed else {
        panic!("{failed:?}");
    };
    assert!(what.starts_with("feeding a task to the end"), "{what}");
}
