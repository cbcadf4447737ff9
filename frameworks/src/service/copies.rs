//! The copies of one service: which there are, and what is to be done about them.

use super::orders::{CopyReport, Report, Spec};
use serde::{Deserialize, Serialize};
use skep_protocol::{Attempt, TaskId, Time};
use std::{collections::BTreeMap, time::Duration};

/// The first wait before a copy is started in the place of one that has ended.
const WAIT_FIRST: Duration = Duration::from_secs(1);
/// The longest.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A service that is kept running.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Service {
    pub(super) spec: Spec,
    pub(super) version: u64,
    /// How many copies there ever were.
    next: u64,
    /// By number.
    pub(super) copies: BTreeMap<u64, Copy>,
    /// It is to end.
    pub(super) removed: bool,
    /// How often in a row a copy has ended that was not healthy.
    #[serde(skip)]
    failures: u32,
    /// When the next may begin.
    #[serde(skip)]
    pub(super) not_before: Time,
}

/// One copy, a task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Copy {
    version: u64,
    /// The value that it is spread by.
    pub(super) place: String,
    #[serde(default)]
    ending: bool,
    #[serde(skip)]
    state: Life,
    #[serde(skip)]
    agent: Option<String>,
}

#[derive(Clone, core::marker::Copy, Debug, Default, PartialEq, Eq)]
enum Life {
    #[default]
    Launched,
    Running {
        since: Time,
    },
    Unreachable,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// So many more copies are to begin, as soon as there is room.
    Start(u64),
    /// A copy is to end.
    End(u64),
    /// It is to be looked at again then.
    Look(Time),
    Nothing,
}

impl Service {
    pub(super) const fn new(spec: Spec) -> Self {
        Self {
            spec,
            version: 1,
            next: 0,
            copies: BTreeMap::new(),
            removed: false,
            failures: 0,
            not_before: Time::ZERO,
        }
    }

    /// Another version, or another number of copies of the same.
    pub(super) fn apply(&mut self, spec: Spec) {
        let only_scaled = Spec { copies: self.spec.copies, ..spec.clone() } == self.spec;
        if !only_scaled {
            self.version += 1;
        }
        (self.spec, self.failures, self.not_before) = (spec, 0, Time::ZERO);
    }

    pub(super) fn task(&self, number: u64) -> TaskId {
        // The name was checked when the service was taken.
        TaskId::new(format!("{}.{number}", self.spec.name)).expect("a plain name")
    }

    /// The number of a copy, by its task.
    pub(super) fn number(&self, task: &TaskId) -> Option<u64> {
        let number =
            task.as_str().strip_prefix(&self.spec.name)?.strip_prefix('.')?.parse().ok()?;
        self.copies.contains_key(&number).then_some(number)
    }

    /// Adds a copy that is about to be launched.
    pub(super) fn add(&mut self, place: String) -> (TaskId, Attempt) {
        let number = self.next;
        self.next += 1;
        let copy = Copy {
            version: self.version,
            place,
            ending: false,
            state: Life::Launched,
            agent: None,
        };
        self.copies.insert(number, copy);
        (self.task(number), Attempt::FIRST)
    }

    pub(super) fn runs(&mut self, number: u64, agent: Option<String>, now: Time) {
        if let Some(copy) = self.copies.get_mut(&number) {
            if !matches!(copy.state, Life::Running { .. }) {
                copy.state = Life::Running { since: now };
            }
            copy.agent = agent;
        }
    }

    pub(super) fn is_unreachable(&mut self, number: u64) {
        if let Some(copy) = self.copies.get_mut(&number) {
            copy.state = Life::Unreachable;
        }
    }

    /// A copy has ended; if nobody wanted that, the next waits for a while, longer each time.
    pub(super) fn ended(&mut self, number: u64, now: Time, is_fault: bool) {
        let Some(copy) = self.copies.remove(&number) else { return };
        if copy.ending || !is_fault {
            return;
        }
        if self.is_healthy(&copy, now) {
            self.failures = 0;
        }
        let wait = WAIT_FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(WAIT_MAX);
        self.failures += 1;
        self.not_before = now + wait;
    }

