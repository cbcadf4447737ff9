//! [`Cron`]: takes offers for slots that are due.

use super::{
    orders::{Missed, Order, Overlap, Report, Spec},
    times::Times,
};
use crate::program;
use serde::{Deserialize, Serialize};
use skep_protocol::{framework::State, outcome::LostBy};
use skep_scheduler::{Question, Scheduler, prelude::*};
use std::collections::{BTreeMap, BTreeSet};

/// Schedules that one instance keeps.
const SCHEDULES_MAX: usize = 1_000;
/// Slots of one schedule that are made up for, or wait for room, at most; of more the oldest pass.
const WAITING_MAX: usize = 100;

/// See the module above.
#[derive(Debug, Default)]
pub struct Cron {
    all: BTreeMap<String, Schedule>,
}

#[derive(Debug)]
struct Schedule {
    kept: Kept,
    /// Or why they cannot be read, which another version of skep could.
    times: Result<Times, String>,
    /// Slots that are due and have no task yet, oldest first.
    due: Vec<Time>,
}

/// What is kept of a schedule.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    spec: Spec,
    /// All slots up to here were dealt with, or are in `running`.
    until: Time,
    /// The tasks that were launched, by slot, with their attempt.
    running: BTreeMap<u64, u32>,
    begun: u64,
    skipped: u64,
    missed: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    ended: String,
}

impl Scheduler for Cron {
    fn restored(&mut self, driver: &mut Driver, state: &State) {
        let now = driver.now();
        for (key, value) in state {
            let kept = serde_json::from_slice::<Kept>(value).ok();
            let Some(kept) = kept.filter(|_| key.starts_with("cron/")) else { continue };
            let times = Times::new(&kept.spec.schedule, &kept.spec.zone);
            for (slot, attempt) in &kept.running {
                driver.adopt(task_id(&kept.spec, *slot), Attempt(*attempt));
            }
            let mut schedule = Schedule { kept, times, due: Vec::new() };
            schedule.make_up(now);
            self.all.insert(schedule.kept.spec.name.clone(), schedule);
        }
    }

    fn registered(&mut self, driver: &mut Driver, _: &FrameworkId) {
        self.settle(driver);
    }

    fn resource_offers(&mut self, driver: &mut Driver, offers: Vec<Offer>) {
        for offer in offers {
            let tasks = self.begin(driver, offer.resources.clone());
            driver.launch_or_decline(&offer, tasks);
        }
        self.settle(driver);
    }

    fn status_update(&mut self, driver: &mut Driver, update: &StatusUpdate) {
        let mut known = self.all.values_mut();
        let known = known.find_map(|s| Some((s.slot_of(&update.key.task)?, s)));
        let Some((slot, schedule)) = known else { return driver.end_unknown(update) };
        let TaskState::Ended(outcome) = &update.state else { return };
        schedule.ended(slot, update.key.attempt, outcome);
        keep(driver, &schedule.kept);
        self.settle(driver);
    }

    fn woken(&mut self, driver: &mut Driver) {
        self.settle(driver);
    }

    fn asked(&mut self, driver: &mut Driver, question: Question) {
        program::answer(driver, &question, |driver, order| self.obey(driver, order));
        self.settle(driver);
    }
}

/// When a slot begins, in seconds since 1970: what its task is called by.
const fn seconds(slot: Time) -> u64 {
    slot.as_micros() / 1_000_000
}

impl Cron {
    /// Begins what fits of the slots that are due, those that have waited longest first: a schedule
    /// whose slots come often does not keep others waiting.
    fn begin(&mut self, driver: &mut Driver, mut left: Resources) -> Vec<TaskSpec> {
        let (mut tasks, mut begun) = (Vec::new(), BTreeSet::new());
        let fits = |schedule: &&mut Schedule, left: &Resources| {
            !schedule.due.is_empty() && left.contains(&schedule.kept.spec.work.resources)
        };
        while let Some(schedule) = self
            .all
            .values_mut()
            .filter(|schedule| fits(schedule, &left))
            .min_by_key(|schedule| schedule.due[0])
        {
            left.subtract(&schedule.kept.spec.work.resources);
            let slot = schedule.due.remove(0);
            tasks.push(schedule.begin(slot));
            begun.insert(schedule.kept.spec.name.clone());
        }
        for name in begun {
            keep(driver, &self.all[&name].kept);
        }
        tasks
    }

