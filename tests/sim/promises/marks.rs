//! What becomes of that which guests say on their way: each mark is a checkpoint, and a message to
//! the framework.
//!
//! A task never falls back: each attempt goes on from a mark of an earlier one, and no earlier one
//! than any attempt before it went on from. Messages arrive at those they are for, and once.

use super::Promises;
use skep_protocol::{Attempt, FrameworkId, TaskId, TaskKey};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// A guest was so far.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    /// Whose guest.
    pub(crate) key: TaskKey,
    /// How far the task was, counted over all its attempts.
    pub(crate) number: u64,
}

#[derive(Debug, Default)]
pub(super) struct Marks {
    made: BTreeSet<Mark>,
    /// What each attempt went on from.
    origins: BTreeMap<(FrameworkId, TaskId), BTreeMap<Attempt, Option<Mark>>>,
    /// Tasks that somebody has ordered to be killed, or of which an attempt has ended well: what
    /// they kept may be gone.
    settled: BTreeSet<(FrameworkId, TaskId)>,
    heard_by_frameworks: BTreeSet<Mark>,
    heard_by_guests: BTreeSet<Mark>,
}

impl Mark {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    /// Reads what was kept or sent.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let text = str::from_utf8(bytes).expect("guests write texts");
        let mut words = text.split(' ');
        let mut word = || words.next().expect("a mark has four words");
        let framework = FrameworkId::new(word()).expect("a framework's id");
        let task = TaskId::new(word()).expect("a task's id");
        let attempt = Attempt(word().parse().expect("an attempt"));
        let number = word().parse().expect("a number");
        Self { key: TaskKey { framework, task, attempt }, number }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key: TaskKey { framework, task, attempt }, number } = self;
        write!(f, "{framework} {task} {} {number}", attempt.0)
    }
}

impl Promises {
    /// A guest says how far it is.
    pub(crate) fn makes(&mut self, mark: &Mark) {
        self.marks.made.insert(mark.clone());
    }

    /// A guest goes on from this, or begins.
    pub(crate) fn goes_on(&mut self, key: &TaskKey, origin: Option<&Mark>) {
        if let Some(mark) = origin {
            assert!(self.marks.made.contains(mark), "{key} goes on from {mark}, which nobody made");
            let (of, own) = (&mark.key, key);
            let is_own = (&of.framework, &of.task) == (&own.framework, &own.task);
            assert!(is_own && of.attempt < own.attempt, "{key} goes on from {mark}");
        }
        let task = (key.framework.clone(), key.task.clone());
        let is_settled = self.marks.settled.contains(&task);
        let origins = self.marks.origins.entry(task).or_default();
        let before = origins.range(..key.attempt).filter_map(|(_, origin)| origin.as_ref()).max();
        let falls_back = before > origin && !is_settled;
        assert!(!falls_back, "{key} goes on from {origin:?}, and one before it from {before:?}");
        origins.insert(key.attempt, origin.cloned());
    }

    /// What an attempt went on from.
    #[cfg(test)]
    pub(crate) fn origin_of(&self, key: &TaskKey) -> Option<&Mark> {
        let of_task = self.marks.origins.get(&(key.framework.clone(), key.task.clone()))?;
        of_task.get(&key.attempt)?.as_ref()
    }

    /// A task is ordered to be killed, or an attempt of it has ended well.
    pub(crate) fn settles(&mut self, framework: &FrameworkId, task: &TaskId) {
        self.marks.settled.insert((framework.clone(), task.clone()));
    }

    /// A framework hears a message of a task of its.
    pub(crate) fn framework_hears(&mut self, framework: Option<&FrameworkId>, mark: &Mark) {
        assert_eq!(Some(&mark.key.framework), framework, "{mark} is told to another framework");
        assert!(self.marks.made.contains(mark), "a framework hears {mark}, which nobody said");
        let is_first = self.marks.heard_by_frameworks.insert(mark.clone());
        assert!(is_first, "a framework hears {mark} twice");
    }

    /// A guest hears what its framework has answered.
    pub(crate) fn guest_hears(&mut self, key: &TaskKey, mark: &Mark) {
        assert_eq!(*key, mark.key, "{mark} is told to another guest");
        let is_answer = self.marks.heard_by_frameworks.contains(mark);
        assert!(is_answer, "{key} hears {mark}, which its framework has not heard");
        assert!(self.marks.heard_by_guests.insert(mark.clone()), "{key} hears {mark} twice");
    }
}
