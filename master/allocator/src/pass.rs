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
//! that was found then can be otherwise now.

use crate::{
    Allocator, Bundle,
    agents::AgentKey,
    bundle::Lot,
    judge::{Cause, Stage},
    tree::{ClientId, NodeId, TOP},
};
use skep_protocol::{AgentId, FrameworkId, Role, Time};
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

/// Who is looked at with an agent.
enum Look {
    Everybody,
    These,
}

/// The offers of a run, by stage and, within one, by agent; each of one agent to one client.
#[derive(Default)]
struct Offers {
    made: Vec<(AgentKey, ClientId, Lot)>,
    /// Where those of this stage begin.
    stage: usize,
}

impl Offers {
    fn of(&mut self, key: &AgentKey, client: ClientId) -> Option<&mut Lot> {
        let (earlier, now) = self.made.split_at_mut(self.stage);
        let begin = earlier.partition_point(|(of, ..)| of < key);
        let of_this = now.iter_mut().rev().take_while(|(of, ..)| of == key);
        let of_earlier = earlier[begin..].iter_mut().take_while(|(of, ..)| of == key);
        let mut made = of_this.chain(of_earlier);
        made.find(|(_, to, _)| *to == client).map(|(.., lot)| lot)
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
        if dirty.everything {
            self.held_back.set(false);
            self.capped.set(false);
        }
        let mut offers = Offers::default();
        if self.guarantees > 0 && !self.tree.at(TOP).unmet_below.is_zero() {
            self.visit(&dirty, Stage::Guarantees, now, &mut offers);
        }
        self.visit(&dirty, Stage::Fairness, now, &mut offers);
        self.surplus_then = self.surplus();
        let grant = |(key, client, lot): &(_, _, _)| self.grant(*client, key, lot);
        offers.made.iter().map(grant).collect()
    }

    fn visit(&mut self, dirty: &crate::Dirty, stage: Stage, now: Time, offers: &mut Offers) {
        offers.stage = offers.made.len();
        let mut last: Option<AgentKey> = None;
        while self.tree.at(TOP).hungry > 0 {
            let Some((key, look)) = self.next_agent(dirty, last.as_ref()) else { break };
            while let Some((client, lot)) = self.taker(&key, &look, &dirty.clients, stage, now) {
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
                if !self.spare.contains(&key) {
                    break;
                }
            }
            last = Some(key);
        }
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
        look: &Look,
        clients: &BTreeSet<ClientId>,
        stage: Stage,
        now: Time,
    ) -> Option<(ClientId, Lot)> {
        if matches!(look, Look::These) && clients.len() == 1 {
            // Nobody to compare it with.
            let only = *clients.first()?;
            let agent = self.agents.get(key)?;
            let is_hungry = self.client(only).is_hungry;
            return is_hungry
                .then(|| self.judge(only, agent, stage, now).ok().map(|lot| (only, lot)))
                .flatten();
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
