//! What one client may be offered of one agent, or why nothing.
//!
//! The run and the explanation both ask here, so that what is explained is what was decided.

use crate::{
    Allocator, Capability,
    agents::{Agent, Presence},
    amounts::Amounts,
    bundle::{Lot, Term},
    frameworks::Client,
    quota::Allowance,
    tree::{ClientId, TOP},
};
use skep_protocol::{Time, task::Terms};
use smallvec::SmallVec;
use std::{cmp::Reverse, fmt};

/// Why a client is offered nothing of an agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The agent takes no part: it is disconnected, drained or deactivated.
    Closed,
    /// Everything is used or offered, or reserved for others.
    Full,
    /// The agent has a scarce kind of resource that the framework cannot deal with.
    Incapable,
    /// The agent is in another region.
    OtherRegion,
    /// The framework's own constraints exclude it.
    Constraint,
    /// The agent lends nothing, and the framework waits for what is lent.
    NothingLent,
    /// What is left is only lent, and the framework does not deal with that.
    OnlyLent,
    /// The agent would be too small even if it were empty.
    TooSmall {
        /// Of which kind of resource.
        kind: String,
    },
    /// Too little of it is free.
    Shortfall {
        /// Of which kind of resource.
        kind: String,
    },
    /// A limit on the path of the role leaves too little.
    Limit,
    /// The rest is held for guarantees of others.
    Headroom,
    /// What is left is less than is worth an offer.
    BelowFloor,
    /// The framework has refused as much a short while ago.
    Filter,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("disconnected, drained or deactivated"),
            Self::Full => f.write_str("nothing free for this role"),
            Self::Incapable => {
                f.write_str("a scarce resource that the framework has not asked for")
            }
            Self::OtherRegion => f.write_str("in another region"),
            Self::Constraint => f.write_str("excluded by the framework's constraints"),
            Self::NothingLent => {
                f.write_str("lends nothing, and the framework waits for revocable resources")
            }
            Self::OnlyLent => {
                f.write_str("only revocable resources free, which the framework does not take")
            }
            Self::TooSmall { kind } => write!(f, "too small even when empty: {kind}"),
            Self::Shortfall { kind } => write!(f, "too little {kind} free"),
            Self::Limit => f.write_str("held back by the limit of the role or one above it"),
            Self::Headroom => f.write_str("held for the guarantees of other roles"),
            Self::BelowFloor => f.write_str("too little left to be worth an offer"),
            Self::Filter => f.write_str("refused by the framework a short while ago"),
        }
    }
}

/// For whom a pass is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Those who lack something that they are guaranteed.
    Guarantees,
    /// All.
    Fairness,
}

/// What took something off an offer before it was too small.
#[derive(Clone, Copy, Default)]
struct Cuts {
    limit: bool,
    headroom: bool,
    lent: bool,
}

impl Allocator {
    pub(crate) fn judge(
        &self,
        id: ClientId,
        agent: &Agent,
        stage: Stage,
        now: Time,
    ) -> Result<Lot, Cause> {
        self.judge_as(id, self.client(id), agent, stage, now)
    }

    /// The same for a client that waits for something else than it does.
    pub(crate) fn judge_as(
        &self,
        id: ClientId,
        client: &Client,
        agent: &Agent,
        stage: Stage,
        now: Time,
    ) -> Result<Lot, Cause> {
        self.check_suitable(client, agent)?;
        if let Some(wait) = &client.demand
            && let Some(kind) = agent.free_sum.shortfall(&wait.least)
        {
            return Err(self.shortfall(kind));
        }
        let allowance = self.allowance(client.leaf);
        if stage == Stage::Guarantees && allowance.owed.is_zero() {
            return Err(Cause::Full);
        }
        let (lot, cuts) = self.cut(client, agent, &allowance);
        if stage == Stage::Guarantees && !helps(&lot, &allowance) {
            return Err(Cause::Full);
        }
        if !self.is_enough(client, &lot) {
            return Err(self.too_little(client, &lot, cuts));
        }
        let refuses = agent.filters.get(&id).is_some_and(|filters| filters.refuse(&lot, now));
        if refuses { Err(Cause::Filter) } else { Ok(lot) }
    }

