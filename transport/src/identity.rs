//! An identity: the certificate, key and authority with which a peer proves its name.
//!
//! On disk it is a folder with `ca.pem`, `cert.pem` and `key.pem`, readable by its owner alone.
//! Several processes may share it. Whoever writes or reads it locks the folder meanwhile, so nobody
//! finds the files of two identities; and where `cert.pem` is, the others are whole and go with it,
//! also if a process ends while it writes: it goes first and comes last.

use crate::{
    files::{self, FileError},
    name::{ClusterName, PeerName},
};
use rcgen::KeyPair;
use rustls_pki_types::CertificateDer;
use std::{fmt, fs::File, path::Path, sync::Arc};
use x509_parser::prelude::parse_x509_certificate;

const AUTHORITY_FILE: &str = "ca.pem";
const CERTIFICATE_FILE: &str = "cert.pem";
const KEY_FILE: &str = "key.pem";

/// Who this process is, with the proof of it. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    pub(crate) name: PeerName,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: Arc<KeyPair>,
    pub(crate) authority: CertificateDer<'static>,
}

impl Identity {
    /// The name that the certificate carries.
    pub fn name(&self) -> &PeerName {
        &self.name
    }

    /// The cluster it belongs to.
    pub fn cluster(&self) -> &ClusterName {
        self.name.cluster()
    }

    /// Whether a folder holds an identity.
    pub fn is_saved(folder: &Path) -> bool {
        let _lock = Lock::shared(folder);
        folder.join(CERTIFICATE_FILE).exists()
    }

    /// Writes it to a folder, which is made if need be; an identity that is there goes.
    ///
    /// # Errors
    /// [`FileError`] with the path.
    pub fn save(&self, folder: &Path) -> Result<(), FileError> {
        let _lock = Lock::exclusive(folder)?;
        files::remove(&folder.join(CERTIFICATE_FILE))?;
        let authority = files::certificate_to_pem(&self.authority);
        files::write_private(&folder.join(KEY_FILE), &files::key_to_pem(&self.key))?;
        files::write_private(&folder.join(AUTHORITY_FILE), &authority)?;
        let certificate = files::certificate_to_pem(&self.certificate);
        files::write_private(&folder.join(CERTIFICATE_FILE), &certificate)
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// [`FileError`] with the path of the file that is missing or damaged.
    pub fn load(folder: &Path) -> Result<Self, FileError> {
        let _lock = Lock::shared(folder);
        let certificate = |file: &str| {
            let path = folder.join(file);
            let pem = files::read(&path)?;
            files::certificate_of_pem(&pem).map_err(|why| FileError::invalid(&path, why))
        };
        let authority = certificate(AUTHORITY_FILE)?;
        let path = folder.join(KEY_FILE);
        let key = files::key_of_pem(&files::read(&path)?)
            .map_err(|why| FileError::invalid(&path, why))?;
        let certificate = certificate(CERTIFICATE_FILE)?;
        let damaged = |why: String| FileError::invalid(&folder.join(CERTIFICATE_FILE), why);
        let name =
            PeerName::of_certificate(&certificate).map_err(|error| damaged(error.to_string()))?;
        if !is_of(&certificate, &key) {
            return Err(damaged(format!("it goes with another key than {KEY_FILE}")));
        }
        Ok(Self { name, certificate, key: Arc::new(key), authority })
    }
}

/// Whether this is the key that the certificate speaks of.
fn is_of(certificate: &CertificateDer<'_>, key: &KeyPair) -> bool {
    parse_x509_certificate(certificate).is_ok_and(|(_, known)| {
        *known.public_key().subject_public_key.data == *key.public_key_raw()
    })
}

/// Keeps others from a folder until it is dropped. Where locks are not to be had, as on some
/// network file systems, it keeps nobody.
struct Lock {
    _folder: Option<File>,
}

impl Lock {
    /// For who writes; the folder is made if need be.
    fn exclusive(folder: &Path) -> Result<Self, FileError> {
        files::make_private(folder)?;
        let open = File::open(folder);
        let open = open.map_err(|source| FileError::Read { path: folder.into(), source })?;
        let _ = open.lock();
        Ok(Self { _folder: Some(open) })
    }

    /// For who reads; of a folder that is not there nothing is read.
    fn shared(folder: &Path) -> Self {
        let open = File::open(folder).ok();
        if let Some(open) = &open {
            let _ = open.lock_shared();
        }
        Self { _folder: open }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::Authority;
    use skep_protocol::operator::PeerKind;
    use std::os::unix::fs::PermissionsExt;

    fn identity() -> Identity {
        let authority = Authority::create(&ClusterName::random());
        let name = PeerName::new(authority.cluster().clone(), PeerKind::Operator, "ann");
        authority.issue_own(&name.expect("a name"))
    }

    #[test]
    fn an_identity_survives_its_folder_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("made/on/demand");
        let identity = identity();
        assert!(!Identity::is_saved(&folder));
        identity.save(&folder).expect("saved");
        assert!(Identity::is_saved(&folder));
        let again = Identity::load(&folder).expect("loaded");
        assert_eq!(again.name(), identity.name());
        assert_eq!(again.key.public_key_raw(), identity.key.public_key_raw());
        // It stays the same however often it is saved.
        again.save(&folder).expect("saved");
        let third = Identity::load(&folder).expect("loaded");
        assert_eq!(third.key.serialize_der(), again.key.serialize_der());
        let mode = folder.join(KEY_FILE).metadata().expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn of_several_that_write_one_folder_at_once_one_is_found_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("shared");
        let identities = [(); 4].map(|()| identity());
        identities[0].save(&folder).expect("saved");
        std::thread::scope(|threads| {
            for identity in &identities {
                let folder = &folder;
                threads.spawn(move || {
                    for _ in 0..25 {
                        identity.save(folder).expect("saved");
                        assert!(Identity::is_saved(folder));
                        // Whosever it is, it is of one piece, or loading it fails.
                        let found = Identity::load(folder).expect("one of them");
                        assert_eq!(found.name().id(), "ann");
                    }
                });
            }
        });
        let left = std::fs::read_dir(&folder).expect("a folder").count();
        assert_eq!(left, 3, "nothing but the three files is left");
    }

    #[test]
    fn a_certificate_of_another_key_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let (one, other) = (identity(), identity());
        one.save(folder.path()).expect("saved");
        let key = folder.path().join(KEY_FILE);
        files::write_private(&key, &other.key.serialize_pem()).expect("written");
        let error = Identity::load(folder.path()).expect_err("files of two identities");
        assert!(error.to_string().contains("goes with another key"), "{error}");
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        identity().save(folder.path()).expect("saved");
        std::fs::write(folder.path().join(KEY_FILE), "garbage").expect("written");
        let error = Identity::load(folder.path()).expect_err("a damaged key");
        assert!(error.to_string().contains("key.pem"), "{error}");
        std::fs::remove_file(folder.path().join(AUTHORITY_FILE)).expect("removed");
        let error = Identity::load(folder.path()).expect_err("a missing authority");
        assert!(error.to_string().contains("ca.pem"), "{error}");
    }
}
