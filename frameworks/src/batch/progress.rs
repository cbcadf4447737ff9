//! How far the tasks of one group are, and how that is kept.
//!
//! What is kept of a group is cut into pieces, so that one task's end does not write all of it.

use serde::{Deserialize, Serialize};
use skep_protocol::{Attempt, Digest, Time};

/// Tasks in one piece of what is kept.
pub(super) const PIECE: usize = 128;
/// How often a copy of one task is launched at most, however the copies end.
const COPIES_MAX: u32 = 3;

/// One task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Task {
    /// The last attempt that was launched, copies left out; 0: none.
    #[serde(rename = "a")]
    pub(super) attempt: u32,
    #[serde(rename = "s")]
    pub(super) stage: Stage,
    /// How often it failed by itself.
    #[serde(rename = "f", default, skip_serializing_if = "is_zero")]
    pub(super) failures: u32,
    /// How often it was lost with its agent.
    #[serde(rename = "l", default, skip_serializing_if = "is_zero")]
    pub(super) losses: u32,
    /// What it left, if another needs it.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub(super) result: Option<Digest>,
    /// How often a copy was launched: the copy's attempt.
    #[serde(rename = "c", default, skip_serializing_if = "is_zero")]
    pub(super) copies: u32,
    /// Whether a copy was the first to end well.
    #[serde(rename = "w", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) won: bool,
    /// Since when it runs, if its group has an eye on that.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub(super) begun: Option<Time>,
    /// Since when its copy runs.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub(super) copy_begun: Option<Time>,
    /// How many milliseconds that run took that ended well.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub(super) took: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Where a task stands, and which of its runs have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    #[default]
    #[serde(rename = "w")]
    Waiting,
    #[serde(rename = "l")]
    Launched,
    /// A copy of it is launched besides.
    #[serde(rename = "lc")]
    Copied,
    /// It has failed since; its copy has not.
    #[serde(rename = "c")]
    CopyAlone,
    #[serde(rename = "d")]
    Done,
    /// Its copy has ended well; it is yet to end.
    #[serde(rename = "dl")]
    DoneByCopy,
    /// It has ended well; its copy is yet to end.
    #[serde(rename = "dc")]
    DoneBeforeCopy,
    #[serde(rename = "f")]
    Failed,
}

/// A task runs by two ids: by its own a copy would be a later attempt, which ends the earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Run {
    Own,
    Copy,
}

impl Run {
    pub(super) const BOTH: [Self; 2] = [Self::Own, Self::Copy];

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Own => Self::Copy,
            Self::Copy => Self::Own,
        }
    }
}

impl Stage {
    /// Whether one is launched that can still do the task.
    pub(super) const fn is_launched(self) -> bool {
        matches!(self, Self::Launched | Self::Copied | Self::CopyAlone)
    }

    /// Whether this run of it is launched and has not ended.
    pub(super) const fn has(self, run: Run) -> bool {
        match run {
            Run::Own => matches!(self, Self::Launched | Self::Copied | Self::DoneByCopy),
            Run::Copy => matches!(self, Self::Copied | Self::CopyAlone | Self::DoneBeforeCopy),
        }
    }

    /// The stage when this run has ended, other than well.
    const fn without(self, run: Run) -> Self {
        match (self, run) {
            (Self::Copied, Run::Own) => Self::CopyAlone,
            (Self::Copied, Run::Copy) => Self::Launched,
            (Self::Launched, Run::Own) | (Self::CopyAlone, Run::Copy) => Self::Waiting,
            (Self::DoneByCopy, Run::Own) | (Self::DoneBeforeCopy, Run::Copy) => Self::Done,
            (other, _) => other,
        }
    }

    /// The stage when this run has ended well.
    const fn done_by(self, run: Run) -> Self {
        match (self, run) {
            (Self::Copied, Run::Own) => Self::DoneBeforeCopy,
            (Self::Copied, Run::Copy) => Self::DoneByCopy,
            _ => Self::Done,
        }
    }
}

impl Task {
    /// The task when a run of it is launched.
    pub(super) const fn launch(self, run: Run) -> Self {
        match run {
            Run::Own => Self { attempt: self.attempt + 1, stage: Stage::Launched, ..self },
            Run::Copy => Self { copies: self.copies + 1, stage: Stage::Copied, ..self },
        }
    }

    /// The task when a run of it has ended, other than well.
    pub(super) const fn ended(self, run: Run) -> Self {
        let task = Self { stage: self.stage.without(run), ..self };
        match run {
            Run::Own => Self { begun: None, ..task },
            Run::Copy => Self { copy_begun: None, ..task },
        }
    }

    /// The task when a run of it has ended well, and it was not done before.
    pub(super) fn done(self, run: Run, now: Time) -> Self {
        let millis = |begun: Time| u64::try_from(now.since(begun).as_millis()).unwrap_or(u64::MAX);
        let (stage, took) = (self.stage.done_by(run), self.begun(run).map(millis));
        Self { stage, took, won: run == Run::Copy, begun: None, copy_begun: None, ..self }
    }

    /// The task when a run of it was seen to run. None: that was known.
    pub(super) fn runs(self, run: Run, now: Time) -> Option<Self> {
        self.begun(run).is_none().then_some(match run {
            Run::Own => Self { begun: Some(now), ..self },
            Run::Copy => Self { copy_begun: Some(now), ..self },
        })
    }

