//! What is offered, against what tasks need and are content with.

use super::*;
use skep_protocol::task::{Access, DirGrant, DirSource};

fn resources(text: &str) -> Resources {
    text.parse().expect("resources")
}

fn templated(change: impl FnOnce(&mut TaskSpec)) -> Group {
    let id = TaskId::new("template").expect("an id");
    let mut template = TaskSpec::new(id, Digest::of(b"m"), resources("cpus:1;mem:1024"));
    change(&mut template);
    Group::of_template(template, 0, 1)
}

#[test]
fn a_task_has_what_it_asks_for_or_what_there_is_down_to_what_it_is_content_with() {
    let mut cluster = serving();
    let least = Some(resources("cpus:0.1;mem:16"));
    let group = Group { least, ..templated(|_| ()) };
    submit(&mut cluster, job("j", &[("a", Group { count: 3, ..group })]));
    assert_eq!(cluster.demands(), [], "it takes whatever there is");
    cluster.offer("n1", "cpus:0.05;mem:4096");
    assert_eq!(cluster.running(), [""; 0]);
    cluster.offer("n2", "cpus:0.5;mem:512");
    cluster.offer("n3", "cpus:2;mem:8192");
    let launched = cluster.launched();
    let given: Vec<String> = launched.iter().map(|task| task.resources.to_string()).collect();
    let half = resources("cpus:0.5;mem:512").to_string();
    assert_eq!(given, [half.clone(), half, resources("cpus:1;mem:1024").to_string()]);
}

#[test]
fn tasks_with_a_volume_go_where_it_is() {
    let mut cluster = serving();
    let source = DirSource::Volume("books".into());
    let grant = DirGrant { source, guest: "/b".into(), access: Access::ReadOnly };
    submit(&mut cluster, job("j", &[("a", templated(|task| task.grants.dirs.push(grant)))]));
    cluster.offer("n1", "cpus:2;mem:2048");
    cluster.offer_with("n2", "cpus:2;mem:2048", &[("volumes", "book,shelf")]);
    assert_eq!(cluster.running(), [""; 0]);
    cluster.offer_with("n3", "cpus:2;mem:2048", &[("volumes", "shelf,books")]);
    assert_eq!(cluster.agent_of("j-1.a.0"), Some("n3"));
}

#[test]
fn what_is_lent_is_for_those_who_take_it_and_for_them_alone() {
    let group = templated(|task| task.terms = Terms::Revocable);
    let lent = job("j", &[("a", group.clone())]);
    assert!(lent.check_kept().is_err(), "one that serves is not lent anything");
    let mut cluster = Cluster::new(framework_info("once"), Batch::once(lent));
    let (least, terms) = (resources("cpus:1;mem:1024"), Some(Terms::Revocable));
    let demands = cluster.demands();
    assert_eq!((demands.len(), &demands[0].least, demands[0].terms), (1, &least, terms));
    cluster.offer("n1", "cpus:2;mem:2048");
    assert_eq!(cluster.running(), [""; 0], "nothing of it is lent");
    let has = resources("cpus:2;mem:2048");
    let lends = resources("cpus:1");
    let usable = |terms| crate::batch::usable(&has, &lends, terms);
    assert_eq!(usable(Terms::Regular), has);
    assert_eq!(usable(Terms::Revocable), resources("cpus:1;mem:2048"));
    assert_eq!(crate::batch::usable(&has, &Resources::none(), Terms::Revocable), Resources::none());
}

#[test]
fn one_that_is_content_with_more_than_it_asks_for_is_refused() {
    let group = Group { least: Some(resources("cpus:2;mem:16")), ..templated(|_| ()) };
    assert_eq!(job("j", &[("a", group)]).check().expect_err("a fault").field, "least");
}
