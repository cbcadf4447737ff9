//! Whose turn it is: the pure part of sharing processors. Told the time, it decides; no threads.
//!
//! Each guest has a *due time*: the time up to which its use of a processor is paid for at its
//! share. Computing for 1 ms moves a share of 0.1 on by 10 ms. One number serves twice. A guest
//! whose due time is not ahead of the clock is **in its share**; among those the earliest due time
//! goes first, which gives each its share however many there are. One that is ahead has emptied its
//! bucket and is **bursting**: it only gets what is left, in proportion to shares, by a second
//! count, so that what was left over is never held against it.
//!
//! What a guest still owes when it ends, the next of its share that begins takes over: a stream of
//! short guests is as one long one. Always holds: a guest to be ended goes first, then guests that
//! wake, then those that compute; a guest that is owed time is owed [`PERIOD`] at most; if more is
//! promised than the machine has, the clock slows down, and all get the same part of their share.
//! Deliberately absent: how much anybody used, and when, which the workers tell.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

/// What a guest that waited may be owed: this much time's worth of its share. Control groups use
/// the same period.
pub(super) const PERIOD: Duration = Duration::from_millis(100);
/// What a guest that is bursting must be owed before it is in its share again, so that it does not
/// change threads after every slice.
pub(super) const REFILL: Duration = Duration::from_millis(25);
/// Debts that are kept of guests that have ended. Time pays them as well: a debt is of a turn, and
/// ten thousand guests do not end within one.
const DEBTS_MAX: usize = 10_000;
/// A guest is one thread: a larger share would be of no use to it, and slow the others' clock.
const SHARE_MILLIS_MAX: u64 = 1_000;

/// Names a guest of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(pub(super) u64);

/// Who runs a guest: a thread as any other, or one that only gets what all others leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Band {
    InShare,
    Bursting,
}

/// What became of a guest in its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ran {
    Ended,
    Goes,
}

/// In the order in which they are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    Ending,
    Woken,
    Computing,
}

/// All guests, and the order among those that could run.
#[derive(Debug)]
pub(super) struct Queue {
    /// Threads of each band: bursting guests begin nothing while the others have use for all.
    threads: usize,
    guests: HashMap<Id, Guest>,
    in_share: BTreeSet<(Urgency, Duration, Id)>,
    in_share_run: Vec<Id>,
    bursting: BTreeSet<(Duration, Id)>,
    /// The same guests by their due times, which are when they will be in their share again.
    refills: BTreeSet<(Duration, Id)>,
    bursting_run: Vec<Id>,
    /// What guests that have ended left unpaid: their shares and due times.
    debts: BTreeSet<(u32, Duration, Id)>,
    /// The time that due times are compared with, and the real time it was last set.
    clock: Duration,
    read_at: Duration,
    /// Where the bursting guests' own count has come to.
    extra_clock: Duration,
}

#[derive(Debug)]
struct Guest {
    share_millis: u32,
    due: Duration,
    extra: Duration,
    bursts: bool,
    ending: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Ready(Urgency),
    /// `woken`: there is more to do. `raised`: its thread was given a common thread's rank.
    Running {
        band: Band,
        woken: bool,
        raised: bool,
    },
}

