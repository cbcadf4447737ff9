//! What people and frameworks say about sharing: the tree, quota, reservations, demand, and why.

use super::kit::{Story, info, refuse, task};
use skep_protocol::{
    Role,
    framework::{Call, Demand},
    operator::{Manner, Quota, Request, Response, view::WhyView},
};

fn role(name: &str) -> Role {
    Role::new(name).expect("a role")
}

fn quota(guarantee: &str, limit: &str) -> Quota {
    let limit: skep_protocol::Resources = limit.parse().expect("resources");
    Quota {
        guarantee: guarantee.parse().expect("resources"),
        limit: limit.iter().map(|(kind, amount)| (kind.to_owned(), amount)).collect(),
    }
}

fn set_quota(s: &mut Story, name: &str, quota: Quota, manner: Manner) {
    s.order(Request::SetQuota { role: role(name), quota, manner });
}

fn demand(s: &mut Story, framework: &str, least: &str, wants: &str) {
    let (least, wants) = (least.parse().expect("one"), wants.parse().expect("one"));
    s.call(
        framework,
        Call::Demand { role: None, demand: Some(Demand { least, wants, terms: None }) },
    );
}

fn why(s: &Story, framework: &str, needs: Option<&str>) -> WhyView {
    let needs = needs.map(|needs| needs.parse().expect("resources"));
    let request = Request::Why { framework: s.names.framework(framework), needs };
    match s.master.view(s.now, &request) {
        Some(Response::Why(view)) => view,
        other => panic!("{other:?}"),
    }
}

#[test]
fn children_share_what_their_parent_gets() {
    let mut s = Story::new();
    s.framework("w", "eng/web");
    s.framework("b", "eng/batch");
    s.framework("o", "ops");
    let mut effects = Vec::new();
    for n in 1..=4 {
        s.agent(&format!("a{n}"), "cpus:1;mem:1024");
        s.idle();
        effects.extend(s.take_effects());
    }
    let of = |name: &str| effects.iter().filter(|line| line.starts_with(name)).count();
    assert_eq!((of("b: offer"), of("w: offer"), of("o: offer")), (1, 1, 2));
}

#[test]
fn a_limit_cuts_offers_and_survives_a_restart() {
    let mut s = Story::new();
    set_quota(&mut s, "eng", quota("", "cpus:1"), Manner::Gentle);
    s.expect(["record quota/eng", "answer: done"]);
    s.framework("f", "eng/web");
    s.agent("a", "cpus:4;mem:1024");
    s.idle();
    s.expect(["f: offer o1 of a: cpus:1;mem:1024"]);
    let mut s = s.restart_master();
    s.resubscribe("f", "eng/web");
    s.register("a", &[]);
    s.take_effects();
    s.idle();
    let offers = s.take_effects();
    assert!(offers[0].ends_with("of a: cpus:1;mem:1024"), "{offers:?}");
    set_quota(&mut s, "eng", Quota::default(), Manner::Gentle);
    s.expect(["delete quota/eng", "answer: done"]);
    s.idle();
    let offers = s.take_effects();
    assert!(offers[0].ends_with("of a: cpus:3"), "{offers:?}");
}

#[test]
fn a_limit_below_what_a_role_has_is_refused_or_rescinds_its_offers() {
    let mut s = Story::new();
    s.framework("f", "eng");
    s.agent("a1", "cpus:2;mem:1024");
    s.agent("a2", "cpus:2;mem:1024");
    s.idle();
    s.take_effects();
    set_quota(&mut s, "eng", quota("", "cpus:3"), Manner::Gentle);
    let refused = s.take_effects();
    assert!(refused[0].contains("eng has 4 already"), "{refused:?}");
    set_quota(&mut s, "eng", quota("", "cpus:3"), Manner::Forced);
    s.expect(["f: rescinded o2", "record quota/eng", "answer: done"]);
}

