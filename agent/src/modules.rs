//! The module store: blobs by digest, fetched from the master, and the artifacts made of them.
//!
//! Always holds: a blob stands under its name only once it is whole, synced and its digest is
//! right; it is never changed afterwards. So what is there needs no second check, and agents may
//! share the folder. Artifacts are machine code and need one in each run (`artifacts.rs`).

use crate::{
    artifacts::{ArtifactError, Artifacts},
    compiler::Compiler,
    folders::Folders,
    shell::Event,
};
use cap_std::fs::{Dir, OpenOptions};
use skep_agent_core::{CacheFile, CompileFailure, FetchFailure, Input};
use skep_protocol::{Artifact, Digest};
use skep_transport::{
    Connection, RequestError,
    blob::{self, BlobError},
};
use std::{
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    fs::File,
    sync::{Semaphore, mpsc, watch},
};

/// Blobs fetched at once: more would only share the same wire.
const FETCHES_MAX: usize = 8;
/// Tasks whose outputs are delivered at once, for the same reason.
const DELIVERIES_MAX: usize = 8;
/// Modules compiled at once; each compilation uses several threads.
const COMPILATIONS_MAX: usize = 2;
/// The ending of blobs on their way.
const PART: &str = ".part";
/// Age at which a part is what a dead agent left.
const PART_AGE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Modules {
    pub(crate) folders: Arc<Folders>,
    pub(crate) artifacts: Arc<Artifacts>,
    pub(crate) compiler: Arc<Compiler>,
    /// The connection to the master, while there is one.
    pub(crate) link: watch::Receiver<Option<Connection>>,
    pub(crate) inbox: mpsc::Sender<Event>,
    fetches: Arc<Semaphore>,
    pub(crate) deliveries: Arc<Semaphore>,
    compilations: Arc<Semaphore>,
}

impl Modules {
    pub(crate) fn new(
        folders: Arc<Folders>,
        artifacts: Arc<Artifacts>,
        compiler: Compiler,
        link: watch::Receiver<Option<Connection>>,
        inbox: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            folders,
            artifacts,
            compiler: Arc::new(compiler),
            link,
            inbox,
            fetches: Arc::new(Semaphore::new(FETCHES_MAX)),
            deliveries: Arc::new(Semaphore::new(DELIVERIES_MAX)),
            compilations: Arc::new(Semaphore::new(COMPILATIONS_MAX)),
        }
    }

    /// Brings a blob to the disk and tells the shell.
    pub(crate) fn fetch(&self, digest: Digest) {
        let modules = self.clone();
        tokio::spawn(async move {
            let _slot = modules.fetches.acquire().await;
            let input = match modules.bring(digest).await {
                Ok(()) => {
                    modules.tell_kept(CacheFile::Blob(digest)).await;
                    Input::BlobReady { digest }
                }
                Err(why) => Input::BlobFailed { digest, why },
            };
            modules.tell(input).await;
        });
    }

    /// Makes an artifact and tells the shell.
    pub(crate) fn compile(&self, artifact: Artifact) {
        let modules = self.clone();
        tokio::spawn(async move {
            let _slot = modules.compilations.acquire().await;
            let input = match modules.make_artifact(artifact).await {
                Ok(()) => {
                    modules.tell_kept(CacheFile::Artifact(artifact)).await;
                    Input::Compiled { artifact }
                }
                Err(why) => Input::CompileFailed { artifact, why },
            };
            modules.tell(input).await;
        });
    }

    /// Removes what no task needs.
    pub(crate) fn discard(&self, file: CacheFile) {
        let removed = match file {
            CacheFile::Blob(digest) => self.folders.blobs.remove_file(digest.hex()),
            CacheFile::Artifact(artifact) => self.artifacts.remove(&artifact),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%file, %error, "a file of the cache cannot be removed");
            }
            _ => tracing::info!(%file, "removed from the cache, which is full"),
        }
    }

    pub(crate) async fn tell_kept(&self, file: CacheFile) {
        let metadata = match file {
            CacheFile::Blob(digest) => self.folders.blobs.metadata(digest.hex()),
            CacheFile::Artifact(artifact) => self.folders.artifacts.metadata(artifact.file_name()),
        };
        // What is gone again takes nothing.
        let bytes = metadata.map_or(0, |metadata| metadata.len());
        self.tell(Input::Kept { file, bytes }).await;
    }

    pub(crate) async fn tell(&self, input: Input) {
        // Without a shell nobody waits for it any more.
        let _ = self.inbox.send(Event::Input(input)).await;
    }

    async fn bring(&self, digest: Digest) -> Result<(), FetchFailure> {
        if self.folders.blobs.exists(digest.hex()) {
            return Ok(());
        }
        let connection = self.link.borrow().clone();
        let connection = connection.ok_or_else(|| failed("there is no master to ask"))?;
        let part = Part::create(self.folders.clone()).map_err(failed)?;
        let mut file = File::from_std(part.open().map_err(failed)?);
        blob::fetch(&connection, digest, &mut file).await.map_err(failure)?;
        file.sync_all().await.map_err(failed)?;
        part.finish(&digest).map_err(failed)
    }

    async fn make_artifact(&self, artifact: Artifact) -> Result<(), CompileFailure> {
        let Artifact { module, nans } = artifact;
        if self.has_artifact(artifact).await? {
            return Ok(());
        }
        let Folders { layout, blobs, .. } = &*self.folders;
        let size = blobs.metadata(module.hex()).map_err(|error| CompileFailure::Failed {
            why: format!("its file cannot be read: {error}"),
        })?;
        tracing::info!(module = %artifact, "compiling a module");
        let (source, (draft, path)) = (layout.blob(&module), self.artifacts.draft());
        let compiled = self.compiler.compile(&source, &path, nans, size.len()).await;
        let sealed = match compiled {
            Ok(()) => {
                let draft = draft.clone();
                self.blocking(move |artifacts| {
                    artifacts.seal(&draft, &artifact)?;
                    artifacts.verify(&artifact).map(drop)
                })
                .await
            }
            Err(why) => Err(why),
        };
        if sealed.is_err() {
            self.artifacts.discard(&draft);
        }
        sealed
    }

    /// Looks for an artifact that an earlier run has left; one that is not ours is removed.
    async fn has_artifact(&self, artifact: Artifact) -> Result<bool, CompileFailure> {
        self.blocking(move |artifacts| match artifacts.verify(&artifact) {
            Ok(_) => Ok(true),
            Err(ArtifactError::Missing) => Ok(false),
            Err(error) => {
                tracing::warn!(module = %artifact, %error, "an artifact is removed and made anew");
                artifacts.remove(&artifact)?;
                Ok(false)
            }
        })
        .await
    }

    /// Does what reads or writes a whole artifact, on a thread that may wait for the disk.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Artifacts) -> Result<T, ArtifactError> + Send + 'static,
    ) -> Result<T, CompileFailure> {
        let artifacts = Arc::clone(&self.artifacts);
        let done = tokio::task::spawn_blocking(move || work(&artifacts)).await;
        let failed = |why: String| CompileFailure::Failed { why };
        done.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))
    }
}

