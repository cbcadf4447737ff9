//! Executors as processes: one per framework and jail, each with a loop that talks to it.
//!
//! An executor listens on a socket that the agent made, and the agent dials it; so does the next
//! run of the agent, since executors outlive it. Always holds: all that an executor said is told to
//! the shell before its end is, and its end is told exactly once. Deliberately absent: killing an
//! executor when the agent ends; what is to become of its guests is for the core to say.

use crate::{artifacts::Artifacts, feeds::Feeds, launch::Launcher, shell::Event};
use cap_std::fs::{Dir, OpenOptions};
use files::Attached;
use futures_util::StreamExt as _;
use process::Process;
use rendezvous::{Ends, Found, Machine, NotFound, Rendezvous};
use rustix::process::Pid;
use skep_agent_core::{ExecutorKey, ExecutorRun, Gone, Input, Record};
use skep_protocol::{
    codec::{DecodeError, Message as _},
    executor::{StartGuest, ToAgent, ToExecutor},
    hello::Hello,
};
use skep_shell::{Parcel, Room};
use std::{
    collections::BTreeMap,
    io,
    os::{fd::OwnedFd, unix::net},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf, pipe},
    },
    select,
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::{codec::FramedRead, sync::CancellationToken, task::TaskTracker};

mod files;
mod process;
mod rendezvous;
mod wire;

/// Orders that may wait for one executor, what its hosted schedulers are told included. One that
/// does not read that many is ended.
const ORDERS_MAX: usize = 8_192;
/// How long an executor that was told to stop, or has hung up, may take to end.
const END_MAX: Duration = Duration::from_secs(5);
/// What one executor may write to its log file; the rest is dropped.
const LOG_BYTES_MAX: u64 = 1 << 20;
/// How long between two attempts to reach an executor that may be there.
const FIND_RETRY: Duration = Duration::from_millis(100);

/// See the module.
pub(crate) struct Executors {
    parts: Arc<Parts>,
    running: BTreeMap<ExecutorKey, Orders>,
    loops: TaskTracker,
}

/// The way to the loop of one executor.
struct Orders {
    queue: mpsc::Sender<Parcel<ToExecutor>>,
    /// For messages to guests.
    room: Room,
}

type Queue = mpsc::Receiver<Parcel<ToExecutor>>;

/// What all loops work with.
struct Parts {
    launcher: Launcher,
    artifacts: Arc<Artifacts>,
    feeds: Feeds,
    folder: Arc<Dir>,
    machine: Machine,
    inbox: mpsc::Sender<Event>,
    /// Cancelled when the agent ends and executors stay.
    left: CancellationToken,
}

impl Executors {
    /// `records` are what earlier runs of the agent left.
    ///
    /// # Errors
    /// If what they left of their executors cannot be looked through.
    pub(crate) fn new(
        launcher: Launcher,
        artifacts: Arc<Artifacts>,
        feeds: Feeds,
        records: &[Record],
        inbox: mpsc::Sender<Event>,
    ) -> io::Result<Self> {
        let folder = Arc::new(launcher.folders.executors.try_clone()?);
        let known = records.iter().filter_map(|record| match record {
            Record::ExecutorStarted { run, .. } => Some(run.to_string()),
            _ => None,
        });
        let machine = rendezvous::tidy(&folder, &known.collect())?;
        let left = CancellationToken::new();
        let parts = Parts { launcher, artifacts, feeds, folder, machine, inbox, left };
        let (running, loops) = (BTreeMap::new(), TaskTracker::new());
        Ok(Self { parts: Arc::new(parts), running, loops })
    }

    /// Starts an executor. Its end comes as an input, even if it never began.
    pub(crate) fn start(&mut self, key: ExecutorKey, run: ExecutorRun) {
        let (place, orders) = self.place(key, run);
        self.loops.spawn(async move {
            let ended = place.start_and_serve(orders).await;
            place.tell_end(ended).await;
        });
    }

    /// Looks for an executor that an earlier run of the agent started. Whether it is there, and if
    /// so its end, comes as an input.
    pub(crate) fn adopt(&mut self, key: ExecutorKey, run: ExecutorRun) {
        let (place, mut orders) = self.place(key, run);
        self.loops.spawn(async move {
            match place.find(&mut orders).await {
                Ok(found) => {
                    let ended = place.adopt_and_serve(found, orders).await;
                    place.tell_end(ended).await;
                }
                Err(how) => {
                    tracing::info!(executor = %place.key, ?how, "executor of an earlier run gone");
                    place.tell(Input::ExecutorGone { executor: place.key.clone(), how }).await;
                }
            }
        });
    }

    fn place(&mut self, key: ExecutorKey, run: ExecutorRun) -> (Place, Queue) {
        let (sender, queue) = mpsc::channel(ORDERS_MAX);
        self.running.insert(key.clone(), Orders { queue: sender, room: Room::new() });
        let files = Rendezvous::new(self.parts.folder.clone(), run);
        (Place { key, files, parts: self.parts.clone() }, queue)
    }

