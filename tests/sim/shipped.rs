//! A scheduler that comes with skep, as it is, on the driver that all frameworks of the SDKs have.
//! Only its connection and its clock are simulated.
//!
//! ```text
//! instance: here --its driver has stopped--> gone
//!            +--killed--> gone, or replaced by another that is told what the master has kept
//! ```
//! Always holds: what the driver orders is said in its order on the connection that there is, as
//! the SDKs say it; what it orders while there is none is dropped by the driver itself.

mod mind;

pub(crate) use mind::{Kind, Mind};

use crate::{
    network::{Link, Peer, Side, Word},
    schedule::Event as Happening,
    sim::Sim,
    work::Told,
};
use skep_protocol::{
    Attempt, FrameworkId, Rejection, TaskId, TaskKey, Time,
    framework::{Call, Event, FrameworkInfo, Operation},
};
use skep_scheduler::{Driver, Ending};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
pub(crate) struct Shipped {
    pub(crate) info: FrameworkInfo,
    pub(crate) id: Option<FrameworkId>,
    pub(crate) kind: Kind,
    pub(crate) mind: Mind,
    driver: Driver,
    pub(crate) stage: Stage,
    link: Option<Link>,
    /// Those of earlier instances.
    older: BTreeSet<Link>,
    /// The run of the master that it speaks with.
    master_run: u64,
    /// Counts the instances: what was arranged for one is not for the next.
    instance: u64,
    /// It is another instance, which has not subscribed yet.
    is_another: bool,
    /// The tasks that it knew of when it subscribed, and asked for.
    pub(crate) adopted: BTreeMap<TaskId, Attempt>,
    /// The earliest wake that is arranged.
    wake: Option<Time>,
    /// The newest attempt of each task that it has launched.
    newest: BTreeMap<TaskId, Attempt>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Here,
    /// Nobody acts for it any more. Since when.
    Gone(Time),
}

impl Shipped {
    pub(crate) fn new(info: FrameworkInfo, kind: Kind, run: u64) -> Self {
        let driver = Driver::new(info.clone(), None).with_run(run);
        let mind = kind.mind();
        Self {
            info,
            id: None,
            kind,
            mind,
            driver,
            stage: Stage::Here,
            link: None,
            older: BTreeSet::new(),
            master_run: 0,
            instance: 0,
            is_another: false,
            adopted: BTreeMap::new(),
            wake: None,
            newest: BTreeMap::new(),
        }
    }

    pub(crate) fn principal(&self) -> String {
        format!("framework/{}", self.info.name)
    }

    pub(crate) fn wants_connection(&self) -> bool {
        self.link.is_none() && self.stage == Stage::Here
    }

    pub(crate) const fn is_connected(&self) -> bool {
        self.link.is_some()
    }
}

impl Sim {
    /// Adds a scheduler of a kind, which subscribes as soon as it can. Gives its number.
    pub(crate) fn add_shipped(&mut self, info: FrameworkInfo, kind: Kind) -> usize {
        let (number, run) = (self.shipped.len(), self.random.next());
        self.work.add(self.now, &kind);
        self.shipped.push(Shipped::new(info, kind, run));
        self.dial_later(Peer::Scheduler(number));
        number
    }

    pub(crate) fn shipped_connected(&mut self, number: usize, link: Link) {
        let shipped = &mut self.shipped[number];
        shipped.link = Some(link);
        shipped.master_run = self.master.runs;
        let subscribe = shipped.driver.connected();
        self.send(link, Side::Peer, Word::FromFramework(subscribe));
    }

    pub(crate) fn shipped_disconnected(&mut self, number: usize, link: Link) {
        let now = self.now;
        let shipped = &mut self.shipped[number];
        shipped.older.remove(&link);
        if shipped.link == Some(link) {
            shipped.link = None;
            shipped.mind.disconnected(&mut shipped.driver, now);
            self.shipped_speaks(number);
            self.dial_later(Peer::Scheduler(number));
        }
    }

