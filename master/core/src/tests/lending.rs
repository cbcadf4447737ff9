//! What agents lend, where they are, and which offers are of use to whom.

use super::kit::{Story, info, refuse, task};
use skep_protocol::{
    Role, TaskSpec, TaskState,
    framework::{Call, Demand, FrameworkInfo},
    operator::{Request, Response, view::WhyView},
    task::Terms,
    wishes::Wishes,
};

fn lent(name: &str, resources: &str) -> TaskSpec {
    TaskSpec { terms: Terms::Revocable, ..task(name, resources) }
}

/// An agent with 2 cpus that lends 2 more.
fn lending() -> Story {
    let mut s = Story::new();
    s.admit_agent("a", "cpus:2;mem:1024");
    s.lend("a", "cpus:2");
    s.register("a", &[]);
    s.take_effects();
    s
}

fn subscribe(s: &mut Story, name: &str, change: impl FnOnce(&mut FrameworkInfo)) {
    let mut info = info(name, name);
    change(&mut info);
    s.subscribe(name, "me", None, info);
    s.take_effects();
    s.idle();
}

fn borrower(s: &mut Story) {
    subscribe(s, "f", |info| {
        info.capabilities.insert("revocable".into());
    });
}

fn why(s: &Story, framework: &str) -> WhyView {
    let request = Request::Why { framework: s.names.framework(framework), needs: None };
    match s.master.view(s.now, &request) {
        Some(Response::Why(view)) => view,
        other => panic!("{other:?}"),
    }
}

fn wants(terms: Terms) -> Call {
    let least = "cpus:1;mem:64".parse().expect("resources");
    let wants = "cpus:9;mem:9999".parse().expect("resources");
    Call::Demand { role: None, demand: Some(Demand { least, wants, terms: Some(terms) }) }
}

#[test]
fn what_is_lent_is_offered_to_those_alone_who_can_deal_with_it() {
    let mut s = lending();
    subscribe(&mut s, "g", |_| ());
    s.expect(["g: offer o1 of a: cpus:2;mem:1024"]);
    s.decline("g", &["o1"], refuse(60.0));
    borrower(&mut s);
    s.expect(["f: offer o2 of a: cpus:4;mem:1024"]);
}

#[test]
fn revocable_tasks_use_what_is_lent_and_regular_ones_do_not() {
    let mut s = lending();
    borrower(&mut s);
    s.expect(["f: offer o1 of a: cpus:4;mem:1024"]);
    s.accept("f", &["o1"], &[lent("t", "cpus:2;mem:64"), lent("u", "cpus:3;mem:64")]);
    s.expect([
        "a: launch l1 in f within cpus:2;mem:64: f/t#1",
        "f: answered o1.0: launched l1 on a; refused u#1: \
         task u needs cpus:3;mem:64, but the offer holds cpus:2;mem:1024",
    ]);
    s.idle();
    s.expect(["f: offer o2 of a: cpus:2;mem:960"]);
    s.accept("f", &["o2"], &[task("v", "cpus:2;mem:64"), task("w", "cpus:3;mem:64")]);
    s.expect([
        "a: launch l2 in f within cpus:2;mem:64: f/v#1",
        "f: answered o2.0: launched l2 on a; refused w#1: \
         task w needs cpus:3;mem:64, but the offer holds cpus:2;mem:960",
    ]);
    let used = s.master.ledger.shares.agent(&s.id_of("a")).expect("it is there").used;
    assert_eq!(used.revocable.to_string(), "cpus:2");
    assert_eq!(used.unreserved.to_string(), "cpus:2;mem:128");
}

#[test]
fn the_tasks_of_one_launch_are_of_one_kind() {
    let mut s = lending();
    borrower(&mut s);
    s.take_effects();
    s.accept("f", &["o1"], &[lent("t", "cpus:1;mem:64"), task("u", "cpus:1;mem:64")]);
    s.expect([
        "a: launch l1 in f within cpus:1;mem:64: f/t#1",
        "f: answered o1.0: launched l1 on a; refused u#1: \
         terms: of the tasks of one launch, and of one allocation, all or none are revocable",
    ]);
}

#[test]
fn who_waits_for_what_is_lent_is_offered_nothing_else() {
    let mut s = lending();
    s.agent("b", "cpus:8;mem:1024");
    borrower(&mut s);
    s.take_effects();
    s.decline("f", &["o1", "o2"], refuse(0.0));
    s.call("f", wants(Terms::Revocable));
    s.idle();
    s.expect(["f: offer o3 of a: cpus:2;mem:1024"]);
    let causes: Vec<String> = why(&s, "f").agents.into_keys().collect();
    assert!(causes.iter().any(|cause| cause.contains("lends nothing")), "{causes:?}");
}

#[test]
fn who_does_not_take_what_is_lent_is_told_that_there_is_nothing_else() {
    let mut s = lending();
    subscribe(&mut s, "g", |_| ());
    s.accept("g", &["o1"], &[task("t", "cpus:2;mem:1024")]);
    s.take_effects();
    s.idle();
    s.expect([""; 0]);
    let causes: Vec<String> = why(&s, "g").agents.into_keys().collect();
    assert!(causes[0].contains("only revocable resources"), "{causes:?}");
}

