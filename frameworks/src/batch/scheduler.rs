//! [`Batch`]: takes offers for the tasks that can begin.

use super::{
    active::{Active, Place},
    files::{FailedOutput, JobOutput},
    job::{Group, Job, OWN_BYTES_MAX},
    keeping::{Keeping, Kept},
    launching::{Rest, Spread},
    meaning::Meaning,
    orders::{Order, Report, Standing},
    progress::{Progress, Run},
    rooms::{Room, Rooms},
};
use crate::program;
use skep_protocol::{
    AllocationId,
    framework::{Answer, State},
};
use skep_scheduler::{Question, Scheduler, prelude::*};
use std::{collections::BTreeMap, sync::Arc};

/// Jobs that have ended and are still listed.
const ENDED_MAX: usize = 50;

/// Outputs of such that can still be fetched: what is kept of them must fit the state.
const ENDED_OUTPUTS_MAX: usize = 2_000;

/// Whether it serves for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It takes orders until it is ended.
    Serving,
    /// It stops when its jobs have ended, and keeps nothing at the master.
    Once,
    /// So does it, but whoever holds it stops it.
    Held,
}

/// Whether tasks that never were launched are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// They are.
    On,
    /// They are not.
    Off,
}

/// See the module above.
#[derive(Debug)]
pub struct Batch {
    mode: Mode,
    /// Jobs to submit when the master is there.
    waiting: Vec<Job>,
    jobs: BTreeMap<String, Active>,
    /// Counts the jobs: a part of their tasks' ids, so that none comes twice.
    serial: u64,
    /// Which task each of those is that were launched and have not ended.
    launched: BTreeMap<TaskId, Place>,
    /// Where more of them are launched without an offer.
    rooms: Rooms,
}

impl Batch {
    /// One that takes orders.
    pub fn serving() -> Self {
        Self::new(Mode::Serving, Vec::new())
    }

    /// One that runs this job and stops.
    pub fn once(job: Job) -> Self {
        Self::new(Mode::Once, vec![job])
    }

    /// One that runs this job until it is stopped.
    pub fn held(job: Job) -> Self {
        Self::new(Mode::Held, vec![job])
    }

    fn new(mode: Mode, waiting: Vec<Job>) -> Self {
        Self {
            mode,
            waiting,
            jobs: BTreeMap::new(),
            serial: 0,
            launched: BTreeMap::new(),
            rooms: Rooms::default(),
        }
    }

    const fn keeping(&self) -> Keeping {
        match self.mode {
            Mode::Serving => Keeping::All,
            Mode::Once | Mode::Held => Keeping::Nothing,
        }
    }

    /// Which task of a job one is that was launched and has not ended.
    pub fn place_of(&self, task: &TaskId) -> Option<&Place> {
        self.launched.get(task)
    }

    /// Whether a task that was launched is done, or has failed for good.
    pub fn is_over(&self, place: &Place) -> bool {
        self.jobs.get(&place.job).is_none_or(|job| !job.has(place) || job.is_over(place))
    }

    /// Whether nothing of any job is to come any more.
    pub fn are_all_over(&self) -> bool {
        self.waiting.is_empty() && self.jobs.values().all(|job| job.kept.standing.is_over())
    }

    /// Launches no task that never was launched, or does so again: whoever collects what tasks have
    /// left comes not after. Tasks that are to be tried again go on, lest somebody waits for one.
    pub fn hold(&mut self, driver: &mut Driver, hold: Hold) {
        for progress in self.jobs.values_mut().flat_map(|active| active.groups.values_mut()) {
            progress.is_held = hold == Hold::On;
        }
        self.settle(driver);
    }

    /// What the tasks of all jobs have left.
    pub fn outputs(&self) -> Vec<JobOutput> {
        self.jobs.values().flat_map(Active::left).collect()
    }

    /// What failed attempts of their tasks have left.
    pub fn failed_outputs(&self) -> Vec<FailedOutput> {
        self.jobs.values().flat_map(Active::left_by_failures).collect()
    }

    /// Where all jobs stand.
    pub fn reports(&self) -> Vec<Report> {
        self.jobs.values().map(Active::report).collect()
    }
}

