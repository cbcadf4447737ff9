//! One process of the cluster: started, signalled, and started again by whoever owns it.

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

/// A process, or the place of one that is to be started.
#[derive(Debug)]
pub(crate) struct Process {
    /// Where all that it says goes, over all its starts.
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    pub(crate) const fn new(log: PathBuf) -> Self {
        Self { log, child: None }
    }

    /// Starts it. One that runs is left as it is.
    pub(crate) fn start(&mut self, mut command: Command) -> Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        let log = OpenOptions::new().append(true).create(true).open(&self.log);
        let log = log.with_context(|| self.log.display().to_string())?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().with_context(|| format!("{command:?}"))?);
        Ok(())
    }

    /// Kills it and waits for its end.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Sends it a signal, if it runs.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        match &self.child {
            Some(child) => Ok(signal_to(child.id(), signal)?),
            None => Ok(()),
        }
    }

    /// How it ended by itself, told once.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else { return Ok(None) };
        let status = child.try_wait()?;
        if status.is_some() {
            self.child = None;
        }
        Ok(status)
    }

    /// Its id, if it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether it runs, as far as is known.
    pub(crate) const fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// All that it has said, in all its starts.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not be.
        let _ = self.kill();
    }
}

/// Sends a process a signal.
pub(crate) fn signal_to(pid: u32, signal: Signal) -> rustix::io::Result<()> {
    match i32::try_from(pid).ok().and_then(Pid::from_raw) {
        Some(pid) => kill_process(pid, signal),
        None => Ok(()),
    }
}

/// The executors whose folders lie below `folder`: each with its root.
pub(crate) fn executors(folder: &Path) -> Result<Vec<(u32, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process that has ended meanwhile has no words any more.
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let is_root = |word: &std::borrow::Cow<'_, str>| word == "--root";
        let root = words.iter().skip_while(|word| !is_root(word)).nth(1);
        if let Some(root) = root.filter(|root| Path::new(root.as_ref()).starts_with(folder)) {
            found.push((pid, PathBuf::from(root.as_ref())));
        }
    }
    Ok(found)
}
