//! Effects as lines of text, with short names for ids: `f: offer o1 of a: cpus:4;mem:4096`.

use crate::{Answer, Change, ConnectionId, Effect};
use skep_protocol::{
    AgentId, AllocationId, FrameworkId, OfferId, StatusUpdate, TaskState,
    agent::ToAgent,
    framework::{self, Event},
    outcome::TaskMessage,
};
use std::collections::BTreeMap;

/// What the ids of a story are called.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Short names by id, as text.
    short: BTreeMap<String, String>,
    frameworks: BTreeMap<String, FrameworkId>,
    offers: BTreeMap<String, OfferId>,
    allocations: BTreeMap<String, AllocationId>,
    /// Who speaks on which connection; the latest of a name is the one that counts.
    connections: BTreeMap<ConnectionId, String>,
}

impl Names {
    /// Offers are numbered anew; everything else is as it was.
    pub(crate) fn of_the_next_run(self) -> Self {
        Self { offers: BTreeMap::new(), connections: BTreeMap::new(), ..self }
    }

    pub(crate) fn connected(&mut self, name: &str, connection: ConnectionId) {
        self.connections.insert(connection, name.into());
    }

    pub(crate) fn agent(&mut self, id: &AgentId, name: &str) {
        self.short.insert(id.to_string(), name.into());
    }

    /// The latest connection of a peer.
    pub(crate) fn connection(&self, name: &str) -> ConnectionId {
        let mut own = self.connections.iter().filter(|(_, peer)| *peer == name);
        *own.next_back().expect("a peer that has connected").0
    }

    pub(crate) fn framework(&self, name: &str) -> FrameworkId {
        self.frameworks.get(name).cloned().expect("a framework that has subscribed")
    }

    pub(crate) fn offer(&self, name: &str) -> OfferId {
        self.offers.get(name).copied().expect("an offer that was made")
    }

    pub(crate) fn allocation(&self, name: &str) -> AllocationId {
        self.allocations.get(name).copied().expect("an allocation that was made")
    }

    pub(crate) fn show(&mut self, effect: &Effect) -> Vec<String> {
        match effect {
            Effect::Persist(record) => vec![match record.change() {
                Change::Put => format!("record {}", record.key()),
                Change::Delete => format!("delete {}", record.key()),
            }],
            Effect::Disconnect { connection } => {
                vec![format!("{}: hang up", self.peer(*connection))]
            }
            Effect::Answer { answer, .. } => vec![match answer {
                Ok(Answer::Admitted { kind, id }) => format!("answer: admitted {kind} {id}"),
                Ok(Answer::Operator(skep_protocol::operator::Response::Done)) => {
                    "answer: done".into()
                }
                Ok(Answer::Records(records)) => format!("answer: {} records", records.len()),
                Ok(Answer::Operator(view)) => format!("answer: {view:?}"),
                Err(rejection) => format!("answer: refused: {rejection}"),
            }],
            Effect::SendAgent { connection, message } => {
                let peer = self.peer(*connection);
                vec![format!("{peer}: {}", self.ordered(message))]
            }
            Effect::SendFramework { connection, event } => {
                let peer = self.peer(*connection);
                let lines = self.event(&peer, event);
                lines.into_iter().map(|line| format!("{peer}: {line}")).collect()
            }
        }
    }

    /// Replaces ids by names.
    pub(crate) fn shorten(&self, line: &str) -> String {
        self.short.iter().fold(line.into(), |line: String, (id, name)| line.replace(id, name))
    }

    /// The peer's name, with a mark if it has connected again since.
    fn peer(&self, connection: ConnectionId) -> String {
        let name = &self.connections[&connection];
        let is_latest = self.connection(name) == connection;
        if is_latest { name.clone() } else { format!("old {name}") }
    }

    fn name_allocation(&mut self, id: AllocationId) {
        if !self.short.contains_key(&id.to_string()) {
            let name = format!("l{}", self.allocations.len() + 1);
            self.short.insert(id.to_string(), name.clone());
            self.allocations.insert(name, id);
        }
    }

    fn ordered(&mut self, message: &ToAgent) -> String {
        match message {
            ToAgent::Registered { .. } => "registered".into(),
            ToAgent::Refused { rejection } => format!("refused: {rejection}"),
            ToAgent::Launch { allocation, framework, role, granted, tasks } => {
                self.name_allocation(*allocation);
                let tasks = tasks.iter().flatten();
                let names =
                    tasks.map(|spec| format!(" {framework}/{}#{}", spec.task, spec.attempt));
                let names: String = names.collect();
                format!("launch {allocation} in {role} within {granted}:{names}")
            }
            ToAgent::Recall { allocation } => format!("recall {allocation}"),
            ToAgent::Kill { framework, task, attempt, by } => {
                format!("kill {framework}/{task}#{attempt} by {by}")
            }
            ToAgent::Acknowledge { acknowledgements, .. } => {
                let all = acknowledgements.iter().map(|ack| format!(" {} ({})", ack.key, ack.seq));
                format!("acknowledge{}", all.collect::<String>())
            }
            ToAgent::RemoveFramework { framework } => format!("remove {framework}"),
            ToAgent::Message(TaskMessage { key, bytes }) => {
                format!("message to {key}: {}", String::from_utf8_lossy(bytes))
            }
            ToAgent::Volumes { volumes } => {
                let all = volumes.iter().map(|v| format!(" {} of {}", v.name, v.role));
                format!("volumes{}", all.collect::<String>())
            }
        }
    }

