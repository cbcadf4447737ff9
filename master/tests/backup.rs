//! A cluster that is copied into a file and made of it again: by real masters, on redb and on a
//! real etcd.

#![expect(clippy::unwrap_used, reason = "tests say what went wrong by it")]

#[path = "../../store/tests/etcd/mod.rs"]
mod etcd;

mod cluster;

use cluster::{Agent, Framework, Operator, soon};
use etcd::Server;
use skep_master::{
    BackupError, Force, Keep, Place, PlaceError, Shared, Way, WithBlobs, back_up, inspect, receive,
    restore,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// The shortest that an etcd with ordinary settings grants.
const LEASE: Duration = Duration::from_secs(2);

struct Work(tempfile::TempDir);

impl Work {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A backup of a cluster with something of each kind, and the folder that it was made of.
    async fn backup(&self) -> (PathBuf, PathBuf) {
        let (folder, file) = (self.path("first"), self.path("backup"));
        let first = cluster::start(Keep::Folder(folder.clone())).await;
        let mut operator = Operator::of(&first).await;
        let agent = operator.admit_agent(&first).await;
        operator.fill(&agent).await;
        first.stop().await;
        let place = Place::Folder(folder.clone());
        back_up(&place, &folder, WithBlobs::Yes, &file).await.unwrap();
        (file, folder)
    }
}

fn shared(server: &Server, folder: &Path) -> Keep {
    let etcd = server.address().parse().unwrap();
    let key = folder.join("store.key");
    Keep::Shared(Shared { folder: folder.into(), etcd, key, lease: LEASE })
}

/// All that is told, and the peers that come back to it.
async fn is_as_before(keep: Keep, before: &str, mut agent: Agent, mut framework: Framework) {
    let master = cluster::start(keep).await;
    let mut operator = Operator::of(&master).await;
    assert_eq!(operator.shown().await, before);
    framework.come_back_to(&master).await;
    agent.come_back_to(&master, framework.id()).await;
    framework.hears_that_its_task_runs().await;
    assert_eq!(operator.fetched_blob().await, cluster::BLOB);
    master.stop().await;
}

#[tokio::test]
async fn what_a_running_master_gives_makes_the_same_cluster_in_a_folder_and_in_etcd() {
    let work = Work::new();
    let file = work.path("backup");
    let first = cluster::start(Keep::Folder(work.path("first"))).await;
    let mut operator = Operator::of(&first).await;
    let agent = operator.admit_agent(&first).await;
    let framework = operator.admit_framework(&first).await;
    operator.fill(&agent).await;
    let before = operator.shown().await;
    for part in ["uses_left: 3", "\"data\"", "eng: 2 {\"cpus\": 2.0"] {
        assert!(before.contains(part), "{part} is not in {before}");
    }
    let header = soon(receive(&mut operator.backup().await, &file)).await.unwrap();
    first.stop().await;

    assert_eq!(header.cluster, operator.cluster());
    assert_eq!((header.blobs, header), (1, inspect(&file).unwrap()));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let second = work.path("second");
    let place = Place::Folder(second.clone());
    restore(&file, &place, &second, Force::No).await.unwrap();
    is_as_before(Keep::Folder(second), &before, agent.again(), framework.again()).await;

    let (server, third) = (Server::start(), work.path("third"));
    fs::create_dir(&third).unwrap();
    let (etcd, key) = (server.address().parse().unwrap(), third.join("store.key"));
    restore(&file, &Place::Etcd { etcd, key }, &third, Force::No).await.unwrap();
    is_as_before(shared(&server, &third), &before, agent, framework).await;
}

#[tokio::test]
async fn a_stopped_one_is_backed_up_from_its_folder_or_its_etcd() {
    let work = Work::new();
    let (file, _) = work.backup().await;
    let server = Server::start();
    let second = work.path("second");
    fs::create_dir(&second).unwrap();
    let (etcd, key) = (server.address().parse().unwrap(), second.join("store.key"));
    let place = Place::Etcd { etcd, key };
    let header = restore(&file, &place, &second, Force::No).await.unwrap();
    let again = work.path("again");
    let copied = back_up(&place, &second, WithBlobs::Yes, &again).await.unwrap();
    let of = |header: &skep_master::Header| {
        (header.cluster.clone(), header.records, header.blobs, header.build.clone())
    };
    assert_eq!(of(&copied), of(&header));
    let third = work.path("third");
    restore(&again, &Place::Folder(third.clone()), &third, Force::No).await.unwrap();
    let last = work.path("last");
    let place = Place::Folder(third.clone());
    let copied = back_up(&place, &third, WithBlobs::No, &last).await.unwrap();
    assert_eq!((copied.records, copied.blobs), (header.records, 0));
}

#[tokio::test]
async fn a_file_that_is_not_as_it_was_written_is_refused_and_nothing_is_made() {
    let work = Work::new();
    let (file, _) = work.backup().await;
    let whole = fs::read(&file).unwrap();
    let (target, broken) = (work.path("target"), work.path("broken"));
    let place = Place::Folder(target.clone());
    let tried = async |bytes: &[u8]| {
        fs::write(&broken, bytes).unwrap();
        let error = restore(&broken, &place, &target, Force::Yes).await.unwrap_err();
        assert!(!target.exists(), "something was made of a broken file");
        error
    };
    for length in [whole.len() - 1, whole.len() / 2, 14] {
        let error = tried(&whole[..length]).await;
        assert!(matches!(error, BackupError::Truncated { .. }), "{length}: {error:?}");
    }
    for place in [14, whole.len() / 2, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        let error = tried(&bytes).await;
        assert!(matches!(error, BackupError::Damaged { .. }), "{place}: {error:?}");
    }
    let newer = [b"skep backup 2\n", &whole[14..]].concat();
    let error = tried(&newer).await;
    assert!(matches!(error, BackupError::Version { found: 2, newest: 1, .. }), "{error:?}");
    for none in [&b""[..], b"something else"] {
        let error = tried(none).await;
        assert!(matches!(error, BackupError::NoBackup { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_store_with_a_cluster_is_replaced_only_by_force() {
    let work = Work::new();
    let (file, first) = work.backup().await;
    let name_in = |folder: &Path| {
        let pem = skep_transport::Authority::load(&folder.join("authority.pem"));
        pem.unwrap().cluster().to_string()
    };
    let other = work.path("other");
    let master = cluster::start(Keep::Folder(other.clone())).await;
    let mut operator = Operator::of(&master).await;
    operator.admit_agent(&master).await;

    // While it runs its records are its own, whatever is said.
    let place = Place::Folder(other.clone());
    let error = restore(&file, &place, &other, Force::Yes).await.unwrap_err();
    assert!(matches!(error, BackupError::Place(PlaceError::Open(_))), "{error:?}");
    master.stop().await;

    let error = restore(&file, &place, &other, Force::No).await.unwrap_err();
    assert!(matches!(error, BackupError::Place(PlaceError::Occupied { .. })), "{error:?}");
    assert_ne!(name_in(&other), name_in(&first));

    let header = restore(&file, &place, &other, Force::Yes).await.unwrap();
    assert_eq!(name_in(&other), name_in(&first));
    let copied = back_up(&place, &other, WithBlobs::No, &work.path("copy")).await.unwrap();
    assert_eq!(copied.records, header.records, "nothing of the other cluster is left");

    let server = Server::start();
    let etcd = Place::Etcd { etcd: server.address().parse().unwrap(), key: work.path("store.key") };
    for force in [Force::No, Force::Yes] {
        restore(&file, &etcd, &work.path("blobs of etcd"), force).await.unwrap();
    }
    let error = restore(&file, &etcd, &other, Force::No).await.unwrap_err();
    assert!(matches!(error, BackupError::Place(PlaceError::Occupied { .. })), "{error:?}");
}

#[tokio::test]
async fn a_backup_replaces_no_file_and_is_not_made_of_nothing() {
    let work = Work::new();
    let (file, folder) = work.backup().await;
    let place = Place::Folder(folder.clone());
    let error = back_up(&place, &folder, WithBlobs::No, &file).await.unwrap_err();
    assert!(matches!(error, BackupError::Exists { .. }), "{error:?}");

    let nothing = work.path("nothing");
    let place = Place::Folder(nothing.clone());
    let error = back_up(&place, &nothing, WithBlobs::No, &work.path("b")).await.unwrap_err();
    assert!(matches!(error, BackupError::Place(PlaceError::Nothing { .. })), "{error:?}");
    assert!(!nothing.exists());
}

#[tokio::test]
async fn only_operators_get_a_backup() {
    let work = Work::new();
    let master = cluster::start(Keep::Nothing).await;
    let mut operator = Operator::of(&master).await;
    let framework = operator.admit_framework(&master).await;
    assert!(framework.is_refused_a_backup().await);
    let mut cut = &b"skep backup 1\n{"[..];
    let error = receive(&mut cut, &work.path("cut")).await.unwrap_err();
    assert!(matches!(error, BackupError::Truncated { .. }), "{error:?}");
    assert_eq!(fs::read_dir(work.0.path()).unwrap().count(), 0, "nothing is left of it");
    master.stop().await;
}

#[tokio::test]
async fn a_cluster_moves_from_a_folder_to_etcd_and_back() {
    let work = Work::new();
    let (file, folder) = work.backup().await;
    let records = inspect(&file).unwrap().records;
    let server = Server::start();
    let moved = async |way| {
        let (folder, key) = (folder.clone(), work.path("store.key"));
        let etcd = server.address().parse().unwrap();
        let moving = move || skep_master::migrate(&folder, &etcd, &key, way);
        tokio::task::spawn_blocking(moving).await.unwrap()
    };
    assert_eq!(moved(Way::ToEtcd).await.unwrap(), records);
    let left = ["master.redb.moved", "authority.pem.moved"].map(|name| folder.join(name).exists());
    assert_eq!(left, [true, true], "what was moved is put aside");
    let error = moved(Way::ToEtcd).await.unwrap_err();
    assert!(matches!(error, PlaceError::Nothing { .. }), "{error:?}");

    assert_eq!(moved(Way::ToFolder).await.unwrap(), records);
    let error = moved(Way::ToFolder).await.unwrap_err();
    assert!(matches!(error, PlaceError::Occupied { .. }), "{error:?}");
    let error = moved(Way::ToEtcd).await.unwrap_err();
    assert!(matches!(error, PlaceError::Occupied { .. }), "{error:?}");
}
