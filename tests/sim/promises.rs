//! The promises of the system, watched from outside the cores.
//!
//! | promise | where it shows |
//! |---|---|
//! | no attempt of a task starts twice, on whatever agents | [`Promises::starts`] |
//! | the tasks that run on an agent never need more than it has | [`Promises::starts`] |
//! | those of one allocation never need more than it was granted | [`Promises::starts`] |
//! | an agent brings along what its disk holds, and all that runs on it | [`Promises::registers`] |
//! | a framework hears of its own attempts, in order, and of one end each | [`Promises::tells`] |
//! | every task that was accepted ends | [`Promises::check_rest`] |
//! | what was said is on the disk; no update is forgotten unheard | `promises/durable.rs` |
//! | no output is gone before its end is acknowledged | `promises/collected.rs` |
//! | after healing frameworks believe what is so | `promises/views.rs` |
//! | no attempt falls back behind one before it; messages are heard once | `promises/marks.rs` |
//! | a restart finds the state that the process had | `check_replay` of the cores |
//! | every operation is answered, once; who was admitted stays so | `framework`, `agent` |
//! | what was asked for gets done | `rest` |
//!
//! Each is written from what the protocol says. What is broken is said in a sentence, by a panic.
//!
//! Deliberately absent: what a master has said before it was restarted binds the next one only as
//! far as agents know it, so a task that was given up may be heard of again. Frameworks know the
//! attempt as over and do not listen.

mod collected;
mod durable;
mod marks;
mod views;

pub(crate) use marks::Mark;

use skep_agent_core::Record;
use skep_protocol::{
    AllocationId, Attempt, FrameworkId, Incarnation, Outcome, Rejection, Resources, StatusUpdate,
    TaskId, TaskKey, TaskSpec, TaskState, Time,
    agent::{Registration, ToAgent},
    outcome::LostBy,
};
use std::collections::{BTreeMap, BTreeSet};

/// The attempt in a word about a task that nobody knows.
const EVERY_ATTEMPT: Attempt = Attempt(u32::MAX);

#[derive(Debug, Default)]
pub(crate) struct Promises {
    nodes: Vec<Node>,
    /// Attempts whose guests have started, anywhere.
    started: BTreeSet<TaskKey>,
    /// When they last were seen to end.
    ended: BTreeMap<TaskKey, Time>,
    /// Attempts that frameworks have launched.
    launched: BTreeSet<TaskKey>,
    /// Those of them that frameworks were told an agent has.
    accepted: BTreeSet<TaskKey>,
    told: BTreeMap<TaskKey, Told>,
    /// Attempts of which agents have forgotten updates that their frameworks had not heard.
    forgotten_unheard: BTreeSet<TaskKey>,
    /// Attempts that their framework did not wait for.
    given_up: BTreeSet<TaskKey>,
    /// Frameworks that have left: nobody tells them anything any more.
    departed: BTreeSet<FrameworkId>,
    marks: marks::Marks,
    collected: collected::Collected,
    /// Since when nothing goes wrong.
    healed: Option<Time>,
}

/// What is known of one agent from what it was ordered.
#[derive(Debug, Default)]
struct Node {
    has: Resources,
    launches: BTreeMap<TaskKey, (AllocationId, Resources)>,
    granted: BTreeMap<AllocationId, Resources>,
    /// Since when.
    running: BTreeMap<TaskKey, Time>,
    /// What it has dropped from its disk.
    forgotten: BTreeSet<TaskKey>,
    removed: BTreeSet<FrameworkId>,
    incarnation: Incarnation,
    /// The tasks on its disk when its run began, until it has registered.
    recovered: Option<BTreeSet<TaskKey>>,
}

/// What a framework was told of one attempt.
#[derive(Debug, Default)]
struct Told {
    /// The newest number that it has seen.
    seen: u64,
    /// How the attempt ended, and in which run of the master that was told.
    end: Option<(Outcome, u64)>,
    /// How it ended by the agent's own word, which is on its disk.
    sworn: Option<Outcome>,
    /// All news, in Mesos's words, and when the last came.
    states: Vec<&'static str>,
    heard: Time,
}

impl Promises {
    pub(crate) fn add_agent(&mut self, has: Resources) {
        self.nodes.push(Node { has, ..Node::default() });
    }

