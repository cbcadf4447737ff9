//! The form of a backup.
//!
//! ```text
//! skep backup 1                         the format's version
//! {"cluster":"...","records":12,...}    the header, in one line
//! <kind> <name> <bytes>                 a part: a record, the authority, a blob
//! ...
//! skep end <SHA-256 of all before>
//! ```
//! A part is its kind in one byte, the length of its name in two bytes, the name, the length of
//! what it holds in eight, and that; numbers are big-endian.

use super::{BackupError, Contents, Header};
use crate::blobs::Blobs;
use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use skep_protocol::{Time, hello::Hello};
use std::{
    fmt::Display,
    fs::File,
    io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    time::SystemTime,
};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The version of the format that this build writes, and the newest that it reads.
const FORMAT: u32 = 1;
const TITLE: &str = "skep backup ";
const END: &[u8] = b"skep end";
const TRAILER_BYTES: u64 = (END.len() + SHA256_OUTPUT_LEN) as u64;
/// The longest first or second line.
const LINE_BYTES_MAX: u64 = 4 << 10;
const PIECE_BYTES: usize = 64 << 10;

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its name is the key of a row, its bytes are what stands there.
    Record,
    Authority,
    /// Its name is its digest in hex.
    Blob,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Record => b'r',
            Self::Authority => b'a',
            Self::Blob => b'b',
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Record, Self::Authority, Self::Blob].into_iter().find(|kind| kind.byte() == byte)
    }
}

/// Writes a backup.
///
/// # Errors
/// [`BackupError`]: what was written lacks its end.
pub(crate) async fn pack(
    to: &mut (impl AsyncWrite + Unpin),
    contents: &Contents,
    blobs: &Blobs,
) -> Result<Header, BackupError> {
    let header = Header {
        cluster: contents.cluster.clone(),
        build: Hello::ours().build,
        at: Time::from(SystemTime::now()),
        records: contents.rows.len(),
        blobs: contents.blobs.len(),
    };
    let mut out = Packer { to, hash: Context::new(&SHA256) };
    let line = serde_json::to_string(&header).expect("a header is plain data");
    out.write(format!("{TITLE}{FORMAT}\n{line}\n").as_bytes()).await?;
    for row in &contents.rows {
        let value = row.value.as_deref().unwrap_or_default();
        out.part(Kind::Record, &row.key, value.len() as u64).await?;
        out.write(value).await?;
    }
    out.part(Kind::Authority, "", contents.authority.len() as u64).await?;
    out.write(contents.authority.as_bytes()).await?;
    for digest in &contents.blobs {
        let found = blobs.read(digest)?;
        let (mut file, size) = found.ok_or(BackupError::BlobGone { digest: *digest })?;
        out.part(Kind::Blob, &digest.hex(), size).await?;
        out.copy(&mut file, size).await?;
    }
    let Packer { to, hash } = out;
    to.write_all(END).await?;
    to.write_all(hash.finish().as_ref()).await?;
    to.flush().await?;
    Ok(header)
}

struct Packer<'a, W> {
    to: &'a mut W,
    hash: Context,
}

impl<W: AsyncWrite + Unpin> Packer<'_, W> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.to.write_all(bytes).await
    }

    async fn part(&mut self, kind: Kind, name: &str, size: u64) -> io::Result<()> {
        let length = u16::try_from(name.len()).map_err(io::Error::other)?;
        let mut head = vec![kind.byte()];
        head.extend(length.to_be_bytes());
        head.extend(name.as_bytes());
        head.extend(size.to_be_bytes());
        self.write(&head).await
    }

    async fn copy(&mut self, from: &mut tokio::fs::File, size: u64) -> io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        let mut from = from.take(size);
        let mut left = size;
        while left > 0 {
            let read = from.read(&mut piece).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.write(&piece[..read]).await?;
            left -= read as u64;
        }
        Ok(())
    }
}

/// A backup that was found whole.
pub(super) struct Backup {
    pub(super) header: Header,
    path: PathBuf,
    file: io::Take<BufReader<File>>,
    /// What of the present part has not been read.
    left: u64,
}

