//! Directories that change while they are listed, and names that are not UTF-8.

use crate::kit::{Bench, files_of};
use skep_protocol::outcome::{Outcome, Trap};
use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt as _};

#[tokio::test]
async fn a_guest_empties_a_folder_while_it_lists_it() {
    let bench = Bench::new();
    let guest = bench.guest_with_directory("empty_folder");
    let files = files_of(&guest);
    for number in 0..100 {
        fs::write(files.join(format!("a-longer-name-{number}")), "").expect("written");
    }
    assert_eq!(bench.outcome(guest).await, Outcome::Exited { code: 100 });
    assert_eq!(fs::read_dir(files).expect("a folder").count(), 0);
}

#[tokio::test]
async fn a_folder_with_a_name_that_is_no_text_is_listed_and_that_name_is_refused() {
    let bench = Bench::new();
    let guest = bench.guest_with_directory("list_names");
    let (files, sandbox) = (files_of(&guest), guest.sandbox.clone());
    fs::write(files.join("good"), "").expect("written");
    fs::write(files.join(OsStr::from_bytes(b"caf\xe9")), "").expect("written");
    // 25: an illegal sequence of bytes; 44: no such file.
    assert_eq!(bench.outcome(guest.clone()).await, Outcome::Exited { code: 25 });
    let listed = fs::read(sandbox.join("stdout")).expect("the listing");
    let has = |name: &[u8]| listed.windows(name.len()).any(|part| part == name);
    assert!(has(b"good") && has(b"caf\\xE9"), "{:?}", listed.escape_ascii().to_string());
    fs::remove_file(files.join(OsStr::from_bytes(b"caf\xe9"))).expect("removed");
    assert_eq!(bench.outcome(guest).await, Outcome::Exited { code: 44 });
}

#[tokio::test]
async fn what_a_guest_wrote_before_it_fails_stays() {
    let bench = Bench::new();
    for how in ["0", "7", "t", "s"] {
        let mut guest = bench.guest_with_directory("half_done");
        guest.args = vec![how.into()];
        guest.limits.fuel = Some(1_000_000);
        let files = files_of(&guest);
        let is_expected = matches!(
            (how, bench.outcome(guest).await),
            ("0", Outcome::Exited { code: 0 })
                | ("7", Outcome::Exited { code: 7 })
                | ("t", Outcome::Trapped { trap: Trap::Unreachable, .. })
                | ("s", Outcome::OutOfFuel { limit: 1_000_000 })
        );
        assert!(is_expected, "{how}");
        assert_eq!(fs::read(files.join("report.txt")).expect("there"), b"half");
    }
}
