//! What a job came to, for people and as JSON.

use super::{exit, plan::Shape};
use serde::Serialize;
use skep_protocol::{
    Digest, Outcome, StatusUpdate, TaskState, Usage,
    outcome::{Delivered, Missing},
};
use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

/// How many failed tasks are told one by one.
const FAILED_SHOWN: usize = 10;

/// What a job came to.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// The job's id.
    pub(crate) job: String,
    /// Seconds from the first launch to the last end.
    pub(crate) wall_seconds: f64,
    /// Units of fuel of all tasks.
    pub(crate) fuel: u64,
    /// Attempts that came to nothing and were started again.
    pub(crate) restarted: u64,
    /// Tasks by outcome.
    pub(crate) outcomes: BTreeMap<&'static str, u64>,
    /// What the command exits with.
    pub(crate) exit_code: u8,
    /// Each task, in the order of the job.
    pub(crate) tasks: Vec<Task>,
}

/// What one task came to.
#[derive(Debug, Serialize)]
pub(crate) struct Task {
    task: String,
    attempt: u32,
    agent: Option<String>,
    state: &'static str,
    #[serde(flatten)]
    outcome: Outcome,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<TaskUsage>,
    /// What it left of the files that were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<Delivered>,
    /// What of them it has not left, or was not delivered, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<Missing>,
    /// What it wrote, where it is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr: Option<String>,
}

#[derive(Debug, Serialize)]
struct TaskUsage {
    fuel: u64,
    cpu_seconds: f64,
    wall_seconds: f64,
    compile_seconds: f64,
    start_seconds: f64,
    memory_bytes_peak: u64,
    stdout_bytes: u64,
    stderr_bytes: u64,
    bytes_in: u64,
    bytes_out: u64,
    restarts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_digest: Option<Digest>,
}

impl From<Usage> for TaskUsage {
    fn from(usage: Usage) -> Self {
        Self {
            fuel: usage.fuel,
            cpu_seconds: usage.cpu.as_secs_f64(),
            wall_seconds: usage.wall.as_secs_f64(),
            compile_seconds: usage.compile.as_secs_f64(),
            start_seconds: usage.start.as_secs_f64(),
            memory_bytes_peak: usage.memory_bytes_peak,
            stdout_bytes: usage.stdout_bytes,
            stderr_bytes: usage.stderr_bytes,
            bytes_in: usage.bytes_in,
            bytes_out: usage.bytes_out,
            restarts: usage.restarts,
            run_digest: usage.run_digest,
        }
    }
}

/// What a task wrote, if it is to stand in the summary.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    pub(crate) stdout: Option<Vec<u8>>,
    pub(crate) stderr: Option<Vec<u8>>,
}

impl Summary {
    /// Sums up the last updates of all tasks, in the order of the job.
    pub(crate) fn of(
        job: &str,
        ends: impl IntoIterator<Item = (StatusUpdate, Written)>,
        restarted: u64,
        wall: Duration,
    ) -> Self {
        let tasks: Vec<_> = ends.into_iter().filter_map(|(end, wrote)| task(end, wrote)).collect();
        let mut outcomes = BTreeMap::new();
        for task in &tasks {
            *outcomes.entry(task.outcome.name()).or_default() += 1;
        }
        let failed = tasks.iter().find(|task| !task.outcome.is_success());
        Self {
            job: job.into(),
            wall_seconds: wall.as_secs_f64(),
            fuel: tasks.iter().filter_map(|task| task.usage.as_ref()).map(|usage| usage.fuel).sum(),
            restarted,
            outcomes,
            exit_code: failed.map_or(0, |task| exit::code(&task.outcome)),
            tasks,
        }
    }

    /// The words for stderr: for one task its reason, for many what they came to.
    pub(crate) fn words(&self, shape: Shape) -> String {
        match shape {
            Shape::One => self.tasks.first().map(Task::words).unwrap_or_default(),
            Shape::Many => self.table(),
        }
    }

