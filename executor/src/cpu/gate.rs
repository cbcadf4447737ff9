//! Pausing a guest: a gate in front of its code, past which nothing of it runs.
//!
//! Always holds: each order that changes something is reported once, in order, from the moment on
//! that it holds, and only of a guest that was reported as started. What ends a guest (a kill, its
//! deadline) waits outside of the gate, and so finds a paused guest, too.

use crate::{guest::now, outbox::Outbox};
use skep_protocol::{executor::Report, ids::TaskKey};
use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

/// Whether a guest may run. Open at first.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    turns: Mutex<Turns>,
    begun: AtomicBool,
}

/// How often the gate has changed by order, and how often that was reported; when odd, it is shut.
#[derive(Debug, Default)]
struct Turns {
    ordered: u64,
    told: u64,
}

impl Gate {
    /// Notes for the agent that the guest behind it starts; the next nudge tells.
    pub(crate) fn begin(&self, key: &TaskKey, outbox: &Outbox) {
        let report = Report::Started { key: key.clone(), at: now() };
        outbox.add_and(report, || self.begun.store(true, Ordering::Relaxed));
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether it was last ordered to shut.
    pub(crate) fn is_to_be_shut(&self) -> bool {
        self.lock().ordered % 2 == 1
    }

    /// False: it is shut already.
    pub(crate) fn shut(&self) -> bool {
        self.turn(0)
    }

    /// False: it is open already.
    pub(crate) fn open(&self) -> bool {
        self.turn(1)
    }

    fn turn(&self, from: u64) -> bool {
        let mut turns = self.lock();
        let turned = turns.ordered % 2 == from;
        turns.ordered += u64::from(turned);
        turned
    }

    /// Runs a future while the gate is open. Whoever turns the gate wakes the guest.
    pub(crate) async fn hold<F: Future>(
        &self,
        key: &TaskKey,
        outbox: &Outbox,
        future: F,
    ) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| match self.is_shut(key, outbox) {
            true => Poll::Pending,
            false => future.as_mut().poll(context),
        })
        .await
    }

    fn is_shut(&self, key: &TaskKey, outbox: &Outbox) -> bool {
        let mut turns = self.lock();
        while turns.told < turns.ordered {
            turns.told += 1;
            let (key, at) = (key.clone(), now());
            outbox.push(match turns.told % 2 {
                0 => Report::Resumed { key, at },
                _ => Report::Paused { key, at },
            });
        }
        turns.ordered % 2 == 1
    }

    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_protocol::ids::{Attempt, FrameworkId, TaskId};
    use std::task::{Context, Waker};

    #[test]
    fn each_turn_of_the_gate_is_told_once_and_nothing_runs_behind_it() {
        let framework = FrameworkId::new("f").expect("an id");
        let task = TaskId::new("t").expect("an id");
        let key = TaskKey { framework, task, attempt: Attempt::FIRST };
        let (gate, outbox) = (Gate::default(), Outbox::new());
        let mut polls = 0;
        let guest = poll_fn(|_| {
            polls += 1;
            Poll::<()>::Pending
        });
        let mut context = Context::from_waker(Waker::noop());
        let mut held = Box::pin(gate.hold(&key, &outbox, guest));
        assert!(!gate.open());
        assert!(held.as_mut().poll(&mut context).is_pending());
        assert!(gate.shut());
        assert!(!gate.shut());
        for _ in 0..3 {
            assert!(held.as_mut().poll(&mut context).is_pending());
        }
        assert!(gate.open() && gate.shut() && gate.open());
        assert!(held.as_mut().poll(&mut context).is_pending());
        drop(held);
        assert_eq!(polls, 2);
        let mut reports = pin!(outbox.take());
        let Poll::Ready(reports) = reports.as_mut().poll(&mut context) else {
            panic!("nothing was told");
        };
        let paused = |report: &Report| matches!(report, Report::Paused { .. });
        let expected = [true, false, true, false];
        assert_eq!(reports.iter().map(paused).collect::<Vec<_>>(), expected);
    }
}
