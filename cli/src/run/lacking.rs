//! Outputs that a command is to bring and cannot: named as far as a person reads, and counted.

use skep_protocol::{Outcome, StatusUpdate, TaskState};

/// How many are named.
const NAMED_MAX: usize = 10;

/// The outputs that are missing.
#[derive(Debug, Default)]
pub(super) struct Lacking {
    count: usize,
    named: usize,
}

impl Lacking {
    /// One that a task has left could not be brought.
    pub(super) const fn note(&mut self) {
        self.count += 1;
    }

    /// Notes those of a task that has ended, and gives the lines to say of them.
    pub(super) fn of(&mut self, end: &StatusUpdate) -> Vec<String> {
        self.count += end.missing.len();
        let said = match &end.state {
            // The task failed by this, which is said as its reason.
            TaskState::Ended(Outcome::Failed { why }) => why.as_str(),
            _ => "",
        };
        let mut lines = Vec::new();
        for missing in &end.missing {
            if self.named < NAMED_MAX && !said.contains(&missing.why) {
                lines.push(format!("skep: task {}: {}\n", end.key.task, missing.why));
            }
            self.named += 1;
        }
        lines
    }

    /// Whether any is missing.
    pub(super) const fn is_any(&self) -> bool {
        self.count > 0
    }

    /// How many were not named.
    pub(super) fn rest(&self) -> Option<String> {
        let rest = self.named.checked_sub(NAMED_MAX).filter(|rest| *rest > 0)?;
        Some(format!("skep: ... and {rest} more outputs are missing\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_protocol::{Attempt, FrameworkId, Source, TaskId, TaskKey, Time, outcome::Missing};

    fn end(outcome: Outcome, missing: &[&str]) -> StatusUpdate {
        let why = |guest: &str| format!("its output {guest:?} is not there");
        StatusUpdate {
            key: TaskKey {
                framework: FrameworkId::new("f").expect("an id"),
                task: TaskId::new("j.0").expect("an id"),
                attempt: Attempt::FIRST,
            },
            seq: 1,
            agent: None,
            state: TaskState::Ended(outcome),
            source: Source::Executor,
            at: Time::ZERO,
            usage: None,
            result: Vec::new(),
            last_words: String::new(),
            outputs: Vec::new(),
            missing: missing.iter().map(|guest| Missing::new(*guest, &why(guest))).collect(),
        }
    }

    #[test]
    fn each_is_named_once_and_ten_at_most() {
        let mut lacking = Lacking::default();
        let code = || Outcome::Exited { code: 1 };
        assert_eq!((lacking.of(&end(code(), &[])).len(), lacking.is_any()), (0, false));
        let said = lacking.of(&end(code(), &["a"]));
        assert_eq!(said, ["skep: task j.0: its output \"a\" is not there\n"]);
        let why = "its output \"b\" is not there".into();
        assert_eq!(lacking.of(&end(Outcome::Failed { why }, &["b"])).len(), 0);
        assert_eq!((lacking.is_any(), lacking.rest()), (true, None));
        for _ in 0..10 {
            lacking.of(&end(code(), &["a"]));
        }
        assert_eq!(lacking.rest().as_deref(), Some("skep: ... and 2 more outputs are missing\n"));
    }
}
