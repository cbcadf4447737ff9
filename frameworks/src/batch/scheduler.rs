//! [`Batch`]: takes offers for the tasks that can begin.

use super::{
    job::{Group, Job},
    orders::{GroupReport, Order, Report, Standing},
    progress::{Progress, Stage, Task},
};
use crate::program;
use serde::{Deserialize, Serialize};
use skep_protocol::framework::State;
use skep_scheduler::{Question, Scheduler, prelude::*};
use std::{collections::BTreeMap, time::Duration};

/// Jobs that have ended and are still listed.
const ENDED_MAX: usize = 50;
/// Failures of one job that are told.
const FAILURES_MAX: usize = 10;
/// How many tasks are launched for each that fits at once: the others wait at the agent, and begin
/// without a trip to here.
const QUEUE: usize = 2;
/// Attempts of a task beyond its retries, after agents that were lost and the like.
const MISHAPS_MAX: u32 = 100;
/// How long the agent of a task may be out of reach before the task is started elsewhere, if its
/// job does not say.
const LOST_AFTER: Duration = Duration::from_secs(10);
/// What the results together may have that every task of a group is given: they are kept here.
const INPUT_BYTES_MAX: usize = 256 << 10;

/// Whether it serves for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It takes orders until it is ended.
    Serving,
    /// It stops when its jobs have ended.
    Once,
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
    /// What the master was told to be of use, if it was told.
    demand: Option<Demand>,
}

#[derive(Clone, Debug)]
struct Place {
    job: String,
    group: String,
    index: usize,
}

/// A job that is known.
#[derive(Clone, Debug)]
struct Active {
    kept: Kept,
    groups: BTreeMap<String, Progress>,
    /// The results of groups of which all go to each task of another, by place.
    results: BTreeMap<String, BTreeMap<usize, Vec<u8>>>,
    /// Those put together: the input of tasks.
    inputs: BTreeMap<String, Digest>,
}

/// What is kept of a job as a whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    serial: u64,
    job: Job,
    standing: Standing,
    failures: Vec<String>,
    /// Its groups when it had ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    last: Vec<GroupReport>,
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

    fn new(mode: Mode, waiting: Vec<Job>) -> Self {
        Self {
            mode,
            waiting,
            jobs: BTreeMap::new(),
            serial: 0,
            launched: BTreeMap::new(),
            demand: None,
        }
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
                let mut active = Active::new(0, job);
                active.kept.failures.push(why);
                active.kept.standing = Standing::Failed;
                self.jobs.insert(active.kept.job.name.clone(), active);
            }
        }
        // What was said on an earlier connection is not known any more.
        self.demand = None;
        self.settle(driver);
    }

    fn resource_offers(&mut self, driver: &mut Driver, offers: Vec<Offer>) {
        for offer in offers {
            let tasks = self.tasks_for(driver, &offer);
            driver.launch_or_decline(&offer, tasks);
        }
        self.settle(driver);
    }

    fn status_update(&mut self, driver: &mut Driver, update: &StatusUpdate) {
        let TaskState::Ended(outcome) = &update.state else { return };
        let Some(place) = self.launched.remove(&update.key.task) else { return };
        if let Some(active) = self.jobs.get_mut(&place.job) {
            active.ended(driver, &place, outcome, &update.result);
        }
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
        if self.jobs.get(&job.name).is_some_and(|known| !known.kept.standing.is_over()) {
            return Err(format!("a job {} runs already: give this one another name", job.name));
        }
        if let Some(before) = self.jobs.remove(&job.name) {
            before.forget(driver);
        }
        // Offers that were of no use may be now.
        driver.revive();
        self.serial += 1;
        let active = Active::new(self.serial, job);
        active.keep(driver);
        self.jobs.insert(active.kept.job.name.clone(), active);
        Ok(())
    }

    fn stop(&mut self, driver: &mut Driver, name: &str) -> Result<(), String> {
        let active = self.jobs.get_mut(name);
        let active = active.ok_or_else(|| format!("there is no job {name}: see skep job list"))?;
        if active.kept.standing.is_over() {
            return Err(format!("job {name} has ended already"));
        }
        let own = self.launched.iter().filter(|(_, place)| place.job == name);
        own.for_each(|(task, _)| driver.kill(task.clone()));
        active.end(driver, Standing::Stopped);
        Ok(())
    }

    /// What to launch on an offer: as much as fits, and some to follow.
    fn tasks_for(&mut self, driver: &mut Driver, offer: &Offer) -> Vec<TaskSpec> {
        let mut names: Vec<(i32, u64, String)> = self
            .jobs
            .values()
            .filter(|active| !active.kept.standing.is_over())
            .map(|a| (-a.kept.job.priority, a.kept.serial, a.kept.job.name.clone()))
            .collect();
        names.sort();
        let mut room = Room { left: offer.resources.clone(), taken: 0, queued: 0 };
        let mut tasks = Vec::new();
        for (_, _, name) in names {
            let Some(active) = self.jobs.get_mut(&name) else { continue };
            for (task, index, group) in active.take(driver, offer, &mut room) {
                let place = Place { job: name.clone(), group, index };
                self.launched.insert(task.task.clone(), place);
                tasks.push(task);
            }
        }
        tasks
    }

    /// Ends jobs that are over, and asks for offers exactly while something can begin.
    fn settle(&mut self, driver: &mut Driver) {
        for active in self.jobs.values_mut() {
            active.settle(driver);
        }
        self.forget_oldest(driver);
        let demand = self.demand();
        driver.ask_for_offers(demand.is_some());
        if demand.is_some() && demand != self.demand {
            driver.demand(None, demand.clone());
            self.demand = demand;
        }
        let is_over = self.jobs.values().all(|active| active.kept.standing.is_over());
        if self.mode == Mode::Once && is_over && self.waiting.is_empty() {
            driver.stop();
        }
    }

    /// What the tasks need that could begin: the least of it in one offer, and in all about what
    /// they need together, so that it need not be said anew with each task.
    fn demand(&self) -> Option<Demand> {
        let (mut least, mut wants) = (None::<Resources>, Resources::none());
        for active in self.jobs.values() {
            for (needs, count) in active.waiting() {
                least = Some(least.map_or_else(|| needs.clone(), |least| least.at_most(&needs)));
                for (kind, amount) in needs.iter() {
                    let all = amount.as_millis().saturating_mul(count).next_power_of_two();
                    let all = Amount::millis(wants.amount(kind).as_millis().saturating_add(all));
                    wants = wants.with(kind, all.min(Amount::MAX));
                }
            }
        }
        let wants = least.is_some().then_some(wants)?;
        Some(Demand { least: least?, wants, terms: None })
    }

    fn forget_oldest(&mut self, driver: &mut Driver) {
        let over = self.jobs.values().filter(|active| active.kept.standing.is_over());
        let mut over: Vec<(u64, String)> =
            over.map(|active| (active.kept.serial, active.kept.job.name.clone())).collect();
        over.sort();
        for (_, name) in over.iter().take(over.len().saturating_sub(ENDED_MAX)) {
            if let Some(active) = self.jobs.remove(name) {
                active.forget(driver);
            }
        }
    }
}

