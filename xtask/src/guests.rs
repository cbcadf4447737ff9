//! The guests' modules that lie in the repository, and the proof that they are what their source
//! says.
//!
//! Modules are committed so that the first command and the tests need no second toolchain. Beside
//! each `x.wasm` lies `x.wasm.lock`, its [`Record`]. A module's bytes depend on source, lock file
//! and compiler alone, not on the folder it was built in; so wherever the recorded compiler is
//! present, a check is a second build that must give the same bytes. Elsewhere digests must do.
//! The large ones, which `skep` has inside, lie there as `x.wasm.gz`; records are of what is in it.

mod record;
mod toolchain;

use crate::repo;
use anyhow::{Context, Result, bail, ensure};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use record::{Record, digest};
use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    path::PathBuf,
};
use toolchain::Toolchain;

/// Whoever clones the repository downloads every module of its history. The largest, which asks for
/// all of WASI with a sentence for each wrong answer, has 230,000.
const MODULE_BYTES_MAX: usize = 240_000;
/// Schedulers bring the messages of the protocol along, and `cron` the time zones of the world.
const SCHEDULER_BYTES_MAX: usize = 400_000;

/// A package whose programs are guests.
struct Guest {
    package: &'static str,
    folder: &'static str,
    /// Where its modules lie.
    modules: &'static str,
    /// How they are compiled.
    profile: &'static str,
    /// How they lie there.
    form: Form,
    /// How large each may be there.
    bytes_max: usize,
}

/// How a module lies in the repository.
#[derive(Clone, Copy)]
enum Form {
    Plain,
    Compressed,
}

impl Form {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "wasm",
            Self::Compressed => "wasm.gz",
        }
    }

    fn pack(self, module: &[u8]) -> Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(module.to_vec()),
            Self::Compressed => {
                let mut packed = GzEncoder::new(Vec::new(), Compression::best());
                packed.write_all(module)?;
                Ok(packed.finish()?)
            }
        }
    }

    fn unpack(self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(bytes),
            Self::Compressed => {
                let mut module = Vec::new();
                GzDecoder::new(bytes.as_slice()).read_to_end(&mut module)?;
                Ok(module)
            }
        }
    }
}

/// With names, for backtraces, and without debug information.
const PLAIN: &str = "guest";
const WITH_LINES: &str = "guest-lines";
const NAMELESS: &str = "guest-nameless";

const GUESTS: [Guest; 8] = [
    Guest {
        package: "counter",
        folder: "examples/counter",
        modules: "examples/counter",
        profile: PLAIN,
        form: Form::Plain,
        bytes_max: MODULE_BYTES_MAX,
    },
    Guest {
        package: "hello",
        folder: "examples/hello",
        modules: "examples/hello",
        profile: PLAIN,
        form: Form::Plain,
        bytes_max: MODULE_BYTES_MAX,
    },
    Guest {
        package: "render-guest",
        folder: "examples/render/guest",
        modules: "examples/render",
        profile: PLAIN,
        form: Form::Plain,
        bytes_max: MODULE_BYTES_MAX,
    },
    Guest {
        package: "compute-guest",
        folder: "guests/compute",
        modules: "guests/modules",
        profile: PLAIN,
        form: Form::Plain,
        bytes_max: MODULE_BYTES_MAX,
    },
    Guest {
        package: "hello-framework",
        folder: "examples/hello-framework",
        modules: "examples/hello-framework",
        profile: NAMELESS,
        form: Form::Plain,
        bytes_max: SCHEDULER_BYTES_MAX,
    },
    Guest {
        package: "skep-frameworks",
        folder: "frameworks",
        modules: "frameworks",
        profile: NAMELESS,
        form: Form::Compressed,
        bytes_max: SCHEDULER_BYTES_MAX,
    },
    Guest {
        package: "lines-guest",
        folder: "guests/lines",
        modules: "guests/modules",
        profile: WITH_LINES,
        form: Form::Plain,
        bytes_max: MODULE_BYTES_MAX,
    },
    Guest {
        package: "test-guests",
        folder: "guests",
        modules: "guests/modules",
        profile: PLAIN,
        form: Form::Plain,
        bytes_max: MODULE_BYTES_MAX,
    },
];

/// Builds all modules and writes them and their records.
pub(crate) fn rebuild() -> Result<()> {
    let toolchain = Toolchain::find_or_make()?;
    let built = build(&toolchain)?;
    for guest in &GUESTS {
        let sources = record::sources(guest)?;
        let dependencies = record::dependencies(guest)?;
        fs::create_dir_all(repo::root().join(guest.modules))?;
        for (path, binary) in guest.modules()? {
            let module = &built[binary.as_str()];
            let packed = guest.form.pack(module)?;
            println!("{:>7} bytes  {}", packed.len(), path.display());
            let record = Record {
                module: digest(module),
                sources: sources.clone(),
                dependencies: dependencies.clone(),
                compiler: toolchain.compiler.clone(),
            };
            fs::write(repo::root().join(&path), packed)?;
            record.write(&path)?;
        }
    }
    ensure_no_faults(faults()?)
}

