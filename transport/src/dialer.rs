//! The dialling side: agents, frameworks, people.
//!
//! A [`Dialer`] owns one UDP socket and may dial again and again. Names are resolved at each dial,
//! because masters move. Several masters are tried a little apart: one of them leads, and a standby
//! says where that one is. All socket addresses of one name are tried a little apart, the first to
//! answer wins (RFC 8305), so a name that also means an address where nobody listens costs nothing.

use crate::{
    address::Address,
    close::{CloseCode, CloseReason},
    connection::Connection,
    crypto::{self, MASTER_SERVER_NAME, SetupError},
    dial_error::{DialError, DialFailure, DialWhy, Trust},
    endpoint::{self, CLOSE_TIMEOUT, HANDSHAKE_TIMEOUT},
    hello::{self, GreetingError},
    identity::Identity,
    listener::peer_name,
    token::JoinToken,
};
use futures_util::stream::{FuturesUnordered, StreamExt};
use quinn::{Endpoint, crypto::rustls::QuicClientConfig};
use skep_protocol::operator::PeerKind;
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    select,
    time::{Instant, sleep, timeout},
};

/// How long one socket address has for itself before the next is tried beside it (RFC 8305).
const ATTEMPT_STAGGER: Duration = Duration::from_millis(250);

/// How long an address may be silent when a standby has answered at another: the leader, if it
/// lives, answers within this, and if it does not, the next round should begin.
const SILENCE_BESIDE_STANDBY: Duration = Duration::from_secs(1);

/// Dials masters of one cluster.
#[derive(Debug)]
pub struct Dialer {
    endpoint: Endpoint,
    trust: Trust,
}

impl Dialer {
    /// Dials as `identity`. To be called within a tokio runtime.
    ///
    /// # Errors
    /// [`SetupError`] if there is no socket to be had or the identity does not serve.
    pub fn new(identity: &Identity) -> Result<Self, SetupError> {
        Self::with(crypto::client(identity)?, Trust::Identity(identity.cluster().clone()))
    }

    /// Dials as nobody yet, to join. To be called within a tokio runtime.
    ///
    /// # Errors
    /// [`SetupError`] if there is no socket to be had.
    pub fn joining(token: &JoinToken) -> Result<Self, SetupError> {
        Self::with(crypto::joining_client(token)?, Trust::Token)
    }

    fn with(tls: QuicClientConfig, trust: Trust) -> Result<Self, SetupError> {
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        config.transport_config(Arc::new(endpoint::transport()));
        let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let mut endpoint = Endpoint::client((Ipv6Addr::UNSPECIFIED, 0).into())
            .or_else(|_no_ipv6_here| Endpoint::client(v4))
            .map_err(|source| SetupError::Socket { address: v4, source })?;
        endpoint.set_default_client_config(config);
        Ok(Self { endpoint, trust })
    }

    /// Connects to the leader of the cluster: the first of `addresses`, or of those that standbys
    /// among them name, that answers as one.
    ///
    /// # Errors
    /// [`DialError`] with what happened at each address.
    pub async fn dial(&self, addresses: &[Address]) -> Result<Connection, DialError> {
        let mut known = addresses.to_vec();
        let mut attempts: FuturesUnordered<_> = (0..)
            .zip(addresses)
            .map(|(rank, address)| self.attempt(rank, address.clone()))
            .collect();
        let mut failures: Vec<DialFailure> = Vec::new();
        // Once a standby has answered, those who are silent are not worth a long wait.
        let mut patience = pin!(sleep(HANDSHAKE_TIMEOUT * 3));
        let mut standby = false;
        loop {
            let attempt = select! {
                attempt = attempts.next() => attempt,
                () = &mut patience, if standby => None,
            };
            let Some((address, attempt)) = attempt else { break };
            let why = match attempt {
                Ok(connection) => return Ok(connection),
                Err(why) => why,
            };
            if let DialWhy::NotLeader { leader } = &why {
                if !std::mem::replace(&mut standby, true) {
                    patience.as_mut().reset(Instant::now() + SILENCE_BESIDE_STANDBY);
                }
                if let Some(leader) = leader
                    && !known.contains(leader)
                {
                    known.push(leader.clone());
                    attempts.push(self.attempt(0, leader.clone()));
                }
            }
            failures.push(DialFailure { address, why });
        }
        let order = |failure: &DialFailure| known.iter().position(|to| *to == failure.address);
        failures.sort_by_key(order);
        Err(DialError { failures })
    }

