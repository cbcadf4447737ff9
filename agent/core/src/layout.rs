//! Where an agent's files lie: names only, no file is touched here.

use skep_protocol::{Artifact, Digest, TaskKey, agent::Volume};
use std::path::PathBuf;

/// The folders that hold what tasks need and leave behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Modules and standard inputs, each under the hex digits of its digest.
    pub blobs: PathBuf,
    /// Compiled modules of this build on this machine.
    pub artifacts: PathBuf,
    /// A folder per framework, in it a sandbox per attempt of a task.
    pub tasks: PathBuf,
    /// A folder per volume that the master had it make.
    pub volumes: PathBuf,
}

impl Default for Layout {
    /// Relative names, for those who touch no file.
    fn default() -> Self {
        Self {
            blobs: "blobs".into(),
            artifacts: "artifacts".into(),
            tasks: "tasks".into(),
            volumes: "volumes".into(),
        }
    }
}

impl Layout {
    /// The file of a blob.
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }

    /// The file of an artifact.
    pub fn artifact(&self, artifact: &Artifact) -> PathBuf {
        self.artifacts.join(artifact.file_name())
    }

    /// The sandbox of an attempt, below [`Layout::tasks`]: `<framework>/<task>.<attempt>`.
    ///
    /// Ids name folders safely, and the last `.` parts task from attempt.
    pub fn sandbox_name(key: &TaskKey) -> PathBuf {
        PathBuf::from(key.framework.as_str()).join(format!("{}.{}", key.task, key.attempt))
    }

    /// The folder of a volume, below [`Layout::volumes`]: `<name>.<when it was made>`.
    pub fn volume_name(volume: &Volume) -> String {
        format!("{}.{}", volume.name, volume.made.as_micros())
    }

    /// The folder of a volume.
    pub fn volume(&self, volume: &Volume) -> PathBuf {
        self.volumes.join(Self::volume_name(volume))
    }

    /// The sandbox of an attempt.
    pub fn sandbox(&self, key: &TaskKey) -> PathBuf {
        self.tasks.join(Self::sandbox_name(key))
    }
}
