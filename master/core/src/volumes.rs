//! Volumes: folders of agents that survive tasks and restarts, on reserved disk.
//!
//! A volume takes its part out of the disk that is reserved for its role for as long as it is
//! there; who is offered that role's resources sees it in the offer and grants it to tasks by name.
//! Always holds: a volume is durable before anybody hears of it; the agent is told all of its
//! volumes whenever they change and whenever it registers, so it needs no order of its own for
//! each; and none is removed that a task uses.

use crate::{master::Master, record::Record, reservations::Hand};
use skep_allocator::Bundle;
use skep_protocol::{
    AgentId, Amount, Rejection, Resources, Role, TaskId,
    agent::{ToAgent, Volume},
    bounds::VOLUMES_MAX,
    operator::view::{VolumeView, VolumeViews},
    resources::DISK,
    task::{DirSource, Feature, Grants},
};
use std::collections::BTreeSet;

/// The attribute by which an agent tells the folders that its own operator named.
const NAMED: &str = "volumes";

impl Master {
    pub(crate) fn create_volume(
        &mut self,
        hand: Hand,
        agent: &AgentId,
        role: Role,
        name: String,
        disk: Amount,
    ) -> Result<(), Rejection> {
        self.check_present(agent)?;
        if let Some(known) = self.durable.volume(agent, &name) {
            // The order is repeated.
            return if known.role == role && known.disk == disk {
                Ok(())
            } else {
                let (role, disk) = (&known.role, known.disk);
                let why = format!("agent {agent} has one of {disk} MiB of that name, for {role}");
                Err(Rejection::invalid("name", why))
            };
        }
        self.check_new_volume(agent, &name, disk)?;
        if hand == Hand::Operator {
            self.rescind_offers_of(agent);
        }
        let part = Resources::none().with(DISK, disk);
        self.ledger
            .shares
            .withdraw(agent, &role, &part)
            .map_err(|why| Rejection::invalid("disk", format!("{why}, reserved for {role}")))?;
        let volume = Volume { name, role, disk, made: self.now };
        self.persist(Record::VolumeMade { agent: agent.clone(), volume });
        self.send_volumes(agent);
        Ok(())
    }

    fn check_new_volume(&self, agent: &AgentId, name: &str, disk: Amount) -> Result<(), Rejection> {
        TaskId::new(name).map_err(|why| Rejection::invalid("name", why.to_string()))?;
        if disk == Amount::ZERO {
            return Err(Rejection::invalid("disk", "a volume has a size"));
        }
        if self.durable.volumes_on(agent).count() >= VOLUMES_MAX {
            let what = format!("volumes on agent {agent}");
            return Err(Rejection::TooMany { what, max: VOLUMES_MAX as u64 });
        }
        let Some(known) = self.agents.get(agent) else { return Ok(()) };
        let named = known.info.attributes.get(NAMED);
        if named.is_some_and(|named| named.split(',').any(|known| known == name)) {
            let why = format!("agent {agent}'s own operator gave a folder that name: use another");
            return Err(Rejection::invalid("name", why));
        }
        let feature = Feature::VolumeDir.name();
        if !known.info.enforces.iter().any(|known| known == feature) {
            return Err(Rejection::NotEnforced { agent: agent.clone(), name: feature.into() });
        }
        Ok(())
    }

    /// `role`: the one that an offer was made in, if a framework wants it.
    pub(crate) fn destroy_volume(
        &mut self,
        agent: &AgentId,
        name: &str,
        role: Option<&Role>,
    ) -> Result<(), Rejection> {
        self.check_present(agent)?;
        let Some(volume) = self.durable.volume(agent, name).cloned() else {
            return Err(Rejection::UnknownVolume { agent: agent.clone(), name: name.into() });
        };
        if let Some(role) = role.filter(|role| **role != volume.role) {
            let what = format!(
                "removing the volume {name:?} in an offer for {role}: it belongs to {}",
                volume.role
            );
            return Err(Rejection::NotAllowed { what });
        }
        let keys = self.agents.get(agent).into_iter().flat_map(|agent| &agent.tasks);
        for key in keys {
            let task = self.tasks.get(key).filter(|task| !task.stage.is_ended());
            if task.is_some_and(|task| task.volumes.contains(name)) {
                let (name, task) = (name.into(), key.task.clone());
                return Err(Rejection::VolumeInUse { name, task });
            }
        }
        self.persist(Record::VolumeRemoved { agent: agent.clone(), name: name.into() });
        let part = Resources::none().with(DISK, volume.disk);
        self.ledger.shares.restore(agent, &volume.role, &part);
        self.send_volumes(agent);
        Ok(())
    }

    /// A framework's operation: makes a volume of offered disk, and says what it holds then.
    pub(crate) fn create_offered(
        &mut self,
        agent: &AgentId,
        offered: (&Role, &Bundle),
        role: Role,
        name: String,
        disk: Amount,
    ) -> Result<Bundle, Rejection> {
        let (own, bundle) = offered;
        if role != *own {
            let what = format!("a volume for {role} out of an offer for {own}");
            return Err(Rejection::NotAllowed { what });
        }
        let is_there = self.durable.volume(agent, &name).is_some();
        let part = Resources::none().with(DISK, disk);
        let reserved = bundle.reserved.get(&role).cloned().unwrap_or_default();
        if !is_there && !reserved.contains(&part) {
            let why = format!("the offer holds {reserved} reserved for {role}, not {part}");
            return Err(Rejection::invalid("disk", why));
        }
        self.create_volume(Hand::Framework, agent, role.clone(), name, disk)?;
        let mut rest = bundle.clone();
        if !is_there && let Some(reserved) = rest.reserved.get_mut(&role) {
            reserved.subtract(&part);
        }
        rest.reserved.retain(|_, part| !part.is_empty());
        Ok(rest)
    }

    /// Tells an agent which volumes it is to have.
    pub(crate) fn send_volumes(&mut self, agent: &AgentId) {
        let volumes = self.durable.volumes_on(agent).cloned().collect();
        self.order_agent(agent, ToAgent::Volumes { volumes });
    }

    /// Refuses the volumes of other roles. What is no volume here may be a folder that the agent's
    /// operator named; the agent knows.
    pub(crate) fn check_volumes(
        &self,
        agent: &AgentId,
        role: &Role,
        grants: &Grants,
    ) -> Result<(), Rejection> {
        for name in granted(grants) {
            let other = self.durable.volume(agent, &name).map(|volume| &volume.role);
            if let Some(other) = other.filter(|other| !role.is_within(other)) {
                let what = format!("the volume {name:?} to a task of {role}: it is for {other}");
                return Err(Rejection::NotAllowed { what });
            }
        }
        Ok(())
    }

    pub(crate) fn volume_views(&self) -> VolumeViews {
        let all = self.durable.volumes.iter();
        let all = all.flat_map(|(agent, own)| own.values().map(|v| volume_view(agent, v)));
        VolumeViews { volumes: all.collect() }
    }
}

/// The names of the volumes among these grants.
pub(crate) fn granted(grants: &Grants) -> BTreeSet<String> {
    let names = grants.dirs.iter().filter_map(|dir| match &dir.source {
        DirSource::Volume(name) => Some(name.clone()),
        DirSource::Sandbox | DirSource::Host(_) => None,
    });
    names.collect()
}

pub(crate) fn volume_view(agent: &AgentId, volume: &Volume) -> VolumeView {
    VolumeView {
        agent: agent.to_string(),
        name: volume.name.clone(),
        role: volume.role.to_string(),
        disk: volume.disk.as_f64(),
        made_micros: volume.made.as_micros(),
    }
}