    /// Gives an order to an executor. One that has ended is past orders.
    pub(crate) fn send(&mut self, key: &ExecutorKey, mut message: ToExecutor) {
        let Some(orders) = self.running.get(key) else { return };
        if let ToExecutor::Start { guests } = &mut message {
            let launcher = &self.parts.launcher;
            guests.iter_mut().for_each(|guest| launcher.localise(&key.framework, guest));
        }
        let message_bytes = message.message_bytes();
        let Some(message) = orders.room.pack(message, message_bytes) else {
            return tracing::debug!(executor = %key, "it reads slowly: messages are dropped");
        };
        if let Err(mpsc::error::TrySendError::Full(_)) = orders.queue.try_send(message) {
            tracing::warn!(executor = %key, "the executor takes no orders: ending it");
            self.running.remove(key);
        }
    }

    /// Ends an executor: it gets the orders that wait for it, and then the one to stop.
    pub(crate) fn stop(&mut self, key: &ExecutorKey) {
        self.running.remove(key);
    }

    /// Removes what is left of an executor that has ended.
    pub(crate) fn forget(&self, run: ExecutorRun) {
        Rendezvous::new(self.parts.folder.clone(), run).forget();
    }

    /// Ends all executors and waits until they have.
    pub(crate) async fn end(self) {
        drop(self.running);
        self.loops.close();
        self.loops.wait().await;
    }

    /// Leaves all executors to the next run of the agent.
    pub(crate) async fn leave(self) {
        self.parts.left.cancel();
        self.loops.close();
        self.loops.wait().await;
    }
}

/// What the loop of one executor works with.
struct Place {
    key: ExecutorKey,
    files: Rendezvous,
    parts: Arc<Parts>,
}

/// Why a loop has no more to do.
enum Ended {
    /// The executor has ended, like this.
    Executor(String),
    /// The agent leaves it.
    Left,
}

impl Place {
    /// Runs one executor from its start to its end.
    async fn start_and_serve(&self, orders: Queue) -> io::Result<Ended> {
        let mut command = self.parts.launcher.command(&self.key)?;
        let Ends { socket, log, log_reader } = self.files.make()?;
        command.stdin(Stdio::from(socket)).stderr(Stdio::from(log));
        let child = command.spawn()?;
        // It holds their ends, which are to close when the executor ends.
        drop(command);
        if let Some(id) = child.id() {
            self.parts.launcher.enclose(id);
        }
        let pid = child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let process = Process::Child(child);
        tracing::info!(executor = %self.key, pid = ?pid, "executor started");
        if let Some(pid) = pid {
            // One that has ended already is told of by its status.
            let _ = self.files.note(pid);
        }
        let call = self.files.dial();
        self.serve_to_the_end(call, log_reader, process, orders).await
    }

    /// Waits until it is known whether an executor of an earlier run is there, or until it is given
    /// up.
    async fn find(&self, orders: &mut Queue) -> Result<Found, Gone> {
        if self.parts.machine == Machine::Rebooted {
            return Err(Gone::Rebooted);
        }
        loop {
            match self.files.find() {
                Ok(found) => return Ok(found),
                Err(NotFound::Unready) => return Err(Gone::Unready),
                Err(NotFound::Ended) => return Err(Gone::Ended),
                Err(NotFound::Unknown(error)) => {
                    tracing::warn!(executor = %self.key, %error, "cannot dial the executor");
                }
            }
            sleep(FIND_RETRY).await;
            if orders.is_closed() && orders.is_empty() {
                return Err(Gone::Ended);
            }
        }
    }

    async fn adopt_and_serve(&self, found: Found, orders: Queue) -> io::Result<Ended> {
        let Found { socket, log_reader, process } = found;
        tracing::info!(executor = %self.key, "executor of an earlier run found");
        let process = Process::adopted(process)?;
        self.serve_to_the_end(Ok(socket), log_reader, process, orders).await
    }

    /// Talks to an executor until it ends. One that cannot be talked to is ended.
    async fn serve_to_the_end(
        &self,
        call: io::Result<OwnedFd>,
        log_reader: OwnedFd,
        mut process: Process,
        orders: Queue,
    ) -> io::Result<Ended> {
        let log_reader = pipe::Receiver::from_owned_fd(log_reader)?;
        let log = tokio::spawn(keep_log(log_reader, self.log_file()?));
        let call = call.and_then(|call| UnixStream::from_std(net::UnixStream::from(call)));
        let (reader, writer) = match call {
            Ok(call) => call.into_split(),
            Err(error) => {
                // It may have ended already, and then how it did tells more.
                tracing::warn!(executor = %self.key, %error, "cannot call the executor");
                return self.end(&mut process, log).await;
            }
        };
        select! {
            biased;
            () = self.parts.left.cancelled() => return Ok(Ended::Left),
            () = self.listen(reader) => {}
            () = self.give_orders(writer, orders) => {}
        }
        self.end(&mut process, log).await
    }

