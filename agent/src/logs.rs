//! What tasks wrote, read for who asks through the master.
//!
//! A log that is followed is looked at every [`LOOK_EVERY`]. A timer rather than file events: it
//! works for files that do not exist yet and on every file system, and it costs something only
//! while somebody follows.

use crate::{
    feeds::{Feeds, end_of, ended_already},
    folders::Folders,
    outputs,
    shell::Event,
};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use rustix::fs::OFlags;
use skep_agent_core::Layout;
use skep_protocol::{
    Rejection, TaskKey,
    data::{Follow, LogStream, Request},
};
use skep_transport::{Connection, IncomingRequest, OutStream, log};
use std::{
    io::{self, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _},
    sync::mpsc,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// How long what a guest writes may lie before a follower sees it: less than people notice.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Bytes read at a time.
const PIECE_BYTES: usize = 64 << 10;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Logs {
    pub(crate) folders: Arc<Folders>,
    pub(crate) inbox: mpsc::Sender<Event>,
    pub(crate) feeds: Feeds,
}

impl Logs {
    /// Answers one request of the master.
    pub(crate) async fn answer(self, connection: Connection, incoming: IncomingRequest) {
        let (key, stream, offset, follow, id) = match &incoming.request {
            Request::ReadLog { key, stream, offset, follow, stream_id } => {
                (key, stream, *offset, follow, *stream_id)
            }
            Request::ReadOutputs { .. } => {
                return outputs::answer(self.folders, connection, incoming).await;
            }
            Request::Feed { key } => {
                let key = key.clone();
                return self.feeds.answer(incoming, key, &self.inbox).await;
            }
            _ => {
                let why = "an agent is asked for nothing but logs, and to feed tasks".into();
                // A peer that has left needs no refusal.
                let _ = incoming.refuse(Rejection::Violation { why }).await;
                return;
            }
        };
        let ended = match follow {
            Follow::No => ended_already(),
            Follow::UntilEnded => end_of(key.clone(), &self.inbox).await,
        };
        let log = Log { path: path(key, *stream), folders: self.folders, offset, ended };
        let sent = match log::serve(&connection, incoming, id).await {
            Ok(mut out) => match log.copy(&mut out).await {
                Ok(()) => out.finish().await.map_err(io::Error::other),
                Err(error) => Err(error),
            },
            Err(error) => Err(io::Error::other(error)),
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a log was not read to its end");
        }
    }
}

fn path(key: &TaskKey, stream: LogStream) -> PathBuf {
    Layout::sandbox_name(key).join(file_name(stream))
}

/// The name of what is read, in a sandbox.
pub(crate) const fn file_name(stream: LogStream) -> &'static str {
    match stream {
        LogStream::Stdout => "stdout",
        LogStream::Stderr => "stderr",
        LogStream::Core => "core",
    }
}

/// Opens a file that an executor wrote, if it is there. An executor that was taken over may have
/// put something else in its place: opening that must not wait for it.
pub(crate) fn open(folder: &Dir, path: impl AsRef<Path>) -> io::Result<Option<cap_std::fs::File>> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    match folder.open_with(path, &options) {
        Ok(file) if file.metadata()?.is_file() => Ok(Some(file)),
        Ok(_) => Err(io::Error::other("what lies there is no file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// One log that is being read.
struct Log {
    folders: Arc<Folders>,
    path: PathBuf,
    offset: u64,
    ended: CancellationToken,
}

impl Log {
    /// Copies from the offset on until the task has ended and there is no more.
    async fn copy(self, out: &mut OutStream) -> io::Result<()> {
        let mut file = None;
        loop {
            // Asked before the last look: what was written until the end is seen after it.
            let over = self.ended.is_cancelled();
            if file.is_none() {
                file = self.open().await?;
            }
            if let Some(file) = &mut file {
                copy_available(file, out).await?;
            }
            if over {
                return Ok(());
            }
            tokio::select! {
                () = self.ended.cancelled() => {}
                () = out.abandoned() => return Ok(()),
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// The file, once the task has written its first byte.
    async fn open(&self) -> io::Result<Option<File>> {
        let Some(file) = self.open_below()? else { return Ok(None) };
        let mut file = File::from_std(file.into_std());
        file.seek(SeekFrom::Start(self.offset)).await?;
        Ok(Some(file))
    }
}

impl Log {
    /// Through the framework's own folder, out of which no name leads: what lies in it is an
    /// executor's, which may have been taken over and have put links to others' outputs there.
    fn open_below(&self) -> io::Result<Option<cap_std::fs::File>> {
        let mut parts = self.path.components();
        let framework = parts.next().map(|part| PathBuf::from(part.as_os_str()));
        match self.folders.tasks.open_dir(framework.unwrap_or_default()) {
            Ok(framework) => open(&framework, parts.as_path()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

async fn copy_available(file: &mut File, out: &mut OutStream) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let n = file.read(&mut piece).await?;
        if n == 0 {
            return Ok(());
        }
        out.write_all(&piece[..n]).await?;
    }
}
