//! Documents that prove something by tests: each test that they name must be there.
//!
//! A name of a test is recognised by its form, a sentence of four words or more between backquotes:
//! `words_like_these_are_one`.

use crate::repo;
use anyhow::{Context, Result};
use std::{collections::BTreeSet, fs};

/// What names tests.
const DOCUMENTS: [&str; 2] = ["docs/failures.md", "docs/guarantees.md"];
/// Words of the shortest name that is taken for a test's.
const WORDS_MIN: usize = 4;

/// The tests that are named and not there.
pub(super) fn faults() -> Result<Vec<String>> {
    let root = repo::root();
    let mut tests = BTreeSet::new();
    for path in repo::files(&root, "rs")? {
        let text = fs::read_to_string(root.join(&path))
            .with_context(|| format!("cannot read {}", path.display()))?;
        tests.extend(tests_of(&text).map(str::to_owned));
    }
    let mut faults = Vec::new();
    for document in DOCUMENTS {
        let text = fs::read_to_string(root.join(document))
            .with_context(|| format!("cannot read {document}"))?;
        let missing = named_by(&text).filter(|name| !tests.contains(*name));
        faults.extend(missing.map(|name| format!("{document}: there is no test `{name}`")));
    }
    Ok(faults)
}

/// The functions of a file that are marked as tests.
fn tests_of(text: &str) -> impl Iterator<Item = &str> {
    let mut is_marked = false;
    text.lines().map(str::trim).filter_map(move |line| {
        let name = line.split_once("fn ").and_then(|(_, rest)| rest.split('(').next());
        is_marked |= line.starts_with("#[") && line.contains("test");
        name.filter(|_| std::mem::take(&mut is_marked))
    })
}

/// The tests that a document names.
fn named_by(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|name| {
        let is_word = |word: &str| {
            let letters = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
            !word.is_empty() && word.chars().all(letters)
        };
        name.split('_').count() >= WORDS_MIN && name.split('_').all(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_named_tests_are_there() {
        assert_eq!(faults().expect("readable files"), Vec::<String>::new());
    }

    #[test]
    fn a_name_is_told_from_other_words() {
        let text =
            "the `a_test_of_something_said` by `tests/sim` and `one_two`, `Big_words_are_not_one`";
        assert_eq!(named_by(text).collect::<Vec<_>>(), ["a_test_of_something_said"]);
    }

    #[test]
    fn only_marked_functions_are_tests() {
        let text = "#[test]\nfn one() {}\nfn two() {}\n#[tokio::test]\nasync fn three() {}\n";
        assert_eq!(tests_of(text).collect::<Vec<_>>(), ["one", "three"]);
    }
}
