//! The barrier between records and effects, a little lower in front of executors.
//!
//! An effect waits for all records before it. Only an order to an executor waits for less: for the
//! acceptance of the tasks that it names, and for earlier orders to the same executor; the
//! acknowledgement of its reports waits for all, and other orders do not wait for it. So the
//! next task starts while the record of how the last one ended is on its way to the disk; where a
//! task has a CPU for itself, that would be the longest part of the time between two tasks.

use skep_agent_core::{Effect, ExecutorKey, Record};
use skep_protocol::{TaskKey, executor::ToExecutor};
use skep_shell::{Journal, Row, WriteError};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// See the module.
pub(crate) struct Barrier {
    journal: Journal<Held>,
    /// The tasks whose acceptance is not on the disk.
    unsaved: BTreeSet<TaskKey>,
    /// How many orders are held, per executor that has any.
    orders: BTreeMap<ExecutorKey, usize>,
}

/// What waits for the disk.
pub(crate) enum Held {
    /// A task's acceptance is on the disk.
    Accepted(TaskKey),
    /// An effect, with the connection that it was decided on.
    Effect(u64, Effect),
}

impl Barrier {
    pub(crate) const fn new(journal: Journal<Held>) -> Self {
        Self { journal, unsaved: BTreeSet::new(), orders: BTreeMap::new() }
    }

    pub(crate) fn persist(&mut self, record: &Record) {
        if record.is_deletion() {
            for key in record.keys_below().into_iter().chain([record.key()]) {
                self.journal.persist(Row::delete(key));
            }
            return;
        }
        self.journal.persist(Row::put(record.key(), record));
        if let Record::TaskAccepted { key, .. } = record {
            self.unsaved.insert(key.clone());
            self.journal.hold(Held::Accepted(key.clone()));
        }
    }

    /// Takes an effect; gives it back if it need not wait.
    pub(crate) fn pass(&mut self, connection: u64, effect: Effect) -> Option<Effect> {
        if let Some((executor, message)) = order(&effect) {
            if !self.orders.contains_key(executor) && self.is_saved(message) {
                return Some(effect);
            }
            *self.orders.entry(executor.clone()).or_default() += 1;
        }
        self.journal.hold(Held::Effect(connection, effect));
        None
    }

    fn is_saved(&self, order: &ToExecutor) -> bool {
        match order {
            ToExecutor::Start { guests } => {
                guests.iter().all(|guest| !self.unsaved.contains(&guest.key))
            }
            ToExecutor::Kill { .. }
            | ToExecutor::Pause { .. }
            | ToExecutor::Resume { .. }
            | ToExecutor::Tell { .. }
            | ToExecutor::HangUp { .. }
            | ToExecutor::Stop => true,
            ToExecutor::Acknowledge { .. } => false,
        }
    }

    /// The next effect that waits no more, with the connection that it was decided on.
    pub(crate) fn release(&mut self) -> Option<(u64, Effect)> {
        loop {
            match self.journal.release()? {
                Held::Accepted(key) => drop(self.unsaved.remove(&key)),
                Held::Effect(connection, effect) => {
                    if let Some((executor, _)) = order(&effect) {
                        self.one_order_less(executor);
                    }
                    return Some((connection, effect));
                }
            }
        }
    }

    fn one_order_less(&mut self, executor: &ExecutorKey) {
        if let Some(held) = self.orders.get_mut(executor) {
            *held -= 1;
            if *held == 0 {
                self.orders.remove(executor);
            }
        }
    }

    /// Waits for the commit under way, see [`Journal::committed`].
    pub(crate) async fn committed(&mut self) -> Result<(), WriteError> {
        self.journal.committed().await
    }

    /// The age of the oldest record that is not on the disk.
    pub(crate) fn unsaved_age(&self) -> Duration {
        self.journal.unsaved_age()
    }
}

