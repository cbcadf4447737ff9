//! Brings what ended tasks wrote from their agents: many tasks in one request, and some requests at
//! a time, so that no task waits for another.
//!
//! What cannot be reached is asked for again: for as long as the master is away, and for
//! [`AGENT_WAIT`] while the agent is. Always holds: what was asked for is given out once, whole or
//! with the reason why it is not; and what lies in memory is bounded, however much is asked for.

use skep_framework::Cluster;
use skep_protocol::{
    AgentId, Rejection, StatusUpdate, TaskKey,
    data::{OutputPart, OutputPiece},
};
use skep_transport::{Connection, RequestError, StreamError, outputs, outputs::Pieces};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// How long an agent may be out of reach before what is there counts as missing: a restarted one is
/// back within seconds, a machine within a minute.
pub(super) const AGENT_WAIT: Duration = Duration::from_secs(60);
/// How long to wait before asking again.
pub(super) const PAUSE: Duration = Duration::from_millis(200);
/// Tasks in one request.
const TASKS_MAX: usize = 500;
/// Bytes that one request brings, unless a single task has more.
const BYTES_MAX: u64 = 1 << 20;
/// Requests under way, and of one agent.
const REQUESTS_MAX: usize = 6;
const REQUESTS_OF_AGENT_MAX: usize = 3;
/// Bytes that all of them may bring, unless a single task has more.
const BYTES_RUNNING_MAX: u64 = 8 << 20;

/// A task that has ended, and whose output is wanted.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Its place in the job.
    pub(super) place: usize,
    /// How it ended.
    pub(super) update: Box<StatusUpdate>,
    /// The agent that has it.
    pub(super) agent: AgentId,
}

impl Wanted {
    pub(super) fn key(&self) -> &TaskKey {
        &self.update.key
    }

    /// How many bytes it wrote to stdout and stderr, if that is known.
    pub(super) fn wrote(&self) -> Option<[u64; 2]> {
        self.update.usage.map(|usage| [usage.stdout_bytes, usage.stderr_bytes])
    }

    pub(super) fn bytes(&self) -> u64 {
        self.wrote().map_or(0, |wrote| wrote.iter().sum())
    }
}

/// What has come of a task.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) wanted: Wanted,
    pub(super) got: Got,
}

#[derive(Debug)]
pub(super) enum Got {
    /// All that is there of stdout and stderr, up to what is kept of each.
    Some([Stream; 2]),
    /// Nothing, for this reason.
    Nothing(String),
}

/// What has come of one of a task's streams.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stream {
    pub(super) bytes: Vec<u8>,
    /// How many bytes came after those and are not kept.
    pub(super) beyond: u64,
}

/// Why a request has not brought all.
#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    /// The connection to the master has ended; another will come.
    Link,
    /// The agent is out of reach, for now.
    Agent(String),
    /// It does not answer for many tasks at once: it or the master is of an older version.
    Older,
}

/// What is asked of one agent.
#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Wanted>,
    running: usize,
    not_before: Option<Instant>,
    /// Since when it is out of reach.
    since: Option<Instant>,
    is_older: bool,
}

#[derive(Debug)]
struct Done {
    agent: AgentId,
    bytes: u64,
    fetched: Vec<Fetched>,
    again: Vec<Wanted>,
    trouble: Option<Trouble>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Fetcher {
    queues: BTreeMap<AgentId, Queue>,
    running: JoinSet<Done>,
    running_bytes: u64,
    /// How much of each stream of a task is kept.
    stream_bytes_max: u64,
    /// What is asked for and has not come.
    pending_bytes: u64,
    pending: usize,
}

impl Fetcher {
    pub(super) fn new(stream_bytes_max: u64) -> Self {
        Self {
            queues: BTreeMap::new(),
            running: JoinSet::new(),
            running_bytes: 0,
            stream_bytes_max,
            pending_bytes: 0,
            pending: 0,
        }
    }

    /// Asks for a task's output.
    pub(super) fn push(&mut self, wanted: Wanted) {
        self.pending_bytes += wanted.bytes();
        self.pending += 1;
        self.queues.entry(wanted.agent.clone()).or_default().waiting.push_back(wanted);
    }

