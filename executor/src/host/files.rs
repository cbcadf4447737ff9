//! Preview 1's open files: what each call reads, writes and grows, counted on its way.
//!
//! Always holds: a guest never has more open than its limit; what a write makes larger is charged
//! to `disk.rs` before it is written; a deterministic run's transcript has every byte that was
//! moved.

use super::{
    disk::{Inode, Place},
    errno,
    memory::{bytes, first_buffer, range, u32_at},
    p1::Call,
};
use crate::limiter::HANDLE_BYTES;
use std::{collections::BTreeMap, ops::Range};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as abi;
use wiggle::GuestMemory;

/// Bytes of a `filestat` in a guest's memory, and where its fields lie.
pub(super) const FILESTAT_BYTES: usize = 64;
const FILETYPE_AT: usize = 16;
const LINKS_AT: usize = 24;
const SIZE_AT: usize = 32;
const TIMES: Range<usize> = 40..64;
const DIRECTORY: u8 = 3;
const REGULAR_FILE: u8 = 4;
/// Bytes of a buffer's address and length in a list.
const BUFFER_BYTES: i32 = 8;
/// The flag of a descriptor that appends.
pub(super) const APPEND: i32 = 1;
/// Names open handles in the record of a run; larger than any real descriptor.
const DEVICE: Range<usize> = 0..8;
const NUMBER: Range<usize> = 8..16;

/// What a guest has open, besides its standard streams and granted directories.
#[derive(Debug, Default)]
pub(crate) struct Files {
    open: BTreeMap<i32, Open>,
    handles_max: usize,
    refused: bool,
    /// Whether anything that the guest opens can be written: if not, no file is told apart.
    pub(super) writable: bool,
    /// Whether a directory of its may lie outside of its own folder, where the disk may be slow.
    pub(super) shared: bool,
    /// Of a deterministic run: files by the order in which they were first looked at.
    numbers: Option<BTreeMap<Inode, u64>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    /// None for what is no regular file, or cannot be written.
    pub(crate) inode: Option<Inode>,
    pub(crate) appends: bool,
}

impl Files {
    pub(crate) fn new(handles_max: u32, writable: bool, deterministic: bool) -> Self {
        let handles_max = usize::try_from(handles_max).unwrap_or(usize::MAX);
        let numbers = deterministic.then(BTreeMap::new);
        let (open, refused, shared) = (BTreeMap::new(), false, false);
        Self { open, handles_max, refused, writable, shared, numbers }
    }

    /// The same, of a guest that has directories beside its own folder.
    pub(crate) fn shared(self, shared: bool) -> Self {
        Self { shared, ..self }
    }

    /// Whether an open was refused because too much was open.
    pub(crate) const fn refused(&self) -> bool {
        self.refused
    }

    /// Whether another may be opened; a no is remembered.
    pub(crate) fn has_room(&mut self) -> bool {
        let room = self.open.len() < self.handles_max;
        self.refused |= !room;
        room
    }

    pub(crate) fn insert(&mut self, fd: i32, open: Open) {
        self.open.insert(fd, open);
    }

    pub(crate) fn remove(&mut self, fd: i32) -> Option<Open> {
        self.open.remove(&fd)
    }

    pub(crate) const fn is_deterministic(&self) -> bool {
        self.numbers.is_some()
    }

    /// The number by which a deterministic run knows a file; None if the run is none.
    pub(crate) fn number(&mut self, inode: Inode) -> Option<u64> {
        let numbers = self.numbers.as_mut()?;
        let next = numbers.len() as u64 + 1;
        Some(*numbers.entry(inode).or_insert(next))
    }
}

/// What the file system says of a file, as preview 1 writes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stat([u8; FILESTAT_BYTES]);

impl Stat {
    pub(super) fn read(bytes: &[u8]) -> Self {
        Self(bytes.try_into().expect("a filestat has 64 bytes"))
    }

    fn number(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().expect("eight bytes"))
    }

    pub(super) fn inode(&self) -> Inode {
        Inode { device: self.number(DEVICE.start), number: self.number(NUMBER.start) }
    }

    pub(super) fn is_file(&self) -> bool {
        self.0[FILETYPE_AT] == REGULAR_FILE
    }

    pub(super) fn is_directory(&self) -> bool {
        self.0[FILETYPE_AT] == DIRECTORY
    }

    pub(super) fn links(&self) -> u64 {
        self.number(LINKS_AT)
    }

    pub(super) fn size(&self) -> u64 {
        self.number(SIZE_AT)
    }
}

