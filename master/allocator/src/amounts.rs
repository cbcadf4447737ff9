//! Amounts by dense index of their kind: what the allocator counts with.
//!
//! Names of kinds are interned once; a vector of amounts is then a few integers side by side, and
//! adding or comparing two touches no string. Always holds: a vector ends in no zero, so two that
//! mean the same are equal.

use skep_protocol::{Amount, Resources};
use smallvec::SmallVec;
use std::sync::Arc;

/// The kinds of resources that anybody has named, by index.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kinds {
    names: Vec<Arc<str>>,
}

impl Kinds {
    pub(crate) fn index(&mut self, name: &str) -> usize {
        if let Some(index) = self.find(name) {
            return index;
        }
        self.names.push(name.into());
        self.names.len() - 1
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| **known == *name)
    }

    pub(crate) fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    pub(crate) fn amounts(&mut self, resources: &Resources) -> Amounts {
        let mut amounts = Amounts::default();
        for (name, amount) in resources.iter() {
            amounts.set(self.index(name), amount.as_millis());
        }
        amounts
    }

    pub(crate) fn resources(&self, amounts: &Amounts) -> Resources {
        let known = amounts.iter().filter(|(_, millis)| *millis > 0);
        known.fold(Resources::none(), |sum, (kind, millis)| {
            sum.with(self.name(kind), Amount::millis(millis))
        })
    }
}

/// Thousandths by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts(SmallVec<[u64; 4]>);

impl Amounts {
    pub(crate) fn get(&self, kind: usize) -> u64 {
        self.0.get(kind).copied().unwrap_or(0)
    }

    pub(crate) fn set(&mut self, kind: usize, millis: u64) {
        if kind >= self.0.len() {
            if millis == 0 {
                return;
            }
            self.0.resize(kind + 1, 0);
        }
        self.0[kind] = millis;
        self.trim();
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// By kind, zeros between others included.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.0.iter().copied().enumerate()
    }

    /// Saturates: no sum of bounded amounts comes near, see `Amount::MAX`.
    pub(crate) fn add(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    /// Nowhere below zero.
    pub(crate) fn subtract(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = mine.saturating_sub(*theirs);
        }
        self.trim();
    }

    pub(crate) fn plus(mut self, other: &Self) -> Self {
        self.add(other);
        self
    }

    pub(crate) fn minus(mut self, other: &Self) -> Self {
        self.subtract(other);
        self
    }

    /// Of each kind the less of both.
    pub(crate) fn at_most(&self, other: &Self) -> Self {
        let mut least = self.clone();
        least.cap(|kind| other.get(kind));
        least
    }

    pub(crate) fn contains(&self, other: &Self) -> bool {
        other.0.len() <= self.0.len() && other.0.iter().zip(&self.0).all(|(part, all)| part <= all)
    }

    /// The first kind of which this has less than `needed`.
    pub(crate) fn shortfall(&self, needed: &Self) -> Option<usize> {
        needed.iter().find(|(kind, millis)| self.get(*kind) < *millis).map(|(kind, _)| kind)
    }

    /// Of each kind no more than `cap` says.
    pub(crate) fn cap(&mut self, mut cap: impl FnMut(usize) -> u64) {
        for (kind, millis) in self.0.iter_mut().enumerate() {
            if *millis > 0 {
                *millis = (*millis).min(cap(kind));
            }
        }
        self.trim();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_the_same_is_equal() {
        let mut kinds = Kinds::default();
        let all = kinds.amounts(&"cpus:2;gpus:1".parse().expect("resources"));
        let one = kinds.amounts(&"gpus:1".parse().expect("resources"));
        let two = kinds.amounts(&"cpus:2".parse().expect("resources"));
        assert_eq!(all.clone().minus(&one), two);
        assert_eq!(two.clone().minus(&all), Amounts::default());
        assert_eq!(one.clone().plus(&two), all);
        assert!(all.contains(&one) && !two.contains(&one));
        assert_eq!(kinds.resources(&all).to_string(), "cpus:2;gpus:1");
        assert_eq!(two.shortfall(&all), kinds.find("gpus"));
    }
}
