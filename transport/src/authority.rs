//! The cluster authority: the master's power to say who is who.
//!
//! It writes every name itself. Of a certificate signing request it takes the public key and
//! nothing else, after checking that who asks has the private one. Ed25519 only. Left out:
//! revocation (the master refuses removed peers by name) and an end of the authority's own life
//! (trust in it is a pinned key, which has no date).

use crate::{
    crypto::{AUTHORITY_SUBJECT, MASTER_SERVER_NAME},
    files::{self, FileError},
    identity::Identity,
    name::{ClusterName, NameError, PeerName, cluster_of_authority},
    token::JoinToken,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, PublicKeyData,
    SanType, string::Ia5String,
};
use rustls_pki_types::CertificateDer;
use skep_protocol::operator::PeerKind;
use std::{
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use time::OffsetDateTime;

/// How long a certificate lasts. Long, because an edge node may be switched off for months.
pub const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3_600);
/// How long before it is issued a certificate becomes valid: clocks of edge nodes run behind.
const BACKDATED: Duration = Duration::from_secs(24 * 3_600);

/// The authority of one cluster: its certificate and the key that signs.
pub struct Authority {
    cluster: ClusterName,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new authority, and so a new cluster.
    pub fn create(cluster: &ClusterName) -> Self {
        let key = new_key();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, AUTHORITY_SUBJECT);
        params.distinguished_name.remove(DnType::OrganizationName);
        params.subject_alt_names = vec![uri(cluster.uri())];
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).expect("our own parameters can be encoded");
        let issuer = Issuer::new(params, key);
        Self { cluster: cluster.clone(), certificate: certificate.into(), issuer }
    }

    /// Reads what [`Self::to_pem`] wrote.
    ///
    /// # Errors
    /// [`AuthorityError`] if a part is missing or damaged.
    pub fn from_pem(pem: &str) -> Result<Self, AuthorityError> {
        let certificate = files::certificate_of_pem(pem).map_err(AuthorityError::Pem)?;
        let key = files::key_of_pem(pem).map_err(AuthorityError::Pem)?;
        let cluster = cluster_of_authority(&certificate)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self { cluster, certificate, issuer })
    }

    /// Its certificate and private key as PEM: whoever reads this owns the cluster.
    pub fn to_pem(&self) -> String {
        files::certificate_to_pem(&self.certificate) + &self.issuer.key().serialize_pem()
    }

    /// Writes it to a file that only its owner may read.
    ///
    /// # Errors
    /// [`FileError`] with the path.
    pub fn save(&self, path: &Path) -> Result<(), FileError> {
        files::write_private(path, &self.to_pem())
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// [`FileError`] with the path.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        let pem = files::read(path)?;
        Self::from_pem(&pem).map_err(|error| FileError::invalid(path, error))
    }

    /// The cluster it speaks for.
    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// A token with a fresh secret. What it admits is the master's to remember.
    pub fn join_token(&self) -> JoinToken {
        let key = self.issuer.key().public_key_raw();
        JoinToken::create(key.try_into().expect("an Ed25519 key has 32 bytes"))
    }

    /// A certificate, DER, that gives the key of a certificate signing request the name `name`.
    ///
    /// # Errors
    /// [`IssueError`] if the request is damaged, not signed by its own key, or not Ed25519.
    pub fn issue(&self, csr: &[u8], name: &PeerName) -> Result<Vec<u8>, IssueError> {
        let csr = CertificateSigningRequestParams::from_der(&csr.into())?;
        if csr.public_key.algorithm() != &PKCS_ED25519 {
            return Err(IssueError::NotEd25519);
        }
        Ok(self.sign(&csr.public_key, name).to_vec())
    }

    /// An identity with a new key, for the master itself.
    pub fn issue_own(&self, name: &PeerName) -> Identity {
        let key = new_key();
        let certificate = self.sign(&key, name);
        Identity {
            name: name.clone(),
            certificate,
            key: Arc::new(key),
            authority: self.certificate.clone(),
        }
    }

    fn sign(&self, key: &impl PublicKeyData, name: &PeerName) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name.id());
        params.subject_alt_names = vec![uri(name.to_string())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if name.kind() == PeerKind::Master {
            params.subject_alt_names.push(SanType::DnsName(ia5(MASTER_SERVER_NAME)));
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.use_authority_key_identifier_extension = true;
        let now = SystemTime::now();
        params.not_before = date(now - BACKDATED);
        params.not_after = date(now + CERTIFICATE_LIFETIME);
        params.signed_by(key, &self.issuer).expect("our own parameters can be encoded").into()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.cluster)
    }
}

