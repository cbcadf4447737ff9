//! PEM texts, and files that only their owner may read.
//!
//! A file appears whole or not at all: it is written aside, synced and renamed.

use rcgen::{KeyPair, PKCS_ED25519};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject};
use std::{
    fmt::Display,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// What comes before the 32 bytes of an Ed25519 key in the first version of PKCS #8 (RFC 8410). The
/// second version has as many bytes before them.
const ED25519_PKCS8_PREFIX: &[u8] =
    b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// What is wrong with a file of an identity or authority.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It does not hold what it should.
    #[error("{} is damaged: {why}", path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl FileError {
    pub(crate) fn invalid(path: &Path, why: impl Display) -> Self {
        Self::Invalid { path: path.into(), why: why.to_string() }
    }
}

pub(crate) fn read(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(|source| FileError::Read { path: path.into(), source })
}

/// A folder that only its owner may look into, if it is not there.
pub(crate) fn make_private(folder: &Path) -> Result<(), FileError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| FileError::Write { path: folder.into(), source })
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(FileError::Write { path: path.into(), source })
        }
        _ => Ok(()),
    }
}

pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), FileError> {
    let write = || {
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let folder = folder.unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let aside = path.with_extension("new");
        // A leftover of an interrupted write may have other permissions: begin anew.
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        fs::File::open(folder)?.sync_all()
    };
    write().map_err(|source| FileError::Write { path: path.into(), source })
}

pub(crate) fn certificate_to_pem(certificate: &CertificateDer<'_>) -> String {
    pem::encode_config(
        &pem::Pem::new("CERTIFICATE", certificate.as_ref()),
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    )
}

/// A key in the first version of PKCS #8: in the second, which holds the public key too, OpenSSL up
/// to 3.0 does not take it, and neither do the programs that use it.
pub(crate) fn key_to_pem(key: &KeyPair) -> String {
    let der = key.serialized_der();
    let (start, end) = (ED25519_PKCS8_PREFIX.len(), ED25519_PKCS8_PREFIX.len() + 32);
    let der = match der.get(start..end) {
        Some(seed) => [ED25519_PKCS8_PREFIX, seed].concat(),
        None => der.to_vec(),
    };
    pem::encode_config(
        &pem::Pem::new("PRIVATE KEY", der),
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    )
}

pub(crate) fn certificate_of_pem(text: &str) -> Result<CertificateDer<'static>, String> {
    CertificateDer::from_pem_slice(text.as_bytes()).map_err(|e| format!("no certificate: {e}"))
}

pub(crate) fn key_of_pem(text: &str) -> Result<KeyPair, String> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes())
        .map_err(|error| format!("no private key: {error}"))?;
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519)
        .map_err(|error| format!("no Ed25519 key: {error}"))
}