/// What of an offer is left.
struct Room {
    left: Resources,
    taken: usize,
    queued: usize,
}

impl Room {
    /// Whether another task is launched that needs so much, of which the offer holds `whole`.
    fn takes(&mut self, needs: &Resources, whole: &Resources) -> bool {
        if self.left.contains(needs) {
            self.left.subtract(needs);
            self.taken += 1;
            return true;
        }
        let may_wait = whole.contains(needs) && self.queued < self.taken * (QUEUE - 1);
        self.queued += usize::from(may_wait);
        may_wait
    }
}

impl Active {
    fn new(serial: u64, job: Job) -> Self {
        let groups = job.groups.iter();
        let groups = groups.map(|(name, group)| (name.clone(), Progress::new(group.count)));
        let groups = groups.collect();
        let (standing, failures, last) = (Standing::Running, Vec::new(), Vec::new());
        let kept = Kept { serial, job, standing, failures, last };
        Self { kept, groups, results: BTreeMap::new(), inputs: BTreeMap::new() }
    }

    fn restored(kept: Kept, state: &State) -> Self {
        let mut active = Self { kept: kept.clone(), ..Self::new(kept.serial, kept.job) };
        let own = |kind: &str, group: &str| format!("{kind}/{}/{group}/", active.kept.serial);
        for (name, progress) in &mut active.groups {
            let prefix = own("p", name);
            for (key, value) in state.range(prefix.clone()..) {
                let Some(number) = key.strip_prefix(&prefix) else { break };
                if let Ok(number) = number.parse() {
                    progress.restore(number, value);
                }
            }
            let prefix = own("r", name);
            for (key, value) in state.range(prefix.clone()..) {
                let Some(Ok(index)) = key.strip_prefix(&prefix).map(str::parse) else { break };
                let results = active.results.entry(name.clone()).or_default();
                results.insert(index, value.clone());
            }
        }
        active
    }

