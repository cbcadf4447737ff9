//! Executors and their guests, simulated: what an agent's orders come to.
//!
//! Always holds: an executor takes orders in the order they were given and reports what happened in
//! the order it did, and all that it says is heard before its end is; it outlives its agent, and
//! says to the next run what it has and what was not acknowledged.

use crate::{
    guest::Plan,
    promises::Mark,
    schedule::{Event, ExecutorRun},
    sim::Sim,
};
use skep_agent_core::{ExecutorKey, ExecutorRun as ExecutionId, Gone, Input};
use skep_protocol::{
    Outcome, TaskKey, Time, Usage,
    executor::{GuestStage, HeldGuest, Report, StartGuest, ToExecutor},
    outcome::{Checkpoint, KilledBy, TaskMessage},
};
use std::{collections::BTreeMap, time::Duration};

/// How long anything takes between an agent and its executors.
const HOP: std::ops::Range<Duration> = Duration::from_micros(20)..Duration::from_millis(2);

#[derive(Debug, Default)]
pub(crate) struct Executors {
    running: BTreeMap<ExecutorKey, Executor>,
    /// What the agent's folder says of each that took guests, until the agent forgets it.
    sockets: BTreeMap<ExecutionId, Boot>,
}

/// Whether the machine was started anew since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Boot {
    Same,
    Earlier,
}

#[derive(Debug)]
struct Executor {
    number: u64,
    id: ExecutionId,
    guests: BTreeMap<TaskKey, Guest>,
    stage: Stage,
    /// When it can take guests.
    ready: Time,
    /// The run of the agent that it talks to, and the one that hears of its end.
    agent: Option<u64>,
    watcher: Option<u64>,
    /// When the last order that was given arrives, and the last report that was made.
    orders_until: Time,
    reports_until: Time,
    /// What it said and was not acknowledged, by its number; and the last number.
    left: BTreeMap<u64, Report>,
    batch: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    /// It was told to stop, or is dying.
    Ending,
}

#[derive(Debug)]
struct Guest {
    code: i32,
    since: Time,
    killed: Option<KilledBy>,
}

impl Executors {
    pub(crate) fn is_empty_of_guests(&self) -> bool {
        self.running.values().all(|executor| executor.guests.is_empty())
    }

    /// Those that could die now.
    pub(crate) fn keys(&self) -> Vec<ExecutorKey> {
        let running = self.running.iter().filter(|(_, known)| known.stage == Stage::Running);
        running.map(|(key, _)| key.clone()).collect()
    }

    /// The agent is gone; those that it had told to stop have heard it.
    pub(crate) fn agent_ends(&mut self) {
        for executor in self.running.values_mut() {
            (executor.agent, executor.watcher) = (None, None);
        }
    }

    /// The agent has stopped, and waited for them to end.
    pub(crate) fn agent_stops(&mut self) {
        self.running.clear();
    }

    /// The machine is off.
    pub(crate) fn all_end(&mut self) {
        self.running.clear();
        self.sockets.values_mut().for_each(|boot| *boot = Boot::Earlier);
    }

    pub(crate) fn forget(&mut self, id: ExecutionId) {
        self.sockets.remove(&id);
    }
}

impl Executor {
    /// All guests that its agent may count on.
    fn held(&self) -> Vec<HeldGuest> {
        let has_begun = |report: &Report| matches!(report, Report::Started { .. });
        let begun = || self.left.values().filter(|report| has_begun(report));
        let is_news = |key: &TaskKey| begun().any(|report| key_of(report) == key);
        let running = self.guests.keys().map(|key| {
            let stage = if is_news(key) { GuestStage::Starting } else { GuestStage::Running };
            (key.clone(), stage)
        });
        let over = self.left.values().map(|report| (key_of(report).clone(), GuestStage::Starting));
        let held: BTreeMap<TaskKey, GuestStage> = over.chain(running).collect();
        held.into_iter().map(|(key, stage)| HeldGuest { key, stage, paused: false }).collect()
    }
}

fn key_of(report: &Report) -> &TaskKey {
    match report {
        Report::Started { key, .. }
        | Report::Ended { key, .. }
        | Report::Paused { key, .. }
        | Report::Resumed { key, .. } => key,
        Report::Progressed(progress) => &progress.key,
        Report::Checkpointed(checkpoint) => &checkpoint.key,
        Report::Sent(message) => &message.key,
    }
}

impl Sim {
    fn executor(&mut self, run: &ExecutorRun) -> Option<&mut Executor> {
        let known = self.agents[run.agent].executors.running.get_mut(&run.key)?;
        (known.number == run.number).then_some(known)
    }

    fn executor_run(&self, agent: usize, key: &ExecutorKey) -> Option<ExecutorRun> {
        let number = self.agents[agent].executors.running.get(key)?.number;
        Some(ExecutorRun { agent, key: key.clone(), number })
    }

