//! What becomes visible of a job while it runs: output, progress, and in the end the summary.
//!
//! ```text
//! Told --> what each task came to --> fetch --> in the order of the job --> stdout, stderr
//!                                       |            (spool)
//!                                       +--> records of the JSON document (spool)
//! ```
//! One task's output is the command's own and is shown as it is written. The output of many is
//! collected as they end and shown task by task, in the order of the job, so that it reads the same
//! at every run. An end is acknowledged when what the task left is collected: until then its agent
//! keeps it. Of a task that was started again the output of the last attempt counts.
//!
//! Always holds: the command ends well only if all that the tasks wrote has been written here.

use super::{
    fetch::{Fetched, Fetcher, Got, Wanted},
    files::Destinations,
    is_watched,
    lacking::Lacking,
    missing::{Lack, Missing},
    plan::{Job, Shape},
    scheduler::{Order, Told},
    show::{Direct, Flow, Out},
    spool::{Extent, Spool},
    summary::{Summary, Sums, TAIL, Written, record},
};
use crate::{
    args::{self, Format},
    client::copy_core,
    failure::Result,
    local,
    stdout::say,
    watched::Link,
};
use indicatif::{ProgressBar, ProgressStyle};
use skep_framework::{Cluster, Waker};
use skep_frameworks::batch::Group;
use skep_protocol::{Outcome, Source, StatusUpdate, TaskKey, TaskState, data::Follow};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Bytes of each stream of a task that stand in the JSON summary: they are held in memory at once.
const JSON_OUTPUT_BYTES_MAX: u64 = 64 << 20;
/// Bytes of a task's output that is collected before its turn. A larger one stays with its agent
/// until then.
const SMALL_BYTES_MAX: u64 = 256 << 10;
/// Bytes on this machine's disk that wait for their turn. What is more stays with its agent.
const SPOOL_BYTES_MAX: u64 = 1 << 30;
/// How often progress is drawn without a change, so that the clock on it goes on.
const DRAW_INTERVAL: Duration = Duration::from_millis(100);

/// What is left when a job is done.
pub(super) struct Collected {
    /// The document to print, if one is wanted.
    pub(super) document: Option<Document>,
    /// What the command exits with.
    pub(super) code: u8,
}

/// The JSON summary: its head, and the tasks on this machine's disk.
pub(super) struct Document {
    summary: Summary,
    records: BTreeMap<usize, Extent>,
    spool: Spool,
}

/// Where a task's output is that has ended, until its turn to be shown.
#[derive(Debug)]
enum Ready {
    /// It wrote nothing, or all is missing.
    Nothing,
    /// Here, so many bytes of stdout, then stderr.
    Here(Extent, u32),
    /// With its agent.
    There(Box<Wanted>),
}

