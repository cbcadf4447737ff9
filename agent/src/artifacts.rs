//! Artifacts: machine code that executors take at its word, so that its origin is all its safety.
//!
//! ```text
//! skep compile -> drafts/<name> -> sealed: MAC appended, synced, renamed -> <hex>.cwasm
//!                                                                            | verified once a run
//!                                       executors <- an open descriptor <----+
//! ```
//! The seal is an HMAC-SHA-256 over fingerprint, file name and code, by a key that lies in the
//! cache folder and that no executor can read. Always holds: a descriptor that leaves here is of a
//! file whose seal was checked through that very descriptor; a sealed file is never changed.

use crate::folders::Folders;
use ring::{
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, fchmod, fstat, linkat, openat},
    io::Errno,
};
use skep_protocol::Artifact;
use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read, Write as _},
    os::fd::AsFd,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use subtle::ConstantTimeEq as _;

/// The key's file in the cache folder, which agents of one user share.
const KEY: &str = "artifact.key";
const KEY_BYTES: usize = 32;
/// The seal at the end of an artifact. Loaders find all parts by the header and pass over it.
const SEAL_BYTES: usize = 32;
/// What the seal covers first, so that the key says nothing under any other meaning.
const MEANING: &[u8] = b"skep artifact 1";
/// Artifacts that are kept open; to open one again costs another look at its seal. Far below the
/// usual limit of 1,024 descriptors.
const OPEN_MAX: usize = 256;
/// What is read at once for the seal.
const CHUNK_BYTES: usize = 256 << 10;

/// See the module.
pub(crate) struct Artifacts {
    folders: Arc<Folders>,
    key: hmac::Key,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    files: HashMap<Artifact, (u64, Arc<File>)>,
    uses: u64,
}

