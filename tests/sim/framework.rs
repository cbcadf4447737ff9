//! A framework, simulated from the protocol: it has tasks to get done and speaks with the master.
//!
//! ```text
//! waiting -> launched -> done
//!    ^          |  the attempt was lost, refused or given back: again, as the next attempt
//!    +----------+
//! ```
//! Always holds: an attempt is launched once, and what is told of an older one changes nothing.

use crate::{
    master::module,
    network::{Link, Peer, Side, Word},
    sim::Sim,
};
use skep_protocol::{
    AllocationId, Attempt, FrameworkId, Outcome, Resources, Role, StatusUpdate, TaskId, TaskKey,
    TaskSpec, TaskState, Time,
    framework::{
        Acknowledgement, Answer, Call, Event, Filters, FrameworkInfo, Offer, Operation, RefusedTask,
    },
    outcome::KilledBy,
};
use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    time::Duration,
};

/// Its tasks live on without it for longer than any simulation.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(24 * 3_600);
/// How long it leaves a busy agent alone.
const REST: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Framework {
    info: FrameworkInfo,
    pub(crate) id: Option<FrameworkId>,
    pub(crate) temper: Temper,
    stage: Stage,
    link: Option<Link>,
    pub(crate) jobs: BTreeMap<TaskId, Job>,
    waiting: VecDeque<TaskId>,
    /// Launches that the master has not answered, oldest first.
    unanswered: VecDeque<Vec<(TaskId, Attempt)>>,
    appetite: Appetite,
    /// How many tasks it takes to an offer, fitting or to be queued.
    pub(crate) greed: Range<u64>,
    /// Until when it takes nothing, because it was refused what it had taken.
    rests_until: Time,
}

/// What it makes of a task that cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temper {
    /// It waits until the task is back or lost.
    Patient,
    /// It launches it again at once.
    Hasty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Here,
    /// It wants to be torn down.
    Leaving,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Appetite {
    Wanting,
    Suppressed,
}

/// One task that it wants done.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) spec: TaskSpec,
    pub(crate) stage: JobStage,
    wish: Wish,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobStage {
    Waiting,
    /// The allocation is known once the master has answered.
    Launched(Option<AllocationId>),
    Done,
}

/// Whether it still wants the task done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Done,
    Killed,
}

impl Framework {
    pub(crate) fn new(name: &str, role: &str, temper: Temper) -> Self {
        let role = Role::new(role).expect("a role of the simulation");
        let failover_timeout = FAILOVER_TIMEOUT;
        Self {
            info: FrameworkInfo { name: name.into(), role, failover_timeout },
            id: None,
            temper,
            stage: Stage::Here,
            link: None,
            jobs: BTreeMap::new(),
            waiting: VecDeque::new(),
            unanswered: VecDeque::new(),
            appetite: Appetite::Wanting,
            greed: 1..9,
            rests_until: Time::ZERO,
        }
    }

    pub(crate) const fn role(&self) -> &Role {
        &self.info.role
    }

    pub(crate) fn principal(&self) -> String {
        format!("framework/{}", self.info.name)
    }

    pub(crate) fn wants_connection(&self) -> bool {
        self.link.is_none() && self.stage != Stage::Gone
    }

    /// Whether all it wants is done and nothing it said is unanswered.
    pub(crate) fn is_quiet(&self) -> bool {
        let is_done = self.jobs.values().all(|job| job.stage == JobStage::Done);
        match self.stage {
            Stage::Here => is_done && self.link.is_some() && self.unanswered.is_empty(),
            Stage::Leaving => false,
            Stage::Gone => true,
        }
    }

    pub(crate) fn key(&self, task: &TaskId) -> Option<TaskKey> {
        let (framework, task) = (self.id.clone()?, task.clone());
        let attempt = self.jobs.get(&task)?.spec.attempt;
        Some(TaskKey { framework, task, attempt })
    }

