//! Which machine code a task runs.
//!
//! A module has up to two artifacts. What a NaN looks like differs between processors, and a guest
//! can see it; code that makes all of them alike costs up to twice the time where floats are all
//! that it computes. So only runs that are to come out the same everywhere pay for it.

use crate::{ids::Digest, task::Grants};
use std::fmt;

/// How the names of files of machine code end.
const CODE: &str = ".cwasm";
const CANONICAL: &str = ".canonical";

/// Names the machine code that is made of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Artifact {
    /// What it is made of.
    pub module: Digest,
    /// What its NaNs look like.
    pub nans: Nans,
}

/// What the NaNs that a guest computes look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Nans {
    /// As the processor makes them.
    Native,
    /// The same on every processor.
    Canonical,
}

impl Artifact {
    /// What a task of this module runs, by what it is granted.
    pub fn of(module: Digest, grants: &Grants) -> Self {
        let nans = if grants.is_deterministic() { Nans::Canonical } else { Nans::Native };
        Self { module, nans }
    }

    /// The artifact whose file has this name.
    pub fn of_file_name(name: &str) -> Option<Self> {
        let (hex, nans) = match name.strip_suffix(CODE)? {
            name if name.ends_with(CANONICAL) => {
                (&name[..name.len() - CANONICAL.len()], Nans::Canonical)
            }
            name => (name, Nans::Native),
        };
        Some(Self { module: format!("sha256:{hex}").parse().ok()?, nans })
    }

    /// The name of its file.
    pub fn file_name(&self) -> String {
        let suffix = match self.nans {
            Nans::Native => "",
            Nans::Canonical => CANONICAL,
        };
        format!("{}{suffix}{CODE}", self.module.hex())
    }
}

impl fmt::Display for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.module.fmt(f)?;
        match self.nans {
            Nans::Native => Ok(()),
            Nans::Canonical => f.write_str(", deterministic"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_tells_which_artifact_it_is() {
        let module = Digest::of(b"module");
        for nans in [Nans::Native, Nans::Canonical] {
            let artifact = Artifact { module, nans };
            assert_eq!(Artifact::of_file_name(&artifact.file_name()), Some(artifact));
        }
        assert_eq!(Artifact::of_file_name("drafts"), None);
        assert_eq!(Artifact::of_file_name("x.cwasm"), None);
    }
}
