//! Subscribed streams: what of them calls need, and the loop that writes one.

use super::{
    answer::Trouble,
    body::{Pieces, send},
};
use crate::{hub::Hub, outbox::Outbox, shell};
use bytes::Bytes;
use skep_master_core::{ConnectionId, Input};
use skep_protocol::{framework, json};
use skep_shell::Parcel;
use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// How often a reader hears something.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events written as one piece, if so many wait.
const BATCH_MAX: usize = 64;
/// Ended streams whose names are remembered.
const ENDED_MAX: usize = 1_024;

/// The streams of a master, by name.
#[derive(Default)]
pub(super) struct Streams(Mutex<Known>);

#[derive(Default)]
struct Known {
    open: HashMap<String, Stream>,
    ended: VecDeque<String>,
}

/// What a call on a stream goes through.
#[derive(Clone)]
pub(super) struct Stream {
    pub(super) hub: Hub,
    pub(super) connection: ConnectionId,
    /// Who subscribed.
    pub(super) principal: String,
}

/// What ends a stream from outside.
pub(super) struct Ends {
    /// The reign is over.
    pub(super) over: CancellationToken,
    /// The reader is hung up on, with all that its connection still holds.
    pub(super) cut: CancellationToken,
}

impl Streams {
    pub(super) fn open(&self, id: &str, stream: Stream) {
        self.known().open.insert(id.into(), stream);
    }

    /// The stream of this name, if it is this peer's.
    pub(super) fn find(&self, id: &str, principal: &str) -> Result<Stream, Trouble> {
        let known = self.known();
        match known.open.get(id) {
            Some(stream) if stream.principal == principal => Ok(stream.clone()),
            Some(_) => Err(Trouble::foreign_stream()),
            None if known.ended.iter().any(|ended| ended == id) => Err(Trouble::ended_stream()),
            None => Err(Trouble::no_stream(id)),
        }
    }

    fn end(&self, id: &str) {
        let mut known = self.known();
        known.open.remove(id);
        if known.ended.len() == ENDED_MAX {
            known.ended.pop_front();
        }
        known.ended.push_back(id.into());
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    /// The core hears a call, in the order in which calls are made.
    pub(super) async fn say(&self, call: framework::Call) {
        let (connection, principal) = (self.connection, self.principal.clone());
        self.hub.tell(shell::Event::Input(Input::Framework { connection, principal, call })).await;
    }

    /// Opens the stream for the core, and subscribes.
    pub(super) async fn begin(
        &self,
        subscribe: framework::Call,
        cut: CancellationToken,
    ) -> mpsc::Receiver<Parcel<framework::Event>> {
        let (outbox, events) = Outbox::to_stream(cut);
        self.hub.tell(shell::Event::Opened { connection: self.connection, outbox }).await;
        self.say(subscribe).await;
        events
    }

    /// Writes events until the stream ends on either side, and tells the core.
    pub(super) async fn run(
        self,
        id: String,
        streams: &Streams,
        events: mpsc::Receiver<Parcel<framework::Event>>,
        pieces: Pieces,
        ends: Ends,
    ) {
        if write(events, &pieces, &ends).await.is_none() {
            // What was written so far must not look like the whole.
            let cut = io::Error::other("the stream was cut");
            let _ = pieces.try_send(Err(cut));
            ends.cut.cancel();
        }
        streams.end(&id);
        let input = Input::Disconnected { connection: self.connection };
        self.hub.tell(shell::Event::Input(input)).await;
    }
}

/// Writes until the core hangs up; none if the stream broke before.
async fn write(
    mut events: mpsc::Receiver<Parcel<framework::Event>>,
    pieces: &Pieces,
    Ends { over, cut }: &Ends,
) -> Option<()> {
    let mut batch = Vec::new();
    let mut next_beat = Instant::now() + HEARTBEAT;
    loop {
        let line = tokio::select! {
            biased;
            () = cut.cancelled() => return None,
            () = over.cancelled() => return Some(()),
            () = pieces.closed() => return None,
            count = events.recv_many(&mut batch, BATCH_MAX) => match count {
                0 => return Some(()),
                _ => batch
                    .drain(..)
                    .flat_map(|event| json::write_event(&event.open(), HEARTBEAT))
                    .collect(),
            },
            () = sleep_until(next_beat) => json::write_heartbeat(),
        };
        next_beat = Instant::now() + HEARTBEAT;
        tokio::select! {
            () = cut.cancelled() => return None,
            sent = send(pieces, Ok(Bytes::from(line))) => sent?,
        }
    }
}
