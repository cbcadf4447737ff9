//! The files that tasks are given and that they leave.

use clap::Args;
use std::{path::PathBuf, str::FromStr};

/// Files into the tasks' own folders and out of them.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Files")]
pub(crate) struct Files {
    /// Give the guest a copy of a file, of a folder, or of all that has a name with * or ?, in a
    /// folder of its own, which is its working directory: under the name that it has here if no
    /// other is said, and of a name with * or ? all in the working directory itself. In an array,
    /// {} in FILE stands for the task's index or line
    #[arg(long = "input", value_name = "FILE[::GUEST]")]
    pub(crate) inputs: Vec<InputFile>,
    /// When the guest has ended by itself, bring here a file or folder that it has left in its
    /// working directory, or all that has a name with * or ?: under the same name if no other is
    /// said. A file that is there is replaced. In an array FILE must hold {}
    #[arg(long = "output", value_name = "GUEST[::FILE]")]
    pub(crate) outputs: Vec<OutputFile>,
}

impl Files {
    /// Whether there are any.
    pub(crate) const fn is_empty(&self) -> bool {
        self.inputs.is_empty() && self.outputs.is_empty()
    }
}

/// A text names no input or output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no {what}: write {form}, neither of them empty")]
pub(crate) struct FileError {
    text: String,
    what: &'static str,
    form: &'static str,
}

/// `FILE[::GUEST]`: what is here, and where it lies in a task's own folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InputFile {
    pub(crate) file: String,
    pub(crate) guest: Option<String>,
}

impl FromStr for InputFile {
    type Err = FileError;

    fn from_str(text: &str) -> Result<Self, FileError> {
        let error = || FileError { text: text.into(), what: "input", form: "FILE or FILE::GUEST" };
        let (file, guest) = parts(text).ok_or_else(error)?;
        Ok(Self { file: file.into(), guest: guest.map(Into::into) })
    }
}

/// `GUEST[::FILE]`: what a task leaves in its own folder, and where it goes here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutputFile {
    pub(crate) guest: String,
    pub(crate) file: Option<PathBuf>,
}

impl FromStr for OutputFile {
    type Err = FileError;

    fn from_str(text: &str) -> Result<Self, FileError> {
        let error =
            || FileError { text: text.into(), what: "output", form: "GUEST or GUEST::FILE" };
        let (guest, file) = parts(text).ok_or_else(error)?;
        Ok(Self { guest: guest.into(), file: file.map(Into::into) })
    }
}

/// What stands before `::`, and what stands behind it, if there is one.
fn parts(text: &str) -> Option<(&str, Option<&str>)> {
    let (first, second) = match text.split_once("::") {
        Some((first, second)) => (first, Some(second)),
        None => (text, None),
    };
    (!first.is_empty() && second != Some("")).then_some((first, second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_name_on_each_side() {
        let input = |text: &str| text.parse::<InputFile>().map(|it| (it.file, it.guest));
        assert_eq!(input("a.csv"), Ok(("a.csv".into(), None)));
        assert_eq!(input("a::b/c"), Ok(("a".into(), Some("b/c".into()))));
        let output = |text: &str| text.parse::<OutputFile>().map(|it| (it.guest, it.file));
        assert_eq!(output("out/*.png::."), Ok(("out/*.png".into(), Some(".".into()))));
        for wrong in ["", "::b", "a::"] {
            input(wrong).expect_err(wrong);
            output(wrong).expect_err(wrong);
        }
    }
}
