//! What the files of modules, artifacts and inputs take on the disk, and which of them goes first.
//!
//! Owns the order of their last use. Always holds: a file that a live task needs is never given up;
//! beyond the limit only such files are left. Deliberately absent: whether a file may be used,
//! which is `modules.rs`' matter.

use crate::{agent::Agent, effect::Effect};
use skep_protocol::{Artifact, Digest};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// One file of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CacheFile {
    /// A module, a standard input, an input or an output.
    Blob(Digest),
    /// Machine code.
    Artifact(Artifact),
}

impl fmt::Display for CacheFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob(digest) => write!(f, "blob {digest}"),
            Self::Artifact(artifact) => write!(f, "artifact of {artifact}"),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// Sorted by use only when something must go: each start of a task is a use.
    files: BTreeMap<CacheFile, Kept>,
    uses: u64,
    /// The sum over all files.
    bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    bytes: u64,
    last_use: u64,
}

impl Cache {
    fn keep(&mut self, file: CacheFile, bytes: u64) {
        self.drop(&file);
        self.files.insert(file, Kept { bytes, last_use: 0 });
        self.bytes = self.bytes.saturating_add(bytes);
        self.touch(&file);
    }

    /// A task needs the file.
    pub(crate) fn touch(&mut self, file: &CacheFile) {
        if let Some(kept) = self.files.get_mut(file) {
            self.uses += 1;
            kept.last_use = self.uses;
        }
    }

    fn drop(&mut self, file: &CacheFile) {
        if let Some(kept) = self.files.remove(file) {
            self.bytes -= kept.bytes;
        }
    }

    /// Takes out what is used least, but nothing of `needed`, until the rest fits `bytes_max`.
    fn shrink(&mut self, bytes_max: u64, needed: &BTreeSet<CacheFile>) -> Vec<CacheFile> {
        let mut excess = self.bytes.saturating_sub(bytes_max);
        let spare = self.files.iter().filter(|(file, _)| !needed.contains(file));
        let mut spare: Vec<_> = spare.map(|(file, kept)| (kept.last_use, *file)).collect();
        spare.sort_unstable();
        let mut gone = Vec::new();
        for (_, file) in spare {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(self.files[&file].bytes);
            gone.push(file);
        }
        gone.iter().for_each(|file| self.drop(file));
        gone
    }
}

impl Agent {
    /// A file lies in the cache.
    pub(crate) fn kept(&mut self, file: CacheFile, bytes: u64) {
        self.cache.keep(file, bytes);
        if self.cache.bytes <= self.policy.cache_bytes_max {
            return;
        }
        let mut needed = self.needed_files();
        // It has only just come, and whoever wants it may be about to say so.
        needed.insert(file);
        for file in self.cache.shrink(self.policy.cache_bytes_max, &needed) {
            self.modules.forget(&file);
            self.effect(Effect::Discard { file });
        }
    }

    /// What the tasks that are not over need.
    fn needed_files(&self) -> BTreeSet<CacheFile> {
        let mut needed = BTreeSet::new();
        for spec in self.live.keys().filter_map(|key| self.spec(key)) {
            let inputs = spec.inputs.iter().map(|input| input.digest);
            let blobs = inputs.chain(spec.grants.stdin).chain([spec.module]);
            needed.extend(blobs.map(CacheFile::Blob));
            needed.insert(CacheFile::Artifact(spec.artifact()));
        }
        needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(name: &str) -> CacheFile {
        CacheFile::Blob(Digest::of(name.as_bytes()))
    }

    fn cache() -> Cache {
        let mut cache = Cache::default();
        for name in ["a", "b", "c"] {
            cache.keep(blob(name), 10);
        }
        cache
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_and_no_more_than_must() {
        let mut cache = cache();
        cache.touch(&blob("a"));
        assert_eq!(cache.shrink(30, &BTreeSet::new()), []);
        assert_eq!(cache.shrink(25, &BTreeSet::new()), [blob("b")]);
        assert_eq!(cache.shrink(1, &BTreeSet::new()), [blob("c"), blob("a")]);
        assert_eq!((cache.bytes, cache.files.len()), (0, 0));
    }

    #[test]
    fn what_is_needed_stays_even_beyond_the_limit() {
        let mut cache = cache();
        let needed = BTreeSet::from([blob("a"), blob("c")]);
        assert_eq!(cache.shrink(0, &needed), [blob("b")]);
        assert_eq!(cache.bytes, 20);
    }

    #[test]
    fn a_file_that_is_made_anew_counts_once() {
        let mut cache = cache();
        cache.keep(blob("a"), 50);
        assert_eq!(cache.bytes, 70);
    }
}
