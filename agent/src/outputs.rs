//! What many tasks wrote, read for who asks through the master: all of it in one stream.
//!
//! Files are read on a thread that may block, a piece at a time and no further ahead of the network
//! than [`PIECES_AHEAD`], so that a request holds some pieces in memory however much it asks for.

use crate::{folders::Folders, logs};
use cap_std::fs::Dir;
use skep_agent_core::Layout;
use skep_protocol::{
    FrameworkId, TaskKey,
    bounds::OUTPUT_PIECE_BYTES_MAX,
    data::{LogStream, OutputPart, OutputPiece, Request},
};
use skep_transport::{Connection, IncomingRequest, log, outputs::PieceWriter};
use std::{
    io::{self, Read as _},
    sync::Arc,
};
use tokio::sync::{Semaphore, mpsc};

/// Pieces that are read ahead of the network.
const PIECES_AHEAD: usize = 16;
/// Requests that are read for at once: each may hold a blocking thread for as long as its reader
/// takes.
static READERS: Semaphore = Semaphore::const_new(16);

/// Answers one request of the master.
pub(crate) async fn answer(
    folders: Arc<Folders>,
    connection: Connection,
    incoming: IncomingRequest,
) {
    let Request::ReadOutputs { framework, tasks, stream_id, .. } = &incoming.request else {
        return;
    };
    let key = |(task, attempt): &(_, _)| TaskKey {
        framework: framework.clone(),
        task: Clone::clone(task),
        attempt: *attempt,
    };
    let (keys, framework, id) = (tasks.iter().map(key).collect(), framework.clone(), *stream_id);
    // It is never closed.
    let Ok(_turn) = READERS.acquire().await else { return };
    let sent = async {
        let stream = log::serve(&connection, incoming, id).await.map_err(io::Error::other)?;
        let mut writer = PieceWriter::to(stream);
        let (sender, mut pieces) = mpsc::channel(PIECES_AHEAD);
        let reading = tokio::task::spawn_blocking(move || {
            read(&folders, &framework, keys, |piece| sender.blocking_send(piece).is_ok());
        });
        while let Some(piece) = pieces.recv().await {
            writer.send(&piece).await?;
        }
        reading.await.map_err(io::Error::other)?;
        writer.finish().await
    };
    if let Err(error) = sent.await {
        tracing::debug!(%error, "outputs were not read to their end");
    }
}

/// Reads all tasks; `send` says whether the pieces are still wanted.
fn read(
    folders: &Folders,
    framework: &FrameworkId,
    keys: Vec<TaskKey>,
    mut send: impl FnMut(OutputPiece) -> bool,
) {
    let folder = match folders.tasks.open_dir(framework.as_str()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        folder => folder.map(Some),
    };
    let mut buffer = vec![0; OUTPUT_PIECE_BYTES_MAX];
    for (task, key) in (0..).zip(keys) {
        let part = match &folder {
            Ok(Some(folder)) => {
                read_task(folder, &key, &mut buffer, &mut |part| send(OutputPiece { task, part }))
            }
            Ok(None) => Ok(true),
            Err(error) => Err(io::Error::other(error.to_string())),
        };
        let end = match part {
            Ok(true) => OutputPart::Complete,
            Ok(false) => return,
            Err(error) => OutputPart::Unreadable { why: error.to_string() },
        };
        if !send(OutputPiece { task, part: end }) {
            return;
        }
    }
}

/// Reads both streams of a task; false if nobody wants more.
fn read_task(
    folder: &Dir,
    key: &TaskKey,
    buffer: &mut [u8],
    send: &mut dyn FnMut(OutputPart) -> bool,
) -> io::Result<bool> {
    let name = Layout::sandbox_name(key);
    let sandbox = match folder.open_dir(name.file_name().unwrap_or_default()) {
        Ok(sandbox) => sandbox,
        // A task that wrote nothing has no sandbox.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    for stream in [LogStream::Stdout, LogStream::Stderr] {
        let Some(mut file) = logs::open(&sandbox, logs::file_name(stream))? else { continue };
        loop {
            let read = match file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if read == 0 {
                break;
            }
            let bytes = buffer[..read].to_vec();
            let part = match stream {
                LogStream::Stderr => OutputPart::Stderr(bytes),
                LogStream::Stdout | LogStream::Core => OutputPart::Stdout(bytes),
            };
            if !send(part) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
