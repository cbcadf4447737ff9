//! Room in a queue for messages between tasks and frameworks.
//!
//! They are passed on if that is easy, and go through the queues of what must not be lost. Always
//! holds: the messages in one queue take no more than [`MESSAGES_BYTES_MAX`]; one that finds no
//! room is dropped; whatever else there is finds room here at any time.

use std::{borrow::Borrow, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What messages may take of one queue: of the smallest four thousand, which is half of what a
/// queue to a peer holds.
pub const MESSAGES_BYTES_MAX: usize = 4 << 20;

/// See the module.
#[derive(Clone, Debug)]
pub struct Room(Arc<Semaphore>);

/// What stands in a queue; its room is free again when this is dropped or opened.
#[derive(Debug)]
pub struct Parcel<T> {
    content: T,
    place: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Room for the messages in one queue.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(MESSAGES_BYTES_MAX)))
    }

    /// Packs what is to stand in the queue. `message_bytes` is what it takes if it is a message; a
    /// message for which there is no room is gone, and none comes back.
    pub fn pack<T>(&self, content: T, message_bytes: Option<usize>) -> Option<Parcel<T>> {
        let place = match message_bytes {
            None => None,
            Some(bytes) => {
                let bytes = u32::try_from(bytes).ok()?;
                Some(Arc::clone(&self.0).try_acquire_many_owned(bytes).ok()?)
            }
        };
        Some(Parcel { content, place })
    }
}

impl Default for Room {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Parcel<T> {
    /// What is in it.
    pub const fn content(&self) -> &T {
        &self.content
    }

    /// Gives what is in it.
    pub fn open(self) -> T {
        drop(self.place);
        self.content
    }
}

impl<T> Borrow<T> for Parcel<T> {
    fn borrow(&self) -> &T {
        &self.content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_beyond_the_bound_are_dropped_until_others_have_left_and_the_rest_is_not() {
        let room = Room::new();
        let half = Some(MESSAGES_BYTES_MAX / 2);
        let (one, two) = (room.pack("one", half), room.pack("two", half));
        assert!(two.is_some());
        assert!(room.pack("no room", Some(1)).is_none());
        assert_eq!(room.pack("an update", None).map(Parcel::open), Some("an update"));
        assert_eq!(one.map(Parcel::open), Some("one"));
        assert!(room.pack("three", half).is_some());
        assert!(room.pack("never", Some(MESSAGES_BYTES_MAX + 1)).is_none());
    }
}
