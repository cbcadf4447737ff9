//! What tasks need that could begin, and what the master is told of it.

use super::job::Group;
use skep_scheduler::prelude::*;

/// What the master was told to wait for, less what may have been launched since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing: it offers whatever there is.
    Nothing,
    This(Demand),
}

/// What tasks need that could begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Needs {
    /// In one offer.
    least: Resources,
    /// Together.
    all: Resources,
    /// Somewhat more, so that it need not be said anew with each task.
    about: Resources,
    /// More than is to be waited for.
    most: Resources,
    terms: Terms,
    size: Size,
}

/// How large an offer is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    /// For one task, or for several.
    Counted,
    /// Some tasks take what there is, up to what they ask: of pieces they would have the smallest.
    Any,
}

impl Needs {
    /// What so many tasks of each of these groups need. None: there are none.
    pub(super) fn of<'a>(groups: impl Iterator<Item = (&'a Group, u64)>) -> Option<Self> {
        groups.fold(None, |sum, (group, count)| {
            Some(sum.unwrap_or_else(|| Self::none(group)).with(group, count))
        })
    }

    fn none(group: &Group) -> Self {
        let (least, terms) = (group.least().clone(), group.terms());
        let (all, about, most) = Default::default();
        Self { least, all, about, most, terms, size: Size::Counted }
    }

    fn with(self, group: &Group, count: u64) -> Self {
        let Self { least, mut all, mut about, mut most, mut terms, mut size } = self;
        for (kind, amount) in group.work.resources.iter() {
            let exact = amount.as_millis().saturating_mul(count);
            let add = |to: &mut Resources, more: u64| {
                let sum = Amount::millis(to.amount(kind).as_millis().saturating_add(more));
                *to = std::mem::take(to).with(kind, sum.min(Amount::MAX));
            };
            add(&mut all, exact);
            let rounded = exact.checked_next_power_of_two().unwrap_or(exact);
            add(&mut about, rounded);
            add(&mut most, rounded.saturating_mul(4));
        }
        if group.terms() == Terms::Regular {
            terms = Terms::Regular;
        }
        if group.least() != &group.work.resources {
            size = Size::Any;
        }
        Self { least: least.at_most(group.least()), all, about, most, terms, size }
    }

    /// What the master is told.
    pub(super) fn said(&self) -> Said {
        let Self { least, terms, .. } = self;
        let wants = match (self.size, terms) {
            (Size::Counted, _) => self.about.clone(),
            (Size::Any, Terms::Regular) => return Said::Nothing,
            // What is not lent must not be offered.
            (Size::Any, Terms::Revocable) => self
                .all
                .iter()
                .fold(Resources::none(), |sum, (kind, _)| sum.with(kind, Amount::MAX)),
        };
        // Regular terms are those of everybody who is not lent anything.
        let terms = Some(*terms).filter(|terms| *terms == Terms::Revocable);
        Said::This(Demand { least: least.clone(), wants, terms })
    }

    /// Whether what was said says this, as far as what was launched since has not used it up.
    pub(super) fn are_met_by(&self, said: &Said) -> bool {
        match (said, self.size) {
            (Said::Nothing, _) => self.said() == Said::Nothing,
            (Said::This(_), Size::Any) => self.said() == *said,
            (Said::This(demand), Size::Counted) => {
                let Self { least, all, most, .. } = self;
                demand.least == *least
                    && (demand.terms == Some(Terms::Revocable)) == (self.terms == Terms::Revocable)
                    && demand.wants.contains(all)
                    && most.contains(&demand.wants)
            }
        }
    }
}

impl Said {
    pub(super) fn demand(&self) -> Option<Demand> {
        match self {
            Self::Nothing => None,
            Self::This(demand) => Some(demand.clone()),
        }
    }

    /// So much was used.
    pub(super) fn use_up(&mut self, resources: &Resources) {
        if let Self::This(demand) = self {
            demand.wants.subtract(resources);
        }
    }
}