    pub(crate) fn shipped_hears(&mut self, number: usize, link: Link, event: Event) {
        let now = self.now;
        let shipped = &mut self.shipped[number];
        self.trace.turn(now, &shipped.info.name, &event, &());
        if shipped.link != Some(link) || shipped.stage != Stage::Here {
            return;
        }
        self.note_heard(number, &event);
        let shipped = &mut self.shipped[number];
        let is_another =
            matches!(event, Event::Subscribed { .. }) && std::mem::take(&mut shipped.is_another);
        shipped.mind.handle(&mut shipped.driver, now, event);
        self.shipped_speaks(number);
        if is_another {
            self.forget_what_nobody_heard(number);
        }
    }

    pub(crate) fn shipped_wakes(&mut self, number: usize, instance: u64) {
        let now = self.now;
        let shipped = &mut self.shipped[number];
        if shipped.instance != instance || shipped.stage != Stage::Here {
            return;
        }
        if shipped.wake.is_some_and(|wake| wake <= now) {
            shipped.wake = None;
        }
        if shipped.driver.deadline().is_some_and(|due| due <= now) {
            shipped.mind.woken(&mut shipped.driver, now);
        }
        self.shipped_speaks(number);
    }

    /// Says what the driver has to say, and arranges its next wake.
    fn shipped_speaks(&mut self, number: usize) {
        let shipped = &mut self.shipped[number];
        let (calls, link) = (shipped.driver.take_calls(), shipped.link);
        if let Some(link) = link {
            for call in calls {
                self.note_said(number, &call);
                self.send(link, Side::Peer, Word::FromFramework(call));
            }
        }
        self.shipped_may_end(number);
        let now = self.now;
        let shipped = &mut self.shipped[number];
        let due = shipped.driver.deadline().map(|due| due.max(now));
        if let Some(due) = due.filter(|due| shipped.wake.is_none_or(|wake| *due < wake)) {
            shipped.wake = Some(due);
            let event = Happening::SchedulerWakes { scheduler: number, instance: shipped.instance };
            self.schedule.arrange(due, event);
        }
    }

    fn shipped_may_end(&mut self, number: usize) {
        let shipped = &mut self.shipped[number];
        let Some(ending) = shipped.driver.ending().cloned() else { return };
        if shipped.stage != Stage::Here {
            return;
        }
        self.trace.fact(self.now, &format!("scheduler {number} stops: {ending:?}"));
        match ending {
            Ending::Done => self.promises.departs(self.shipped[number].id.as_ref()),
            Ending::Paused => panic!("no scheduler that comes with skep pauses"),
            // Another instance of it has been heard since; it may be dead.
            Ending::Refused(Rejection::FailedOver { .. }) if self.shipped[number].instance > 0 => {
                return self.replace_shipped(number);
            }
            // It was away for longer than its time-out.
            Ending::Refused(Rejection::UnknownFramework { .. })
                if !self.shipped[number].kind.is_kept() =>
            {
                self.promises.departs(self.shipped[number].id.as_ref());
            }
            Ending::Refused(rejection) => {
                panic!("the master turned away scheduler {number}: {rejection}");
            }
        }
        let shipped = &mut self.shipped[number];
        shipped.stage = Stage::Gone(self.now);
        if let Some(link) = shipped.link.take() {
            self.leave(link, Side::Peer);
        }
        self.work.leaves(number, self.now);
    }

    /// Somebody ends the command that the scheduler is a part of, in good order.
    pub(crate) fn interrupt(&mut self, number: usize) {
        if self.shipped[number].stage == Stage::Here {
            self.shipped[number].driver.stop();
            self.shipped_speaks(number);
        }
    }

    /// The process of a scheduler dies.
    pub(crate) fn kill_shipped(&mut self, number: usize) {
        let now = self.now;
        let shipped = &mut self.shipped[number];
        if shipped.stage != Stage::Here {
            return;
        }
        self.trace.fact(now, &format!("scheduler {number} dies"));
        self.promises.departs(shipped.id.as_ref());
        shipped.stage = Stage::Gone(now);
        if let Some(link) = shipped.link.take() {
            self.drop_link(link, Side::Peer);
        }
        self.work.leaves(number, now);
    }

