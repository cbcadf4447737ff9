//! Outputs of tasks: taken from their sandboxes, kept in the store of blobs, sent to the master.
//!
//! An output lies in the store before it is sent, so that a task that has it as an input finds it
//! on this node. Always holds: nothing is read but files below the task's own folder, and no link
//! is followed: who wrote there is not trusted.

use crate::{
    folders::Folders,
    modules::{Modules, Part},
};
use skep_agent_core::{CacheFile, Input, Layout};
use skep_parcel::{Folder, PackError, Packed, pack};
use skep_protocol::{
    TaskKey,
    outcome::{Delivered, Missing},
    task::Output,
};
use skep_transport::blob;
use std::{
    io::{self, BufWriter},
    path::Path,
    sync::Arc,
};
use tokio::task::spawn_blocking;

/// What became of the outputs of a task.
#[derive(Default)]
struct Results {
    delivered: Vec<Delivered>,
    missing: Vec<Missing>,
    broken: Vec<Missing>,
}

/// Why an output was not stored at the master.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    /// The task has not left it, or it cannot be delivered, however often it is tried.
    Unfit(String),
    /// Worth another try.
    Broken(String),
}

impl Modules {
    /// Stores outputs of a task at the master and tells the shell. None of them keeps the others
    /// from being stored.
    pub(crate) fn deliver(&self, key: TaskKey, outputs: Vec<Output>) {
        let modules = self.clone();
        tokio::spawn(async move {
            let _slot = modules.deliveries.acquire().await;
            let mut results = Results::default();
            for Output { guest } in outputs {
                match modules.deliver_one(&key, &guest).await {
                    Ok(delivered) => results.delivered.push(delivered),
                    Err(Failure::Unfit(why)) => results.missing.push(Missing::new(guest, &why)),
                    Err(Failure::Broken(why)) => {
                        let why = format!("its output {guest:?} could not be delivered: {why}");
                        results.broken.push(Missing::new(guest, &why));
                    }
                }
            }
            let Results { delivered: outputs, missing, broken } = results;
            modules.tell(Input::Delivered { key, outputs, missing, broken }).await;
        });
    }

    async fn deliver_one(&self, key: &TaskKey, guest: &str) -> Result<Delivered, Failure> {
        let (folders, sandbox) = (self.folders.clone(), Layout::sandbox_name(key));
        let name = guest.to_owned();
        let kept = spawn_blocking(move || keep(&folders, &sandbox.join("files"), &name)).await;
        let (Packed { digest, size, form }, file) = kept.map_err(broken)??;
        self.tell_kept(CacheFile::Blob(digest)).await;
        self.tell(Input::BlobReady { digest }).await;
        let connection = self.link.borrow().clone();
        let connection = connection.ok_or_else(|| broken("there is no master to send it to"))?;
        let file = tokio::fs::File::from_std(file);
        blob::put(&connection, digest, size, file).await.map_err(broken)?;
        Ok(Delivered { guest: guest.to_owned(), digest, size, form })
    }
}

/// Keeps what a task has left under a name as a blob; gives the open file, too, since the store may
/// give it up.
fn keep(
    folders: &Arc<Folders>,
    files: &Path,
    guest: &str,
) -> Result<(Packed, std::fs::File), Failure> {
    let missing = || {
        let why = format!("its output {guest:?} is not there: it has left nothing of that name");
        Failure::Unfit(why)
    };
    let refused = |error: io::Error| {
        Failure::Unfit(format!("its output {guest:?} is not to be had: {error}"))
    };
    let root = Folder::open_below(&folders.tasks, Path::new(".")).map_err(broken)?;
    let root = root.below(files).map_err(refused)?.ok_or_else(missing)?;
    let part = Part::create(folders.clone()).map_err(broken)?;
    let mut blob = BufWriter::new(part.open().map_err(broken)?);
    let packed = match pack(&root, guest, &mut blob) {
        Ok(packed) => packed.ok_or_else(missing)?,
        Err(error @ PackError::Write(_)) => return Err(broken(error)),
        Err(error) => {
            let why = format!("its output {guest:?} cannot be delivered: {error}");
            return Err(Failure::Unfit(why));
        }
    };
    let file = blob.into_inner().map_err(|error| broken(error.into_error()))?;
    file.sync_all().map_err(broken)?;
    part.finish(&packed.digest).map_err(broken)?;
    let file = folders.blobs.open(packed.digest.hex()).map_err(broken)?;
    Ok((packed, file.into_std()))
}

fn broken(why: impl ToString) -> Failure {
    Failure::Broken(why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_protocol::{Digest, task::Form};
    use std::{fs, os::unix::fs::symlink};

    /// Folders with the sandbox of one task, whose own files are at the path.
    fn folders() -> (tempfile::TempDir, Arc<Folders>, std::path::PathBuf) {
        let outer = tempfile::tempdir().expect("a folder");
        let folders = Folders::open(outer.path(), outer.path(), "f00").expect("folders");
        let files = folders.layout.tasks.join("f1/t.1/files");
        fs::create_dir_all(&files).expect("made");
        (outer, Arc::new(folders), files)
    }

    fn keep_of(folders: &Arc<Folders>, guest: &str) -> Result<Packed, Failure> {
        keep(folders, Path::new("f1/t.1/files"), guest).map(|(packed, _)| packed)
    }

    #[test]
    fn what_a_task_has_left_is_kept_as_a_blob() {
        let (_outer, folders, files) = folders();
        fs::write(files.join("a.png"), "picture").expect("written");
        let digest = Digest::of(b"picture");
        let packed = keep_of(&folders, "a.png").expect("kept");
        assert_eq!(packed, Packed { digest, size: 7, form: Form::File });
        assert_eq!(folders.blobs.read(digest.hex()).expect("there"), b"picture");
        let all = keep_of(&folders, "*.png").expect("kept");
        assert_eq!(all.form, Form::Folder);
        let missing = keep_of(&folders, "b.png").expect_err("nothing is there");
        let why = "its output \"b.png\" is not there: it has left nothing of that name";
        assert_eq!(missing, Failure::Unfit(why.into()));
        let nothing = keep(&folders, Path::new("f1/t.2/files"), "a.png").map(|(packed, _)| packed);
        assert!(matches!(nothing, Err(Failure::Unfit(_))), "{nothing:?}");
        // Nothing else is left in the store.
        assert_eq!(folders.blobs.entries().expect("listed").count(), 2);
    }

    #[test]
    fn a_task_that_leaves_links_gives_nothing_away() {
        let (outer, folders, files) = folders();
        fs::write(outer.path().join("secret"), "secret").expect("written");
        symlink(outer.path().join("secret"), files.join("a")).expect("linked");
        symlink(outer.path(), files.join("way")).expect("linked");
        fs::create_dir(files.join("out")).expect("made");
        symlink("../../../secret", files.join("out/b")).expect("linked");
        for guest in ["a", "way/secret", "way", "out", "out/b", "w*/secret", "."] {
            let refused = keep_of(&folders, guest).expect_err(guest);
            let Failure::Unfit(why) = refused else { panic!("{refused:?}") };
            assert!(why.contains("is a link"), "{why}");
        }
        // An executor that was taken over may put one in the place of the sandbox itself.
        let sandbox = folders.layout.tasks.join("f1/t.2");
        symlink(outer.path(), sandbox).expect("linked");
        let refused = keep(&folders, Path::new("f1/t.2/files"), "secret").map(|_| ());
        assert!(matches!(refused, Err(Failure::Unfit(_))), "{refused:?}");
        assert_eq!(folders.blobs.entries().expect("listed").count(), 0);
    }
}