    fn obey(&mut self, driver: &mut Driver, order: Order) -> Result<Vec<Report>, String> {
        match order {
            Order::List => Ok(self.all.values().map(Schedule::report).collect()),
            Order::Apply { spec } => {
                spec.check()?;
                let times = Times::new(&spec.schedule, &spec.zone)?;
                times.check(driver.now())?;
                let name = spec.name.clone();
                if !self.all.contains_key(&name) && self.all.len() >= SCHEDULES_MAX {
                    return Err(format!("there are {SCHEDULES_MAX} schedules already"));
                }
                let before = self.all.remove(&name).map(|schedule| (schedule.kept, schedule.due));
                // A changed schedule begins now, and knows the tasks and the slots of before.
                let (kept, due) = before.map_or_else(
                    || (Kept::new((*spec).clone(), driver.now()), Vec::new()),
                    |(kept, due)| {
                        (Kept { spec: (*spec).clone(), until: driver.now(), ..kept }, due)
                    },
                );
                keep(driver, &kept);
                let schedule = Schedule { kept, times: Ok(times), due };
                let report = schedule.report();
                self.all.insert(name, schedule);
                Ok(vec![report])
            }
            Order::Remove { name } => {
                let schedule = self.all.remove(&name);
                let unknown = || format!("there is no schedule {name}: see skep cron list");
                let schedule = schedule.ok_or_else(unknown)?;
                driver.forget(format!("cron/{name}"));
                Ok(vec![schedule.report()])
            }
        }
    }

    /// Takes up the slots that have come, and asks for offers for those that wait for their task.
    fn settle(&mut self, driver: &mut Driver) {
        let now = driver.now();
        for schedule in self.all.values_mut() {
            for task in schedule.advance(now) {
                driver.kill(task);
            }
            if let Ok(Some(next)) = schedule.after(schedule.kept.until.max(now)) {
                driver.wake_at(next);
            }
        }
        let mut needs = Needs::none();
        for Schedule { kept: Kept { spec, .. }, due, .. } in self.all.values() {
            needs.add(&spec.name, &spec.work.resources, due.len() as u64);
        }
        driver.ask_for(&needs);
    }
}

impl Kept {
    const fn new(spec: Spec, until: Time) -> Self {
        let running = BTreeMap::new();
        let ended = String::new();
        Self { spec, until, running, begun: 0, skipped: 0, missed: 0, ended }
    }
}

impl Schedule {
    /// The first slot after a time. Why there may be none is in the report.
    fn after(&self, time: Time) -> Result<Option<Time>, String> {
        self.times.as_ref().map_err(Clone::clone)?.after(time).map_err(|error| error.to_string())
    }

    /// The first slot after one that was dealt with, if it has come.
    fn come(&self, after: Time, now: Time) -> Option<Time> {
        self.after(after).ok().flatten().filter(|slot| *slot <= now)
    }

    /// Slots between the last that was dealt with and now: nobody was there.
    fn make_up(&mut self, now: Time) {
        let mut slots = Vec::new();
        let mut at = self.kept.until;
        while let Some(slot) = self.come(at, now) {
            slots.push(slot);
            if slots.len() > WAITING_MAX {
                slots.remove(0);
                self.kept.missed += 1;
            }
            at = slot;
        }
        let made_up = match self.kept.spec.missed {
            Missed::Skip => 0,
            Missed::Last => 1,
            Missed::All => slots.len(),
        };
        let passed = slots.len().saturating_sub(made_up);
        self.kept.missed += passed as u64;
        self.due.extend(slots.split_off(passed));
        self.kept.until = self.kept.until.max(at);
    }

