//! Quota: what a role is guaranteed and what it may have at most, at every level of the tree.
//!
//! `consumed` of a node is what is reserved for its subtree, used or not, plus what its clients
//! hold of anything else; revocable resources do not count. For each kind of resource
//!
//! ```text
//! unmet(node)  = the larger of  guarantee(node) - consumed(node)  and  sum of unmet(children)
//! required     = sum of unmet(roles at the top)
//! surplus      = free, unreserved, not revocable, on all open agents  -  required
//! ```
//! A client may take what is missing to a guarantee on its path without asking: free and required
//! shrink alike. Of more than that it may take the surplus at most, and never more than the
//! narrowest limit on its path leaves.

use crate::{
    Allocator, Freed,
    amounts::Amounts,
    bundle::{Lot, Term},
    tree::{NodeId, TOP},
};
use skep_protocol::{Amount, Resources, Role, operator::Quota};

/// Why a quota was not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// More is guaranteed than allowed.
    #[error("{kind}: {guarantee} are guaranteed, but the limit is {limit}")]
    GuaranteeAboveLimit {
        /// Of which kind.
        kind: String,
        /// What is guaranteed.
        guarantee: Amount,
        /// What is allowed.
        limit: Amount,
    },
    /// The role has more already.
    #[error("{kind}: the limit would be {limit}, but {role} has {consumed} already")]
    BelowConsumption {
        /// Whose.
        role: Role,
        /// Of which kind.
        kind: String,
        /// The limit that was asked for.
        limit: Amount,
        /// What the role has.
        consumed: Amount,
    },
}

/// Limits by kind; a kind that is not listed is unlimited.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits(Vec<(usize, u64)>);

impl Limits {
    pub(crate) const fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// How much of a kind is left; all of it if it is unlimited.
    fn room(&self, kind: usize, consumed: &Amounts) -> u64 {
        let limit = self.0.iter().find(|(known, _)| *known == kind);
        limit.map_or(u64::MAX, |(_, limit)| limit.saturating_sub(consumed.get(kind)))
    }
}

/// What quota allows a client, beyond what it may take freely.
#[derive(Debug)]
pub(crate) struct Allowance {
    /// What is missing to the guarantees on its path.
    pub(crate) owed: Amounts,
    /// What nobody's guarantee needs; none if there are no guarantees.
    surplus: Option<Amounts>,
}

impl Allowance {
    fn of(&self, kind: usize) -> u64 {
        let Some(surplus) = &self.surplus else { return u64::MAX };
        self.owed.get(kind).saturating_add(surplus.get(kind))
    }
}

impl Allocator {
    /// Sets a role's quota, or takes it away: the default is none.
    ///
    /// # Errors
    /// [`QuotaError`] if the guarantee is above the limit. What the role has already is not
    /// looked at: see [`Allocator::check_quota`].
    pub fn set_quota(&mut self, role: &Role, quota: &Quota) -> Result<(), QuotaError> {
        check_consistency(quota)?;
        let node = self.tree.node(role);
        let guarantee = self.kinds.amounts(&quota.guarantee);
        let kinds = &mut self.kinds;
        let limits = quota.limit.iter().map(|(kind, limit)| (kinds.index(kind), limit.as_millis()));
        let limits = Limits(limits.collect());
        let known = self.tree.at_mut(node);
        let had = usize::from(!known.guarantee.is_zero());
        let has = usize::from(!guarantee.is_zero());
        (known.guarantee, known.limits) = (guarantee, limits);
        self.guarantees = self.guarantees + has - had;
        self.refresh_unmet(node);
        self.tree.prune(node);
        self.mark_all_freed();
        Ok(())
    }

    /// Whether a quota could be set without taking anything from the role.
    ///
    /// # Errors
    /// [`QuotaError`] if it is inconsistent or below what the role has.
    pub fn check_quota(&self, role: &Role, quota: &Quota) -> Result<(), QuotaError> {
        check_consistency(quota)?;
        let consumed = self.consumed(role);
        for (kind, limit) in &quota.limit {
            let consumed = consumed.amount(kind);
            if consumed > *limit {
                let (role, kind, limit) = (role.clone(), kind.clone(), *limit);
                return Err(QuotaError::BelowConsumption { role, kind, limit, consumed });
            }
        }
        Ok(())
    }

    /// What counts against a role's quota.
    pub fn consumed(&self, role: &Role) -> Resources {
        let node = self.tree.find(role);
        node.map(|node| self.kinds.resources(&self.tree.at(node).consumed)).unwrap_or_default()
    }

