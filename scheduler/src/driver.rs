//! What a driver does between a scheduler and the master, without any I/O.
//!
//! Owns the framework's side of the conversation: which offers are open, which tasks live, which
//! updates were seen. Always holds: the scheduler sees each numbered update at most once per run
//! of the framework, in order, and every task it launched ends in exactly one terminal update.
//! Deliberately absent: connections and clocks, which are those of whoever carries the calls.

mod asking;
mod ended;
mod messages;
mod updates;

pub use self::messages::MessageTooLong;

use self::{asking::Asking, ended::Ended, updates::Kept};
use crate::scheduler::Scheduler;
use skep_protocol::{
    AllocationId, Attempt, Digest, FrameworkId, OfferId, Outcome, Rejection, Source, StatusUpdate,
    TaskId, TaskKey, TaskSpec, TaskState, Time,
    bounds::{LAUNCH_TASKS_MAX, STATE_BYTES_MAX, STATE_ENTRIES_MAX},
    frames,
    framework::{Answer, Call, Consent, Event, Filters, FrameworkInfo, Offer, Operation, State},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Takes a scheduler's orders and keeps its place in the conversation with the master.
#[derive(Debug)]
pub struct Driver {
    info: FrameworkInfo,
    framework: Option<FrameworkId>,
    run: u64,
    /// Counts the connections.
    connections: u64,
    calls: Vec<Call>,
    live: BTreeMap<TaskId, Live>,
    ended: Ended,
    kept_ends: Kept,
    /// What did not fit the frame of its launch, by the launch's first offer: enqueued as soon as
    /// the master has answered with the allocation.
    overflow: BTreeMap<OfferId, Vec<TaskSpec>>,
    stage: Stage,
    /// As of the present callback.
    now: Time,
    /// When the scheduler wants to be woken.
    wake: Option<Time>,
    memory: Memory,
    /// What the framework keeps, as it should be.
    kept: State,
    asking: Asking,
}

/// Whether the scheduler knows what an earlier instance kept.
#[derive(Debug, PartialEq, Eq)]
enum Memory {
    Unread,
    Told,
}

/// What somebody asks a framework.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What its answer names.
    pub id: u64,
    /// Who asks: kind and id, such as `operator/ada`, by the certificate.
    pub by: String,
    /// What, in words that the framework and its users agree on.
    pub message: Vec<u8>,
}

/// An attempt that has not ended, as far as the driver knows.
#[derive(Debug)]
struct Live {
    attempt: Attempt,
    /// The newest update of the attempt that the scheduler has seen.
    seen: u64,
}

/// Whether the conversation goes on.
#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Running,
    Stopped(Ending),
}

/// Why a driver has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The scheduler called [`Driver::stop`]; the framework is torn down at the master.
    Done,
    /// The scheduler called [`Driver::pause`]; its tasks live on until the failover time-out.
    Paused,
    /// The master does not want this framework.
    Refused(Rejection),
}

impl Driver {
    /// A driver for a framework; with an id, for one that subscribed before.
    pub fn new(info: FrameworkInfo, framework: Option<FrameworkId>) -> Self {
        Self {
            info,
            framework,
            run: 0,
            connections: 0,
            calls: Vec::new(),
            live: BTreeMap::new(),
            ended: Ended::default(),
            kept_ends: Kept::default(),
            overflow: BTreeMap::new(),
            stage: Stage::Running,
            now: Time::ZERO,
            wake: None,
            memory: Memory::Unread,
            kept: State::new(),
            asking: Asking::default(),
        }
    }

    /// Tells this process from other instances of the framework, by a random number: without one
    /// the master takes every connection for another instance.
    #[must_use]
    pub fn with_run(self, run: u64) -> Self {
        Self { run, ..self }
    }

    /// Takes over from an earlier instance: these attempts it launched, and had not heard the end
    /// of. What became of them is asked when the master is there.
    #[must_use]
    pub fn with_live(mut self, live: impl IntoIterator<Item = (TaskId, Attempt)>) -> Self {
        let known = live.into_iter().map(|(task, attempt)| (task, Live { attempt, seen: 0 }));
        self.live.extend(known);
        self
    }

    /// The framework's id, once the master has given it one.
    pub fn framework(&self) -> Option<&FrameworkId> {
        self.framework.as_ref()
    }

    /// The time of day at the present callback.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// Has [`Scheduler::woken`] called at this time, or as soon as it is over. Of several calls
    /// the earliest time counts, until it has come.
    pub fn wake_at(&mut self, time: Time) {
        self.wake = Some(self.wake.map_or(time, |wake| wake.min(time)));
    }

    /// Has [`Scheduler::woken`] called after this time.
    pub fn wake_after(&mut self, time: Duration) {
        self.wake_at(self.now + time);
    }

