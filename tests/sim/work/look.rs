//! Whether everybody who waits has to: looked at once in a second.

use super::Wait;
use crate::{schedule::Event, shipped::Stage, sim::Sim};
use skep_protocol::{
    Amount, Resources, Time,
    operator::{Request, Response, view::AgentView},
};
use std::{collections::BTreeMap, time::Duration};

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);
/// For how long something may wait while an agent has what it asked for.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// How long after the last trouble everybody knows who is there.
const SETTLED: Duration = Duration::from_secs(15);

/// What of an agent is allocated, and to how many tasks.
type Used = (BTreeMap<String, f64>, u64);

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Since when an agent has had room for what waits: by scheduler, what waits, and agent.
    fits: BTreeMap<(usize, String, String), Time>,
    /// Since when what an agent has is used as it is: while others are served there who are due
    /// more, nobody waits in vain.
    used: BTreeMap<String, (Used, Time)>,
    /// When something may last have gone wrong.
    trouble: Time,
}

impl Sim {
    /// Looks, from now on.
    pub(crate) fn look_from_now_on(&mut self) {
        self.work.look.trouble = self.now;
        self.schedule.arrange(self.now, Event::Looks);
    }

    pub(crate) fn looks(&mut self) {
        self.schedule.arrange(self.now + LOOK, Event::Looks);
        self.check_jobs();
        if self.weather.delay.end >= LOOK {
            self.work.look.trouble = self.now;
        }
        if self.weather.faults.is_empty() && self.standstills.are_over(self.now) {
            self.check_waits();
        } else {
            self.work.look.fits.clear();
            self.work.look.trouble = self.now;
        }
    }

    /// Nothing waits for long while an agent has what it asked for.
    fn check_waits(&mut self) {
        let agents = self.agents_view();
        let is_settled = self.now.since(self.work.look.trouble) > SETTLED;
        if is_settled {
            self.check_status(&agents);
        }
        let before = std::mem::take(&mut self.work.look.used);
        let used: BTreeMap<String, (Used, Time)> = agents
            .iter()
            .map(|agent| {
                let used = (agent.allocated.clone(), agent.tasks);
                let same = before.get(&agent.agent).filter(|(before, _)| *before == used);
                let since = same.map_or(self.now, |(_, since)| *since);
                (agent.agent.clone(), (used, since))
            })
            .collect();
        let mut fits = BTreeMap::new();
        for number in 0..self.shipped.len() {
            let shipped = &self.shipped[number];
            if shipped.stage != Stage::Here || self.person.is_busy_with(number) {
                continue;
            }
            for wait in self.work.schedulers[number].waits() {
                if is_settled {
                    self.check_reasons(number, &wait, &agents);
                }
                for agent in agents.iter().filter(|agent| has_room(agent, &wait)) {
                    let key = (number, wait.what.clone(), agent.agent.clone());
                    let before = self.work.look.fits.get(&key).copied();
                    let since = before.unwrap_or(self.now).max(wait.since);
                    let since = since.max(used[&agent.agent].1);
                    self.check_wait(number, &wait, agent, since);
                    fits.insert(key, since);
                }
            }
        }
        self.work.look.fits = fits;
        self.work.look.used = used;
    }

    fn check_wait(&self, number: usize, wait: &Wait, agent: &AgentView, since: Time) {
        let time = self.now.since(since);
        if time <= IDLE_MAX {
            return;
        }
        let why = self.why(number, Some(&wait.needs));
        let own = self.why(number, None);
        let offers = self.view(&Request::Offers);
        panic!(
            "{} of scheduler {number} waits for {} s, and agent {} has room for {}: \
             why its needs: {why:?}; why: {own:?}; offers: {offers:?}; agent: {agent:?}; it is \
             {:?}",
            wait.what,
            time.as_secs(),
            agent.agent,
            wait.needs,
            self.shipped[number].mind,
        );
    }

    pub(super) fn agents_view(&self) -> Vec<AgentView> {
        match self.view(&Request::Agents) {
            Some(Response::Agents(views)) => views.agents,
            _ => Vec::new(),
        }
    }

    pub(super) fn why(&self, number: usize, needs: Option<&Resources>) -> Vec<String> {
        let Some(framework) = self.shipped[number].id.clone() else { return Vec::new() };
        match self.view(&Request::Why { framework, needs: needs.cloned() }) {
            Some(Response::Why(why)) => why.sentences,
            _ => Vec::new(),
        }
    }

    /// What the master shows; nothing while it is down.
    pub(super) fn view(&self, request: &Request) -> Option<Response> {
        let master = self.master.process.as_ref()?;
        master.core.view(master.clock.at(self.now), request)
    }
}

/// Whether an agent has so much that nobody uses.
fn has_room(agent: &AgentView, wait: &Wait) -> bool {
    let is_open = agent.state == "connected";
    let volumes = agent.attributes.get("volumes").map_or("", String::as_str);
    let has_volume = |volume: &String| volumes.split(',').any(|name| name == volume);
    is_open && free(agent).contains(&wait.needs) && wait.volume.iter().all(has_volume)
}

/// What of an agent is not allocated. What is offered counts: whoever holds offers answers them.
pub(super) fn free(agent: &AgentView) -> Resources {
    resources(&agent.resources).minus(&resources(&agent.allocated))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "they were amounts")]
pub(super) fn resources(shown: &BTreeMap<String, f64>) -> Resources {
    shown.iter().fold(Resources::none(), |sum, (kind, amount)| {
        sum.with(kind, Amount::millis((amount * 1_000.0).round() as u64))
    })
}
