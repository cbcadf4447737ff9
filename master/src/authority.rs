//! The authority: in a file of the master that is alone, or sealed in etcd for several.
//!
//! What lies in etcd is closed with a key that does not: a file of 32 bytes that the first master
//! makes and the operator copies to the others. So whoever reads etcd, or a backup of it, does not
//! own the cluster (docs/decisions/0012).

use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom as _, SystemRandom},
};
use skep_store::{Etcd, EtcdError};
use skep_transport::{Authority, AuthorityError, ClusterName, FileError};
use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// What it is kept under in etcd.
const KEPT: &str = "authority";
const KEY_BYTES: usize = 32;
/// Only its owner may read the key.
const KEY_MODE: u32 = 0o600;

/// Why masters of one cluster do not get its authority.
#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    /// Etcd does not answer.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    /// The key's file cannot be used.
    #[error("{path}, the key to the store, cannot be read or made")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The cluster has an authority, but this machine has no key to it.
    #[error(
        "etcd holds a cluster's authority and there is no key to it at {path}: \
         copy the key from a master of that cluster (--store-key)"
    )]
    NoKey {
        /// Where it would be.
        path: PathBuf,
    },
    /// The key is of another cluster.
    #[error(
        "the key at {path} does not open the authority in etcd: \
         copy the key from a master of that cluster (--store-key)"
    )]
    WrongKey {
        /// The file.
        path: PathBuf,
    },
    /// What was sealed is no authority.
    #[error("what etcd holds as the authority is none")]
    Authority(#[from] AuthorityError),
}

/// The authority in a file, made if it is not there.
pub(crate) fn alone(path: &Path) -> Result<Authority, FileError> {
    if path.exists() {
        return Authority::load(path);
    }
    let authority = Authority::create(&ClusterName::random());
    authority.save(path)?;
    Ok(authority)
}

/// The authority that all masters at this etcd share, made if there is none. Blocks.
pub(crate) fn shared(etcd: &Etcd, path: &Path) -> Result<Authority, SharedError> {
    let found = read_key(path)?;
    let (sealed, key) = match (etcd.kept(KEPT)?, found) {
        (Some(sealed), Some(key)) => (sealed, key),
        (Some(_), None) => return Err(SharedError::NoKey { path: path.into() }),
        (None, found) => {
            let made = found.is_none();
            let key = found.map_or_else(|| make_key(path), Ok)?;
            let ours = seal(&Authority::create(&ClusterName::random()), &key);
            let sealed = etcd.keep(KEPT, &ours)?;
            if made && sealed != ours {
                // Another master was first, so this key opens nothing.
                let _ = fs::remove_file(path);
                return Err(SharedError::NoKey { path: path.into() });
            }
            (sealed, key)
        }
    };
    let wrong = || SharedError::WrongKey { path: path.into() };
    let pem = unseal(sealed, &key).ok_or_else(wrong)?;
    Ok(Authority::from_pem(&pem)?)
}

/// Whether masters at this etcd share an authority. Blocks.
pub(crate) fn is_shared(etcd: &Etcd) -> Result<bool, EtcdError> {
    Ok(etcd.kept(KEPT)?.is_some())
}

/// Shares an authority at an etcd from now on, whatever was shared there. For who leads. Blocks.
pub(crate) fn share(etcd: &Etcd, path: &Path, authority: &Authority) -> Result<(), SharedError> {
    let key = read_key(path)?.map_or_else(|| make_key(path), Ok)?;
    Ok(etcd.keep_instead(KEPT, &seal(authority, &key))?)
}

fn read_key(path: &Path) -> Result<Option<[u8; KEY_BYTES]>, SharedError> {
    let error = |source| SharedError::Key { path: path.into(), source };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(none) if none.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(error(source)),
    };
    let mut key = [0; KEY_BYTES];
    hex::decode_to_slice(text.trim(), &mut key)
        .map_err(|no_key| error(io::Error::new(io::ErrorKind::InvalidData, no_key)))?;
    Ok(Some(key))
}

fn make_key(path: &Path) -> Result<[u8; KEY_BYTES], SharedError> {
    let mut key = [0; KEY_BYTES];
    fill(&mut key);
    let write = || {
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(KEY_MODE).open(path)?;
        writeln!(file, "{}", hex::encode(key))?;
        file.sync_all()
    };
    write().map_err(|source| SharedError::Key { path: path.into(), source })?;
    Ok(key)
}

fn fill(bytes: &mut [u8]) {
    SystemRandom::new().fill(bytes).expect("the system has randomness");
}

fn cipher(key: &[u8; KEY_BYTES]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).expect("a key of this length"))
}

/// Nonce, then the closed text. One key closes one text, or few, so a random nonce is safe.
fn seal(authority: &Authority, key: &[u8; KEY_BYTES]) -> Vec<u8> {
    let mut nonce = [0; NONCE_LEN];
    fill(&mut nonce);
    let mut text = authority.to_pem().into_bytes();
    let nonce_used = Nonce::assume_unique_for_key(nonce);
    cipher(key)
        .seal_in_place_append_tag(nonce_used, Aad::from(KEPT), &mut text)
        .expect("a short text can be sealed");
    [&nonce[..], &text].concat()
}

fn unseal(mut sealed: Vec<u8>, key: &[u8; KEY_BYTES]) -> Option<String> {
    let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let text = cipher(key).open_in_place(nonce, Aad::from(KEPT), text).ok()?;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_alone() {
        let authority = Authority::create(&ClusterName::random());
        let (mut key, mut other) = ([0; KEY_BYTES], [0; KEY_BYTES]);
        fill(&mut key);
        fill(&mut other);
        let sealed = seal(&authority, &key);
        assert_eq!(unseal(sealed.clone(), &key), Some(authority.to_pem()));
        assert_eq!(unseal(sealed.clone(), &other), None);
        assert_eq!(unseal(sealed[..5].to_vec(), &key), None);
        let plain = String::from_utf8_lossy(&sealed).into_owned();
        assert!(!plain.contains("PRIVATE"), "the key lies open");
    }

    #[test]
    fn a_key_survives_its_file_and_a_damaged_one_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store.key");
        assert!(read_key(&path).expect("no error").is_none());
        let key = make_key(&path).expect("made");
        assert_eq!(read_key(&path).expect("read"), Some(key));
        fs::write(&path, "short").expect("written");
        assert!(matches!(read_key(&path), Err(SharedError::Key { .. })));
    }
}
