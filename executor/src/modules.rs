//! Loaded modules by artifact, so that a thousand guests of one module load it once.
//!
//! Always holds: at most [`MODULES_MAX`] are kept, the least recently used one goes first, and a
//! failure is not remembered. Guests keep what they run alive by themselves.

use skep_protocol::Artifact;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::OnceCell;

/// Modules that are kept, most of whose memory is the page cache's anyway.
const MODULES_MAX: usize = 128;

/// A bounded cache of values by artifact.
#[derive(Debug)]
pub(crate) struct Modules<V> {
    entries: Mutex<Entries<V>>,
}

#[derive(Debug)]
struct Entries<V> {
    by_artifact: HashMap<Artifact, Entry<V>>,
    uses: u64,
}

#[derive(Debug)]
struct Entry<V> {
    cell: Arc<OnceCell<V>>,
    last_use: u64,
}

impl<V: Clone> Modules<V> {
    pub(crate) fn new() -> Self {
        Self { entries: Mutex::new(Entries { by_artifact: HashMap::new(), uses: 0 }) }
    }

    /// The value of `artifact`; made by `load` if it is not kept. Whoever asks meanwhile waits.
    pub(crate) async fn get_or_load<E, F>(
        &self,
        artifact: Artifact,
        load: impl FnOnce() -> F,
    ) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        let cell = self.cell(artifact);
        cell.get_or_try_init(load).await.cloned()
    }

    fn cell(&self, artifact: Artifact) -> Arc<OnceCell<V>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let Entries { by_artifact, uses } = &mut *entries;
        *uses += 1;
        if by_artifact.len() >= MODULES_MAX && !by_artifact.contains_key(&artifact) {
            let oldest = by_artifact.iter().min_by_key(|(_, entry)| entry.last_use);
            if let Some(oldest) = oldest.map(|(artifact, _)| *artifact) {
                by_artifact.remove(&oldest);
            }
        }
        let entry = by_artifact
            .entry(artifact)
            .or_insert_with(|| Entry { cell: Arc::new(OnceCell::new()), last_use: 0 });
        entry.last_use = *uses;
        Arc::clone(&entry.cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_protocol::{Digest, Nans};

    fn artifact(bytes: &[u8]) -> Artifact {
        Artifact { module: Digest::of(bytes), nans: Nans::Native }
    }

    async fn load(modules: &Modules<u32>, name: u32) -> Result<u32, ()> {
        modules.get_or_load(artifact(&name.to_le_bytes()), || async { Ok(name) }).await
    }

    #[tokio::test]
    async fn the_least_recently_used_module_goes_first() {
        let modules = Modules::new();
        let max = u32::try_from(MODULES_MAX).expect("a small number");
        for name in 0..max {
            load(&modules, name).await.expect("loaded");
        }
        load(&modules, 0).await.expect("kept");
        load(&modules, max).await.expect("loaded");
        let kept = |name: u32| modules.cell(artifact(&name.to_le_bytes())).initialized();
        assert!(kept(0));
        assert!(!kept(1));
    }

    #[tokio::test]
    async fn a_failure_is_not_remembered() {
        let modules = Modules::new();
        let artifact = artifact(b"module");
        assert_eq!(modules.get_or_load(artifact, || async { Err("gone") }).await, Err("gone"));
        assert_eq!(modules.get_or_load(artifact, || async { Ok::<_, ()>(1) }).await, Ok(1));
    }
}
