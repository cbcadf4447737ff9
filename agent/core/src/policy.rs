//! What an agent's operator decides, and the bounds of the core.

use crate::layout::Layout;
use skep_protocol::{
    bounds::AGENT_TASKS_MAX,
    task::{Access, NetGrant, NetGrantError},
};
use std::{collections::BTreeMap, path::PathBuf, str::FromStr, time::Duration};

/// The core's settings; never changed while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Tasks held at once, ended ones included until their end is acknowledged.
    pub tasks_max: usize,
    /// How long an update waits for its acknowledgement before it is sent again; doubles.
    pub update_retry: Duration,
    /// The longest such wait.
    pub update_retry_max: Duration,
    /// How often the master hears that the agent's own loop is alive.
    pub beat_interval: Duration,
    /// How long an executor without guests is kept, to spare the next task its start.
    pub executor_idle_max: Duration,
    /// How long an executor may take to get ready.
    pub executor_ready_max: Duration,
    /// Starts of an executor that never got ready before the tasks that wait for it fail.
    pub executor_tries_max: u32,
    /// Executors of one framework that are not stopping: one for each set of folders and network
    /// that its tasks are granted.
    pub executors_per_framework_max: usize,
    /// How long a broken fetch waits before it is tried again; doubles.
    pub fetch_retry: Duration,
    /// Tries of one fetch before the tasks that wait for it fail.
    pub fetch_tries_max: u32,
    /// How long a broken delivery of outputs waits before it is tried again; doubles.
    pub delivery_retry: Duration,
    /// Tries of one delivery before it is given up.
    pub delivery_tries_max: u32,
    /// How long a task delivers that was ended by order, as long as nobody waits for it to be over.
    pub delivery_after_kill_max: Duration,
    /// Modules remembered as rejected; beyond it, any of them may cost another compilation.
    pub modules_rejected_max: usize,
    /// Bytes that modules, artifacts and inputs may take on the disk; beyond it those used longest
    /// ago go, but nothing that a task needs.
    pub cache_bytes_max: u64,
    /// Sandboxes of tasks whose end is acknowledged, kept for people to look at, the oldest removed
    /// first. Those of tasks whose end is not acknowledged stay, and count as [`Self::tasks_max`].
    pub sandboxes_kept_max: usize,
    /// How long an orderly stop waits for its tasks to end.
    pub stop_max: Duration,
    /// Whether tasks may be granted folders of the machine.
    pub host_dirs: HostDirs,
    /// The folders that tasks may be granted by name.
    pub volumes: BTreeMap<String, Volume>,
    /// The peers that tasks may be granted: those that any of these allows.
    pub network: Vec<NetRule>,
    /// Where the files lie.
    pub layout: Layout,
}

/// Whether tasks may be granted folders of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostDirs {
    /// Never: the agent serves others.
    Refused,
    /// Yes: the agent's operator is the one who launches (a private cluster).
    Allowed,
}

/// A folder that the operator named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Where it is: an absolute path.
    pub path: PathBuf,
    /// What tasks may do there at most.
    pub access: Access,
}

/// Which peers tasks may be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetRule {
    /// All.
    Any,
    /// A host's every port.
    Host(String),
    /// One.
    Peer(NetGrant),
}

impl FromStr for NetRule {
    type Err = NetGrantError;

    fn from_str(text: &str) -> Result<Self, NetGrantError> {
        match text.strip_suffix(":*") {
            _ if text == "*" => Ok(Self::Any),
            // Any port will do to see whether the host is one.
            Some(host) => Ok(Self::Host(format!("{host}:1").parse::<NetGrant>()?.host)),
            None => Ok(Self::Peer(text.parse()?)),
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            tasks_max: AGENT_TASKS_MAX,
            // Both as in Mesos.
            update_retry: Duration::from_secs(10),
            update_retry_max: Duration::from_secs(600),
            beat_interval: Duration::from_secs(1),
            executor_idle_max: Duration::from_secs(60),
            // A start takes some 10 ms; a machine that swaps takes its time.
            executor_ready_max: Duration::from_secs(30),
            executor_tries_max: 3,
            // An executor takes some 15 MiB; who mixes more kinds of grants is likely mistaken.
            executors_per_framework_max: 16,
            fetch_retry: Duration::from_secs(1),
            fetch_tries_max: 5,
            delivery_retry: Duration::from_secs(1),
            // Some two minutes: most masters must take a blob, and the work is done already.
            delivery_tries_max: 8,
            // Who ends a task waits for its end, and yet wants what it left.
            delivery_after_kill_max: Duration::from_secs(30),
            modules_rejected_max: 1_000,
            // A hundred interpreters of 30 MB with their machine code.
            cache_bytes_max: 8 << 30,
            sandboxes_kept_max: 10_000,
            stop_max: Duration::from_secs(10),
            host_dirs: HostDirs::Refused,
            volumes: BTreeMap::new(),
            network: Vec::new(),
            layout: Layout::default(),
        }
    }
}
