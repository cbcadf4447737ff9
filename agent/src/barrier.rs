//! The barrier between records and effects: what waits for the disk, by the core's rule of what
//! need not ([`Overtaking`]).

use skep_agent_core::{Acceptance, Effect, Overtaking, Record};
use skep_shell::{Journal, Parcel, Room, Row, WriteError};
use std::time::Duration;

/// See the module.
pub(crate) struct Barrier {
    journal: Journal<Held>,
    /// For messages that wait for the disk.
    room: Room,
    overtaking: Overtaking,
}

/// What waits for the disk.
pub(crate) enum Held {
    /// That of a task.
    Acceptance(Acceptance),
    /// An effect, with the connection that it was decided on.
    Effect(u64, Parcel<Effect>),
}

impl Barrier {
    pub(crate) fn new(journal: Journal<Held>) -> Self {
        Self { journal, room: Room::new(), overtaking: Overtaking::default() }
    }

    pub(crate) fn persist(&mut self, record: &Record) {
        if record.is_deletion() {
            for key in record.keys_below().into_iter().chain([record.key()]) {
                self.journal.persist(Row::delete(key));
            }
            return;
        }
        self.journal.persist(Row::put(record.key(), record));
        if let Some(acceptance) = self.overtaking.persists(record) {
            self.journal.hold(Held::Acceptance(acceptance));
        }
    }

    /// Takes an effect; gives it back if it need not wait. A message is dropped if too many wait.
    pub(crate) fn pass(&mut self, connection: u64, effect: Effect) -> Option<Effect> {
        if self.overtaking.may_pass(&effect) {
            return Some(effect);
        }
        let message_bytes = effect.message_bytes();
        if let Some(effect) = self.room.pack(effect, message_bytes) {
            self.overtaking.holds(effect.content());
            self.journal.hold(Held::Effect(connection, effect));
        }
        None
    }

    /// The next effect that waits no more, with the connection that it was decided on.
    pub(crate) fn release(&mut self) -> Option<(u64, Effect)> {
        loop {
            match self.journal.release()? {
                Held::Acceptance(acceptance) => self.overtaking.saved(&acceptance),
                Held::Effect(connection, effect) => {
                    let effect = effect.open();
                    self.overtaking.frees(&effect);
                    return Some((connection, effect));
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use skep_agent_core::{ExecutorKey, ExitReason, Profile};
    use skep_protocol::{
        Amount, Digest, FrameworkId, Resources, Role, TaskId, TaskKey, TaskSpec,
        agent::ToMaster,
        bounds::MESSAGE_BYTES_MAX,
        executor::{StartGuest, ToExecutor},
        ids::Attempt,
        outcome::{KilledBy, TaskMessage},
    };
    use skep_shell::{MESSAGES_BYTES_MAX, Store};

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
    async fn of_messages_that_wait_for_the_disk_those_are_dropped_that_find_no_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut barrier = barrier(&folder);
        barrier.persist(&accepted("a"));
        let sent = |text: &[u8]| {
            let message = TaskMessage { key: key("a"), bytes: text.repeat(MESSAGE_BYTES_MAX) };
            Effect::SendMaster(ToMaster::Sent { messages: vec![message] })
        };
        for _ in 0..100 {
            assert_eq!(barrier.pass(0, sent(b"x")), None);
        }
        assert_eq!(barrier.pass(0, exit()), None, "what is no message is held in any case");
        assert_eq!(barrier.release(), None);
        barrier.committed().await.expect("a commit");
        let mut released: Vec<_> = std::iter::from_fn(|| barrier.release()).collect();
        assert_eq!(released.pop(), Some((0, exit())));
        let room = MESSAGES_BYTES_MAX / sent(b"x").message_bytes().expect("a message");
        assert_eq!(released, vec![(0, sent(b"x")); room]);
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
