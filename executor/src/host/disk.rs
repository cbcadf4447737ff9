//! How much room a guest's files take: bytes and names, counted before they come into being.
//!
//! Every WASI call that can make a file larger or a name appear asks here first (`files.rs` for
//! preview 1, `component/` for components); what would exceed the limits gets `ENOSPC`, as on a
//! full disk, and is remembered, so that a guest that then dies is told apart from one that fails
//! by itself. Always holds: what is charged is at least what the guest's files take beyond what was
//! there before; nobody scans a directory. What it removes of its own is given back when the last
//! name and the last open handle are gone, as the file system does. Deliberately absent: files.

use std::collections::BTreeMap;

/// A file, whatever its names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Inode {
    pub(crate) device: u64,
    pub(crate) number: u64,
}

/// Where a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Offset(u64),
    End,
}

/// There is no room: the guest gets `ENOSPC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The account of one guest.
#[derive(Debug)]
pub(crate) struct Disk {
    bytes_max: u64,
    names_max: u64,
    bytes: u64,
    names: u64,
    /// Files that were opened, or are known to have lost their last name while open.
    files: BTreeMap<Inode, File>,
    refused: bool,
}

#[derive(Clone, Copy, Debug)]
struct File {
    size: u64,
    /// Of its size, what was charged to this guest: what was there before is not given back.
    charged: u64,
    handles: u32,
    nameless: bool,
}

impl Disk {
    pub(crate) const fn new(bytes_max: u64, names_max: u64) -> Self {
        let files = BTreeMap::new();
        Self { bytes_max, names_max, bytes: 0, names: 0, files, refused: false }
    }

    /// The guest is gone with all its handles. Its files are still its own when it is run again,
    /// and what was refused to it before does not explain how that ends.
    pub(crate) fn all_closed(&mut self) {
        self.refused = false;
        self.files.values_mut().for_each(|file| file.handles = 0);
        for inode in self.files.keys().copied().collect::<Vec<_>>() {
            self.forget_if_gone(inode);
        }
    }

    /// Whether something was refused for want of room.
    pub(crate) const fn refused(&self) -> bool {
        self.refused
    }

    /// A name is about to appear: a file, a directory or a link.
    pub(crate) fn add_name(&mut self) -> Result<(), Full> {
        if self.names >= self.names_max {
            self.refused = true;
            return Err(Full);
        }
        self.names += 1;
        Ok(())
    }

    /// A name is gone, or did not appear after all.
    pub(crate) const fn drop_name(&mut self) {
        self.names = self.names.saturating_sub(1);
    }

    /// A file was opened and has `size` bytes. One that this guest made empty has none charged.
    pub(crate) fn opened(&mut self, inode: Inode, size: u64) {
        let new = File { size, charged: 0, handles: 0, nameless: false };
        let file = self.files.entry(inode).or_insert(new);
        file.handles += 1;
        // Another task may have written to it; this guest's own writes are counted as they go.
        file.size = file.size.max(size);
    }

    /// A handle was closed.
    pub(crate) fn closed(&mut self, inode: Inode) {
        let Some(file) = self.files.get_mut(&inode) else { return };
        file.handles = file.handles.saturating_sub(1);
        self.forget_if_gone(inode);
    }

    /// A file has lost its last name.
    pub(crate) fn unlinked(&mut self, inode: Inode) {
        if let Some(file) = self.files.get_mut(&inode) {
            file.nameless = true;
            self.forget_if_gone(inode);
        }
    }

    /// `length` bytes are about to be written at `offset`, or at the end.
    pub(crate) fn write(&mut self, inode: Inode, at: Place, length: u64) -> Result<(), Full> {
        let Some(file) = self.files.get(&inode) else { return Ok(()) };
        let offset = match at {
            Place::Offset(offset) => offset,
            Place::End => file.size,
        };
        let size = if length == 0 { 0 } else { offset.saturating_add(length) };
        self.resize(inode, size.max(file.size))
    }

    /// A file is about to get `size` bytes.
    pub(crate) fn resize(&mut self, inode: Inode, size: u64) -> Result<(), Full> {
        let Some(file) = self.files.get(&inode) else { return Ok(()) };
        let growth = size.saturating_sub(file.size);
        if growth > self.bytes_max.saturating_sub(self.bytes) {
            self.refused = true;
            return Err(Full);
        }
        if growth > 0 {
            self.grow_to(inode, size)
        } else {
            self.shrink_to(inode, size)
        }
        Ok(())
    }

    fn grow_to(&mut self, inode: Inode, size: u64) {
        let Some(file) = self.files.get_mut(&inode) else { return };
        let growth = size.saturating_sub(file.size);
        file.size += growth;
        file.charged += growth;
        self.bytes += growth;
    }

    fn shrink_to(&mut self, inode: Inode, size: u64) {
        let Some(file) = self.files.get_mut(&inode) else { return };
        let credit = (file.size - size).min(file.charged);
        file.size = size;
        file.charged -= credit;
        self.bytes -= credit;
    }

