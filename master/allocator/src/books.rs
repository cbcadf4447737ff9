//! Double entry: what is offered or used is booked on the agent, on the client and on every node
//! above it, by these few functions and no others; orders and quota follow in the same step.

use crate::{
    Allocator,
    agents::{AgentKey, Holding, Presence},
    amounts::Amounts,
    bundle::{Bundle, Lot},
    order::Seat,
    quota::Sign,
    share::Share,
    tree::{ClientId, NodeId},
};
use skep_protocol::{AgentId, FrameworkId, Role, Time, operator::Weight};

/// Whose use of what is booked.
#[derive(Clone, Copy, Debug)]
pub struct Use<'a> {
    /// Who uses it.
    pub framework: &'a FrameworkId,
    /// In which role.
    pub role: &'a Role,
    /// Where.
    pub agent: &'a AgentId,
    /// What.
    pub bundle: &'a Bundle,
}

/// Where a use comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An offer was accepted: the client was chosen when the offer was made, and waits for so much
    /// less.
    Offer,
    /// The agent brought it along: it counts like an offer.
    Found,
    /// More tasks were put into an allocation: nobody was chosen, and its client waits for as much
    /// as before.
    Enqueued,
}

impl Allocator {
    /// Books an offer.
    pub(crate) fn book_offer(&mut self, client: ClientId, key: &AgentKey, lot: &Lot) {
        self.book_piece(client, key, lot);
        self.count_offer(client, Sign::More);
    }

    /// Books that an offer holds this, too.
    pub(crate) fn book_piece(&mut self, client: ClientId, key: &AgentKey, lot: &Lot) {
        if let Some(agent) = self.agents.get_mut(key) {
            agent.offered.add(lot);
            agent.holdings.entry(client).or_default().offered.add(lot);
        }
        self.client_mut(client).places.insert(key.clone());
        self.change_offered(client, lot, Sign::More);
        self.hold_chosen(client, lot, Sign::More, 1);
        self.refresh_hunger(client);
        self.refresh_agent(key);
    }

    /// An offer was used, given back or rescinded: what it held is free again.
    pub fn take_back(&mut self, of: Use<'_>) {
        let Some(client) = self.client_of(of.framework, of.role) else { return };
        let key = self.key(of.agent);
        let lot = Lot::of(of.bundle, &mut self.kinds, &mut self.tree);
        self.take_offer_back(client, &key, &lot);
        self.count_offer(client, Sign::Less);
        self.mark_freed(&key);
        self.refresh_hunger(client);
        self.mark_client_freed(client);
    }

    fn take_offer_back(&mut self, client: ClientId, key: &AgentKey, lot: &Lot) {
        let Some(agent) = self.agents.get_mut(key) else { return };
        agent.offered.subtract(lot);
        agent.holdings.entry(client).or_default().offered.subtract(lot);
        if agent.presence != Presence::Away {
            self.change_offered(client, lot, Sign::Less);
            self.hold(client, lot, Sign::Less);
        }
        self.leave_place(client, key);
        self.refresh_agent(key);
    }

    /// Takes all that a client is offered as accepted and in use.
    pub fn answer_all(&mut self, framework: &FrameworkId, role: &Role) {
        let Some(client) = self.client_of(framework, role) else { return };
        for key in self.client(client).places.clone() {
            let bundle = self.holding(framework, role, &key.id).offered;
            let of = Use { framework, role, agent: &key.id, bundle: &bundle };
            if !bundle.is_empty() {
                self.take_back(of);
                self.occupy(of, Origin::Offer);
            }
        }
    }

    /// Books that a client uses something, whether or not it is free.
    pub fn occupy(&mut self, of: Use<'_>, origin: Origin) {
        let Some(client) = self.client_of(of.framework, of.role) else { return };
        let key = self.key(of.agent);
        let lot = Lot::of(of.bundle, &mut self.kinds, &mut self.tree);
        let Some(agent) = self.agents.get_mut(&key) else { return };
        agent.used.add(&lot);
        agent.holdings.entry(client).or_default().used.add(&lot);
        let counts = agent.presence != Presence::Away;
        self.client_mut(client).places.insert(key.clone());
        if origin == Origin::Offer
            && let Some(wait) = &mut self.client_mut(client).demand
        {
            wait.wants.subtract(&lot.sum());
        }
        // On an agent that is away it does not count yet, but it was chosen.
        let held = if counts { lot } else { Lot::default() };
        let times = u64::from(origin == Origin::Found);
        self.hold_chosen(client, &held, Sign::More, times);
        self.refresh_hunger(client);
        self.refresh_agent(&key);
    }

