//! A directory's entries as they are at one moment: what preview 1 and components give out.
//!
//! Read once from the file system, in steps between which other guests have their turn. Always
//! holds: what it takes of the host's memory is charged to the guest's as it grows; an entry that
//! goes while the directory is read is left out; a name that is not UTF-8 is there in its escaped
//! form (`skep_protocol::escape`), and a call that names it so is told that it cannot be had. In a
//! deterministic run entries come in the order of their names.

use super::disk::Inode;
use crate::{cpu::yield_now, guest::GuestState};
use rustix::{
    fs::{
        AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2, statat,
    },
    io::Errno,
};
use skep_protocol::escape::{escape, unescape};
use std::{
    fs::File,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};
use tokio::task::spawn_blocking;
use wasmtime_wasi::{WasiView as _, filesystem::Descriptor};

/// Entries that are read without a turn for others: a tenth of a millisecond's worth.
const STEP_ENTRIES: usize = 128;
/// What looking at one file costs, in bytes' worth.
const LOOK_BYTES: u64 = 100;
/// The device on which wasmtime-wasi says that every file lies; a file's status and its entry in a
/// listing then give it one number.
const DEVICE: u64 = 1;

/// The entries of a directory, but for itself and its parent.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// The number of the directory itself.
    pub(crate) number: u64,
    names: String,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    number: u64,
    name_at: usize,
    name_bytes: u16,
    kind: FileType,
}

/// One entry as it is given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed<'a> {
    pub(crate) name: &'a str,
    pub(crate) number: u64,
    pub(crate) kind: FileType,
}

/// Why a directory cannot be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unlisted {
    /// The guest's memory has no room for its entries.
    NoMemory,
    /// What the file system said.
    Refused(Errno),
}

impl Snapshot {
    /// The entry at a place.
    pub(crate) fn entry(&self, place: usize) -> Option<Listed<'_>> {
        let Entry { number, kind, .. } = *self.entries.get(place)?;
        Some(Listed { name: self.name(self.entries[place]), number, kind })
    }

    /// What it takes of the host's memory.
    pub(crate) fn bytes(&self) -> u64 {
        (self.names.len() + self.entries.len() * size_of::<Entry>() + size_of::<Self>()) as u64
    }

    fn name(&self, entry: Entry) -> &str {
        &self.names[entry.name_at..entry.name_at + usize::from(entry.name_bytes)]
    }

    fn push(&mut self, name: &[u8], stat: &Stat) {
        let name = escape(name);
        // The longest name of a file system has 255 bytes, each of them escaped in four.
        let Ok(name_bytes) = u16::try_from(name.len()) else { return };
        let (number, name_at) = (number_of(stat), self.names.len());
        self.names.push_str(&name);
        let kind = FileType::from_raw_mode(stat.st_mode);
        self.entries.push(Entry { number, name_at, name_bytes, kind });
    }
}

/// A directory that is being read.
struct Reader {
    dir: Dir,
    snapshot: Snapshot,
}

impl Reader {
    fn open(dir: &File) -> Result<Self, Errno> {
        let number = number_of(&fstat(dir)?);
        // A handle of its own: each has but one place at which it reads.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = Dir::new(openat(dir, ".", flags, Mode::empty())?)?;
        Ok(Self { dir, snapshot: Snapshot { number, ..Snapshot::default() } })
    }