    /// An agent is given an order.
    pub(crate) fn ordered(&mut self, agent: usize, order: &ToAgent) {
        let node = &mut self.nodes[agent];
        match order {
            ToAgent::Launch { allocation, framework, granted, tasks, .. } => {
                node.granted.insert(*allocation, granted.clone());
                for TaskSpec { task, attempt, resources, .. } in tasks.iter().flatten() {
                    let (task, attempt) = (task.clone(), *attempt);
                    let key = TaskKey { framework: framework.clone(), task, attempt };
                    node.launches.insert(key, (*allocation, resources.clone()));
                }
            }
            ToAgent::RemoveFramework { framework } => {
                node.removed.insert(framework.clone());
            }
            ToAgent::Acknowledge { acknowledgements, .. } => {
                self.acknowledged(acknowledgements);
            }
            _ => {}
        }
    }

    /// A guest executes its first instruction. Guests of a framework that has been removed count
    /// as long as they run.
    pub(crate) fn starts(&mut self, now: Time, agent: usize, key: &TaskKey) {
        assert!(self.started.insert(key.clone()), "{key} has started twice");
        let node = &mut self.nodes[agent];
        node.running.insert(key.clone(), now);
        let Some((allocation, _)) = node.launches.get(key) else {
            panic!("agent {agent} starts {key}, which it was never ordered to");
        };
        let (mut of_agent, mut of_allocation) = (Resources::none(), Resources::none());
        for (other, resources) in node.running.keys().filter_map(|key| node.launches.get(key)) {
            of_agent.add(resources);
            if other == allocation {
                of_allocation.add(resources);
            }
        }
        let (has, granted) = (&node.has, &node.granted[allocation]);
        assert!(has.contains(&of_agent), "agent {agent} runs {of_agent} and has {has}");
        assert!(
            granted.contains(&of_allocation),
            "agent {agent} runs {of_allocation} in {allocation}, which was granted {granted}"
        );
    }

    pub(crate) fn ends(&mut self, now: Time, agent: usize, key: &TaskKey) {
        if self.nodes[agent].running.remove(key).is_some() {
            self.ended.insert(key.clone(), now);
        }
    }

    /// An agent's process ends, and its executors with it.
    pub(crate) fn all_end(&mut self, now: Time, agent: usize) {
        let running = std::mem::take(&mut self.nodes[agent].running);
        self.ended.extend(running.into_keys().map(|key| (key, now)));
    }

    /// A run of an agent begins with these records.
    pub(crate) fn recovers(&mut self, agent: usize, records: &[Record]) {
        let key = |record: &Record| match record {
            Record::TaskAccepted { key, .. } | Record::TaskRefused { key, .. } => Some(key.clone()),
            _ => None,
        };
        self.nodes[agent].recovered = Some(records.iter().filter_map(key).collect());
    }

    pub(crate) fn registers(&mut self, agent: usize, registration: &Registration) {
        let Registration { incarnation, tasks, .. } = registration;
        let node = &mut self.nodes[agent];
        if let Some(recovered) = node.recovered.take() {
            let brought: BTreeSet<TaskKey> = tasks.iter().map(|task| task.key.clone()).collect();
            assert_eq!(brought, recovered, "agent {agent} brings other tasks than its disk holds");
            let before = std::mem::replace(&mut node.incarnation, *incarnation);
            assert!(*incarnation > before, "agent {agent} is {incarnation} again");
        }
        for key in node.running.keys().filter(|key| !node.removed.contains(&key.framework)) {
            let is_brought = tasks.iter().any(|t| t.key == *key && !t.state.is_terminal());
            assert!(is_brought, "agent {agent} runs {key} and does not say so");
        }
    }

    pub(crate) fn launches(&mut self, framework: Option<&FrameworkId>, tasks: &[TaskSpec]) {
        let framework = framework.expect("a framework with an offer has a name");
        for TaskSpec { task, attempt, .. } in tasks {
            let (framework, task, attempt) = (framework.clone(), task.clone(), *attempt);
            self.launched.insert(TaskKey { framework, task, attempt });
        }
    }

    pub(crate) fn accepts(
        &mut self,
        framework: Option<&FrameworkId>,
        tasks: Vec<(TaskId, Attempt)>,
    ) {
        let framework = framework.expect("a framework with a task has a name");
        for (task, attempt) in tasks {
            let key = TaskKey { framework: framework.clone(), task, attempt };
            assert!(self.launched.contains(&key), "{key} is accepted and was never launched");
            self.accepted.insert(key);
        }
    }

