//! The tree of roles: weights, what each subtree holds, and the order in which it is served.
//!
//! ```text
//! (top) -- eng (weight 2) -- eng/web -- .   <- the frameworks of eng/web
//!      \                 \-- .              <- the frameworks of eng itself: a child of weight 1
//!       \- ops -- .
//! ```
//! Frameworks stand in leaves only: a role that has some gets a leaf `.`, so that a role which is
//! both client and parent competes with its own children, as in Mesos.
//!
//! Always holds: an order that is fresh seats exactly the hungry members, each by its present
//! share; one that is stale is made anew when somebody looks.

use crate::{
    amounts::Amounts,
    order::{Order, Seat},
    quota::Limits,
};
use skep_protocol::{Role, operator::Weight};
use std::{collections::BTreeMap, sync::Arc};

/// A place in [`Tree::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(pub(crate) u32);

/// A framework in one of its roles, by its place in the allocator's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClientId(pub(crate) u32);

#[derive(Clone, Debug)]
pub(crate) struct Tree {
    nodes: Vec<Option<Node>>,
    vacant: Vec<NodeId>,
    roles: BTreeMap<Role, NodeId>,
}

/// The parent of all roles of one level.
pub(crate) const TOP: NodeId = NodeId(0);

#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Its last name; `.` for a leaf, which comes before all names.
    pub(crate) name: Arc<str>,
    /// The role that it stands for, or whose frameworks it has; none at the top.
    role: Option<Role>,
    pub(crate) parent: Option<NodeId>,
    pub(crate) weight: Weight,
    pub(crate) body: Body,
    /// What the subtree holds, offers and revocable parts included.
    pub(crate) held: Amounts,
    /// How often anybody of the subtree was chosen; of equal shares the less chosen goes first.
    pub(crate) chosen: u64,
    /// How many clients of the subtree would take an offer.
    pub(crate) hungry: usize,
    /// The hungry among children or clients.
    pub(crate) order: Order,
    /// Its seat in its parent's order, if that is fresh.
    pub(crate) seat: Option<Seat>,
    pub(crate) guarantee: Amounts,
    pub(crate) limits: Limits,
    /// What counts against quota: reservations for the subtree, used or not, and what its clients
    /// hold of anything else but revocable resources.
    pub(crate) consumed: Amounts,
    /// What is missing to the guarantees of the subtree.
    pub(crate) unmet: Amounts,
    /// The part of it that is missing to those of the children.
    pub(crate) unmet_below: Amounts,
    /// Resources have been reserved for it: it stays.
    is_pinned: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Inner { children: BTreeMap<Arc<str>, NodeId> },
    Leaf { clients: BTreeMap<Arc<str>, ClientId> },
}

/// The name of a leaf. No part of a role starts with a dot.
const LEAF: &str = ".";

impl Node {
    fn new(name: Arc<str>, role: Option<Role>, parent: Option<NodeId>, body: Body) -> Self {
        Self {
            name,
            role,
            parent,
            weight: Weight::ONE,
            body,
            held: Amounts::default(),
            chosen: 0,
            hungry: 0,
            order: Order::default(),
            seat: None,
            guarantee: Amounts::default(),
            limits: Limits::default(),
            consumed: Amounts::default(),
            unmet: Amounts::default(),
            unmet_below: Amounts::default(),
            is_pinned: false,
        }
    }

    /// What is missing to its own guarantee beyond what is missing to those of its children.
    pub(crate) fn unmet_itself(&self) -> Amounts {
        self.unmet.clone().minus(&self.unmet_below)
    }

    pub(crate) const fn is_leaf(&self) -> bool {
        matches!(self.body, Body::Leaf { .. })
    }

    pub(crate) fn has_quota(&self) -> bool {
        !self.guarantee.is_zero() || !self.limits.is_none()
    }

    fn is_idle(&self) -> bool {
        let is_empty = match &self.body {
            Body::Inner { children } => children.is_empty(),
            Body::Leaf { clients } => clients.is_empty(),
        };
        is_empty && !self.is_pinned && self.weight == Weight::ONE && !self.has_quota()
    }
}

impl Tree {
    pub(crate) fn new() -> Self {
        let body = Body::Inner { children: BTreeMap::new() };
        let mut top = Node::new("".into(), None, None, body);
        top.is_pinned = true;
        Self { nodes: vec![Some(top)], vacant: Vec::new(), roles: BTreeMap::new() }
    }

    pub(crate) fn at(&self, id: NodeId) -> &Node {
        self.nodes[id.0 as usize].as_ref().expect("ids of nodes that are gone are not kept")
    }

