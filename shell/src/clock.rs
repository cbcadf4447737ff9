//! The clock of a shell: the system's at the start, and from then on the machine's own pace, so
//! that a core is never told an earlier time than before.

use skep_protocol::Time;
use std::time::{Instant, SystemTime};

/// Tells a core the time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    at: Time,
}

impl Clock {
    /// Sets the clock by the system's.
    pub fn start() -> Self {
        Self { started: Instant::now(), at: SystemTime::now().into() }
    }

    /// The time now; never earlier than before.
    pub fn now(&self) -> Time {
        self.at + self.started.elapsed()
    }

    /// When the clock will show `time`; now, if it has.
    pub fn instant_of(&self, time: Time) -> Instant {
        self.started + time.since(self.at)
    }
}
