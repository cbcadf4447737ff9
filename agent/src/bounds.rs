//! How much memory and processor time the tasks of this machine can have together: what the
//! machine has, or what the control groups around this process allow, if that is less.
//!
//! The kernel counts everything below a group towards its bounds: the agent, the master of a
//! private cluster, executors and their tasks. So the groups around matter, at any depth.
//! Deliberately absent: bounds that change while an agent runs, which offers what there was at its
//! start; and swap.

use crate::groups::{Place, Version};
use rustix::{system::sysinfo, thread::sched_getaffinity};
use skep_protocol::{Amount, Resources};
use std::{
    fmt, fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    thread::available_parallelism,
};

const MIB: u64 = 1 << 20;
/// What is spared at least, or half of all if that is less.
const SPARED_BYTES: u64 = 1 << 30;
/// And this part of much memory: what executors keep about many small guests.
const SPARED_PART: u64 = 16;
/// The processors that are switched on, as `0-3,8`.
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// How much there is at most, and what says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound<T> {
    /// How much.
    pub most: T,
    /// What says so.
    pub by: By,
}

/// What bounds a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// There is no more.
    Machine,
    /// The processors that this process may run on: a cpuset, or `taskset`.
    Affinity,
    /// A control group, by the file that says it.
    Group(PathBuf),
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine => f.write_str("all of this machine"),
            Self::Affinity => f.write_str("the processors that this process may run on"),
            Self::Group(file) => write!(f, "the control group's {}", file.display()),
        }
    }
}

impl<T: Ord> Bound<T> {
    fn or_less(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.most < self.most => other,
            _ => self,
        }
    }
}

/// What bounds the tasks of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of memory.
    pub memory_bytes: Bound<u64>,
    /// Processors, of which a quota may give parts.
    pub cpus: Bound<Amount>,
}

impl Bounds {
    /// Asks the kernel.
    pub fn here() -> Self {
        let memory = Bound { most: machine_bytes(), by: By::Machine };
        let group = Place::of("memory").and_then(|place| memory_of(&place));
        let quota = Place::of("cpu").and_then(|place| quota_of(&place));
        Self { memory_bytes: memory.or_less(group), cpus: processors().or_less(quota) }
    }

    /// What an agent offers if it is not told what: all processors, and the memory without what is
    /// spared for the system and for skep itself.
    pub fn resources(&self) -> Resources {
        let memory = self.memory_bytes.most;
        let mib = memory.saturating_sub(spared_bytes(memory)) / MIB;
        Resources::new(self.cpus.most, Amount::units(mib))
    }
}

/// Memory that is left to the system, to the agent, to the master of a private cluster, to
/// compilers, and to executors besides what their tasks are granted.
const fn spared_bytes(memory_bytes: u64) -> u64 {
    let part = memory_bytes / SPARED_PART;
    let fixed = if memory_bytes / 2 < SPARED_BYTES { memory_bytes / 2 } else { SPARED_BYTES };
    if part > fixed { part } else { fixed }
}

fn machine_bytes() -> u64 {
    let info = sysinfo();
    info.totalram.saturating_mul(u64::from(info.mem_unit))
}

fn processors() -> Bound<Amount> {
    // More than the thousand that fit the kernel's plain call are counted by the standard library.
    let allowed = sched_getaffinity(None).map_or_else(
        |_| available_parallelism().map_or(1, NonZeroUsize::get) as u64,
        |set| u64::from(set.count()),
    );
    let online = fs::read_to_string(ONLINE).ok().and_then(|list| count(&list));
    let by = if online.is_some_and(|online| allowed < online) { By::Affinity } else { By::Machine };
    Bound { most: Amount::units(allowed), by }
}

/// How many numbers a list such as `0-3,8` names.
fn count(list: &str) -> Option<u64> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
        Some(last.checked_sub(first)? + 1)
    };
    list.trim().split(',').map(range).sum()
}

