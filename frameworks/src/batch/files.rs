//! Files that tasks are given, and that they leave for others.
//!
//! What is kept of an output is its digest and size: a row for each task of a group that has any,
//! and for each of the last attempts that failed and left some, also after the job has ended, so
//! that people can fetch it. Always holds: no task is given what a failed attempt left.

use super::job::{Group, Job};
use serde::{Deserialize, Serialize};
use skep_protocol::{
    bounds::{INPUTS_MAX, OUTPUTS_MAX},
    framework::State,
    outcome::Delivered,
    task::{DirGrant, DirSource, Form, Input, Output, check_guest_path},
};
use skep_scheduler::prelude::*;
use std::collections::{BTreeMap, VecDeque};

/// Outputs of all tasks of one job: what is kept of them must fit the state.
const JOB_OUTPUTS_MAX: u64 = 1_000;
/// Outputs of failed attempts of one job that are kept: the last of them.
const FAILED_OUTPUTS_MAX: usize = 200;
/// What stands in a path for the task's place.
const PLACE: &str = "{}";

/// A file or folder that lies in the own folder of each task of a group when it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInput {
    /// Where: a path, in which `{}` stands for the task's place; if all outputs of a larger group
    /// come, for theirs.
    pub guest: String,
    /// What.
    #[serde(flatten)]
    pub source: FileSource,
}

/// Where an input comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileSource {
    /// A blob that the master holds.
    Blob {
        /// Which.
        digest: Digest,
        /// What its bytes are.
        form: Form,
    },
    /// What tasks of another group leave: of a group of one task its output, of one of as many
    /// tasks that of the same place, else all of them.
    Output {
        /// Which group.
        group: String,
        /// Which of its outputs, as the group names it.
        output: String,
    },
}

/// An output that a task of a job has left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobOutput {
    /// The task's group.
    pub group: String,
    /// Its place.
    pub place: u64,
    /// Whether another group takes it as an input.
    pub taken: bool,
    /// What it left.
    pub output: Delivered,
}

/// An output that a failed attempt of a task has left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedOutput {
    /// The task's group.
    pub group: String,
    /// Its place.
    pub place: u64,
    /// Which attempt it was.
    #[serde(flatten)]
    pub attempt: FailedAttempt,
    /// What it left.
    pub output: Delivered,
}

/// An attempt of a task that has failed: of the task itself, or of a copy beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FailedAttempt {
    /// Its number.
    pub attempt: u32,
    /// Whether it is one of a copy of a straggler, which are counted by themselves.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub copy: bool,
}

/// What is kept of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Left {
    #[serde(rename = "d")]
    digest: Digest,
    #[serde(rename = "s")]
    size: u64,
    #[serde(rename = "f", default, skip_serializing_if = "Form::is_file")]
    form: Form,
}

/// What is kept of an output of a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LeftByFailure {
    /// Which of the outputs of its group.
    #[serde(rename = "w")]
    which: usize,
    #[serde(flatten)]
    left: Left,
}

/// What the tasks of a job have left.
#[derive(Clone, Debug, Default)]
pub(super) struct Outputs {
    /// By group and index, in the order of the group's outputs.
    done: BTreeMap<(String, usize), Vec<Left>>,
    /// Of failed attempts, by group and index.
    failed: BTreeMap<(String, usize, FailedAttempt), Vec<LeftByFailure>>,
    /// These in the order in which they came.
    failed_order: VecDeque<(String, usize, FailedAttempt)>,
}

/// By which is kept what a task has left.
pub(super) fn key(serial: u64, group: &str, index: usize) -> String {
    format!("o/{serial}/{group}/{index}")
}

/// By which is kept what a failed attempt has left.
fn failed_key(serial: u64, (group, index, attempt): &(String, usize, FailedAttempt)) -> String {
    let copy = if attempt.copy { "c" } else { "" };
    format!("f/{serial}/{group}/{index}/{copy}{}", attempt.attempt)
}

/// The index and the attempt at the end of such a key.
fn failed_at(rest: &str) -> Option<(usize, FailedAttempt)> {
    let (index, attempt) = rest.split_once('/')?;
    let (copy, attempt) = attempt.strip_prefix('c').map_or((false, attempt), |rest| (true, rest));
    Some((index.parse().ok()?, FailedAttempt { attempt: attempt.parse().ok()?, copy }))
}

impl Outputs {
    pub(super) fn restored(serial: u64, job: &Job, state: &State) -> Self {
        let (mut done, mut failed) = (BTreeMap::new(), BTreeMap::new());
        for group in job.groups.keys() {
            let prefix = format!("f/{serial}/{group}/");
            for (key, value) in state.range(prefix.clone()..) {
                let Some(rest) = key.strip_prefix(&prefix) else { break };
                if let Some((index, attempt)) = failed_at(rest)
                    && let Ok(left) = serde_json::from_slice(value)
                {
                    failed.insert((group.clone(), index, attempt), left);
                }
            }
            let prefix = key(serial, group, 0);
            let prefix = prefix.trim_end_matches('0');
            for (key, value) in state.range(prefix.to_owned()..) {
                let Some(Ok(index)) = key.strip_prefix(prefix).map(str::parse) else { break };
                if let Ok(left) = serde_json::from_slice(value) {
                    done.insert((group.clone(), index), left);
                }
            }
        }
        let failed_order = failed.keys().cloned().collect();
        Self { done, failed, failed_order }
    }

