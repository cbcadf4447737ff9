//! What a command line asks for, as tasks: pure, so that it can be tested without a cluster.

use crate::args;
use skep_protocol::{
    Amount, Digest, Resources, TaskId, TaskSpec,
    framework::Demand,
    task::{Clock, Diagnostics, DirGrant, DirSource, Grants, Limits, Random, Terms},
};
use std::collections::{BTreeMap, BTreeSet};

/// The attribute by which agents tell their volumes.
const VOLUMES: &str = "volumes";
/// What stands for the index or line in an argument.
pub(super) const PLACE: &str = "{}";
/// What one task gets if it does not say: a whole processor, and memory for real programs.
const ONE_CPUS: Amount = Amount::units(1);
const ONE_MEM_MIB: Amount = Amount::units(1_024);
const ONE_OUTPUT_BYTES: u64 = 1 << 30;
/// What one task is content with, where the agent has less.
const LEAST_CPUS: Amount = Amount::millis(10);
const LEAST_MEM_MIB: Amount = Amount::units(16);
/// What a task of an array gets: ten of them share a processor.
const ARRAY_CPUS: Amount = Amount::millis(100);
const ARRAY_MEM_MIB: Amount = Amount::units(64);

/// A job: tasks of one module.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// What its task ids begin with.
    pub(crate) id: String,
    /// Its tasks, in the order to start them; each asks for `most`.
    pub(crate) tasks: Vec<TaskSpec>,
    /// What `{}` stands for in each; nothing where there is but one.
    pub(crate) texts: Vec<Option<String>>,
    /// What a task is content with, if less than it asks for is there.
    pub(crate) least: Resources,
    /// One task speaks for the command itself; many are summed up.
    pub(crate) shape: Shape,
}

/// Whether the job is one task or many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Its output and exit code are the command's own.
    One,
    /// Progress and a summary.
    Many,
}

/// What of a job was read or stored before it was planned.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    pub(crate) job: String,
    pub(crate) name: String,
    pub(crate) module: Digest,
    pub(crate) stdin: Option<Digest>,
    /// Host paths made absolute, in the order of `--dir`.
    pub(crate) dirs: Vec<String>,
    /// The lines of `--each-line`.
    pub(crate) lines: Option<Vec<String>>,
}

/// Why a command line is no job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("the file of --each-line has no lines, so there is nothing to run")]
    NoLines,
    #[error("no argument holds {{}}, so the lines of --each-line would reach no task")]
    LinesUnused,
    #[error("the environment has no {0} to pass on: write --env {0}=VALUE")]
    NoSuchVariable(String),
}

