//! Many guests at once: starts them, kills them, pauses them, tells what happened to them.
//!
//! Guests run on threads of their own (`cpu`), so that no guest, however it spins, keeps the loop
//! that talks to the agent from its work. Always holds: each guest that is started is reported as
//! ended exactly once, when nothing of it is left, even if a fault of ours ends it; an order for a
//! guest that does not run is harmless.

use crate::{
    attempt::{self, Ears},
    cpu::{Gate, Id, Workers},
    guest::{End, now},
    lanes::Lanes,
    mail::{Mailbox, Mailroom},
    outbox::{News, Outbox},
    speech::{Conversation, Said, Speech},
    wire::GuestFiles,
};
use bytes::Bytes;
use skep_protocol::{
    bounds::AGENT_TASKS_MAX,
    executor::{GuestStage, HeldGuest, Report, StartGuest, ToAgent},
    ids::TaskKey,
    outcome::{KilledBy, Outcome, TaskMessage, Usage},
};
use std::{
    collections::HashMap,
    io,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{runtime::Builder, sync::oneshot};

/// Threads for what blocks on the disk: files of guests, loading modules.
const BLOCKING_THREADS_MAX: usize = 32;
/// Threads that serve timers and sockets: they only wake guests.
const BACKGROUND_THREADS: usize = 1;

/// The executor without its socket. Dropping it ends all guests.
pub struct Runner {
    shared: Arc<Shared>,
    workers: Workers,
}

struct Shared {
    lanes: Lanes,
    outbox: Arc<Outbox>,
    said: Said,
    mailroom: Mailroom,
    running: Mutex<HashMap<TaskKey, Running>>,
}

/// How a guest that runs is reached.
struct Running {
    id: Id,
    gate: Arc<Gate>,
    /// None: it has been told already.
    kill: Option<oneshot::Sender<KilledBy>>,
    /// If it may speak as a framework.
    conversation: Option<Arc<Conversation>>,
    mailbox: Arc<Mailbox>,
}

impl Runner {
    /// Sets up engines and `workers` threads for guests.
    ///
    /// # Errors
    /// If the machine refuses the threads.
    pub fn new(workers: NonZeroUsize) -> io::Result<Self> {
        Self::with(Lanes::new(), workers)
    }

    /// Sets up `workers` threads for guests on engines that are there.
    pub(crate) fn with(lanes: Lanes, workers: NonZeroUsize) -> io::Result<Self> {
        let background = Builder::new_multi_thread()
            .worker_threads(BACKGROUND_THREADS)
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name("background")
            .enable_all()
            .build()?;
        let (outbox, said) = (Arc::new(Outbox::new()), Said::new());
        let (mailroom, running) = (Mailroom::new(), Mutex::default());
        let shared = Shared { lanes, outbox, said, mailroom, running };
        let workers = Workers::new(workers.get(), background)?;
        Ok(Self { shared: Arc::new(shared), workers })
    }

    /// Starts a guest with the files that came with the order. One of the same key that runs
    /// already goes on, and nothing else happens.
    pub fn start(&self, guest: StartGuest, files: GuestFiles) {
        self.start_all([(guest, files)]);
    }

    /// Starts the guests of one order. Together, so that a thread is woken for all of them and not
    /// for each, to fall asleep between two of them.
    pub fn start_all(&self, guests: impl IntoIterator<Item = (StartGuest, GuestFiles)>) {
        let begun = guests.into_iter().filter_map(|(guest, files)| self.begin(guest, files));
        self.workers.spawn(begun.collect());
    }

    /// Enters a guest in the books: how it is named, its share, and what runs it.
    fn begin(
        &self,
        guest: StartGuest,
        files: GuestFiles,
    ) -> Option<(Id, u64, impl Future<Output = ()> + Send + use<>)> {
        let (kill, killed) = oneshot::channel();
        let (key, share) = (guest.key.clone(), guest.cpus.as_millis());
        let mut running = self.shared.lock();
        if running.contains_key(&key) {
            tracing::debug!(%key, "runs already");
            return None;
        }
        if running.len() >= AGENT_TASKS_MAX {
            let why = format!("the executor runs {AGENT_TASKS_MAX} guests already");
            self.shared.outbox.push(ended(key, Outcome::Failed { why }));
            return None;
        }
        let (id, gate) = (self.workers.id(), Arc::new(Gate::default()));
        let speech = guest.grants.framework.then(|| self.shared.said.speech(key.clone()));
        let conversation = speech.as_ref().map(Speech::conversation);
        let ears = Ears { speech, mailbox: self.shared.mailroom.mailbox() };
        let reached = Running {
            id,
            gate: Arc::clone(&gate),
            kill: Some(kill),
            conversation,
            mailbox: Arc::clone(&ears.mailbox),
        };
        running.insert(key.clone(), reached);
        drop(running);
        let reins = (gate, ears, killed);
        Some((id, share, run(Arc::clone(&self.shared), key, (guest, files), reins)))
    }

    /// Ends a guest, if it runs. A second order for the same guest changes nothing.
    pub fn kill(&self, key: &TaskKey, by: KilledBy) {
        let mut running = self.shared.lock();
        let guest = running.get_mut(key).and_then(|guest| Some((guest.id, guest.kill.take()?)));
        drop(running);
        match guest.map(|(id, kill)| kill.send(by).map(|()| id)) {
            Some(Ok(id)) => self.workers.hasten(id),
            Some(Err(_)) | None => tracing::debug!(%key, "does not run"),
        }
    }

    /// Lets a guest run no further, and keeps its memory. Its deadline goes on.
    pub fn pause(&self, key: &TaskKey) {
        self.turn(key, Gate::shut);
    }

    /// Lets a paused guest go on.
    pub fn resume(&self, key: &TaskKey) {
        self.turn(key, Gate::open);
    }

    fn turn(&self, key: &TaskKey, turn: impl FnOnce(&Gate) -> bool) {
        let guest = self.shared.lock().get(key).map(|guest| (guest.id, Arc::clone(&guest.gate)));
        match guest {
            Some((id, gate)) if turn(&gate) => self.workers.wake(id),
            Some(_) => tracing::debug!(%key, "is as it is to be"),
            None => tracing::debug!(%key, "does not run"),
        }
    }

    /// Sends a guest a message of its framework. One that does not run misses it, and so does one
    /// that has too many waiting.
    pub fn send_message(&self, message: TaskMessage) {
        let TaskMessage { key, bytes } = message;
        let mailbox = self.shared.lock().get(&key).map(|guest| Arc::clone(&guest.mailbox));
        if !mailbox.is_some_and(|mailbox| mailbox.put(bytes)) {
            tracing::debug!(%key, "misses a message");
        }
    }

    /// Tells a guest that is a framework what the master says.
    pub(crate) fn tell(&self, key: &TaskKey, event: Vec<u8>) {
        if let Some(conversation) = self.conversation(key) {
            conversation.tell(event);
        }
    }

    /// A guest's conversation with the master is over.
    pub(crate) fn hang_up(&self, key: &TaskKey) {
        if let Some(conversation) = self.conversation(key) {
            conversation.hang_up();
        }
    }

    fn conversation(&self, key: &TaskKey) -> Option<Arc<Conversation>> {
        self.shared.lock().get(key)?.conversation.clone()
    }

    /// The agent is gone, and with it all conversations with the master.
    pub(crate) fn hang_up_all(&self) {
        self.shared.said.forget();
        for guest in self.shared.lock().values() {
            if let Some(conversation) = &guest.conversation {
                conversation.hang_up();
            }
        }
    }

    /// The next thing that a guest says to the master. Cancel safe.
    pub(crate) async fn said(&self) -> ToAgent {
        self.shared.said.next().await
    }

    /// Waits for something to have happened to guests and takes it, as much as fits a frame.
    /// Nothing is lost if this future is dropped.
    pub async fn reports(&self) -> Vec<Report> {
        self.shared.outbox.take().await
    }

    /// Numbers reports that were taken and gives the frame in which they leave. What matters of
    /// them is kept until it is acknowledged.
    pub(crate) fn leave(&self, reports: Vec<Report>) -> Bytes {
        self.shared.outbox.leave(reports)
    }

    /// What has left and is not acknowledged, in the frames in which it leaves again.
    pub(crate) fn again(&self) -> Vec<Bytes> {
        self.shared.outbox.again()
    }

    /// The agent has recorded the reports up to this batch.
    pub(crate) fn acknowledged(&self, batch: u64) {
        self.shared.outbox.acknowledged(batch);
    }

    /// All guests that the agent may count on, in no order: those that run, and those whose end it
    /// may not know.
    pub(crate) fn held(&self) -> Vec<HeldGuest> {
        let running = self.shared.lock();
        let mut news = self.shared.outbox.news();
        let stage_of = |news: Option<News>, gate: &Gate| match news {
            None if gate.has_begun() => GuestStage::Running,
            _ => GuestStage::Starting,
        };
        let held = |(key, guest): (&TaskKey, &Running)| {
            let (stage, paused) =
                (stage_of(news.remove(key), &guest.gate), guest.gate.is_to_be_shut());
            HeldGuest { key: key.clone(), stage, paused }
        };
        let mut guests: Vec<HeldGuest> = running.iter().map(held).collect();
        guests.extend(news.into_keys().map(|key| {
            let (stage, paused) = (GuestStage::Starting, false);
            HeldGuest { key, stage, paused }
        }));
        guests
    }

    /// Waits while so many reports are not yet taken that no more guests should be started.
    pub async fn caught_up(&self) {
        self.shared.outbox.room().await;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<TaskKey, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run(
    shared: Arc<Shared>,
    key: TaskKey,
    (guest, files): (StartGuest, GuestFiles),
    (gate, ears, killed): (Arc<Gate>, Ears, oneshot::Receiver<KilledBy>),
) {
    let mut last_word = LastWord { shared: Arc::clone(&shared), key, end: None };
    let run = attempt::run(guest, files, &shared.lanes, &shared.outbox, &gate, ears, killed);
    last_word.end = Some(run.await);
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
        let key = self.key.clone();
        // At no time it is both, running and reported, or neither.
        let mut running = self.shared.lock();
        self.shared.outbox.push(match self.end.take() {
            Some(End { outcome, usage, result, last_words }) => {
                Report::Ended { key, at: now(), outcome, usage, result, last_words }
            }
            None => ended(key, Outcome::Failed { why: "a fault in the executor ended it".into() }),
        });
        running.remove(&self.key);
    }
}

fn ended(key: TaskKey, outcome: Outcome) -> Report {
    let (usage, result, last_words) = (Usage::default(), Vec::new(), String::new());
    Report::Ended { key, at: now(), outcome, usage, result, last_words }
}