    /// When [`Self::woken`] is due.
    pub fn deadline(&self) -> Option<Time> {
        self.wake.into_iter().chain(self.asking.deadline()).min()
    }

    /// Keeps a value at the master for the framework's next instance. It is kept before any later
    /// order is carried out: a task that is launched after this runs only if it is.
    ///
    /// A key has at most 128 bytes of letters, digits, `.`, `_`, `-` and `/`, a value at most
    /// 256 KiB, all values together 1 MiB.
    pub fn save(&mut self, key: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.keep(key.into(), Some(value.into()));
    }

    /// Forgets a value that was kept.
    pub fn forget(&mut self, key: impl Into<String>) {
        self.keep(key.into(), None);
    }

    /// What is kept one after the other travels together.
    fn keep(&mut self, key: String, value: Option<Vec<u8>>) {
        match &value {
            Some(value) => self.kept.insert(key.clone(), value.clone()),
            None => self.kept.remove(&key),
        };
        let bytes = |entries: &BTreeMap<String, Option<Vec<u8>>>| {
            entries.values().flatten().map(Vec::len).sum::<usize>()
        };
        if let Some(Call::Save { entries }) = self.calls.last_mut()
            && entries.len() < STATE_ENTRIES_MAX
            && bytes(entries) < STATE_BYTES_MAX
        {
            entries.insert(key, value);
        } else {
            self.calls.push(Call::Save { entries: [(key, value)].into() });
        }
    }

    /// Stores what a later task is to read, at most 1 MiB, and names it. It is there before any
    /// later order is carried out.
    pub fn put(&mut self, blob: impl Into<Vec<u8>>) -> Digest {
        let blob = blob.into();
        let digest = Digest::of(&blob);
        self.calls.push(Call::Put { blob });
        digest
    }

    /// Answers a question.
    pub fn reply(&mut self, question: u64, answer: impl Into<Vec<u8>>) {
        self.calls.push(Call::Reply { question, answer: Ok(answer.into()) });
    }

    /// Says why a question gets no answer.
    pub fn refuse(&mut self, question: u64, why: impl Into<String>) {
        self.calls.push(Call::Reply { question, answer: Err(why.into()) });
    }

    /// Takes over an attempt that an earlier instance launched, and had not heard the end of. For
    /// [`Scheduler::restored`]: what became of it is asked right after that.
    pub fn adopt(&mut self, task: TaskId, attempt: Attempt) {
        self.live.insert(task, Live { attempt, seen: 0 });
    }

    /// Launches tasks on an offer. More than fit at once are queued at the agent. What is left
    /// of the offer goes back to the cluster without a filter.
    ///
    /// Each task is answered by status updates; one that the master refuses gets its
    /// [`Outcome::Refused`] the same way.
    pub fn launch(&mut self, offer: &Offer, tasks: impl IntoIterator<Item = TaskSpec>) {
        self.accept(&[offer.id], tasks, Filters::default());
    }

    /// Launches tasks on an offer, or gives it back if there are none.
    pub fn launch_or_decline(&mut self, offer: &Offer, tasks: Vec<TaskSpec>) {
        if tasks.is_empty() {
            self.decline(offer.id, None);
        } else {
            self.launch(offer, tasks);
        }
    }

    /// Launches tasks on several offers of one agent, and says how to treat what is left over.
    pub fn accept(
        &mut self,
        offers: &[OfferId],
        tasks: impl IntoIterator<Item = TaskSpec>,
        filters: Filters,
    ) {
        let tasks = self.live_from_now(tasks);
        self.leave(&filters);
        let mut frames = cut(tasks).into_iter();
        let first = frames.next().unwrap_or_default();
        if let Some(offer) = offers.first() {
            self.overflow.insert(*offer, frames.flatten().collect());
        }
        let launch = Operation::Launch { tasks: first.into_iter().map(Ok).collect() };
        self.calls.push(Call::Accept {
            offers: offers.to_vec(),
            operations: vec![launch],
            filters,
        });
    }

    /// Reserves and gives back resources, makes and removes volumes, in this order, and then
    /// launches tasks on what is left. Each operation is answered by
    /// [`Scheduler::operation_answered`], the tasks as those of [`Driver::launch`].
    pub fn operate(
        &mut self,
        offers: &[OfferId],
        operations: impl IntoIterator<Item = Operation>,
        tasks: impl IntoIterator<Item = TaskSpec>,
        filters: Filters,
    ) {
        let mut all: Vec<Operation> = operations.into_iter().collect();
        self.leave(&filters);
        let tasks = self.live_from_now(tasks);
        if !tasks.is_empty() {
            let mut frames = cut(tasks).into_iter();
            let first = frames.next().unwrap_or_default();
            if let Some(offer) = offers.first() {
                self.overflow.insert(*offer, frames.flatten().collect());
            }
            all.push(Operation::Launch { tasks: first.into_iter().map(Ok).collect() });
        }
        self.calls.push(Call::Accept { offers: offers.to_vec(), operations: all, filters });
    }