    fn resources(&self, task: &TaskId) -> Resources {
        self.jobs.get(task).map(|job| job.spec.resources.clone()).unwrap_or_default()
    }

    /// The attempt has come to nothing.
    fn again(&mut self, task: &TaskId) {
        let Some(job) = self.jobs.get_mut(task) else { return };
        if !matches!(job.stage, JobStage::Launched(_)) {
            return;
        }
        job.spec.attempt = job.spec.attempt.next();
        if job.wish == Wish::Killed {
            job.stage = JobStage::Done;
        } else {
            job.stage = JobStage::Waiting;
            self.waiting.push_back(task.clone());
        }
    }

    /// Takes waiting tasks that fit `room` one by one, and at most `most` of them.
    fn take(&mut self, room: &Resources, most: u64) -> Vec<TaskSpec> {
        let mut taken = Vec::new();
        for _ in 0..self.waiting.len() {
            let Some(task) = self.waiting.pop_front() else { break };
            let Some(job) = self.jobs.get_mut(&task) else { continue };
            if (taken.len() as u64) < most && room.contains(&job.spec.resources) {
                job.stage = JobStage::Launched(None);
                taken.push(job.spec.clone());
            } else {
                self.waiting.push_back(task);
            }
        }
        taken
    }

    /// What an update means for its task; gives the allocation in which it has made room.
    fn follow(&mut self, update: &StatusUpdate) -> Option<AllocationId> {
        let StatusUpdate { key: TaskKey { task, attempt, .. }, state, .. } = update;
        let job = self.jobs.get_mut(task)?;
        let JobStage::Launched(allocation) = job.stage else { return None };
        if *attempt < job.spec.attempt {
            return None;
        }
        match state {
            TaskState::Unreachable if self.temper == Temper::Hasty => self.again(task),
            TaskState::Ended(Outcome::Killed { by: KilledBy::AgentStopped })
            | TaskState::Ended(
                Outcome::Lost { .. } | Outcome::Refused { .. } | Outcome::Failed { .. },
            ) => self.again(task),
            TaskState::Ended(_) => {
                job.stage = JobStage::Done;
                return allocation;
            }
            _ => {}
        }
        None
    }
}

impl Sim {
    fn call(&mut self, number: usize, call: Call) {
        if let Some(link) = self.frameworks[number].link {
            self.send(link, Side::Peer, Word::FromFramework(call));
        }
    }

    /// Gives a framework a task that runs for so long and exits with this code.
    pub(crate) fn submit(
        &mut self,
        number: usize,
        resources: Resources,
        time: Duration,
        code: u8,
    ) -> TaskId {
        let framework = &mut self.frameworks[number];
        let task = TaskId::new(format!("t{}", framework.jobs.len() + 1)).expect("a good id");
        let mut spec = TaskSpec::new(task.clone(), module(), resources);
        spec.args = vec![time.as_millis().to_string(), code.to_string()];
        let (stage, wish) = (JobStage::Waiting, Wish::Done);
        framework.jobs.insert(task.clone(), Job { spec, stage, wish });
        framework.waiting.push_back(task.clone());
        self.say_appetite(number);
        task
    }

    /// Asks for offers while tasks wait, and only then.
    fn say_appetite(&mut self, number: usize) {
        let framework = &mut self.frameworks[number];
        let appetite = match framework.waiting.is_empty() {
            true => Appetite::Suppressed,
            false => Appetite::Wanting,
        };
        if framework.id.is_none() || framework.appetite == appetite {
            return;
        }
        framework.appetite = appetite;
        self.call(
            number,
            match appetite {
                Appetite::Suppressed => Call::Suppress,
                Appetite::Wanting => Call::Revive,
            },
        );
    }

    /// The framework no longer wants a task.
    pub(crate) fn kill(&mut self, number: usize, task: &TaskId) {
        let framework = &mut self.frameworks[number];
        let Some(job) = framework.jobs.get_mut(task) else { return };
        job.wish = Wish::Killed;
        match job.stage {
            JobStage::Waiting => {
                job.stage = JobStage::Done;
                framework.waiting.retain(|waiting| waiting != task);
                self.say_appetite(number);
            }
            JobStage::Launched(_) => self.call(number, Call::Kill { task: task.clone() }),
            JobStage::Done => {}
        }
    }

