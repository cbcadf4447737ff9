//! What passes between a running guest and those who watch over it: signs of life one way, the
//! notice that it is to end the other.
//!
//! Always holds: a notice is given once and stays given; time during which a guest is paused is not
//! counted against it.

use crate::cpu::Gate;
use skep_protocol::outcome::KilledBy;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

/// Shared by all runs of one attempt.
#[derive(Debug)]
pub(crate) struct Life {
    last_sign: Mutex<Instant>,
    /// By whose order it is to end.
    notice: watch::Sender<Option<KilledBy>>,
}

impl Life {
    pub(crate) fn new() -> Self {
        Self { last_sign: Mutex::new(Instant::now()), notice: watch::Sender::new(None) }
    }

    /// The guest lives.
    pub(crate) fn sign(&self) {
        *self.lock() = Instant::now();
    }

    /// Tells the guest that it is to end.
    pub(crate) fn give_notice(&self, by: KilledBy) {
        self.notice.send_replace(Some(by));
    }

    /// By whose order the guest is to end, if it was told.
    pub(crate) fn notice(&self) -> Option<KilledBy> {
        self.notice.borrow().clone()
    }

    /// Waits for the notice, but not for longer than this. True: it was given.
    pub(crate) async fn noticed_within(&self, longest: Duration) -> bool {
        if longest.is_zero() {
            // A timer's tick takes a millisecond.
            return self.notice.borrow().is_some();
        }
        let mut notice = self.notice.subscribe();
        let given = notice.wait_for(Option::is_some);
        timeout(longest, given).await.is_ok_and(|given| given.is_ok())
    }

    /// Waits until there was no sign of life for so long.
    pub(crate) async fn silent_for(&self, limit: Duration, gate: &Gate) {
        loop {
            if gate.is_to_be_shut() {
                self.sign();
            }
            let Some(due) = self.lock().checked_add(limit) else {
                return std::future::pending().await;
            };
            if due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Instant> {
        self.last_sign.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_notice_that_was_given_is_found_at_once_and_stays() {
        let life = Life::new();
        assert!(!life.noticed_within(Duration::ZERO).await);
        life.give_notice(KilledBy::Operator);
        for _ in 0..2 {
            assert!(life.noticed_within(Duration::from_secs(3_600)).await);
        }
        assert_eq!(life.notice(), Some(KilledBy::Operator));
    }

    #[tokio::test]
    async fn silence_is_counted_from_the_last_sign_and_not_behind_a_shut_gate() {
        let (life, gate) = (Life::new(), Gate::default());
        let limit = Duration::from_millis(40);
        let begin = Instant::now();
        life.silent_for(limit, &gate).await;
        assert!(begin.elapsed() >= limit);
        gate.shut();
        life.silent_for(Duration::from_millis(1), &gate)
            .now_or_never_within(Duration::from_millis(60))
            .await;
    }

    trait Within: Future + Sized {
        /// Panics if the future ends within this time.
        async fn now_or_never_within(self, time: Duration) {
            assert!(timeout(time, self).await.is_err(), "a paused guest was taken for silent");
        }
    }

    impl<F: Future> Within for F {}
}
