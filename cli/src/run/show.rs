//! This command's own output: what tasks wrote, byte for byte.
//!
//! What is collected is written by [`Out`]. One task's output that is followed, or that is too
//! large to be collected first, flows through a [`Direct`], which remembers how far it is: when the
//! connection breaks, it goes on from there.

use super::fetch::{AGENT_WAIT, PAUSE, is_final};
use crate::stdout::{self, Stream, WriteError};
use skep_framework::Cluster;
use skep_protocol::{
    TaskKey,
    data::{Follow, LogStream},
};
use skep_transport::{Connection, RequestError, StreamError, log};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::AsyncReadExt as _,
    task::spawn_blocking,
    time::{Instant, sleep},
};

/// What is gathered of stdout before it is written.
const OUT_BYTES: usize = 64 << 10;
/// Bytes that are copied at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Both of this command's streams, to which much is written in small parts.
#[derive(Debug, Default)]
pub(super) struct Out {
    /// What waits to be written to stdout.
    waiting: Vec<u8>,
}

impl Out {
    /// Writes what a task wrote; it may wait here until [`Out::flush`].
    pub(super) async fn write(&mut self, stdout: &[u8], stderr: &[u8]) -> Result<(), WriteError> {
        self.waiting.extend_from_slice(stdout);
        if self.waiting.len() >= OUT_BYTES || !stderr.is_empty() {
            // So that both are in order where they go to the same place.
            self.flush().await?;
        }
        match stderr.is_empty() {
            true => Ok(()),
            false => write(Stream::Err, stderr.to_vec()).await,
        }
    }

    pub(super) async fn flush(&mut self) -> Result<(), WriteError> {
        match self.waiting.is_empty() {
            true => Ok(()),
            false => write(Stream::Out, std::mem::take(&mut self.waiting)).await,
        }
    }
}

/// A reader that is slow holds up a thread and not the runtime.
async fn write(stream: Stream, bytes: Vec<u8>) -> Result<(), WriteError> {
    let written = spawn_blocking(move || stdout::write(stream, &bytes)).await;
    written.unwrap_or_else(|error| Err(WriteError::Failed(stream, io::Error::other(error))))
}

/// How a copy has come to its end before that of the task's output.
#[derive(Debug)]
enum Broken {
    Write(WriteError),
    Read(RequestError),
}

/// What has become of a direct output.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// All is written that is there.
    Complete,
    /// The rest is not to be had.
    Broken(String),
}

/// How many bytes of stdout and stderr are written.
type Counts = Arc<[AtomicU64; 2]>;

/// A copy of a task's streams under way.
type Copying = Pin<Box<dyn Future<Output = Result<(), Broken>> + Send>>;

/// One task's output on its way.
pub(super) struct Direct {
    pub(super) key: TaskKey,
    shown: Counts,
    /// What the task wrote, once its end is known.
    end: Option<Option<[u64; 2]>>,
    copying: Option<Copying>,
    /// Whether a copy came to the end of what was there, or of the task.
    is_copied: bool,
    /// Since when it is out of reach, and how much was shown then.
    trouble: Option<(Instant, u64)>,
}

impl Direct {
    pub(super) fn new(key: TaskKey) -> Self {
        Self {
            key,
            shown: Counts::default(),
            end: None,
            copying: None,
            is_copied: false,
            trouble: None,
        }
    }

    /// The task has ended, and has written so much, if that is known.
    pub(super) fn ended(&mut self, wrote: Option<[u64; 2]>) {
        self.end = Some(wrote);
    }

    /// What the task wrote, as far as that is known.
    pub(super) fn wrote(&self) -> Option<[u64; 2]> {
        self.end.flatten()
    }

    /// How many bytes of stdout and stderr were written.
    pub(super) fn shown(&self) -> [u64; 2] {
        [0, 1].map(|stream| self.shown[stream].load(Ordering::Relaxed))
    }

    /// Goes on until all is written or given up; waits for ever where the word of the task's end is
    /// to come first. Cancel safe.
    pub(super) async fn flow(&mut self, cluster: &Cluster) -> Result<Flow, WriteError> {
        loop {
            if let Some(copying) = &mut self.copying {
                let copied = copying.await;
                self.copying = None;
                match copied {
                    Ok(()) => self.is_copied = true,
                    Err(Broken::Write(error)) => return Err(error),
                    Err(Broken::Read(_)) if self.is_complete() => return Ok(Flow::Complete),
                    Err(Broken::Read(error)) => {
                        if let Some(why) = self.give_up(Instant::now(), &error) {
                            return Ok(Flow::Broken(why));
                        }
                        self.begin(cluster.connection(), PAUSE);
                        continue;
                    }
                }
            }
            match self.end {
                Some(Some(_)) if self.is_complete() => return Ok(Flow::Complete),
                Some(None) if self.is_copied => return Ok(Flow::Complete),
                None if self.is_copied => std::future::pending().await,
                Some(Some(_)) if self.is_copied => {
                    self.is_copied = false;
                    if let Some(why) = self.give_up(Instant::now(), &StreamError::Cut.into()) {
                        return Ok(Flow::Broken(why));
                    }
                    self.begin(cluster.connection(), PAUSE);
                }
                _ => self.begin(cluster.connection(), Duration::ZERO),
            }
        }
    }

    fn is_complete(&self) -> bool {
        let shown = self.shown();
        self.end.flatten().is_some_and(|wrote| shown[0] >= wrote[0] && shown[1] >= wrote[1])
    }

    /// Why it is given up, if it is.
    fn give_up(&mut self, now: Instant, error: &RequestError) -> Option<String> {
        // Whether a task lives on whose agent is away, its driver hears.
        self.end?;
        match error {
            RequestError::Refused(rejection) if is_final(rejection) => Some(rejection.to_string()),
            RequestError::Stream(StreamError::Closed(_)) => None,
            error => {
                let shown = self.shown().iter().sum();
                let (since, before) = *self.trouble.get_or_insert((now, shown));
                if shown > before {
                    self.trouble = Some((now, shown));
                    return None;
                }
                (now.duration_since(since) >= AGENT_WAIT).then(|| error.to_string())
            }
        }
    }

    fn begin(&mut self, connection: Connection, pause: Duration) {
        let (key, shown) = (self.key.clone(), self.shown.clone());
        let follow = if self.end.is_some() { Follow::No } else { Follow::UntilEnded };
        self.copying = Some(Box::pin(async move {
            sleep(pause).await;
            let of = |stream, place: usize| Source {
                connection: connection.clone(),
                key: key.clone(),
                stream,
                follow,
                shown: shown.clone(),
                place,
            };
            let out = of(LogStream::Stdout, 0).copy(Stream::Out);
            let err = of(LogStream::Stderr, 1).copy(Stream::Err);
            tokio::try_join!(out, err).map(drop)
        }));
    }
}

/// One stream of a task.
struct Source {
    connection: Connection,
    key: TaskKey,
    stream: LogStream,
    follow: Follow,
    shown: Counts,
    place: usize,
}

impl Source {
    /// Copies from where it was left.
    async fn copy(self, to: Stream) -> Result<(), Broken> {
        let shown = &self.shown[self.place];
        let offset = shown.load(Ordering::Relaxed);
        let from = log::read(&self.connection, self.key, self.stream, offset, self.follow);
        let mut from = from.await.map_err(Broken::Read)?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let count = match from.read(&mut piece).await {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(_) => return Err(Broken::Read(StreamError::Cut.into())),
            };
            write(to, piece[..count].to_vec()).await.map_err(Broken::Write)?;
            shown.fetch_add(count as u64, Ordering::Relaxed);
        }
    }
}
