//! Offers: when they are made, what is refused and for how long, when they are void.

use super::kit::{Story, refuse, task};
use skep_protocol::{
    bounds::REFUSE_MAX,
    framework::{Call, Filters},
};

/// One agent, one framework, the whole agent offered as `o1`.
fn offered() -> Story {
    let mut s = Story::new();
    s.framework("f", "r");
    s.agent("a", "cpus:4;mem:4096");
    s.idle();
    s.expect(["f: offer o1 of a: cpus:4;mem:4096"]);
    s
}

#[test]
fn a_busy_shell_gets_offers_after_the_coalescing_time_and_an_idle_one_at_once() {
    let mut s = Story::new();
    s.framework("f", "r");
    s.agent("a1", "cpus:4;mem:4096");
    s.wait(0.001);
    s.agent("a2", "cpus:4;mem:4096");
    s.expect([]);
    s.wait(0.001);
    assert_eq!(s.take_effects().len(), 2);
    s.agent("a3", "cpus:1;mem:1024");
    s.idle();
    s.expect(["f: offer o3 of a3: cpus:1;mem:1024"]);
}

#[test]
fn what_is_offered_to_one_is_not_offered_to_another() {
    let mut s = offered();
    s.framework("g", "other");
    s.idle();
    s.expect([]);
}

#[test]
fn a_declined_offer_goes_to_the_next_and_comes_back_after_five_seconds() {
    let mut s = offered();
    s.framework("g", "r");
    s.decline("f", &["o1"], Filters::default());
    s.idle();
    s.expect(["g: offer o2 of a: cpus:4;mem:4096"]);
    s.decline("g", &["o2"], refuse(60.0));
    s.wait_beating("a", 4);
    s.expect([]);
    s.wait(1.1);
    s.expect(["f: offer o3 of a: cpus:4;mem:4096"]);
}

#[test]
fn a_decline_may_name_no_time_or_more_than_a_year() {
    let mut s = offered();
    s.decline("f", &["o1"], refuse(0.0));
    s.idle();
    s.expect(["f: offer o2 of a: cpus:4;mem:4096"]);
    s.decline("f", &["o2"], Filters { refuse: Some(REFUSE_MAX * 3) });
    s.idle();
    let ends = s.master.ledger.shares.deadline();
    assert_eq!(ends, Some(s.now + REFUSE_MAX));
}

#[test]
fn more_than_what_was_refused_is_offered() {
    let mut s = offered();
    s.run("f", "o1", "a", &[task("t", "cpus:3;mem:64")]);
    s.idle();
    s.expect(["f: offer o2 of a: cpus:1;mem:4032"]);
    s.decline("f", &["o2"], refuse(60.0));
    s.idle();
    s.expect([]);
    s.update("a", "f", "t", 2, super::kit::OK);
    s.idle();
    s.expect(["f: t#1 exited with code 0 (2)", "f: offer o3 of a: cpus:4;mem:4096"]);
}

#[test]
fn the_rest_of_an_accept_is_offered_again_at_once_unless_it_was_refused() {
    let mut s = offered();
    s.accept("f", &["o1"], &[task("t", "cpus:1;mem:64")]);
    s.take_effects();
    s.idle();
    s.expect(["f: offer o2 of a: cpus:3;mem:4032"]);
    s.accept_with("f", &["o2"], &[task("u", "cpus:1;mem:64")], refuse(1.0));
    s.take_effects();
    s.idle();
    s.expect([]);
    s.wait(1.1);
    s.expect(["f: offer o3 of a: cpus:2;mem:3968"]);
}

#[test]
fn an_accept_that_launches_nothing_is_a_decline() {
    let mut s = offered();
    s.call(
        "f",
        Call::Accept {
            offers: vec![s.names.offer("o1")],
            operations: Vec::new(),
            filters: Filters::default(),
        },
    );
    s.idle();
    s.expect([]);
    s.wait(5.1);
    s.expect(["f: offer o2 of a: cpus:4;mem:4096"]);
}

#[test]
fn a_silent_framework_loses_its_offer_and_waits_while_others_get_their_turn() {
    let mut s = offered();
    s.wait_beating("a", 29);
    s.expect([]);
    s.wait(1.0);
    s.expect(["f: rescinded o1"]);
    s.wait(4.9);
    s.expect([]);
    s.wait(0.2);
    s.expect(["f: offer o2 of a: cpus:4;mem:4096"]);
}

#[test]
fn revive_clears_refusals_and_suppression() {
    let mut s = offered();
    s.decline("f", &["o1"], refuse(600.0));
    s.call("f", Call::Revive { roles: [].into() });
    s.idle();
    s.expect(["f: offer o2 of a: cpus:4;mem:4096"]);
    s.call("f", Call::Suppress { roles: [].into() });
    s.decline("f", &["o2"], refuse(0.0));
    s.idle();
    s.expect([]);
    s.call("f", Call::Revive { roles: [].into() });
    s.idle();
    s.expect(["f: offer o3 of a: cpus:4;mem:4096"]);
}

#[test]
fn scraps_are_not_offered() {
    let mut s = Story::new();
    s.framework("f", "r");
    s.agent("a", "cpus:0.009;mem:31");
    s.agent("b", "cpus:0.01;mem:31");
    s.agent("c", "cpus:0.009;mem:32");
    s.idle();
    let mut effects = s.take_effects();
    effects.sort();
    assert_eq!(effects.len(), 2);
    assert!(effects.iter().all(|line| !line.contains("of a:")), "{effects:?}");
}

#[test]
fn an_agent_that_comes_back_larger_is_offered_with_all_it_has() {
    let mut s = offered();
    s.resize("a", "cpus:8;mem:8192");
    s.register("a", &[]);
    s.expect(["old a: hang up", "f: rescinded o1", "a: registered"]);
    s.idle();
    s.expect(["f: offer o2 of a: cpus:8;mem:8192"]);
}

#[test]
fn the_offers_out_to_one_framework_are_bounded() {
    let mut s = Story::with(|policy| policy.offers_out_max = 1);
    s.framework("f", "r");
    s.agent("a1", "cpus:1;mem:1024");
    s.agent("a2", "cpus:1;mem:1024");
    s.idle();
    assert_eq!(s.take_effects().len(), 1);
    s.decline("f", &["o1"], refuse(60.0));
    s.idle();
    // Now there is room for an offer of the other agent.
    assert_eq!(s.take_effects().len(), 1);
}
