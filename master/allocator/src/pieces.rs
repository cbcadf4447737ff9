//! How much of what a client may be offered of one agent it is offered at a time, while others
//! wait.
//!
//! The algorithm of the paper hands out task by task. A client that says which offer is the
//! smallest useful one is served like that: it gets what is due to it, or one such piece, before
//! it is asked again whose turn it is. A client that says nothing gets all, as in Mesos. What a
//! run gives a client of an agent in pieces is one offer.

use crate::{
    Allocator,
    agents::Agent,
    amounts::Amounts,
    bundle::Lot,
    frameworks::Wait,
    share,
    tree::{ClientId, NodeId, TOP},
};
use skep_protocol::{Time, operator::Weight};

/// A piece is at least this part of the cluster, so that a run hands out a bounded number of them
/// and large clusters go by whole agents.
const PIECES_OF_CLUSTER: u64 = 1_024;
/// Among more members of one node nobody's part is worth computing: pieces are as small as it.
const MEMBERS_MAX: usize = 64;
/// Thousandths in a unit.
const UNIT: u64 = 1_000;

/// A fraction of something; not below zero.
#[derive(Clone, Copy)]
struct Part {
    of: u64,
    whole: u64,
}

impl Part {
    fn max(self, other: Self) -> Self {
        let (mine, theirs) = (wide(self.of) * wide(other.whole), wide(other.of) * wide(self.whole));
        if mine >= theirs { self } else { other }
    }

    /// Rounded up.
    fn of_amount(self, amount: u64) -> u64 {
        narrow((wide(amount) * wide(self.of)).div_ceil(wide(self.whole.max(1))))
    }
}

fn wide(n: u64) -> u128 {
    n.into()
}

fn narrow(n: u128) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

impl Allocator {
    /// What of a lot, found for a client of an agent, it is to have before it is looked anew whose
    /// turn it is.
    pub(crate) fn piece(&self, id: ClientId, agent: &Agent, lot: Lot, now: Time) -> Lot {
        let client = self.client(id);
        let Some(Wait { least, .. }) = client.demand.as_ref().filter(|_| self.is_shared()) else {
            return lot;
        };
        let sum = lot.sum();
        let counts = share::dominant(least, &self.basis, &self.excluded);
        let Some((kind, _)) = counts else { return lot };
        let mut tasks = self.tasks_due(id, kind, least.get(kind));
        loop {
            let needed = times(least, tasks);
            let piece = cut(&lot, &self.bounds(&client.held, &needed, &sum, kind));
            if !self.refuses(id, agent, &piece, now) {
                return piece;
            }
            if sum.shortfall(&needed).is_some() {
                return lot;
            }
            tasks = tasks.saturating_mul(2);
        }
    }

    /// Whether a client does not have all at once that it may have.
    pub(crate) fn is_served_in_pieces(&self, id: ClientId) -> bool {
        self.is_shared() && self.client(id).demand.is_some()
    }

    /// Whether several wait.
    fn is_shared(&self) -> bool {
        self.tree.at(TOP).hungry > 1
    }

    /// How many of a client's smallest tasks, of which each takes so much of a kind, are due to it;
    /// at least one, and as many as are a small part of the cluster.
    fn tasks_due(&self, id: ClientId, kind: usize, each: u64) -> u64 {
        let few = self.total.get(kind) / PIECES_OF_CLUSTER / each;
        (self.due(id, kind) / each).max(few).max(1)
    }

    /// How much of each kind goes with the tasks that need so much, to a client that holds so much:
    /// in proportion to what there is, but not so much that it, and not the tasks, would put the
    /// client behind others.
    fn bounds(&self, held: &Amounts, needed: &Amounts, sum: &Amounts, kind: usize) -> Amounts {
        let share = |kind: usize, held: u64| Part { of: held, whole: self.total.get(kind) };
        let then = held.get(kind).saturating_add(needed.get(kind).min(sum.get(kind)));
        let mut level = share(kind, then);
        if let Some((kind, _)) = share::dominant(held, &self.basis, &self.excluded) {
            level = level.max(share(kind, held.get(kind)));
        }
        let of_lot = needed
            .iter()
            .filter(|(_, amount)| *amount > 0)
            .map(|(kind, amount)| Part { of: amount, whole: sum.get(kind) })
            .fold(Part { of: 0, whole: 1 }, Part::max);
        let mut bounds = Amounts::default();
        for (kind, amount) in sum.iter() {
            let mut bound = of_lot.of_amount(amount);
            let whole = self.total.get(kind);
            if whole > 0 && !self.excluded.get(kind).copied().unwrap_or(false) {
                bound = bound.min(level.of_amount(whole).saturating_sub(held.get(kind)));
            }
            // Of a kind that the client does not speak of it may want whole ones.
            if needed.get(kind) == 0 {
                bound = bound.next_multiple_of(UNIT);
            }
            bounds.set(kind, bound.max(needed.get(kind)));
        }
        bounds
    }

    /// How much of a kind a client holds too little of, if all who are hungry were to share what
    /// they hold and what is free by weight.
    fn due(&self, id: ClientId, kind: usize) -> u64 {
        let client = self.client(id);
        let mut path: Vec<NodeId> = self.tree.path(client.leaf).collect();
        path.reverse();
        let top = self.tree.at(TOP).held.get(kind);
        let mut budget = self.headroom.get(kind).saturating_add(top);
        for (place, node) in path.iter().enumerate() {
            let next = path.get(place + 1);
            let Some(mine) = self.part_among(*node, next.map_or(id.0, |next| next.0), kind) else {
                return 0;
            };
            let held = self.tree.at(*node).held.get(kind);
            let held_by_others = held.saturating_sub(mine.held);
            let shared = u128::from(budget.saturating_sub(held_by_others));
            let part = shared * u128::from(mine.weight) / u128::from(mine.weights.max(1));
            budget = u64::try_from(part).unwrap_or(u64::MAX);
        }
        budget.saturating_sub(client.held.get(kind))
    }

    /// How one of the hungry members of a node stands among them; none if there are too many.
    fn part_among(&self, id: NodeId, member: u32, kind: usize) -> Option<Standing> {
        let node = self.tree.at(id);
        if node.order.seats.len() > MEMBERS_MAX {
            return None;
        }
        let mut standing = Standing::default();
        for seat in &node.order.seats {
            let (weight, held) = if node.is_leaf() {
                (Weight::ONE, &self.client(ClientId(seat.id)).held)
            } else {
                let child = self.tree.at(NodeId(seat.id));
                (child.weight, &child.held)
            };
            let weight = weight.as_millis();
            standing.weights += weight;
            standing.held = standing.held.saturating_add(held.get(kind));
            if seat.id == member {
                standing.weight = weight;
            }
        }
        Some(standing)
    }
}

/// A member of a node among those that are hungry.
#[derive(Default)]
struct Standing {
    weight: u64,
    /// Of all.
    weights: u64,
    /// By all.
    held: u64,
}

fn times(each: &Amounts, count: u64) -> Amounts {
    let mut all = Amounts::default();
    each.iter().for_each(|(kind, amount)| all.set(kind, amount.saturating_mul(count)));
    all
}

/// Of a lot no more than this in all, what is reserved first.
fn cut(lot: &Lot, bounds: &Amounts) -> Lot {
    let mut rest = bounds.clone();
    let mut piece = Lot::default();
    for (term, amounts) in lot.iter() {
        let mut taken = amounts.clone();
        taken.cap(|kind| rest.get(kind));
        rest.subtract(&taken);
        piece.put(term, taken);
    }
    piece
}