/// Fails when a module does not match its record, its record the source, or the bytes a new build.
pub(crate) fn check() -> Result<()> {
    ensure_no_faults(faults()?)?;
    let Some(toolchain) = Toolchain::installed()? else {
        println!("not rebuilt: no wasm32-wasip1 here");
        return Ok(());
    };
    let mut rebuilt = None;
    let mut changed = Vec::new();
    for (path, binary) in modules()? {
        let record = Record::read(&path)?;
        if record.compiler != toolchain.compiler {
            println!("not rebuilt: {} is of {}", path.display(), record.compiler);
            continue;
        }
        let built = match &mut rebuilt {
            Some(built) => built,
            none => none.insert(build(&toolchain)?),
        };
        if record.module != digest(&built[binary.as_str()]) {
            changed.push(format!("{}: a new build gives other bytes", path.display()));
        }
    }
    ensure_no_faults(changed)
}

fn ensure_no_faults(faults: Vec<String>) -> Result<()> {
    if !faults.is_empty() {
        bail!("{}\nrun `cargo xtask guests` and commit what it writes", faults.join("\n"));
    }
    Ok(())
}

/// What the digests alone can tell to be wrong.
fn faults() -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for guest in &GUESTS {
        let sources = record::sources(guest)?;
        let dependencies = record::dependencies(guest)?;
        for (path, _) in guest.modules()? {
            let name = path.display();
            let Ok(packed) = fs::read(repo::root().join(&path)) else {
                faults.push(format!("{name} is missing"));
                continue;
            };
            let record = Record::read(&path)?;
            let (bytes, max) = (packed.len(), guest.bytes_max);
            let Ok(module) = guest.form.unpack(packed) else {
                faults.push(format!("{name} cannot be unpacked"));
                continue;
            };
            if bytes > max {
                faults.push(format!("{name} has {bytes} bytes, more than {max}"));
            }
            if record.module != digest(&module) {
                faults.push(format!("{name} is not the module that was recorded"));
            }
            if record.sources != sources {
                faults.push(format!("{name} is older than the source of {}", guest.package));
            }
            if record.dependencies != dependencies {
                faults.push(format!("{name} is older than Cargo.lock"));
            }
        }
    }
    faults.extend(strays()?);
    Ok(faults)
}

/// Modules whose text lies in the repository, and the tests that compare them with it.
const MADE_OTHERWISE: [&str; 2] = ["cli/src/commands/bench/waker.wasm", "tests/guests/components"];

/// Modules that no guest of this list makes.
fn strays() -> Result<Vec<String>> {
    let known = modules()?;
    let mut strays = Vec::new();
    for path in repo::files(&repo::root(), "wasm")? {
        let otherwise = MADE_OTHERWISE.iter().any(|made| path.starts_with(made));
        if !known.contains_key(&path) && !otherwise {
            strays.push(format!("{} is made by no guest: delete it", path.display()));
        }
    }
    Ok(strays)
}

/// All modules with the names of their programs.
fn modules() -> Result<BTreeMap<PathBuf, String>> {
    let mut modules = BTreeMap::new();
    for guest in &GUESTS {
        modules.extend(guest.modules()?);
    }
    Ok(modules)
}

impl Guest {
    /// The modules of this package, by path, with the names of the programs they are made from.
    fn modules(&self) -> Result<BTreeMap<PathBuf, String>> {
        let path = repo::root().join(self.folder).join("Cargo.toml");
        let manifest: toml::Table = fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?
            .parse()?;
        let listed = manifest.get("bin").and_then(|list| list.as_array()).into_iter().flatten();
        let mut names: Vec<&str> = listed.filter_map(|bin| bin.get("name")?.as_str()).collect();
        if names.is_empty() {
            names.push(self.package);
        }
        let module = |name: &str| {
            // `render-guest` keeps its program apart from the framework `render` beside it.
            let stem = name.strip_suffix("-guest").unwrap_or(name);
            let file = format!("{stem}.{}", self.form.suffix());
            (PathBuf::from(self.modules).join(file), name.to_owned())
        };
        Ok(names.into_iter().map(module).collect())
    }
}

/// Builds all guests. Returns the modules by the names of their programs.
fn build(toolchain: &Toolchain) -> Result<BTreeMap<String, Vec<u8>>> {
    let target = repo::root().join("target/guests");
    let mut built = BTreeMap::new();
    for profile in [PLAIN, WITH_LINES, NAMELESS] {
        let of_profile = || GUESTS.iter().filter(|guest| guest.profile == profile);
        let packages: Vec<_> =
            of_profile().map(|guest| format!("--package {}", guest.package)).collect();
        let packages = packages.join(" ");
        let line = format!("build --locked --profile {profile} --target wasm32-wasip1 {packages}");
        let mut cargo = repo::cargo(&line);
        cargo.env("CARGO_TARGET_DIR", &target);
        toolchain.prepare(&mut cargo)?;
        repo::run(&mut cargo)?;
        for guest in of_profile() {
            for binary in guest.modules()?.into_values() {
                let path = target.join(format!("wasm32-wasip1/{profile}/{binary}.wasm"));
                let module =
                    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                ensure!(module.starts_with(b"\0asm"), "{} is no module", path.display());
                built.insert(binary, module);
            }
        }
    }
    Ok(built)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_matches_its_record_and_its_source() {
        assert_eq!(faults().expect("readable modules"), Vec::<String>::new());
    }
}
