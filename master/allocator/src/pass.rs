//! One run: agents are visited in their order; of each a piece, at most all that may be offered,
//! goes to the first in the tree's order who takes it, and the next one to the first by the order
//! as it is then.
//!
//! ```text
//! 1. those who lack something that they are guaranteed
//! 2. all
//! ```
//! A run looks at agents where something changed, with everybody, and at all spare agents with
//! those clients that have changed. What it does not look at was looked at before, and nothing
//! that was found then can be otherwise now: who has less to choose from finds no more. Only of
//! guarantees a run may itself leave more to others, where what is reserved for a role is offered
//! to it: from there on it looks at everything, and then once more from the beginning.

use crate::{
    Allocator, Bundle,
    agents::AgentKey,
    bundle::Lot,
    judge::{Cause, Stage},
    tree::{ClientId, NodeId, TOP},
};
use skep_protocol::{AgentId, FrameworkId, Role, Time};
use smallvec::SmallVec;
use std::{
    collections::BTreeSet,
    ops::Bound::{Excluded, Unbounded},
};

/// Clients that are looked for one by one; of more it is cheaper to look at everything.
const CLIENTS_APART_MAX: usize = 8;

/// An offer to be made; it is booked already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// To whom.
    pub framework: FrameworkId,
    /// In which role.
    pub role: Role,
    /// Whose resources.
    pub agent: AgentId,
    /// Which.
    pub bundle: Bundle,
}

/// Whether all is to be looked at once more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    No,
    Yes,
}

impl std::ops::BitOrAssign for Again {
    fn bitor_assign(&mut self, other: Self) {
        if other == Self::Yes {
            *self = Self::Yes;
        }
    }
}

/// Who is looked at with an agent.
#[derive(Clone, Copy)]
enum Look {
    Everybody,
    These,
}

/// The offers of a run, by visit and, within one, by agent; each of one agent to one client.
#[derive(Default)]
struct Offers {
    made: Vec<(AgentKey, ClientId, Lot)>,
    /// Where those of each visit begin.
    visits: Vec<usize>,
}

impl Offers {
    fn begin_visit(&mut self) {
        self.visits.push(self.made.len());
    }

    fn of(&mut self, key: &AgentKey, client: ClientId) -> Option<&mut Lot> {
        let ends = self.visits.iter().skip(1).copied().chain([self.made.len()]);
        let visits: SmallVec<[_; 2]> = self.visits.iter().copied().zip(ends).collect();
        let place = visits.into_iter().rev().find_map(|(begin, end)| {
            let visit = &self.made[begin..end];
            let first = visit.partition_point(|(of, ..)| of < key);
            let of_agent = visit[first..].iter().take_while(|(of, ..)| of == key);
            let place = of_agent.into_iter().position(|(_, to, _)| *to == client)?;
            Some(begin + first + place)
        })?;
        Some(&mut self.made[place].2)
    }
}

enum Found {
    Taker(ClientId, Lot),
    /// This order must be made anew first.
    Stale(NodeId),
}

impl Allocator {
    /// Offers what may have become possible since the last run.
    pub fn run(&mut self, now: Time) -> Vec<Grant> {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.everything |= self.has_more_surplus();
        dirty.clients.retain(|id| self.client(*id).is_hungry);
        if dirty.clients.len() > CLIENTS_APART_MAX {
            dirty.everything = true;
        }
        let mut offers = Offers::default();
        loop {
            if dirty.everything {
                self.held_back.set(false);
                self.capped.set(false);
            }
            let mut again = Again::No;
            if self.guarantees > 0 && !self.tree.at(TOP).unmet_below.is_zero() {
                again |= self.visit(&mut dirty, Stage::Guarantees, now, &mut offers);
            }
            again |= self.visit(&mut dirty, Stage::Fairness, now, &mut offers);
            self.surplus_then = self.surplus();
            if again == Again::No {
                break;
            }
        }
        let grant = |(key, client, lot): &(_, _, _)| self.grant(*client, key, lot);
        offers.made.iter().map(grant).collect()
    }

    fn visit(
        &mut self,
        dirty: &mut crate::Dirty,
        stage: Stage,
        now: Time,
        offers: &mut Offers,
    ) -> Again {
        offers.begin_visit();
        let mut again = Again::No;
        let mut last: Option<AgentKey> = None;
        while self.tree.at(TOP).hungry > 0 {
            let Some((key, mut look)) = self.next_agent(dirty, last.as_ref()) else { break };
            while let Some((client, lot)) = self.taker(&key, look, &dirty.clients, stage, now) {
                match offers.of(&key, client) {
                    Some(offer) => {
                        offer.add(&lot);
                        self.book_piece(client, &key, &lot);
                    }
                    None => {
                        self.book_offer(client, &key, &lot);
                        offers.made.push((key.clone(), client, lot));
                    }
                }
                if self.leaves_more() {
                    (again, look, dirty.everything) = (Again::Yes, Look::Everybody, true);
                }
                if !self.spare.contains(&key) {
                    break;
                }
            }
            last = Some(key);
        }
        again
    }

