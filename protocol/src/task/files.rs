//! The files that a task is given and that it is to leave: each is a blob, by its digest.

use super::{DirSource, Grants};
use crate::{
    bounds::{INPUTS_MAX, OUTPUTS_MAX, PATH_BYTES_MAX},
    ids::Digest,
    rejection::Rejection,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What the bytes of a blob are that is an input or an output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Those of one file.
    #[default]
    File,
    /// A folder, packed as a tar.
    Folder,
}

impl Form {
    /// Whether it is that of whoever says nothing.
    pub const fn is_file(&self) -> bool {
        matches!(self, Self::File)
    }
}

/// A file or folder that lies in the task's own folder before its guest starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// A blob that the master holds.
    pub digest: Digest,
    /// Where it lies: a path below the task's own folder; of a folder also `.`, all of it.
    pub guest: String,
    /// What the blob's bytes are.
    #[serde(default, skip_serializing_if = "Form::is_file")]
    pub form: Form,
}

/// What is taken from the task's own folder when its guest has ended by itself, and stored at the
/// master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// A path below the task's own folder, of a file or a folder, or `.`, all of it; or one with
    /// `*` and `?`: all that has such a name, as a folder that begins at the first of them.
    pub guest: String,
}

impl Output {
    /// What lies at `guest`.
    pub fn new(guest: impl Into<String>) -> Self {
        Self { guest: guest.into() }
    }
}

pub(super) fn check(
    inputs: &[Input],
    outputs: &[Output],
    grants: &Grants,
) -> Result<(), Rejection> {
    check_all("inputs", INPUTS_MAX, inputs.iter().map(|input| input.guest.as_str()), grants)?;
    let file = inputs.iter().find(|input| input.form == Form::File && input.guest == ".");
    if file.is_some() {
        let why = "\".\" is the task's own folder, which one file cannot be: give it a name";
        return Err(Rejection::invalid("inputs", why));
    }
    check_all("outputs", OUTPUTS_MAX, outputs.iter().map(|output| output.guest.as_str()), grants)
}

fn check_all<'a>(
    field: &str,
    max: usize,
    paths: impl ExactSizeIterator<Item = &'a str>,
    grants: &Grants,
) -> Result<(), Rejection> {
    if paths.len() > max {
        let why = format!("at most {max}: pack what belongs together into a folder");
        return Err(Rejection::invalid(field, why));
    }
    let is_own = |source: &DirSource| *source == DirSource::Sandbox;
    if paths.len() > 0 && !grants.dirs.iter().any(|dir| is_own(&dir.source)) {
        let why = "they lie in the task's own folder, and it is not granted: add a grant of the \
                   source \"sandbox\" to grants.dirs";
        return Err(Rejection::invalid(field, why));
    }
    let mut seen = BTreeSet::new();
    for path in paths {
        check_guest_path(path).map_err(|why| Rejection::invalid(field, why))?;
        if !seen.insert(path) {
            return Err(Rejection::invalid(field, format!("{path:?} is named twice")));
        }
    }
    Ok(())
}

/// Checks that a text names something below a task's own folder, or all of it.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn check_guest_path(path: &str) -> Result<(), String> {
    if path.len() > PATH_BYTES_MAX {
        return Err(format!("a path has {} bytes, {PATH_BYTES_MAX} at most", path.len()));
    }
    if path.starts_with('/') {
        return Err(format!(
            "{path:?} is absolute: a path is relative to the task's own folder, as in out/a.png"
        ));
    }
    let is_odd = |part: &str| matches!(part, "" | "." | "..");
    if path.contains('\0') || path != "." && path.split('/').any(is_odd) {
        return Err(format!(
            "{path:?} is no path below the task's own folder: names with one '/' between them, \
             none of them \".\" or \"..\""
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::DirGrant;

    fn granted() -> Grants {
        let dirs = vec![DirGrant::read_write(DirSource::Sandbox, ".")];
        Grants { dirs, ..Grants::default() }
    }

    fn input(guest: &str, form: Form) -> Input {
        Input { digest: Digest::of(b"blob"), guest: guest.into(), form }
    }

    fn why(checked: Result<(), Rejection>) -> (String, String) {
        let Err(Rejection::Invalid { field, why }) = checked else { panic!("{checked:?}") };
        (field, why)
    }

    #[test]
    fn a_path_stays_below_the_tasks_own_folder() {
        for right in [".", "a", "a/b.c", "a b/ü", "..a", "*/?.png"] {
            assert_eq!(check_guest_path(right), Ok(()), "{right}");
        }
        for wrong in ["", "/a", "..", "a/../b", "a/..", "./a", "a//b", "a/", "a\0b"] {
            check_guest_path(wrong).expect_err(wrong);
        }
        check_guest_path(&"a".repeat(PATH_BYTES_MAX + 1)).expect_err("it is too long");
    }

    #[test]
    fn files_need_a_folder_and_names_of_their_own() {
        let inputs = [input("a", Form::File), input(".", Form::Folder)];
        let outputs = [Output::new("a"), Output::new(".")];
        assert_eq!(check(&inputs, &outputs, &granted()), Ok(()));
        assert_eq!(check(&[], &[], &Grants::default()), Ok(()));
        let (field, said) = why(check(&[], &outputs, &Grants::default()));
        assert_eq!(field, "outputs");
        assert!(said.contains("grants.dirs"), "{said}");
        let twice = [input("a", Form::File), input("a", Form::Folder)];
        assert_eq!(why(check(&twice, &[], &granted())).1, "\"a\" is named twice");
        let all = [input(".", Form::File)];
        assert_eq!(why(check(&all, &[], &granted())).0, "inputs");
        let many: Vec<Output> = (0..=OUTPUTS_MAX).map(|n| Output::new(n.to_string())).collect();
        assert_eq!(why(check(&[], &many, &granted())).0, "outputs");
    }
}