impl Scheduler for Batch {
    fn restored(&mut self, driver: &mut Driver, state: &State) {
        for (key, value) in state {
            if key.starts_with("job/")
                && let Ok(kept) = serde_json::from_slice::<Kept>(value)
            {
                self.serial = self.serial.max(kept.serial);
                let active = Active::restored(kept, state);
                active.adopt(driver, &mut self.launched);
                self.jobs.insert(active.kept.job.name.clone(), active);
            }
        }
    }

    fn registered(&mut self, driver: &mut Driver, _: &FrameworkId) {
        for job in std::mem::take(&mut self.waiting) {
            if let Err(why) = self.submit(driver, job.clone()) {
                let mut active = Active::new(self.keeping(), 0, Arc::new(job));
                active.kept.failures.push(why);
                active.kept.standing = Standing::Failed;
                self.jobs.insert(active.kept.job.name.clone(), active);
            }
        }
        // Orders to end may have been lost.
        for (task, place) in &self.launched {
            let active = self.jobs.get(&place.job);
            if !active.is_some_and(|active| active.wants(place)) {
                driver.kill(task.clone());
            }
        }
        self.rooms.forget_unanswered();
        self.settle(driver);
    }

    fn resource_offers(&mut self, driver: &mut Driver, offers: Vec<Offer>) {
        let mut spread = Spread::over(&offers);
        for offer in &offers {
            let tasks = self.tasks_for(driver, offer, &mut spread);
            driver.launch_or_decline(offer, tasks);
        }
        self.settle(driver);
    }

    fn launch_answered(&mut self, driver: &mut Driver, offer: Option<OfferId>, answer: &Answer) {
        let allocation = match answer {
            Answer::Launched { allocation, .. } => Some(*allocation),
            Answer::Rejected { .. } | Answer::Applied => None,
        };
        let answered = offer.map(|offer| self.rooms.answered(driver.now(), offer, allocation));
        for task in answered.into_iter().flatten() {
            if let Some(place) = self.launched.get_mut(&task) {
                place.room = allocation;
            }
        }
    }

    fn status_update(&mut self, driver: &mut Driver, update: &StatusUpdate) {
        let task = &update.key.task;
        let Some(mut place) = self.launched.remove(task) else {
            return driver.end_unknown(update);
        };
        let active = self.jobs.get_mut(&place.job).filter(|active| active.has(&place));
        let is_news = match &update.state {
            TaskState::Ended(outcome) => {
                if let Some(active) = active {
                    active.ended(driver, &place, outcome, update);
                }
                if let Some(allocation) = place.room {
                    self.leave(driver, allocation, outcome);
                }
                true
            }
            state => {
                let runs = *state == TaskState::Running;
                let is_news = runs && active.is_some_and(|active| active.runs(driver, &place));
                place.agent = update.agent.clone().or(place.agent);
                self.launched.insert(task.clone(), place);
                is_news
            }
        };
        if is_news {
            self.settle(driver);
        }
    }

    fn woken(&mut self, driver: &mut Driver) {
        self.settle(driver);
    }

    fn asked(&mut self, driver: &mut Driver, question: Question) {
        program::answer(driver, &question, |driver, order| self.obey(driver, order));
        self.settle(driver);
    }
}

impl Batch {
    fn obey(&mut self, driver: &mut Driver, order: Order) -> Result<Vec<Report>, String> {
        let unknown = |job: &str| format!("there is no job {job}: see skep job list");
        let named = match order {
            Order::Submit { job } => {
                let name = job.name.clone();
                self.submit(driver, *job)?;
                name
            }
            Order::List => return Ok(self.reports()),
            Order::Show { job } => job,
            Order::Outputs { job } => {
                let active = self.jobs.get(&job).ok_or_else(|| unknown(&job))?;
                let (outputs, failed_outputs) = (active.left(), active.left_by_failures());
                return Ok(vec![Report { outputs, failed_outputs, ..active.report() }]);
            }
            Order::Stop { job } => {
                self.stop(driver, &job)?;
                job
            }
        };
        let active = self.jobs.get(&named).ok_or_else(|| unknown(&named))?;
        Ok(vec![active.report()])
    }

