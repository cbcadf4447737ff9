//! What an agent is started with.

use skep_agent_core::HostDirs;
use skep_protocol::Resources;
use std::{collections::BTreeMap, path::PathBuf};

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
    /// What to offer. None: what the machine has.
    pub resources: Option<Resources>,
    /// What the operator says about the node, such as `zone` = `a`.
    pub attributes: BTreeMap<String, String>,
    /// Whether tasks may be granted folders of the machine.
    pub host_dirs: HostDirs,
}
