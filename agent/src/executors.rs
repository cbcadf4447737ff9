//! Executors as processes: one per framework and jail, each with a loop that talks to it.
//!
//! The socket is the executor's standard input: it needs no name, nobody else can reach it, and it
//! closes with either side. Always holds: all that an executor said is told to the shell before
//! its end is, and its end is told exactly once.

use crate::{artifacts::Artifacts, launch::Launcher, shell::Event, spawner::Spawner};
use cap_std::fs::OpenOptions;
use files::Attached;
use futures_util::StreamExt as _;
use skep_agent_core::{ExecutorKey, Input};
use skep_protocol::{
    codec::{DecodeError, Message as _},
    executor::{StartGuest, ToAgent, ToExecutor},
};
use std::{collections::BTreeMap, io, os::fd::OwnedFd, process::Stdio, sync::Arc, time::Duration};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    process::{Child, ChildStderr},
    select,
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::{codec::FramedRead, task::TaskTracker};

mod files;
mod wire;

/// Orders that may wait for one executor. One that does not read that many is hung up on.
const ORDERS_MAX: usize = 8_192;
/// How long an executor that was told to stop, or has hung up, may take to end.
const END_MAX: Duration = Duration::from_secs(5);
/// What one executor may write to its log file; the rest is dropped.
const LOG_BYTES_MAX: u64 = 1 << 20;

/// See the module.
pub(crate) struct Executors {
    launcher: Arc<Launcher>,
    artifacts: Arc<Artifacts>,
    spawner: Spawner,
    inbox: mpsc::Sender<Event>,
    running: BTreeMap<ExecutorKey, mpsc::Sender<ToExecutor>>,
    loops: TaskTracker,
}

impl Executors {
    pub(crate) fn new(
        launcher: Launcher,
        artifacts: Arc<Artifacts>,
        spawner: Spawner,
        inbox: mpsc::Sender<Event>,
    ) -> Self {
        let (running, loops) = (BTreeMap::new(), TaskTracker::new());
        Self { launcher: Arc::new(launcher), artifacts, spawner, inbox, running, loops }
    }

    /// Starts an executor. Its end comes as an input, even if it never began.
    pub(crate) fn start(&mut self, key: ExecutorKey) {
        let (orders, queue) = mpsc::channel(ORDERS_MAX);
        self.running.insert(key.clone(), orders);
        let place = Place {
            key,
            launcher: self.launcher.clone(),
            artifacts: self.artifacts.clone(),
            spawner: self.spawner.clone(),
            inbox: self.inbox.clone(),
        };
        self.loops.spawn(async move {
            let why = match place.serve(queue).await {
                Ok(why) => why,
                Err(error) => error.to_string(),
            };
            place.tell(Input::ExecutorEnded { executor: place.key.clone(), why }).await;
        });
    }

    /// Gives an order to an executor. One that has ended is past orders.
    pub(crate) fn send(&mut self, key: &ExecutorKey, mut message: ToExecutor) {
        let Some(orders) = self.running.get(key) else { return };
        if let ToExecutor::Start { guests } = &mut message {
            guests.iter_mut().for_each(|guest| self.launcher.localise(&key.framework, guest));
        }
        if let Err(mpsc::error::TrySendError::Full(_)) = orders.try_send(message) {
            tracing::warn!(executor = %key, "the executor takes no orders: ending it");
            self.running.remove(key);
        }
    }

    /// Ends all executors and waits until they have.
    pub(crate) async fn end(self) {
        drop(self.running);
        self.loops.close();
        self.loops.wait().await;
    }

    /// Ends an executor: it gets the orders that wait for it, and then the one to stop.
    pub(crate) fn stop(&mut self, key: &ExecutorKey) {
        self.running.remove(key);
    }
}

/// What the loop of one executor works with.
struct Place {
    key: ExecutorKey,
    launcher: Arc<Launcher>,
    artifacts: Arc<Artifacts>,
    spawner: Spawner,
    inbox: mpsc::Sender<Event>,
}

impl Place {
    /// Runs one executor from its start to its end. Gives how it ended, in words.
    async fn serve(&self, orders: mpsc::Receiver<ToExecutor>) -> io::Result<String> {
        let mut command = self.launcher.command(&self.key)?;
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (reader, writer) = UnixStream::from_std(ours)?.into_split();
        command.stdin(Stdio::from(OwnedFd::from(theirs)));
        // The command holds their end of the socket; it is gone when this returns, so that the
        // socket closes when the executor ends.
        let mut child = self.spawner.spawn(command).await?;
        tracing::info!(executor = %self.key, pid = child.id(), "executor started");
        let stderr = child.stderr.take().expect("it is piped");
        let log = tokio::spawn(keep_log(stderr, self.log_file()?));
        select! {
            () = self.listen(reader) => {}
            () = self.give_orders(writer, orders) => {}
        }
        let why = end(child).await?;
        // Its last words are in the log before anybody is told to look there.
        let _ = timeout(END_MAX, log).await;
        tracing::info!(executor = %self.key, why, "executor ended");
        Ok(why)
    }

