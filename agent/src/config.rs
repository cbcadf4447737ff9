//! What an agent is started with.

use skep_agent_core::{HostDirs, NetRule, Volume};
use skep_protocol::{ModuleLimits, Resources, Role};
use std::{collections::BTreeMap, ops::Range, path::PathBuf, time::Duration};

/// Where an agent keeps its records.
pub use skep_shell::Store as Records;

/// What an agent is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The agent's own folder: executors' logs and tasks' sandboxes lie in it. Made if need be.
    pub work_dir: PathBuf,
    /// Where modules and their artifacts lie. Agents of one user may share it. Made if need be.
    pub cache_dir: PathBuf,
    /// Where its records lie. In a file, it is also what keeps a second agent off.
    pub records: Records,
    /// The skep binary, for `skep executor` and `skep compile`.
    pub program: PathBuf,
    /// What to offer. None: what [`crate::Bounds`] says.
    pub resources: Option<Resources>,
    /// What to lend on top of that, as long as regular tasks leave it.
    pub revocable: Resources,
    /// In which region it is; none: in the master's.
    pub region: Option<String>,
    /// In which zone of the region.
    pub zone: Option<String>,
    /// What of it the operator reserves, by role.
    pub reserved: BTreeMap<Role, Resources>,
    /// What the operator says about the node, such as `zone` = `a`.
    pub attributes: BTreeMap<String, String>,
    /// Bytes that modules, artifacts and inputs may take on the disk.
    pub cache_bytes_max: u64,
    /// What modules may be like, and what compiling them may take.
    pub module_limits: ModuleLimits,
    /// Whether tasks may be granted folders of the machine.
    pub host_dirs: HostDirs,
    /// The folders that tasks may be granted by name. Their paths are made absolute.
    pub volumes: BTreeMap<String, Volume>,
    /// The peers that tasks may be granted.
    pub network: Vec<NetRule>,
    /// What is done about a kernel that lacks a layer of the jail.
    pub sandbox: Sandbox,
    /// Whether executors are put into a control group.
    pub group: SecondWall,
    /// What becomes of the tasks when the agent is told to stop.
    pub at_stop: AtStop,
    /// How long executors run on without an agent before they end, and all their tasks. Whole
    /// seconds.
    pub alone_max: Duration,
    /// The users that executors become, one for each framework. Only an agent that is root can have
    /// any; none: executors are who the agent is.
    pub users: Option<Range<u32>>,
}

/// What becomes of an agent's tasks when it is told to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtStop {
    /// They are killed, and the master is told.
    #[default]
    EndTasks,
    /// They run on; the next agent in this work folder takes them up.
    KeepTasks,
}

/// What is done about a kernel that lacks a layer of the jail around executors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sandbox {
    /// The agent does not start.
    Strict,
    /// The other layers must do; a warning says at the start which is missing.
    #[default]
    BestEffort,
}

/// Whether executors are put into a control group, which limits their memory once more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecondWall {
    /// Where the agent may make one.
    #[default]
    WherePossible,
    /// Not at all.
    Absent,
}

impl Sandbox {
    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::BestEffort => "best-effort",
        }
    }
}