    /// A failed attempt of a task of this group has left these. Gives what is to be kept of them by
    /// which key, and the keys of those that are not kept any more.
    pub(super) fn insert_failed(
        &mut self,
        (serial, group): (u64, &Group),
        (name, index, attempt): (&str, usize, FailedAttempt),
        outputs: &[Delivered],
    ) -> (Option<(String, Vec<u8>)>, Vec<String>) {
        let which = |output: &Delivered| {
            group.outputs.iter().position(|path| group.fill(path, index) == output.guest)
        };
        let left = outputs.iter().filter_map(|output| {
            let Delivered { digest, size, form, .. } = *output;
            Some(LeftByFailure { which: which(output)?, left: Left { digest, size, form } })
        });
        let left: Vec<_> = left.collect();
        if left.is_empty() {
            return (None, Vec::new());
        }
        let value = serde_json::to_vec(&left).unwrap_or_default();
        let at = (name.to_owned(), index, attempt);
        let kept = (failed_key(serial, &at), value);
        self.failed.insert(at.clone(), left);
        self.failed_order.push_back(at);
        let mut gone = Vec::new();
        while self.failed_count() > FAILED_OUTPUTS_MAX && self.failed_order.len() > 1 {
            let Some(oldest) = self.failed_order.pop_front() else { break };
            self.failed.remove(&oldest);
            gone.push(failed_key(serial, &oldest));
        }
        (Some(kept), gone)
    }

    fn failed_count(&self) -> usize {
        self.failed.values().map(Vec::len).sum()
    }

    /// A task has left these.
    pub(super) fn insert(&mut self, (group, index): (&str, usize), outputs: &[Delivered]) {
        let left = outputs.iter().map(|output| {
            let Delivered { digest, size, form, .. } = *output;
            Left { digest, size, form }
        });
        self.done.insert((group.to_owned(), index), left.collect());
    }

    /// What is kept of those of a task.
    pub(super) fn kept(&self, (group, index): (&str, usize)) -> Vec<u8> {
        let left = self.done.get(&(group.to_owned(), index));
        left.and_then(|left| serde_json::to_vec(left).ok()).unwrap_or_default()
    }

    /// Forgets all of them, and gives the keys by which they were kept.
    pub(super) fn forget(&mut self, serial: u64) -> Vec<String> {
        let Self { done, failed, .. } = std::mem::take(self);
        let done = done.into_keys().map(|(group, index)| key(serial, &group, index));
        done.chain(failed.into_keys().map(|at| failed_key(serial, &at))).collect()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.done.values().map(Vec::len).sum::<usize>() + self.failed_count()
    }

    /// What failed attempts have left.
    pub(super) fn of_failures(&self, job: &Job) -> Vec<FailedOutput> {
        let mut all = Vec::new();
        for ((name, index, attempt), left) in &self.failed {
            let Some(group) = job.groups.get(name) else { continue };
            for LeftByFailure { which, left: Left { digest, size, form } } in left {
                let Some(output) = group.outputs.get(*which) else { continue };
                let guest = group.fill(output, *index);
                let (digest, size, form) = (*digest, *size, *form);
                all.push(FailedOutput {
                    group: name.clone(),
                    place: group.place(*index),
                    attempt: *attempt,
                    output: Delivered { guest, digest, size, form },
                });
            }
        }
        all
    }

    /// What the tasks have left that did well.
    pub(super) fn all(&self, job: &Job) -> Vec<JobOutput> {
        let taken = |group: &str, output: &str| {
            let is_it = |source: &FileSource| {
                matches!(source, FileSource::Output { group: from, output: what }
                    if from == group && what == output)
            };
            let inputs = job.groups.values().flat_map(|group| &group.inputs);
            inputs.map(|input| &input.source).any(is_it)
        };
        let mut all = Vec::new();
        for ((name, index), left) in &self.done {
            let Some(group) = job.groups.get(name) else { continue };
            let place = group.place(*index);
            for (output, Left { digest, size, form }) in group.outputs.iter().zip(left) {
                let guest = group.fill(output, *index);
                let (digest, size, form) = (*digest, *size, *form);
                all.push(JobOutput {
                    group: name.clone(),
                    place,
                    taken: taken(name, output),
                    output: Delivered { guest, digest, size, form },
                });
            }
        }
        all
    }

