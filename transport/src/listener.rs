//! The listening side: the master's.
//!
//! Handshakes run side by side, each with a deadline, so that a peer that is slow, foreign or
//! hostile holds up nobody. What [`Listener::accept`] hands out has been greeted.

use crate::{
    close::{CloseCode, CloseReason},
    connection::Connection,
    crypto::{self, SetupError},
    endpoint::{self, CLOSE_TIMEOUT, HANDSHAKE_TIMEOUT},
    hello::{self, GreetingError},
    identity::Identity,
    name::{NameError, PeerName},
};
use quinn::{Endpoint, Incoming};
use rustls_pki_types::CertificateDer;
use skep_protocol::operator::PeerKind;
use std::{
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

/// Handshakes at a time; more wait in the socket. Each costs about 100 KiB and 2 ms.
const HANDSHAKES_MAX: usize = 256;
/// Handshakes under way from which on a peer must first show that its address is its own.
const HANDSHAKES_UNCHECKED_MAX: usize = 64;
/// Greeted connections that nobody has taken up yet.
const ACCEPTED_QUEUED_MAX: usize = 64;

/// A UDP port at which peers dial in.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    accepted: mpsc::Receiver<Connection>,
    standing: Standing,
    _accept_loop: AbortOnDropHandle<()>,
}

impl Listener {
    /// Listens at `address`; port 0 takes any that is free. To be called within a tokio runtime.
    ///
    /// # Errors
    /// [`SetupError`] if the address cannot be had or the identity does not serve.
    pub fn bind(address: SocketAddr, identity: &Identity) -> Result<Self, SetupError> {
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto::server(identity)?));
        config.transport_config(Arc::new(endpoint::wary_transport()));
        let unusable = |source| SetupError::Socket { address, source };
        let socket = UdpSocket::bind(address).map_err(unusable)?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint = Endpoint::new(endpoint::endpoint(identity), Some(config), socket, runtime)
            .map_err(unusable)?;
        let (sender, accepted) = mpsc::channel(ACCEPTED_QUEUED_MAX);
        let standing = Standing::default();
        let accept_loop = tokio::spawn(accept_all(endpoint.clone(), sender, standing.clone()));
        Ok(Self { endpoint, accepted, standing, _accept_loop: AbortOnDropHandle::new(accept_loop) })
    }

    /// The next peer; none once the listener is closed. Cancel safe.
    pub async fn accept(&mut self) -> Option<Connection> {
        self.accepted.recv().await
    }

    /// Whether it takes peers in; it does until it is told otherwise.
    pub fn standing(&self) -> Standing {
        self.standing.clone()
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Hangs up on all peers, telling them why, and waits a little until they know.
    pub async fn close(self, why: &str) {
        let reason = CloseReason::new(CloseCode::ShuttingDown, why);
        self.endpoint.close(reason.code(), reason.why.as_bytes());
        // A peer that does not confirm is gone already.
        let _ = timeout(CLOSE_TIMEOUT, self.endpoint.wait_idle()).await;
    }
}

/// Whether a master leads; clones are handles of the same one.
///
/// A standby answers every greeting with the leader's address and hangs up, but for other masters.
#[derive(Clone, Debug, Default)]
pub struct Standing(Arc<Mutex<Option<String>>>);

impl Standing {
    /// From now on peers are taken in.
    pub fn lead(&self) {
        *self.leader() = None;
    }

    /// From now on peers are sent to `leader`; empty while it is not known.
    pub fn stand_by(&self, leader: String) {
        *self.leader() = Some(leader);
    }

    /// Whom peers are sent to; none if they are taken in, or nobody is known to lead.
    pub fn other_leader(&self) -> Option<String> {
        self.leader().clone().filter(|leader| !leader.is_empty())
    }

    fn elsewhere(&self, peer: Option<&PeerName>) -> Option<CloseReason> {
        if peer.is_some_and(|peer| peer.kind() == PeerKind::Master) {
            return None;
        }
        self.leader().as_ref().map(|leader| CloseReason::new(CloseCode::NotLeader, leader))
    }

    fn leader(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept_all(endpoint: Endpoint, accepted: mpsc::Sender<Connection>, standing: Standing) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let permit = handshakes.clone().acquire_owned().await;
        let permit = permit.expect("this semaphore is never closed");
        let Some(incoming) = endpoint.accept().await else { return };
        let busy = handshakes.available_permits() < HANDSHAKES_MAX - HANDSHAKES_UNCHECKED_MAX;
        if busy && !incoming.remote_address_validated() && incoming.may_retry() {
            // It fails only where `may_retry` is false.
            let _ = incoming.retry();
            continue;
        }
        let (accepted, standing) = (accepted.clone(), standing.clone());
        tokio::spawn(async move {
            let address = incoming.remote_address();
            match timeout(HANDSHAKE_TIMEOUT, greet(incoming, &standing)).await {
                // Sending fails only when the listener is gone, and its peers with it.
                Ok(Ok(connection)) => drop(accepted.send(connection).await),
                Ok(Err(AdmitError::Standby)) => {}
                Ok(Err(error)) => tracing::info!(%address, %error, "a peer was not admitted"),
                Err(_) => tracing::info!(%address, "a peer did not finish its handshake in time"),
            }
            drop(permit);
        });
    }
}

/// Why a peer was not admitted.
#[derive(Debug, thiserror::Error)]
enum AdmitError {
    #[error("handshake: {0}")]
    Handshake(#[from] quinn::ConnectionError),
    #[error("certificate: {0}")]
    Name(#[from] NameError),
    #[error("this master is a standby")]
    Standby,
    #[error("greeting: {0}")]
    Greeting(#[from] GreetingError),
}

async fn greet(incoming: Incoming, standing: &Standing) -> Result<Connection, AdmitError> {
    let quinn = incoming.accept()?.await?;
    let peer = peer_name(&quinn).inspect_err(|error| {
        let reason = CloseReason::new(CloseCode::Refused, error.to_string());
        quinn.close(reason.code(), reason.why.as_bytes());
    })?;
    if let Some(reason) = standing.elsewhere(peer.as_ref()) {
        quinn.close(reason.code(), reason.why.as_bytes());
        return Err(AdmitError::Standby);
    }
    let greeting = hello::listen(&quinn).await.inspect_err(|error| {
        let reason = error.close_reason();
        quinn.close(reason.code(), reason.why.as_bytes());
    })?;
    if peer.is_some() {
        endpoint::trust(&quinn);
    }
    Ok(Connection::start(quinn, peer, greeting))
}

/// The name in the certificate that TLS has verified; none if the peer showed none.
pub(crate) fn peer_name(quinn: &quinn::Connection) -> Result<Option<PeerName>, NameError> {
    let Some(identity) = quinn.peer_identity() else { return Ok(None) };
    let chain = identity
        .downcast::<Vec<CertificateDer<'static>>>()
        .expect("quinn hands out what rustls verified");
    chain.first().map(|certificate| PeerName::of_certificate(certificate)).transpose()
}