    /// Another instance of a scheduler takes over that serves for good: it knows no more than what
    /// the master has kept.
    pub(crate) fn replace_shipped(&mut self, number: usize) {
        let run = self.random.next();
        let shipped = &mut self.shipped[number];
        if !shipped.kind.is_kept() || shipped.id.is_none() || shipped.stage != Stage::Here {
            return;
        }
        self.trace.fact(self.now, &format!("scheduler {number} is replaced"));
        let shipped = &mut self.shipped[number];
        let link = shipped.link.take();
        shipped.driver = Driver::new(shipped.info.clone(), shipped.id.clone()).with_run(run);
        shipped.mind = shipped.kind.mind();
        shipped.instance += 1;
        shipped.is_another = true;
        shipped.adopted.clear();
        shipped.wake = None;
        if let Some(link) = link {
            self.drop_link(link, Side::Peer);
        }
        self.dial_later(Peer::Scheduler(number));
    }

    /// What the promises and the checkers of work are to know of what a scheduler says.
    fn note_said(&mut self, number: usize, call: &Call) {
        let id = self.shipped[number].id.clone();
        let tasks = match call {
            Call::Accept { operations, .. } => operations
                .iter()
                .filter_map(|operation| match operation {
                    Operation::Launch { tasks } => Some(tasks),
                    _ => None,
                })
                .flatten()
                .flatten()
                .cloned()
                .collect(),
            Call::Enqueue { tasks, .. } => tasks.iter().flatten().cloned().collect(),
            Call::Kill { task } => {
                if let Some(id) = &id {
                    self.promises.settles(id, task);
                }
                self.work.killed(number, self.now, task);
                Vec::new()
            }
            Call::Reconcile { tasks } => {
                self.shipped[number].adopted = tasks.iter().cloned().collect();
                Vec::new()
            }
            Call::Decline { .. } => {
                self.work.declined(number, self.now);
                Vec::new()
            }
            _ => Vec::new(),
        };
        if tasks.is_empty() {
            return;
        }
        self.promises.launches(id.as_ref(), &tasks);
        for spec in tasks {
            self.shipped[number].newest.insert(spec.task.clone(), spec.attempt);
            self.work.launched(number, self.now, &spec);
        }
    }

    /// A guest begins on an agent.
    pub(crate) fn note_start(&mut self, key: &TaskKey) {
        let is_its = |shipped: &Shipped| shipped.id.as_ref() == Some(&key.framework);
        if let Some(number) = self.shipped.iter().position(is_its) {
            self.work.starts(number, key);
        }
    }

    /// What they are to know of what a scheduler is told.
    fn note_heard(&mut self, number: usize, event: &Event) {
        let Shipped { id, newest, master_run, .. } = &mut self.shipped[number];
        match event {
            Event::Subscribed { framework, .. } => {
                let known = id.get_or_insert_with(|| framework.clone());
                assert_eq!(known, framework, "scheduler {number} was given another name");
            }
            Event::TasksAccepted { tasks, .. } => {
                self.promises.accepts(id.as_ref(), tasks.clone());
            }
            Event::StatusUpdates { updates } => {
                for update in updates {
                    let TaskKey { framework, task, .. } = &update.key;
                    let newest = newest.get(task).map(|attempt| TaskKey {
                        framework: framework.clone(),
                        task: task.clone(),
                        attempt: *attempt,
                    });
                    let newest = newest.as_ref();
                    self.promises.tells(self.now, id.as_ref(), newest, *master_run, update);
                    self.work.told(number, self.now, &Told::Update(update));
                }
            }
            Event::Rescinded { .. } => self.work.declined(number, self.now),
            Event::Answered { answer, .. } => {
                self.work.told(number, self.now, &Told::Answer(answer));
            }
            _ => {}
        }
    }
}
