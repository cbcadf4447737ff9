//! Why a client has no offer, or a task no place: the judgement of a run, counted by cause.

use crate::{
    Allocator, Appetite, Cause,
    agents::Presence,
    amounts::Amounts,
    frameworks::{Client, Wait},
    judge::{Asked, Stage},
    share::Share,
    tree::ClientId,
};
use skep_protocol::{FrameworkId, Resources, Role, Time, operator::Weight};
use std::{collections::BTreeMap, fmt};

/// Why somebody was not offered anything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// Why it is offered nothing at all, whatever there is.
    pub silence: Option<Silence>,
    /// How many are served before it, if it may be served.
    pub ahead: usize,
    /// Its framework's share of the cluster, 0 to 1.
    pub share: f64,
    /// What waits for its answer.
    pub offered: Resources,
    /// Agents that it could be offered now.
    pub possible: usize,
    /// All others, by what stands in the way.
    pub causes: BTreeMap<Cause, usize>,
}

/// Why somebody is offered nothing at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// There is no such framework, or it has no such role.
    Unknown,
    /// It is not connected.
    Absent,
    /// It suppressed offers.
    Suppressed,
    /// It has as many offers out as it may have.
    TooManyOffers,
    /// It waits for nothing that it is not offered already.
    Sated,
    /// What it said that it waits for was launched, but for less than is of use to it.
    UsedUp,
}

impl Allocator {
    /// Why a framework has no offer in a role. With `needs`: why a task that needs this has no
    /// place; the demand of its framework is left out of it then.
    pub fn explain(
        &self,
        framework: &FrameworkId,
        role: &Role,
        needs: Option<&Resources>,
        now: Time,
    ) -> Explanation {
        let Some(id) = self.client_of(framework, role) else {
            return Explanation { silence: Some(Silence::Unknown), ..Explanation::default() };
        };
        let mut asking = self.client(id).clone();
        if let Some(needs) = needs {
            let mut least = Amounts::default();
            for (name, amount) in needs.iter() {
                match self.kinds.find(name) {
                    Some(kind) => least.set(kind, amount.as_millis()),
                    None => return self.explain_unknown(id, name),
                }
            }
            let terms = asking.terms();
            asking.demand = Some(Wait::unbounded(least, terms));
        }
        let silence = self.silence_of(&asking);
        if let Some(wait) = asking.demand.as_mut().filter(|_| silence.is_some()) {
            // What stands in its way besides is seen as if it waited for more.
            *wait = Wait::unbounded(wait.least.clone(), wait.terms);
        }
        Explanation { silence, ..self.explain_client(id, &asking, now) }
    }

    /// Nobody has ever heard of such a kind of resource.
    fn explain_unknown(&self, id: ClientId, kind: &str) -> Explanation {
        let count = self.agents.values().filter(|agent| agent.presence != Presence::Away).count();
        let causes = (count > 0).then(|| (Cause::TooSmall { kind: kind.to_owned() }, count));
        let silence = self.silence(id);
        Explanation { silence, causes: causes.into_iter().collect(), ..Explanation::default() }
    }

    fn explain_client(&self, id: ClientId, client: &Client, now: Time) -> Explanation {
        let served = self.clients_in_order();
        let share = Share::of(&client.held, &self.total, Weight::ONE, &self.excluded);
        let mut explanation = Explanation {
            ahead: served.iter().position(|other| *other == id).unwrap_or(0),
            share: share.as_f64(),
            offered: self.kinds.resources(&client.offered),
            ..Explanation::default()
        };
        let least = client.demand.as_ref().map(|wait| &wait.least);
        for agent in self.agents.values().filter(|agent| agent.presence != Presence::Away) {
            let too_small = least.and_then(|least| agent.total.sum().shortfall(least));
            let judged = match too_small {
                Some(kind) if agent.presence == Presence::Open => {
                    Err(Cause::TooSmall { kind: self.kinds.name(kind).to_owned() })
                }
                _ => self.judge_as((id, client), agent, Stage::Fairness, Asked::Why, now),
            };
            match judged {
                Ok(_) => explanation.possible += 1,
                Err(cause) => *explanation.causes.entry(cause).or_default() += 1,
            }
        }
        explanation
    }

    fn silence(&self, id: ClientId) -> Option<Silence> {
        self.silence_of(self.client(id))
    }

    fn silence_of(&self, client: &Client) -> Option<Silence> {
        let framework = self.frameworks.get(&client.framework);
        match framework {
            None => Some(Silence::Unknown),
            Some(framework) if !framework.is_active => Some(Silence::Absent),
            _ if client.appetite == Appetite::Suppressed => Some(Silence::Suppressed),
            Some(framework) if framework.offers_out >= self.policy.offers_out_max => {
                Some(Silence::TooManyOffers)
            }
            _ if client.demand.as_ref().is_some_and(Wait::is_used_up) => Some(Silence::UsedUp),
            _ if client.is_sated() => Some(Silence::Sated),
            _ => None,
        }
    }
}

impl fmt::Display for Explanation {
    /// In sentences, one to a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.silence {
            Some(silence) => writeln!(f, "No offers are made: {silence}.")?,
            None => writeln!(
                f,
                "It holds {:.1} % of its dominant resource; {} served before it.",
                self.share * 100.0,
                people(self.ahead)
            )?,
        }
        if !self.offered.is_empty() {
            writeln!(f, "Offered and not answered yet: {}.", self.offered)?;
        }
        if self.possible > 0 {
            let then = if self.silence.is_none() { "now" } else { "then" };
            writeln!(f, "{} could be offered {then}.", agents(self.possible))?;
        }
        for (cause, count) in &self.causes {
            writeln!(f, "{}: {cause}.", agents(*count))?;
        }
        if self.possible == 0 && self.causes.is_empty() {
            writeln!(f, "The cluster has no agents.")?;
        }
        Ok(())
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "there is no such framework in this role",
            Self::Absent => "the framework is not connected",
            Self::Suppressed => "the framework suppressed offers; it will have to revive them",
            Self::TooManyOffers => "it has as many offers out as it may have",
            Self::Sated => "it waits for nothing that it is not offered already",
            Self::UsedUp => {
                "what it said that it waits for was launched; it will have to say what else it \
                 waits for, or revive offers"
            }
        })
    }
}

fn agents(count: usize) -> String {
    if count == 1 { "1 agent".into() } else { format!("{count} agents") }
}

fn people(count: usize) -> String {
    match count {
        0 => "nobody is".into(),
        1 => "1 other is".into(),
        _ => format!("{count} others are"),
    }
}
