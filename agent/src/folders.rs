//! The agent's folders, made and opened once.
//!
//! ```text
//! <work>/agent.redb  identity/  executors/<framework>.log  tasks/<framework>/<task>.<attempt>/
//! <work>/volumes/<name>.<when it was made>/
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
    time::{Duration, SystemTime},
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
    pub(crate) volumes: Dir,
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
            volumes: make(&work.join("volumes"))?,
        };
        Ok(Self {
            blobs: open(&layout.blobs)?,
            artifacts: open(&layout.artifacts)?,
            drafts: open(&make(&layout.artifacts.join("drafts"))?)?,
            cache: open(&cache)?,
            fingerprint: fingerprint.into(),
            executors: open(&make(&work.join("executors"))?)?,
            tasks: open(&layout.tasks)?,
            volumes: open(&layout.volumes)?,
            layout,
        })
    }
}

/// The file that says, by its time, when an agent of a build was last started on this cache.
const USED: &str = "used";
/// After this time without an agent of its build machine code is not wanted any more: an upgrade
/// that is taken back, or agents of two builds that share a cache, find theirs until then.
const OTHER_BUILDS_KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);

impl Folders {
    /// Removes the artifacts of builds that nobody has used for long, and says that this one is
    /// used. Gives the fingerprints of those that are gone.
    pub(crate) fn forget_other_builds(&self, now: SystemTime) -> io::Result<Vec<String>> {
        self.artifacts.write(USED, "")?;
        let all = self.cache.open_dir("artifacts")?;
        let mut gone = Vec::new();
        for entry in all.entries()? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == self.fingerprint || !entry.file_type()?.is_dir() {
                continue;
            }
            let used = all.metadata(format!("{name}/{USED}")).or_else(|_| entry.metadata())?;
            let age = now.duration_since(used.modified()?.into_std()).unwrap_or_default();
            if age > OTHER_BUILDS_KEPT {
                all.remove_dir_all(&name)?;
                gone.push(name);
            }
        }
        Ok(gone)
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

    #[test]
    fn artifacts_of_a_build_that_nobody_uses_any_more_are_removed() {
        let outer = tempfile::tempdir().expect("a folder");
        let cache = outer.path().join("cache");
        let open = |build: &str| Folders::open(&outer.path().join(build), &cache, build);
        let (old, new) = (open("old").expect("folders"), open("new").expect("folders"));
        let now = SystemTime::now();
        assert_eq!(old.forget_other_builds(now).expect("looked"), Vec::<String>::new());
        old.artifacts.write("a.cwasm", "code").expect("written");
        let month = now + OTHER_BUILDS_KEPT - Duration::from_secs(60);
        assert_eq!(new.forget_other_builds(month).expect("looked"), Vec::<String>::new());
        let later = month + Duration::from_secs(120);
        assert_eq!(new.forget_other_builds(later).expect("looked"), ["old"]);
        assert!(!cache.join("artifacts/old").exists());
        assert!(cache.join("artifacts/new").exists());
    }
}