    const fn begun(&self, run: Run) -> Option<Time> {
        match run {
            Run::Own => self.begun,
            Run::Copy => self.copy_begun,
        }
    }

    /// The last attempt of a run of it.
    pub(super) const fn attempt(&self, run: Run) -> Attempt {
        match run {
            Run::Own => Attempt(self.attempt),
            Run::Copy => Attempt(self.copies),
        }
    }
}

/// All tasks of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    tasks: Vec<Task>,
    /// None before this one waits.
    first_waiting: usize,
    /// None from this one on was ever launched.
    frontier: usize,
    /// Whether none is launched that never was: what others left is to be collected first.
    pub(super) is_held: bool,
    pub(super) launched: u64,
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) attempts: u64,
    pub(super) copies: u64,
    pub(super) copies_won: u64,
    /// Runs of tasks that are done already.
    needless: u64,
    /// How long those ran that are done, in milliseconds, the shortest first.
    took: Vec<u64>,
    /// How many are launched together at least, since a queue of half as many drained quickly; 0:
    /// none did. Another instance finds out for itself.
    pub(super) depth: u64,
    /// Whether an allocation was over when it was to be filled: its tasks are too quick for that.
    pub(super) is_quick: bool,
}

impl Progress {
    pub(super) fn new(count: u64) -> Self {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Self { tasks: vec![Task::default(); count], ..Self::default() }
    }

    pub(super) fn get(&self, index: usize) -> Option<&Task> {
        self.tasks.get(index)
    }

    pub(super) fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    pub(super) const fn count(&self) -> u64 {
        self.tasks.len() as u64
    }

    pub(super) fn set(&mut self, index: usize, task: Task) {
        let Some(held) = self.tasks.get_mut(index) else { return };
        let before = std::mem::replace(held, task);
        if let Some(counter) = self.counter(before.stage) {
            *counter -= 1;
        }
        if let Some(counter) = self.counter(task.stage) {
            *counter += 1;
        }
        let is_needless = |stage| matches!(stage, Stage::DoneByCopy | Stage::DoneBeforeCopy);
        self.needless -= u64::from(is_needless(before.stage));
        self.needless += u64::from(is_needless(task.stage));
        self.attempts += u64::from(task.attempt.saturating_sub(before.attempt));
        self.copies += u64::from(task.copies.saturating_sub(before.copies));
        self.copies_won += u64::from(task.won && !before.won);
        if let (Some(took), None) = (task.took, before.took) {
            let place = self.took.partition_point(|other| *other < took);
            self.took.insert(place, took);
        }
        if task.stage == Stage::Waiting {
            self.first_waiting = self.first_waiting.min(index);
        } else {
            self.frontier = self.frontier.max(index + 1);
        }
    }

    /// Those that wait are all the others, and not counted.
    const fn counter(&mut self, stage: Stage) -> Option<&mut u64> {
        match stage {
            Stage::Launched | Stage::Copied | Stage::CopyAlone => Some(&mut self.launched),
            Stage::Done | Stage::DoneByCopy | Stage::DoneBeforeCopy => Some(&mut self.done),
            Stage::Failed => Some(&mut self.failed),
            Stage::Waiting => None,
        }
    }

    /// How many tasks wait that may be launched.
    pub(super) const fn waiting(&self) -> u64 {
        let beyond = if self.is_held { self.count() - self.frontier as u64 } else { 0 };
        self.count() - self.launched - self.done - self.failed - beyond
    }

    /// Whether tasks wait that may not be launched yet.
    pub(super) const fn holds_back(&self) -> bool {
        self.is_held && (self.frontier as u64) < self.count()
    }

    /// The first task that waits.
    pub(super) fn next_waiting(&mut self) -> Option<usize> {
        let rest = self.tasks.get(self.first_waiting..)?;
        let found = rest.iter().position(|task| task.stage == Stage::Waiting);
        self.first_waiting += found.unwrap_or(rest.len());
        let may_go = !self.is_held || self.first_waiting < self.frontier;
        found.filter(|_| may_go).map(|_| self.first_waiting)
    }

    pub(super) const fn is_done(&self) -> bool {
        self.done == self.count()
    }

    /// Whether nothing of it runs.
    pub(super) const fn is_quiet(&self) -> bool {
        self.launched == 0 && self.needless == 0
    }

    /// How long those ran that are done, in milliseconds, the shortest first.
    pub(super) fn took(&self) -> &[u64] {
        &self.took
    }

    /// The tasks that run and may be copied, and since when.
    pub(super) fn alone(&self) -> impl Iterator<Item = (usize, Time)> + '_ {
        let alone = |task: &Task| task.stage == Stage::Launched && task.copies < COPIES_MAX;
        let tasks = self.tasks.iter().enumerate().filter(move |(_, task)| alone(task));
        tasks.filter_map(|(index, task)| Some((index, task.begun?)))
    }

    /// What is kept of the piece that a task is in.
    pub(super) fn piece(&self, index: usize) -> Vec<u8> {
        let part = self.tasks.chunks(PIECE).nth(index / PIECE).unwrap_or_default();
        serde_json::to_vec(part).unwrap_or_default()
    }

    /// Reads a piece back.
    pub(super) fn restore(&mut self, number: usize, piece: &[u8]) {
        let Ok(tasks) = serde_json::from_slice::<Vec<Task>>(piece) else { return };
        for (index, task) in (number * PIECE..).zip(tasks) {
            self.set(index, task);
        }
    }
}
