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
use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
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
        let accept_loop = tokio::spawn(accept_all(endpoint.clone(), sender));
        Ok(Self { endpoint, accepted, _accept_loop: AbortOnDropHandle::new(accept_loop) })
    }

    /// The next peer; none once the listener is closed. Cancel safe.
    pub async fn accept(&mut self) -> Option<Connection> {
        self.accepted.recv().await
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

async fn accept_all(endpoint: Endpoint, accepted: mpsc::Sender<Connection>) {
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
        let accepted = accepted.clone();
        tokio::spawn(async move {
            let address = incoming.remote_address();
            match timeout(HANDSHAKE_TIMEOUT, greet(incoming)).await {
                // Sending fails only when the listener is gone, and its peers with it.
                Ok(Ok(connection)) => drop(accepted.send(connection).await),
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
    #[error("greeting: {0}")]
    Greeting(#[from] GreetingError),
}

async fn greet(incoming: Incoming) -> Result<Connection, AdmitError> {
    let quinn = incoming.accept()?.await?;
    let peer = peer_name(&quinn).inspect_err(|error| {
        let reason = CloseReason::new(CloseCode::Refused, error.to_string());
        quinn.close(reason.code(), reason.why.as_bytes());
    })?;
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