    /// Reads on for a step. Gives how many entries it has looked at: fewer than a step at the end.
    fn step(&mut self) -> Result<usize, Errno> {
        for looked_at in 0..STEP_ENTRIES {
            let Some(entry) = self.dir.read().transpose()? else { return Ok(looked_at) };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            match statat(self.dir.fd()?, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => self.snapshot.push(name.to_bytes(), &stat),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(STEP_ENTRIES)
    }
}

impl GuestState {
    /// Reads a directory. What it holds is charged to the guest until it is released.
    pub(crate) async fn snapshot(&mut self, dir: Arc<File>) -> Result<Snapshot, Unlisted> {
        let mut held = 0;
        let read = self.read_charged(dir, &mut held).await;
        if read.is_err() {
            self.limiter.release(held);
        }
        let mut snapshot = read?;
        snapshot.names.shrink_to_fit();
        snapshot.entries.shrink_to_fit();
        self.settle_snapshot(&mut snapshot);
        Ok(snapshot)
    }

    async fn read_charged(&mut self, dir: Arc<File>, held: &mut u64) -> Result<Snapshot, Unlisted> {
        let shared = self.files.shared;
        let mut reader = on_disk(shared, move || Reader::open(&dir)).await?;
        loop {
            let (back, looked_at) = on_disk(shared, move || {
                let looked_at = reader.step()?;
                Ok((reader, looked_at))
            })
            .await?;
            reader = back;
            self.meter.touched((looked_at as u64).saturating_mul(LOOK_BYTES));
            let bytes = reader.snapshot.bytes();
            if !self.limiter.hold(bytes - *held) {
                return Err(Unlisted::NoMemory);
            }
            *held = bytes;
            if looked_at < STEP_ENTRIES {
                return Ok(reader.snapshot);
            }
            yield_now().await;
        }
    }

    /// In a deterministic run, puts entries in order and takes out what differs between machines.
    fn settle_snapshot(&mut self, snapshot: &mut Snapshot) {
        if !self.files.is_deterministic() {
            return;
        }
        let mut entries = std::mem::take(&mut snapshot.entries);
        entries.sort_by(|a, b| snapshot.name(*a).cmp(snapshot.name(*b)));
        let own = std::iter::once(&mut snapshot.number);
        for number in own.chain(entries.iter_mut().map(|entry| &mut entry.number)) {
            let inode = Inode { device: DEVICE, number: *number };
            *number = self.files.number(inode).unwrap_or(0);
        }
        snapshot.entries = entries;
    }

    /// The open directory that has this number: whichever handle of it, as all read alike.
    pub(crate) fn directory(&mut self, number: u64) -> Option<Arc<File>> {
        let entries = self.wasi.ctx().table.iter_mut();
        let mut looked_at = 0;
        let found = entries.filter_map(|entry| entry.downcast_ref()).find_map(|open| {
            let Descriptor::Dir(open) = open else { return None };
            looked_at += 1;
            let stat = fstat(&open.dir).ok()?;
            (number_of(&stat) == number).then(|| Arc::clone(&open.dir))
        });
        self.meter.touched(looked_at);
        found
    }

    /// Whether a path below a directory is the escaped name of something that is there and has no
    /// name in UTF-8. One that has just this name goes first.
    pub(crate) async fn is_foreign(&mut self, dir: Arc<File>, path: &str) -> bool {
        let Some(bytes) = unescape(path) else { return false };
        let path = path.to_owned();
        let there = move || {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            let is_there =
                |path: &[u8]| openat2(&*dir, path, flags, Mode::empty(), resolve).is_ok();
            Ok(!is_there(path.as_bytes()) && is_there(&bytes))
        };
        on_disk(self.files.shared, there).await.unwrap_or(false)
    }
}

/// Asks the file system: at once, where it is the task's own folder that is asked about.
async fn on_disk<T: Send + 'static>(
    shared: bool,
    ask: impl FnOnce() -> Result<T, Errno> + Send + 'static,
) -> Result<T, Unlisted> {
    let answer = match shared {
        true => spawn_blocking(ask).await.unwrap_or(Err(Errno::IO)),
        false => ask(),
    };
    answer.map_err(Unlisted::Refused)
}

/// The number by which wasmtime-wasi knows a file: of its device and its inode.
fn number_of(stat: &Stat) -> u64 {
    #[allow(clippy::useless_conversion, reason = "it is smaller on other processors")]
    let identity = (u64::from(stat.st_dev), u64::from(stat.st_ino));
    let mut hasher = DefaultHasher::new();
    identity.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt as _};

    fn state() -> GuestState {
        let mut state = GuestState::of_nobody();
        state.limiter = crate::limiter::Limiter::new(1 << 20);
        state
    }

    fn names(snapshot: &Snapshot) -> Vec<&str> {
        let all = (0..).map_while(|place| snapshot.entry(place));
        let mut names: Vec<_> = all.map(|entry| entry.name).collect();
        names.sort_unstable();
        names
    }

    #[tokio::test]
    async fn a_name_that_is_no_text_is_listed_escaped_and_cannot_be_had() {
        let folder = tempfile::tempdir().expect("a folder");
        let foreign = folder.path().join(OsStr::from_bytes(b"caf\xe9"));
        fs::write(&foreign, "").expect("written");
        fs::write(folder.path().join("good"), "").expect("written");
        let dir = Arc::new(File::open(folder.path()).expect("opened"));
        let mut state = state();
        let listed = state.snapshot(Arc::clone(&dir)).await.expect("listed");
        assert_eq!(names(&listed), ["caf\\xE9", "good"]);
        for (path, expected) in [("caf\\xE9", true), ("./caf\\xE9", true), ("caf\\xE8", false)] {
            assert_eq!(state.is_foreign(Arc::clone(&dir), path).await, expected, "{path}");
        }
        // A file that has the escaped name for its own can be had.
        fs::write(folder.path().join("caf\\xE9"), "").expect("written");
        assert!(!state.is_foreign(dir, "caf\\xE9").await);
    }

    #[tokio::test]
    async fn a_snapshot_is_charged_to_the_byte_and_refused_beyond_the_memory() {
        let folder = tempfile::tempdir().expect("a folder");
        for number in 0..1_000 {
            fs::write(folder.path().join(format!("file-{number:04}")), "").expect("written");
        }
        let dir = Arc::new(File::open(folder.path()).expect("opened"));
        let mut state = state();
        let listed = state.snapshot(Arc::clone(&dir)).await.expect("listed");
        let bytes = (1_000 * (9 + size_of::<Entry>()) + size_of::<Snapshot>()) as u64;
        assert_eq!((listed.bytes(), state.limiter.peak()), (bytes, bytes));
        state.limiter = crate::limiter::Limiter::new(bytes - 1);
        let refused = state.snapshot(Arc::clone(&dir)).await.map(|_| ());
        assert_eq!(refused, Err(Unlisted::NoMemory));
        assert!(state.limiter.hold(bytes - 1), "what it held is given back");
    }

    #[tokio::test]
    async fn a_directory_that_is_gone_is_empty() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = Arc::new(File::open(folder.path()).expect("opened"));
        fs::write(folder.path().join("a"), "").expect("written");
        drop(folder);
        let listed = state().snapshot(dir).await.expect("listed");
        assert_eq!(names(&listed), [""; 0]);
    }
}
