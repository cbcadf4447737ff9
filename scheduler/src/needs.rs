//! [`Needs`]: what a framework's work needs that could begin, and what the master is told of it.

use skep_protocol::{Amount, Resources, framework::Demand, task::Terms};
use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

/// The work of a framework that could begin if there was room, as it is told to
/// [`Driver::ask_for`](crate::Driver::ask_for).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Which works, by the hashes of their names.
    works: BTreeSet<u64>,
    /// What the smallest task needs of each kind; none if there is no work.
    least: Option<Resources>,
    /// What all tasks need together.
    all: Resources,
    /// Somewhat more, so that it need not be said anew with each task.
    about: Resources,
    /// More than is to be waited for.
    most: Resources,
    terms: Terms,
    extent: Extent,
}

/// How much of what fits one task is to be offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Extent {
    /// As much as all tasks need.
    #[default]
    Counted,
    /// More: the framework chooses among agents.
    Choice,
    /// As much as there is: tasks take up to what they ask for, and of pieces they would have the
    /// smallest.
    Whole,
}

impl Needs {
    /// No work waits.
    pub fn none() -> Self {
        Self::default()
    }

    /// So many tasks wait, of each of which an agent must have this free. `work` tells this work
    /// from other: when work comes that did not wait before, the master offers again what was
    /// declined for want of it.
    pub fn add(&mut self, work: impl Hash, each: &Resources, count: u64) {
        self.add_elastic(work, each, each, count, Terms::Regular);
    }

    /// The same for tasks that are content with `least` if less than `each` is free, on these
    /// terms.
    pub fn add_elastic(
        &mut self,
        work: impl Hash,
        each: &Resources,
        least: &Resources,
        count: u64,
        terms: Terms,
    ) {
        if count == 0 {
            return;
        }
        // What any of them waits for on regular terms must be offered on such.
        if self.is_none() || terms == Terms::Regular {
            self.terms = terms;
        }
        let mut hasher = DefaultHasher::new();
        work.hash(&mut hasher);
        self.works.insert(hasher.finish());
        self.least = Some(self.least.as_ref().map_or_else(|| least.clone(), |l| l.at_most(least)));
        if least != each {
            self.extent = Extent::Whole;
        }
        for (kind, amount) in each.iter() {
            let exact = amount.as_millis().saturating_mul(count);
            let add = |to: &mut Resources, more: u64| {
                let sum = Amount::millis(to.amount(kind).as_millis().saturating_add(more));
                *to = std::mem::take(to).with(kind, sum.min(Amount::MAX));
            };
            add(&mut self.all, exact);
            let rounded = exact.checked_next_power_of_two().unwrap_or(exact);
            add(&mut self.about, rounded);
            add(&mut self.most, rounded.saturating_mul(4));
        }
    }

    /// The framework chooses among the agents: all that have room for a task are to be offered.
    #[must_use]
    pub fn with_choice(self) -> Self {
        let extent = self.extent.max(Extent::Choice);
        Self { extent, ..self }
    }

    /// Whether no work waits.
    pub const fn is_none(&self) -> bool {
        self.least.is_none()
    }

    pub(crate) const fn works(&self) -> &BTreeSet<u64> {
        &self.works
    }

    /// What the master is to be told. None: it offers whatever there is.
    pub(crate) fn demand(&self) -> Option<Demand> {
        let wants = match (self.extent, self.terms) {
            (Extent::Counted, _) => self.about.clone(),
            (Extent::Whole, Terms::Regular) => return None,
            // Of kinds that nobody speaks of, and of what is not lent, nothing is of use.
            (Extent::Choice | Extent::Whole, _) => {
                let kinds = self.all.iter();
                kinds.fold(Resources::none(), |sum, (kind, _)| sum.with(kind, Amount::MAX))
            }
        };
        // Regular terms are those of everybody who is not lent anything.
        let terms = Some(self.terms).filter(|terms| *terms == Terms::Revocable);
        Some(Demand { least: self.least.clone().unwrap_or_default(), wants, terms })
    }

    /// Whether a master that was told `said`, and waits for `left` of it at least, need not be
    /// told anew.
    pub(crate) fn are_met_by(&self, said: Option<&Demand>, left: &Resources) -> bool {
        let demand = self.demand();
        if self.extent != Extent::Counted {
            return demand.as_ref() == said;
        }
        let (Some(demand), Some(said)) = (demand, said) else { return false };
        (&demand.least, demand.terms) == (&said.least, said.terms)
            && left.contains(&self.all)
            && self.most.contains(&said.wants)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Resources {
        text.parse().expect("resources")
    }

    #[test]
    fn the_least_is_of_use_to_the_smallest_and_the_rest_is_for_all() {
        let mut needs = Needs::none();
        assert_eq!((needs.is_none(), needs.works().len()), (true, 0));
        needs.add("nobody", &of("cpus:9"), 0);
        assert!(needs.is_none());
        needs.add("wide", &of("cpus:4;mem:64"), 1);
        needs.add("tall", &of("cpus:1;mem:512;gpus:1"), 2);
        let demand = needs.demand().expect("one");
        assert_eq!(demand.least, of("cpus:1;mem:64"));
        assert_eq!(demand.wants, of("cpus:6.144;mem:1114.112;gpus:2.048"));
        assert_eq!(demand.terms, None);
        assert_eq!(needs.works().len(), 2);
    }

    #[test]
    fn who_chooses_is_offered_all_of_the_kinds_that_it_uses() {
        let mut needs = Needs::none();
        needs.add("copies", &of("cpus:1;mem:64"), 3);
        let demand = needs.with_choice().demand().expect("one");
        assert_eq!(demand.least, of("cpus:1;mem:64"));
        assert_eq!(demand.wants, Resources::new(Amount::MAX, Amount::MAX));
    }

    #[test]
    fn what_is_content_with_less_has_whole_agents_and_what_is_lent_is_said() {
        let (each, least) = (of("cpus:4;mem:64"), of("cpus:1;mem:64"));
        let mut needs = Needs::none();
        needs.add_elastic("elastic", &each, &least, 3, Terms::Revocable);
        let demand = needs.demand().expect("one");
        assert_eq!((demand.least, demand.terms), (least.clone(), Some(Terms::Revocable)));
        needs.add_elastic("elastic", &each, &least, 3, Terms::Regular);
        assert_eq!(needs.demand(), None);
        assert!(needs.are_met_by(None, &Resources::none()));
    }

    #[test]
    fn it_is_said_again_when_too_little_is_left_or_far_too_much_was_said() {
        let needs = |count| {
            let mut needs = Needs::none();
            needs.add("w", &of("cpus:1;mem:64"), count);
            needs
        };
        let said = needs(8).demand();
        let is_met = |count, left: &str| needs(count).are_met_by(said.as_ref(), &of(left));
        assert!(is_met(8, "cpus:8.192;mem:524.288"));
        assert!(!is_met(8, "cpus:7;mem:600"), "processors were used up");
        assert!(!is_met(4, "cpus:4;mem:255"), "memory was used up");
        assert!(is_met(4, "cpus:4;mem:256") && is_met(3, "cpus:4;mem:256"));
        assert!(!is_met(1, "cpus:1;mem:64"), "it would be offered eight times as much");
        let mut other = needs(8);
        other.add("small", &of("cpus:0.1;mem:64"), 1);
        assert!(!other.are_met_by(said.as_ref(), &of("cpus:99;mem:9999")), "less is of use now");
    }
}