/// See the module.
pub(super) struct Collector<'a> {
    cluster: &'a Cluster,
    shape: Shape,
    format: Format,
    /// Where core dumps go.
    core: Option<PathBuf>,
    /// Where outputs go.
    destinations: Destinations,
    /// Its tasks: what `{}` stands for in each.
    group: Group,
    /// The outputs that are missing here.
    lacking: Lacking,
    told: mpsc::UnboundedReceiver<Told>,
    orders: mpsc::UnboundedSender<Order>,
    waker: Waker,
    bar: ProgressBar,
    fetcher: Fetcher,
    spool: Spool,
    /// How much may wait here; less when the disk is full.
    spool_bytes_max: u64,
    ready: BTreeMap<usize, Ready>,
    /// The first task whose output is not shown yet.
    next: usize,
    direct: Option<Direct>,
    /// The place of the task whose output flows, once it has ended.
    direct_place: Option<usize>,
    records: BTreeMap<usize, Extent>,
    out: Out,
    /// What is to be acknowledged.
    collected: Vec<TaskKey>,
    sums: Sums,
    missing: Missing,
    all_done: bool,
    restarted: u64,
    since: Instant,
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        cluster: &'a Cluster,
        job: &Job,
        args: &args::Run,
        told: mpsc::UnboundedReceiver<Told>,
        orders: mpsc::UnboundedSender<Order>,
    ) -> Self {
        let bar = match job.shape {
            Shape::Many if is_watched() => progress_bar(job.group.count),
            _ => ProgressBar::hidden(),
        };
        let format = args.client.output;
        let stream_bytes_max = match format {
            Format::Json => JSON_OUTPUT_BYTES_MAX,
            Format::Table => SMALL_BYTES_MAX,
        };
        Self {
            cluster,
            shape: job.shape,
            format,
            core: args.coredump.clone(),
            destinations: Destinations::of(&args.files),
            group: job.group.clone(),
            lacking: Lacking::default(),
            told,
            orders,
            waker: cluster.waker(),
            bar,
            fetcher: Fetcher::new(stream_bytes_max),
            spool: Spool::default(),
            spool_bytes_max: SPOOL_BYTES_MAX,
            ready: BTreeMap::new(),
            next: 0,
            direct: None,
            direct_place: None,
            records: BTreeMap::new(),
            out: Out::default(),
            collected: Vec::new(),
            sums: Sums::new(&job.id, job.shape),
            missing: Missing::default(),
            all_done: false,
            restarted: 0,
            since: Instant::now(),
        }
    }

    /// Collects until all tasks are done and all output is shown.
    ///
    /// # Errors
    /// If the output cannot be written: the disk is full, the reader is gone.
    pub(super) async fn run(mut self) -> Result<Collected> {
        while !self.is_done() {
            tokio::select! {
                biased;
                flow = flow(&mut self.direct, self.cluster) => self.flowed(flow?).await?,
                fetched = self.fetcher.next(self.cluster) => {
                    for fetched in fetched {
                        self.fetched(fetched).await?;
                    }
                }
                told = self.told.recv() => match told {
                    Some(told) => self.hear(told).await?,
                    // The master has refused the framework, which its driver says.
                    None => break,
                },
            }
            self.out.flush().await?;
            self.acknowledge();
        }
        self.bar.finish_and_clear();
        let Self { sums, missing, lacking, restarted, since, .. } = self;
        if let Some(words) = lacking.rest() {
            say(&words);
        }
        let summary = sums.end(missing, lacking.is_any(), restarted, since.elapsed());
        let code = summary.exit_code;
        if self.format == Format::Json {
            let document = Document { summary, records: self.records, spool: self.spool };
            return Ok(Collected { document: Some(document), code });
        }
        say(&summary.words);
        Ok(Collected { document: None, code })
    }

    fn is_done(&self) -> bool {
        self.all_done && self.fetcher.is_idle() && self.ready.is_empty() && self.direct.is_none()
    }

    async fn hear(&mut self, told: Told) -> Result {
        match told {
            Told::Started { update } => self.started(&update),
            Told::Ended { place, update } => self.ended(place, update).await?,
            Told::Again { update } => self.again(&update),
            Told::Connection(link) => self.connection(link),
            Told::AllDone => self.all_done = true,
        }
        Ok(())
    }

    fn started(&mut self, update: &StatusUpdate) {
        // A driver that reconnects hears the latest state again.
        let is_followed = self.direct.as_ref().is_some_and(|direct| direct.key == update.key);
        if self.shape == Shape::One && self.format == Format::Table && !is_followed {
            self.direct = Some(Direct::new(update.key.clone()));
        }
    }

    async fn ended(&mut self, place: usize, mut update: StatusUpdate) -> Result {
        self.bar.inc(1);
        self.sums.add(place, &update);
        self.fetch_outputs(place, &mut update).await;
        self.keep_core(place, &update.key).await;
        let wanted = match wanted(place, update) {
            Ok(wanted) => wanted,
            Err((update, lack)) => return self.unfetched(place, *update, lack).await,
        };
        if let Some(direct) = self.direct.as_mut().filter(|direct| direct.key == *wanted.key()) {
            direct.ended(wanted.wrote());
            self.direct_place = Some(place);
            return Ok(());
        }
        let is_small = wanted.wrote().is_some() && wanted.bytes() <= SMALL_BYTES_MAX;
        let waits = self.spool.bytes() + self.fetcher.pending_bytes() + wanted.bytes();
        let has_room = place == self.next || waits <= self.spool_bytes_max;
        if self.format == Format::Json || (is_small && has_room) {
            self.fetcher.push(wanted);
            return Ok(());
        }
        self.ready.insert(place, Ready::There(Box::new(wanted)));
        self.show_in_order().await
    }

    /// There is nothing to be fetched of a task: it wrote nothing, or it is lost.
    async fn unfetched(
        &mut self,
        place: usize,
        update: StatusUpdate,
        lack: Option<Lack>,
    ) -> Result {
        let is_followed = self.direct.as_ref().is_some_and(|direct| direct.key == update.key);
        if is_followed {
            self.direct = None;
        }
        self.collected.push(update.key.clone());
        if let Some(lack) = &lack {
            self.missing.add(&update.key.task, lack);
        }
        match self.format {
            Format::Json => self.note(place, update, Written { lack, ..Written::default() }),
            Format::Table => {
                self.ready.insert(place, Ready::Nothing);
                self.show_in_order().await
            }
        }
    }

    async fn fetched(&mut self, fetched: Fetched) -> Result {
        let Fetched { wanted, got } = fetched;
        let (place, wrote) = (wanted.place, wanted.wrote());
        let (streams, lack) = match got {
            Got::Some([stdout, stderr]) => {
                let got = [stdout.bytes.len() as u64, stderr.bytes.len() as u64];
                let beyond = stdout.beyond + stderr.beyond;
                if beyond > 0 && self.format == Format::Table {
                    // More than it said: it is shown as a large one.
                    self.ready.insert(place, Ready::There(Box::new(wanted)));
                    return self.show_in_order().await;
                }
                let came = [got[0] + stdout.beyond, got[1] + stderr.beyond];
                let wrote = wrote.map_or(came, |wrote| [0, 1].map(|n| came[n].max(wrote[n])));
                let why = match beyond {
                    0 => "the rest is not with its agent any more".into(),
                    _ => format!("{JSON_OUTPUT_BYTES_MAX} bytes of each stream stand here at most"),
                };
                let lack = Lack::of(Some(wrote), got, why);
                let lack = lack.bytes().is_some_and(|bytes| bytes > 0).then_some(lack);
                ([stdout.bytes, stderr.bytes], lack)
            }
            Got::Nothing(why) => (Default::default(), Some(Lack::of(wrote, [0, 0], why))),
        };
        if let Some(lack) = &lack {
            self.missing.add(&wanted.key().task, lack);
        }
        let [stdout, stderr] = streams;
        if self.format == Format::Json {
            self.collected.push(wanted.key().clone());
            return self.note(place, *wanted.update, Written { stdout, stderr, lack });
        }
        if place == self.next && self.direct.is_none() {
            self.bar.suspend(|| ());
            self.out.write(&stdout, &stderr).await?;
            self.collected.push(wanted.key().clone());
            self.next += 1;
            return self.show_in_order().await;
        }
        let length = u32::try_from(stdout.len()).unwrap_or(u32::MAX);
        let both = [stdout, stderr].concat();
        let ready = if both.is_empty() {
            self.collected.push(wanted.key().clone());
            Ready::Nothing
        } else {
            match self.spool.add(&both) {
                Ok(extent) => {
                    self.collected.push(wanted.key().clone());
                    Ready::Here(extent, length)
                }
                Err(error) => {
                    tracing::warn!(%error, "outputs stay with their agents until their turn");
                    // It is not acknowledged, and so it is still with its agent.
                    self.spool_bytes_max = self.spool.bytes();
                    Ready::There(Box::new(wanted))
                }
            }
        };
        self.ready.insert(place, ready);
        Ok(())
    }

    /// Shows the output of those tasks that have ended, up to the first that has not.
    async fn show_in_order(&mut self) -> Result {
        while self.direct.is_none()
            && let Some(ready) = self.ready.remove(&self.next)
        {
            match ready {
                Ready::Nothing => self.next += 1,
                Ready::Here(extent, stdout) => {
                    let both = self.spool.take(extent)?;
                    let (stdout, stderr) = both.split_at(stdout as usize);
                    self.bar.suspend(|| ());
                    self.out.write(stdout, stderr).await?;
                    self.next += 1;
                }
                Ready::There(wanted) => {
                    self.out.flush().await?;
                    let mut direct = Direct::new(wanted.key().clone());
                    direct.ended(wanted.wrote());
                    self.direct = Some(direct);
                    self.direct_place = Some(self.next);
                }
            }
        }
        Ok(())
    }

    /// One task's output has come to its end, or to where it cannot go on.
    async fn flowed(&mut self, flow: (Flow, Option<[u64; 2]>)) -> Result {
        let Some(direct) = self.direct.take() else { return Ok(()) };
        let (flow, wrote) = flow;
        if let Flow::Broken(why) = flow {
            self.missing.add(&direct.key.task, &Lack::of(wrote, direct.shown(), why));
        }
        self.collected.push(direct.key);
        if let Some(place) = self.direct_place.take() {
            self.next = place + 1;
        }
        self.show_in_order().await
    }

    /// Keeps a task's place in the JSON document.
    fn note(&mut self, place: usize, update: StatusUpdate, wrote: Written) -> Result {
        let extent = self.spool.add(record(update, wrote)?.as_bytes())?;
        self.records.insert(place, extent);
        Ok(())
    }

    /// Lets go of what is collected.
    fn acknowledge(&mut self) {
        if !self.collected.is_empty() {
            let keys = std::mem::take(&mut self.collected);
            // The scheduler is gone only if the master refused it.
            let _ = self.orders.send(Order::Collected(keys));
            self.waker.wake();
        }
    }

    /// Brings here what a task has left, however it ended, and names what it has not.
    async fn fetch_outputs(&mut self, place: usize, update: &mut StatusUpdate) {
        let text = self.group.text(place);
        update.missing = self.destinations.missing(update, text.as_deref());
        for output in &update.outputs {
            for file in self.destinations.find(&output.guest, text.as_deref()) {
                if let Err(failure) = local::fetch(self.cluster, output, &file).await {
                    self.bar.suspend(|| failure.tell());
                    self.lacking.note();
                }
            }
        }
        for words in self.lacking.of(update) {
            self.bar.suspend(|| say(&words));
        }
    }

    /// Fetches the core dump that a task left, if it did.
    async fn keep_core(&mut self, place: usize, key: &TaskKey) {
        let Some(file) = &self.core else { return };
        let mut file = file.clone();
        if self.shape == Shape::Many {
            file.as_mut_os_string().push(format!(".{place}"));
        }
        let line = match copy_core(self.cluster, key, Follow::No, &file).await {
            Ok(0) => return,
            Ok(bytes) => format!("skep: core dump of {bytes} bytes in {}\n", file.display()),
            Err(failure) => {
                failure.tell();
                self.lacking.note();
                format!("skep: the core dump of task {} is not to be had\n", key.task)
            }
        };
        self.bar.suspend(|| say(&line));
    }

    fn again(&mut self, update: &StatusUpdate) {
        if self.direct.as_ref().is_some_and(|direct| direct.key == update.key) {
            self.direct = None;
        }
        // A recalled or late launch is nothing that a person needs to know.
        if !matches!(update.state.name(), "DROPPED") {
            self.restarted += 1;
            let line = format!(
                "skep: task {} is {} on agent {}: it is started again\n",
                update.key.task,
                update.state.name(),
                update.agent.as_ref().map_or("?", |agent| agent.as_str()),
            );
            self.bar.suspend(|| say(&line));
        }
    }

    fn connection(&self, link: Link) {
        match link {
            Link::Up => self.bar.set_message(""),
            Link::Down => {
                self.bar.set_message("the master does not answer");
                self.bar.suspend(|| say("skep: the master does not answer; waiting for it\n"));
            }
        }
    }
}

