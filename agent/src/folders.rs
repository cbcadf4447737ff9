//! The agent's folders, made and opened once.
//!
//! ```text
//! <work>/agent.redb  identity/  executors/<framework>.log  tasks/<framework>/<task>.<attempt>/
//! <cache>/artifact.key  blobs/<hex>  artifacts/<fingerprint>/<hex>.cwasm  .../drafts/
//! ```
//! Always holds: what the agent itself does below them goes through the handles here, which no
//! name leads out of. The names are for the processes it starts.

use cap_std::{ambient_authority, fs::Dir};
use skep_agent_core::Layout;
use std::{
    fs::{DirBuilder, canonicalize},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// A folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be used as a folder of the agent")]
pub struct FolderError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

#[derive(Debug)]
pub(crate) struct Folders {
    /// The same folders by their absolute names.
    pub(crate) layout: Layout,
    pub(crate) blobs: Dir,
    pub(crate) artifacts: Dir,
    /// What compilers write, before it is sealed.
    pub(crate) drafts: Dir,
    pub(crate) cache: Dir,
    pub(crate) executors: Dir,
    pub(crate) tasks: Dir,
    /// Names the artifacts that fit this build.
    pub(crate) fingerprint: String,
}

impl Folders {
    /// Opens the folders, made if need be. `fingerprint` names the artifacts that fit this build.
    pub(crate) fn open(work: &Path, cache: &Path, fingerprint: &str) -> Result<Self, FolderError> {
        let (work, cache) = (make(work)?, make(cache)?);
        let layout = Layout {
            blobs: make(&cache.join("blobs"))?,
            artifacts: make(&cache.join("artifacts").join(fingerprint))?,
            tasks: make(&work.join("tasks"))?,
        };
        Ok(Self {
            blobs: open(&layout.blobs)?,
            artifacts: open(&layout.artifacts)?,
            drafts: open(&make(&layout.artifacts.join("drafts"))?)?,
            cache: open(&cache)?,
            fingerprint: fingerprint.into(),
            executors: open(&make(&work.join("executors"))?)?,
            tasks: open(&layout.tasks)?,
            layout,
        })
    }
}

/// Makes a folder that only its owner may enter: artifacts are taken at their word, and what
/// tasks read and write is nobody else's. Gives its absolute name.
pub(crate) fn make(path: &Path) -> Result<PathBuf, FolderError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.and_then(|()| canonicalize(path)).map_err(|source| error(path, source))
}

fn open(path: &Path) -> Result<Dir, FolderError> {
    Dir::open_ambient_dir(path, ambient_authority()).map_err(|source| error(path, source))
}

fn error(path: &Path, source: io::Error) -> FolderError {
    FolderError { path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_folders_are_made_and_are_their_owners_alone() {
        let outer = tempfile::tempdir().expect("a folder");
        let (work, cache) = (outer.path().join("deep/work"), outer.path().join("cache"));
        let folders = Folders::open(&work, &cache, "f00").expect("folders");
        let mode = |path: &Path| path.metadata().expect("made").permissions().mode() & 0o777;
        assert_eq!(mode(&folders.layout.artifacts), 0o700);
        assert!(folders.layout.artifacts.ends_with("cache/artifacts/f00"));
        assert_eq!(mode(&work.join("tasks")), 0o700);
        assert!(folders.layout.tasks.is_absolute());
    }
}
