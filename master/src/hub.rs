//! What the loops of all connections share: the way to the core, the blobs, the authority, and
//! the connections of agents, over which logs are fetched.

use crate::{
    blobs::Blobs,
    copies::Copies,
    shell::{Ask, Event, Reply},
};
use skep_master_core::{Answer, ConnectionId, Home, Input};
use skep_protocol::{AgentId, Digest, FrameworkId, Rejection, TaskKey};
use skep_transport::{Authority, Connection};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Tasks of one agent that may be fed at once: half of the requests that may be under way there, so
/// that those who feed and say nothing do not hold up those who read.
const FEEDS_MAX: usize = 32;

/// See the module; clones are handles of the same one.
#[derive(Clone)]
pub(crate) struct Hub(Arc<Inner>);

struct Inner {
    inbox: mpsc::Sender<Event>,
    blobs: Arc<Blobs>,
    authority: Arc<Authority>,
    copies: Option<Arc<Copies>>,
    agents: Mutex<HashMap<ConnectionId, Line>>,
    numbers: AtomicU64,
}

/// The way to an agent.
struct Line {
    connection: Connection,
    /// Places for those who feed its tasks.
    feeds: Arc<Semaphore>,
}

impl Hub {
    pub(crate) fn new(
        inbox: mpsc::Sender<Event>,
        blobs: Arc<Blobs>,
        authority: Arc<Authority>,
        copies: Option<Arc<Copies>>,
    ) -> Self {
        Self(Arc::new(Inner {
            inbox,
            blobs,
            authority,
            copies,
            agents: Mutex::default(),
            numbers: AtomicU64::new(0),
        }))
    }

    pub(crate) fn blobs(&self) -> &Blobs {
        &self.0.blobs
    }

    /// The other masters' blobs, if there are other masters.
    pub(crate) fn copies(&self) -> Option<&Arc<Copies>> {
        self.0.copies.as_ref()
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.0.authority
    }

    /// A number that this process has not given before.
    pub(crate) fn number(&self) -> u64 {
        self.0.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Tells the loop; waits while its inbox is full. A loop that has ended hears nothing more,
    /// and its process is about to end.
    pub(crate) async fn tell(&self, event: Event) {
        let _ = self.0.inbox.send(event).await;
    }

    /// Asks the core.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Answer, Rejection> {
        let (reply, answer): (Reply, _) = oneshot::channel();
        self.tell(Event::Ask { ask, reply }).await;
        answer.await.unwrap_or_else(|_| Err(going_down()))
    }

    /// Where a task's output is.
    pub(crate) async fn find(&self, key: &TaskKey) -> Option<Home> {
        let (reply, home) = oneshot::channel();
        self.tell(Event::Find { key: key.clone(), reply }).await;
        home.await.ok().flatten()
    }

    /// Where what a framework's tasks wrote on an agent is.
    pub(crate) async fn find_on(
        &self,
        agent: AgentId,
        framework: FrameworkId,
    ) -> Result<Home, Rejection> {
        let (reply, home) = oneshot::channel();
        self.tell(Event::FindOn { agent, framework, reply }).await;
        home.await.unwrap_or_else(|_| Err(going_down()))
    }

    /// Whether an agent's identity holds: certificates know nothing of agents that are gone.
    pub(crate) async fn admits(&self, agent: &AgentId) -> bool {
        let (reply, admits) = oneshot::channel();
        self.tell(Event::Admits { agent: agent.clone(), reply }).await;
        admits.await.unwrap_or(false)
    }

    /// Whether a task on this agent may speak as a framework.
    pub(crate) async fn may_speak(&self, agent: &AgentId, key: &TaskKey) -> Result<(), Rejection> {
        let (reply, answer) = oneshot::channel();
        self.tell(Event::MaySpeak { agent: agent.clone(), key: key.clone(), reply }).await;
        answer.await.unwrap_or_else(|_| Err(going_down()))
    }

    /// A blob has been stored durably.
    pub(crate) async fn stored(&self, digest: Digest) {
        self.tell(Event::Input(Input::BlobStored { digest })).await;
    }

    pub(crate) fn remember(&self, id: ConnectionId, agent: Connection) {
        let feeds = Arc::new(Semaphore::new(FEEDS_MAX));
        self.agents().insert(id, Line { connection: agent, feeds });
    }

    pub(crate) fn forget(&self, id: ConnectionId) {
        self.agents().remove(&id);
    }

    pub(crate) fn agent(&self, id: ConnectionId) -> Option<Connection> {
        self.agents().get(&id).map(|line| line.connection.clone())
    }

    /// A place to feed a task of an agent, for as long as it is held; none if all are taken.
    pub(crate) fn place_to_feed(&self, id: ConnectionId) -> Option<OwnedSemaphorePermit> {
        let feeds = self.agents().get(&id)?.feeds.clone();
        feeds.try_acquire_owned().ok()
    }

    fn agents(&self) -> std::sync::MutexGuard<'_, HashMap<ConnectionId, Line>> {
        self.0.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn going_down() -> Rejection {
    Rejection::NotAllowed { what: "the master is going down; ask again".into() }
}