    /// Dials one address, later the higher its rank is.
    async fn attempt(&self, rank: u32, address: Address) -> (Address, Result<Connection, DialWhy>) {
        sleep(ATTEMPT_STAGGER * rank).await;
        let attempt = self.dial_one(&address).await;
        (address, attempt)
    }

    /// Hangs up on all that this dialler has connected to, and waits a little until they know.
    pub async fn close(self, why: &str) {
        let reason = CloseReason::new(CloseCode::Done, why);
        self.endpoint.close(reason.code(), reason.why.as_bytes());
        // A peer that does not confirm is gone already.
        let _ = timeout(CLOSE_TIMEOUT, self.endpoint.wait_idle()).await;
    }

    async fn dial_one(&self, address: &Address) -> Result<Connection, DialWhy> {
        let resolved = timeout(HANDSHAKE_TIMEOUT, address.resolve())
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|error| DialWhy::Unresolved { why: error.to_string() })?;
        let quinn = self.race(resolved, address.port()).await?;
        let greeted = timeout(HANDSHAKE_TIMEOUT, self.greet(quinn, address.port())).await;
        greeted.unwrap_or(Err(DialWhy::NoAnswer { port: address.port() }))
    }

    /// The first connection that stands. If there is none: what somebody answered, before silence.
    async fn race(&self, to: Vec<SocketAddr>, port: u16) -> Result<quinn::Connection, DialWhy> {
        let mut attempts: FuturesUnordered<_> = (0..)
            .zip(to)
            .map(|(rank, to)| async move {
                sleep(ATTEMPT_STAGGER * rank).await;
                self.connect(to, port).await
            })
            .collect();
        let mut failure = DialWhy::NoAnswer { port };
        while let Some(attempt) = attempts.next().await {
            match attempt {
                Ok(quinn) => return Ok(quinn),
                Err(DialWhy::NoAnswer { .. }) => {}
                Err(answered) => failure = answered,
            }
        }
        Err(failure)
    }

    async fn connect(&self, to: SocketAddr, port: u16) -> Result<quinn::Connection, DialWhy> {
        let connecting = self
            .endpoint
            .connect(to, MASTER_SERVER_NAME)
            .map_err(|error| DialWhy::Broken { why: error.to_string() })?;
        match timeout(HANDSHAKE_TIMEOUT, connecting).await {
            Ok(connected) => connected.map_err(|error| DialWhy::of(error, &self.trust, port)),
            Err(_) => Err(DialWhy::NoAnswer { port }),
        }
    }

    async fn greet(&self, quinn: quinn::Connection, port: u16) -> Result<Connection, DialWhy> {
        let name = peer_name(&quinn)?.filter(|name| name.kind() == PeerKind::Master);
        let Some(name) = name else { return Err(DialWhy::NoMaster) };
        let error = match hello::dial(&quinn).await {
            Ok(greeting) => return Ok(Connection::start(quinn, Some(name), greeting)),
            Err(error) => error,
        };
        // If the connection has ended, that says more than the stream that ended with it.
        let ended = quinn.close_reason();
        let reason = error.close_reason();
        quinn.close(reason.code(), reason.why.as_bytes());
        Err(match (error, ended) {
            (GreetingError::NoCommonProtocol(error), _) => error.into(),
            (_, Some(ended)) => DialWhy::of(ended, &self.trust, port),
            (GreetingError::Stream(error), None) => error.into(),
        })
    }
}
