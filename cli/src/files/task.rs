//! The words for one kind of task, in whichever file it stands.

use super::fault::FileFault;
use crate::{
    local,
    units::{Bytes, Span},
    words,
};
use serde::Deserialize;
use skep_frameworks::{
    Work,
    batch::{FileInput, FileSource, Stragglers},
};
use skep_protocol::{Amount, Digest, Resources};
use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};
use toml::Spanned;

/// What a Wasm file begins with.
const MAGIC: &[u8] = b"\0asm";

/// One kind of task as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskFile {
    /// A file, as seen from the folder of the file that names it.
    module: Spanned<PathBuf>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    cpus: Option<Spanned<f64>>,
    mem: Option<Spanned<String>>,
    deadline: Option<Spanned<String>>,
    kill_grace: Option<Spanned<String>>,
    heartbeat: Option<Spanned<String>>,
    lost_after: Option<Spanned<String>>,
    pub(super) count: Option<Spanned<u64>>,
    pub(super) needs: Option<Spanned<Vec<String>>>,
    pub(super) input: Option<Spanned<String>>,
    pub(super) inputs: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) outputs: Option<Spanned<Vec<String>>>,
    pub(super) retries: Option<Spanned<u32>>,
    pub(super) stragglers: Option<Spanned<StragglersFile>>,
}

/// When a task that runs for long is copied, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StragglersFile {
    after: Spanned<f64>,
    least: Option<Spanned<String>>,
    done: Option<Spanned<f64>>,
}

/// The modules that a file names: to be stored before the work that runs them is ordered.
pub(crate) type Modules = BTreeMap<Digest, Vec<u8>>;

/// The files and folders that a file names, as seen from here: to be stored as well.
pub(crate) type Files = BTreeMap<Digest, PathBuf>;

/// What begins the name of what another group leaves.
const OF_GROUP: char = '@';

/// A file that is being read.
pub(super) struct Reader<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
    pub(super) modules: Modules,
    pub(super) files: Files,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(path: &'a Path, text: &'a str) -> Self {
        Self { path, text, modules: Modules::new(), files: Files::new() }
    }

    pub(super) fn fault(&self, span: Range<usize>, why: &str) -> FileFault {
        FileFault::at(self.path, self.text, Some(span), why)
    }

    /// What the tasks run.
    pub(super) fn work(&mut self, task: &TaskFile) -> Result<Work, FileFault> {
        let module = self.module(&task.module)?;
        let name = task.module.as_ref().file_stem();
        Ok(Work {
            module,
            name: name.map(|name| words::shown(name).into_owned()).unwrap_or_default(),
            args: task.args.clone(),
            env: task.env.clone(),
            resources: Resources::new(self.cpus(task)?, self.mem(task)?),
            deadline: self.time(task.deadline.as_ref())?,
            kill_grace: self.time(task.kill_grace.as_ref())?,
            heartbeat: self.time(task.heartbeat.as_ref())?,
            lost_after: self.time(task.lost_after.as_ref())?,
        })
    }

    fn module(&mut self, module: &Spanned<PathBuf>) -> Result<Digest, FileFault> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let path = folder.join(module.as_ref());
        let bytes = fs::read(&path).map_err(|error| {
            self.fault(module.span(), &format!("{}: {error}", words::shown(&path)))
        })?;
        if !bytes.starts_with(MAGIC) {
            let path = words::shown(&path);
            let why = format!("{path} is no WebAssembly file: compile it first");
            return Err(self.fault(module.span(), &why));
        }
        let digest = Digest::of(&bytes);
        self.modules.insert(digest, bytes);
        Ok(digest)
    }

    /// What lies in the tasks' own folders: files of this machine, and what other groups leave.
    pub(super) fn inputs(&mut self, task: &TaskFile) -> Result<Vec<FileInput>, FileFault> {
        let inputs = task.inputs.iter().flat_map(|inputs| inputs.as_ref());
        inputs.map(|input| self.input(input)).collect()
    }

    fn input(&mut self, input: &Spanned<String>) -> Result<FileInput, FileFault> {
        let text = input.as_ref().as_str();
        let (from, guest) = text.split_once("::").map_or((text, None), |(a, b)| (a, Some(b)));
        let guest =
            guest.map_or_else(|| local::guest_of(Path::new(from)), |guest| Ok(guest.into()));
        let guest = guest.map_err(|why| self.fault(input.span(), &why))?;
        if let Some(from) = from.strip_prefix(OF_GROUP) {
            let Some((group, output)) = from.split_once('/') else {
                let why = format!("{text:?}: write @GROUP/OUTPUT or @GROUP/OUTPUT::GUEST");
                return Err(self.fault(input.span(), &why));
            };
            let (group, output) = (group.into(), output.into());
            return Ok(FileInput { guest, source: FileSource::Output { group, output } });
        }
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let file = folder.join(from);
        let failed = |why| self.fault(input.span(), &format!("{}: {why}", words::shown(&file)));
        let (digest, form) = local::look_at(&file).map_err(failed)?;
        self.files.insert(digest, file);
        Ok(FileInput { guest, source: FileSource::Blob { digest, form } })
    }

    fn cpus(&self, task: &TaskFile) -> Result<Amount, FileFault> {
        let Some(cpus) = &task.cpus else { return Ok(Amount::units(1)) };
        let amount = cpus.as_ref().to_string().parse::<Amount>();
        let amount = amount.ok().filter(|amount| *amount > Amount::millis(0));
        amount.ok_or_else(|| self.fault(cpus.span(), "a number of cpus, such as 1 or 0.5"))
    }

    fn mem(&self, task: &TaskFile) -> Result<Amount, FileFault> {
        let Some(mem) = &task.mem else { return Ok(Amount::units(64)) };
        let bytes = mem.as_ref().parse::<Bytes>();
        let bytes = bytes.map_err(|error| self.fault(mem.span(), &error.to_string()))?;
        let millis = bytes.0.saturating_mul(1_000).div_ceil(1 << 20);
        Ok(Amount::millis(millis))
    }

    /// When one of the tasks is copied, if ever.
    pub(super) fn stragglers(&self, task: &TaskFile) -> Result<Option<Stragglers>, FileFault> {
        let Some(stragglers) = &task.stragglers else { return Ok(None) };
        let StragglersFile { after, least, done } = stragglers.as_ref();
        let done = done.as_ref().map(|done| self.number(done)).transpose()?;
        Ok(Some(Stragglers {
            after: self.number(after)?,
            least: self.time(least.as_ref())?.unwrap_or_else(Stragglers::default_least),
            done: done.unwrap_or_else(Stragglers::default_done),
        }))
    }

    fn number(&self, number: &Spanned<f64>) -> Result<Amount, FileFault> {
        let read = number.as_ref().to_string().parse::<Amount>();
        read.map_err(|_| {
            self.fault(number.span(), "a number with at most three decimals, such as 1.5")
        })
    }

    pub(super) fn time(
        &self,
        time: Option<&Spanned<String>>,
    ) -> Result<Option<Duration>, FileFault> {
        let read = |time: &Spanned<String>| {
            let span = time.as_ref().parse::<Span>();
            let span = span.map_err(|error| self.fault(time.span(), &error.to_string()))?;
            Ok(span.0)
        };
        time.map(read).transpose()
    }
}
