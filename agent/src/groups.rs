//! Where the control groups around this process are, of version 1 or 2.
//!
//! A controller such as `memory` belongs to one hierarchy. The kernel says which group of it this
//! process is in, and where the hierarchy is mounted, all of it or the part below some group.
//! Always holds: a group that cannot be seen, as those above a container's, is not made up.
//! Deliberately absent: what bounds a group sets, and the making of groups (`bounds`, `group`).

use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

const MOUNTS: &str = "/proc/self/mountinfo";
const GROUPS: &str = "/proc/self/cgroup";

/// The version of a control group, each with its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy for each controller.
    One,
    /// One hierarchy for all.
    Two,
}

/// The group of this process for one controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whose words it speaks.
    pub version: Version,
    /// The folder of the outermost group that can be seen.
    pub top: PathBuf,
    /// The folder of the group, at or below the top.
    pub own: PathBuf,
}

impl Place {
    /// Finds the group of this process; none where the controller has none that can be seen.
    pub fn of(controller: &str) -> Option<Self> {
        let mounts = fs::read(MOUNTS).ok()?;
        let groups = fs::read(GROUPS).ok()?;
        Self::find(&mounts, &groups, controller)
    }

    /// The group and those around it, the innermost first.
    pub fn around(&self) -> impl Iterator<Item = &Path> {
        self.own.ancestors().take_while(|group| group.starts_with(&self.top))
    }

    fn find(mounts: &[u8], groups: &[u8], controller: &str) -> Option<Self> {
        let groups: Vec<Group<'_>> = lines(groups).filter_map(Group::parsed).collect();
        let mounts: Vec<Mount> = lines(mounts).filter_map(Mount::parsed).collect();
        // A controller that has a hierarchy of version 1 is not in that of version 2.
        let of_one = groups.iter().find(|group| group.has(controller));
        let version = if of_one.is_some() { Version::One } else { Version::Two };
        let group = of_one.or_else(|| groups.iter().find(|group| group.controllers.is_empty()))?;
        let of_it = mounts.iter().filter(|mount| match version {
            Version::One => mount.kind == b"cgroup" && mount.has(controller),
            Version::Two => mount.kind == b"cgroup2",
        });
        let places = of_it.map(|mount| mount.place(group.path, version));
        // Of several mounts the one that shows most.
        places.filter(|place| place.own.is_dir()).max_by_key(|place| place.around().count())
    }

    /// Whether groups can be made below it that bound what the controller controls.
    pub fn offers(&self, controller: &str) -> bool {
        let offered = || fs::read_to_string(self.own.join("cgroup.controllers")).ok();
        self.version == Version::One
            || offered()
                .is_some_and(|names| names.split_whitespace().any(|name| name == controller))
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

fn names(list: &[u8], name: &str) -> bool {
    list.split(|byte| *byte == b',').any(|item| item == name.as_bytes())
}

/// A line of `/proc/self/cgroup`: `4:cpu,cpuacct:/a/b`, or `0::/a/b` of version 2.
struct Group<'a> {
    controllers: &'a [u8],
    path: &'a [u8],
}

impl<'a> Group<'a> {
    fn parsed(line: &'a [u8]) -> Option<Self> {
        let mut parts = line.splitn(3, |byte| *byte == b':').skip(1);
        Some(Self { controllers: parts.next()?, path: parts.next()? })
    }

    fn has(&self, controller: &str) -> bool {
        names(self.controllers, controller)
    }
}

/// A line of `/proc/self/mountinfo`, of which this counts: `.. .. .. ROOT POINT .. [..] - KIND ..
/// OPTIONS`.
struct Mount {
    /// The group that is mounted.
    root: Vec<u8>,
    point: PathBuf,
    kind: Vec<u8>,
    options: Vec<u8>,
}

impl Mount {
    fn parsed(line: &[u8]) -> Option<Self> {
        let mut words = line.split(|byte| *byte == b' ');
        let root = unescaped(words.nth(3)?);
        let point = PathBuf::from(OsString::from_vec(unescaped(words.next()?)));
        // Optional fields come until the dash.
        words.find(|word| *word == b"-")?;
        let kind = words.next()?.to_owned();
        let options = words.nth(1)?.to_owned();
        Some(Self { root, point, kind, options })
    }

    fn has(&self, controller: &str) -> bool {
        names(&self.options, controller)
    }

