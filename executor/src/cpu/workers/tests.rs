//! The threads with futures in place of guests.

use super::*;
use crate::cpu::yield_now;
use std::{
    future::{pending, poll_fn},
    sync::mpsc,
    task::Poll,
};
use tokio::runtime::Builder;

fn workers() -> Workers {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    Workers::new(2, runtime.expect("a runtime")).expect("threads")
}

/// Says when it is dropped.
struct Bell(mpsc::Sender<&'static str>, &'static str);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.send(self.1).expect("somebody listens");
    }
}

fn spawn(
    workers: &Workers,
    id: Id,
    share_millis: u64,
    future: impl std::future::Future<Output = ()> + Send + 'static,
) {
    workers.spawn(vec![(id, share_millis, future)]);
}

#[test]
fn a_thousand_guests_that_yield_all_come_to_their_end() {
    let workers = workers();
    let (ended, ends) = mpsc::channel();
    for _ in 0..1_000 {
        let ended = ended.clone();
        spawn(&workers, workers.id(), 10, async move {
            for _ in 0..20 {
                yield_now().await;
            }
            ended.send(()).expect("somebody listens");
        });
    }
    assert_eq!(ends.iter().take(1_000).count(), 1_000);
}

#[test]
fn a_wake_up_that_comes_during_a_poll_is_not_lost() {
    let workers = workers();
    let (ended, ends) = mpsc::channel();
    for _ in 0..200 {
        let (ended, mut left) = (ended.clone(), 50);
        spawn(
            &workers,
            workers.id(),
            1_000,
            poll_fn(move |context| {
                if left == 0 {
                    ended.send(()).expect("somebody listens");
                    return Poll::Ready(());
                }
                left -= 1;
                let waker = context.waker().clone();
                // It may wake the guest before this poll is over, or after.
                tokio::spawn(async move { waker.wake() });
                Poll::Pending
            }),
        );
    }
    assert_eq!(ends.iter().take(200).count(), 200);
}

#[test]
fn a_panic_ends_its_guest_and_no_other() {
    let workers = workers();
    let (sender, bells) = mpsc::channel();
    for _ in 0..8 {
        let bell = Bell(sender.clone(), "dropped");
        spawn(&workers, workers.id(), 1_000, async move {
            let _bell = bell;
            panic!("a test of panics");
        });
    }
    assert_eq!(bells.iter().take(8).count(), 8);
    let bell = Bell(sender, "ended");
    spawn(&workers, workers.id(), 1_000, async move { drop(bell) });
    assert_eq!(bells.recv(), Ok("ended"));
}

#[test]
fn guests_end_with_the_workers_whether_they_wait_or_compute() {
    let workers = workers();
    let (sender, bells) = mpsc::channel();
    let waits = Bell(sender.clone(), "gone");
    spawn(&workers, workers.id(), 1_000, async move {
        let _waits = waits;
        pending::<()>().await;
    });
    let computes = Bell(sender, "gone");
    spawn(&workers, workers.id(), 1_000, async move {
        let _computes = computes;
        loop {
            yield_now().await;
        }
    });
    drop(workers);
    assert_eq!(bells.iter().count(), 2);
}

#[test]
fn what_a_guest_computed_is_known_to_it() {
    let workers = workers();
    let (sender, spans) = mpsc::channel();
    spawn(&workers, workers.id(), 1_000, async move {
        let goal = Duration::from_millis(5);
        while spent() < goal {
            yield_now().await;
        }
        sender.send(spent()).expect("somebody listens");
    });
    let spent = spans.recv().expect("an answer");
    assert!(spent >= Duration::from_millis(5));
}
