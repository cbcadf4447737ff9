//! Who is offered what: weighted dominant resource fairness, over roles and then frameworks.

use super::kit::{Story, refuse, task};

#[test]
fn the_example_of_the_drf_paper_ends_with_three_tasks_against_two() {
    // NSDI 2011: 9 cpus and 18 GB; tasks of A need 1 cpu and 4 GB, of B 3 cpus and 1 GB.
    let mut s = Story::new();
    s.framework("A", "A");
    s.framework("B", "B");
    s.agent("a", "cpus:9;mem:18432");
    let (mut launches, mut declined) = (Vec::new(), Vec::new());
    for n in 1.. {
        s.idle();
        let effects = s.take_effects();
        let Some(offered) = effects.first() else { break };
        let (framework, rest) = offered.split_once(": offer ").expect("an offer");
        let (offer, resources) = rest.split_once(" of a: ").expect("an offer");
        let needed = if framework == "A" { "cpus:1;mem:4096" } else { "cpus:3;mem:1024" };
        let spec = task(&format!("t{n}"), needed);
        if resources.parse().is_ok_and(|r: skep_protocol::Resources| r.contains(&spec.resources)) {
            s.accept_with(framework, &[offer], &[spec], refuse(0.0));
            launches.push(framework.to_owned());
            s.take_effects();
        } else {
            declined.push(offered.clone());
            s.decline(framework, &[offer], refuse(60.0));
        }
    }
    assert_eq!(launches, ["A", "B", "A", "B", "A"]);
    // Both have two thirds; B has had fewer offers, and nothing fits either any more.
    assert_eq!(declined, ["B: offer o6 of a: mem:4096", "A: offer o7 of a: mem:4096"]);
}

#[test]
fn whole_agents_go_to_the_lowest_role_and_then_to_its_lowest_framework() {
    let mut s = Story::new();
    s.agent("a1", "cpus:4;mem:2048");
    s.idle();
    s.framework("f1", "r1");
    s.idle();
    s.expect(["f1: offer o1 of a1: cpus:4;mem:2048"]);
    s.framework("f2", "r2");
    s.idle();
    s.agent("a2", "cpus:2;mem:1024");
    s.idle();
    s.expect(["f2: offer o2 of a2: cpus:2;mem:1024"]);
    s.agent("a3", "cpus:6;mem:4096");
    s.idle();
    s.expect(["f2: offer o3 of a3: cpus:6;mem:4096"]);
    s.framework("f3", "r1");
    s.idle();
    s.agent("a4", "cpus:8;mem:8192");
    s.idle();
    s.expect(["f3: offer o4 of a4: cpus:8;mem:8192"]);
    s.framework("f4", "r1");
    s.agent("a5", "cpus:2;mem:1024");
    s.idle();
    // f4 holds nothing, yet role r2 is below role r1.
    s.expect(["f2: offer o5 of a5: cpus:2;mem:1024"]);
}

#[test]
fn a_role_of_triple_weight_gets_three_of_four_agents() {
    let mut s = Story::new();
    s.weigh("heavy", 3_000);
    s.framework("h", "heavy");
    s.framework("l", "light");
    let names: Vec<String> = (1..=8).map(|n| format!("a{n}")).collect();
    for name in &names {
        s.agent(name, "cpus:1;mem:1024");
    }
    s.idle();
    let effects = s.take_effects();
    let of = |name: &str| effects.iter().filter(|line| line.starts_with(name)).count();
    assert_eq!((of("h: offer"), of("l: offer")), (6, 2));
}

#[test]
fn a_weight_counts_from_the_moment_it_is_set() {
    let mut s = Story::new();
    s.framework("f", "a");
    s.framework("g", "b");
    s.agent("a1", "cpus:1;mem:1024");
    s.agent("a2", "cpus:1;mem:1024");
    s.idle();
    let mut effects = s.take_effects();
    effects.iter_mut().for_each(|line| line.truncate(8));
    effects.sort();
    assert_eq!(effects, ["f: offer", "g: offer"]);
    s.weigh("b", 2_000);
    s.agent("a3", "cpus:1;mem:1024");
    s.idle();
    s.expect(["g: offer o3 of a3: cpus:1;mem:1024"]);
}

#[test]
fn what_an_unreachable_agent_has_and_runs_counts_for_nobody() {
    let mut s = Story::new();
    s.framework("f", "r1");
    s.agent("a1", "cpus:4;mem:4096");
    s.idle();
    s.expect(["f: offer o1 of a1: cpus:4;mem:4096"]);
    s.run("f", "o1", "a1", &[task("t", "cpus:4;mem:4096")]);
    s.framework("g", "r2");
    s.disconnect("a1");
    s.wait(5.0);
    s.expect(["f: t#1 UNREACHABLE"]);
    s.agent("a2", "cpus:2;mem:2048");
    s.idle();
    s.expect(["g: offer o2 of a2: cpus:2;mem:2048"]);
    // Were f's task counted, f would hold as much as there is, and g half of that.
    s.agent("a3", "cpus:2;mem:2048");
    s.idle();
    s.expect(["f: offer o3 of a3: cpus:2;mem:2048"]);
}

#[test]
fn of_equals_the_one_with_fewer_offers_goes_first_and_then_the_name() {
    let mut s = Story::new();
    s.framework("f", "b");
    s.framework("g", "a");
    s.agent("a1", "cpus:1;mem:1024");
    s.idle();
    s.expect(["g: offer o1 of a1: cpus:1;mem:1024"]);
    s.decline("g", &["o1"], refuse(0.0));
    s.idle();
    s.expect(["f: offer o2 of a1: cpus:1;mem:1024"]);
    s.decline("f", &["o2"], refuse(0.0));
    s.idle();
    s.expect(["g: offer o3 of a1: cpus:1;mem:1024"]);
}
