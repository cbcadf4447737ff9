//! [`Active`]: a job, and how far it is.

use super::{
    files::{self, Outputs},
    job::{Group, Job},
    keeping::{Keeping, Kept},
    meaning::Meaning,
    orders::{GroupReport, Report, Standing},
    progress::{Progress, Run, Stage, Task},
    stragglers::Look,
};
use skep_protocol::{AgentId, AllocationId, outcome::Missing};
use skep_scheduler::prelude::*;
use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

/// Failures of one job that are told.
const FAILURES_MAX: usize = 10;

/// Which run of which task one is that was launched.
#[derive(Clone, Debug)]
pub struct Place {
    pub(super) job: String,
    /// Of the job, for another may have its name by now.
    pub(super) serial: u64,
    pub(super) group: String,
    pub(super) index: usize,
    pub(super) run: Run,
    /// Where it is. None: launched by an earlier instance, and not heard of since.
    pub(super) agent: Option<AgentId>,
    /// The allocation that it is in, if that is filled again.
    pub(super) room: Option<AllocationId>,
}

impl Place {
    /// Which task of its group it is, from 0 on.
    pub const fn index(&self) -> usize {
        self.index
    }
}

/// A job that is known.
#[derive(Clone, Debug)]
pub(super) struct Active {
    pub(super) kept: Kept,
    pub(super) keeping: Keeping,
    pub(super) groups: BTreeMap<String, Progress>,
    /// The results of groups of which all go to each task of another, by place.
    pub(super) results: BTreeMap<String, BTreeMap<usize, Vec<u8>>>,
    /// Those put together: the input of tasks.
    pub(super) inputs: BTreeMap<String, Digest>,
    pub(super) outputs: Outputs,
    /// How much is kept of what its tasks have for themselves.
    pub(super) own_bytes: usize,
}

impl Active {
    pub(super) fn new(keeping: Keeping, serial: u64, job: Arc<Job>) -> Self {
        let groups = job.groups.iter();
        let groups = groups.map(|(name, group)| (name.clone(), Progress::new(group.count)));
        let groups = groups.collect();
        let (standing, failures, last) = (Standing::Running, Vec::new(), Vec::new());
        let own_bytes = job.own_bytes();
        let kept = Kept { serial, job, standing, failures, last };
        let (results, inputs, outputs) = Default::default();
        Self { kept, keeping, groups, results, inputs, outputs, own_bytes }
    }

    /// Takes over what an earlier instance launched.
    pub(super) fn adopt(&self, driver: &mut Driver, launched: &mut BTreeMap<TaskId, Place>) {
        for (place, task) in self.launched() {
            let id = self.id(&place.group, place.index, place.run);
            driver.adopt(id.clone(), task.attempt(place.run));
            launched.insert(id, place);
        }
    }

    /// What was launched and has not ended.
    fn launched(&self) -> impl Iterator<Item = (Place, &Task)> {
        let tasks = self.groups.iter().flat_map(|(group, progress)| {
            progress.tasks().iter().enumerate().map(move |(index, task)| (group, index, task))
        });
        tasks.flat_map(move |(group, index, task)| {
            let runs = Run::BOTH.into_iter().filter(|run| task.stage.has(*run));
            runs.map(move |run| (self.place(group, index, run, None), task))
        })
    }

    pub(super) fn place(
        &self,
        group: &str,
        index: usize,
        run: Run,
        agent: Option<AgentId>,
    ) -> Place {
        let Kept { serial, job, .. } = &self.kept;
        let (job, serial, group, room) = (job.name.clone(), *serial, group.into(), None);
        Place { job, serial, group, index, run, agent, room }
    }

    pub(super) fn id(&self, group: &str, index: usize, run: Run) -> TaskId {
        let Kept { serial, job, .. } = &self.kept;
        let copy = if run == Run::Copy { ".copy" } else { "" };
        let name = &job.name;
        let id = match job.groups.get(group) {
            // Nothing else has the ids of this framework.
            Some(only) if self.keeping == Keeping::Nothing && job.groups.len() == 1 => {
                format!("{name}.{}{copy}", only.place(index))
            }
            _ => format!("{name}-{serial}.{group}.{index}{copy}"),
        };
        // The parts were checked when the job was taken.
        TaskId::new(id).expect("plain parts")
    }

