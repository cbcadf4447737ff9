//! Job files.

use super::{
    fault::FileFault,
    task::{Files, Modules, Reader, TaskFile},
};
use serde::Deserialize;
use skep_frameworks::batch::{Fault, Group, Job};
use std::{collections::BTreeMap, ops::Range, path::Path};
use toml::Spanned;

/// What `skep job init` writes.
pub(crate) const JOB_TO_BEGIN_WITH: &str = r#"# Run it:        skep job run job.toml
# Check it:      skep job validate job.toml
# Hand it over:  skep job submit job.toml

name = "example"

# A kind of task: one task, or `count` of them.
[tasks.split]
module = "split.wasm"        # a WASI command, as seen from this file's folder
args = ["--pieces", "8"]
cpus = 1                     # set aside for each task
mem = "64MiB"                # and the most that it can have

[tasks.work]
module = "work.wasm"
args = ["--piece", "{}"]     # its number, from 0 on; SKEP_TASK_INDEX, too
count = 8
needs = ["split"]            # begins when all of these have ended well
input = "split"              # what split left as its result is the standard input
retries = 2                  # a task that fails is started again so often
deadline = "60s"             # and fails if it takes longer
"#;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobFile {
    name: Spanned<String>,
    #[serde(default)]
    priority: i32,
    tasks: Spanned<BTreeMap<String, Spanned<TaskFile>>>,
}

/// A job that was read, the modules that it runs, and the files that its tasks are given.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct JobPlan {
    pub(crate) job: Job,
    pub(crate) modules: Modules,
    pub(crate) files: Files,
}

impl JobPlan {
    /// Reads a job file, and checks all that can be checked without a cluster.
    ///
    /// # Errors
    /// The first [`FileFault`].
    pub(crate) fn read(path: &Path) -> Result<Self, FileFault> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| FileFault::at(path, "", None, &error.to_string()))?;
        Self::parse(path, &text)
    }

    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, FileFault> {
        let file: JobFile =
            toml::from_str(text).map_err(|error| FileFault::of_toml(path, text, &error))?;
        let mut reader = Reader::new(path, text);
        let mut groups = BTreeMap::new();
        for (name, task) in file.tasks.as_ref() {
            let task = task.as_ref();
            let group = Group {
                work: reader.work(task)?,
                count: task.count.as_ref().map_or(1, |count| *count.as_ref()),
                needs: task.needs.iter().flat_map(|needs| needs.as_ref().clone()).collect(),
                input: task.input.as_ref().map(|input| input.as_ref().clone()),
                inputs: reader.inputs(task)?,
                outputs: task.outputs.iter().flat_map(|paths| paths.as_ref().clone()).collect(),
                retries: task.retries.as_ref().map_or(0, |retries| *retries.as_ref()),
                losses: Group::default_losses(),
                stragglers: reader.stragglers(task)?,
                least: None,
                template: None,
                first: 0,
                own: Vec::new(),
            };
            groups.insert(name.clone(), group);
        }
        let job = Job { name: file.name.as_ref().clone(), priority: file.priority, groups };
        if let Err(fault) = job.check().and_then(|()| job.check_kept()) {
            return Err(reader.fault(place(&file, &fault), &fault.to_string()));
        }
        Ok(Self { job, modules: reader.modules, files: reader.files })
    }
}

/// Where in the file a fault of the job is.
fn place(file: &JobFile, fault: &Fault) -> Range<usize> {
    let Some(task) = file.tasks.as_ref().get(&fault.group) else {
        return if fault.field == "name" { file.name.span() } else { file.tasks.span() };
    };
    let fields = task.as_ref();
    let field = match fault.field {
        "count" => fields.count.as_ref().map(Spanned::span),
        "stragglers" => fields.stragglers.as_ref().map(Spanned::span),
        "inputs" => fields.inputs.as_ref().map(Spanned::span),
        "outputs" => fields.outputs.as_ref().map(Spanned::span),
        "needs" => {
            let needs = fields.needs.as_ref().map(Spanned::span);
            let input = || fields.input.as_ref().map(Spanned::span);
            needs.or_else(input).or_else(|| fields.inputs.as_ref().map(Spanned::span))
        }
        _ => None,
    };
    field.unwrap_or_else(|| task.span())
}
