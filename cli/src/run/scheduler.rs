//! The framework behind `skep run`: launches a job's tasks on what is offered, and starts again
//! elsewhere what was lost.
//!
//! Always holds: every task is either waiting, launched, or done; `left` counts those not done.
//! A task that was lost is started again as a new attempt, at most [`LOSSES_MAX`] times; one that
//! never ran (an offer expired, an allocation was recalled) costs nothing but the trip.
//!
//! More tasks than fit at once are queued at the agent. How deep is found out: a queue that drains
//! within [`DRAINED_QUICKLY`] is made twice as deep, so short tasks never wait for the master, and
//! long ones stay free to go to an agent that joins later.

use super::plan::{Fitting, Job};
use skep_framework::{Driver, Offer, Scheduler};
use skep_protocol::{
    AllocationId, Attempt, FrameworkId, OfferId, Outcome, Rejection, Resources, StatusUpdate,
    TaskId, TaskState, framework::Answer, outcome::KilledBy, task::Terms,
};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// How often a task may be lost before it counts as failed: three attempts in all.
const LOSSES_MAX: u32 = 2;
/// The most tasks in flight under one allocation; a recall gives them all back.
const DEPTH_MAX: u64 = 4_096;
/// A queue that half empties in this time is too short.
const DRAINED_QUICKLY: Duration = Duration::from_millis(200);
/// How long not to be offered what not a single task fits into.
const TOO_SMALL_REFUSE: Duration = Duration::from_secs(5);

/// What the scheduler tells those who show and collect.
#[derive(Debug)]
pub(crate) enum Told {
    /// A task runs.
    Started { update: StatusUpdate },
    /// A task is done, for good.
    Ended { place: usize, update: StatusUpdate },
    /// An attempt came to nothing; the task is started again.
    Again { update: StatusUpdate },
    /// The master cannot be reached, or can again.
    Connection(Link),
    /// All tasks are done.
    AllDone,
}

/// Whether the master can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Up,
    Down,
}

/// What the scheduler is ordered to do from outside; it looks when it is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// All outputs are collected, or nobody waits for them: end the framework.
    Stop,
}

/// One task of the job.
#[derive(Debug)]
struct Slot {
    attempt: Attempt,
    losses: u32,
    stage: Stage,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    /// On its way or running; the allocation is known once the master has answered.
    Launched(Option<AllocationId>),
    Done,
}