    fn is_healthy(&self, copy: &Copy, now: Time) -> bool {
        match copy.state {
            Life::Running { since } => since + self.spec.healthy_after <= now,
            Life::Launched | Life::Unreachable => false,
        }
    }

    /// The next thing to be done about it.
    pub(super) fn step(&self, now: Time) -> Step {
        let wanted = u64::from(self.spec.copies);
        let live = || self.copies.iter().filter(|(_, copy)| !copy.ending);
        if self.removed || wanted == 0 {
            return live().next_back().map_or(Step::Nothing, |(number, _)| Step::End(*number));
        }
        let of_now = live().filter(|(_, copy)| copy.version == self.version).count() as u64;
        let all = live().count() as u64;
        let healthy = live().filter(|(_, copy)| self.is_healthy(copy, now)).count() as u64;
        let old = live().filter(|(_, copy)| copy.version < self.version);
        // An old one that is not healthy is missed by nobody.
        let old = old.min_by_key(|(_, copy)| self.is_healthy(copy, now));
        if let Some((number, copy)) = old {
            let least = wanted.saturating_sub(self.spec.unavailable.into());
            if !self.is_healthy(copy, now) && all > least || healthy > least {
                return Step::End(*number);
            }
        }
        if old.is_none() && all > wanted {
            return live().next_back().map_or(Step::Nothing, |(number, _)| Step::End(*number));
        }
        let room = wanted + if old.is_some() { u64::from(self.spec.surge) } else { 0 };
        let missing = wanted.saturating_sub(of_now).min(room.saturating_sub(all));
        if missing > 0 {
            let (wait, begin) = (Step::Look(self.not_before), Step::Start(missing));
            return if self.not_before <= now { begin } else { wait };
        }
        self.next_healthy(now).map_or(Step::Nothing, Step::Look)
    }

    /// When the next of its copies becomes healthy, unless it ends before: another may end then.
    pub(super) fn next_healthy(&self, now: Time) -> Option<Time> {
        let live = self.copies.values().filter(|copy| !copy.ending);
        let soon = live.filter_map(|copy| match copy.state {
            Life::Running { since } => Some(since + self.spec.healthy_after),
            Life::Launched | Life::Unreachable => None,
        });
        soon.filter(|time| *time > now).min()
    }

    /// Notes that a copy was told to end.
    pub(super) fn end(&mut self, number: u64) -> TaskId {
        if let Some(copy) = self.copies.get_mut(&number) {
            copy.ending = true;
        }
        self.task(number)
    }

    pub(super) fn ending(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.copies.iter().filter(|(_, copy)| copy.ending).map(|(number, _)| self.task(*number))
    }

    /// How many copies are at a place.
    pub(super) fn at(&self, place: &str) -> usize {
        self.copies.values().filter(|copy| !copy.ending && copy.place == place).count()
    }

    pub(super) fn report(&self, now: Time) -> Report {
        let copies = self.copies.iter().map(|(number, copy)| CopyReport {
            task: self.task(*number).to_string(),
            version: copy.version,
            state: match copy.state {
                _ if copy.ending => "ending",
                _ if self.is_healthy(copy, now) => "healthy",
                Life::Launched => "launched",
                Life::Running { .. } => "running",
                Life::Unreachable => "unreachable",
            }
            .into(),
            agent: copy.agent.clone(),
        });
        let copies: Vec<CopyReport> = copies.collect();
        let healthy = copies.iter().filter(|copy| copy.state == "healthy").count();
        let healthy = u32::try_from(healthy).unwrap_or(u32::MAX);
        Report { spec: self.spec.clone(), version: self.version, healthy, copies }
    }
}
