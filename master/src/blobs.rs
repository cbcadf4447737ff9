//! The blobs that the master holds: modules and inputs, named by digest.
//!
//! Owns one folder of files `<hex>`. Always holds: a file of that name is whole and has that
//! digest, because it is written under another name, synced, and renamed only when it is verified.

use cap_std::{ambient_authority, fs::Dir};
use ring::digest::{Context, SHA256};
use skep_protocol::{Digest, operator::view::ModuleView};
use skep_shell::OwnFolder;
use std::{
    io::{self, Read, Write as _},
    path::Path,
    time::UNIX_EPOCH,
};

/// How every Wasm file begins; behind it stand its version and whether it is a component.
const MAGIC: &[u8] = b"\0asm";
const HEADER_BYTES: u64 = 8;
const PIECE_BYTES: usize = 64 << 10;

/// A folder of blobs.
#[derive(Debug)]
pub(crate) struct Blobs {
    dir: Dir,
    /// Keeps the folder of a cluster that ends with its process.
    _temporary: Option<OwnFolder>,
}

/// A blob that is being written; nothing of it stays if it is dropped.
#[derive(Debug)]
pub(crate) struct Incoming {
    file: tokio::fs::File,
    name: String,
    dir: Dir,
}

impl Blobs {
    /// Opens or makes the folder; what an earlier run did not finish is removed.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let blobs =
            Self { dir: Dir::open_ambient_dir(path, ambient_authority())?, _temporary: None };
        for entry in blobs.dir.entries()? {
            let name = entry?.file_name();
            if name.to_string_lossy().starts_with(INCOMING) {
                blobs.dir.remove_file(name)?;
            }
        }
        Ok(blobs)
    }

    /// A folder that is removed with this value.
    pub(crate) fn temporary() -> io::Result<Self> {
        let temporary = OwnFolder::new("blobs-")?;
        let blobs = Self::open(&temporary.path().join("blobs"))?;
        Ok(Self { _temporary: Some(temporary), ..blobs })
    }

    /// What is stored.
    pub(crate) fn stored(&self) -> io::Result<Vec<Digest>> {
        let mut stored = Vec::new();
        for entry in self.dir.entries()? {
            let name = entry?.file_name();
            stored.extend(format!("sha256:{}", name.to_string_lossy()).parse::<Digest>());
        }
        Ok(stored)
    }

    /// What is stored and is a module or component, by its first bytes; newest first.
    pub(crate) fn modules(&self) -> io::Result<Vec<ModuleView>> {
        let mut modules = Vec::new();
        for entry in self.dir.entries()? {
            let name = entry?.file_name();
            let Ok(digest) = format!("sha256:{}", name.to_string_lossy()).parse::<Digest>() else {
                continue;
            };
            let mut file = self.dir.open(&name)?;
            let mut header = Vec::new();
            (&mut file).take(HEADER_BYTES).read_to_end(&mut header)?;
            if !header.starts_with(MAGIC) {
                continue;
            }
            let metadata = file.metadata()?;
            let stored = metadata.modified()?.into_std().duration_since(UNIX_EPOCH);
            let micros = stored.unwrap_or_default().as_micros();
            let kind = if header.get(6) == Some(&1) { "component" } else { "module" };
            modules.push(ModuleView {
                digest: digest.to_string(),
                kind: kind.into(),
                bytes: metadata.len(),
                stored_micros: u64::try_from(micros).unwrap_or(u64::MAX),
            });
        }
        modules.sort_by(|a, b| (b.stored_micros, &a.digest).cmp(&(a.stored_micros, &b.digest)));
        Ok(modules)
    }

    /// A stored blob and its size; none if there is no such blob.
    pub(crate) fn read(&self, digest: &Digest) -> io::Result<Option<(tokio::fs::File, u64)>> {
        match self.dir.open(digest.hex()) {
            Ok(file) => {
                let size = file.metadata()?.len();
                Ok(Some((tokio::fs::File::from_std(file.into_std()), size)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores what is read, up to its end, if it has this digest. Blocks.
    pub(crate) fn store(&self, digest: &Digest, from: &mut impl Read) -> io::Result<()> {
        let name = format!("{INCOMING}{}", digest.hex());
        let mut file = self.dir.create(&name)?;
        let mut hash = Context::new(&SHA256);
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match from.read(&mut piece)? {
                0 => break,
                read => {
                    hash.update(&piece[..read]);
                    file.write_all(&piece[..read])?;
                }
            }
        }
        if hash.finish().as_ref() != digest.as_bytes() {
            self.dir.remove_file(&name)?;
            let why = format!("what was to be blob {digest} is not");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        file.sync_all()?;
        self.dir.rename(&name, &self.dir, digest.hex())?;
        self.dir.open(".")?.sync_all()
    }

    /// Begins to write a blob. `writer` tells writers of the same blob apart.
    pub(crate) fn begin(&self, digest: &Digest, writer: u64) -> io::Result<Incoming> {
        self.begin_as(format!("{INCOMING}{}-{writer}", digest.hex()))
    }

    /// Begins to write a blob whose digest is not known before all of it is here.
    pub(crate) fn begin_unnamed(&self) -> io::Result<Incoming> {
        self.begin_as(format!("{INCOMING}{}", uuid::Uuid::new_v4()))
    }

    fn begin_as(&self, name: String) -> io::Result<Incoming> {
        let file = tokio::fs::File::from_std(self.dir.create(&name)?.into_std());
        Ok(Incoming { file, name, dir: self.dir.try_clone()? })
    }
}

/// How unfinished files begin; no digest does.
const INCOMING: &str = "incoming-";

impl Incoming {
    /// Where the bytes go.
    pub(crate) fn file(&mut self) -> &mut tokio::fs::File {
        &mut self.file
    }

    /// Makes the blob durable under its digest, which the caller has verified.
    pub(crate) async fn finish(mut self, digest: &Digest) -> io::Result<()> {
        use tokio::io::AsyncWriteExt as _;
        self.file.flush().await?;
        self.file.sync_all().await?;
        self.dir.rename(&self.name, &self.dir, digest.hex())?;
        // The name must be as durable as the bytes.
        let folder = self.dir.open(".")?;
        tokio::task::spawn_blocking(move || folder.sync_all()).await?
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Gone already when it was finished; a leftover is removed at the next start.
        let _ = self.dir.remove_file(&self.name);
    }
}
