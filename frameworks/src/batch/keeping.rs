//! What is kept of a job, so that another instance goes on where this one was.
//!
//! ```text
//! job/NAME                 the job as a whole
//! p/SERIAL/GROUP/NUMBER    a piece of its tasks
//! r/SERIAL/GROUP/INDEX     a result that each task of another group is given
//! o/SERIAL/GROUP/INDEX     what a task has left
//! f/SERIAL/GROUP/INDEX/ATTEMPT    what a failed attempt of it has left
//! ```

use super::{
    active::{Active, Place},
    files::{FailedAttempt, FailedOutput, JobOutput, Outputs},
    job::{Group, Job},
    orders::{GroupReport, Standing},
    progress::{PIECE, Run},
};
use serde::{Deserialize, Serialize};
use skep_protocol::framework::State;
use skep_scheduler::prelude::*;
use std::{collections::BTreeSet, sync::Arc};

/// What the results together may have that every task of a group is given: they are kept here.
const INPUT_BYTES_MAX: usize = 256 << 10;

/// How much is kept at the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeping {
    /// All that another instance needs.
    All,
    /// Nothing: the job ends with this instance.
    Nothing,
}

/// What is kept of a job as a whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) serial: u64,
    #[serde(with = "shared")]
    pub(super) job: Arc<Job>,
    pub(super) standing: Standing,
    pub(super) failures: Vec<String>,
    /// Its groups when it had ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) last: Vec<GroupReport>,
}

/// A job is written as itself, whoever shares it.
mod shared {
    use super::{Arc, Deserialize, Job, Serialize};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(job: &Arc<Job>, to: S) -> Result<S::Ok, S::Error> {
        Job::serialize(job, to)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Arc<Job>, D::Error> {
        Job::deserialize(from).map(Arc::new)
    }
}

impl Active {
    pub(super) fn restored(kept: Kept, state: &State) -> Self {
        let new = Self::new(Keeping::All, kept.serial, Arc::clone(&kept.job));
        let mut active = Self { kept, ..new };
        active.outputs = Outputs::restored(active.kept.serial, &active.kept.job, state);
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

    pub(super) fn save(&self, driver: &mut Driver, key: String, value: impl FnOnce() -> Vec<u8>) {
        match self.keeping {
            Keeping::All => driver.save(key, value()),
            Keeping::Nothing => {}
        }
    }

    fn unsave(&self, driver: &mut Driver, key: String) {
        match self.keeping {
            Keeping::All => driver.forget(key),
            Keeping::Nothing => {}
        }
    }

    /// Keeps a result that another group's tasks are given.
    pub(super) fn keep_result(
        &mut self,
        driver: &mut Driver,
        group: &str,
        index: usize,
        result: &[u8],
    ) -> Option<Digest> {
        let job = Arc::clone(&self.kept.job);
        let users = || job.groups.values().filter(|user| user.input.as_deref() == Some(group));
        let is_whole = |user: &Group| place_of_input(&job, user, group, 0).is_none();
        let (whole, single) = (users().any(is_whole), users().any(|user| !is_whole(user)));
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
            self.save(driver, key, || result.to_vec());
        }
        single.then(|| driver.put(result.to_vec()))
    }

    pub(super) fn keep(&self, driver: &mut Driver) {
        let key = format!("job/{}", self.kept.job.name);
        self.save(driver, key, || serde_json::to_vec(&self.kept).unwrap_or_default());
    }

    pub(super) fn keep_piece(&self, driver: &mut Driver, group: &str, index: usize) {
        if let Some(progress) = self.groups.get(group) {
            let key = format!("p/{}/{group}/{}", self.kept.serial, index / PIECE);
            self.save(driver, key, || progress.piece(index));
        }
    }

    /// Keeps what tasks are in that are launched after this.
    pub(super) fn keep_pieces(
        &self,
        driver: &mut Driver,
        group: &str,
        tasks: &[(TaskSpec, Place)],
    ) {
        let pieces: BTreeSet<usize> = tasks.iter().map(|(_, place)| place.index / PIECE).collect();
        pieces.into_iter().for_each(|piece| self.keep_piece(driver, group, piece * PIECE));
    }

    /// How many outputs it has, and what they are.
    pub(super) fn outputs(&self) -> usize {
        self.outputs.count()
    }

    pub(super) fn left(&self) -> Vec<JobOutput> {
        self.outputs.all(&self.kept.job)
    }

    pub(super) fn left_by_failures(&self) -> Vec<FailedOutput> {
        self.outputs.of_failures(&self.kept.job)
    }

    /// Keeps what a failed attempt has left.
    pub(super) fn keep_failed(&mut self, driver: &mut Driver, place: &Place, end: &StatusUpdate) {
        let Place { group: name, index, run, .. } = place;
        let (job, serial) = (Arc::clone(&self.kept.job), self.kept.serial);
        let Some(group) = job.groups.get(name) else { return };
        let attempt = FailedAttempt { attempt: end.key.attempt.0, copy: *run == Run::Copy };
        let at = (name.as_str(), *index, attempt);
        let (kept, gone) = self.outputs.insert_failed((serial, group), at, &end.outputs);
        if let Some((key, value)) = kept {
            self.save(driver, key, || value);
        }
        gone.into_iter().for_each(|key| self.unsave(driver, key));
    }

    /// Forgets what was left, and the texts that its names are made of.
    pub(super) fn forget_outputs(&mut self, driver: &mut Driver) {
        for key in self.outputs.forget(self.kept.serial) {
            self.unsave(driver, key);
        }
        if self.kept.job.groups.values().any(|group| !group.own.is_empty()) {
            let groups = &mut Arc::make_mut(&mut self.kept.job).groups;
            groups.values_mut().for_each(|group| group.own.clear());
            self.own_bytes = 0;
            self.keep(driver);
        }
    }

    /// Forgets what its tasks had for themselves, as far as nothing that was left is called so.
    pub(super) fn forget_own(&mut self) {
        if self.keeping == Keeping::Nothing {
            return;
        }
        for group in Arc::make_mut(&mut self.kept.job).groups.values_mut() {
            match group.outputs.is_empty() {
                true => group.own.clear(),
                false => group.own.iter_mut().for_each(|own| own.inputs.clear()),
            }
        }
        self.own_bytes = self.kept.job.own_bytes();
    }

    pub(super) fn forget(&mut self, driver: &mut Driver) {
        self.forget_outputs(driver);
        self.unsave(driver, format!("job/{}", self.kept.job.name));
        if !self.is_quiet() {
            self.forget_parts(driver);
        }
    }

    pub(super) fn forget_parts(&self, driver: &mut Driver) {
        let serial = self.kept.serial;
        for (group, progress) in &self.groups {
            let pieces = progress.tasks().len().div_ceil(PIECE);
            (0..pieces)
                .for_each(|piece| self.unsave(driver, format!("p/{serial}/{group}/{piece}")));
            let results = self.results.get(group).into_iter().flatten();
            results.for_each(|(i, _)| self.unsave(driver, format!("r/{serial}/{group}/{i}")));
        }
    }
}

/// The one task of the group `from` whose result a task is given. None: it is given all of them.
pub(super) fn place_of_input(job: &Job, group: &Group, from: &str, index: usize) -> Option<usize> {
    match job.groups.get(from)?.count {
        1 => Some(0),
        count if count == group.count => Some(index),
        _ => None,
    }
}