impl Queue {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            threads,
            guests: HashMap::new(),
            in_share: BTreeSet::new(),
            in_share_run: Vec::new(),
            bursting: BTreeSet::new(),
            refills: BTreeSet::new(),
            bursting_run: Vec::new(),
            debts: BTreeSet::new(),
            clock: Duration::ZERO,
            read_at: Duration::ZERO,
            extra_clock: Duration::ZERO,
        }
    }

    /// Takes in a guest that could run. Without a share it has the smallest there is.
    pub(super) fn add(&mut self, now: Duration, id: Id, share_millis: u64) {
        self.advance(now);
        let share_millis = share_millis.clamp(1, SHARE_MILLIS_MAX);
        let share_millis = u32::try_from(share_millis).expect("a thousand at most");
        // Where the clock runs slow, it starts level with those that compute already.
        let level = self.level();
        let unpaid = self.take_over(share_millis).filter(|due| *due > level);
        let (due, extra) = (unpaid.unwrap_or(level), self.extra_clock);
        let bursts = due > self.clock + REFILL;
        let state = State::Waiting;
        self.guests.insert(id, Guest { share_millis, due, extra, bursts, ending: false, state });
        if unpaid.is_none() {
            self.make_ready(id, Urgency::Woken);
        } else if bursts {
            self.make_ready(id, Urgency::Computing);
        } else {
            // It owes too little to be worth another thread: it only goes behind the others.
            self.guest(id).state = State::Ready(Urgency::Computing);
            self.in_share.insert((Urgency::Computing, due, id));
        }
    }

    /// The due time of a guest that has used nothing yet.
    fn level(&self) -> Duration {
        self.earliest().map_or(self.clock, |due| due.min(self.clock))
    }

    /// The latest due time that a guest of this share has left.
    fn take_over(&mut self, share_millis: u32) -> Option<Duration> {
        let first = (share_millis, Duration::ZERO, Id(0));
        let last = (share_millis, Duration::MAX, Id(u64::MAX));
        let debt = self.debts.range(first..=last).next_back().copied()?;
        self.debts.remove(&debt);
        Some(debt.1)
    }

    /// Keeps what a guest owed when it ended.
    fn leave_debt(&mut self, id: Id, guest: &Guest) {
        let level = self.level();
        if guest.due <= level {
            return;
        }
        if self.debts.len() >= DEBTS_MAX {
            self.debts.retain(|(_, due, _)| *due > level);
        }
        if self.debts.len() < DEBTS_MAX {
            self.debts.insert((guest.share_millis, guest.due, id));
        }
    }

    /// A guest has something to do, or will have again after its turn.
    pub(super) fn wake(&mut self, now: Duration, id: Id) {
        let Some(guest) = self.guests.get_mut(&id) else { return };
        match &mut guest.state {
            State::Running { woken, .. } => *woken = true,
            State::Ready(_) => {}
            State::Waiting => {
                self.advance(now);
                self.make_ready(id, Urgency::Woken);
            }
        }
    }

    /// Lets a guest that is to end go first. True: it runs on a thread that only gets what others
    /// leave, which is to be raised until its turn is over.
    #[must_use]
    pub(super) fn hasten(&mut self, now: Duration, id: Id) -> bool {
        let Some(guest) = self.guests.get_mut(&id) else { return false };
        guest.ending = true;
        match &mut guest.state {
            State::Running { band, woken, raised } => {
                *woken = true;
                let low = *band == Band::Bursting && !*raised;
                *raised |= low;
                return low;
            }
            State::Waiting => {}
            State::Ready(urgency) => {
                let in_share = (*urgency, guest.due, id);
                let (extra, due) = (guest.extra, guest.due);
                self.in_share.remove(&in_share);
                self.bursting.remove(&(extra, id));
                self.refills.remove(&(due, id));
            }
        }
        self.advance(now);
        self.make_ready(id, Urgency::Ending);
        false
    }

    /// The guest whose turn it is.
    pub(super) fn next(&mut self, now: Duration, band: Band) -> Option<Id> {
        self.advance(now);
        self.refill();
        let id = match band {
            Band::InShare => {
                let (_, _, id) = self.in_share.pop_first()?;
                self.in_share_run.push(id);
                id
            }
            Band::Bursting if self.has_work(Band::Bursting) => {
                let (extra, id) = self.bursting.pop_first()?;
                self.refills.remove(&(self.guests[&id].due, id));
                self.extra_clock = self.extra_clock.max(extra);
                self.bursting_run.push(id);
                id
            }
            Band::Bursting => return None,
        };
        self.guest(id).state = State::Running { band, woken: false, raised: false };
        Some(id)
    }

    /// A guest's turn is over, in which it computed for `used`. True: its thread was raised.
    #[must_use]
    pub(super) fn ran(&mut self, now: Duration, id: Id, used: Duration, ran: Ran) -> bool {
        self.advance(now);
        let guest = self.guest(id);
        let State::Running { band, woken, raised } = guest.state else {
            unreachable!("only a guest whose turn it was has had its turn");
        };
        let paid = used.saturating_mul(1_000) / guest.share_millis;
        match band {
            Band::InShare => guest.due = guest.due.saturating_add(paid),
            Band::Bursting => guest.extra = guest.extra.saturating_add(paid),
        }
        guest.state = State::Waiting;
        match band {
            Band::InShare => self.in_share_run.retain(|running| *running != id),
            Band::Bursting => self.bursting_run.retain(|running| *running != id),
        }
        match ran {
            Ran::Ended => {
                let guest = self.guests.remove(&id).expect("it has had its turn");
                self.leave_debt(id, &guest);
            }
            Ran::Goes if woken => self.make_ready(id, Urgency::Computing),
            Ran::Goes => {}
        }
        raised
    }

    /// Whether a thread of this band would find something to do, but for refills that came due.
    pub(super) fn has_work(&self, band: Band) -> bool {
        match band {
            Band::InShare => !self.in_share.is_empty(),
            Band::Bursting => {
                let busy = self.in_share.len() + self.in_share_run.len();
                !self.bursting.is_empty() && busy < self.threads
            }
        }
    }

    /// Bursting guests that have their share back but are still in a turn that others' work holds
    /// up: their threads are to be raised.
    pub(super) fn held_up(&mut self, now: Duration) -> Vec<Id> {
        self.advance(now);
        let mut all = Vec::new();
        for id in &self.bursting_run {
            let guest = self.guests.get_mut(id).expect("it runs");
            if let State::Running { raised, .. } = &mut guest.state
                && !*raised
                && guest.due + 2 * REFILL <= self.clock
            {
                *raised = true;
                all.push(*id);
            }
        }
        all
    }

    /// When a bursting guest next has its share back, if all goes on as it does.
    pub(super) fn refill_at(&self) -> Option<Duration> {
        let running = self.bursting_run.iter().filter_map(|id| {
            let guest = &self.guests[id];
            let raised = matches!(guest.state, State::Running { raised: true, .. });
            (!raised).then_some(guest.due + 2 * REFILL)
        });
        let first = self.refills.first().map(|(due, _)| *due + REFILL);
        let due = running.chain(first).min()?;
        Some(self.read_at + due.saturating_sub(self.clock))
    }

    fn make_ready(&mut self, id: Id, urgency: Urgency) {
        let (clock, extra_clock) = (self.clock, self.extra_clock);
        let guest = self.guest(id);
        let urgency = if guest.ending { Urgency::Ending } else { urgency };
        guest.state = State::Ready(urgency);
        if urgency == Urgency::Woken || guest.bursts {
            guest.due = guest.due.max(clock.saturating_sub(PERIOD));
        }
        guest.bursts = match guest.bursts {
            false => guest.due > clock,
            true => guest.due + REFILL > clock,
        };
        if guest.bursts && !guest.ending {
            guest.extra = guest.extra.max(extra_clock);
            let (due, extra) = (guest.due, guest.extra);
            self.bursting.insert((extra, id));
            self.refills.insert((due, id));
        } else {
            let due = guest.due;
            self.in_share.insert((urgency, due, id));
        }
    }

    /// Moves bursting guests that have their share back among those within it.
    fn refill(&mut self) {
        while let Some((due, id)) = self.refills.first().copied()
            && due + REFILL <= self.clock
        {
            self.refills.pop_first();
            self.bursting.remove(&(self.guests[&id].extra, id));
            self.make_ready(id, Urgency::Computing);
        }
    }

    /// Sets the clock: with real time, but never so far that somebody is owed more than a period.
    fn advance(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.read_at);
        self.read_at = self.read_at.max(now);
        let owed = self.earliest().map_or(Duration::MAX, |due| due.saturating_add(PERIOD));
        self.clock = self.clock.max((self.clock + passed).min(owed));
    }

    /// The earliest due time of those in their share that compute, or wait to.
    fn earliest(&self) -> Option<Duration> {
        let computing = (Urgency::Computing, Duration::ZERO, Id(0))..;
        let first = self.in_share.range(computing).next().map(|(_, due, _)| *due);
        let running = self.in_share_run.iter().map(|id| self.guests[id].due);
        running.chain(first).min()
    }

    fn guest(&mut self, id: Id) -> &mut Guest {
        self.guests.get_mut(&id).expect("it is in the queue")
    }
}

#[cfg(test)]
#[path = "queue/tests.rs"]
mod tests;
