//! Agents: what they have, what of it is used, offered and free.
//!
//! ```text
//!        close / open            part
//! Open <-------------> Closed ----------> Away      (set_agent: Open from anywhere)
//! offered               counts on          does not count
//! ```
//! Always holds: an agent is spare exactly if it is open and somebody might take what is free.

use crate::{
    Allocator,
    amounts::Amounts,
    bundle::{Bundle, Lot, Term},
    constraints::Attribute,
    filters::Filters,
    judge::is_above,
    quota::Sign,
    tree::ClientId,
};
use skep_protocol::{AgentId, Resources};
use std::collections::BTreeMap;

/// An agent's place in the order of visits, and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AgentKey {
    shuffle: u64,
    pub(crate) id: AgentId,
}

impl AgentKey {
    pub(crate) fn new(id: &AgentId, seed: u64) -> Self {
        Self { shuffle: if seed == 0 { 0 } else { mix(id.as_str(), seed) }, id: id.clone() }
    }
}

/// FNV-1a of the name, begun with the seed: small, and the same in every version.
fn mix(name: &str, seed: u64) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    let begin = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(PRIME);
    let hash = name.bytes().fold(begin, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    // FNV leaves the last letters in the low bits.
    hash ^ hash.rotate_left(29)
}

/// What an agent has and is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentSpec {
    /// What it has, reserved and revocable parts apart.
    pub capacity: Bundle,
    /// What its operator says about it; `hostname` and `zone` too, if constraints may name them.
    pub attributes: BTreeMap<String, Attribute>,
    /// Where it stands; none: where the master is.
    pub region: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) presence: Presence,
    pub(crate) total: Lot,
    /// More than the total only if it shrank or brought tasks along.
    pub(crate) used: Lot,
    pub(crate) offered: Lot,
    /// What is neither used nor offered, by terms and in all.
    pub(crate) free: Lot,
    pub(crate) free_sum: Amounts,
    /// Whether it stands in the list of those that are.
    pub(crate) is_spare: bool,
    pub(crate) holdings: BTreeMap<ClientId, Holding>,
    pub(crate) filters: BTreeMap<ClientId, Filters>,
    pub(crate) attributes: BTreeMap<String, Attribute>,
    pub(crate) region: Option<String>,
}

/// What one client holds of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) used: Lot,
    pub(crate) offered: Lot,
}

/// Whether an agent takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is offered.
    Open,
    /// It is not offered; what it has and what is used there counts on.
    Closed,
    /// Neither counts.
    Away,
}

/// An agent has less free than was to be moved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("agent {agent} has not {wanted} free on these terms, only {free}")]
pub struct NotFree {
    /// Which agent.
    pub agent: AgentId,
    /// What was to be moved.
    pub wanted: Resources,
    /// What is free on these terms.
    pub free: Resources,
}

impl Allocator {
    /// An agent is there and has this: new, again, or changed under what runs on it.
    pub fn set_agent(&mut self, id: &AgentId, spec: AgentSpec) {
        let key = self.key(id);
        let total = Lot::of(&spec.capacity, &mut self.kinds, &mut self.tree);
        let agent = self.agents.entry(key.clone()).or_insert_with(Agent::away);
        (agent.attributes, agent.region) = (spec.attributes, spec.region);
        let before = std::mem::replace(&mut agent.total, total.clone());
        if agent.presence != Presence::Away {
            self.change_total(&before, Sign::Less);
            self.change_total(&total, Sign::More);
        }
        self.set_presence(&key, Presence::Open);
        self.mark(&key);
    }

    /// An agent is offered no more, but counts on.
    pub fn close(&mut self, id: &AgentId) {
        self.set_presence(&self.key(id), Presence::Closed);
    }

    /// An agent that was closed is offered again.
    pub fn open(&mut self, id: &AgentId) {
        let key = self.key(id);
        self.set_presence(&key, Presence::Open);
        self.mark(&key);
    }

    /// An agent has been gone for so long that neither it nor what runs there counts.
    pub fn part(&mut self, id: &AgentId) {
        self.set_presence(&self.key(id), Presence::Away);
    }

    /// An agent will not come back; what was held there is held no more.
    pub fn remove_agent(&mut self, id: &AgentId) {
        let key = self.key(id);
        self.set_presence(&key, Presence::Away);
        let Some(agent) = self.agents.remove(&key) else { return };
        for (client, filters) in agent.filters {
            for end in filters.ends() {
                self.filter_ends.remove(&(end, client, key.clone()));
            }
            self.client_mut(client).filtered.remove(&key);
        }
        self.dirty.agents.remove(&key);
    }

    fn set_presence(&mut self, key: &AgentKey, presence: Presence) {
        let Some(agent) = self.agents.get_mut(key) else { return };
        let before = std::mem::replace(&mut agent.presence, presence);
        let (was, is) = (before != Presence::Away, presence != Presence::Away);
        if was != is {
            let sign = if is { Sign::More } else { Sign::Less };
            let total = agent.total.clone();
            let holdings: Vec<(ClientId, Holding)> =
                agent.holdings.iter().map(|(client, held)| (*client, held.clone())).collect();
            self.change_total(&total, sign);
            for (client, Holding { used, offered }) in holdings {
                self.hold(client, &used, sign);
                self.hold(client, &offered, sign);
                self.change_offered(client, &offered, sign);
                self.refresh_hunger(client);
                self.mark_client_freed(client);
            }
        }
        self.refresh_agent(key);
    }

    /// The cluster has more or less now.
    fn change_total(&mut self, lot: &Lot, sign: Sign) {
        self.consume_reservations(lot, sign);
        match sign {
            Sign::More => self.total.add(&lot.sum()),
            Sign::Less => self.total.subtract(&lot.sum()),
        }
        self.total_changed();
    }