    /// Says whether the framework will have left agents that are asked back.
    pub fn answer_inverse(&mut self, offers: &[OfferId], consent: Consent) {
        self.calls.push(Call::AnswerInverse { offers: offers.to_vec(), consent });
    }

    /// Launches more tasks into an allocation whose tasks have not all ended.
    pub fn enqueue(&mut self, allocation: AllocationId, tasks: impl IntoIterator<Item = TaskSpec>) {
        let tasks = self.live_from_now(tasks);
        self.send_enqueue(allocation, tasks);
    }

    fn send_enqueue(&mut self, allocation: AllocationId, tasks: Vec<TaskSpec>) {
        for frame in cut(tasks) {
            let tasks = frame.into_iter().map(Ok).collect();
            self.calls.push(Call::Enqueue { allocation, tasks });
        }
    }

    fn live_from_now(&mut self, tasks: impl IntoIterator<Item = TaskSpec>) -> Vec<TaskSpec> {
        let mut named = BTreeSet::new();
        let mut tasks: Vec<_> = tasks.into_iter().collect();
        // Named twice it is still one task, and has one end.
        tasks.retain(|spec| named.insert((spec.task.clone(), spec.attempt)));
        for spec in &tasks {
            self.asking.use_up(&spec.resources);
            self.live.insert(spec.task.clone(), Live { attempt: spec.attempt, seen: 0 });
        }
        tasks
    }

    /// Ends a task; its last status update says so.
    pub fn kill(&mut self, task: TaskId) {
        self.calls.push(Call::Kill { task });
    }

    /// Ends a task that the scheduler does not know, if an update says that it lives: an attempt
    /// that an earlier instance gave up, and that turns up now that this one has its place.
    pub fn end_unknown(&mut self, update: &StatusUpdate) {
        if !update.state.is_terminal() {
            self.kill(update.key.task.clone());
        }
    }

    /// Tears the framework down and ends the driver. Live tasks are killed.
    pub fn stop(&mut self) {
        self.calls.push(Call::Teardown);
        self.stage = Stage::Stopped(Ending::Done);
    }

    /// Ends the driver but not the framework: another may subscribe with the same id.
    pub fn pause(&mut self) {
        self.stage = Stage::Stopped(Ending::Paused);
    }

    /// Why the driver has stopped, if it has.
    pub fn ending(&self) -> Option<&Ending> {
        match &self.stage {
            Stage::Running => None,
            Stage::Stopped(ending) => Some(ending),
        }
    }

    /// The calls to send, in order; they are taken out.
    pub fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    /// A connection to a master is up: what to send first.
    ///
    /// Orders that were given while there was none are dropped: they name offers that are void.
    /// What was to be kept is not: it is sent again when the master has said what it has.
    pub fn connected(&mut self) -> Call {
        self.calls.clear();
        self.overflow.clear();
        self.connections += 1;
        Call::Subscribe {
            framework: self.framework.clone(),
            run: self.run,
            connection: self.connections,
            info: self.info.clone(),
        }
    }

    /// Takes what the master sent and calls the scheduler.
    pub fn handle(&mut self, now: Time, event: Event, scheduler: &mut impl Scheduler) {
        self.now = now;
        scheduler.heard(&event);
        match event {
            Event::Subscribed { framework, state } => {
                self.framework = Some(framework.clone());
                self.asking = Asking::default();
                self.remember(state, scheduler);
                // Launches may have been lost with the old connection: ask what became of them.
                let live = self.live.iter().map(|(task, live)| (task.clone(), live.attempt));
                let tasks: Vec<_> = live.collect();
                if !tasks.is_empty() {
                    self.calls.push(Call::Reconcile { tasks });
                }
                scheduler.registered(self, &framework);
            }
            Event::Offers { offers } => scheduler.resource_offers(self, offers),
            Event::Rescinded { offer } => {
                self.asking.declined();
                scheduler.offer_rescinded(self, offer);
            }
            Event::Answered { offer, operation, answer } => {
                if is_of_launch(&answer) {
                    self.answered(now, offer, answer, scheduler);
                } else {
                    scheduler.operation_answered(self, offer, operation, &answer);
                }
            }
            Event::InverseOffers { offers } => scheduler.inverse_offers(self, offers),
            Event::InverseRescinded { offer } => scheduler.inverse_offer_rescinded(self, offer),
            Event::Asked { question: id, by, message } => {
                scheduler.asked(self, Question { id, by, message });
            }
            Event::TasksAccepted { .. } => {}
            Event::StatusUpdates { updates } => self.updated(updates, scheduler),
            Event::Progressed { reports } => {
                for report in &reports {
                    scheduler.task_progress(self, report);
                }
            }
            Event::Message(message) => self.heard_from(&message, scheduler),
            Event::Refused { rejection } => self.refused(rejection, scheduler),
        }
    }

