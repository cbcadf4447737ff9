//! Out of a blob into a folder.

use crate::{DEPTH_MAX, PIECE_BYTES, folder::Folder};
use skep_protocol::{bounds::PATH_BYTES_MAX, task::Form};
use std::{
    ffi::OsStr,
    io::{self, Read, Write},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};
use tar::EntryType;

/// Bytes of the attributes that some tars have before an entry.
const ATTRIBUTES_BYTES_MAX: u64 = 64 << 10;

/// What may still be written. It becomes less by what is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of files.
    pub bytes: u64,
    /// Files and folders.
    pub names: u64,
}

/// Why a blob cannot be laid into a folder.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// There is more in it than may be written.
    #[error("it has more files, or more bytes in them, than may be written")]
    Full,
    /// A name in the tar is none that lies below the folder.
    #[error("the tar has the name {path:?}, which is not below its folder")]
    Outside {
        /// Which.
        path: PathBuf,
    },
    /// There is something else in the tar than files and folders.
    #[error("the tar has {what} of the name {path:?}: only files and folders are unpacked")]
    Unfit {
        /// Which.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// It is no tar, or the blob cannot be read.
    #[error("it is no tar: {0}")]
    Tar(#[source] io::Error),
    /// It cannot be written.
    #[error("{path:?} cannot be written: {source}")]
    Write {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody wants it any more.
    #[error("it was given up")]
    GivenUp,
}

/// Lays a blob into `root` at `path`: the bytes of one file, or a tar of what is in a folder. What
/// is there of the same names is written over. `goes_on` says whether it is still wanted.
///
/// # Errors
/// [`UnpackError`]; what was written by then stays.
pub fn unpack(
    root: &Folder,
    path: &str,
    form: Form,
    blob: impl Read,
    budget: &mut Budget,
    goes_on: impl Fn() -> bool,
) -> Result<(), UnpackError> {
    let mut writer = Writer { budget, goes_on };
    match form {
        Form::File => writer.file(root, Path::new(path), false, blob),
        Form::Folder => {
            let parts = parts(Path::new(path))?;
            let folder = writer.folder(root, &parts)?;
            writer.tar(&folder, blob)
        }
    }
}

struct Writer<'a, F> {
    budget: &'a mut Budget,
    goes_on: F,
}

impl<F: Fn() -> bool> Writer<'_, F> {
    fn tar(&mut self, folder: &Folder, blob: impl Read) -> Result<(), UnpackError> {
        let mut tar = tar::Archive::new(blob);
        // What belongs to a name that does not fit its header stands before it.
        let mut long_name: Option<PathBuf> = None;
        for entry in tar.entries().map_err(UnpackError::Tar)?.raw(true) {
            let mut entry = entry.map_err(UnpackError::Tar)?;
            let kind = entry.header().entry_type();
            match kind {
                EntryType::GNULongName => {
                    let mut name = read(&mut entry, PATH_BYTES_MAX as u64 * 4)?;
                    name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
                    long_name = Some(OsStr::from_bytes(&name).into());
                    continue;
                }
                EntryType::XHeader => {
                    let attributes = read(&mut entry, ATTRIBUTES_BYTES_MAX)?;
                    long_name = named_in(&attributes)?.or(long_name);
                    continue;
                }
                EntryType::XGlobalHeader => {
                    read(&mut entry, ATTRIBUTES_BYTES_MAX)?;
                    continue;
                }
                _ => {}
            }
            let short_name = || OsStr::from_bytes(&entry.path_bytes()).into();
            let path: PathBuf = long_name.take().unwrap_or_else(short_name);
            let executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
            match kind {
                EntryType::Regular => self.file(folder, &path, executable, entry)?,
                EntryType::Directory => {
                    let parts = parts(&path)?;
                    self.folder(folder, &parts)?;
                }
                EntryType::Symlink | EntryType::Link => {
                    return Err(UnpackError::Unfit { path, what: "a link" });
                }
                _ => return Err(UnpackError::Unfit { path, what: "something" }),
            }
        }
        Ok(())
    }

    /// Makes a folder, and those above it.
    fn folder(&mut self, root: &Folder, parts: &[&OsStr]) -> Result<Folder, UnpackError> {
        let path: PathBuf = parts.iter().collect();
        let failed = |source| UnpackError::Write { path: path.clone(), source };
        let mut folder = root.folder(OsStr::new(".")).map_err(failed)?;
        for part in parts {
            self.name()?;
            if !folder.make_folder(part).map_err(failed)? {
                self.budget.names += 1;
            }
            folder = folder.folder(part).map_err(failed)?;
        }
        Ok(folder)
    }

    fn file(
        &mut self,
        root: &Folder,
        path: &Path,
        executable: bool,
        mut bytes: impl Read,
    ) -> Result<(), UnpackError> {
        let parts = parts(path)?;
        let Some((name, above)) = parts.split_last() else {
            return Err(UnpackError::Outside { path: path.into() });
        };
        let folder = self.folder(root, above)?;
        self.name()?;
        let failed = |source| UnpackError::Write { path: path.into(), source };
        let mut file = folder.make_file(name, executable).map_err(failed)?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = bytes.read(&mut piece).map_err(UnpackError::Tar)?;
            if read == 0 {
                return Ok(());
            }
            let left = self.budget.bytes.checked_sub(read as u64).ok_or(UnpackError::Full)?;
            self.budget.bytes = left;
            file.write_all(&piece[..read]).map_err(failed)?;
            if !(self.goes_on)() {
                return Err(UnpackError::GivenUp);
            }
        }
    }

    fn name(&mut self) -> Result<(), UnpackError> {
        if !(self.goes_on)() {
            return Err(UnpackError::GivenUp);
        }
        self.budget.names = self.budget.names.checked_sub(1).ok_or(UnpackError::Full)?;
        Ok(())
    }
}

