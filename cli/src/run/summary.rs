//! What a job came to, for people and as JSON.

use super::{
    exit,
    missing::{Lack, Missing},
    plan::Shape,
};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::Serialize;
use skep_protocol::{
    Digest, Outcome, StatusUpdate, TaskId, TaskState, Usage,
    outcome::{self, Delivered},
};
use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

/// How many failed tasks are told one by one.
const FAILED_SHOWN: usize = 10;

/// What a job came to, task after task: as much as a million of them leave room for.
#[derive(Debug)]
pub(crate) struct Sums {
    job: String,
    shape: Shape,
    fuel: u64,
    tasks: u64,
    failed: u64,
    outcomes: BTreeMap<&'static str, u64>,
    /// The first of those that failed, in the order of the job, with what they are told by.
    first: BTreeMap<usize, (u8, String)>,
    /// The words of a single task.
    one: String,
}

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
    /// What of the tasks' output is missing.
    #[serde(skip_serializing_if = "Missing::is_none")]
    pub(crate) output_missing: Missing,
    #[serde(skip)]
    pub(crate) words: String,
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
    missing: Vec<outcome::Missing>,
    /// What it wrote.
    stdout: String,
    /// The same byte for byte, where it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout_base64: Option<String>,
    stderr: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr_base64: Option<String>,
    /// What is missing of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_missing: Option<Lack>,
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

/// What a task wrote.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) lack: Option<Lack>,
}

impl Sums {
    pub(crate) fn new(job: &str, shape: Shape) -> Self {
        Self {
            job: job.into(),
            shape,
            fuel: 0,
            tasks: 0,
            failed: 0,
            outcomes: BTreeMap::new(),
            first: BTreeMap::new(),
            one: String::new(),
        }
    }

    /// A task is done, for good; `place` is its own in the job.
    pub(crate) fn add(&mut self, place: usize, end: &StatusUpdate) {
        let TaskState::Ended(outcome) = &end.state else { return };
        self.tasks += 1;
        self.fuel += end.usage.map_or(0, |usage| usage.fuel);
        *self.outcomes.entry(outcome.name()).or_default() += 1;
        if self.shape == Shape::One {
            self.one = words_of(&end.key.task, outcome);
        }
        if outcome.is_success() {
            return;
        }
        self.failed += 1;
        let is_early = self.first.last_key_value().is_none_or(|(last, _)| place < *last);
        if is_early || self.first.len() < FAILED_SHOWN {
            let line = format!("skep: task {} {outcome}\n", end.key.task);
            self.first.insert(place, (exit::code(outcome), line));
            if self.first.len() > FAILED_SHOWN {
                self.first.pop_last();
            }
        }
    }

    /// Sums up. `lacks` says whether something else than output is missing here.
    pub(crate) fn end(
        self,
        missing: Missing,
        lacks: bool,
        restarted: u64,
        wall: Duration,
    ) -> Summary {
        let own = self.first.first_key_value().map_or(0, |(_, (code, _))| *code);
        let is_lacking = lacks || !missing.is_none();
        let exit_code = if own == 0 && is_lacking { exit::FAILURE } else { own };
        let mut words = match self.shape {
            Shape::One => self.one.clone(),
            Shape::Many => self.table(restarted, wall),
        };
        words.push_str(&missing.words());
        Summary {
            job: self.job,
            wall_seconds: wall.as_secs_f64(),
            fuel: self.fuel,
            restarted,
            outcomes: self.outcomes,
            exit_code,
            output_missing: missing,
            words,
        }
    }

    fn table(&self, restarted: u64, wall: Duration) -> String {
        let mut text: String = self.first.values().map(|(_, line)| line.as_str()).collect();
        let (failed, all) = (self.failed, self.tasks);
        if failed > FAILED_SHOWN as u64 {
            let _ = writeln!(text, "skep: ... and {} more", failed - FAILED_SHOWN as u64);
        }
        let _ = write!(
            text,
            "job {}: {} of {all} tasks finished in {:.2} s, fuel {}",
            self.job,
            all - failed,
            wall.as_secs_f64(),
            short(self.fuel),
        );
        for (outcome, count) in self.outcomes.iter().filter(|(name, _)| **name != "exited") {
            let _ = write!(text, ", {count} {}", outcome.replace('_', " "));
        }
        if restarted > 0 {
            let _ = write!(text, ", {restarted} started again");
        }
        text.push('\n');
        text
    }
}

