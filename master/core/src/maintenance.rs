//! Maintenance: when an agent will not be there, and who was asked to leave it before.
//!
//! ```text
//! planned: offers tell of it, who has tasks there is asked -> it begins: no offers, its tasks
//! end or go on as was said -> it is over: the agent serves again
//! ```
//! Always holds: a framework has at most one inverse offer of an agent. What it answers binds
//! nobody: it tells the operator what to expect. Deliberately absent: answers are no records;
//! frameworks are asked again after a restart of the master.

use crate::{
    frameworks::Framework,
    master::Master,
    record::{Durable, Duty, Record},
    timers::Timer,
};
use skep_protocol::{
    AgentId, FrameworkId, OfferId, Rejection,
    framework::{Consent, Event, InverseOffer, Window},
    operator::{
        Leftover, Maintenance, shown,
        view::{AgentView, AskedView, MaintenanceView, ReservationView},
    },
};
use std::{collections::BTreeSet, time::Duration};

/// The longest maintenance: whoever means for good declares the agent gone.
const LASTS_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// An inverse offer that is out, or was answered.
#[derive(Debug)]
pub(crate) struct Asked {
    id: OfferId,
    consent: Option<Consent>,
}

impl Durable {
    /// When an agent will not be there, as far as that is known.
    pub(crate) fn window_of(&self, agent: &AgentId) -> Option<Window> {
        let planned = self.maintenance.get(agent);
        let planned = planned.map(|m| Window { from: m.from, lasts: Some(m.lasts) });
        let drained = match self.duties.get(agent) {
            Some(Duty::Drained { due }) => Some(Window { from: *due, lasts: None }),
            _ => None,
        };
        planned.into_iter().chain(drained).min_by_key(|window| window.from)
    }
}

impl Master {
    pub(crate) fn set_maintenance(
        &mut self,
        agent: &AgentId,
        maintenance: Option<Maintenance>,
    ) -> Result<(), Rejection> {
        self.check_agent(agent)?;
        if self.durable.maintenance.get(agent) == maintenance.as_ref() {
            return Ok(());
        }
        match maintenance {
            None => self.end_maintenance(agent),
            Some(maintenance) => {
                self.check_maintenance(&maintenance)?;
                self.forget_asked(agent);
                self.persist(Record::MaintenanceSet { agent: agent.clone(), maintenance });
                // They did not tell of it.
                self.rescind_offers_of(agent);
                self.await_maintenance(agent);
                self.enforce_duty(agent);
            }
        }
        Ok(())
    }

    fn check_maintenance(&self, maintenance: &Maintenance) -> Result<(), Rejection> {
        let invalid = |why: &str| Err(Rejection::invalid("maintenance", why));
        if maintenance.lasts.is_zero() || maintenance.lasts > LASTS_MAX {
            return invalid("it lasts for some time, and for ten years at most");
        }
        if maintenance.until() <= self.now {
            return invalid("it would be over already");
        }
        Ok(())
    }

    /// Sets the time at which the maintenance of an agent begins or ends, whichever is next.
    pub(crate) fn await_maintenance(&mut self, agent: &AgentId) {
        let Some(maintenance) = self.durable.maintenance.get(agent) else { return };
        let has_begun = maintenance.from <= self.now;
        let next = if has_begun { maintenance.until() } else { maintenance.from };
        self.timers.set(Timer::Maintenance(agent.clone()), next);
    }

    pub(crate) fn maintenance_due(&mut self, agent: &AgentId) {
        let Some(maintenance) = self.durable.maintenance.get(agent) else { return };
        if maintenance.until() <= self.now {
            return self.end_maintenance(agent);
        }
        self.await_maintenance(agent);
        self.enforce_duty(agent);
    }

    fn end_maintenance(&mut self, agent: &AgentId) {
        self.persist(Record::MaintenanceCleared { agent: agent.clone() });
        self.timers.clear(&Timer::Maintenance(agent.clone()));
        self.forget_asked(agent);
        // Offers that are out tell of it.
        self.rescind_offers_of(agent);
        self.enforce_duty(agent);
    }

