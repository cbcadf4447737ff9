//! The second wall around executors: one control group for all of an agent, of version 1 or 2.
//!
//! Every task's memory is limited without it. Should that fail, the kernel ends an executor before
//! the machine has no memory left. Always holds: an agent that cannot make a group starts all the
//! same, and says why there is none. Deliberately absent: processors, whose shares the executors
//! keep themselves, and a group for each executor, whose tasks come and go.

use crate::{
    bounds::{Bound, By},
    groups::{Place, Version},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

/// What executors need for themselves besides the memory of their tasks: a fixed part, and a part
/// of it for what they keep about each guest.
const SPARED_BYTES: u64 = 256 << 20;
const SPARED_PART: u64 = 4;
/// What stays outside of it within a group around it: the agent. Should executors take more than
/// there is, the kernel ends one of them and not the agent.
const AGENT_BYTES: u64 = 64 << 20;
/// The group in which an agent of version 2 puts itself: those that share their resources among
/// others hold no process.
const OURSELVES: &str = "skep-agent";

/// See the module. The processes in it outlive it.
#[derive(Debug)]
pub(crate) struct Group {
    dir: PathBuf,
}

/// Why there is no group.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoGroup {
    #[error("this machine has no control groups for memory")]
    Absent,
    #[error("{step} {path:?} failed: {source}")]
    Refused { step: &'static str, path: PathBuf, source: io::Error },
}

const fn limit(version: Version) -> &'static str {
    match version {
        Version::One => "memory.limit_in_bytes",
        Version::Two => "memory.max",
    }
}

impl Group {
    /// Makes the group `name`, or finds the one that an earlier run has left, for tasks that have
    /// `tasks_bytes` of memory together, within what there is at most.
    pub(crate) fn make(name: &str, tasks_bytes: u64, memory: &Bound<u64>) -> Result<Self, NoGroup> {
        let place = Place::of("memory").filter(|place| place.offers("memory"));
        let Place { version, own: parent, .. } = place.ok_or(NoGroup::Absent)?;
        let dir = parent.join(name);
        match fs::create_dir(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(refused("making", &dir)(error));
            }
            _ => {}
        }
        let limit = dir.join(limit(version));
        if version == Version::Two && !limit.exists() {
            share(&parent)?;
        }
        let wanted = tasks_bytes.saturating_add(SPARED_BYTES + tasks_bytes / SPARED_PART);
        let bytes = match memory.by {
            By::Group(_) => wanted.min(memory.most.saturating_sub(AGENT_BYTES)),
            By::Machine | By::Affinity => wanted,
        };
        fs::write(&limit, bytes.to_string()).map_err(refused("setting", &limit))?;
        tracing::info!(group = %dir.display(), bytes, "executors are in a control group");
        Ok(Self { dir })
    }

    /// Puts a process into the group, and with it all that it starts.
    pub(crate) fn take(&self, process: u32) -> io::Result<()> {
        fs::write(self.dir.join("cgroup.procs"), process.to_string())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel keeps it while executors run on in it; the next run finds it.
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Lets the groups below `parent` have limits of their own on memory. Only a group that holds no
/// process can; ours may hold nobody but us, and then we move into one of our own.
fn share(parent: &Path) -> Result<(), NoGroup> {
    let control = parent.join("cgroup.subtree_control");
    if fs::write(&control, "+memory").is_ok() {
        return Ok(());
    }
    let ours = parent.join(OURSELVES);
    match fs::create_dir(&ours) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(refused("making", &ours)(error));
        }
        _ => {}
    }
    let move_to = |group: &Path| fs::write(group.join("cgroup.procs"), process::id().to_string());
    move_to(&ours).map_err(refused("moving to", &ours))?;
    fs::write(&control, "+memory").map_err(|error| {
        // Others are in it too. What they are told must not depend on our attempt.
        let _ = move_to(parent).and_then(|()| fs::remove_dir(&ours));
        refused("sharing memory below", parent)(error)
    })
}

fn refused(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> NoGroup {
    let path = path.to_owned();
    move |source| NoGroup::Refused { step, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::Bounds;
    use std::process::{Command, Stdio};

    /// On the real kernel, where it has groups that we may make; elsewhere the refusal must say so.
    #[test]
    fn what_takes_more_than_its_group_has_is_ended_by_the_kernel() {
        let name = format!("skep-test-{}", process::id());
        let group = match Group::make(&name, 0, &Bounds::here().memory_bytes) {
            Ok(group) => group,
            Err(NoGroup::Absent) => return assert!(!has_memory_groups()),
            Err(NoGroup::Refused { source, .. }) => {
                let refusals = [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem];
                return assert!(refusals.contains(&source.kind()), "{source}");
            }
        };
        let mut hungry = Command::new("sh");
        // It waits for a line, and then keeps 600 MiB: more than what is spared for executors.
        hungry.args(["-c", "read go && head -c 629145600 /dev/zero | tail | wc -c"]);
        let mut hungry = hungry.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sh");
        group.take(hungry.id()).expect("taken");
        let dir = group.dir.clone();
        drop(group);
        assert!(dir.exists(), "the kernel keeps a group that is not empty");
        io::Write::write_all(&mut hungry.stdin.take().expect("a pipe"), b"go\n").expect("told");
        let output = hungry.wait_with_output().expect("ended");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "0", "tail was ended");
        fs::remove_dir(&dir).expect("it is empty by now");
    }

    fn has_memory_groups() -> bool {
        Place::of("memory").is_some_and(|place| place.offers("memory"))
    }
}