    /// A role's quota.
    pub fn quota(&self, role: &Role) -> Quota {
        let Some(node) = self.tree.find(role).map(|node| self.tree.at(node)) else {
            return Quota::default();
        };
        let limit = node.limits.0.iter();
        Quota {
            guarantee: self.kinds.resources(&node.guarantee),
            limit: limit
                .map(|(kind, limit)| (self.kinds.name(*kind).to_owned(), Amount::millis(*limit)))
                .collect(),
        }
    }

    pub(crate) fn allowance(&self, leaf: NodeId) -> Allowance {
        if self.guarantees == 0 {
            return Allowance { owed: Amounts::default(), surplus: None };
        }
        let mut owed = Amounts::default();
        for node in self.tree.path(leaf) {
            if node != TOP {
                owed.add(&self.tree.at(node).unmet_itself());
            }
        }
        Allowance { owed, surplus: Some(self.surplus()) }
    }

    /// Cuts what a client would be offered to the limits on its path; says whether that took
    /// anything. `below` is the node whose reservation it is, or the top.
    pub(crate) fn cut_to_limits(&self, part: &mut Amounts, leaf: NodeId, below: NodeId) -> bool {
        let before = part.clone();
        for id in self.tree.path(leaf).take_while(|id| *id != below) {
            let node = self.tree.at(id);
            if !node.limits.is_none() {
                part.cap(|kind| node.limits.room(kind, &node.consumed));
            }
        }
        *part != before
    }

    /// Cuts what a client would be offered to its allowance; says whether that took anything.
    pub(crate) fn cut_to_allowance(part: &mut Amounts, allowance: &Allowance) -> bool {
        if allowance.surplus.is_none() {
            return false;
        }
        let before = part.clone();
        part.cap(|kind| allowance.of(kind));
        *part != before
    }

    /// Books what a client holds more or less now as consumed.
    pub(crate) fn consume(&mut self, leaf: NodeId, lot: &Lot, sign: Sign) {
        for (term, amounts) in lot.iter() {
            let below = match term {
                Term::Revocable => continue,
                Term::Unreserved => TOP,
                Term::Reserved(node) => node,
            };
            self.consume_along(leaf, below, amounts, sign);
        }
    }

    /// Books reservations on an agent that begins or ceases to count.
    pub(crate) fn consume_reservations(&mut self, total: &Lot, sign: Sign) {
        for (term, amounts) in total.iter() {
            if let Term::Reserved(node) = term {
                self.consume_along(node, TOP, amounts, sign);
            }
        }
    }

    fn consume_along(&mut self, from: NodeId, below: NodeId, amounts: &Amounts, sign: Sign) {
        let mut id = from;
        while id != below && id != TOP {
            let node = self.tree.at_mut(id);
            match sign {
                Sign::More => node.consumed.add(amounts),
                Sign::Less => node.consumed.subtract(amounts),
            }
            id = node.parent.unwrap_or(TOP);
        }
        if self.guarantees > 0 {
            self.refresh_unmet(from);
        }
        if sign == Sign::Less && self.capped.get() {
            self.mark_all_freed();
        }
    }

    /// Computes what is missing anew, from a node up.
    fn refresh_unmet(&mut self, from: NodeId) {
        let mut id = from;
        let mut owed = self.tree.at(id).unmet_itself();
        while let Some(parent) = self.tree.at(id).parent {
            let node = self.tree.at_mut(id);
            let missing = node.guarantee.clone().minus(&node.consumed);
            let itself = missing.minus(&node.unmet_below);
            let owes_more = !owed.contains(&itself);
            let unmet = node.unmet_below.clone().plus(&itself);
            let before = std::mem::replace(&mut node.unmet, unmet.clone());
            let above = self.tree.at_mut(parent);
            // As it was: what is missing below is a part of what is missing.
            owed = above.unmet_itself();
            above.unmet_below.add(&unmet);
            above.unmet_below.subtract(&before);
            if owes_more && self.held_back.get() {
                self.mark_all_freed();
            }
            id = parent;
        }
    }

    /// What nobody's guarantee needs of what is free.
    pub(crate) fn surplus(&self) -> Amounts {
        self.headroom.clone().minus(&self.tree.at(TOP).unmet_below)
    }

    /// Whether there is more of it than when somebody was last held back for lack of it.
    pub(crate) fn has_more_surplus(&self) -> bool {
        self.policy.freed == Freed::AtOnce
            && self.held_back.get()
            && !self.surplus_then.contains(&self.surplus())
    }
}

/// Whether something is booked or taken off the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    More,
    Less,
}

fn check_consistency(quota: &Quota) -> Result<(), QuotaError> {
    for (kind, limit) in &quota.limit {
        let guarantee = quota.guarantee.amount(kind);
        if guarantee > *limit {
            let (kind, limit) = (kind.clone(), *limit);
            return Err(QuotaError::GuaranteeAboveLimit { kind, guarantee, limit });
        }
    }
    Ok(())
}
