//! What people are shown of shares: made anew from the sums, without the orders that runs keep.

use crate::{
    Allocator, Bundle, Presence, Quota,
    amounts::Amounts,
    bundle::Term,
    order::Seat,
    share::{Share, dominant},
    tree::{Body, ClientId, NodeId, TOP},
};
use skep_protocol::{AgentId, FrameworkId, Resources, Role, operator::Weight};

/// Where a role stands, its whole subtree together.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleReport {
    /// Which role.
    pub role: Role,
    /// Its weight.
    pub weight: Weight,
    /// Its share of the cluster, before weight, 0 to 1.
    pub share: f64,
    /// Its share divided by its weight.
    pub weighted_share: f64,
    /// Of which kind of resource; none if it holds nothing.
    pub dominant: Option<String>,
    /// What it holds: used and offered.
    pub held: Resources,
    /// What of it is only offered.
    pub offered: Resources,
    /// What counts against its quota.
    pub consumed: Resources,
    /// Its quota.
    pub quota: Quota,
    /// Frameworks of this very role.
    pub frameworks: usize,
}

impl Allocator {
    /// What all agents that are not away have together.
    pub fn total(&self) -> Resources {
        self.kinds.resources(&self.total)
    }

    /// All roles that have a weight, a quota, a framework or a reservation, and those above them.
    pub fn roles(&self) -> Vec<RoleReport> {
        self.tree.roles().map(|(role, id)| self.role_report(role, id)).collect()
    }

    /// One role, if it is there.
    pub fn role(&self, role: &Role) -> Option<RoleReport> {
        self.tree.find(role).map(|id| self.role_report(role, id))
    }

    fn role_report(&self, role: &Role, id: NodeId) -> RoleReport {
        let node = self.tree.at(id);
        let share = |weight| Share::of(&node.held, &self.total, weight, &self.excluded).as_f64();
        let kind = dominant(&node.held, &self.total, &self.excluded);
        let leaf = self.tree.leaf_of(id);
        RoleReport {
            role: role.clone(),
            weight: node.weight,
            share: share(Weight::ONE),
            weighted_share: share(node.weight),
            dominant: kind.map(|(kind, _)| self.kinds.name(kind).to_owned()),
            held: self.kinds.resources(&node.held),
            offered: self.kinds.resources(&self.offered_below(id)),
            consumed: self.kinds.resources(&node.consumed),
            quota: self.quota(role),
            frameworks: leaf.map_or(0, |leaf| self.tree.members(leaf).count()),
        }
    }

    fn offered_below(&self, id: NodeId) -> Amounts {
        let below = self.tree.children(id).map(|child| self.offered_below(child));
        let own = self.tree.members(id).map(|client| self.client(client).offered.clone());
        below.chain(own).fold(Amounts::default(), |sum, offered| sum.plus(&offered))
    }

    /// The roles that would be served, first to last, if each took one offer.
    pub fn order(&self) -> Vec<Role> {
        let mut roles = Vec::new();
        self.walk(TOP, &mut |leaf| roles.push(self.tree.role(leaf).clone()));
        roles
    }

    /// The clients that would be served, first to last.
    pub(crate) fn clients_in_order(&self) -> Vec<ClientId> {
        let mut clients = Vec::new();
        self.walk(TOP, &mut |leaf| {
            let hungry = self.tree.members(leaf).filter(|id| self.client(*id).is_hungry);
            let mut seats: Vec<Seat> = hungry
                .map(|id| {
                    let client = self.client(id);
                    let share = Share::of(&client.held, &self.total, Weight::ONE, &self.excluded);
                    Seat { share, chosen: client.chosen, name: client.name.clone(), id: id.0 }
                })
                .collect();
            seats.sort();
            clients.extend(seats.iter().map(|seat| ClientId(seat.id)));
        });
        clients
    }

    fn walk(&self, id: NodeId, visit: &mut impl FnMut(NodeId)) {
        if let Body::Leaf { .. } = self.tree.at(id).body {
            return visit(id);
        }
        let hungry = self.tree.children(id).filter(|child| self.tree.at(*child).hungry > 0);
        let mut seats: Vec<Seat> = hungry
            .map(|child| {
                let node = self.tree.at(child);
                let share = Share::of(&node.held, &self.total, node.weight, &self.excluded);
                Seat { share, chosen: node.chosen, name: node.name.clone(), id: child.0 }
            })
            .collect();
        seats.sort();
        seats.iter().for_each(|seat| self.walk(NodeId(seat.id), visit));
    }

    /// What an agent has, uses and offers; none if it is not known.
    pub fn agent(&self, id: &AgentId) -> Option<AgentReport> {
        let agent = self.agents.get(&self.key(id))?;
        let bundle = |lot: &crate::bundle::Lot| lot.bundle(&self.kinds, &self.tree);
        Some(AgentReport {
            presence: agent.presence,
            total: bundle(&agent.total),
            used: bundle(&agent.used),
            offered: bundle(&agent.offered),
        })
    }

    /// What of an agent is neither used nor offered; none if it is not known.
    pub fn unused(&self, id: &AgentId) -> Option<Bundle> {
        let agent = self.agents.get(&self.key(id))?;
        Some(agent.unused().bundle(&self.kinds, &self.tree))
    }

    /// What an agent lends to those that may be asked to give it back.
    pub fn lent(&self, id: &AgentId) -> Option<Resources> {
        let revocable = self.agents.get(&self.key(id))?.total.part(Term::Revocable);
        Some(revocable.map(|part| self.kinds.resources(part)).unwrap_or_default())
    }

    /// What a framework holds, used and offered, in all its roles together.
    pub fn held_by(&self, framework: &FrameworkId) -> Held {
        let clients = self.clients_of(framework).into_iter().map(|id| self.client(id));
        let sums = clients.fold((Amounts::default(), Amounts::default()), |(held, offered), c| {
            (held.plus(&c.held), offered.plus(&c.offered))
        });
        Held {
            used: self.kinds.resources(&sums.0.clone().minus(&sums.1)),
            offered: self.kinds.resources(&sums.1),
        }
    }

    /// What a framework holds of an agent in a role.
    pub fn holding(&self, framework: &FrameworkId, role: &Role, agent: &AgentId) -> Holding {
        let client = self.client_of(framework, role);
        let holding =
            client.and_then(|client| self.agents.get(&self.key(agent))?.holdings.get(&client));
        let bundle = |lot: &crate::bundle::Lot| lot.bundle(&self.kinds, &self.tree);
        holding.map_or_else(Holding::default, |holding| Holding {
            used: bundle(&holding.used),
            offered: bundle(&holding.offered),
        })
    }
}

/// What an agent has, uses and offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentReport {
    /// Whether it takes part.
    pub presence: Presence,
    /// All that it has.
    pub total: Bundle,
    /// What is used.
    pub used: Bundle,
    /// What is on offer.
    pub offered: Bundle,
}

impl AgentReport {
    /// What is neither used nor offered.
    pub fn free(&self) -> Bundle {
        self.total.minus(&self.used).minus(&self.offered)
    }
}

/// What somebody holds in sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// What is in use.
    pub used: Resources,
    /// What waits for an answer.
    pub offered: Resources,
}

/// What somebody holds of one agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// What is in use.
    pub used: Bundle,
    /// What waits for an answer.
    pub offered: Bundle,
}
