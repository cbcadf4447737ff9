//! What happens when an agent registers: what it brings is compared with what the master knows.
//!
//! | the agent | the master | then |
//! |---|---|---|
//! | has it | knows it there | it goes on; the framework hears if it was out of reach |
//! | has it | never knew it | it is adopted: the master was restarted |
//! | has it | knows a newer attempt, or told its end | it is killed, and counts until it ends |
//! | has it | does not know its framework | the framework is removed there |
//! | lacks it | has no word that it was recorded | it is launched again |
//! | lacks it | knows it was recorded | it is lost |
//!
//! Always holds: what the agent says it runs is accounted to it, whether or not it is wanted.

use crate::{
    agents::Standing,
    input::ConnectionId,
    ledger::Place,
    master::Master,
    tasks::{Fate, Report, Stage, Task},
};
use skep_protocol::{
    AgentId, AllocationId, Attempt, FrameworkId, Outcome, StatusUpdate, TaskId, TaskKey, TaskSpec,
    TaskState,
    agent::{HeldTask, ToAgent},
    framework::Event,
    outcome::{KilledBy, LostBy},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What comes out of the comparison, told at its end.
#[derive(Debug)]
struct Homecoming<'a> {
    agent: &'a AgentId,
    /// Where the agent stood before; none if it is new to this run of the master.
    before: Option<Standing>,
    /// Frameworks that are no more.
    gone: BTreeSet<FrameworkId>,
    launches: BTreeMap<AllocationId, Vec<TaskKey>>,
    kills: Vec<(TaskKey, KilledBy)>,
    accepted: BTreeMap<FrameworkId, Vec<(TaskId, Attempt)>>,
    words: Vec<StatusUpdate>,
}

impl Homecoming<'_> {
    const fn was_unreachable(&self) -> bool {
        matches!(self.before, Some(Standing::Unreachable { .. }))
    }
}

impl Master {
    pub(crate) fn come_home(
        &mut self,
        agent: &AgentId,
        connection: ConnectionId,
        held: Vec<HeldTask>,
        before: Option<Standing>,
    ) {
        let mut home = Homecoming {
            agent,
            before,
            gone: BTreeSet::new(),
            launches: BTreeMap::new(),
            kills: Vec::new(),
            accepted: BTreeMap::new(),
            words: Vec::new(),
        };
        let mut missing = BTreeSet::new();
        if let Some(known) = self.agents.get_mut(agent) {
            missing.clone_from(&known.tasks);
            let brought: BTreeSet<&TaskKey> = held.iter().map(|task| &task.key).collect();
            known.over.come_back(&brought);
            if home.before == Some(Standing::Lost) {
                brought.into_iter().for_each(|key| known.over.add(key.clone()));
            }
        }
        for task in held {
            missing.remove(&task.key);
            self.bring(task, &mut home);
        }
        for key in missing {
            self.miss(&key, &mut home);
        }
        self.tell_homecoming(connection, home);
    }

    fn bring(&mut self, held: HeldTask, home: &mut Homecoming<'_>) {
        if !self.frameworks.contains_key(&held.key.framework) {
            home.gone.insert(held.key.framework);
            return;
        }
        match self.tasks.get(&held.key) {
            Some(task) if task.agent == *home.agent => self.recognise(&held, home),
            // The same attempt was launched anew elsewhere, after it was told lost.
            Some(_) => home.kills.push((held.key.clone(), superseded_by(held.key.attempt.next()))),
            None => self.adopt(held, home),
        }
    }

    fn recognise(&mut self, held: &HeldTask, home: &mut Homecoming<'_>) {
        let key = &held.key;
        let Some(task) = self.tasks.get(key) else { return };
        if held.state.is_terminal() {
            // How it ended comes as an update of its own.
            return self.advance_task(key, Stage::Queued);
        }
        match &task.fate {
            _ if task.stage.is_ended() => {
                home.kills.push((key.clone(), superseded_by(key.attempt.next())));
                return;
            }
            Fate::Condemned(by) => {
                home.kills.push((key.clone(), by.clone()));
                return;
            }
            Fate::ToEnd(by) => home.kills.push((key.clone(), by.clone())),
            Fate::Wanted => {}
        }
        if matches!(task.stage, Stage::Sent { .. }) {
            let accepted = home.accepted.entry(key.framework.clone()).or_default();
            accepted.push((key.task.clone(), key.attempt));
        }
        self.advance_task(key, stage_of(&held.state));
        if home.was_unreachable() {
            home.words.extend(self.tasks.get(key).and_then(|task| self.word_of(key, task)));
        }
    }

