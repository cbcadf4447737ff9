//! What every store of records promises, on redb and on a real etcd; and what only etcd can be
//! asked: that a leader who was followed by another writes nothing more.

#![expect(clippy::unwrap_used, reason = "tests say what went wrong by it")]

mod etcd;

use etcd::Server;
use skep_shell::{ClusterStore, Redb, Row, StoreError};
use skep_store::{Campaign, Etcd, EtcdStore, Leadership};
use std::time::{Duration, Instant};

/// The shortest that an etcd with ordinary settings grants.
const LEASE: Duration = Duration::from_secs(2);

/// A place for records that can be opened again and again.
trait Place {
    type Store: ClusterStore;
    fn open(&self) -> Self::Store;
}

struct Folder(tempfile::TempDir);

impl Place for Folder {
    type Store = Redb;

    fn open(&self) -> Redb {
        Redb::open(&self.0.path().join("test.redb")).unwrap()
    }
}

struct Led(Server, std::cell::RefCell<Option<Leadership>>);

impl Place for Led {
    type Store = EtcdStore;

    /// A new reign each time, as a new leader has.
    fn open(&self) -> EtcdStore {
        if let Some(before) = self.1.take() {
            before.resign();
        }
        let leadership = elected(&self.0, "here:1");
        let store = leadership.store();
        self.1.replace(Some(leadership));
        store
    }
}

fn on_both(promise: impl Fn(&dyn Fn() -> Box<dyn ClusterStore>)) {
    let folder = Folder(tempfile::tempdir().unwrap());
    promise(&|| Box::new(folder.open()));
    let led = Led(Server::start(), None.into());
    promise(&|| Box::new(led.open()));
}

fn elected(server: &Server, address: &str) -> Leadership {
    let etcd: Etcd = server.address().parse().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match etcd.campaign(address, LEASE).unwrap() {
            Campaign::Elected(leadership) => return leadership,
            Campaign::Standby { .. } => assert!(Instant::now() < deadline, "nobody is elected"),
        }
    }
}

fn row(key: &str, value: u32) -> Row {
    Row::put(key.into(), &value)
}

fn held(store: &mut dyn ClusterStore) -> Vec<(String, String)> {
    let text = |(key, value)| (key, String::from_utf8(value).unwrap());
    store.read().unwrap().into_iter().map(text).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_new_store_is_empty() {
    on_both(|open| assert_eq!(held(&mut *open()), pairs(&[])));
}

#[test]
fn what_was_written_is_there_when_it_is_opened_again() {
    on_both(|open| {
        let mut store = open();
        assert_eq!(held(&mut *store), pairs(&[]));
        store.write(vec![row("b/2", 2), row("a/1", 1), row("c", 3)]).unwrap();
        drop(store);
        assert_eq!(held(&mut *open()), pairs(&[("a/1", "1"), ("b/2", "2"), ("c", "3")]));
    });
}

#[test]
fn the_last_row_of_a_key_stands() {
    on_both(|open| {
        let mut store = open();
        store.read().unwrap();
        store.write(vec![row("a", 1), row("b", 1), row("a", 2), Row::delete("b".into())]).unwrap();
        store.write(vec![Row::delete("c".into()), row("c", 1), row("d", 1)]).unwrap();
        store.write(vec![Row::delete("d".into())]).unwrap();
        store.write(Vec::new()).unwrap();
        drop(store);
        assert_eq!(held(&mut *open()), pairs(&[("a", "2"), ("c", "1")]));
    });
}

#[test]
fn a_commit_may_be_larger_than_a_transaction_of_etcd() {
    on_both(|open| {
        let mut store = open();
        store.read().unwrap();
        store.write((0..1_000).map(|n| row(&format!("many/{n:04}"), n)).collect()).unwrap();
        let long = |n: usize| Row::put(format!("long/{n}"), &"x".repeat(700_000));
        store.write((0..3).map(long).collect()).unwrap();
        store.write(vec![Row::delete("many/0000".into())]).unwrap();
        drop(store);
        let rows = open().read().unwrap();
        assert_eq!(rows.len(), 1_002);
        assert_eq!(rows[3], ("many/0001".into(), b"1".to_vec()));
        assert!(rows[..3].iter().all(|(_, value)| value.len() == 700_002));
    });
}

#[test]
fn a_store_has_one_owner() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let _first = folder.open();
    Redb::open(&folder.0.path().join("test.redb")).unwrap_err();

    let server = Server::start();
    let _leader = elected(&server, "one:1");
    let etcd: Etcd = server.address().parse().unwrap();
    match etcd.campaign("two:2", LEASE).unwrap() {
        Campaign::Standby { leader } => assert_eq!(leader, "one:1"),
        Campaign::Elected(_) => panic!("two lead"),
    }
}

#[test]
fn the_write_of_a_leader_that_was_followed_by_another_is_refused() {
    let server = Server::start();
    let first = elected(&server, "one:1");
    let mut stale = first.store();
    stale.read().unwrap();
    stale.write(vec![row("a", 1)]).unwrap();
    let lease = first.lease();
    // As if its lease were over and it had not noticed: the lead goes, its own clock still trusts.
    let leader = r#"{"key":"c2tlcC9sZWFkZXI="}"#;
    assert!(server.post("kv/deleterange", leader).contains(r#""deleted":"1""#));
    let second = elected(&server, "two:2");
    assert!(second.epoch() > first.epoch());
    let mut fresh = second.store();
    assert_eq!(held(&mut fresh), pairs(&[("a", "1")]));

    assert!(lease.is_held());
    let refused = stale.write(vec![row("a", 7)]).unwrap_err();
    assert!(matches!(refused, StoreError::Deposed { .. }), "{refused}");
    assert!(!lease.is_held(), "who is refused does not go on");
    fresh.write(vec![row("b", 2)]).unwrap();
    assert_eq!(held(&mut fresh), pairs(&[("a", "1"), ("b", "2")]));
}

#[test]
fn a_leader_outlasts_its_lease_by_renewing_it() {
    let server = Server::start();
    let leader = elected(&server, "one:1");
    let etcd: Etcd = server.address().parse().unwrap();
    let end = Instant::now() + LEASE * 2;
    while Instant::now() < end {
        assert!(leader.lease().is_held());
        assert!(matches!(etcd.campaign("two:2", LEASE).unwrap(), Campaign::Standby { .. }));
    }
}

#[test]
fn masters_that_live_and_blobs_are_known_by_name() {
    let server = Server::start();
    let etcd: Etcd = server.address().parse().unwrap();
    assert_eq!(etcd.masters().unwrap(), [""; 0]);
    etcd.attend("b:1", LEASE).unwrap();
    etcd.attend("a:1", LEASE).unwrap();
    etcd.attend("b:1", LEASE).unwrap();
    assert_eq!(etcd.masters().unwrap(), ["a:1", "b:1"]);
    etcd.note_blob("00ff").unwrap();
    etcd.note_blob("00ff").unwrap();
    assert_eq!(etcd.blobs().unwrap(), ["00ff"]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !etcd.masters().unwrap().is_empty() {
        assert!(Instant::now() < deadline, "a master that is not heard of lives on");
    }
}

#[test]
fn what_is_kept_for_all_is_what_the_first_has_kept() {
    let server = Server::start();
    let etcd: Etcd = server.address().parse().unwrap();
    assert_eq!(etcd.kept("authority").unwrap(), None);
    assert_eq!(etcd.keep("authority", b"first").unwrap(), b"first");
    assert_eq!(etcd.keep("authority", b"second").unwrap(), b"first");
    assert_eq!(etcd.kept("authority").unwrap().unwrap(), b"first");
}
