//! What a job is, and what makes a text one.

use super::{
    files,
    files::{FileInput, FileSource},
    stragglers::Stragglers,
};
use crate::Work;
use serde::{Deserialize, Serialize};
use skep_protocol::{Attempt, TaskId, TaskSpec, task::Input};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

/// Tasks of one job: what an instance keeps of each must fit its state.
const JOB_TASKS_MAX: u64 = 20_000;
/// Groups of one job.
const GROUPS_MAX: usize = 1_000;
/// A job's name: it is a part of its tasks' ids.
const NAME_BYTES_MAX: usize = 40;

/// Groups of tasks, and what they need of each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Unique among the jobs that have not ended.
    pub name: String,
    /// Of two jobs that could go on, the one with the greater number does.
    #[serde(default)]
    pub priority: i32,
    /// By name.
    pub groups: BTreeMap<String, Group>,
}

/// Tasks of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// What each of them runs.
    pub work: Work,
    /// How many there are; each finds its place from 0 on in `SKEP_TASK_INDEX`.
    #[serde(default = "one")]
    pub count: u64,
    /// The groups that must have ended well before the first of these begins.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub needs: BTreeSet<String>,
    /// The group whose results are these tasks' standard input: of as many tasks, each task's to
    /// the one of its place; else all of them, one after the other, to each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// What lies in the own folder of each of them when it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<FileInput>,
    /// The paths of what each of them leaves there, as of a task's outputs. `{}` stands for the
    /// task's place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<String>,
    /// How often a task that has failed is started again.
    #[serde(default)]
    pub retries: u32,
    /// When a task that runs for long is started a second time. None: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stragglers: Option<Stragglers>,
    /// What each of them is in full, for those who want more than [`Work`] says: its id, attempt
    /// and place are this framework's. `{}` in an argument stands for the place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Box<TaskSpec>>,
    /// The place of the first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
const fn is_zero(first: &u64) -> bool {
    *first == 0
}

const fn one() -> u64 {
    1
}

/// What is wrong with a job, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The group; empty: the job as a whole.
    pub group: String,
    /// The field.
    pub field: &'static str,
    /// What is wrong, and what would be right.
    pub why: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group.as_str() {
            "" => write!(f, "{}: {}", self.field, self.why),
            group => write!(f, "{group}.{}: {}", self.field, self.why),
        }
    }
}

impl Job {
    /// Checks that every task of it can come to run.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self) -> Result<(), Fault> {
        let whole = |field, why: String| Err(Fault { group: String::new(), field, why });
        if self.name.len() > NAME_BYTES_MAX || TaskId::new(&self.name).is_err() {
            let why = format!("{:?}: letters, digits, '.', '_' and '-', 40 at most", self.name);
            return whole("name", why);
        }
        if self.groups.is_empty() {
            return whole("groups", "a job has at least one group of tasks".into());
        }
        if self.groups.len() > GROUPS_MAX {
            return whole("groups", format!("at most {GROUPS_MAX} groups"));
        }
        let tasks: u64 = self.groups.values().map(|group| group.count).sum();
        if tasks > JOB_TASKS_MAX {
            return whole("groups", format!("{tasks} tasks, at most {JOB_TASKS_MAX} in one job"));
        }
        for (name, group) in &self.groups {
            let fault = |(field, why)| Fault { group: name.clone(), field, why };
            self.check_group(name, group).map_err(fault)?;
        }
        self.layers().map(drop)
    }

    fn check_group(&self, name: &str, group: &Group) -> Result<(), (&'static str, String)> {
        if name.len() > NAME_BYTES_MAX || TaskId::new(name).is_err() {
            return Err(("name", "letters, digits, '.', '_' and '-', 40 at most".into()));
        }
        if group.count == 0 {
            return Err(("count", "a group has at least one task".into()));
        }
        for needed in group.needs.iter().chain(&group.input) {
            if !self.groups.contains_key(needed) {
                let known: Vec<&str> = self.groups.keys().map(String::as_str).collect();
                let why = format!("there is no group {needed:?}: there are {}", known.join(", "));
                return Err(("needs", why));
            }
        }
        if let Some(stragglers) = &group.stragglers {
            stragglers.check(group).map_err(|why| ("stragglers", why))?;
        }
        if let Some(template) = &group.template {
            template.check().map_err(|rejection| ("template", rejection.to_string()))?;
        }
        files::check(self, group)?;
        group.work.check().map_err(|why| ("work", why))
    }

    /// The groups in an order in which they can run: those that can run together are together.
    ///
    /// # Errors
    /// A [`Fault`] with the groups of a circle, if there is one.
    pub fn layers(&self) -> Result<Vec<Vec<&str>>, Fault> {
        let mut left: BTreeMap<&str, BTreeSet<&str>> =
            self.groups.iter().map(|(name, group)| (name.as_str(), group.all_needs())).collect();
        let mut layers = Vec::new();
        while !left.is_empty() {
            let free = left.iter().filter(|(_, needs)| needs.is_empty());
            let free: Vec<&str> = free.map(|(name, _)| *name).collect();
            if free.is_empty() {
                return Err(circle(&left));
            }
            left.retain(|name, _| !free.contains(name));
            for needs in left.values_mut() {
                needs.retain(|needed| !free.contains(needed));
            }
            layers.push(free);
        }
        Ok(layers)
    }
}