    fn adopt(&mut self, held: HeldTask, home: &mut Homecoming<'_>) {
        let HeldTask { key, role, allocation, granted, resources, terms, name, state, .. } = held;
        let (volumes, lost_after) = (held.volumes, held.lost_after);
        let Some(known) = self.durable.frameworks.get(&key.framework) else { return };
        let role = known.info.roles().find(|known| **known == role).unwrap_or(&known.info.role);
        let role = role.clone();
        let live = self.tasks.newest(&key.framework, &key.task).map(|(attempt, _)| attempt);
        let ended = self.tasks.history.newest(&key.framework, &key.task);
        let newest = live.max(ended.map(|(ended, _)| ended.attempt));
        let is_told = self.is_told(&key, home.agent);
        let fate = match newest {
            Some(newest) if newest > key.attempt => Fate::Condemned(superseded_by(newest)),
            _ if is_told => Fate::Condemned(superseded_by(key.attempt.next())),
            _ => self.resolve_question(&key),
        };
        let stage = stage_of(&state);
        match &fate {
            // It holds nothing, and the update of its end will be acknowledged unheard.
            Fate::Condemned(_) if stage.is_ended() => return,
            Fate::Condemned(by) => home.kills.push((key.clone(), by.clone())),
            Fate::ToEnd(by) => home.kills.push((key.clone(), by.clone())),
            Fate::Wanted => {}
        }
        if live.is_some() && !matches!(fate, Fate::Condemned(_)) {
            self.supersede(&key.framework, &key.task, key.attempt);
        }
        let allocation = self.home_allocation(allocation, &key.framework, home.agent);
        let task = Task {
            agent: home.agent.clone(),
            allocation,
            role,
            resources,
            volumes: volumes.into_iter().collect(),
            name,
            lost_after,
            since: self.now,
            stage,
            fate,
            seen: 0,
            acknowledged: 0,
            unacknowledged: VecDeque::new(),
            repeatable: None,
        };
        if !task.stage.is_ended() {
            let (framework, agent) = (&key.framework, home.agent);
            let place = Place { framework, role: &task.role, agent, terms };
            let held = (&task.resources, task.begun());
            self.ledger.adopt(allocation, place, &granted, held, self.now);
        }
        home.words.extend(self.word_of(&key, &task));
        self.insert_task(&key, task);
    }

    /// Whether the framework of an attempt that an agent brings knows it as over.
    fn is_told(&self, key: &TaskKey, agent: &AgentId) -> bool {
        let is_over = self.agents.get(agent).is_some_and(|known| known.over.contains(key));
        is_over || self.tasks.history.contains(key)
    }

    /// The allocation that an agent names, or another if that is somebody else's here.
    fn home_allocation(
        &mut self,
        id: AllocationId,
        framework: &FrameworkId,
        agent: &AgentId,
    ) -> AllocationId {
        let ledger = &self.ledger;
        match ledger.allocation(id) {
            Some(known) if known.framework != *framework || known.agent != *agent => {
                self.mint.allocation(|id| ledger.allocation(*id).is_some())
            }
            _ => id,
        }
    }

    /// Where a task of the agent that came stands, if its framework may hear of it now; an end
    /// comes as an update.
    fn word_of(&self, key: &TaskKey, task: &Task) -> Option<StatusUpdate> {
        let is_heard = !task.stage.is_ended() && !task.is_condemned();
        is_heard.then(|| self.word(key, Some(&task.agent), task.stage.state()))
    }

