//! What a framework says to the master, and what it makes of what it hears.

use super::{Appetite, Job, JobStage, Stage, Temper, Wish};
use crate::{
    master::module,
    network::{Link, Peer, Side, Word},
    promises::Mark,
    schedule,
    sim::Sim,
};
use skep_protocol::{
    AllocationId, Attempt, FrameworkId, Outcome, Rejection, Resources, StatusUpdate, TaskId,
    TaskKey, TaskSpec, TaskState,
    framework::{Acknowledgement, Answer, Call, Event, Filters, Offer, Operation, RefusedTask},
    outcome::TaskMessage,
    task::{DirGrant, DirSource, Output},
};
use std::time::Duration;

/// How long a framework that collects slowly takes to read what tasks wrote.
const COLLECTING: Duration = Duration::from_secs(3);
/// How long a framework leaves agents alone that have refused what it launched.
const REST: Duration = Duration::from_secs(1);

/// What became of an instance that is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Older {
    Dead,
    /// It knows nothing of the other.
    StillThere,
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
        let place = framework.jobs.len();
        if place % 4 == 1 {
            // It says now and then how far it is.
            spec.args.push((place % 16).to_string());
        }
        if place % 5 == 4 {
            spec.policies.lost_after = Some(Duration::from_secs(place as u64));
        }
        if place % 3 == 2 {
            // It ends only when that has reached the master.
            spec.grants.dirs.push(DirGrant::read_write(DirSource::Sandbox, "."));
            spec.outputs.push(Output::new("out"));
        }
        let (stage, wish) = (JobStage::Waiting, Wish::Done);
        framework.jobs.insert(task.clone(), Job { spec, stage, wish });
        framework.waiting.push_back(task.clone());
        self.say_appetite(number);
        task
    }

    /// Asks for offers while tasks wait, and only then.
    fn say_appetite(&mut self, number: usize) {
        let framework = &mut self.frameworks[number];
        let appetite =
            if framework.waiting.is_empty() { Appetite::Suppressed } else { Appetite::Wanting };
        if framework.id.is_none() || framework.appetite == appetite {
            return;
        }
        framework.appetite = appetite;
        let call = match appetite {
            Appetite::Suppressed => Call::Suppress { roles: [].into() },
            Appetite::Wanting => Call::Revive { roles: [].into() },
        };
        self.call(number, call);
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
            JobStage::Launched(_) => self.order_to_kill(number, task.clone()),
            JobStage::Done => {}
        }
    }

    fn order_to_kill(&mut self, number: usize, task: TaskId) {
        if let Some(framework) = &self.frameworks[number].id {
            self.promises.settles(framework, &task);
        }
        self.call(number, Call::Kill { task });
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
        framework.master_run = self.master.runs;
        framework.connections += 1;
        let subscribe = Call::Subscribe {
            framework: framework.id.clone(),
            run: framework.run,
            connection: framework.connections,
            info: framework.info.clone(),
        };
        self.call(number, subscribe);
    }

    /// Another instance takes over, on another machine: it knows all that the older one did.
    pub(crate) fn fail_over(&mut self, number: usize, older: Older) {
        let run = self.random.next();
        let framework = &mut self.frameworks[number];
        // One that was never given a name cannot be taken over: the next is another framework.
        let Some(link) = framework.link.take_if(|_| framework.id.is_some()) else { return };
        (framework.run, framework.connections) = (run, 0);
        framework.failovers += 1;
        framework.unanswered.clear();
        framework.older.insert(link);
        self.dial_later(Peer::Framework(number));
        if older == Older::Dead {
            self.drop_link(link, Side::Peer);
        }
    }

    /// An instance that has been replaced hears something, and may not know better than to act.
    fn older_instance_hears(&mut self, number: usize, link: Link, event: &Event) {
        if let Event::Refused { rejection } = event {
            if matches!(rejection, Rejection::Undelivered { .. }) {
                return;
            }
            let is_told = matches!(
                rejection,
                Rejection::FailedOver { .. } | Rejection::UnknownFramework { .. }
            );
            assert!(is_told, "an older instance of framework {number} is told {rejection}");
            self.frameworks[number].older.remove(&link);
            return;
        }
        let jobs: Vec<TaskId> = self.frameworks[number].jobs.keys().cloned().collect();
        if self.random.once_in(8)
            && let Some(task) = self.random.pick(&jobs).cloned()
        {
            if let Some(framework) = &self.frameworks[number].id {
                self.promises.settles(framework, &task);
            }
            self.send(link, Side::Peer, Word::FromFramework(Call::Kill { task }));
        }
    }

    pub(crate) fn framework_disconnected(&mut self, number: usize, link: Link) {
        let framework = &mut self.frameworks[number];
        framework.older.remove(&link);
        if framework.link == Some(link) {
            framework.link = None;
            // What became of these is told, or asked for, on the next connection.
            framework.unanswered.clear();
            self.dial_later(Peer::Framework(number));
        }
    }

    pub(crate) fn framework_hears(&mut self, number: usize, link: Link, event: Event) {
        self.trace.turn(self.now, &self.frameworks[number].principal(), &event, &());
        if self.frameworks[number].older.contains(&link) {
            return self.older_instance_hears(number, link, &event);
        }
        if self.frameworks[number].stage != Stage::Here {
            return self.leaving_framework_hears(number, &event);
        }
        match event {
            Event::Subscribed { framework, .. } => self.subscribed(number, framework),
            Event::Offers { offers } => {
                for offer in offers {
                    self.use_offer(number, &offer);
                }
            }
            Event::Answered { answer, .. } => self.answered(number, answer),
            Event::StatusUpdates { updates } => self.updated(number, updates),
            // The last word of an instance that was replaced came after the first of this one. It
            // may be dead, so somebody starts another.
            Event::Refused { rejection: Rejection::FailedOver { .. } }
                if self.frameworks[number].failovers > 0 =>
            {
                return self.fail_over(number, Older::Dead);
            }
            // Its answer came too late.
            Event::Refused { rejection: Rejection::Undelivered { .. } } => {}
            Event::Refused { rejection } => {
                panic!("the master turned away a rightful framework {number}: {rejection}")
            }
            Event::TasksAccepted { tasks, .. } => {
                self.promises.accepts(self.frameworks[number].id.as_ref(), tasks);
            }
            Event::Message(message) => self.answer_message(number, message),
            Event::Rescinded { .. }
            | Event::Progressed { .. }
            | Event::InverseOffers { .. }
            | Event::InverseRescinded { .. }
            | Event::Asked { .. } => {}
        }
        self.say_appetite(number);
    }

    fn leaving_framework_hears(&mut self, number: usize, event: &Event) {
        match event {
            Event::Subscribed { framework, .. } => {
                self.frameworks[number].id = Some(framework.clone());
                self.call(number, Call::Teardown);
            }
            Event::Refused { rejection: Rejection::Undelivered { .. } } => {}
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
            self.order_to_kill(number, task);
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
        let most = self.random.number(self.frameworks[number].refills.clone());
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
        let refused: Vec<RefusedTask> = match answer {
            Answer::Launched { allocation, refused, .. } => {
                for (task, attempt) in &asked {
                    if let Some(job) = framework.jobs.get_mut(task)
                        && job.spec.attempt == *attempt
                        && matches!(job.stage, JobStage::Launched(None))
                    {
                        job.stage = JobStage::Launched(Some(allocation));
                    }
                }
                refused
            }
            Answer::Applied => panic!("nothing was asked for but launches"),
            Answer::Rejected { rejection, tasks } => {
                assert_eq!(tasks, asked, "an answer names other tasks than were asked for");
                let refuse = |(task, attempt)| {
                    let rejection = rejection.clone();
                    RefusedTask { task, attempt, rejection }
                };
                tasks.into_iter().map(refuse).collect()
            }
        };
        for RefusedTask { task, attempt, rejection } in refused {
            let framework = &mut self.frameworks[number];
            if let Some(key) = framework.key(&task).filter(|key| key.attempt == attempt) {
                framework.again(&task);
                self.promises.refuses(&key, framework.master_run);
            }
            if matches!(rejection, Rejection::DuplicateTask { .. }) {
                // The attempt that was given up is back.
                framework.rests_until = self.now + REST;
                self.order_to_kill(number, task);
            }
        }
    }

    /// Says a task's message back to the attempt that it came from.
    fn answer_message(&mut self, number: usize, message: TaskMessage) {
        let TaskMessage { key, bytes } = message;
        let mark = Mark::read(&bytes);
        assert_eq!(mark.key, key, "a message is told as another task's");
        self.promises.framework_hears(self.frameworks[number].id.as_ref(), &mark);
        let TaskKey { task, attempt, .. } = key;
        self.call(number, Call::Message { task, attempt: Some(attempt), bytes });
    }

    fn updated(&mut self, number: usize, updates: Vec<StatusUpdate>) {
        let (mut acknowledgements, mut ends) = (Vec::new(), Vec::new());
        let (mut left, mut unwanted) = (Vec::new(), Vec::new());
        for update in updates {
            let StatusUpdate { key, seq, .. } = &update;
            if *seq > 0 {
                let acknowledgement = Acknowledgement { key: key.clone(), seq: *seq };
                let is_end = update.state.is_terminal();
                match is_end && collects_slowly(number) {
                    true => ends.push(acknowledgement),
                    false => acknowledgements.push(acknowledgement),
                }
            }
            let framework = &mut self.frameworks[number];
            let newest = framework.key(&key.task);
            let (id, run) = (framework.id.as_ref(), framework.master_run);
            self.promises.tells(self.now, id, newest.as_ref(), run, &update);
            if matches!(update.state, TaskState::Ended(Outcome::Refused { .. })) {
                framework.rests_until = self.now + REST;
            }
            if update.state == TaskState::Unreachable && framework.temper == Temper::Hasty {
                self.promises.gives_up(key.clone());
            }
            if framework.is_back_unwanted(&update) {
                unwanted.push(key.task.clone());
            }
            let room = framework.resources(&key.task);
            left.extend(framework.follow(&update).map(|allocation| (allocation, room)));
        }
        if !acknowledgements.is_empty() {
            self.call(number, Call::Acknowledge { acknowledgements });
        }
        if !ends.is_empty() {
            let collects = schedule::Event::FrameworkCollects { framework: number, ends };
            self.schedule.arrange(self.now + COLLECTING, collects);
        }
        for task in unwanted {
            self.order_to_kill(number, task);
        }
        for (allocation, room) in left {
            self.refill(number, allocation, &room);
        }
    }
}

impl Sim {
    /// What these tasks wrote is collected, if the framework is there. Otherwise their ends are
    /// told again when it is.
    pub(crate) fn collect(&mut self, number: usize, ends: Vec<Acknowledgement>) {
        let framework = &self.frameworks[number];
        if framework.stage == Stage::Here && framework.link.is_some() {
            self.promises.collects(&ends);
            self.call(number, Call::Acknowledge { acknowledgements: ends });
        }
    }
}

/// Whether a framework acknowledges an end only when it has read what the task wrote.
const fn collects_slowly(number: usize) -> bool {
    number % 2 == 1
}

fn names(tasks: &[TaskSpec]) -> Vec<(TaskId, Attempt)> {
    tasks.iter().map(|spec| (spec.task.clone(), spec.attempt)).collect()
}