    /// The framework leaves for good; nothing of it is wanted any more.
    pub(crate) fn tear_down(&mut self, number: usize) {
        let framework = &mut self.frameworks[number];
        if framework.stage != Stage::Here {
            return;
        }
        framework.stage = Stage::Leaving;
        framework.waiting.clear();
        framework.jobs.clear();
        self.promises.departs(framework.id.as_ref());
        self.call(number, Call::Teardown);
    }

    pub(crate) fn framework_connected(&mut self, number: usize, link: Link) {
        let framework = &mut self.frameworks[number];
        framework.link = Some(link);
        let (id, info) = (framework.id.clone(), framework.info.clone());
        self.call(number, Call::Subscribe { framework: id, info });
    }

    pub(crate) fn framework_disconnected(&mut self, number: usize, link: Link) {
        let framework = &mut self.frameworks[number];
        if framework.link == Some(link) {
            framework.link = None;
            // What became of these is told, or asked for, on the next connection.
            framework.unanswered.clear();
            self.dial_later(Peer::Framework(number));
        }
    }

    pub(crate) fn framework_hears(&mut self, number: usize, event: Event) {
        self.trace.turn(self.now, &self.frameworks[number].principal(), &event, &());
        if self.frameworks[number].stage != Stage::Here {
            return self.leaving_framework_hears(number, &event);
        }
        match event {
            Event::Subscribed { framework } => self.subscribed(number, framework),
            Event::Offers { offers } => {
                for offer in offers {
                    self.use_offer(number, &offer);
                }
            }
            Event::Answered { answer, .. } => self.answered(number, answer),
            Event::StatusUpdates { updates } => self.updated(number, updates),
            Event::Refused { rejection } => {
                panic!("the master turned away a rightful framework {number}: {rejection}")
            }
            Event::TasksAccepted { tasks, .. } => {
                self.promises.accepts(self.frameworks[number].id.as_ref(), tasks);
            }
            Event::Rescinded { .. } | Event::Progressed { .. } => {}
        }
        self.say_appetite(number);
    }

    fn leaving_framework_hears(&mut self, number: usize, event: &Event) {
        match event {
            Event::Subscribed { framework } => {
                self.frameworks[number].id = Some(framework.clone());
                self.call(number, Call::Teardown);
            }
            Event::Refused { .. } => self.frameworks[number].stage = Stage::Gone,
            _ => {}
        }
    }

    fn subscribed(&mut self, number: usize, id: FrameworkId) {
        let framework = &mut self.frameworks[number];
        let known = framework.id.get_or_insert_with(|| id.clone());
        assert_eq!(*known, id, "framework {number} was given another name");
        framework.appetite = Appetite::Wanting;
        let launched = |(_, job): &(_, &Job)| matches!(job.stage, JobStage::Launched(_));
        let launched: Vec<(&TaskId, &Job)> = framework.jobs.iter().filter(launched).collect();
        let unwanted = launched.iter().filter(|(_, job)| job.wish == Wish::Killed);
        let kills: Vec<TaskId> = unwanted.map(|(task, _)| (*task).clone()).collect();
        let name = |(task, job): (&TaskId, &Job)| (task.clone(), job.spec.attempt);
        let tasks: Vec<(TaskId, Attempt)> = launched.into_iter().map(name).collect();
        if !tasks.is_empty() {
            self.call(number, Call::Reconcile { tasks });
        }
        for task in kills {
            self.call(number, Call::Kill { task });
        }
    }

