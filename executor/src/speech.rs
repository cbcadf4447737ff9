//! What passes between guests that are frameworks and the master, by way of the agent.
//!
//! ```text
//! guest -> call  -> Speech -> queue of all guests -> agent -> master
//! guest <- event <- Conversation of this guest    <- agent <- master
//! ```
//! A conversation is opened by the guest's Subscribe and ends when the agent says so, when the
//! agent is gone, or when the guest takes too little of what it is told; then it is told that it
//! ended, and may open another. Always holds: what a guest says waits for the agent, and the guest
//! with it; what a guest is told waits for it, but not without bounds. Deliberately absent: what is
//! said and whether it is allowed, which the agent and the master judge.

use skep_protocol::{codec::Message as _, executor::ToAgent, framework::Call, ids::TaskKey};
use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc};

/// Calls of all guests that may wait for the agent; who has more to say waits.
const SAID_MAX: usize = 64;
/// Events that may wait for one guest, in bytes. One that falls further behind is hung up on.
const HEARD_BYTES_MAX: usize = 8 << 20;

/// What all guests say, on its way to the agent.
#[derive(Debug)]
pub(crate) struct Said {
    sender: mpsc::Sender<ToAgent>,
    queue: AsyncMutex<mpsc::Receiver<ToAgent>>,
}

/// One guest's side.
#[derive(Clone, Debug)]
pub(crate) struct Speech {
    key: TaskKey,
    conversation: Arc<Conversation>,
    said: mpsc::Sender<ToAgent>,
}

/// What one guest is told.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    heard: Mutex<Heard>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Heard {
    events: VecDeque<Vec<u8>>,
    bytes: usize,
    link: Link,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Link {
    /// The guest has not subscribed.
    #[default]
    Closed,
    Open,
    /// It was open, and the guest does not know yet that it ended.
    Broken,
}

/// Why a call was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mute {
    /// It is no call.
    Garbage,
    /// There is no conversation: subscribe first.
    Closed,
}

/// What a guest that listens hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// An event of so many bytes waits.
    Event(usize),
    /// The conversation has ended.
    Ended,
    Nothing,
}

impl Said {
    pub(crate) fn new() -> Self {
        let (sender, queue) = mpsc::channel(SAID_MAX);
        Self { sender, queue: AsyncMutex::new(queue) }
    }

    pub(crate) fn speech(&self, key: TaskKey) -> Speech {
        Speech { key, conversation: Arc::default(), said: self.sender.clone() }
    }

    /// The next thing that a guest says. Cancel safe.
    pub(crate) async fn next(&self) -> ToAgent {
        match self.queue.lock().await.recv().await {
            Some(said) => said,
            // This holds a sender itself.
            None => std::future::pending().await,
        }
    }

    /// Forgets what was said to an agent that is gone.
    pub(crate) fn forget(&self) {
        if let Ok(mut queue) = self.queue.try_lock() {
            while queue.try_recv().is_ok() {}
        }
    }
}

impl Speech {
    pub(crate) fn conversation(&self) -> Arc<Conversation> {
        Arc::clone(&self.conversation)
    }

    /// A run of the guest begins: what an earlier one heard is not its business.
    pub(crate) fn begin(&self) {
        *self.conversation.lock() = Heard::default();
    }

    /// Says something; waits until the agent takes it.
    pub(crate) async fn say(&self, call: Vec<u8>) -> Result<(), Mute> {
        match Call::decode(&call) {
            Ok(Call::Subscribe { .. }) => {
                *self.conversation.lock() = Heard { link: Link::Open, ..Heard::default() };
            }
            Ok(_) if self.conversation.lock().link != Link::Open => return Err(Mute::Closed),
            Ok(_) => {}
            Err(_) => return Err(Mute::Garbage),
        }
        let said = ToAgent::Say { key: self.key.clone(), call };
        // It is closed only when the executor ends.
        let _ = self.said.send(said).await;
        Ok(())
    }

    /// What is there to be heard now.
    pub(crate) fn next(&self) -> Next {
        let mut heard = self.conversation.lock();
        match (heard.events.front(), heard.link) {
            (Some(event), _) => Next::Event(event.len()),
            (None, Link::Broken) => {
                heard.link = Link::Closed;
                Next::Ended
            }
            (None, Link::Open | Link::Closed) => Next::Nothing,
        }
    }