/// The order that others to the same executor do not overtake, if the effect is one.
const fn order(effect: &Effect) -> Option<(&ExecutorKey, &ToExecutor)> {
    match effect {
        Effect::SendExecutor { message: ToExecutor::Acknowledge { .. }, .. } => None,
        Effect::SendExecutor { executor, message } => Some((executor, message)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_agent_core::{ExitReason, Profile};
    use skep_protocol::{
        Amount, Digest, FrameworkId, Resources, Role, TaskId, TaskSpec, executor::StartGuest,
        ids::Attempt, outcome::KilledBy,
    };
    use skep_shell::Store;

    fn barrier(folder: &tempfile::TempDir) -> Barrier {
        let store = Store::File(folder.path().join("agent.redb"));
        Barrier::new(Journal::open::<Record>(&store).expect("a fresh file opens").0)
    }

    fn spec(task: &str) -> TaskSpec {
        let resources = Resources::new(Amount::units(1), Amount::units(64));
        TaskSpec::new(TaskId::new(task).expect("an id"), Digest::of(b"module"), resources)
    }

    fn key(task: &str) -> TaskKey {
        let (framework, task) = (FrameworkId::new("f1").expect("an id"), spec(task).task);
        TaskKey { framework, task, attempt: Attempt::FIRST }
    }

    fn accepted(task: &str) -> Record {
        let (role, spec) = (Role::default(), Box::new(spec(task)));
        let (allocation, granted) = (skep_protocol::AllocationId(1), spec.resources.clone());
        Record::TaskAccepted { key: key(task), role, allocation, granted, arrival: 0, spec }
    }

    fn order_of(message: ToExecutor) -> Effect {
        let profile = Profile::default();
        Effect::SendExecutor {
            executor: ExecutorKey { framework: key("a").framework, profile },
            message,
        }
    }

    fn start(task: &str) -> Effect {
        let TaskSpec { module, name, args, index, limits, grants, diagnostics, .. } = spec(task);
        let (policies, checkpoint) = Default::default();
        let cpus = Amount::units(1);
        let agent = skep_protocol::AgentId::new("a1").expect("an id");
        let (memory_bytes, key, sandbox) = (1, key(task), "sandbox".into());
        let guest = StartGuest {
            key,
            agent,
            module,
            name,
            args,
            index,
            cpus,
            memory_bytes,
            limits,
            grants,
            diagnostics,
            policies,
            checkpoint,
            inputs: Vec::new(),
            sandbox,
        };
        order_of(ToExecutor::Start { guests: vec![guest] })
    }

    fn kill(task: &str) -> Effect {
        order_of(ToExecutor::Kill { key: key(task), by: KilledBy::Operator })
    }

    fn exit() -> Effect {
        Effect::Exit { why: ExitReason::Stopped }
    }

    #[tokio::test]
    async fn a_task_starts_when_its_own_acceptance_is_on_the_disk_and_no_later() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut barrier = barrier(&folder);
        barrier.persist(&accepted("a"));
        assert_eq!(barrier.pass(0, start("a")), None);
        assert_eq!(barrier.release(), None);
        barrier.committed().await.expect("a commit");
        assert_eq!(barrier.release(), Some((0, start("a"))));
        assert_eq!(barrier.release(), None);

        // From here on something is always unsaved, and only the exit has to wait for it.
        barrier.persist(&accepted("b"));
        assert_eq!(barrier.pass(0, exit()), None);
        assert_eq!(barrier.pass(0, kill("a")), Some(kill("a")));
        assert_eq!(barrier.pass(0, start("a")), Some(start("a")));
    }

    #[tokio::test]
    async fn reports_are_acknowledged_when_they_are_on_the_disk_and_hold_nothing_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut barrier = barrier(&folder);
        barrier.persist(&accepted("a"));
        let acknowledge = || order_of(ToExecutor::Acknowledge { batch: 1 });
        assert_eq!(barrier.pass(0, acknowledge()), None);
        assert_eq!(barrier.pass(0, kill("b")), Some(kill("b")));
        assert_eq!(barrier.release(), None);
        barrier.committed().await.expect("a commit");
        assert_eq!(barrier.release(), Some((0, acknowledge())));
    }

    #[tokio::test]
    async fn an_order_does_not_overtake_another_to_the_same_executor() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut barrier = barrier(&folder);
        barrier.persist(&accepted("a"));
        assert_eq!(barrier.pass(0, start("a")), None);
        assert_eq!(barrier.pass(0, kill("a")), None);
        assert_eq!(barrier.release(), None);
        barrier.committed().await.expect("a commit");
        assert_eq!(barrier.release(), Some((0, start("a"))));
        assert_eq!(barrier.release(), Some((0, kill("a"))));
        assert_eq!(barrier.pass(0, kill("a")), Some(kill("a")));
    }
}
