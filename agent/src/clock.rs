//! The agent's clock: the system's at the start, and from then on the machine's own pace, so that
//! a core is never told an earlier time than before.

use skep_protocol::Time;
use std::time::{Instant, SystemTime};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    at: Time,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), at: SystemTime::now().into() }
    }

    pub(crate) fn now(&self) -> Time {
        self.at + self.started.elapsed()
    }

    /// When the clock will show `time`; now, if it has.
    pub(crate) fn instant_of(&self, time: Time) -> Instant {
        self.started + time.since(self.at)
    }
}
