//! What those are offered who say which offer is the smallest useful one: as much as is due to them
//! while others wait, and no more often than it takes.

use skep_allocator::{
    AgentSpec, Allocator, Bundle, Demand, Grant, Interest, Origin, Policy, Quota, Use,
};
use skep_protocol::{AgentId, Amount, FrameworkId, Resources, Role, Time, operator::Weight};
use std::{collections::BTreeSet, time::Duration};

fn resources(text: &str) -> Resources {
    text.parse().expect("resources")
}

/// A cluster whose frameworks `a`, `b` and so on have a role of the same name each.
struct Cluster(Allocator);

impl Cluster {
    fn new(agents: &[&str], frameworks: &[(&str, u64)]) -> Self {
        let mut allocator = Allocator::new(Policy::default());
        for (name, weight) in frameworks {
            let framework = FrameworkId::new(*name).expect("an id");
            let role = Role::new(*name).expect("a role");
            allocator.set_weight(&role, Weight::from_millis(weight * 1_000).expect("a weight"));
            allocator.add_framework(&framework, BTreeSet::new(), [(role, Interest::default())]);
            allocator.activate(&framework);
        }
        for (n, all) in agents.iter().enumerate() {
            let id = AgentId::new(format!("a{n}")).expect("an id");
            let capacity = Bundle::from(resources(all));
            allocator.set_agent(&id, AgentSpec { capacity, ..AgentSpec::default() });
        }
        Self(allocator)
    }

    /// Waits for as much as there is, in offers of at least this.
    fn wants(mut self, name: &str, least: &str) -> Self {
        let wants = Resources::new(Amount::MAX, Amount::MAX);
        let demand = Demand { least: resources(least), wants, terms: None };
        let (framework, role) =
            (FrameworkId::new(name).expect("an id"), Role::new(name).expect("a role"));
        self.0.set_demand(&framework, &role, Some(&demand));
        self
    }

    fn run(&mut self) -> Vec<Grant> {
        self.0.check();
        let grants = self.0.run(Time::ZERO);
        self.0.check();
        grants
    }

    fn accept(&mut self, grants: &[Grant]) {
        for grant in grants {
            self.0.take_back(of(grant));
            self.0.occupy(of(grant), Origin::Offer);
        }
    }
}

fn of(grant: &Grant) -> Use<'_> {
    let Grant { framework, role, agent, bundle } = grant;
    Use { framework, role, agent, bundle }
}

/// Each offer in words: whose, of which agent, how much.
fn said(grants: &[Grant]) -> Vec<String> {
    let say = |g: &Grant| format!("{} {} {}", g.framework, g.agent, g.bundle);
    grants.iter().map(say).collect()
}

#[test]
fn what_came_free_at_once_is_shared_by_weights() {
    let mut cluster = Cluster::new(&["cpus:6;mem:600"], &[("a", 1), ("b", 2)])
        .wants("a", "cpus:1;mem:10")
        .wants("b", "cpus:1;mem:10");
    for _ in 0..10 {
        let grants = cluster.run();
        assert_eq!(said(&grants), ["a a0 cpus:2;mem:200", "b a0 cpus:4;mem:400"]);
        cluster.accept(&grants);
        assert_eq!(cluster.run(), []);
        grants.iter().for_each(|grant| cluster.0.release(of(grant)));
    }
}

#[test]
fn what_came_free_one_by_one_goes_to_whose_it_was() {
    let mut cluster = Cluster::new(&["cpus:6;mem:600"], &[("a", 1), ("b", 2)])
        .wants("a", "cpus:1")
        .wants("b", "cpus:1");
    let grants = cluster.run();
    cluster.accept(&grants);
    for grant in [&grants[1], &grants[0], &grants[1], &grants[1]] {
        let task = Grant { bundle: resources("cpus:1;mem:100").into(), ..grant.clone() };
        cluster.0.release(of(&task));
        let again = cluster.run();
        assert_eq!(again, [task]);
        cluster.accept(&again);
    }
}

#[test]
fn of_a_cluster_that_is_empty_they_have_whole_agents() {
    let mut cluster = Cluster::new(&["cpus:4;mem:400"; 4], &[("a", 1), ("b", 1)])
        .wants("a", "cpus:1")
        .wants("b", "cpus:1");
    let offers = said(&cluster.run());
    let whole = |name: &str, agent: &str| format!("{name} {agent} cpus:4;mem:400");
    assert_eq!(offers, [whole("a", "a0"), whole("b", "a1"), whole("a", "a2"), whole("b", "a3")]);
}

