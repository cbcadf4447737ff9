//! How far the tasks of one group are, and how that is kept.
//!
//! What is kept of a group is cut into pieces, so that one task's end does not write all of it.

use serde::{Deserialize, Serialize};
use skep_protocol::Digest;

/// Tasks in one piece of what is kept.
pub(super) const PIECE: usize = 128;

/// One task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Task {
    /// The last attempt that was launched; 0: none.
    #[serde(rename = "a")]
    pub(super) attempt: u32,
    #[serde(rename = "s")]
    pub(super) stage: Stage,
    /// How often it failed by itself.
    #[serde(rename = "f", default, skip_serializing_if = "is_zero")]
    pub(super) failures: u32,
    /// What it left, if another needs it.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub(super) result: Option<Digest>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
const fn is_zero(failures: &u32) -> bool {
    *failures == 0
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    #[default]
    #[serde(rename = "w")]
    Waiting,
    #[serde(rename = "l")]
    Launched,
    #[serde(rename = "d")]
    Done,
    #[serde(rename = "f")]
    Failed,
}

/// All tasks of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    tasks: Vec<Task>,
    /// None before this one waits.
    first_waiting: usize,
    pub(super) launched: u64,
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) attempts: u64,
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
        self.attempts += u64::from(task.attempt.saturating_sub(before.attempt));
        if task.stage == Stage::Waiting {
            self.first_waiting = self.first_waiting.min(index);
        }
    }

    /// Those that wait are all the others, and not counted.
    const fn counter(&mut self, stage: Stage) -> Option<&mut u64> {
        match stage {
            Stage::Launched => Some(&mut self.launched),
            Stage::Done => Some(&mut self.done),
            Stage::Failed => Some(&mut self.failed),
            Stage::Waiting => None,
        }
    }

    /// The first task that waits.
    pub(super) fn next_waiting(&mut self) -> Option<usize> {
        let rest = self.tasks.get(self.first_waiting..)?;
        let found = rest.iter().position(|task| task.stage == Stage::Waiting);
        self.first_waiting += found.unwrap_or(rest.len());
        found.map(|_| self.first_waiting)
    }

    pub(super) const fn is_done(&self) -> bool {
        self.done == self.count()
    }

    /// The piece that a task is in, and what is kept of it.
    pub(super) fn piece(&self, index: usize) -> (usize, Vec<u8>) {
        let number = index / PIECE;
        let part = self.tasks.chunks(PIECE).nth(number).unwrap_or_default();
        (number, serde_json::to_vec(part).unwrap_or_default())
    }

    /// Reads a piece back.
    pub(super) fn restore(&mut self, number: usize, piece: &[u8]) {
        let Ok(tasks) = serde_json::from_slice::<Vec<Task>>(piece) else { return };
        for (index, task) in (number * PIECE..).zip(tasks) {
            self.set(index, task);
        }
    }
}
