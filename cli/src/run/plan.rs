//! What a command line asks for, as a job of `batch`: pure, so that it can be tested without a
//! cluster.

use crate::{
    args,
    units::EnvError,
    words::{self, NotText},
};
use skep_frameworks::batch::{self, Group, Own};
use skep_protocol::{
    Amount, Digest, Resources, TaskId, TaskSpec,
    task::{Clock, Diagnostics, DirGrant, DirSource, Grants, Limits, Random, Terms},
};
use std::{collections::BTreeMap, ffi::OsString, time::Duration};

/// What its tasks are called together.
const GROUP: &str = "run";
/// What stands for the index or line in an argument.
pub(super) const PLACE: &str = "{}";
/// What one task gets if it does not say: a whole processor, and memory for real programs.
const ONE_CPUS: Amount = Amount::units(1);
const ONE_MEM_MIB: Amount = Amount::units(1_024);
const ONE_OUTPUT_BYTES: u64 = 1 << 30;
/// What one task is content with, where the agent has less.
const LEAST_CPUS: Amount = Amount::millis(10);
const LEAST_MEM_MIB: Amount = Amount::units(16);
/// The memory of a single task that is handed over, if it is not said: there is no offer in hand
/// whose memory it could have.
const DETACHED_MEM_MIB: Amount = Amount::units(256);
/// How often a task may be lost before it counts as failed: three attempts in all.
const LOSSES_MAX: u32 = 2;
/// How long the agent of a task may be out of reach before the task is started elsewhere: somebody
/// waits for it.
const LOST_AFTER: Duration = Duration::ZERO;
/// What a task of an array gets: ten of them share a processor.
const ARRAY_CPUS: Amount = Amount::millis(100);
const ARRAY_MEM_MIB: Amount = Amount::units(64);

/// A job: tasks of one module.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// What its task ids begin with.
    pub(crate) id: String,
    /// Its tasks.
    pub(crate) group: Group,
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
    pub(crate) stdin: Input,
    /// Host paths made absolute, in the order of `--dir`.
    pub(crate) dirs: Vec<String>,
    /// The lines of `--each-line`.
    pub(crate) lines: Option<Vec<String>>,
}

/// The standard input of the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Closed,
    /// What the master has stored.
    Blob(Digest),
    /// What is fed to the one task while it runs; how much there is, if that is known.
    Stream {
        size: Option<u64>,
    },
}

/// Why a command line is no job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("the file of --each-line has no lines, so there is nothing to run")]
    NoLines,
    #[error("no argument holds {{}}, so the lines of --each-line would reach no task")]
    LinesUnused,
    #[error(transparent)]
    Variable(#[from] EnvError),
    #[error("an argument of the guest: {0}")]
    ArgumentNotText(NotText),
}

