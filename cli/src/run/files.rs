//! The files that a command line gives to its tasks, and where those go that the tasks leave.

use super::plan::{PLACE, Shape};
use crate::{
    args,
    failure::{Result, Sentence},
    local,
};
use skep_framework::Cluster;
use skep_frameworks::batch::{Group, Own};
use skep_protocol::task::Input;
use std::{borrow::Cow, collections::HashMap, path::PathBuf};

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

    /// Where an output of the task goes for which `{}` stands for `text`.
    pub(super) fn find(&self, guest: &str, text: Option<&str>) -> Option<PathBuf> {
        let with = |template: &str| fill(template, text);
        let found = self.0.iter().find(|(template, _)| with(template) == guest);
        found.map(|(_, file)| PathBuf::from(with(&file.to_string_lossy())))
    }
}

fn fill(template: &str, text: Option<&str>) -> String {
    text.map_or_else(|| template.to_owned(), |text| template.replace(PLACE, text))
}

/// Refuses what would have many tasks write the same file.
pub(super) fn check(args: &args::Files, shape: Shape) -> Result {
    if shape == Shape::One {
        return Ok(());
    }
    for (guest, file) in Destinations::of(args).0 {
        if !file.to_string_lossy().contains(PLACE) {
            let why = format!(
                "--output {guest}: all tasks would write {}: put {{}} there, which stands for the \
                 task's index or line, as in --output {guest}::{{}}/{guest}",
                file.display()
            );
            return Err(Sentence(why).into());
        }
    }
    Ok(())
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
    input.file.contains(PLACE) || input.guest.as_ref().is_some_and(|guest| guest.contains(PLACE))
}

/// Stores an input of a task for which `{}` stands for `text`, if it is not known by its file.
async fn store(
    cluster: &Cluster,
    known: &mut HashMap<String, Input>,
    input: &args::InputFile,
    text: Option<&str>,
) -> Result<Input> {
    let file = fill(&input.file, text);
    let guest = match &input.guest {
        Some(guest) => fill(guest, text),
        None => local::guest_of(&file),
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
    use std::path::Path;

    fn shown(path: &Path) -> String {
        path.display().to_string()
    }

    fn files(outputs: &[&str]) -> args::Files {
        let outputs = outputs.iter().map(|text| text.parse().expect("an output")).collect();
        args::Files { inputs: Vec::new(), outputs }
    }

    #[test]
    fn an_output_goes_where_it_is_said_or_to_its_own_name() {
        let one = Destinations::of(&files(&["a.png", "b/*.png::c", "d::e"]));
        let find = |guest: &str| one.find(guest, None).map(|file| shown(&file));
        assert_eq!(find("a.png").as_deref(), Some("a.png"));
        assert_eq!(find("b/*.png").as_deref(), Some("c"));
        assert_eq!(find("d").as_deref(), Some("e"));
        assert_eq!(find("x"), None);
        let many = Destinations::of(&files(&["out/{}.png", "log::logs/{}.txt"]));
        let find = |guest: &str| many.find(guest, Some("7")).map(|file| shown(&file));
        assert_eq!(find("out/7.png").as_deref(), Some("out/7.png"));
        assert_eq!(find("log").as_deref(), Some("logs/7.txt"));
    }

    #[test]
    fn tasks_of_an_array_do_not_write_over_each_other() {
        check(&files(&["a.png"]), Shape::One).expect("there is one task");
        check(&files(&["a.png::{}.png", "{}.log"]), Shape::Many).expect("each has its own");
        check(&files(&["a.png"]), Shape::Many).expect_err("all would write a.png");
        check(&files(&["{}.png::all.png"]), Shape::Many).expect_err("all would write all.png");
    }
}
