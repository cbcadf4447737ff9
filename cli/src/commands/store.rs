//! `skep store`, `skep backup` and `skep restore`.

use crate::{
    args::{Backup, EtcdAccess, Format, Migrate, Restore, StorePlace},
    client,
    failure::{Failure, Result, Sentence},
    output, stdout,
};
use skep_master::{
    Access, Etcd, Force, Header, Place, User, Way, WithBlobs, migrate, receive, restore,
};
use std::path::{Path, PathBuf};

/// Where the password of etcd's user is.
const PASSWORD: &str = "SKEP_ETCD_PASSWORD";

pub(super) fn move_store(args: Migrate) -> Result {
    let key = args.store_key.unwrap_or_else(|| args.data.join("store.key"));
    let etcd = with_access(args.store, args.access)?;
    let (way, next) = match args.to {
        StorePlace::Etcd => {
            (Way::ToEtcd, format!("with --store, and with copies of {}", key.display()))
        }
        StorePlace::Folder => (Way::ToFolder, "without --store; etcd keeps what it has".into()),
    };
    let count = migrate(&args.data, &etcd, &key, way)?;
    stdout::print(&format!("{count} records and the authority are moved: start masters {next}"))?;
    Ok(())
}

pub(super) async fn back_up(args: Backup) -> Result {
    let format = args.client.output;
    let made = async {
        let file = args.file;
        let Some(folder) = args.data else {
            let cluster = client::connect(&args.client).await?;
            let mut from = cluster.read_backup(args.blobs).await?;
            let header = receive(&mut from, &file).await?;
            cluster.close().await;
            return told(format, &header, &file);
        };
        let blobs = if args.blobs { WithBlobs::Yes } else { WithBlobs::No };
        let place = place(&folder, args.store, args.store_key, args.access)?;
        let header = skep_master::back_up(&place, &folder, blobs, &file).await?;
        told(format, &header, &file)
    };
    made.await.map_err(|failure: Failure| failure.told_as(format))
}

fn told(format: Format, header: &Header, file: &Path) -> Result {
    if format == Format::Json {
        return Ok(output::json(header)?);
    }
    let (count, blobs, file) = (header.records, header.blobs, file.display());
    stdout::print(&format!(
        "{file} holds {count} records, the authority and {blobs} blobs of cluster {}",
        header.cluster
    ))?;
    stdout::print("Anybody who can read it owns the cluster: keep it like a password")?;
    Ok(())
}

pub(super) async fn restore_cluster(args: Restore) -> Result {
    let force = if args.force { Force::Yes } else { Force::No };
    let shared = args.store.is_some();
    let place = place(&args.data, args.store, args.store_key, args.access)?;
    let header = restore(&args.file, &place, &args.data, force).await?;
    let next = if shared { "with --store" } else { "without --store" };
    stdout::print(&format!(
        "cluster {} is restored, with {} records and {} blobs: start its master on {} {next}",
        header.cluster,
        header.records,
        header.blobs,
        args.data.display()
    ))?;
    Ok(())
}

fn place(
    folder: &Path,
    etcd: Option<Etcd>,
    key: Option<PathBuf>,
    access: EtcdAccess,
) -> Result<Place> {
    let Some(etcd) = etcd else { return Ok(Place::Folder(folder.into())) };
    let key = key.unwrap_or_else(|| folder.join("store.key"));
    Ok(Place::Etcd { etcd: with_access(etcd, access)?, key })
}

/// The etcd, with certificates and as the user that were named.
pub(super) fn with_access(etcd: Etcd, args: EtcdAccess) -> Result<Etcd> {
    let EtcdAccess { etcd_ca: ca, etcd_cert, etcd_key, etcd_user } = args;
    let user = match etcd_user {
        None => None,
        Some(name) => {
            let password = std::env::var(PASSWORD).map_err(|_| {
                Sentence(format!("there is no password for --etcd-user {name}: set {PASSWORD}"))
            })?;
            Some(User { name, password })
        }
    };
    Ok(etcd.with(&Access { ca, identity: etcd_cert.zip(etcd_key), user })?)
}