/// The least memory that a group or one around it allows.
fn memory_of(place: &Place) -> Option<Bound<u64>> {
    let names: &[&str] = match place.version {
        Version::One => &["memory.limit_in_bytes"],
        // What is above `high` is not ended, but slowed down until it hardly runs.
        Version::Two => &["memory.max", "memory.high"],
    };
    let files = place.around().flat_map(|group| names.iter().map(|name| group.join(name)));
    let bounds = files.filter_map(|file| {
        let most = number(&file)?;
        Some(Bound { most, by: By::Group(file) })
    });
    let seen = bounds.min_by_key(|bound| bound.most);
    // Version 1 tells the least of all, also of groups that a container does not see, and without
    // those that do not count because they are no hierarchy.
    let stat = place.own.join("memory.stat");
    let told = fs::read_to_string(&stat).ok().and_then(|text| entry(&text, HIERARCHICAL));
    match (seen, told) {
        (Some(seen), Some(told)) if seen.most == told => Some(seen),
        (_, Some(told)) => Some(Bound { most: told, by: By::Group(stat) }),
        (seen, None) => seen,
    }
}

const HIERARCHICAL: &str = "hierarchical_memory_limit";

/// The number of a line `name number`.
fn entry(text: &str, name: &str) -> Option<u64> {
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok();
    text.lines().find_map(value)
}

/// The number that a file holds; none if it says `max`, or -1.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The least processor time that a group or one around it allows.
fn quota_of(place: &Place) -> Option<Bound<Amount>> {
    let bounds = place.around().filter_map(|group| {
        let (file, quota, period) = match place.version {
            Version::One => {
                let file = group.join("cpu.cfs_quota_us");
                let quota = number(&file)?;
                (file, quota, number(&group.join("cpu.cfs_period_us"))?)
            }
            Version::Two => {
                let file = group.join("cpu.max");
                let (quota, period) = quota(&fs::read_to_string(&file).ok()?)?;
                (file, quota, period)
            }
        };
        let millis = quota.saturating_mul(1_000).checked_div(period)?;
        Some(Bound { most: Amount::millis(millis.max(1)), by: By::Group(file) })
    });
    bounds.min_by_key(|bound| bound.most)
}

