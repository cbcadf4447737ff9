//! Where roles will stand once some of what they hold has moved, for deciding who gives back.

use crate::{
    Allocator, Bundle,
    agents::Presence,
    amounts::Amounts,
    bundle::{Lot, Term},
    share::Share,
    tree::NodeId,
};
use skep_protocol::{AgentId, FrameworkId, Role, Time};
use std::{cmp::Ordering, collections::BTreeMap};

/// What nodes of the tree will hold, where that differs from what they hold now.
#[derive(Clone, Debug, Default)]
pub struct Projection {
    held: BTreeMap<NodeId, Amounts>,
}

/// The share of a node and its name, which decides between equals.
type Standing<'a> = (Share, &'a str);

impl Allocator {
    /// Lets what `from` holds of this be held by `to`.
    pub fn project(&self, projection: &mut Projection, from: &Role, to: &Role, moved: &Bundle) {
        let mut sum = Amounts::default();
        for (name, amount) in moved.sum().iter() {
            if let Some(kind) = self.kinds.find(name) {
                sum.set(kind, amount.as_millis());
            }
        }
        for (role, is_gain) in [(from, false), (to, true)] {
            let Some(node) = self.tree.find(role) else { continue };
            let start = self.tree.leaf_of(node).unwrap_or(node);
            for id in self.tree.path(start) {
                let held =
                    projection.held.entry(id).or_insert_with(|| self.tree.at(id).held.clone());
                if is_gain { held.add(&sum) } else { held.subtract(&sum) }
            }
        }
    }

    /// Which of two roles would be served first: by the shares where their paths part, and of
    /// equals by the names there, so that it is an order to sort by.
    pub fn compare(&self, projection: &Projection, one: &Role, other: &Role) -> Ordering {
        self.parting(projection, one, other).map_or(Ordering::Equal, |(one, other)| one.cmp(&other))
    }

    /// Whether a role would have a lower share than another, where their paths part.
    pub fn is_poorer(&self, projection: &Projection, one: &Role, other: &Role) -> bool {
        let parting = self.parting(projection, one, other);
        parting.is_some_and(|((one, _), (other, _))| one < other)
    }

    /// The shares and names of the two nodes at which the paths of two roles part.
    fn parting(
        &self,
        projection: &Projection,
        one: &Role,
        other: &Role,
    ) -> Option<(Standing<'_>, Standing<'_>)> {
        let path = |role| -> Option<Vec<NodeId>> {
            let node = self.tree.find(role)?;
            let start = self.tree.leaf_of(node).unwrap_or(node);
            let mut path: Vec<NodeId> = self.tree.path(start).collect();
            path.reverse();
            Some(path)
        };
        let seat = |id: NodeId| {
            let node = self.tree.at(id);
            let held = projection.held.get(&id).unwrap_or(&node.held);
            (Share::of(held, &self.total, node.weight, &self.excluded), &*node.name)
        };
        let (one, other) = (path(one)?, path(other)?);
        let (one, other) = one.into_iter().zip(other).find(|(one, other)| one != other)?;
        Some((seat(one), seat(other)))
    }

    /// The clients that would take an offer and have none.
    pub fn waiting(&self) -> Vec<(FrameworkId, Role)> {
        let clients = self.clients.iter().flatten();
        let waiting = clients.filter(|client| client.is_hungry && client.offered.is_zero());
        let named =
            waiting.map(|client| (client.framework.clone(), self.tree.role(client.leaf).clone()));
        named.collect()
    }

    /// Whether a client would let an offer of this pass, as far as the agent is open and it has
    /// not refused the like.
    pub fn would_take(
        &self,
        framework: &FrameworkId,
        role: &Role,
        agent: &AgentId,
        bundle: &Bundle,
        now: Time,
    ) -> bool {
        let client = self.client_of(framework, role);
        let Some((client, agent)) = client.zip(self.agents.get(&self.key(agent))) else {
            return false;
        };
        let mut lot = Lot::default();
        let mut put = |term, resources: &skep_protocol::Resources| {
            let mut amounts = Amounts::default();
            for (name, amount) in resources.iter() {
                if let Some(kind) = self.kinds.find(name) {
                    amounts.set(kind, amount.as_millis());
                }
            }
            lot.put(term, amounts);
        };
        put(Term::Unreserved, &bundle.unreserved);
        put(Term::Revocable, &bundle.revocable);
        for (role, part) in &bundle.reserved {
            if let Some(node) = self.tree.find(role) {
                put(Term::Reserved(node), part);
            }
        }
        agent.presence == Presence::Open && !self.refuses(client, agent, &lot, now)
    }
}
