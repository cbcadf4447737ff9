//! The thread that writes a store.

use crate::store::{ClusterStore, Row, WriteError};
use std::{sync::mpsc, thread};
use tokio::sync::mpsc as to_loop;

/// Commits to a store, one at a time. The store is closed a moment after this is dropped.
#[derive(Debug)]
pub(crate) struct Writer {
    commits: mpsc::Sender<Vec<Row>>,
    done: to_loop::UnboundedReceiver<Result<(), WriteError>>,
}

impl Writer {
    pub(crate) fn start(mut store: Box<dyn ClusterStore>) -> Self {
        let (commits, batches) = mpsc::channel();
        let (finished, done) = to_loop::unbounded_channel();
        // A thread of its own: a commit sleeps in fsync, and never more than one is under way.
        thread::spawn(move || {
            let place = store.place();
            for rows in batches {
                let result = store.write(rows).map_err(|error| WriteError::at(&place, error));
                if finished.send(result).is_err() {
                    return;
                }
            }
        });
        Self { commits, done }
    }

    /// Begins a commit. The caller has none under way.
    pub(crate) fn begin(&self, rows: Vec<Row>) {
        // A writer that is gone shows in `finished`, where there is somebody to tell.
        let _ = self.commits.send(rows);
    }

    /// Waits for the commit under way. Cancel safe.
    pub(crate) async fn finished(&mut self) -> Result<(), WriteError> {
        self.done.recv().await.expect("the writer lives as long as its store")
    }
}
