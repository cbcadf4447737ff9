//! What has happened to guests and is not yet told to the agent.
//!
//! Always holds: what happened to one guest leaves in its order; of its progress only the latest
//! word is kept, and leaves at most ten times a second, and so does its checkpoint, once a second;
//! messages leave fifty times a second, behind all else; a batch fits a frame; what has left, but
//! for progress and messages, is kept until it is acknowledged, and leaves again on each new
//! connection.
//! Whoever takes batches decides how often: all that happens meanwhile goes into the next one.

use crate::mail::Outgoing;
use bytes::Bytes;
use skep_protocol::{
    bounds::{FRAME_BYTES_MAX, MESSAGE_BYTES_MAX},
    codec::Message as _,
    executor::{Report, ToAgent},
    ids::TaskKey,
    outcome::{Checkpoint, Outcome, Progress, TaskMessage},
};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    select,
    sync::Notify,
    time::{Instant, sleep_until},
};

/// How long progress waits for more, so that a chatty guest costs ten frames a second.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// How long a checkpoint waits for a later one: each is written to three disks.
const CHECKPOINTS_EVERY: Duration = Duration::from_secs(1);
/// How long messages wait for more, and how many bytes of them leave at once, two of the longest:
/// guests that send as much as they can cost fifty frames and six mebibytes a second together.
const MESSAGES_EVERY: Duration = Duration::from_millis(20);
const MESSAGES_BYTES_MAX: usize = 2 * (MESSAGE_BYTES_MAX + 1024);
/// What a batch holds at most: a quarter of a frame leaves room for how it is encoded.
const BATCH_BYTES_MAX: usize = FRAME_BYTES_MAX / 4;
/// What waits for the agent before new guests are taken from it. What has left is not counted: the
/// agent holds as much, for the same disk, and it alone knows which guests it still has to start.
const WAITING_BYTES_MAX: usize = 16 << 20;
/// What a report takes besides the texts counted one by one: two ids, numbers, tags.
const REPORT_BYTES: usize = 512;

/// Reports on their way out. Guests put in, one reader takes out.
#[derive(Debug)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
    drained: Notify,
}

#[derive(Debug)]
struct Waiting {
    reports: VecDeque<Report>,
    bytes: usize,
    progress: BTreeMap<TaskKey, Progress>,
    progress_due: Instant,
    checkpoints: BTreeMap<TaskKey, Vec<u8>>,
    checkpoints_due: Instant,
    messages: Outgoing,
    messages_due: Instant,
    /// The batches that have left, by their numbers, from `first_unacknowledged` on.
    left: VecDeque<Vec<Report>>,
    first_unacknowledged: u64,
}