/// Plans the tasks of a command line.
pub(crate) fn plan(
    run: &args::Run,
    inputs: Inputs,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Job, PlanError> {
    let places = places(&run.many, inputs.lines.as_deref())?;
    if inputs.lines.is_some() && !run.args().iter().any(|arg| arg.contains(PLACE)) {
        return Err(PlanError::LinesUnused);
    }
    let shape = places.as_ref().map_or(Shape::One, |_| Shape::Many);
    let template = template(run, &inputs, shape, environment)?;
    let least = least(run, shape, &template.resources);
    let task = |number: u64, index: Option<u64>, text: &str| {
        let mut spec = template.clone();
        spec.task = TaskId::new(format!("{}.{number}", inputs.job)).expect("a job id is a name");
        spec.index = index;
        if index.is_some() {
            spec.args.iter_mut().for_each(|arg| *arg = arg.replace(PLACE, text));
        }
        spec
    };
    let (tasks, texts) = match places {
        None => (vec![task(0, None, "")], vec![None]),
        Some(places) => places
            .into_iter()
            .map(|(index, text)| (task(index, Some(index), &text), Some(text)))
            .unzip(),
    };
    Ok(Job { id: inputs.job.clone(), tasks, texts, least, shape })
}

/// Index and text of each task of an array; none if there is but one task.
fn places(
    many: &args::Many,
    lines: Option<&[String]>,
) -> Result<Option<Vec<(u64, String)>>, PlanError> {
    let numbered = |range: std::ops::RangeInclusive<u64>| range.map(|i| (i, i.to_string()));
    if let Some(lines) = lines {
        if lines.is_empty() {
            return Err(PlanError::NoLines);
        }
        return Ok(Some((0..).zip(lines.iter().cloned()).collect()));
    }
    if let Some(count) = many.count {
        return Ok(Some(numbered(0..=count.get() as u64 - 1).collect()));
    }
    Ok(many.array.map(|range| numbered(range.first..=range.last).collect()))
}

fn template(
    run: &args::Run,
    inputs: &Inputs,
    shape: Shape,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<TaskSpec, PlanError> {
    let (cpus, mem, output) = match shape {
        Shape::One => (ONE_CPUS, ONE_MEM_MIB, ONE_OUTPUT_BYTES),
        Shape::Many => (ARRAY_CPUS, ARRAY_MEM_MIB, Limits::default().output_bytes),
    };
    let (asked, default) = (&run.limits, Limits::default());
    let mem = asked.mem.map_or(mem, |mem| mem.as_mem());
    let resources = Resources::new(asked.cpus.unwrap_or(cpus), mem);
    let any = TaskId::new("template").expect("a name");
    let mut spec = TaskSpec::new(any, inputs.module, resources);
    spec.name.clone_from(&inputs.name);
    spec.args = run.args().to_vec();
    spec.policies = run.trouble.policies();
    spec.limits = Limits {
        fuel: asked.fuel.map(|fuel| fuel.0),
        deadline: asked.timeout.map(|span| span.0),
        output_bytes: asked.max_output.map_or(output, |bytes| bytes.0),
        disk_bytes: asked.disk.map_or(default.disk_bytes, |bytes| bytes.0),
        files: asked.max_files.unwrap_or(default.files),
        handles: asked.max_handles.unwrap_or(default.handles),
        random_bytes: asked.max_random.map(|bytes| bytes.0),
        host_calls_per_second: asked.max_host_calls,
        stack_bytes: default.stack_bytes,
    };
    spec.grants = grants(run, inputs, environment)?;
    if run.wanted.revocable {
        spec.terms = Terms::Revocable;
    }
    if run.coredump.is_some() {
        spec.diagnostics = Diagnostics::Coredump;
    }
    Ok(spec)
}

fn grants(
    run: &args::Run,
    inputs: &Inputs,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Grants, PlanError> {
    let asked = &run.grants;
    let mut env = BTreeMap::new();
    for variable in &asked.env {
        let value = variable.value.clone().or_else(|| environment(&variable.name));
        let value = value.ok_or_else(|| PlanError::NoSuchVariable(variable.name.clone()))?;
        env.insert(variable.name.clone(), value);
    }
    let host = asked.dirs.iter().zip(&inputs.dirs).map(|(dir, path)| DirGrant {
        source: DirSource::Host(path.clone()),
        guest: dir.guest.clone(),
        access: dir.access,
    });
    let volumes = asked.volumes.iter().map(|volume| DirGrant {
        source: DirSource::Volume(volume.name.clone()),
        guest: volume.guest.clone(),
        access: volume.access,
    });
    let needs_folder = asked.scratch || !run.files.is_empty();
    let scratch = needs_folder.then(|| DirGrant::read_write(DirSource::Sandbox, "."));
    let dirs = host.chain(volumes).chain(scratch).collect();
    let clock = asked.clock.map(|clock| clock.0).unwrap_or_default();
    let random = asked.random_seed.map_or(Random::Real, |seed| Random::Seeded { seed });
    let (clock, random) = match asked.deterministic {
        Some(seed) => (Clock::Virtual { start: Clock::VIRTUAL_START }, Random::Seeded { seed }),
        None => (clock, random),
    };
    let (stdin, net) = (inputs.stdin, asked.network());
    Ok(Grants { env, stdin, dirs, clock, random, ..net })
}

/// A single task that named no amount takes what the agent has; all others need what they ask.
fn least(run: &args::Run, shape: Shape, wanted: &Resources) -> Resources {
    let unless_given = |given: bool, least: Amount, asked: Amount| match shape {
        Shape::One if !given => least,
        _ => asked,
    };
    Resources::new(
        unless_given(run.limits.cpus.is_some(), LEAST_CPUS, wanted.cpus()),
        unless_given(run.limits.mem.is_some(), LEAST_MEM_MIB, wanted.mem()),
    )
}

/// What each task of a job needs.
#[derive(Clone, Debug)]
pub(crate) struct Fitting {
    most: Resources,
    least: Resources,
    volumes: BTreeSet<String>,
    terms: Terms,
}

impl Fitting {
    /// What a task must have at least.
    pub(crate) fn least(&self) -> &Resources {
        &self.least
    }

    /// On which terms its tasks hold what they use.
    pub(crate) fn terms(&self) -> Terms {
        self.terms
    }

    /// What the tasks wait for: as much as there is of what they use, on their terms.
    pub(crate) fn demand(&self) -> Demand {
        let kinds = self.most.iter().map(|(kind, _)| kind);
        let wants = kinds.fold(Resources::none(), |sum, kind| sum.with(kind, Amount::MAX));
        Demand { least: self.least.clone(), wants, terms: Some(self.terms) }
    }

    /// The first volume that a task needs and an agent does not have that has these attributes,
    /// and on which these volumes were made.
    pub(crate) fn lacking<'a, 'b>(
        &'a self,
        attributes: &BTreeMap<String, String>,
        made: impl Iterator<Item = &'b str>,
    ) -> Option<&'a str> {
        let made: BTreeSet<&str> = made.collect();
        let named = attributes.get(VOLUMES).map_or("", String::as_str);
        let is_there = |volume: &&String| {
            made.contains(volume.as_str()) || named.split(',').any(|name| name == **volume)
        };
        self.volumes.iter().find(|volume| !is_there(volume)).map(String::as_str)
    }

    /// What a task would get of `offered`, and how many such tasks fit at once; none if not one.
    pub(crate) fn fit(&self, offered: &Resources) -> Option<(Resources, u64)> {
        let each = self.most.at_most(offered);
        if !each.contains(&self.least) {
            return None;
        }
        let times =
            each.iter().map(|(name, amount)| offered.amount(name).as_millis() / amount.as_millis());
        Some((each.clone(), times.min()?))
    }
}

impl Job {
    /// What each of its tasks needs; they differ in their arguments alone.
    pub(crate) fn fitting(&self) -> Fitting {
        let most = self.tasks.first().map(|spec| spec.resources.clone()).unwrap_or_default();
        let dirs = self.tasks.first().map_or(&[][..], |spec| &spec.grants.dirs);
        let volumes = dirs.iter().filter_map(|dir| match &dir.source {
            DirSource::Volume(name) => Some(name.clone()),
            DirSource::Sandbox | DirSource::Host(_) => None,
        });
        let terms = self.tasks.first().map(|spec| spec.terms).unwrap_or_default();
        Fitting { most, least: self.least.clone(), volumes: volumes.collect(), terms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use skep_protocol::{Time, task::Access};
    use std::time::Duration;

    fn parse(words: &[&str]) -> args::Run {
        let all = ["skep", "run"].iter().chain(words);
        match args::Cli::try_parse_from(all).expect("a command line").command {
            args::Command::Run(run) => *run,
            other => panic!("{other:?}"),
        }
    }

    fn inputs(lines: Option<&[&str]>) -> Inputs {
        Inputs {
            job: "job".into(),
            name: "m.wasm".into(),
            module: Digest::of(b"m"),
            stdin: None,
            dirs: vec!["/abs".into()],
            lines: lines.map(|lines| lines.iter().map(|line| (*line).into()).collect()),
        }
    }

    fn planned(words: &[&str]) -> Job {
        plan(&parse(words), inputs(None), |_| None).expect("a job")
    }

    #[test]
    fn options_stand_before_the_module_and_the_guests_arguments_after_it() {
        let job = planned(&["--fuel", "5", "m.wasm", "--fuel", "6", "-x", "{}"]);
        assert_eq!(job.tasks[0].args, ["--fuel", "6", "-x", "{}"]);
        assert_eq!((job.tasks[0].limits.fuel, job.tasks[0].index), (Some(5), None));
        assert_eq!(job.shape, Shape::One);
    }

    #[test]
    fn each_task_of_an_array_gets_its_index() {
        let job = planned(&["--array", "3-5", "m.wasm", "tile-{}.png"]);
        let seen: Vec<_> =
            job.tasks.iter().map(|t| (t.task.as_str(), t.args[0].as_str())).collect();
        assert_eq!(
            seen,
            [("job.3", "tile-3.png"), ("job.4", "tile-4.png"), ("job.5", "tile-5.png")]
        );
        assert_eq!(planned(&["--count", "2", "m.wasm"]).tasks.len(), 2);
    }

    #[test]
    fn each_line_reaches_its_task_where_the_braces_stand() {
        let run = parse(&["--each-line", "f", "m.wasm", "-i", "in/{}"]);
        let job = plan(&run, inputs(Some(&["a", "b c"])), |_| None).expect("a job");
        assert_eq!(job.tasks[1].args, ["-i", "in/b c"]);
        assert_eq!(job.tasks[1].index, Some(1));
        let unused = parse(&["--each-line", "f", "m.wasm"]);
        let refused = plan(&unused, inputs(Some(&["a"])), |_| None);
        assert_eq!(refused.map(|job| job.id), Err(PlanError::LinesUnused));
    }

    #[test]
    fn one_task_takes_what_the_agent_has_unless_it_says_how_much() {
        let small: Resources = "cpus:0.5;mem:512".parse().expect("resources");
        assert_eq!(planned(&["m.wasm"]).fitting().fit(&small), Some((small.clone(), 1)));
        assert_eq!(planned(&["--cpus", "1", "m.wasm"]).fitting().fit(&small), None);
        let array = planned(&["--count", "100", "m.wasm"]);
        assert_eq!(array.fitting().fit(&small).map(|(_, times)| times), Some(5));
    }

    #[test]
    fn variables_are_set_or_passed_on_or_missed() {
        let run = parse(&["--env", "A=1", "--env", "HOME", "m.wasm"]);
        let here = |name: &str| (name == "HOME").then(|| "/home/me".to_owned());
        let job = plan(&run, inputs(None), here).expect("a job");
        assert_eq!(job.tasks[0].grants.env["HOME"], "/home/me");
        let missing = plan(&run, inputs(None), |_| None).map(|job| job.id);
        assert_eq!(missing, Err(PlanError::NoSuchVariable("HOME".into())));
    }

    #[test]
    fn a_deterministic_task_sees_nothing_of_the_world() {
        let grants = |words: &[&str]| planned(words).tasks[0].grants.clone();
        assert!(!grants(&["m.wasm"]).is_deterministic());
        let seeded = grants(&["--deterministic=7", "m.wasm"]);
        assert!(seeded.is_deterministic());
        assert_eq!(seeded.random, Random::Seeded { seed: 7 });
        assert_eq!(grants(&["--deterministic", "m.wasm"]).random, Random::Seeded { seed: 0 });
        let parts = grants(&["--clock", "virtual", "--random-seed", "0", "m.wasm"]);
        assert_eq!(parts, grants(&["--deterministic", "m.wasm"]));
        let fixed = grants(&["--clock", "fixed:1970-01-01T00:00:01Z", "m.wasm"]);
        assert_eq!(fixed.clock, Clock::Fixed { at: Time::from_micros(1_000_000) });
    }

    #[test]
    fn limits_are_taken_as_typed() {
        let job = planned(&["--mem", "1MiB", "--timeout", "1s", "--dir", "d::/d", "m.wasm"]);
        assert_eq!(job.tasks[0].resources.mem(), Amount::units(1));
        assert_eq!(job.tasks[0].limits.deadline, Some(Duration::from_secs(1)));
        let grant = DirGrant::read_write(DirSource::Host("/abs".into()), "/d");
        assert_eq!(job.tasks[0].grants.dirs, [grant]);
    }

    #[test]
    fn a_task_with_a_volume_suits_agents_that_have_it() {
        let job = planned(&["--volume", "books::/b:ro", "m.wasm"]);
        let (source, access) = (DirSource::Volume("books".into()), Access::ReadOnly);
        let grant = DirGrant { source, guest: "/b".into(), access };
        assert_eq!(job.tasks[0].grants.dirs, [grant]);
        let lacking = |volumes: &str, made: &[&str]| {
            let attributes = BTreeMap::from([("volumes".to_owned(), volumes.to_owned())]);
            job.fitting().lacking(&attributes, made.iter().copied()).map(str::to_owned)
        };
        assert_eq!(lacking("data,books", &[]), None);
        assert_eq!(lacking("data,book", &["more"]), Some("books".to_owned()));
        assert_eq!(lacking("", &["books"]), None);
        let none = std::iter::empty();
        assert_eq!(planned(&["m.wasm"]).fitting().lacking(&BTreeMap::new(), none), None);
    }
}
