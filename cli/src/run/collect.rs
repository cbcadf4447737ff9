//! What becomes visible of a job while it runs: output, progress, and in the end the summary.
//!
//! One task's output is the command's own and is shown as it is written. The output of many is
//! shown task by task, in the order of the job, so that it reads the same at every run.

use super::{
    exit,
    files::Destinations,
    is_watched,
    lacking::Lacking,
    plan::{Job, Shape},
    scheduler::Told,
    summary::{Summary, Written},
};
use crate::{
    args::{self, Format},
    client::{copy_core, copy_output},
    failure::Result,
    local,
    stdout::{WriteError, say},
    watched::Link,
};
use indicatif::{ProgressBar, ProgressStyle};
use skep_framework::Cluster;
use skep_frameworks::batch::Group;
use skep_protocol::{
    StatusUpdate, TaskKey,
    data::{Follow, LogStream},
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::{io::AsyncReadExt as _, sync::mpsc};

/// Bytes of each stream of a task that stand in the JSON summary.
const JSON_OUTPUT_BYTES_MAX: u64 = 1 << 20;
/// How often progress is drawn without a change, so that the clock on it goes on.
const DRAW_INTERVAL: Duration = Duration::from_millis(100);

/// What is left when a job is done.
pub(super) struct Collected {
    /// The document to print, if one is wanted.
    pub(super) summary: Option<Summary>,
    /// What the command exits with.
    pub(super) code: u8,
}

/// See the module.
pub(super) struct Collector<'a> {
    cluster: &'a Cluster,
    job: String,
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
    bar: ProgressBar,
    ends: BTreeMap<usize, (StatusUpdate, Written)>,
    /// The first task whose output is not shown yet.
    next: usize,
    followed: Option<TaskKey>,
    restarted: u64,
    since: Instant,
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        cluster: &'a Cluster,
        job: &Job,
        args: &args::Run,
        told: mpsc::UnboundedReceiver<Told>,
    ) -> Self {
        let bar = match job.shape {
            Shape::Many if is_watched() => progress_bar(job.group.count),
            _ => ProgressBar::hidden(),
        };
        Self {
            cluster,
            job: job.id.clone(),
            shape: job.shape,
            format: args.client.output,
            core: args.coredump.clone(),
            destinations: Destinations::of(&args.files),
            group: job.group.clone(),
            lacking: Lacking::default(),
            told,
            bar,
            ends: BTreeMap::new(),
            next: 0,
            followed: None,
            restarted: 0,
            since: Instant::now(),
        }
    }

    /// Collects until all tasks are done and all output is shown.
    pub(super) async fn run(mut self) -> Result<Collected> {
        while let Some(told) = self.told.recv().await {
            match told {
                Told::Started { update } => self.started(update).await?,
                Told::Ended { place, update } => self.ended(place, update).await?,
                Told::Again { update } => self.again(&update),
                Told::Connection(link) => self.connection(link),
                Told::AllDone => break,
            }
        }
        self.bar.finish_and_clear();
        let ends = self.ends.into_values();
        let mut summary = Summary::of(&self.job, ends, self.restarted, self.since.elapsed());
        if let Some(words) = self.lacking.rest() {
            say(&words);
        }
        if self.lacking.is_any() && summary.exit_code == 0 {
            summary.exit_code = exit::FAILURE;
        }
        let code = summary.exit_code;
        if self.format == Format::Json {
            return Ok(Collected { summary: Some(summary), code });
        }
        say(&summary.words(self.shape));
        Ok(Collected { summary: None, code })
    }

    async fn started(&mut self, update: StatusUpdate) -> Result<(), WriteError> {
        // A driver that reconnects hears the latest state again.
        let followed = self.followed.as_ref() == Some(&update.key);
        if self.shape == Shape::One && self.format == Format::Table && !followed {
            self.followed = Some(update.key.clone());
            self.show(&update.key).await?;
        }
        Ok(())
    }

    async fn ended(&mut self, place: usize, mut update: StatusUpdate) -> Result<(), WriteError> {
        self.bar.inc(1);
        self.fetch_outputs(place, &mut update).await;
        let wrote = match self.format {
            Format::Json => self.read(&update).await,
            Format::Table => Written::default(),
        };
        self.keep_core(place, &update.key).await;
        self.ends.insert(place, (update, wrote));
        if self.format == Format::Table {
            self.show_in_order().await?;
        }
        Ok(())
    }

    /// Shows the output of those tasks that have ended, up to the first that has not.
    async fn show_in_order(&mut self) -> Result<(), WriteError> {
        while let Some((update, _)) = self.ends.get(&self.next) {
            let key = update.key.clone();
            let wrote = update.usage.is_some_and(|u| u.stdout_bytes + u.stderr_bytes > 0);
            if wrote && self.followed.as_ref() != Some(&key) {
                self.bar.suspend(|| ());
                self.show(&key).await?;
            }
            self.next += 1;
        }
        Ok(())
    }

    /// Copies a task's output to this command's, until the task ends.
    async fn show(&self, key: &TaskKey) -> Result<(), WriteError> {
        if let Err(failure) = copy_output(self.cluster, key, Follow::UntilEnded).await? {
            say(&format!("skep: the output of task {} is not to be had\n", key.task));
            failure.tell();
        }
        Ok(())
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
    async fn keep_core(&self, place: usize, key: &TaskKey) {
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
                format!("skep: the core dump of task {} is not to be had\n", key.task)
            }
        };
        self.bar.suspend(|| say(&line));
    }

    /// Reads what a task wrote for the summary; what is not to be had is left out of it.
    async fn read(&self, update: &StatusUpdate) -> Written {
        let Some(usage) = update.usage else { return Written::default() };
        let read = async |stream, bytes| {
            if bytes == 0 {
                return Some(Vec::new());
            }
            let log = self.cluster.read_log(update.key.clone(), stream, 0, Follow::UntilEnded);
            let mut text = Vec::new();
            log.await.ok()?.take(JSON_OUTPUT_BYTES_MAX).read_to_end(&mut text).await.ok()?;
            Some(text)
        };
        Written {
            stdout: read(LogStream::Stdout, usage.stdout_bytes).await,
            stderr: read(LogStream::Stderr, usage.stderr_bytes).await,
        }
    }

    fn again(&mut self, update: &StatusUpdate) {
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

fn progress_bar(tasks: u64) -> ProgressBar {
    let template = "{bar:30} {pos}/{len} done  {elapsed_precise}  {per_sec}  {msg}";
    let style = ProgressStyle::with_template(template).expect("the template is right");
    let bar = ProgressBar::new(tasks).with_style(style.progress_chars("##-"));
    bar.enable_steady_tick(DRAW_INTERVAL);
    bar
}
