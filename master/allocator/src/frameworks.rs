//! Frameworks, and each as a client in every one of its roles: whether it takes offers, and which.
//!
//! Always holds: a client is hungry exactly if its framework is active and has not too many offers
//! out, it is not suppressed, and what it waits for beyond what it is offered is of use to it.

use crate::{
    Allocator,
    agents::AgentKey,
    amounts::Amounts,
    constraints::Constraints,
    order::Seat,
    tree::{ClientId, NodeId},
};
use skep_protocol::{FrameworkId, Resources, Role, framework::Demand, task::Terms};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What a framework can deal with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Resources that are taken back without notice.
    Revocable,
    /// Agents in other regions than the master's.
    RegionAware,
    /// Agents with a scarce kind of resource, such as `gpus`.
    Scarce(String),
}

/// What a framework is in one of its roles.
#[derive(Clone, Debug, Default)]
pub struct Interest {
    /// Whether it takes offers.
    pub appetite: Appetite,
    /// In place of the policy's floors.
    pub floors: Option<Vec<Resources>>,
    /// Which agents will do.
    pub constraints: Constraints,
}

/// Whether a client takes offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Appetite {
    /// Yes.
    #[default]
    Wanting,
    /// No, by its own wish.
    Suppressed,
}

#[derive(Clone, Debug)]
pub(crate) struct Framework {
    pub(crate) is_active: bool,
    pub(crate) capabilities: BTreeSet<Capability>,
    pub(crate) offers_out: usize,
    pub(crate) clients: BTreeMap<Role, ClientId>,
}

#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) framework: FrameworkId,
    pub(crate) name: Arc<str>,
    pub(crate) leaf: NodeId,
    pub(crate) appetite: Appetite,
    pub(crate) demand: Option<Wait>,
    pub(crate) floors: Option<Vec<Amounts>>,
    pub(crate) constraints: Constraints,
    /// Used and offered together: an offer counts until it is answered.
    pub(crate) held: Amounts,
    pub(crate) offered: Amounts,
    /// How often it was chosen.
    pub(crate) chosen: u64,
    pub(crate) is_hungry: bool,
    /// Its seat in its leaf's order, if that is fresh.
    pub(crate) seat: Option<Seat>,
    /// Where it holds something.
    pub(crate) places: BTreeSet<AgentKey>,
    /// Where it has filters.
    pub(crate) filtered: BTreeSet<AgentKey>,
}

/// A demand in the allocator's own numbers.
#[derive(Clone, Debug)]
pub(crate) struct Wait {
    pub(crate) least: Amounts,
    /// Less what was launched on offers since.
    pub(crate) wants: Amounts,
    /// The same, as it was said.
    said: Amounts,
    /// Whether it waits for no more than that.
    is_bounded: bool,
    pub(crate) terms: Option<Terms>,
}

impl Wait {
    pub(crate) fn new(least: Amounts, wants: Amounts, terms: Option<Terms>) -> Self {
        let said = wants.clone();
        Self { least, wants, said, is_bounded: true, terms }
    }

    /// For whatever there is from `least` on.
    pub(crate) fn unbounded(least: Amounts, terms: Option<Terms>) -> Self {
        let mut wait = Self::new(least, Amounts::default(), terms);
        wait.is_bounded = false;
        wait
    }

    /// Whether an offer of no more than this is of use.
    fn is_met_by(&self, rest: &Amounts) -> bool {
        !self.is_bounded || (!rest.is_zero() && rest.contains(&self.least))
    }

    /// Whether too little is left of what was waited for, whatever is offered.
    pub(crate) fn is_used_up(&self) -> bool {
        !self.is_met_by(&self.wants)
    }
}

impl Client {
    /// How much of a kind it would take on top of what it is offered.
    pub(crate) fn appetite_for(&self, kind: usize) -> u64 {
        let wait = self.demand.as_ref().filter(|wait| wait.is_bounded);
        wait.map_or(u64::MAX, |wait| wait.wants.get(kind).saturating_sub(self.offered.get(kind)))
    }

    /// On which terms it would hold what it waits for; none if it does not say.
    pub(crate) fn terms(&self) -> Option<Terms> {
        self.demand.as_ref().and_then(|wait| wait.terms)
    }

    /// Whether no offer on top of those that it has is of use to it.
    pub(crate) fn is_sated(&self) -> bool {
        let rest = |wait: &Wait| wait.wants.clone().minus(&self.offered);
        self.demand.as_ref().is_some_and(|wait| !wait.is_met_by(&rest(wait)))
    }