/// Plans the tasks of a command line.
pub(crate) fn plan(
    run: &args::Run,
    inputs: Inputs,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Job, PlanError> {
    let places = places(&run.many, inputs.lines.as_deref())?;
    let args = run.args().iter().map(|arg| words::text(arg, words::TOLD));
    let args = args.collect::<Result<Vec<_>, _>>().map_err(PlanError::ArgumentNotText)?;
    if inputs.lines.is_some() && !args.iter().any(|arg| arg.contains(PLACE)) {
        return Err(PlanError::LinesUnused);
    }
    let shape = places.map_or(Shape::One, |_| Shape::Many);
    let mut template = template(run, &inputs, shape, environment)?;
    template.args = args;
    template.index = places.map(|(first, _)| first);
    let least = least(run, shape, &template.resources);
    let (first, count) = places.unwrap_or((0, 1));
    let lines = inputs.lines.into_iter().flatten();
    let own = lines.map(|line| Own { text: Some(line), ..Own::default() }).collect();
    let group = Group { own, ..Group::of_template(template, first, count) };
    let group = match run.detach {
        true => group,
        false => Group { least: Some(least), losses: LOSSES_MAX, ..group },
    };
    Ok(Job { id: inputs.job, group, shape })
}

impl Job {
    /// The job as `batch` has it, under this name.
    pub(crate) fn named(self, name: String) -> batch::Job {
        batch::Job { name, priority: 0, groups: [(GROUP.to_owned(), self.group)].into() }
    }
}

/// The first index of an array, and how many tasks it has; none if there is but one task.
fn places(many: &args::Many, lines: Option<&[String]>) -> Result<Option<(u64, u64)>, PlanError> {
    if let Some(lines) = lines {
        return match lines.len() {
            0 => Err(PlanError::NoLines),
            count => Ok(Some((0, count as u64))),
        };
    }
    if let Some(count) = many.count {
        return Ok(Some((0, count.get() as u64)));
    }
    Ok(many.array.map(|range| (range.first, range.last - range.first + 1)))
}

fn template(
    run: &args::Run,
    inputs: &Inputs,
    shape: Shape,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<TaskSpec, PlanError> {
    let (cpus, mem, output) = match shape {
        Shape::One => (ONE_CPUS, ONE_MEM_MIB, ONE_OUTPUT_BYTES),
        Shape::Many => (ARRAY_CPUS, ARRAY_MEM_MIB, Limits::default().output_bytes),
    };
    // What goes through a task, such as a file that it copies or unpacks, is no reason to end it.
    let passed_on = match inputs.stdin {
        Input::Stream { size: Some(size) } => size.saturating_mul(2),
        _ => 0,
    };
    let (asked, default) = (&run.limits, Limits::default());
    let mem = if run.detach { mem.min(DETACHED_MEM_MIB) } else { mem };
    let mem = asked.mem.map_or(mem, |mem| mem.as_mem());
    let resources = Resources::new(asked.cpus.unwrap_or(cpus), mem);
    let any = TaskId::new("template").expect("a name");
    let mut spec = TaskSpec::new(any, inputs.module, resources);
    spec.name.clone_from(&inputs.name);
    spec.policies = run.trouble.policies();
    if !run.detach {
        spec.policies.lost_after.get_or_insert(LOST_AFTER);
    }
    spec.limits = Limits {
        fuel: asked.fuel.map(|fuel| fuel.0),
        deadline: asked.timeout.map(|span| span.0),
        output_bytes: asked.max_output.map_or(output.max(passed_on), |bytes| bytes.0),
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
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Grants, PlanError> {
    let asked = &run.grants;
    let mut env = BTreeMap::new();
    for variable in &asked.env {
        env.insert(variable.name.clone(), variable.value(&environment)?);
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
    let net = asked.network();
    let (stdin, stdin_stream) = match inputs.stdin {
        Input::Closed => (None, false),
        Input::Blob(digest) => (Some(digest), false),
        Input::Stream { .. } => (None, true),
    };
    Ok(Grants { env, stdin, stdin_stream, dirs, clock, random, ..net })
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use skep_frameworks::batch::Fitting;
    use skep_protocol::{Time, task::Access};
    use std::os::unix::ffi::OsStringExt as _;

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
            stdin: Input::Closed,
            dirs: vec!["/abs".into()],
            lines: lines.map(|lines| lines.iter().map(|line| (*line).into()).collect()),
        }
    }

    fn template(job: &Job) -> &TaskSpec {
        job.group.template.as_deref().expect("a template")
    }

    fn planned(words: &[&str]) -> Job {
        plan(&parse(words), inputs(None), |_| None).expect("a job")
    }

    #[test]
    fn a_stream_is_granted_as_one_and_what_it_passes_on_may_be_written() {
        let with = |words: &[&str], stdin| {
            let inputs = Inputs { stdin, ..inputs(None) };
            let job = plan(&parse(words), inputs, |_| None).expect("a job");
            let TaskSpec { grants, limits, .. } = template(&job).clone();
            (grants.stdin, grants.stdin_stream, limits.output_bytes)
        };
        let (blob, gib) = (Digest::of(b"input"), 1 << 30);
        let stream = |size| Input::Stream { size };
        assert_eq!(with(&["m.wasm"], Input::Closed), (None, false, gib));
        assert_eq!(with(&["m.wasm"], Input::Blob(blob)), (Some(blob), false, gib));
        assert_eq!(with(&["m.wasm"], stream(None)), (None, true, gib));
        assert_eq!(with(&["m.wasm"], stream(Some(5))), (None, true, gib));
        assert_eq!(with(&["m.wasm"], stream(Some(5 * gib))), (None, true, 10 * gib));
        let limited = ["--max-output", "7B", "m.wasm"];
        assert_eq!(with(&limited, stream(Some(5 * gib))), (None, true, 7));
    }

    #[test]
    fn options_stand_before_the_module_and_the_guests_arguments_after_it() {
        let job = planned(&["--fuel", "5", "m.wasm", "--fuel", "6", "-x", "{}"]);
        let task = template(&job);
        assert_eq!(task.args, ["--fuel", "6", "-x", "{}"]);
        assert_eq!((task.limits.fuel, task.index, job.group.text(0)), (Some(5), None, None));
        assert_eq!(job.shape, Shape::One);
    }

    #[test]
    fn each_task_of_an_array_gets_its_index() {
        let job = planned(&["--array", "3-5", "m.wasm", "tile-{}.png"]);
        assert_eq!((job.group.first, job.group.count), (3, 3));
        assert_eq!(job.group.text(2).as_deref(), Some("5"));
        assert_eq!(planned(&["--count", "2", "m.wasm"]).group.count, 2);
        assert_eq!(planned(&["--array", "7-7", "m.wasm"]).group.text(0).as_deref(), Some("7"));
    }

    #[test]
    fn each_line_reaches_its_task_where_the_braces_stand() {
        let run = parse(&["--each-line", "f", "m.wasm", "-i", "in/{}"]);
        let job = plan(&run, inputs(Some(&["a", "b c"])), |_| None).expect("a job");
        assert_eq!(template(&job).args, ["-i", "in/{}"]);
        assert_eq!((job.group.count, job.group.text(1).as_deref()), (2, Some("b c")));
        let unused = parse(&["--each-line", "f", "m.wasm"]);
        let refused = plan(&unused, inputs(Some(&["a"])), |_| None);
        assert_eq!(refused.map(|job| job.id), Err(PlanError::LinesUnused));
    }

    #[test]
    fn one_task_takes_what_the_agent_has_unless_it_says_how_much() {
        let small: Resources = "cpus:0.5;mem:512".parse().expect("resources");
        let fit = |words: &[&str]| Fitting::of(&planned(words).group).fit(&small);
        assert_eq!(fit(&["m.wasm"]), Some((small.clone(), 1)));
        assert_eq!(fit(&["--cpus", "1", "m.wasm"]), None);
        assert_eq!(fit(&["--count", "100", "m.wasm"]).map(|(_, times)| times), Some(5));
    }

    #[test]
    fn variables_are_set_or_passed_on_or_missed() {
        let run = parse(&["--env", "A=1", "--env", "HOME", "m.wasm"]);
        let here = |name: &str| (name == "HOME").then(|| "/home/me".into());
        let job = plan(&run, inputs(None), here).expect("a job");
        assert_eq!(template(&job).grants.env["HOME"], "/home/me");
        let missing = plan(&run, inputs(None), |_| None).map(|job| job.id);
        assert_eq!(missing, Err(EnvError::Missing("HOME".into()).into()));
    }

    #[test]
    fn what_is_no_text_is_refused_by_its_escaped_form() {
        let foreign = || OsString::from_vec(b"caf\xe9".to_vec());
        let run = parse(&["--env", "A", "m.wasm"]);
        let refused = plan(&run, inputs(None), |_| Some(foreign())).map(|job| job.id);
        let why = "the variable A, which --env A passes on: \"caf\\xE9\" is not UTF-8: what a \
                   guest is told is";
        assert_eq!(refused.expect_err("no text").to_string(), why);
        let words = ["skep", "run", "m.wasm"].into_iter().map(OsString::from);
        let cli = args::Cli::try_parse_from(words.chain([foreign()])).expect("a command line");
        let args::Command::Run(run) = cli.command else { panic!("another command") };
        let refused = plan(&run, inputs(None), |_| None).map(|job| job.id);
        let why = "an argument of the guest: \"caf\\xE9\" is not UTF-8: what a guest is told is";
        assert_eq!(refused.expect_err("no text").to_string(), why);
    }

    #[test]
    fn a_deterministic_task_sees_nothing_of_the_world() {
        let grants = |words: &[&str]| template(&planned(words)).grants.clone();
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
        assert_eq!(template(&job).resources.mem(), Amount::units(1));
        assert_eq!(template(&job).limits.deadline, Some(Duration::from_secs(1)));
        let grant = DirGrant::read_write(DirSource::Host("/abs".into()), "/d");
        assert_eq!(template(&job).grants.dirs, [grant]);
    }

    #[test]
    fn a_task_that_nobody_waits_for_is_lost_less_easily() {
        let here = planned(&["m.wasm"]);
        assert_eq!((here.group.losses, template(&here).policies.lost_after), (2, Some(LOST_AFTER)));
        let said = planned(&["--lost-after", "9s", "m.wasm"]);
        assert_eq!(template(&said).policies.lost_after, Some(Duration::from_secs(9)));
        let away = planned(&["--detach", "--master", "m", "m.wasm"]);
        assert_eq!(away.group.losses, Group::default_losses());
        assert_eq!(template(&away).policies.lost_after, None);
        assert_eq!((away.group.least, away.group.work.resources.mem()), (None, DETACHED_MEM_MIB));
    }

    #[test]
    fn a_task_with_a_volume_suits_agents_that_have_it() {
        let job = planned(&["--volume", "books::/b:ro", "m.wasm"]);
        let (source, access) = (DirSource::Volume("books".into()), Access::ReadOnly);
        let grant = DirGrant { source, guest: "/b".into(), access };
        assert_eq!(template(&job).grants.dirs, [grant]);
        let fitting = Fitting::of(&job.group);
        let attributes = BTreeMap::from([("volumes".to_owned(), "book".to_owned())]);
        assert_eq!(fitting.lacking(&attributes, std::iter::empty()), Some("books"));
    }
}
