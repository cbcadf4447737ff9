//! A disk and the journal in front of it, with the promises of `skep-records`.
//!
//! Always holds: effects leave in the order they came, each after the rows before it are on the
//! disk; at most one commit is under way. A crash leaves the disk with all rows of that commit or
//! with none of them, and with no row that came after.

use skep_protocol::Time;
use std::{
    collections::{BTreeMap, VecDeque},
    mem::take,
    time::Duration,
};

/// What is on a disk, by key.
pub(crate) type Disk<R> = BTreeMap<String, R>;

/// A change of one row.
#[derive(Clone, Debug)]
pub(crate) enum Row<R> {
    Put(String, R),
    Delete(String),
}

#[derive(Debug)]
pub(crate) struct Journal<R, E> {
    /// What the next commit takes, and since when the first of it waits.
    next: Vec<Row<R>>,
    next_since: Time,
    /// What the commit under way takes; empty if none is.
    under_way: Vec<Row<R>>,
    under_way_since: Time,
    begun: u64,
    finished: u64,
    /// Each with the commit that it waits for.
    held: VecDeque<(u64, E)>,
}

/// What became of a commit that was under way when its process died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastCommit {
    Done,
    Undone,
}

impl<R: Clone, E> Journal<R, E> {
    pub(crate) const fn new() -> Self {
        Self {
            next: Vec::new(),
            next_since: Time::ZERO,
            under_way: Vec::new(),
            under_way_since: Time::ZERO,
            begun: 0,
            finished: 0,
            held: VecDeque::new(),
        }
    }

    pub(crate) fn persist(&mut self, now: Time, row: Row<R>) {
        if self.next.is_empty() {
            self.next_since = now;
        }
        self.next.push(row);
    }

    pub(crate) fn hold(&mut self, effect: E) {
        let behind = self.begun + u64::from(!self.next.is_empty());
        self.held.push_back((behind, effect));
    }

    /// Begins a commit if none is under way and rows wait. Whoever is told that it has begun sees
    /// to it that it [is over](Self::committed) some time.
    pub(crate) fn begin(&mut self) -> Option<Begun> {
        if !self.under_way.is_empty() || self.next.is_empty() {
            return None;
        }
        self.under_way = take(&mut self.next);
        self.under_way_since = self.next_since;
        self.begun += 1;
        Some(Begun)
    }

    pub(crate) fn committed(&mut self, disk: &mut Disk<R>) {
        write(disk, take(&mut self.under_way));
        self.finished = self.begun;
    }

    /// The next effect that waits for nothing any more.
    pub(crate) fn release(&mut self) -> Option<E> {
        let (behind, _) = self.held.front()?;
        if *behind > self.finished {
            return None;
        }
        self.held.pop_front().map(|(_, effect)| effect)
    }

    pub(crate) fn unsaved_age(&self, now: Time) -> Duration {
        if !self.under_way.is_empty() {
            now.since(self.under_way_since)
        } else if !self.next.is_empty() {
            now.since(self.next_since)
        } else {
            Duration::ZERO
        }
    }

    /// What the disk is going to hold when all that was handed in is written.
    pub(crate) fn will_hold<'a>(&'a self, disk: &'a Disk<R>) -> BTreeMap<&'a String, &'a R> {
        let mut rows: BTreeMap<&String, &R> = disk.iter().collect();
        for row in self.under_way.iter().chain(&self.next) {
            match row {
                Row::Put(key, record) => drop(rows.insert(key, record)),
                Row::Delete(key) => drop(rows.remove(key)),
            }
        }
        rows
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.under_way.is_empty() && self.next.is_empty() && self.held.is_empty()
    }

    pub(crate) fn crash(self, disk: &mut Disk<R>, last: LastCommit) {
        if last == LastCommit::Done {
            write(disk, self.under_way);
        }
    }
}

/// A commit has begun.
#[derive(Debug)]
#[must_use]
pub(crate) struct Begun;

fn write<R>(disk: &mut Disk<R>, rows: Vec<Row<R>>) {
    for row in rows {
        match row {
            Row::Put(key, record) => drop(disk.insert(key, record)),
            Row::Delete(key) => drop(disk.remove(&key)),
        }
    }
}
