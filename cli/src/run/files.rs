//! The files that a command line gives to its tasks, and where those go that the tasks leave.

use super::plan::{Job, PLACE, Shape};
use crate::{
    args,
    failure::{Result, Sentence},
    local,
};
use skep_framework::Cluster;
use skep_protocol::task::{Input, Output};
use std::{collections::HashMap, path::PathBuf};

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
/// tasks.
pub(super) async fn hand_over(cluster: &Cluster, args: &args::Files, job: &mut Job) -> Result {
    let mut known: HashMap<String, Input> = HashMap::new();
    for (spec, text) in job.tasks.iter_mut().zip(&job.texts) {
        let text = text.as_deref();
        for input in &args.inputs {
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
            spec.inputs.push(stored);
        }
        let outputs = args.outputs.iter().map(|output| Output::new(fill(&output.guest, text)));
        spec.outputs.extend(outputs);
    }
    Ok(())
}

/// Refuses inputs that `batch` could not give each task its own of.
pub(super) fn check_detached(args: &args::Files) -> Result {
    let inputs = args.inputs.iter().map(|input| &input.file);
    let outputs = args.outputs.iter().map(|output| &output.guest);
    match inputs.chain(outputs).find(|path| path.contains(PLACE)) {
        Some(path) => {
            let why = format!(
                "{path}: files of a single task cannot be handed over: give all tasks the same \
                 folder, or leave --detach out"
            );
            Err(Sentence(why).into())
        }
        None => Ok(()),
    }
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
        check_detached(&files(&["a.png"])).expect("all leave the same name");
        check_detached(&files(&["{}.png"])).expect_err("names differ");
    }
}
