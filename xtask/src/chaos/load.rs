//! The framework behind the load, a process of its own: keeps tasks outstanding, starts again what
//! was lost, and writes down what it does and is told.
//!
//! Always holds: a launch is on the disk before it is sent, and an end before it is acknowledged,
//! so another instance that reads the file knows every task that may be out.

use super::{
    ledger::{Ledger, Patience},
    notes::{Book, End, What, now},
    work::{self, Modules, Work},
};
use crate::repo;
use anyhow::{Context, Result, bail};
use clap::Args;
use skep_framework::{Cluster, Waker, prelude::*};
use skep_protocol::framework::Event;
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, time::sleep};

/// New tasks a second, on the average.
const TASKS_PER_SECOND: u64 = 20;
/// Tasks that have not ended, at most; retries come on top.
const OUTSTANDING_MAX: usize = 60;
/// How often the framework looks at the clock and for the order to end.
const TICK: Duration = Duration::from_millis(100);
/// For how long an offer that is not needed is declined: short, so that a gap without offers is the
/// cluster's.
const REFUSE: Duration = Duration::from_millis(200);
/// How long to wait before a connection or an upload is tried again.
const PAUSE: Duration = Duration::from_millis(300);
/// The least time between two notes that there were offers, in milliseconds.
const OFFERED_NOTE_MS: u64 = 100;

/// How the framework is started.
#[derive(Args)]
pub(crate) struct Order {
    /// Its name
    #[arg(long)]
    name: String,
    /// Its folder: notes and identity
    #[arg(long)]
    folder: PathBuf,
    /// Masters, with commas
    #[arg(long)]
    masters: String,
    /// Join token, for the first start
    #[arg(long)]
    join: Option<String>,
    /// Whether a task out of reach is waited for or started again at once
    #[arg(long, value_enum)]
    patience: Patience,
    /// The load ends when this file is there
    #[arg(long)]
    end: PathBuf,
}

/// Runs until the load is over and all tasks have ended.
pub(crate) fn run(order: Order) -> Result<()> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build()?.block_on(serve(order))
}

async fn serve(order: Order) -> Result<()> {
    let (mut book, notes) = Book::open(&order.folder.join("notes"))?;
    let ledger = Ledger::remember(&notes, order.patience);
    book.write(What::Began)?;
    let cluster = Arc::new(connect(&order).await);
    let modules = loop {
        let folder = repo::root().join("guests/modules");
        match Modules::push(&cluster, &folder).await {
            Ok(modules) => break modules,
            Err(error) => say(&order.name, &error),
        }
        sleep(PAUSE).await;
    };
    let (wanted, wishes) = mpsc::unbounded_channel();
    let (stored, inputs) = mpsc::unbounded_channel();
    tokio::spawn(store(order.name.clone(), cluster.clone(), wishes, stored));
    tokio::spawn(tick(cluster.waker()));
    let info = FrameworkInfo {
        failover_timeout: Duration::from_secs(3_600),
        ..framework_info(order.name.clone())
    };
    let known = ledger.framework.clone();
    let live = ledger.live()?;
    let mut load = Load {
        order,
        book,
        ledger,
        modules,
        wanted,
        inputs,
        paced: Instant::now(),
        offered_at: 0,
        failure: None,
    };
    let ending = match known {
        Some(id) => cluster.resume(FrameworkId::new(id)?, live, info, &mut load).await?,
        None => cluster.run(info, &mut load).await?,
    };
    match (ending, load.failure) {
        (_, Some(failure)) => Err(failure),
        (Ending::Paused, None) => Ok(()),
        (ending, None) => bail!("the master ended the framework: {ending:?}"),
    }
}

async fn connect(order: &Order) -> Cluster {
    let masters: Vec<String> = order.masters.split(',').map(str::to_owned).collect();
    let folder = order.folder.join("identity");
    loop {
        match Cluster::connect_with(&masters, Some(&folder), order.join.as_deref()).await {
            Ok(cluster) => return cluster,
            Err(error) => say(&order.name, &error.into()),
        }
        sleep(PAUSE).await;
    }
}

/// Stores the inputs of copying tasks, each until it is stored.
async fn store(
    name: String,
    cluster: Arc<Cluster>,
    mut wishes: mpsc::UnboundedReceiver<u64>,
    stored: mpsc::UnboundedSender<u64>,
) {
    while let Some(number) = wishes.recv().await {
        let input = work::input(&name, number);
        while let Err(error) = cluster.push(input.as_bytes()).await {
            say(&name, &error.into());
            sleep(PAUSE).await;
        }
        let _ = stored.send(number);
        cluster.waker().wake();
    }
}

async fn tick(waker: Waker) {
    loop {
        sleep(TICK).await;
        waker.wake();
    }
}

fn say(name: &str, error: &anyhow::Error) {
    println!("{} {name}: {error:#}", now());
}

struct Load {
    order: Order,
    book: Book,
    ledger: Ledger,
    modules: Modules,
    /// Inputs that are to be stored, and those that are, by their task's number.
    wanted: mpsc::UnboundedSender<u64>,
    inputs: mpsc::UnboundedReceiver<u64>,
    /// When the last new task was due.
    paced: Instant,
    offered_at: u64,
    failure: Option<anyhow::Error>,
}

