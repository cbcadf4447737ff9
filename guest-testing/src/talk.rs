//! What guest and test tell each other. One of them runs, the other waits: the guest at `event`, at
//! a wait, or because it has ended; the test until the guest does.

use skep_protocol::{Time, framework::Call};
use std::{
    collections::VecDeque,
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How a guest ended: well, or why not.
pub(crate) type End = Result<(), String>;

#[derive(Debug, Default)]
pub(crate) struct Talk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    now: Time,
    is_connected: bool,
    /// Since the guest last said something: it may sleep until it tries again.
    is_new: bool,
    events: VecDeque<Vec<u8>>,
    calls: Vec<Call>,
    /// While it waits: until when.
    due: Option<Time>,
    is_due: bool,
    is_stopped: bool,
    end: Option<End>,
}

/// What comes of waiting for an event.
pub(crate) enum Heard {
    /// One of this length does not fit: it stays.
    Larger(usize),
    Event(Vec<u8>),
    Nothing,
    Broken,
}

/// The test is over.
#[derive(Debug, thiserror::Error)]
#[error("the test is over")]
pub(crate) struct Stopped;

/// What the test does.
impl Talk {
    pub(crate) fn connect(&self, now: Time) {
        self.change(now, |state| (state.is_connected, state.is_new) = (true, true));
    }

    pub(crate) fn disconnect(&self, now: Time) {
        self.change(now, |state| {
            state.is_connected = false;
            state.events.clear();
        });
    }

    pub(crate) fn tell(&self, now: Time, event: Vec<u8>) {
        self.change(now, |state| state.events.push_back(event));
    }

    pub(crate) fn wake(&self, now: Time) {
        self.change(now, |state| state.is_due = true);
    }

    pub(crate) fn stop(&self) {
        self.lock().is_stopped = true;
        self.changed.notify_all();
    }

    /// Waits until the guest waits or has ended; says how it ended.
    pub(crate) fn rest(&self, patience: Duration) -> Option<End> {
        let busy = |state: &mut State| state.end.is_none() && state.due.is_none();
        let waited = self.changed.wait_timeout_while(self.lock(), patience, busy);
        let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "the guest does not come to rest");
        state.end.clone()
    }

    pub(crate) fn due(&self) -> Option<Time> {
        let state = self.lock();
        state.due.filter(|_| state.end.is_none())
    }

    pub(crate) fn take_calls(&self) -> Vec<Call> {
        mem::take(&mut self.lock().calls)
    }

    /// Changes something that the guest is to see: from now on it is not at rest.
    fn change(&self, now: Time, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        (state.now, state.due) = (now, None);
        change(&mut state);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the guest does.
impl Talk {
    pub(crate) fn now(&self) -> Time {
        self.lock().now
    }

    /// Whether somebody listens.
    pub(crate) fn say(&self, call: Call) -> bool {
        let mut state = self.lock();
        state.is_new = false;
        if state.is_connected {
            state.calls.push(call);
        }
        state.is_connected
    }

    /// Waits for an event of at most so many bytes.
    pub(crate) fn hear(&self, capacity: usize, wait: Duration) -> Result<Heard, Stopped> {
        self.wait(wait, |state| {
            if !state.is_connected {
                return Some(Heard::Broken);
            }
            let length = state.events.front()?.len();
            if length > capacity {
                return Some(Heard::Larger(length));
            }
            state.events.pop_front().map(Heard::Event)
        })
        .map(|heard| heard.unwrap_or(Heard::Nothing))
    }

    /// Sleeps, but not longer than until there is a connection again.
    pub(crate) fn sleep(&self, wait: Duration) -> Result<(), Stopped> {
        self.wait(wait, |state| mem::take(&mut state.is_new).then_some(())).map(drop)
    }

    pub(crate) fn end(&self, end: End) {
        self.lock().end = Some(end);
        self.changed.notify_all();
    }

    /// Waits until there is what is looked for, or the time has come.
    fn wait<T>(
        &self,
        wait: Duration,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<Option<T>, Stopped> {
        let mut state = self.lock();
        let due = state.now + wait;
        loop {
            if state.is_stopped {
                return Err(Stopped);
            }
            if let Some(found) = look(&mut state) {
                return Ok(Some(found));
            }
            if mem::take(&mut state.is_due) || wait.is_zero() {
                return Ok(None);
            }
            state.due = Some(due);
            self.changed.notify_all();
            let at_rest = |state: &mut State| state.due.is_some() && !state.is_stopped;
            let waited = self.changed.wait_while(state, at_rest);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}