impl Call<'_> {
    /// What the file system says of an open file.
    pub(super) async fn stat(&mut self, fd: i32) -> wasmtime::Result<Option<Stat>> {
        let mut scratch = [0; FILESTAT_BYTES];
        let memory = &mut GuestMemory::Unshared(&mut scratch);
        let errno = abi::fd_filestat_get(&mut self.state.wasi, memory, fd, 0).await?;
        Ok((errno == errno::SUCCESS).then(|| Stat::read(&scratch)))
    }

    /// Where the next write to an open file goes.
    fn position(&mut self, fd: i32) -> wasmtime::Result<u64> {
        let mut scratch = [0; 8];
        let memory = &mut GuestMemory::Unshared(&mut scratch);
        abi::fd_tell(&mut self.state.wasi, memory, fd, 0)?;
        Ok(u64::from_le_bytes(scratch))
    }

    /// In a deterministic run, takes what differs between machines out of a `filestat` that the
    /// guest was given: the times, the device, and the number of the file.
    pub(super) fn settle_stat(&mut self, at: i32) {
        let Some(range) = range(self.memory, at, 64) else { return };
        let inode = Stat::read(&self.memory[range.clone()]).inode();
        let Some(number) = self.state.files.number(inode) else { return };
        let stat = &mut self.memory[range];
        stat[DEVICE].fill(0);
        stat[NUMBER].copy_from_slice(&number.to_le_bytes());
        stat[TIMES].fill(0);
    }

    /// The buffer of a list that a call uses. The host looks at each, so each is paid for.
    fn first_buffer(&mut self, list: i32, count: i32) -> Option<Range<usize>> {
        let length = count.checked_mul(BUFFER_BYTES)?;
        self.state.meter.touched(bytes(self.memory, list, length)?.len() as u64);
        first_buffer(self.memory, list, count)
    }

    /// Counts what a call has read into, or written from, the first of a list of buffers.
    fn moved(&mut self, call: &str, buffer: Option<Range<usize>>, count_at: i32, way: Way) {
        let count = u32_at(self.memory, count_at).unwrap_or(0);
        match way {
            Way::In => self.state.meter.read(count.into()),
            Way::Out => self.state.meter.written(count.into()),
        }
        if let Some(transcript) = &mut self.state.transcript {
            let length = usize::try_from(count).unwrap_or(usize::MAX);
            let buffer = buffer.map_or(&[][..], |buffer| &self.memory[buffer]);
            transcript.moved(call, &buffer[..length.min(buffer.len())]);
        }
    }

    /// Takes room on the disk for a write. Gives false if there is none.
    fn make_room(&mut self, fd: i32, at: Option<u64>, length: usize) -> wasmtime::Result<bool> {
        let Some(Open { inode: Some(inode), appends }) = self.state.files.open.get(&fd).copied()
        else {
            return Ok(true);
        };
        let place = match (appends, at) {
            (true, _) => Place::End,
            (false, Some(offset)) => Place::Offset(offset),
            (false, None) => Place::Offset(self.position(fd)?),
        };
        Ok(self.state.disk.write(inode, place, length as u64).is_ok())
    }
}

#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

pub(super) async fn fd_read(
    call: &mut Call<'_>,
    fd: i32,
    list: i32,
    count: i32,
    read_at: i32,
) -> wasmtime::Result<i32> {
    let buffer = call.first_buffer(list, count);
    let memory = &mut GuestMemory::Unshared(call.memory);
    let errno = abi::fd_read(&mut call.state.wasi, memory, fd, list, count, read_at).await?;
    if errno == errno::SUCCESS {
        call.moved("fd_read", buffer, read_at, Way::In);
    }
    Ok(errno)
}

pub(super) async fn fd_pread(
    call: &mut Call<'_>,
    fd: i32,
    list: i32,
    count: i32,
    offset: i64,
    read_at: i32,
) -> wasmtime::Result<i32> {
    let buffer = call.first_buffer(list, count);
    let memory = &mut GuestMemory::Unshared(call.memory);
    let wasi = &mut call.state.wasi;
    let errno = abi::fd_pread(wasi, memory, fd, list, count, offset, read_at).await?;
    if errno == errno::SUCCESS {
        call.moved("fd_pread", buffer, read_at, Way::In);
    }
    Ok(errno)
}