    fn submit(&mut self, driver: &mut Driver, job: Job) -> Result<(), String> {
        job.check().map_err(|fault| fault.to_string())?;
        if self.keeping() == Keeping::All {
            self.check_kept(&job)?;
        }
        if self.jobs.get(&job.name).is_some_and(|known| !known.kept.standing.is_over()) {
            return Err(format!("a job {} runs already: give this one another name", job.name));
        }
        if let Some(mut before) = self.jobs.remove(&job.name) {
            before.forget(driver);
        }
        self.serial += 1;
        let active = Active::new(self.keeping(), self.serial, Arc::new(job));
        active.keep(driver);
        self.jobs.insert(active.kept.job.name.clone(), active);
        Ok(())
    }

    /// Whether a job can be kept besides those that go on.
    fn check_kept(&self, job: &Job) -> Result<(), String> {
        job.check_kept().map_err(|fault| fault.to_string())?;
        let own = self.going().map(|active| active.own_bytes).sum::<usize>() + job.own_bytes();
        if own > OWN_BYTES_MAX {
            return Err(format!(
                "what single tasks have for themselves, such as lines and files, is larger than \
                 the {OWN_BYTES_MAX} bytes that are kept of it for all jobs: wait until one of \
                 them has ended"
            ));
        }
        Ok(())
    }

    fn stop(&mut self, driver: &mut Driver, name: &str) -> Result<(), String> {
        let active = self.jobs.get_mut(name);
        let active = active.ok_or_else(|| format!("there is no job {name}: see skep job list"))?;
        if active.kept.standing.is_over() {
            return Err(format!("job {name} has ended already"));
        }
        active.end(driver, Standing::Stopped);
        Ok(())
    }

    fn going(&self) -> impl Iterator<Item = &Active> {
        self.jobs.values().filter(|active| !active.kept.standing.is_over())
    }

    /// What to launch on an offer: as much as fits, and some to follow.
    fn tasks_for(
        &mut self,
        driver: &mut Driver,
        offer: &Offer,
        spread: &mut Spread<'_>,
    ) -> Vec<TaskSpec> {
        let mut going: Vec<&Active> = self.going().collect();
        going.sort_by_key(|active| active.rank());
        let names: Vec<String> = going.iter().map(|a| a.kept.job.name.clone()).collect();
        let mut rest = Rest::default();
        let mut tasks = Vec::new();
        for name in &names {
            let Some(active) = self.jobs.get_mut(name) else { continue };
            tasks.extend(active.take(driver, offer, spread, &mut rest));
        }
        let fits = |(_, group, _): (&str, &Group, u64)| offer.resources.contains(group.least());
        // Copies have what is of no use to others.
        if !self.going().any(|active| active.waiting().any(fits)) {
            for name in &names {
                let Some(active) = self.jobs.get_mut(name) else { continue };
                tasks.extend(active.take_copies(driver, offer, &mut rest, &self.launched));
            }
        }
        if let Some(room) = room_of(&tasks, offer) {
            let tasks = tasks.iter().map(|(task, _)| task.task.clone()).collect();
            self.rooms.launched(offer.id, room, tasks);
        }
        self.launch(tasks)
    }

    /// From now on these count as launched.
    fn launch(&mut self, tasks: Vec<(TaskSpec, Place)>) -> Vec<TaskSpec> {
        let specs = tasks.into_iter().map(|(task, place)| {
            self.launched.insert(task.task.clone(), place);
            task
        });
        specs.collect()
    }

    /// A task has left its allocation, which is filled again.
    fn leave(&mut self, driver: &mut Driver, allocation: AllocationId, outcome: &Outcome) {
        let was_over =
            matches!(outcome, Outcome::Refused { rejection: Rejection::AllocationEnded { .. } });
        if let Some(room) = self.rooms.get(allocation).filter(|_| was_over)
            && let Some(progress) = progress_of(&mut self.jobs, room)
        {
            progress.is_quick = true;
        }
        match Meaning::of(outcome) {
            Meaning::Fault => self.rooms.left(allocation),
            // It was recalled, or its agent is in doubt.
            Meaning::Lost | Meaning::NotTaken | Meaning::StillThere => self.rooms.close(allocation),
        }
        let Some(room) = self.rooms.get(allocation).filter(|room| room.lacks().is_some()) else {
            return;
        };
        if !self.may_fill(room) {
            return;
        }
        let depth = self.rooms.deepen(driver.now(), allocation);
        let Some(room) = self.rooms.get(allocation) else { return };
        if let Some(progress) = progress_of(&mut self.jobs, room) {
            progress.depth = depth;
            progress.is_quick &= depth > 0;
            if progress.is_quick {
                return self.rooms.close(allocation);
            }
        }
        let Some((active, count)) = self.jobs.get_mut(&room.job).zip(room.lacks()) else { return };
        let tasks = active.refill(driver, room, allocation, count);
        self.rooms.filled(allocation, tasks.len());
        let tasks = self.launch(tasks);
        driver.enqueue(allocation, tasks);
    }