    fn table(&self) -> String {
        let mut text = String::new();
        let failed = self.tasks.iter().filter(|task| !task.outcome.is_success());
        for task in failed.clone().take(FAILED_SHOWN) {
            let _ = writeln!(text, "skep: task {} {}", task.task, task.reason);
        }
        let (failed, all) = (failed.count(), self.tasks.len());
        if failed > FAILED_SHOWN {
            let _ = writeln!(text, "skep: ... and {} more", failed - FAILED_SHOWN);
        }
        let _ = write!(
            text,
            "job {}: {} of {all} tasks finished in {:.2} s, fuel {}",
            self.job,
            all - failed,
            self.wall_seconds,
            short(self.fuel),
        );
        for (outcome, count) in self.outcomes.iter().filter(|(name, _)| **name != "exited") {
            let _ = write!(text, ", {count} {}", outcome.replace('_', " "));
        }
        if self.restarted > 0 {
            let _ = write!(text, ", {} started again", self.restarted);
        }
        text.push('\n');
        text
    }
}

fn task(end: StatusUpdate, wrote: Written) -> Option<Task> {
    let state = end.state.name();
    let TaskState::Ended(outcome) = end.state else { return None };
    let text = |bytes: Option<Vec<u8>>| bytes.map(|b| String::from_utf8_lossy(&b).into_owned());
    Some(Task {
        task: end.key.task.to_string(),
        attempt: end.key.attempt.0,
        agent: end.agent.map(|agent| agent.to_string()),
        state,
        reason: outcome.to_string(),
        outcome,
        usage: end.usage.map(TaskUsage::from),
        outputs: end.outputs,
        missing: end.missing,
        stdout: text(wrote.stdout),
        stderr: text(wrote.stderr),
    })
}

impl Task {
    /// Why it ended as it did, if its exit code does not say it all.
    fn words(&self) -> String {
        let mut text = String::new();
        if exit::needs_words(&self.outcome) {
            let _ = writeln!(text, "skep: task {} {}", self.task, self.reason);
        }
        if let Outcome::Trapped { backtrace, .. } = &self.outcome {
            for (depth, frame) in backtrace.iter().enumerate() {
                let _ = writeln!(text, "  {depth:>2}: {frame}");
            }
        }
        text
    }
}

/// A large number in three digits and a unit, as `--fuel` takes it.
fn short(number: u64) -> String {
    let (mut scaled, mut unit) = (number, "");
    for next in ["K", "M", "G", "T"] {
        if scaled < 10_000 {
            break;
        }
        scaled /= 1_000;
        unit = next;
    }
    format!("{scaled}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_protocol::{Attempt, FrameworkId, Source, TaskId, TaskKey, Time};

    fn end(task: &str, outcome: Outcome) -> (StatusUpdate, Written) {
        let key = TaskKey {
            framework: FrameworkId::new("f").expect("an id"),
            task: TaskId::new(task).expect("an id"),
            attempt: Attempt::FIRST,
        };
        let update = StatusUpdate {
            key,
            seq: 1,
            agent: None,
            state: TaskState::Ended(outcome),
            source: Source::Executor,
            at: Time::ZERO,
            usage: Some(Usage { fuel: 10, ..Usage::default() }),
            result: vec![],
            last_words: String::new(),
            outputs: Vec::new(),
            missing: Vec::new(),
        };
        (update, Written::default())
    }

    #[test]
    fn the_first_failed_task_gives_the_exit_code() {
        let ends = [
            end("j.0", Outcome::Exited { code: 0 }),
            end("j.1", Outcome::OutOfFuel { limit: 5 }),
            end("j.2", Outcome::Exited { code: 3 }),
        ];
        let summary = Summary::of("j", ends, 1, Duration::from_millis(1_500));
        assert_eq!((summary.exit_code, summary.fuel), (152, 30));
        assert_eq!(
            summary.words(Shape::Many),
            "skep: task j.1 out of fuel: it used up its 5 units\n\
             skep: task j.2 exited with code 3\n\
             job j: 1 of 3 tasks finished in 1.50 s, fuel 30, 1 out of fuel, 1 started again\n"
        );
    }

    #[test]
    fn a_trap_is_told_with_its_frames() {
        let trapped = Outcome::Trapped {
            trap: skep_protocol::outcome::Trap::Unreachable,
            why: "wasm `unreachable` instruction executed".into(),
            backtrace: vec!["inner".into(), "outer".into()],
        };
        let summary = Summary::of("j", [end("j.0", trapped)], 0, Duration::ZERO);
        assert_eq!(
            summary.words(Shape::One),
            "skep: task j.0 trapped: wasm `unreachable` instruction executed\n   \
             0: inner\n   1: outer\n"
        );
    }

    #[test]
    fn large_numbers_are_shortened() {
        assert_eq!([short(9_999), short(12_345), short(5_000_000_000)], ["9999", "12K", "5000M"]);
    }
}