    /// Gives back what a file took that has neither name nor handle. One with a name stays known:
    /// its bytes are still this guest's.
    fn forget_if_gone(&mut self, inode: Inode) {
        if let Some(file) = self.files.get(&inode)
            && file.handles == 0
            && (file.nameless || file.charged == 0)
        {
            self.bytes -= file.charged;
            self.files.remove(&inode);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Inode = Inode { device: 1, number: 1 };
    const B: Inode = Inode { device: 1, number: 2 };

    fn at(offset: u64) -> Place {
        Place::Offset(offset)
    }

    #[test]
    fn only_growth_is_charged() {
        let mut disk = Disk::new(100, 10);
        disk.opened(A, 0);
        assert_eq!(disk.write(A, at(0), 60), Ok(()));
        assert_eq!(disk.write(A, at(0), 60), Ok(()), "what is written over costs nothing");
        assert_eq!(disk.write(A, at(50), 30), Ok(()));
        assert_eq!(disk.write(A, at(80), 30), Err(Full));
        assert!(disk.refused());
        assert_eq!(disk.write(A, Place::End, 20), Ok(()));
        assert_eq!(disk.write(A, Place::End, 1), Err(Full));
        assert_eq!(disk.write(A, at(99), 1), Ok(()));
        assert_eq!(disk.write(A, at(1 << 40), 0), Ok(()));
    }

    #[test]
    fn who_is_run_again_still_has_what_it_wrote_and_holds_nothing_open() {
        let mut disk = Disk::new(100, 10);
        disk.opened(A, 0);
        disk.opened(B, 0);
        assert_eq!((disk.write(A, at(0), 60), disk.write(B, at(0), 30)), (Ok(()), Ok(())));
        assert_eq!(disk.write(A, at(60), 60), Err(Full));
        disk.unlinked(B);
        disk.all_closed();
        assert!(!disk.refused());
        disk.opened(A, 60);
        assert_eq!(disk.write(A, at(60), 41), Err(Full), "A's bytes are charged still");
        assert_eq!(disk.write(A, at(60), 40), Ok(()), "B's are given back");
    }

    #[test]
    fn a_hole_counts_as_what_a_reader_sees() {
        let mut disk = Disk::new(100, 10);
        disk.opened(A, 0);
        assert_eq!(disk.write(A, at(1 << 40), 1), Err(Full));
        assert_eq!(disk.write(A, at(u64::MAX), 1), Err(Full));
        assert_eq!(disk.resize(A, 101), Err(Full));
        assert_eq!(disk.resize(A, 100), Ok(()));
        disk.opened(B, 0);
        assert_eq!(disk.write(B, at(0), 1), Err(Full));
        assert_eq!(disk.resize(A, 40), Ok(()));
        assert_eq!(disk.write(B, at(0), 60), Ok(()));
        assert_eq!(disk.write(B, at(60), 1), Err(Full));
    }

    #[test]
    fn a_removed_file_is_given_back_when_its_last_handle_is_closed() {
        let mut disk = Disk::new(100, 10);
        disk.opened(A, 0);
        disk.opened(A, 0);
        assert_eq!(disk.write(A, at(0), 100), Ok(()));
        disk.unlinked(A);
        disk.closed(A);
        disk.opened(B, 0);
        assert_eq!(disk.write(B, at(0), 1), Err(Full));
        disk.closed(A);
        assert_eq!(disk.write(B, at(0), 100), Ok(()));
    }

    #[test]
    fn a_closed_file_is_still_charged_and_given_back_when_it_is_removed() {
        let mut disk = Disk::new(100, 10);
        disk.opened(A, 0);
        assert_eq!(disk.write(A, at(0), 70), Ok(()));
        disk.closed(A);
        disk.opened(B, 0);
        assert_eq!(disk.write(B, at(0), 31), Err(Full));
        disk.unlinked(A);
        assert_eq!(disk.write(B, at(0), 100), Ok(()));
    }

    #[test]
    fn what_was_there_before_is_never_given_back() {
        let mut disk = Disk::new(10, 10);
        disk.opened(A, 1_000);
        assert_eq!(disk.resize(A, 0), Ok(()));
        assert_eq!(disk.write(A, at(0), 11), Err(Full));
        assert_eq!(disk.write(A, at(0), 10), Ok(()));
        disk.closed(A);
        disk.unlinked(A);
        disk.opened(B, 1_000);
        disk.unlinked(B);
        disk.closed(B);
        disk.opened(B, 0);
        assert_eq!(disk.write(B, at(0), 11), Err(Full));
        assert_eq!(disk.write(B, at(0), 10), Ok(()));
    }

    #[test]
    fn names_are_counted_like_bytes() {
        let mut disk = Disk::new(0, 2);
        assert_eq!((disk.add_name(), disk.add_name()), (Ok(()), Ok(())));
        assert_eq!(disk.add_name(), Err(Full));
        disk.drop_name();
        assert_eq!(disk.add_name(), Ok(()));
    }
}
