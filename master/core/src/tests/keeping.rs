//! What is kept on agents: reservations of all origins, and volumes.

use super::kit::{Story, task};
use skep_protocol::{
    Amount, Role, TaskState,
    framework::{Call, Filters, Operation},
    operator::{Request, Response},
    task::{DirGrant, DirSource},
};

fn role(name: &str) -> Role {
    Role::new(name).expect("a role")
}

fn reserve(name: &str, resources: &str, from: Option<&str>) -> Operation {
    let resources = resources.parse().expect("resources");
    Operation::Reserve { role: role(name), resources, from: from.map(role) }
}

fn unreserve(name: &str, resources: &str, to: Option<&str>) -> Operation {
    let resources = resources.parse().expect("resources");
    Operation::Unreserve { role: role(name), resources, to: to.map(role) }
}

fn create(of: &str, name: &str, disk: u64) -> Operation {
    Operation::CreateVolume { role: role(of), name: name.into(), disk: Amount::units(disk) }
}

fn launch(tasks: &[skep_protocol::TaskSpec]) -> Operation {
    Operation::Launch { tasks: super::kit::launch(tasks) }
}

fn accept(s: &mut Story, framework: &str, offer: &str, operations: Vec<Operation>) {
    let offers = vec![s.names.offer(offer)];
    s.call(framework, Call::Accept { offers, operations, filters: Filters::default() });
}

