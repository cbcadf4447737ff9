//! The standard input of the tasks: streamed to the one task of a command, or stored for all.
//!
//! A stream is read as fast as the task reads it, may be of any length, and is kept nowhere. What
//! several tasks are given, or one that may be started again where it failed, or that runs on
//! without this command, is stored at the master first. Either way no more than a piece of it is in
//! memory here.

use crate::{
    args,
    failure::{Result, Sentence},
    stdout::say,
};
use sha2::{Digest as _, Sha256};
use skep_framework::{Cluster, FeedError};
use skep_protocol::{Digest, Rejection, TaskKey, bounds::BLOB_BYTES_MAX, task::Clock};
use skep_transport::{RequestError, blob};
use std::{
    convert::Infallible,
    fs::File,
    future::pending,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::fd::AsFd as _,
    path::Path,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
    time::timeout,
};

/// How long the word may take that a task which has ended was given all. A connection that is dead
/// is noticed sooner.
const VERDICT_MAX: Duration = Duration::from_secs(30);
/// Bytes read at a time.
const PIECE_BYTES: usize = 64 << 10;

/// What the tasks are given.
#[derive(Debug)]
pub(super) enum Stdin {
    /// Nothing.
    Closed,
    /// What the master has stored.
    Blob(Digest),
    /// What is read while the task runs.
    Stream(Source),
}

/// A file, a pipe or a terminal that is read here.
#[derive(Debug)]
pub(super) struct Source {
    name: String,
    file: File,
    /// Where a file begins for us. None: what was read cannot be read again.
    begin: Option<u64>,
    was_read: bool,
}

/// Makes ready what the tasks are to be given.
pub(super) async fn prepare(cluster: &Cluster, args: &args::Run) -> Result<Stdin> {
    let Some(path) = args.grants.stdin.clone() else { return Ok(Stdin::Closed) };
    let source = spawn_blocking(move || Source::open(&path)).await??;
    if can_stream(args) {
        return Ok(Stdin::Stream(source));
    }
    Ok(Stdin::Blob(source.store(cluster).await?))
}

/// Whether it is needed once, and while this command runs.
fn can_stream(args: &args::Run) -> bool {
    let is_array = args.many.count.is_some() || args.many.array.is_some();
    let is_many = is_array || args.many.each_line.is_some();
    let is_once = args.trouble.restart.is_none() && args.grants.deterministic.is_none();
    // With the seed, a virtual clock makes a run one that can be replayed.
    let is_virtual = args.grants.clock.is_some_and(|it| matches!(it.0, Clock::Virtual { .. }));
    !is_many && is_once && !is_virtual && !args.detach
}

impl Source {
    fn open(path: &Path) -> std::result::Result<Self, Sentence> {
        let is_own = path == Path::new("-");
        let name = path.display().to_string();
        let cannot = |error: io::Error| Sentence(format!("--stdin {name}: {error}"));
        let mut file = match is_own {
            true => io::stdin().as_fd().try_clone_to_owned().map(File::from),
            false => File::open(path),
        }
        .map_err(cannot)?;
        let data = file.metadata().map_err(cannot)?;
        if data.is_dir() {
            return Err(cannot(io::ErrorKind::IsADirectory.into()));
        }
        let begin = match data.is_file() {
            true => Some(file.stream_position().map_err(cannot)?),
            false => None,
        };
        Ok(Self { name, file, begin, was_read: false })
    }

    /// How much there is, if that is known.
    pub(super) fn size(&self) -> Option<u64> {
        let size = self.file.metadata().ok()?.len();
        Some(size.saturating_sub(self.begin?))
    }

    /// Stores all of it at the master.
    async fn store(self, cluster: &Cluster) -> Result<Digest> {
        let name = self.name.clone();
        let cannot = |error: io::Error| Sentence(format!("--stdin {name}: {error}"));
        let spooled = spawn_blocking(move || self.spool()).await?.map_err(cannot)?;
        let Spooled { file, digest, size } = spooled;
        if size > BLOB_BYTES_MAX {
            let max = bytesize::ByteSize(BLOB_BYTES_MAX);
            let why = format!(
                "--stdin {name}: it is larger than the {max} that can be stored; of any size is \
                 only what one task reads once: without --count, --array, --each-line, --restart, \
                 --detach and --deterministic"
            );
            return Err(Sentence(why).into());
        }
        let file = tokio::fs::File::from_std(file);
        blob::put(&cluster.connection(), digest, size, file).await?;
        Ok(digest)
    }

