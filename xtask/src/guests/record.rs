//! What is written down beside a module: its digest, and the digests of all that went into it.
//!
//! The two input digests never name this machine: paths are those within the repository. They cover
//! what can change a module's bytes and as little else as possible, so that a new dependency of the
//! master does not ask for new modules.

use super::{Guest, PLAIN};
use crate::repo;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// To be counted up when [`super::build`] gives the same source other bytes.
const RECIPE: u32 = 1;

/// The lock file of one module.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// Of the module's bytes.
    pub(super) module: String,
    /// Of the package's source, the guest SDK's, and the profile they are built with.
    pub(super) sources: String,
    /// Of the part of `Cargo.lock` that the package reaches.
    pub(super) dependencies: String,
    /// As `rustc --version` names it.
    pub(super) compiler: String,
}

impl Record {
    /// Reads the record of the module at `path`.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let path = Self::path(path);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}: run `cargo xtask guests`", path.display()))?;
        toml::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Writes the record of the module at `path`.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = toml::to_string(self)?;
        fs::write(Self::path(path), format!("# Made by `cargo xtask guests`.\n{text}"))?;
        Ok(())
    }

    fn path(module: &Path) -> PathBuf {
        let module = if module.extension() == Some("gz".as_ref()) {
            module.with_extension("")
        } else {
            module.to_owned()
        };
        repo::root().join(module).with_extension("wasm.lock")
    }
}

/// The digest of `bytes` as text.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// The digest of all source that a guest is made from.
pub(super) fn sources(guest: &Guest) -> Result<String> {
    let manifest: toml::Table = read("Cargo.toml")?.parse()?;
    let part = |table: &str, key: &str| -> Result<String> {
        let part = manifest.get(table).and_then(|table| table.get(key)).and_then(|v| v.as_table());
        Ok(toml::to_string(part.with_context(|| format!("Cargo.toml has no [{table}.{key}]"))?)?)
    };
    let mut hash = Sha256::new();
    let mut add = |name: &str, text: &str| {
        // With its length in front, no text can pass for the end of another.
        hash.update(format!("{name}\0{}\0{text}", text.len()));
    };
    add("recipe", &RECIPE.to_string());
    add("package", &part("workspace", "package")?);
    add("profile", &part("profile", PLAIN)?);
    if guest.profile != PLAIN {
        add("profile", &part("profile", guest.profile)?);
    }
    for folder in ["guest-sdk", guest.folder] {
        add(folder, &read(&format!("{folder}/Cargo.toml"))?);
        for path in repo::files(&repo::root().join(folder).join("src"), "rs")? {
            let path = format!("{folder}/src/{}", path.display());
            add(&path, &read(&path)?);
        }
    }
    Ok(format!("sha256:{}", hex::encode(hash.finalize())))
}

/// The digest of a guest's part of `Cargo.lock`: all packages that it reaches.
pub(super) fn dependencies(guest: &Guest) -> Result<String> {
    let lock: LockFile = toml::from_str(&read("Cargo.lock")?).context("Cargo.lock")?;
    Ok(digest(lock.reached_from(guest.package).join("\n").as_bytes()))
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(repo::root().join(path)).with_context(|| format!("cannot read {path}"))
}

#[derive(Deserialize)]
struct LockFile {
    package: Vec<LockedPackage>,
}

#[derive(Deserialize)]
struct LockedPackage {
    name: String,
    version: String,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

impl LockFile {
    /// A line for each package that `root` reaches, itself among them, in order.
    fn reached_from(&self, root: &str) -> Vec<String> {
        let mut lines = BTreeSet::new();
        let mut ahead = vec![root];
        while let Some(wanted) = ahead.pop() {
            // A dependency is `name`, or `name version` where several versions are locked.
            let is_wanted = |package: &&LockedPackage| {
                wanted == package.name || wanted == format!("{} {}", package.name, package.version)
            };
            for package in self.package.iter().filter(is_wanted) {
                let LockedPackage { name, version, checksum, dependencies } = package;
                let checksum = checksum.as_deref().unwrap_or("local");
                if lines.insert(format!("{name} {version} {checksum}")) {
                    ahead.extend(dependencies.iter().map(String::as_str));
                }
            }
        }
        lines.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
        [[package]]
        name = "hello"
        version = "0.1.0"
        dependencies = ["args 2.0.0"]
        [[package]]
        name = "args"
        version = "1.0.0"
        checksum = "aa"
        [[package]]
        name = "args"
        version = "2.0.0"
        checksum = "bb"
        dependencies = ["hello"]
        [[package]]
        name = "master"
        version = "0.1.0"
        dependencies = ["args 1.0.0"]
    "#;

    #[test]
    fn only_what_a_guest_reaches_counts() {
        let lock: LockFile = toml::from_str(LOCK).expect("a lock file");
        assert_eq!(lock.reached_from("hello"), ["args 2.0.0 bb", "hello 0.1.0 local"]);
    }

    #[test]
    fn a_record_survives_its_text() {
        let record = Record {
            module: digest(b"module"),
            sources: digest(b"sources"),
            dependencies: digest(b"lock"),
            compiler: "rustc 1.95.0".into(),
        };
        let text = toml::to_string(&record).expect("a text");
        assert_eq!(toml::from_str::<Record>(&text).expect("a record"), record);
    }
}
