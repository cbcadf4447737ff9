//! Resources by the terms on which they are held: unreserved, reserved for a role, revocable.

use crate::{
    amounts::{Amounts, Kinds},
    tree::{NodeId, Tree},
};
use skep_protocol::{Amount, Resources, Role, task::Terms};
use smallvec::SmallVec;
use std::{collections::BTreeMap, fmt};

/// What an agent has, an offer holds, somebody uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// For whoever's turn it is.
    pub unreserved: Resources,
    /// For a role and its descendants only.
    pub reserved: BTreeMap<Role, Resources>,
    /// Lent to frameworks that opted in; taken back without notice.
    pub revocable: Resources,
}

impl Bundle {
    /// All together.
    pub fn sum(&self) -> Resources {
        let mut sum = self.unreserved.plus(&self.revocable);
        self.reserved.values().for_each(|part| sum.add(part));
        sum
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        let Self { unreserved, reserved, revocable } = self;
        unreserved.is_empty() && revocable.is_empty() && reserved.values().all(Resources::is_empty)
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        sum.unreserved.add(&other.unreserved);
        sum.revocable.add(&other.revocable);
        for (role, part) in &other.reserved {
            sum.reserved.entry(role.clone()).or_default().add(part);
        }
        sum
    }

    /// What is left without `other`, nowhere below zero.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        rest.unreserved.subtract(&other.unreserved);
        rest.revocable.subtract(&other.revocable);
        for (role, part) in &other.reserved {
            if let Some(mine) = rest.reserved.get_mut(role) {
                mine.subtract(part);
            }
        }
        rest.reserved.retain(|_, part| !part.is_empty());
        rest
    }

    /// This, but of nothing more than `cap` has on the same terms.
    #[must_use]
    pub fn at_most(&self, cap: &Self) -> Self {
        let reserved = self.reserved.iter().filter_map(|(role, part)| {
            let part = part.at_most(cap.reserved.get(role)?);
            (!part.is_empty()).then(|| (role.clone(), part))
        });
        Self {
            unreserved: self.unreserved.at_most(&cap.unreserved),
            reserved: reserved.collect(),
            revocable: self.revocable.at_most(&cap.revocable),
        }
    }

    /// What of this may be held on these terms, of an agent that lends `lent` in all: what is not
    /// revocable; or what is, with the kinds that the agent does not lend.
    #[must_use]
    pub fn on(&self, terms: Terms, lent: &Resources) -> Self {
        if terms == Terms::Regular {
            return Self { revocable: Resources::none(), ..self.clone() };
        }
        if lent.is_empty() {
            return Self::default();
        }
        let without_lent = |part: &Resources| {
            let kinds = part.iter().filter(|(kind, _)| lent.amount(kind) == Amount::ZERO);
            kinds.fold(Resources::none(), |sum, (kind, amount)| sum.with(kind, amount))
        };
        let reserved = self.reserved.iter().map(|(role, part)| (role.clone(), without_lent(part)));
        Self {
            unreserved: without_lent(&self.unreserved),
            reserved: reserved.filter(|(_, part)| !part.is_empty()).collect(),
            revocable: self.revocable.clone(),
        }
    }

    /// Takes `wanted` out of this, of what is reserved first and of what is revocable last; of a
    /// kind of which there is less, all of it.
    #[must_use]
    pub fn pick(&self, wanted: &Resources) -> Self {
        let mut rest = wanted.clone();
        let mut take = |part: &Resources| {
            let taken = part.at_most(&rest);
            rest.subtract(&taken);
            taken
        };
        // The innermost reservation first: fewer others could use it.
        let reserved: BTreeMap<Role, Resources> =
            self.reserved.iter().rev().map(|(role, part)| (role.clone(), take(part))).collect();
        let (unreserved, revocable) = (take(&self.unreserved), take(&self.revocable));
        let mut picked = Self { unreserved, reserved, revocable };
        picked.reserved.retain(|_, part| !part.is_empty());
        picked
    }
}

impl From<Resources> for Bundle {
    fn from(unreserved: Resources) -> Self {
        Self { unreserved, ..Self::default() }
    }
}

impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.sum())?;
        for (role, part) in &self.reserved {
            write!(f, ", reserved for {role}: {part}")?;
        }
        if self.revocable.is_empty() {
            Ok(())
        } else {
            write!(f, ", revocable: {}", self.revocable)
        }
    }
}

/// On which terms something is held. What is reserved goes out first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Term {
    Reserved(NodeId),
    Unreserved,
    Revocable,
}

/// A bundle in the allocator's own numbers. No part in it is empty, and they are in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lot(SmallVec<[(Term, Amounts); 1]>);

impl Lot {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Term, &Amounts)> {
        self.0.iter().map(|(term, amounts)| (*term, amounts))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn part(&self, term: Term) -> Option<&Amounts> {
        self.0.iter().find(|(known, _)| *known == term).map(|(_, amounts)| amounts)
    }

    pub(crate) fn put(&mut self, term: Term, amounts: Amounts) {
        if amounts.is_zero() {
            return;
        }
        match self.0.binary_search_by_key(&term, |(known, _)| *known) {
            Ok(place) => self.0[place].1.add(&amounts),
            Err(place) => self.0.insert(place, (term, amounts)),
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        other.iter().for_each(|(term, amounts)| self.put(term, amounts.clone()));
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        for (term, amounts) in &mut self.0 {
            if let Some(part) = other.part(*term) {
                amounts.subtract(part);
            }
        }
        self.0.retain(|(_, amounts)| !amounts.is_zero());
    }

    pub(crate) fn contains(&self, other: &Self) -> bool {
        other.iter().all(|(term, part)| self.part(term).is_some_and(|all| all.contains(part)))
    }

    pub(crate) fn sum(&self) -> Amounts {
        self.0.iter().fold(Amounts::default(), |sum, (_, amounts)| sum.plus(amounts))
    }

    pub(crate) fn of(bundle: &Bundle, kinds: &mut Kinds, tree: &mut Tree) -> Self {
        let mut lot = Self::default();
        for (role, part) in &bundle.reserved {
            let node = tree.node(role);
            tree.pin(node);
            lot.put(Term::Reserved(node), kinds.amounts(part));
        }
        lot.put(Term::Unreserved, kinds.amounts(&bundle.unreserved));
        lot.put(Term::Revocable, kinds.amounts(&bundle.revocable));
        lot
    }

    pub(crate) fn bundle(&self, kinds: &Kinds, tree: &Tree) -> Bundle {
        let mut bundle = Bundle::default();
        for (term, amounts) in self.iter() {
            let part = kinds.resources(amounts);
            match term {
                Term::Reserved(node) => {
                    bundle.reserved.insert(tree.role(node).clone(), part);
                }
                Term::Unreserved => bundle.unreserved = part,
                Term::Revocable => bundle.revocable = part,
            }
        }
        bundle
    }
}
