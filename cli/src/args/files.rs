//! The files that tasks are given and that they leave.

use crate::words::{self, NotText};
use clap::{
    Args,
    builder::{OsStringValueParser, TypedValueParser as _},
};
use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
};

/// Files into the tasks' own folders and out of them.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Files")]
pub(crate) struct Files {
    /// Give the guest a copy of a file, of a folder, or of all that has a name with * or ?, in a
    /// folder of its own, which is its working directory: under the name that it has here if no
    /// other is said, and of a name with * or ? all in the working directory itself. In an array,
    /// {} in FILE stands for the task's index or line
    #[arg(
        long = "input",
        value_name = "FILE[::GUEST]",
        value_parser = OsStringValueParser::new().try_map(InputFile::read),
    )]
    pub(crate) inputs: Vec<InputFile>,
    /// When the guest has ended, however it did, bring here a file or folder that it has left in
    /// its working directory, or all that has a name with * or ?: under the same name if no other
    /// is said. A file that is there is replaced. In an array FILE must hold {}
    #[arg(
        long = "output",
        value_name = "GUEST[::FILE]",
        value_parser = OsStringValueParser::new().try_map(OutputFile::read),
    )]
    pub(crate) outputs: Vec<OutputFile>,
}

impl Files {
    /// Whether there are any.
    pub(crate) const fn is_empty(&self) -> bool {
        self.inputs.is_empty() && self.outputs.is_empty()
    }
}

/// Why a name in a task's own folder must be UTF-8.
const GUEST: &str = "the names of a guest's files are";

/// A word names no input or output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FileError {
    #[error("\"{word}\" names no {what}: write {form}, neither of them empty")]
    Form { word: String, what: &'static str, form: &'static str },
    #[error(transparent)]
    NotText(#[from] NotText),
}

impl FileError {
    fn form(word: &OsStr, what: &'static str, form: &'static str) -> Self {
        Self::Form { word: words::shown(word).into_owned(), what, form }
    }
}

/// `FILE[::GUEST]`: what is here, and where it lies in a task's own folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InputFile {
    pub(crate) file: OsString,
    pub(crate) guest: Option<String>,
}

impl InputFile {
    pub(crate) fn read(word: OsString) -> Result<Self, FileError> {
        let (file, guest) =
            parts(&word).ok_or_else(|| FileError::form(&word, "input", "FILE or FILE::GUEST"))?;
        let guest = guest.map(|guest| words::text(guest, GUEST)).transpose()?;
        Ok(Self { file: file.into(), guest })
    }
}

/// `GUEST[::FILE]`: what a task leaves in its own folder, and where it goes here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutputFile {
    pub(crate) guest: String,
    pub(crate) file: Option<PathBuf>,
}

impl OutputFile {
    pub(crate) fn read(word: OsString) -> Result<Self, FileError> {
        let (guest, file) =
            parts(&word).ok_or_else(|| FileError::form(&word, "output", "GUEST or GUEST::FILE"))?;
        Ok(Self { guest: words::text(guest, GUEST)?, file: file.map(PathBuf::from) })
    }
}

/// What stands before `::`, and what stands behind it, if there is one.
fn parts(word: &OsStr) -> Option<(&OsStr, Option<&OsStr>)> {
    let (first, second) = match words::split_once(word, "::") {
        Some((first, second)) => (first, Some(second)),
        None => (word, None),
    };
    (!first.is_empty() && second != Some(OsStr::new(""))).then_some((first, second))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt as _;

    #[test]
    fn a_file_has_a_name_on_each_side() {
        let input = |text: &str| InputFile::read(text.into()).map(|it| (it.file, it.guest));
        assert_eq!(input("a.csv"), Ok(("a.csv".into(), None)));
        assert_eq!(input("a::b/c"), Ok(("a".into(), Some("b/c".into()))));
        let output = |text: &str| OutputFile::read(text.into()).map(|it| (it.guest, it.file));
        assert_eq!(output("out/*.png::."), Ok(("out/*.png".into(), Some(".".into()))));
        for wrong in ["", "::b", "a::"] {
            input(wrong).expect_err(wrong);
            output(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn a_file_here_has_any_bytes_for_its_name_and_one_there_has_text() {
        let word = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
        let input = InputFile::read(word(b"caf\xe9::a")).expect("an input");
        assert_eq!(input, InputFile { file: word(b"caf\xe9"), guest: Some("a".into()) });
        let output = OutputFile::read(word(b"a::caf\xe9")).expect("an output");
        assert_eq!(output.file, Some(PathBuf::from(word(b"caf\xe9"))));
        let refused = OutputFile::read(word(b"caf\xe9")).expect_err("no text").to_string();
        assert_eq!(refused, format!("\"caf\\xE9\" is not UTF-8: {GUEST}"));
        InputFile::read(word(b"a::caf\xe9")).expect_err("no text");
    }
}
