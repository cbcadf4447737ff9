//! What always holds between inputs, checked from scratch.
//!
//! Each sentence also stands on the field or in the file that it binds. A check costs the whole
//! state, so only tests and the simulator make it.

use crate::{
    input::ConnectionId,
    master::{Master, Peer},
    record::{Durable, Record},
    tasks::{Phase, Tally, Task},
};
use skep_allocator::Presence;
use skep_protocol::{AgentId, AllocationId, FrameworkId, Resources, TaskId, TaskKey};
use std::collections::{BTreeMap, BTreeSet};

impl Master {
    /// Checks everything that should hold between two inputs.
    ///
    /// # Panics
    /// If something does not hold: with a sentence that says what.
    pub fn check_invariants(&self) {
        self.check_connections();
        self.check_offers();
        self.check_tasks();
        self.check_allocations();
        self.timers.check();
        self.tasks.history.check();
        self.ledger.check();
        self.check_replay(&self.durable.records());
    }

    /// Checks that a restart would find what is durable now, if the store held these records: all
    /// that were handed out and not replaced.
    ///
    /// # Panics
    /// If it would not: with what differs.
    pub fn check_replay<'a>(&self, records: impl IntoIterator<Item = &'a Record>) {
        let mut replayed = Durable::default();
        records.into_iter().for_each(|record| replayed.apply(record));
        assert_eq!(replayed, self.durable, "a restart would find something else");
    }

    fn check_connections(&self) {
        let mut spoken = BTreeMap::new();
        for (id, agent) in &self.agents {
            spoken.extend(agent.connection().map(|c| (c, Peer::Agent(id.clone()))));
        }
        for (id, framework) in &self.frameworks {
            spoken.extend(framework.connection().map(|c| (c, Peer::Framework(id.clone()))));
        }
        let known = self.connections.iter().filter(|(_, peer)| **peer != Peer::HungUp);
        let known: BTreeMap<ConnectionId, Peer> = known.map(|(c, p)| (*c, p.clone())).collect();
        assert_eq!(known, spoken, "connections and their peers disagree");
        let durable: Vec<&FrameworkId> = self.durable.frameworks.keys().collect();
        let frameworks: Vec<&FrameworkId> = self.frameworks.keys().collect();
        assert_eq!(durable, frameworks, "frameworks are not those that are recorded");
        let is_asked = self.frameworks.values().any(|known| !known.questions.is_empty());
        assert!(!is_asked || !self.expected.is_empty(), "a question can be answered and is not");
        for agent in self.agents.keys() {
            assert!(self.durable.agents.contains_key(agent), "{agent} was never admitted");
            assert!(!self.expected.contains(agent), "{agent} is here and still expected");
        }
    }

    fn check_offers(&self) {
        let mut of_agents: BTreeMap<&AgentId, (BTreeSet<_>, Resources)> = BTreeMap::new();
        let mut of_frameworks: BTreeMap<&FrameworkId, BTreeSet<_>> = BTreeMap::new();
        for (id, offer) in &self.offers {
            let (ids, sum) = of_agents.entry(&offer.agent).or_default();
            ids.insert(*id);
            sum.add(&offer.bundle.sum());
            of_frameworks.entry(&offer.framework).or_default().insert(*id);
        }
        for (id, agent) in &self.agents {
            let (offers, sum) = of_agents.remove(id).unwrap_or_default();
            assert_eq!(agent.offers, offers, "{id} has other offers than those that are out");
            let is_gone = agent.connection().is_none();
            assert!(!is_gone || offers.is_empty(), "{id} is not there and is offered");
            let known = self.ledger.shares.agent(id);
            let is_open = known.is_some_and(|agent| agent.presence == Presence::Open);
            assert!(is_open || offers.is_empty(), "{id} takes no part and is offered");
            assert!(!agent.is_crowded || offers.is_empty(), "{id} is crowded and is offered");
            let booked = self.ledger.shares.agent(id).map(|agent| agent.offered.sum());
            assert_eq!(booked, Some(sum), "{id} has other offers booked than are out");
        }
        assert!(of_agents.is_empty(), "an unknown agent is offered");
        for (id, framework) in &self.frameworks {
            let offers = of_frameworks.remove(id).unwrap_or_default();
            assert_eq!(framework.offers, offers, "{id} has other offers than those that are out");
            let is_gone = framework.connection().is_none();
            assert!(!is_gone || offers.is_empty(), "{id} is not there and holds offers");
        }
        assert!(of_frameworks.is_empty(), "an unknown framework holds offers");
        for (agent, asked) in &self.asked {
            assert!(!asked.is_empty(), "{agent} is kept and nobody was asked to leave it");
            let is_here = |id| self.frameworks.get(id).is_some_and(|f| f.connection().is_some());
            assert!(asked.keys().all(is_here), "somebody is asked to leave {agent} and not there");
        }
    }

    fn check_tasks(&self) {
        let mut agents: BTreeMap<AgentId, (BTreeSet<TaskKey>, Tally)> = BTreeMap::new();
        let mut frameworks: BTreeMap<FrameworkId, Tally> = BTreeMap::new();
        let mut wanted: BTreeSet<(FrameworkId, TaskId)> = BTreeSet::new();
        for (key, task) in self.tasks.iter() {
            let (keys, tally) = agents.entry(task.agent.clone()).or_default();
            keys.insert(key.clone());
            tally.enter(task.stage.phase());
            frameworks.entry(key.framework.clone()).or_default().enter(task.stage.phase());
            if task.is_condemned() {
                assert!(!task.stage.is_ended(), "{key} is condemned, has ended and is kept");
                continue;
            }
            let is_remembered = self.tasks.history.contains(&key);
            assert!(!is_remembered, "{key} is both live and remembered");
            let is_first = task.stage.is_ended() || wanted.insert((key.framework, key.task));
            assert!(is_first, "two attempts of a task are wanted");
        }
        for (id, agent) in &self.agents {
            let (keys, tally) = agents.remove(id).unwrap_or_default();
            assert_eq!(agent.tasks, keys, "{id} has other tasks than those that name it");
            assert_eq!(agent.tally, tally, "{id} has counted its tasks wrongly");
        }
        assert!(agents.is_empty(), "a task is on an unknown agent");
        for (id, framework) in &self.frameworks {
            let tally = frameworks.remove(id).unwrap_or_default();
            assert_eq!(framework.tally, tally, "{id} has counted its tasks wrongly");
        }
        assert!(frameworks.is_empty(), "a task is of an unknown framework");
    }

    fn check_allocations(&self) {
        let mut sums: BTreeMap<AllocationId, (Resources, usize, usize)> = BTreeMap::new();
        for (key, task) in self.tasks.iter().filter(|(_, task)| !task.stage.is_ended()) {
            let Task { allocation, agent, resources, .. } = task;
            let (wanted, tasks, unstarted) = sums.entry(*allocation).or_default();
            wanted.add(resources);
            *tasks += 1;
            *unstarted += usize::from(task.stage.phase() == Phase::Waiting);
            let known = self.ledger.allocation(*allocation);
            let holder = known.map(|known| (&known.framework, &known.agent));
            let expected = Some((&key.framework, agent));
            assert_eq!(holder, expected, "{key} runs under somebody else's allocation");
        }
        for (id, allocation) in self.ledger.allocations() {
            let expected = sums.remove(id).unwrap_or_default();
            let known = (allocation.wanted.clone(), allocation.tasks, allocation.unstarted);
            assert_eq!(known, expected, "allocation {id} is not what its tasks add up to");
        }
        assert!(sums.is_empty(), "a task runs under no allocation");
    }
}
