//! The loop that owns the core: takes what happened, carries out what the core decided.
//!
//! No decision is made here. Inputs come over one bounded channel; effects leave through the
//! journal, which holds each back until the records before it are durable.

use crate::outbox::Outbox;
use skep_master_core::{
    Answer, Change, ConnectionId, Effect, Home, Input, Master as Core, Record, RequestId,
};
use skep_protocol::{AgentId, Digest, FrameworkId, Rejection, TaskKey, operator};
use skep_shell::{Clock, Journal, Parcel, Room, Row, WriteError};
use skep_store::Lease;
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// Inputs that may wait for the loop. A full inbox slows the connections down, each by its own
/// stream's flow control; nothing is dropped.
pub(crate) const INBOX_MAX: usize = 4_096;
/// Inputs handled in a row before effects are carried out: enough to share a commit, few enough
/// that no answer waits noticeably.
const TURN_INPUTS_MAX: usize = 256;

/// The answer to what somebody asked the core.
pub(crate) type Reply = oneshot::Sender<Result<Answer, Rejection>>;

/// What can happen to the loop.
pub(crate) enum Event {
    /// A connection is up; what the core sends it goes here.
    Opened { connection: ConnectionId, outbox: Outbox },
    /// A peer said something, or is gone.
    Input(Input),
    /// Somebody wants an answer from the core.
    Ask { ask: Ask, reply: Reply },
    /// Somebody wants to know where a task's output is.
    Find { key: TaskKey, reply: oneshot::Sender<Option<Home>> },
    /// Somebody wants to know where what a framework's tasks wrote on an agent is.
    FindOn {
        agent: AgentId,
        framework: FrameworkId,
        reply: oneshot::Sender<Result<Home, Rejection>>,
    },
    /// Somebody wants to know whether a task may speak as a framework.
    MaySpeak { agent: AgentId, key: TaskKey, reply: oneshot::Sender<Result<(), Rejection>> },
    /// Somebody wants to know whether an agent's identity holds.
    Admits { agent: AgentId, reply: oneshot::Sender<bool> },
}

/// What can be asked of the core.
pub(crate) enum Ask {
    Join { secret: Digest, name: String },
    CreateToken(NewToken),
    Order(operator::Request),
    Records,
    Inquiry { by: String, framework: String, message: Vec<u8> },
}

/// A token that the shell has drawn; the core decides whether it stands.
pub(crate) struct NewToken {
    pub(crate) id: String,
    pub(crate) secret: Digest,
    pub(crate) kind: operator::PeerKind,
    pub(crate) uses: u32,
    pub(crate) ttl: Duration,
}

impl Ask {
    fn into_input(self, request: RequestId) -> Input {
        match self {
            Self::Join { secret, name } => Input::Join { request, secret, name },
            Self::CreateToken(NewToken { id, secret, kind, uses, ttl }) => {
                Input::CreateToken { request, id, secret, kind, uses, ttl }
            }
            Self::Order(order) => Input::Order { request, order },
            Self::Records => Input::Records { request },
            Self::Inquiry { by, framework, message } => {
                Input::Inquiry { request, by, framework, message }
            }
        }
    }
}

/// See the module.
pub(crate) struct Shell {
    pub(crate) core: Core,
    pub(crate) journal: Journal<Parcel<Effect>>,
    /// For messages that wait for the disk.
    room: Room,
    pub(crate) inbox: mpsc::Receiver<Event>,
    pub(crate) clock: Clock,
    /// How long it may act, where another could come to lead.
    lease: Option<Lease>,
    outboxes: BTreeMap<ConnectionId, Outbox>,
    replies: HashMap<RequestId, Reply>,
    requests: u64,
}

impl Shell {
    pub(crate) fn new(
        core: Core,
        journal: Journal<Parcel<Effect>>,
        inbox: mpsc::Receiver<Event>,
        lease: Option<Lease>,
    ) -> Self {
        Self {
            core,
            journal,
            room: Room::new(),
            inbox,
            clock: Clock::start(),
            lease,
            outboxes: BTreeMap::new(),
            replies: HashMap::new(),
            requests: 0,
        }
    }

