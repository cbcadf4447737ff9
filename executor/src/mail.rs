//! Messages between guests and their framework, both ways.
//!
//! ```text
//! framework -> agent -> Mailbox of the guest                  -> guest
//! framework <- agent <- Outgoing of all guests, in the outbox <- guest
//! ```
//! Always holds: messages of one guest keep their order; what waits has bounds, for each guest and
//! for all together. Beyond them a guest is refused what it sends, and misses what it is sent.
//! Deliberately absent: any promise that a message arrives.

use skep_protocol::{ids::TaskKey, outcome::TaskMessage};
use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Messages of one guest that may wait, each way, and their bytes: four of the longest.
const WAITING_MAX: usize = 64;
const WAITING_BYTES_MAX: usize = 256 << 10;
/// The same of all guests of an executor, in bytes.
const ALL_BYTES_MAX: usize = 16 << 20;
/// What a message takes in a frame besides its bytes: two ids, a number, tags.
const MESSAGE_BYTES: usize = 512;

/// Room for what all guests are sent.
#[derive(Debug)]
pub(crate) struct Mailroom(Arc<Semaphore>);

/// What one guest is sent and has not received yet.
#[derive(Debug)]
pub(crate) struct Mailbox {
    waiting: Mutex<Waiting>,
    news: Notify,
    room: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<(Vec<u8>, OwnedSemaphorePermit)>,
    bytes: usize,
}

impl Mailroom {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(ALL_BYTES_MAX)))
    }

    pub(crate) fn mailbox(&self) -> Arc<Mailbox> {
        let (waiting, news) = (Mutex::default(), Notify::new());
        Arc::new(Mailbox { waiting, news, room: Arc::clone(&self.0) })
    }
}

impl Mailbox {
    /// The guest is sent something. False: too much waits already, and it is dropped.
    pub(crate) fn put(&self, bytes: Vec<u8>) -> bool {
        let mut waiting = self.lock();
        let fits = waiting.messages.len() < WAITING_MAX
            && waiting.bytes + bytes.len() <= WAITING_BYTES_MAX;
        let length = u32::try_from(bytes.len()).ok().filter(|_| fits);
        let place = length.map(|length| Arc::clone(&self.room).try_acquire_many_owned(length));
        let Some(Ok(place)) = place else { return false };
        waiting.bytes += bytes.len();
        waiting.messages.push_back((bytes, place));
        drop(waiting);
        self.news.notify_one();
        true
    }

    /// The length of the message that is the next.
    pub(crate) fn next(&self) -> Option<usize> {
        self.lock().messages.front().map(|(bytes, _)| bytes.len())
    }