    /// Deals with the slots that have come since; gives the tasks to end.
    fn advance(&mut self, now: Time) -> Vec<TaskId> {
        let mut replaced = Vec::new();
        while let Some(slot) = self.come(self.kept.until, now) {
            self.kept.until = slot;
            let is_busy = !self.kept.running.is_empty() || !self.due.is_empty();
            match self.kept.spec.overlap {
                Overlap::Skip if is_busy => self.kept.skipped += 1,
                Overlap::Replace => {
                    for passed in std::mem::replace(&mut self.due, vec![slot]) {
                        self.kept.running.remove(&seconds(passed));
                        self.kept.skipped += 1;
                    }
                    let running = self.kept.running.keys();
                    replaced.extend(running.map(|slot| task_id(&self.kept.spec, *slot)));
                }
                Overlap::Skip | Overlap::Allow => self.due.push(slot),
            }
            if self.due.len() > WAITING_MAX {
                let passed = self.due.remove(0);
                self.kept.running.remove(&seconds(passed));
                self.kept.missed += 1;
            }
        }
        replaced
    }

    /// The task of a slot, noted as launched.
    fn begin(&mut self, slot: Time) -> TaskSpec {
        let seconds = seconds(slot);
        let attempt = self.kept.running.get(&seconds).map_or(1, |attempt| attempt + 1);
        if attempt == 1 {
            self.kept.begun += 1;
        }
        self.kept.running.insert(seconds, attempt);
        let spec = &self.kept.spec;
        let mut task = spec.work.task(task_id(spec, seconds), Attempt(attempt));
        task.grants.env.insert("SLOT".into(), seconds.to_string());
        task
    }

    fn ended(&mut self, slot: u64, attempt: Attempt, outcome: &Outcome) {
        if self.kept.running.get(&slot).is_none_or(|known| Attempt(*known) != attempt) {
            return;
        }
        let never_ran = match outcome {
            Outcome::Lost { why } => matches!(why, LostBy::Unknown | LostBy::UnknownToAgent),
            // Of a duplicate an earlier attempt, which was called lost, runs after all.
            Outcome::Refused { rejection } => !matches!(
                rejection,
                Rejection::UnknownBlob { .. }
                    | Rejection::Invalid { .. }
                    | Rejection::DuplicateTask { .. }
            ),
            _ => false,
        };
        if never_ran {
            // Kept in `running`, so that the next attempt is another.
            self.due.push(Time::from_micros(slot * 1_000_000));
            self.due.sort();
            return;
        }
        self.kept.running.remove(&slot);
        self.kept.ended = format!("{}: {outcome}", task_id(&self.kept.spec, slot));
    }

    fn slot_of(&self, task: &TaskId) -> Option<u64> {
        let name = &self.kept.spec.name;
        let slot = task.as_str().strip_prefix(name.as_str())?.strip_prefix('.')?.parse().ok()?;
        self.kept.running.contains_key(&slot).then_some(slot)
    }

    fn report(&self) -> Report {
        let Kept { spec, until, running, begun, skipped, missed, ended } = self.kept.clone();
        let next = self.after(until).and_then(|at| match (at, &self.times) {
            (Some(at), Ok(times)) => Ok(times.text(at)),
            (_, Err(why)) => Err(why.clone()),
            (None, Ok(_)) => Ok("never".into()),
        });
        let (next, error) = match next {
            Ok(next) => (next, String::new()),
            Err(why) => ("unknown".into(), why),
        };
        let running = running.keys().map(|slot| task_id(&spec, *slot).to_string()).collect();
        Report { spec, next, error, running, begun, skipped, missed, ended }
    }
}

fn task_id(spec: &Spec, slot: u64) -> TaskId {
    // The name was checked when the schedule was taken.
    TaskId::new(format!("{}.{slot}", spec.name)).expect("a plain name")
}

fn keep(driver: &mut Driver, kept: &Kept) {
    let value = serde_json::to_vec(kept).unwrap_or_default();
    driver.save(format!("cron/{}", kept.spec.name), value);
}
