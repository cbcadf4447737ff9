//! What of the tasks' output could not be delivered: counted, and told in words.

use serde::Serialize;
use skep_protocol::TaskId;
use std::fmt::Write as _;

/// How many tasks are told one by one.
const SHOWN: usize = 10;

/// What is missing of all tasks.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Missing {
    /// How many tasks lack some of their output.
    pub(crate) tasks: u64,
    /// How many bytes, as far as that is known.
    pub(crate) bytes: u64,
    /// Of how many of these tasks it is not known how much they wrote.
    pub(crate) tasks_of_unknown_size: u64,
    #[serde(skip)]
    first: Vec<String>,
}

/// What is missing of one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Lack {
    /// How many bytes of stdout; none: nobody knows.
    pub(crate) stdout_bytes: Option<u64>,
    /// How many bytes of stderr; none: nobody knows.
    pub(crate) stderr_bytes: Option<u64>,
    /// Why.
    pub(crate) why: String,
}

impl Lack {
    /// What is missing of a task that wrote `wrote`, if that is known, of which `got` came.
    pub(crate) fn of(wrote: Option<[u64; 2]>, got: [u64; 2], why: impl Into<String>) -> Self {
        let lacks = |stream: usize| wrote.map(|wrote| wrote[stream].saturating_sub(got[stream]));
        Self { stdout_bytes: lacks(0), stderr_bytes: lacks(1), why: why.into() }
    }

    /// How many bytes, if that is known.
    pub(crate) fn bytes(&self) -> Option<u64> {
        Some(self.stdout_bytes? + self.stderr_bytes?)
    }
}

impl Missing {
    pub(crate) fn add(&mut self, task: &TaskId, lack: &Lack) {
        self.tasks += 1;
        let much = match lack.bytes() {
            Some(bytes) => format!("{bytes} bytes"),
            None => "nobody knows how much".into(),
        };
        self.bytes += lack.bytes().unwrap_or_default();
        self.tasks_of_unknown_size += u64::from(lack.bytes().is_none());
        if self.first.len() < SHOWN {
            self.first.push(format!("task {task}: {much}: {}", lack.why));
        }
    }

    pub(crate) const fn is_none(&self) -> bool {
        self.tasks == 0
    }

    /// The words for stderr; empty if nothing is missing.
    pub(crate) fn words(&self) -> String {
        let mut text = String::new();
        if self.is_none() {
            return text;
        }
        let Self { tasks, bytes, tasks_of_unknown_size: unknown, first } = self;
        let _ = write!(text, "skep: output is missing: {bytes} bytes of {} tasks", tasks - unknown);
        if *unknown > 0 {
            let _ = write!(text, ", and of {unknown} tasks that nobody knows the size of");
        }
        text.push('\n');
        for line in first {
            let _ = writeln!(text, "skep:   {line}");
        }
        if *tasks > first.len() as u64 {
            let _ = writeln!(text, "skep:   ... and {} tasks more", tasks - first.len() as u64);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_counted_and_the_first_are_named() {
        let mut missing = Missing::default();
        assert_eq!(missing.words(), "");
        let task = |number: u64| TaskId::new(format!("j.{number}")).expect("an id");
        missing.add(&task(3), &Lack::of(Some([7, 2]), [3, 2], "agent a was declared gone"));
        missing.add(&task(4), &Lack::of(None, [9, 9], "Input/output error"));
        assert_eq!((missing.tasks, missing.bytes, missing.tasks_of_unknown_size), (2, 4, 1));
        assert_eq!(
            missing.words(),
            "skep: output is missing: 4 bytes of 1 tasks, and of 1 tasks that nobody knows the \
             size of\n\
             skep:   task j.3: 4 bytes: agent a was declared gone\n\
             skep:   task j.4: nobody knows how much: Input/output error\n"
        );
        (5..20).for_each(|n| missing.add(&task(n), &Lack::of(Some([1, 0]), [0, 0], "gone")));
        let words = missing.words();
        assert_eq!(words.lines().count(), 12);
        assert!(words.ends_with("skep:   ... and 7 tasks more\n"), "{words}");
    }
}
