//! Preview 1's directory listings: taken once from the file system, then given out piece by piece.
//!
//! A guest asks for a listing in as many pieces as it likes, and changes the directory between
//! them. Always holds: each open directory has a listing of its own, which stays as it was taken
//! until the descriptor is closed or the guest begins anew with cookie 0; a cookie is the place of
//! an entry in it, so each is good for as long as the listing is. What a listing takes of the
//! host's memory is charged to the guest's.

use super::{
    directory::{Snapshot, Unlisted},
    errno,
    memory::range,
    p1::Call,
};
use crate::guest::GuestState;
use rustix::fs::FileType;
use std::{collections::BTreeMap, fs::File, sync::Arc};

/// Bytes of an entry in front of its name.
const ENTRY_BYTES: usize = 24;
/// The entries of the directory itself and its parent, which have the number of the directory, as
/// wasmtime-wasi has it.
const DOTS: [&str; 2] = [".", ".."];

/// The directories that a guest has open and has listed.
#[derive(Debug, Default)]
pub(crate) struct Listings {
    handles: BTreeMap<i32, Arc<File>>,
    snapshots: BTreeMap<i32, Snapshot>,
}

impl Snapshot {
    /// An entry of the directory as preview 1 writes it, but for its name.
    fn head(&self, place: usize) -> Option<([u8; ENTRY_BYTES], &str)> {
        let (name, number, kind) = match DOTS.get(place) {
            Some(name) => (*name, self.number, FileType::Directory),
            None => {
                let entry = self.entry(place - DOTS.len())?;
                (entry.name, entry.number, entry.kind)
            }
        };
        let mut head = [0; ENTRY_BYTES];
        head[..8].copy_from_slice(&(place as u64 + 1).to_le_bytes());
        head[8..16].copy_from_slice(&number.to_le_bytes());
        head[16..20].copy_from_slice(&u32::try_from(name.len()).ok()?.to_le_bytes());
        head[20] = file_type(kind);
        Some((head, name))
    }

    /// Writes the entries from a place on, as many as have room; what does not fit is cut, by which
    /// a guest knows that there is more. Gives how many bytes were written.
    fn write(&self, first: usize, mut room: &mut [u8]) -> usize {
        let length = room.len();
        let mut place = first;
        while let Some((head, name)) = self.head(place).filter(|_| !room.is_empty()) {
            place += 1;
            for bytes in [&head[..], name.as_bytes()] {
                let fits = bytes.len().min(room.len());
                room[..fits].copy_from_slice(&bytes[..fits]);
                room = &mut room[fits..];
            }
        }
        length - room.len()
    }
}

/// Preview 1's number of a kind of file. It has none for pipes, and two for sockets.
const fn file_type(kind: FileType) -> u8 {
    match kind {
        FileType::BlockDevice => 1,
        FileType::CharacterDevice => 2,
        FileType::Directory => 3,
        FileType::RegularFile => 4,
        FileType::Socket => 6,
        FileType::Symlink => 7,
        FileType::Fifo | FileType::Unknown => 0,
    }
}

impl GuestState {
    /// A descriptor is closed: what was held of its directory is given back.
    pub(super) fn drop_directory(&mut self, fd: i32) {
        self.listings.handles.remove(&fd);
        self.drop_listing(fd);
    }

    fn drop_listing(&mut self, fd: i32) {
        if let Some(snapshot) = self.listings.snapshots.remove(&fd) {
            self.limiter.release(snapshot.bytes());
        }
    }

    /// A descriptor has another number.
    pub(super) fn renumber_directory(&mut self, from: i32, to: i32) {
        let Listings { handles, snapshots } = &mut self.listings;
        if let Some(handle) = handles.remove(&from) {
            handles.insert(to, handle);
        }
        if let Some(snapshot) = snapshots.remove(&from) {
            snapshots.insert(to, snapshot);
        }
    }
}

