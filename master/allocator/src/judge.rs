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
    /// Everything is used or offered.
    Full,
    /// The agent has a scarce kind of resource that the framework cannot deal with.
    Incapable,
    /// The agent is in another region.
    OtherRegion,
    /// The framework's own constraints exclude it.
    Constraint,
    /// The agent lends nothing, and the framework waits for what is lent.
    NothingLent,
    /// Too much of what is left is only lent, and the framework does not deal with that.
    OnlyLent,
    /// Too much of what is left is reserved for roles that this one does not stand below.
    Reserved,
    /// Too much of what is left is not lent, and the framework waits for what is.
    NotLent,
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
            Self::OnlyLent => f.write_str(
                "only revocable resources would be enough, which the framework does not take",
            ),
            Self::Reserved => f.write_str("what would be enough is reserved for other roles"),
            Self::NotLent => {
                f.write_str("lends too little that is free, and the framework waits for that")
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

/// What kept something of an agent from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Limit,
    Headroom,
    Reserved,
    Lent,
    NotLent,
    /// The client waits for no more.
    Wants,
}

impl Cut {
    /// In the order in which they are named, if each by itself is in the way.
    const NAMED: [(Self, Cause); 5] = [
        (Self::Limit, Cause::Limit),
        (Self::Headroom, Cause::Headroom),
        (Self::Reserved, Cause::Reserved),
        (Self::Lent, Cause::OnlyLent),
        (Self::NotLent, Cause::NotLent),
    ];
}

/// What was cut off; nothing of it is written down if nobody asks why.
type Cuts = SmallVec<[(Cut, Amounts); 2]>;

/// Whether somebody wants to know why nothing is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    No,
    Why,
}

impl Allocator {
    pub(crate) fn judge(
        &self,
        id: ClientId,
        agent: &Agent,
        stage: Stage,
        now: Time,
    ) -> Result<Lot, Cause> {
        self.judge_as((id, self.client(id)), agent, stage, Asked::No, now)
    }

    /// The same for a client that waits for something else than it does. Only if it is asked why
    /// the cause is to the point.
    pub(crate) fn judge_as(
        &self,
        (id, client): (ClientId, &Client),
        agent: &Agent,
        stage: Stage,
        asked: Asked,
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
        let mut cuts = Cuts::new();
        let mut note = |cut, before: &Amounts, after: &Amounts| {
            if asked == Asked::Why && before != after {
                cuts.push((cut, before.clone().minus(after)));
            }
        };
        let lot = self.cut(client, agent, &allowance, &mut note);
        if stage == Stage::Guarantees && !helps(&lot, &allowance) {
            return Err(Cause::Full);
        }
        if !self.is_enough(client, &lot) {
            return Err(self.too_little(client, &lot, &cuts));
        }
        if self.refuses(id, agent, &lot, now) { Err(Cause::Filter) } else { Ok(lot) }
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
    fn cut(
        &self,
        client: &Client,
        agent: &Agent,
        allowance: &Allowance,
        note: &mut impl FnMut(Cut, &Amounts, &Amounts),
    ) -> Lot {
        let nothing = Amounts::default();
        let mut lot = Lot::default();
        let mut taken = Amounts::default();
        for (term, free) in self.parts(agent) {
            match term {
                Term::Revocable if !self.takes_revocable(client) => {
                    note(Cut::Lent, free, &nothing);
                    continue;
                }
                Term::Reserved(node) if !self.tree.is_within(client.leaf, node) => {
                    note(Cut::Reserved, free, &nothing);
                    continue;
                }
                Term::Revocable | Term::Reserved(_) | Term::Unreserved => {}
            }
            let mut part = free.clone();
            Self::cut_to_terms(&mut part, client, agent, term);
            note(Cut::NotLent, free, &part);
            self.cut_to_quota(&mut part, client, term, allowance, note);
            if client.demand.is_some() {
                let before = part.clone();
                part.cap(|kind| client.appetite_for(kind).saturating_sub(taken.get(kind)));
                note(Cut::Wants, &before, &part);
                taken.add(&part);
            }
            lot.put(term, part);
        }
        lot
    }

    /// Who waits for revocable resources takes no others of kinds that the agent lends.
    fn cut_to_terms(part: &mut Amounts, client: &Client, agent: &Agent, term: Term) {
        if let (Some(Terms::Revocable), Some(lent)) =
            (client.terms(), agent.total.part(Term::Revocable))
            && term != Term::Revocable
        {
            part.cap(|kind| if lent.get(kind) > 0 { 0 } else { u64::MAX });
        }
    }

    fn cut_to_quota(
        &self,
        part: &mut Amounts,
        client: &Client,
        term: Term,
        allowance: &Allowance,
        note: &mut impl FnMut(Cut, &Amounts, &Amounts),
    ) {
        let below = match term {
            Term::Revocable => return,
            Term::Reserved(node) => node,
            Term::Unreserved => TOP,
        };
        let before = part.clone();
        if self.cut_to_limits(part, client.leaf, below) {
            self.capped.set(true);
            note(Cut::Limit, &before, part);
        }
        let before = part.clone();
        if term == Term::Unreserved && Self::cut_to_allowance(part, allowance) {
            self.held_back.set(true);
            note(Cut::Headroom, &before, part);
        }
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
        !lot.is_empty() && self.is_worth_it(client, &lot.sum())
    }

    /// Whether an offer of this is of use to the client, if it is one of anything.
    fn is_worth_it(&self, client: &Client, sum: &Amounts) -> bool {
        match (&client.demand, &client.floors) {
            (Some(wait), _) => sum.contains(&wait.least),
            (None, Some(floors)) => is_above(sum, floors),
            (None, None) => self.is_above_a_floor(sum),
        }
    }

    /// Why a lot is too small: the first cut but for which it would not be; or else those that
    /// make it so together; or else nothing was cut.
    fn too_little(&self, client: &Client, lot: &Lot, cuts: &Cuts) -> Cause {
        let mut all = lot.sum();
        // What the client does not wait for is cut off anyway.
        let is_cut = |cut: Cut| cuts.iter().filter(move |(known, _)| *known == cut);
        for (cut, cause) in Cut::NAMED {
            let with_it = is_cut(cut).fold(lot.sum(), |sum, (_, amounts)| sum.plus(amounts));
            if with_it != lot.sum() && self.is_worth_it(client, &with_it) {
                return cause;
            }
        }
        for (cut, cause) in Cut::NAMED {
            is_cut(cut).for_each(|(_, amounts)| all.add(amounts));
            if is_cut(cut).next().is_some() && self.is_worth_it(client, &all) {
                return cause;
            }
        }
        match client.demand.as_ref().and_then(|wait| lot.sum().shortfall(&wait.least)) {
            Some(kind) => self.shortfall(kind),
            None if lot.is_empty() => Cause::Full,
            None => Cause::BelowFloor,
        }
    }

    fn shortfall(&self, kind: usize) -> Cause {
        Cause::Shortfall { kind: self.kinds.name(kind).to_owned() }
    }
}

/// Whether it holds one of these; anything does if there are none.
pub(crate) fn is_above(amounts: &Amounts, floors: &[Amounts]) -> bool {
    floors.is_empty() || floors.iter().any(|floor| amounts.contains(floor))
}

/// Whether any of it is owed.
fn helps(lot: &Lot, allowance: &Allowance) -> bool {
    let part = lot.part(Term::Unreserved);
    part.is_some_and(|part| part.iter().any(|(kind, n)| n > 0 && allowance.owed.get(kind) > 0))
}