/// What is to be fetched of a task that has ended; or none, and what of it is lost.
fn wanted(
    place: usize,
    update: StatusUpdate,
) -> std::result::Result<Wanted, (Box<StatusUpdate>, Option<Lack>)> {
    let update = Box::new(update);
    let TaskState::Ended(outcome) = &update.state else { return Err((update, None)) };
    let wrote_nothing =
        update.usage.is_some_and(|usage| usage.stdout_bytes + usage.stderr_bytes == 0);
    let never_ran = matches!(outcome, Outcome::Refused { .. } | Outcome::ModuleRejected { .. });
    let Some(agent) = update.agent.clone().filter(|_| !wrote_nothing && !never_ran) else {
        return Err((update, None));
    };
    if let Outcome::Lost { why } = outcome
        && update.source == Source::Master
    {
        let lack = Lack::of(None, [0, 0], format!("the task is lost: {why}"));
        return Err((update, Some(lack)));
    }
    Ok(Wanted { place, update, agent })
}

/// Waits for what becomes of the output that flows, if one does; and says what its task wrote.
async fn flow(direct: &mut Option<Direct>, cluster: &Cluster) -> Result<(Flow, Option<[u64; 2]>)> {
    match direct {
        Some(direct) => {
            let flow = direct.flow(cluster).await?;
            Ok((flow, direct.wrote()))
        }
        None => std::future::pending().await,
    }
}

impl Document {
    /// Prints it, with what the command exits with.
    ///
    /// # Errors
    /// If it cannot be written whole.
    pub(super) async fn print(mut self, exit_code: u8) -> Result {
        self.summary.exit_code = exit_code;
        let mut out = Out::default();
        out.write(self.summary.head()?.as_bytes(), &[]).await?;
        let mut comma: &[u8] = b"";
        while let Some((_, extent)) = self.records.pop_first() {
            out.write(comma, &[]).await?;
            out.write(&self.spool.take(extent)?, &[]).await?;
            comma = b",";
        }
        out.write(TAIL.as_bytes(), &[]).await?;
        Ok(out.flush().await?)
    }
}

fn progress_bar(tasks: u64) -> ProgressBar {
    let template = "{bar:30} {pos}/{len} done  {elapsed_precise}  {per_sec}  {msg}";
    let style = ProgressStyle::with_template(template).expect("the template is right");
    let bar = ProgressBar::new(tasks).with_style(style.progress_chars("##-"));
    bar.enable_steady_tick(DRAW_INTERVAL);
    bar
}
