//! One attempt of a task: its guest is run once or, if it may be, again after it has failed.
//!
//! ```text
//! run -> ended well, killed, or of a limit  -> End
//!  ^  -> failed, and may be started again   -> wait
//!  +---------------------------------------------+
//! ```
//! No one is asked: an agent that is cut off, or that is just being restarted, changes nothing.
//! Always holds: whatever happens, a kill ends the attempt within its grace, and the deadline
//! counts from the first instruction of the first run; the limits on output, files and random bytes
//! are for all runs together.

use crate::{
    cpu::Gate,
    guest::{self, Carried, End},
    lanes::Lanes,
    life::Life,
    mail::Mailbox,
    outbox::Outbox,
    speech::Speech,
    wire::GuestFiles,
};
use skep_protocol::{
    executor::StartGuest,
    outcome::{KilledBy, Outcome, Progress, Usage},
};
use std::{
    future::pending,
    mem,
    pin::pin,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};
use tokio::{select, sync::oneshot, time::sleep};

/// The runs of one attempt, under way.
pub(crate) struct Runs<'a> {
    pub(crate) guest: &'a StartGuest,
    pub(crate) lanes: &'a Lanes,
    pub(crate) outbox: &'a Arc<Outbox>,
    pub(crate) gate: &'a Gate,
    pub(crate) life: Arc<Life>,
    /// If it may speak as a framework.
    pub(crate) speech: Option<Speech>,
    pub(crate) mailbox: Arc<Mailbox>,
    /// When its first instruction was executed.
    pub(crate) began: OnceLock<Instant>,
}

/// What a guest hears with.
pub(crate) struct Ears {
    /// If it may speak as a framework.
    pub(crate) speech: Option<Speech>,
    pub(crate) mailbox: Arc<Mailbox>,
}

/// Runs a guest to its end, or until it is killed.
pub(crate) async fn run(
    guest: StartGuest,
    files: GuestFiles,
    lanes: &Lanes,
    outbox: &Arc<Outbox>,
    gate: &Gate,
    Ears { speech, mailbox }: Ears,
    killed: oneshot::Receiver<KilledBy>,
) -> End {
    let life = Arc::new(Life::new());
    let began = OnceLock::new();
    let attempt = Runs { guest: &guest, lanes, outbox, gate, life, speech, mailbox, began };
    let mut killed = pin!(attempt.killed(killed));
    let mut files = files;
    let inputs = mem::take(&mut files.inputs);
    let mut carried = Some(Carried::new(&guest, inputs));
    let mut so_far = Usage::default();
    // Those of the last run need not be opened again.
    let mut files = Some(files);
    loop {
        let files = match &guest.policies.retry {
            None => files.take().ok_or(()),
            Some(_) => files.as_ref().ok_or(()).and_then(|files| files.again().map_err(drop)),
        };
        let run = match files {
            Ok(files) => guest::run(&attempt, files, &mut carried, killed.as_mut()).await,
            Err(()) => End::before_start(Outcome::Failed {
                why: "its standard input cannot be read again".into(),
            }),
        };
        let end = End { usage: add(so_far, run.usage), ..run };
        match attempt.again(end, carried.is_some(), killed.as_mut()).await {
            Ok(usage) => so_far = usage,
            Err(end) => return end,
        }
    }
}

impl Runs<'_> {
    /// Waits for the order to kill; if the guest runs and has a grace, tells it and lets that pass.
    async fn killed(&self, order: oneshot::Receiver<KilledBy>) -> KilledBy {
        let Ok(by) = order.await else { return pending().await };
        if let Some(grace) = self.guest.policies.kill_grace
            && self.gate.has_begun()
        {
            self.life.give_notice(by.clone());
            sleep(grace).await;
        }
        by
    }

    /// Waits until the attempt has had its time.
    pub(crate) async fn deadline(&self) -> Duration {
        match self.guest.limits.deadline {
            Some(limit) => {
                let ran = self.began.get().map_or(Duration::ZERO, Instant::elapsed);
                sleep(limit.saturating_sub(ran)).await;
                limit
            }
            None => pending().await,
        }
    }

    /// Waits until the guest has given no sign of life for longer than it may.
    pub(crate) async fn silence(&self) -> Duration {
        match self.guest.policies.heartbeat {
            Some(limit) => {
                self.life.silent_for(limit, self.gate).await;
                limit
            }
            None => pending().await,
        }
    }

    /// Waits for the time to start the guest again, and gives what it has used so far. An error: it
    /// is not started again, and this is the end of the attempt.
    async fn again(
        &self,
        end: End,
        is_sound: bool,
        killed: impl Future<Output = KilledBy>,
    ) -> Result<Usage, End> {
        if let Some(by) = self.life.notice() {
            return Err(End { outcome: Outcome::Killed { by }, ..end });
        }
        let restarts = end.usage.restarts;
        let retry = self.guest.policies.retry.as_ref().filter(|_| is_sound);
        let wait = retry.and_then(|retry| Some((retry.wait_after(&end.outcome, restarts)?, retry)));
        let Some((wait, retry)) = wait else { return Err(end) };
        self.outbox.progress(Progress {
            key: self.guest.key.clone(),
            done: u64::from(restarts) + 1,
            total: u64::from(retry.times),
            message: format!("restart in {} s, for it {}", wait.as_secs_f64(), end.outcome),
        });
        let outcome = select! {
            by = killed => Outcome::Killed { by },
            limit = self.deadline() => Outcome::DeadlinePassed { limit },
            () = sleep(wait) => {
                return Ok(Usage { restarts: restarts + 1, ..end.usage });
            }
        };
        Err(End { outcome, ..end })
    }
}

/// What two runs used together. Output and processor time are counted through.
fn add(before: Usage, run: Usage) -> Usage {
    let is_first = before.restarts == 0;
    Usage {
        fuel: before.fuel.saturating_add(run.fuel),
        wall: before.wall + run.wall,
        start: if is_first { run.start } else { before.start },
        memory_bytes_peak: before.memory_bytes_peak.max(run.memory_bytes_peak),
        bytes_in: before.bytes_in.saturating_add(run.bytes_in),
        bytes_out: before.bytes_out.saturating_add(run.bytes_out),
        restarts: before.restarts,
        ..run
    }
}
