//! Which tasks of the load are out, which wait, and in which attempt: a framework's memory, without
//! any I/O.
//!
//! ```text
//! Storing -> Waiting -> Out -> (ended)
//!               ^--------+  a new attempt
//! ```

use super::{
    notes::{End, Note, What, Word},
    work::{self, Work},
};
use anyhow::Result;
use clap::ValueEnum;
use skep_protocol::{Attempt, TaskId};
use std::collections::{BTreeMap, BTreeSet};

/// What a framework does about a task whose agent is out of reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Patience {
    /// It waits.
    Waits,
    /// It starts the task again at once, as a new attempt.
    StartsAgain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its input is not stored yet.
    Storing,
    Waiting,
    Out,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Ledger {
    patience: Patience,
    /// The id under which a master knows the framework, once one does.
    pub(crate) framework: Option<String>,
    /// The number of the next new task.
    next: u64,
    /// Tasks that have not ended: the attempt that is out or comes next, and the stage.
    tasks: BTreeMap<u64, (u32, Stage)>,
    waiting: BTreeSet<u64>,
}

impl Ledger {
    /// What an earlier instance wrote down. Tasks that it made and never launched are forgotten.
    pub(crate) fn remember(notes: &[Note], patience: Patience) -> Self {
        let (tasks, waiting) = (BTreeMap::new(), BTreeSet::new());
        let mut ledger = Self { patience, framework: None, next: 0, tasks, waiting };
        for note in notes {
            match &note.what {
                What::Registered { framework } => ledger.framework = Some(framework.clone()),
                What::Launched { task, attempt, .. } => {
                    let Some(number) = work::number(task) else { continue };
                    ledger.tasks.insert(number, (*attempt, Stage::Out));
                    ledger.waiting.remove(&number);
                    ledger.next = ledger.next.max(number + 1);
                }
                What::Told(word) => ledger.take(word),
                _ => {}
            }
        }
        ledger
    }

    /// How many tasks have not ended.
    pub(crate) fn open(&self) -> usize {
        self.tasks.len()
    }

    /// The attempts that are out.
    pub(crate) fn live(&self) -> Result<Vec<(TaskId, Attempt)>> {
        let out = self.tasks.iter().filter(|(_, (_, stage))| *stage == Stage::Out);
        out.map(|(number, (attempt, _))| Ok((TaskId::new(work::name(*number))?, Attempt(*attempt))))
            .collect()
    }

    /// A new task; gives its number.
    pub(crate) fn add(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        if Work::of(number) == Work::Copy {
            self.tasks.insert(number, (1, Stage::Storing));
        } else {
            self.wait(number, 1);
        }
        number
    }

    /// The input of a copying task is in the cluster.
    pub(crate) fn input_is_stored(&mut self, number: u64) {
        if let Some((attempt, Stage::Storing)) = self.tasks.get(&number).copied() {
            self.wait(number, attempt);
        }
    }

    fn wait(&mut self, number: u64, attempt: u32) {
        self.tasks.insert(number, (attempt, Stage::Waiting));
        self.waiting.insert(number);
    }

    /// The oldest task that waits.
    pub(crate) fn next_waiting(&self) -> Option<u64> {
        self.waiting.first().copied()
    }

    /// A waiting task is launched; gives the attempt.
    pub(crate) fn launch(&mut self, number: u64) -> u32 {
        self.waiting.remove(&number);
        let task = self.tasks.entry(number).or_insert((1, Stage::Out));
        task.1 = Stage::Out;
        task.0
    }

    /// The cluster tells of a task. What it says of attempts that are not out changes nothing.
    pub(crate) fn take(&mut self, word: &Word) {
        let Some(number) = work::number(&word.task) else { return };
        if self.tasks.get(&number) != Some(&(word.attempt, Stage::Out)) {
            return;
        }
        let is_given_up = word.state == "UNREACHABLE" && self.patience == Patience::StartsAgain;
        match word.end {
            Some(End::Well | End::Badly) => drop(self.tasks.remove(&number)),
            Some(End::Again) => self.wait(number, word.attempt + 1),
            None if is_given_up => self.wait(number, word.attempt + 1),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(task: &str, attempt: u32, state: &str, end: Option<End>) -> What {
        let (task, state) = (task.to_owned(), state.to_owned());
        What::Told(Word { task, attempt, seq: 1, agent: None, state, end })
    }

    fn launched(task: &str, attempt: u32) -> What {
        What::Launched { task: task.into(), attempt, agent: "a".into() }
    }

    fn remember(whats: &[What], patience: Patience) -> Ledger {
        let notes: Vec<_> = whats.iter().map(|what| Note { at: 0, what: what.clone() }).collect();
        Ledger::remember(&notes, patience)
    }

    fn live(ledger: &Ledger) -> Vec<String> {
        let live = ledger.live().expect("ids");
        live.into_iter().map(|(task, attempt)| format!("{task}#{attempt}")).collect()
    }

    #[test]
    fn another_instance_knows_what_is_out_and_what_waits() {
        let whats = [
            What::Registered { framework: "f".into() },
            launched("t-0", 1),
            launched("t-1", 1),
            launched("t-2", 1),
            launched("t-5", 1),
            told("t-0", 1, "exited", Some(End::Well)),
            told("t-1", 1, "lost", Some(End::Again)),
            told("t-2", 1, "lost", Some(End::Again)),
            launched("t-2", 2),
            told("t-5", 1, "RUNNING", None),
        ];
        let mut ledger = remember(&whats, Patience::Waits);
        assert_eq!(ledger.framework.as_deref(), Some("f"));
        assert_eq!(live(&ledger), ["t-2#2", "t-5#1"]);
        assert_eq!(ledger.next_waiting(), Some(1));
        assert_eq!(ledger.launch(1), 2);
        assert_eq!(ledger.next_waiting(), None);
        assert_eq!(ledger.add(), 6);
        assert_eq!(ledger.open(), 4);
    }

    #[test]
    fn a_task_out_of_reach_is_waited_for_or_started_again() {
        let whats = [launched("t-0", 1), told("t-0", 1, "UNREACHABLE", None)];
        assert_eq!(live(&remember(&whats, Patience::Waits)), ["t-0#1"]);
        let mut ledger = remember(&whats, Patience::StartsAgain);
        assert_eq!((live(&ledger).len(), ledger.next_waiting()), (0, Some(0)));
        assert_eq!(ledger.launch(0), 2);
        let What::Told(late) = told("t-0", 1, "exited", Some(End::Well)) else { return };
        ledger.take(&late);
        assert_eq!(live(&ledger), ["t-0#2"], "an attempt that was given up does not count");
    }

    #[test]
    fn a_copying_task_waits_for_its_input() {
        let mut ledger = remember(&[], Patience::Waits);
        let copying = (0..).find(|number| Work::of(*number) == Work::Copy);
        let copying = copying.expect("some do");
        for number in 0..=copying {
            assert_eq!(ledger.add(), number);
        }
        let waiting = |ledger: &Ledger| ledger.waiting.contains(&copying);
        assert!(!waiting(&ledger));
        ledger.input_is_stored(copying);
        assert!(waiting(&ledger));
        ledger.launch(copying);
        ledger.input_is_stored(copying);
        assert_eq!(live(&ledger), [format!("t-{copying}#1")]);
    }
}