    /// Takes the next message.
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        let mut waiting = self.lock();
        let (bytes, _) = waiting.messages.pop_front()?;
        waiting.bytes -= bytes.len();
        Some(bytes)
    }

    /// A run of the guest begins: what an earlier one was sent is not its business.
    pub(crate) fn begin(&self) {
        *self.lock() = Waiting::default();
    }

    /// Waits until there may be a message.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What guests have sent and has not left yet.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// No queue in it is empty.
    guests: BTreeMap<TaskKey, Queue>,
    bytes: usize,
    /// Whose turn was last.
    last: Option<TaskKey>,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Outgoing {
    pub(crate) fn is_empty(&self) -> bool {
        self.guests.is_empty()
    }

    /// Takes a message. False: too much waits already, and it is dropped.
    pub(crate) fn add(&mut self, message: TaskMessage) -> bool {
        let TaskMessage { key, bytes } = message;
        let (count, waiting) =
            self.guests.get(&key).map_or((0, 0), |queue| (queue.messages.len(), queue.bytes));
        if count >= WAITING_MAX
            || waiting + bytes.len() > WAITING_BYTES_MAX
            || self.bytes + bytes.len() > ALL_BYTES_MAX
        {
            return false;
        }
        self.bytes += bytes.len();
        let queue = self.guests.entry(key).or_default();
        queue.bytes += bytes.len();
        queue.messages.push_back(bytes);
        true
    }

    /// Takes messages out, one of each guest in turn, while they fit into so many bytes of a frame.
    pub(crate) fn leave(&mut self, room: usize) -> Vec<TaskMessage> {
        let (mut left, mut filled) = (Vec::new(), 0);
        while let Some(key) = self.next_guest() {
            let length = self.guests.get(&key).and_then(|queue| queue.messages.front());
            filled += MESSAGE_BYTES + length.map_or(0, Vec::len);
            if filled > room {
                break;
            }
            left.extend(self.pop(&key));
            self.last = Some(key);
        }
        left
    }

    /// Takes out all that a guest has sent.
    pub(crate) fn all_of(&mut self, key: &TaskKey) -> Vec<TaskMessage> {
        std::iter::from_fn(|| self.pop(key)).collect()
    }

    fn next_guest(&self) -> Option<TaskKey> {
        let later = self
            .last
            .as_ref()
            .and_then(|last| self.guests.range((Bound::Excluded(last), Bound::Unbounded)).next());
        let (key, _) = later.or_else(|| self.guests.first_key_value())?;
        Some(key.clone())
    }

    fn pop(&mut self, key: &TaskKey) -> Option<TaskMessage> {
        let queue = self.guests.get_mut(key)?;
        let bytes = queue.messages.pop_front()?;
        queue.bytes -= bytes.len();
        self.bytes -= bytes.len();
        if queue.messages.is_empty() {
            self.guests.remove(key);
        }
        Some(TaskMessage { key: key.clone(), bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_protocol::ids::{Attempt, FrameworkId, TaskId};

    fn key(task: &str) -> TaskKey {
        let framework = FrameworkId::new("f").expect("an id");
        TaskKey { framework, task: TaskId::new(task).expect("an id"), attempt: Attempt::FIRST }
    }

    fn message(task: &str, bytes: &[u8]) -> TaskMessage {
        TaskMessage { key: key(task), bytes: bytes.into() }
    }

    #[test]
    fn of_what_a_guest_is_sent_the_oldest_stays_and_what_is_too_much_is_dropped() {
        let room = Mailroom::new();
        let mailbox = room.mailbox();
        let taken = (0..100).filter(|n| mailbox.put(vec![*n])).count();
        assert_eq!(taken, WAITING_MAX);
        assert_eq!((mailbox.next(), mailbox.take()), (Some(1), Some(vec![0])));
        assert!(mailbox.put(Vec::new()), "there is room for one");
        assert!(!mailbox.put(Vec::new()));
        mailbox.begin();
        assert_eq!((mailbox.next(), mailbox.take()), (None, None));
        let large = vec![0; 64 << 10];
        let taken = (0..100).filter(|_| mailbox.put(large.clone())).count();
        assert_eq!(taken, 4);
    }

    #[test]
    fn all_mailboxes_share_one_room_and_give_theirs_back() {
        let room = Mailroom::new();
        let large = vec![0; 64 << 10];
        let fill = |mailbox: Arc<Mailbox>| {
            while mailbox.put(large.clone()) {}
            mailbox
        };
        let full: Vec<_> = (0..64).map(|_| fill(room.mailbox())).collect();
        let late = room.mailbox();
        assert!(!late.put(vec![1]));
        drop(full);
        assert!(late.put(vec![1]));
    }

    #[test]
    fn guests_send_by_turns_and_each_in_its_order() {
        let mut outgoing = Outgoing::default();
        for text in [b"1", b"2", b"3"] {
            assert!(outgoing.add(message("a", text)));
        }
        assert!(outgoing.add(message("b", b"4")) && outgoing.add(message("b", b"5")));
        let three = 3 * (MESSAGE_BYTES + 1);
        let expected = [message("a", b"1"), message("b", b"4"), message("a", b"2")];
        assert_eq!(outgoing.leave(three), expected);
        assert_eq!(outgoing.leave(MESSAGE_BYTES + 1), [message("b", b"5")]);
        assert_eq!(outgoing.leave(MESSAGE_BYTES), [], "it does not fit");
        assert_eq!(outgoing.all_of(&key("a")), [message("a", b"3")]);
        assert!(outgoing.is_empty() && outgoing.bytes == 0);
    }

    #[test]
    fn a_guest_that_sends_too_much_is_refused_and_the_others_are_not() {
        let mut outgoing = Outgoing::default();
        let large = vec![0; 64 << 10];
        let flood = |outgoing: &mut Outgoing, task: &str| {
            (0..100).filter(|_| outgoing.add(message(task, &large))).count()
        };
        assert_eq!(flood(&mut outgoing, "a"), 4);
        assert_eq!(flood(&mut outgoing, "b"), 4);
        assert_eq!((0..100).filter(|_| outgoing.add(message("c", b""))).count(), WAITING_MAX);
        for number in 0..100 {
            flood(&mut outgoing, &format!("t{number}"));
        }
        assert_eq!(outgoing.bytes, ALL_BYTES_MAX);
    }
}
