//! The second wall around executors: one control group for all of an agent, of version 1 or 2.
//!
//! Every task's memory is limited without it. Should that fail, the kernel ends an executor before
//! the machine has no memory left. Always holds: an agent that cannot make a group starts all the
//! same, and says why there is none. Deliberately absent: processors, whose shares the executors
//! keep themselves, and a group for each executor, whose tasks come and go.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

/// Where control groups are mounted.
const MOUNTED: &str = "/sys/fs/cgroup";
/// Which groups this process is in.
const OWN: &str = "/proc/self/cgroup";
/// What executors need for themselves besides the memory of their tasks: a fixed part, and a part
/// of it for what they keep about each guest.
const SPARED_BYTES: u64 = 256 << 20;
const SPARED_PART: u64 = 4;
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

/// The version of a control group, each with its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Version {
    const fn limit(self) -> &'static str {
        match self {
            Self::One => "memory.limit_in_bytes",
            Self::Two => "memory.max",
        }
    }
}

impl Group {
    /// Makes the group `name`, or finds the one that an earlier run has left, for tasks that have
    /// `tasks_bytes` of memory together.
    pub(crate) fn make(name: &str, tasks_bytes: u64) -> Result<Self, NoGroup> {
        let own = fs::read_to_string(OWN).map_err(|_| NoGroup::Absent)?;
        let (version, parent) = find(Path::new(MOUNTED), &own).ok_or(NoGroup::Absent)?;
        let dir = parent.join(name);
        match fs::create_dir(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(refused("making", &dir)(error));
            }
            _ => {}
        }
        let limit = dir.join(version.limit());
        if version == Version::Two && !limit.exists() {
            share(&parent)?;
        }
        let bytes = tasks_bytes.saturating_add(SPARED_BYTES + tasks_bytes / SPARED_PART);
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

/// The group below which ours is made: the one that we are in, or all of what we see where that is
/// out of our sight, as in containers.
fn find(mounted: &Path, own: &str) -> Option<(Version, PathBuf)> {
    let below = |root: PathBuf, path: &str| {
        let own = root.join(path.trim_start_matches('/'));
        if own.is_dir() { own } else { root }
    };
    let lines = own.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        Some((parts.next()?, parts.next()?))
    });
    for (controllers, path) in lines {
        let root = mounted.join("memory");
        if controllers.split(',').any(|name| name == "memory") && root.is_dir() {
            return Some((Version::One, below(root, path)));
        }
        let parent = below(mounted.to_owned(), path);
        let offered = fs::read_to_string(parent.join("cgroup.controllers")).unwrap_or_default();
        if controllers.is_empty() && offered.split_whitespace().any(|name| name == "memory") {
            return Some((Version::Two, parent));
        }
    }
    None
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
    use std::process::{Command, Stdio};

    #[test]
    fn the_group_around_us_is_found_by_its_version() {
        let mounted = tempfile::tempdir().expect("a folder");
        let root = mounted.path();
        let found = |own: &str| find(root, own);
        assert_eq!(found("0::/a\n"), None, "there is nothing at all");

        fs::create_dir_all(root.join("a/b")).expect("a folder");
        fs::write(root.join("a/b/cgroup.controllers"), "cpu memory pids\n").expect("a file");
        assert_eq!(found("0::/a/b\n"), Some((Version::Two, root.join("a/b"))));
        assert_eq!(found("0::/a\n"), None, "whose parent does not share memory with it");

        fs::create_dir_all(root.join("memory/c")).expect("a folder");
        let own = "9:name=systemd:/\n4:cpu,memory:/c\n0::/a\n";
        assert_eq!(found(own), Some((Version::One, root.join("memory/c"))));
        let hidden = "4:memory:/elsewhere\n0::/\n";
        assert_eq!(found(hidden), Some((Version::One, root.join("memory"))));
    }

    /// On the real kernel, where it has groups that we may make; elsewhere the refusal must say so.
    #[test]
    fn what_takes_more_than_its_group_has_is_ended_by_the_kernel() {
        let name = format!("skep-test-{}", process::id());
        let group = match Group::make(&name, 0) {
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
        let own = fs::read_to_string(OWN).unwrap_or_default();
        find(Path::new(MOUNTED), &own).is_some()
    }
}
