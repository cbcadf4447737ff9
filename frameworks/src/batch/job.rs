//! What a job is, and what makes a text one.

use super::{
    files,
    files::{FileInput, FileSource},
    stragglers::Stragglers,
};
use crate::Work;
use serde::{Deserialize, Serialize};
use skep_protocol::{
    Attempt, Resources, TaskId, TaskSpec,
    task::{Input, Terms},
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

/// Tasks of one job: what an instance keeps of each must fit its state.
const JOB_TASKS_MAX: u64 = 20_000;
/// What the tasks of all jobs may have for themselves: it is kept, too.
pub(super) const OWN_BYTES_MAX: usize = 128 << 10;
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
    /// What each of them is content with, if less than it asks for is there. None: with nothing
    /// less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least: Option<Resources>,
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
    /// How often a task that was lost with its agent is started again.
    #[serde(default = "Group::default_losses", skip_serializing_if = "Group::are_default")]
    pub losses: u32,
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
    /// What each of them has for itself, in their order. Empty: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own: Vec<Own>,
}

/// What one task of a group has for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Own {
    /// What `{}` stands for. None: its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What lies in its own folder when it starts, besides what the others have as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
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
    /// Checks that every task of it can come to run, however many there are.
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
        for (name, group) in &self.groups {
            let fault = |(field, why)| Fault { group: name.clone(), field, why };
            self.check_group(name, group).map_err(fault)?;
        }
        self.layers().map(drop)
    }

    /// Checks that it can be handed to a framework that serves: this keeps what it must not forget,
    /// and is not lent anything.
    ///
    /// # Errors
    /// The first fault.
    pub fn check_kept(&self) -> Result<(), Fault> {
        let whole = |field, why: String| Err(Fault { group: String::new(), field, why });
        let tasks: u64 = self.groups.values().map(|group| group.count).sum();
        if tasks > JOB_TASKS_MAX {
            return whole("groups", format!("{tasks} tasks, at most {JOB_TASKS_MAX} in one job"));
        }
        if self.own_bytes() > OWN_BYTES_MAX {
            let why = format!(
                "what single tasks have for themselves, such as lines and files, is larger than \
                 the {OWN_BYTES_MAX} bytes that are kept of it"
            );
            return whole("groups", why);
        }
        for (name, group) in &self.groups {
            let fault = |(field, why)| Fault { group: name.clone(), field, why };
            files::check_kept(self).map_err(fault)?;
            if group.terms() == Terms::Revocable {
                let why = "tasks on what agents lend cannot be handed over".into();
                return Err(fault(("template", why)));
            }
        }
        Ok(())
    }

    /// How much is to be kept of what tasks have for themselves.
    pub(super) fn own_bytes(&self) -> usize {
        let groups = self.groups.values().filter(|group| !group.own.is_empty());
        groups.map(|group| serde_json::to_vec(&group.own).map_or(0, |own| own.len())).sum()
    }

    fn check_group(&self, name: &str, group: &Group) -> Result<(), (&'static str, String)> {
        if name.len() > NAME_BYTES_MAX || TaskId::new(name).is_err() {
            return Err(("name", "letters, digits, '.', '_' and '-', 40 at most".into()));
        }
        if group.count == 0 {
            return Err(("count", "a group has at least one task".into()));
        }
        if !group.own.is_empty() && group.own.len() as u64 != group.count {
            let why = format!("{} tasks have something for themselves", group.own.len());
            return Err(("count", why));
        }
        if group.least.as_ref().is_some_and(|least| !group.work.resources.contains(least)) {
            return Err(("least", "no task is content with more than it asks for".into()));
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
        let mut left: BTreeMap<&str, BTreeSet<&str>> = self
            .groups
            .iter()
            .map(|(name, group)| (name.as_str(), group.needed().collect()))
            .collect();
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

/// How often a task may be lost, if its group does not say: agents that were lost are not its own
/// fault, but may be its doing.
const LOSSES_MAX: u32 = 100;

impl Group {
    /// [`Self::losses`] of those who do not say.
    pub const fn default_losses() -> u32 {
        LOSSES_MAX
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
    const fn are_default(losses: &u32) -> bool {
        *losses == LOSSES_MAX
    }

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
        let (retries, losses) = (0, LOSSES_MAX);
        Self {
            work,
            count,
            least: None,
            needs,
            input,
            inputs,
            outputs,
            retries,
            losses,
            stragglers,
            template,
            first,
            own: Vec::new(),
        }
    }

    /// How long each of them may take.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.template.as_ref().map_or(self.work.deadline, |template| template.limits.deadline)
    }

    /// What each of them must have.
    pub(super) fn least(&self) -> &Resources {
        self.least.as_ref().unwrap_or(&self.work.resources)
    }

    /// On which terms they hold what they use.
    pub(super) fn terms(&self) -> Terms {
        self.template.as_ref().map_or(Terms::Regular, |template| template.terms)
    }

    /// The place of one of them.
    pub(super) const fn place(&self, index: usize) -> u64 {
        self.first + index as u64
    }

    /// What `{}` stands for in one of them. None: for itself.
    pub fn text(&self, index: usize) -> Option<Cow<'_, str>> {
        let own = self.own.get(index).and_then(|own| own.text.as_deref());
        let text = own.map_or_else(|| self.place(index).to_string().into(), Cow::from);
        (!self.is_single()).then_some(text)
    }

    /// Puts what `{}` stands for into a text of one of them.
    pub(super) fn fill(&self, text: &str, index: usize) -> String {
        match self.text(index).filter(|_| text.contains(PLACE)) {
            Some(own) => text.replace(PLACE, &own),
            None => text.to_owned(),
        }
    }

    /// Whether it is one task that has no place among others, in full.
    fn is_single(&self) -> bool {
        let has_place = |template: &TaskSpec| template.index.is_some();
        self.count == 1 && self.template.as_deref().is_some_and(|template| !has_place(template))
    }

    /// One attempt of one task, with its inputs. In an array, `{}` in an argument is its place.
    pub(crate) fn task(
        &self,
        id: TaskId,
        attempt: Attempt,
        index: usize,
        inputs: Vec<Input>,
    ) -> TaskSpec {
        let mut task = match &self.template {
            Some(template) => TaskSpec { task: id, attempt, ..TaskSpec::clone(template) },
            None => self.work.task(id, attempt),
        };
        if self.count > 1 || task.index.is_some() {
            task.args.iter_mut().for_each(|arg| *arg = self.fill(arg, index));
        }
        let place = Some(self.place(index)).filter(|_| !self.is_single());
        self.with_files(TaskSpec { index: place, ..task }, inputs, index)
    }

    /// All groups that must be done before it; some may come twice.
    pub(crate) fn needed(&self) -> impl Iterator<Item = &str> {
        let of_files = self.inputs.iter().filter_map(|input| match &input.source {
            FileSource::Output { group, .. } => Some(group),
            FileSource::Blob { .. } => None,
        });
        self.needs.iter().chain(&self.input).chain(of_files).map(String::as_str)
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
