//! The threads that poll guests, and how a guest that has something to do comes to one of them.
//!
//! Decides nothing about whose turn it is (`queue`). Always holds: a guest's future is polled by
//! one thread at a time, for the queue hands each guest out once; a wake-up during a poll is
//! remembered by the queue; a panic ends its guest, never a thread; nothing is called back, woken
//! or dropped while the lock is held. Threads sleep until there is something for them, so that a
//! start costs one wake-up, and none if a thread is awake.

use super::{
    queue::{Band, Id, Queue, Ran},
    rank,
};
use rustix::{
    process::Pid,
    thread::gettid,
    time::{ClockId, clock_gettime},
};
use std::{
    cell::Cell,
    collections::HashMap,
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Wake, Waker},
    thread::{self, Builder, Thread},
    time::{Duration, Instant},
};
use tokio::runtime::{EnterGuard, Runtime};

type Future = Pin<Box<dyn std::future::Future<Output = ()> + Send>>;

/// The threads that run guests. Dropping it ends all guests, without waiting.
pub(crate) struct Workers {
    pool: Arc<Pool>,
    ids: AtomicU64,
}

struct Pool {
    state: Mutex<State>,
    began: Instant,
}

/// What serves guests with timers, sockets and files. Ends with the last of the workers, so that
/// no guest finds it gone.
struct Background(Option<Runtime>);

struct State {
    queue: Queue,
    guests: HashMap<Id, Arc<Guest>>,
    /// The threads that wait for something to do.
    asleep: Vec<Asleep>,
    /// The threads of the lowest rank that run a guest.
    low: HashMap<Id, Pid>,
    stopping: bool,
}

struct Asleep {
    thread: Thread,
    band: Band,
    /// Until when, if nothing happens.
    until: Option<Duration>,
}

/// A guest, which is its own waker.
struct Guest {
    id: Id,
    pool: Arc<Pool>,
    future: Mutex<Option<Future>>,
    /// What it has computed in all its turns.
    spent_nanos: AtomicU64,
}

/// Threads to be woken when the lock is released.
#[must_use]
struct Summons(Vec<Thread>);

thread_local! {
    /// What the guest of this turn had computed before, and this thread's time when it began.
    static TURN: Cell<(Duration, Duration)> = const { Cell::new((Duration::ZERO, Duration::ZERO)) };
}

/// What the guest whose turn it is on this thread has computed so far.
pub(crate) fn spent() -> Duration {
    let (before, began) = TURN.get();
    before + thread_time().saturating_sub(began)
}

impl Workers {
    /// Starts `threads` threads for guests in their share and as many for those beyond it; guests
    /// find the timers, sockets and blocking threads of `runtime`.
    ///
    /// # Errors
    /// If the machine refuses a thread.
    pub(crate) fn new(threads: usize, runtime: Runtime) -> io::Result<Self> {
        let state = State {
            queue: Queue::new(threads),
            guests: HashMap::new(),
            asleep: Vec::new(),
            low: HashMap::new(),
            stopping: false,
        };
        let background = Arc::new(Background(Some(runtime)));
        let pool = Arc::new(Pool { state: Mutex::new(state), began: Instant::now() });
        // If a thread is refused, those that were started end with this.
        let workers = Self { pool, ids: AtomicU64::new(1) };
        for (band, name) in [(Band::InShare, "guests"), (Band::Bursting, "guests-low")] {
            for _ in 0..threads {
                let (pool, background) = (Arc::clone(&workers.pool), Arc::clone(&background));
                Builder::new().name(name.into()).spawn(move || {
                    let _context = background.enter();
                    pool.work(band);
                })?;
            }
        }
        Ok(workers)
    }

    /// A name for a guest to come.
    pub(crate) fn id(&self) -> Id {
        Id(self.ids.fetch_add(1, Ordering::Relaxed))
    }

    /// Runs guests, each with its share in thousandths, which all their lives are polled by the
    /// workers alone.
    pub(crate) fn spawn(
        &self,
        guests: Vec<(Id, u64, impl std::future::Future<Output = ()> + Send + 'static)>,
    ) {
        let guest = |(id, share_millis, future)| {
            let (pool, spent_nanos) = (Arc::clone(&self.pool), AtomicU64::new(0));
            let future = Mutex::new(Some(Box::pin(future) as Future));
            (share_millis, Arc::new(Guest { id, pool, future, spent_nanos }))
        };
        let guests: Vec<_> = guests.into_iter().map(guest).collect();
        self.pool.change(|state, now| {
            for (share_millis, guest) in guests {
                state.queue.add(now, guest.id, share_millis);
                state.guests.insert(guest.id, guest);
            }
        });
    }

    /// Polls a guest, if it still runs.
    pub(crate) fn wake(&self, id: Id) {
        self.pool.change(|state, now| state.queue.wake(now, id));
    }

    /// Polls a guest before all others, now and until it has ended.
    pub(crate) fn hasten(&self, id: Id) {
        self.pool.change(|state, now| {
            if state.queue.hasten(now, id) {
                state.raise(id);
            }
        });
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        state.stopping = true;
        let all = mem::take(&mut state.asleep);
        drop(state);
        all.into_iter().for_each(|asleep| asleep.thread.unpark());
    }
}

impl Background {
    fn enter(&self) -> Option<EnterGuard<'_>> {
        self.0.as_ref().map(Runtime::enter)
    }
}

impl Drop for Background {
    /// Does not wait: a guest's file operation may be stuck on a dead disk.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Changes the state, and wakes those for whom there is something to do then.
    fn change(&self, change: impl FnOnce(&mut State, Duration)) {
        let mut state = self.lock();
        change(&mut state, self.now());
        let summons = state.summon();
        drop(state);
        summons.call();
    }

