//! What always holds between two inputs, asserted over the whole core.
//!
//! For tests and simulators; its cost grows with all that the agent holds.

use crate::{
    agent::Agent,
    preemption::Gait,
    queue::Queue,
    record::Record,
    session::Phase,
    state::State,
    tasks::{Live, Stage},
    waits::Need,
};
use skep_protocol::{AllocationId, Resources, TaskKey, task::Terms};
use std::collections::{BTreeMap, BTreeSet};

impl Agent {
    /// Asserts what always holds between two inputs.
    ///
    /// # Panics
    /// If something does not hold: the core has a fault.
    pub fn check_invariants(&self) {
        self.check_tasks();
        for (id, queue) in self.queues.iter() {
            self.check_queue(*id, queue);
        }
        self.check_waits();
        self.check_executors();
        self.check_revocable();
        self.check_deliveries();
        self.check_updates();
        let (kept, max) = (self.sandboxes.len(), self.policy.sandboxes_kept_max);
        assert!(kept <= max, "{kept} sandboxes are kept, at most {max} may be");
        for key in &self.uncollected {
            assert!(self.state.task(key).is_some(), "{key} waits to be collected and is not held");
        }
    }

    /// Asserts that a restart would find what is durable now, if the store held these records: all
    /// that were handed out and not replaced, in the order of their keys.
    ///
    /// # Panics
    /// If it would not: with what differs.
    pub fn check_replay<'a>(&self, records: impl IntoIterator<Item = &'a Record>) {
        let mut replayed = State::default();
        records.into_iter().for_each(|record| replayed.apply(record));
        assert_eq!(replayed, self.state, "a restart would find something else");
    }

    /// A task held is live or has ended, never both and never neither.
    fn check_tasks(&self) {
        let (held, max) = (self.state.tasks(), self.policy.tasks_max);
        assert!(held.len() <= max, "{} tasks are held, at most {max} may be", held.len());
        if self.phase != Phase::Recovered {
            for (key, task) in held {
                let live = self.live.contains_key(key);
                assert!(live != task.has_ended(), "{key}: live is {live}, so is its end");
            }
        }
        for (key, live) in &self.live {
            assert!(self.spec(key).is_some(), "{key} is live and was not accepted");
            assert!(live.arrival < self.arrivals, "{key} arrives in the future");
            assert!(live.stage != Stage::Placed, "{key} has room and goes nowhere");
            if matches!(live.stage, Stage::Recovered(_)) {
                let executor = self.executor_of(key);
                let expected = executor.is_some_and(|key| self.executors.is_expected(&key));
                assert!(expected, "{key} waits for the word of an executor that has answered");
            }
        }
    }

    /// A queue counts what its tasks use, and lets in all who fit.
    fn check_queue(&self, id: AllocationId, queue: &Queue) {
        let theirs = self
            .live
            .iter()
            .filter(|(_, live)| !matches!(live.stage, Stage::Recovered(_)))
            .filter(|(key, _)| self.state.task(key).is_some_and(|task| task.allocation == id));
        let (queued, placed): (Vec<_>, Vec<_>) =
            theirs.partition(|(_, live)| live.stage == Stage::Queued);
        let mut used = Resources::none();
        for (key, _) in &placed {
            used.add(self.resources(key));
        }
        assert_eq!(*queue.used(), used, "{id}: what its tasks use");
        assert_eq!(queue.placed(), placed.len(), "{id}: its tasks with room");
        let expected: BTreeMap<u64, TaskKey> =
            queued.iter().map(|(key, live)| (live.arrival, (*key).clone())).collect();
        assert_eq!(*queue.waiting(), expected, "{id}: its waiting tasks");
        if let Some(head) = queue.waiting().values().next()
            && !self.executors.is_expecting()
        {
            let fits = queue.granted().contains(&used.plus(self.resources(head)));
            assert!(!fits, "{id}: {head} fits and waits");
            assert!(!placed.is_empty(), "{id}: {head} waits for nobody");
        }
    }

    fn resources(&self, key: &TaskKey) -> &Resources {
        &self.spec(key).expect("a live task was accepted").resources
    }

    /// Who waits for something stands in its list, and it is on its way.
    fn check_waits(&self) {
        let listed: BTreeSet<_> =
            self.waits.iter().map(|(need, arrival, key)| (key, need, arrival)).collect();
        let waiting = |(key, live): (_, &'_ Live)| match &live.stage {
            Stage::Preparing(_) => Some((key, live.arrival)),
            _ => None,
        };
        let expected: BTreeSet<_> = self.live.iter().filter_map(waiting).collect();
        let named: BTreeSet<_> = listed.iter().map(|(key, _, arrival)| (*key, *arrival)).collect();
        assert_eq!(named, expected, "the waiting tasks");
        for (key, need, _) in listed {
            let stage = self.live.get(key).map(|live| &live.stage);
            assert_eq!(stage, Some(&Stage::Preparing(need.clone())), "{key} is in another list");
            let coming = match need {
                Need::Executor(wanted) => {
                    let executor = self.executors.iter().find(|(key, _)| *key == wanted);
                    executor.is_some_and(|(_, executor)| !executor.is_ready())
                }
                Need::Departure(executor) => self.executors.leaving().contains(executor),
                Need::Room => self.need_room(key) == Some(Need::Room),
                _ => self.modules.is_on_its_way(need),
            };
            assert!(coming, "{key} waits for {need:?}, which nobody brings");
        }
    }

    /// An executor's guests are the tasks that were sent to it and have not ended.
    fn check_executors(&self) {
        let expected: BTreeSet<_> = self
            .live
            .iter()
            .filter(|(_, live)| live.is_in_executor())
            .map(|(key, _)| key)
            .collect();
        let mut guests = BTreeSet::new();
        let mut running = BTreeMap::<_, usize>::new();
        for (owner, executor) in self.executors.iter() {
            if !executor.is_stopping() {
                *running.entry(&owner.framework).or_default() += 1;
            }
            for key in executor.guests() {
                assert!(executor.is_ready(), "{key} is in an executor that is not ready");
                assert_eq!(self.executor_of(key).as_ref(), Some(owner), "{key} is in a wrong jail");
                guests.insert(key);
            }
        }
        assert_eq!(guests, expected, "the guests of all executors");
        let max = self.policy.executors_per_framework_max;
        for (framework, running) in running {
            assert!(running <= max, "{framework} has {running} executors, at most {max} may be");
        }
        if self.phase != Phase::Recovered {
            let known = self.executors.iter().map(|(key, executor)| (key, executor.run()));
            let recorded = self.state.executors().iter().map(|(key, run)| (key, *run));
            assert!(known.eq(recorded), "the executors, and those on the disk");
        }
        self.check_profiles();
        for leaving in self.executors.leaving() {
            let executor = self.executors.iter().find(|(key, _)| *key == leaving);
            let stops = executor.is_some_and(|(_, executor)| executor.is_stopping());
            assert!(stops, "{leaving} is leaving, and its executor does not stop");
        }
    }

    /// The jails that are needed are those of the tasks that have not ended.
    fn check_profiles(&self) {
        let mut expected = BTreeMap::<_, BTreeMap<_, usize>>::new();
        for executor in self.live.keys().filter_map(|key| self.executor_of(key)) {
            let theirs = expected.entry(executor.framework).or_default();
            *theirs.entry(executor.profile).or_default() += 1;
        }
        assert!(self.profiles.iter().eq(expected.iter()), "the jails that tasks need");
    }

    /// The revocable tasks are those with room in their allocation, and each does what it is to do.
    fn check_revocable(&self) {
        let is_counted = |(key, live): &(&TaskKey, &Live)| {
            let terms = self.spec(key).map(|spec| spec.terms);
            let is_placed =
                !matches!(live.stage, Stage::Recovered(_) | Stage::Queued | Stage::Delivering);
            is_placed && terms == Some(Terms::Revocable)
        };
        let counted = self.live.iter().filter(is_counted);
        let expected: BTreeMap<u64, &TaskKey> =
            counted.map(|(key, live)| (live.arrival, key)).collect();
        let known = self.preemption.tasks();
        let keys: BTreeMap<u64, &TaskKey> =
            known.iter().map(|(at, task)| (*at, &task.key)).collect();
        assert_eq!(keys, expected, "the revocable tasks with room");
        if !self.executors.is_expecting() {
            let gaits: Vec<_> = known.values().map(|task| task.gait).collect();
            assert_eq!(gaits, self.judge_revocable(), "what revocable tasks do");
        }
        for task in known.values() {
            assert_eq!(task.needs, *self.resources(&task.key), "what {} needs", task.key);
            let has_started = self.live.get(&task.key).is_some_and(Live::is_in_executor);
            let may_start = task.gait != Gait::Waiting;
            assert!(may_start || !has_started, "{} waits and has started", task.key);
            let must_have = matches!(task.gait, Gait::Paused | Gait::Ending);
            assert!(has_started || !must_have, "{} was never started", task.key);
        }
    }

    /// Who delivers has ended as a guest, and is known to deliver.
    fn check_deliveries(&self) {
        let delivers = |(_, live): &(&TaskKey, &Live)| live.stage == Stage::Delivering;
        let expected: Vec<_> = self.live.iter().filter(delivers).map(|(key, _)| key).collect();
        assert_eq!(self.deliveries.keys().collect::<Vec<_>>(), expected, "the tasks that deliver");
        for key in expected {
            let end = self.state.task(key).and_then(|task| task.guest_end());
            assert!(end.is_some(), "{key} delivers, and a restart would not know it");
        }
    }

    /// While the agent is registered every task with unacknowledged updates is due to be sent
    /// again, and while it is not none is.
    fn check_updates(&self) {
        let open = self.state.tasks().iter().filter(|(_, task)| !task.updates().is_empty());
        let expected: Vec<&TaskKey> =
            if self.is_registered() { open.map(|(key, _)| key).collect() } else { Vec::new() };
        assert_eq!(self.retries.keys().collect::<Vec<_>>(), expected, "updates to be sent again");
        for (key, task) in self.state.tasks() {
            let numbers = task.updates().iter().map(|update| update.seq);
            let last = task.numbered();
            let first = last + 1 - task.updates().len() as u64;
            assert!(numbers.eq(first..=last), "{key}: its updates are not numbered in a row");
        }
    }
}