/// What earlier runs have left in the store, and agents that share it. Artifacts are not told to be
/// ready: each is verified when it is first needed.
pub(crate) fn found(folders: &Folders) -> io::Result<Vec<Input>> {
    let (mut kept, mut ready) = (Vec::new(), Vec::new());
    for name in names(&folders.blobs)? {
        if let Some(digest) = digest_of(&name) {
            kept.push((folders.blobs.metadata(&name)?, CacheFile::Blob(digest)));
            ready.push(Input::BlobReady { digest });
        } else if name.ends_with(PART) {
            remove_if_old(&folders.blobs, &name)?;
        }
    }
    for name in names(&folders.artifacts)? {
        if let Some(artifact) = Artifact::of_file_name(&name) {
            kept.push((folders.artifacts.metadata(&name)?, CacheFile::Artifact(artifact)));
        }
    }
    kept.sort_by_cached_key(|(metadata, file)| {
        (metadata.modified().map(|time| time.into_std()).ok(), *file)
    });
    let kept = kept.into_iter().map(|(metadata, file)| Input::Kept { file, bytes: metadata.len() });
    // What is removed again must be known first.
    let mut inputs = ready;
    inputs.extend(kept);
    for name in names(&folders.drafts)? {
        remove_if_old(&folders.drafts, &name)?;
    }
    Ok(inputs)
}

fn names(dir: &Dir) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in dir.entries()? {
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

fn digest_of(hex: &str) -> Option<Digest> {
    format!("sha256:{hex}").parse().ok()
}

fn remove_if_old(dir: &Dir, name: &str) -> io::Result<()> {
    let modified = dir.metadata(name)?.modified()?.into_std();
    let age = SystemTime::now().duration_since(modified).unwrap_or_default();
    if age > PART_AGE_MAX { dir.remove_file(name) } else { Ok(()) }
}

/// A blob on its way; gone if it does not arrive.
pub(crate) struct Part {
    folders: Arc<Folders>,
    name: String,
}

impl Part {
    pub(crate) fn create(folders: Arc<Folders>) -> io::Result<Self> {
        // Two agents may fetch the same blob into the same folder.
        let name = format!("{}{PART}", uuid::Uuid::now_v7().simple());
        folders.blobs.create(&name)?;
        Ok(Self { folders, name })
    }

    pub(crate) fn open(&self) -> io::Result<std::fs::File> {
        let options = OpenOptions::new().write(true).clone();
        Ok(self.folders.blobs.open_with(&self.name, &options)?.into_std())
    }

    /// It is whole, synced, and its digest is right.
    pub(crate) fn finish(self, digest: &Digest) -> io::Result<()> {
        let blobs = &self.folders.blobs;
        blobs.rename(&self.name, blobs, digest.hex())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After `finish` there is nothing of that name.
        let _ = self.folders.blobs.remove_file(&self.name);
    }
}

fn failure(error: BlobError) -> FetchFailure {
    match error {
        BlobError::Request(RequestError::Refused(rejection)) => FetchFailure::Refused { rejection },
        error => failed(error),
    }
}

fn failed(why: impl ToString) -> FetchFailure {
    FetchFailure::Failed { why: why.to_string() }
}

#[cfg(test)]
mod tests;