    /// Takes over what an earlier instance launched.
    fn adopt(&self, driver: &mut Driver, launched: &mut BTreeMap<TaskId, Place>) {
        for (group, progress) in &self.groups {
            for (index, task) in progress.tasks().iter().enumerate() {
                if task.stage == Stage::Launched {
                    let id = self.id(group, index);
                    driver.adopt(id.clone(), Attempt(task.attempt));
                    let place =
                        Place { job: self.kept.job.name.clone(), group: group.clone(), index };
                    launched.insert(id, place);
                }
            }
        }
    }

    fn id(&self, group: &str, index: usize) -> TaskId {
        let Kept { serial, job, .. } = &self.kept;
        // The parts were checked when the job was taken.
        TaskId::new(format!("{}-{serial}.{group}.{index}", job.name)).expect("plain parts")
    }

    /// Whether all that a group needs is done.
    fn is_ready(&self, group: &Group) -> bool {
        let is_done = |needed: &str| self.groups.get(needed).is_some_and(Progress::is_done);
        group.all_needs().into_iter().all(is_done)
    }

    /// What the tasks need that could begin, and how many there are of each kind.
    fn waiting(&self) -> Vec<(Resources, u64)> {
        if self.kept.standing.is_over() {
            return Vec::new();
        }
        let mut waiting = Vec::new();
        for name in self.ready() {
            let Some(progress) = self.groups.get(&name) else { continue };
            let begun = progress.launched + progress.done + progress.failed;
            let count = progress.count() - begun;
            if let Some(group) = self.kept.job.groups.get(&name).filter(|_| count > 0) {
                waiting.push((group.work.resources.clone(), count));
            }
        }
        waiting
    }

    fn can_begin(&self) -> bool {
        !self.waiting().is_empty()
    }

    fn ready(&self) -> Vec<String> {
        let groups = self.kept.job.groups.iter();
        let ready = groups.filter(|(_, group)| self.is_ready(group));
        ready.map(|(name, _)| name.clone()).collect()
    }

    /// The tasks to launch now.
    fn take(
        &mut self,
        driver: &mut Driver,
        offer: &Offer,
        room: &mut Room,
    ) -> Vec<(TaskSpec, usize, String)> {
        let mut tasks = Vec::new();
        let whole = &offer.resources;
        for name in self.ready() {
            let Some(group) = self.kept.job.groups.get(&name).cloned() else { continue };
            let mut pieces = std::collections::BTreeSet::new();
            while let Some(progress) = self.groups.get_mut(&name)
                && let Some(index) = progress.next_waiting()
                && room.takes(&group.work.resources, whole)
            {
                let before = progress.get(index).copied().unwrap_or_default();
                let attempt = before.attempt + 1;
                progress.set(index, Task { attempt, stage: Stage::Launched, ..before });
                pieces.insert(index / super::progress::PIECE);
                let mut task = group.task(self.id(&name, index), Attempt(attempt), index);
                task.policies.lost_after.get_or_insert(LOST_AFTER);
                if let Some(input) = self.input(driver, &group, index) {
                    task.grants.stdin = Some(input);
                }
                tasks.push((task, index, name.clone()));
            }
            // Kept before the launch, which is given after.
            for piece in pieces {
                self.keep_piece(driver, &name, piece * super::progress::PIECE);
            }
        }
        tasks
    }

    /// The standard input of a task.
    fn input(&mut self, driver: &mut Driver, group: &Group, index: usize) -> Option<Digest> {
        let from = group.input.as_ref()?;
        if let Some(own) = place_of_input(&self.kept.job, group, from, index) {
            return self.groups.get(from)?.get(own)?.result;
        }
        if let Some(digest) = self.inputs.get(from) {
            return Some(*digest);
        }
        let parts = self.results.get(from)?;
        let all: Vec<u8> = parts.values().flatten().copied().collect();
        let digest = driver.put(all);
        self.inputs.insert(from.clone(), digest);
        Some(digest)
    }

    fn ended(&mut self, driver: &mut Driver, place: &Place, outcome: &Outcome, result: &[u8]) {
        let Place { group: name, index, .. } = place;
        let Some(retries) = self.kept.job.groups.get(name).map(|group| group.retries) else {
            return;
        };
        let Some(progress) = self.groups.get_mut(name) else { return };
        let before = progress.get(*index).copied().unwrap_or_default();
        if before.stage != Stage::Launched {
            return;
        }
        if outcome.is_success() {
            let task = Task { stage: Stage::Done, ..before };
            let task = Task { result: self.keep_result(driver, name, *index, result), ..task };
            if let Some(progress) = self.groups.get_mut(name) {
                progress.set(*index, task);
            }
        } else {
            let is_fault = !is_mishap(outcome);
            let failures = before.failures + u32::from(is_fault);
            let is_final = self.kept.standing.is_over()
                || failures > retries
                || before.attempt > retries + MISHAPS_MAX;
            let stage = if is_final { Stage::Failed } else { Stage::Waiting };
            progress.set(*index, Task { stage, failures, ..before });
            if is_final && self.kept.failures.len() < FAILURES_MAX {
                let id = self.id(name, *index);
                self.kept.failures.push(format!("{id}: {outcome}"));
                self.keep(driver);
            }
        }
        if !self.kept.standing.is_over() {
            self.keep_piece(driver, name, *index);
        }
    }