    /// Reads it to its end, or to one byte more than can be stored; what cannot be read again goes
    /// into a file without a name.
    fn spool(mut self) -> io::Result<Spooled> {
        let mut spool = match self.begin {
            Some(_) => None,
            None => Some(tempfile::tempfile()?),
        };
        let (mut hasher, mut size, mut piece) = (Sha256::new(), 0, vec![0; PIECE_BYTES]);
        while size <= BLOB_BYTES_MAX {
            let n = match self.file.read(&mut piece) {
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if n == 0 {
                break;
            }
            size += n as u64;
            hasher.update(&piece[..n]);
            if let Some(spool) = &mut spool {
                spool.write_all(&piece[..n])?;
            }
        }
        let mut file = spool.unwrap_or(self.file);
        file.seek(SeekFrom::Start(self.begin.unwrap_or(0)))?;
        Ok(Spooled { file, digest: Digest::from_bytes(hasher.finalize().into()), size })
    }

    /// What the next attempt of the task is given: all of it, or an error if that is gone.
    fn give(&mut self, key: &TaskKey) -> Result<tokio::fs::File> {
        let cannot = |error: io::Error| Sentence(format!("--stdin {}: {error}", self.name));
        if self.was_read {
            let Some(begin) = self.begin else {
                let why = format!(
                    "task {} is started again, and what an earlier attempt has read of its \
                     standard input cannot be read again: give it a file with --stdin FILE",
                    key.task
                );
                return Err(Sentence(why).into());
            };
            self.file.seek(SeekFrom::Start(begin)).map_err(cannot)?;
        }
        self.was_read = true;
        Ok(tokio::fs::File::from_std(self.file.try_clone().map_err(cannot)?))
    }
}

/// What was read to its end.
struct Spooled {
    file: File,
    digest: Digest,
    size: u64,
}

/// Feeds a task, in each of its attempts, as soon as it runs.
pub(super) struct Feeder<'a> {
    pub(super) cluster: &'a Cluster,
    /// What it is given, if it is given a stream.
    pub(super) source: Option<Source>,
    /// The attempts that run.
    pub(super) running: mpsc::UnboundedReceiver<TaskKey>,
    pub(super) fed: &'a watch::Sender<Fed>,
}

/// What became of the stream that the newest attempt is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// There is none, or the attempt has all that it reads.
    Whole,
    /// It is not known yet.
    Open,
    /// Some of it was lost on the way.
    Cut,
}

impl Feeder<'_> {
    /// Ends only if an attempt cannot be given what it should.
    pub(super) async fn run(self) -> Result<Infallible> {
        let Self { cluster, source, mut running, fed } = self;
        let (Some(mut source), Some(mut key)) = (source, running.recv().await) else {
            return pending().await;
        };
        loop {
            let bytes = source.give(&key)?;
            fed.send_replace(Fed::Open);
            let feeding = async {
                let given = cluster.feed(key.clone(), bytes).await;
                fed.send_replace(told(&key, given));
                pending::<Infallible>().await
            };
            key = tokio::select! {
                never = feeding => match never {},
                other = next_other(&mut running, &key) => other,
            };
        }
    }
}

/// Whether all reached the task, which has ended, while the feeder still runs. An agent says so
/// when it hears of the end; one that is gone never does.
pub(super) async fn has_all(fed: &watch::Sender<Fed>) -> bool {
    let mut fed = fed.subscribe();
    match timeout(VERDICT_MAX, fed.wait_for(|fed| *fed != Fed::Open)).await {
        Ok(verdict) => verdict.is_ok_and(|fed| *fed == Fed::Whole),
        Err(_) => {
            say("skep: nobody knows whether the task had all of its standard input: its agent \
                 is gone\n");
            false
        }
    }
}

