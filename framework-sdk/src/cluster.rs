//! A framework's connection to its cluster: dialling, blobs, logs, questions, and the loop that
//! runs a [`Driver`] over it.

use crate::identities;
use skep_protocol::{
    AgentId, Attempt, Digest, FrameworkId, TaskId, TaskKey, Time,
    data::{Follow, LogStream, Request, Response},
    framework::{Call, Event, FrameworkInfo},
    operator,
};
use skep_scheduler::{Driver, Ending, Scheduler};
use skep_transport::{
    Address, AddressError, CloseCode, CloseReason, Closed, Connection, ControlError,
    ControlReceiver, ControlSender, DialError, Dialer, FeedError, FileError, Identity, InStream,
    JoinError, JoinToken, RequestError, SetupError, TokenError, blob, feed, join, log,
    outputs::{self, Pieces},
    reconnect,
};
use std::{
    env,
    fs::DirBuilder,
    future::pending,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io,
    ops::ControlFlow,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    io::AsyncRead,
    sync::{Notify, watch},
    time::{sleep, timeout},
};

/// How long a command that is done waits for the master to take note.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a framework that ends waits for the master to confirm that it is torn down, and dials
/// again if need be. A broken connection is noticed meanwhile, and the longest pause between two
/// dials is over.
const TEARDOWN_MAX: Duration = Duration::from_secs(15);

/// How long to wait after a connection broke before dialling again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

/// A cluster that this process is connected to. Cheap to share by reference.
#[derive(Debug)]
pub struct Cluster {
    dialer: Dialer,
    addresses: Vec<Address>,
    /// The newest connection; replaced when it breaks while a driver runs.
    connection: watch::Sender<Connection>,
    wake: Arc<Notify>,
}

/// Wakes a running driver from outside: its scheduler's [`Scheduler::woken`] is called.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Notify>);

impl Waker {
    /// Wakes the driver; several calls before it is awake count once.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// Why there is no connection to a cluster.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No address was given.
    #[error("no master is named: give --master HOST:PORT or set SKEP_MASTER")]
    NoAddress,
    /// An address is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// This user has no identity for the master, and no token to get one with.
    #[error(
        "no identity for {address} in {folder}: \
         join once with a token from `skep token create --role framework` (--join or SKEP_JOIN)"
    )]
    NoIdentity {
        /// The master.
        address: String,
        /// Where an identity would be.
        folder: PathBuf,
    },
    /// Neither is there an identity nor a folder to keep one in.
    #[error("there is no home folder to keep an identity in: set SKEP_CONFIG_DIR")]
    NoFolder,
    /// The token is none.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Joining failed.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The kept identity cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A new identity cannot be kept.
    #[error("{source}; set SKEP_CONFIG_DIR to a folder that you may write")]
    Keep {
        /// Which file or folder, and why.
        source: FileError,
    },
    /// There is no socket to dial from.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// No master answers.
    #[error(transparent)]
    Dial(#[from] DialError),
}

/// Why a blob was not stored, or not fetched.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The file cannot be read.
    #[error("{path} cannot be read")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It did not reach the master.
    #[error(transparent)]
    Blob(#[from] blob::BlobError),
}

/// Why a driver ended that was not told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The master will never take this framework here; dialling again does not help.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The framework has ended, and no master has confirmed it in time.
    #[error(
        "no master has confirmed for {} s that the framework ends: it ends with all its tasks \
         when the master has not heard of it for {} s",
        TEARDOWN_MAX.as_secs(),
        failover.as_secs()
    )]
    Unheard {
        /// The framework's failover time-out.
        failover: Duration,
    },
}

/// The control stream of one connection.
struct Line {
    connection: Connection,
    /// While it is open the master does not hang up by itself.
    sender: ControlSender<Call>,
    receiver: ControlReceiver<Event>,
}

/// Makes the folder of an identity, for its owner alone.
fn make_private(folder: &Path) -> Result<(), ConnectError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| {
        let path = folder.to_owned();
        ConnectError::Keep { source: FileError::Write { path, source } }
    })
}

impl Cluster {
    /// Connects as `identity` to the first of `addresses` that answers.
    ///
    /// # Errors
    /// [`ConnectError`] if none does.
    pub async fn connect(
        addresses: Vec<Address>,
        identity: &Identity,
    ) -> Result<Self, ConnectError> {
        let dialer = Dialer::new(identity)?;
        let connection = dialer.dial(&addresses).await?;
        let connection = watch::Sender::new(connection);
        Ok(Self { dialer, addresses, connection, wake: Arc::default() })
    }

