//! Volumes that the master had this agent make: folders that survive tasks and restarts.
//!
//! ```text
//! the master lists them -> recorded -> made -> granted to tasks of their role and those below
//!            it lists them no more, and no task uses them -> forgotten -> removed
//! ```
//! Always holds: a volume is recorded before its folder is made, and each making of a name has a
//! folder of its own, so that what an executor still has open never becomes another's.

use crate::{agent::Agent, effect::Effect, profile::Place, record::Record, state::Work};
use skep_protocol::{
    Rejection, Role, TaskSpec,
    agent::Volume,
    task::{Access, DirGrant, DirSource, Grants},
};
use std::collections::BTreeMap;

impl Agent {
    /// The master says which volumes there are to be.
    pub(crate) fn want_volumes(&mut self, volumes: Vec<Volume>) {
        let named = volumes.into_iter().map(|volume| (volume.name.clone(), volume));
        self.volumes_wanted = Some(named.collect());
        self.settle_volumes();
    }

    /// Brings the volumes in line with what the master wants, as far as tasks let them go.
    pub(crate) fn settle_volumes(&mut self) {
        let Some(wanted) = self.volumes_wanted.take() else { return };
        let superfluous = self.state.volumes().values().filter(|volume| !is_in(&wanted, volume));
        let mut is_settled = true;
        for volume in superfluous.cloned().collect::<Vec<_>>() {
            if self.is_used(&volume.name) {
                is_settled = false;
            } else {
                self.persist(Record::VolumeForgotten { name: volume.name.clone() });
                self.effect(Effect::RemoveVolume { volume });
            }
        }
        let missing =
            wanted.values().filter(|volume| !self.state.volumes().contains_key(&volume.name));
        for volume in missing.cloned().collect::<Vec<_>>() {
            self.persist(Record::VolumeMade { volume: volume.clone() });
            self.effect(Effect::MakeVolume { volume });
        }
        if !is_settled {
            self.volumes_wanted = Some(wanted);
        }
    }

    fn is_used(&self, name: &str) -> bool {
        let specs = self.live.keys().filter_map(|key| self.spec(key));
        specs.into_iter().any(|spec| volume_names(&spec.grants).any(|used| used == name))
    }

    /// Where the folder is that tasks know by this name. What the agent's own operator named comes
    /// first.
    pub(crate) fn place(&self, name: &str) -> Option<Place> {
        if let Some(volume) = self.policy.volumes.get(name) {
            return Some(Place { path: volume.path.clone(), access: volume.access });
        }
        let volume = self.state.volumes().get(name)?;
        let path = self.policy.layout.volume(volume);
        Some(Place { path, access: Access::ReadWrite })
    }

    /// Refuses the volumes of other roles.
    pub(crate) fn check_roles(&self, role: &Role, grants: &Grants) -> Result<(), Rejection> {
        for name in volume_names(grants) {
            let is_named = self.policy.volumes.contains_key(name);
            let volume = self.state.volumes().get(name).filter(|_| !is_named);
            if let Some(other) = volume.map(|volume| &volume.role).filter(|r| !role.is_within(r)) {
                let what = format!("the volume {name:?} to a task of {role}: it is for {other}");
                return Err(Rejection::NotAllowed { what });
            }
        }
        Ok(())
    }

    /// The names of the volumes that a held task is granted.
    pub(crate) fn volumes_of(&self, work: &Work) -> Vec<String> {
        let grants = |spec: &TaskSpec| volume_names(&spec.grants).map(str::to_owned).collect();
        match work {
            Work::Accepted(spec) => grants(spec),
            Work::Refused => Vec::new(),
        }
    }
}

fn is_in(wanted: &BTreeMap<String, Volume>, volume: &Volume) -> bool {
    wanted.get(&volume.name) == Some(volume)
}

fn volume_names(grants: &Grants) -> impl Iterator<Item = &str> {
    grants.dirs.iter().filter_map(|DirGrant { source, .. }| match source {
        DirSource::Volume(name) => Some(name.as_str()),
        DirSource::Sandbox | DirSource::Host(_) => None,
    })
}
