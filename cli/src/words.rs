//! Words of the command line and names of files as the bytes that they are.
//!
//! What is a path of this machine is taken as it is; what goes to a guest or over the wire must be
//! UTF-8, and what is not is refused by its escaped form (`skep_protocol::escape`).

use skep_protocol::escape;
use std::{
    borrow::Cow,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

/// Why arguments, variables and lines must be UTF-8.
pub(crate) const TOLD: &str = "what a guest is told is";

/// A word that must be UTF-8 and is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{escaped}\" is not UTF-8: {why}")]
pub(crate) struct NotText {
    escaped: String,
    why: &'static str,
}

/// A path for people.
pub(crate) fn shown(path: &(impl AsRef<OsStr> + ?Sized)) -> Cow<'_, str> {
    escape::escape(path.as_ref().as_bytes())
}

/// A word as text; `why` says why it must be such.
pub(crate) fn text(word: &OsStr, why: &'static str) -> Result<String, NotText> {
    let text = word.to_str().map(ToOwned::to_owned);
    text.ok_or_else(|| NotText { escaped: shown(word).into_owned(), why })
}

/// What stands before the first `sign` in a word, and what behind it.
pub(crate) fn split_once<'a>(word: &'a OsStr, sign: &str) -> Option<(&'a OsStr, &'a OsStr)> {
    let (word, sign) = (word.as_bytes(), sign.as_bytes());
    let at = word.windows(sign.len()).position(|part| part == sign)?;
    let (first, rest) = (&word[..at], &word[at + sign.len()..]);
    Some((OsStr::from_bytes(first), OsStr::from_bytes(rest)))
}

/// The name of a file, as a guest is called that is one.
pub(crate) fn name_of(file: &Path) -> String {
    shown(file.file_name().unwrap_or_default()).into_owned()
}

/// The words that are not UTF-8, for a command line that has one where it must be.
pub(crate) fn foreign(words: impl IntoIterator<Item = OsString>) -> String {
    let foreign = words.into_iter().filter(|word| word.to_str().is_none());
    let foreign: Vec<String> = foreign.map(|word| format!("\"{}\"", shown(&word))).collect();
    let these = foreign.join(", ");
    format!("{these}: not UTF-8, which only paths of this machine need not be")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_split_and_shown_whatever_its_bytes_are() {
        let word = OsStr::from_bytes(b"caf\xe9::a::b");
        let (first, rest) = split_once(word, "::").expect("two parts");
        assert_eq!((shown(first).as_ref(), shown(rest).as_ref()), ("caf\\xE9", "a::b"));
        assert_eq!(split_once(first, "::"), None);
        let refused = text(first, "it is a guest's").expect_err("no text").to_string();
        assert_eq!(refused, "\"caf\\xE9\" is not UTF-8: it is a guest's");
        let words = [first.to_owned(), "plain".into()];
        assert!(foreign(words).starts_with("\"caf\\xE9\": not UTF-8"));
    }
}