    /// Runs until it is stopped. A record that cannot be written ends it: memory must not get
    /// ahead of the disk. So does the end of its lease: nothing is said or written after it.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), WriteError> {
        let ended = self.serve(stop).await;
        // To be hung up on tells a framework that it is torn down: this is something else.
        for outbox in std::mem::take(&mut self.outboxes).into_values() {
            outbox.leave();
        }
        ended
    }

    async fn serve(&mut self, stop: CancellationToken) -> Result<(), WriteError> {
        loop {
            let due = self.core.deadline().map(|time| self.clock.instant_of(time));
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                event = self.inbox.recv() => match event {
                    Some(event) => self.take_turn(event),
                    None => return Ok(()),
                },
                committed = self.journal.committed() => committed?,
                () = until(due) => self.handle(Input::Tick),
                () = until(self.lease.as_ref().map(Lease::held_until)) => {}
            }
            if self.lease.as_ref().is_some_and(|lease| !lease.is_held()) {
                let why = "its lease ran out before it was renewed";
                return Err(WriteError::Deposed { why: why.into() });
            }
            self.carry_out();
        }
    }

    /// Handles what has come in; once the inbox is empty, the core may allocate.
    fn take_turn(&mut self, first: Event) {
        self.take(first);
        for _ in 1..TURN_INPUTS_MAX {
            match self.inbox.try_recv() {
                Ok(event) => self.take(event),
                Err(_) => return self.handle(Input::Idle),
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Opened { connection, outbox } => {
                self.outboxes.insert(connection, outbox);
            }
            Event::Input(input) => {
                if let Input::Disconnected { connection } = &input {
                    self.outboxes.remove(connection);
                }
                self.handle(input);
            }
            Event::Ask { ask, reply } => {
                self.requests += 1;
                let request = RequestId(self.requests);
                self.replies.insert(request, reply);
                self.handle(ask.into_input(request));
            }
            Event::Find { key, reply } => {
                let _ = reply.send(self.core.home_of(&key));
            }
            Event::FindOn { agent, framework, reply } => {
                let _ = reply.send(self.core.home_on(&agent, &framework));
            }
            Event::MaySpeak { agent, key, reply } => {
                let _ = reply.send(self.core.may_speak(&agent, &key));
            }
            Event::Admits { agent, reply } => {
                let _ = reply.send(self.core.admits(&agent));
            }
        }
    }

    /// Hands an input to the core, and its effects to the journal.
    pub(crate) fn handle(&mut self, input: Input) {
        for effect in self.core.handle(self.clock.now(), input) {
            match effect {
                Effect::Persist(record) => self.journal.persist(row_of(&record)),
                effect => {
                    let message_bytes = effect.message_bytes();
                    match self.room.pack(effect, message_bytes) {
                        Some(effect) => self.journal.hold(effect),
                        None => tracing::debug!("the disk is slow: messages are dropped"),
                    }
                }
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.journal.release().map(Parcel::open) {
            match effect {
                Effect::SendAgent { connection, message } => {
                    self.send(connection, |outbox| outbox.send_agent(message));
                }
                Effect::SendFramework { connection, event } => {
                    self.send(connection, |outbox| outbox.send_framework(event));
                }
                Effect::Disconnect { connection } => {
                    // The outbox sends what it holds, then hangs up.
                    self.outboxes.remove(&connection);
                }
                Effect::Answer { request, answer } => {
                    if let Some(reply) = self.replies.remove(&request) {
                        let _ = reply.send(answer);
                    }
                }
                Effect::Persist(_) => unreachable!("records are handed to the journal"),
            }
        }
    }

    /// Sends, unless the connection is gone. One that does not read fast enough is dropped: it
    /// will connect again and be told what it missed.
    fn send(&mut self, connection: ConnectionId, send: impl FnOnce(&Outbox) -> Result<(), Full>) {
        if let Some(outbox) = self.outboxes.get(&connection)
            && send(outbox).is_err()
        {
            tracing::warn!(connection = connection.0, "the peer reads too slowly: hanging up");
            if let Some(outbox) = self.outboxes.remove(&connection) {
                outbox.abandon();
            }
        }
    }
}

/// What a record does to a store.
pub(crate) fn row_of(record: &Record) -> Row {
    match record.change() {
        Change::Delete => Row::delete(record.key()),
        Change::Put => Row::put(record.key(), record),
    }
}

/// An outbox holds as much as it may.
pub(crate) struct Full;

async fn until(due: Option<std::time::Instant>) {
    match due {
        Some(due) => sleep_until(Instant::from_std(due)).await,
        None => std::future::pending().await,
    }
}
