//! Deliberate faults: each is made in a copy of the cores, and something must notice.
//!
//! A mutation that survives says that a promise has no test. The copy is a workspace of its own
//! under `target/mutants`, so the tree itself is never changed. The tests of the crate that was
//! changed are asked first, then the swarm, by the same seeds every time: histories of tasks, and
//! if these notice nothing, or cannot, those of the schedulers that come with skep.

mod list;

use crate::repo;
use anyhow::{Context, Result, bail};
use clap::Args;
use list::{MUTATIONS, Mutation};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What the copy consists of.
const FOLDERS: [&str; 12] = [
    "protocol",
    "master/allocator",
    "master/core",
    "agent/core",
    "scheduler",
    "supervisor",
    "frameworks",
    "tests/sim",
    "tests/properties",
    // Without their programs the frameworks do without these, but cargo looks for them.
    "framework-sdk",
    "guest-sdk",
    "transport",
];
const FILES: [&str; 2] = ["Cargo.lock", "rust-toolchain.toml"];

/// Whose tests are asked where a fault is in which folder.
const TESTED: [(&str, &str); 5] = [
    ("master", "skep-master-core"),
    ("agent", "skep-agent-core"),
    ("frameworks", "skep-frameworks"),
    ("scheduler", "skep-scheduler"),
    ("supervisor", "skep-supervisor"),
];
/// Those whose faults only the histories of schedulers can show.
const SCHEDULERS: [&str; 3] = ["frameworks", "scheduler", "supervisor"];

/// Of the root's profiles what concerns others, so that they are built once for both.
const PROFILE: &str = r#"
    [dev]
    opt-level = 0
    debug = false
    [dev.package."*"]
    opt-level = 2
    debug = false
    [dev.build-override]
    opt-level = 0
    debug = false
"#;

/// Which faults, and how long the swarm may look for each.
#[derive(Args)]
pub(crate) struct Order {
    /// Histories that the swarm plays before a mutation counts as survived
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// Only those whose names contain this
    #[arg(long, default_value = "")]
    only: String,
}

/// What noticed a fault.
struct Verdict {
    /// The first test of the core that failed.
    test: Option<String>,
    /// How many histories were played until one broke a promise.
    seeds: Option<u64>,
}

/// Makes each fault by itself; fails if nothing notices one.
pub(crate) fn run(order: &Order) -> Result<()> {
    let tree = repo::root().join("target/mutants/tree");
    copy(&tree)?;
    let whole = judge(&tree, None, 16)?;
    if whole.test.is_some() || whole.seeds.is_some() {
        bail!("the cores are broken before they are changed: run their tests, and `xtask sim`");
    }
    println!("{:<44} {:<60} swarm", "fault", "first test of the core");
    let mut survivors = Vec::new();
    for mutation in MUTATIONS.iter().filter(|mutation| mutation.name.contains(&order.only)) {
        let path = tree.join(mutation.file);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        fs::write(&path, mutation.applied(&text)?)?;
        let verdict = judge(&tree, Some(mutation), order.seeds);
        fs::write(&path, text)?;
        let Verdict { test, seeds } = verdict.with_context(|| mutation.name)?;
        if test.is_none() && seeds.is_none() {
            survivors.push(mutation.name);
        }
        let seeds = seeds.map_or("-".into(), |seeds| format!("after {seeds} seeds"));
        println!("{:<44} {:<60} {seeds}", mutation.name, test.as_deref().unwrap_or("-"));
    }
    if !survivors.is_empty() {
        bail!("nothing notices: {}", survivors.join(", "));
    }
    Ok(())
}

impl Mutation {
    /// The file with the fault in it.
    fn applied(&self, text: &str) -> Result<String> {
        let Self { name, file, right, wrong } = self;
        match text.matches(right).count() {
            1 => Ok(text.replacen(right, wrong, 1)),
            count => {
                bail!("`{name}`: {file} holds its text {count} times, not once: mend the list")
            }
        }
    }
}

