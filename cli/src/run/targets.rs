//! Where the outputs of many tasks go: no two tasks write one file, and what stands for `{}` leads
//! none out of the folder that the command line names.
//!
//! Told by names alone, before anything starts: links in folders that are there are the user's.

use super::{
    files::{Destinations, fill_path},
    plan::{PLACE, Shape},
};
use crate::{
    args,
    failure::{Result, Sentence},
    words::shown,
};
use skep_frameworks::batch::Group;
use skep_protocol::pattern;
use std::{
    os::unix::ffi::OsStrExt as _,
    path::{Component, Path, PathBuf},
};

/// The longest name that file systems take, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// Refuses outputs that would be written over each other, or elsewhere than is said.
pub(super) fn check(files: &args::Files, group: &Group, shape: Shape) -> Result {
    let all = Destinations::of(files);
    match shape {
        Shape::One => check_one(&all),
        Shape::Many => check_many(&all, group),
    }
    .map_err(|why| Sentence(why).into())
}

/// What has a name with `*` or `?` is laid into a folder, in which there may be more.
fn check_one(all: &Destinations) -> std::result::Result<(), String> {
    let all: Vec<_> = all.iter().filter(|(guest, _)| !pattern::is_pattern(guest)).collect();
    for (place, (guest, file)) in all.iter().enumerate() {
        if let Some((other, _)) = all[..place].iter().find(|(_, other)| plain(other) == plain(file))
        {
            let file = shown(file);
            return Err(format!("--output {guest}: --output {other} is written to {file} as well"));
        }
    }
    Ok(())
}

fn check_many(all: &Destinations, group: &Group) -> std::result::Result<(), String> {
    for (guest, file) in all.iter() {
        if !has_place(file) {
            return Err(format!(
                "--output {guest}: all tasks would write {}: put {{}} there, which stands for the \
                 task's index or line, as in --output {guest}::{{}}/{guest}",
                shown(file)
            ));
        }
    }
    if group.own.is_empty() && all.iter().count() < 2 {
        // Numbers differ, and lead nowhere.
        return Ok(());
    }
    let mut targets = Vec::new();
    for index in 0..usize::try_from(group.count).unwrap_or(usize::MAX) {
        let Some(text) = group.text(index) else { continue };
        for (guest, file) in all.iter() {
            let target = target(file, &text);
            let target = target.map_err(|why| format!("--output {guest}: for {text:?} {why}"))?;
            targets.push((target, index));
        }
    }
    apart(targets).map_err(|(first, second, target)| {
        let text = |index: usize| group.text(index).unwrap_or_default().into_owned();
        let target = shown(&target).into_owned();
        format!(
            "--output: the tasks of {:?} and {:?} would both write {target}: put {{}} where \
                 their names differ, and let no line come twice",
            text(first),
            text(second)
        )
    })
}

/// Finds two tasks of which one writes what the other does, or below it.
fn apart(mut targets: Vec<(PathBuf, usize)>) -> std::result::Result<(), (usize, usize, PathBuf)> {
    // What lies below a path comes right behind it.
    targets.sort();
    let mut above: Vec<(PathBuf, usize)> = Vec::new();
    for (target, task) in targets {
        while above.last().is_some_and(|(folder, _)| !target.starts_with(folder)) {
            above.pop();
        }
        if let Some((folder, other)) = above.last()
            && *other != task
        {
            return Err((*other, task, folder.clone()));
        }
        above.push((target, task));
    }
    Ok(())
}

/// Where an output goes of a task for which `{}` stands for `text`, in plain names.
fn target(template: &Path, text: &str) -> std::result::Result<PathBuf, String> {
    let filled = fill_path(template, Some(text));
    let leads = |how: &str| Err(format!("it would be written to \"{}\", {how}", shown(&filled)));
    let ups = |path: &Path| path.components().filter(|part| *part == Component::ParentDir).count();
    if filled.is_absolute() && !template.is_absolute() || ups(&filled) > ups(template) {
        return leads("which is outside of the folder that is named");
    }
    let named = template.components().take_while(|part| !has_place(part.as_ref()));
    if plain(&filled) == plain(&named.collect::<PathBuf>()) {
        return leads("which is a folder");
    }
    if filled.as_os_str().as_bytes().contains(&0) {
        return leads("which is no name of a file");
    }
    if filled.components().any(|part| part.as_os_str().len() > NAME_BYTES_MAX) {
        return leads("which is longer than names are");
    }
    Ok(plain(&filled))
}