/// An allocation of ours, and how many tasks to keep in it.
#[derive(Debug)]
struct Room {
    each: Resources,
    in_flight: u64,
    depth: u64,
    filled: Instant,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct RunScheduler {
    job: Job,
    fitting: Fitting,
    places: HashMap<TaskId, usize>,
    slots: Vec<Slot>,
    waiting: VecDeque<usize>,
    /// Tasks launched on an offer whose launch is not answered, and what each was given.
    unanswered: BTreeMap<OfferId, (Vec<usize>, Resources, u64)>,
    rooms: BTreeMap<AllocationId, Room>,
    left: usize,
    offers: OffersWanted,
    told: mpsc::UnboundedSender<Told>,
    orders: mpsc::UnboundedReceiver<Order>,
}

#[derive(Debug, PartialEq, Eq)]
enum OffersWanted {
    Yes,
    No,
}

impl RunScheduler {
    pub(crate) fn new(
        job: Job,
        told: mpsc::UnboundedSender<Told>,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Self {
        let places = job.tasks.iter().enumerate().map(|(i, spec)| (spec.task.clone(), i));
        let fresh = |_: &_| Slot { attempt: Attempt::FIRST, losses: 0, stage: Stage::Waiting };
        Self {
            places: places.collect(),
            slots: job.tasks.iter().map(fresh).collect(),
            waiting: (0..job.tasks.len()).collect(),
            unanswered: BTreeMap::new(),
            rooms: BTreeMap::new(),
            left: job.tasks.len(),
            offers: OffersWanted::Yes,
            fitting: job.fitting(),
            job,
            told,
            orders,
        }
    }

    /// Takes up to `count` waiting tasks, each with `each` set aside.
    fn take(&mut self, count: u64, each: &Resources) -> Vec<(usize, skep_protocol::TaskSpec)> {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(self.waiting.len());
        let places: Vec<_> = self.waiting.drain(..count).collect();
        let spec = |place: usize| {
            let mut spec = self.job.tasks[place].clone();
            spec.attempt = self.slots[place].attempt;
            spec.resources.clone_from(each);
            (place, spec)
        };
        places.into_iter().map(spec).collect()
    }

    /// What a task would get of an offer, and how many fit into it; none if not one.
    fn fit(&self, offer: &Offer) -> Option<(Resources, u64)> {
        let made = offer.volumes.iter().map(|volume| volume.name.as_str());
        match self.fitting.lacking(&offer.attributes, made) {
            None => self.fitting.fit(&offer.resources),
            Some(_) => None,
        }
    }

    /// Uses an offer. `all_fit` is how many tasks fit into all offers that came with it: what
    /// waits is spread over them, at most twice as deep as fits.
    fn use_offer(&mut self, driver: &mut Driver, offer: &Offer, all_fit: u64, all_wait: u64) {
        if self.waiting.is_empty() {
            driver.decline(offer.id, None);
            return;
        }
        let Some((each, fits)) = self.fit(offer) else {
            driver.decline(offer.id, Some(TOO_SMALL_REFUSE));
            return;
        };
        let fair = (all_wait * fits).div_ceil(all_fit.max(1));
        let depth = fair.clamp(1, 2 * fits).min(DEPTH_MAX);
        let (places, specs): (Vec<_>, Vec<_>) = self.take(depth, &each).into_iter().unzip();
        for place in &places {
            self.slots[*place].stage = Stage::Launched(None);
        }
        self.unanswered.insert(offer.id, (places, each, depth));
        driver.launch(offer, specs);
    }

    fn fill(&mut self, driver: &mut Driver, allocation: AllocationId) {
        let Some(room) = self.rooms.get_mut(&allocation) else { return };
        if self.waiting.is_empty() || room.in_flight > room.depth / 2 {
            return;
        }
        if room.filled.elapsed() < DRAINED_QUICKLY {
            room.depth = (room.depth * 2).min(DEPTH_MAX);
        }
        room.filled = Instant::now();
        let (count, each) = (room.depth - room.in_flight, room.each.clone());
        let (places, specs): (Vec<_>, Vec<_>) = self.take(count, &each).into_iter().unzip();
        for place in &places {
            self.slots[*place].stage = Stage::Launched(Some(allocation));
        }
        if let Some(room) = self.rooms.get_mut(&allocation) {
            room.in_flight += places.len() as u64;
        }
        driver.enqueue(allocation, specs);
    }

    /// The task has left its allocation; fills it up again.
    fn leave(&mut self, driver: &mut Driver, place: usize, next: Stage) {
        let before = std::mem::replace(&mut self.slots[place].stage, next);
        let Stage::Launched(Some(allocation)) = before else { return };
        if let Some(room) = self.rooms.get_mut(&allocation) {
            room.in_flight -= 1;
            if room.in_flight == 0 && self.waiting.is_empty() {
                self.rooms.remove(&allocation);
            }
        }
        self.fill(driver, allocation);
    }

    /// The attempt came to nothing: the task waits again, first in line. Its allocation takes no
    /// more of us: it was recalled, or its agent is in doubt.
    fn again(&mut self, driver: &mut Driver, place: usize, update: &StatusUpdate) {
        if let Stage::Launched(Some(allocation)) = self.slots[place].stage {
            self.rooms.remove(&allocation);
        }
        self.slots[place].attempt = self.slots[place].attempt.next();
        self.waiting.push_front(place);
        self.leave(driver, place, Stage::Waiting);
        let _ = self.told.send(Told::Again { update: update.clone() });
    }

    fn done(&mut self, driver: &mut Driver, place: usize, update: &StatusUpdate) {
        self.leave(driver, place, Stage::Done);
        self.left -= 1;
        let _ = self.told.send(Told::Ended { place, update: update.clone() });
        if self.left == 0 {
            let _ = self.told.send(Told::AllDone);
        }
    }

    /// Asks for offers while tasks wait, and only then.
    fn want_offers(&mut self, driver: &mut Driver) {
        match (&self.offers, self.waiting.is_empty()) {
            (OffersWanted::Yes, true) => {
                self.offers = OffersWanted::No;
                driver.suppress();
            }
            (OffersWanted::No, false) => {
                self.offers = OffersWanted::Yes;
                driver.revive();
            }
            _ => {}
        }
    }
}

/// What an update means for the job.
enum Meaning {
    Started,
    /// Start it again; the attempt was lost while it may have run.
    Lost,
    /// Start it again; it never ran, or its agent was emptied under it.
    NotTaken,
    /// Start it again; it gave way to others, as often as it must.
    Preempted,
    /// An attempt that was given up lives on after all: end it, and start the task again.
    StillThere,
    Final,
    Nothing,
}

fn meaning(state: &TaskState) -> Meaning {
    match state {
        TaskState::Running => Meaning::Started,
        TaskState::Unreachable | TaskState::Ended(Outcome::Lost { .. }) => Meaning::Lost,
        TaskState::Ended(Outcome::Refused { rejection }) => match rejection {
            Rejection::Recalled
            | Rejection::InvalidOffer { .. }
            | Rejection::AllocationEnded { .. }
            | Rejection::TooMany { .. } => Meaning::NotTaken,
            Rejection::DuplicateTask { .. } => Meaning::StillThere,
            _ => Meaning::Final,
        },
        TaskState::Ended(Outcome::Killed { by: KilledBy::AgentStopped }) => Meaning::Lost,
        TaskState::Ended(Outcome::Killed { by: KilledBy::Preemption }) => Meaning::Preempted,
        TaskState::Ended(Outcome::Killed { by: KilledBy::AgentDrained }) => Meaning::NotTaken,
        TaskState::Ended(_) => Meaning::Final,
        TaskState::Staging | TaskState::Starting | TaskState::Paused => Meaning::Nothing,
    }
}

impl Scheduler for RunScheduler {
    fn registered(&mut self, driver: &mut Driver, _: &FrameworkId) {
        let _ = self.told.send(Told::Connection(Link::Up));
        self.offers = OffersWanted::Yes;
        if self.fitting.terms() == Terms::Revocable {
            driver.demand(None, Some(self.fitting.demand()));
        }
        self.want_offers(driver);
    }

