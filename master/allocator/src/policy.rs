//! What the operator decides about sharing.

use skep_protocol::{Amount, Resources, resources};
use std::collections::BTreeSet;

/// The allocator's settings; never changed while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// An offer is made only if it holds one of these.
    pub floors: Vec<Resources>,
    /// Kinds of resources that do not count in shares.
    pub excluded: BTreeSet<String>,
    /// Kinds whose agents are offered only to frameworks with a capability of the same name.
    pub scarce: BTreeSet<String>,
    /// The region of the master: agents elsewhere go to frameworks that know of regions only.
    pub region: Option<String>,
    /// Offers out to one framework.
    pub offers_out_max: usize,
    /// Shuffles the order in which agents are visited; zero: by id.
    pub seed: u64,
    /// When what was given back is offered again.
    pub freed: Freed,
}

/// When what was given back is offered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freed {
    /// In the next run, as skep does it.
    AtOnce,
    /// When everything is looked at, as Mesos does it.
    NextPass,
}

impl Default for Policy {
    fn default() -> Self {
        let floor = |name, amount| Resources::none().with(name, amount);
        Self {
            // As in Mesos: one of both is enough.
            floors: vec![
                floor(resources::CPUS, Amount::millis(10)),
                floor(resources::MEM, Amount::units(32)),
            ],
            excluded: BTreeSet::new(),
            scarce: BTreeSet::new(),
            region: None,
            // One framework alone may still be offered a large cluster.
            offers_out_max: 10_000,
            seed: 0,
            freed: Freed::AtOnce,
        }
    }
}
