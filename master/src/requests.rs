//! Answers to what peers ask on streams of their own: joining, blobs, logs, and people's orders.
//!
//! What a kind of peer may ask is decided here, from its certificate; what becomes of an order is
//! decided by the core.

use crate::{
    backup::{self, BackupError, Contents, WithBlobs},
    blobs::Blobs,
    copies::Copies,
    hub::Hub,
    logs::{self, Log, Outputs},
    peers::{self, principal},
    shell::{Ask, NewToken, row_of},
};
use skep_master_core::Answer;
use skep_protocol::{
    AgentId, Digest, Rejection, TaskKey,
    data::{Request, Response},
    hello::Hello,
    operator::{
        self, PeerKind,
        view::{ModuleViews, StatusView},
    },
};
use skep_transport::{
    Connection, FeedError, IncomingRequest, JoinToken, PeerName, RequestError, StreamError,
    blob::{self, BlobError},
    feed::{self, Feeding},
    log,
};
use std::{collections::BTreeSet, io, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWriteExt as _},
    sync::OwnedSemaphorePermit,
};

/// Takes up the requests of a connection until it ends, each in a loop of its own.
pub(crate) async fn serve(connection: Connection, hub: Hub) {
    while let Some(incoming) = connection.accept_request().await {
        let (connection, hub) = (connection.clone(), hub.clone());
        tokio::spawn(async move {
            let served = tokio::select! {
                served = answer(incoming, &connection, &hub) => served,
                // Whoever asked is gone: a log that is followed must not be followed for nobody.
                closed = connection.closed() => Err(StreamError::Closed(closed).into()),
            };
            if let Err(error) = served {
                tracing::debug!(peer = %connection, %error, "a request was not served");
            }
        });
    }
}

/// Serves another master, which gives and takes blobs and asks for nothing else.
pub(crate) async fn serve_master(connection: Connection, copies: Arc<Copies>) {
    while let Some(incoming) = connection.accept_request().await {
        let (connection, copies) = (connection.clone(), copies.clone());
        tokio::spawn(async move {
            let served = match incoming.request.clone() {
                Request::PutBlob { digest, size } => {
                    let at = Place { blobs: copies.blobs(), writer: copies.writer() };
                    match take(incoming, &connection, at, digest, size).await {
                        Ok(Some(taken)) => {
                            taken.respond(&Response::Stored).await.map_err(Cut::from)
                        }
                        Ok(None) => Ok(()),
                        Err(error) => Err(error),
                    }
                }
                Request::FetchBlob { digest } => {
                    give(incoming, &connection, copies.blobs(), digest).await
                }
                _ => {
                    let what = "asking a master as a master for anything but blobs".into();
                    let refused = incoming.refuse(Rejection::NotAllowed { what }).await;
                    refused.map_err(Cut::from)
                }
            };
            if let Err(error) = served {
                tracing::debug!(peer = %connection, %error, "a master was not served");
            }
        });
    }
}