    /// Connects to the master named in `SKEP_MASTER`, with the identity in `SKEP_IDENTITY` or the
    /// one kept for that master, or a new one by the join token in `SKEP_JOIN`.
    ///
    /// # Errors
    /// [`ConnectError`], which says what to set.
    pub async fn connect_from_env() -> Result<Self, ConnectError> {
        let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let masters: Vec<_> =
            set("SKEP_MASTER").iter().flat_map(|all| all.split(',')).map(str::to_owned).collect();
        let folder = set("SKEP_IDENTITY").map(PathBuf::from);
        Self::connect_with(&masters, folder.as_deref(), set("SKEP_JOIN").as_deref()).await
    }

    /// Connects to one of `masters` with the identity in `folder`, or the one kept for the first
    /// of them; joins with `token` and keeps the identity if there is none yet.
    ///
    /// # Errors
    /// [`ConnectError`], which says what is missing.
    pub async fn connect_with(
        masters: &[String],
        folder: Option<&Path>,
        token: Option<&str>,
    ) -> Result<Self, ConnectError> {
        let first = masters.first().ok_or(ConnectError::NoAddress)?;
        let addresses: Vec<Address> =
            masters.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        let kept = || identities::dir_for(&addresses[0].to_string());
        let folder = folder.map(Path::to_owned).or_else(kept).ok_or(ConnectError::NoFolder)?;
        let identity = match (Identity::is_saved(&folder), token) {
            (true, _) => Identity::load(&folder)?,
            (false, Some(token)) => {
                let token: JoinToken = token.parse()?;
                // Before the token is used up.
                make_private(&folder)?;
                let name = env::var("USER").unwrap_or_else(|_| "user".into());
                let identity = join(&addresses, &token, &name).await?;
                identity.save(&folder).map_err(|source| ConnectError::Keep { source })?;
                identity
            }
            (false, None) => {
                return Err(ConnectError::NoIdentity { address: first.clone(), folder });
            }
        };
        Self::connect(addresses, &identity).await
    }

    /// The connection as it is now.
    pub fn connection(&self) -> Connection {
        self.connection.borrow().clone()
    }

    /// Connects anew: the master hangs up on a framework that was ended.
    ///
    /// # Errors
    /// [`ConnectError`] if no master answers.
    pub async fn dial_again(&self) -> Result<(), ConnectError> {
        let connection = self.dialer.dial(&self.addresses).await?;
        self.connection.send_replace(connection);
        Ok(())
    }

    /// Stores a file at the master, unless it has it, and names it.
    ///
    /// # Errors
    /// [`PushError`] if the file cannot be read or the master does not take it.
    pub async fn push_file(&self, path: &Path) -> Result<Digest, PushError> {
        let bytes = tokio::fs::read(path).await;
        let bytes = bytes.map_err(|source| PushError::File { path: path.into(), source })?;
        self.push(&bytes).await
    }

    /// Stores bytes at the master, unless it has them, and names them.
    ///
    /// # Errors
    /// [`PushError`] if the master does not take them.
    pub async fn push(&self, bytes: &[u8]) -> Result<Digest, PushError> {
        let digest = Digest::of(bytes);
        blob::put(&self.connection(), digest, bytes.len() as u64, bytes).await?;
        Ok(digest)
    }

    /// Fetches a blob that the master holds.
    ///
    /// # Errors
    /// [`PushError`] if it does not have it, or it does not arrive whole.
    pub async fn fetch(&self, digest: Digest) -> Result<Vec<u8>, PushError> {
        let mut bytes = Vec::new();
        blob::fetch(&self.connection(), digest, &mut bytes).await?;
        Ok(bytes)
    }

    /// Asks the master for a view, or gives it an order.
    ///
    /// # Errors
    /// [`RequestError`]; a refusal is one.
    pub async fn ask(
        &self,
        request: operator::Request,
    ) -> Result<operator::Response, RequestError> {
        match self.connection().request(&Request::Operator(request)).await? {
            Response::Operator(response) => Ok(response),
            _ => Err(RequestError::Unfitting),
        }
    }

    /// Reads what a task wrote, from byte `offset` on.
    ///
    /// # Errors
    /// [`RequestError`]; a refusal is one.
    pub async fn read_log(
        &self,
        key: TaskKey,
        stream: LogStream,
        offset: u64,
        follow: Follow,
    ) -> Result<InStream, RequestError> {
        log::read(&self.connection(), key, stream, offset, follow).await
    }

    /// Feeds a task of this framework that runs and is granted its standard input as a stream: all
    /// that `source` gives, as fast as the task reads it. Ends with the source, or when the task
    /// reads no more.
    ///
    /// # Errors
    /// [`FeedError`]; the task then reads an error, not an end.
    pub async fn feed(
        &self,
        key: TaskKey,
        source: impl AsyncRead + Unpin,
    ) -> Result<(), FeedError> {
        feed::begin(&self.connection(), key).await?.pass_on(source).await
    }

