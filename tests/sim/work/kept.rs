//! A service, a schedule or a hosted scheduler, as whoever ordered it knows it.

use super::Wait;
use skep_frameworks::{cron, service};
use skep_protocol::{Attempt, Outcome, Rejection, Resources, TaskId, Time};
use skep_scheduler::{is_no_fault, offer_was_gone};
use skep_supervisor::Hosted;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// The longest that something waits before it is started again where it has ended by itself.
const BACK_OFF_MAX: Duration = Duration::from_secs(60);

/// What is kept running until it is not wanted any more.
#[derive(Debug)]
pub(crate) struct Kept {
    what: What,
    wanted: bool,
    /// Since when nothing has happened to it.
    since: Time,
    /// Until when it may wait because something of it has ended by itself.
    rests_until: Time,
    /// When the end or the refusal came that it rests for.
    rests_since: Time,
    /// When it was ordered last, as it is or otherwise.
    ordered: Time,
    /// Its tasks that were launched and whose end was not told.
    live: BTreeSet<TaskId>,
    /// Those that were told to end.
    ending: BTreeSet<TaskId>,
    /// Of a schedule: which attempts of each slot's task have started on an agent.
    started: BTreeMap<TaskId, BTreeSet<Attempt>>,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Service(Box<service::Spec>),
    Schedule(Box<cron::Spec>),
    Hosted(Box<Hosted>),
}

impl What {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Service(spec) => spec.name.clone(),
            Self::Schedule(spec) => spec.name.clone(),
            Self::Hosted(hosted) => hosted.name.to_string(),
        }
    }

    fn needs(&self) -> &Resources {
        match self {
            Self::Service(spec) => &spec.work.resources,
            Self::Schedule(spec) => &spec.work.resources,
            Self::Hosted(hosted) => &hosted.resources,
        }
    }
}

impl Kept {
    pub(super) fn new(what: What, now: Time) -> Self {
        let (live, ending, started) = Default::default();
        let (rests_until, rests_since, ordered) = (Time::ZERO, Time::ZERO, now);
        Self {
            what,
            wanted: true,
            since: now,
            rests_until,
            rests_since,
            ordered,
            live,
            ending,
            started,
        }
    }

    /// Another order is given.
    pub(super) fn orders(&mut self, now: Time) {
        self.ordered = now;
    }

    /// It is wanted otherwise than before.
    pub(super) fn change(&mut self, what: What, now: Time) {
        (self.what, self.wanted, self.since) = (what, true, now);
        self.begin_anew();
    }

    /// What it rested for is forgotten, unless that has come after the order.
    fn begin_anew(&mut self) {
        if self.rests_since < self.ordered {
            self.rests_until = Time::ZERO;
        }
    }

    fn rest(&mut self, now: Time) {
        (self.rests_since, self.rests_until) = (now, now + BACK_OFF_MAX);
    }

    pub(super) fn scale(&mut self, copies: u32, now: Time) {
        if let What::Service(spec) = &mut self.what {
            spec.copies = copies;
        }
        self.since = now;
        self.begin_anew();
    }

    pub(super) fn remove(&mut self, now: Time) {
        (self.wanted, self.since) = (false, now);
    }

    pub(super) fn launched(&mut self, now: Time, task: &TaskId) {
        self.since = now;
        self.ending.remove(task);
        self.live.insert(task.clone());
    }

    /// A task was not launched after all.
    pub(super) fn forget(&mut self, task: &TaskId) {
        self.live.remove(task);
        self.ending.remove(task);
    }

    pub(super) fn killed(&mut self, now: Time, task: &TaskId) {
        if self.live.contains(task) {
            self.since = now;
            self.ending.insert(task.clone());
        }
    }

    /// A task was refused before any agent had it.
    pub(super) fn refused(&mut self, now: Time, task: &TaskId, rejection: &Rejection) {
        self.since = now;
        self.live.remove(task);
        if !matches!(self.what, What::Schedule(_)) && !offer_was_gone(rejection) {
            self.rest(now);
        }
    }

    pub(super) fn ended(&mut self, now: Time, task: &TaskId, outcome: &Outcome) {
        self.since = now;
        self.live.remove(task);
        let was_told = self.ending.remove(task);
        let rests = !matches!(self.what, What::Schedule(_));
        if rests && !was_told && !is_no_fault(outcome) {
            self.rest(now);
        }
        // One that is done is hosted no more.
        if matches!(self.what, What::Hosted(_)) && outcome.is_success() {
            self.wanted = false;
        }
    }

    /// A guest of it begins on an agent.
    pub(super) fn starts(&mut self, task: &TaskId, attempt: Attempt) {
        let started = self.started.entry(task.clone()).or_default();
        started.insert(attempt);
        let is_schedule = matches!(self.what, What::Schedule(_));
        let count = started.len();
        assert!(!is_schedule || count == 1, "{task} was begun for one slot {count} times");
    }

    pub(super) const fn is_wanted(&self) -> bool {
        self.wanted
    }

    pub(super) fn wait(&self) -> Option<Wait> {
        let runs = self.live.difference(&self.ending).count();
        let lacks = match &self.what {
            _ if !self.wanted => false,
            What::Service(spec) => runs < spec.copies as usize,
            // Slots are often.
            What::Schedule(_) => self.live.is_empty(),
            What::Hosted(_) => self.live.is_empty(),
        };
        let since = match &self.what {
            What::Schedule(spec) => next_slot(&spec.schedule, self.since),
            What::Service(_) | What::Hosted(_) => self.since,
        };
        lacks.then(|| Wait {
            what: self.what.name(),
            needs: self.what.needs().clone(),
            volume: None,
            since: since.max(self.rests_until),
        })
    }
}

/// The first slot after a time, of a schedule that says after how many seconds each comes.
fn next_slot(schedule: &str, after: Time) -> Time {
    let every = schedule.strip_prefix("*/").and_then(|text| text.split(' ').next()?.parse().ok());
    let every: u64 = every.unwrap_or(1) * 1_000_000;
    Time::from_micros((after.as_micros() / every + 1) * every)
}
