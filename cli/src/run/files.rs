//! The files that a command line gives to its tasks, and where those go that the tasks leave.

use super::plan::PLACE;
use crate::{
    args,
    failure::{Result, Sentence},
    local, words,
};
use skep_framework::Cluster;
use skep_frameworks::batch::{Group, Own};
use skep_protocol::{Outcome, StatusUpdate, TaskState, outcome::Missing, task::Input};
use std::{
    borrow::Cow,
    collections::HashMap,
    ffi::OsString,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

/// Where the outputs of the tasks go.
#[derive(Clone, Debug)]
pub(super) struct Destinations(Vec<(String, PathBuf)>);

impl Destinations {
    /// Where they are to go by the command line.
    pub(super) fn of(args: &args::Files) -> Self {
        let place = |output: &args::OutputFile| {
            let file = output.file.clone();
            (output.guest.clone(), file.unwrap_or_else(|| local::file_of(&output.guest)))
        };
        Self(args.outputs.iter().map(place).collect())
    }

    /// What each is called there, and where it goes, as they are written.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.0.iter().map(|(guest, file)| (guest.as_str(), file.as_path()))
    }

    /// Where an output of the task goes for which `{}` stands for `text`: it may have been asked
    /// for several times.
    pub(super) fn find(&self, guest: &str, text: Option<&str>) -> Vec<PathBuf> {
        let found = self.iter().filter(|(template, _)| fill(template, text) == guest);
        found.map(|(_, file)| fill_path(file, text)).collect()
    }

    /// The outputs that are not delivered of a task for which `{}` stands for `text`. An agent of
    /// 0.1 does not say which these are; a task that never ran was to leave none.
    pub(super) fn missing(&self, end: &StatusUpdate, text: Option<&str>) -> Vec<Missing> {
        let never_ran = matches!(
            end.state,
            TaskState::Ended(Outcome::ModuleRejected { .. } | Outcome::Refused { .. })
        );
        if never_ran || !end.missing.is_empty() {
            return end.missing.clone();
        }
        let all = self.0.iter().map(|(template, _)| fill(template, text));
        let lacking = all.filter(|guest| end.outputs.iter().all(|one| one.guest != *guest));
        let missing = |guest: String| {
            let why = format!("its output {guest:?} was not delivered");
            Missing::new(guest, &why)
        };
        lacking.map(missing).collect()
    }
}

/// The same of a path, whose bytes need not be text.
pub(super) fn fill_path(template: &Path, text: Option<&str>) -> PathBuf {
    let Some(text) = text else { return template.into() };
    let mut rest = template.as_os_str().as_bytes();
    let mut filled = Vec::new();
    while let Some(at) = rest.windows(PLACE.len()).position(|part| part == PLACE.as_bytes()) {
        filled.extend_from_slice(&rest[..at]);
        filled.extend_from_slice(text.as_bytes());
        rest = &rest[at + PLACE.len()..];
    }
    filled.extend_from_slice(rest);
    OsString::from_vec(filled).into()
}

fn fill(template: &str, text: Option<&str>) -> String {
    text.map_or_else(|| template.to_owned(), |text| template.replace(PLACE, text))
}

/// Stores the inputs of all tasks at the master, each once, and puts them and the outputs into the
/// group.
pub(super) async fn hand_over(cluster: &Cluster, args: &args::Files, group: &mut Group) -> Result {
    let mut known = HashMap::new();
    for input in &args.inputs {
        if !is_of_one(input) || group.text(0).is_none() {
            let stored = store(cluster, &mut known, input, None).await?;
            group.template.iter_mut().for_each(|all| all.inputs.push(stored.clone()));
            continue;
        }
        let tasks = usize::try_from(group.count).unwrap_or(usize::MAX);
        group.own.resize_with(tasks, Own::default);
        for index in 0..tasks {
            let text = group.text(index).map(Cow::into_owned);
            let stored = store(cluster, &mut known, input, text.as_deref()).await?;
            group.own[index].inputs.push(stored);
        }
    }
    group.outputs = args.outputs.iter().map(|output| output.guest.clone()).collect();
    Ok(())
}

/// Whether each task of an array has its own.
fn is_of_one(input: &args::InputFile) -> bool {
    let is_there = |text: &[u8]| text.windows(PLACE.len()).any(|part| part == PLACE.as_bytes());
    is_there(input.file.as_bytes())
        || input.guest.as_ref().is_some_and(|guest| guest.contains(PLACE))
}

/// Stores an input of a task for which `{}` stands for `text`, if it is not known by its file.
async fn store(
    cluster: &Cluster,
    known: &mut HashMap<PathBuf, Input>,
    input: &args::InputFile,
    text: Option<&str>,
) -> Result<Input> {
    let file = fill_path(Path::new(&input.file), text);
    let guest = match &input.guest {
        Some(guest) => fill(guest, text),
        None => local::guest_of(&file)
            .map_err(|why| Sentence(format!("--input {}: {why}", words::shown(&file))))?,
    };
    let stored = match known.get(&file) {
        Some(stored) => Input { guest, ..stored.clone() },
        None => local::push(cluster, &file, &guest).await?,
    };
    known.insert(file, stored.clone());
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(paths: Vec<PathBuf>) -> Vec<String> {
        paths.iter().map(|path| words::shown(path).into_owned()).collect()
    }

    fn files(outputs: &[&[u8]]) -> args::Files {
        let read = |text: &&[u8]| args::OutputFile::read(OsString::from_vec(text.to_vec()));
        let outputs = outputs.iter().map(|text| read(text).expect("an output")).collect();
        args::Files { inputs: Vec::new(), outputs }
    }

    #[test]
    fn an_output_goes_where_it_is_said_or_to_its_own_name() {
        let one = Destinations::of(&files(&[b"a.png", b"b/*.png::c", b"d::e", b"d::\xe9"]));
        let find = |guest: &str| shown(one.find(guest, None));
        assert_eq!(find("a.png"), ["a.png"]);
        assert_eq!(find("b/*.png"), ["c"]);
        assert_eq!(find("d"), ["e", "\\xE9"], "it was asked for twice");
        assert_eq!(find("x"), [""; 0]);
        let many = Destinations::of(&files(&[b"out/{}.png", b"log::\xe9/{}-{}.txt"]));
        let find = |guest: &str| shown(many.find(guest, Some("7")));
        assert_eq!(find("out/7.png"), ["out/7.png"]);
        assert_eq!(find("log"), ["\\xE9/7-7.txt"]);
    }
}