fn has_place(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    bytes.windows(PLACE.len()).any(|part| part == PLACE.as_bytes())
}

/// A path without `.`, and without a name that `..` takes back.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_frameworks::batch::Own;
    use skep_protocol::{Digest, Resources, TaskId, TaskSpec};
    use std::ffi::OsString;

    fn files(outputs: &[&str]) -> args::Files {
        let read = |text: &&str| args::OutputFile::read(OsString::from(text)).expect("an output");
        args::Files { inputs: Vec::new(), outputs: outputs.iter().map(read).collect() }
    }

    fn group(count: u64, lines: &[&str]) -> Group {
        let id = TaskId::new("any").expect("an id");
        let mut template = TaskSpec::new(id, Digest::of(b""), Resources::none());
        template.index = Some(0);
        let own = |line: &&str| Own { text: Some((*line).into()), ..Own::default() };
        Group { own: lines.iter().map(own).collect(), ..Group::of_template(template, 0, count) }
    }

    fn refused(outputs: &[&str], lines: &[&str]) -> Option<String> {
        let group = group(lines.len() as u64, lines);
        let all = Destinations::of(&files(outputs));
        check_many(&all, &group).err()
    }

    #[test]
    fn tasks_of_an_array_do_not_write_over_each_other() {
        let numbered = |outputs: &[&str]| {
            check_many(&Destinations::of(&files(outputs)), &group(20, &[])).err()
        };
        assert_eq!(numbered(&["a.png::{}.png", "{}.log"]), None);
        assert_eq!(numbered(&["*.png::{}", "*.jpg::{}"]), None, "one task may fill one folder");
        for outputs in [&["a.png"][..], &["{}.png::all.png"]] {
            let why = numbered(outputs).expect("all would write one");
            assert!(why.contains("all tasks would write a"), "{why}");
        }
        let why = numbered(&["a::a{}", "b::a1{}"]).expect("a10 twice");
        assert!(why.contains("the tasks of \"0\" and \"10\" would both write a10"), "{why}");
        for (outputs, lines) in [
            (&["a::{}"][..], &["x", "y", "x"][..]),
            (&["a::{}"], &["x", "./x"]),
            (&["a::{}"], &["x/y", "x//y"]),
            (&["a::out/{}/a"], &["x", "x/."]),
            // A folder of one task would hold what another writes.
            (&["a::{}"], &["x", "x/y"]),
            (&["*.png::{}"], &["x", "x/y"]),
            (&["a::{}", "b::b/{}"], &["b", "x"]),
        ] {
            let why = refused(outputs, lines).expect("two tasks write one file");
            assert!(why.contains("would both write"), "{outputs:?} {lines:?}: {why}");
        }
        assert_eq!(refused(&["a::{}.png"], &["x", "y", "x/y"]), None);
    }

    #[test]
    fn nothing_that_stands_for_the_braces_leads_out() {
        for (output, line) in [
            ("a::{}", "../x"),
            ("a::{}", "/etc/x"),
            ("a::out/{}", "../x"),
            ("a::out/{}", "x/../../y"),
            ("a::/tmp/{}", "../x"),
            ("a::out/{}.png", "../../x"),
            ("{}", "../x"),
        ] {
            let why = refused(&[output], &[line, "z"]).expect("it leads out");
            assert!(why.contains("outside of the folder"), "{output} {line}: {why}");
        }
        for line in [".", "./", "./."] {
            let why = refused(&["a::out/{}"], &[line]).expect("it is the folder");
            assert!(why.contains("which is a folder"), "{line}: {why}");
        }
        refused(&["a::{}"], &["a\0b"]).expect("no name");
        refused(&["a::{}"], &[&"x".repeat(256)]).expect("too long");
        assert_eq!(refused(&["a::../{}"], &["..x", "x..", "sub/y"]), None);
    }

    #[test]
    fn one_task_writes_each_file_once() {
        let one = |outputs: &[&str]| check_one(&Destinations::of(&files(outputs))).err();
        assert_eq!(one(&["a", "b", "*.png", "*.jpg"]), None);
        one(&["a::x", "b::./x"]).expect("both are written to x");
    }
}