#[test]
fn a_guarantee_is_held_free_for_its_role() {
    let mut s = Story::new();
    set_quota(&mut s, "prod", quota("cpus:2", ""), Manner::Gentle);
    s.expect(["record quota/prod", "answer: done"]);
    s.framework("f", "batch");
    s.agent("a", "cpus:3;mem:1024");
    s.idle();
    s.expect(["f: offer o1 of a: cpus:1;mem:1024"]);
    s.framework("p", "prod");
    s.idle();
    s.expect(["p: offer o2 of a: cpus:2"]);
}

#[test]
fn a_reservation_goes_to_its_role_and_survives_a_restart() {
    let mut s = Story::new();
    s.agent("a", "cpus:4;mem:1024");
    let (agent, resources) = (s.id_of("a"), "cpus:3".parse().expect("resources"));
    s.order(Request::Reserve { agent: agent.clone(), role: role("eng"), resources, from: None });
    s.expect(["record reservation/a/eng", "answer: done"]);
    s.framework("f", "ops");
    s.idle();
    s.expect(["f: offer o1 of a: cpus:1;mem:1024"]);
    let mut s = s.restart_master();
    s.register("a", &[]);
    s.take_effects();
    s.framework("g", "eng/web");
    s.idle();
    s.expect(["g: offer o1 of a: cpus:4;mem:1024"]);
    let resources = "cpus:3".parse().expect("resources");
    s.order(Request::Unreserve { agent, role: role("eng"), resources, to: None });
    s.expect(["g: rescinded o1", "delete reservation/a/eng", "answer: done"]);
}

#[test]
fn what_is_not_free_is_not_reserved() {
    let mut s = Story::new();
    s.agent("a", "cpus:4;mem:1024");
    let (agent, resources) = (s.id_of("a"), "cpus:5".parse().expect("resources"));
    s.order(Request::Reserve { agent, role: role("eng"), resources, from: None });
    let refused = s.take_effects();
    assert!(refused[0].contains("has not cpus:5 free"), "{refused:?}");
}

#[test]
fn offers_are_cut_to_the_demand_and_an_accepted_part_is_waited_for_no_more() {
    let mut s = Story::new();
    s.framework("f", "r");
    demand(&mut s, "f", "cpus:1;mem:64", "cpus:2;mem:128");
    s.agent("a", "cpus:8;mem:1024");
    s.idle();
    s.expect(["f: offer o1 of a: cpus:2;mem:128"]);
    s.run("f", "o1", "a", &[task("t", "cpus:1;mem:64")]);
    s.idle();
    s.expect(["f: offer o2 of a: cpus:1;mem:64"]);
    s.decline("f", &["o2"], refuse(0.0));
    demand(&mut s, "f", "", "");
    s.idle();
    s.expect([]);
}

/// Less than it can use is not offered, nor is anybody else kept from it.
#[test]
fn who_has_launched_all_but_a_rest_is_offered_again_when_it_revives_or_says_more() {
    let mut s = Story::new();
    s.framework("f", "r");
    demand(&mut s, "f", "cpus:1;mem:64", "cpus:2;mem:100");
    s.agent("a", "cpus:8;mem:1024");
    s.idle();
    s.expect(["f: offer o1 of a: cpus:2;mem:100"]);
    s.run("f", "o1", "a", &[task("t", "cpus:1;mem:64")]);
    s.idle();
    s.expect([]);
    assert!(why(&s, "f", None).sentences[0].contains("was launched"), "{:?}", why(&s, "f", None));
    s.call("f", Call::Revive { roles: [].into() });
    s.idle();
    s.expect(["f: offer o2 of a: cpus:2;mem:100"]);
    s.decline("f", &["o2"], refuse(0.0));
    demand(&mut s, "f", "cpus:1;mem:64", "cpus:1;mem:64");
    s.idle();
    s.expect(["f: offer o3 of a: cpus:1;mem:64"]);
}

