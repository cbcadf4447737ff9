//! A disk that fails in the middle of a write: what is on it afterwards is the last commit or the
//! one before, whole. On this the simulated cluster relies (`tests/sim/journal.rs`).
//!
//! The disk keeps what was synced, and of what was written since any part, in sectors, as disks do.

use crate::{
    file::{read, write},
    store::Row,
};
use redb::{Builder, Database, StorageBackend};
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

/// What a disk writes as one.
const SECTOR: usize = 512;
/// Commits of one life of the disk, and how many lives there are.
const COMMITS: u64 = 40;
const LIVES: u64 = 12;
/// Of so many operations one is the last before a power cut.
const CUT_ONCE_IN: u64 = 5;

#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What a read gives.
    seen: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Change>,
    /// Commits that have returned.
    done: u64,
    /// What power cuts left, each with the commits that had returned.
    images: Vec<(u64, Vec<u8>)>,
    random: u64,
}

#[derive(Clone, Debug)]
enum Change {
    Length(usize),
    Sector(usize, Vec<u8>),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Sector(start, data) => {
                let end = start + data.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*start..end].copy_from_slice(data);
            }
        }
    }
}

impl State {
    /// SplitMix64 (Steele, Lea, Flood 2014): tiny, and every seed is a good one.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.unsynced.push(change);
    }

    /// Now and then the power is cut here: any of the sectors since the last sync is on the disk.
    fn perhaps_cut(&mut self) {
        if !self.draw().is_multiple_of(CUT_ONCE_IN) {
            return;
        }
        let mut image = self.synced.clone();
        for change in self.unsynced.clone() {
            if matches!(change, Change::Length(_)) || self.draw().is_multiple_of(2) {
                change.apply(&mut image);
            }
        }
        self.images.push((self.done, image));
    }
}

impl Disk {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.with(|state| state.seen.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let start = usize::try_from(offset).expect("a small disk");
        self.with(|state| match state.seen.get(start..start + out.len()) {
            Some(bytes) => {
                out.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        })
    }

    fn set_len(&self, length: u64) -> Result<(), io::Error> {
        let length = usize::try_from(length).expect("a small disk");
        self.with(|state| {
            state.change(Change::Length(length));
            state.perhaps_cut();
        });
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.with(|state| {
            state.perhaps_cut();
            state.synced = state.seen.clone();
            state.unsynced.clear();
            state.perhaps_cut();
        });
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut start = usize::try_from(offset).expect("a small disk");
        self.with(|state| {
            for sector in data.chunks(SECTOR) {
                state.change(Change::Sector(start, sector.to_vec()));
                start += sector.len();
            }
            state.perhaps_cut();
        });
        Ok(())
    }
}

fn open(disk: Disk) -> Database {
    Builder::new().create_with_backend(disk).expect("a disk without a fault of its own")
}

/// The rows of one commit, which belong together.
fn rows(commit: u64) -> Vec<Row> {
    let wide = format!("{commit:01000}");
    let changing = Row::put(format!("row{}", commit % 7), &wide);
    vec![Row::put("one".into(), &wide), changing, Row::put("other".into(), &wide)]
}

#[test]
fn what_a_torn_write_leaves_is_the_last_commit_or_the_one_before() {
    let mut cuts = 0;
    for life in 0..LIVES {
        let disk = Disk::default();
        disk.with(|state| state.random = life);
        let database = open(disk.clone());
        // The file is made before anybody relies on it.
        write(&database, rows(0)).expect("a sound disk");
        disk.with(|state| state.images.clear());
        for commit in 1..=COMMITS {
            write(&database, rows(commit)).expect("a sound disk");
            disk.with(|state| state.done = commit);
        }
        for (done, image) in disk.with(|state| std::mem::take(&mut state.images)) {
            cuts += 1;
            let found = Disk::default();
            found.with(|state| (state.seen, state.synced) = (image.clone(), image));
            let records = read(&open(found)).expect("it can be read");
            let number = |(_, value): &(String, Vec<u8>)| {
                let text: String = serde_json::from_slice(value).expect("a text");
                text.parse::<u64>().expect("a number")
            };
            let (one, other) = (number(&records[0]), number(&records[1]));
            assert_eq!(one, other, "half of a commit is there");
            assert!(one == done || one == done + 1, "{one} is there, {done} had returned");
        }
    }
    assert!(cuts > LIVES * COMMITS, "{cuts} power cuts are too few to show anything");
}
