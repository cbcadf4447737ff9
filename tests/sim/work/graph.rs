//! A job, as whoever ordered it knows it.

use super::Wait;
use crate::guest;
use skep_frameworks::batch::{FileSource, Group, Job};
use skep_protocol::{
    Attempt, Outcome, Rejection, TaskId, Time, outcome::KilledBy, task::DirSource,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

#[derive(Debug)]
pub(crate) struct Graph {
    job: Job,
    groups: BTreeMap<String, Tasks>,
    pub(super) is_stopped: bool,
    /// Its scheduler has said so.
    pub(super) is_ended: bool,
}

/// The tasks of one group.
#[derive(Debug, Default)]
struct Tasks {
    done: BTreeSet<usize>,
    failures: BTreeMap<usize, u32>,
    losses: BTreeMap<usize, u32>,
    /// Since when none of them was launched that could be.
    since: Time,
}

/// Which task of a job one is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    group: Option<String>,
    index: usize,
}

impl Place {
    /// The job of a task, and its place there.
    pub(super) fn of(task: &TaskId) -> Option<(String, Self)> {
        let text = task.as_str();
        let text = text.strip_suffix(".copy").unwrap_or(text);
        let parts: Vec<&str> = text.split('.').collect();
        let (job, group, index) = match parts.as_slice() {
            [job, group, index] => (*job, Some((*group).to_owned()), *index),
            [job, index] => (*job, None, *index),
            _ => return None,
        };
        // Behind its name a job has its number.
        let job = job.split_once('-').map_or(job, |(name, _)| name).to_owned();
        Some((job, Self { group, index: index.parse().ok()? }))
    }
}

impl Graph {
    pub(super) fn new(job: Job, since: Time) -> Self {
        let groups = job.groups.keys();
        let groups = groups.map(|name| (name.clone(), Tasks { since, ..Tasks::default() }));
        let groups = groups.collect();
        Self { job, groups, is_stopped: false, is_ended: false }
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_ended
    }

    fn tasks(&mut self, place: &Place) -> Option<&mut Tasks> {
        match &place.group {
            Some(group) => self.groups.get_mut(group),
            None => self.groups.values_mut().next(),
        }
    }

    pub(super) fn launched(&mut self, now: Time, place: &Place) {
        if let Some(tasks) = self.tasks(place) {
            tasks.since = now;
        }
    }

    pub(super) fn ended(&mut self, now: Time, place: &Place, outcome: &Outcome) {
        let Some(tasks) = self.tasks(place) else { return };
        // It may be tried again.
        tasks.since = now;
        let count = |counts: &mut BTreeMap<usize, u32>| {
            *counts.entry(place.index).or_default() += 1;
        };
        match outcome {
            outcome if outcome.is_success() => {
                tasks.done.insert(place.index);
                // Others may have waited for it.
                self.groups.values_mut().for_each(|tasks| tasks.since = now);
            }
            Outcome::Refused { rejection } => self.refused(place, rejection),
            Outcome::Killed { by: KilledBy::Preemption | KilledBy::AgentDrained } => {}
            Outcome::Lost { .. } | Outcome::Killed { by: KilledBy::AgentStopped } => {
                count(&mut tasks.losses);
            }
            _ => count(&mut tasks.failures),
        }
    }

    pub(super) fn refused(&mut self, place: &Place, rejection: &Rejection) {
        let is_nobodys = matches!(
            rejection,
            Rejection::InvalidOffer { .. }
                | Rejection::OffersDoNotMatch
                | Rejection::AllocationEnded { .. }
                | Rejection::Recalled
                | Rejection::TooMany { .. }
                | Rejection::DuplicateTask { .. }
        );
        if let Some(tasks) = self.tasks(place).filter(|_| !is_nobodys) {
            *tasks.failures.entry(place.index).or_default() += 1;
        }
    }

    pub(super) fn is_done(&self) -> bool {
        let is_done = |(name, group): (&String, &Group)| self.is_group_done(name, group);
        self.job.groups.iter().all(is_done)
    }

    fn is_group_done(&self, name: &str, group: &Group) -> bool {
        self.groups.get(name).is_some_and(|tasks| tasks.done.len() as u64 == group.count)
    }

    /// How long it would take at most, one task after the other.
    pub(super) fn time_in_all(&self) -> Duration {
        let times = self.job.groups.values().map(|group| {
            let attempts = group.retries + 1;
            let slowness = if group.stragglers.is_some() { guest::SLOWNESS } else { 1 };
            let count = u32::try_from(group.count).unwrap_or(u32::MAX);
            guest::run_time(&group.work.args) * attempts * slowness * count
        });
        times.sum()
    }

    /// Whether a task of it has failed, or was lost, more often than it may.
    pub(super) fn has_failed(&self) -> bool {
        self.job.groups.iter().any(|(name, group)| {
            let tasks = &self.groups[name];
            tasks.failures.values().any(|count| *count > group.retries)
                || tasks.losses.values().any(|count| *count > group.losses)
        })
    }

    /// The tasks that could be launched, by group.
    pub(super) fn waits(&self, live: &BTreeMap<TaskId, Attempt>) -> Vec<Wait> {
        if self.is_ended || self.is_stopped {
            return Vec::new();
        }
        let ready = self.job.groups.iter().filter(|(_, group)| self.is_ready(group));
        ready.filter_map(|(name, group)| self.wait(name, group, live)).collect()
    }

    fn wait(&self, name: &str, group: &Group, live: &BTreeMap<TaskId, Attempt>) -> Option<Wait> {
        let tasks = &self.groups[name];
        let own = live.keys().filter_map(Place::of).filter(|(job, place)| {
            *job == self.job.name && place.group.as_deref().is_none_or(|group| group == name)
        });
        let launched: BTreeSet<usize> = own.map(|(_, place)| place.index).collect();
        let count = usize::try_from(group.count).unwrap_or(usize::MAX);
        let is_over = |index: &usize| {
            tasks.done.contains(index)
                || tasks.failures.get(index).is_some_and(|count| *count > group.retries)
                || tasks.losses.get(index).is_some_and(|count| *count > group.losses)
        };
        (0..count).find(|index| !launched.contains(index) && !is_over(index))?;
        let dirs = group.template.iter().flat_map(|template| &template.grants.dirs);
        let mut volumes = dirs.filter_map(|dir| match &dir.source {
            DirSource::Volume(name) => Some(name.clone()),
            DirSource::Sandbox | DirSource::Host(_) => None,
        });
        Some(Wait {
            what: format!("{}.{name}", self.job.name),
            needs: group.least.clone().unwrap_or_else(|| group.work.resources.clone()),
            volume: volumes.next(),
            since: tasks.since,
        })
    }

    /// Whether all that a group needs is done.
    fn is_ready(&self, group: &Group) -> bool {
        let of_files = group.inputs.iter().filter_map(|input| match &input.source {
            FileSource::Output { group, .. } => Some(group),
            FileSource::Blob { .. } => None,
        });
        let mut needed = group.needs.iter().chain(&group.input).chain(of_files);
        needed.all(|name| self.is_group_done(name, &self.job.groups[name]))
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.job.name)?;
        for (name, group) in &self.job.groups {
            let Tasks { done, failures, losses, .. } = &self.groups[name];
            write!(f, " {name} {} of {} done", done.len(), group.count)?;
            write!(f, ", failures {failures:?} of {}, losses {losses:?};", group.retries)?;
        }
        Ok(())
    }
}
