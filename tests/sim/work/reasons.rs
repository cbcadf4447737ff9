//! What people are told of why something waits, against what is known: `skep why`, `skep status`.
//!
//! | what is told | what must be so |
//! |---|---|
//! | too little of a kind is free, on so many agents | so many have less of it than is needed |
//! | too small even when empty | so many are |
//! | nothing free; too little to be worth an offer | so many have nothing; or so little |
//! | refused a short while ago | the scheduler has given something back in that time |
//! | suppressed | the scheduler has nothing that waits |
//! | limits, guarantees, regions, constraints | never: nobody here has any |

use super::{
    Wait,
    look::{free, resources},
};
use crate::{
    shipped::{Shipped, Stage},
    sim::Sim,
};
use skep_protocol::{
    Amount, Resources,
    operator::{
        Request, Response,
        view::{AgentView, WhyView},
    },
};
use std::time::Duration;

/// For how long a scheduler and the master may not know of each other's last words.
const APART_MAX: Duration = Duration::from_secs(4);
/// For how long what was given back is not offered again, and not known to be.
const REFUSED_MAX: Duration = Duration::from_secs(5).saturating_add(APART_MAX);

impl Sim {
    /// Who waits is told what is so.
    pub(super) fn check_reasons(&self, number: usize, wait: &Wait, agents: &[AgentView]) {
        let Some(framework) = self.shipped[number].id.clone() else { return };
        if !self.waits_surely(wait) {
            return;
        }
        for needs in [Some(wait.needs.clone()), None] {
            let request = Request::Why { framework: framework.clone(), needs: needs.clone() };
            let Some(Response::Why(why)) = self.view(&request) else { return };
            // Without what one needs the reason is that of all who wait together.
            let least = needs.unwrap_or_else(|| self.least_of(number));
            self.check_why(number, wait, &least, agents, &why);
        }
    }

    /// The least that anything of a scheduler surely waits for: what is due later, or rests, may
    /// be less, and is not asked for yet.
    fn least_of(&self, number: usize) -> Resources {
        let waits = self.work.schedulers[number].waits().into_iter();
        let mut all = waits.filter(|wait| self.waits_surely(wait)).map(|wait| wait.needs);
        let first = all.next().unwrap_or_default();
        all.fold(first, |least, needs| least.at_most(&needs))
    }

    /// Whether a scheduler and the master know of it by now.
    fn waits_surely(&self, wait: &Wait) -> bool {
        self.now.since(wait.since) > APART_MAX
    }

    fn check_why(
        &self,
        number: usize,
        wait: &Wait,
        least: &Resources,
        agents: &[AgentView],
        why: &WhyView,
    ) {
        let left = |agent: &AgentView| free(agent).minus(&resources(&agent.offered));
        let lie = |what: &str| {
            panic!(
                "{} of scheduler {number} waits for {}, and the reason told is not so: {what}; \
                 all that is told: {:?}; agents: {agents:?}",
                wait.what, wait.needs, why.sentences
            )
        };
        for (cause, told) in &why.agents {
            let told = usize::try_from(*told).unwrap_or(usize::MAX);
            let count = |is_so: &dyn Fn(&AgentView) -> bool| {
                agents.iter().filter(|agent| is_so(agent)).count()
            };
            let is_so = if let Some(kind) = between(cause, "too little ", " free") {
                told <= count(&|agent| left(agent).amount(kind) < least.amount(kind))
            } else if let Some(kind) = between(cause, "too small even when empty: ", "") {
                let has = |agent: &AgentView| resources(&agent.resources).amount(kind);
                told <= count(&|agent| has(agent) < least.amount(kind))
            } else if cause.starts_with("too little left") {
                told <= count(&|agent| is_scrap(&left(agent)))
            } else if cause.starts_with("nothing free") {
                told <= count(&|agent| left(agent).is_empty())
            } else if cause.starts_with("disconnected") {
                told <= count(&|agent| agent.state != "connected")
            } else if cause.starts_with("refused") {
                self.now.since(self.work.schedulers[number].declined) <= REFUSED_MAX
            } else {
                false
            };
            if !is_so {
                lie(cause);
            }
        }
        let silence = why.sentences.iter().find(|told| told.starts_with("No offers are made"));
        if let Some(silence) = silence
            && !silence.contains("not offered already")
        {
            lie(silence);
        }
    }

    /// The sentence about the whole cluster is so.
    pub(super) fn check_status(&self, agents: &[AgentView]) {
        let Some(Response::Status(status)) = self.view(&Request::Status) else { return };
        let summary = status.summary;
        let is_here = |known: &Shipped| known.stage == Stage::Here && known.is_connected();
        let here = || self.shipped.iter().enumerate().filter(|(_, known)| is_here(known));
        let waits = |number: usize| {
            let waits = self.work.schedulers[number].waits().into_iter();
            waits.filter(|wait| self.waits_surely(wait)).count() > 0
        };
        let is_so = if summary.contains("suppressed its offers") {
            here().all(|(number, _)| !waits(number) || self.person.is_busy_with(number))
        } else if summary.contains("no agent has anything left") {
            let is_empty =
                |agent: &AgentView| is_scrap(&free(agent).minus(&resources(&agent.offered)));
            agents.iter().filter(|agent| agent.state == "connected").all(is_empty)
        } else if summary.contains("has declined what is free") {
            let has_declined = |number: usize| {
                self.now.since(self.work.schedulers[number].declined) <= REFUSED_MAX
            };
            here().all(|(number, _)| !waits(number) || has_declined(number))
        } else if summary.contains("no agent is connected") {
            agents.iter().all(|agent| agent.state != "connected")
        } else if summary.contains("no framework is connected") {
            !here().any(|(number, known): (usize, &Shipped)| number > 0 && known.is_connected())
        } else {
            true
        };
        assert!(is_so, "the status is not so: {summary}; agents: {agents:?}");
    }
}

fn between<'a>(text: &'a str, before: &str, behind: &str) -> Option<&'a str> {
    text.strip_prefix(before)?.strip_suffix(behind)
}

/// Whether it is too little to be worth an offer.
fn is_scrap(left: &Resources) -> bool {
    left.cpus() < Amount::millis(10) && left.mem() < Amount::units(32)
}
