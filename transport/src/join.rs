//! Joining: how a newcomer with a token becomes a peer with an identity.
//!
//! The newcomer makes its own key; the private half never leaves it. Nothing is stored here.

use crate::{
    address::Address,
    authority::new_key,
    close::{CloseCode, CloseReason},
    crypto::SetupError,
    dial_error::DialError,
    dialer::Dialer,
    identity::Identity,
    name::{NameError, PeerName},
    request::RequestError,
    token::JoinToken,
};
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;
use skep_protocol::data::{Request, Response};
use std::sync::Arc;
use x509_parser::prelude::parse_x509_certificate;

/// Joins the cluster that `token` is of. `name` is what the peer would like people to call it.
///
/// # Errors
/// [`JoinError`]: no master, the token refused, or an answer that cannot be right.
pub async fn join(
    addresses: &[Address],
    token: &JoinToken,
    name: &str,
) -> Result<Identity, JoinError> {
    let key = new_key();
    let csr = CertificateParams::default().serialize_request(&key);
    let csr = csr.expect("our own parameters can be encoded").der().to_vec();
    let dialer = Dialer::joining(token)?;
    let connection = dialer.dial(addresses).await?;
    let request = Request::Join { secret: token.secret().into(), csr, name: name.into() };
    let answer = connection.request(&request).await;
    connection.close(&CloseReason::new(CloseCode::Done, "joined"));
    match answer? {
        Response::Joined { certificate, authority } => admitted(token, key, certificate, authority),
        _ => Err(RequestError::Unfitting.into()),
    }
}

/// Checks that the answer is for our key and of the authority that the token pins.
fn admitted(
    token: &JoinToken,
    key: KeyPair,
    certificate: Vec<u8>,
    authority: Vec<u8>,
) -> Result<Identity, JoinError> {
    if !has_key(&authority, token.authority_key()) {
        return Err(JoinError::Answer { why: "the authority is not the one of the token" });
    }
    if !has_key(&certificate, key.public_key_raw()) {
        return Err(JoinError::Answer { why: "the certificate is for another key than ours" });
    }
    Ok(Identity {
        name: PeerName::of_certificate(&certificate)?,
        certificate: CertificateDer::from(certificate),
        key: Arc::new(key),
        authority: CertificateDer::from(authority),
    })
}

fn has_key(certificate: &[u8], key: &[u8]) -> bool {
    parse_x509_certificate(certificate)
        .is_ok_and(|(_, parsed)| *parsed.public_key().subject_public_key.data == *key)
}

/// Why a newcomer could not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// There is no socket to be had.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// No master could be reached.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The master refused or did not answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The certificate names nobody.
    #[error("the master's answer cannot be right: {0}")]
    Name(#[from] NameError),
    /// The answer does not fit the question.
    #[error("the master's answer cannot be right: {why}")]
    Answer {
        /// What is wrong with it.
        why: &'static str,
    },
}