    /// Bytes that were asked for and have not come.
    pub(super) const fn pending_bytes(&self) -> u64 {
        self.pending_bytes
    }

    pub(super) const fn is_idle(&self) -> bool {
        self.pending == 0
    }

    /// What has come next; waits for ever if nothing is asked for. Cancel safe.
    pub(super) async fn next(&mut self, cluster: &Cluster) -> Vec<Fetched> {
        loop {
            let due = self.begin(cluster);
            tokio::select! {
                Some(done) = self.running.join_next() => {
                    // A request does not panic, and nobody aborts it.
                    let Ok(done) = done else { continue };
                    let fetched = self.done(Instant::now(), done);
                    if !fetched.is_empty() {
                        return fetched;
                    }
                }
                () = until(due) => {}
            }
        }
    }

    /// Begins as many requests as may be; gives when more may.
    fn begin(&mut self, cluster: &Cluster) -> Option<Instant> {
        let now = Instant::now();
        for (agent, queue) in &mut self.queues {
            if queue.not_before.is_some_and(|time| time <= now) {
                queue.not_before = None;
            }
            while !queue.waiting.is_empty()
                && queue.not_before.is_none()
                && queue.running < REQUESTS_OF_AGENT_MAX
                && self.running.len() < REQUESTS_MAX
                && self.running_bytes < BYTES_RUNNING_MAX
            {
                let wanted = take(&mut queue.waiting);
                let bytes = wanted.iter().map(Wanted::bytes).sum();
                self.running_bytes += bytes;
                queue.running += 1;
                let (connection, agent) = (cluster.connection(), agent.clone());
                let (max, is_older) = (self.stream_bytes_max, queue.is_older);
                self.running.spawn(async move {
                    let mut done = Done {
                        agent,
                        bytes,
                        fetched: Vec::new(),
                        again: Vec::new(),
                        trouble: None,
                    };
                    match is_older {
                        true => bring_singly(&connection, wanted, max, &mut done).await,
                        false => bring(&connection, wanted, max, &mut done).await,
                    }
                    done
                });
            }
        }
        let waiting = self.queues.values().filter(|queue| !queue.waiting.is_empty());
        waiting.filter_map(|queue| queue.not_before).min()
    }