/// Why an artifact cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArtifactError {
    #[error("there is no artifact of it")]
    Missing,
    #[error("its artifact is not what this agent's compiler made: {0}")]
    Spoilt(&'static str),
    #[error("its artifact cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl Artifacts {
    /// With the key of the cache folder, made if there is none.
    pub(crate) fn new(folders: Arc<Folders>) -> io::Result<Self> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key(&folders)?);
        Ok(Self { folders, key, open: Mutex::default() })
    }

    /// Where a compiler may write a draft: its name, and its path.
    pub(crate) fn draft(&self) -> (String, PathBuf) {
        let name = uuid::Uuid::now_v7().simple().to_string();
        let path = self.folders.layout.artifacts.join("drafts").join(&name);
        (name, path)
    }

    /// Seals what the compiler wrote and puts it in its place.
    pub(crate) fn seal(&self, draft: &str, artifact: &Artifact) -> io::Result<()> {
        let Folders { drafts, artifacts, .. } = &*self.folders;
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(drafts, draft, flags, Mode::empty())?);
        let bytes = regular_bytes(&file)?;
        let seal = self.mac(artifact, &mut file, bytes)?;
        file.write_all(seal.as_ref())?;
        // From here on nobody writes to it, the owner included.
        fchmod(&file, Mode::RUSR)?;
        file.sync_all()?;
        drafts.rename(draft, artifacts, artifact.file_name())?;
        artifacts.open(".")?.sync_all()
    }

    /// Forgets a draft that comes to nothing.
    pub(crate) fn discard(&self, draft: &str) {
        // The compiler may never have begun it.
        let _ = self.folders.drafts.remove_file(draft);
    }

    /// Removes an artifact.
    pub(crate) fn remove(&self, artifact: &Artifact) -> io::Result<()> {
        self.lock().files.remove(artifact);
        match self.folders.artifacts.remove_file(artifact.file_name()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// A verified artifact, open for reading; what is open already is not verified again.
    pub(crate) fn open(&self, artifact: &Artifact) -> Result<Arc<File>, ArtifactError> {
        match self.find(artifact) {
            Some(file) => Ok(file),
            None => self.verify(artifact),
        }
    }

    /// A verified artifact that is open already.
    pub(crate) fn find(&self, artifact: &Artifact) -> Option<Arc<File>> {
        self.lock().find(artifact)
    }

    /// As [`Artifacts::open`], but looks at the whole file in any case.
    pub(crate) fn verify(&self, artifact: &Artifact) -> Result<Arc<File>, ArtifactError> {
        self.lock().files.remove(artifact);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(&self.folders.artifacts, artifact.file_name(), flags, Mode::empty());
        let mut file = match opened {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Err(ArtifactError::Missing),
            Err(Errno::LOOP) => return Err(ArtifactError::Spoilt("it is a symbolic link")),
            Err(error) => return Err(ArtifactError::Io(error.into())),
        };
        let bytes = regular_bytes(&file)?
            .checked_sub(SEAL_BYTES as u64)
            .ok_or(ArtifactError::Spoilt("it is too short"))?;
        let expected = self.mac(artifact, &mut file, bytes)?;
        let mut seal = [0; SEAL_BYTES];
        file.read_exact(&mut seal)?;
        if !bool::from(seal.ct_eq(expected.as_ref())) {
            return Err(ArtifactError::Spoilt("its seal is broken"));
        }
        let file = Arc::new(file);
        self.lock().keep(*artifact, Arc::clone(&file));
        Ok(file)
    }

    fn mac(&self, artifact: &Artifact, file: &mut File, bytes: u64) -> io::Result<hmac::Tag> {
        let mut mac = hmac::Context::with_key(&self.key);
        // None of these contains a zero, so that no two lists of them give the same bytes.
        for part in [MEANING, self.folders.fingerprint.as_bytes(), artifact.file_name().as_bytes()]
        {
            mac.update(part);
            mac.update(&[0]);
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut code = file.take(bytes);
        loop {
            match code.read(&mut chunk)? {
                0 if code.limit() > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                0 => return Ok(mac.sign()),
                count => mac.update(&chunk[..count]),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn find(&mut self, artifact: &Artifact) -> Option<Arc<File>> {
        self.uses += 1;
        let (last_use, file) = self.files.get_mut(artifact)?;
        *last_use = self.uses;
        Some(Arc::clone(file))
    }

    fn keep(&mut self, artifact: Artifact, file: Arc<File>) {
        self.uses += 1;
        if self.files.len() >= OPEN_MAX {
            let oldest = self.files.iter().min_by_key(|(_, (last_use, _))| *last_use);
            if let Some(oldest) = oldest.map(|(artifact, _)| *artifact) {
                self.files.remove(&oldest);
            }
        }
        self.files.insert(artifact, (self.uses, file));
    }
}

/// The size of a file that is one: a pipe or a folder has none.
fn regular_bytes(file: &File) -> io::Result<u64> {
    let status = fstat(file)?;
    if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(u64::try_from(status.st_size).unwrap_or(0))
}

/// Reads the key; makes it if there is none. Of two agents that start at once one makes it.
fn key(folders: &Folders) -> io::Result<[u8; KEY_BYTES]> {
    let cache = &folders.cache;
    if let Some(key) = read_key(cache)? {
        return Ok(key);
    }
    let draft = format!("{KEY}.{}", uuid::Uuid::now_v7().simple());
    let mut key = [0; KEY_BYTES];
    SystemRandom::new().fill(&mut key).map_err(|_| io::Error::other("no random numbers"))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut file = File::from(openat(cache, &draft, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(&key)?;
    file.sync_all()?;
    let linked = linkat(cache, &draft, cache, KEY, AtFlags::empty());
    cache.remove_file(&draft)?;
    match linked {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    read_key(cache)?.ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn read_key(cache: impl AsFd) -> io::Result<Option<[u8; KEY_BYTES]>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match openat(cache, KEY, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut key = Vec::new();
    File::from(file).take(KEY_BYTES as u64 + 1).read_to_end(&mut key)?;
    let whole =
        |_: Vec<u8>| io::Error::other(format!("{KEY} has not {KEY_BYTES} bytes: remove it"));
    let key: [u8; KEY_BYTES] = key.try_into().map_err(whole)?;
    Ok(Some(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_protocol::{Digest, Nans};
    use std::{
        fs,
        os::unix::{fs::PermissionsExt as _, fs::symlink},
        path::Path,
    };
    use tempfile::TempDir;

    fn artifacts(cache: &Path, fingerprint: &str) -> Artifacts {
        let folders = Folders::open(cache, cache, fingerprint).expect("folders");
        Artifacts::new(Arc::new(folders)).expect("a key")
    }

    /// A cache with the sealed artifact of [`module`].
    fn sealed() -> (TempDir, Artifacts) {
        let cache = tempfile::tempdir().expect("a folder");
        let artifacts = artifacts(cache.path(), "f00");
        let (name, path) = artifacts.draft();
        fs::write(path, "machine code").expect("written");
        artifacts.seal(&name, &module()).expect("sealed");
        (cache, artifacts)
    }

    fn of(bytes: &[u8]) -> Artifact {
        Artifact { module: Digest::of(bytes), nans: Nans::Native }
    }

    fn module() -> Artifact {
        of(b"module")
    }

    fn path(artifacts: &Artifacts) -> PathBuf {
        artifacts.folders.layout.artifacts.join(module().file_name())
    }

    /// Puts other bytes in the artifact's place, as somebody who can write there would.
    fn replace(artifacts: &Artifacts, bytes: &[u8]) {
        fs::remove_file(path(artifacts)).expect("it is there");
        fs::write(path(artifacts), bytes).expect("written");
    }

    fn refusal(artifacts: &Artifacts) -> String {
        artifacts.verify(&module()).expect_err("it should be refused").to_string()
    }

    #[test]
    fn what_was_sealed_here_is_open_to_read_and_no_more() {
        let (cache, artifacts) = sealed();
        let file = artifacts.open(&module()).expect("verified");
        assert!(Arc::ptr_eq(&file, &artifacts.open(&module()).expect("open")));
        assert!((&*file).write_all(b"x").is_err());
        assert_eq!(path(&artifacts).metadata().expect("there").permissions().mode() & 0o777, 0o400);
        let key = cache.path().join(KEY).metadata().expect("there");
        assert_eq!((key.permissions().mode() & 0o777, key.len()), (0o600, 32));
        // Another run of the agent has the same key.
        self::artifacts(cache.path(), "f00").open(&module()).expect("verified");
    }

    #[test]
    fn a_flipped_bit_anywhere_breaks_the_seal() {
        let (_cache, artifacts) = sealed();
        let whole = fs::read(path(&artifacts)).expect("read");
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            replace(&artifacts, &bytes);
            assert!(refusal(&artifacts).ends_with("its seal is broken"));
        }
        replace(&artifacts, &whole);
        artifacts.verify(&module()).expect("it is as it was");
    }

    #[test]
    fn an_artifact_that_is_cut_or_has_no_seal_is_refused() {
        let (_cache, artifacts) = sealed();
        let whole = fs::read(path(&artifacts)).expect("read");
        for length in 0..whole.len() {
            replace(&artifacts, &whole[..length]);
            refusal(&artifacts);
        }
        replace(&artifacts, b"machine code of somebody else, long enough to hold a seal");
        assert!(refusal(&artifacts).ends_with("its seal is broken"));
    }

    #[test]
    fn an_artifact_of_another_build_or_module_or_key_is_refused() {
        let (cache, ours) = sealed();
        let whole = fs::read(path(&ours)).expect("read");
        let other_build = artifacts(cache.path(), "f01");
        fs::write(path(&other_build), &whole).expect("written");
        assert!(refusal(&other_build).ends_with("its seal is broken"));

        let other = of(b"other");
        fs::copy(path(&ours), path(&ours).with_file_name(other.file_name())).expect("copied");
        assert!(matches!(ours.verify(&other), Err(ArtifactError::Spoilt(_))));

        fs::remove_file(cache.path().join(KEY)).expect("it is there");
        assert!(refusal(&artifacts(cache.path(), "f00")).ends_with("its seal is broken"));
    }

    #[test]
    fn a_symbolic_link_is_no_artifact() {
        let (cache, artifacts) = sealed();
        let elsewhere = cache.path().join("elsewhere");
        fs::rename(path(&artifacts), &elsewhere).expect("moved");
        symlink(&elsewhere, path(&artifacts)).expect("linked");
        assert!(refusal(&artifacts).ends_with("it is a symbolic link"));
        // Nor is it a draft.
        let (name, draft) = artifacts.draft();
        symlink(&elsewhere, draft).expect("linked");
        artifacts.seal(&name, &module()).expect_err("it is no file");
    }

    #[test]
    fn an_artifact_that_is_gone_is_missing_and_not_spoilt() {
        let (_cache, artifacts) = sealed();
        artifacts.open(&module()).expect("verified");
        artifacts.remove(&module()).expect("removed");
        assert!(matches!(artifacts.open(&module()), Err(ArtifactError::Missing)));
    }
}
