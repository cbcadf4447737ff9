//! Guests that want out of their directory, or more of it than they were granted.

use crate::kit::{Bench, EXITED, SECRET, files_of, held_by, host_dir};
use skep_protocol::{
    executor::StartGuest,
    outcome::Outcome,
    task::{Access, DirGrant, DirSource},
};
use std::{fs, os::unix::fs::symlink};

/// Runs a guest in its directory, and sees to it that all it did lies there.
async fn outcome(bench: &Bench, guest: StartGuest) -> Outcome {
    let sandbox = guest.sandbox.clone();
    let outcome = bench.outcome(guest).await;
    assert_eq!(fs::read_to_string(sandbox.join("secret")).expect("text"), SECRET);
    let mut beside: Vec<_> = fs::read_dir(&sandbox)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    beside.sort();
    assert_eq!(beside, ["files", "secret"]);
    outcome
}

#[tokio::test]
async fn without_grants_there_is_no_directory() {
    let bench = Bench::new();
    let outcome = bench.outcome(bench.guest("look_around")).await;
    assert_eq!(outcome, Outcome::Exited { code: 8 });
}

#[tokio::test]
async fn a_granted_directory_is_the_only_way_out_and_none_leads_further() {
    let bench = Bench::new();
    let host = bench.path("host");
    fs::create_dir(&host).expect("made");
    let sandbox = DirGrant::read_write(DirSource::Sandbox, ".");
    let granted = host_dir(&host, "/data", Access::ReadWrite);
    for (grant, folder) in [(sandbox, files_of(&bench.guest("write_file"))), (granted, host)] {
        let mut writer = bench.guest("write_file");
        writer.grants.dirs = vec![grant.clone()];
        assert_eq!(bench.outcome(writer).await, EXITED);
        assert_eq!(fs::read(folder.join("out")).expect("out"), b"written");
        let mut prowler = bench.guest("look_around");
        prowler.grants.dirs = vec![grant];
        // 63 is WASI's number for an operation that is not permitted.
        assert_eq!(bench.outcome(prowler).await, Outcome::Exited { code: 63 });
    }
}

#[tokio::test]
async fn no_path_and_no_link_leads_out_of_a_directory() {
    let bench = Bench::new();
    for name in [
        "escape_parent",
        "escape_absolute",
        "escape_new_links",
        "escape_hard_links",
        "escape_renames",
        "escape_odd_names",
        "escape_confusion",
        "escape_offsets",
        "escape_renumber",
    ] {
        let guest = bench.guest_with_directory(name);
        fs::create_dir(files_of(&guest).join("below")).expect("made");
        assert_eq!(outcome(&bench, guest).await, EXITED, "{name}");
    }
}

#[tokio::test]
async fn no_link_that_somebody_planted_leads_out_of_a_directory() {
    let bench = Bench::new();
    for name in ["escape_planted_links", "escape_hard_links"] {
        let guest = bench.guest_with_directory(name);
        let files = files_of(&guest);
        fs::create_dir(files.join("below")).expect("made");
        let secret = guest.sandbox.join("secret");
        for (target, link) in [
            (secret.to_str().expect("text"), "to_file"),
            ("..", "to_parent"),
            ("/", "to_root"),
            ("/proc", "to_proc"),
            ("..", "below/up"),
            ("..", "up"),
            ("loop", "loop"),
        ] {
            symlink(target, files.join(link)).expect("made");
        }
        assert_eq!(outcome(&bench, guest).await, EXITED, "{name}");
    }
}

#[tokio::test]
async fn a_directory_to_read_stays_as_it_is() {
    let bench = Bench::new();
    let host = bench.path("host");
    fs::create_dir_all(host.join("below")).expect("made");
    fs::write(host.join("kept"), SECRET).expect("written");
    let modified = fs::metadata(host.join("kept")).and_then(|kept| kept.modified());
    let mut guest = bench.guest("escape_read_only");
    guest.grants.dirs = vec![host_dir(&host, "/data", Access::ReadOnly)];
    assert_eq!(bench.outcome(guest).await, EXITED);
    let mut guest = bench.guest("escape_across");
    let own = DirGrant::read_write(DirSource::Sandbox, ".");
    guest.grants.dirs = vec![host_dir(&host, "/data", Access::ReadOnly), own];
    let mine = files_of(&guest);
    assert_eq!(bench.outcome(guest).await, EXITED);
    assert_eq!(held_by(&host), (SECRET.len() as u64, 2));
    assert_eq!(fs::read_to_string(host.join("kept")).expect("text"), SECRET);
    let after = fs::metadata(host.join("kept")).and_then(|kept| kept.modified());
    assert_eq!(modified.expect("a time"), after.expect("a time"));
    assert_eq!(held_by(&mine), (0, 1));
}

#[tokio::test]
async fn a_guest_has_no_descriptors_but_its_own() {
    let bench = Bench::new();
    assert_eq!(bench.outcome(bench.guest("escape_descriptors")).await, EXITED);
}
