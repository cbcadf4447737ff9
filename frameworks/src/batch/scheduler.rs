//! [`Batch`]: takes offers for the tasks that can begin.

use super::{
    active::{Active, Kept, Place, Room},
    files::JobOutput,
    job::Job,
    orders::{Order, Report, Standing},
    stragglers::Look,
};
use crate::program;
use skep_protocol::framework::State;
use skep_scheduler::{Question, Scheduler, prelude::*};
use std::{cmp::Reverse, collections::BTreeMap};

/// Jobs that have ended and are still listed.
const ENDED_MAX: usize = 50;

/// Outputs of such that can still be fetched: what is kept of them must fit the state.
const ENDED_OUTPUTS_MAX: usize = 2_000;

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
    /// What the master was told to wait for, less what may have been launched since.
    demand: Option<Demand>,
}

/// What tasks need that could begin.
struct Needs {
    /// In one offer.
    least: Resources,
    /// Together.
    all: Resources,
    /// Somewhat more, so that it need not be said anew with each task.
    about: Resources,
    /// More than is to be waited for.
    most: Resources,
}

impl Needs {
    fn of(least: &Resources) -> Self {
        let none = Resources::none;
        Self { least: least.clone(), all: none(), about: none(), most: none() }
    }

    fn with(self, needs: &Resources, count: u64) -> Self {
        let Self { least, mut all, mut about, mut most } = self;
        for (kind, amount) in needs.iter() {
            let exact = amount.as_millis().saturating_mul(count);
            let add = |to: &Resources, more: u64| {
                let sum = Amount::millis(to.amount(kind).as_millis().saturating_add(more));
                to.clone().with(kind, sum.min(Amount::MAX))
            };
            all = add(&all, exact);
            let rounded = exact.checked_next_power_of_two().unwrap_or(exact);
            about = add(&about, rounded);
            most = add(&most, rounded.saturating_mul(4));
        }
        Self { least: least.at_most(needs), all, about, most }
    }

    /// Whether a demand says this, as far as what was launched since has not used it up.
    fn are_met_by(&self, said: &Demand) -> bool {
        let Self { least, all, most, .. } = self;
        said.least == *least && said.wants.contains(all) && most.contains(&said.wants)
    }
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

    /// What the tasks of all jobs have left.
    pub fn outputs(&self) -> Vec<JobOutput> {
        self.jobs.values().flat_map(Active::left).collect()
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
        // Orders to end may have been lost.
        for (task, place) in &self.launched {
            let active = self.jobs.get(&place.job);
            if !active.is_some_and(|active| active.wants(place)) {
                driver.kill(task.clone());
            }
        }
        // What was said on an earlier connection is not known any more.
        self.demand = None;
        self.settle(driver);
    }

    fn resource_offers(&mut self, driver: &mut Driver, offers: Vec<Offer>) {
        for offer in offers {
            let tasks = self.tasks_for(driver, &offer);
            if let Some(said) = self.demand.as_mut().filter(|_| !tasks.is_empty()) {
                // So much of it at most is waited for no more.
                said.wants.subtract(&offer.resources);
            }
            driver.launch_or_decline(&offer, tasks);
        }
        self.settle(driver);
    }

    fn status_update(&mut self, driver: &mut Driver, update: &StatusUpdate) {
        let task = &update.key.task;
        let Some(mut place) = self.launched.remove(task) else { return };
        let active = self.jobs.get_mut(&place.job).filter(|active| active.has(&place));
        let is_news = match &update.state {
            TaskState::Ended(outcome) => {
                if let Some(active) = active {
                    active.ended(driver, &place, outcome, update);
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
                return Ok(vec![Report { outputs: active.left(), ..active.report() }]);
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
        if self.jobs.get(&job.name).is_some_and(|known| !known.kept.standing.is_over()) {
            return Err(format!("a job {} runs already: give this one another name", job.name));
        }
        if let Some(mut before) = self.jobs.remove(&job.name) {
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
        active.end(driver, Standing::Stopped);
        Ok(())
    }

    /// What to launch on an offer: as much as fits, and some to follow.
    fn tasks_for(&mut self, driver: &mut Driver, offer: &Offer) -> Vec<TaskSpec> {
        let going = self.jobs.values().filter(|active| !active.kept.standing.is_over());
        let mut going: Vec<&Active> = going.collect();
        going.sort_by_key(|active| (Reverse(active.kept.job.priority), active.kept.serial));
        let names: Vec<String> = going.iter().map(|a| a.kept.job.name.clone()).collect();
        let mut room = Room::of(offer);
        let mut tasks = Vec::new();
        for name in &names {
            let Some(active) = self.jobs.get_mut(name) else { continue };
            tasks.extend(active.take(driver, offer, &mut room));
        }
        let mut waiting = self.jobs.values().flat_map(Active::waiting);
        // Copies have what is of no use to others.
        if !waiting.any(|(needs, _)| offer.resources.contains(&needs)) {
            for name in &names {
                let Some(active) = self.jobs.get_mut(name) else { continue };
                tasks.extend(active.take_copies(driver, offer, &mut room, &self.launched));
            }
        }
        let specs = tasks.into_iter().map(|(task, place)| {
            self.launched.insert(task.task.clone(), place);
            task
        });
        specs.collect()
    }

    /// Ends jobs that are over, and asks for offers exactly while something can begin, or a copy
    /// of something.
    fn settle(&mut self, driver: &mut Driver) {
        for active in self.jobs.values_mut() {
            active.settle(driver);
        }
        self.forget_oldest(driver);
        let now = driver.now();
        let stragglers = self.jobs.values().flat_map(|active| active.stragglers(now));
        let stragglers: Vec<_> = stragglers.map(|(_, needs, look)| (needs, look)).collect();
        if let Some(next) = stragglers.iter().filter_map(|(_, look)| look.next).min() {
            driver.wake_at(next);
        }
        let needs = self.needs(&stragglers);
        driver.ask_for_offers(needs.is_some());
        if let Some(needs) = needs
            && !self.demand.as_ref().is_some_and(|said| needs.are_met_by(said))
        {
            let demand = Demand { least: needs.least, wants: needs.about, terms: None };
            driver.demand(None, Some(demand.clone()));
            self.demand = Some(demand);
        }
        let is_over = self.jobs.values().all(|active| active.kept.standing.is_over());
        if self.mode == Mode::Once && is_over && self.waiting.is_empty() {
            driver.stop();
        }
    }

    /// What the tasks need that could begin.
    fn needs(&self, stragglers: &[(&Resources, Look)]) -> Option<Needs> {
        let mut sum = None::<Needs>;
        let waiting = self.jobs.values().flat_map(Active::waiting);
        let copies = stragglers.iter().filter(|(_, look)| !look.due.is_empty());
        let copies = copies.map(|(needs, look)| ((*needs).clone(), look.due.len() as u64));
        for (needs, count) in waiting.chain(copies) {
            sum = Some(sum.unwrap_or_else(|| Needs::of(&needs)).with(&needs, count));
        }
        sum
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
        let mut outputs: usize = jobs.map(Active::outputs).sum();
        for (_, name) in over {
            if outputs <= ENDED_OUTPUTS_MAX {
                return;
            }
            if let Some(active) = self.jobs.get_mut(&name) {
                outputs -= active.outputs();
                active.forget_outputs(driver);
            }
        }
    }
}