    /// Books that a client uses this no more.
    pub fn release(&mut self, of: Use<'_>) {
        let Some(client) = self.client_of(of.framework, of.role) else { return };
        let key = self.key(of.agent);
        let lot = Lot::of(of.bundle, &mut self.kinds, &mut self.tree);
        let Some(agent) = self.agents.get_mut(&key) else { return };
        agent.used.subtract(&lot);
        agent.holdings.entry(client).or_default().used.subtract(&lot);
        if agent.presence != Presence::Away {
            self.hold(client, &lot, Sign::Less);
        }
        self.leave_place(client, &key);
        self.refresh_agent(&key);
        self.mark_freed(&key);
    }

    /// Counts a use on an agent that is nobody's: by a framework that is not known.
    pub fn pin(&mut self, agent: &AgentId, bundle: &Bundle) {
        self.change_pinned(agent, bundle, Sign::More);
    }

    /// The opposite of [`Allocator::pin`].
    pub fn unpin(&mut self, agent: &AgentId, bundle: &Bundle) {
        self.change_pinned(agent, bundle, Sign::Less);
    }

    fn change_pinned(&mut self, agent: &AgentId, bundle: &Bundle, sign: Sign) {
        let key = self.key(agent);
        let lot = Lot::of(bundle, &mut self.kinds, &mut self.tree);
        let Some(agent) = self.agents.get_mut(&key) else { return };
        match sign {
            Sign::More => agent.used.add(&lot),
            Sign::Less => agent.used.subtract(&lot),
        }
        self.refresh_agent(&key);
        if sign == Sign::Less {
            self.mark_freed(&key);
        }
    }

    /// A client does not want to be offered this much of an agent until then.
    pub fn refuse(&mut self, of: Use<'_>, until: Time) {
        let Some(client) = self.client_of(of.framework, of.role) else { return };
        let key = self.key(of.agent);
        let lot = Lot::of(of.bundle, &mut self.kinds, &mut self.tree);
        if !lot.is_empty() {
            self.add_filter(client, &key, lot, until);
        }
    }

    /// Frees whatever a client holds of an agent.
    pub(crate) fn let_go(&mut self, client: ClientId, key: &AgentKey) {
        let holding = self.agents.get(key).and_then(|agent| agent.holdings.get(&client)).cloned();
        let Some(Holding { used, offered }) = holding else { return };
        self.take_offer_back(client, key, &offered);
        let Some(agent) = self.agents.get_mut(key) else { return };
        agent.used.subtract(&used);
        agent.holdings.entry(client).or_default().used.subtract(&used);
        if agent.presence != Presence::Away {
            self.hold(client, &used, Sign::Less);
        }
        self.leave_place(client, key);
        self.refresh_agent(key);
        self.mark_freed(key);
    }

    fn leave_place(&mut self, client: ClientId, key: &AgentKey) {
        let Some(agent) = self.agents.get_mut(key) else { return };
        if agent.holdings.get(&client).is_none_or(|held| *held == Holding::default()) {
            agent.holdings.remove(&client);
            self.client_mut(client).places.remove(key);
        }
    }

    pub(crate) fn change_offered(&mut self, client: ClientId, lot: &Lot, sign: Sign) {
        let client = self.client_mut(client);
        match sign {
            Sign::More => client.offered.add(&lot.sum()),
            Sign::Less => client.offered.subtract(&lot.sum()),
        }
    }

    fn count_offer(&mut self, client: ClientId, sign: Sign) {
        let id = self.client(client).framework.clone();
        let max = self.policy.offers_out_max;
        let Some(framework) = self.frameworks.get_mut(&id) else { return };
        let before = framework.offers_out;
        framework.offers_out = match sign {
            Sign::More => before + 1,
            Sign::Less => before.saturating_sub(1),
        };
        let is_turn = (before < max) != (framework.offers_out < max);
        // At the bound all its roles fall silent, and below it they all speak again.
        let touched = if is_turn { self.clients_of(&id) } else { vec![client] };
        for client in touched {
            self.refresh_hunger(client);
            if is_turn && sign == Sign::Less {
                self.mark_client_freed(client);
            }
        }
    }

    /// Books that a client holds more or less.
    pub(crate) fn hold(&mut self, client: ClientId, lot: &Lot, sign: Sign) {
        self.hold_chosen(client, lot, sign, 0);
    }

    /// The same, and that it was chosen so many times more.
    fn hold_chosen(&mut self, client: ClientId, lot: &Lot, sign: Sign, times: u64) {
        if lot.is_empty() && times == 0 {
            return;
        }
        let sum = lot.sum();
        let change = |held: &mut Amounts| match sign {
            Sign::More => held.add(&sum),
            Sign::Less => held.subtract(&sum),
        };
        self.reseat(client, |allocator, path| {
            let holder = allocator.client_mut(client);
            change(&mut holder.held);
            holder.chosen += times;
            for id in path {
                let node = allocator.tree.at_mut(*id);
                change(&mut node.held);
                node.chosen += times;
            }
        });
        let leaf = self.client(client).leaf;
        self.consume(leaf, lot, sign);
    }

