//! What an agent must have for the tasks of a group, and how many of them fit there.

use super::job::Group;
use skep_protocol::{
    Resources,
    task::{DirSource, Terms},
};
use skep_scheduler::Offer;
use std::collections::{BTreeMap, BTreeSet};

/// The attribute by which agents tell their volumes.
const VOLUMES: &str = "volumes";

/// What each task of a group needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitting {
    most: Resources,
    least: Resources,
    volumes: BTreeSet<String>,
    terms: Terms,
}

impl Fitting {
    /// What the tasks of this group need; they differ in their arguments and files alone.
    pub fn of(group: &Group) -> Self {
        let most = group.work.resources.clone();
        let least = group.least().clone();
        let dirs = group.template.iter().flat_map(|template| &template.grants.dirs);
        let volumes = dirs.filter_map(|dir| match &dir.source {
            DirSource::Volume(name) => Some(name.clone()),
            DirSource::Sandbox | DirSource::Host(_) => None,
        });
        Self { most, least, volumes: volumes.collect(), terms: group.terms() }
    }

    /// What a task must have at least.
    pub const fn least(&self) -> &Resources {
        &self.least
    }

    /// On which terms tasks hold what they use.
    pub const fn terms(&self) -> Terms {
        self.terms
    }

    /// The first volume that a task needs and an agent does not have that has these attributes,
    /// and on which these volumes were made.
    pub fn lacking<'a, 'b>(
        &'a self,
        attributes: &BTreeMap<String, String>,
        made: impl Iterator<Item = &'b str>,
    ) -> Option<&'a str> {
        let made: BTreeSet<&str> = made.collect();
        let named = attributes.get(VOLUMES).map_or("", String::as_str);
        let is_there = |volume: &&String| {
            made.contains(volume.as_str()) || named.split(',').any(|name| name == **volume)
        };
        self.volumes.iter().find(|volume| !is_there(volume)).map(String::as_str)
    }

    /// What a task would get of `offered`, and how many such tasks fit at once; none if not one.
    pub fn fit(&self, offered: &Resources) -> Option<(Resources, u64)> {
        let each = self.most.at_most(offered);
        if !each.contains(&self.least) {
            return None;
        }
        let times =
            each.iter().map(|(name, amount)| offered.amount(name).as_millis() / amount.as_millis());
        Some((each.clone(), times.min()?))
    }

    /// What tasks could use of an offer; none if its agent does not suit them.
    pub(super) fn usable(&self, offer: &Offer) -> Option<Resources> {
        let made = offer.volumes.iter().map(|volume| volume.name.as_str());
        if self.lacking(&offer.attributes, made).is_some() {
            return None;
        }
        Some(usable(&offer.resources.minus(&offer.revocable), &offer.revocable, self.terms))
    }

    /// How many tasks an offer holds at once.
    pub(super) fn times(&self, offer: &Offer) -> u64 {
        let fit = self.usable(offer).and_then(|usable| self.fit(&usable));
        fit.map_or(0, |(_, times)| times)
    }
}

/// What tasks on these terms could use where there is so much, and so much is lent besides.
pub fn usable(has: &Resources, lends: &Resources, terms: Terms) -> Resources {
    if terms == Terms::Regular {
        return has.clone();
    }
    if lends.is_empty() {
        return Resources::none();
    }
    // As the master has it: of a kind that is lent, what is lent; of another, what there is.
    let other = has.iter().filter(|(kind, _)| lends.amount(kind).as_millis() == 0);
    other.fold(lends.clone(), |sum, (kind, amount)| sum.with(kind, amount))
}
