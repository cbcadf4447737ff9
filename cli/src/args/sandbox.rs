//! What operators say about sandboxes: how strict, which volumes, which users.

use crate::units::{is_volume_name, with_access};
use clap::{Args, ValueEnum};
use skep_agent::{Sandbox, Volume};
use skep_executor::jail::{Files, Jail, Network, Strictness};
use skep_protocol::task::Access;
use std::{ops::Range, path::PathBuf, str::FromStr};

/// How strict the sandbox is. Best effort is the default because a guest is in wasmtime's sandbox
/// all the same: on an old kernel an operator who tries skep gets a warning and not a refusal, and
/// one who depends on every wall says so.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct Walls {
    /// What to do if this kernel lacks a wall of the sandbox: refuse to start, or warn (`skep
    /// doctor` says what it has)
    #[arg(long, env = "SKEP_SANDBOX", value_enum, default_value_t, value_name = "MODE")]
    pub(crate) sandbox: Mode,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Refuse to start
    Strict,
    /// Warn, and do with the other walls
    #[default]
    BestEffort,
}

impl Walls {
    pub(crate) const fn mode(self) -> Sandbox {
        match self.sandbox {
            Mode::Strict => Sandbox::Strict,
            Mode::BestEffort => Sandbox::BestEffort,
        }
    }
}

impl Mode {
    pub(crate) const fn strictness(self) -> Strictness {
        match self {
            Self::Strict => Strictness::Strict,
            Self::BestEffort => Strictness::BestEffort,
        }
    }
}

/// What an agent starts an executor with.
#[derive(Debug, Args)]
pub(crate) struct Executor {
    /// Folder of the framework's sandboxes
    #[arg(long)]
    root: PathBuf,
    #[arg(long, value_enum)]
    sandbox: Mode,
    /// User and group to become
    #[arg(long)]
    user: Option<u32>,
    /// Leave sockets open
    #[arg(long)]
    network: bool,
    /// Seconds without an agent after which it ends
    #[arg(long, value_name = "SECONDS")]
    pub(crate) alone_max: u64,
    /// Let others read and write the files that guests make
    #[arg(long)]
    shared: bool,
    /// Folders to read
    #[arg(long)]
    read: Vec<PathBuf>,
    /// Folders to read and write
    #[arg(long)]
    write: Vec<PathBuf>,
}

impl Executor {
    pub(crate) fn jail(self) -> Jail {
        let read = self.read.into_iter().map(|path| (path, Access::ReadOnly));
        let write = self.write.into_iter().map(|path| (path, Access::ReadWrite));
        Jail {
            strictness: self.sandbox.strictness(),
            user: self.user,
            root: Some(self.root),
            dirs: read.chain(write).collect(),
            network: if self.network { Network::Open } else { Network::Closed },
            files: if self.shared { Files::Shared } else { Files::Own },
        }
    }
}

/// Whether there is a second wall around executors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cgroup {
    /// Where the agent may make one
    #[default]
    Auto,
    /// Not at all
    None,
}

impl From<Cgroup> for skep_agent::SecondWall {
    fn from(mode: Cgroup) -> Self {
        match mode {
            Cgroup::Auto => Self::WherePossible,
            Cgroup::None => Self::Absent,
        }
    }
}

/// What becomes of an agent's tasks when it is told to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum AtStop {
    /// They are killed, and the master is told
    #[default]
    EndTasks,
    /// They run on
    KeepTasks,
}

impl From<AtStop> for skep_agent::AtStop {
    fn from(what: AtStop) -> Self {
        match what {
            AtStop::EndTasks => Self::EndTasks,
            AtStop::KeepTasks => Self::KeepTasks,
        }
    }
}

/// A text is no volume or no range of users.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ArgumentError(String);

/// A folder that an operator names: `data=/srv/data` or `data=/srv/data:ro`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedVolume {
    pub(crate) name: String,
    pub(crate) volume: Volume,
}

impl FromStr for NamedVolume {
    type Err = ArgumentError;

    fn from_str(text: &str) -> Result<Self, ArgumentError> {
        let error = |why| Err(ArgumentError(format!("{text:?} is no volume: {why}")));
        let Some((name, path)) = text.split_once('=') else {
            return error("write NAME=PATH, or NAME=PATH:ro for one that nobody writes");
        };
        if !is_volume_name(name) {
            return error("a name has letters, digits, '.', '_' and '-', 128 at most");
        }
        let (path, access) = with_access(path);
        if path.is_empty() {
            return error("the path is empty");
        }
        Ok(Self { name: name.into(), volume: Volume { path: path.into(), access } })
    }
}

/// Users that executors become: `600000-665535`, or `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Users(pub(crate) Option<Range<u32>>);

impl FromStr for Users {
    type Err = ArgumentError;

    fn from_str(text: &str) -> Result<Self, ArgumentError> {
        let range = text.split_once('-').and_then(|(first, last)| {
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            // Root is nobody to become, and the last number stands for "no user".
            (0 < first && first <= last && last < u32::MAX).then(|| first..last + 1)
        });
        match range {
            _ if text == "none" => Ok(Self(None)),
            Some(range) => Ok(Self(Some(range))),
            None => Err(ArgumentError(format!(
                "{text:?} is no range of users: write FIRST-LAST, as in 600000-665535, or none"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_a_name_and_a_folder() {
        let read = |text: &str| text.parse::<NamedVolume>().map(|named| (named.name, named.volume));
        let volume = |path: &str, access| ("v".into(), Volume { path: path.into(), access });
        assert_eq!(read("v=/a=b"), Ok(volume("/a=b", Access::ReadWrite)));
        assert_eq!(read("v=/a:ro"), Ok(volume("/a", Access::ReadOnly)));
        for wrong in ["", "v", "v=", "v=:ro", "a/b=/c", "=/c"] {
            read(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn users_are_a_range_without_root() {
        let read = |text: &str| text.parse::<Users>().map(|users| users.0);
        assert_eq!(read("600000-665535"), Ok(Some(600_000..665_536)));
        assert_eq!(read("none"), Ok(None));
        for wrong in ["", "5", "0-5", "5-4", "1-4294967295", "a-b"] {
            read(wrong).expect_err(wrong);
        }
    }
}
