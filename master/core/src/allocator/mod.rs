//! The sharing of the cluster: who holds what, who is offered what next, who gives back.
//!
//! Plain weighted DRF, first over roles, then over the frameworks of a role. The allocator is told
//! what happens to agents, frameworks, offers and tasks; [`Allocator::run`] answers with grants
//! and [`Allocator::recall`] with allocations whose queues are to come back. It owns every sum and
//! knows no connection, message or task.
//!
//! | file | owns |
//! |---|---|
//! | `accounts.rs` | what agents, frameworks, roles and allocations hold |
//! | `books.rs` | how offering and allocating changes all accounts together |
//! | `share.rs` | the dominant share and its exact order |
//! | `pass.rs` | one allocation run |
//! | `filters.rs` | what frameworks have refused |
//! | `recall.rs` | which queues are recalled for whom |
//! | `check.rs` | what always holds |
//!
//! Deliberately absent: quota, reservations, demand and the levels of the role tree; a role is its
//! whole path.

mod accounts;
mod books;
mod check;
mod filters;
mod pass;
mod recall;
mod share;

#[cfg(test)]
mod tests;

pub(crate) use accounts::{
    AgentAccount, Allocation, Appetite, FrameworkAccount, Held, RoleAccount,
};
pub(crate) use books::{Batch, Begun};
pub(crate) use pass::Grant;
pub(crate) use share::dominant;

use crate::policy::Policy;
use accounts::Presence;
use filters::Filters;
use skep_protocol::{AgentId, AllocationId, FrameworkId, Resources, Role, Time, operator::Weight};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
pub(crate) struct Allocator {
    policy: Policy,
    /// The sum over all agents that are not away.
    total: Resources,
    agents: BTreeMap<AgentId, AgentAccount>,
    frameworks: BTreeMap<FrameworkId, FrameworkAccount>,
    /// Those that have a framework or a weight other than one.
    roles: BTreeMap<Role, RoleAccount>,
    allocations: BTreeMap<AllocationId, Allocation>,
    filters: Filters,
    /// The open agents that have enough free to be worth an offer.
    spare: BTreeSet<AgentId>,
    /// The allocations of each role that could be recalled, by age. No set in it is empty.
    queues: BTreeMap<Role, BTreeSet<(Time, AllocationId)>>,
    recalled: BTreeSet<AllocationId>,
    dirty: Dirty,
}

/// Which agents the next run looks at.
#[derive(Debug)]
enum Dirty {
    Clean,
    /// Something has become free there, or a filter has ended.
    Agents(BTreeSet<AgentId>),
    /// Somebody new may take what others did not want.
    All,
}

