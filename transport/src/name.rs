//! Names of clusters and peers, and their form in certificates: `spiffe://<cluster>/<kind>/<id>`.
//!
//! A [`PeerName`] that was read from a verified certificate is true: only the cluster's authority
//! writes it. Names are never addresses: machines move, their names stay.

use skep_protocol::{bounds::ID_BYTES_MAX, operator::PeerKind};
use std::{fmt, str::FromStr};
use x509_parser::{extensions::GeneralName, prelude::parse_x509_certificate};

const SCHEME: &str = "spiffe://";

/// A cluster, named at random when its authority is created: `c-1f2e3d4c`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(String);

impl ClusterName {
    /// A name that no other cluster is likely to have.
    pub fn random() -> Self {
        Self(format!("c-{}", hex::encode(crate::crypto::random::<4>())))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as the authority's certificate carries it.
    pub(crate) fn uri(&self) -> String {
        format!("{SCHEME}{self}")
    }
}

impl FromStr for ClusterName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        match text.strip_prefix("c-") {
            Some(hex) if hex.len() == 8 && hex.bytes().all(digit) => Ok(Self(text.into())),
            _ => Err(NameError::new(text, "a cluster's name is c- and 8 hex digits")),
        }
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who a peer is, as its certificate says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerName {
    cluster: ClusterName,
    kind: PeerKind,
    id: String,
}

impl PeerName {
    /// A name within a cluster. Ids have the alphabet of all ids of skep.
    ///
    /// # Errors
    /// [`NameError`] if `id` is empty, too long or has other characters.
    pub fn new(cluster: ClusterName, kind: PeerKind, id: &str) -> Result<Self, NameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if id.is_empty() || id.len() > ID_BYTES_MAX {
            return Err(NameError::new(id, "a peer's id has 1 to 128 bytes"));
        }
        if id.starts_with(['.', '-']) || !id.bytes().all(allowed) {
            let why = "a peer's id has letters, digits, '.', '_' and '-', the last two not first";
            return Err(NameError::new(id, why));
        }
        Ok(Self { cluster, kind, id: id.into() })
    }

    /// The cluster whose authority vouches for it.
    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// What kind of peer it is.
    pub fn kind(&self) -> PeerKind {
        self.kind
    }

    /// Its id among the peers of its kind.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name in a certificate, which the caller must have verified.
    pub(crate) fn of_certificate(der: &[u8]) -> Result<Self, NameError> {
        uri_of_certificate(der)?.parse()
    }
}

impl FromStr for PeerName {
    type Err = NameError;

    fn from_str(uri: &str) -> Result<Self, NameError> {
        let mut parts = uri.strip_prefix(SCHEME).unwrap_or_default().splitn(3, '/');
        let (Some(cluster), Some(kind), Some(id)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(NameError::new(uri, "a peer's name is spiffe://CLUSTER/KIND/ID"));
        };
        let unknown = |_| NameError::new(uri, "its kind is none that this version knows");
        Self::new(cluster.parse()?, kind.parse().map_err(unknown)?, id)
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}/{}", self.cluster, self.kind, self.id)
    }
}

/// The cluster that an authority's certificate is for.
pub(crate) fn cluster_of_authority(der: &[u8]) -> Result<ClusterName, NameError> {
    let uri = uri_of_certificate(der)?;
    uri.strip_prefix(SCHEME).unwrap_or_default().parse()
}

/// The one URI among a certificate's names.
fn uri_of_certificate(der: &[u8]) -> Result<String, NameError> {
    let fail = |why| NameError::new("a certificate", why);
    let (_, certificate) = parse_x509_certificate(der).map_err(|_| fail("it is not X.509"))?;
    let names = match certificate.subject_alternative_name() {
        Ok(Some(extension)) => &extension.value.general_names,
        _ => return Err(fail("it has no subject alternative name")),
    };
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => Ok(uri.into()),
        _ => Err(fail("it must carry exactly one SPIFFE name")),
    }
}

/// Why something is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no name: {why}")]
pub struct NameError {
    /// The text, cut to [`ID_BYTES_MAX`] characters.
    pub text: String,
    /// What would be right.
    pub why: &'static str,
}

impl NameError {
    fn new(text: &str, why: &'static str) -> Self {
        Self { text: text.chars().take(ID_BYTES_MAX).collect(), why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_name_survives_its_text() {
        let uri = "spiffe://c-00112233/agent/edge-7.lab";
        let name: PeerName = uri.parse().expect("a name");
        assert_eq!((name.kind(), name.id()), (PeerKind::Agent, "edge-7.lab"));
        assert_eq!(name.to_string(), uri);
    }

    #[test]
    fn a_name_that_skep_does_not_write_is_refused() {
        for bad in [
            "",
            "spiffe://",
            "https://c-00112233/agent/a",
            "spiffe://c-00112233/agent",
            "spiffe://c-00112233/agent/",
            "spiffe://c-00112233/agent/a/b",
            "spiffe://c-00112233/queen/a",
            "spiffe://c-0011223G/agent/a",
            "spiffe://elsewhere/agent/a",
            "spiffe://c-00112233/agent/..",
        ] {
            assert!(bad.parse::<PeerName>().is_err(), "{bad:?} was taken");
        }
    }
}