/// Why a request was cut; the peer sees its stream end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cut {
    #[error("the stream ended: {0}")]
    Stream(#[from] StreamError),
    #[error("the blob could not be moved: {0}")]
    Blob(#[from] BlobError),
    #[error("the blob store failed: {0}")]
    Store(#[from] io::Error),
    #[error("the backup could not be made: {0}")]
    Backup(#[from] BackupError),
    #[error("the agent did not answer: {0}")]
    Agent(#[from] RequestError),
    #[error("the core answered something else")]
    Core,
}

async fn answer(incoming: IncomingRequest, connection: &Connection, hub: &Hub) -> Result<(), Cut> {
    let peer = connection.peer();
    if let Err(rejection) = allow(peer, &incoming.request) {
        return Ok(incoming.refuse(rejection).await?);
    }
    if let Some(rejection) = turned_away(peer, hub).await {
        return Ok(incoming.refuse(rejection).await?);
    }
    match incoming.request.clone() {
        Request::Join { secret, csr, name } => {
            let joined = join(hub, &secret, &csr, name).await;
            let response = joined.unwrap_or_else(|rejection| Response::Refused { rejection });
            Ok(incoming.respond(&response).await?)
        }
        Request::PutBlob { digest, size } => put(incoming, connection, hub, digest, size).await,
        Request::FetchBlob { digest } => fetch(incoming, connection, hub, digest).await,
        Request::ReadLog { key, stream, offset, follow, stream_id } => {
            let log = Log { key, stream, offset, follow };
            logs::read_log(incoming, connection, hub, log, stream_id).await
        }
        Request::ReadOutputs { agent, framework, tasks, stream_id } => {
            let wanted = Outputs { agent, framework, tasks };
            logs::read_outputs(incoming, connection, hub, wanted, stream_id).await
        }
        Request::Feed { key } => feed(incoming, connection, hub, key).await,
        Request::Backup { blobs, stream_id } => {
            let blobs = if blobs { WithBlobs::Yes } else { WithBlobs::No };
            back_up(incoming, connection, hub, blobs, stream_id).await
        }
        Request::Host { key } => {
            let agent = peer.and_then(|peer| AgentId::new(peer.id()).ok());
            match agent {
                Some(agent) => Ok(peers::host(incoming, connection, hub, agent, key).await?),
                None => Ok(incoming.refuse(Rejection::invalid("agent", "it has no id")).await?),
            }
        }
        Request::Operator(operator::Request::Ask { framework, message }) => {
            let by = peer.map(principal).unwrap_or_default();
            let asked = hub.ask(Ask::Inquiry { by, framework, message }).await;
            let response = match asked {
                Ok(Answer::Operator(response)) => Response::Operator(response),
                Ok(_) => return Err(Cut::Core),
                Err(rejection) => Response::Refused { rejection },
            };
            Ok(incoming.respond(&response).await?)
        }
        Request::Operator(order) => {
            let response = match order_answer(hub, order).await {
                Ok(response) => Response::Operator(response),
                Err(rejection) => Response::Refused { rejection },
            };
            Ok(incoming.respond(&response).await?)
        }
    }
}

/// Refuses an agent that is gone; its certificate is as good as ever.
async fn turned_away(peer: Option<&PeerName>, hub: &Hub) -> Option<Rejection> {
    let agent = peer.filter(|peer| peer.kind() == PeerKind::Agent)?;
    let agent = AgentId::new(agent.id()).ok()?;
    (!hub.admits(&agent).await).then_some(Rejection::AgentGone { agent })
}

/// What each kind of peer may ask for.
fn allow(peer: Option<&PeerName>, request: &Request) -> Result<(), Rejection> {
    let allowed: &[PeerKind] = match request {
        Request::Join { .. } => return Ok(()),
        Request::Host { .. } => &[PeerKind::Agent],
        // Agents store what their tasks leave.
        Request::FetchBlob { .. } | Request::PutBlob { .. } => {
            &[PeerKind::Agent, PeerKind::Framework, PeerKind::Operator]
        }
        Request::ReadLog { .. } | Request::ReadOutputs { .. } | Request::Feed { .. } => {
            &[PeerKind::Framework, PeerKind::Operator]
        }
        Request::Backup { .. } => &[PeerKind::Operator],
        Request::Operator(order) => match order {
            operator::Request::Kill { .. }
            | operator::Request::SetRole { .. }
            | operator::Request::SetQuota { .. }
            | operator::Request::Reserve { .. }
            | operator::Request::Unreserve { .. }
            | operator::Request::Drain { .. }
            | operator::Request::Deactivate { .. }
            | operator::Request::Activate { .. }
            | operator::Request::Gone { .. }
            | operator::Request::SetMaintenance { .. }
            | operator::Request::CreateVolume { .. }
            | operator::Request::DestroyVolume { .. }
            | operator::Request::CreateToken { .. }
            | operator::Request::Teardown { .. }
            | operator::Request::Tokens
            | operator::Request::RevokeToken { .. } => &[PeerKind::Operator],
            operator::Request::Tasks { .. }
            | operator::Request::Recorded { .. }
            | operator::Request::Agents
            | operator::Request::Frameworks
            | operator::Request::Roles
            | operator::Request::Why { .. }
            | operator::Request::Offers
            | operator::Request::Ask { .. }
            | operator::Request::Modules
            | operator::Request::Volumes
            | operator::Request::Status => &[PeerKind::Framework, PeerKind::Operator],
        },
    };
    let needs = || allowed.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" or ");
    match peer {
        None => Err(Rejection::WrongKind {
            kind: "stranger".into(),
            needs: "a certificate: join with a token first".into(),
        }),
        Some(peer) if !allowed.contains(&peer.kind()) => {
            Err(Rejection::WrongKind { kind: peer.kind().to_string(), needs: needs() })
        }
        Some(_) => Ok(()),
    }
}

async fn join(hub: &Hub, secret: &[u8], csr: &[u8], name: String) -> Result<Response, Rejection> {
    let secret = JoinToken::digest_of_secret(secret);
    let Answer::Admitted { kind, id } = hub.ask(Ask::Join { secret, name }).await? else {
        return Err(Rejection::Violation { why: "the core answered something else".into() });
    };
    let authority = hub.authority();
    let name = PeerName::new(authority.cluster().clone(), kind, &id)
        .map_err(|error| Rejection::invalid("name", error.to_string()))?;
    let certificate = authority
        .issue(csr, &name)
        .map_err(|error| Rejection::invalid("csr", error.to_string()))?;
    tracing::info!(peer = %name, "joined");
    Ok(Response::Joined { certificate, authority: authority.certificate().to_vec() })
}

/// Where a blob goes, and who writes it.
struct Place<'a> {
    blobs: &'a Blobs,
    writer: u64,
}

/// Takes a blob, unless it is there; none if it was refused.
async fn take(
    mut incoming: IncomingRequest,
    connection: &Connection,
    Place { blobs, writer }: Place<'_>,
    digest: Digest,
    size: u64,
) -> Result<Option<IncomingRequest>, Cut> {
    if blobs.read(&digest)?.is_none() {
        let mut blob = blobs.begin(&digest, writer)?;
        let file = blob.file();
        if let Err(error) = blob::take_put(connection, &mut incoming, digest, size, file).await {
            let rejection = Rejection::invalid("blob", error.to_string());
            incoming.refuse(rejection).await?;
            return Ok(None);
        }
        blob.finish(&digest).await?;
    }
    Ok(Some(incoming))
}

async fn put(
    incoming: IncomingRequest,
    connection: &Connection,
    hub: &Hub,
    digest: Digest,
    size: u64,
) -> Result<(), Cut> {
    let at = Place { blobs: hub.blobs(), writer: hub.number() };
    let Some(incoming) = take(incoming, connection, at, digest, size).await? else {
        return Ok(());
    };
    match settle(hub, digest).await {
        Ok(()) => Ok(incoming.respond(&Response::Stored).await?),
        Err(rejection) => Ok(incoming.refuse(rejection).await?),
    }
}

/// Has a blob that is in this master's folder count as stored.
pub(crate) async fn settle(hub: &Hub, digest: Digest) -> Result<(), Rejection> {
    if let Some(copies) = hub.copies()
        && let Err(error) = copies.spread_out(digest).await
    {
        let what = format!("storing a blob that most masters do not have: {error}");
        return Err(Rejection::NotAllowed { what });
    }
    hub.stored(digest).await;
    Ok(())
}

/// Stores a blob that came with a call.
pub(crate) async fn store(hub: &Hub, blob: &[u8]) -> Result<(), Rejection> {
    let digest = Digest::of(blob);
    let failed = |error: io::Error| Rejection::NotAllowed {
        what: format!("storing a blob: {error}; put it again"),
    };
    if hub.blobs().read(&digest).map_err(failed)?.is_none() {
        let mut incoming = hub.blobs().begin(&digest, hub.number()).map_err(failed)?;
        incoming.file().write_all(blob).await.map_err(failed)?;
        incoming.finish(&digest).await.map_err(failed)?;
    }
    if let Some(copies) = hub.copies() {
        let spread = copies.spread_out(digest).await;
        spread.map_err(|error| failed(io::Error::other(error.to_string())))?;
    }
    hub.stored(digest).await;
    Ok(())
}

async fn fetch(
    incoming: IncomingRequest,
    connection: &Connection,
    hub: &Hub,
    digest: Digest,
) -> Result<(), Cut> {
    find_blob(hub, digest).await?;
    give(incoming, connection, hub.blobs(), digest).await
}

/// A stored blob and its size; one that this master lacks is fetched from another.
pub(crate) async fn find_blob(
    hub: &Hub,
    digest: Digest,
) -> io::Result<Option<(tokio::fs::File, u64)>> {
    let found = hub.blobs().read(&digest)?;
    if found.is_some() {
        return Ok(found);
    }
    let Some(copies) = hub.copies() else { return Ok(None) };
    if let Err(error) = copies.fetch(digest).await {
        tracing::warn!(%digest, %error, "a blob is on no master that answers");
    }
    hub.blobs().read(&digest)
}

async fn give(
    incoming: IncomingRequest,
    connection: &Connection,
    blobs: &Blobs,
    digest: Digest,
) -> Result<(), Cut> {
    match blobs.read(&digest)? {
        Some((file, size)) => {
            Ok(blob::serve_fetch(connection, incoming, digest, size, file).await?)
        }
        None => Ok(incoming.refuse(Rejection::UnknownBlob { digest }).await?),
    }
}

/// Passes on what a framework feeds its own task with, to the agent that runs it. What is cut off
/// here is cut off there.
async fn feed(
    incoming: IncomingRequest,
    connection: &Connection,
    hub: &Hub,
    key: TaskKey,
) -> Result<(), Cut> {
    let Some(peer) = connection.peer() else { return Ok(()) };
    let feeding = match open_feed(hub, peer, key).await {
        Ok(feeding) => feeding,
        Err(rejection) => return Ok(incoming.refuse(rejection).await?),
    };
    let (bytes, feeder) = incoming.take_bytes().await?;
    match pour(feeding, bytes).await {
        Ok(()) => Ok(feeder.fed().await?),
        Err(rejection) => Ok(feeder.refuse(rejection).await?),
    }
}

/// A standard input that an agent takes.
pub(crate) struct Feed {
    feeding: Feeding,
    _place: OwnedSemaphorePermit,
}

/// Asks the agent that runs a task to take its standard input, if this peer may feed it.
pub(crate) async fn open_feed(hub: &Hub, peer: &PeerName, key: TaskKey) -> Result<Feed, Rejection> {
    let Some(home) = hub.find(&key).await else {
        return Err(Rejection::UnknownTask { task: key.task.to_string() });
    };
    // An operator may read what a task of others wrote, but what it reads is its framework's alone.
    if home.principal != Some(principal(peer)) {
        return Err(Rejection::NotYours { framework: key.framework });
    }
    let agent = home.connection.and_then(|id| Some((id, hub.agent(id)?)));
    let Some((id, agent)) = agent else {
        let what = "feeding a task whose agent is not connected".into();
        return Err(Rejection::NotAllowed { what });
    };
    let Some(place) = hub.place_to_feed(id) else {
        let what = "feeding more tasks of one agent at once: try again when one has ended".into();
        return Err(Rejection::NotAllowed { what });
    };
    match feed::begin(&agent, key).await {
        Ok(feeding) => Ok(Feed { feeding, _place: place }),
        Err(RequestError::Refused(rejection)) => Err(rejection),
        Err(error) => {
            let what = format!("feeding a task whose agent does not take it: {error}");
            Err(Rejection::NotAllowed { what })
        }
    }
}

/// Feeds a task to the end. A rejection: not all of it reached it.
pub(crate) async fn pour(feed: Feed, bytes: impl AsyncRead + Unpin) -> Result<(), Rejection> {
    match feed.feeding.pass_on(bytes).await {
        Ok(()) => Ok(()),
        Err(FeedError::Peer(RequestError::Refused(rejection))) => Err(rejection),
        Err(error) => {
            Err(Rejection::NotAllowed { what: format!("feeding a task to the end: {error}") })
        }
    }
}

/// Sends a copy of all that the cluster must not lose. It is cut off if a blob goes missing on the
/// way, and then lacks its end.
async fn back_up(
    incoming: IncomingRequest,
    connection: &Connection,
    hub: &Hub,
    blobs: WithBlobs,
    stream_id: u64,
) -> Result<(), Cut> {
    let records = match hub.ask(Ask::Records).await {
        Ok(Answer::Records(records)) => records,
        Ok(_) => {
            let why = "the core answered something else".into();
            return Ok(incoming.refuse(Rejection::Violation { why }).await?);
        }
        Err(rejection) => return Ok(incoming.refuse(rejection).await?),
    };
    let authority = hub.authority();
    let contents = Contents {
        rows: records.iter().map(row_of).collect(),
        authority: authority.to_pem(),
        cluster: authority.cluster().to_string(),
        blobs: match blobs {
            WithBlobs::No => Vec::new(),
            WithBlobs::Yes => all_blobs(hub).await?,
        },
    };
    let mut to = log::serve(connection, incoming, stream_id).await?;
    let header = backup::pack(&mut to, &contents, hub.blobs()).await?;
    to.finish().await?;
    let peer = connection.peer().map(ToString::to_string).unwrap_or_default();
    tracing::info!(peer, records = header.records, blobs = header.blobs, "a backup was made");
    Ok(())
}

/// The blobs of all masters, which are then here, too; but those that nobody has any more.
async fn all_blobs(hub: &Hub) -> io::Result<Vec<Digest>> {
    if let Some(copies) = hub.copies() {
        let known = copies.known().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "what blobs other masters have is not known");
            BTreeSet::new()
        });
        for digest in known {
            if hub.blobs().read(&digest)?.is_none()
                && let Err(error) = copies.fetch(digest).await
            {
                tracing::warn!(%digest, %error, "a blob is on no master that answers");
            }
        }
    }
    hub.blobs().stored()
}