impl Load {
    /// Stops at the first note that cannot be written: who forgets may lose a task.
    fn or_stop(&mut self, driver: &mut Driver, result: Result<()>) {
        if let Err(failure) = result {
            self.failure.get_or_insert(failure);
            driver.pause();
        }
    }

    /// Makes the tasks that are due, if the load is not over.
    fn make_tasks(&mut self) {
        let step = Duration::from_secs(1) / u32::try_from(TASKS_PER_SECOND).unwrap_or(1);
        while self.paced.elapsed() >= step {
            self.paced += step;
            if self.ledger.open() < OUTSTANDING_MAX && !self.order.end.exists() {
                let number = self.ledger.add();
                if Work::of(number) == Work::Copy {
                    let _ = self.wanted.send(number);
                }
            }
        }
    }

    fn use_offer(&mut self, driver: &mut Driver, offer: &Offer) -> Result<()> {
        let mut specs = Vec::new();
        let mut room = offer.resources.clone();
        while let Some(number) = self.ledger.next_waiting() {
            // The first that does not fit is queued at the agent, so that queues are there too.
            let each = Work::of(number).resources();
            if !offer.resources.contains(&each) {
                break;
            }
            let (attempt, agent) = (self.ledger.launch(number), offer.agent.to_string());
            self.book.write(What::Launched { task: work::name(number), attempt, agent })?;
            specs.push(self.modules.spec(&self.order.name, number, attempt)?);
            if !room.contains(&each) {
                break;
            }
            room.subtract(&each);
        }
        if specs.is_empty() {
            driver.decline(offer.id, Some(REFUSE));
            return Ok(());
        }
        self.book.sync()?;
        driver.launch(offer, specs);
        Ok(())
    }

    fn note_offers(&mut self) -> Result<()> {
        if now() < self.offered_at + OFFERED_NOTE_MS {
            return Ok(());
        }
        self.offered_at = now();
        self.book.write(What::Offered)
    }

    fn note_heard(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::TasksAccepted { agent, tasks } => {
                for (task, attempt) in tasks {
                    let (task, attempt) = (task.to_string(), attempt.0);
                    let agent = agent.to_string();
                    self.book.write(What::Accepted { task, attempt, agent })?;
                }
            }
            Event::StatusUpdates { updates } => {
                for update in updates.iter().filter(|update| update.state.is_terminal()) {
                    self.book.write(What::Sent(work::word(update)))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn note_update(&mut self, update: &StatusUpdate) -> Result<()> {
        self.book.write(What::Told(work::word(update)))?;
        if update.state.is_terminal() { self.book.sync() } else { Ok(()) }
    }

    fn end_if_done(&mut self, driver: &mut Driver) -> Result<()> {
        if self.ledger.open() == 0 && self.order.end.exists() {
            self.book.write(What::Done)?;
            self.book.sync()?;
            // Paused, not torn down: what agents keep of its tasks is looked at afterwards.
            driver.pause();
        }
        Ok(())
    }
}

impl Scheduler for Load {
    fn heard(&mut self, event: &Event) {
        if let Err(failure) = self.note_heard(event).context("a note cannot be written") {
            self.failure.get_or_insert(failure);
        }
    }

    fn registered(&mut self, driver: &mut Driver, framework: &FrameworkId) {
        self.ledger.framework = Some(framework.to_string());
        let noted = self.book.write(What::Registered { framework: framework.to_string() });
        let synced = noted.and_then(|()| self.book.sync());
        self.or_stop(driver, synced);
    }

    fn disconnected(&mut self, driver: &mut Driver) {
        let noted = self.book.write(What::Disconnected);
        self.or_stop(driver, noted);
    }

    fn resource_offers(&mut self, driver: &mut Driver, offers: Vec<Offer>) {
        let noted = self.note_offers();
        self.or_stop(driver, noted);
        for offer in &offers {
            let used = self.use_offer(driver, offer);
            self.or_stop(driver, used);
        }
    }

    fn status_update(&mut self, driver: &mut Driver, update: &StatusUpdate) {
        let noted = self.note_update(update);
        self.or_stop(driver, noted);
        let word = work::word(update);
        let is_duplicate = matches!(
            &update.state,
            TaskState::Ended(Outcome::Refused { rejection: Rejection::DuplicateTask { .. } })
        );
        if is_duplicate {
            driver.kill(update.key.task.clone());
        }
        self.ledger.take(&word);
        if word.end == Some(End::Badly) {
            println!("{} {}: {} ended badly: {}", now(), self.order.name, update.key, word.state);
        }
    }

    fn woken(&mut self, driver: &mut Driver) {
        while let Ok(number) = self.inputs.try_recv() {
            self.ledger.input_is_stored(number);
        }
        self.make_tasks();
        let ended = self.end_if_done(driver);
        self.or_stop(driver, ended);
        if self.failure.is_some() {
            driver.pause();
        }
    }

    fn error(&mut self, _: &mut Driver, rejection: &Rejection) {
        println!("{} {}: refused: {rejection}", now(), self.order.name);
    }
}
