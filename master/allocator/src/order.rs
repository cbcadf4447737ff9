//! Who is served first among the members of one node.
//!
//! An order is kept sorted while shares change one by one. When the cluster's total changes in
//! another proportion all shares may change places: the order is then stale, and made anew only
//! when somebody looks at it.

use crate::share::Share;
use std::{collections::BTreeSet, sync::Arc};

/// A place in an order: the lowest share first, then the least often chosen, then the name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seat {
    pub(crate) share: Share,
    pub(crate) chosen: u64,
    pub(crate) name: Arc<str>,
    /// Of a node or of a client.
    pub(crate) id: u32,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    pub(crate) seats: BTreeSet<Seat>,
    /// Fresh if it is that of the allocator.
    pub(crate) epoch: u64,
}

impl Order {
    pub(crate) fn remove(&mut self, seat: &Seat) {
        self.seats.remove(seat);
    }
}