impl Allocator {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            total: Resources::none(),
            agents: BTreeMap::new(),
            frameworks: BTreeMap::new(),
            roles: BTreeMap::new(),
            allocations: BTreeMap::new(),
            filters: Filters::default(),
            spare: BTreeSet::new(),
            queues: BTreeMap::new(),
            recalled: BTreeSet::new(),
            dirty: Dirty::Clean,
        }
    }

    /// An agent has registered and has this much.
    pub(crate) fn open(&mut self, agent: &AgentId, total: Resources) {
        let account = self.agents.entry(agent.clone()).or_insert_with(AgentAccount::away);
        let before = std::mem::replace(&mut account.total, total);
        if account.presence != Presence::Away {
            self.total.subtract(&before);
            self.total.add(&account.total);
        }
        self.set_presence(agent, Presence::Open);
    }

    /// An agent's connection broke; its offers were taken back before.
    pub(crate) fn close(&mut self, agent: &AgentId) {
        self.set_presence(agent, Presence::Closed);
    }

    /// An agent has been gone for long enough that it no longer counts.
    pub(crate) fn part(&mut self, agent: &AgentId) {
        self.set_presence(agent, Presence::Away);
    }

    fn set_presence(&mut self, agent: &AgentId, presence: Presence) {
        let Some(account) = self.agents.get_mut(agent) else { return };
        let before = std::mem::replace(&mut account.presence, presence);
        match (before, presence) {
            (Presence::Away, Presence::Open | Presence::Closed) => {
                self.total.add(&account.total);
                for id in account.allocations.clone() {
                    self.hold_again(id);
                }
            }
            (Presence::Open | Presence::Closed, Presence::Away) => {
                self.total.subtract(&account.total);
                for id in account.allocations.clone() {
                    self.hold_no_longer(id);
                }
            }
            _ => {}
        }
        self.refresh_spare(agent);
        // Shares have changed, so also what is to be recalled.
        self.mark(agent);
    }

    /// A framework is known; it is offered nothing until it [wants](Self::want) it.
    pub(crate) fn add_framework(&mut self, framework: &FrameworkId, role: &Role) {
        let appetite = Appetite::Absent;
        let account =
            FrameworkAccount { role: role.clone(), appetite, held: Held::default(), offers_out: 0 };
        self.frameworks.insert(framework.clone(), account);
        let role = self.roles.entry(role.clone()).or_default();
        role.frameworks.insert(framework.clone());
    }

    /// A framework takes offers, of whatever it refused before too.
    pub(crate) fn want(&mut self, framework: &FrameworkId) {
        self.filters.clear(framework);
        self.set_appetite(framework, Appetite::Wanting);
        self.dirty = Dirty::All;
    }

    pub(crate) fn suppress(&mut self, framework: &FrameworkId) {
        self.set_appetite(framework, Appetite::Suppressed);
    }

    /// A framework's connection broke; its offers were taken back before.
    pub(crate) fn leave(&mut self, framework: &FrameworkId) {
        self.filters.clear(framework);
        self.set_appetite(framework, Appetite::Absent);
    }

    fn set_appetite(&mut self, framework: &FrameworkId, appetite: Appetite) {
        if let Some(account) = self.frameworks.get_mut(framework) {
            account.appetite = appetite;
        }
    }

    /// A framework is gone; its tasks and offers went before.
    pub(crate) fn remove_framework(&mut self, framework: &FrameworkId) {
        self.filters.clear(framework);
        let Some(account) = self.frameworks.remove(framework) else { return };
        if let Some(role) = self.roles.get_mut(&account.role) {
            role.frameworks.remove(framework);
        }
        self.drop_if_idle(&account.role);
    }

    pub(crate) fn set_weight(&mut self, role: &Role, weight: Weight) {
        self.roles.entry(role.clone()).or_default().weight = weight;
        self.drop_if_idle(role);
        self.dirty = Dirty::All;
    }

    fn drop_if_idle(&mut self, role: &Role) {
        let is_idle = |role: &RoleAccount| role.frameworks.is_empty() && role.weight == Weight::ONE;
        if self.roles.get(role).is_some_and(is_idle) {
            self.roles.remove(role);
        }
    }

    /// A framework does not want to be offered this much of the agent for a while.
    pub(crate) fn refuse(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        refused: Resources,
        until: Time,
    ) {
        self.filters.add(framework, agent, refused, until);
    }

    /// Whether a run would look at anything.
    pub(crate) const fn is_dirty(&self) -> bool {
        !matches!(self.dirty, Dirty::Clean)
    }

    /// When a filter ends.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.filters.next_end()
    }

    /// Lets go of filters that have ended.
    pub(crate) fn tick(&mut self, now: Time) {
        for agent in self.filters.take_ended(now) {
            self.mark(&agent);
        }
    }

    pub(crate) const fn total(&self) -> &Resources {
        &self.total
    }

    pub(crate) fn agent(&self, agent: &AgentId) -> Option<&AgentAccount> {
        self.agents.get(agent)
    }

    pub(crate) fn framework(&self, framework: &FrameworkId) -> Option<&FrameworkAccount> {
        self.frameworks.get(framework)
    }

    pub(crate) fn role(&self, role: &Role) -> Option<&RoleAccount> {
        self.roles.get(role)
    }

    pub(crate) fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.keys()
    }

    pub(crate) fn allocation(&self, id: AllocationId) -> Option<&Allocation> {
        self.allocations.get(&id)
    }

    pub(crate) fn allocations(&self) -> impl Iterator<Item = (&AllocationId, &Allocation)> {
        self.allocations.iter()
    }

    /// Whether any agent has something left that is worth an offer.
    pub(crate) fn has_spare(&self) -> bool {
        !self.spare.is_empty()
    }

    fn mark(&mut self, agent: &AgentId) {
        match &mut self.dirty {
            Dirty::Clean => self.dirty = Dirty::Agents(BTreeSet::from([agent.clone()])),
            Dirty::Agents(agents) => {
                agents.insert(agent.clone());
            }
            Dirty::All => {}
        }
    }

    fn refresh_spare(&mut self, agent: &AgentId) {
        let Some(account) = self.agents.get(agent) else { return };
        let is_open = account.presence == Presence::Open;
        if is_open && self.policy.is_worth_offering(&account.free()) {
            self.spare.insert(agent.clone());
        } else {
            self.spare.remove(agent);
        }
    }
}