impl Call<'_> {
    /// The directory behind a descriptor. Err: the error number.
    pub(super) async fn directory(&mut self, fd: i32) -> wasmtime::Result<Result<Arc<File>, i32>> {
        if let Some(handle) = self.state.listings.handles.get(&fd) {
            return Ok(Ok(Arc::clone(handle)));
        }
        let Some(stat) = self.stat(fd).await? else { return Ok(Err(errno::BADF)) };
        if !stat.is_directory() {
            return Ok(Err(errno::NOTDIR));
        }
        let found = self.state.directory(stat.inode().number);
        Ok(found.ok_or(errno::BADF).inspect(|handle| {
            self.state.listings.handles.insert(fd, Arc::clone(handle));
        }))
    }

    /// Takes the listing of a directory as it is now, in place of one that it has. Err: the error
    /// number.
    async fn list(&mut self, fd: i32) -> wasmtime::Result<Result<(), i32>> {
        self.state.drop_listing(fd);
        let directory = match self.directory(fd).await? {
            Ok(directory) => directory,
            Err(errno) => return Ok(Err(errno)),
        };
        Ok(match self.state.snapshot(directory).await {
            Ok(snapshot) => {
                self.state.listings.snapshots.insert(fd, snapshot);
                Ok(())
            }
            Err(Unlisted::NoMemory) => Err(errno::NOMEM),
            Err(Unlisted::Refused(why)) => Err(errno::of(why)),
        })
    }
}