#[test]
fn who_is_alone_or_says_nothing_has_all() {
    let mut alone = Cluster::new(&["cpus:6;mem:600"], &[("a", 1)]).wants("a", "cpus:1");
    assert_eq!(said(&alone.run()), ["a a0 cpus:6;mem:600"]);
    let mut silent = Cluster::new(&["cpus:6;mem:600"], &[("a", 1), ("b", 1)]).wants("b", "cpus:1");
    assert_eq!(said(&silent.run()), ["a a0 cpus:6;mem:600"]);
}

#[test]
fn nobody_has_less_than_it_can_use() {
    let mut cluster = Cluster::new(&["cpus:6;mem:600"], &[("a", 1), ("b", 1)])
        .wants("a", "cpus:4")
        .wants("b", "cpus:1;mem:200");
    assert_eq!(said(&cluster.run()), ["a a0 cpus:4;mem:400", "b a0 cpus:2;mem:200"]);
}

#[test]
fn who_declines_a_piece_is_offered_more() {
    let mut cluster = Cluster::new(&["cpus:8;mem:800"], &[("a", 1), ("b", 3)])
        .wants("a", "cpus:1")
        .wants("b", "cpus:1");
    let grants = cluster.run();
    assert_eq!(said(&grants), ["a a0 cpus:2;mem:200", "b a0 cpus:6;mem:600"]);
    for grant in &grants {
        cluster.0.take_back(of(grant));
    }
    cluster.0.refuse(of(&grants[0]), Time::ZERO + Duration::from_secs(5));
    assert_eq!(said(&cluster.run()), ["a a0 cpus:4;mem:400", "b a0 cpus:4;mem:400"]);
}

#[test]
fn members_of_a_role_share_what_is_due_to_it() {
    let mut cluster = Cluster::new(&["cpus:8;mem:800"], &[("a", 1), ("b", 1)])
        .wants("a", "cpus:1")
        .wants("b", "cpus:1");
    let second = FrameworkId::new("b2").expect("an id");
    let role = Role::new("b").expect("a role");
    cluster.0.add_framework(&second, BTreeSet::new(), [(role.clone(), Interest::default())]);
    cluster.0.activate(&second);
    let wants = Resources::new(Amount::MAX, Amount::MAX);
    let demand = Demand { least: resources("cpus:1"), wants, terms: None };
    cluster.0.set_demand(&second, &role, Some(&demand));
    assert_eq!(
        said(&cluster.run()),
        ["a a0 cpus:4;mem:400", "b a0 cpus:2;mem:200", "b2 a0 cpus:2;mem:200"]
    );
}

#[test]
fn what_is_guaranteed_comes_first_and_the_rest_is_shared() {
    let mut cluster = Cluster::new(&["cpus:8;mem:800"], &[("a", 1), ("b", 1)])
        .wants("a", "cpus:1")
        .wants("b", "cpus:1");
    let quota = Quota { guarantee: resources("cpus:6"), ..Quota::default() };
    cluster.0.set_quota(&Role::new("b").expect("a role"), &quota).expect("a quota");
    // One offer to each, though b is served in two stages.
    assert_eq!(said(&cluster.run()), ["b a0 cpus:6;mem:600", "a a0 cpus:2;mem:200"]);
}

/// With it the client would stand behind others until it has answered.
#[test]
fn memory_that_nobody_needs_does_not_come_along() {
    let mut cluster = Cluster::new(&["cpus:6;mem:60000"], &[("a", 1), ("b", 2)])
        .wants("a", "cpus:1;mem:10")
        .wants("b", "cpus:1;mem:10");
    let grants = cluster.run();
    assert_eq!(said(&grants), ["a a0 cpus:2;mem:20000", "b a0 cpus:4;mem:40000"]);
    for (grant, tasks) in grants.iter().zip([2, 4]) {
        let used = resources(&format!("cpus:{tasks};mem:{}", 10 * tasks)).into();
        let used = Grant { bundle: used, ..grant.clone() };
        cluster.0.take_back(of(grant));
        cluster.0.occupy(of(&used), Origin::Offer);
    }
    let task = Grant { bundle: resources("cpus:1;mem:10").into(), ..grants[0].clone() };
    cluster.0.release(of(&task));
    assert_eq!(said(&cluster.run()), ["a a0 cpus:1;mem:19990"]);
}
