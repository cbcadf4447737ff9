//! Who etcd is, by its certificate, and who this process is to etcd: by a certificate of its own,
//! by name and password, or nobody.
//!
//! A name and a password are shown once for a token, which goes along with each call. Etcd forgets
//! tokens: after a while, when its members start anew, when users change; then another is had.

use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use std::{
    fmt::{self, Display},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

/// What an operator says about the way into etcd.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// File of the authorities that vouch for etcd's certificates, PEM.
    pub ca: Option<PathBuf>,
    /// Files of our own certificate, with its chain, and of its key, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Who we are to etcd.
    pub user: Option<User>,
}

/// A user of etcd.
#[derive(Clone)]
pub struct User {
    /// What etcd calls it.
    pub name: String,
    /// Its password.
    pub password: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({})", self.name)
    }
}

/// Why there is no way into etcd.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Who etcd is cannot be known.
    #[error("etcd is reached by https, and nothing says whose certificates to trust: --etcd-ca")]
    NoAuthority,
    /// Nothing would be protected by certificates.
    #[error("certificates are of no use to an etcd that is reached by http: write https://")]
    NoTls,
    /// A file does not hold what it should.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl AccessError {
    fn file(path: &Path, why: impl Display) -> Self {
        Self::File { path: path.into(), why: why.to_string() }
    }
}

/// Nothing is trusted: for an https etcd until it is said what is.
pub(crate) fn no_trust() -> TlsConfig {
    config(&[], None)
}

/// What an operator says about certificates.
pub(crate) fn tls(access: &Access) -> Result<TlsConfig, AccessError> {
    let ca = access.ca.as_deref().ok_or(AccessError::NoAuthority)?;
    let authorities = certificates(ca)?;
    let identity = access.identity.as_ref().map(|(certificate, key)| identity(certificate, key));
    Ok(config(&authorities, identity.transpose()?))
}

fn config(authorities: &[CertificateDer<'static>], identity: Option<ClientCert>) -> TlsConfig {
    TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(as_ureq_has_them(authorities))))
        .client_cert(identity)
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .build()
}

fn identity(certificate: &Path, key: &Path) -> Result<ClientCert, AccessError> {
    let chain = certificates(certificate)?;
    let read = PrivateKeyDer::from_pem_file(key);
    let der = read.map_err(|error| AccessError::file(key, format!("no key: {error}")))?;
    let fits = CertifiedKey::from_der(chain.clone(), der, &ring::default_provider());
    fits.map_err(|error| {
        let why = format!("no key of the certificate in {}: {error}", certificate.display());
        AccessError::file(key, why)
    })?;
    let pem = std::fs::read(key).map_err(|error| AccessError::file(key, error))?;
    let private = PrivateKey::from_pem(&pem);
    let private = private.map_err(|error| AccessError::file(key, format!("no key: {error}")))?;
    Ok(ClientCert::new_with_certs(&as_ureq_has_them(&chain), private))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, AccessError> {
    let no = |why| AccessError::file(path, why);
    let read = CertificateDer::pem_file_iter(path).map_err(|error| no(error.to_string()))?;
    let read: Result<Vec<_>, _> = read.collect();
    let found = read.map_err(|error| no(format!("no certificate: {error}")))?;
    if found.is_empty() { Err(no("there is no certificate in it".into())) } else { Ok(found) }
}

fn as_ureq_has_them(certificates: &[CertificateDer<'static>]) -> Vec<Certificate<'static>> {
    certificates.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
}

/// The user that this process is, and its token of the moment.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) user: Option<User>,
    token: Mutex<Option<String>>,
}

impl Session {
    pub(crate) fn new(user: Option<User>) -> Self {
        Self { user, token: Mutex::default() }
    }

    pub(crate) fn token(&self) -> Option<String> {
        self.lock().clone()
    }

    pub(crate) fn take_up(&self, token: String) {
        *self.lock() = Some(token);
    }

    /// Forgets a token that etcd takes no more, unless another was had meanwhile.
    pub(crate) fn drop_token(&self, stale: Option<&str>) {
        let mut token = self.lock();
        if token.as_deref() == stale {
            *token = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
