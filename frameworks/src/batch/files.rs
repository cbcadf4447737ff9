//! Files that tasks are given, and that they leave for others.
//!
//! What is kept of an output is its digest and size: a row for each task of a group that has any,
//! also after the job has ended, so that people can fetch it.

use super::job::{Group, Job};
use serde::{Deserialize, Serialize};
use skep_protocol::{
    bounds::{INPUTS_MAX, OUTPUTS_MAX},
    framework::State,
    outcome::Delivered,
    task::{DirGrant, DirSource, Form, Input, Output, check_guest_path},
};
use skep_scheduler::prelude::*;
use std::collections::BTreeMap;

/// Outputs of all tasks of one job: what is kept of them must fit the state.
const JOB_OUTPUTS_MAX: u64 = 1_000;
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

/// What the tasks of a job have left: by group and index, in the order of the group's outputs.
#[derive(Clone, Debug, Default)]
pub(super) struct Outputs(BTreeMap<(String, usize), Vec<Left>>);

/// By which is kept what a task has left.
pub(super) fn key(serial: u64, group: &str, index: usize) -> String {
    format!("o/{serial}/{group}/{index}")
}

impl Outputs {
    pub(super) fn restored(serial: u64, job: &Job, state: &State) -> Self {
        let mut outputs = BTreeMap::new();
        for group in job.groups.keys() {
            let prefix = key(serial, group, 0);
            let prefix = prefix.trim_end_matches('0');
            for (key, value) in state.range(prefix.to_owned()..) {
                let Some(Ok(index)) = key.strip_prefix(prefix).map(str::parse) else { break };
                if let Ok(left) = serde_json::from_slice(value) {
                    outputs.insert((group.clone(), index), left);
                }
            }
        }
        Self(outputs)
    }

    /// A task has left these.
    pub(super) fn insert(&mut self, (group, index): (&str, usize), outputs: &[Delivered]) {
        let left = outputs.iter().map(|output| {
            let Delivered { digest, size, form, .. } = *output;
            Left { digest, size, form }
        });
        self.0.insert((group.to_owned(), index), left.collect());
    }

    /// What is kept of those of a task.
    pub(super) fn kept(&self, (group, index): (&str, usize)) -> Vec<u8> {
        let left = self.0.get(&(group.to_owned(), index));
        left.and_then(|left| serde_json::to_vec(left).ok()).unwrap_or_default()
    }

    /// Forgets all of them, and gives the keys by which they were kept.
    pub(super) fn forget(&mut self, serial: u64) -> Vec<String> {
        let all = std::mem::take(&mut self.0).into_keys();
        all.map(|(group, index)| key(serial, &group, index)).collect()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// All of them.
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
        for ((name, index), left) in &self.0 {
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
                let left = self.0.get(&(from.clone(), other)).and_then(|left| left.get(which));
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
