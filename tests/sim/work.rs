//! What was ordered of the schedulers that come with skep, and how far it is: known from the
//! orders, and from what goes to and fro between them and the master, not from them.
//!
//! | promise | where it shows |
//! |---|---|
//! | nothing waits for long while an agent has what it asked for | `work/look.rs` |
//! | a job ends done when all of it is, and failed for a reason | [`Sim::check_job`] |
//! | what was used is given back | `work/look.rs` |
//! | who waits is told a reason that is so | `work/reasons.rs` |
//! | a command that is gone leaves nothing | [`Sim::leftovers`] |

mod graph;
mod kept;
mod look;
mod reasons;

pub(crate) use graph::Graph;
pub(crate) use kept::{Kept, What};

use crate::{
    person::Order,
    shipped::{Kind, Mind, Stage},
    sim::Sim,
};
use skep_frameworks::{
    batch::{self, Job, Report, Standing},
    cron, service,
};
use skep_protocol::{
    Attempt, Rejection, Resources, StatusUpdate, TaskId, TaskKey, TaskSpec, TaskState, Time,
    framework::Answer,
    operator::{Request, Response},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What was ordered, and was taken.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    Job(Box<Job>),
    NoJob(String),
    Kept(What),
    Scaled(String, u32),
    NotKept(String),
}

