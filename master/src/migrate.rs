//! Moving a cluster's records and authority between a folder and etcd, while no master runs.
//!
//! Always holds: what was moved is whole where it went before it is put aside where it was, and it
//! is put aside, so that no master starts on what is old. Blobs stay in the folder.

use crate::place::{Force, Place, PlaceError, authority_in, records_in};
use skep_store::Etcd;
use std::{fs, path::Path};

/// What is put aside is called so behind its name.
const ASIDE: &str = "moved";

/// Where a cluster's records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From a folder to etcd: one master becomes several.
    ToEtcd,
    /// From etcd to a folder: several become one.
    ToFolder,
}

/// Moves a cluster; gives the number of its records. Blocks.
///
/// # Errors
/// [`PlaceError`] if it is not moved.
pub fn migrate(folder: &Path, etcd: &Etcd, key: &Path, way: Way) -> Result<usize, PlaceError> {
    let mut in_folder = Place::Folder(folder.into()).open()?;
    let mut etcd = Place::Etcd { etcd: etcd.clone(), key: key.into() }.open()?;
    let (from, to) = match way {
        Way::ToEtcd => (&mut in_folder, &mut etcd),
        Way::ToFolder => (&mut etcd, &mut in_folder),
    };
    let moved = from.take().and_then(|cluster| {
        let count = cluster.rows.len();
        to.put(cluster, Force::No)?;
        Ok(count)
    });
    etcd.close();
    in_folder.close();
    let count = moved?;
    if way == Way::ToEtcd {
        put_aside(&records_in(folder))?;
        put_aside(&authority_in(folder))?;
    }
    Ok(count)
}

fn put_aside(path: &Path) -> Result<(), PlaceError> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{ASIDE}"));
    fs::rename(path, aside).map_err(|source| PlaceError::Aside { path: path.into(), source })
}
