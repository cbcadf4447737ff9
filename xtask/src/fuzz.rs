//! Every property test with fresh seeds, again and again, for as long as one says.
//!
//! A property test is one that takes its cases from `skep-properties`; which tests those are is
//! read off their source, and the list of each test binary says their whole names. A property that
//! fails rests and the others go on. How to repeat the failure, and which line to keep, is said.

use crate::repo::{self, cargo, command, output};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    hash::{BuildHasher as _, RandomState},
    num::NonZero,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

const CRATE: &str = "skep-properties";

/// What to try, and for how long.
#[derive(Args)]
pub(crate) struct Order {
    /// How long fresh cases are drawn; what runs then is waited for
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Only properties whose package or name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// How many run at a time; one per processor if it is not given
    #[arg(long)]
    jobs: Option<usize>,
}

/// One property test.
#[derive(Clone)]
struct Property {
    package: String,
    /// Where cargo runs the package's tests.
    folder: PathBuf,
    binary: PathBuf,
    /// As the binary lists it.
    name: String,
}

/// A run that failed.
struct Failure {
    property: Property,
    seed: u64,
    said: String,
}

/// What all workers share.
#[derive(Default)]
struct State {
    /// In whose turn they run.
    waiting: VecDeque<Property>,
    /// Runs and cases of each property that passed.
    passed: BTreeMap<String, (u64, u64)>,
    failures: Vec<Failure>,
}

/// Runs the properties until the time is up; fails if one of them does.
pub(crate) fn run(order: &Order) -> Result<()> {
    let properties = properties(&order.only)?;
    if properties.is_empty() {
        bail!("no property test's package or name contains {:?}", order.only);
    }
    let processors = || thread::available_parallelism().map_or(1, NonZero::get);
    let jobs = order.jobs.unwrap_or_else(processors).clamp(1, properties.len());
    let length = Duration::try_from_secs_f64(order.minutes * 60.0).context("--minutes")?;
    println!("{} properties, {jobs} at a time, {} minutes", properties.len(), order.minutes);
    let state = Mutex::new(State { waiting: properties.into(), ..State::default() });
    let end = Instant::now() + length;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(|| work(&state, end))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("it does not panic"))
    })?;
    let state = state.into_inner().expect("no worker panicked");
    for (name, (runs, cases)) in &state.passed {
        println!("{name}: {cases} fresh cases in {runs} runs passed");
    }
    if state.failures.is_empty() {
        println!("no property failed");
        return Ok(());
    }
    let names: Vec<_> = state.failures.iter().map(|failure| failure.property.label()).collect();
    bail!("failed, as shown above: {}", names.join(", "));
}

/// Takes turns until the time is up or no property is left that passes.
fn work(state: &Mutex<State>, end: Instant) -> Result<()> {
    let locked = || state.lock().expect("no worker panicked");
    while Instant::now() < end {
        // There are no more workers than properties, so one that finds none is left over.
        let Some(property) = locked().waiting.pop_front() else { return Ok(()) };
        let seed = RandomState::new().hash_one(0);
        let tried = property.tried(seed)?;
        let mut state = locked();
        match tried {
            Ok(cases) => {
                let (runs, sum) = state.passed.entry(property.label()).or_default();
                (*runs, *sum) = (*runs + 1, *sum + cases);
                state.waiting.push_back(property);
            }
            Err(said) => {
                let failure = Failure { property, seed, said };
                println!("{}", failure.told());
                state.failures.push(failure);
            }
        }
    }
    Ok(())
}

impl Property {
    fn label(&self) -> String {
        format!("{} {}", self.package, self.name)
    }

    /// Runs it from a seed: how many cases passed, or else what it said.
    fn tried(&self, seed: u64) -> Result<Result<u64, String>> {
        let mut command = Command::new(&self.binary);
        command.args(["--exact", &self.name, "--nocapture"]).current_dir(&self.folder);
        command.env("PROPTEST_RNG_SEED", seed.to_string()).stdin(Stdio::null());
        command.env("CARGO_MANIFEST_DIR", &self.folder);
        let output = command.output().with_context(|| self.binary.display().to_string())?;
        let said = String::from_utf8_lossy(&output.stdout);
        if output.status.success() {
            return Ok(Ok(cases(&said)));
        }
        Ok(Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr))))
    }
}

/// How many cases a passed test says that it ran.
fn cases(said: &str) -> u64 {
    let count = |line: &str| {
        let (before, _) = line.split_once(" cases from PROPTEST_RNG_SEED=")?;
        before.rsplit(' ').next()?.parse::<u64>().ok()
    };
    said.lines().filter_map(count).sum()
}

impl Failure {
    /// All that is needed to repeat it and to keep it.
    fn told(&self) -> String {
        let Self { property: Property { package, name, .. }, seed, said } = self;
        let keep = match line_to_keep(said) {
            Some(line) => {
                format!("the line to keep (proptest has written it where it says):\n{line}")
            }
            None => "it gives no line to keep: it fails in a kept case, or outside of one".into(),
        };
        format!(
            "== {package} {name} fails\n{said}\n== repeat it: PROPTEST_RNG_SEED={seed} \
             cargo test -p {package} -- --exact {name}\n== {keep}"
        )
    }
}