pub(super) async fn fd_write(
    call: &mut Call<'_>,
    fd: i32,
    list: i32,
    count: i32,
    written_at: i32,
) -> wasmtime::Result<i32> {
    let buffer = call.first_buffer(list, count);
    if !call.make_room(fd, None, buffer.as_ref().map_or(0, Range::len))? {
        return Ok(errno::NOSPC);
    }
    let memory = &mut GuestMemory::Unshared(call.memory);
    let errno = abi::fd_write(&mut call.state.wasi, memory, fd, list, count, written_at).await?;
    if errno == errno::SUCCESS {
        call.moved("fd_write", buffer, written_at, Way::Out);
    }
    Ok(errno)
}

pub(super) async fn fd_pwrite(
    call: &mut Call<'_>,
    fd: i32,
    list: i32,
    count: i32,
    offset: i64,
    written_at: i32,
) -> wasmtime::Result<i32> {
    let buffer = call.first_buffer(list, count);
    let length = buffer.as_ref().map_or(0, Range::len);
    if !call.make_room(fd, Some(offset.cast_unsigned()), length)? {
        return Ok(errno::NOSPC);
    }
    let memory = &mut GuestMemory::Unshared(call.memory);
    let wasi = &mut call.state.wasi;
    let errno = abi::fd_pwrite(wasi, memory, fd, list, count, offset, written_at).await?;
    if errno == errno::SUCCESS {
        call.moved("fd_pwrite", buffer, written_at, Way::Out);
    }
    Ok(errno)
}

pub(super) async fn fd_filestat_get(
    call: &mut Call<'_>,
    fd: i32,
    at: i32,
) -> wasmtime::Result<i32> {
    let memory = &mut GuestMemory::Unshared(call.memory);
    let errno = abi::fd_filestat_get(&mut call.state.wasi, memory, fd, at).await?;
    if errno == errno::SUCCESS {
        call.settle_stat(at);
    }
    Ok(errno)
}

pub(super) async fn fd_filestat_set_size(
    call: &mut Call<'_>,
    fd: i32,
    size: i64,
) -> wasmtime::Result<i32> {
    if let Some(Open { inode: Some(inode), .. }) = call.state.files.open.get(&fd)
        && call.state.disk.resize(*inode, size.cast_unsigned()).is_err()
    {
        return Ok(errno::NOSPC);
    }
    let memory = &mut GuestMemory::Unshared(call.memory);
    abi::fd_filestat_set_size(&mut call.state.wasi, memory, fd, size).await
}

pub(super) async fn fd_fdstat_set_flags(
    call: &mut Call<'_>,
    fd: i32,
    flags: i32,
) -> wasmtime::Result<i32> {
    let memory = &mut GuestMemory::Unshared(call.memory);
    let errno = abi::fd_fdstat_set_flags(&mut call.state.wasi, memory, fd, flags)?;
    if errno == errno::SUCCESS
        && let Some(open) = call.state.files.open.get_mut(&fd)
    {
        open.appends = flags & APPEND != 0;
    }
    Ok(errno)
}

pub(super) async fn fd_close(call: &mut Call<'_>, fd: i32) -> wasmtime::Result<i32> {
    let memory = &mut GuestMemory::Unshared(call.memory);
    let errno = abi::fd_close(&mut call.state.wasi, memory, fd).await?;
    if errno == errno::SUCCESS {
        forget(call, fd);
    }
    Ok(errno)
}

pub(super) async fn fd_renumber(call: &mut Call<'_>, from: i32, to: i32) -> wasmtime::Result<i32> {
    let memory = &mut GuestMemory::Unshared(call.memory);
    let errno = abi::fd_renumber(&mut call.state.wasi, memory, from, to).await?;
    if errno == errno::SUCCESS && from != to {
        forget(call, to);
        if let Some(open) = call.state.files.open.remove(&from) {
            call.state.files.insert(to, open);
        }
        call.state.renumber_directory(from, to);
    }
    Ok(errno)
}

fn forget(call: &mut Call<'_>, fd: i32) {
    call.state.drop_directory(fd);
    let Some(open) = call.state.files.open.remove(&fd) else { return };
    call.state.limiter.release(HANDLE_BYTES);
    if let Some(inode) = open.inode {
        call.state.disk.closed(inode);
    }
}

/// The path that a guest names, for a look of our own.
pub(super) fn path(memory: &[u8], pointer: i32, length: i32) -> Vec<u8> {
    bytes(memory, pointer, length).unwrap_or_default().to_vec()
}
