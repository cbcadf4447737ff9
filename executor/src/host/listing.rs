//! Preview 1's directory listings: read once from the file system, then given out piece by piece.
//!
//! A guest asks for a listing in as many pieces as it likes, and wasmtime-wasi would read the whole
//! directory, with a look at each file, for every one of them. Always holds: from its first piece
//! to its last a listing is one; asked for anew from the start, it is read anew. In a deterministic
//! run entries come in the order of their names.

use super::{
    disk::Inode,
    errno,
    memory::{range, u32_at},
    p1::Call,
};
use crate::guest::GuestState;
use std::ops::Range;
use wasmtime_wasi::p1::wasi_snapshot_preview1 as abi;
use wiggle::GuestMemory;

/// Bytes of an entry in front of its name, and where its fields lie.
const ENTRY_BYTES: usize = 24;
const NEXT: Range<usize> = 0..8;
const NUMBER: Range<usize> = 8..16;
const NAME_BYTES: Range<usize> = 16..20;
/// A first guess that holds a thousand names, and how often it is quadrupled: to 64 MiB.
const FIRST_BYTES: usize = 64 << 10;
const GROWTHS_MAX: u32 = 5;
/// What looking at one file costs, in bytes' worth.
const LOOK_BYTES: u64 = 100;
/// The device on which wasmtime-wasi says that every file lies; a file's status and its entry in a
/// listing then give it one number.
const DEVICE: u64 = 1;
/// The entries of the directory itself and its parent.
const DOTS: usize = 2;

/// The entries of one open directory, as preview 1 writes them.
#[derive(Debug)]
pub(crate) struct Listing {
    fd: i32,
    entries: Vec<Vec<u8>>,
}

impl Listing {
    /// What it takes of the host's memory.
    fn bytes(&self) -> u64 {
        let each = |entry: &Vec<u8>| entry.len() + size_of::<Vec<u8>>();
        self.entries.iter().map(each).sum::<usize>() as u64
    }
}

impl GuestState {
    /// Forgets the directory that the guest was reading.
    pub(super) fn drop_listing(&mut self) {
        if let Some(listing) = self.listing.take() {
            self.limiter.release(listing.bytes());
        }
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
    let known = call.state.listing.as_ref().is_some_and(|listing| listing.fd == fd);
    if cookie == 0 || !known {
        call.state.drop_listing();
        match read(call, fd).await? {
            Ok(listing) if call.state.limiter.hold(listing.bytes()) => {
                call.state.listing = Some(listing);
            }
            Ok(_) => return Ok(errno::NOMEM),
            Err(errno) => return Ok(errno),
        }
    }
    let Some(buffer) = range(call.memory, pointer, length) else { return Ok(errno::FAULT) };
    let Some(used) = range(call.memory, used_at, 4) else { return Ok(errno::FAULT) };
    let mut room = &mut call.memory[buffer.clone()];
    let entries = call.state.listing.as_ref().map_or(&[][..], |listing| &listing.entries);
    let first = usize::try_from(cookie).unwrap_or(usize::MAX);
    for entry in entries.iter().skip(first) {
        // What does not fit is cut, by which the guest knows that there is more.
        let fits = entry.len().min(room.len());
        room[..fits].copy_from_slice(&entry[..fits]);
        room = &mut room[fits..];
    }
    let count = buffer.len() - room.len();
    call.state.meter.touched(count as u64);
    let count = u32::try_from(count).expect("a part of a 32-bit memory");
    call.memory[used].copy_from_slice(&count.to_le_bytes());
    if let Some(transcript) = &mut call.state.transcript {
        transcript.moved("fd_readdir", &call.memory[buffer][..count as usize]);
    }
    Ok(errno::SUCCESS)
}

/// Reads a whole directory. Err: the error number.
async fn read(call: &mut Call<'_>, fd: i32) -> wasmtime::Result<Result<Listing, i32>> {
    let mut length = FIRST_BYTES;
    for _ in 0..=GROWTHS_MAX {
        // The answer, and behind it the number of its bytes.
        let mut scratch = vec![0; length + 4];
        let end = i32::try_from(length).expect("at most 64 MiB");
        let memory = &mut GuestMemory::Unshared(&mut scratch);
        let errno = abi::fd_readdir(&mut call.state.wasi, memory, fd, 0, end, 0, end).await?;
        if errno != errno::SUCCESS {
            return Ok(Err(errno));
        }
        let used = u32_at(&scratch, end).expect("it was written there") as usize;
        if used < length {
            scratch.truncate(used);
            let mut entries = split(&scratch);
            call.state.meter.touched(entries.len() as u64 * LOOK_BYTES);
            settle(call, &mut entries);
            return Ok(Ok(Listing { fd, entries }));
        }
        length *= 4;
    }
    Ok(Err(errno::OVERFLOW))
}

fn split(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    while let Some(head) = bytes.get(..ENTRY_BYTES) {
        let name = u32::from_le_bytes(head[NAME_BYTES].try_into().expect("four bytes")) as usize;
        let Some(entry) = bytes.get(..ENTRY_BYTES + name) else { break };
        entries.push(entry.to_vec());
        bytes = &bytes[entry.len()..];
    }
    entries
}

/// In a deterministic run, puts entries in order and takes out what differs between machines.
fn settle(call: &mut Call<'_>, entries: &mut [Vec<u8>]) {
    if !call.state.files.is_deterministic() {
        return;
    }
    let dots = DOTS.min(entries.len());
    entries[dots..].sort_by(|a, b| a[ENTRY_BYTES..].cmp(&b[ENTRY_BYTES..]));
    for (place, entry) in (1_u64..).zip(entries) {
        let number = u64::from_le_bytes(entry[NUMBER].try_into().expect("eight bytes"));
        let inode = Inode { device: DEVICE, number };
        let number = call.state.files.number(inode).unwrap_or(0);
        entry[NEXT].copy_from_slice(&place.to_le_bytes());
        entry[NUMBER].copy_from_slice(&number.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_split_into_its_entries() {
        let entry = |name: &[u8]| {
            let mut bytes = vec![0; ENTRY_BYTES];
            bytes[NAME_BYTES].copy_from_slice(&(name.len() as u32).to_le_bytes());
            [&bytes, name].concat()
        };
        let (a, bc) = (entry(b"a"), entry(b"bc"));
        let mut bytes = [a.clone(), bc.clone()].concat();
        assert_eq!(split(&bytes), [a.clone(), bc]);
        bytes.pop();
        assert_eq!(split(&bytes), [a]);
    }
}