#[test]
fn a_master_that_was_started_anew_books_revocable_tasks_as_such() {
    let mut s = lending();
    borrower(&mut s);
    s.take_effects();
    let spec = lent("t", "cpus:2;mem:64");
    s.accept("f", &["o1"], std::slice::from_ref(&spec));
    s.take_effects();
    let mut held = s.held("f", &spec, "l1", "cpus:2;mem:64", TaskState::Paused);
    held.role = Role::new("f").expect("a role");
    let mut s = s.restart_master();
    s.register("a", &[held]);
    s.take_effects();
    let used = s.master.ledger.shares.agent(&s.id_of("a")).expect("it is there").used;
    assert_eq!(used.revocable.to_string(), "cpus:2");
    assert_eq!(used.unreserved.to_string(), "mem:64");
    let request =
        Request::Tasks { framework: None, task: None, ended: skep_protocol::operator::Ended::Left };
    let Some(Response::Tasks(views)) = s.master.view(s.now, &request) else { panic!("no tasks") };
    assert_eq!(views.tasks[0].state, "PAUSED");
}

#[test]
fn a_task_is_paused_and_goes_on_as_its_agent_says() {
    let mut s = lending();
    borrower(&mut s);
    s.take_effects();
    s.accept("f", &["o1"], &[lent("t", "cpus:2;mem:64")]);
    s.recorded("a", "f", &["t"]);
    s.update("a", "f", "t", 1, TaskState::Running);
    s.update("a", "f", "t", 2, TaskState::Paused);
    s.update("a", "f", "t", 3, TaskState::Running);
    s.update("a", "f", "t", 4, TaskState::Paused);
    // It is repeated, and comes late.
    s.update("a", "f", "t", 3, TaskState::Running);
    s.take_effects();
    let key = s.key("f", "t");
    let stage = s.master.tasks.get(&key).map(|task| task.stage.state());
    assert_eq!(stage, Some(TaskState::Paused));
    s.update("a", "f", "t", 5, super::kit::OK);
    s.take_effects();
}

#[test]
fn agents_elsewhere_are_offered_to_those_who_know_of_regions() {
    let mut s = Story::with(|policy| policy.region = Some("north".into()));
    for (name, region) in [("a", "north"), ("b", "south")] {
        s.admit_agent(name, "cpus:2;mem:1024");
        s.locate(name, region);
        s.register(name, &[]);
    }
    s.take_effects();
    subscribe(&mut s, "g", |_| ());
    s.expect(["g: offer o1 of a: cpus:2;mem:1024"]);
    assert!(why(&s, "g").agents.keys().any(|cause| cause.contains("another region")));
    subscribe(&mut s, "f", |info| {
        info.capabilities.insert("region_aware".into());
    });
    s.expect(["f: offer o2 of b: cpus:2;mem:1024"]);
}

#[test]
fn constraints_and_least_offers_are_those_that_the_framework_named_last() {
    let mut s = Story::new();
    s.agent("a", "cpus:2;mem:1024");
    s.agent("b", "cpus:4;mem:1024");
    let wish = |text: &str| {
        let groups = vec![vec![text.parse().expect("a constraint")]];
        [(Role::new("f").expect("a role"), Wishes { groups, ..Wishes::default() })].into()
    };
    subscribe(&mut s, "f", |info| info.wishes = wish("hostname matches .*-b"));
    s.expect(["f: offer o1 of b: cpus:4;mem:1024"]);
    assert!(why(&s, "f").agents.keys().any(|cause| cause.contains("constraints")));
    s.disconnect("f");
    s.take_effects();
    let framework = Some(s.names.framework("f"));
    let mut again = info("f", "f");
    let floors = Some(vec!["cpus:3".parse().expect("resources")]);
    let wishes = Wishes { floors, ..Wishes::default() };
    again.wishes = [(Role::new("f").expect("a role"), wishes)].into();
    s.subscribe("f", "me", framework, again);
    s.take_effects();
    s.idle();
    s.expect(["f: offer o2 of b: cpus:4;mem:1024"]);
}

#[test]
fn who_states_an_empty_list_of_floors_is_offered_any_amount() {
    for (floors, offered) in [(None, false), (Some(Vec::new()), true)] {
        let mut s = Story::new();
        s.agent("a", "cpus:0.005;mem:5");
        let mut info = info("f", "f");
        let wishes = Wishes { floors, ..Wishes::default() };
        info.wishes = [(Role::new("f").expect("a role"), wishes)].into();
        s.subscribe("f", "me", None, info);
        s.take_effects();
        s.idle();
        assert_eq!(s.take_effects().len(), usize::from(offered));
    }
}

#[test]
fn a_pattern_that_is_none_is_refused() {
    let mut s = Story::new();
    let mut wrong = info("f", "f");
    let groups = vec![vec!["zone matches (".parse().expect("a constraint")]];
    let wishes = Wishes { groups, ..Wishes::default() };
    wrong.wishes = [(Role::new("f").expect("a role"), wishes)].into();
    s.subscribe("f", "me", None, wrong);
    let effects = s.take_effects();
    assert!(effects[0].contains("info.wishes"), "{effects:?}");
}