impl Summary {
    /// The document without its tasks, up to where they stand; what follows them is [`TAIL`].
    pub(crate) fn head(&self) -> serde_json::Result<String> {
        let mut text = serde_json::to_string_pretty(self)?;
        // The brace that closes the document.
        text.truncate(text.strip_suffix("\n}").map_or(text.len(), str::len));
        text.push_str(",\n  \"tasks\": [");
        Ok(text)
    }
}

/// What follows the last task in the document.
pub(crate) const TAIL: &str = "\n  ]\n}\n";

/// A task as it stands in the document, behind the one before.
pub(crate) fn record(end: StatusUpdate, wrote: Written) -> serde_json::Result<String> {
    let text = match task(end, wrote) {
        Some(task) => serde_json::to_string_pretty(&task)?,
        None => "null".into(),
    };
    // No line of it is within a string: those have no line feeds in JSON.
    Ok(format!("\n    {}", text.replace('\n', "\n    ")))
}

fn task(end: StatusUpdate, wrote: Written) -> Option<Task> {
    let state = end.state.name();
    let TaskState::Ended(outcome) = end.state else { return None };
    let (stdout, stdout_base64) = text(wrote.stdout);
    let (stderr, stderr_base64) = text(wrote.stderr);
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
        stdout,
        stdout_base64,
        stderr,
        stderr_base64,
        output_missing: wrote.lack,
    })
}

/// Bytes as text; and as they are, if they are none.
fn text(bytes: Vec<u8>) -> (String, Option<String>) {
    match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let exact = BASE64_STANDARD.encode(error.as_bytes());
            (String::from_utf8_lossy(error.as_bytes()).into_owned(), Some(exact))
        }
    }
}