async fn order_answer(
    hub: &Hub,
    order: operator::Request,
) -> Result<operator::Response, Rejection> {
    if order == operator::Request::Modules {
        let hub = hub.clone();
        let listed = tokio::task::spawn_blocking(move || hub.blobs().modules()).await;
        let modules = listed.map_err(io::Error::other).and_then(|modules| modules);
        let modules = modules.map_err(|error| Rejection::invalid("modules", error.to_string()))?;
        return Ok(operator::Response::Modules(ModuleViews { modules }));
    }
    let operator::Request::CreateToken { kind, uses, ttl } = order else {
        return match hub.ask(Ask::Order(order)).await? {
            Answer::Operator(operator::Response::Status(status)) => {
                // The core knows neither its cluster's name nor its own build.
                let cluster = hub.authority().cluster().to_string();
                let build = Hello::ours().build;
                Ok(operator::Response::Status(StatusView { cluster, build, ..status }))
            }
            Answer::Operator(response) => Ok(response),
            Answer::Admitted { .. } | Answer::Records(_) => {
                Err(Rejection::Violation { why: "the core answered something else".into() })
            }
        };
    };
    // The secret is drawn here, because a core knows no randomness, and forgotten here, because
    // the master keeps only its hash.
    let token = hub.authority().join_token();
    let secret = token.secret_digest();
    let id = format!("t-{}", &secret.hex()[..8]);
    let new = NewToken { id: id.clone(), secret, kind, uses, ttl };
    hub.ask(Ask::CreateToken(new)).await?;
    Ok(operator::Response::CreatedToken { token: token.to_string(), id })
}
