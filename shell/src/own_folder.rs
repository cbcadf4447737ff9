//! A temporary folder that is gone with its process, whatever ends the process.
//!
//! The process holds a lock in the folder for as long as it lives. What a killed one has left is
//! removed by the next process of this user that makes such a folder: a lock that can be had is
//! nobody's. Always holds: the lock file is the last thing that goes, so a removal that is cut off
//! is finished by somebody else.

use rustix::process::geteuid;
use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, Once, PoisonError},
    thread,
    time::Duration,
};

/// How the names of all such folders begin.
const PREFIX: &str = "skep-";
/// The file that the owner has locked.
const OWNER: &str = ".owner";
/// What it is called until it is locked.
const UNLOCKED: &str = ".owner.new";
/// How long a folder may have been in the making.
const BIRTH_MAX: Duration = Duration::from_secs(60);

/// Those of this process.
static OWN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// See the module. It is removed when it is dropped.
#[derive(Debug)]
pub struct OwnFolder {
    path: PathBuf,
    /// Locked for as long as it is open.
    _owner: File,
}

impl OwnFolder {
    /// Makes a folder among those for temporary files, whose name tells its purpose. The first one
    /// of a process has what killed processes left removed, beside whatever the process does.
    ///
    /// # Errors
    /// If there is no place for it.
    pub fn new(purpose: &str) -> io::Result<Self> {
        static SWEEP: Once = Once::new();
        let parent = std::env::temp_dir();
        SWEEP.call_once(|| {
            let parent = parent.clone();
            // Without a thread the next process does it.
            let _ = thread::Builder::new().name("sweep".into()).spawn(move || sweep(&parent));
        });
        Self::new_in(&parent, purpose)
    }

    fn new_in(parent: &Path, purpose: &str) -> io::Result<Self> {
        let folder =
            tempfile::Builder::new().prefix(&format!("{PREFIX}{purpose}")).tempdir_in(parent)?;
        let unlocked = folder.path().join(UNLOCKED);
        let owner = File::create_new(&unlocked)?;
        owner.try_lock()?;
        fs::rename(unlocked, folder.path().join(OWNER))?;
        let path = folder.keep();
        own().insert(path.clone());
        Ok(Self { path, _owner: owner })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes all folders of this process, which is about to end without dropping them.
    pub fn remove_all() {
        for path in std::mem::take(&mut *own()) {
            let _ = remove(&path);
        }
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        own().remove(&self.path);
        if let Err(error) = remove(&self.path) {
            tracing::debug!(%error, folder = %self.path.display(), "a temporary folder stays");
        }
    }
}

fn own() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes what processes of this user have left that are no more.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX)
            && let Err(error) = remove_if_left(&entry.path())
        {
            tracing::debug!(%error, folder = %entry.path().display(), "a left folder stays");
        }
    }
}

fn remove_if_left(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() || found.uid() != geteuid().as_raw() {
        return Ok(());
    }
    let owner = match File::open(path.join(OWNER)) {
        Ok(owner) => owner,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let is_old = found.modified()?.elapsed().is_ok_and(|age| age > BIRTH_MAX);
            return if is_old { remove_unborn(path) } else { Ok(()) };
        }
        Err(error) => return Err(error),
    };
    match owner.try_lock() {
        Ok(()) => remove(path),
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// A folder whose process died while it made it holds one file; any other is not known as ours.
fn remove_unborn(path: &Path) -> io::Result<()> {
    match fs::remove_file(path.join(UNLOCKED)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| fs::remove_dir(path)),
    }
}

/// The lock goes last.
fn remove(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name() == OWNER {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    fs::remove_file(path.join(OWNER))?;
    fs::remove_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(parent: &Path) -> Vec<String> {
        let entries = fs::read_dir(parent).expect("a folder").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// What a process has left that was killed: its folder, and a lock that nobody holds.
    fn left_by_a_killed_process(parent: &Path) -> PathBuf {
        let folder = parent.join("skep-left");
        fs::create_dir_all(folder.join("agent-0/tasks")).expect("folders");
        fs::write(folder.join("agent-0/tasks/file"), "x").expect("a file");
        fs::write(folder.join(OWNER), "").expect("a lock");
        folder
    }

    #[test]
    fn a_folder_goes_with_its_value_and_all_that_is_in_it() {
        let outer = tempfile::tempdir().expect("a folder");
        let own = OwnFolder::new_in(outer.path(), "run-").expect("a folder");
        fs::create_dir(own.path().join("inner")).expect("a folder");
        fs::write(own.path().join("inner/file"), "x").expect("a file");
        assert!(names(outer.path())[0].starts_with("skep-run-"));
        drop(own);
        assert_eq!(names(outer.path()), [""; 0]);
    }

    #[test]
    fn what_a_killed_process_has_left_is_swept_and_what_lives_is_not() {
        let outer = tempfile::tempdir().expect("a folder");
        let alive = OwnFolder::new_in(outer.path(), "").expect("a folder");
        left_by_a_killed_process(outer.path());
        sweep(outer.path());
        let name = alive.path().file_name().expect("a name").to_string_lossy().into_owned();
        assert_eq!(names(outer.path()), [name]);
    }

    #[test]
    fn folders_of_others_and_files_stay_whatever_they_are_called() {
        let outer = tempfile::tempdir().expect("a folder");
        // Without a lock it is somebody's own folder; so is one that a link names.
        fs::create_dir_all(outer.path().join("skep-mine/data")).expect("folders");
        fs::write(outer.path().join("skep-file"), "x").expect("a file");
        let elsewhere = tempfile::tempdir().expect("a folder");
        let left = left_by_a_killed_process(elsewhere.path());
        std::os::unix::fs::symlink(&left, outer.path().join("skep-link")).expect("a link");
        left_by_a_killed_process(&outer.path().join("other-name"));
        sweep(outer.path());
        assert_eq!(names(outer.path()), ["other-name", "skep-file", "skep-link", "skep-mine"]);
        assert!(left.join("agent-0/tasks/file").exists());
    }
}
