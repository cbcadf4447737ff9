//! A compiler that knows wasm32-wasip1, from wherever it can be had.
//!
//! 1. The installed one, if it has the target.
//! 2. The same after `rustup target add wasm32-wasip1`.
//! 3. One of Debian's packages, which `xtask/wasi/make-toolchain` unpacks and completes: for
//!    machines that Rust's own downloads do not reach.

use crate::repo;
use anyhow::{Context, Result};
use std::{env, path::PathBuf, process::Command};

const TARGET: &str = "wasm32-wasip1";

/// A compiler for guests.
pub(super) struct Toolchain {
    /// The compiler's path, if cargo would not find it by itself.
    rustc: Option<PathBuf>,
    /// How it names itself.
    pub(super) compiler: String,
}

impl Toolchain {
    /// The installed compiler, if it has the target.
    pub(super) fn installed() -> Result<Option<Self>> {
        let sysroot = repo::output(&mut repo::command("rustc", &["--print", "sysroot"]))?;
        let library = PathBuf::from(sysroot.trim()).join("lib/rustlib").join(TARGET).join("lib");
        if !library.is_dir() {
            return Ok(None);
        }
        Ok(Some(Self { rustc: None, compiler: version("rustc")? }))
    }

    /// A compiler for guests by the first way that works.
    pub(super) fn find_or_make() -> Result<Self> {
        if let Some(toolchain) = Self::installed()? {
            return Ok(toolchain);
        }
        // Where rustup is missing or reaches nothing, the next way is tried.
        let _ = repo::command("rustup", &["target", "add", TARGET]).status();
        if let Some(toolchain) = Self::installed()? {
            return Ok(toolchain);
        }
        println!("rustup has no {TARGET} for us: making the target from Debian's packages");
        Self::from_debian()
    }

    fn from_debian() -> Result<Self> {
        let folder = repo::root().join("target/wasi-toolchain");
        let script = repo::root().join("xtask/wasi/make-toolchain");
        repo::run(Command::new(script).arg(&folder))?;
        let rustc = folder.join("bin/rustc");
        let compiler = version(&rustc.to_string_lossy())?;
        Ok(Self { rustc: Some(rustc), compiler })
    }

    /// Makes `cargo` use this compiler, and keeps the paths of this machine out of what it builds.
    pub(super) fn prepare(&self, cargo: &mut Command) -> Result<()> {
        let home = env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(env::home_dir()?.join(".cargo")));
        let registry = home.context("no home folder: set CARGO_HOME")?.join("registry/src");
        let root = repo::root();
        let flags = [
            format!("--remap-path-prefix={}=", root.display()),
            format!("--remap-path-prefix={}=/registry", registry.display()),
        ];
        // The encoded form stands above any other flags, such as those of a user's configuration.
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        cargo.env_remove("RUSTC_WRAPPER").env_remove("RUSTC_WORKSPACE_WRAPPER");
        if let Some(rustc) = &self.rustc {
            cargo.env("RUSTC", rustc);
        }
        Ok(())
    }
}

fn version(rustc: &str) -> Result<String> {
    let version = repo::output(&mut repo::command(rustc, &["--version"]))?;
    Ok(version.trim().to_owned())
}