/// A new Ed25519 key.
pub(crate) fn new_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ED25519).expect("ring makes Ed25519 keys")
}

fn uri(text: String) -> SanType {
    SanType::URI(ia5(&text))
}

fn ia5(text: &str) -> Ia5String {
    text.try_into().expect("names are ASCII")
}

fn date(at: SystemTime) -> OffsetDateTime {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).expect("the clock stands before the year 9999")
}

/// Why an authority could not be read.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The text is no PEM with a certificate and a key.
    #[error("{0}")]
    Pem(String),
    /// The certificate is no cluster authority's.
    #[error("the certificate is no cluster authority's: {0}")]
    Name(#[from] NameError),
    /// The certificate is damaged.
    #[error("the certificate cannot be used: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// Why no certificate was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// It is damaged, or signed by another key than its own.
    #[error("the certificate signing request is not valid: {0}")]
    Request(#[from] rcgen::Error),
    /// Its key is of another kind.
    #[error("the certificate signing request must be for an Ed25519 key")]
    NotEd25519,
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::prelude::parse_x509_certificate;

    fn authority() -> Authority {
        Authority::create(&ClusterName::random())
    }

    fn named(authority: &Authority, kind: PeerKind, id: &str) -> PeerName {
        PeerName::new(authority.cluster().clone(), kind, id).expect("a name")
    }

    #[test]
    fn a_certificate_has_the_name_that_the_master_gives_and_none_that_was_asked_for() {
        let authority = authority();
        let key = new_key();
        let mut wish = CertificateParams::new(vec![MASTER_SERVER_NAME.into()]).expect("a name");
        wish.subject_alt_names.push(uri("spiffe://c-00112233/master/m".into()));
        wish.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let csr = wish.serialize_request(&key).expect("a request");
        let name = named(&authority, PeerKind::Agent, "a1");

        let issued = authority.issue(csr.der(), &name).expect("a certificate");

        assert_eq!(PeerName::of_certificate(&issued), Ok(name));
        let (_, certificate) = parse_x509_certificate(&issued).expect("a certificate");
        assert!(!certificate.is_ca());
        let names = certificate.subject_alternative_name().expect("names").expect("names");
        assert_eq!(names.value.general_names.len(), 1);
        assert_eq!(*certificate.public_key().subject_public_key.data, *key.public_key_raw());
    }

    #[test]
    fn a_request_that_was_tampered_with_is_refused() {
        let authority = authority();
        let csr = CertificateParams::default().serialize_request(&new_key()).expect("a request");
        let mut bytes = csr.der().to_vec();
        let name = named(&authority, PeerKind::Agent, "a1");
        assert!(authority.issue(&bytes, &name).is_ok());
        *bytes.last_mut().expect("bytes") ^= 1;
        assert!(matches!(authority.issue(&bytes, &name), Err(IssueError::Request(_))));
        assert!(matches!(authority.issue(b"garbage", &name), Err(IssueError::Request(_))));
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        let authority = authority();
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        let csr = CertificateParams::default().serialize_request(&key).expect("a request");
        let name = named(&authority, PeerKind::Agent, "a1");
        assert!(matches!(authority.issue(csr.der(), &name), Err(IssueError::NotEd25519)));
    }

    #[test]
    fn an_authority_survives_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("authority.pem");
        let authority = authority();
        authority.save(&path).expect("saved");
        let again = Authority::load(&path).expect("loaded");
        assert_eq!(again.cluster(), authority.cluster());
        let (one, two) = (again.join_token(), authority.join_token());
        assert_eq!(one.authority_key(), two.authority_key());
        assert_ne!(one.secret(), two.secret());
    }
}