/// Microseconds and the period of them, of `150000 100000`; none of `max 100000`.
fn quota(text: &str) -> Option<(u64, u64)> {
    let (quota, period) = text.trim().split_once(' ')?;
    Some((quota.parse().ok()?, period.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// What version 1 says where there is no bound.
    const UNBOUNDED: &str = "9223372036854771712\n";

    struct Tree {
        folder: TempDir,
        version: Version,
    }

    impl Tree {
        fn new(version: Version) -> Self {
            Self { folder: tempfile::tempdir().expect("a folder"), version }
        }

        fn file(&self, path: &str, text: &str) -> &Self {
            let path = self.folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
            self
        }

        fn place(&self, own: &str) -> Place {
            let top = self.folder.path().to_owned();
            Place { version: self.version, own: top.join(own), top }
        }

        fn memory(&self, own: &str) -> Option<(u64, String)> {
            memory_of(&self.place(own)).map(|bound| (bound.most, self.name(bound.by)))
        }

        fn quota(&self, own: &str) -> Option<(u64, String)> {
            quota_of(&self.place(own)).map(|bound| (bound.most.as_millis(), self.name(bound.by)))
        }

        fn name(&self, by: By) -> String {
            let By::Group(file) = by else { panic!("{by}") };
            let below = file.strip_prefix(self.folder.path()).expect("in the tree");
            below.to_string_lossy().into_owned()
        }
    }

    #[test]
    fn in_version_2_the_least_of_all_groups_around_counts() {
        let tree = Tree::new(Version::Two);
        tree.file("a/b/c/memory.max", "max\n").file("a/b/c/memory.high", "max\n");
        tree.file("a/b/memory.max", "3221225472\n").file("a/b/memory.high", "max\n");
        assert_eq!(tree.memory("a/b/c"), Some((3 << 30, "a/b/memory.max".into())));
        tree.file("a/memory.max", "1073741824\n");
        assert_eq!(tree.memory("a/b/c"), Some((1 << 30, "a/memory.max".into())));
        tree.file("a/b/c/memory.high", "536870912\n");
        assert_eq!(tree.memory("a/b/c"), Some((512 << 20, "a/b/c/memory.high".into())));
        tree.file("a/b/c/memory.max", "0\n");
        assert_eq!(tree.memory("a/b/c"), Some((0, "a/b/c/memory.max".into())));
        assert_eq!(tree.memory("elsewhere"), None);
    }

    #[test]
    fn in_version_1_the_bound_is_that_which_the_kernel_adds_up() {
        let stat = |bytes: u64| {
            format!("cache 0\nrss 4096\nhierarchical_memory_limit {bytes}\ntotal_cache 0\n")
        };
        let tree = Tree::new(Version::One);
        tree.file("memory.limit_in_bytes", UNBOUNDED).file("a/memory.limit_in_bytes", UNBOUNDED);
        tree.file("a/b/memory.limit_in_bytes", "1073741824\n");
        tree.file("a/b/c/memory.limit_in_bytes", "2147483648\n");
        let named = Some((1 << 30, "a/b/memory.limit_in_bytes".into()));
        assert_eq!(tree.memory("a/b/c"), named, "without a sum");
        tree.file("a/b/c/memory.stat", &stat(1 << 30));
        assert_eq!(tree.memory("a/b/c"), named);
        // A group that cannot be seen from here.
        tree.file("a/b/c/memory.stat", &stat(512 << 20));
        assert_eq!(tree.memory("a/b/c"), Some((512 << 20, "a/b/c/memory.stat".into())));
        // No hierarchy: those around do not count.
        tree.file("a/b/c/memory.stat", &stat(2 << 30));
        let own = Some((2 << 30, "a/b/c/memory.stat".into()));
        assert_eq!(tree.memory("a/b/c"), own);
    }

    #[test]
    fn a_quota_gives_parts_of_processors() {
        let tree = Tree::new(Version::Two);
        tree.file("a/b/cpu.max", "max 100000\n");
        assert_eq!(tree.quota("a/b"), None);
        tree.file("a/cpu.max", "150000 100000\n");
        assert_eq!(tree.quota("a/b"), Some((1_500, "a/cpu.max".into())));
        tree.file("a/b/cpu.max", "5000 20000\n");
        assert_eq!(tree.quota("a/b"), Some((250, "a/b/cpu.max".into())));
        let tree = Tree::new(Version::One);
        tree.file("a/cpu.cfs_quota_us", "-1\n").file("a/cpu.cfs_period_us", "100000\n");
        assert_eq!(tree.quota("a"), None);
        tree.file("cpu.cfs_quota_us", "1000\n").file("cpu.cfs_period_us", "1000000\n");
        assert_eq!(tree.quota("a"), Some((1, "cpu.cfs_quota_us".into())));
    }

    #[test]
    fn nonsense_bounds_nothing() {
        for text in ["", "\n", "many", "-5", "1 2 3", "9999999999999999999999", "100000 0"] {
            let tree = Tree::new(Version::Two);
            tree.file("memory.max", text).file("memory.high", text).file("cpu.max", text);
            assert_eq!((tree.memory(""), tree.quota("")), (None, None), "{text:?}");
        }
    }

    #[test]
    fn processors_are_counted_from_a_list() {
        for (list, expected) in [("0\n", Some(1)), ("0-3,8\n", Some(5)), ("0-1,4-5", Some(4))] {
            assert_eq!(count(list), expected, "{list}");
        }
        for list in ["", "3-1", "a-b"] {
            assert_eq!(count(list), None, "{list}");
        }
    }

    #[test]
    fn the_least_bound_is_said_to_be_the_one_that_holds() {
        let file = PathBuf::from("/sys/fs/cgroup/a/memory.max");
        let bound = |most, by: &By| Bound { most, by: by.clone() };
        let group = By::Group(file);
        let machine = bound(8_u64 << 30, &By::Machine);
        assert_eq!(machine.clone().or_less(None), machine);
        assert_eq!(machine.clone().or_less(Some(bound(u64::MAX, &group))), machine);
        let less = bound(1 << 30, &group);
        assert_eq!(machine.or_less(Some(less.clone())), less);
        assert_eq!(less.by.to_string(), "the control group's /sys/fs/cgroup/a/memory.max");
    }

    #[test]
    fn what_is_offered_leaves_room_for_skep_itself() {
        let offered = |memory: u64| {
            let bounds = Bounds {
                memory_bytes: Bound { most: memory, by: By::Machine },
                cpus: Bound { most: Amount::millis(1_500), by: By::Machine },
            };
            bounds.resources().to_string()
        };
        assert_eq!(offered(1 << 30), "cpus:1.5;mem:512");
        assert_eq!(offered(64 << 30), "cpus:1.5;mem:61440");
        assert_eq!(offered(0), "cpus:1.5");
    }
}
