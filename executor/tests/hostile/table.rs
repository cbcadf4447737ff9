//! What `docs/sandbox.md` says is proved is proved: its guests and its tests are there.

use crate::kit::guests_folder;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Guests that sin, at least.
const SINNERS_MIN: usize = 40;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Texts of all files of a folder, by their names.
fn texts(folder: &Path, extension: &str) -> Vec<(String, String)> {
    let entries =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let ours = entries.filter(|path| path.extension().is_some_and(|found| found == extension));
    let texts = ours.map(|path| {
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        (name, fs::read_to_string(path).expect("text"))
    });
    texts.collect()
}

/// What stands between two backquotes.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_guest_and_test_that_the_page_names_is_there() {
    let page = fs::read_to_string(here("../docs/sandbox.md")).expect("the page");
    let tests: String =
        texts(&here("tests/hostile"), "rs").into_iter().map(|(_, text)| text).collect();
    let mut missing = Vec::new();
    for name in quoted(&page) {
        let is_guest = name.ends_with(".wat");
        let is_test = name.starts_with("a_") || name.split('_').count() > 5;
        let found = match (is_guest, is_test) {
            (true, _) => guests_folder().join(name).exists(),
            (false, true) => tests.contains(&format!("fn {name}()")),
            (false, false) => !name.ends_with(".rs") || is_file_of_ours(name),
        };
        if !found {
            missing.push(name);
        }
    }
    assert_eq!(missing, Vec::<&str>::new());
}

/// A test's file by its name, any other by its path.
fn is_file_of_ours(name: &str) -> bool {
    here("tests/hostile").join(name).exists() || here("..").join(name).exists()
}

#[test]
fn every_guest_says_what_it_does_and_is_run_by_a_test() {
    let folders = ["tests/hostile", "tests", "../tests/cluster"];
    let tests: Vec<_> = folders.iter().flat_map(|folder| texts(&here(folder), "rs")).collect();
    let guests = texts(&guests_folder(), "wat");
    for (name, text) in &guests {
        let by_name = format!("\"{name}\"");
        let by_path = format!("/{name}.wat\"");
        let is_run =
            tests.iter().any(|(_, test)| test.contains(&by_name) || test.contains(&by_path));
        assert!(is_run, "no test runs {name}.wat");
        assert!(text.starts_with(";; Sin: ") || text.starts_with(";; No sin: "), "{name}.wat");
        assert!(text.contains("Expected"), "{name}.wat does not say how it ends");
    }
    let sinners = guests.iter().filter(|(_, text)| text.starts_with(";; Sin: ")).count();
    assert!(sinners >= SINNERS_MIN, "{sinners} guests sin");
}
