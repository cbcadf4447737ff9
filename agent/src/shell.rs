//! The loop that owns the core: takes what happened, carries out what the core decided.
//!
//! No decision is made here; who may speak as a framework the core is asked (`may_speak`), and what
//! is said passes by, see `hosting.rs`. Inputs come over one bounded channel; effects leave through
//! the barrier, which holds each back until the records that it stands on are durable.

use crate::{
    barrier::Barrier, config::AtStop, executors::Executors, feeds::Feeds, folders::Folders,
    hosting::Hosting, modules::Modules, outbox::Outbox, sandboxes, volumes,
};
use skep_agent_core::{Agent as Core, Effect, ExecutorKey, ExitReason, Input, Record};
use skep_protocol::{Rejection, TaskKey, agent::ToMaster, executor::ToExecutor};
use skep_shell::{Clock, WriteError};
use std::{collections::HashMap, sync::Arc};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// Inputs that may wait for the loop. A full inbox slows down those who fill it, each by its own
/// stream's flow control; nothing is dropped.
pub(crate) const INBOX_MAX: usize = 4_096;
/// Inputs handled in a row before effects are carried out: enough to share a commit, few enough
/// that no order waits noticeably.
const TURN_INPUTS_MAX: usize = 256;

/// What can happen to the loop.
pub(crate) enum Event {
    /// A connection to the master is up; what the core tells it goes here.
    Connected { outbox: Outbox },
    /// It is gone.
    Disconnected,
    /// Anything else that the core is told.
    Input(Input),
    /// A task says something to the master, as a framework.
    Said { executor: ExecutorKey, key: TaskKey, call: Vec<u8> },
    /// The master says something to a task, in its conversation of this number.
    Heard { key: TaskKey, number: u64, event: Vec<u8> },
    /// A task's conversation of this number is over.
    HungUp { key: TaskKey, number: u64 },
    /// Somebody follows a task's log and wants to know when the task ends.
    Follow { key: TaskKey, reply: oneshot::Sender<CancellationToken> },
}

/// See the module.
pub(crate) struct Shell {
    core: Core,
    barrier: Barrier,
    inbox: mpsc::Receiver<Event>,
    clock: Clock,
    /// Counts the connections. What was to be told on an earlier one would come before the
    /// registration on this one; it is dropped, and told again after.
    connection: u64,
    outbox: Option<Outbox>,
    followers: HashMap<TaskKey, CancellationToken>,
    parts: Parts,
}

/// Those that carry out effects.
pub(crate) struct Parts {
    pub(crate) folders: Arc<Folders>,
    pub(crate) modules: Modules,
    pub(crate) executors: Executors,
    pub(crate) hosting: Hosting,
    pub(crate) feeds: Feeds,
}

impl Shell {
    /// `effects` are those of the core's recovery.
    pub(crate) fn new(
        core: Core,
        effects: Vec<Effect>,
        barrier: Barrier,
        inbox: mpsc::Receiver<Event>,
        parts: Parts,
    ) -> Self {
        let clock = Clock::start();
        let followers = HashMap::new();
        let mut shell =
            Self { core, barrier, inbox, clock, connection: 0, outbox: None, followers, parts };
        shell.take_effects(effects);
        shell
    }

    /// Runs until the core has the agent exit, which it does some time after `stop`, too. A record
    /// that cannot be written ends it at once: memory must not get ahead of the disk.
    pub(crate) async fn run(
        mut self,
        stop: CancellationToken,
        at_stop: AtStop,
    ) -> Result<ExitReason, WriteError> {
        let ended = self.serve(stop, at_stop).await;
        let tasks_end = match &ended {
            Ok(ExitReason::Stopped) => at_stop == AtStop::EndTasks,
            // Nobody will ever take them up.
            Ok(ExitReason::Refused { rejection }) => {
                matches!(rejection, Rejection::AgentGone { .. })
            }
            Err(_) => false,
        };
        let Self { inbox, outbox, parts, .. } = self;
        // Nobody hears the parts any more, and the master hears what was said until here.
        drop((inbox, outbox));
        match tasks_end {
            true => parts.executors.end().await,
            false => parts.executors.leave().await,
        }
        ended
    }

    async fn serve(
        &mut self,
        stop: CancellationToken,
        at_stop: AtStop,
    ) -> Result<ExitReason, WriteError> {
        let mut stopping = false;
        loop {
            if let Some(why) = self.carry_out() {
                return Ok(why);
            }
            let due = self.core.deadline().map(|time| self.clock.instant_of(time));
            tokio::select! {
                () = stop.cancelled(), if !stopping => {
                    if at_stop == AtStop::KeepTasks {
                        return Ok(ExitReason::Stopped);
                    }
                    stopping = true;
                    self.handle(Input::Stop);
                }
                event = self.inbox.recv() => {
                    let event = event.expect("the shell's own parts can always send");
                    self.take_turn(event);
                }
                committed = self.barrier.committed() => committed?,
                () = until(due) => self.handle(Input::Tick),
            }
        }
    }