    /// Lets something change that orders depend on, for a client and all nodes above it.
    fn reseat(&mut self, client: ClientId, change: impl FnOnce(&mut Self, &[NodeId])) {
        let path: smallvec::SmallVec<[NodeId; 6]> =
            self.tree.path(self.client(client).leaf).collect();
        self.unseat_client(client);
        path.iter().for_each(|id| self.unseat_node(*id));
        change(self, &path);
        self.seat_client(client);
        path.iter().for_each(|id| self.seat_node(*id));
    }

    fn unseat_client(&mut self, id: ClientId) {
        let client = self.client_mut(id);
        let (leaf, seat) = (client.leaf, client.seat.take());
        if let Some(seat) = seat {
            self.tree.at_mut(leaf).order.remove(&seat);
        }
    }

    fn seat_client(&mut self, id: ClientId) {
        let client = self.client(id);
        let leaf = client.leaf;
        if !client.is_hungry || self.tree.at(leaf).order.epoch != self.epoch {
            return;
        }
        let seat = self.client_seat(id);
        self.tree.at_mut(leaf).order.seats.insert(seat.clone());
        self.client_mut(id).seat = Some(seat);
    }

    fn unseat_node(&mut self, id: NodeId) {
        let node = self.tree.at_mut(id);
        if let (Some(parent), Some(seat)) = (node.parent, node.seat.take()) {
            self.tree.at_mut(parent).order.remove(&seat);
        }
    }

    fn seat_node(&mut self, id: NodeId) {
        let node = self.tree.at(id);
        let Some(parent) = node.parent else { return };
        if node.hungry == 0 || self.tree.at(parent).order.epoch != self.epoch {
            return;
        }
        let seat = self.node_seat(id);
        self.tree.at_mut(parent).order.seats.insert(seat.clone());
        self.tree.at_mut(id).seat = Some(seat);
    }

    fn client_seat(&self, id: ClientId) -> Seat {
        let client = self.client(id);
        let share = Share::of(&client.held, &self.basis, Weight::ONE, &self.excluded);
        Seat { share, chosen: client.chosen, name: client.name.clone(), id: id.0 }
    }

    fn node_seat(&self, id: NodeId) -> Seat {
        let node = self.tree.at(id);
        let share = Share::of(&node.held, &self.basis, node.weight, &self.excluded);
        Seat { share, chosen: node.chosen, name: node.name.clone(), id: id.0 }
    }

    /// Computes anew whether a client is hungry, and carries it up.
    pub(crate) fn refresh_hunger(&mut self, id: ClientId) {
        let client = self.client(id);
        let framework = self.frameworks.get(&client.framework);
        let is_hungry = client.appetite == crate::Appetite::Wanting
            && !client.is_sated()
            && framework.is_some_and(|framework| {
                framework.is_active && framework.offers_out < self.policy.offers_out_max
            });
        if is_hungry == client.is_hungry {
            return;
        }
        let leaf = client.leaf;
        self.unseat_client(id);
        self.client_mut(id).is_hungry = is_hungry;
        self.seat_client(id);
        let path: Vec<NodeId> = self.tree.path(leaf).collect();
        for node in path {
            let hungry = &mut self.tree.at_mut(node).hungry;
            let before = *hungry;
            *hungry = if is_hungry { before + 1 } else { before - 1 };
            if before == 0 {
                self.seat_node(node);
            } else if self.tree.at(node).hungry == 0 {
                self.unseat_node(node);
            }
        }
    }

    /// Gives a role a weight.
    pub fn set_weight(&mut self, role: &Role, weight: Weight) {
        let node = self.tree.node(role);
        self.unseat_node(node);
        self.tree.at_mut(node).weight = weight;
        self.seat_node(node);
        self.tree.prune(node);
        self.mark_all_freed();
    }

    /// Makes a stale order anew.
    pub(crate) fn freshen(&mut self, id: NodeId) {
        let node = self.tree.at_mut(id);
        node.order.seats.clear();
        node.order.epoch = self.epoch;
        let children: Vec<NodeId> = self.tree.children(id).collect();
        let clients: Vec<ClientId> = self.tree.members(id).collect();
        for child in children {
            self.tree.at_mut(child).seat = None;
            self.seat_node(child);
        }
        for client in clients {
            self.client_mut(client).seat = None;
            self.seat_client(client);
        }
    }
}