    /// A framework hears from a run of the master that a launch was refused.
    pub(crate) fn refuses(&mut self, key: &TaskKey, run: u64) {
        let told = self.told.entry(key.clone()).or_default();
        assert_eq!(told.end, None, "{key} is refused after its end");
        assert!(!self.accepted.contains(key), "{key} is refused after it was accepted");
        told.end = Some((Outcome::Refused { rejection: Rejection::Recalled }, run));
        told.states.push("REFUSED");
    }

    /// A framework hears an update from a run of the master; `newest` is the attempt of that task
    /// that it knows.
    pub(crate) fn tells(
        &mut self,
        now: Time,
        framework: Option<&FrameworkId>,
        newest: Option<&TaskKey>,
        run: u64,
        update: &StatusUpdate,
    ) {
        let StatusUpdate { key, seq, state, .. } = update;
        assert_eq!(Some(&key.framework), framework, "{key} is told to another framework");
        let key = if key.attempt == EVERY_ATTEMPT { newest.unwrap_or(key) } else { key };
        if !self.launched.contains(key) {
            let is_about_unknown = update.key.attempt == EVERY_ATTEMPT;
            assert!(is_about_unknown, "{key} is told {} and was never launched", state.name());
            return;
        }
        let told = self.told.entry(key.clone()).or_default();
        if *seq > 0 {
            // What an earlier run of the master acknowledged of an attempt that it had given up, no
            // later one can tell.
            let next = told.seen + 1;
            let is_in_order = *seq <= next || self.forgotten_unheard.contains(key);
            assert!(is_in_order, "{key}: update {seq} comes before update {next}");
        }
        if let (1.., TaskState::Ended(outcome)) = (*seq, state) {
            let sworn = told.sworn.get_or_insert_with(|| outcome.clone());
            assert_eq!(sworn, outcome, "the agent of {key} has changed its mind");
        }
        let is_news = *seq == 0 || *seq > told.seen;
        told.seen = told.seen.max(*seq);
        if !is_news {
            return;
        }
        match (&told.end, state) {
            (None, TaskState::Ended(outcome)) => {
                told.end = Some((outcome.clone(), run));
            }
            (None, _) => {}
            (Some((end, _)), TaskState::Ended(outcome)) if end == outcome => return,
            (Some((Outcome::Lost { why: LostBy::Unknown }, _)), _) => return,
            (Some((_, before)), _) if *before < run => return,
            (Some((Outcome::Lost { .. }, _)), TaskState::Ended(Outcome::Lost { .. })) => return,
            (Some((end, _)), state) => panic!("{key} is told {state:?} after its end: {end}"),
        }
        told.heard = now;
        if told.states.last() != Some(&state.name()) {
            told.states.push(state.name());
        }
    }

    /// A framework waits no longer for an attempt that cannot be reached.
    pub(crate) fn gives_up(&mut self, key: TaskKey) {
        self.given_up.insert(key);
    }

    pub(crate) fn departs(&mut self, framework: Option<&FrameworkId>) {
        self.departed.extend(framework.cloned());
    }

    /// The agent that runs an attempt now.
    pub(crate) fn home_of(&self, key: &TaskKey) -> Option<usize> {
        self.nodes.iter().position(|node| node.running.contains_key(key))
    }

    /// Whether an agent was ordered to take an attempt.
    #[cfg(test)]
    pub(crate) fn is_ordered(&self, key: &TaskKey) -> bool {
        self.nodes.iter().any(|node| node.launches.contains_key(key))
    }

    #[cfg(test)]
    pub(crate) fn has_started(&self, key: &TaskKey) -> bool {
        self.started.contains(key)
    }

    /// All that a framework was told of an attempt, without repetitions.
    pub(crate) fn told(&self, key: &TaskKey) -> &[&'static str] {
        self.told.get(key).map_or(&[], |told| &told.states)
    }

    /// Nothing happens any more.
    pub(crate) fn check_rest(&self) {
        let is_heard = |key: &&TaskKey| !self.departed.contains(&key.framework);
        for key in self.accepted.iter().filter(is_heard) {
            let has_ended = self.told.get(key).is_some_and(|told| told.end.is_some());
            let is_given_up = self.given_up.contains(key);
            assert!(has_ended || is_given_up, "{key} was accepted and has no end");
        }
        self.check_forgotten();
        for (agent, node) in self.nodes.iter().enumerate() {
            let running = &node.running;
            assert!(running.is_empty(), "agent {agent} still runs {running:?}");
        }
    }
}