    pub(crate) fn start_executor(&mut self, agent: usize, key: ExecutorKey, id: ExecutionId) {
        self.executors += 1;
        let number = self.executors;
        let ready = self.now + self.random.duration(&self.weather.work);
        let Some(run) = self.agents[agent].process.as_ref().map(|process| process.run) else {
            return;
        };
        let executor = Executor {
            number,
            id,
            guests: BTreeMap::new(),
            stage: Stage::Running,
            ready,
            agent: None,
            watcher: Some(run),
            orders_until: ready,
            reports_until: ready,
            left: BTreeMap::new(),
            batch: 0,
        };
        let before = self.agents[agent].executors.running.insert(key.clone(), executor);
        assert!(before.is_none(), "agent {agent} starts a second executor {key}");
        let executor = ExecutorRun { agent, key, number };
        let event = if self.random.once_in(30) {
            Event::ExecutorEnds { executor }
        } else {
            Event::ExecutorGreets { executor, run }
        };
        self.schedule.arrange(ready, event);
    }

    /// An executor says to a run of its agent which guests it has, and what that may not know.
    pub(crate) fn executor_greets(&mut self, run: &ExecutorRun, agent: u64) {
        let process = self.agents[run.agent].process.as_ref();
        let is_there = process.is_some_and(|process| process.run == agent);
        let Some(executor) = self.executor(run).filter(|known| known.stage == Stage::Running)
        else {
            return;
        };
        if !is_there {
            return;
        }
        executor.agent = Some(agent);
        let (id, guests) = (executor.id, executor.held());
        let left: Vec<(u64, Report)> =
            executor.left.iter().map(|(batch, report)| (*batch, report.clone())).collect();
        self.agents[run.agent].executors.sockets.insert(id, Boot::Same);
        let key = &run.key;
        self.agent_takes(run.agent, Input::ExecutorReady { executor: key.clone(), guests });
        for (batch, report) in left {
            let (executor, reports) = (key.clone(), vec![report]);
            self.agent_takes(run.agent, Input::Reports { executor, batch, reports });
        }
    }

    /// A run of the agent looks for an executor that an earlier one started.
    pub(crate) fn adopt_executor(&mut self, agent: usize, key: ExecutorKey, id: ExecutionId) {
        let at = self.now + self.random.duration(&HOP);
        let Some(run) = self.agents[agent].process.as_ref().map(|process| process.run) else {
            return;
        };
        let Executors { running, sockets } = &mut self.agents[agent].executors;
        let how = match (running.get_mut(&key).filter(|known| known.id == id), sockets.get(&id)) {
            (Some(executor), _) => {
                executor.watcher = Some(run);
                let at = at.max(executor.ready).max(executor.reports_until);
                (executor.orders_until, executor.reports_until) = (at, at);
                let executor = ExecutorRun { agent, key, number: executor.number };
                return self.schedule.arrange(at, Event::ExecutorGreets { executor, run });
            }
            (None, None) => Gone::Unready,
            (None, Some(Boot::Same)) => Gone::Ended,
            (None, Some(Boot::Earlier)) => Gone::Rebooted,
        };
        self.tell_agent(at, agent, Input::ExecutorGone { executor: key, how });
    }

    pub(crate) fn order_executor(&mut self, agent: usize, key: &ExecutorKey, order: ToExecutor) {
        let at = self.now + self.random.duration(&HOP);
        let by = self.agents[agent].process.as_ref().map(|process| process.run);
        let Some(run) = self.executor_run(agent, key) else { return };
        let Some(executor) = self.executor(&run).filter(|known| known.stage == Stage::Running)
        else {
            return;
        };
        executor.orders_until = executor.orders_until.max(at);
        let at = executor.orders_until;
        let order = Box::new(order);
        self.schedule.arrange(at, Event::ExecutorHears { executor: run, by, order });
    }

    /// Tells an executor to stop, which it does once it has heard its last orders; or kills it.
    pub(crate) fn stop_executor(&mut self, agent: usize, key: &ExecutorKey) {
        let rest = self.random.duration(&self.weather.dying);
        let now = self.now;
        let Some(run) = self.executor_run(agent, key) else { return };
        let Some(executor) = self.executor(&run).filter(|known| known.stage == Stage::Running)
        else {
            return;
        };
        executor.stage = Stage::Ending;
        let at = executor.orders_until.max(now) + rest;
        self.schedule.arrange(at, Event::ExecutorEnds { executor: run });
    }