    fn done(&mut self, now: Instant, done: Done) -> Vec<Fetched> {
        let Done { agent, bytes, mut fetched, again, trouble } = done;
        self.running_bytes -= bytes;
        let queue = self.queues.entry(agent.clone()).or_default();
        queue.running -= 1;
        again.into_iter().rev().for_each(|wanted| queue.waiting.push_front(wanted));
        let came = fetched.iter().any(|fetched| matches!(fetched.got, Got::Some(_)));
        if came {
            queue.since = None;
        }
        match trouble {
            None => {}
            Some(Trouble::Older) => queue.is_older = true,
            Some(Trouble::Link) => queue.not_before = Some(now + PAUSE),
            Some(Trouble::Agent(why)) => {
                queue.not_before = Some(now + PAUSE);
                let since = *queue.since.get_or_insert(now);
                if now.duration_since(since) >= AGENT_WAIT {
                    let why = format!("agent {agent} is out of reach: {why}");
                    let lost = queue.waiting.drain(..);
                    fetched.extend(
                        lost.map(|wanted| Fetched { wanted, got: Got::Nothing(why.clone()) }),
                    );
                }
            }
        }
        self.pending -= fetched.len();
        self.pending_bytes -= fetched.iter().map(|fetched| fetched.wanted.bytes()).sum::<u64>();
        fetched
    }
}

/// Tasks for one request: one at least.
fn take(waiting: &mut VecDeque<Wanted>) -> Vec<Wanted> {
    let mut taken = Vec::new();
    let mut bytes = 0;
    while let Some(wanted) = waiting.pop_front() {
        let own = wanted.bytes();
        if !taken.is_empty() && (bytes + own > BYTES_MAX || taken.len() == TASKS_MAX) {
            waiting.push_front(wanted);
            break;
        }
        bytes += own;
        taken.push(wanted);
    }
    taken
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// One request for all of them.
async fn bring(connection: &Connection, wanted: Vec<Wanted>, max: u64, done: &mut Done) {
    let Some(framework) = wanted.first().map(|first| first.key().framework.clone()) else { return };
    let tasks = wanted.iter().map(|wanted| (wanted.key().task.clone(), wanted.key().attempt));
    let tasks = tasks.collect();
    let stream = outputs::read(connection, done.agent.clone(), framework, tasks).await;
    let mut pieces = match stream {
        Ok(stream) => Pieces::of(stream),
        Err(error) => return put_back(error, wanted, done),
    };
    let mut wanted = wanted.into_iter().enumerate();
    let mut current = wanted.next();
    let mut streams: [Stream; 2] = Default::default();
    while let Some((index, own)) = current.take() {
        let OutputPiece { task, part } = match pieces.next().await {
            Ok(Some(piece)) => piece,
            Ok(None) => return cut(StreamError::Cut, own, wanted.map(|(_, own)| own), done),
            Err(error) => return cut(error, own, wanted.map(|(_, own)| own), done),
        };
        if usize::try_from(task) != Ok(index) {
            return cut(StreamError::Cut, own, wanted.map(|(_, own)| own), done);
        }
        let got = match part {
            OutputPart::Stdout(bytes) => {
                streams[0].append(&bytes, max);
                current = Some((index, own));
                continue;
            }
            OutputPart::Stderr(bytes) => {
                streams[1].append(&bytes, max);
                current = Some((index, own));
                continue;
            }
            OutputPart::Complete => Got::Some(std::mem::take(&mut streams)),
            OutputPart::Unreadable { why } => Got::Nothing(why),
        };
        streams = Default::default();
        done.fetched.push(Fetched { wanted: own, got });
        current = wanted.next();
    }
}

fn cut(error: StreamError, own: Wanted, rest: impl Iterator<Item = Wanted>, done: &mut Done) {
    put_back(error.into(), std::iter::once(own).chain(rest).collect(), done);
}

/// A request for each stream of each: for who is older.
async fn bring_singly(connection: &Connection, wanted: Vec<Wanted>, max: u64, done: &mut Done) {
    let mut wanted = wanted.into_iter();
    while let Some(own) = wanted.next() {
        match bring_one(connection, own.key(), max).await {
            Ok(streams) => done.fetched.push(Fetched { wanted: own, got: Got::Some(streams) }),
            Err(error) => {
                let all = std::iter::once(own).chain(wanted).collect();
                return put_back(error, all, done);
            }
        }
    }
}

async fn bring_one(
    connection: &Connection,
    key: &TaskKey,
    max: u64,
) -> Result<[Stream; 2], RequestError> {
    use skep_protocol::data::{Follow, LogStream};
    use tokio::io::AsyncReadExt as _;
    let mut streams: [Stream; 2] = Default::default();
    let mut buffer = vec![0; 64 << 10];
    for (stream, name) in streams.iter_mut().zip([LogStream::Stdout, LogStream::Stderr]) {
        let log = skep_transport::log::read(connection, key.clone(), name, 0, Follow::No);
        let mut log = log.await?;
        loop {
            match log.read(&mut buffer).await {
                Ok(0) => break,
                Ok(count) => stream.append(&buffer[..count], max),
                Err(_) => return Err(StreamError::Cut.into()),
            }
        }
    }
    Ok(streams)
}

/// They have not come: they will, or never.
fn put_back(error: RequestError, wanted: Vec<Wanted>, done: &mut Done) {
    match error {
        RequestError::Stream(StreamError::Closed(_)) => {
            (done.again, done.trouble) = (wanted, Some(Trouble::Link));
        }
        RequestError::Refused(Rejection::Unsupported { .. }) => {
            (done.again, done.trouble) = (wanted, Some(Trouble::Older));
        }
        RequestError::Refused(rejection) if is_final(&rejection) => {
            let why = rejection.to_string();
            let lost = wanted.into_iter();
            done.fetched
                .extend(lost.map(|wanted| Fetched { wanted, got: Got::Nothing(why.clone()) }));
        }
        error => (done.again, done.trouble) = (wanted, Some(Trouble::Agent(error.to_string()))),
    }
}

/// Whether asking again cannot help.
pub(super) const fn is_final(rejection: &Rejection) -> bool {
    matches!(
        rejection,
        Rejection::AgentGone { .. }
            | Rejection::UnknownAgent { .. }
            | Rejection::NotYours { .. }
            | Rejection::WrongKind { .. }
            | Rejection::OutputGone { .. }
    )
}

impl Stream {
    fn append(&mut self, bytes: &[u8], max: u64) {
        let room = max.saturating_sub(self.bytes.len() as u64);
        let kept = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        self.bytes.extend_from_slice(&bytes[..kept]);
        self.beyond += (bytes.len() - kept) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_protocol::{Attempt, FrameworkId, Outcome, Source, TaskId, TaskState, Time, Usage};

    fn wanted(place: usize, bytes: u64) -> Wanted {
        let framework = FrameworkId::new("f").expect("an id");
        let task = TaskId::new(format!("t{place}")).expect("an id");
        let update = StatusUpdate {
            key: TaskKey { framework, task, attempt: Attempt::FIRST },
            seq: 1,
            agent: None,
            state: TaskState::Ended(Outcome::Exited { code: 0 }),
            source: Source::Executor,
            at: Time::ZERO,
            usage: Some(Usage { stdout_bytes: bytes, ..Usage::default() }),
            result: vec![],
            last_words: String::new(),
            outputs: Vec::new(),
            missing: Vec::new(),
        };
        let agent = AgentId::new("a").expect("an id");
        Wanted { place, update: Box::new(update), agent }
    }

    fn done(trouble: Trouble, again: Vec<Wanted>) -> Done {
        let agent = AgentId::new("a").expect("an id");
        Done { agent, bytes: 0, fetched: vec![], again, trouble: Some(trouble) }
    }

    #[test]
    fn a_request_is_for_many_small_outputs_or_for_one_that_is_large() {
        let of = |sizes: &[u64]| {
            let mut waiting = sizes.iter().enumerate().map(|(n, size)| wanted(n, *size)).collect();
            let mut requests = Vec::new();
            while !VecDeque::is_empty(&waiting) {
                requests.push(take(&mut waiting).len());
            }
            requests
        };
        assert_eq!(of(&[5; 1_100]), [500, 500, 100]);
        assert_eq!(of(&[2 << 20, 5, 5, 2 << 20, 5]), [1, 2, 1, 1]);
    }

    #[test]
    fn an_agent_that_stays_away_makes_missing_what_it_has_and_a_master_never_does() {
        let mut fetcher = Fetcher::new(10);
        let mut now = Instant::now();
        let begin = |fetcher: &mut Fetcher| {
            let queue = fetcher.queues.values_mut().next().expect("a queue");
            queue.running += 1;
            take(&mut queue.waiting)
        };
        fetcher.push(wanted(0, 5));
        let away = || Trouble::Agent("it is not connected".into());
        for _ in 0..1_000 {
            let again = begin(&mut fetcher);
            assert!(fetcher.done(now, done(Trouble::Link, again)).is_empty());
            now += PAUSE;
        }
        let again = begin(&mut fetcher);
        assert!(fetcher.done(now, done(away(), again)).is_empty());
        let again = begin(&mut fetcher);
        assert!(fetcher.done(now + AGENT_WAIT - PAUSE, done(away(), again)).is_empty());
        assert!(!fetcher.is_idle());
        let again = begin(&mut fetcher);
        let lost = fetcher.done(now + AGENT_WAIT, done(away(), again));
        let [Fetched { got: Got::Nothing(why), .. }] = &lost[..] else { panic!("{lost:?}") };
        assert_eq!(why, "agent a is out of reach: it is not connected");
        assert!(fetcher.is_idle());
        assert_eq!(fetcher.pending_bytes(), 0);
    }

    #[test]
    fn of_a_stream_no_more_is_kept_than_may_be_and_the_rest_is_counted() {
        let mut stream = Stream::default();
        stream.append(b"abc", 5);
        stream.append(b"def", 5);
        stream.append(b"g", 5);
        assert_eq!(stream, Stream { bytes: b"abcde".to_vec(), beyond: 2 });
    }
}
