//! The order of records and effects.

use crate::{
    file::{OpenError, Redb},
    store::{ClusterStore, Row, WriteError},
    writer::Writer,
};
use serde::de::DeserializeOwned;
use std::{
    collections::VecDeque,
    path::PathBuf,
    time::{Duration, Instant},
};

/// Where records go.
#[derive(Clone, Debug)]
pub enum Store {
    /// To this file, made if it is not there.
    File(PathBuf),
    /// Nowhere: for a cluster that ends with its process.
    Memory,
}

/// Holds each effect back until the records before it are durable.
///
/// Always holds: effects leave in the order they came; at most one commit is under way.
#[derive(Debug)]
pub struct Journal<E> {
    writer: Option<Writer>,
    /// Rows that the next commit takes.
    next: Vec<Row>,
    /// When the first of `next` came.
    next_since: Option<Instant>,
    /// When the first row of the commit under way came, if one is.
    under_way: Option<Instant>,
    /// Commits begun and finished; an effect waits for the commit that its records are part of.
    begun: u64,
    finished: u64,
    held: VecDeque<(u64, E)>,
}

impl<E> Journal<E> {
    /// Opens the store; gives the records that it holds, in the order of their keys.
    ///
    /// # Errors
    /// [`OpenError`] if the file is in use, cannot be read, or holds what is no record.
    pub fn open<R: DeserializeOwned>(store: &Store) -> Result<(Self, Vec<R>), OpenError> {
        match store {
            Store::File(path) => Self::over(Box::new(Redb::open(path)?)),
            Store::Memory => Ok((Self::with(None), Vec::new())),
        }
    }

    /// Takes an open store; gives the records that it holds, in the order of their keys. Blocks
    /// while it reads them.
    ///
    /// # Errors
    /// [`OpenError`] if they cannot be read.
    pub fn over<R: DeserializeOwned>(
        mut store: Box<dyn ClusterStore>,
    ) -> Result<(Self, Vec<R>), OpenError> {
        let place = store.place();
        let rows = store.read();
        let rows = rows.map_err(|source| OpenError::Read { place: place.clone(), source })?;
        let record = |(key, value): (String, Vec<u8>)| {
            let record = serde_json::from_slice(&value);
            record.map_err(|source| OpenError::Record { place: place.clone(), key, source })
        };
        let records = rows.into_iter().map(record).collect::<Result<_, _>>()?;
        Ok((Self::with(Some(Writer::start(store))), records))
    }

    const fn with(writer: Option<Writer>) -> Self {
        Self {
            writer,
            next: Vec::new(),
            next_since: None,
            under_way: None,
            begun: 0,
            finished: 0,
            held: VecDeque::new(),
        }
    }

    /// Takes a row; effects that come later wait until it is on disk.
    pub fn persist(&mut self, row: Row) {
        if self.writer.is_some() {
            self.next.push(row);
            self.next_since.get_or_insert_with(Instant::now);
        }
    }

    /// Takes an effect that waits for all rows before it.
    pub fn hold(&mut self, effect: E) {
        let behind = self.begun + u64::from(!self.next.is_empty());
        self.held.push_back((behind, effect));
    }

    /// The next effect that may be carried out, if there is one. Begins a commit if none is under
    /// way and rows wait.
    pub fn release(&mut self) -> Option<E> {
        self.begin();
        let (behind, _) = self.held.front()?;
        if *behind > self.finished {
            return None;
        }
        self.held.pop_front().map(|(_, effect)| effect)
    }

    fn begin(&mut self) {
        if let Some(writer) = &self.writer
            && self.under_way.is_none()
            && !self.next.is_empty()
        {
            writer.begin(std::mem::take(&mut self.next));
            self.under_way = self.next_since.take();
            self.begun += 1;
        }
    }

    /// Waits until the commit under way is on disk; for ever if there is none. Cancel safe. Call
    /// [`release`](Self::release) afterwards.
    ///
    /// # Errors
    /// [`WriteError`]: memory is ahead of the disk, and the process must not go on.
    pub async fn committed(&mut self) -> Result<(), WriteError> {
        let (Some(writer), Some(_)) = (&mut self.writer, self.under_way) else {
            return std::future::pending().await;
        };
        writer.finished().await?;
        self.under_way = None;
        self.finished = self.begun;
        Ok(())
    }

    /// Whether no row waits and no effect is held.
    pub fn is_settled(&self) -> bool {
        self.held.is_empty() && self.next.is_empty() && self.under_way.is_none()
    }

    /// The age of the oldest row that is not on disk; zero if all are.
    pub fn unsaved_age(&self) -> Duration {
        let oldest = self.under_way.or(self.next_since);
        oldest.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, value: u32) -> Row {
        Row::put(key.into(), &value)
    }

    fn released(journal: &mut Journal<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| journal.release()).collect()
    }

    fn on_disk(folder: &tempfile::TempDir) -> (Journal<&'static str>, Vec<u32>) {
        let store = Store::File(folder.path().join("test.redb"));
        Journal::open(&store).expect("a fresh file opens")
    }

    #[tokio::test]
    async fn an_effect_waits_for_the_rows_before_it_and_no_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut journal, _) = on_disk(&folder);
        journal.hold("before");
        journal.persist(row("a", 1));
        journal.hold("after a");
        assert_eq!(released(&mut journal), ["before"]);

        journal.persist(row("b", 2));
        journal.hold("after b");
        assert_eq!(released(&mut journal), [""; 0]);
        journal.committed().await.expect("a is on disk");
        assert_eq!(released(&mut journal), ["after a"]);
        journal.committed().await.expect("b is on disk");
        assert_eq!(released(&mut journal), ["after b"]);
        assert!(journal.is_settled());
    }

    #[tokio::test]
    async fn what_was_committed_is_there_after_reopening() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut journal, before) = on_disk(&folder);
        assert_eq!(before, [0; 0]);
        journal.persist(row("b", 2));
        journal.persist(row("a", 1));
        journal.persist(row("c", 3));
        journal.persist(row("a", 7));
        journal.persist(Row::delete("c".into()));
        journal.hold("done");
        assert_eq!(released(&mut journal), [""; 0]);
        journal.committed().await.expect("a commit");
        assert_eq!(released(&mut journal), ["done"]);
        drop(journal);
        let reopened =
            wait_for(|| Journal::<()>::open(&Store::File(folder.path().join("test.redb"))).ok());
        let (_, records): (_, Vec<u32>) = reopened;
        assert_eq!(records, [7, 2]);
    }

    #[test]
    fn a_second_process_on_the_same_file_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let (_first, _) = on_disk(&folder);
        let second = Journal::<()>::open::<u32>(&Store::File(folder.path().join("test.redb")));
        assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");
    }

    #[test]
    fn in_memory_nothing_is_held_back() {
        let (mut journal, _) = Journal::open::<u32>(&Store::Memory).expect("memory");
        journal.persist(row("a", 1));
        journal.hold("after a");
        assert_eq!(released(&mut journal), ["after a"]);
    }

    /// The writer's thread closes the file a moment after its journal is dropped.
    fn wait_for<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(value) = attempt() {
                return value;
            }
            assert!(Instant::now() < deadline, "it did not happen within ten seconds");
            std::thread::yield_now();
        }
    }
}