/// Reserved amounts as people see them: role, all, and what the agent's own operator reserved.
fn reservations(s: &Story) -> Vec<String> {
    match s.master.view(s.now, &Request::Agents) {
        Some(Response::Agents(views)) => views.agents[0]
            .reservations
            .iter()
            .map(|view| {
                let cpus = |of: &std::collections::BTreeMap<String, f64>| {
                    of.get("cpus").copied().unwrap_or_default()
                };
                format!("{} {} {}", view.role, cpus(&view.resources), cpus(&view.fixed))
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn with_volume(name: &str, volume: &str) -> skep_protocol::TaskSpec {
    let mut spec = task(name, "cpus:1;mem:64");
    let source = DirSource::Volume(volume.into());
    spec.grants.dirs.push(DirGrant::read_write(source, "/v"));
    spec
}

#[test]
fn a_framework_reserves_what_it_was_offered_and_runs_on_it_in_one_accept() {
    let mut s = Story::new();
    s.framework("f", "eng");
    s.agent("a", "cpus:4;mem:1024");
    s.idle();
    s.take_effects();
    let operations =
        vec![reserve("eng", "cpus:2;mem:512", None), launch(&[task("t", "cpus:1;mem:64")])];
    accept(&mut s, "f", "o1", operations);
    s.expect([
        "record reservation/a/eng",
        "f: answered o1.0: applied",
        "a: launch l1 in eng within cpus:1;mem:64: f/t#1",
        "f: answered o1.1: launched l1 on a",
    ]);
    assert_eq!(reservations(&s), ["eng 2 0"]);
    // Others get what is not reserved.
    s.framework("g", "ops");
    s.call("f", Call::Suppress { roles: [].into() });
    s.idle();
    s.expect(["g: offer o2 of a: cpus:2;mem:512"]);
    let mut s = s.restart_master();
    s.register("a", &[]);
    s.take_effects();
    assert_eq!(reservations(&s), ["eng 2 0"]);
}

#[test]
fn each_operation_is_answered_by_itself() {
    let mut s = Story::new();
    s.framework("f", "eng");
    s.agent("a", "cpus:4;mem:1024");
    s.idle();
    s.take_effects();
    let operations = vec![
        reserve("ops", "cpus:1", None),
        reserve("eng", "cpus:9", None),
        reserve("eng", "cpus:1", None),
        unreserve("eng", "cpus:2", None),
        unreserve("eng", "cpus:1", None),
        create("eng", "v", 10),
        Operation::DestroyVolume { name: "v".into() },
    ];
    accept(&mut s, "f", "o1", operations);
    s.expect([
        "f: answered o1.0: rejected: not allowed: reserving for ops out of an offer for eng",
        "f: answered o1.1: rejected: resources: the offer holds cpus:4;mem:1024 on these terms, \
         not cpus:9",
        "record reservation/a/eng",
        "f: answered o1.2: applied",
        "f: answered o1.3: rejected: resources: the offer holds cpus:1 on these terms, not cpus:2",
        "delete reservation/a/eng",
        "f: answered o1.4: applied",
        "f: answered o1.5: rejected: disk: the offer holds nothing reserved for eng, not disk:10",
        "f: answered o1.6: rejected: agent a has no volume \"v\": `skep volume list` shows those \
         that there are",
    ]);
}

#[test]
fn what_was_refined_goes_back_to_where_it_came_from_and_nowhere_else() {
    let mut s = Story::new();
    s.agent("a", "cpus:4;mem:1024");
    let (agent, resources) = (s.id_of("a"), "cpus:2".parse().expect("resources"));
    s.order(Request::Reserve { agent, role: role("eng"), resources, from: None });
    s.take_effects();
    s.framework("f", "eng/web");
    s.idle();
    s.expect(["f: offer o1 of a: cpus:4;mem:1024"]);
    let operations = vec![
        reserve("eng/web", "cpus:1", Some("eng")),
        reserve("eng/web", "cpus:1", None),
        // Two are reserved, of which one is the role's own.
        unreserve("eng/web", "cpus:2", None),
        unreserve("eng", "cpus:1", None),
        unreserve("eng/web", "cpus:1", Some("eng")),
        unreserve("eng/web", "cpus:1", Some("eng")),
    ];
    accept(&mut s, "f", "o1", operations);
    s.expect([
        "record reservation/a/eng",
        "record reservation/a/eng/web",
        "f: answered o1.0: applied",
        "record reservation/a/eng/web",
        "f: answered o1.1: applied",
        "f: answered o1.2: rejected: resources: of what eng/web has there, cpus:1 was \
         reserved out of what was free",
        "f: answered o1.3: rejected: not allowed: giving back what eng has, out of an offer for \
         eng/web",
        "record reservation/a/eng/web",
        "record reservation/a/eng",
        "f: answered o1.4: applied",
        "f: answered o1.5: rejected: resources: of what eng/web has there, nothing was reserved \
         out of what that role has",
    ]);
    assert_eq!(reservations(&s), ["eng 2 0", "eng/web 1 0"]);
}

#[test]
fn what_an_agents_own_operator_reserved_is_refined_and_given_back_but_not_to_everybody() {
    let mut s = Story::new();
    s.admit_agent("a", "cpus:4;mem:1024");
    s.reserve_fixed("a", "eng", "cpus:3");
    s.register("a", &[]);
    s.expect(["a: registered"]);
    s.framework("g", "ops");
    s.idle();
    s.expect(["g: offer o1 of a: cpus:1;mem:1024"]);
    let agent = s.id_of("a");
    let change = |s: &mut Story, is_back: bool, of: &str, amount: &str, other: Option<&str>| {
        let (agent, resources) = (agent.clone(), amount.parse().expect("resources"));
        let (role, other) = (role(of), other.map(role));
        s.order(if is_back {
            Request::Unreserve { agent, role, resources, to: other }
        } else {
            Request::Reserve { agent, role, resources, from: other }
        });
    };
    change(&mut s, true, "eng", "cpus:1", None);
    s.expect(["answer: refused: resources: of what eng has there, nothing was reserved by order"]);
    change(&mut s, false, "eng/web", "cpus:2", Some("eng"));
    s.expect([
        "g: rescinded o1",
        "record reservation/a/eng",
        "record reservation/a/eng/web",
        "answer: done",
    ]);
    assert_eq!(reservations(&s), ["eng 1 1", "eng/web 2 0"]);
    let mut s = s.restart_master();
    s.register("a", &[]);
    s.take_effects();
    assert_eq!(reservations(&s), ["eng 1 1", "eng/web 2 0"]);
    change(&mut s, true, "eng/web", "cpus:2", Some("eng"));
    s.expect(["delete reservation/a/eng/web", "delete reservation/a/eng", "answer: done"]);
    assert_eq!(reservations(&s), ["eng 3 3"]);
}

/// An agent `a` with disk that is reserved for `eng`, offered to the framework `f` of that role.
fn with_disk() -> Story {
    let mut s = Story::new();
    s.agent("a", "cpus:4;mem:1024;disk:100");
    let (agent, resources) = (s.id_of("a"), "disk:60".parse().expect("resources"));
    s.order(Request::Reserve { agent, role: role("eng"), resources, from: None });
    s.take_effects();
    s.framework("f", "eng");
    s.idle();
    s.expect(["f: offer o1 of a: cpus:4;disk:100;mem:1024"]);
    s
}

#[test]
fn a_volume_takes_its_disk_out_of_the_reservation_and_is_seen_in_offers() {
    let mut s = with_disk();
    let operations =
        vec![create("eng", "v", 40), create("eng", "w", 40), launch(&[with_volume("t", "v")])];
    accept(&mut s, "f", "o1", operations);
    s.expect([
        "record volume/a/v",
        "a: volumes v of eng",
        "f: answered o1.0: applied",
        "f: answered o1.1: rejected: disk: the offer holds disk:20 reserved for eng, not disk:40",
        "a: launch l1 in eng within cpus:1;mem:64: f/t#1",
        "f: answered o1.2: launched l1 on a",
    ]);
    s.idle();
    s.expect(["f: offer o2 of a: cpus:3;disk:60;mem:960 with v"]);
    // It is in use.
    let agent = s.id_of("a");
    let remove = Request::DestroyVolume { agent: agent.clone(), name: "v".into() };
    s.order(remove.clone());
    s.expect(["answer: refused: the volume \"v\" is in use by task t: wait for its end"]);
    s.update("a", "f", "t", 1, super::kit::OK);
    s.take_effects();
    s.order(remove.clone());
    s.expect(["delete volume/a/v", "a: volumes", "answer: done"]);
    s.decline("f", &["o2"], super::kit::refuse(0.0));
    s.idle();
    s.expect(["f: offer o3 of a: cpus:4;disk:100;mem:1024"]);
    s.order(remove);
    s.expect([
        "answer: refused: agent a has no volume \"v\": `skep volume list` shows those that there \
         are",
    ]);
}

#[test]
fn a_volume_is_for_its_role_alone_and_for_those_below() {
    let mut s = with_disk();
    accept(&mut s, "f", "o1", vec![create("eng", "v", 40)]);
    s.take_effects();
    s.call("f", Call::Suppress { roles: [].into() });
    s.framework("g", "ops");
    s.idle();
    s.expect(["g: offer o2 of a: cpus:4;disk:40;mem:1024"]);
    s.accept("g", &["o2"], &[with_volume("t", "v")]);
    s.expect([
        "g: answered o2.0: launched l1 on a; refused t#1: not allowed: the volume \"v\" to a task \
         of ops: it is for eng",
    ]);
    s.framework("h", "eng/web");
    s.idle();
    s.expect(["h: offer o3 of a: cpus:4;disk:60;mem:1024 with v"]);
    // It may use the volume, and not remove it.
    let remove = Operation::DestroyVolume { name: "v".into() };
    accept(&mut s, "h", "o3", vec![remove, launch(&[with_volume("t", "v")])]);
    s.expect([
        "h: answered o3.0: rejected: not allowed: removing the volume \"v\" in an offer for \
         eng/web: it belongs to eng",
        "a: launch l2 in eng/web within cpus:1;mem:64: h/t#1",
        "h: answered o3.1: launched l2 on a",
    ]);
}

#[test]
fn volumes_survive_restarts_and_agents_are_told_of_all_when_they_come() {
    let mut s = with_disk();
    accept(&mut s, "f", "o1", vec![create("eng", "v", 40)]);
    s.take_effects();
    let mut s = s.restart_master();
    s.register("a", &[]);
    s.expect(["record framework/f", "a: registered", "a: volumes v of eng"]);
    s.resubscribe("f", "eng");
    s.take_effects();
    s.idle();
    s.expect(["f: offer o1 of a: cpus:4;disk:60;mem:1024 with v"]);
    // An operator can make and remove them, too; an order that is repeated changes nothing.
    let (agent, disk) = (s.id_of("a"), Amount::units(20));
    let make = Request::CreateVolume { agent, role: role("eng"), name: "w".into(), disk };
    s.order(make.clone());
    s.expect([
        "f: rescinded o1",
        "record volume/a/w",
        "a: volumes v of eng w of eng",
        "answer: done",
    ]);
    s.order(make);
    s.expect(["answer: done"]);
}

#[test]
fn a_task_that_an_agent_brings_holds_on_to_its_volume() {
    let mut s = with_disk();
    let operations = vec![create("eng", "v", 40), launch(&[with_volume("t", "v")])];
    accept(&mut s, "f", "o1", operations);
    s.take_effects();
    let mut s = s.restart_master();
    s.resubscribe("f", "eng");
    let spec = with_volume("t", "v");
    let mut held = s.held("f", &spec, "l1", "cpus:1;mem:64", TaskState::Running);
    held.volumes = vec!["v".into()];
    s.register("a", &[held]);
    s.take_effects();
    let agent = s.id_of("a");
    s.order(Request::DestroyVolume { agent, name: "v".into() });
    s.expect(["answer: refused: the volume \"v\" is in use by task t: wait for its end"]);
}
