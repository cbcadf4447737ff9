//! What agents report about tasks, on its way to the frameworks, and the acknowledgements back.
//!
//! ```text
//! agent -- update n --> master -- update n --> framework
//!   ^                     | keeps it                |
//!   +---- acknowledge n --+<------- acknowledge n --+
//! ```
//! Always holds: an update that is repeated changes no sum, and what nobody waits for any more is
//! acknowledged by the master itself, so that its agent can forget it.

use crate::{
    master::Master,
    tasks::{Report, Stage},
};
use skep_protocol::{
    AgentId, Attempt, FrameworkId, Outcome, StatusUpdate, TaskId, TaskKey, TaskState,
    agent::ToAgent,
    framework::{Acknowledgement, Event},
    outcome::{KilledBy, LostBy, Progress},
};
use std::collections::BTreeMap;

/// What is to be done about an update.
enum Heard {
    Forward(StatusUpdate),
    /// Nobody waits for it.
    Acknowledge(Acknowledgement),
    /// Nothing an agent may say.
    Ignore,
}

impl Master {
    pub(crate) fn tasks_accepted(&mut self, agent: &AgentId, keys: Vec<TaskKey>) {
        let mut accepted: BTreeMap<FrameworkId, Vec<(TaskId, Attempt)>> = BTreeMap::new();
        for key in keys {
            let task = self.tasks.get(&key).filter(|task| task.agent == *agent);
            if task.is_some_and(|task| !task.is_condemned()) {
                self.advance_task(&key, Stage::Queued);
                accepted.entry(key.framework).or_default().push((key.task, key.attempt));
            }
        }
        for (framework, tasks) in accepted {
            self.tell(&framework, Event::TasksAccepted { agent: agent.clone(), tasks });
        }
    }

    pub(crate) fn status_updates(&mut self, agent: &AgentId, updates: Vec<StatusUpdate>) {
        let (mut forwarded, mut acknowledgements) = (Vec::new(), Vec::new());
        let mut forgotten = Vec::new();
        for update in updates {
            let ended = update.state.is_terminal().then(|| update.key.clone());
            match self.hear(agent, update) {
                Heard::Forward(update) => forwarded.push(update),
                Heard::Acknowledge(acknowledgement) => {
                    acknowledgements.push(acknowledgement);
                    forgotten.extend(ended.filter(|key| self.tasks.get(key).is_none()));
                }
                Heard::Ignore => {}
            }
        }
        if !acknowledgements.is_empty() {
            self.order_to_acknowledge(agent, acknowledgements, forgotten);
        }
        self.tell_updates(forwarded);
    }

    fn hear(&mut self, agent: &AgentId, mut update: StatusUpdate) -> Heard {
        let (key, seq) = (update.key.clone(), update.seq);
        if seq == 0 || update.state == TaskState::Unreachable {
            return Heard::Ignore;
        }
        update.agent = Some(agent.clone());
        let acknowledge = Heard::Acknowledge(Acknowledgement { key: key.clone(), seq });
        // Unknown is what its framework knows as over: acknowledged, told lost, or removed.
        let task = self.tasks.get_mut(&key).filter(|task| task.agent == *agent);
        let Some(task) = task else { return acknowledge };
        if task.is_condemned() {
            if update.state.is_terminal() {
                self.forget_task(&key);
            }
            return acknowledge;
        }
        update.state = as_its_framework_sees_it(update.state);
        if seq > task.seen {
            if task.is_reported() {
                return acknowledge;
            }
            task.seen = seq;
            if seq > task.acknowledged {
                task.keep(update.clone());
            }
            self.follow(&update);
        }
        match self.tasks.get(&key) {
            Some(task) if seq > task.acknowledged => Heard::Forward(update),
            _ => {
                self.forget_if_acknowledged(&key);
                acknowledge
            }
        }
    }

