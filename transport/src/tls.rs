//! TLS over TCP, for HTTP: the same certificates, names and checks as over QUIC.
//!
//! Peers without a certificate share a few places with the handshakes under way, so that they do
//! not take those of peers that have one. Absent: HTTP, and what a peer may do.

use crate::{
    crypto::{self, SetupError},
    endpoint::HANDSHAKE_TIMEOUT,
    identity::Identity,
    name::{NameError, PeerName},
};
use rustix::net::sockopt;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Handshakes and peers without a name at a time; more wait in the socket. Each costs about 50 KiB.
const STRANGERS_MAX: usize = 512;
/// Connections of peers with a name; further ones are hung up on.
const CONNECTIONS_MAX: usize = 1_024;
/// How long what was sent may stay unconfirmed before the peer counts as unreachable.
const UNCONFIRMED_MAX: Duration = Duration::from_secs(30);
/// How long to wait when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A TCP port at which peers dial in that speak HTTP.
pub struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    strangers: Arc<Semaphore>,
    named: Arc<Semaphore>,
}

/// A peer that has dialled in and is still to prove its name.
pub struct TlsIncoming {
    stream: TcpStream,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    named: Arc<Semaphore>,
    place: OwnedSemaphorePermit,
}

/// A connection whose handshake is done.
pub struct TlsConnection {
    /// What is said on it.
    pub stream: TlsStream<TcpStream>,
    /// Who the peer is; none if it showed no certificate.
    pub peer: Option<PeerName>,
    /// Where the peer is.
    pub address: SocketAddr,
    /// To be kept as long as the connection.
    pub place: OwnedSemaphorePermit,
}

/// Why a peer was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It does not speak TLS, or its certificate is another cluster's.
    #[error("handshake: {0}")]
    Handshake(#[from] io::Error),
    /// Its certificate carries no name.
    #[error("certificate: {0}")]
    Name(#[from] NameError),
    /// It took too long.
    #[error("the handshake was not finished in time")]
    Slow,
    /// There is no place left.
    #[error("{CONNECTIONS_MAX} peers are connected already")]
    Full,
}

impl TlsListener {
    /// Listens at `address`. To be called within a tokio runtime.
    ///
    /// # Errors
    /// [`SetupError`] if the address cannot be had or the identity does not serve.
    pub fn bind(address: SocketAddr, identity: &Identity) -> Result<Self, SetupError> {
        let unusable = |source| SetupError::Tcp { address, source };
        let acceptor = TlsAcceptor::from(Arc::new(crypto::http_server(identity)?));
        let listener = std::net::TcpListener::bind(address).map_err(unusable)?;
        listener.set_nonblocking(true).map_err(unusable)?;
        let listener = TcpListener::from_std(listener).map_err(unusable)?;
        let (strangers, named) = (Semaphore::new(STRANGERS_MAX), Semaphore::new(CONNECTIONS_MAX));
        Ok(Self { listener, acceptor, strangers: Arc::new(strangers), named: Arc::new(named) })
    }

    /// The next peer that dials in. Cancel safe.
    pub async fn accept(&self) -> TlsIncoming {
        let place = self.strangers.clone().acquire_owned().await;
        let place = place.expect("this semaphore is never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    let (acceptor, named) = (self.acceptor.clone(), self.named.clone());
                    return TlsIncoming { stream, address, acceptor, named, place };
                }
                Err(error) => {
                    tracing::debug!(%error, "a peer could not be taken in");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl TlsIncoming {
    /// Where the peer is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does the handshake; it takes [`HANDSHAKE_TIMEOUT`] at most.
    ///
    /// # Errors
    /// [`TlsError`]; the peer is hung up on.
    pub async fn finish(self) -> Result<TlsConnection, TlsError> {
        let Self { stream, address, acceptor, named, place } = self;
        stream.set_nodelay(true)?;
        let unconfirmed = u32::try_from(UNCONFIRMED_MAX.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(&stream, unconfirmed).map_err(io::Error::from)?;
        let stream = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
        let stream = stream.map_err(|_| TlsError::Slow)??;
        let chain = stream.get_ref().1.peer_certificates();
        let certificate = chain.and_then(|chain| chain.first());
        let peer = certificate.map(|der| PeerName::of_certificate(der)).transpose()?;
        let place = match peer {
            Some(_) => named.try_acquire_owned().map_err(|_| TlsError::Full)?,
            None => place,
        };
        Ok(TlsConnection { stream, peer, address, place })
    }
}