    /// Passes on what the executor says until it says no more.
    async fn listen(&self, reader: OwnedReadHalf) {
        let executor = &self.key;
        let mut frames = FramedRead::new(reader, wire::framing());
        while let Some(frame) = frames.next().await {
            let message = match frame.map(|frame| ToAgent::decode(&frame)) {
                Ok(Ok(message)) => message,
                Ok(Err(error @ DecodeError::UnknownVariant { .. })) => {
                    tracing::warn!(%executor, %error, "passed over a newer report");
                    continue;
                }
                Ok(Err(error)) => {
                    tracing::warn!(%executor, %error, "the executor sends no reports: ending it");
                    return;
                }
                Err(error) => {
                    tracing::debug!(%executor, %error, "the executor's socket broke");
                    return;
                }
            };
            let executor = executor.clone();
            self.tell(match message {
                ToAgent::Ready { .. } => Input::ExecutorReady { executor },
                message @ ToAgent::Reports { .. } => Input::Executor { executor, message },
            })
            .await;
        }
    }

    /// Passes on orders until there are no more, then the order to stop, and gives the executor its
    /// time to end. Should it have hung up, then what it said before is still to be heard: that it
    /// can no longer be written to ends nothing here.
    async fn give_orders(&self, writer: OwnedWriteHalf, orders: mpsc::Receiver<ToExecutor>) {
        match self.write_orders(wire::Orders::new(writer), orders).await {
            Ok(()) => sleep(END_MAX).await,
            Err(error) => {
                tracing::debug!(%error, "the executor takes no more orders");
                std::future::pending().await
            }
        }
    }

    async fn write_orders(
        &self,
        mut executor: wire::Orders,
        mut orders: mpsc::Receiver<ToExecutor>,
    ) -> io::Result<()> {
        let mut batch = Vec::new();
        while orders.recv_many(&mut batch, ORDERS_MAX).await > 0 {
            for order in batch.drain(..) {
                match order {
                    ToExecutor::Start { guests } => self.start(&mut executor, guests).await?,
                    order => executor.feed(&order, Vec::new()).await?,
                }
            }
            executor.flush().await?;
        }
        executor.feed(&ToExecutor::Stop, Vec::new()).await?;
        executor.flush().await
    }

    async fn start(&self, executor: &mut wire::Orders, guests: Vec<StartGuest>) -> io::Result<()> {
        let attached = files::attach(&self.launcher.folders, &self.artifacts, guests).await;
        let Attached { guests, files, failed: reports } = attached;
        if !reports.is_empty() {
            // The core takes it as the executor's word that these guests did not come to run.
            let (executor, message) = (self.key.clone(), ToAgent::Reports { reports });
            self.tell(Input::Executor { executor, message }).await;
        }
        if guests.is_empty() {
            return Ok(());
        }
        executor.feed(&ToExecutor::Start { guests }, files).await
    }

    async fn tell(&self, input: Input) {
        // Without a shell the agent is ending, and the executor with it.
        let _ = self.inbox.send(Event::Input(input)).await;
    }

    /// Opens the log file for more, or anew if it is full.
    fn log_file(&self) -> io::Result<std::fs::File> {
        let dir = &self.launcher.folders.executors;
        let name = format!("{}.log", self.key.framework);
        let full = dir.metadata(&name).is_ok_and(|file| file.len() >= LOG_BYTES_MAX);
        let mut options = OpenOptions::new();
        options.create(true).write(true).append(!full).truncate(full);
        Ok(dir.open_with(&name, &options)?.into_std())
    }
}

/// Waits for the end of an executor that has hung up; kills it if it does not come.
async fn end(mut child: Child) -> io::Result<String> {
    let status = match timeout(END_MAX, child.wait()).await {
        Ok(status) => status?,
        Err(_) => {
            child.kill().await?;
            child.wait().await?
        }
    };
    Ok(status.to_string())
}

async fn keep_log(stderr: ChildStderr, file: std::fs::File) {
    let (mut file, mut kept) = (File::from_std(file), stderr.take(LOG_BYTES_MAX));
    // A full disk must not hold up the executor: what cannot be kept is read all the same.
    let _ = tokio::io::copy(&mut kept, &mut file).await;
    let _ = file.flush().await;
    let _ = tokio::io::copy(&mut kept.into_inner(), &mut tokio::io::sink()).await;
}

#[cfg(test)]
mod tests;