    /// Keeps a result that another group's tasks are given.
    fn keep_result(
        &mut self,
        driver: &mut Driver,
        group: &str,
        index: usize,
        result: &[u8],
    ) -> Option<Digest> {
        let users: Vec<&Group> = self
            .kept
            .job
            .groups
            .values()
            .filter(|user| user.input.as_deref() == Some(group))
            .collect();
        let is_whole = |user: &&Group| place_of_input(&self.kept.job, user, group, 0).is_none();
        let whole = users.iter().any(is_whole);
        let single = users.iter().any(|user| !is_whole(user));
        if whole {
            let results = self.results.entry(group.to_owned()).or_default();
            results.insert(index, result.to_vec());
            let bytes: usize = results.values().map(Vec::len).sum();
            if bytes > INPUT_BYTES_MAX {
                let why = format!(
                    "{group}: its results together are larger than {INPUT_BYTES_MAX} bytes, which \
                     is the most that all go to each task of another group"
                );
                self.kept.failures.push(why);
                self.end(driver, Standing::Failed);
                return None;
            }
            let key = format!("r/{}/{group}/{index}", self.kept.serial);
            driver.save(key, result.to_vec());
        }
        single.then(|| driver.put(result.to_vec()))
    }

    /// Ends it if no task of it runs or can begin.
    fn settle(&mut self, driver: &mut Driver) {
        if self.kept.standing.is_over() {
            return;
        }
        if self.groups.values().any(|group| group.launched > 0) || self.can_begin() {
            return;
        }
        let is_done = self.groups.values().all(Progress::is_done);
        self.end(driver, if is_done { Standing::Done } else { Standing::Failed });
    }

    fn end(&mut self, driver: &mut Driver, standing: Standing) {
        self.kept.standing = standing;
        self.kept.last = self.report().groups;
        self.forget_parts(driver);
        self.keep(driver);
    }

    fn keep(&self, driver: &mut Driver) {
        let value = serde_json::to_vec(&self.kept).unwrap_or_default();
        driver.save(format!("job/{}", self.kept.job.name), value);
    }

    fn keep_piece(&self, driver: &mut Driver, group: &str, index: usize) {
        if let Some(progress) = self.groups.get(group) {
            let (number, piece) = progress.piece(index);
            driver.save(format!("p/{}/{group}/{number}", self.kept.serial), piece);
        }
    }

    fn forget(&self, driver: &mut Driver) {
        driver.forget(format!("job/{}", self.kept.job.name));
    }

    fn forget_parts(&self, driver: &mut Driver) {
        let serial = self.kept.serial;
        for (group, progress) in &self.groups {
            let pieces = progress.tasks().len().div_ceil(super::progress::PIECE);
            (0..pieces).for_each(|piece| driver.forget(format!("p/{serial}/{group}/{piece}")));
            let results = self.results.get(group).into_iter().flatten();
            results.for_each(|(i, _)| driver.forget(format!("r/{serial}/{group}/{i}")));
        }
    }

    fn report(&self) -> Report {
        let Kept { job, standing, failures, last, .. } = &self.kept;
        let group = |(name, progress): (&String, &Progress)| GroupReport {
            group: name.clone(),
            count: progress.count(),
            launched: progress.launched,
            done: progress.done,
            failed: progress.failed,
            attempts: progress.attempts,
        };
        let groups =
            if last.is_empty() { self.groups.iter().map(group).collect() } else { last.clone() };
        Report { job: job.name.clone(), standing: *standing, groups, failures: failures.clone() }
    }
}

/// The one task of the group `from` whose result a task is given. None: it is given all of them.
fn place_of_input(job: &Job, group: &Group, from: &str, index: usize) -> Option<usize> {
    match job.groups.get(from)?.count {
        1 => Some(0),
        count if count == group.count => Some(index),
        _ => None,
    }
}

/// An end that is not the task's own fault.
const fn is_mishap(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Lost { .. } => true,
        Outcome::Refused { rejection } => matches!(
            rejection,
            Rejection::InvalidOffer { .. }
                | Rejection::AllocationEnded { .. }
                | Rejection::Recalled
                | Rejection::NotEnforced { .. }
                | Rejection::OffersDoNotMatch
        ),
        _ => false,
    }
}