#[test]
fn what_was_declined_for_other_work_is_offered_at_once_for_what_is_waited_for_now() {
    let mut s = Story::new();
    s.framework("f", "r");
    s.agent("a", "cpus:4;mem:1024");
    demand(&mut s, "f", "cpus:2;mem:64", "cpus:9;mem:9999");
    s.idle();
    s.expect(["f: offer o1 of a: cpus:4;mem:1024"]);
    s.decline("f", &["o1"], refuse(60.0));
    demand(&mut s, "f", "cpus:2;mem:64", "cpus:4;mem:1024");
    s.idle();
    s.expect([]);
    for (least, offer) in [("cpus:1;mem:64", "o2"), ("cpus:3;mem:64", "o3"), ("", "o4")] {
        demand(&mut s, "f", least, "cpus:4;mem:1024");
        s.idle();
        s.expect([&format!("f: offer {offer} of a: cpus:4;mem:1024")]);
        s.decline("f", &[offer], refuse(60.0));
        s.idle();
        s.expect([]);
    }
    s.call("f", Call::Demand { role: None, demand: None });
    s.idle();
    s.expect(["f: offer o5 of a: cpus:4;mem:1024"]);
}

#[test]
fn what_an_earlier_instance_waited_for_is_nothing_to_the_next() {
    let mut s = Story::new();
    s.framework("f", "r");
    demand(&mut s, "f", "cpus:64", "cpus:64");
    s.agent("a", "cpus:4;mem:1024");
    s.idle();
    s.expect([]);
    s.disconnect("f");
    s.resubscribe("f", "r");
    s.take_effects();
    s.idle();
    s.expect(["f: offer o1 of a: cpus:4;mem:1024"]);
}

#[test]
fn who_waits_is_served_within_the_time_out_of_who_hoards() {
    let mut s = Story::new();
    s.framework("hoarder", "a");
    s.agent("a", "cpus:4;mem:1024");
    s.idle();
    s.expect(["hoarder: offer o1 of a: cpus:4;mem:1024"]);
    s.framework("waiting", "b");
    s.idle();
    s.expect([]);
    // The agent is alive all the time; the hoarder never answers.
    s.wait_beating("a", 30);
    s.idle();
    s.expect(["hoarder: rescinded o1", "waiting: offer o2 of a: cpus:4;mem:1024"]);
}

#[test]
fn why_counts_what_stands_in_the_way() {
    let mut s = Story::new();
    s.framework("f", "r");
    s.agent("a", "cpus:4;mem:1024");
    s.agent("b", "cpus:2;mem:1024");
    s.idle();
    s.take_effects();
    s.decline("f", &["o1", "o2"], refuse(60.0));
    s.idle();
    let view = why(&s, "f", None);
    assert_eq!(view.agents.values().copied().collect::<Vec<_>>(), [2]);
    assert!(view.sentences[1].contains("refused by the framework"), "{view:?}");
    let view = why(&s, "f", Some("cpus:3"));
    assert!(view.agents.keys().any(|cause| cause.contains("too small")), "{view:?}");
}

#[test]
fn a_framework_asks_in_several_roles_and_may_fall_silent_in_one() {
    let mut s = Story::new();
    let mut info = info("f", "a");
    info.more_roles = [role("b")].into();
    s.subscribe("f", "me", None, info);
    s.take_effects();
    let effects = (1..=3).flat_map(|n| {
        s.agent(&format!("a{n}"), "cpus:1;mem:1024");
        s.idle();
        s.take_effects()
    });
    assert_eq!(effects.count(), 3);
    let roles = s.master.ledger.shares.roles();
    let shares: Vec<u64> = roles.iter().map(|role| role.held.cpus().as_millis()).collect();
    assert_eq!(shares, [2_000, 1_000]);
    s.call("f", Call::Suppress { roles: [role("a"), role("b")].into() });
    s.agent("a4", "cpus:1;mem:1024");
    s.idle();
    s.expect([]);
    s.call("f", Call::Revive { roles: [role("b")].into() });
    s.idle();
    s.expect(["f: offer o4 of a4: cpus:1;mem:1024"]);
}