    /// The agent does not bring a task that the master believed there.
    fn miss(&mut self, key: &TaskKey, home: &mut Homecoming<'_>) {
        let Some(task) = self.tasks.get(key) else { return };
        match (&task.stage, &task.fate) {
            (Stage::Ended { .. }, _) => {}
            (Stage::Sent { .. }, Fate::Wanted | Fate::ToEnd(_)) => {
                if let Fate::ToEnd(by) = &task.fate {
                    home.kills.push((key.clone(), by.clone()));
                }
                home.launches.entry(task.allocation).or_default().push(key.clone());
                if home.was_unreachable() {
                    home.words.extend(self.word_of(key, task));
                }
            }
            _ => home.words.extend(self.lose_task(key, LostBy::UnknownToAgent)),
        }
    }

    /// Orders for the agent first; a kill goes after the launch that it may be meant for.
    fn tell_homecoming(&mut self, connection: ConnectionId, home: Homecoming<'_>) {
        for framework in home.gone {
            self.send_agent(connection, ToAgent::RemoveFramework { framework });
        }
        for (allocation, keys) in home.launches {
            let specs: Vec<TaskSpec> = keys.iter().filter_map(|key| self.spec_of(key)).collect();
            self.send_launch(home.agent, allocation, specs);
        }
        for (key, by) in home.kills {
            let TaskKey { framework, task, attempt } = key;
            self.send_agent(connection, ToAgent::Kill { framework, task, attempt, by });
        }
        for allocation in self.ledger.recalled_on(home.agent) {
            self.send_agent(connection, ToAgent::Recall { allocation });
        }
        for (framework, tasks) in home.accepted {
            let agent = home.agent.clone();
            self.tell(&framework, Event::TasksAccepted { agent, tasks });
        }
        self.tell_updates(home.words);
    }

    fn spec_of(&self, key: &TaskKey) -> Option<TaskSpec> {
        match &self.tasks.get(key)?.stage {
            Stage::Sent { spec } => Some(TaskSpec::clone(spec)),
            _ => None,
        }
    }

    /// Ends older attempts of a task that are still about; the newer one has taken their place.
    pub(crate) fn supersede(&mut self, framework: &FrameworkId, task: &TaskId, by: Attempt) {
        let older = self.tasks.attempts(framework, task).filter(|(attempt, older)| {
            *attempt < by && !older.stage.is_ended() && !older.is_condemned()
        });
        for attempt in older.map(|(attempt, _)| attempt).collect::<Vec<_>>() {
            let (framework, task) = (framework.clone(), task.clone());
            let key = TaskKey { framework, task, attempt };
            let Some(older) = self.tasks.get_mut(&key) else { continue };
            older.fate = Fate::Condemned(superseded_by(by));
            older.unacknowledged.clear();
            let agent = older.agent.clone();
            self.order_kill(&agent, &key, superseded_by(by));
        }
    }

    /// A task is over and nobody knows how. Its framework hears it now if it is there, and else
    /// when it returns.
    pub(crate) fn lose_task(&mut self, key: &TaskKey, why: LostBy) -> Option<StatusUpdate> {
        let task = self.tasks.get(key)?;
        if task.is_condemned() {
            self.forget_task(key);
            return None;
        }
        if task.is_reported() {
            return None;
        }
        let agent = task.agent.clone();
        let outcome = Outcome::Lost { why };
        let stage = Stage::Ended { outcome: outcome.clone(), usage: None, report: Report::Master };
        self.end_task(key, stage);
        if let Some(known) = self.agents.get_mut(&agent) {
            known.over.add(key.clone());
        }
        self.frameworks.get(&key.framework)?.connection()?;
        self.forget_task(key);
        Some(self.word(key, Some(&agent), TaskState::Ended(outcome)))
    }
}

/// The order that the framework itself is about to give, or has given: only a later attempt
/// may run.
const fn superseded_by(attempt: Attempt) -> KilledBy {
    KilledBy::NewerAttempt(attempt)
}

/// What an agent says about a task that it holds.
fn stage_of(state: &TaskState) -> Stage {
    match state {
        TaskState::Staging | TaskState::Unreachable => Stage::Queued,
        TaskState::Starting => Stage::Starting,
        TaskState::Running => Stage::Running,
        TaskState::Paused => Stage::Paused,
        TaskState::Ended(outcome) => {
            let (outcome, report) = (outcome.clone(), Report::Awaited);
            Stage::Ended { outcome, usage: None, report }
        }
    }
}
