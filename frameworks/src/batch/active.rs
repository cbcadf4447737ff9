//! [`Active`]: a job, how far it is, and what of it to launch on an offer.

use super::{
    files::{JobOutput, Outputs},
    job::{Group, Job},
    orders::{GroupReport, Report, Standing},
    progress::{PIECE, Progress, Run, Stage, Task},
    stragglers::Look,
};
use serde::{Deserialize, Serialize};
use skep_protocol::{AgentId, framework::State};
use skep_scheduler::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Failures of one job that are told.
const FAILURES_MAX: usize = 10;
/// How many tasks are launched for each that fits at once: the others wait at the agent, and begin
/// without a trip to here.
const QUEUE: usize = 2;
/// Attempts of a task beyond its retries, after agents that were lost and the like.
const MISHAPS_MAX: u32 = 100;
/// How long the agent of a task may be out of reach before the task is started elsewhere, if its
/// job does not say.
const LOST_AFTER: Duration = Duration::from_secs(10);
/// What the results together may have that every task of a group is given: they are kept here.
const INPUT_BYTES_MAX: usize = 256 << 10;

/// Which run of which task one is that was launched.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) job: String,
    /// Of the job, for another may have its name by now.
    serial: u64,
    group: String,
    index: usize,
    run: Run,
    /// Where it is. None: launched by an earlier instance, and not heard of since.
    pub(super) agent: Option<AgentId>,
}

/// A job that is known.
#[derive(Clone, Debug)]
pub(super) struct Active {
    pub(super) kept: Kept,
    groups: BTreeMap<String, Progress>,
    /// The results of groups of which all go to each task of another, by place.
    results: BTreeMap<String, BTreeMap<usize, Vec<u8>>>,
    /// Those put together: the input of tasks.
    inputs: BTreeMap<String, Digest>,
    outputs: Outputs,
}

/// What is kept of a job as a whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) serial: u64,
    pub(super) job: Job,
    pub(super) standing: Standing,
    pub(super) failures: Vec<String>,
    /// Its groups when it had ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    last: Vec<GroupReport>,
}

/// What of an offer is left.
pub(super) struct Room {
    left: Resources,
    taken: usize,
    queued: usize,
}

impl Room {
    pub(super) fn of(offer: &Offer) -> Self {
        Self { left: offer.resources.clone(), taken: 0, queued: 0 }
    }

    /// Whether another task is launched that needs so much, of which the offer holds `whole`.
    fn takes(&mut self, needs: &Resources, whole: &Resources) -> bool {
        if self.takes_at_once(needs) {
            return true;
        }
        let may_wait = whole.contains(needs) && self.queued < self.taken * (QUEUE - 1);
        self.queued += usize::from(may_wait);
        may_wait
    }

    /// Whether another task is launched that need not wait at the agent.
    fn takes_at_once(&mut self, needs: &Resources) -> bool {
        let fits = self.left.contains(needs);
        if fits {
            self.left.subtract(needs);
            self.taken += 1;
        }
        fits
    }
}

impl Active {
    pub(super) fn new(serial: u64, job: Job) -> Self {
        let groups = job.groups.iter();
        let groups = groups.map(|(name, group)| (name.clone(), Progress::new(group.count)));
        let groups = groups.collect();
        let (standing, failures, last) = (Standing::Running, Vec::new(), Vec::new());
        let kept = Kept { serial, job, standing, failures, last };
        let (results, inputs, outputs) = Default::default();
        Self { kept, groups, results, inputs, outputs }
    }

