//! What clients have refused of an agent, and until when.
//!
//! A filter keeps from a client offers of one agent that hold no more than what it refused: each
//! part on its own terms, or, of a client that says how much it waits for, in all. Such an offer is
//! cut to that amount, and of two parts on different terms one stands in for the other: if the one
//! is taken by somebody else, the other is no news to a client that has refused as much.
//!
//! Always holds: each filter stands in the list of ends, and the agents of a client's filters are
//! known to it; who is kept from an offer of an agent is kept from any that has less of everything.

use crate::{
    Allocator,
    agents::{Agent, AgentKey},
    bundle::Lot,
    tree::ClientId,
};
use skep_protocol::Time;
use std::collections::BTreeSet;

/// Filters of one client on one agent. More would mean declines of ever other amounts; the one
/// that ends first gives way.
const FILTERS_PER_AGENT_MAX: usize = 4;

/// By when each ends.
pub(crate) type Ends = BTreeSet<(Time, ClientId, AgentKey)>;

/// Filters of one client on one agent, by end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters(Vec<Filter>);

#[derive(Clone, Debug)]
struct Filter {
    refused: Lot,
    until: Time,
}

/// How what is offered is compared with what was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    ByTerms,
    InAll,
}

impl Filters {
    fn refuse(&self, offered: &Lot, measure: Measure, now: Time) -> bool {
        let is_as_much = |refused: &Lot| match measure {
            Measure::ByTerms => refused.contains(offered),
            Measure::InAll => refused.sum().contains(&offered.sum()),
        };
        self.0.iter().any(|filter| filter.until > now && is_as_much(&filter.refused))
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, refused: Lot, until: Time) {
        // What the new one says as well is said once.
        self.0.retain(|f| f.until > until || !refused.contains(&f.refused));
        self.0.push(Filter { refused, until });
        self.0.sort_by_key(|filter| filter.until);
        let surplus = self.0.len().saturating_sub(FILTERS_PER_AGENT_MAX);
        self.0.drain(..surplus);
    }

    pub(crate) fn ends(&self) -> impl Iterator<Item = Time> + '_ {
        self.0.iter().map(|filter| filter.until)
    }
}

impl Allocator {
    /// Whether a filter keeps this of an agent from a client.
    pub(crate) fn refuses(&self, id: ClientId, agent: &Agent, offered: &Lot, now: Time) -> bool {
        let says = self.client(id).demand.is_some();
        let measure = if says { Measure::InAll } else { Measure::ByTerms };
        agent.filters.get(&id).is_some_and(|filters| filters.refuse(offered, measure, now))
    }

    pub(crate) fn add_filter(&mut self, client: ClientId, key: &AgentKey, lot: Lot, until: Time) {
        let Some(agent) = self.agents.get_mut(key) else { return };
        let filters = agent.filters.entry(client).or_default();
        for end in filters.ends() {
            self.filter_ends.remove(&(end, client, key.clone()));
        }
        filters.add(lot, until);
        for end in filters.ends() {
            self.filter_ends.insert((end, client, key.clone()));
        }
        self.client_mut(client).filtered.insert(key.clone());
    }

    /// Drops all filters of a client.
    pub(crate) fn clear_filters(&mut self, client: ClientId) {
        for key in std::mem::take(&mut self.client_mut(client).filtered) {
            self.drop_filters(client, &key);
        }
    }

    /// Drops a client's filters on an agent, without a word to the client.
    pub(crate) fn drop_filters(&mut self, client: ClientId, key: &AgentKey) {
        let filters = self.agents.get_mut(key).and_then(|agent| agent.filters.remove(&client));
        for end in filters.iter().flat_map(Filters::ends) {
            self.filter_ends.remove(&(end, client, key.clone()));
        }
    }

    /// When a filter ends; [`Allocator::tick`] is due then.
    pub fn deadline(&self) -> Option<Time> {
        self.filter_ends.first().map(|(end, ..)| *end)
    }

    /// Lets go of filters that have ended: their agents may be offered again.
    pub fn tick(&mut self, now: Time) {
        while self.deadline().is_some_and(|end| end <= now) {
            let Some((_, client, key)) = self.filter_ends.pop_first() else { break };
            if let Some(agent) = self.agents.get_mut(&key)
                && let Some(filters) = agent.filters.get_mut(&client)
            {
                filters.0.retain(|filter| filter.until > now);
                if filters.is_empty() {
                    agent.filters.remove(&client);
                    self.client_mut(client).filtered.remove(&key);
                }
            }
            self.mark_freed(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Measure::ByTerms, *};
    use crate::{amounts::Kinds, bundle::Term};

    const NOW: Time = Time::from_micros(10);
    const LATER: Time = Time::from_micros(20);
    const MUCH_LATER: Time = Time::from_micros(30);

    fn cpus(units: u64) -> Lot {
        let mut kinds = Kinds::default();
        let mut lot = Lot::default();
        let text = format!("cpus:{units}");
        lot.put(Term::Unreserved, kinds.amounts(&text.parse().expect("resources")));
        lot
    }

    #[test]
    fn as_much_or_less_is_refused_and_more_is_not() {
        let mut filters = Filters::default();
        filters.add(cpus(2), LATER);
        assert!(filters.refuse(&cpus(2), ByTerms, NOW) && filters.refuse(&cpus(1), ByTerms, NOW));
        assert!(
            !filters.refuse(&cpus(3), ByTerms, NOW) && !filters.refuse(&cpus(1), ByTerms, LATER)
        );
    }

    /// What somebody else took of one part the other has to make up for.
    #[test]
    fn as_much_in_all_is_refused_on_whatever_terms() {
        let mut filters = Filters::default();
        filters.add(cpus(2), LATER);
        let mut lent = Lot::default();
        lent.put(Term::Revocable, cpus(2).sum());
        assert!(!filters.refuse(&lent, ByTerms, NOW) && filters.refuse(&lent, Measure::InAll, NOW));
        lent.add(&cpus(1));
        assert!(!filters.refuse(&lent, Measure::InAll, NOW), "it is more");
    }

    #[test]
    fn a_short_refusal_of_more_leaves_a_long_one_of_less() {
        let mut filters = Filters::default();
        filters.add(cpus(2), MUCH_LATER);
        filters.add(cpus(4), LATER);
        assert!(filters.refuse(&cpus(4), ByTerms, NOW) && filters.refuse(&cpus(2), ByTerms, LATER));
        assert!(!filters.refuse(&cpus(4), ByTerms, LATER));
    }

    #[test]
    fn a_longer_refusal_of_more_replaces_the_earlier() {
        let mut filters = Filters::default();
        filters.add(cpus(2), LATER);
        filters.add(cpus(4), MUCH_LATER);
        assert_eq!(filters.ends().collect::<Vec<_>>(), [MUCH_LATER]);
    }

    #[test]
    fn the_filters_of_a_pair_are_bounded() {
        let mut filters = Filters::default();
        for n in 1..10 {
            filters.add(cpus(20 - n), Time::from_micros(100 + n));
            assert!(filters.ends().count() <= FILTERS_PER_AGENT_MAX);
        }
    }
}
