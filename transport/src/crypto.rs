//! The one cryptographic provider, and the settings of TLS on both sides.
//!
//! Always TLS 1.3 with ring, always this ALPN. Certificates are checked by rustls alone: there is
//! no verifier of ours. Sessions are never resumed: a resumed one skips the look at certificates,
//! and a full handshake costs 3 ms.

use crate::{identity::Identity, token::JoinToken};
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use rustls::{
    RootCertStore,
    client::Resumption,
    crypto::{CryptoProvider, ring},
    server::{VerifierBuilderError, WebPkiClientVerifier},
    version::TLS13,
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, TrustAnchor};
use std::sync::Arc;

/// What both sides must speak below `Hello`; raised only when the framing itself changes.
const ALPN: &[u8] = b"skep/1";
/// What is spoken over TCP.
const HTTP_ALPN: &[u8] = b"http/1.1";

/// The DNS name in every master's certificate, and in no other: clients ask for it whatever
/// address they dial, so addresses may change and no agent can pass for a master.
pub(crate) const MASTER_SERVER_NAME: &str = "master.skep";

/// The subject of every cluster authority. Fixed, so that a token need carry only the key.
pub(crate) const AUTHORITY_SUBJECT: &str = "skep cluster authority";

/// [`AUTHORITY_SUBJECT`] as DER: a set of one sequence of (common name, UTF-8 string).
const AUTHORITY_SUBJECT_DER: &[u8] =
    b"\x31\x1f\x30\x1d\x06\x03\x55\x04\x03\x0c\x16skep cluster authority";

/// What comes before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const ED25519_SPKI_PREFIX: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// Why TLS cannot be set up with an identity.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The certificate or key does not serve.
    #[error("the certificate and key cannot be used: {0}")]
    Tls(#[from] rustls::Error),
    /// The authority's certificate does not serve.
    #[error("the cluster authority's certificate cannot be used: {0}")]
    Authority(#[from] VerifierBuilderError),
    /// Never with the provider that skep is built with.
    #[error("the TLS provider does not speak QUIC: {0}")]
    Cipher(#[from] NoInitialCipherSuite),
    /// The UDP socket could not be had.
    #[error("cannot use UDP address {address}: {source}")]
    Socket {
        /// The address asked for.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The TCP socket could not be had.
    #[error("cannot use TCP address {address} for HTTP: {source}")]
    Tcp {
        /// The address asked for.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// `N` bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    provider().secure_random.fill(&mut bytes).expect("the kernel hands out random bytes");
    bytes
}

/// What a server shows and asks for. A peer may come without a certificate: it can only join.
pub(crate) fn server(identity: &Identity) -> Result<QuicServerConfig, SetupError> {
    Ok(server_of(identity, ALPN)?.try_into()?)
}

/// The same for HTTP. A peer may come without a certificate: it is told that it needs one.
pub(crate) fn http_server(identity: &Identity) -> Result<rustls::ServerConfig, SetupError> {
    server_of(identity, HTTP_ALPN)
}

fn server_of(identity: &Identity, alpn: &[u8]) -> Result<rustls::ServerConfig, SetupError> {
    let provider = Arc::new(provider());
    let roots = Arc::new(authority_roots(identity)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
        .allow_unauthenticated()
        .build()?;
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![identity.certificate.clone()], private_key(identity))?;
    tls.alpn_protocols = vec![alpn.into()];
    tls.send_tls13_tickets = 0;
    Ok(tls)
}

/// What a peer with an identity shows and asks for.
pub(crate) fn client(identity: &Identity) -> Result<QuicClientConfig, SetupError> {
    let tls = client_builder(authority_roots(identity)?)?
        .with_client_auth_cert(vec![identity.certificate.clone()], private_key(identity))?;
    finish_client(tls)
}

/// What a peer that has only a token asks for.
pub(crate) fn joining_client(token: &JoinToken) -> Result<QuicClientConfig, SetupError> {
    let roots = RootCertStore { roots: vec![anchor(token.authority_key())] };
    finish_client(client_builder(roots)?.with_no_client_auth())
}

/// The authority that has this key, as rustls's own verifier takes it.
fn anchor(authority_key: &[u8; 32]) -> TrustAnchor<'static> {
    TrustAnchor {
        subject: AUTHORITY_SUBJECT_DER.into(),
        subject_public_key_info: [ED25519_SPKI_PREFIX, authority_key].concat().into(),
        name_constraints: None,
    }
}

type ClientBuilder = rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert>;

fn client_builder(roots: RootCertStore) -> Result<ClientBuilder, SetupError> {
    Ok(rustls::ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots))
}

fn finish_client(mut tls: rustls::ClientConfig) -> Result<QuicClientConfig, SetupError> {
    tls.alpn_protocols = vec![ALPN.into()];
    tls.resumption = Resumption::disabled();
    Ok(tls.try_into()?)
}

fn authority_roots(identity: &Identity) -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::empty();
    roots.add(identity.authority.clone())?;
    Ok(roots)
}

fn private_key(identity: &Identity) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(identity.key.serialize_der()).into()
}

fn provider() -> CryptoProvider {
    ring::default_provider()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{authority::Authority, name::ClusterName};

    #[test]
    fn the_anchor_of_a_token_is_the_authority_of_its_cluster() {
        let authority = Authority::create(&ClusterName::random());
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate().clone()).expect("a root");
        assert_eq!(roots.roots, [anchor(authority.join_token().authority_key())]);
    }
}
