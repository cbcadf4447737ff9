//! Standard input that is streamed to tasks: a pipe for each, of which the guest's executor has the
//! end to read. What the task's framework feeds comes from the master and goes into the other.
//!
//! Always holds: a task is fed by one who feeds, once; no more of its input is held here than a
//! frame; a pipe whose input was not read to its end here ends without the frame that says so,
//! whatever became of this agent. Deliberately absent: who may feed, which is for the master.

use crate::shell::Event;
use rustix::pipe::{PipeFlags, pipe_with};
use skep_protocol::{
    Rejection, TaskKey,
    bounds::FEED_FRAME_BYTES_MAX,
    data::Response,
    feed::{END, HEAD_BYTES, head},
};
use skep_transport::{InStream, IncomingRequest, StreamError};
use std::{
    collections::HashMap,
    fs::File,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::unix::pipe,
    sync::{mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;

/// Tasks that may have such a standard input here at once: each takes descriptors of the agent and
/// of an executor, and kernel memory.
const FEEDS_MAX: usize = 1_000;

/// See the module. Clones are handles of the same ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Feeds(Arc<Mutex<HashMap<TaskKey, Feed>>>);

/// The end to write of one task's pipe.
#[derive(Debug)]
enum Feed {
    /// Nobody has begun to feed.
    Open(pipe::Sender),
    /// Somebody feeds, or has fed.
    Taken,
}

impl Feeds {
    /// Makes the pipe of a task that is about to start, and gives its end to read.
    ///
    /// # Errors
    /// If there are too many, or the kernel makes no more.
    pub(crate) fn open(&self, key: &TaskKey) -> io::Result<Arc<File>> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let sender = pipe::Sender::from_owned_fd(write)?;
        let mut all = self.lock();
        if all.len() >= FEEDS_MAX {
            let why = format!("{FEEDS_MAX} tasks of this agent read a stream already");
            return Err(io::Error::other(why));
        }
        all.insert(key.clone(), Feed::Open(sender));
        Ok(Arc::new(File::from(read)))
    }

    /// Forgets a task that has ended.
    pub(crate) fn close(&self, key: &TaskKey) {
        self.lock().remove(key);
    }

    /// Answers one request of the master to feed a task.
    pub(crate) async fn answer(
        self,
        incoming: IncomingRequest,
        key: TaskKey,
        inbox: &mpsc::Sender<Event>,
    ) {
        let ended = end_of(key.clone(), inbox).await;
        if let Err(error) = self.feed(incoming, &key, &ended).await {
            tracing::debug!(%key, %error, "a standard input was cut off");
        }
    }

    async fn feed(
        &self,
        incoming: IncomingRequest,
        key: &TaskKey,
        ended: &CancellationToken,
    ) -> Result<(), CutOff> {
        let Some(pipe) = self.take(key) else {
            if ended.is_cancelled() {
                return Ok(incoming.respond(&Response::Fed).await?);
            }
            let what = format!(
                "feeding {key}: it does not wait for its standard input; it was fed already, it is \
                 not granted a stream, or its agent was started anew since"
            );
            return Ok(incoming.refuse(Rejection::NotAllowed { what }).await?);
        };
        let (bytes, feeder) = incoming.take_bytes().await?;
        tokio::select! {
            poured = pour(bytes, pipe) => poured?,
            () = ended.cancelled() => {}
        }
        Ok(feeder.fed().await?)
    }

    fn take(&self, key: &TaskKey) -> Option<pipe::Sender> {
        let mut all = self.lock();
        let feed = all.get_mut(key)?;
        match std::mem::replace(feed, Feed::Taken) {
            Feed::Open(sender) => Some(sender),
            Feed::Taken => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TaskKey, Feed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a task was not given all of its standard input.
#[derive(Debug, thiserror::Error)]
enum CutOff {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes what comes into a task's pipe, and its end; or until nobody reads it any more.
async fn pour(mut from: InStream, mut to: pipe::Sender) -> io::Result<()> {
    let mut frame = vec![0; HEAD_BYTES + FEED_FRAME_BYTES_MAX];
    let poured = loop {
        let n = from.read(&mut frame[HEAD_BYTES..]).await?;
        if n == 0 {
            break to.write_all(&END).await;
        }
        frame[..HEAD_BYTES].copy_from_slice(&head(n));
        let written = to.write_all(&frame[..HEAD_BYTES + n]).await;
        if written.is_err() {
            break written;
        }
    };
    match poured {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        poured => poured,
    }
}

/// What is cancelled when a task has ended; at once if it is not here.
pub(crate) async fn end_of(key: TaskKey, inbox: &mpsc::Sender<Event>) -> CancellationToken {
    let (reply, ended) = oneshot::channel();
    let asked = inbox.send(Event::Follow { key, reply }).await;
    match (asked, ended.await) {
        (Ok(()), Ok(ended)) => ended,
        // The agent is ending, and all its tasks with it.
        _ => ended_already(),
    }
}

/// Cancelled already.
pub(crate) fn ended_already() -> CancellationToken {
    let ended = CancellationToken::new();
    ended.cancel();
    ended
}
