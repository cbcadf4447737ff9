//! Blobs on several masters: a blob counts as stored when most of them have it.
//!
//! The leader passes on what it is given; whoever leads next fetches from the others what it lacks,
//! when somebody asks for it. Etcd has the names of the blobs that most have, and the masters that
//! live; bytes go from master to master.
//!
//! Deliberately absent: removing blobs, and bringing a master that was away up to date at once.

use crate::blobs::Blobs;
use skep_protocol::Digest;
use skep_store::{Etcd, EtcdError};
use skep_transport::{
    Address, AddressError, DialError, Dialer, Identity, SetupError, blob, blob::BlobError,
};
use std::{
    collections::BTreeSet,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

/// How long a master counts as living after it last said so.
const ATTENDANCE: Duration = Duration::from_secs(15);
/// How often it says so.
const ATTENDANCE_RENEWED: Duration = Duration::from_secs(5);
/// How long one master may take to hand over a blob or to take it: the largest, over a slow link.
const COPY_TIMEOUT: Duration = Duration::from_secs(120);

/// See the module.
pub(crate) struct Copies {
    etcd: Etcd,
    /// Where this master is reached.
    address: String,
    dialer: Dialer,
    blobs: Arc<Blobs>,
    /// What most masters are known to have.
    spread: Mutex<BTreeSet<Digest>>,
    writers: AtomicU64,
}

/// Why a blob is not on most masters, or on none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    #[error("only {have} of {living} masters have it: try again when more of them answer")]
    TooFew { have: usize, living: usize },
    #[error("the blob is gone from this master's folder")]
    Gone,
    #[error(transparent)]
    Folder(#[from] io::Error),
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error("the other master takes too long")]
    Slow,
}

impl Copies {
    pub(crate) fn new(
        etcd: Etcd,
        address: String,
        identity: &Identity,
        blobs: Arc<Blobs>,
    ) -> Result<Self, SetupError> {
        let dialer = Dialer::new(identity)?;
        let (spread, writers) = (Mutex::default(), AtomicU64::new(0));
        Ok(Self { etcd, address, dialer, blobs, spread, writers })
    }

    /// Tells the other masters that this one lives, for ever.
    pub(crate) async fn attend(self: Arc<Self>) {
        loop {
            let attended =
                self.blocking(|copies| copies.etcd.attend(&copies.address, ATTENDANCE)).await;
            if let Err(error) = attended {
                tracing::debug!(%error, "the other masters do not know that this one lives");
            }
            sleep(ATTENDANCE_RENEWED).await;
        }
    }

    /// What most masters have, by etcd's word.
    pub(crate) async fn known(self: &Arc<Self>) -> Result<BTreeSet<Digest>, CopyError> {
        let names = self.blocking(|copies| copies.etcd.blobs()).await?;
        let known: BTreeSet<Digest> =
            names.iter().filter_map(|hex| format!("sha256:{hex}").parse().ok()).collect();
        self.spread().clone_from(&known);
        Ok(known)
    }

    /// Gives a blob that is stored here to the other masters; returns when most have it.
    pub(crate) async fn spread_out(self: &Arc<Self>, digest: Digest) -> Result<(), CopyError> {
        if self.spread().contains(&digest) {
            return Ok(());
        }
        let others = self.others().await?;
        let living = others.len() + 1;
        let (done, mut copied) = mpsc::channel(living);
        for other in others {
            let (copies, done) = (self.clone(), done.clone());
            // Goes on when most have it: the rest should have it too.
            tokio::spawn(async move {
                let pushed = within(copies.push(&other, digest)).await;
                if let Err(error) = &pushed {
                    tracing::warn!(other, %error, "a master does not take a blob");
                }
                let _ = done.send(pushed.is_ok()).await;
            });
        }
        drop(done);
        let mut have = 1;
        while have * 2 <= living {
            match copied.recv().await {
                Some(taken) => have += usize::from(taken),
                None => return Err(CopyError::TooFew { have, living }),
            }
        }
        self.blocking(move |copies| copies.etcd.note_blob(&digest.hex())).await?;
        self.spread().insert(digest);
        Ok(())
    }

    /// Fetches a blob that this master lacks from one that has it.
    pub(crate) async fn fetch(self: &Arc<Self>, digest: Digest) -> Result<(), CopyError> {
        let mut failure = CopyError::Gone;
        for other in self.others().await? {
            match within(self.pull(&other, digest)).await {
                Ok(()) => return Ok(()),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Tells apart who writes to the same blob at the same time.
    pub(crate) fn writer(&self) -> u64 {
        // Apart from those of a reign's hub as well.
        self.writers.fetch_add(1, Ordering::Relaxed) | 1 << 63
    }

    pub(crate) fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    async fn push(&self, other: &str, digest: Digest) -> Result<(), CopyError> {
        let (file, size) = self.blobs.read(&digest)?.ok_or(CopyError::Gone)?;
        let connection = self.dialer.dial(&[other.parse::<Address>()?]).await?;
        Ok(blob::put(&connection, digest, size, file).await?)
    }

    async fn pull(&self, other: &str, digest: Digest) -> Result<(), CopyError> {
        let connection = self.dialer.dial(&[other.parse::<Address>()?]).await?;
        let mut incoming = self.blobs.begin(&digest, self.writer())?;
        blob::fetch(&connection, digest, incoming.file()).await?;
        Ok(incoming.finish(&digest).await?)
    }

    async fn others(self: &Arc<Self>) -> Result<Vec<String>, CopyError> {
        let mut masters = self.blocking(|copies| copies.etcd.masters()).await?;
        masters.retain(|master| *master != self.address);
        Ok(masters)
    }

    /// Asks etcd on a thread that may wait.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        ask: impl FnOnce(&Self) -> Result<T, EtcdError> + Send + 'static,
    ) -> Result<T, EtcdError> {
        let copies = self.clone();
        let asked = tokio::task::spawn_blocking(move || ask(&copies)).await;
        asked.expect("asking etcd does not panic")
    }

    fn spread(&self) -> std::sync::MutexGuard<'_, BTreeSet<Digest>> {
        self.spread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn within(copying: impl Future<Output = Result<(), CopyError>>) -> Result<(), CopyError> {
    timeout(COPY_TIMEOUT, copying).await.unwrap_or(Err(CopyError::Slow))
}