/// Makes the copy anew. Files that are as they were keep their times, so that little is rebuilt.
fn copy(tree: &Path) -> Result<()> {
    let root = repo::root();
    for folder in FOLDERS {
        for path in repo::files(&root.join(folder), "")? {
            copy_file(&root.join(folder).join(&path), &tree.join(folder).join(&path))?;
        }
    }
    for file in FILES {
        copy_file(&root.join(file), &tree.join(file))?;
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let mut manifest: toml::Table = manifest.parse()?;
    let members = FOLDERS.iter().map(|folder| toml::Value::from(*folder)).collect::<Vec<_>>();
    let workspace = manifest.get_mut("workspace").and_then(toml::Value::as_table_mut);
    let workspace = workspace.context("Cargo.toml has no [workspace]")?;
    workspace.remove("default-members");
    workspace.insert("members".into(), members.into());
    // A core is built for every fault and plays few histories: what counts is how fast it is built.
    manifest.insert("profile".into(), PROFILE.parse::<toml::Table>()?.into());
    write_if_new(&tree.join("Cargo.toml"), manifest.to_string().as_bytes())
}

fn copy_file(from: &Path, to: &Path) -> Result<()> {
    write_if_new(to, &fs::read(from).with_context(|| from.display().to_string())?)
}

fn write_if_new(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|before| before == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes).with_context(|| path.display().to_string())
}

/// Runs the tests of the crate that was changed, or of all, and the swarm.
fn judge(tree: &Path, mutation: Option<&Mutation>, seeds: u64) -> Result<Verdict> {
    let mut test = None;
    let is_meant = |folder: &str| mutation.is_none_or(|m| m.file.starts_with(folder));
    for (_, package) in TESTED.into_iter().filter(|(folder, _)| is_meant(folder)) {
        let (_, told) = cargo(
            tree,
            &["test", "--quiet", "--no-default-features", "--package", package, "--lib"],
        )?;
        if told.contains("error[E") || told.contains("error: expected") {
            bail!("it does not compile:\n{told}");
        }
        test = test.or_else(|| failed_test(&told));
    }
    let is_of_schedulers =
        mutation.is_some_and(|m| SCHEDULERS.iter().any(|s| m.file.starts_with(s)));
    let histories: &[&[&str]] = if is_of_schedulers { &[&["--jobs"]] } else { &[&[], &["--jobs"]] };
    for about in histories {
        if let Some(seeds) = play(tree, seeds, about)? {
            return Ok(Verdict { test, seeds: Some(seeds) });
        }
    }
    Ok(Verdict { test, seeds: None })
}

/// How many histories were played until one broke a promise.
fn play(tree: &Path, seeds: u64, about: &[&str]) -> Result<Option<u64>> {
    let seeds = seeds.to_string();
    let play = ["play", "--from", "0", "--seeds", &seeds, "--until-broken", "--quiet"];
    let swarm = ["run", "--quiet", "--package", "skep-swarm", "--bin", "swarm", "--"];
    let (is_sound, told) = cargo(tree, &[&swarm[..], &play[..], about].concat())?;
    let broken = told.lines().find_map(|line| line.split_once(" histories, "));
    let played = broken.and_then(|(count, _)| count.trim().parse().ok());
    Ok(if is_sound { None } else { Some(played.context(told)?) })
}

/// The name of the first test that failed, without its module.
fn failed_test(told: &str) -> Option<String> {
    let listed = told.lines().skip_while(|line| *line != "failures:").skip(1);
    let mut listed = listed.skip_while(|line| *line != "failures:").skip(1);
    let name = listed.next()?.trim();
    Some(name.rsplit("::").next().unwrap_or(name).to_owned())
}

/// Runs cargo in the copy; gives whether it succeeded, and all that it wrote.
fn cargo(tree: &Path, words: &[&str]) -> Result<(bool, String)> {
    // A folder of its own, lest somebody takes a broken swarm for the real one.
    let build = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let build = build.unwrap_or_else(|| repo::root().join("target")).join("mutants/build");
    let mut cargo = Command::new("cargo");
    cargo.args(words).current_dir(tree).env("CARGO_TARGET_DIR", build).env("RUST_BACKTRACE", "0");
    // What one fault made fail must not help to find the next one.
    cargo.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
    let output = cargo.output().context("cargo does not run")?;
    let told = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&told).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_fault_can_still_be_made() {
        for mutation in MUTATIONS {
            let text = fs::read_to_string(repo::root().join(mutation.file));
            mutation.applied(&text.expect("a file of a core")).expect("its text is there once");
        }
        let names: BTreeSet<&str> = MUTATIONS.iter().map(|mutation| mutation.name).collect();
        assert_eq!(names.len(), MUTATIONS.len(), "two faults have one name");
    }
}