    const fn has_own_floor(&self) -> bool {
        self.floors.is_some() || self.demand.is_some()
    }
}

impl Allocator {
    /// A framework is known; it is offered nothing until it is active.
    pub fn add_framework(
        &mut self,
        id: &FrameworkId,
        capabilities: BTreeSet<Capability>,
        roles: impl IntoIterator<Item = (Role, Interest)>,
    ) {
        let framework =
            Framework { is_active: false, capabilities, offers_out: 0, clients: BTreeMap::new() };
        self.frameworks.entry(id.clone()).or_insert(framework);
        for (role, interest) in roles {
            self.add_role(id, &role, interest);
        }
    }

    /// A framework can deal with these from now on.
    pub fn set_capabilities(&mut self, id: &FrameworkId, capabilities: BTreeSet<Capability>) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        framework.capabilities = capabilities;
        let is_active = framework.is_active;
        for client in self.clients_of(id) {
            if is_active {
                self.mark_client(client);
            }
        }
    }

    /// A framework asks in one more role.
    pub fn add_role(&mut self, id: &FrameworkId, role: &Role, interest: Interest) {
        if self.client_of(id, role).is_some() {
            return;
        }
        let leaf = self.tree.leaf(role);
        let kinds = &mut self.kinds;
        let floors =
            interest.floors.map(|floors| floors.iter().map(|f| kinds.amounts(f)).collect());
        let client = Client {
            framework: id.clone(),
            name: id.as_str().into(),
            leaf,
            appetite: interest.appetite,
            demand: None,
            floors,
            constraints: interest.constraints,
            held: Amounts::default(),
            offered: Amounts::default(),
            chosen: 0,
            is_hungry: false,
            seat: None,
            places: BTreeSet::new(),
            filtered: BTreeSet::new(),
        };
        let name = client.name.clone();
        let has_own_floor = client.has_own_floor();
        let client = self.insert_client(client);
        if let crate::tree::Body::Leaf { clients } = &mut self.tree.at_mut(leaf).body {
            clients.insert(name, client);
        }
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.clients.insert(role.clone(), client);
        }
        if has_own_floor {
            self.count_own_floors(1, 0);
        }
        self.refresh_hunger(client);
        if self.frameworks.get(id).is_some_and(|framework| framework.is_active) {
            self.mark_client(client);
        }
    }

    /// A framework is there and takes offers.
    pub fn activate(&mut self, id: &FrameworkId) {
        self.set_active(id, true);
    }

    /// A framework is not there. Its offers are to be taken back; what it uses counts on.
    pub fn deactivate(&mut self, id: &FrameworkId) {
        self.set_active(id, false);
        for client in self.clients_of(id) {
            self.clear_filters(client);
        }
    }

    fn set_active(&mut self, id: &FrameworkId, is_active: bool) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        framework.is_active = is_active;
        for client in self.clients_of(id) {
            self.refresh_hunger(client);
            if is_active {
                self.mark_client(client);
            }
        }
    }

    /// A framework is gone, and with it whatever it still held.
    pub fn remove_framework(&mut self, id: &FrameworkId) {
        self.set_active(id, false);
        for client in self.clients_of(id) {
            self.clear_filters(client);
            for key in self.client(client).places.clone() {
                self.let_go(client, &key);
            }
            self.remove_client(client);
        }
        self.frameworks.remove(id);
    }

    fn remove_client(&mut self, id: ClientId) {
        let client = self.client(id);
        let (leaf, name, had_own_floor) =
            (client.leaf, client.name.clone(), client.has_own_floor());
        if had_own_floor {
            self.count_own_floors(0, 1);
        }
        self.clients[id.0 as usize] = None;
        self.vacant.push(id);
        self.dirty.clients.remove(&id);
        if let crate::tree::Body::Leaf { clients } = &mut self.tree.at_mut(leaf).body {
            clients.remove(&name);
        }
        self.tree.prune(leaf);
    }

    /// Offers to a framework in these roles end; none named: in all its roles.
    pub fn suppress(&mut self, id: &FrameworkId, roles: &[Role]) {
        for client in self.named(id, roles) {
            self.client_mut(client).appetite = Appetite::Suppressed;
            self.refresh_hunger(client);
        }
    }

    /// A framework takes offers in these roles, of whatever it refused before too, and waits for
    /// as much as it has said last; none named: in all its roles.
    pub fn revive(&mut self, id: &FrameworkId, roles: &[Role]) {
        for client in self.named(id, roles) {
            let known = self.client_mut(client);
            known.appetite = Appetite::Wanting;
            if let Some(wait) = &mut known.demand {
                wait.wants.clone_from(&wait.said);
            }
            self.clear_filters(client);
            self.refresh_hunger(client);
            self.mark_client(client);
        }
    }

    /// Whether a framework takes offers in any of its roles; none if it is not there.
    pub fn appetite(&self, id: &FrameworkId) -> Option<Appetite> {
        let framework = self.frameworks.get(id).filter(|framework| framework.is_active)?;
        let mut clients = framework.clients.values().map(|id| self.client(*id).appetite);
        let wants = clients.any(|appetite| appetite == Appetite::Wanting);
        Some(if wants { Appetite::Wanting } else { Appetite::Suppressed })
    }

    /// What a framework waits for in a role; none: whatever there is. What it refused while it
    /// waited for something else it may take now.
    pub fn set_demand(&mut self, id: &FrameworkId, role: &Role, demand: Option<&Demand>) {
        let Some(client) = self.client_of(id, role) else { return };
        let kinds = &mut self.kinds;
        let demand = demand.map(|demand| {
            Wait::new(kinds.amounts(&demand.least), kinds.amounts(&demand.wants), demand.terms)
        });
        let known = self.client_mut(client);
        let useful = |wait: &Option<Wait>| wait.as_ref().map(|w| (w.least.clone(), w.terms));
        let is_other = useful(&known.demand) != useful(&demand);
        let had = usize::from(known.has_own_floor());
        known.demand = demand;
        let has = usize::from(known.has_own_floor());
        self.count_own_floors(has, had);
        if is_other {
            self.clear_filters(client);
        }
        self.refresh_hunger(client);
        self.mark_client_freed(client);
    }

    /// Which offers are of use to a framework in a role, from now on.
    pub fn set_wishes(
        &mut self,
        id: &FrameworkId,
        role: &Role,
        floors: Option<Vec<Resources>>,
        constraints: Constraints,
    ) {
        let Some(client) = self.client_of(id, role) else { return };
        let kinds = &mut self.kinds;
        let floors = floors.map(|floors| floors.iter().map(|f| kinds.amounts(f)).collect());
        let known = self.client_mut(client);
        let had = usize::from(known.has_own_floor());
        (known.floors, known.constraints) = (floors, constraints);
        let has = usize::from(known.has_own_floor());
        self.count_own_floors(has, had);
        self.mark_client_freed(client);
    }

    /// Clients with floors of their own make agents spare that are so for nobody else.
    fn count_own_floors(&mut self, more: usize, less: usize) {
        let before = self.own_floors;
        self.own_floors = before + more - less;
        if (before == 0) != (self.own_floors == 0) {
            let keys: Vec<AgentKey> = self.agents.keys().cloned().collect();
            keys.iter().for_each(|key| self.refresh_agent(key));
        }
    }

    fn named(&self, id: &FrameworkId, roles: &[Role]) -> Vec<ClientId> {
        let clients = self.frameworks.get(id).map(|framework| &framework.clients);
        let clients = clients.into_iter().flatten();
        let is_named = |role: &Role| roles.is_empty() || roles.contains(role);
        clients.filter(|(role, _)| is_named(role)).map(|(_, client)| *client).collect()
    }

    pub(crate) fn clients_of(&self, id: &FrameworkId) -> Vec<ClientId> {
        self.named(id, &[])
    }

    pub(crate) fn client_of(&self, id: &FrameworkId, role: &Role) -> Option<ClientId> {
        self.frameworks.get(id)?.clients.get(role).copied()
    }

    pub(crate) fn client(&self, id: ClientId) -> &Client {
        self.clients[id.0 as usize].as_ref().expect("ids of clients that are gone are not kept")
    }

    pub(crate) fn client_mut(&mut self, id: ClientId) -> &mut Client {
        self.clients[id.0 as usize].as_mut().expect("ids of clients that are gone are not kept")
    }

    fn insert_client(&mut self, client: Client) -> ClientId {
        if let Some(id) = self.vacant.pop() {
            self.clients[id.0 as usize] = Some(client);
            return id;
        }
        self.clients.push(Some(client));
        ClientId(u32::try_from(self.clients.len() - 1).expect("clients are bounded"))
    }
}