/// What has happened to a guest that its agent may not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Started,
    Ended,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        let waiting = Waiting {
            reports: VecDeque::new(),
            bytes: 0,
            progress: BTreeMap::new(),
            progress_due: Instant::now(),
            checkpoints: BTreeMap::new(),
            checkpoints_due: Instant::now(),
            messages: Outgoing::default(),
            messages_due: Instant::now(),
            left: VecDeque::new(),
            first_unacknowledged: 1,
        };
        Self { waiting: Mutex::new(waiting), filled: Notify::new(), drained: Notify::new() }
    }

    /// Adds what happened. An end takes the guest's last progress and its messages along, ahead of
    /// it; one that is not a success, its last checkpoint, too.
    pub(crate) fn push(&self, report: Report) {
        self.add_and(report, || {});
        self.nudge();
    }

    /// Adds what happened, to leave with what comes next or with the next nudge, and does
    /// something, which nobody sees without the other.
    pub(crate) fn add_and(&self, report: Report, also: impl FnOnce()) {
        let mut waiting = self.lock();
        if let Report::Ended { key, outcome, .. } = &report {
            if let Some(last) = waiting.progress.remove(key) {
                waiting.push(Report::Progressed(last));
            }
            for message in waiting.messages.all_of(key) {
                waiting.push(Report::Sent(message));
            }
            let last = waiting.checkpoints.remove(key).filter(|_| !outcome.is_success());
            if let Some(bytes) = last {
                waiting.push(Report::Checkpointed(Checkpoint { key: key.clone(), bytes }));
            }
        }
        waiting.push(report);
        also();
    }

    /// What was added may leave.
    pub(crate) fn nudge(&self) {
        self.filled.notify_one();
    }

    /// Sets how far a guest says it is.
    pub(crate) fn progress(&self, progress: Progress) {
        let mut waiting = self.lock();
        let is_first = waiting.progress.is_empty();
        waiting.progress.insert(progress.key.clone(), progress);
        drop(waiting);
        if is_first {
            self.filled.notify_one();
        }
    }

    /// Sets the state that a guest would go on from.
    pub(crate) fn checkpoint(&self, checkpoint: Checkpoint) {
        let mut waiting = self.lock();
        let is_first = waiting.checkpoints.is_empty();
        waiting.checkpoints.insert(checkpoint.key, checkpoint.bytes);
        drop(waiting);
        if is_first {
            self.filled.notify_one();
        }
    }

    /// Takes a message of a guest to its framework. False: too many wait.
    pub(crate) fn send(&self, message: TaskMessage) -> bool {
        let mut waiting = self.lock();
        let is_first = waiting.messages.is_empty();
        let is_taken = waiting.messages.add(message);
        drop(waiting);
        if is_first && is_taken {
            self.filled.notify_one();
        }
        is_taken
    }

    /// Waits while so much waits that no new guests should be taken.
    pub(crate) async fn room(&self) {
        while self.lock().bytes > WAITING_BYTES_MAX {
            self.drained.notified().await;
        }
    }

    /// Numbers a batch that was taken and gives its frame. It is kept until it is acknowledged.
    pub(crate) fn leave(&self, reports: Vec<Report>) -> Bytes {
        let mut waiting = self.lock();
        let matters = |report: &Report| !matches!(report, Report::Progressed(_) | Report::Sent(_));
        if !reports.iter().any(matters) {
            return ToAgent::Reports { batch: 0, reports }.encode();
        }
        let batch = waiting.first_unacknowledged + waiting.left.len() as u64;
        let (frame, mut reports) = frame(batch, reports);
        reports.retain(matters);
        waiting.left.push_back(reports);
        frame
    }

    /// What has left before and is not acknowledged, to leave again.
    pub(crate) fn again(&self) -> Vec<Bytes> {
        let mut waiting = self.lock();
        let mut batch = waiting.first_unacknowledged;
        let frames = waiting.left.iter_mut().map(|reports| {
            let (frame, same) = frame(batch, mem::take(reports));
            (*reports, batch) = (same, batch + 1);
            frame
        });
        frames.collect()
    }

    /// The agent has recorded the batches up to this one.
    pub(crate) fn acknowledged(&self, batch: u64) {
        let mut waiting = self.lock();
        while waiting.first_unacknowledged <= batch && waiting.left.pop_front().is_some() {
            waiting.first_unacknowledged += 1;
        }
    }

    /// Of which guests a start or an end is not acknowledged; the later of the two.
    pub(crate) fn news(&self) -> HashMap<TaskKey, News> {
        let waiting = self.lock();
        let news =
            waiting.left.iter().flatten().chain(&waiting.reports).filter_map(
                |report| match report {
                    Report::Started { key, .. } => Some((key.clone(), News::Started)),
                    Report::Ended { key, .. } => Some((key.clone(), News::Ended)),
                    _ => None,
                },
            );
        news.collect()
    }

    /// Waits for something to have happened and takes it, as much as fits a frame. Nothing is lost
    /// if this future is dropped.
    pub(crate) async fn take(&self) -> Vec<Report> {
        loop {
            let due = {
                let mut waiting = self.lock();
                let batch = waiting.batch(Instant::now());
                if !batch.is_empty() {
                    self.drained.notify_one();
                    return batch;
                }
                waiting.due()
            };
            match due {
                None => self.filled.notified().await,
                Some(due) => select! {
                    () = self.filled.notified() => {}
                    () = sleep_until(due) => {}
                },
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn push(&mut self, report: Report) {
        self.bytes += weight(&report);
        self.reports.push_back(report);
    }

    /// When what waits for later words is to leave.
    fn due(&self) -> Option<Instant> {
        let progress = (!self.progress.is_empty()).then_some(self.progress_due);
        let checkpoints = (!self.checkpoints.is_empty()).then_some(self.checkpoints_due);
        let messages = (!self.messages.is_empty()).then_some(self.messages_due);
        progress.into_iter().chain(checkpoints).chain(messages).min()
    }

    fn batch(&mut self, now: Instant) -> Vec<Report> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(report) = self.reports.pop_front() {
            bytes += weight(&report);
            if bytes > BATCH_BYTES_MAX && !batch.is_empty() {
                self.reports.push_front(report);
                return batch;
            }
            self.bytes -= weight(&report);
            batch.push(report);
        }
        if now >= self.checkpoints_due {
            while let Some((key, state)) = self.checkpoints.pop_first() {
                bytes += REPORT_BYTES + state.len();
                if bytes > BATCH_BYTES_MAX && !batch.is_empty() {
                    self.checkpoints.insert(key, state);
                    return batch;
                }
                batch.push(Report::Checkpointed(Checkpoint { key, bytes: state }));
                self.checkpoints_due = now + CHECKPOINTS_EVERY;
            }
        }
        if now >= self.progress_due && !self.progress.is_empty() {
            self.progress_due = now + PROGRESS_EVERY;
            let room = BATCH_BYTES_MAX.saturating_sub(bytes) / (2 * REPORT_BYTES);
            let rest = match self.progress.keys().nth(room).cloned() {
                Some(key) => self.progress.split_off(&key),
                None => BTreeMap::new(),
            };
            let told = mem::replace(&mut self.progress, rest);
            bytes += 2 * REPORT_BYTES * told.len();
            batch.extend(told.into_values().map(Report::Progressed));
        }
        if now >= self.messages_due && !self.messages.is_empty() {
            let room = BATCH_BYTES_MAX.saturating_sub(bytes).min(MESSAGES_BYTES_MAX);
            let messages = self.messages.leave(room);
            if !messages.is_empty() {
                self.messages_due = now + MESSAGES_EVERY;
            }
            batch.extend(messages.into_iter().map(Report::Sent));
        }
        batch
    }
}

/// Gives the reports back that it encodes.
fn frame(batch: u64, reports: Vec<Report>) -> (Bytes, Vec<Report>) {
    let message = ToAgent::Reports { batch, reports };
    let frame = message.encode();
    let ToAgent::Reports { reports, .. } = message else { unreachable!("it was made here") };
    (frame, reports)
}

/// About how many bytes a report takes in a frame.
fn weight(report: &Report) -> usize {
    let texts = match report {
        Report::Started { .. } | Report::Paused { .. } | Report::Resumed { .. } => 0,
        Report::Progressed(progress) => progress.message.len(),
        Report::Checkpointed(checkpoint) => checkpoint.bytes.len(),
        Report::Sent(message) => message.bytes.len(),
        Report::Ended { outcome, result, last_words, .. } => {
            result.len() + last_words.len() + weight_of_outcome(outcome)
        }
    };
    REPORT_BYTES + texts
}

fn weight_of_outcome(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Trapped { why, backtrace, .. } => {
            why.len() + backtrace.iter().map(|frame| frame.len() + 8).sum::<usize>()
        }
        Outcome::Failed { why } | Outcome::ModuleRejected { why } => why.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_protocol::{
        ids::{Attempt, FrameworkId, TaskId},
        outcome::Usage,
        time::Time,
    };

    fn key(task: &str) -> TaskKey {
        let framework = FrameworkId::new("f").expect("an id");
        TaskKey { framework, task: TaskId::new(task).expect("an id"), attempt: Attempt::FIRST }
    }

    fn progress(task: &str, done: u64) -> Progress {
        Progress { key: key(task), done, total: 9, message: String::new() }
    }

    fn ended(task: &str, result: Vec<u8>) -> Report {
        let (outcome, usage) = (Outcome::Exited { code: 0 }, Usage::default());
        let last_words = String::new();
        Report::Ended { key: key(task), at: Time::ZERO, outcome, usage, result, last_words }
    }

    #[tokio::test]
    async fn of_progress_the_latest_word_leaves_ahead_of_the_end() {
        let outbox = Outbox::new();
        outbox.progress(progress("a", 1));
        outbox.progress(progress("a", 2));
        outbox.push(ended("a", Vec::new()));
        let expected = vec![Report::Progressed(progress("a", 2)), ended("a", Vec::new())];
        assert_eq!(outbox.take().await, expected);
    }

    #[test]
    fn progress_leaves_ten_times_a_second() {
        let outbox = Outbox::new();
        let mut waiting = outbox.lock();
        let start = waiting.progress_due;
        waiting.progress.insert(key("a"), progress("a", 1));
        assert_eq!(waiting.batch(start), [Report::Progressed(progress("a", 1))]);
        waiting.progress.insert(key("a"), progress("a", 2));
        assert_eq!(waiting.batch(start + PROGRESS_EVERY / 2), []);
        waiting.progress.insert(key("a"), progress("a", 3));
        assert_eq!(waiting.batch(start + PROGRESS_EVERY), [Report::Progressed(progress("a", 3))]);
    }

    #[tokio::test]
    async fn of_checkpoints_the_latest_leaves_and_with_a_success_none() {
        let outbox = Outbox::new();
        let checkpoint = |task, byte| Checkpoint { key: key(task), bytes: vec![byte] };
        let mut failed = ended("a", Vec::new());
        if let Report::Ended { outcome, .. } = &mut failed {
            *outcome = Outcome::Exited { code: 1 };
        }
        outbox.checkpoint(checkpoint("a", 1));
        outbox.checkpoint(checkpoint("a", 2));
        outbox.checkpoint(checkpoint("b", 3));
        outbox.push(failed.clone());
        outbox.push(ended("b", Vec::new()));
        let expected =
            vec![Report::Checkpointed(checkpoint("a", 2)), failed, ended("b", Vec::new())];
        assert_eq!(outbox.take().await, expected);
        let mut waiting = outbox.lock();
        let start = waiting.checkpoints_due;
        waiting.checkpoints.insert(key("c"), vec![4]);
        assert_eq!(waiting.batch(start), [Report::Checkpointed(checkpoint("c", 4))]);
        waiting.checkpoints.insert(key("c"), vec![5]);
        assert_eq!(waiting.batch(start + CHECKPOINTS_EVERY / 2), []);
        assert_eq!(
            waiting.batch(start + CHECKPOINTS_EVERY),
            [Report::Checkpointed(checkpoint("c", 5))]
        );
    }

    fn message(task: &str, text: &str) -> TaskMessage {
        TaskMessage { key: key(task), bytes: text.into() }
    }

    #[tokio::test]
    async fn messages_leave_ahead_of_the_end_and_are_not_kept() {
        let outbox = Outbox::new();
        assert!(outbox.send(message("a", "1")) && outbox.send(message("b", "2")));
        assert!(outbox.send(message("a", "3")));
        outbox.push(ended("a", Vec::new()));
        let reports = outbox.take().await;
        let sent = |task, text| Report::Sent(message(task, text));
        let expected = [sent("a", "1"), sent("a", "3"), ended("a", Vec::new()), sent("b", "2")];
        assert_eq!(reports, expected);
        let kept = ToAgent::Reports { batch: 1, reports: vec![ended("a", Vec::new())] };
        outbox.leave(reports);
        assert_eq!(outbox.again(), [kept.encode()]);
        assert!(outbox.send(message("b", "4")));
        let alone = outbox.take().await;
        let frame = ToAgent::Reports { batch: 0, reports: vec![sent("b", "4")] }.encode();
        assert_eq!(outbox.leave(alone), frame);
    }

    #[test]
    fn messages_leave_fifty_times_a_second_and_only_so_many() {
        let outbox = Outbox::new();
        let large = |task: &str| TaskMessage { key: key(task), bytes: vec![0; 60 << 10] };
        assert!(outbox.send(large("a")) && outbox.send(large("a")) && outbox.send(large("b")));
        let mut waiting = outbox.lock();
        let start = waiting.messages_due;
        let sent = |task| Report::Sent(large(task));
        assert_eq!(waiting.batch(start), [sent("a"), sent("b")]);
        assert_eq!(waiting.batch(start + MESSAGES_EVERY / 2), []);
        assert_eq!(waiting.due(), Some(start + MESSAGES_EVERY));
        assert_eq!(waiting.batch(start + MESSAGES_EVERY), [sent("a")]);
        assert_eq!(waiting.due(), None);
    }

    #[tokio::test]
    async fn what_has_left_leaves_again_until_it_is_acknowledged() {
        let outbox = Outbox::new();
        let started = |task| Report::Started { key: key(task), at: Time::ZERO };
        let batch = |batch, reports| ToAgent::Reports { batch, reports }.encode();
        outbox.push(started("a"));
        outbox.progress(progress("a", 1));
        let one = outbox.take().await;
        assert_eq!(one.len(), 2);
        assert_eq!(outbox.leave(one.clone()), batch(1, one));
        let two = vec![started("b"), ended("a", Vec::new())];
        assert_eq!(outbox.leave(two.clone()), batch(2, two.clone()));
        // Progress matters only now.
        let three = vec![Report::Progressed(progress("b", 1))];
        assert_eq!(outbox.leave(three.clone()), batch(0, three));

        let again = [batch(1, vec![started("a")]), batch(2, two.clone())];
        assert_eq!(outbox.again(), again);
        assert_eq!(outbox.again(), again);
        assert_eq!(outbox.news()[&key("a")], News::Ended);
        assert_eq!(outbox.news()[&key("b")], News::Started);

        outbox.acknowledged(1);
        assert_eq!(outbox.again(), [batch(2, two)]);
        outbox.acknowledged(2);
        assert_eq!(outbox.again(), Vec::<Bytes>::new());
        assert!(outbox.news().is_empty());
        let four = vec![started("c")];
        assert_eq!(outbox.leave(four.clone()), batch(3, four));
    }

    #[tokio::test]
    async fn a_batch_fits_a_frame_and_keeps_the_order() {
        let outbox = Outbox::new();
        let large = vec![0; 200 << 10];
        let all: Vec<_> = (0..20).map(|n| ended(&format!("t{n}"), large.clone())).collect();
        all.iter().cloned().for_each(|report| outbox.push(report));
        let mut taken = Vec::new();
        while taken.len() < all.len() {
            let batch = outbox.take().await;
            assert!(batch.iter().map(weight).sum::<usize>() <= BATCH_BYTES_MAX);
            taken.extend(batch);
        }
        assert_eq!(taken, all);
        assert_eq!(outbox.lock().bytes, 0);
    }
}
