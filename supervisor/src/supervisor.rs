//! [`Supervisor`]: the scheduler of schedulers.

use crate::{
    backoff::BackOff,
    hosted::Hosted,
    orders::{Order, Report, State},
};
use serde::{Deserialize, Serialize};
use skep_protocol::{outcome::KilledBy, task::Feature};
use skep_scheduler::{Question, Scheduler, prelude::*};
use std::collections::BTreeMap;

/// The role in which hosted schedulers themselves run.
pub const ROLE_OF_SUPERVISOR: &str = "skep";

/// The supervisor as a framework.
pub fn info() -> FrameworkInfo {
    let role = Role::new(ROLE_OF_SUPERVISOR).expect("a role");
    FrameworkInfo { role, ..framework_info("supervisor") }
}

/// Schedulers that may be hosted at once: each is a value of the supervisor's state.
const HOSTED_MAX: usize = 256;
/// Schedulers that have ended and are still listed.
const ENDED_MAX: usize = 64;
/// Where a hosted scheduler is kept.
const KEY: &str = "scheduler/";

/// See the crate.
#[derive(Debug, Default)]
pub struct Supervisor {
    /// By name.
    all: BTreeMap<TaskId, Entry>,
}

/// What is kept of a hosted scheduler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    hosted: Hosted,
    /// The last attempt that was launched, or is about to be; 0: none.
    attempt: u32,
    wish: Wish,
    /// How the last attempt ended that has.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    ended: String,
    restarts: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wish {
    Run,
    End,
    /// It has ended.
    Gone,
}

#[derive(Debug)]
struct Entry {
    kept: Kept,
    backoff: BackOff,
    life: Life,
}

/// Where the last attempt stands, as far as this instance knows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Life {
    /// None is live; another may begin then.
    Waits {
        from: Time,
    },
    Launched {
        since: Time,
    },
    Running {
        since: Time,
        agent: Option<String>,
    },
}

impl Scheduler for Supervisor {
    fn restored(&mut self, driver: &mut Driver, state: &skep_protocol::framework::State) {
        let now = driver.now();
        for value in state.iter().filter(|(key, _)| key.starts_with(KEY)).map(|(_, value)| value) {
            // What a newer build wrote and this one cannot read stays as it is.
            let Ok(kept) = serde_json::from_slice::<Kept>(value) else { continue };
            let name = kept.hosted.name.clone();
            let is_live = kept.attempt > 0 && kept.wish != Wish::Gone;
            let life = if is_live {
                driver.adopt(name.clone(), Attempt(kept.attempt));
                Life::Launched { since: now }
            } else {
                Life::Waits { from: now }
            };
            self.all.insert(name, Entry { kept, backoff: BackOff::default(), life });
        }
    }

    fn registered(&mut self, driver: &mut Driver, _: &FrameworkId) {
        let to_end = self.all.values().filter(|entry| entry.kept.wish == Wish::End);
        for entry in to_end {
            driver.kill(entry.kept.hosted.name.clone());
        }
        self.ask_for_room(driver);
    }

    fn resource_offers(&mut self, driver: &mut Driver, offers: Vec<Offer>) {
        let now = driver.now();
        for offer in offers {
            let mut left = offer.resources.clone();
            let can = offer.enforces.iter().any(|name| name == Feature::Framework.name());
            let mut tasks = Vec::new();
            let waiting = self.all.values_mut().filter(|entry| entry.is_due(now));
            for entry in waiting.filter(|_| can) {
                let needs = entry.kept.hosted.resources.clone();
                if !left.contains(&needs) {
                    continue;
                }
                left.subtract(&needs);
                entry.kept.attempt += 1;
                entry.life = Life::Launched { since: now };
                keep(driver, &entry.kept);
                tasks.push(entry.kept.hosted.task(Attempt(entry.kept.attempt)));
            }
            driver.launch_or_decline(&offer, tasks);
        }
        self.ask_for_room(driver);
    }

    fn status_update(&mut self, driver: &mut Driver, update: &StatusUpdate) {
        let now = driver.now();
        let Some(entry) = self.all.get_mut(&update.key.task) else {
            return driver.end_unknown(update);
        };
        if update.key.attempt != Attempt(entry.kept.attempt) {
            if matches!(entry.life, Life::Waits { .. }) {
                driver.end_unknown(update);
            }
            return;
        }
        match &update.state {
            TaskState::Running => {
                let agent = update.agent.as_ref().map(ToString::to_string);
                entry.life = Life::Running { since: now, agent };
            }
            TaskState::Ended(outcome) => {
                if let Outcome::Refused { rejection: Rejection::DuplicateTask { .. } } = outcome {
                    // An attempt that was called lost runs, and no other can begin beside it.
                    driver.kill(update.key.task.clone());
                }
                entry.end(driver, outcome);
                self.forget_oldest(driver);
            }
            TaskState::Staging
            | TaskState::Starting
            | TaskState::Paused
            | TaskState::Unreachable => {}
        }
        self.ask_for_room(driver);
    }

    fn woken(&mut self, driver: &mut Driver) {
        self.ask_for_room(driver);
    }

    fn asked(&mut self, driver: &mut Driver, question: Question) {
        let answer = match serde_json::from_slice(&question.message) {
            Ok(order) => self.obey(driver, order),
            Err(error) => Err(format!("this is no order for the supervisor: {error}")),
        };
        match answer {
            Ok(reports) => {
                let text = serde_json::to_vec(&reports).unwrap_or_default();
                driver.reply(question.id, text);
            }
            Err(why) => driver.refuse(question.id, why),
        }
    }
}

