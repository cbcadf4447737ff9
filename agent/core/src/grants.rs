//! What an agent's operator lets tasks be granted: folders, volumes, peers, kinds of executors.

use crate::{
    agent::Agent,
    policy::{HostDirs, NetRule, Policy},
    profile::{ExecutorKey, Profile},
};
use skep_protocol::{
    FrameworkId, Rejection, Role, TaskKey, TaskSpec,
    task::{Access, DirGrant, DirSource, Grants},
};
use std::collections::BTreeMap;

/// The jails that the tasks of each framework need which have not ended, and how many need each.
#[derive(Debug, Default)]
pub(crate) struct Profiles(BTreeMap<FrameworkId, BTreeMap<Profile, usize>>);

impl Profiles {
    pub(crate) fn join(&mut self, key: ExecutorKey) {
        *self.0.entry(key.framework).or_default().entry(key.profile).or_default() += 1;
    }

    pub(crate) fn leave(&mut self, key: &ExecutorKey) {
        let Some(profiles) = self.0.get_mut(&key.framework) else { return };
        if let Some(tasks) = profiles.get_mut(&key.profile) {
            *tasks -= 1;
            if *tasks == 0 {
                profiles.remove(&key.profile);
            }
        }
        if profiles.is_empty() {
            self.0.remove(&key.framework);
        }
    }

    pub(crate) fn is_needed(&self, key: &ExecutorKey) -> bool {
        self.0.get(&key.framework).is_some_and(|profiles| profiles.contains_key(&key.profile))
    }

    fn count(&self, framework: &FrameworkId) -> usize {
        self.0.get(framework).map_or(0, BTreeMap::len)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&FrameworkId, &BTreeMap<Profile, usize>)> {
        self.0.iter()
    }
}

impl Agent {
    /// Which executor a task needs.
    pub(crate) fn executor_of(&self, key: &TaskKey) -> Option<ExecutorKey> {
        // What is not allowed was refused at the launch.
        let profile = Profile::of(&self.spec(key)?.grants, |name| self.place(name)).ok()?;
        Some(ExecutorKey { framework: key.framework.clone(), profile })
    }

    /// Refuses what the operator does not let tasks have.
    pub(crate) fn check_grants(
        &self,
        framework: &FrameworkId,
        role: &Role,
        spec: &TaskSpec,
    ) -> Result<(), Rejection> {
        let grants = &spec.grants;
        grants.dirs.iter().try_for_each(|dir| self.check_dir(dir))?;
        self.check_roles(role, grants)?;
        check_network(&self.policy, grants)?;
        let Ok(profile) = Profile::of(grants, |name| self.place(name)) else { return Ok(()) };
        let key = ExecutorKey { framework: framework.clone(), profile };
        let max = self.policy.executors_per_framework_max;
        if !self.profiles.is_needed(&key) && self.profiles.count(framework) >= max {
            let what = "different sets of folders and network among one framework's tasks on this \
                        agent (each set has an executor of its own)";
            return Err(Rejection::TooMany { what: what.into(), max: max as u64 });
        }
        Ok(())
    }

    fn check_dir(&self, dir: &DirGrant) -> Result<(), Rejection> {
        let what = match &dir.source {
            DirSource::Sandbox => return Ok(()),
            DirSource::Host(path) => match self.policy.host_dirs {
                HostDirs::Allowed => return Ok(()),
                HostDirs::Refused => format!(
                    "this agent grants no folders of its machine, and the task asks for {path}; \
                     its operator can name it a volume (skep agent --volume NAME={path})"
                ),
            },
            DirSource::Volume(name) => match self.place(name).map(|place| place.access) {
                None => format!(
                    "this agent has no volume {name:?}; its operator can give it one (skep agent \
                     --volume {name}=PATH), or one can be made there (skep volume create)"
                ),
                Some(Access::ReadOnly) if dir.access == Access::ReadWrite => format!(
                    "the volume {name:?} of this agent is read-only, and the task asks to write \
                     it: ask to read, or its operator can name it without :ro"
                ),
                Some(_) => return Ok(()),
            },
        };
        Err(Rejection::NotAllowed { what })
    }
}

fn check_network(policy: &Policy, grants: &Grants) -> Result<(), Rejection> {
    let allows = |rule: &NetRule, host: &str, port| match rule {
        NetRule::Any => true,
        NetRule::Host(name) => name == host,
        NetRule::Peer(peer) => peer.host == host && peer.port == port,
    };
    let refused = |peer: &&skep_protocol::task::NetGrant| {
        !policy.network.iter().any(|rule| allows(rule, &peer.host, peer.port))
    };
    match grants.network.iter().find(refused) {
        None => Ok(()),
        Some(peer) => Err(Rejection::NotAllowed {
            what: format!(
                "this agent lets no task connect to {peer}; its operator can (skep agent \
                 --allow-net {peer})"
            ),
        }),
    }
}
