//! Messages between a framework and its tasks.

use super::Driver;
use crate::scheduler::Scheduler;
use skep_protocol::{
    TaskId, TaskKey, bounds::MESSAGE_BYTES_MAX, framework::Call, outcome::TaskMessage,
};
use std::{error, fmt};

/// A message is longer than one may be; nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageTooLong {
    /// How many it has.
    pub bytes: usize,
}

impl fmt::Display for MessageTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes;
        write!(f, "the message has {bytes} bytes, at most {MESSAGE_BYTES_MAX} may be sent at once")
    }
}

impl error::Error for MessageTooLong {}

impl Driver {
    /// Sends bytes to a running task, at most 64 KiB. They arrive at most once, in the order in
    /// which they were sent, and are not kept. If the master cannot pass them on, because the task
    /// does not run or its agent is not connected, [`Scheduler::error`](crate::Scheduler::error)
    /// is told `Undelivered`.
    ///
    /// # Errors
    /// [`MessageTooLong`].
    pub fn send_message(
        &mut self,
        task: &TaskId,
        message: impl Into<Vec<u8>>,
    ) -> Result<(), MessageTooLong> {
        let bytes = message.into();
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(MessageTooLong { bytes: bytes.len() });
        }
        let attempt = self.live.get(task).map(|live| live.attempt);
        self.calls.push(Call::Message { task: task.clone(), attempt, bytes });
        Ok(())
    }

    pub(super) fn heard_from(&mut self, message: &TaskMessage, scheduler: &mut impl Scheduler) {
        let TaskKey { task, attempt, .. } = &message.key;
        scheduler.message(self, task, *attempt, &message.bytes);
    }
}