impl Supervisor {
    fn obey(&mut self, driver: &mut Driver, order: Order) -> Result<Vec<Report>, String> {
        match order {
            Order::Run(hosted) => {
                let name = hosted.name.clone();
                self.check(&hosted)?;
                let attempt = self.all.get(&name).map_or(0, |entry| entry.kept.attempt);
                let (wish, ended, restarts) = (Wish::Run, String::new(), 0);
                let kept = Kept { hosted, attempt, wish, ended, restarts };
                keep(driver, &kept);
                let life = Life::Waits { from: driver.now() };
                let entry = Entry { kept, backoff: BackOff::default(), life };
                let report = entry.report();
                self.all.insert(name, entry);
                self.ask_for_room(driver);
                Ok(vec![report])
            }
            Order::List => Ok(self.all.values().map(Entry::report).collect()),
            Order::Kill { name } => {
                let entry = self.all.values_mut().find(|e| e.kept.hosted.name.as_str() == name);
                let entry = entry.filter(|entry| entry.kept.wish == Wish::Run);
                let unknown = || format!("no scheduler {name} is hosted: see skep framework show");
                let entry = entry.ok_or_else(unknown)?;
                let report = entry.report();
                if matches!(entry.life, Life::Waits { .. }) {
                    entry.kept.wish = Wish::Gone;
                } else {
                    entry.kept.wish = Wish::End;
                    driver.kill(entry.kept.hosted.name.clone());
                }
                keep(driver, &entry.kept);
                Ok(vec![report])
            }
        }
    }

    fn check(&self, hosted: &Hosted) -> Result<(), String> {
        let name = &hosted.name;
        if self.all.get(name).is_some_and(|known| known.kept.wish != Wish::Gone) {
            return Err(format!(
                "a scheduler {name} is hosted already: give another --name, or end it first \
                 with skep framework kill {name}"
            ));
        }
        let wanted = self.all.values().filter(|entry| entry.kept.wish != Wish::Gone);
        if wanted.count() >= HOSTED_MAX {
            return Err(format!("{HOSTED_MAX} schedulers are hosted already: end one first"));
        }
        if let Some(role) = &hosted.role {
            Role::new(role).map_err(|error| error.to_string())?;
        }
        hosted.task(Attempt::FIRST).check().map_err(|rejection| rejection.to_string())
    }

    /// Asks for offers for those that wait for one, and to be woken when others will.
    fn ask_for_room(&self, driver: &mut Driver) {
        let now = driver.now();
        let mut needs = Needs::none();
        for (name, entry) in self.all.iter().filter(|(_, entry)| entry.is_due(now)) {
            needs.add((name, entry.kept.attempt), &entry.kept.hosted.resources, 1);
        }
        driver.ask_for(&needs);
        let waiting = self.all.values().filter(|entry| entry.kept.wish == Wish::Run);
        let next = waiting.filter_map(|entry| match entry.life {
            Life::Waits { from } if from > now => Some(from),
            Life::Waits { .. } | Life::Launched { .. } | Life::Running { .. } => None,
        });
        if let Some(time) = next.min() {
            driver.wake_at(time);
        }
    }

    /// Those that have ended are listed for a while.
    fn forget_oldest(&mut self, driver: &mut Driver) {
        let gone = self.all.iter().filter(|(_, entry)| entry.kept.wish == Wish::Gone);
        let names: Vec<TaskId> = gone.map(|(name, _)| name.clone()).collect();
        for name in names.iter().take(names.len().saturating_sub(ENDED_MAX)) {
            self.all.remove(name);
            driver.forget(format!("{KEY}{name}"));
        }
    }
}

impl Entry {
    fn is_due(&self, now: Time) -> bool {
        let is_free = matches!(self.life, Life::Waits { from } if from <= now);
        is_free && self.kept.wish == Wish::Run
    }

    fn end(&mut self, driver: &mut Driver, outcome: &Outcome) {
        let now = driver.now();
        let since = match self.life {
            Life::Launched { since } | Life::Running { since, .. } => since,
            Life::Waits { from } => from,
        };
        let is_over = outcome.is_success()
            || self.kept.wish == Wish::End
            || matches!(outcome, Outcome::Killed { by: KilledBy::Operator });
        // What is not its fault is no reason to wait.
        let wait = match is_no_fault(outcome) {
            true => std::time::Duration::ZERO,
            false => self.backoff.after(now.since(since)),
        };
        self.life = Life::Waits { from: now + wait };
        self.kept.ended = outcome.to_string();
        if is_over {
            self.kept.wish = Wish::Gone;
        } else {
            self.kept.restarts += 1;
        }
        keep(driver, &self.kept);
    }

    fn report(&self) -> Report {
        let state = match (&self.life, self.kept.wish) {
            (_, Wish::Gone) => State::Ended,
            (_, Wish::End) => State::Ending,
            (Life::Waits { .. }, Wish::Run) => State::Waiting,
            (Life::Launched { .. }, Wish::Run) => State::Launched,
            (Life::Running { .. }, Wish::Run) => State::Running,
        };
        let agent = match &self.life {
            Life::Running { agent, .. } => agent.clone(),
            Life::Waits { .. } | Life::Launched { .. } => None,
        };
        let Kept { hosted, attempt, ended, restarts, .. } = self.kept.clone();
        Report { hosted, attempt, state, agent, ended, restarts }
    }
}

fn keep(driver: &mut Driver, kept: &Kept) {
    let value = serde_json::to_vec(kept).unwrap_or_default();
    driver.save(format!("{KEY}{}", kept.hosted.name), value);
}
