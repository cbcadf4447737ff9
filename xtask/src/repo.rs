//! The repository: where it is, which files it has, and programs run in it.

use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The root folder.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask lies in the root folder").to_owned()
}

/// All files below `folder` whose name ends in `.` and `ending` (all if it is empty), in order, by
/// path from `folder`. Hidden folders and what cargo builds are left out.
pub(crate) fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect(folder, Path::new(""), ending, &mut files)?;
    files.sort();
    Ok(files)
}

fn collect(root: &Path, below: &Path, ending: &str, files: &mut Vec<PathBuf>) -> Result<()> {
    let folder = root.join(below);
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let path = below.join(&name);
        if entry.file_type()?.is_dir() {
            if name != "target" && !name.as_encoded_bytes().starts_with(b".") {
                collect(root, &path, ending, files)?;
            }
        } else if ending.is_empty() || path.extension().is_some_and(|found| found == ending) {
            files.push(path);
        }
    }
    Ok(())
}

/// A program that is to run in the root folder.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// Cargo, with the arguments of a command line.
pub(crate) fn cargo(line: &str) -> Command {
    command("cargo", &line.split_whitespace().collect::<Vec<_>>())
}

/// Runs a command to its end; it fails when the command does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| describe(command))?;
    if !status.success() {
        bail!("`{}` failed: {status}", describe(command));
    }
    Ok(())
}

/// What a command writes to its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| describe(command))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {}", describe(command), why.trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn describe(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
