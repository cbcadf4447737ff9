//! A cluster of one master and its peers on loopback, and raw peers that break the rules.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{RootCertStore, crypto::ring, version::TLS13};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use skep_protocol::{codec::Message, operator::PeerKind};
use skep_transport::{
    Address, Authority, ClusterName, Connection, DialError, Dialer, Identity, Listener, PeerName,
};
use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

/// Runs a test's future with a deadline, so that a lost wake-up fails and does not hang.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it takes too long")
}

pub(crate) fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// A cluster with a listening master.
pub(crate) struct Cluster {
    pub(crate) authority: Authority,
    pub(crate) master: Identity,
    pub(crate) listener: Listener,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let authority = Authority::create(&ClusterName::random());
        let master = authority.issue_own(&name(&authority, PeerKind::Master, "m1"));
        let listener = Listener::bind(any_port(), &master).expect("a listener");
        Self { authority, master, listener }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("an address")
    }

    pub(crate) fn addresses(&self) -> [Address; 1] {
        [self.address().into()]
    }

    pub(crate) fn agent(&self, id: &str) -> Identity {
        self.authority.issue_own(&name(&self.authority, PeerKind::Agent, id))
    }

    /// An agent's connection: its own end and the master's.
    pub(crate) async fn connect(&mut self, agent: &str) -> (Connection, Connection) {
        let addresses = self.addresses();
        let dialer = Dialer::new(&self.agent(agent)).expect("a dialer");
        let (agent, master) = tokio::join!(dialer.dial(&addresses), self.listener.accept());
        (agent.expect("the agent's end"), master.expect("the master's end"))
    }

    pub(crate) async fn dial_as(&self, identity: &Identity) -> Result<Connection, DialError> {
        Dialer::new(identity).expect("a dialer").dial(&self.addresses()).await
    }
}

pub(crate) fn name(authority: &Authority, kind: PeerKind, id: &str) -> PeerName {
    PeerName::new(authority.cluster().clone(), kind, id).expect("a name")
}

/// A frame as the wire has it.
pub(crate) fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame");
    [&length.to_be_bytes(), payload].concat()
}

pub(crate) fn framed<M: Message>(message: &M) -> Vec<u8> {
    frame(&message.encode())
}

/// A bare QUIC connection to the master, with a certificate or without, that says nothing yet.
pub(crate) async fn raw_dial(
    to: SocketAddr,
    authority: &Authority,
    identity: Option<&Identity>,
) -> quinn::Connection {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone()).expect("a root");
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots);
    let mut tls = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (certificate, key) = parts(identity);
            builder.with_client_auth_cert(vec![certificate], key).expect("a certificate")
        }
    };
    tls.alpn_protocols = vec![b"skep/1".into()];
    let tls = QuicClientConfig::try_from(tls).expect("a configuration");
    let mut endpoint = quinn::Endpoint::client(any_port()).expect("an endpoint");
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(tls)));
    endpoint.connect(to, "master.skep").expect("a start").await.expect("a connection")
}

/// A bare QUIC listener with a master's certificate, and its address.
pub(crate) fn raw_listen(master: &Identity) -> (quinn::Endpoint, Address) {
    let (certificate, key) = parts(master);
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate");
    tls.alpn_protocols = vec![b"skep/1".into()];
    let tls = QuicServerConfig::try_from(tls).expect("a configuration");
    let config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    let endpoint = quinn::Endpoint::server(config, any_port()).expect("an endpoint");
    let address = endpoint.local_addr().expect("an address").into();
    (endpoint, address)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn parts(identity: &Identity) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let folder = tempfile::tempdir().expect("a folder");
    identity.save(folder.path()).expect("saved");
    let certificate = CertificateDer::from_pem_file(folder.path().join("cert.pem"));
    let key = PrivateKeyDer::from_pem_file(folder.path().join("key.pem"));
    (certificate.expect("a certificate"), key.expect("a key"))
}
