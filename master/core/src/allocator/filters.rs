//! What frameworks have refused, and until when.
//!
//! A filter keeps from a framework offers of one agent that hold no more than what it refused.

use skep_protocol::{AgentId, FrameworkId, Resources, Time};
use std::collections::{BTreeMap, BTreeSet};

/// Filters of one framework on one agent. More would mean declines of ever other amounts; the one
/// that ends first gives way.
const FILTERS_PER_AGENT_MAX: usize = 4;

#[derive(Debug, Default)]
pub(crate) struct Filters {
    /// No list in it is empty.
    frameworks: BTreeMap<FrameworkId, BTreeMap<AgentId, Vec<Filter>>>,
    /// When each ends.
    ends: BTreeSet<(Time, FrameworkId, AgentId)>,
}

#[derive(Clone, Debug, PartialEq)]
struct Filter {
    refused: Resources,
    until: Time,
}

impl Filters {
    pub(crate) fn add(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        refused: Resources,
        until: Time,
    ) {
        let agents = self.frameworks.entry(framework.clone()).or_default();
        let filters = agents.entry(agent.clone()).or_default();
        for filter in filters.iter() {
            self.ends.remove(&(filter.until, framework.clone(), agent.clone()));
        }
        // What the new one says as well is said once.
        filters.retain(|f| f.until > until || !refused.contains(&f.refused));
        filters.push(Filter { refused, until });
        filters.sort_by_key(|filter| filter.until);
        let surplus = filters.len().saturating_sub(FILTERS_PER_AGENT_MAX);
        filters.drain(..surplus);
        for filter in filters.iter() {
            self.ends.insert((filter.until, framework.clone(), agent.clone()));
        }
    }

    /// Whether the framework has refused to be offered this much of the agent.
    pub(crate) fn refuses(
        &self,
        framework: &FrameworkId,
        agent: &AgentId,
        offered: &Resources,
        now: Time,
    ) -> bool {
        let filters = self.frameworks.get(framework).and_then(|agents| agents.get(agent));
        let refuses = |filter: &Filter| filter.until > now && filter.refused.contains(offered);
        filters.is_some_and(|filters| filters.iter().any(refuses))
    }

    pub(crate) fn clear(&mut self, framework: &FrameworkId) {
        for (agent, filters) in self.frameworks.remove(framework).unwrap_or_default() {
            for filter in filters {
                self.ends.remove(&(filter.until, framework.clone(), agent.clone()));
            }
        }
    }

    pub(crate) fn next_end(&self) -> Option<Time> {
        self.ends.first().map(|(end, ..)| *end)
    }

    /// Drops the filters that have ended; the agents can be offered again.
    pub(crate) fn take_ended(&mut self, now: Time) -> Vec<AgentId> {
        let mut ended = Vec::new();
        while self.next_end().is_some_and(|end| end <= now) {
            let Some((_, framework, agent)) = self.ends.pop_first() else { break };
            self.drop_ended(&framework, &agent, now);
            ended.push(agent);
        }
        ended
    }

    fn drop_ended(&mut self, framework: &FrameworkId, agent: &AgentId, now: Time) {
        let Some(agents) = self.frameworks.get_mut(framework) else { return };
        let Some(filters) = agents.get_mut(agent) else { return };
        filters.retain(|filter| filter.until > now);
        if filters.is_empty() {
            agents.remove(agent);
        }
        if agents.is_empty() {
            self.frameworks.remove(framework);
        }
    }

    pub(crate) fn check(&self) {
        let mut ends = BTreeSet::new();
        for (framework, agents) in &self.frameworks {
            for (agent, filters) in agents {
                let count = filters.len();
                assert!((1..=FILTERS_PER_AGENT_MAX).contains(&count), "{count} filters of a pair");
                ends.extend(filters.iter().map(|f| (f.until, framework.clone(), agent.clone())));
            }
        }
        assert_eq!(ends, self.ends, "the ends of the filters are not those of the filters");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_micros(10);
    const LATER: Time = Time::from_micros(20);
    const MUCH_LATER: Time = Time::from_micros(30);

    fn pair() -> (FrameworkId, AgentId) {
        (FrameworkId::new("f").expect("an id"), AgentId::new("a").expect("an id"))
    }

    fn cpus(text: &str) -> Resources {
        format!("cpus:{text}").parse().expect("resources")
    }

    #[test]
    fn as_much_or_less_is_refused_and_more_is_not() {
        let ((f, a), mut filters) = (pair(), Filters::default());
        filters.add(&f, &a, cpus("2"), LATER);
        assert!(filters.refuses(&f, &a, &cpus("2"), NOW));
        assert!(filters.refuses(&f, &a, &cpus("1"), NOW));
        assert!(!filters.refuses(&f, &a, &cpus("2.001"), NOW));
        assert!(!filters.refuses(&f, &a, &cpus("1"), LATER));
    }

    #[test]
    fn a_short_refusal_of_more_leaves_a_long_one_of_less() {
        let ((f, a), mut filters) = (pair(), Filters::default());
        filters.add(&f, &a, cpus("2"), MUCH_LATER);
        filters.add(&f, &a, cpus("4"), LATER);
        filters.check();
        assert_eq!(filters.take_ended(LATER).len(), 1);
        assert!(filters.refuses(&f, &a, &cpus("2"), LATER));
        assert!(!filters.refuses(&f, &a, &cpus("4"), LATER));
        filters.check();
        filters.clear(&f);
        assert_eq!(filters.next_end(), None);
    }

    #[test]
    fn a_longer_refusal_of_more_replaces_the_earlier() {
        let ((f, a), mut filters) = (pair(), Filters::default());
        filters.add(&f, &a, cpus("2"), LATER);
        filters.add(&f, &a, cpus("4"), MUCH_LATER);
        assert_eq!(filters.next_end(), Some(MUCH_LATER));
        filters.check();
    }

    #[test]
    fn the_filters_of_a_pair_are_bounded() {
        let ((f, a), mut filters) = (pair(), Filters::default());
        for n in 1..10_u64 {
            filters.add(&f, &a, cpus(&(20 - n).to_string()), Time::from_micros(100 + n));
            filters.check();
        }
    }
}