    /// Moves free resources of an agent from one reservation to another: reserves, refines, or,
    /// with `to` at none, gives back.
    ///
    /// # Errors
    /// [`NotFree`] if the agent has less of it free on these terms.
    pub fn move_reservation(
        &mut self,
        id: &AgentId,
        from: Option<&skep_protocol::Role>,
        to: Option<&skep_protocol::Role>,
        resources: &Resources,
    ) -> Result<(), NotFree> {
        let key = self.key(id);
        let from = self.term(from);
        let to = self.term(to);
        let amounts = self.kinds.amounts(resources);
        self.check_free(&key, from, &amounts)?;
        let (mut less, mut more) = (Lot::default(), Lot::default());
        less.put(from, amounts.clone());
        more.put(to, amounts);
        if let Some(agent) = self.agents.get_mut(&key) {
            agent.total.subtract(&less);
            agent.total.add(&more);
            if agent.presence != Presence::Away {
                self.consume_reservations(&less, Sign::Less);
                self.consume_reservations(&more, Sign::More);
            }
        }
        self.refresh_agent(&key);
        self.mark_freed(&key);
        Ok(())
    }

    /// Takes free resources of an agent out of the sharing that are reserved for a role.
    ///
    /// # Errors
    /// [`NotFree`] if the agent has less of it free on these terms.
    pub fn withdraw(
        &mut self,
        id: &AgentId,
        role: &skep_protocol::Role,
        resources: &Resources,
    ) -> Result<(), NotFree> {
        let key = self.key(id);
        let term = self.term(Some(role));
        let amounts = self.kinds.amounts(resources);
        self.check_free(&key, term, &amounts)?;
        self.resize(&key, (term, amounts), Sign::Less);
        Ok(())
    }

    /// Brings resources of an agent back into the sharing that are reserved for a role.
    pub fn restore(&mut self, id: &AgentId, role: &skep_protocol::Role, resources: &Resources) {
        let key = self.key(id);
        let term = self.term(Some(role));
        let amounts = self.kinds.amounts(resources);
        self.resize(&key, (term, amounts), Sign::More);
        self.mark_freed(&key);
    }

    fn check_free(&self, key: &AgentKey, term: Term, wanted: &Amounts) -> Result<(), NotFree> {
        // Of an agent that takes no part nothing is free to offer, and yet nobody uses it.
        let unused = self.agents.get(key).map(Agent::unused);
        let free = unused.as_ref().and_then(|unused| unused.part(term));
        if free.is_some_and(|free| free.contains(wanted)) {
            return Ok(());
        }
        let free = free.map(|free| self.kinds.resources(free)).unwrap_or_default();
        Err(NotFree { agent: key.id.clone(), wanted: self.kinds.resources(wanted), free })
    }

    fn resize(&mut self, key: &AgentKey, (term, amounts): (Term, Amounts), sign: Sign) {
        let mut lot = Lot::default();
        lot.put(term, amounts);
        let Some(agent) = self.agents.get_mut(key) else { return };
        match sign {
            Sign::More => agent.total.add(&lot),
            Sign::Less => agent.total.subtract(&lot),
        }
        if agent.presence != Presence::Away {
            self.change_total(&lot, sign);
        }
        self.refresh_agent(key);
    }

    fn term(&mut self, role: Option<&skep_protocol::Role>) -> Term {
        role.map_or(Term::Unreserved, |role| {
            let node = self.tree.node(role);
            self.tree.pin(node);
            Term::Reserved(node)
        })
    }

    /// Computes what is free anew, and what depends on it.
    pub(crate) fn refresh_agent(&mut self, key: &AgentKey) {
        let Some(agent) = self.agents.get_mut(key) else { return };
        let is_open = agent.presence == Presence::Open;
        let free = if is_open { agent.unused() } else { Lot::default() };
        agent.free_sum = free.sum();
        let before = std::mem::replace(&mut agent.free, free);
        if let Some(part) = agent.free.part(Term::Unreserved) {
            self.headroom.add(part);
        }
        if let Some(part) = before.part(Term::Unreserved) {
            self.headroom.subtract(part);
        }
        let (was_spare, free_sum) = (agent.is_spare, agent.free_sum.clone());
        let is_spare = self.may_be_taken(&free_sum);
        if is_spare == was_spare {
            return;
        }
        if is_spare {
            self.spare.insert(key.clone());
        } else {
            self.spare.remove(key);
        }
        if let Some(agent) = self.agents.get_mut(key) {
            agent.is_spare = is_spare;
        }
    }

    /// Whether anybody might take this much.
    pub(crate) fn may_be_taken(&self, free: &Amounts) -> bool {
        !free.is_zero() && (self.own_floors > 0 || self.is_above_a_floor(free))
    }

    pub(crate) fn is_above_a_floor(&self, amounts: &Amounts) -> bool {
        is_above(amounts, &self.floors)
    }
}

impl Agent {
    /// What is neither used nor offered.
    pub(crate) fn unused(&self) -> Lot {
        let mut unused = self.total.clone();
        unused.subtract(&self.used);
        unused.subtract(&self.offered);
        unused
    }

    fn away() -> Self {
        Self {
            presence: Presence::Away,
            total: Lot::default(),
            used: Lot::default(),
            offered: Lot::default(),
            free: Lot::default(),
            free_sum: Amounts::default(),
            is_spare: false,
            holdings: BTreeMap::new(),
            filters: BTreeMap::new(),
            attributes: BTreeMap::new(),
            region: None,
        }
    }
}