    /// What a thread does all its life.
    fn work(&self, band: Band) {
        if band == Band::Bursting
            && let Err(error) = rank::lower()
        {
            tracing::warn!(%error, "no lowest rank: bursting guests disturb other processes");
        }
        // A turn is charged with what leads to it, too: guests of many short turns pay for each.
        let mut charged = thread_time();
        while let Some(guest) = self.next(band) {
            let (over_at, ran) = guest.turn();
            let used = over_at.saturating_sub(mem::replace(&mut charged, over_at));
            let raised = {
                let mut state = self.lock();
                state.low.remove(&guest.id);
                if ran == Ran::Ended {
                    state.guests.remove(&guest.id);
                }
                state.queue.ran(self.now(), guest.id, used, ran)
            };
            if raised && let Err(error) = rank::lower() {
                tracing::warn!(%error, "a thread keeps a rank that it was lent");
            }
        }
        self.leave();
    }

    /// The next guest to run, once there is one; none when all is over.
    fn next(&self, band: Band) -> Option<Arc<Guest>> {
        let mut state = self.lock();
        while !state.stopping {
            let now = self.now();
            if band == Band::InShare {
                state.queue.held_up(now).into_iter().for_each(|id| state.raise(id));
            }
            if let Some(id) = state.queue.next(now, band) {
                if band == Band::Bursting {
                    state.low.insert(id, gettid());
                }
                let guest = Arc::clone(&state.guests[&id]);
                let summons = state.summon();
                drop(state);
                summons.call();
                return Some(guest);
            }
            state = self.sleep(state, band);
        }
        None
    }

    /// Waits, at most until bursting guests have their share back.
    fn sleep<'a>(&'a self, mut state: MutexGuard<'a, State>, band: Band) -> MutexGuard<'a, State> {
        // One thread that keeps the time is enough.
        let until = match band {
            Band::InShare => state.queue.refill_at().filter(|at| *at < state.alarm()),
            Band::Bursting => None,
        };
        state.asleep.push(Asleep { thread: thread::current(), band, until });
        let summons = state.summon();
        drop(state);
        summons.call();
        match until {
            Some(until) => thread::park_timeout(until.saturating_sub(self.now())),
            None => thread::park(),
        }
        let mut state = self.lock();
        let this = thread::current().id();
        state.asleep.retain(|asleep| asleep.thread.id() != this);
        state
    }

    /// Drops the guests that nobody runs. One that runs is dropped by its thread.
    fn leave(&self) {
        let guests = mem::take(&mut self.lock().guests);
        guests.into_values().for_each(|guest| guest.give_up());
    }
}

impl State {
    /// Whom to wake: one thread of each band that has work, which in its turn wakes the next one.
    fn summon(&mut self) -> Summons {
        let mut threads = Vec::new();
        let late = self.queue.refill_at().is_some_and(|at| at < self.alarm());
        if late || self.queue.has_work(Band::InShare) {
            threads.extend(self.wake_one(Band::InShare));
        }
        if self.queue.has_work(Band::Bursting) {
            threads.extend(self.wake_one(Band::Bursting));
        }
        Summons(threads)
    }

    /// The thread that slept last, for its caches are the warmest.
    fn wake_one(&mut self, band: Band) -> Option<Thread> {
        let place = self.asleep.iter().rposition(|asleep| asleep.band == band)?;
        Some(self.asleep.remove(place).thread)
    }

    /// When the first of those asleep wakes by itself.
    fn alarm(&self) -> Duration {
        self.asleep.iter().filter_map(|asleep| asleep.until).min().unwrap_or(Duration::MAX)
    }

    /// Lends a guest's thread the rank of others, if the kernel allows it.
    fn raise(&self, id: Id) {
        if let Some(thread) = self.low.get(&id)
            && let Err(error) = rank::raise(*thread)
        {
            tracing::debug!(%error, "a thread of the lowest rank keeps it");
        }
    }
}

impl Guest {
    /// Polls it once: what this thread had computed when its turn was over, and whether it is over
    /// itself.
    fn turn(self: &Arc<Self>) -> (Duration, Ran) {
        let before = Duration::from_nanos(self.spent_nanos.load(Ordering::Relaxed));
        let began = thread_time();
        TURN.set((before, began));
        let mut slot = self.future.lock().unwrap_or_else(PoisonError::into_inner);
        let waker = Waker::from(Arc::clone(self));
        let polled = slot.as_mut().map(|future| {
            let mut context = Context::from_waker(&waker);
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context)))
        });
        let ran = match polled {
            Some(Ok(polled)) if polled.is_pending() => Ran::Goes,
            Some(Ok(_) | Err(_)) | None => Ran::Ended,
        };
        if ran == Ran::Ended {
            let over = slot.take();
            drop(slot);
            discard(over);
        }
        let over_at = thread_time();
        let spent = before + over_at.saturating_sub(began);
        let nanos = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        self.spent_nanos.store(nanos, Ordering::Relaxed);
        (over_at, ran)
    }

    /// Drops its future, unless a thread runs it.
    fn give_up(&self) {
        let future = match self.future.try_lock() {
            Ok(mut slot) => slot.take(),
            Err(TryLockError::Poisoned(slot)) => slot.into_inner().take(),
            Err(TryLockError::WouldBlock) => None,
        };
        discard(future);
    }
}

impl Wake for Guest {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.pool.change(|state, now| state.queue.wake(now, self.id));
    }
}

impl Summons {
    fn call(self) {
        self.0.into_iter().for_each(|thread| thread.unpark());
    }
}

/// Drops a future. A panic in it has been printed and concerns nobody else.
fn discard(future: Option<Future>) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
}

/// How long this thread has computed.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
#[path = "workers/tests.rs"]
mod tests;