/// Why a task ended as it did, if its exit code does not say it all.
fn words_of(task: &TaskId, outcome: &Outcome) -> String {
    let mut text = String::new();
    if exit::needs_words(outcome) {
        let _ = writeln!(text, "skep: task {task} {outcome}");
    }
    if let Outcome::Trapped { backtrace, .. } = outcome {
        for (depth, frame) in backtrace.iter().enumerate() {
            let _ = writeln!(text, "  {depth:>2}: {frame}");
        }
    }
    text
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
    use skep_protocol::{Attempt, FrameworkId, Source, TaskKey, Time};

    fn end(task: &str, outcome: Outcome) -> StatusUpdate {
        let key = TaskKey {
            framework: FrameworkId::new("f").expect("an id"),
            task: TaskId::new(task).expect("an id"),
            attempt: Attempt::FIRST,
        };
        StatusUpdate {
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
        }
    }

    fn sums(shape: Shape, ends: &[(usize, StatusUpdate)]) -> Sums {
        let mut sums = Sums::new("j", shape);
        ends.iter().for_each(|(place, end)| sums.add(*place, end));
        sums
    }

    #[test]
    fn the_first_failed_task_gives_the_exit_code_whichever_ended_first() {
        let ends = [
            (2, end("j.2", Outcome::Exited { code: 3 })),
            (0, end("j.0", Outcome::Exited { code: 0 })),
            (1, end("j.1", Outcome::OutOfFuel { limit: 5 })),
        ];
        let sums = sums(Shape::Many, &ends);
        let summary = sums.end(Missing::default(), false, 1, Duration::from_millis(1_500));
        assert_eq!((summary.exit_code, summary.fuel), (152, 30));
        assert_eq!(
            summary.words,
            "skep: task j.1 out of fuel: it used up its 5 units\n\
             skep: task j.2 exited with code 3\n\
             job j: 1 of 3 tasks finished in 1.50 s, fuel 30, 1 out of fuel, 1 started again\n"
        );
    }

    #[test]
    fn of_many_failed_tasks_the_first_of_the_job_are_told() {
        let failed =
            |place: usize| (place, end(&format!("j.{place}"), Outcome::Exited { code: 1 }));
        let ends: Vec<_> = (0..100).rev().map(failed).collect();
        let summary = sums(Shape::Many, &ends).end(Missing::default(), false, 0, Duration::ZERO);
        let lines: Vec<&str> = summary.words.lines().collect();
        assert_eq!(lines.len(), FAILED_SHOWN + 2);
        assert_eq!(
            (lines[0], lines[9]),
            ("skep: task j.0 exited with code 1", "skep: task j.9 exited with code 1")
        );
        assert_eq!(lines[10], "skep: ... and 90 more");
    }

    #[test]
    fn what_is_missing_is_a_failure_unless_a_task_has_its_own() {
        let missing = || {
            let mut missing = Missing::default();
            let task = TaskId::new("j.0").expect("an id");
            missing.add(&task, &Lack::of(Some([5, 0]), [0, 0], "gone"));
            missing
        };
        let code = |outcome, missing, lacks| {
            let sums = sums(Shape::Many, &[(0, end("j.0", outcome))]);
            sums.end(missing, lacks, 0, Duration::ZERO).exit_code
        };
        let exited = |code| Outcome::Exited { code };
        assert_eq!(code(exited(0), Missing::default(), false), 0);
        assert_eq!(code(exited(0), missing(), false), 125);
        assert_eq!(code(exited(0), Missing::default(), true), 125);
        assert_eq!(code(exited(7), missing(), true), 7);
    }

    #[test]
    fn a_trap_is_told_with_its_frames() {
        let trapped = Outcome::Trapped {
            trap: outcome::Trap::Unreachable,
            why: "wasm `unreachable` instruction executed".into(),
            backtrace: vec!["inner".into(), "outer".into()],
        };
        let sums = sums(Shape::One, &[(0, end("j.0", trapped))]);
        assert_eq!(
            sums.end(Missing::default(), false, 0, Duration::ZERO).words,
            "skep: task j.0 trapped: wasm `unreachable` instruction executed\n   \
             0: inner\n   1: outer\n"
        );
    }

    #[test]
    fn the_document_is_whole_json_and_says_what_is_missing() {
        let exited = || end("j.0", Outcome::Exited { code: 0 });
        let lack = Lack::of(Some([9, 0]), [2, 0], "gone");
        let mut missing = Missing::default();
        missing.add(&exited().key.task, &lack);
        let summary = sums(Shape::Many, &[(0, exited())]);
        let summary = summary.end(missing, false, 0, Duration::ZERO);
        let stdout = b"a\xffb".to_vec();
        let wrote = Written { stdout, stderr: b"{}\n}".to_vec(), lack: Some(lack) };
        let first = record(exited(), wrote).expect("JSON");
        let second = record(exited(), Written::default()).expect("JSON");
        let text = format!("{}{first},{second}{TAIL}", summary.head().expect("JSON"));
        let json: serde_json::Value = serde_json::from_str(&text).expect("whole JSON");
        assert_eq!(json["exit_code"], 125);
        assert_eq!(json["output_missing"]["bytes"], 7);
        assert_eq!(json["tasks"][0]["stdout"], "a\u{fffd}b");
        assert_eq!(json["tasks"][0]["stdout_base64"], "Yf9i");
        assert_eq!(json["tasks"][0]["stderr"], "{}\n}");
        assert_eq!(json["tasks"][0]["output_missing"]["stdout_bytes"], 7);
        assert_eq!(json["tasks"][1]["stdout"], "");
        assert_eq!(json["tasks"][1].get("output_missing"), None);
        let empty = sums(Shape::Many, &[]).end(Missing::default(), false, 0, Duration::ZERO);
        let text = format!("{}{TAIL}", empty.head().expect("JSON"));
        let json: serde_json::Value = serde_json::from_str(&text).expect("whole JSON");
        assert_eq!(json["tasks"], serde_json::json!([]));
    }

    #[test]
    fn large_numbers_are_shortened() {
        assert_eq!([short(9_999), short(12_345), short(5_000_000_000)], ["9999", "12K", "5000M"]);
    }
}
