//! What always holds in the books, checked from scratch.

use crate::{
    Allocator,
    agents::Presence,
    amounts::Amounts,
    bundle::{Lot, Term},
    order::Seat,
    share::Share,
    tree::{ClientId, NodeId, TOP},
};
use skep_protocol::{Resources, operator::Weight};
use std::collections::{BTreeMap, BTreeSet};

impl Allocator {
    /// Checks everything that should hold between two calls.
    ///
    /// # Panics
    /// If something does not hold: with a sentence that says what.
    pub fn check(&self) {
        self.check_agents();
        self.check_clients();
        self.check_nodes();
        self.check_filters();
    }

    fn show(&self, amounts: &Amounts) -> Resources {
        self.kinds.resources(amounts)
    }

    fn check_agents(&self) {
        let (mut total, mut headroom) = (Amounts::default(), Amounts::default());
        for (key, agent) in &self.agents {
            let id = &key.id;
            let mut offered = Lot::default();
            for (client, holding) in &agent.holdings {
                offered.add(&holding.offered);
                assert!(agent.used.contains(&holding.used), "{id} is used by more than all");
                let knows = self.client(*client).places.contains(key);
                assert!(knows, "a client does not know that it holds something of {id}");
            }
            assert_eq!(agent.offered, offered, "{id} has other offers than its clients");
            let mut free = Lot::default();
            if agent.presence == Presence::Open {
                free = agent.total.clone();
                free.subtract(&agent.used);
                free.subtract(&agent.offered);
            }
            assert_eq!(agent.free, free, "{id} has something else free");
            let is_spare = self.may_be_taken(&free.sum());
            assert_eq!(self.spare.contains(key), is_spare, "{id} is spare or not, wrongly");
            if let Some(part) = free.part(Term::Unreserved) {
                headroom.add(part);
            }
            if agent.presence != Presence::Away {
                total.add(&agent.total.sum());
            }
        }
        assert_eq!(self.total, total, "the cluster's total is not that of its agents");
        assert_eq!(self.headroom, headroom, "the headroom is not what is free and unreserved");
        assert!(
            crate::share::are_proportional(&self.basis, &self.total),
            "orders are made by another proportion of kinds"
        );
    }

    /// That no open agent is promised more than it has, but by its own doing.
    ///
    /// # Panics
    /// If one is.
    pub fn check_not_overcommitted(&self) {
        for (key, agent) in &self.agents {
            for (term, offered) in agent.offered.iter() {
                let used = agent.used.part(term).cloned().unwrap_or_default();
                let total = agent.total.part(term).cloned().unwrap_or_default();
                let sum = used.plus(offered);
                assert!(total.contains(&sum), "{} is over-committed", key.id);
            }
        }
    }

    fn check_clients(&self) {
        let mut held: BTreeMap<ClientId, Amounts> = BTreeMap::new();
        let mut offered: BTreeMap<ClientId, Amounts> = BTreeMap::new();
        for agent in self.agents.values().filter(|agent| agent.presence != Presence::Away) {
            for (client, holding) in &agent.holdings {
                held.entry(*client).or_default().add(&holding.used.sum());
                held.entry(*client).or_default().add(&holding.offered.sum());
                offered.entry(*client).or_default().add(&holding.offered.sum());
            }
        }
        let mut own_floors = 0;
        for (id, client) in (0_u32..).map(ClientId).zip(&self.clients) {
            let Some(client) = client else { continue };
            let name = &client.framework;
            let sum = held.remove(&id).unwrap_or_default();
            assert_eq!(self.show(&client.held), self.show(&sum), "{name} holds something else");
            let sum = offered.remove(&id).unwrap_or_default();
            assert_eq!(client.offered, sum, "{name} is offered something else");
            own_floors += usize::from(client.floors.is_some() || client.demand.is_some());
            let framework = &self.frameworks[name];
            let is_hungry = framework.is_active
                && framework.offers_out < self.policy.offers_out_max
                && client.appetite == crate::Appetite::Wanting
                && !client.is_sated();
            assert_eq!(client.is_hungry, is_hungry, "{name} is hungry or not, wrongly");
        }
        assert!(held.is_empty(), "a client that is gone holds something");
        assert_eq!(self.own_floors, own_floors, "clients with floors of their own");
    }

    fn check_nodes(&self) {
        for id in self.tree.ids() {
            let node = self.tree.at(id);
            let children: Vec<NodeId> = self.tree.children(id).collect();
            let clients: Vec<ClientId> = self.tree.members(id).collect();
            let of_children = children.iter().map(|child| &self.tree.at(*child).held);
            let of_clients = clients.iter().map(|client| &self.client(*client).held);
            let held =
                of_children.chain(of_clients).fold(Amounts::default(), |sum, part| sum.plus(part));
            assert_eq!(node.held, held, "a node holds something else than its members");
            let hungry: usize = children.iter().map(|child| self.tree.at(*child).hungry).sum();
            let hungry = hungry + clients.iter().filter(|c| self.client(**c).is_hungry).count();
            assert_eq!(node.hungry, hungry, "a node has other hungry members");
            if node.order.epoch == self.epoch {
                assert_eq!(node.order.seats, self.seats(&children, &clients), "an order is wrong");
            }
            let below = children.iter().map(|child| &self.tree.at(*child).unmet);
            let below = below.fold(Amounts::default(), |sum, unmet| sum.plus(unmet));
            assert_eq!(node.unmet_below, below, "what is missing below is not what is missing");
            if id != TOP {
                let itself = node.guarantee.clone().minus(&node.consumed).minus(&below);
                assert_eq!(node.unmet, below.plus(&itself), "what is missing is something else");
            }
        }
    }

    fn seats(&self, children: &[NodeId], clients: &[ClientId]) -> BTreeSet<Seat> {
        let share = |held, weight| Share::of(held, &self.basis, weight, &self.excluded);
        let nodes = children.iter().map(|id| (id.0, self.tree.at(*id)));
        let nodes = nodes.filter(|(_, node)| node.hungry > 0).map(|(id, node)| Seat {
            share: share(&node.held, node.weight),
            chosen: node.chosen,
            name: node.name.clone(),
            id,
        });
        let clients = clients.iter().map(|id| (id.0, self.client(*id)));
        let clients = clients.filter(|(_, client)| client.is_hungry).map(|(id, client)| Seat {
            share: share(&client.held, Weight::ONE),
            chosen: client.chosen,
            name: client.name.clone(),
            id,
        });
        nodes.chain(clients).collect()
    }

    fn check_filters(&self) {
        let mut ends = BTreeSet::new();
        for (key, agent) in &self.agents {
            for (client, filters) in &agent.filters {
                assert!(!filters.is_empty(), "an empty list of filters is kept");
                assert!(self.client(*client).filtered.contains(key), "a filter is not known");
                ends.extend(filters.ends().map(|end| (end, *client, key.clone())));
            }
        }
        assert_eq!(ends, self.filter_ends, "the ends of the filters are not those of the filters");
    }
}
