//! What people are told of who waits: the true reason, also where several things stand in the way.

use skep_allocator::{
    AgentSpec, Allocator, Bundle, Capability, Cause, Demand, Explanation, Grant, Interest, Origin,
    Policy, Quota, Silence, Use,
};
use skep_protocol::{AgentId, FrameworkId, Resources, Role, Time, task::Terms};
use std::{collections::BTreeSet, time::Duration};

fn resources(text: &str) -> Resources {
    text.parse().expect("resources")
}

fn role(name: &str) -> Role {
    Role::new(name).expect("a role")
}

fn framework(name: &str) -> FrameworkId {
    FrameworkId::new(name).expect("an id")
}

fn agent(capacity: Bundle) -> Allocator {
    let mut allocator = Allocator::new(Policy::default());
    let id = AgentId::new("a").expect("an id");
    allocator.set_agent(&id, AgentSpec { capacity, ..AgentSpec::default() });
    allocator
}

/// An agent of which other roles have and lend this much.
fn parts(unreserved: &str, reserved: &str, revocable: &str) -> Allocator {
    agent(Bundle {
        unreserved: resources(unreserved),
        reserved: [(role("other"), resources(reserved))].into(),
        revocable: resources(revocable),
    })
}

fn join(allocator: &mut Allocator, name: &str) {
    let id = framework(name);
    allocator.add_framework(&id, BTreeSet::new(), [(role(name), Interest::default())]);
    allocator.activate(&id);
}

fn say(allocator: &mut Allocator, name: &str, least: &str, wants: &str, terms: Option<Terms>) {
    let demand = Demand { least: resources(least), wants: resources(wants), terms };
    allocator.set_demand(&framework(name), &role(name), Some(&demand));
}

fn of(grant: &Grant) -> Use<'_> {
    let Grant { framework, role, agent, bundle } = grant;
    Use { framework, role, agent, bundle }
}

fn why(allocator: &Allocator, name: &str) -> Explanation {
    allocator.explain(&framework(name), &role(name), None, Time::ZERO)
}

/// The one cause for the one agent.
fn cause(allocator: &mut Allocator, name: &str) -> Cause {
    assert_eq!(allocator.run(Time::ZERO), []);
    let why = why(allocator, name);
    assert_eq!((why.silence, why.possible, why.causes.len()), (None, 0, 1), "{why}");
    why.causes.into_keys().next().expect("one")
}

fn shortfall(kind: &str) -> Cause {
    Cause::Shortfall { kind: kind.into() }
}

#[test]
fn what_is_used_is_too_little_and_what_was_never_there_is_too_small() {
    let mut allocator = agent(resources("cpus:2;mem:100").into());
    join(&mut allocator, "f");
    say(&mut allocator, "f", "cpus:1;mem:50", "cpus:1;mem:50", None);
    let grants = allocator.run(Time::ZERO);
    allocator.take_back(of(&grants[0]));
    allocator.occupy(of(&grants[0]), Origin::Offer);
    assert_eq!(why(&allocator, "f").silence, Some(Silence::UsedUp));
    say(&mut allocator, "f", "cpus:1;mem:60", "cpus:9;mem:900", None);
    assert_eq!(cause(&mut allocator, "f"), shortfall("mem"));
    say(&mut allocator, "f", "cpus:1;mem:101", "cpus:9;mem:900", None);
    assert_eq!(cause(&mut allocator, "f"), Cause::TooSmall { kind: "mem".into() });
}

#[test]
fn what_is_reserved_for_others_or_lent_is_not_called_used() {
    let mut allocator = parts("cpus:1;mem:100", "cpus:2", "cpus:2");
    join(&mut allocator, "f");
    say(&mut allocator, "f", "cpus:3;mem:1", "cpus:9;mem:900", None);
    assert_eq!(cause(&mut allocator, "f"), Cause::Reserved);
    say(&mut allocator, "f", "cpus:5;mem:1", "cpus:9;mem:900", None);
    assert_eq!(cause(&mut allocator, "f"), Cause::OnlyLent, "what is reserved is not enough");
    let mut allocator = parts("cpus:1;mem:100", "", "cpus:2");
    join(&mut allocator, "f");
    say(&mut allocator, "f", "cpus:3;mem:1", "cpus:9;mem:900", None);
    assert_eq!(cause(&mut allocator, "f"), Cause::OnlyLent);
    allocator.set_capabilities(&framework("f"), [Capability::Revocable].into());
    say(&mut allocator, "f", "cpus:3;mem:1", "cpus:9;mem:900", Some(Terms::Revocable));
    assert_eq!(cause(&mut allocator, "f"), Cause::NotLent);
}