    pub(super) fn restored(kept: Kept, state: &State) -> Self {
        let mut active = Self { kept: kept.clone(), ..Self::new(kept.serial, kept.job) };
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

    fn place(&self, group: &str, index: usize, run: Run, agent: Option<AgentId>) -> Place {
        let Kept { serial, job, .. } = &self.kept;
        Place { job: job.name.clone(), serial: *serial, group: group.into(), index, run, agent }
    }

    fn id(&self, group: &str, index: usize, run: Run) -> TaskId {
        let Kept { serial, job, .. } = &self.kept;
        let copy = if run == Run::Copy { ".copy" } else { "" };
        // The parts were checked when the job was taken.
        TaskId::new(format!("{}-{serial}.{group}.{index}{copy}", job.name)).expect("plain parts")
    }

    fn task(&self, group: &str, index: usize) -> Option<&Task> {
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

    /// Whether all that a group needs is done.
    fn is_ready(&self, group: &Group) -> bool {
        let is_done = |needed: &str| self.groups.get(needed).is_some_and(Progress::is_done);
        group.all_needs().into_iter().all(is_done)
    }

    /// What the tasks need that could begin, and how many there are of each kind.
    pub(super) fn waiting(&self) -> Vec<(Resources, u64)> {
        if self.kept.standing.is_over() {
            return Vec::new();
        }
        let mut waiting = Vec::new();
        for name in self.ready() {
            let Some(progress) = self.groups.get(&name) else { continue };
            let begun = progress.launched + progress.done + progress.failed;
            let count = progress.count() - begun;
            if let Some(group) = self.kept.job.groups.get(&name).filter(|_| count > 0) {
                waiting.push((group.work.resources.clone(), count));
            }
        }
        waiting
    }

    fn can_begin(&self) -> bool {
        !self.waiting().is_empty()
    }

    fn ready(&self) -> Vec<String> {
        let groups = self.kept.job.groups.iter();
        let ready = groups.filter(|(_, group)| self.is_ready(group));
        ready.map(|(name, _)| name.clone()).collect()
    }

    /// The stragglers of its groups, and what each of them needs.
    pub(super) fn stragglers(&self, now: Time) -> Vec<(&str, &Resources, Look)> {
        let groups = self.kept.job.groups.iter().filter(|_| !self.kept.standing.is_over());
        let looks = groups.filter_map(|(name, group)| {
            let (stragglers, progress) = (group.stragglers.as_ref()?, self.groups.get(name)?);
            let far = (progress.count(), progress.done);
            let look = stragglers.look(now, far, progress.took(), progress.alone());
            Some((name.as_str(), &group.work.resources, look))
        });
        looks.collect()
    }

    /// The tasks to launch now.
    pub(super) fn take(
        &mut self,
        driver: &mut Driver,
        offer: &Offer,
        room: &mut Room,
    ) -> Vec<(TaskSpec, Place)> {
        let mut tasks = Vec::new();
        let whole = &offer.resources;
        for name in self.ready() {
            let Some(group) = self.kept.job.groups.get(&name).cloned() else { continue };
            let begin = tasks.len();
            while let Some(progress) = self.groups.get_mut(&name)
                && let Some(index) = progress.next_waiting()
                && room.takes(&group.work.resources, whole)
            {
                let place = self.place(&name, index, Run::Own, Some(offer.agent.clone()));
                tasks.push((self.launch(driver, &group, &place), place));
            }
            self.keep_pieces(driver, &name, &tasks[begin..]);
        }
        tasks
    }

    /// The copies to launch now: of stragglers that run elsewhere.
    pub(super) fn take_copies(
        &mut self,
        driver: &mut Driver,
        offer: &Offer,
        room: &mut Room,
        launched: &BTreeMap<TaskId, Place>,
    ) -> Vec<(TaskSpec, Place)> {
        let stragglers = self.stragglers(driver.now()).into_iter();
        let due = stragglers.filter(|(.., look)| !look.due.is_empty());
        let due: Vec<_> = due.map(|(name, _, look)| (name.to_owned(), look.due)).collect();
        let mut tasks = Vec::new();
        for (name, due) in due {
            let Some(group) = self.kept.job.groups.get(&name).cloned() else { continue };
            let begin = tasks.len();
            for index in due {
                let own = launched.get(&self.id(&name, index, Run::Own));
                let agent = own.and_then(|own| own.agent.as_ref());
                let is_elsewhere = agent.is_some_and(|agent| *agent != offer.agent);
                if is_elsewhere && room.takes_at_once(&group.work.resources) {
                    let place = self.place(&name, index, Run::Copy, Some(offer.agent.clone()));
                    tasks.push((self.launch(driver, &group, &place), place));
                }
            }
            self.keep_pieces(driver, &name, &tasks[begin..]);
        }
        tasks
    }

    /// What is launched as the next attempt of a run. From now on it counts as launched.
    fn launch(&mut self, driver: &mut Driver, group: &Group, place: &Place) -> TaskSpec {
        let Place { group: name, index, run, .. } = place;
        let before = self.task(name, *index).copied().unwrap_or_default();
        let launched = before.launch(*run);
        if let Some(progress) = self.groups.get_mut(name) {
            progress.set(*index, launched);
        }
        let inputs = self.outputs.inputs(&self.kept.job, group, *index);
        let id = self.id(name, *index, *run);
        let mut task = group.task(id, launched.attempt(*run), *index, inputs);
        task.policies.lost_after.get_or_insert(LOST_AFTER);
        if let Some(input) = self.input(driver, group, *index) {
            task.grants.stdin = Some(input);
        }
        task
    }

    /// The standard input of a task.
    fn input(&mut self, driver: &mut Driver, group: &Group, index: usize) -> Option<Digest> {
        let from = group.input.as_ref()?;
        if let Some(own) = place_of_input(&self.kept.job, group, from, index) {
            return self.groups.get(from)?.get(own)?.result;
        }
        if let Some(digest) = self.inputs.get(from) {
            return Some(*digest);
        }
        let parts = self.results.get(from)?;
        let all: Vec<u8> = parts.values().flatten().copied().collect();
        let digest = driver.put(all);
        self.inputs.insert(from.clone(), digest);
        Some(digest)
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
                self.outputs.keep(driver, self.kept.serial, task, &update.outputs);
            }
            self.set(place, Task { result, ..done });
        } else if before.stage.is_launched() {
            self.failed(driver, place, before, outcome);
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

    fn failed(&mut self, driver: &mut Driver, place: &Place, before: Task, outcome: &Outcome) {
        let Place { group: name, index, run, .. } = place;
        let retries = self.kept.job.groups.get(name).map_or(0, |group| group.retries);
        let task = before.ended(*run);
        // A copy that fails beside its task costs nothing; a task's copy is its next attempt.
        let is_fault = !is_mishap(outcome) && task.stage != Stage::Launched;
        let failures = before.failures + u32::from(is_fault);
        let is_over = self.kept.standing.is_over()
            || failures > retries
            || before.attempt > retries + MISHAPS_MAX;
        let is_final = is_over && task.stage == Stage::Waiting;
        let stage = if is_final { Stage::Failed } else { task.stage };
        self.set(place, Task { stage, failures, ..task });
        if is_final && self.kept.failures.len() < FAILURES_MAX {
            let id = self.id(name, *index, *run);
            self.kept.failures.push(format!("{id}: {outcome}"));
            self.keep(driver);
        }
    }

    /// Keeps a result that another group's tasks are given.
    fn keep_result(
        &mut self,
        driver: &mut Driver,
        group: &str,
        index: usize,
        result: &[u8],
    ) -> Option<Digest> {
        let users: Vec<&Group> = self
            .kept
            .job
            .groups
            .values()
            .filter(|user| user.input.as_deref() == Some(group))
            .collect();
        let is_whole = |user: &&Group| place_of_input(&self.kept.job, user, group, 0).is_none();
        let whole = users.iter().any(is_whole);
        let single = users.iter().any(|user| !is_whole(user));
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
            driver.save(key, result.to_vec());
        }
        single.then(|| driver.put(result.to_vec()))
    }

    /// Ends it if no task of it runs or can begin.
    pub(super) fn settle(&mut self, driver: &mut Driver) {
        if self.kept.standing.is_over() {
            return;
        }
        if self.groups.values().any(|group| group.launched > 0) || self.can_begin() {
            return;
        }
        let is_done = self.groups.values().all(Progress::is_done);
        self.end(driver, if is_done { Standing::Done } else { Standing::Failed });
    }

    /// Ends it, and what of it runs. What is kept of its tasks is so until that has ended.
    pub(super) fn end(&mut self, driver: &mut Driver, standing: Standing) {
        self.kept.standing = standing;
        self.kept.last = self.report().groups;
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
    fn is_quiet(&self) -> bool {
        self.groups.values().all(Progress::is_quiet)
    }

    pub(super) fn keep(&self, driver: &mut Driver) {
        let value = serde_json::to_vec(&self.kept).unwrap_or_default();
        driver.save(format!("job/{}", self.kept.job.name), value);
    }

    fn keep_piece(&self, driver: &mut Driver, group: &str, index: usize) {
        if let Some(progress) = self.groups.get(group) {
            let (number, piece) = progress.piece(index);
            driver.save(format!("p/{}/{group}/{number}", self.kept.serial), piece);
        }
    }

    /// Keeps what tasks are in that are launched after this.
    fn keep_pieces(&self, driver: &mut Driver, group: &str, tasks: &[(TaskSpec, Place)]) {
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

    pub(super) fn forget_outputs(&mut self, driver: &mut Driver) {
        self.outputs.forget(driver, self.kept.serial);
    }

    pub(super) fn forget(&mut self, driver: &mut Driver) {
        self.forget_outputs(driver);
        driver.forget(format!("job/{}", self.kept.job.name));
        if !self.is_quiet() {
            self.forget_parts(driver);
        }
    }

    fn forget_parts(&self, driver: &mut Driver) {
        let serial = self.kept.serial;
        for (group, progress) in &self.groups {
            let pieces = progress.tasks().len().div_ceil(PIECE);
            (0..pieces).for_each(|piece| driver.forget(format!("p/{serial}/{group}/{piece}")));
            let results = self.results.get(group).into_iter().flatten();
            results.for_each(|(i, _)| driver.forget(format!("r/{serial}/{group}/{i}")));
        }
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
        let (job, outputs) = (job.name.clone(), Vec::new());
        Report { job, standing: *standing, groups, failures: failures.clone(), outputs }
    }
}

/// The one task of the group `from` whose result a task is given. None: it is given all of them.
fn place_of_input(job: &Job, group: &Group, from: &str, index: usize) -> Option<usize> {
    match job.groups.get(from)?.count {
        1 => Some(0),
        count if count == group.count => Some(index),
        _ => None,
    }
}

/// An end that is not the task's own fault.
const fn is_mishap(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Lost { .. } => true,
        Outcome::Refused { rejection } => matches!(
            rejection,
            Rejection::InvalidOffer { .. }
                | Rejection::AllocationEnded { .. }
                | Rejection::Recalled
                | Rejection::NotEnforced { .. }
                | Rejection::OffersDoNotMatch
        ),
        _ => false,
    }
}
