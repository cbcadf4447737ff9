//! The tasks of the load: what the task of a number does, and what it should come to.

use super::{
    faults::Chance,
    notes::{End, Word},
};
use anyhow::Result;
use skep_framework::{Cluster, TaskSpec};
use skep_protocol::{
    Amount, Attempt, Digest, Outcome, Rejection, Resources, StatusUpdate, TaskId, TaskState,
};
use std::{path::Path, time::Duration};

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Nothing: it is over at once.
    Nothing,
    /// It sleeps.
    Sleep(Duration),
    /// It computes until its deadline ends it.
    Spin(Duration),
    /// It copies an input that was stored for it alone.
    Copy,
}

impl Work {
    /// What the task of this number does.
    pub(crate) const fn of(number: u64) -> Self {
        let mut chance = Chance(number);
        let drawn = chance.below(20);
        let millis = 1_000 + chance.draw() % 19_000;
        match drawn {
            0..=12 => Self::Nothing,
            13..=16 => Self::Sleep(Duration::from_millis(millis)),
            17 => Self::Spin(Duration::from_millis(millis)),
            _ => Self::Copy,
        }
    }

    /// The resources that are set aside for it.
    pub(crate) fn resources(self) -> Resources {
        let millis = match self {
            Self::Nothing | Self::Copy => 200,
            Self::Sleep(_) => 20,
            Self::Spin(_) => 50,
        };
        Resources::new(Amount::millis(millis), Amount::units(16))
    }

    /// What an outcome means for it.
    const fn meaning(self, outcome: &Outcome) -> End {
        match (self, outcome) {
            (Self::Spin(_), Outcome::DeadlinePassed { .. }) => End::Well,
            (Self::Spin(_), Outcome::Exited { .. }) => End::Badly,
            (_, Outcome::Exited { code: 0 }) => End::Well,
            // It could not write its output: the disk of its agent was full.
            (Self::Copy, Outcome::Exited { .. }) => End::Again,
            (_, Outcome::Refused { rejection }) => match rejection {
                Rejection::Invalid { .. }
                | Rejection::Unsupported { .. }
                | Rejection::DoesNotFit { .. }
                | Rejection::NotAllowed { .. } => End::Badly,
                _ => End::Again,
            },
            (_, Outcome::Lost { .. } | Outcome::Killed { .. } | Outcome::Failed { .. }) => {
                End::Again
            }
            _ => End::Badly,
        }
    }
}

/// The modules, stored in the cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Modules {
    nothing: Digest,
    sleep: Digest,
    spin: Digest,
    copy: Digest,
}

impl Modules {
    /// Stores them, unless they are.
    pub(crate) async fn push(cluster: &Cluster, folder: &Path) -> Result<Self> {
        let path = |name: &str| folder.join(format!("{name}.wasm"));
        Ok(Self {
            nothing: cluster.push_file(&path("noop")).await?,
            sleep: cluster.push_file(&path("sleep")).await?,
            spin: cluster.push_file(&path("spin")).await?,
            copy: cluster.push_file(&path("cat")).await?,
        })
    }

    /// The task of a number.
    pub(crate) fn spec(&self, framework: &str, number: u64, attempt: u32) -> Result<TaskSpec> {
        let work = Work::of(number);
        let module = match work {
            Work::Nothing => self.nothing,
            Work::Sleep(_) => self.sleep,
            Work::Spin(_) => self.spin,
            Work::Copy => self.copy,
        };
        let mut spec = TaskSpec::new(TaskId::new(name(number))?, module, work.resources());
        spec.attempt = Attempt(attempt);
        match work {
            Work::Nothing => {}
            Work::Sleep(time) => spec.args = vec![time.as_millis().to_string()],
            Work::Spin(time) => spec.limits.deadline = Some(time),
            Work::Copy => {
                spec.grants.stdin = Some(Digest::of(input(framework, number).as_bytes()));
            }
        }
        Ok(spec)
    }
}

/// What the task of a number is called.
pub(crate) fn name(number: u64) -> String {
    format!("t-{number}")
}

/// The number in a task's name.
pub(crate) fn number(name: &str) -> Option<u64> {
    name.strip_prefix("t-")?.parse().ok()
}

/// What a copying task is given.
pub(crate) fn input(framework: &str, number: u64) -> String {
    format!("{framework} gives this to its task {number}\n")
}

/// An update as it is written down.
pub(crate) fn word(update: &StatusUpdate) -> Word {
    let task = update.key.task.to_string();
    let work = number(&task).map_or(Work::Nothing, Work::of);
    let (state, end) = match &update.state {
        TaskState::Ended(outcome) => (outcome.to_string(), Some(work.meaning(outcome))),
        state => (state.name().to_owned(), None),
    };
    let agent = update.agent.as_ref().map(ToString::to_string);
    Word { task, attempt: update.key.attempt.0, seq: update.seq, agent, state, end }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_protocol::outcome::LostBy;

    #[test]
    fn a_number_is_the_same_work_each_time_and_all_kinds_come() {
        let all: Vec<_> = (0..200).map(Work::of).collect();
        assert_eq!(all, (0..200).map(Work::of).collect::<Vec<_>>());
        let count = |is: fn(&Work) -> bool| all.iter().filter(|work| is(work)).count();
        assert!(count(|work| *work == Work::Nothing) > 100);
        assert!(count(|work| matches!(work, Work::Sleep(_))) > 20);
        assert!(count(|work| matches!(work, Work::Spin(_))) > 3);
        assert!(count(|work| *work == Work::Copy) > 5);
    }

    #[test]
    fn what_an_end_means_depends_on_the_work() {
        let limit = Duration::from_secs(1);
        let spin = Work::Spin(limit);
        assert_eq!(spin.meaning(&Outcome::DeadlinePassed { limit }), End::Well);
        assert_eq!(Work::Nothing.meaning(&Outcome::DeadlinePassed { limit }), End::Badly);
        assert_eq!(Work::Nothing.meaning(&Outcome::Exited { code: 0 }), End::Well);
        assert_eq!(Work::Nothing.meaning(&Outcome::Exited { code: 1 }), End::Badly);
        let lost = Outcome::Lost { why: LostBy::ExecutorEnded };
        assert_eq!(spin.meaning(&lost), End::Again);
    }

    #[test]
    fn a_task_is_known_by_its_name() {
        assert_eq!(number(&name(17)), Some(17));
        assert_eq!(number("another"), None);
    }
}
