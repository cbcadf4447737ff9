//! Executors and their guests, simulated: what an agent's orders come to.
//!
//! A guest's first argument says for how many milliseconds it runs, its second with which code it
//! exits. Always holds: an executor takes orders in the order they were given and reports what
//! happened in the order it did, and all that it says is heard before its end is.

use crate::{
    schedule::{Event, ExecutorRun},
    sim::Sim,
};
use skep_agent_core::{ExecutorKey, Input};
use skep_protocol::{
    Outcome, TaskKey, Time, Usage,
    executor::{Report, StartGuest, ToAgent, ToExecutor},
    outcome::KilledBy,
};
use std::{collections::BTreeMap, time::Duration};

/// How long anything takes between an agent and its executors.
const HOP: std::ops::Range<Duration> = Duration::from_micros(20)..Duration::from_millis(2);

#[derive(Debug, Default)]
pub(crate) struct Executors {
    running: BTreeMap<ExecutorKey, Executor>,
}

#[derive(Debug)]
struct Executor {
    number: u64,
    guests: BTreeMap<TaskKey, Guest>,
    stage: Stage,
    /// When the last order that was given arrives, and the last report that was made.
    orders_until: Time,
    reports_until: Time,
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
}

impl Sim {
    fn executor(&mut self, run: &ExecutorRun) -> Option<&mut Executor> {
        let process = self.agents[run.agent].process.as_mut()?;
        let known = process.executors.running.get_mut(&run.key)?;
        (known.number == run.number).then_some(known)
    }

    fn executor_run(&self, agent: usize, key: &ExecutorKey) -> Option<ExecutorRun> {
        let process = self.agents[agent].process.as_ref()?;
        let number = process.executors.running.get(key)?.number;
        Some(ExecutorRun { agent, key: key.clone(), number })
    }

    pub(crate) fn start_executor(&mut self, agent: usize, key: ExecutorKey) {
        self.executors += 1;
        let number = self.executors;
        let ready = self.now + self.random.duration(&self.weather.work);
        let Some(process) = &mut self.agents[agent].process else { return };
        let (run, stage) = (process.run, Stage::Running);
        let executor = Executor {
            number,
            guests: BTreeMap::new(),
            stage,
            orders_until: ready,
            reports_until: ready,
        };
        let before = process.executors.running.insert(key.clone(), executor);
        assert!(before.is_none(), "agent {agent} starts a second executor {key}");
        if self.random.once_in(30) {
            let executor = ExecutorRun { agent, key, number };
            self.schedule.arrange(ready, Event::ExecutorEnds { executor });
        } else {
            let what = Box::new(Input::ExecutorReady { executor: key });
            self.schedule.arrange(ready, Event::AgentHears { agent, run, what });
        }
    }

    pub(crate) fn order_executor(&mut self, agent: usize, key: &ExecutorKey, order: ToExecutor) {
        let at = self.now + self.random.duration(&HOP);
        let Some(run) = self.executor_run(agent, key) else { return };
        let Some(executor) = self.executor(&run).filter(|known| known.stage == Stage::Running)
        else {
            return;
        };
        executor.orders_until = executor.orders_until.max(at);
        let (at, order) = (executor.orders_until, Box::new(order));
        self.schedule.arrange(at, Event::ExecutorHears { executor: run, order });
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

    pub(crate) fn executor_hears(&mut self, run: ExecutorRun, order: ToExecutor) {
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
            ToExecutor::Pause { .. } | ToExecutor::Resume { .. } => {
                unreachable!("agents do not pause guests")
            }
            ToExecutor::Stop => unreachable!("agents end executors by an effect of its own"),
        }
    }

    fn guest_starts(&mut self, run: &ExecutorRun, guest: StartGuest) {
        let since = self.now;
        let Some(executor) = self.executor(run) else { return };
        let number = |place: usize| guest.args.get(place).and_then(|arg| arg.parse::<u32>().ok());
        let time = Duration::from_millis(number(0).unwrap_or(0).into());
        let code = number(1).and_then(|code| i32::try_from(code).ok()).unwrap_or(0);
        let key = guest.key;
        executor.guests.insert(key.clone(), Guest { code, since, killed: None });
        self.promises.starts(run.agent, &key);
        self.report(run, Report::Started { key: key.clone(), at: since });
        self.schedule.arrange(since + time, Event::GuestEnds { executor: run.clone(), key });
    }

    pub(crate) fn guest_ends(&mut self, run: &ExecutorRun, key: TaskKey) {
        let at = self.now;
        let Some(guest) = self.executor(run).and_then(|known| known.guests.remove(&key)) else {
            return;
        };
        self.promises.ends(run.agent, &key);
        let outcome = match guest.killed {
            Some(by) => Outcome::Killed { by },
            None => Outcome::Exited { code: guest.code },
        };
        let usage = Usage { wall: at.since(guest.since), ..Usage::default() };
        let (result, last_words) = (Vec::new(), String::new());
        self.report(run, Report::Ended { key, at, outcome, usage, result, last_words });
    }

    fn report(&mut self, run: &ExecutorRun, report: Report) {
        let at = self.now + self.random.duration(&HOP);
        let Some(executor) = self.executor(run) else { return };
        executor.reports_until = executor.reports_until.max(at);
        let at = executor.reports_until;
        let message = ToAgent::Reports { reports: vec![report] };
        let what = Input::Executor { executor: run.key.clone(), message };
        self.tell_agent(at, run.agent, what);
    }

    fn tell_agent(&mut self, at: Time, agent: usize, what: Input) {
        let Some(process) = &self.agents[agent].process else { return };
        let (run, what) = (process.run, Box::new(what));
        self.schedule.arrange(at, Event::AgentHears { agent, run, what });
    }

    pub(crate) fn executor_ends(&mut self, run: &ExecutorRun) {
        let now = self.now;
        let Some(executor) = self.executor(run) else { return };
        let at = executor.reports_until.max(now);
        let guests: Vec<TaskKey> = executor.guests.keys().cloned().collect();
        for key in guests {
            self.promises.ends(run.agent, &key);
        }
        if let Some(process) = &mut self.agents[run.agent].process {
            process.executors.running.remove(&run.key);
        }
        let (executor, why) = (run.key.clone(), "it was killed".to_owned());
        self.tell_agent(at, run.agent, Input::ExecutorEnded { executor, why });
    }
}
