//! What CI runs, the cheap before the dear.

use crate::{
    arrows, guests,
    repo::{cargo, command, run as run_command},
    tidy,
};
use anyhow::{Context, Result};

type Check = fn() -> Result<()>;

/// Runs every check; the first failure ends it.
pub(crate) fn run() -> Result<()> {
    let steps: [(&str, Check); 8] = [
        ("fmt", || run_command(&mut cargo("fmt --all --check"))),
        ("tidy", tidy::run),
        ("arrows", arrows::run),
        ("deny", deny),
        ("guests", guests::check),
        ("clippy", || {
            run_command(&mut cargo("clippy --workspace --all-targets --locked -- -D warnings"))
        }),
        ("doc", || {
            let mut doc = cargo("doc --workspace --no-deps --locked");
            run_command(doc.env("RUSTDOCFLAGS", "-D warnings"))
        }),
        ("test", || run_command(&mut cargo("test --workspace --locked"))),
    ];
    for (name, check) in steps {
        println!("== {name}");
        check().with_context(|| format!("the step `{name}` failed"))?;
    }
    println!("== all passed");
    Ok(())
}

/// Licences and forbidden crates, where cargo-deny is installed: it is no part of Rust.
fn deny() -> Result<()> {
    if command("cargo-deny", &["--version"]).output().is_err() {
        println!("left out: cargo-deny is not installed");
        return Ok(());
    }
    run_command(&mut command("cargo-deny", &["--locked", "check", "bans", "licenses", "sources"]))
}