    /// Reads what many tasks of a framework wrote on one agent, at most 1,000 at a time: a request
    /// for each costs more than a small task.
    ///
    /// # Errors
    /// [`RequestError`]; a refusal is one.
    pub async fn read_outputs(
        &self,
        agent: AgentId,
        framework: FrameworkId,
        tasks: Vec<(TaskId, Attempt)>,
    ) -> Result<Pieces, RequestError> {
        let stream = outputs::read(&self.connection(), agent, framework, tasks).await?;
        Ok(Pieces::of(stream))
    }

    /// Reads a backup of all that the master must not lose, its authority's private key included;
    /// operators alone may.
    ///
    /// # Errors
    /// [`RequestError`]; a refusal is one.
    pub async fn read_backup(&self, blobs: bool) -> Result<InStream, RequestError> {
        log::read_backup(&self.connection(), blobs).await
    }

    /// A way to wake the driver that runs on this cluster.
    pub fn waker(&self) -> Waker {
        Waker(self.wake.clone())
    }

    /// Runs a framework until its scheduler stops it or the master will not have it.
    ///
    /// Reconnects by itself, for as long as it takes. One framework at a time runs on a
    /// [`Cluster`]. One that its scheduler has stopped has ended at the master, too, when this
    /// gives [`Ending::Done`].
    ///
    /// # Errors
    /// [`RunError`] if the master's refusal is for good, or its word that the framework has ended
    /// does not come.
    pub async fn run(
        &self,
        info: FrameworkInfo,
        scheduler: &mut impl Scheduler,
    ) -> Result<Ending, RunError> {
        self.run_until(info, scheduler, pending()).await
    }

    /// Runs a framework in the same way until `told` is over at the latest: then it is stopped, as
    /// [`Driver::stop`] does, whatever its scheduler is at.
    ///
    /// # Errors
    /// [`RunError`] if the master's refusal is for good, or its word that the framework has ended
    /// does not come.
    pub async fn run_until(
        &self,
        info: FrameworkInfo,
        scheduler: &mut impl Scheduler,
        told: impl Future<Output = ()>,
    ) -> Result<Ending, RunError> {
        let failover = info.failover_timeout;
        self.drive(Driver::new(info, None), failover, scheduler, told).await
    }

    /// Runs a framework that ran before, in this process or another, on this machine or another:
    /// by the id that [`Scheduler::registered`] told, which the framework keeps, and with the
    /// attempts that it launched and has not heard the end of. Of two instances the newest counts;
    /// the older one is told to stop.
    ///
    /// # Errors
    /// [`RunError`] if the master's refusal is for good, or its word that the framework has ended
    /// does not come.
    pub async fn resume(
        &self,
        framework: FrameworkId,
        live: impl IntoIterator<Item = (TaskId, Attempt)>,
        info: FrameworkInfo,
        scheduler: &mut impl Scheduler,
    ) -> Result<Ending, RunError> {
        let failover = info.failover_timeout;
        let driver = Driver::new(info, Some(framework)).with_live(live);
        self.drive(driver, failover, scheduler, pending()).await
    }

    async fn drive(
        &self,
        driver: Driver,
        failover: Duration,
        scheduler: &mut impl Scheduler,
        told: impl Future<Output = ()>,
    ) -> Result<Ending, RunError> {
        let mut driver = driver.with_run(random());
        let (tell, is_told) = watch::channel(false);
        let conversation = async {
            let line = self.talk(&mut driver, scheduler, is_told).await?;
            let ending = driver.ending().cloned().unwrap_or(Ending::Done);
            match (&ending, line) {
                (Ending::Done, line) => {
                    let confirmed = timeout(TEARDOWN_MAX, self.tear_down(&mut driver, line)).await;
                    confirmed.map_err(|_| RunError::Unheard { failover })??;
                }
                (Ending::Paused | Ending::Refused(_), Some(line)) => {
                    let _ = timeout(FAREWELL_TIMEOUT, line.finish()).await;
                }
                (Ending::Paused | Ending::Refused(_), None) => {}
            }
            Ok(ending)
        };
        let overdue = async {
            told.await;
            tell.send_replace(true);
            sleep(TEARDOWN_MAX).await;
        };
        tokio::select! {
            biased;
            ended = conversation => ended,
            // Even the word that it is to end may not come through.
            () = overdue => Err(RunError::Unheard { failover }),
        }
    }