    /// Takes the event that waits.
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        let mut heard = self.conversation.lock();
        let event = heard.events.pop_front()?;
        heard.bytes -= event.len();
        Some(event)
    }

    /// Waits until there may be something to be heard.
    pub(crate) async fn news(&self) {
        self.conversation.news.notified().await;
    }
}

impl Conversation {
    /// The guest is told something.
    pub(crate) fn tell(&self, event: Vec<u8>) {
        let mut heard = self.lock();
        if heard.link != Link::Open {
            return;
        }
        heard.bytes += event.len();
        if heard.bytes > HEARD_BYTES_MAX {
            *heard = Heard { link: Link::Broken, ..Heard::default() };
        } else {
            heard.events.push_back(event);
        }
        drop(heard);
        self.news.notify_one();
    }

    /// The conversation is over; what the guest has not heard of it, it never will.
    pub(crate) fn hang_up(&self) {
        let mut heard = self.lock();
        let link = mem::take(&mut *heard).link;
        heard.link = if link == Link::Closed { Link::Closed } else { Link::Broken };
        drop(heard);
        self.news.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_protocol::{
        framework::FrameworkInfo,
        ids::{Attempt, FrameworkId, TaskId},
    };

    fn subscribe() -> Vec<u8> {
        let info = FrameworkInfo::default();
        Call::Subscribe { framework: None, run: 1, connection: 1, info }.encode().to_vec()
    }

    fn suppress() -> Vec<u8> {
        Call::Suppress { roles: [].into() }.encode().to_vec()
    }

    fn guest() -> (Said, Speech) {
        let said = Said::new();
        let (framework, task) = (FrameworkId::new("f"), TaskId::new("t"));
        let key = TaskKey {
            framework: framework.expect("an id"),
            task: task.expect("an id"),
            attempt: Attempt::FIRST,
        };
        let speech = said.speech(key);
        (said, speech)
    }

    #[tokio::test]
    async fn what_is_said_needs_a_subscription_and_must_be_a_call() {
        let (said, speech) = guest();
        assert_eq!(speech.say(suppress()).await, Err(Mute::Closed));
        assert_eq!(speech.say(b"\xff\xff".to_vec()).await, Err(Mute::Garbage));
        assert_eq!(speech.say(subscribe()).await, Ok(()));
        assert_eq!(speech.say(suppress()).await, Ok(()));
        let key = speech.key.clone();
        let first = ToAgent::Say { key: key.clone(), call: subscribe() };
        assert_eq!(said.next().await, first);
        assert_eq!(said.next().await, ToAgent::Say { key, call: suppress() });
    }

    #[tokio::test]
    async fn an_end_is_told_once_and_nothing_from_before_it_after_it() {
        let (_said, speech) = guest();
        let conversation = speech.conversation();
        conversation.tell(b"too early".to_vec());
        assert_eq!(speech.next(), Next::Nothing);
        speech.say(subscribe()).await.expect("taken");
        conversation.tell(b"event".to_vec());
        assert_eq!(speech.next(), Next::Event(5));
        assert_eq!(speech.take(), Some(b"event".to_vec()));
        conversation.tell(b"never heard".to_vec());
        conversation.hang_up();
        assert_eq!((speech.next(), speech.next()), (Next::Ended, Next::Nothing));
        conversation.tell(b"too late".to_vec());
        assert_eq!(speech.next(), Next::Nothing);
        assert_eq!(speech.say(suppress()).await, Err(Mute::Closed));
    }

    #[tokio::test]
    async fn a_guest_that_does_not_listen_is_hung_up_on() {
        let (_said, speech) = guest();
        let conversation = speech.conversation();
        speech.say(subscribe()).await.expect("taken");
        for _ in 0..8 {
            conversation.tell(vec![0; 1 << 20]);
        }
        assert_eq!(speech.next(), Next::Event(1 << 20));
        conversation.tell(vec![0]);
        assert_eq!(speech.next(), Next::Ended);
        assert_eq!(speech.take(), None);
    }
}