    pub(super) fn task(&self, group: &str, index: usize) -> Option<&Task> {
        self.groups.get(group)?.get(index)
    }

    /// Whether this is of this job, and not of an earlier one of its name.
    pub(super) fn has(&self, place: &Place) -> bool {
        self.kept.serial == place.serial
    }

    /// Whether a run can still do its task.
    pub(super) fn wants(&self, place: &Place) -> bool {
        let task = self.task(&place.group, place.index).filter(|_| self.has(place));
        !self.kept.standing.is_over() && task.is_some_and(|task| task.stage.is_launched())
    }

    /// Whether nothing comes of a task any more that was launched.
    pub(super) fn is_over(&self, place: &Place) -> bool {
        let stage = self.task(&place.group, place.index).map(|task| task.stage);
        let waits = stage == Some(Stage::Waiting) && !self.kept.standing.is_over();
        !waits && !stage.is_some_and(Stage::is_launched)
    }

    /// Whether all that a group needs is done.
    fn is_ready(&self, group: &Group) -> bool {
        let is_done = |needed: &str| self.groups.get(needed).is_some_and(Progress::is_done);
        group.needed().all(is_done)
    }

    /// The groups of which tasks could begin, and how many.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (&str, &Group, u64)> {
        let groups = self.kept.job.groups.iter().filter(|_| !self.kept.standing.is_over());
        groups.filter_map(|(name, group)| {
            let count = self.groups.get(name)?.waiting();
            (count > 0 && self.is_ready(group)).then_some((name.as_str(), group, count))
        })
    }

    /// The order in which jobs go: the lower goes first.
    pub(super) fn rank(&self) -> (Reverse<i32>, u64) {
        (Reverse(self.kept.job.priority), self.kept.serial)
    }

    pub(super) fn can_begin(&self) -> bool {
        self.waiting().next().is_some()
    }

    /// The stragglers of its groups, and what each of them needs.
    pub(super) fn stragglers(&self, now: Time) -> Vec<(&str, &Group, Look)> {
        let groups = self.kept.job.groups.iter().filter(|_| !self.kept.standing.is_over());
        let looks = groups.filter_map(|(name, group)| {
            let (stragglers, progress) = (group.stragglers.as_ref()?, self.groups.get(name)?);
            let far = (progress.count(), progress.done);
            let look = stragglers.look(now, far, progress.took(), progress.alone());
            Some((name.as_str(), group, look))
        });
        looks.collect()
    }

    /// A run was seen to run. False: its group has no eye on that, or it was known.
    pub(super) fn runs(&mut self, driver: &mut Driver, place: &Place) -> bool {
        let Place { group: name, index, run, .. } = place;
        let group = self.kept.job.groups.get(name).filter(|_| !self.kept.standing.is_over());
        let is_watched = group.is_some_and(|group| group.stragglers.is_some());
        let task = self.task(name, *index).filter(|_| is_watched);
        let task = task.and_then(|task| task.runs(*run, driver.now()));
        if let (Some(task), Some(progress)) = (task, self.groups.get_mut(name)) {
            progress.set(*index, task);
            self.keep_piece(driver, name, *index);
        }
        task.is_some()
    }

    /// A run has ended.
    pub(super) fn ended(
        &mut self,
        driver: &mut Driver,
        place: &Place,
        outcome: &Outcome,
        update: &StatusUpdate,
    ) {
        let Place { group: name, index, run, .. } = place;
        let Some(before) = self.task(name, *index).copied() else { return };
        let is_done = before.stage.is_launched() && outcome.is_success();
        if is_done {
            self.set(place, before.done(*run, driver.now()));
            let done = self.task(name, *index).copied().unwrap_or_default();
            let result = self.keep_result(driver, name, *index, &update.result);
            if !update.outputs.is_empty() {
                let task = (name.as_str(), *index);
                self.outputs.insert(task, &update.outputs);
                let key = files::key(self.kept.serial, name, *index);
                self.save(driver, key, || self.outputs.kept(task));
            }
            self.set(place, Task { result, ..done });
        } else if before.stage.is_launched() {
            self.keep_failed(driver, place, update);
            self.failed(driver, place, before, (outcome, update));
        } else {
            self.set(place, before.ended(*run));
        }
        if !self.kept.standing.is_over() {
            self.keep_piece(driver, name, *index);
        } else if self.is_quiet() {
            self.forget_parts(driver);
        }
        if is_done && before.stage.has(run.other()) {
            driver.kill(self.id(name, *index, run.other()));
        }
    }

    fn set(&mut self, place: &Place, task: Task) {
        if let Some(progress) = self.groups.get_mut(&place.group) {
            progress.set(place.index, task);
        }
    }

    fn failed(
        &mut self,
        driver: &mut Driver,
        place: &Place,
        before: Task,
        (outcome, update): (&Outcome, &StatusUpdate),
    ) {
        let Place { group: name, index, run, .. } = place;
        let group = self.kept.job.groups.get(name);
        let (retries, losses_max) = group.map_or((0, 0), |group| (group.retries, group.losses));
        let (task, meaning) = (before.ended(*run), Meaning::of(outcome));
        if meaning == Meaning::StillThere {
            driver.kill(self.id(name, *index, *run));
        }
        // A copy that fails beside its task costs nothing; a task's copy is its next attempt.
        let counts = |what| u32::from(meaning == what && task.stage != Stage::Launched);
        let failures = before.failures + counts(Meaning::Fault);
        let losses = before.losses + counts(Meaning::Lost);
        let is_over = self.kept.standing.is_over() || failures > retries || losses > losses_max;
        let is_final = is_over && task.stage == Stage::Waiting;
        let stage = if is_final { Stage::Failed } else { task.stage };
        self.set(place, Task { stage, failures, losses, ..task });
        if is_final && self.kept.failures.len() < FAILURES_MAX {
            let id = self.id(name, *index, *run);
            self.kept.failures.push(words(&id, outcome, &update.missing));
            self.keep(driver);
        }
    }

    /// Ends it if no task of it runs or can begin.
    pub(super) fn settle(&mut self, driver: &mut Driver) {
        if self.kept.standing.is_over() {
            return;
        }
        let goes_on = |group: &Progress| group.launched > 0 || group.holds_back();
        if self.groups.values().any(goes_on) || self.can_begin() {
            return;
        }
        let is_done = self.groups.values().all(Progress::is_done);
        self.end(driver, if is_done { Standing::Done } else { Standing::Failed });
    }

    /// Ends it, and what of it runs. What is kept of its tasks is so until that has ended.
    pub(super) fn end(&mut self, driver: &mut Driver, standing: Standing) {
        self.kept.standing = standing;
        self.kept.last = self.report().groups;
        self.forget_own();
        self.keep(driver);
        let of_use = self.launched().filter(|(_, task)| task.stage.is_launched());
        of_use.for_each(|(Place { group, index, run, .. }, _)| {
            driver.kill(self.id(&group, index, run));
        });
        if self.is_quiet() {
            self.forget_parts(driver);
        }
    }

    /// Whether nothing of it runs.
    pub(super) fn is_quiet(&self) -> bool {
        self.groups.values().all(Progress::is_quiet)
    }

    pub(super) fn report(&self) -> Report {
        let Kept { job, standing, failures, last, .. } = &self.kept;
        let group = |(name, progress): (&String, &Progress)| GroupReport {
            group: name.clone(),
            count: progress.count(),
            launched: progress.launched,
            done: progress.done,
            failed: progress.failed,
            attempts: progress.attempts,
            copies: progress.copies,
            copies_won: progress.copies_won,
        };
        let groups =
            if last.is_empty() { self.groups.iter().map(group).collect() } else { last.clone() };
        let (outputs, failed_outputs) = (Vec::new(), Vec::new());
        Report {
            job: job.name.clone(),
            standing: *standing,
            groups,
            failures: failures.clone(),
            outputs,
            failed_outputs,
        }
    }
}

/// How a task failed for good, and what it did not leave. One that failed by that says so already.
fn words(id: &TaskId, outcome: &Outcome, missing: &[Missing]) -> String {
    let says_it = |one: &&Missing| match outcome {
        Outcome::Failed { why } => why.contains(&one.why),
        _ => false,
    };
    let missing = missing.iter().filter(|one| !says_it(one)).map(|one| format!("; {}", one.why));
    format!("{id}: {outcome}{}", missing.collect::<String>())
}