    /// Talks until the driver has ended, over as many connections as that takes, and gives the line
    /// that is open then, if there is one.
    async fn talk(
        &self,
        driver: &mut Driver,
        scheduler: &mut impl Scheduler,
        mut is_told: watch::Receiver<bool>,
    ) -> Result<Option<Line>, RunError> {
        loop {
            match self.converse(self.connection(), driver, scheduler, &mut is_told).await {
                Ok(line) => return Ok(Some(line)),
                Err(why) => tracing::info!(why, "the connection to the master broke"),
            }
            driver.disconnected(now(), scheduler);
            // Outside of the loop: a scheduler that is woken often must not begin it anew.
            let mut reconnection = pin!(self.reconnect());
            loop {
                if driver.ending().is_some() {
                    return Ok(None);
                }
                tokio::select! {
                    connection = &mut reconnection => {
                        self.connection.send_replace(connection?);
                        break;
                    }
                    () = self.wake.notified() => driver.woken(now(), scheduler),
                    () = until(driver.deadline()) => driver.woken(now(), scheduler),
                    _ = is_told.wait_for(|told| *told) => driver.stop(),
                }
            }
        }
    }

    async fn reconnect(&self) -> Result<Connection, DialError> {
        // A master that takes a connection and hangs up at once must not be dialled in a circle.
        sleep(RECONNECT_PAUSE).await;
        reconnect(&self.dialer, &self.addresses, |error| {
            tracing::info!(%error, "the master cannot be reached");
            if error.is_lasting() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .await
    }

    /// One connection's worth of conversation: gives the line when the driver has ended and all
    /// its calls are sent, and the reason when the connection broke.
    async fn converse(
        &self,
        connection: Connection,
        driver: &mut Driver,
        scheduler: &mut impl Scheduler,
        is_told: &mut watch::Receiver<bool>,
    ) -> Result<Line, String> {
        let mut line = Line::open(connection).ok_or("its control stream is taken")?;
        let words = |error: ControlError| error.to_string();
        line.sender.send(&driver.connected()).await.map_err(words)?;
        loop {
            tokio::select! {
                event = line.receiver.recv() => match event.map_err(words)? {
                    Some(event) => driver.handle(now(), event, scheduler),
                    None => return Err("the master hung up".into()),
                },
                () = self.wake.notified() => driver.woken(now(), scheduler),
                () = until(driver.deadline()) => driver.woken(now(), scheduler),
                _ = is_told.wait_for(|told| *told) => driver.stop(),
            }
            for call in driver.take_calls() {
                line.sender.feed(&call).await.map_err(words)?;
            }
            line.sender.flush().await.map_err(words)?;
            if driver.ending().is_some() {
                return Ok(line);
            }
        }
    }

    /// Waits until the master has confirmed that the framework is no more. A master that could not
    /// be told is told again, as soon as it can be.
    async fn tear_down(&self, driver: &mut Driver, line: Option<Line>) -> Result<(), RunError> {
        let mut line = line;
        loop {
            if let Some(mut line) = line.take()
                && line.is_hung_up_on().await
            {
                return Ok(());
            }
            let connection = self.reconnect().await?;
            self.connection.send_replace(connection.clone());
            let Some(mut next) = Line::open(connection) else { continue };
            if next.sender.feed(&driver.connected()).await.is_ok()
                && next.sender.send(&Call::Teardown).await.is_ok()
            {
                line = Some(next);
            }
        }
    }

    /// Says no more, and waits until the master has hung up, but not for long: one that does not
    /// answer finds out by itself.
    pub async fn close(self) {
        let connection = self.connection();
        let farewell = async {
            if let Some((sender, _)) = connection.control::<Call, Event>() {
                sender.finish().await?;
            }
            connection.closed().await;
            Ok::<_, ControlError>(())
        };
        let _ = timeout(FAREWELL_TIMEOUT, farewell).await;
        connection.close(&CloseReason::new(CloseCode::Done, "done"));
    }
}

impl Line {
    fn open(connection: Connection) -> Option<Self> {
        let (sender, receiver) = connection.control::<Call, Event>()?;
        Some(Self { connection, sender, receiver })
    }

    /// Whether the master hangs up, and not the connection breaks: it does so when it has dealt
    /// with a teardown for good, or does not know the framework.
    async fn is_hung_up_on(&mut self) -> bool {
        loop {
            match self.receiver.recv().await {
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(_) => {
                    let closed = self.connection.closed().await;
                    return matches!(closed, Closed::ByPeer(why) if why.code == CloseCode::Done);
                }
            }
        }
    }

    /// Says no more, and waits until the master has heard all and hung up.
    async fn finish(mut self) {
        if self.sender.finish().await.is_ok() {
            while let Ok(Some(_)) = self.receiver.recv().await {}
        }
    }
}

fn now() -> Time {
    SystemTime::now().into()
}

/// Waits for a time of day, or for ever.
async fn until(time: Option<Time>) {
    match time {
        Some(time) => sleep(time.since(now())).await,
        None => pending().await,
    }
}

/// A number that no other process is likely to have drawn: the standard library's hash maps are
/// seeded by the system.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
