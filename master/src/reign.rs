//! Leading, and standing by while another leads.
//!
//! ```text
//! stand by --elected--> read the records --> lead --deposed, or its lease is over--> stand by
//! ```
//! Always holds: a core lives for one reign. What it knew goes with it, and the next is made of the
//! records; its peers are hung up on, and tell the next leader what they know.

use crate::{
    blobs::Blobs,
    copies::Copies,
    hub::Hub,
    peers, requests,
    shell::{INBOX_MAX, Shell},
};
use skep_master_core::{ConnectionId, Effect, Input, Master as Core, Policy, Record};
use skep_protocol::{Digest, operator::PeerKind};
use skep_shell::{Journal, OpenError, Parcel, StoreError, WriteError};
use skep_store::{Campaign, Etcd, Leadership, Lease};
use skep_transport::{Authority, CloseCode, CloseReason, Listener, Standing};
use std::{collections::BTreeSet, io, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// How often a standby looks whether there is a leader: what a failover may take beyond the lease.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// Why a master ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum EndError {
    /// Its store failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The records cannot be read.
    #[error(transparent)]
    Records(#[from] OpenError),
    /// The blobs cannot be listed.
    #[error("the folder of blobs cannot be listed")]
    Blobs(#[from] io::Error),
}

/// What the connections of one reign are served with.
#[derive(Clone)]
pub(crate) struct Reign {
    pub(crate) hub: Hub,
    /// Tells that it is over.
    pub(crate) over: CancellationToken,
}

impl std::fmt::Debug for Reign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reign").finish_non_exhaustive()
    }
}

/// The reign that lasts, if one does.
pub(crate) type Throne = watch::Sender<Option<Reign>>;

/// What a master has before it leads, and keeps when it leads no more.
pub(crate) struct Court {
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) authority: Arc<Authority>,
    /// With several masters.
    pub(crate) copies: Option<Arc<Copies>>,
    pub(crate) policy: Policy,
    pub(crate) throne: Throne,
    pub(crate) stop: CancellationToken,
}

/// A reign that is about to begin.
pub(crate) struct Crowned {
    shell: Shell,
    over: CancellationToken,
}

/// Where the other masters are met.
pub(crate) struct Electorate {
    pub(crate) etcd: Etcd,
    /// Where this master is reached.
    pub(crate) address: String,
    pub(crate) lease: Duration,
    pub(crate) standing: Standing,
}

impl Court {
    /// Makes a core of the records and takes peers in.
    pub(crate) fn crown(
        &self,
        journal: Journal<Parcel<Effect>>,
        records: Vec<Record>,
        lease: Option<Lease>,
        elsewhere: BTreeSet<Digest>,
    ) -> io::Result<Crowned> {
        let core = Core::recover(records, self.policy.clone(), seed());
        let (inbox, events) = mpsc::channel(INBOX_MAX);
        let mut shell = Shell::new(core, journal, events, lease);
        let stored: BTreeSet<Digest> = self.blobs.stored()?.into_iter().chain(elsewhere).collect();
        for digest in stored {
            shell.handle(Input::BlobStored { digest });
        }
        let hub = Hub::new(inbox, self.blobs.clone(), self.authority.clone(), self.copies.clone());
        let over = CancellationToken::new();
        self.throne.send_replace(Some(Reign { hub, over: over.clone() }));
        Ok(Crowned { shell, over })
    }

    /// Leads until it is stopped, its store fails or its lease is over.
    pub(crate) async fn lead(&self, Crowned { shell, over }: Crowned) -> Result<(), EndError> {
        let ended = shell.run(self.stop.clone()).await;
        self.throne.send_replace(None);
        over.cancel();
        Ok(ended?)
    }

    /// Leads whenever it is elected, until it is stopped or its store fails for good.
    pub(crate) async fn stand(self, electorate: Electorate) -> Result<(), EndError> {
        while let Some(leadership) = self.stop.run_until_cancelled(electorate.elected()).await {
            let ended = self.reign(&leadership, &electorate.standing).await;
            electorate.standing.stand_by(String::new());
            // Whoever lost the lead has none to give back, and etcd knows.
            let _ = tokio::task::spawn_blocking(move || leadership.resign()).await;
            match ended {
                Err(
                    EndError::Write(WriteError::Deposed { why })
                    | EndError::Records(OpenError::Read {
                        source: StoreError::Deposed { why }, ..
                    }),
                ) => tracing::warn!(why, "this master steps down and stands by"),
                ended => return ended,
            }
        }
        Ok(())
    }

    async fn reign(&self, leadership: &Leadership, standing: &Standing) -> Result<(), EndError> {
        let store = Box::new(leadership.store());
        let opened = tokio::task::spawn_blocking(move || Journal::over::<Record>(store)).await;
        let (journal, records) = opened.expect("reading records does not panic")?;
        let elsewhere = self.known_copies().await;
        let (epoch, count) = (leadership.epoch(), records.len());
        tracing::info!(epoch, records = count, "this master leads");
        let crowned = self.crown(journal, records, Some(leadership.lease()), elsewhere)?;
        standing.lead();
        self.lead(crowned).await
    }
}

impl Court {
    /// The blobs that other masters have; without them their tasks must be stored again.
    async fn known_copies(&self) -> BTreeSet<Digest> {
        let Some(copies) = &self.copies else { return BTreeSet::new() };
        copies.known().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "what blobs other masters have is not known");
            BTreeSet::new()
        })
    }
}

impl Electorate {
    /// Stands by until it is elected.
    async fn elected(&self) -> Leadership {
        loop {
            let (etcd, address, lease) = (self.etcd.clone(), self.address.clone(), self.lease);
            let campaign = move || etcd.campaign(&address, lease);
            let campaign = tokio::task::spawn_blocking(campaign).await;
            match campaign.expect("a campaign does not panic") {
                Ok(Campaign::Elected(leadership)) => return leadership,
                // An earlier process at this address led, and its lease runs out.
                Ok(Campaign::Standby { leader }) if leader == self.address => {
                    self.standing.stand_by(String::new());
                }
                Ok(Campaign::Standby { leader }) => self.standing.stand_by(leader),
                Err(error) => {
                    tracing::warn!(%error, "this standby does not know who leads");
                    self.standing.stand_by(String::new());
                }
            }
            sleep(LOOK_PAUSE).await;
        }
    }
}

/// Takes peers in and serves each for as long as the reign lasts that took it in.
pub(crate) async fn accept(
    mut listener: Listener,
    throne: watch::Receiver<Option<Reign>>,
    copies: Option<Arc<Copies>>,
    stop: CancellationToken,
) {
    let not_leader = CloseReason::new(CloseCode::NotLeader, "");
    loop {
        let connection = tokio::select! {
            () = stop.cancelled() => break,
            connection = listener.accept() => connection,
        };
        let Some(connection) = connection else { break };
        let is_master = connection.peer().is_some_and(|peer| peer.kind() == PeerKind::Master);
        if let (true, Some(copies)) = (is_master, &copies) {
            tokio::spawn(requests::serve_master(connection, copies.clone()));
            continue;
        }
        let Some(Reign { hub, over }) = throne.borrow().clone() else {
            connection.close(&not_leader);
            continue;
        };
        let id = ConnectionId(hub.number());
        let not_leader = not_leader.clone();
        tokio::spawn(async move {
            let serving = peers::serve(connection.clone(), id, hub);
            if over.run_until_cancelled(serving).await.is_none() {
                connection.close(&not_leader);
            }
        });
    }
    listener.close("the master is stopped").await;
}

/// A seed for the core's ids, different at each reign.
fn seed() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}