    fn check_suitable(&self, client: &Client, agent: &Agent) -> Result<(), Cause> {
        if agent.presence != Presence::Open {
            return Err(Cause::Closed);
        }
        if agent.free.is_empty() {
            return Err(Cause::Full);
        }
        let is_capable = |capability: &Capability| {
            let framework = self.frameworks.get(&client.framework);
            framework.is_some_and(|framework| framework.capabilities.contains(capability))
        };
        if agent.region.is_some()
            && agent.region != self.policy.region
            && !is_capable(&Capability::RegionAware)
        {
            return Err(Cause::OtherRegion);
        }
        for kind in &self.scarce {
            let has = agent.total.iter().any(|(_, amounts)| amounts.get(*kind) > 0);
            if has && !is_capable(&Capability::Scarce(self.kinds.name(*kind).to_owned())) {
                return Err(Cause::Incapable);
            }
        }
        let lends = agent.total.part(Term::Revocable).is_some();
        if !client.constraints.hold(&agent.attributes) {
            Err(Cause::Constraint)
        } else if client.terms() == Some(Terms::Revocable) && !lends {
            Err(Cause::NothingLent)
        } else {
            Ok(())
        }
    }

    /// What is free for the client, cut to its demand, its limits and its allowance.
    fn cut(&self, client: &Client, agent: &Agent, allowance: &Allowance) -> (Lot, Cuts) {
        let mut cuts = Cuts::default();
        let mut lot = Lot::default();
        let mut taken = Amounts::default();
        let lent = agent.total.part(Term::Revocable);
        for (term, free) in self.parts(agent) {
            let mut part = free.clone();
            if let (Some(Terms::Revocable), Some(lent)) = (client.terms(), lent)
                && term != Term::Revocable
            {
                part.cap(|kind| if lent.get(kind) > 0 { 0 } else { u64::MAX });
            }
            match term {
                Term::Revocable if !self.takes_revocable(client) => {
                    cuts.lent = true;
                    continue;
                }
                Term::Revocable => {}
                Term::Reserved(node) if !self.tree.is_within(client.leaf, node) => continue,
                Term::Reserved(node) => {
                    cuts.limit |= self.cut_to_limits(&mut part, client.leaf, node);
                }
                Term::Unreserved => {
                    cuts.limit |= self.cut_to_limits(&mut part, client.leaf, TOP);
                    if Self::cut_to_allowance(&mut part, allowance) {
                        cuts.headroom = true;
                        self.held_back.set(true);
                    }
                }
            }
            if client.demand.is_some() {
                part.cap(|kind| client.appetite_for(kind).saturating_sub(taken.get(kind)));
                taken.add(&part);
            }
            lot.put(term, part);
        }
        if cuts.limit {
            self.capped.set(true);
        }
        (lot, cuts)
    }

    /// The free parts of an agent, what is reserved first, and of that the innermost first: fewer
    /// others could use it.
    fn parts<'a>(&self, agent: &'a Agent) -> SmallVec<[(Term, &'a Amounts); 2]> {
        let mut parts: SmallVec<[_; 2]> = agent.free.iter().collect();
        if parts.len() > 2 {
            parts.sort_by_key(|(term, _)| match term {
                Term::Reserved(node) => (0, Reverse(Some(self.tree.role(*node)))),
                Term::Unreserved => (1, Reverse(None)),
                Term::Revocable => (2, Reverse(None)),
            });
        }
        parts
    }

    fn takes_revocable(&self, client: &Client) -> bool {
        let framework = self.frameworks.get(&client.framework);
        let is_capable = framework
            .is_some_and(|framework| framework.capabilities.contains(&Capability::Revocable));
        is_capable && client.terms() != Some(Terms::Regular)
    }

    fn is_enough(&self, client: &Client, lot: &Lot) -> bool {
        if lot.is_empty() {
            return false;
        }
        let sum = lot.sum();
        match (&client.demand, &client.floors) {
            (Some(wait), _) => sum.contains(&wait.least),
            (None, Some(floors)) => floors.iter().any(|floor| sum.contains(floor)),
            (None, None) => self.is_above_a_floor(&sum),
        }
    }

    fn too_little(&self, client: &Client, lot: &Lot, cuts: Cuts) -> Cause {
        if cuts.headroom {
            return Cause::Headroom;
        }
        if cuts.limit {
            return Cause::Limit;
        }
        let short = client.demand.as_ref().and_then(|wait| lot.sum().shortfall(&wait.least));
        match short {
            _ if cuts.lent && lot.is_empty() => Cause::OnlyLent,
            Some(kind) => self.shortfall(kind),
            None if lot.is_empty() => Cause::Full,
            None => Cause::BelowFloor,
        }
    }

    fn shortfall(&self, kind: usize) -> Cause {
        Cause::Shortfall { kind: self.kinds.name(kind).to_owned() }
    }
}

/// Whether any of it is owed.
fn helps(lot: &Lot, allowance: &Allowance) -> bool {
    let part = lot.part(Term::Unreserved);
    part.is_some_and(|part| part.iter().any(|(kind, n)| n > 0 && allowance.owed.get(kind) > 0))
}