/// The names that a path is made of.
fn parts(path: &Path) -> Result<Vec<&OsStr>, UnpackError> {
    let outside = || UnpackError::Outside { path: path.into() };
    let bytes = path.as_os_str().as_bytes();
    if bytes.starts_with(b"/") || bytes.contains(&0) {
        return Err(outside());
    }
    let parts: Vec<&OsStr> = bytes
        .split(|byte| *byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."))
        .map(OsStr::from_bytes)
        .collect();
    if parts.len() > DEPTH_MAX || parts.contains(&OsStr::new("..")) {
        return Err(outside());
    }
    Ok(parts)
}

fn read(entry: &mut impl Read, max: u64) -> Result<Vec<u8>, UnpackError> {
    let mut bytes = Vec::new();
    entry.take(max + 1).read_to_end(&mut bytes).map_err(UnpackError::Tar)?;
    match bytes.len() as u64 > max {
        true => Err(UnpackError::Tar(io::Error::other("a name in it is too long"))),
        false => Ok(bytes),
    }
}

/// The name that the attributes of an entry have for it.
fn named_in(attributes: &[u8]) -> Result<Option<PathBuf>, UnpackError> {
    let mut name = None;
    for attribute in tar::PaxExtensions::new(attributes) {
        let attribute = attribute.map_err(UnpackError::Tar)?;
        match attribute.key() {
            Ok("path") => name = Some(OsStr::from_bytes(attribute.value_bytes()).into()),
            Ok("size") => {
                let why = "a file in it is longer than a plain header says";
                return Err(UnpackError::Tar(io::Error::other(why)));
            }
            _ => {}
        }
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack;
    use std::{fs, os::unix::fs::PermissionsExt as _};

    const ENOUGH: Budget = Budget { bytes: 1 << 20, names: 100 };

    struct Place {
        outer: tempfile::TempDir,
        root: Folder,
    }

    impl Place {
        fn new() -> Self {
            let outer = tempfile::tempdir().expect("a folder");
            fs::create_dir(outer.path().join("own")).expect("made");
            let root = Folder::open(&outer.path().join("own")).expect("opened");
            Self { outer, root }
        }

        fn path(&self, path: &str) -> PathBuf {
            self.outer.path().join("own").join(path)
        }

        fn lay(&self, path: &str, form: Form, blob: &[u8]) -> Result<Budget, UnpackError> {
            let mut budget = ENOUGH;
            unpack(&self.root, path, form, blob, &mut budget, || true).map(|()| budget)
        }

        /// What is beside the folder, besides the folder.
        fn outside(&self) -> usize {
            fs::read_dir(self.outer.path()).expect("a folder").count() - 1
        }
    }

    /// A tar with one entry, whose name nobody has looked at.
    fn tar_of(kind: EntryType, name: &str, bytes: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(bytes.len() as u64);
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.set_link_name("/etc/passwd").expect("a name");
        }
        header.set_cksum();
        let mut tar = tar::Builder::new(Vec::new());
        tar.append(&header, bytes).expect("added");
        tar.into_inner().expect("a tar")
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        let from = Place::new();
        let long = format!("{}/{}", "a".repeat(120), "b".repeat(120));
        fs::create_dir_all(from.path("deep/empty")).expect("made");
        fs::create_dir_all(from.path(&"a".repeat(120))).expect("made");
        fs::write(from.path(&long), "long").expect("written");
        fs::write(from.path("run.sh"), "run").expect("written");
        let all = fs::Permissions::from_mode(0o777);
        fs::set_permissions(from.path("run.sh"), all).expect("set");
        let mut tar = Vec::new();
        let packed = pack(&from.root, ".", &mut tar).expect("packed").expect("there");
        let to = Place::new();
        let left = to.lay("in/side", Form::Folder, &tar).expect("unpacked");
        assert_eq!(left, Budget { bytes: ENOUGH.bytes - 7, names: ENOUGH.names - 7 });
        assert_eq!(fs::read(to.path(&format!("in/side/{long}"))).expect("there"), b"long");
        assert!(to.path("in/side/deep/empty").is_dir());
        let mode = to.path("in/side/run.sh").metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o111, 0o111);
        let mut again = Vec::new();
        assert_eq!(pack(&to.root, "in/side", &mut again).expect("packed"), Some(packed));
    }

    #[test]
    fn a_file_lies_where_it_is_to_lie_and_replaces_what_was_there() {
        let place = Place::new();
        let left = place.lay("a/b.txt", Form::File, b"text").expect("laid");
        assert_eq!(left, Budget { bytes: ENOUGH.bytes - 4, names: ENOUGH.names - 2 });
        place.lay("a/b.txt", Form::File, b"new").expect("laid");
        assert_eq!(fs::read(place.path("a/b.txt")).expect("there"), b"new");
        let refused = place.lay("a", Form::File, b"").expect_err("a folder is there");
        assert!(matches!(refused, UnpackError::Write { .. }), "{refused}");
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        for name in ["../x", "a/../../x", "/x", "..", "a/.."] {
            let place = Place::new();
            for kind in [EntryType::Regular, EntryType::Directory] {
                let refused = place.lay(".", Form::Folder, &tar_of(kind, name, b""));
                let refused = refused.expect_err(name);
                assert!(matches!(refused, UnpackError::Outside { .. }), "{name}: {refused}");
            }
            assert_eq!(place.outside(), 0);
        }
        // Not by a link that was there before, either.
        let place = Place::new();
        std::os::unix::fs::symlink(place.outer.path(), place.path("way")).expect("linked");
        place
            .lay(".", Form::Folder, &tar_of(EntryType::Regular, "way/x", b""))
            .expect_err("a link");
        place.lay("way/x", Form::File, b"").expect_err("a link");
        assert_eq!(place.outside(), 0);
    }

    #[test]
    fn links_and_devices_are_refused() {
        let kinds = [
            EntryType::Symlink,
            EntryType::Link,
            EntryType::Char,
            EntryType::Block,
            EntryType::Fifo,
            EntryType::GNUSparse,
            EntryType::GNULongLink,
        ];
        for kind in kinds {
            let place = Place::new();
            let refused = place.lay(".", Form::Folder, &tar_of(kind, "x", b""));
            let refused = refused.expect_err("no file");
            assert!(matches!(refused, UnpackError::Unfit { .. }), "{kind:?}: {refused}");
            assert_eq!(fs::read_dir(place.path("")).expect("a folder").count(), 0);
        }
    }

    #[test]
    fn no_more_is_written_than_may_be() {
        let place = Place::new();
        let tar = tar_of(EntryType::Regular, "large", &vec![7; 200_000]);
        for budget in [Budget { bytes: 150_000, names: 1 }, Budget { bytes: 1 << 20, names: 0 }] {
            let mut left = budget;
            let laid = unpack(&place.root, ".", Form::Folder, &tar[..], &mut left, || true);
            assert!(matches!(laid, Err(UnpackError::Full)), "{laid:?}");
            let size = place.path("large").metadata().map_or(0, |metadata| metadata.len());
            assert!(size <= 150_000, "{size}");
        }
        // A name of a gigabyte is not read.
        let name = tar_of(EntryType::GNULongName, "x", &vec![b'a'; 1 << 20]);
        let refused = place.lay(".", Form::Folder, &name).expect_err("too long");
        assert!(matches!(refused, UnpackError::Tar(_)), "{refused}");
    }

    #[test]
    fn what_is_no_tar_is_refused_and_what_nobody_wants_is_given_up() {
        let place = Place::new();
        let refused = place.lay(".", Form::Folder, &[b'x'; 2_000]).expect_err("no tar");
        assert!(matches!(refused, UnpackError::Tar(_)), "{refused}");
        let cut = &tar_of(EntryType::Regular, "x", &[7; 2_000])[..1_000];
        place.lay(".", Form::Folder, cut).expect_err("it is cut");
        let mut budget = ENOUGH;
        let laid = unpack(&place.root, "y", Form::File, &b"y"[..], &mut budget, || false);
        assert!(matches!(laid, Err(UnpackError::GivenUp)), "{laid:?}");
    }
}