    /// Launches what fits, and now and then more, which the agent is to queue.
    fn use_offer(&mut self, number: usize, offer: &Offer) {
        let most = self.random.number(self.frameworks[number].greed.clone());
        let refuse = Some(self.random.duration(&(Duration::ZERO..Duration::from_secs(2))));
        let framework = &mut self.frameworks[number];
        let rests = framework.rests_until.since(self.now);
        let offers = vec![offer.id];
        if !rests.is_zero() {
            let filters = Filters { refuse: Some(rests) };
            return self.call(number, Call::Decline { offers, filters });
        }
        let tasks = framework.take(&offer.resources, most);
        if tasks.is_empty() {
            return self.call(number, Call::Decline { offers, filters: Filters { refuse } });
        }
        framework.unanswered.push_back(names(&tasks));
        self.promises.launches(framework.id.as_ref(), &tasks);
        let tasks = tasks.into_iter().map(Ok).collect();
        let operations = vec![Operation::Launch { tasks }];
        self.call(number, Call::Accept { offers, operations, filters: Filters::default() });
    }

    /// Fills up an allocation that a task has left.
    fn refill(&mut self, number: usize, allocation: AllocationId, room: &Resources) {
        let most = self.random.number(0..4);
        let framework = &mut self.frameworks[number];
        let tasks = framework.take(room, most);
        if tasks.is_empty() {
            return;
        }
        framework.unanswered.push_back(names(&tasks));
        self.promises.launches(framework.id.as_ref(), &tasks);
        let tasks = tasks.into_iter().map(Ok).collect();
        self.call(number, Call::Enqueue { allocation, tasks });
    }

    fn answered(&mut self, number: usize, answer: Answer) {
        let framework = &mut self.frameworks[number];
        let asked = framework.unanswered.pop_front();
        let asked = asked.expect("the master answers what was asked, once");
        let refused: Vec<(TaskId, Attempt)> = match answer {
            Answer::Launched { allocation, refused, .. } => {
                for (task, attempt) in &asked {
                    if let Some(job) = framework.jobs.get_mut(task)
                        && job.spec.attempt == *attempt
                        && matches!(job.stage, JobStage::Launched(None))
                    {
                        job.stage = JobStage::Launched(Some(allocation));
                    }
                }
                let name = |refused: RefusedTask| (refused.task, refused.attempt);
                refused.into_iter().map(name).collect()
            }
            Answer::Rejected { tasks, .. } => {
                assert_eq!(tasks, asked, "an answer names other tasks than were asked for");
                tasks
            }
        };
        for (task, attempt) in refused {
            let framework = &self.frameworks[number];
            if let Some(key) = framework.key(&task).filter(|key| key.attempt == attempt) {
                self.promises.refuses(&key);
                self.frameworks[number].again(&task);
            }
        }
    }

    fn updated(&mut self, number: usize, updates: Vec<StatusUpdate>) {
        let mut acknowledgements = Vec::new();
        let mut left = Vec::new();
        for update in updates {
            let StatusUpdate { key, seq, .. } = &update;
            if *seq > 0 {
                acknowledgements.push(Acknowledgement { key: key.clone(), seq: *seq });
            }
            let framework = &mut self.frameworks[number];
            let newest = framework.key(&key.task);
            self.promises.tells(framework.id.as_ref(), newest.as_ref(), &update);
            if matches!(update.state, TaskState::Ended(Outcome::Refused { .. })) {
                framework.rests_until = self.now + REST;
            }
            if update.state == TaskState::Unreachable && framework.temper == Temper::Hasty {
                self.promises.gives_up(key.clone());
            }
            let room = framework.resources(&key.task);
            left.extend(framework.follow(&update).map(|allocation| (allocation, room)));
        }
        if !acknowledgements.is_empty() {
            self.call(number, Call::Acknowledge { acknowledgements });
        }
        for (allocation, room) in left {
            self.refill(number, allocation, &room);
        }
    }
}

fn names(tasks: &[TaskSpec]) -> Vec<(TaskId, Attempt)> {
    tasks.iter().map(|spec| (spec.task.clone(), spec.attempt)).collect()
}
