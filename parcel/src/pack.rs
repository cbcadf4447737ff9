//! Out of a folder into a blob.

use crate::{
    DEPTH_MAX, PIECE_BYTES,
    folder::{Folder, Kind},
};
use sha2::{Digest as _, Sha256};
use skep_protocol::{Digest, bounds::BLOB_BYTES_MAX, pattern, task::Form};
use std::{
    ffi::{OsStr, OsString},
    io::{self, Read, Write},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

/// A blob that was made of a file or a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What its bytes are.
    pub form: Form,
}

/// Why something cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// It is, or has in it, what is neither file nor folder.
    #[error("{path:?} is {what}: only files and folders are packed")]
    Unfit {
        /// Where.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Its folders lie too deep in each other.
    #[error("{path:?} lies deeper than {DEPTH_MAX} folders")]
    TooDeep {
        /// Where.
        path: PathBuf,
    },
    /// It is larger than any blob may be.
    #[error("it is larger than the {BLOB_BYTES_MAX} bytes that one may have")]
    TooLarge,
    /// It cannot be read.
    #[error("{path:?} cannot be read: {source}")]
    Read {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The blob cannot be written.
    #[error("it cannot be kept: {0}")]
    Write(#[source] io::Error),
}

/// Writes what lies at `path` in `root` to `blob`: a file as it is, a folder as a tar, and a path
/// with `*` and `?` as a tar of all that has such a name, from the first of these signs on. None:
/// nothing is there.
///
/// # Errors
/// [`PackError`]; what was written by then is worthless.
pub fn pack(root: &Folder, path: &str, blob: &mut impl Write) -> Result<Option<Packed>, PackError> {
    let (base, signs) = match pattern::is_pattern(path) {
        true => pattern::split(path),
        false => (path, ""),
    };
    pack_from(root, OsStr::new(base), signs, blob)
}

/// As [`pack`], with a path in which `*` and `?` stand for themselves, and whose bytes need not be
/// UTF-8.
///
/// # Errors
/// [`PackError`]; what was written by then is worthless.
pub fn pack_exactly(
    root: &Folder,
    path: &OsStr,
    blob: &mut impl Write,
) -> Result<Option<Packed>, PackError> {
    pack_from(root, path, "", blob)
}

fn pack_from(
    root: &Folder,
    base: &OsStr,
    signs: &str,
    blob: &mut impl Write,
) -> Result<Option<Packed>, PackError> {
    let mut blob = Blob { to: blob, hasher: Sha256::new(), size: 0 };
    let path = base;
    let Some((folder, name)) = walk(root, base, !signs.is_empty())? else { return Ok(None) };
    let form = match name {
        Some(name) => match kind(&folder, &name, Path::new(path))? {
            None | Some(Kind::Folder) => return Ok(None),
            Some(Kind::File { size, .. }) => {
                let mut file = exactly(&folder, &name, Path::new(path), size)?;
                copy(&mut file, &mut blob, Path::new(path))?;
                Form::File
            }
            Some(Kind::Link | Kind::Other) => return Ok(None),
        },
        None => {
            let mut tar = tar::Builder::new(&mut blob);
            let found = match signs {
                "" => add_all(&mut tar, &folder, Path::new(""), 0).map(|()| true)?,
                signs => add_matches(&mut tar, &folder, Path::new(""), signs, 0)?,
            };
            if !found {
                return Ok(None);
            }
            tar.finish().map_err(written)?;
            Form::Folder
        }
    };
    let digest = Digest::from_bytes(blob.hasher.finalize().into());
    Ok(Some(Packed { digest, size: blob.size, form }))
}

/// The folder at a path, or the one that holds the file at a path, with its name. None: nothing is
/// there.
fn walk(
    root: &Folder,
    path: &OsStr,
    must_be_folder: bool,
) -> Result<Option<(Folder, Option<OsString>)>, PackError> {
    let read = |source| PackError::Read { path: path.into(), source };
    let mut folder = root.folder(OsStr::new(".")).map_err(read)?;
    let parts = path.as_bytes().split(|byte| *byte == b'/');
    let mut parts = parts.filter(|part| !matches!(*part, b"" | b".")).peekable();
    let mut so_far = PathBuf::new();
    while let Some(part) = parts.next().map(OsStr::from_bytes) {
        so_far.push(part);
        match kind(&folder, part, &so_far)? {
            Some(Kind::Folder) => folder = folder.folder(part).map_err(read)?,
            Some(Kind::File { .. }) if parts.peek().is_none() && !must_be_folder => {
                return Ok(Some((folder, Some(part.into()))));
            }
            _ => return Ok(None),
        }
    }
    Ok(Some((folder, None)))
}

/// What a name stands for, if it may be packed.
fn kind(folder: &Folder, name: &OsStr, path: &Path) -> Result<Option<Kind>, PackError> {
    let unfit = |what| Err(PackError::Unfit { path: path.into(), what });
    match folder.kind(name).map_err(|source| PackError::Read { path: path.into(), source })? {
        Some(Kind::Link) => unfit("a link"),
        Some(Kind::Other) => unfit("a device, a pipe or a socket"),
        kind => Ok(kind),
    }
}

type Tar<'a, 'b, W> = tar::Builder<&'a mut Blob<'b, W>>;

/// Adds all that is in a folder, whose path in the tar is `path`.
fn add_all<W: Write>(
    tar: &mut Tar<'_, '_, W>,
    folder: &Folder,
    path: &Path,
    depth: usize,
) -> Result<(), PackError> {
    let names = folder.names().map_err(|source| PackError::Read { path: path.into(), source })?;
    names.iter().try_for_each(|name| add(tar, folder, name, path, depth))
}

/// Adds what has a name in a folder.
fn add<W: Write>(
    tar: &mut Tar<'_, '_, W>,
    folder: &Folder,
    name: &OsStr,
    above: &Path,
    depth: usize,
) -> Result<(), PackError> {
    let path = above.join(name);
    if depth >= DEPTH_MAX {
        return Err(PackError::TooDeep { path });
    }
    match kind(folder, name, &path)? {
        Some(Kind::File { size, executable }) => {
            let file = exactly(folder, name, &path, size)?;
            let mode = if executable { 0o755 } else { 0o644 };
            let mut header = header(tar::EntryType::Regular, mode, size);
            tar.append_data(&mut header, &path, file).map_err(written)
        }
        Some(Kind::Folder) => {
            let mut header = header(tar::EntryType::Directory, 0o755, 0);
            tar.append_data(&mut header, &path, io::empty()).map_err(written)?;
            let inner = folder.folder(name);
            let inner = inner.map_err(|source| PackError::Read { path: path.clone(), source })?;
            add_all(tar, &inner, &path, depth + 1)
        }
        _ => Ok(()),
    }
}

/// Adds what has such names; false if nothing has. What is no character in a name is one that no
/// pattern names, so that `*` and `?` stand for it.
fn add_matches<W: Write>(
    tar: &mut Tar<'_, '_, W>,
    folder: &Folder,
    above: &Path,
    signs: &str,
    depth: usize,
) -> Result<bool, PackError> {
    let read = |source| PackError::Read { path: above.into(), source };
    let (first, rest) = signs.split_once('/').map_or((signs, None), |(a, b)| (a, Some(b)));
    let mut found = false;
    for name in folder.names().map_err(read)? {
        if !pattern::matches(first, &name.to_string_lossy()) {
            continue;
        }
        match rest {
            None => {
                add(tar, folder, &name, above, depth)?;
                found = true;
            }
            Some(rest) => {
                let path = above.join(&name);
                if kind(folder, &name, &path)? == Some(Kind::Folder) {
                    let inner = folder.folder(&name).map_err(read)?;
                    found |= add_matches(tar, &inner, &path, rest, depth + 1)?;
                }
            }
        }
    }
    Ok(found)
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// A file that gives as many bytes as it had, or an error.
fn exactly(
    folder: &Folder,
    name: &OsStr,
    path: &Path,
    size: u64,
) -> Result<Exactly<std::fs::File>, PackError> {
    let file = folder.file(name);
    let file = file.map_err(|source| PackError::Read { path: path.into(), source })?;
    Ok(Exactly { file, left: size })
}

struct Exactly<R> {
    file: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let read = self.file.read(&mut bytes[..room])?;
        if read == 0 && room > 0 {
            return Err(io::Error::other("it became shorter while it was packed"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

fn copy(from: &mut impl Read, to: &mut impl Write, path: &Path) -> Result<(), PackError> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = from.read(&mut piece);
        let read = read.map_err(|source| PackError::Read { path: path.into(), source })?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&piece[..read]).map_err(written)?;
    }
}

fn written(error: io::Error) -> PackError {
    match error.get_ref().is_some_and(|inner| inner.is::<TooLarge>()) {
        true => PackError::TooLarge,
        false => PackError::Write(error),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("it is too large")]
struct TooLarge;

/// What is written, counted and digested.
struct Blob<'a, W> {
    to: &'a mut W,
    hasher: Sha256,
    size: u64,
}

impl<W: Write> Write for Blob<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.size + bytes.len() as u64 > BLOB_BYTES_MAX {
            return Err(io::Error::other(TooLarge));
        }
        let written = self.to.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in [("a.txt", "a"), ("out/1.png", "one"), ("out/2.png", "two")] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        }
        fs::create_dir_all(folder.path().join("out/deep/empty")).expect("made");
        folder
    }

    fn packed(folder: &tempfile::TempDir, path: &str) -> (Option<Packed>, Vec<u8>) {
        let mut blob = Vec::new();
        let root = Folder::open(folder.path()).expect("opened");
        (pack(&root, path, &mut blob).expect("packed"), blob)
    }

    fn names(tar: &[u8]) -> Vec<String> {
        let mut tar = tar::Archive::new(tar);
        let entries = tar.entries().expect("a tar").map(|entry| entry.expect("an entry"));
        entries.map(|e| e.path().expect("a path").to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_is_packed_as_it_is() {
        let folder = folder();
        let one = Packed { digest: Digest::of(b"one"), size: 3, form: Form::File };
        assert_eq!(packed(&folder, "out/1.png"), (Some(one), b"one".to_vec()));
        for missing in ["b.txt", "a.txt/b", "out/3.png", "none/*", "out/*.jpg", "a.txt/*"] {
            assert_eq!(packed(&folder, missing).0, None, "{missing}");
        }
    }

    #[test]
    fn a_folder_or_a_pattern_is_a_tar_that_begins_there() {
        let folder = folder();
        let (out, tar) = packed(&folder, "out");
        assert_eq!(names(&tar), ["1.png", "2.png", "deep", "deep/empty"]);
        let out = out.expect("there");
        assert_eq!((out.digest, out.form), (Digest::of(&tar), Form::Folder));
        assert_eq!(names(&packed(&folder, "out/*.png").1), ["1.png", "2.png"]);
        assert_eq!(names(&packed(&folder, "*/1.*").1), ["out/1.png"]);
        assert_eq!(names(&packed(&folder, "?.txt").1), ["a.txt"]);
        assert_eq!(names(&packed(&folder, ".").1).len(), 6);
    }

    #[test]
    fn a_name_that_is_no_text_is_packed_as_it_is_and_matched_by_patterns() {
        let folder = folder();
        let name = OsStr::from_bytes(b"caf\xe9.png");
        fs::write(folder.path().join("out").join(name), "cafe").expect("written");
        let paths = |tar: &[u8]| {
            let mut tar = tar::Archive::new(tar);
            let entries = tar.entries().expect("a tar").map(|entry| entry.expect("an entry"));
            entries.map(|entry| entry.path_bytes().into_owned()).collect::<Vec<_>>()
        };
        let all = [&b"1.png"[..], b"2.png", b"caf\xe9.png"];
        assert_eq!(paths(&packed(&folder, "out/*.png").1), all);
        assert_eq!(paths(&packed(&folder, "out/caf?.png").1), all[2..]);
        assert_eq!(paths(&packed(&folder, "out").1)[..3], all);
        let root = Folder::open(folder.path()).expect("opened");
        let path = Path::new("out").join(name);
        let one = pack_exactly(&root, path.as_os_str(), &mut io::sink()).expect("packed");
        assert_eq!(one.expect("there").digest, Digest::of(b"cafe"));
    }

    #[test]
    fn the_same_content_is_the_same_tar_whenever_and_whoever_made_it() {
        let (one, other) = (folder(), folder());
        fs::remove_file(other.path().join("out/1.png")).expect("removed");
        fs::write(other.path().join("out/1.png"), "one").expect("written");
        let file = fs::File::open(other.path().join("out/2.png")).expect("opened");
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("set");
        assert_eq!(packed(&one, "out"), packed(&other, "out"));
    }

    #[test]
    fn no_link_is_followed() {
        let folder = folder();
        let root = Folder::open(folder.path()).expect("opened");
        let outside = tempfile::tempdir().expect("a folder");
        fs::write(outside.path().join("secret"), "secret").expect("written");
        symlink(outside.path(), folder.path().join("out/way")).expect("linked");
        symlink(outside.path().join("secret"), folder.path().join("b.txt")).expect("linked");
        for path in ["out", "out/way", "out/way/secret", "b.txt", "*.txt", "out/w*/secret"] {
            let refused = pack(&root, path, &mut Vec::new()).expect_err(path);
            assert!(matches!(refused, PackError::Unfit { what: "a link", .. }), "{refused}");
        }
        // Links that nobody asked for do no harm.
        assert_eq!(names(&packed(&folder, "out/*.png").1), ["1.png", "2.png"]);
    }

    #[test]
    fn folders_lie_no_deeper_than_they_may() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("d/".repeat(DEPTH_MAX + 1))).expect("made");
        let root = Folder::open(folder.path()).expect("opened");
        let refused = pack(&root, ".", &mut Vec::new()).expect_err("too deep");
        assert!(matches!(refused, PackError::TooDeep { .. }), "{refused}");
    }
}