/// What proptest wants to be kept of a failure.
fn line_to_keep(said: &str) -> Option<&str> {
    said.lines().find(|line| line.starts_with("cc "))
}

/// Of `cargo metadata`.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    id: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
}

/// One line of what cargo says while it builds.
#[derive(Deserialize)]
struct Built {
    package_id: Option<String>,
    executable: Option<PathBuf>,
}

/// The property tests of all packages that depend on `skep-properties`, built.
fn properties(only: &str) -> Result<Vec<Property>> {
    let metadata = output(&mut cargo("metadata --no-deps --locked --format-version 1"))?;
    let Metadata { packages } = serde_json::from_str(&metadata)?;
    let names = names()?;
    let mut with: Vec<Package> = packages.into_iter().filter(Package::has_properties).collect();
    // A part of a package's name spares the others' build.
    if with.iter().any(|package| package.name.contains(only)) {
        with.retain(|package| package.name.contains(only));
    }
    let mut build = cargo("test --no-run --locked --message-format json-render-diagnostics");
    build.args(with.iter().flat_map(|package| ["--package", &package.name]));
    let said = output(build.stderr(Stdio::inherit()))?;
    let mut found = Vec::new();
    for line in said.lines() {
        let Built { package_id, executable: Some(binary) } = serde_json::from_str(line)? else {
            continue;
        };
        let owner = with.iter().find(|package| package_id.as_deref() == Some(&package.id));
        let Some(Package { name: package, manifest_path, .. }) = owner else { continue };
        let folder = manifest_path.parent().unwrap_or(Path::new("/")).to_owned();
        for name in listed(&binary, &folder)? {
            let is_one = names.contains(name.rsplit("::").next().unwrap_or(&name));
            let property = Property {
                package: package.clone(),
                folder: folder.clone(),
                binary: binary.clone(),
                name,
            };
            if is_one && property.label().contains(only) {
                found.push(property);
            }
        }
    }
    Ok(found)
}

impl Package {
    fn has_properties(&self) -> bool {
        self.dependencies.iter().any(|dependency| dependency.name == CRATE)
    }
}

/// The tests of a binary.
fn listed(binary: &Path, folder: &Path) -> Result<Vec<String>> {
    let said = output(command(&binary.to_string_lossy(), &["--list"]).current_dir(folder))?;
    let names = said.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(names.map(str::to_owned).collect())
}

/// The names of all property tests of the repository.
fn names() -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for path in repo::files(&repo::root(), "rs")? {
        let text = fs::read_to_string(repo::root().join(&path))
            .with_context(|| format!("cannot read {}", path.display()))?;
        names.extend(names_in(&text));
    }
    Ok(names)
}

/// Those of one formatted file: the functions of `proptest!` blocks, and tests that ask for cases
/// themselves.
fn names_in(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut block_end: Option<String> = None;
    let mut last = None;
    for line in text.lines() {
        let word = line.trim_start();
        if word == "proptest! {" {
            block_end = Some(format!("{}}}", &line[..line.len() - word.len()]));
        } else if block_end.as_deref() == Some(line) {
            block_end = None;
        }
        if let Some((name, _)) = word.strip_prefix("fn ").and_then(|rest| rest.split_once('(')) {
            last = Some(name);
            names.extend(block_end.is_some().then(|| name.to_owned()));
        }
        if block_end.is_none() && word.contains("skep_properties::") {
            names.extend(last.map(str::to_owned));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_functions_of_blocks_and_tests_that_ask_for_cases() {
        let text = "\
fn strategy() -> impl Strategy {}

proptest! {
    #![proptest_config(skep_properties::cases(64))]

    #[test]
    fn one_holds(a in 0..3) {
        prop_assert!(a < 3);
    }

    #[test]
    fn two_holds(
        a in 0..3,
    ) {
    }
}

#[test]
fn an_example() {}

#[test]
fn three_holds() {
    TestRunner::new(skep_properties::cases(8));
}
";
        let names: Vec<_> = names_in(text).into_iter().collect();
        assert_eq!(names, ["one_holds", "three_holds", "two_holds"]);
    }

    #[test]
    fn cases_are_counted_and_the_line_to_keep_is_found() {
        let said = "test a::b ... 64 cases from PROPTEST_RNG_SEED=7\nok\n8 cases from \
                    PROPTEST_RNG_SEED=7\n";
        assert_eq!(cases(said), 72);
        let said =
            "proptest: Saving this and future failures in x.txt\ncc 8e67 # shrinks to a = 1\n";
        assert_eq!(line_to_keep(said), Some("cc 8e67 # shrinks to a = 1"));
        assert_eq!(line_to_keep("thread panicked"), None);
    }
}