    fn take_turn(&mut self, first: Event) {
        self.take(first);
        for _ in 1..TURN_INPUTS_MAX {
            match self.inbox.try_recv() {
                Ok(event) => self.take(event),
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Connected { outbox } => {
                self.connection += 1;
                self.outbox = Some(outbox);
                self.handle(Input::Connected);
            }
            Event::Disconnected => {
                self.outbox = None;
                self.handle(Input::Disconnected);
            }
            Event::Input(input) => self.handle(input),
            Event::Said { executor, key, call } => {
                if !self.core.may_speak(&executor, &key) {
                    tracing::warn!(%key, %executor, "a task that may not speaks as a framework");
                } else if !self.parts.hosting.say(&key, &call) {
                    self.hang_up(key);
                }
            }
            Event::Heard { key, number, event } => {
                if self.parts.hosting.is_current(&key, number) {
                    let to = self.core.executor_of_live(&key);
                    self.tell_executor(to, ToExecutor::Tell { key, event });
                }
            }
            Event::HungUp { key, number } => {
                if self.parts.hosting.is_current(&key, number) {
                    self.parts.hosting.end(&key);
                    self.hang_up(key);
                }
            }
            Event::Follow { key, reply } => {
                let ended = self.end_of(key);
                // Who has left meanwhile needs no answer.
                let _ = reply.send(ended);
            }
        }
    }

    fn hang_up(&mut self, key: TaskKey) {
        let to = self.core.executor_of_live(&key);
        self.tell_executor(to, ToExecutor::HangUp { key });
    }

    fn tell_executor(&mut self, executor: Option<ExecutorKey>, message: ToExecutor) {
        if let Some(executor) = executor {
            self.parts.executors.send(&executor, message);
        }
    }

    /// What is cancelled when the task has ended; at once if it is not here.
    fn end_of(&mut self, key: TaskKey) -> CancellationToken {
        if self.core.is_live(&key) {
            return self.followers.entry(key).or_default().clone();
        }
        let ended = CancellationToken::new();
        ended.cancel();
        ended
    }

    pub(crate) fn handle(&mut self, input: Input) {
        let effects = self.core.handle(self.clock.now(), input);
        self.take_effects(effects);
    }

    fn take_effects(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if let Effect::Persist(record) = effect {
                self.note(&record);
                self.barrier.persist(&record);
            } else if let Some(effect) = self.barrier.pass(self.connection, effect) {
                // Only orders to executors pass at once, and none of them is the exit.
                self.carry_out_one(self.connection, effect);
            }
        }
    }

    /// Logs what becomes of a task, and lets those who follow its log know that it has ended.
    fn note(&mut self, record: &Record) {
        let ended = match record {
            Record::TaskAccepted { key, .. } => return tracing::debug!(%key, "task accepted"),
            Record::Updated(update) => {
                let (key, state) = (&update.key, &update.state);
                tracing::debug!(%key, state = state.name(), "task updated");
                if !state.is_terminal() {
                    return;
                }
                key
            }
            Record::TaskForgotten { key, .. } => key,
            _ => return,
        };
        self.parts.hosting.end(ended);
        self.parts.feeds.close(ended);
        if let Some(follower) = self.followers.remove(ended) {
            follower.cancel();
        }
    }

    /// Carries out what waits for nothing any more. Gives why the agent exits, if it does.
    fn carry_out(&mut self) -> Option<ExitReason> {
        while let Some((connection, effect)) = self.barrier.release() {
            match effect {
                Effect::Exit { why } => return Some(why),
                effect => self.carry_out_one(connection, effect),
            }
        }
        None
    }

    fn carry_out_one(&mut self, connection: u64, effect: Effect) {
        let Parts { folders, modules, executors, .. } = &mut self.parts;
        match effect {
            Effect::SendMaster(message) => self.send_master(connection, message),
            Effect::SendExecutor { executor, message } => executors.send(&executor, message),
            Effect::FetchBlob { digest } => modules.fetch(digest),
            Effect::Compile { artifact } => modules.compile(artifact),
            Effect::Discard { file } => modules.discard(file),
            Effect::StartExecutor { executor, run } => executors.start(executor, run),
            Effect::AdoptExecutor { executor, run } => executors.adopt(executor, run),
            Effect::ForgetExecutor { run } => executors.forget(run),
            Effect::StopExecutor { executor } => executors.stop(&executor),
            Effect::Deliver { key, outputs } => modules.deliver(key, outputs),
            Effect::RemoveSandbox { key } => sandboxes::remove(folders, key),
            Effect::MakeVolume { volume } => volumes::make(folders, &volume),
            Effect::RemoveVolume { volume } => volumes::remove(folders, volume),
            Effect::Reconnect => self.outbox = None,
            Effect::Persist(_) | Effect::Exit { .. } => unreachable!("dealt with before"),
        }
    }

    fn send_master(&self, connection: u64, message: ToMaster) {
        let message = match message {
            ToMaster::Beat { inputs, acknowledged, .. } => {
                let age = self.barrier.unsaved_age().as_millis();
                let unsaved_millis = u64::try_from(age).unwrap_or(u64::MAX);
                ToMaster::Beat { inputs, unsaved_millis, acknowledged }
            }
            message => message,
        };
        if let Some(outbox) = &self.outbox
            && connection == self.connection
        {
            outbox.send(message);
        }
    }
}

async fn until(due: Option<std::time::Instant>) {
    match due {
        Some(due) => sleep_until(Instant::from_std(due)).await,
        None => std::future::pending().await,
    }
}
