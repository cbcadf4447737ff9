//! What an executor may reach: its jail is closed when it starts and never opened again.
//!
//! A framework's tasks run in as many executors as they have kinds of grants. Always holds: two
//! tasks share an executor only if the jail around it suits both exactly, so that a guest that
//! breaks out of its own sandbox gains nothing that its neighbours were not granted anyway.

use serde::{Deserialize, Serialize};
use skep_protocol::{
    FrameworkId, Incarnation,
    task::{Access, DirSource, Grants},
};
use std::{collections::BTreeMap, fmt, path::PathBuf};

/// Which executor: whose, and in which jail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExecutorKey {
    /// Whose.
    pub framework: FrameworkId,
    /// What its jail leaves open.
    pub profile: Profile,
}

/// One process that is, was or is to be an executor. No two have the same, so that what is told of
/// one is never taken for another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExecutorRun {
    /// The run of the agent that started it.
    pub incarnation: Incarnation,
    /// Which of those that it started.
    pub count: u64,
}

/// What a jail leaves open, besides the framework's own sandboxes. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Profile {
    /// Whether connections can be made at all.
    pub network: Network,
    /// Folders of the machine, volumes among them, by their absolute paths.
    pub dirs: BTreeMap<PathBuf, Access>,
}

/// Where a volume is, and what tasks may do there at most.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) access: Access,
}

/// Whether connections can be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// No socket can be opened.
    #[default]
    Closed,
    /// Sockets of the internet protocols can be opened.
    Open,
}

impl Profile {
    /// The jail that suits these grants, or the name of a volume that this agent does not have.
    pub(crate) fn of(
        grants: &Grants,
        place: impl Fn(&str) -> Option<Place>,
    ) -> Result<Self, String> {
        let network = if grants.network.is_empty() { Network::Closed } else { Network::Open };
        let mut dirs = BTreeMap::new();
        for dir in &grants.dirs {
            let path = match &dir.source {
                DirSource::Sandbox => continue,
                DirSource::Host(path) => PathBuf::from(path),
                DirSource::Volume(name) => match place(name) {
                    Some(place) => place.path,
                    None => return Err(name.clone()),
                },
            };
            let access = dirs.entry(path).or_insert(dir.access);
            *access = (*access).max(dir.access);
        }
        Ok(Self { network, dirs })
    }
}

impl fmt::Display for ExecutorRun {
    /// Names its files: `12-3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.incarnation, self.count)
    }
}

impl fmt::Display for ExecutorKey {
    /// For logs: the framework, and what is open.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.framework)?;
        if self.profile.network == Network::Open {
            f.write_str("+network")?;
        }
        for (path, access) in &self.profile.dirs {
            let access = if *access == Access::ReadOnly { ":ro" } else { "" };
            write!(f, "+{}{access}", path.display())?;
        }
        Ok(())
    }
}