#[test]
fn a_limit_or_a_guarantee_is_named_only_if_it_is_in_the_way() {
    let mut allocator = parts("cpus:4;mem:100", "cpus:4", "");
    join(&mut allocator, "f");
    let limit = Quota {
        limit: [("cpus".to_owned(), skep_protocol::Amount::units(2))].into(),
        ..Quota::default()
    };
    allocator.set_quota(&role("f"), &limit).expect("a quota");
    say(&mut allocator, "f", "cpus:3;mem:1", "cpus:9;mem:900", None);
    assert_eq!(cause(&mut allocator, "f"), Cause::Limit);
    say(&mut allocator, "f", "cpus:1;mem:50;gpus:1", "cpus:9;mem:900;gpus:1", None);
    assert_eq!(cause(&mut allocator, "f"), Cause::TooSmall { kind: "gpus".into() });
    allocator.set_quota(&role("f"), &Quota::default()).expect("no quota");
    let guarantee = Quota { guarantee: resources("cpus:2"), ..Quota::default() };
    allocator.set_quota(&role("g"), &guarantee).expect("a quota");
    say(&mut allocator, "f", "cpus:3;mem:1", "cpus:9;mem:900", None);
    assert_eq!(cause(&mut allocator, "f"), Cause::Headroom);
    say(&mut allocator, "f", "cpus:6;mem:1", "cpus:9;mem:900", None);
    assert_eq!(cause(&mut allocator, "f"), Cause::Reserved, "with it there would be enough");
}

#[test]
fn who_has_declined_or_waits_for_no_more_is_told_so() {
    let mut allocator = agent(resources("cpus:2;mem:100").into());
    join(&mut allocator, "f");
    say(&mut allocator, "f", "cpus:1;mem:50", "cpus:2;mem:60", None);
    let grants = allocator.run(Time::ZERO);
    assert_eq!(why(&allocator, "f").silence, Some(Silence::Sated));
    allocator.take_back(of(&grants[0]));
    allocator.refuse(of(&grants[0]), Time::ZERO + Duration::from_secs(5));
    assert_eq!(cause(&mut allocator, "f"), Cause::Filter);
    let part = Grant { bundle: resources("cpus:1;mem:50").into(), ..grants[0].clone() };
    allocator.occupy(of(&part), Origin::Offer);
    let why = why(&allocator, "f");
    assert_eq!(why.silence, Some(Silence::UsedUp), "less is left than the least");
    assert!(why.to_string().contains("was launched"), "{why}");
    allocator.suppress(&framework("f"), &[]);
    let why = self::why(&allocator, "f");
    assert_eq!(why.silence, Some(Silence::Suppressed));
}

/// It is not the framework's own demand that a task is held against.
#[test]
fn a_task_is_explained_by_what_its_framework_could_be_offered() {
    let mut allocator = agent(resources("cpus:4;mem:100").into());
    join(&mut allocator, "f");
    say(&mut allocator, "f", "cpus:4;mem:100", "cpus:4;mem:100", None);
    let grants = allocator.run(Time::ZERO);
    allocator.take_back(of(&grants[0]));
    let needs = |text: &str| {
        let needs = resources(text);
        allocator.explain(&framework("f"), &role("f"), Some(&needs), Time::ZERO)
    };
    assert_eq!(needs("cpus:1").possible, 1);
    assert_eq!(
        needs("cpus:5").causes.into_keys().collect::<Vec<_>>(),
        [Cause::TooSmall { kind: "cpus".into() }]
    );
    assert_eq!(
        needs("gpus:1").causes.into_keys().collect::<Vec<_>>(),
        [Cause::TooSmall { kind: "gpus".into() }]
    );
}
