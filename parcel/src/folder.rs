//! A folder that no name leads out of.

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, mkdirat, openat, statat},
    io::Errno,
};
use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStringExt as _,
    },
    path::Path,
};

/// A folder that is open. What is named below it is one name at a time, and never a link.
#[derive(Debug)]
pub struct Folder(OwnedFd);

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File { size: u64, executable: bool },
    Folder,
    Link,
    Other,
}

impl Folder {
    /// Opens a folder by its path, which may lead through links.
    ///
    /// # Errors
    /// If there is none, or it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_below(CWD, path)
    }

    /// Opens a folder by its path from another that is open, which may lead through links.
    ///
    /// # Errors
    /// If there is none, or it cannot be opened.
    pub fn open_below(folder: impl AsFd, path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(openat(folder, path, flags, Mode::empty())?))
    }

    /// The folder at a path of several names below it, none of them a link. None: there is none.
    ///
    /// # Errors
    /// If something else has one of the names, or it cannot be opened.
    pub fn below(&self, path: &Path) -> io::Result<Option<Self>> {
        let mut folder = self.folder(OsStr::new("."))?;
        for name in path {
            match folder.kind(name)? {
                None => return Ok(None),
                Some(Kind::Link) => return Err(io::Error::other(format!("{name:?} is a link"))),
                Some(_) => folder = folder.folder(name)?,
            }
        }
        Ok(Some(folder))
    }

    /// The folder of that name in it.
    pub(crate) fn folder(&self, name: &OsStr) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self(openat(self, name, flags, Mode::empty())?))
    }

    /// Makes the folder of that name in it. False: it was there.
    pub(crate) fn make_folder(&self, name: &OsStr) -> io::Result<bool> {
        match mkdirat(self, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What has that name in it, if anything has.
    pub(crate) fn kind(&self, name: &OsStr) -> io::Result<Option<Kind>> {
        let stat = match statat(self, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File {
                size: u64::try_from(stat.st_size).unwrap_or(0),
                executable: stat.st_mode & 0o111 != 0,
            },
            FileType::Directory => Kind::Folder,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        }))
    }

    /// Opens a file to read it. A pipe that stands there by now is not waited for.
    pub(crate) fn file(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(self, name, flags, Mode::empty())?;
        match FileType::from_raw_mode(fstat(&file)?.st_mode) {
            FileType::RegularFile => Ok(file.into()),
            _ => Err(io::Error::other("it is no file any more")),
        }
    }

    /// Makes a file, or empties the one that is there.
    pub(crate) fn make_file(&self, name: &OsStr, executable: bool) -> io::Result<File> {
        let flags = OFlags::WRONLY
            | OFlags::CREATE
            | OFlags::TRUNC
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(if executable { 0o755 } else { 0o644 });
        Ok(openat(self, name, flags, mode)?.into())
    }

    /// The names in it, in their order.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(self)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        names.sort();
        Ok(names)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