impl Backup {
    /// Opens one and reads it once from end to end.
    ///
    /// # Errors
    /// [`BackupError`] if it is not whole, or none.
    pub(super) fn open(path: &Path) -> Result<Self, BackupError> {
        let cannot = |source| BackupError::Read { path: path.into(), source };
        let damaged = |why: &str| BackupError::Damaged { path: path.into(), why: why.into() };
        let mut file = BufReader::new(File::open(path).map_err(cannot)?);
        let title = line(&mut file).map_err(cannot)?;
        let version = title.strip_prefix(TITLE).and_then(|version| version.parse::<u32>().ok());
        let version = version.ok_or_else(|| BackupError::NoBackup { path: path.into() })?;
        if version != FORMAT {
            let (path, found, newest) = (path.into(), version, FORMAT);
            return Err(BackupError::Version { path, found, newest });
        }
        let size = file.get_ref().metadata().map_err(cannot)?.len();
        let body = size.saturating_sub(TRAILER_BYTES);
        let begin = file.stream_position().map_err(cannot)?;
        check(&mut file, path, body)?;
        file.seek(SeekFrom::Start(begin)).map_err(cannot)?;
        let header = line(&mut file).map_err(cannot)?;
        let header = serde_json::from_str(&header).map_err(|error| damaged(&error.to_string()))?;
        let begin = file.stream_position().map_err(cannot)?;
        let file = file.take(body.saturating_sub(begin));
        Ok(Self { header, path: path.into(), file, left: 0 })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The next part, whose bytes are to be read now; none behind the last.
    pub(super) fn next(&mut self) -> Result<Option<(Kind, String)>, BackupError> {
        if self.file.limit() == 0 {
            return Ok(None);
        }
        let (mut kind, mut length, mut size) = ([0], [0; 2], [0; 8]);
        let mut name = Vec::new();
        let mut read = || {
            self.file.read_exact(&mut kind)?;
            self.file.read_exact(&mut length)?;
            name.resize(usize::from(u16::from_be_bytes(length)), 0);
            self.file.read_exact(&mut name)?;
            self.file.read_exact(&mut size)
        };
        read().map_err(|error| self.damaged(error))?;
        self.left = u64::from_be_bytes(size);
        let kind = Kind::of(kind[0]).ok_or_else(|| self.damaged("a part of an unknown kind"))?;
        let name = String::from_utf8(name).map_err(|error| self.damaged(error))?;
        Ok(Some((kind, name)))
    }

    /// The bytes of the present part.
    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, BackupError> {
        let (mut bytes, size) = (Vec::new(), self.left);
        let read = self.reader().read_to_end(&mut bytes);
        let read = read.map_err(|source| BackupError::Read { path: self.path.clone(), source })?;
        if read as u64 == size { Ok(bytes) } else { Err(self.damaged("a part is too long")) }
    }

    /// The bytes of the present part, as they are read.
    pub(super) fn reader(&mut self) -> impl Read {
        let size = std::mem::take(&mut self.left);
        self.file.by_ref().take(size)
    }

    pub(super) fn damaged(&self, why: impl Display) -> BackupError {
        BackupError::Damaged { path: self.path.clone(), why: why.to_string() }
    }
}

/// Whether the digest behind the first `body` bytes is theirs.
fn check(file: &mut BufReader<File>, path: &Path, body: u64) -> Result<(), BackupError> {
    let cannot = |source| BackupError::Read { path: path.into(), source };
    file.rewind().map_err(cannot)?;
    let mut hash = Context::new(&SHA256);
    let mut piece = vec![0; PIECE_BYTES];
    let mut hashed = file.take(body);
    loop {
        match hashed.read(&mut piece).map_err(cannot)? {
            0 => break,
            read => hash.update(&piece[..read]),
        }
    }
    let mut trailer = Vec::new();
    file.read_to_end(&mut trailer).map_err(cannot)?;
    let digest = trailer.strip_prefix(END).filter(|digest| digest.len() == SHA256_OUTPUT_LEN);
    let digest = digest.ok_or_else(|| BackupError::Truncated { path: path.into() })?;
    if hash.finish().as_ref() != digest {
        let why = "its digest is another".into();
        return Err(BackupError::Damaged { path: path.into(), why });
    }
    Ok(())
}

/// One line, without its end.
fn line(file: &mut BufReader<File>) -> io::Result<String> {
    let mut line = Vec::new();
    file.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}