/// Says so if a task was not given all. One that is not known any more has ended.
fn told(key: &TaskKey, given: Result<(), FeedError>) -> Fed {
    match given {
        Ok(()) => Fed::Whole,
        Err(FeedError::Peer(RequestError::Refused(Rejection::UnknownTask { .. }))) => Fed::Whole,
        Err(error) => {
            let task = &key.task;
            say(&format!("skep: the standard input of task {task} was cut off: {error}\n"));
            Fed::Cut
        }
    }
}

/// The next attempt that runs; a driver that connects again tells of the same one again.
async fn next_other(running: &mut mpsc::UnboundedReceiver<TaskKey>, key: &TaskKey) -> TaskKey {
    loop {
        match running.recv().await {
            Some(other) if other != *key => return other,
            Some(_) => {}
            None => pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use skep_protocol::{Attempt, FrameworkId, TaskId};
    use std::io::pipe;
    use tokio::io::AsyncReadExt as _;

    fn streams(options: &[&str]) -> bool {
        let words = ["skep", "run", "--stdin", "f"].iter().chain(options).chain(&["m.wasm"]);
        let cli = args::Cli::try_parse_from(words).expect("a command line");
        let args::Command::Run(run) = cli.command else { panic!("another command") };
        can_stream(&run)
    }

    fn key(attempt: u32) -> TaskKey {
        let framework = FrameworkId::new("f").expect("an id");
        TaskKey { framework, task: TaskId::new("t").expect("an id"), attempt: Attempt(attempt) }
    }

    async fn given(source: &mut Source, attempt: u32) -> Result<String> {
        let mut text = String::new();
        source.give(&key(attempt))?.read_to_string(&mut text).await?;
        Ok(text)
    }

    #[test]
    fn what_one_task_reads_once_is_streamed_and_what_is_needed_again_is_stored() {
        assert!(streams(&[]));
        assert!(streams(&["--clock", "fixed:2026-01-01T00:00:00Z", "--random-seed", "1"]));
        for options in [
            &["--count", "2"][..],
            &["--array", "0-1"],
            &["--each-line", "lines"],
            &["--restart", "1"],
            &["--deterministic"],
            &["--clock", "virtual"],
            &["--detach", "--master", "m"],
        ] {
            assert!(!streams(options), "{options:?}");
        }
    }

    #[tokio::test]
    async fn a_file_is_given_to_each_attempt_from_where_it_began_and_a_pipe_once() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(b"text").expect("written");
        let mut source = Source::open(file.path()).expect("it is there");
        assert_eq!(source.size(), Some(4));
        for attempt in 1..=3 {
            assert_eq!(given(&mut source, attempt).await.expect("a file"), "text");
        }
        let (reader, mut writer) = pipe().expect("a pipe");
        writer.write_all(b"typed").expect("there is room");
        drop(writer);
        let file = File::from(std::os::fd::OwnedFd::from(reader));
        let mut source = Source { name: "-".into(), file, begin: None, was_read: false };
        assert_eq!(source.size(), None);
        assert_eq!(given(&mut source, 1).await.expect("the first"), "typed");
        given(&mut source, 2).await.expect_err("it was read");
    }

    #[test]
    fn what_is_stored_is_the_rest_of_a_file_and_all_of_a_pipe() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(b"before and after").expect("written");
        let mut source = Source::open(file.path()).expect("it is there");
        source.begin = source.file.seek(SeekFrom::Start(11)).ok();
        let (reader, mut writer) = pipe().expect("a pipe");
        writer.write_all(b"after").expect("there is room");
        drop(writer);
        let reader = File::from(std::os::fd::OwnedFd::from(reader));
        let typed = Source { name: "-".into(), file: reader, begin: None, was_read: false };
        for source in [source, typed] {
            let Spooled { mut file, digest, size } = source.spool().expect("it is read");
            let mut text = String::new();
            file.read_to_string(&mut text).expect("text");
            assert_eq!((text.as_str(), digest, size), ("after", Digest::of(b"after"), 5));
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_before_anything_starts() {
        let folder = tempfile::tempdir().expect("a folder");
        let why = Source::open(folder.path()).expect_err("it is a folder").to_string();
        assert!(why.contains("directory"), "{why}");
        Source::open(&folder.path().join("absent")).expect_err("it is not there");
    }
}
