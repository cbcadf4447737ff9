//! Tasks that speak as frameworks: what they say goes to the master on a stream of its own for
//! each, what the master says comes back to their executors.
//!
//! Always holds: a conversation begins with its task's Subscribe and is the task's only one; what
//! is said outside of one is dropped, and the task is told when one ends. Deliberately absent: any
//! judgement of what is said; who may speak is for the cores here and at the master.

use crate::shell::Event;
use skep_protocol::{
    TaskKey,
    codec::Message as _,
    framework::{Call, Event as ToFramework},
};
use skep_transport::{Connection, ControlReceiver};
use std::collections::HashMap;
use tokio::{
    select,
    sync::{mpsc, watch},
};

/// Calls of one task that may wait for the master. A task that has more to say than the master
/// takes is hung up on: it subscribes again, and is told where everything stands.
const CALLS_MAX: usize = 1_024;

/// See the module.
pub(crate) struct Hosting {
    link: watch::Receiver<Option<Connection>>,
    inbox: mpsc::Sender<Event>,
    conversations: HashMap<TaskKey, Conversation>,
    count: u64,
}

struct Conversation {
    /// What tells it from earlier ones of the task.
    number: u64,
    calls: mpsc::Sender<Call>,
}

impl Hosting {
    pub(crate) fn new(
        link: watch::Receiver<Option<Connection>>,
        inbox: mpsc::Sender<Event>,
    ) -> Self {
        Self { link, inbox, conversations: HashMap::new(), count: 0 }
    }

    /// Passes on what a task says. False: its conversation is over with that.
    pub(crate) fn say(&mut self, key: &TaskKey, call: &[u8]) -> bool {
        let call = match Call::decode(call) {
            Ok(call) => call,
            Err(error) => {
                tracing::info!(%key, %error, "hung up on a task that speaks as a framework");
                self.conversations.remove(key);
                return false;
            }
        };
        if matches!(call, Call::Subscribe { .. }) {
            self.begin(key);
        }
        let Some(open) = self.conversations.get(key) else { return true };
        let is_full = match open.calls.try_reserve() {
            Ok(room) => {
                room.send(call);
                false
            }
            // One that has just ended will say so.
            Err(mpsc::error::TrySendError::Closed(())) => false,
            Err(mpsc::error::TrySendError::Full(())) => true,
        };
        if is_full {
            tracing::info!(%key, "the master does not take what a task says: hanging up");
            self.conversations.remove(key);
        }
        !is_full
    }

    fn begin(&mut self, key: &TaskKey) {
        self.count += 1;
        let (calls, queue) = mpsc::channel(CALLS_MAX);
        let line = Line { key: key.clone(), number: self.count, inbox: self.inbox.clone() };
        let connection = self.link.borrow().clone();
        tokio::spawn(line.serve(connection, queue));
        self.conversations.insert(key.clone(), Conversation { number: self.count, calls });
    }

    /// Whether what comes from a conversation of this number is for the task's ears.
    pub(crate) fn is_current(&self, key: &TaskKey, number: u64) -> bool {
        self.conversations.get(key).is_some_and(|open| open.number == number)
    }

    /// Ends a conversation; the master hears what was said before.
    pub(crate) fn end(&mut self, key: &TaskKey) {
        self.conversations.remove(key);
    }
}

/// One conversation, as its loop sees it.
struct Line {
    key: TaskKey,
    number: u64,
    inbox: mpsc::Sender<Event>,
}

impl Line {
    async fn serve(self, connection: Option<Connection>, calls: mpsc::Receiver<Call>) {
        let key = &self.key;
        match connection {
            None => tracing::debug!(%key, "there is no master that a task could speak to"),
            Some(connection) => match connection.host(key.clone()).await {
                Ok((sender, receiver)) => {
                    select! {
                        said = sender.send_all(calls) => match said {
                            // The task has ended, or began another conversation.
                            Ok(()) => return,
                            Err(error) => tracing::debug!(%key, %error, "nothing more to say"),
                        },
                        () = self.listen(receiver) => {}
                    }
                }
                Err(error) => tracing::info!(%key, %error, "a task may not speak as a framework"),
            },
        }
        self.tell(Event::HungUp { key: self.key.clone(), number: self.number }).await;
    }

    async fn listen(&self, mut receiver: ControlReceiver<ToFramework>) {
        while let Ok(Some(event)) = receiver.recv().await {
            let (key, event) = (self.key.clone(), event.encode().to_vec());
            self.tell(Event::Heard { key, number: self.number, event }).await;
        }
    }

    async fn tell(&self, event: Event) {
        // Without a shell the agent is ending.
        let _ = self.inbox.send(event).await;
    }
}