    /// Whether tasks of this room wait, and none that go before them.
    fn may_fill(&self, room: &Room) -> bool {
        let Some(own) = self.jobs.get(&room.job).filter(|own| own.kept.serial == room.serial)
        else {
            return false;
        };
        let first = own.waiting().next();
        first.is_some_and(|(name, ..)| name == room.group)
            && !self.going().any(|other| other.rank() < own.rank() && other.can_begin())
    }

    /// Ends jobs that are over, and asks for offers exactly while something can begin, or a copy
    /// of something.
    fn settle(&mut self, driver: &mut Driver) {
        for active in self.jobs.values_mut() {
            active.settle(driver);
        }
        self.forget_oldest(driver);
        let (needs, next) = self.needs(driver.now());
        if let Some(next) = next {
            driver.wake_at(next);
        }
        driver.ask_for(&needs);
        if self.mode == Mode::Once && self.are_all_over() {
            driver.stop();
        }
    }

    /// What tasks need that could begin, and copies of stragglers that are due; and when to look at
    /// stragglers again.
    fn needs(&self, now: Time) -> (Needs, Option<Time>) {
        let (mut needs, mut next) = (Needs::none(), None);
        let mut add = |work, group: &Group, count| {
            let each = &group.work.resources;
            needs.add_elastic(work, each, group.least(), count, group.terms());
        };
        for active in self.going() {
            let serial = active.kept.serial;
            for (name, group, count) in active.waiting() {
                add((serial, name, Run::Own), group, count);
            }
            for (name, group, look) in active.stragglers(now) {
                add((serial, name, Run::Copy), group, look.due.len() as u64);
                next = next.into_iter().chain(look.next).min();
            }
        }
        (needs, next)
    }

    fn forget_oldest(&mut self, driver: &mut Driver) {
        let over = self.jobs.values().filter(|active| active.kept.standing.is_over());
        let mut over: Vec<(u64, String)> =
            over.map(|active| (active.kept.serial, active.kept.job.name.clone())).collect();
        over.sort();
        for (_, name) in over.iter().take(over.len().saturating_sub(ENDED_MAX)) {
            if let Some(mut active) = self.jobs.remove(name) {
                active.forget(driver);
            }
        }
        self.forget_outputs(driver, over);
    }

    /// Forgets what was left by the oldest of these jobs until the rest fits.
    fn forget_outputs(&mut self, driver: &mut Driver, over: Vec<(u64, String)>) {
        let jobs = over.iter().filter_map(|(_, name)| self.jobs.get(name));
        let sizes = jobs.map(|active| (active.outputs(), active.own_bytes));
        let (mut outputs, mut own) =
            sizes.fold((0, 0), |(outputs, own), size| (outputs + size.0, own + size.1));
        for (_, name) in over {
            if outputs <= ENDED_OUTPUTS_MAX && own <= OWN_BYTES_MAX {
                return;
            }
            if let Some(active) = self.jobs.get_mut(&name) {
                (outputs, own) = (outputs - active.outputs(), own - active.own_bytes);
                active.forget_outputs(driver);
            }
        }
    }
}

/// How far the group is that a room is for.
fn progress_of<'a>(
    jobs: &'a mut BTreeMap<String, Active>,
    room: &Room,
) -> Option<&'a mut Progress> {
    jobs.get_mut(&room.job)?.groups.get_mut(&room.group)
}

/// The room that tasks launched on an offer make together: if they are alike.
fn room_of(tasks: &[(TaskSpec, Place)], offer: &Offer) -> Option<Room> {
    let (task, place) = tasks.first()?;
    let is_alike = |(_, other): &(TaskSpec, Place)| {
        other.run == Run::Own && (other.serial, &other.group) == (place.serial, &place.group)
    };
    let room = || Room::new(place, &offer.agent, task.resources.clone());
    tasks.iter().all(is_alike).then(room)
}