/// Gives out a directory's entries from the place that `cookie` names.
pub(super) async fn fd_readdir(
    call: &mut Call<'_>,
    fd: i32,
    pointer: i32,
    length: i32,
    cookie: i64,
    used_at: i32,
) -> wasmtime::Result<i32> {
    let Some(buffer) = range(call.memory, pointer, length) else { return Ok(errno::FAULT) };
    let Some(used) = range(call.memory, used_at, 4) else { return Ok(errno::FAULT) };
    if (cookie == 0 || !call.state.listings.snapshots.contains_key(&fd))
        && let Err(errno) = call.list(fd).await?
    {
        return Ok(errno);
    }
    let first = usize::try_from(cookie.cast_unsigned()).unwrap_or(usize::MAX);
    let snapshot = call.state.listings.snapshots.get(&fd);
    let count = snapshot.map_or(0, |all| all.write(first, &mut call.memory[buffer.clone()]));
    call.state.meter.touched(count as u64);
    let written = u32::try_from(count).expect("a part of a 32-bit memory");
    call.memory[used].copy_from_slice(&written.to_le_bytes());
    if let Some(transcript) = &mut call.state.transcript {
        transcript.moved("fd_readdir", &call.memory[buffer][..count]);
    }
    Ok(errno::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        host::files::{fd_close, fd_renumber},
        limiter::Limiter,
    };
    use std::{collections::BTreeSet, ffi::OsStr, fs, os::unix::ffi::OsStrExt as _, path::Path};
    use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

    /// The first directory that is granted, and the one after it.
    const ONE: i32 = 3;
    const OTHER: i32 = 4;
    /// Where a guest's memory has the number of bytes, and where the entries.
    const USED_AT: i32 = 0;
    const ENTRIES_AT: i32 = 8;

    struct Guest {
        state: GuestState,
        memory: Vec<u8>,
    }

    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Entry {
        next: i64,
        kind: u8,
        name: String,
    }

    impl Guest {
        /// A guest that is granted this folder twice.
        fn new(folder: &Path) -> Self {
            let mut builder = WasiCtxBuilder::new();
            for name in ["one", "other"] {
                builder.preopened_dir(folder, name, FsPerms::ReadWrite).expect("opened");
            }
            builder.allow_blocking_current_thread(true);
            let mut state = GuestState::of_nobody();
            (state.wasi, state.limiter) = (builder.build_p1(), Limiter::new(1 << 20));
            Self { state, memory: vec![0; 1 << 16] }
        }

        fn call(&mut self) -> Call<'_> {
            Call { memory: &mut self.memory, state: &mut self.state }
        }

        /// The whole entries that a piece of so many bytes has, and whether there are more.
        async fn piece(&mut self, fd: i32, length: i32, cookie: i64) -> (Vec<Entry>, bool) {
            let mut call = self.call();
            let errno = fd_readdir(&mut call, fd, ENTRIES_AT, length, cookie, USED_AT).await;
            assert_eq!(errno.expect("an answer"), errno::SUCCESS);
            let used = super::super::memory::u32_at(&self.memory, USED_AT).expect("written");
            let used = used as usize;
            let mut bytes = &self.memory[ENTRIES_AT as usize..][..used];
            let mut entries = Vec::new();
            while let Some(head) = bytes.get(..ENTRY_BYTES) {
                let length = u32::from_le_bytes(head[16..20].try_into().expect("four bytes"));
                let Some(name) = bytes[ENTRY_BYTES..].get(..length as usize) else { break };
                let next = u64::from_le_bytes(head[..8].try_into().expect("eight bytes"));
                let name = String::from_utf8(name.to_vec()).expect("text");
                entries.push(Entry { next: next.cast_signed(), kind: head[20], name });
                bytes = &bytes[ENTRY_BYTES + length as usize..];
            }
            (entries, used as i32 == length)
        }

        async fn names(&mut self, fd: i32) -> BTreeSet<String> {
            self.piece(fd, 1 << 15, 0).await.0.into_iter().map(|entry| entry.name).collect()
        }
    }

    fn folder(files: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for number in 0..files {
            fs::write(folder.path().join(format!("file-{number}")), "").expect("written");
        }
        folder
    }

    /// As C programs empty a folder: in small pieces, each entry removed as it comes.
    #[tokio::test]
    async fn a_folder_that_is_emptied_while_it_is_listed_gives_each_entry_once() {
        let folder = folder(300);
        let mut guest = Guest::new(folder.path());
        let (mut seen, mut cookie) = (BTreeSet::new(), 0);
        loop {
            let (entries, more) = guest.piece(ONE, 128, cookie).await;
            for Entry { next, name, .. } in entries {
                cookie = next;
                if name.starts_with("file-") {
                    fs::remove_file(folder.path().join(&name)).expect("it was there");
                    // What is made meanwhile belongs to the next listing.
                    fs::write(folder.path().join(format!("new-{name}")), "").expect("written");
                }
                assert!(seen.insert(name.clone()), "{name} came twice");
            }
            if !more {
                break;
            }
        }
        assert_eq!(seen.len(), 302, "with . and ..");
        assert!(guest.names(ONE).await.iter().all(|name| !name.starts_with("file-")));
    }

    #[tokio::test]
    async fn each_descriptor_has_its_own_listing_and_takes_cookies_in_any_order() {
        let folder = folder(5);
        let mut guest = Guest::new(folder.path());
        let (all, _) = guest.piece(ONE, 1 << 15, 0).await;
        assert_eq!(all.len(), 7);
        fs::remove_file(folder.path().join("file-0")).expect("removed");
        assert_eq!(guest.names(OTHER).await.len(), 6);
        for at in [5, 0, 3, 6, 3] {
            let (rest, more) = guest.piece(ONE, 1 << 15, all[at].next).await;
            assert_eq!((&rest[..], more), (&all[at + 1..], false), "from behind {at}");
        }
        assert_eq!(guest.piece(ONE, 1 << 15, -1).await, (vec![], false));
        assert_eq!(guest.names(ONE).await.len(), 6, "begun anew, it is as it is now");
    }

    #[tokio::test]
    async fn a_listing_goes_with_its_descriptor_and_is_given_back_when_that_is_closed() {
        let folder = folder(5);
        let mut guest = Guest::new(folder.path());
        let (all, _) = guest.piece(ONE, 1 << 15, 0).await;
        fs::remove_dir_all(folder.path()).expect("removed");
        assert_eq!(guest.names(OTHER).await.len(), 2, "a folder that is gone is empty");
        assert_eq!(fd_renumber(&mut guest.call(), ONE, OTHER).await.expect("done"), 0);
        assert_eq!(guest.piece(OTHER, 1 << 15, all[1].next).await.0, all[2..]);
        let mut call = guest.call();
        let gone = fd_readdir(&mut call, ONE, ENTRIES_AT, 64, 0, USED_AT).await;
        assert_eq!(gone.expect("an answer"), errno::BADF);
        assert_eq!(fd_close(&mut call, OTHER).await.expect("done"), 0);
        assert!(guest.state.limiter.hold(1 << 20), "nothing is held");
    }

    #[tokio::test]
    async fn a_listing_that_has_no_room_is_refused_and_remembered_as_that() {
        let folder = folder(500);
        let mut guest = Guest::new(folder.path());
        guest.state.limiter = Limiter::new(10_000);
        let mut call = guest.call();
        let refused = fd_readdir(&mut call, ONE, ENTRIES_AT, 64, 0, USED_AT).await;
        assert_eq!(refused.expect("an answer"), errno::NOMEM);
        assert!(guest.state.limiter.refused().is_some());
        assert!(guest.state.limiter.hold(10_000), "nothing is held");
    }

    #[tokio::test]
    async fn names_that_are_no_text_and_odd_kinds_spoil_no_listing() {
        let folder = folder(1);
        fs::write(folder.path().join(OsStr::from_bytes(b"caf\xe9")), "").expect("written");
        std::os::unix::net::UnixListener::bind(folder.path().join("socket")).expect("bound");
        let mut guest = Guest::new(folder.path());
        let (mut entries, _) = guest.piece(ONE, 1 << 15, 0).await;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let kinds: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.kind)).collect();
        let expected = [(".", 3), ("..", 3), ("caf\\xE9", 4), ("file-0", 4), ("socket", 6)];
        assert_eq!(kinds, expected);
    }
}
