//! What is durable, as the records that make it: what a backup holds.
//!
//! Always holds: applied to nothing in any order they give the same state again, one for each row
//! that a store would hold.

use crate::record::{Admitted, Durable, KeptCheckpoint, KnownFramework, Link, Record};
use skep_protocol::{FrameworkId, TaskKey};
use std::collections::BTreeMap;

impl Durable {
    /// The records that make this state.
    pub(crate) fn records(&self) -> Vec<Record> {
        let mut records = self.records_of_agents();
        let frameworks = self.frameworks.iter();
        records.extend(frameworks.map(|(id, known)| known.record(id.clone())));
        records.extend(self.weights.iter().map(|(role, weight)| {
            let (role, weight) = (role.clone(), *weight);
            Record::RoleSet { role, weight }
        }));
        records.extend(self.quotas.iter().map(|(role, quota)| {
            let (role, quota) = (role.clone(), quota.clone());
            Record::QuotaSet { role, quota }
        }));
        let kept = self.checkpoints.values().flat_map(BTreeMap::values);
        records.extend(kept.map(|KeptCheckpoint { checkpoint, at }| {
            let (checkpoint, at) = (checkpoint.clone(), *at);
            Record::Checkpointed { checkpoint, at }
        }));
        for (framework, state) in &self.states {
            records.extend(state.iter().map(|(key, value)| {
                let (framework, key, value) = (framework.clone(), key.clone(), value.clone());
                Record::StateSaved { framework, key, value }
            }));
        }
        for (framework, hosts) in &self.hosts {
            records.extend(hosts.iter().map(|(task, attempt)| {
                let (framework, task, attempt) = (framework.clone(), task.clone(), *attempt);
                Record::SpeechGranted { key: TaskKey { framework, task, attempt } }
            }));
        }
        records.extend(self.tokens.iter().map(|(id, token)| {
            let (id, token) = (id.clone(), token.clone());
            Record::TokenCreated { id, token }
        }));
        records
    }

    fn records_of_agents(&self) -> Vec<Record> {
        let mut records = Vec::new();
        records.extend(self.agents.iter().map(|(agent, Admitted { name, at })| {
            let (agent, name, at) = (agent.clone(), name.clone(), *at);
            Record::AgentAdmitted { agent, name, at }
        }));
        records.extend(self.duties.iter().map(|(agent, duty)| {
            let (agent, duty) = (agent.clone(), *duty);
            Record::DutySet { agent, duty }
        }));
        records.extend(self.maintenance.iter().map(|(agent, maintenance)| {
            let (agent, maintenance) = (agent.clone(), *maintenance);
            Record::MaintenanceSet { agent, maintenance }
        }));
        for (agent, reservations) in &self.reservations {
            records.extend(reservations.iter().map(|(role, reservation)| {
                let (agent, role) = (agent.clone(), role.clone());
                Record::Reserved { agent, role, reservation: reservation.clone() }
            }));
        }
        for (agent, volumes) in &self.volumes {
            records.extend(volumes.values().map(|volume| {
                let (agent, volume) = (agent.clone(), volume.clone());
                Record::VolumeMade { agent, volume }
            }));
        }
        records
    }
}

impl KnownFramework {
    fn record(&self, framework: FrameworkId) -> Record {
        let Self { info, principal, run, link } = self.clone();
        match link {
            Link::Up => Record::FrameworkSubscribed { framework, info, principal, run },
            Link::Down { since: at } => {
                Record::FrameworkDisconnected { framework, info, principal, run, at }
            }
        }
    }
}