    fn event(&mut self, peer: &str, event: &Event) -> Vec<String> {
        let line = match event {
            Event::Subscribed { framework, state } => {
                self.frameworks.insert(peer.into(), framework.clone());
                self.short.insert(framework.to_string(), peer.into());
                let kept = state.keys().map(|key| format!(" with {key}"));
                format!("subscribed{}", kept.collect::<String>())
            }
            Event::Asked { question, by, message } => {
                format!("asked {question} by {by}: {}", String::from_utf8_lossy(message))
            }
            Event::Offers { offers } => {
                return offers.iter().map(|offer| self.offered(offer)).collect();
            }
            Event::Rescinded { offer } => format!("rescinded {offer}"),
            Event::Answered { offer, operation, answer } => {
                let what = offer.map_or("enqueue".into(), |offer| format!("{offer}.{operation}"));
                format!("answered {what}: {}", self.answer(answer))
            }
            Event::TasksAccepted { agent, tasks } => {
                let names = tasks.iter().map(|(task, attempt)| format!(" {task}#{attempt}"));
                format!("accepted by {agent}:{}", names.collect::<String>())
            }
            Event::StatusUpdates { updates } => {
                updates.iter().map(updated).collect::<Vec<_>>().join(", ")
            }
            Event::Progressed { reports } => {
                let all = reports.iter().map(|r| format!(" {} {}/{}", r.key, r.done, r.total));
                format!("progressed{}", all.collect::<String>())
            }
            Event::Message(TaskMessage { key, bytes }) => {
                format!("message of {key}: {}", String::from_utf8_lossy(bytes))
            }
            Event::Refused { rejection } => format!("refused: {rejection}"),
            Event::InverseOffers { offers } => {
                return offers.iter().map(|offer| self.asked_back(offer)).collect();
            }
            Event::InverseRescinded { offer } => format!("inverse rescinded {offer}"),
        };
        vec![line]
    }

    fn offered(&mut self, offer: &framework::Offer) -> String {
        let name = format!("o{}", self.offers.len() + 1);
        self.short.insert(offer.id.to_string(), name.clone());
        self.offers.insert(name, offer.id);
        let mut line = format!("offer {} of {}: {}", offer.id, offer.agent, offer.resources);
        if let Some(window) = offer.unavailable {
            line += &format!(" until {}", window.from.as_micros() / 1_000_000);
        }
        for volume in &offer.volumes {
            line += &format!(" with {}", volume.name);
        }
        line
    }

    fn asked_back(&mut self, inverse: &framework::InverseOffer) -> String {
        let name = format!("i{}", self.offers.len() + 1);
        self.short.insert(inverse.id.to_string(), name.clone());
        self.offers.insert(name, inverse.id);
        let from = inverse.window.from.as_micros() / 1_000_000;
        let lasts = inverse.window.lasts.map_or("good".into(), |lasts| format!("{lasts:?}"));
        format!("asked {} of {} from {from} for {lasts}", inverse.id, inverse.agent)
    }

    fn answer(&mut self, answer: &framework::Answer) -> String {
        match answer {
            framework::Answer::Applied => "applied".into(),
            framework::Answer::Launched { allocation, agent, refused } => {
                self.name_allocation(*allocation);
                let refused = refused
                    .iter()
                    .map(|r| format!("; refused {}#{}: {}", r.task, r.attempt, r.rejection));
                format!("launched {allocation} on {agent}{}", refused.collect::<String>())
            }
            framework::Answer::Rejected { rejection, tasks } => {
                let names = tasks.iter().map(|(task, attempt)| format!(" {task}#{attempt}"));
                format!("rejected{}: {rejection}", names.collect::<String>())
            }
        }
    }
}

fn updated(update: &StatusUpdate) -> String {
    let StatusUpdate { key, seq, state, .. } = update;
    let number = if *seq == 0 { String::new() } else { format!(" ({seq})") };
    match state {
        TaskState::Ended(outcome) => format!("{}#{} {outcome}{number}", key.task, key.attempt),
        state => format!("{}#{} {}{number}", key.task, key.attempt, state.name()),
    }
}
