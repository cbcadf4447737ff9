//! How an executor is started: with which words, as whom, and in which folder.
//!
//! The words say what its jail leaves open; the executor closes it itself, before it reads what any
//! guest or framework wrote. Always holds: a framework's folder belongs to the user that its
//! executors are, and no two folders to the same one. So the folders are the record of which user
//! is whose, and nothing else has to be.

use crate::{config::Sandbox, folders::Folders, group::Group};
use cap_std::fs::{DirBuilder, DirBuilderExt as _, MetadataExt as _};
use rustix::{
    fs::{AtFlags, chownat},
    process::{Gid, Uid},
};
use skep_agent_core::{ExecutorKey, Network};
use skep_protocol::{FrameworkId, executor::StartGuest, task::Access};
use std::{
    collections::BTreeSet,
    io,
    ops::Range,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::process::Command;

/// See the module.
pub(crate) struct Launcher {
    pub(crate) program: PathBuf,
    pub(crate) sandbox: Sandbox,
    /// The users that executors become, if they are not who we are.
    pub(crate) users: Option<Range<u32>>,
    pub(crate) folders: Arc<Folders>,
    /// The second wall around them, if there is one.
    pub(crate) group: Option<Group>,
    /// How long executors wait for an agent.
    pub(crate) alone_max: Duration,
    /// Held while a user is chosen: two executors may start at once.
    pub(crate) choosing: Mutex<()>,
}

impl Launcher {
    /// The command that starts an executor.
    pub(crate) fn command(&self, key: &ExecutorKey) -> io::Result<Command> {
        let user = self.make_folder(&key.framework)?;
        let mut command = Command::new(&self.program);
        command.arg("executor").arg("--root").arg(self.root(&key.framework));
        command.arg("--sandbox").arg(self.sandbox.name());
        command.arg("--alone-max").arg(self.alone_max.as_secs().to_string());
        if let Some(user) = user {
            command.arg("--user").arg(user.to_string());
        }
        if key.profile.network == Network::Open {
            command.arg("--network");
        }
        if key.profile.dirs.keys().any(|path| path.starts_with(&self.folders.layout.volumes)) {
            // Other frameworks of the role are other users, and are to find and write them.
            command.arg("--shared");
        }
        for (path, access) in &key.profile.dirs {
            let word = if *access == Access::ReadOnly { "--read" } else { "--write" };
            command.arg(word).arg(path);
        }
        command
            .env_clear()
            // Backtraces cost a guest's trap a hundred times its own price.
            .env("RUST_BACKTRACE", "0")
            .stdout(Stdio::null())
            // Whoever interrupts the agent at its terminal does not mean the tasks.
            .process_group(0);
        Ok(command)
    }

    /// Puts an executor behind the second wall. It has read no byte of a guest yet.
    pub(crate) fn enclose(&self, process: u32) {
        let Some(group) = &self.group else { return };
        if let Err(error) = group.take(process) {
            tracing::warn!(%error, process, "an executor is outside of the control group");
        }
    }

    fn root(&self, framework: &FrameworkId) -> PathBuf {
        self.folders.layout.tasks.join(framework.as_str())
    }

    /// Names a guest's sandbox as its executor knows it, whose working directory is the root: it
    /// may have no right to the folders above.
    pub(crate) fn localise(&self, framework: &FrameworkId, guest: &mut StartGuest) {
        if let Ok(local) = guest.sandbox.strip_prefix(self.root(framework)) {
            guest.sandbox = local.to_owned();
        }
    }

    /// Makes the framework's folder, if need be, and gives it to its user, if it has one.
    fn make_folder(&self, framework: &FrameworkId) -> io::Result<Option<u32>> {
        let (tasks, name) = (&self.folders.tasks, framework.as_str());
        let _guard = self.choosing.lock().unwrap_or_else(PoisonError::into_inner);
        match tasks.create_dir_with(name, DirBuilder::new().mode(0o700)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let Some(users) = &self.users else { return Ok(None) };
        let owner = tasks.symlink_metadata(name)?.uid();
        if users.contains(&owner) {
            return Ok(Some(owner));
        }
        let user = self.free_user(users)?;
        let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
        chownat(tasks, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Some(user))
    }

    /// The lowest number that no framework's folder belongs to.
    fn free_user(&self, users: &Range<u32>) -> io::Result<u32> {
        let mut taken = BTreeSet::new();
        for entry in self.folders.tasks.entries()? {
            taken.insert(entry?.metadata()?.uid());
        }
        let exhausted = || {
            let (first, last) = (users.start, users.end - 1);
            io::Error::other(format!(
                "each of the users {first}-{last} is some framework's: give the agent more with \
                 --uid-range, or remove the folders of frameworks that are gone"
            ))
        };
        users.clone().find(|user| !taken.contains(user)).ok_or_else(exhausted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_agent_core::Profile;
    use std::{os::unix::fs::MetadataExt as _, path::Path};

    fn launcher(outer: &Path, users: Option<Range<u32>>) -> Launcher {
        let folders = Arc::new(Folders::open(outer, outer, "f00").expect("folders"));
        let (program, sandbox) = ("skep".into(), Sandbox::Strict);
        let (alone_max, choosing) = (Duration::from_secs(900), Mutex::default());
        Launcher { program, sandbox, users, folders, group: None, alone_max, choosing }
    }

    fn key(framework: &str) -> ExecutorKey {
        let framework = FrameworkId::new(framework).expect("an id");
        ExecutorKey { framework, profile: Profile::default() }
    }

    #[test]
    fn the_words_say_what_the_jail_leaves_open() {
        let outer = tempfile::tempdir().expect("a folder");
        let mut key = key("f1");
        key.profile.network = Network::Open;
        key.profile.dirs.insert("/a".into(), Access::ReadOnly);
        key.profile.dirs.insert("/b".into(), Access::ReadWrite);
        let command = launcher(outer.path(), None).command(&key).expect("a command");
        let words: Vec<_> = command.as_std().get_args().filter_map(|word| word.to_str()).collect();
        let root = outer.path().canonicalize().expect("it is there").join("tasks/f1");
        let root = root.to_str().expect("it is a text");
        let expected = ["executor", "--root", root, "--sandbox", "strict", "--alone-max", "900"];
        let open = ["--network", "--read", "/a", "--write", "/b"];
        assert_eq!(words, [&expected[..], &open].concat());
    }

    /// Only root can give a folder away; who is not sees that it is refused.
    #[test]
    fn each_framework_has_a_user_of_its_own_and_keeps_it() {
        let outer = tempfile::tempdir().expect("a folder");
        let user = |framework: &str| {
            let launcher = launcher(outer.path(), Some(700_000..700_002));
            launcher.make_folder(&key(framework).framework)
        };
        if !rustix::process::geteuid().is_root() {
            let error = user("f1").expect_err("nobody but root can");
            return assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        }
        assert_eq!(user("f1").expect("a user"), Some(700_000));
        assert_eq!(user("f2").expect("a user"), Some(700_001));
        assert_eq!(user("f1").expect("a user"), Some(700_000));
        let owner = outer.path().join("tasks/f2").metadata().expect("it is there");
        assert_eq!((owner.uid(), owner.gid(), owner.mode() & 0o777), (700_001, 700_001, 0o700));
        let error = user("f3").expect_err("there are but two").to_string();
        assert!(error.contains("--uid-range"), "{error}");
    }
}
