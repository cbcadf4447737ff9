//! The arrows of the design that must not be there, read off the dependency graph.
//!
//! A core that cannot reach a clock cannot ask it; an agent that does not contain an engine cannot
//! be broken by a module. What holds by absence is checked here, so that nobody has to remember it.

use crate::repo::{cargo, output};
use anyhow::{Result, bail};
use std::collections::BTreeSet;

/// What pure crates must not reach: runtimes, sockets, clocks of others, randomness, engines.
const WORLD: &[&str] =
    &["tokio", "mio", "socket2", "getrandom", "rand", "quinn", "rustls", "redb", "wasmtime"];

/// Crates that a package must not depend on, directly or through others.
struct Absence {
    package: &'static str,
    crates: &'static [&'static str],
    why: &'static str,
}

const ABSENCES: &[Absence] = &[
    Absence { package: "skep-protocol", crates: WORLD, why: "the protocol is pure" },
    Absence { package: "skep-admission", crates: WORLD, why: "admission is pure" },
    Absence { package: "skep-allocator", crates: WORLD, why: "the allocator is pure" },
    Absence { package: "skep-simulate", crates: WORLD, why: "the simulation is pure" },
    Absence { package: "skep-master-core", crates: WORLD, why: "the master's core is pure" },
    Absence { package: "skep-agent-core", crates: WORLD, why: "the agent's core is pure" },
    Absence { package: "skep-scheduler", crates: WORLD, why: "drivers are pure" },
    Absence { package: "skep-supervisor", crates: WORLD, why: "the supervisor is pure" },
    Absence { package: "skep-swarm", crates: WORLD, why: "the simulated cluster is pure" },
    Absence {
        package: "skep-agent",
        crates: &["skep-executor", "skep-store"],
        why: "the agent starts executors as processes, and its records are on its own disk",
    },
];

/// The only packages that may know the engine: its host, the binary that contains it, and what runs
/// guests in tests.
const ENGINE_KNOWN_BY: &[&str] = &["skep-executor", "skep", "skep-guest-testing"];

/// Checks every absence and names all arrows that should not be there.
pub(crate) fn run() -> Result<()> {
    let mut wrong = Vec::new();
    for Absence { package, crates, why } in ABSENCES {
        let found = dependencies(package)?;
        for forbidden in crates.iter().filter(|name| found.contains(**name)) {
            wrong.push(format!("{package} depends on {forbidden}, but {why}"));
        }
    }
    for package in members()? {
        let may_know = ENGINE_KNOWN_BY.contains(&package.as_str());
        if !may_know && dependencies(&package)?.contains("wasmtime") {
            wrong.push(format!("{package} depends on wasmtime, but only the executor knows it"));
        }
    }
    let of_guests = dependencies("skep-guest")?;
    if of_guests.len() > 1 {
        wrong.push(format!("skep-guest depends on something: {of_guests:?}"));
    }
    if !wrong.is_empty() {
        bail!(
            "{}\n`cargo tree -e normal -p PACKAGE -i CRATE` shows by which way",
            wrong.join("\n")
        );
    }
    Ok(())
}

/// The names of all crates in a package's normal dependency tree, its own among them.
fn dependencies(package: &str) -> Result<BTreeSet<String>> {
    let line = format!("tree --locked --edges normal --prefix none --package {package}");
    let tree = output(&mut cargo(&line))?;
    Ok(tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// The names of the workspace's packages.
fn members() -> Result<BTreeSet<String>> {
    let tree = output(&mut cargo("tree --locked --workspace --depth 0 --prefix none"))?;
    Ok(tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}