    /// Asks those to leave an agent who have tasks there and were not asked yet.
    pub(crate) fn ask_back(&mut self, id: &AgentId) {
        let window = self.durable.window_of(id).filter(|window| window.from > self.now);
        let Some((window, agent)) = window.zip(self.agents.get(id)) else { return };
        let hostname = agent.info.hostname.clone();
        let live = agent.tasks.iter().filter(|key| {
            let task = self.tasks.get(key);
            task.is_some_and(|task| !task.stage.is_ended() && !task.is_condemned())
        });
        let frameworks: BTreeSet<FrameworkId> = live.map(|key| key.framework.clone()).collect();
        for framework in frameworks {
            let is_asked = self.asked.get(id).is_some_and(|asked| asked.contains_key(&framework));
            let connection = self.frameworks.get(&framework).and_then(Framework::connection);
            if is_asked || connection.is_none() {
                continue;
            }
            let offer = self.mint.offer();
            let asked = self.asked.entry(id.clone()).or_default();
            asked.insert(framework.clone(), Asked { id: offer, consent: None });
            let (agent, hostname) = (id.clone(), hostname.clone());
            let offers = vec![InverseOffer { id: offer, agent, hostname, window }];
            self.tell(&framework, Event::InverseOffers { offers });
        }
    }

    /// A framework that has come back is asked again.
    pub(crate) fn ask_again(&mut self, framework: &FrameworkId) {
        let agents: BTreeSet<AgentId> =
            self.tasks.of(framework).map(|(_, task)| task.agent.clone()).collect();
        for agent in agents {
            self.ask_back(&agent);
        }
    }

    pub(crate) fn answer_inverse(
        &mut self,
        framework: &FrameworkId,
        offers: &[OfferId],
        consent: Consent,
    ) {
        for asked in self.asked.values_mut().filter_map(|asked| asked.get_mut(framework)) {
            // An answer to one that was rescinded has crossed with its rescission.
            if offers.contains(&asked.id) {
                asked.consent = Some(consent);
            }
        }
    }

    /// An agent is not asked back any more, or for another time.
    pub(crate) fn forget_asked(&mut self, agent: &AgentId) {
        for (framework, Asked { id, .. }) in self.asked.remove(agent).unwrap_or_default() {
            self.tell(&framework, Event::InverseRescinded { offer: id });
        }
    }

    /// A framework is not there: what it said does not hold for whoever comes back.
    pub(crate) fn forget_asked_of(&mut self, framework: &FrameworkId) {
        self.asked.retain(|_, asked| {
            asked.remove(framework);
            !asked.is_empty()
        });
    }

    /// What of a view tells of orders, reservations and volumes.
    pub(crate) fn keeping_view(&self, id: &AgentId) -> AgentView {
        let volumes = self.durable.volumes_on(id);
        let asked = self.asked.get(id).into_iter().flatten();
        AgentView {
            duty: self.duty_name(id).into(),
            maintenance: self.durable.maintenance.get(id).map(maintenance_view),
            reservations: self.reservation_views(id),
            volumes: volumes.map(|volume| crate::volumes::volume_view(id, volume)).collect(),
            asked: asked.map(|(framework, asked)| asked_view(framework, asked)).collect(),
            ..AgentView::default()
        }
    }

    fn reservation_views(&self, id: &AgentId) -> Vec<ReservationView> {
        let known = self.agents.get(id).filter(|_| !self.durable.is_gone(id));
        let fixed = known.map(|agent| agent.info.reserved.clone());
        let fixed = fixed.unwrap_or_default();
        let ordered = self.durable.reservations_on(id);
        let roles: BTreeSet<_> = fixed.keys().chain(ordered.keys()).collect();
        let view = |role: &skep_protocol::Role| {
            let ordered = ordered.get(role).cloned().unwrap_or_default();
            let fixed = fixed.get(role).cloned().unwrap_or_default().minus(&ordered.lent);
            let resources = shown(&fixed.plus(&ordered.resources));
            ReservationView { role: role.to_string(), resources, fixed: shown(&fixed) }
        };
        let views = roles.into_iter().map(view);
        views.filter(|view| !view.resources.is_empty()).collect()
    }
}

fn maintenance_view(maintenance: &Maintenance) -> MaintenanceView {
    MaintenanceView {
        from_micros: maintenance.from.as_micros(),
        until_micros: maintenance.until().as_micros(),
        manner: match maintenance.tasks {
            Leftover::Ended => "drain",
            Leftover::Kept => "deactivate",
        }
        .into(),
    }
}

fn asked_view(framework: &FrameworkId, asked: &Asked) -> AskedView {
    let answer = match asked.consent {
        None => "asked",
        Some(Consent::Accepted) => "accepted",
        Some(Consent::Declined) => "declined",
    };
    AskedView { framework: framework.to_string(), answer: answer.into() }
}