    /// The master has said what it keeps: a first time it is new, later it may lack what was on its
    /// way when a connection broke.
    fn remember(&mut self, state: State, scheduler: &mut impl Scheduler) {
        let is_first = std::mem::replace(&mut self.memory, Memory::Told) == Memory::Unread;
        if is_first {
            for (key, value) in &state {
                self.kept.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        let lacking = self.kept.iter().filter(|(key, value)| state.get(*key) != Some(value));
        let lacking = lacking.map(|(key, value)| (key.clone(), Some(value.clone())));
        let beyond = state.keys().filter(|key| !self.kept.contains_key(*key));
        let entries: BTreeMap<_, _> =
            lacking.chain(beyond.map(|key| (key.clone(), None))).collect();
        if !entries.is_empty() {
            self.calls.push(Call::Save { entries });
        }
        if is_first && !state.is_empty() {
            scheduler.restored(self, &state);
        }
    }

    /// The connection broke.
    pub fn disconnected(&mut self, now: Time, scheduler: &mut impl Scheduler) {
        self.now = now;
        scheduler.disconnected(self);
    }

    /// The time that the scheduler named has come, or somebody else wakes it.
    pub fn woken(&mut self, now: Time, scheduler: &mut impl Scheduler) {
        self.now = now;
        if self.wake.is_some_and(|wake| wake <= now) {
            self.wake = None;
        }
        self.ask_again();
        scheduler.woken(self);
    }

    fn answered(
        &mut self,
        now: Time,
        offer: Option<OfferId>,
        answer: Answer,
        scheduler: &mut impl Scheduler,
    ) {
        let overflow = offer.and_then(|offer| self.overflow.remove(&offer)).unwrap_or_default();
        if let Answer::Launched { allocation, .. } = &answer {
            self.send_enqueue(*allocation, overflow.clone());
        }
        scheduler.launch_answered(self, offer, &answer);
        let refused: Vec<_> = match answer {
            Answer::Launched { refused, .. } => {
                refused.into_iter().map(|r| (r.task, r.attempt, r.rejection)).collect()
            }
            Answer::Rejected { rejection, tasks } => {
                let overflow = overflow.into_iter().map(|spec| (spec.task, spec.attempt));
                let refuse = |(task, attempt)| (task, attempt, rejection.clone());
                tasks.into_iter().chain(overflow).map(refuse).collect()
            }
            Answer::Applied => Vec::new(),
        };
        let updates = refused.into_iter().filter_map(|(task, attempt, rejection)| {
            let key = TaskKey { framework: self.framework.clone()?, task, attempt };
            Some(refused_update(now, key, rejection))
        });
        let updates = updates.collect();
        self.updated(updates, scheduler);
    }

    fn refused(&mut self, rejection: Rejection, scheduler: &mut impl Scheduler) {
        let for_good = matches!(
            rejection,
            Rejection::UnknownFramework { .. }
                | Rejection::NotYours { .. }
                | Rejection::FailedOver { .. }
                | Rejection::WrongKind { .. }
                | Rejection::Invalid { .. }
        );
        scheduler.error(self, &rejection);
        if for_good && self.stage == Stage::Running {
            self.stage = Stage::Stopped(Ending::Refused(rejection));
        }
    }
}

/// Whether an answer is about tasks: no launch that is rejected names none.
const fn is_of_launch(answer: &Answer) -> bool {
    match answer {
        Answer::Launched { .. } => true,
        Answer::Rejected { tasks, .. } => !tasks.is_empty(),
        Answer::Applied => false,
    }
}

/// The tasks in as many lists as they need messages: neither too many nor too long for a frame.
fn cut(tasks: Vec<TaskSpec>) -> Vec<Vec<TaskSpec>> {
    let short = |frame: Vec<TaskSpec>| -> Vec<Vec<TaskSpec>> {
        frame.chunks(LAUNCH_TASKS_MAX).map(<[TaskSpec]>::to_vec).collect()
    };
    frames::cut(tasks, frames::spec_bytes).into_iter().flat_map(short).collect()
}

/// What a scheduler is told of a task that was refused before any agent had it.
const fn refused_update(at: Time, key: TaskKey, rejection: Rejection) -> StatusUpdate {
    StatusUpdate {
        key,
        seq: 0,
        agent: None,
        state: TaskState::Ended(Outcome::Refused { rejection }),
        source: Source::Master,
        at,
        usage: None,
        result: Vec::new(),
        last_words: String::new(),
        outputs: Vec::new(),
        missing: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