    /// The inputs of a task. All that it needs is done.
    pub(super) fn inputs(&self, job: &Job, group: &Group, index: usize) -> Vec<Input> {
        let mut inputs = Vec::new();
        for FileInput { guest, source } in &group.inputs {
            let (from, output) = match source {
                FileSource::Blob { digest, form } => {
                    let guest = group.fill(guest, index);
                    inputs.push(Input { digest: *digest, guest, form: *form });
                    continue;
                }
                FileSource::Output { group, output } => (group, output),
            };
            let Some(source) = job.groups.get(from) else { continue };
            let Some(which) = source.outputs.iter().position(|known| known == output) else {
                continue;
            };
            let mut take = |other: usize, guest: String| {
                let left = self.done.get(&(from.clone(), other)).and_then(|left| left.get(which));
                inputs.extend(left.map(|Left { digest, form, .. }| Input {
                    digest: *digest,
                    guest,
                    form: *form,
                }));
            };
            match source.count {
                1 => take(0, group.fill(guest, index)),
                count if count == group.count => take(index, group.fill(guest, index)),
                count => (0..usize::try_from(count).unwrap_or(usize::MAX))
                    .for_each(|other| take(other, source.fill(guest, other))),
            }
        }
        inputs.extend(group.own.get(index).into_iter().flat_map(|own| own.inputs.iter().cloned()));
        inputs
    }
}

impl Group {
    /// Puts the files into a task that goes with them, and grants it its folder.
    pub(super) fn with_files(&self, task: TaskSpec, inputs: Vec<Input>, index: usize) -> TaskSpec {
        let mut task = task;
        task.inputs.extend(inputs);
        let outputs = self.outputs.iter().map(|path| Output::new(self.fill(path, index)));
        task.outputs = outputs.collect();
        let has_folder = task.grants.dirs.iter().any(|dir| dir.source == DirSource::Sandbox);
        let has_files = !task.inputs.is_empty() || !task.outputs.is_empty();
        if has_files && !has_folder {
            task.grants.dirs.push(DirGrant::read_write(DirSource::Sandbox, "."));
        }
        task
    }
}

/// Checks the files of a group.
pub(super) fn check(job: &Job, group: &Group) -> Result<(), (&'static str, String)> {
    let check = |field, path: &str| check_guest_path(path).map_err(|why| (field, why));
    for index in 0..group.own.len().max(1) {
        let fill = |path: &String| group.fill(path, index);
        let inputs = group.inputs.iter().map(|input| fill(&input.guest));
        let own = group.own.get(index).into_iter().flat_map(|own| &own.inputs);
        let own = own.map(|input| input.guest.clone());
        inputs.chain(own).try_for_each(|path| check("inputs", &path))?;
        group.outputs.iter().map(fill).try_for_each(|path| check("outputs", &path))?;
    }
    if group.outputs.len() > OUTPUTS_MAX {
        return Err(("outputs", format!("at most {OUTPUTS_MAX}: leave a folder")));
    }
    let own = group.own.iter().map(|own| own.inputs.len() as u64).max();
    let of_template = group.template.as_ref().map_or(0, |template| template.inputs.len() as u64);
    let mut count = of_template + own.unwrap_or(0);
    for FileInput { guest, source } in &group.inputs {
        count += match source {
            FileSource::Blob { .. } => 1,
            FileSource::Output { group: from, output } => {
                inputs_of(job, group, guest, (from, output)).map_err(|why| ("inputs", why))?
            }
        };
    }
    if count > INPUTS_MAX as u64 {
        let why = format!("{count} inputs of each task, at most {INPUTS_MAX}");
        return Err(("inputs", why));
    }
    Ok(())
}

/// Checks that there are not too many to keep what is left.
pub(super) fn check_kept(job: &Job) -> Result<(), (&'static str, String)> {
    let all = job.groups.values().map(|group| group.count * group.outputs.len() as u64);
    let all: u64 = all.sum();
    if all > JOB_OUTPUTS_MAX {
        let why = format!("{all} outputs, at most {JOB_OUTPUTS_MAX} in one job: leave folders");
        return Err(("outputs", why));
    }
    Ok(())
}

/// How many inputs one of another group makes.
fn inputs_of(
    job: &Job,
    group: &Group,
    guest: &str,
    (from, output): (&str, &String),
) -> Result<u64, String> {
    let Some(source) = job.groups.get(from) else {
        let known: Vec<&str> = job.groups.keys().map(String::as_str).collect();
        return Err(format!("there is no group {from:?}: there are {}", known.join(", ")));
    };
    if !source.outputs.contains(output) {
        let why = match source.outputs.join(", ") {
            none if none.is_empty() => format!("give it outputs = [{output:?}]"),
            known => format!("it has {known}"),
        };
        return Err(format!("the group {from} has no output {output:?}: {why}"));
    }
    if source.count == 1 || source.count == group.count {
        return Ok(1);
    }
    if !guest.contains(PLACE) {
        let count = source.count;
        return Err(format!(
            "the {count} tasks of {from} leave one each, and all would lie at {guest:?}: put {{}} \
             there for their places, as in \"@{from}/{output}::{from}/{{}}\""
        ));
    }
    Ok(source.count)
}