    fn disconnected(&mut self, _: &mut Driver) {
        let _ = self.told.send(Told::Connection(Link::Down));
        // Launches without an answer are settled by the reconciliation of the driver.
        self.unanswered.clear();
    }

    fn resource_offers(&mut self, driver: &mut Driver, offers: Vec<Offer>) {
        let fits = |offer: &Offer| self.fit(offer).map_or(0, |(_, fits)| fits);
        let (all_fit, all_wait) = (offers.iter().map(fits).sum(), self.waiting.len() as u64);
        for offer in &offers {
            self.use_offer(driver, offer, all_fit, all_wait);
        }
        self.want_offers(driver);
    }

    fn launch_answered(&mut self, driver: &mut Driver, offer: Option<OfferId>, answer: &Answer) {
        let launched = offer.and_then(|offer| self.unanswered.remove(&offer));
        let (Some((places, each, depth)), Answer::Launched { allocation, .. }) = (launched, answer)
        else {
            return;
        };
        let in_flight = places.len() as u64;
        let room = Room { each, in_flight, depth, filled: Instant::now() };
        self.rooms.insert(*allocation, room);
        for place in places {
            self.slots[place].stage = Stage::Launched(Some(*allocation));
        }
        self.want_offers(driver);
    }

    fn status_update(&mut self, driver: &mut Driver, update: &StatusUpdate) {
        let Some(&place) = self.places.get(&update.key.task) else { return };
        let slot = &mut self.slots[place];
        if slot.attempt != update.key.attempt || !matches!(slot.stage, Stage::Launched(_)) {
            return;
        }
        match meaning(&update.state) {
            Meaning::Started => {
                let _ = self.told.send(Told::Started { update: update.clone() });
            }
            Meaning::Lost if slot.losses < LOSSES_MAX => {
                slot.losses += 1;
                self.again(driver, place, update);
            }
            // Out of reach for the last time: it may still come back with its result.
            Meaning::Lost if !update.state.is_terminal() => {}
            Meaning::NotTaken | Meaning::Preempted => self.again(driver, place, update),
            Meaning::StillThere => {
                driver.kill(update.key.task.clone());
                self.again(driver, place, update);
            }
            Meaning::Lost | Meaning::Final => self.done(driver, place, update),
            Meaning::Nothing => {}
        }
        self.want_offers(driver);
    }

    fn woken(&mut self, driver: &mut Driver) {
        if let Ok(Order::Stop) = self.orders.try_recv() {
            driver.stop();
        }
    }
}

#[cfg(test)]
mod tests;
