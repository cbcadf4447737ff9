//! Shares of the processors, without the kernel's help but for one rank of threads.
//!
//! A guest is a future on a fiber that comes back after each slice of fuel. It is polled by threads
//! of our own, in the order that `queue` decides: [`Workers`] has common threads for guests within
//! their share, and as many of the lowest rank (`rank`) for those beyond it. So the kernel, which
//! knows nothing of guests, still prefers one executor's shares to another's leftovers. Always
//! holds: no guest is polled by two threads, and no wake-up is lost. Deliberately absent: any use
//! of control groups.

mod gate;
mod queue;
mod rank;
mod workers;

pub(crate) use gate::Gate;
pub(crate) use queue::Id;
pub(crate) use workers::{Workers, spent};

use std::{future::poll_fn, task::Poll};

/// Lets others have their turn.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