    /// Where a group is below this mount. Of one that is not there, as much as can be seen: in a
    /// container the mount begins with its own group, whatever that is called outside.
    fn place(&self, group: &[u8], version: Version) -> Place {
        let root = self.root.strip_suffix(b"/").unwrap_or(&self.root);
        let below = group.strip_prefix(root).filter(|rest| rest.is_empty() || rest[0] == b'/');
        let below = below.map(|rest| PathBuf::from(OsString::from_vec(rest.to_owned())));
        let relative = below.as_deref().and_then(|path| path.strip_prefix("/").ok());
        let own = relative.map(|path| self.point.join(path)).filter(|own| own.is_dir());
        let own = own.unwrap_or_else(|| self.point.clone());
        Place { version, top: self.point.clone(), own }
    }
}

/// A field as it was before the kernel wrote spaces and the like as `\040`.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\');
        let octal = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[3..] } else { after };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of groups in a folder, and what the kernel would say of it.
    struct Tree {
        folder: tempfile::TempDir,
        mounts: String,
    }

    impl Tree {
        /// `mounts` as a system prints it, with `ROOT` where this tree is.
        fn new(mounts: &str, groups: &[&str]) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            for group in groups {
                fs::create_dir_all(folder.path().join(group)).expect("a group");
            }
            let mounts = mounts.replace("ROOT", &folder.path().to_string_lossy());
            Self { folder, mounts }
        }

        fn path(&self, below: &str) -> PathBuf {
            self.folder.path().join(below)
        }

        fn file(&self, path: &str, text: &str) {
            fs::write(self.path(path), text).expect("a file");
        }

        fn find(&self, groups: &str, controller: &str) -> Option<(Version, String, String)> {
            let place = Place::find(self.mounts.as_bytes(), groups.as_bytes(), controller)?;
            let part = |path: &Path| {
                let below = path.strip_prefix(self.folder.path()).expect("below the tree");
                below.to_string_lossy().into_owned()
            };
            Some((place.version, part(&place.top), part(&place.own)))
        }
    }

    fn place(version: Version, top: &str, own: &str) -> Option<(Version, String, String)> {
        Some((version, top.into(), own.into()))
    }

    #[test]
    fn a_unit_of_a_system_with_version_2_is_found() {
        let unit = "system.slice/skep.service";
        let tree = Tree::new(
            "26 25 0:23 / ROOT rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 \
             rw,nsdelegate,memory_recursiveprot\n22 1 8:1 / / rw - ext4 /dev/sda1 rw\n",
            &[unit],
        );
        let own = format!("0::/{unit}\n");
        assert_eq!(tree.find(&own, "memory"), place(Version::Two, "", unit));
        let found = Place { version: Version::Two, top: tree.path(""), own: tree.path(unit) };
        assert!(!found.offers("memory"));
        tree.file(&format!("{unit}/cgroup.controllers"), "cpuset cpu io memory pids\n");
        assert!(found.offers("memory") && !found.offers("hugetlb"));
    }

    #[test]
    fn a_hierarchy_of_version_1_is_found_by_its_controller() {
        let tree = Tree::new(
            "32 31 0:29 / ROOT/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
             35 31 0:32 / ROOT/memory rw,relatime - cgroup cgroup rw,memory\n\
             41 31 0:38 / ROOT/unified rw,relatime - cgroup2 cgroup2 rw\n",
            &["memory/a/b", "cpu,cpuacct", "unified"],
        );
        let own = "9:name=systemd:/\n4:memory:/a/b\n2:cpu,cpuacct:/gone\n0::/\n";
        assert_eq!(tree.find(own, "memory"), place(Version::One, "memory", "memory/a/b"));
        let shown = place(Version::One, "cpu,cpuacct", "cpu,cpuacct");
        assert_eq!(tree.find(own, "cpu"), shown, "of what cannot be seen the outermost");
        let other = place(Version::Two, "unified", "unified");
        assert_eq!(tree.find(own, "pids"), other, "what version 1 does not have, if anybody does");
    }

    #[test]
    fn a_container_sees_its_own_group_as_the_outermost() {
        let id = "8f2ff6ca3ab2d5b3";
        let one = format!(
            "1036 1030 0:33 /docker/{id} ROOT/memory ro,nosuid,nodev,noexec,relatime master:15 - \
             cgroup cgroup rw,memory\n"
        );
        let tree = Tree::new(&one, &["memory/inner"]);
        let outer = place(Version::One, "memory", "memory");
        assert_eq!(tree.find(&format!("11:memory:/docker/{id}\n"), "memory"), outer);
        let inner = place(Version::One, "memory", "memory/inner");
        assert_eq!(tree.find(&format!("11:memory:/docker/{id}/inner\n"), "memory"), inner);
        let other = format!("11:memory:/docker/{id}9/inner\n");
        assert_eq!(tree.find(&other, "memory"), outer, "a name that only begins alike");

        let two = "713 700 0:28 / ROOT ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw\n";
        let tree = Tree::new(two, &[]);
        assert_eq!(tree.find("0::/\n", "memory"), place(Version::Two, "", ""));
        assert_eq!(tree.find("0::/../other\n", "memory"), place(Version::Two, "", ""));
    }

    #[test]
    fn of_several_mounts_the_one_that_shows_most_counts() {
        let tree = Tree::new(
            "50 40 0:33 /a ROOT/part rw - cgroup cgroup rw,memory\n\
             51 40 0:33 / ROOT/whole\\040tree rw - cgroup cgroup rw,memory\n",
            &["part/b", "whole tree/a/b"],
        );
        let whole = place(Version::One, "whole tree", "whole tree/a/b");
        assert_eq!(tree.find("4:memory:/a/b\n", "memory"), whole);
    }

    #[test]
    fn escaped_bytes_are_themselves_again() {
        assert_eq!(unescaped(br"/a\040b\134c\x"), br"/a b\c\x");
        assert_eq!(unescaped(br"\04"), br"\04");
    }

    #[test]
    fn the_groups_around_a_group_end_with_the_outermost() {
        let place = Place { version: Version::One, top: "/m".into(), own: "/m/a/b".into() };
        let around: Vec<_> = place.around().collect();
        assert_eq!(around, [Path::new("/m/a/b"), Path::new("/m/a"), Path::new("/m")]);
    }

    #[test]
    fn nonsense_from_the_kernel_is_no_group() {
        for text in ["", "nonsense", "1 2 3", "4:memory", "0::"] {
            assert_eq!(Place::find(text.as_bytes(), text.as_bytes(), "memory"), None, "{text}");
        }
    }
}
