//! One allocation run: each agent that has something free is offered, as a whole, to whoever has
//! the lowest share and takes it; the order is made anew after every offer.
//!
//! A run costs the frameworks that want something, once, and then the agents it looks at, times
//! the frameworks that have refused each.

use super::{Allocator, Appetite, Dirty, FrameworkAccount, share::Share};
use skep_protocol::{AgentId, FrameworkId, Resources, Role, Time, operator::Weight};
use std::collections::{BTreeMap, BTreeSet};

/// An offer to be made; it is booked already.
#[derive(Debug, PartialEq)]
pub(crate) struct Grant {
    pub(crate) framework: FrameworkId,
    pub(crate) agent: AgentId,
    pub(crate) offered: Resources,
}

/// Who comes first: the lowest share, then the fewest offers so far, then the name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place<T> {
    share: Share,
    offers: u64,
    name: T,
}

/// All that want something, in their order.
#[derive(Debug, Default)]
struct Order {
    roles: BTreeSet<Place<Role>>,
    frameworks: BTreeMap<Role, BTreeSet<Place<FrameworkId>>>,
}

impl Allocator {
    /// Offers what has become free since the last run.
    pub(crate) fn run(&mut self, now: Time) -> Vec<Grant> {
        let agents: Vec<AgentId> = match std::mem::replace(&mut self.dirty, Dirty::Clean) {
            Dirty::Clean => Vec::new(),
            Dirty::Agents(agents) => agents.intersection(&self.spare).cloned().collect(),
            Dirty::All => self.spare.iter().cloned().collect(),
        };
        if agents.is_empty() {
            return Vec::new();
        }
        let mut order = self.order();
        let mut grants = Vec::new();
        for agent in agents {
            let offered = self.agents.get(&agent).map(|a| a.free()).unwrap_or_default();
            let takes = |f: &FrameworkId| !self.filters.refuses(f, &agent, &offered, now);
            let Some((role, framework)) = order.first(takes) else { continue };
            order.remove(self, &role, &framework);
            self.book_offer(&framework, &agent, &offered);
            order.insert(self, &role, &framework);
            grants.push(Grant { framework, agent, offered });
        }
        grants
    }

    fn order(&self) -> Order {
        let mut order = Order::default();
        for (framework, account) in &self.frameworks {
            if self.may_take(account) {
                order.insert(self, &account.role, framework);
            }
        }
        order
    }

    #[cfg(test)]
    pub(super) fn roles_in_order(&self) -> Vec<String> {
        self.order().roles.iter().map(|place| place.name.to_string()).collect()
    }

    fn may_take(&self, account: &FrameworkAccount) -> bool {
        account.appetite == Appetite::Wanting && account.offers_out < self.policy.offers_out_max
    }

    fn role_place(&self, role: &Role) -> Option<Place<Role>> {
        let account = self.roles.get(role)?;
        let share = Share::of(&account.held.sum, &self.total, account.weight);
        Some(Place { share, offers: account.held.offers, name: role.clone() })
    }

    fn framework_place(&self, framework: &FrameworkId) -> Option<Place<FrameworkId>> {
        let account = self.frameworks.get(framework).filter(|account| self.may_take(account))?;
        let share = Share::of(&account.held.sum, &self.total, Weight::ONE);
        Some(Place { share, offers: account.held.offers, name: framework.clone() })
    }
}

impl Order {
    fn first(&self, takes: impl Fn(&FrameworkId) -> bool) -> Option<(Role, FrameworkId)> {
        self.roles.iter().find_map(|role| {
            let mut frameworks = self.frameworks.get(&role.name)?.iter();
            let first = frameworks.find(|framework| takes(&framework.name))?;
            Some((role.name.clone(), first.name.clone()))
        })
    }

    /// Puts both where they belong now; a framework that may take no more stays out.
    fn insert(&mut self, allocator: &Allocator, role: &Role, framework: &FrameworkId) {
        self.roles.extend(allocator.role_place(role));
        if let Some(place) = allocator.framework_place(framework) {
            self.frameworks.entry(role.clone()).or_default().insert(place);
        }
    }

    /// Takes both out, before their shares change.
    fn remove(&mut self, allocator: &Allocator, role: &Role, framework: &FrameworkId) {
        if let Some(place) = allocator.role_place(role) {
            self.roles.remove(&place);
        }
        if let Some(place) = allocator.framework_place(framework)
            && let Some(frameworks) = self.frameworks.get_mut(role)
        {
            frameworks.remove(&place);
        }
    }
}