/// What stands in an argument for the task's place.
const PLACE: &str = "{}";

impl Group {
    /// A group of tasks that are all this.
    pub fn of_template(template: TaskSpec, first: u64, count: u64) -> Self {
        let work = Work {
            module: template.module,
            name: template.name.clone(),
            args: Vec::new(),
            env: BTreeMap::new(),
            resources: template.resources.clone(),
            deadline: None,
            kill_grace: None,
            heartbeat: None,
            lost_after: None,
        };
        let outputs = template.outputs.iter().map(|output| output.guest.clone()).collect();
        let template = Some(Box::new(template));
        let (needs, input, stragglers, inputs) = ([].into(), None, None, Vec::new());
        Self { work, count, needs, input, inputs, outputs, retries: 0, stragglers, template, first }
    }

    /// How long each of them may take.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.template.as_ref().map_or(self.work.deadline, |template| template.limits.deadline)
    }

    /// One attempt of one task, with its inputs. In an array, `{}` in an argument is its place.
    pub(crate) fn task(
        &self,
        id: TaskId,
        attempt: Attempt,
        index: usize,
        inputs: Vec<Input>,
    ) -> TaskSpec {
        let place = self.first + index as u64;
        let mut task = match &self.template {
            Some(template) => TaskSpec { task: id, attempt, ..TaskSpec::clone(template) },
            None => self.work.task(id, attempt),
        };
        if self.count > 1 || task.index.is_some() {
            let place = place.to_string();
            task.args.iter_mut().for_each(|arg| *arg = arg.replace(PLACE, &place));
        }
        self.with_files(TaskSpec { index: Some(place), ..task }, inputs, place)
    }

    /// All groups that must be done before it.
    pub(crate) fn all_needs(&self) -> BTreeSet<&str> {
        let of_files = self.inputs.iter().filter_map(|input| match &input.source {
            FileSource::Output { group, .. } => Some(group),
            FileSource::Blob { .. } => None,
        });
        self.needs.iter().chain(&self.input).chain(of_files).map(String::as_str).collect()
    }
}

/// Walks from need to need until a group comes again.
fn circle(left: &BTreeMap<&str, BTreeSet<&str>>) -> Fault {
    let mut path: Vec<&str> = Vec::new();
    let mut at = left.keys().next().copied().unwrap_or_default();
    while !path.contains(&at) {
        path.push(at);
        let next = left.get(at).and_then(|needs| needs.iter().find(|n| left.contains_key(**n)));
        at = next.copied().unwrap_or(at);
    }
    let begin = path.iter().position(|group| *group == at).unwrap_or(0);
    let mut walk = path.split_off(begin);
    walk.push(at);
    Fault {
        group: at.into(),
        field: "needs",
        why: format!("a circle, so that none of them can begin: {}", walk.join(" needs ")),
    }
}