    /// Moves the task to where the update says it is.
    fn follow(&mut self, update: &StatusUpdate) {
        match &update.state {
            TaskState::Staging => self.advance_task(&update.key, Stage::Queued),
            TaskState::Starting => self.advance_task(&update.key, Stage::Starting),
            TaskState::Running => self.advance_task(&update.key, Stage::Running),
            TaskState::Paused => self.advance_task(&update.key, Stage::Paused),
            TaskState::Ended(outcome) => {
                let (outcome, usage) = (outcome.clone(), update.usage);
                let report = Report::Update(update.seq);
                self.end_task(&update.key, Stage::Ended { outcome, usage, report });
            }
            TaskState::Unreachable => {}
        }
    }

    /// Ends a task, or says how one ended that its agent brought along as ended.
    pub(crate) fn end_task(&mut self, key: &TaskKey, ended: Stage) {
        match self.tasks.get_mut(key) {
            Some(task) if task.stage.is_ended() => task.stage = ended,
            _ => self.advance_task(key, ended),
        }
    }

    fn forget_if_acknowledged(&mut self, key: &TaskKey) {
        let Some(task) = self.tasks.get(key) else { return };
        if let Stage::Ended { report: Report::Update(last), .. } = task.stage
            && last <= task.acknowledged
        {
            self.forget_task(key);
        }
    }

    /// Running guests tell how far they are; whoever is not there misses it.
    pub(crate) fn progressed(&mut self, agent: &AgentId, reports: Vec<Progress>) {
        let live = reports.into_iter().filter(|report| self.lives_on(agent, &report.key)).collect();
        for (framework, reports) in by_framework(live, |report| &report.key.framework) {
            self.tell(&framework, Event::Progressed { reports });
        }
    }

    /// A framework has dealt with updates. Also one that this run of the master never saw counts:
    /// it was told by an earlier run.
    pub(crate) fn acknowledge(
        &mut self,
        framework: &FrameworkId,
        acknowledgements: Vec<Acknowledgement>,
    ) {
        let mut agents: BTreeMap<AgentId, (Vec<Acknowledgement>, Vec<TaskKey>)> = BTreeMap::new();
        for acknowledgement in acknowledgements {
            let Acknowledgement { key, seq } = &acknowledgement;
            if key.framework != *framework || *seq == 0 {
                continue;
            }
            let task = self.tasks.get_mut(key).filter(|task| !task.is_condemned());
            let Some(task) = task else { continue };
            task.acknowledged = task.acknowledged.max(*seq);
            task.unacknowledged.retain(|update| update.seq > *seq);
            let agent = task.agent.clone();
            self.forget_if_acknowledged(key);
            let (acknowledgements, forgotten) = agents.entry(agent).or_default();
            forgotten.extend(self.tasks.get(key).is_none().then(|| key.clone()));
            acknowledgements.push(acknowledgement);
        }
        for (agent, (acknowledgements, forgotten)) in agents {
            self.order_to_acknowledge(&agent, acknowledgements, forgotten);
        }
    }

    /// The agent may forget those whose end is among what it is to acknowledge.
    fn order_to_acknowledge(
        &mut self,
        id: &AgentId,
        acknowledgements: Vec<Acknowledgement>,
        forgotten: Vec<TaskKey>,
    ) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        let number = agent.over.order(forgotten);
        self.order_agent(id, ToAgent::Acknowledge { number, acknowledgements });
    }
}

/// Who waits for an attempt has launched no later one. If it was ended for the sake of one, an
/// earlier run of the master had given it up as lost, and could not say so any more.
fn as_its_framework_sees_it(state: TaskState) -> TaskState {
    match state {
        TaskState::Ended(Outcome::Killed { by: KilledBy::NewerAttempt(_) }) => {
            TaskState::Ended(Outcome::Lost { why: LostBy::AgentLost })
        }
        state => state,
    }
}

/// Sorts by whose they are; their order is kept.
pub(crate) fn by_framework<T>(
    items: Vec<T>,
    framework: impl Fn(&T) -> &FrameworkId,
) -> BTreeMap<FrameworkId, Vec<T>> {
    let mut sorted: BTreeMap<FrameworkId, Vec<T>> = BTreeMap::new();
    for item in items {
        sorted.entry(framework(&item).clone()).or_default().push(item);
    }
    sorted
}