    pub(crate) fn at_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes[id.0 as usize].as_mut().expect("ids of nodes that are gone are not kept")
    }

    pub(crate) fn find(&self, role: &Role) -> Option<NodeId> {
        self.roles.get(role).copied()
    }

    /// Whose node it is.
    pub(crate) fn role(&self, id: NodeId) -> &Role {
        self.at(id).role.as_ref().expect("the top holds nothing of its own")
    }

    /// All nodes that stand for roles, by path.
    pub(crate) fn roles(&self) -> impl Iterator<Item = (&Role, NodeId)> {
        self.roles.iter().map(|(role, id)| (role, *id))
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        let ids = (0_u32..).map(NodeId).zip(&self.nodes);
        ids.filter(|(_, node)| node.is_some()).map(|(id, _)| id)
    }

    /// A node, its parent, and so on up to the top.
    pub(crate) fn path(&self, from: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        std::iter::successors(Some(from), |id| self.at(*id).parent)
    }

    /// Whether `node` is `of` or stands below it.
    pub(crate) fn is_within(&self, node: NodeId, of: NodeId) -> bool {
        self.path(node).any(|id| id == of)
    }

    /// The node of a role, made if it is not there.
    pub(crate) fn node(&mut self, role: &Role) -> NodeId {
        if let Some(id) = self.find(role) {
            return id;
        }
        let (parent, name) = match role.as_str().rsplit_once('/') {
            Some((above, name)) => {
                let above = Role::new(above).expect("what stands above a role is a role");
                (self.node(&above), name)
            }
            None => (TOP, role.as_str()),
        };
        let body = Body::Inner { children: BTreeMap::new() };
        let id = self.insert(Node::new(name.into(), Some(role.clone()), Some(parent), body));
        self.roles.insert(role.clone(), id);
        id
    }

    /// The leaf for the frameworks of a role.
    pub(crate) fn leaf(&mut self, role: &Role) -> NodeId {
        let above = self.node(role);
        if let Some(leaf) = self.leaf_of(above) {
            return leaf;
        }
        let body = Body::Leaf { clients: BTreeMap::new() };
        self.insert(Node::new(LEAF.into(), Some(role.clone()), Some(above), body))
    }

    pub(crate) fn leaf_of(&self, node: NodeId) -> Option<NodeId> {
        match &self.at(node).body {
            Body::Inner { children } => children.get(LEAF).copied(),
            Body::Leaf { .. } => None,
        }
    }

    fn insert(&mut self, node: Node) -> NodeId {
        let (name, parent) = (node.name.clone(), node.parent);
        let id = match self.vacant.pop() {
            Some(id) => {
                self.nodes[id.0 as usize] = Some(node);
                id
            }
            None => {
                self.nodes.push(Some(node));
                NodeId(u32::try_from(self.nodes.len() - 1).expect("roles are bounded"))
            }
        };
        if let Some(Body::Inner { children }) = parent.map(|p| &mut self.at_mut(p).body) {
            children.insert(name, id);
        }
        id
    }

    /// Keeps a role's node for good: agents may hold resources that are reserved for it.
    pub(crate) fn pin(&mut self, id: NodeId) {
        self.at_mut(id).is_pinned = true;
    }

    /// Drops a node that nobody needs, and what is above it likewise.
    pub(crate) fn prune(&mut self, id: NodeId) {
        if id == TOP || !self.at(id).is_idle() {
            return;
        }
        let Some(node) = self.nodes[id.0 as usize].take() else { return };
        if let (Some(role), false) = (&node.role, node.is_leaf()) {
            self.roles.remove(role);
        }
        self.vacant.push(id);
        let Some(parent) = node.parent else { return };
        let above = self.at_mut(parent);
        if let Some(seat) = &node.seat {
            above.order.remove(seat);
        }
        if let Body::Inner { children } = &mut above.body {
            children.remove(&node.name);
            if children.is_empty() {
                // As in Mesos, where a client that leaves takes its count along.
                above.chosen = 0;
            }
        }
        self.prune(parent);
    }

    pub(crate) fn members(&self, leaf: NodeId) -> impl Iterator<Item = ClientId> + '_ {
        let clients = match &self.at(leaf).body {
            Body::Leaf { clients } => Some(clients),
            Body::Inner { .. } => None,
        };
        clients.into_iter().flat_map(|clients| clients.values().copied())
    }

    pub(crate) fn children(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let children = match &self.at(node).body {
            Body::Inner { children } => Some(children),
            Body::Leaf { .. } => None,
        };
        children.into_iter().flat_map(|children| children.values().copied())
    }
}
