//! What tasks need on the disk: modules, their artifacts, standard inputs and inputs.
//!
//! Each digest is fetched once and each module compiled once, however many tasks wait for it. A
//! broken fetch is tried again, after a wait that doubles; it is not tried while there is no
//! master to ask, and that does not count as a try.

use crate::{
    agent::Agent,
    cache::CacheFile,
    effect::Effect,
    input::{CompileFailure, FetchFailure},
    policy::Policy,
    waits::Need,
};
use skep_protocol::{Artifact, Digest, Outcome, Time};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(crate) struct Modules {
    blobs: BTreeSet<Digest>,
    artifacts: BTreeSet<Artifact>,
    /// Why modules were rejected. Not recorded: another build of the compiler may judge otherwise.
    rejected: BTreeMap<Digest, String>,
    compiling: BTreeSet<Artifact>,
    fetches: BTreeMap<Digest, Fetch>,
    /// The fetches that wait for their next try, by its time.
    fetches_due: BTreeSet<(Time, Digest)>,
}

/// A blob on its way.
#[derive(Debug, Default)]
struct Fetch {
    /// How often it has failed.
    failures: u32,
}

impl Modules {
    /// Files that are to be asked for again when they are next needed.
    pub(crate) fn doubt(&mut self, artifact: &Artifact, inputs: &[Digest]) {
        self.artifacts.remove(artifact);
        self.blobs.remove(&artifact.module);
        for input in inputs {
            self.blobs.remove(input);
        }
    }

    /// A file that is there no more.
    pub(crate) fn forget(&mut self, file: &CacheFile) {
        match file {
            CacheFile::Blob(digest) => self.blobs.remove(digest),
            CacheFile::Artifact(artifact) => self.artifacts.remove(artifact),
        };
    }

    fn reject(&mut self, module: Digest, why: String, policy: &Policy) {
        if self.rejected.len() >= policy.modules_rejected_max {
            self.rejected.pop_first();
        }
        self.rejected.insert(module, why);
    }

    pub(crate) fn is_on_its_way(&self, need: &Need) -> bool {
        match need {
            Need::Blob(digest) => self.fetches.contains_key(digest),
            Need::Artifact(artifact) => self.compiling.contains(artifact),
            Need::Executor(_) | Need::Departure(_) | Need::Room => false,
        }
    }
}

impl Agent {
    /// What a task of this module must wait for, having seen to it that it comes.
    pub(crate) fn need_artifact(&mut self, artifact: Artifact) -> Result<Option<Need>, Outcome> {
        let Artifact { module, .. } = artifact;
        self.cache.touch(&CacheFile::Blob(module));
        self.cache.touch(&CacheFile::Artifact(artifact));
        let modules = &mut self.modules;
        if let Some(why) = modules.rejected.get(&module) {
            return Err(Outcome::ModuleRejected { why: why.clone() });
        }
        if modules.artifacts.contains(&artifact) {
            return Ok(None);
        }
        if !modules.blobs.contains(&module) && !modules.compiling.contains(&artifact) {
            return Ok(self.need_blob(module));
        }
        if modules.compiling.insert(artifact) {
            self.effect(Effect::Compile { artifact });
        }
        Ok(Some(Need::Artifact(artifact)))
    }

    /// What a task that reads this blob must wait for, having seen to it that it comes.
    pub(crate) fn need_blob(&mut self, digest: Digest) -> Option<Need> {
        self.cache.touch(&CacheFile::Blob(digest));
        let modules = &mut self.modules;
        if modules.blobs.contains(&digest) {
            return None;
        }
        modules.fetches.entry(digest).or_insert_with(|| {
            modules.fetches_due.insert((self.turn.now, digest));
            Fetch::default()
        });
        Some(Need::Blob(digest))
    }

    pub(crate) fn fetch_due(&self) -> Option<Time> {
        let next = self.modules.fetches_due.first();
        next.filter(|_| self.is_registered()).map(|(due, _)| *due)
    }

    /// Asks for the blobs that are due.
    pub(crate) fn request_blobs(&mut self) {
        while self.fetch_due().is_some_and(|due| due <= self.turn.now) {
            let Some((_, digest)) = self.modules.fetches_due.pop_first() else { return };
            self.effect(Effect::FetchBlob { digest });
        }
    }

    pub(crate) fn blob_ready(&mut self, digest: Digest) {
        self.end_fetch(digest);
        self.modules.blobs.insert(digest);
        self.wake(&Need::Blob(digest));
    }

    pub(crate) fn blob_failed(&mut self, digest: Digest, why: FetchFailure) {
        let need = Need::Blob(digest);
        match why {
            FetchFailure::Refused { rejection } => {
                self.end_fetch(digest);
                self.give_up(&need, &Outcome::Refused { rejection });
            }
            FetchFailure::Failed { why } => {
                let registered = self.is_registered();
                let Some(fetch) = self.modules.fetches.get_mut(&digest) else { return };
                if registered {
                    fetch.failures += 1;
                }
                let failures = fetch.failures;
                if failures >= self.policy.fetch_tries_max || !self.waits.is_awaited(&need) {
                    self.end_fetch(digest);
                    let why = format!("blob {digest} could not be fetched: {why}");
                    return self.give_up(&need, &Outcome::Failed { why });
                }
                let wait = self.policy.fetch_retry.saturating_mul(1 << failures.min(16));
                self.modules.fetches_due.insert((self.turn.now + wait, digest));
            }
        }
    }

    fn end_fetch(&mut self, digest: Digest) {
        if self.modules.fetches.remove(&digest).is_some() {
            self.modules.fetches_due.retain(|(_, due)| *due != digest);
        }
    }

    pub(crate) fn compiled(&mut self, artifact: Artifact) {
        self.modules.compiling.remove(&artifact);
        self.modules.artifacts.insert(artifact);
        self.wake(&Need::Artifact(artifact));
    }

    pub(crate) fn compile_failed(&mut self, artifact: Artifact, why: CompileFailure) {
        self.modules.compiling.remove(&artifact);
        let Artifact { module, .. } = artifact;
        let outcome = match why {
            CompileFailure::Rejected { why } => {
                self.modules.reject(module, why.clone(), &self.policy);
                Outcome::ModuleRejected { why }
            }
            CompileFailure::Failed { why } => {
                // The file may be gone or spoilt: the next task asks for it anew.
                self.modules.doubt(&artifact, &[]);
                Outcome::Failed { why: format!("module {module} could not be compiled: {why}") }
            }
        };
        self.give_up(&Need::Artifact(artifact), &outcome);
    }
}