    /// `by`: the run of the agent that ordered it. One that is gone is heard only as long as there
    /// is no other.
    pub(crate) fn executor_hears(&mut self, run: ExecutorRun, by: Option<u64>, order: ToExecutor) {
        let Some(executor) = self.executor(&run) else { return };
        if executor.agent.is_some() && executor.agent != by {
            return;
        }
        match order {
            ToExecutor::Start { guests } => {
                for guest in guests {
                    self.guest_starts(&run, guest);
                }
            }
            ToExecutor::Kill { key, by } => {
                let at = self.now + self.random.duration(&HOP);
                let Some(executor) = self.executor(&run) else { return };
                let Some(guest) = executor.guests.get_mut(&key) else { return };
                guest.killed.get_or_insert(by);
                self.schedule.arrange(at, Event::GuestEnds { executor: run, key });
            }
            ToExecutor::Acknowledge { batch } => executor.left.retain(|left, _| *left > batch),
            ToExecutor::Pause { .. } | ToExecutor::Resume { .. } => {
                unreachable!("agents do not pause guests")
            }
            // No guest here speaks as a framework.
            ToExecutor::Tell { .. } | ToExecutor::HangUp { .. } => {}
            ToExecutor::Message(TaskMessage { key, bytes }) => {
                if executor.guests.contains_key(&key) {
                    self.promises.guest_hears(&key, &Mark::read(&bytes));
                }
            }
            ToExecutor::Stop => unreachable!("agents end executors by an effect of its own"),
        }
    }

    fn guest_starts(&mut self, run: &ExecutorRun, guest: StartGuest) {
        let since = self.now;
        let Some(executor) = self.executor(run) else { return };
        let Plan { time, code, marks } = Plan::of(&guest.args, &guest.key);
        let origin = (!guest.checkpoint.is_empty()).then(|| Mark::read(&guest.checkpoint));
        let key = guest.key;
        executor.guests.insert(key.clone(), Guest { code, since, killed: None });
        self.promises.starts(since, run.agent, &key);
        self.note_start(&key);
        self.promises.goes_on(&key, origin.as_ref());
        self.report(run, Report::Started { key: key.clone(), at: since });
        let before = origin.map_or(0, |origin| origin.number);
        for count in 1..=marks {
            let (executor, key) = (run.clone(), key.clone());
            let number = before + u64::from(count);
            let at = since + time * count / (marks + 1);
            self.schedule.arrange(at, Event::GuestMarks { executor, key, number });
        }
        self.schedule.arrange(since + time, Event::GuestEnds { executor: run.clone(), key });
    }

    /// A guest keeps how far it is, and tells its framework.
    pub(crate) fn guest_marks(&mut self, run: &ExecutorRun, key: TaskKey, number: u64) {
        let guest = self.executor(run).and_then(|known| known.guests.get(&key));
        if guest.is_none_or(|guest| guest.killed.is_some()) {
            return;
        }
        let mark = Mark { key: key.clone(), number };
        self.promises.makes(&mark);
        let kept = Checkpoint { key: key.clone(), bytes: mark.bytes() };
        self.report(run, Report::Checkpointed(kept));
        self.report(run, Report::Sent(TaskMessage { key, bytes: mark.bytes() }));
    }

    pub(crate) fn guest_ends(&mut self, run: &ExecutorRun, key: TaskKey) {
        let at = self.now;
        let Some(guest) = self.executor(run).and_then(|known| known.guests.remove(&key)) else {
            return;
        };
        self.promises.ends(self.now, run.agent, &key);
        let outcome = match guest.killed {
            Some(by) => Outcome::Killed { by },
            None => Outcome::Exited { code: guest.code },
        };
        if outcome.is_success() {
            self.promises.settles(&key.framework, &key.task);
        }
        let usage = Usage { wall: at.since(guest.since), ..Usage::default() };
        let (result, last_words) = (Vec::new(), String::new());
        self.report(run, Report::Ended { key, at, outcome, usage, result, last_words });
    }

    fn report(&mut self, run: &ExecutorRun, report: Report) {
        let at = self.now + self.random.duration(&HOP);
        let Some(executor) = self.executor(run) else { return };
        executor.batch += 1;
        let batch = executor.batch;
        executor.left.insert(batch, report.clone());
        executor.reports_until = executor.reports_until.max(at);
        let at = executor.reports_until;
        let Some(by) = executor.agent else { return };
        let what = Input::Reports { executor: run.key.clone(), batch, reports: vec![report] };
        let (agent, what) = (run.agent, Box::new(what));
        self.schedule.arrange(at, Event::AgentHears { agent, run: by, what });
    }

    fn tell_agent(&mut self, at: Time, agent: usize, what: Input) {
        let Some(process) = &self.agents[agent].process else { return };
        let (run, what) = (process.run, Box::new(what));
        self.schedule.arrange(at, Event::AgentHears { agent, run, what });
    }

    pub(crate) fn executor_ends(&mut self, run: &ExecutorRun) {
        let now = self.now;
        let Some(executor) = self.executor(run) else { return };
        let (at, watcher) = (executor.reports_until.max(now), executor.watcher);
        let guests: Vec<TaskKey> = executor.guests.keys().cloned().collect();
        for key in guests {
            self.promises.ends(self.now, run.agent, &key);
        }
        self.agents[run.agent].executors.running.remove(&run.key);
        if let Some(watcher) = watcher {
            let (executor, why) = (run.key.clone(), "it was killed".to_owned());
            let what = Box::new(Input::ExecutorEnded { executor, why });
            let event = Event::AgentHears { agent: run.agent, run: watcher, what };
            self.schedule.arrange(at, event);
        }
    }
}
