//! Inputs, laid into a guest's folder before it starts: as they are, and not those that sin.

use crate::kit::{Bench, EXITED, files_of, held_by};
use skep_protocol::{
    executor::StartGuest,
    ids::Digest,
    outcome::Outcome,
    task::{Form, Retry},
};
use std::{fs, os::unix::fs::MetadataExt as _};

fn data() -> Vec<u8> {
    (0..300_000_u32).map(|n| (n % 251) as u8).collect()
}

/// A tar with one entry, whose name nobody has looked at.
fn tar_of(kind: tar::EntryType, name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(bytes.len() as u64);
    if kind != tar::EntryType::Regular {
        header.set_link_name("/etc/passwd").expect("a name");
    }
    header.set_cksum();
    let mut tar = tar::Builder::new(Vec::new());
    tar.append(&header, bytes).expect("added");
    tar.into_inner().expect("a tar")
}

/// A guest that copies its input, which is a file or lies in a folder.
fn copying(bench: &Bench, form: Form, input: &[u8]) -> StartGuest {
    let mut guest = bench.guest_with_directory("copy");
    let path = if form == Form::File { "in/data" } else { "in" };
    bench.give_file(&mut guest, path, form, input);
    guest
}

#[tokio::test]
async fn an_input_lies_in_the_guests_folder_as_a_copy() {
    for form in [Form::File, Form::Folder] {
        let bench = Bench::new();
        let tar = tar_of(tar::EntryType::Regular, "data", &data());
        let input = if form == Form::File { data() } else { tar };
        let mut guest = copying(&bench, form, &input);
        // What comes from outside leaves the guest's own room to it, which is just enough.
        guest.limits.disk_bytes = data().len() as u64;
        guest.limits.files = 2;
        assert_eq!(bench.outcome(guest.clone()).await, EXITED, "{form:?}");
        let own = files_of(&guest);
        assert!(fs::read(own.join("out/data")).expect("copied") == data());
        let kept = bench.file(&Digest::of(&input)).metadata().expect("there");
        let laid = own.join("in/data").metadata().expect("there");
        assert!(
            kept.ino() != laid.ino() && kept.nlink() == 1,
            "the cache's own is not the guest's"
        );
    }
}

#[tokio::test]
async fn guests_that_share_an_input_read_it_each_from_its_beginning() {
    let bench = Bench::new();
    let guests = ["one", "two", "three"].map(|name| StartGuest {
        key: crate::kit::key(name),
        sandbox: bench.path(name),
        ..copying(&bench, Form::File, &data())
    });
    for guest in &guests {
        bench.start(guest.clone());
    }
    for guest in &guests {
        // In whatever order they end: their folders tell.
        let copied = files_of(guest).join("out/data");
        while !fs::read(&copied).is_ok_and(|copied| copied == data()) {
            bench.runner.reports().await;
        }
    }
}

#[tokio::test]
async fn a_guest_that_is_started_again_finds_its_folder_as_it_left_it() {
    let bench = Bench::new();
    let mut guest = bench.guest_with_directory("eat_input");
    bench.give_file(&mut guest, "in/data", Form::File, b"once");
    guest.policies.retry = Some(Retry { wait: crate::kit::SOON, ..Retry::after_any(3) });
    let end = bench.run(guest).await;
    assert_eq!((end.outcome, end.usage.restarts), (EXITED, 1));
}

#[tokio::test]
async fn a_tar_that_leads_out_of_the_folder_or_holds_links_is_refused() {
    let regular = tar::EntryType::Regular;
    let cases = [
        (regular, "../x", "not below its folder"),
        (regular, "/x", "not below its folder"),
        (regular, "a/../../../x", "not below its folder"),
        (tar::EntryType::Symlink, "x", "a link"),
        (tar::EntryType::Link, "x", "a link"),
        (tar::EntryType::Fifo, "x", "only files and folders"),
    ];
    for (kind, name, words) in cases {
        let bench = Bench::new();
        let guest = copying(&bench, Form::Folder, &tar_of(kind, name, b""));
        let Outcome::Failed { why } = bench.outcome(guest.clone()).await else {
            panic!("{name} was taken");
        };
        assert!(why.contains("input \"in\"") && why.contains(words), "{why}");
        assert_eq!(held_by(&guest.sandbox).1, 3, "files, in, and what was beside them");
    }
    let bench = Bench::new();
    let no_tar = copying(&bench, Form::Folder, &[7; 10_000]);
    let Outcome::Failed { why } = bench.outcome(no_tar).await else { panic!("it was taken") };
    assert!(why.contains("it is no tar"), "{why}");
}

#[tokio::test]
async fn an_input_beyond_the_disk_limit_is_not_laid() {
    let bomb = tar_of(tar::EntryType::Regular, "data", &vec![0; 1 << 20]);
    for (form, input) in [(Form::Folder, bomb), (Form::File, vec![0; 1 << 20])] {
        for (bytes, files) in [(100_000, 10_000), (1 << 30, 1)] {
            let bench = Bench::new();
            let mut guest = copying(&bench, form, &input);
            guest.limits.disk_bytes = bytes;
            guest.limits.files = files;
            let limit = Outcome::DiskLimit { bytes, files };
            assert_eq!(bench.outcome(guest.clone()).await, limit, "{form:?}");
            let (held, _) = held_by(&files_of(&guest));
            assert!(held <= bytes, "{held} bytes of {bytes}");
        }
    }
}