/// What a scheduler is told.
#[derive(Debug)]
pub(crate) enum Told<'a> {
    Update(&'a StatusUpdate),
    Answer(&'a Answer),
}

#[derive(Debug, Default)]
pub(crate) struct Work {
    /// By the schedulers' numbers.
    schedulers: Vec<Wanted>,
    look: look::Memory,
}

/// What is wanted of one scheduler.
#[derive(Debug, Default)]
struct Wanted {
    /// By name.
    jobs: BTreeMap<String, Graph>,
    /// By name.
    kept: BTreeMap<String, Kept>,
    /// When it last gave an offer back, or let one expire.
    declined: Time,
    /// Tasks that were launched, and whose end was not told.
    live: BTreeMap<TaskId, Attempt>,
}

/// Tasks that could run and do not.
#[derive(Clone, Debug)]
pub(crate) struct Wait {
    /// For people, and to know it again.
    pub(crate) what: String,
    /// What one of them needs.
    pub(crate) needs: Resources,
    /// A volume that it needs.
    pub(crate) volume: Option<String>,
    /// Since when none of them was launched.
    pub(crate) since: Time,
}

impl Wish {
    pub(crate) fn of(order: &Order) -> Option<Self> {
        match order {
            Order::Batch(batch::Order::Submit { job }) => Some(Self::Job(job.clone())),
            Order::Batch(batch::Order::Stop { job }) => Some(Self::NoJob(job.clone())),
            Order::Service(service::Order::Apply { spec }) => {
                Some(Self::Kept(What::Service(spec.clone())))
            }
            Order::Service(service::Order::Scale { name, copies }) => {
                Some(Self::Scaled(name.clone(), *copies))
            }
            Order::Cron(cron::Order::Apply { spec }) => {
                Some(Self::Kept(What::Schedule(spec.clone())))
            }
            Order::Supervisor(skep_supervisor::Order::Run(hosted)) => {
                Some(Self::Kept(What::Hosted(Box::new(hosted.clone()))))
            }
            Order::Service(service::Order::Remove { name })
            | Order::Cron(cron::Order::Remove { name })
            | Order::Supervisor(skep_supervisor::Order::Kill { name }) => {
                Some(Self::NotKept(name.clone()))
            }
            _ => None,
        }
    }
}

impl Work {
    pub(crate) fn add(&mut self, now: Time, kind: &Kind) {
        let mut wanted = Wanted::default();
        if let Kind::Once(job) = kind {
            wanted.jobs.insert(job.name.clone(), Graph::new(Job::clone(job), now));
        }
        self.schedulers.push(wanted);
    }

    /// An order is given: what comes of it may be seen before the person hears that it is taken.
    pub(crate) fn gives(&mut self, scheduler: usize, now: Time, wish: &Wish) {
        let wanted = &mut self.schedulers[scheduler];
        match wish {
            Wish::Job(job) => {
                let graph = || Graph::new(Job::clone(job), now);
                wanted.jobs.entry(job.name.clone()).or_insert_with(graph);
            }
            Wish::Kept(what) => {
                let kept = || Kept::new(what.clone(), now);
                wanted.kept.entry(what.name()).or_insert_with(kept);
            }
            Wish::NoJob(_) | Wish::Scaled(..) | Wish::NotKept(_) => {}
        }
        let name = match wish {
            Wish::Kept(what) => what.name(),
            Wish::Scaled(name, _) => name.clone(),
            _ => return,
        };
        if let Some(kept) = wanted.kept.get_mut(&name) {
            kept.orders(now);
        }
    }

    pub(crate) fn wished(&mut self, scheduler: usize, now: Time, wish: Wish) {
        let wanted = &mut self.schedulers[scheduler];
        match wish {
            Wish::Job(_) => {}
            Wish::NoJob(name) => {
                if let Some(graph) = wanted.jobs.get_mut(&name) {
                    graph.is_stopped = true;
                }
            }
            Wish::Kept(what) => match wanted.kept.get_mut(&what.name()) {
                Some(kept) => kept.change(what, now),
                None => drop(wanted.kept.insert(what.name(), Kept::new(what, now))),
            },
            Wish::Scaled(name, copies) => {
                if let Some(kept) = wanted.kept.get_mut(&name) {
                    kept.scale(copies, now);
                }
            }
            Wish::NotKept(name) => {
                if let Some(kept) = wanted.kept.get_mut(&name) {
                    kept.remove(now);
                }
            }
        }
    }

    pub(crate) fn launched(&mut self, scheduler: usize, now: Time, spec: &TaskSpec) {
        let wanted = &mut self.schedulers[scheduler];
        wanted.live.insert(spec.task.clone(), spec.attempt);
        if let Some((graph, place)) = wanted.place_of(&spec.task) {
            graph.launched(now, &place);
        }
        if let Some(kept) = wanted.kept_of(&spec.task) {
            kept.launched(now, &spec.task);
        }
    }

    /// A scheduler has a task ended.
    pub(crate) fn killed(&mut self, scheduler: usize, now: Time, task: &TaskId) {
        if let Some(kept) = self.schedulers[scheduler].kept_of(task) {
            kept.killed(now, task);
        }
    }

    /// A scheduler gives offers back, or has let one expire.
    pub(crate) fn declined(&mut self, scheduler: usize, now: Time) {
        self.schedulers[scheduler].declined = now;
    }

    /// A guest begins on an agent.
    pub(crate) fn starts(&mut self, scheduler: usize, key: &TaskKey) {
        if let Some(kept) = self.schedulers[scheduler].kept_of(&key.task) {
            kept.starts(&key.task, key.attempt);
        }
    }

    pub(crate) fn told(&mut self, scheduler: usize, now: Time, told: &Told<'_>) {
        let wanted = &mut self.schedulers[scheduler];
        match told {
            Told::Update(StatusUpdate { key, state: TaskState::Ended(outcome), .. }) => {
                let was_live = wanted.ends(&key.task, key.attempt);
                if let Some((graph, place)) = wanted.place_of(&key.task).filter(|_| was_live) {
                    graph.ended(now, &place, outcome);
                }
                if let Some(kept) = wanted.kept_of(&key.task).filter(|_| was_live) {
                    kept.ended(now, &key.task, outcome);
                }
            }
            Told::Answer(Answer::Launched { refused, .. }) => {
                for refused in refused {
                    wanted.refused(now, (&refused.task, refused.attempt), &refused.rejection);
                }
            }
            Told::Answer(Answer::Rejected { tasks, rejection }) => {
                for (task, attempt) in tasks {
                    wanted.refused(now, (task, *attempt), rejection);
                }
            }
            _ => {}
        }
    }

    /// How long all jobs that were ordered would take at most, one task after the other.
    pub(crate) fn time_in_all(&self) -> Duration {
        let jobs = self.schedulers.iter().flat_map(|wanted| wanted.jobs.values());
        jobs.map(Graph::time_in_all).sum()
    }

    /// Nobody acts for a scheduler any more.
    pub(crate) fn leaves(&mut self, scheduler: usize, _now: Time) {
        self.schedulers[scheduler] = Wanted::default();
    }
}

impl Wanted {
    fn place_of(&mut self, task: &TaskId) -> Option<(&mut Graph, graph::Place)> {
        let (job, place) = graph::Place::of(task)?;
        Some((self.jobs.get_mut(&job)?, place))
    }

    /// The service, schedule or hosted scheduler that a task is of.
    fn kept_of(&mut self, task: &TaskId) -> Option<&mut Kept> {
        let name = task.as_str().split('.').next()?;
        self.kept.get_mut(name)
    }

    /// Whether an attempt is the one that lives; from now on it does not.
    fn ends(&mut self, task: &TaskId, attempt: Attempt) -> bool {
        let is_live = self.live.get(task).is_some_and(|live| attempt >= *live);
        is_live && self.live.remove(task).is_some()
    }

    fn refused(&mut self, now: Time, (task, attempt): (&TaskId, Attempt), rejection: &Rejection) {
        if !self.ends(task, attempt) {
            return;
        }
        if let Some((graph, place)) = self.place_of(task) {
            graph.refused(&place, rejection);
        }
        if let Some(kept) = self.kept_of(task) {
            kept.refused(now, task, rejection);
        }
    }

    /// Forgets the tasks that were not launched after all. Those that were adopted are what their
    /// scheduler waits for.
    fn forget(
        &mut self,
        adopted: &BTreeMap<TaskId, Attempt>,
        is_launched: impl Fn(&TaskId, Attempt) -> bool,
    ) {
        let kept = &mut self.kept;
        self.live.retain(|task, attempt| {
            if let Some(adopted) = adopted.get(task) {
                *attempt = *adopted;
                return true;
            }
            let is_launched = is_launched(task, *attempt);
            let name = task.as_str().split('.').next().unwrap_or_default();
            if let Some(kept) = kept.get_mut(name).filter(|_| !is_launched) {
                kept.forget(task);
            }
            is_launched
        });
    }

    fn waits(&self) -> Vec<Wait> {
        let of_jobs = self.jobs.values().flat_map(|graph| graph.waits(&self.live));
        of_jobs.chain(self.kept.values().filter_map(Kept::wait)).collect()
    }
}

impl Sim {
    /// What is not done of what was ordered, if anything is not.
    pub(crate) fn work_left(&self) -> Option<String> {
        if let Some(order) = self.person.waits_for() {
            return Some(order);
        }
        for (number, wanted) in self.work.schedulers.iter().enumerate() {
            let shipped = &self.shipped[number];
            if matches!(shipped.stage, Stage::Gone(_)) {
                continue;
            }
            if let Some(job) = wanted.jobs.values().find(|graph| !graph.is_over()) {
                return Some(format!("scheduler {number} has not ended job {job}"));
            }
            if let Some((name, kept)) = wanted.kept.iter().find(|(_, kept)| kept.is_wanted()) {
                return Some(format!("{name} is still wanted of scheduler {number}: {kept:?}"));
            }
            if !wanted.live.is_empty() {
                return Some(format!("tasks of scheduler {number} live: {:?}", wanted.live));
            }
            if !shipped.is_connected() {
                return Some(format!("scheduler {number} is not connected"));
            }
        }
        self.leftovers()
    }

    /// Another instance of a scheduler has subscribed. What the one before it had launched, and
    /// neither the master nor an agent has heard of, never was. This one does not know of it if its
    /// record did not arrive either, and is told nothing.
    pub(crate) fn forget_what_nobody_heard(&mut self, number: usize) {
        let (Some(framework), true) =
            (self.shipped[number].id.clone(), self.master.process.is_some())
        else {
            return;
        };
        let shown = self.masters_view();
        let shown = shown.iter().filter(|view| view.framework == framework.as_str());
        let shown = shown.map(|view| format!("{}#{}", view.task, view.attempt));
        let shown: BTreeSet<String> = shown.collect();
        let (agents, adopted) = (&self.agents, &self.shipped[number].adopted);
        let is_heard = |task: &TaskId, attempt: Attempt| {
            let key = TaskKey { framework: framework.clone(), task: task.clone(), attempt };
            let record = format!("task/{key}");
            shown.contains(&format!("{task}#{}", attempt.0))
                || agents.iter().any(|agent| agent.disk.keys().any(|row| row.starts_with(&record)))
        };
        self.work.schedulers[number].forget(adopted, is_heard);
    }

    /// What is left of commands that are gone, or is held for nobody, if anything is.
    fn leftovers(&self) -> Option<String> {
        let listed = match self.view(&Request::Frameworks) {
            Some(Response::Frameworks(views)) => views.frameworks,
            _ => Vec::new(),
        };
        let gone = self.shipped.iter().filter(|shipped| matches!(shipped.stage, Stage::Gone(_)));
        for id in gone.filter_map(|shipped| shipped.id.as_ref()) {
            if listed.iter().any(|view| view.framework == id.as_str()) {
                return Some(format!("{id} is gone and still listed"));
            }
        }
        let agents = self.agents_view();
        let held = agents.iter().find(|agent| !agent.allocated.is_empty());
        held.map(|agent| {
            format!("of agent {} {:?} is not given back", agent.agent, agent.allocated)
        })
    }

    /// Compares what schedulers say of their jobs with what is known.
    pub(crate) fn check_jobs(&mut self) {
        for (number, shipped) in self.shipped.iter().enumerate() {
            let (Mind::Batch(batch), Stage::Here) = (&shipped.mind, shipped.stage) else {
                continue;
            };
            for report in batch.reports() {
                if let Some(graph) = self.work.schedulers[number].jobs.get_mut(&report.job) {
                    check_job(graph, &report);
                }
            }
        }
    }
}

/// A job has ended as it should.
fn check_job(graph: &mut Graph, report: &Report) {
    let name = &report.job;
    match report.standing {
        Standing::Running => {}
        Standing::Done => assert!(graph.is_done(), "job {name} is called done: {graph}"),
        Standing::Failed => assert!(graph.has_failed(), "job {name} is called failed: {graph}"),
        Standing::Stopped => {}
    }
    if report.standing.is_over() {
        graph.is_ended = true;
    }
}