    async fn end(&self, process: &mut Process, log: JoinHandle<()>) -> io::Result<Ended> {
        let why = process.end().await?;
        // Its last words are in the log before anybody is told to look there.
        let _ = timeout(END_MAX, log).await;
        tracing::info!(executor = %self.key, why, "executor ended");
        Ok(Ended::Executor(why))
    }

    async fn tell_end(&self, ended: io::Result<Ended>) {
        let why = match ended {
            Ok(Ended::Left) => return,
            Ok(Ended::Executor(why)) => why,
            Err(error) => error.to_string(),
        };
        self.tell(Input::ExecutorEnded { executor: self.key.clone(), why }).await;
    }

    /// Passes on what the executor says until it says no more.
    async fn listen(&self, reader: OwnedReadHalf) {
        let executor = &self.key;
        let mut frames = FramedRead::new(reader, wire::framing());
        match frames.next().await.map(|frame| frame.map(|frame| Hello::decode(&frame))) {
            Some(Ok(Ok(hello))) => {
                if let Err(error) = Hello::ours().agree(&hello) {
                    return tracing::warn!(%executor, %error, "cannot talk to it: ending it");
                }
            }
            _ => return tracing::warn!(%executor, "the executor does not say hello: ending it"),
        }
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
            if matches!(message, ToAgent::Ready { .. })
                && let Err(error) = self.files.is_ready()
            {
                return tracing::warn!(%executor, %error, "cannot note that it is ready: ending it");
            }
            let executor = executor.clone();
            let input = match message {
                ToAgent::Ready { guests } => Input::ExecutorReady { executor, guests },
                ToAgent::Reports { batch, reports } => Input::Reports { executor, batch, reports },
                ToAgent::Say { key, call } => {
                    let _ = self.parts.inbox.send(Event::Said { executor, key, call }).await;
                    continue;
                }
            };
            self.tell(input).await;
        }
    }

    /// Passes on orders until there are no more, then the order to stop, and gives the executor its
    /// time to end. Should it have hung up, then what it said before is still to be heard: that it
    /// can no longer be written to ends nothing here.
    async fn give_orders(&self, writer: OwnedWriteHalf, orders: Queue) {
        match self.write_orders(wire::Orders::new(writer), orders).await {
            Ok(()) => sleep(END_MAX).await,
            Err(error) => {
                tracing::debug!(%error, "the executor takes no more orders");
                std::future::pending().await
            }
        }
    }

    async fn write_orders(&self, mut executor: wire::Orders, mut orders: Queue) -> io::Result<()> {
        executor.say(&Hello::ours())?;
        executor.flush().await?;
        let mut batch = Vec::new();
        while orders.recv_many(&mut batch, ORDERS_MAX).await > 0 {
            for order in batch.drain(..) {
                match order.open() {
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
        let Parts { launcher, artifacts, feeds, .. } = &*self.parts;
        let attached = files::attach(&launcher.folders, artifacts, feeds, guests).await;
        let Attached { guests, files, failed: reports } = attached;
        if !reports.is_empty() {
            // The core takes it as the executor's word that these guests did not come to run.
            let executor = self.key.clone();
            self.tell(Input::Reports { executor, batch: 0, reports }).await;
        }
        if guests.is_empty() {
            return Ok(());
        }
        executor.feed(&ToExecutor::Start { guests }, files).await
    }

    async fn tell(&self, input: Input) {
        // Without a shell the agent is ending.
        let _ = self.parts.inbox.send(Event::Input(input)).await;
    }

    /// Opens the log file for more, or anew if it is full.
    fn log_file(&self) -> io::Result<std::fs::File> {
        let dir = &self.parts.folder;
        let name = format!("{}.log", self.key.framework);
        let full = dir.metadata(&name).is_ok_and(|file| file.len() >= LOG_BYTES_MAX);
        let mut options = OpenOptions::new();
        options.create(true).write(true).append(!full).truncate(full);
        Ok(dir.open_with(&name, &options)?.into_std())
    }
}

async fn keep_log(stderr: pipe::Receiver, file: std::fs::File) {
    let (mut file, mut kept) = (File::from_std(file), stderr.take(LOG_BYTES_MAX));
    // A full disk must not hold up the executor: what cannot be kept is read all the same.
    let _ = tokio::io::copy(&mut kept, &mut file).await;
    let _ = file.flush().await;
    let _ = tokio::io::copy(&mut kept.into_inner(), &mut tokio::io::sink()).await;
}

#[cfg(test)]
mod tests;