    /// Whether what was just booked has left more to others than they were found to have.
    fn leaves_more(&mut self) -> bool {
        if self.guarantees == 0 {
            return false;
        }
        let has_more = std::mem::take(&mut self.dirty.everything) || self.has_more_surplus();
        self.surplus_then = self.surplus_then.at_most(&self.surplus());
        has_more
    }

    /// The next agent to visit, and with whom.
    fn next_agent(
        &self,
        dirty: &crate::Dirty,
        last: Option<&AgentKey>,
    ) -> Option<(AgentKey, Look)> {
        let from = (last.map_or(Unbounded, Excluded), Unbounded);
        let mut changed = dirty.agents.range::<AgentKey, _>(from);
        let changed = changed.find(|key| self.spare.contains(*key));
        let is_wanted = |id: &ClientId| self.client(*id).is_hungry;
        let is_spare_wanted = dirty.everything || dirty.clients.iter().any(is_wanted);
        let spare = is_spare_wanted.then(|| self.spare.range::<AgentKey, _>(from).next()).flatten();
        match (changed, spare) {
            (None, None) => None,
            (Some(changed), spare) if spare.is_none_or(|spare| changed <= spare) => {
                Some((changed.clone(), Look::Everybody))
            }
            (_, Some(spare)) if dirty.everything => Some((spare.clone(), Look::Everybody)),
            (_, Some(spare)) => Some((spare.clone(), Look::These)),
            (Some(changed), None) => Some((changed.clone(), Look::Everybody)),
        }
    }

    /// The first who takes something of the agent, and the piece that it takes.
    fn taker(
        &mut self,
        key: &AgentKey,
        look: Look,
        clients: &BTreeSet<ClientId>,
        stage: Stage,
        now: Time,
    ) -> Option<(ClientId, Lot)> {
        if matches!(look, Look::These) && clients.len() == 1 {
            return self.only_taker(*clients.first()?, key, stage, now);
        }
        loop {
            let agent = self.agents.get(key)?;
            let judge = |id: ClientId| match look {
                Look::These if !clients.contains(&id) => Err(Cause::Full),
                _ => self.judge(id, agent, stage, now),
            };
            match self.first(TOP, &judge)? {
                Found::Taker(client, lot) => {
                    return Some((client, self.piece(client, agent, lot, now)));
                }
                Found::Stale(node) => self.freshen(node),
            }
        }
    }

    /// The same if there is nobody to compare it with.
    fn only_taker(
        &mut self,
        only: ClientId,
        key: &AgentKey,
        stage: Stage,
        now: Time,
    ) -> Option<(ClientId, Lot)> {
        if !self.client(only).is_hungry {
            return None;
        }
        let lot = self.judge(only, self.agents.get(key)?, stage, now).ok()?;
        if self.is_served_in_pieces(only) {
            // How large they are the orders say.
            let path: SmallVec<[NodeId; 6]> = self.tree.path(self.client(only).leaf).collect();
            let is_stale = |id: &NodeId| self.tree.at(*id).order.epoch != self.epoch;
            let stale: SmallVec<[NodeId; 6]> = path.into_iter().filter(is_stale).collect();
            stale.into_iter().for_each(|id| self.freshen(id));
        }
        Some((only, self.piece(only, self.agents.get(key)?, lot, now)))
    }

    /// The first in the order of a subtree who takes something.
    fn first(&self, id: NodeId, judge: &impl Fn(ClientId) -> Result<Lot, Cause>) -> Option<Found> {
        let node = self.tree.at(id);
        if node.order.epoch != self.epoch {
            return Some(Found::Stale(id));
        }
        if node.is_leaf() {
            return node.order.seats.iter().find_map(|seat| {
                let client = ClientId(seat.id);
                judge(client).ok().map(|lot| Found::Taker(client, lot))
            });
        }
        node.order.seats.iter().find_map(|seat| self.first(NodeId(seat.id), judge))
    }

    fn grant(&self, client: ClientId, key: &AgentKey, lot: &Lot) -> Grant {
        let client = self.client(client);
        Grant {
            framework: client.framework.clone(),
            role: self.tree.role(client.leaf).clone(),
            agent: key.id.clone(),
            bundle: lot.bundle(&self.kinds, &self.tree),
        }
    }
}
