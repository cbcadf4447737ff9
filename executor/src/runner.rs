//! Many guests at once: starts them, kills them, tells what happened to them.
//!
//! Guests run on a runtime of their own, so that no guest, however it spins, keeps the loop that
//! talks to the agent from its work. Always holds: each guest that is started is reported as ended
//! exactly once, when nothing of it is left, even if a fault of ours ends it.

use crate::{
    guest::{self, End, now},
    lanes::Lanes,
    outbox::Outbox,
};
use skep_protocol::{
    bounds::AGENT_TASKS_MAX,
    executor::{Report, StartGuest},
    ids::TaskKey,
    outcome::{KilledBy, Outcome, Usage},
};
use std::{
    collections::HashMap,
    io,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
};

/// Threads for what blocks on the disk: files of guests, loading modules.
const BLOCKING_THREADS_MAX: usize = 32;
/// Polls after which a worker looks for expired timers and finished I/O. A poll of a spinning guest
/// takes a millisecond, so that a deadline on a busy machine is late by 8 ms.
const POLLS_BETWEEN_EVENTS: u32 = 8;

/// The executor without its socket. Dropping it ends all guests.
pub struct Runner {
    shared: Arc<Shared>,
    /// None only while it is being dropped.
    runtime: Option<Runtime>,
}

struct Shared {
    lanes: Lanes,
    outbox: Arc<Outbox>,
    running: Mutex<HashMap<TaskKey, Option<oneshot::Sender<KilledBy>>>>,
}

impl Runner {
    /// Sets up engines and `workers` threads for guests.
    ///
    /// # Errors
    /// If the machine refuses the threads.
    pub fn new(workers: NonZeroUsize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers.get())
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .event_interval(POLLS_BETWEEN_EVENTS)
            .thread_name("guests")
            .enable_all()
            .build()?;
        let shared = Shared {
            lanes: Lanes::new(),
            outbox: Arc::new(Outbox::new()),
            running: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared), runtime: Some(runtime) })
    }

    /// Starts a guest. One of the same key that runs already goes on, and nothing else happens.
    pub fn start(&self, guest: StartGuest) {
        let (kill, killed) = oneshot::channel();
        let key = guest.key.clone();
        let mut running = self.shared.lock();
        if running.contains_key(&key) {
            return tracing::debug!(%key, "runs already");
        }
        if running.len() >= AGENT_TASKS_MAX {
            let why = format!("the executor runs {AGENT_TASKS_MAX} guests already");
            return self.shared.outbox.push(ended(key, Outcome::Failed { why }));
        }
        running.insert(key.clone(), Some(kill));
        drop(running);
        let run = run(Arc::clone(&self.shared), key, guest, killed);
        self.runtime.as_ref().expect("it is there until the drop").spawn(run);
    }

    /// Ends a guest, if it runs. A second order for the same guest changes nothing.
    pub fn kill(&self, key: &TaskKey, by: KilledBy) {
        let kill = self.shared.lock().get_mut(key).and_then(Option::take);
        match kill.map(|kill| kill.send(by)) {
            Some(Ok(())) => {}
            Some(Err(_)) | None => tracing::debug!(%key, "does not run"),
        }
    }

    /// Waits for something to have happened to guests and takes it, as much as fits a frame.
    /// Nothing is lost if this future is dropped.
    pub async fn reports(&self) -> Vec<Report> {
        self.shared.outbox.take().await
    }

    /// Waits while so many reports are not yet taken that no more guests should be started.
    pub async fn caught_up(&self) {
        self.shared.outbox.room().await;
    }
}

impl Drop for Runner {
    /// Does not wait: a guest's file operation may be stuck on a dead disk.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<TaskKey, Option<oneshot::Sender<KilledBy>>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run(
    shared: Arc<Shared>,
    key: TaskKey,
    guest: StartGuest,
    killed: oneshot::Receiver<KilledBy>,
) {
    let mut last_word = LastWord { shared: Arc::clone(&shared), key, end: None };
    last_word.end = Some(guest::run(guest, &shared.lanes, &shared.outbox, killed).await);
}

/// Reports a guest's end when it is dropped, so that a panic of ours cannot leave a guest running
/// for ever in the agent's books.
struct LastWord {
    shared: Arc<Shared>,
    key: TaskKey,
    end: Option<End>,
}

impl Drop for LastWord {
    fn drop(&mut self) {
        self.shared.lock().remove(&self.key);
        let key = self.key.clone();
        self.shared.outbox.push(match self.end.take() {
            Some(End { outcome, usage, result, last_words }) => {
                Report::Ended { key, at: now(), outcome, usage, result, last_words }
            }
            None => ended(key, Outcome::Failed { why: "a fault in the executor ended it".into() }),
        });
    }
}

fn ended(key: TaskKey, outcome: Outcome) -> Report {
    let (usage, result, last_words) = (Usage::default(), Vec::new(), String::new());
    Report::Ended { key, at: now(), outcome, usage, result, last_words }
}
