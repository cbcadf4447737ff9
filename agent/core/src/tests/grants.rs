//! Grants: what the operator lets tasks have, and which executor they run in for it.

use super::*;
use crate::{NetRule, Network};
use skep_protocol::{
    Rejection,
    task::{DirGrant, DirSource},
};

fn with_dir(task: &str, source: DirSource, access: Access) -> TaskSpec {
    let mut spec = spec(task);
    spec.grants.dirs.push(DirGrant { source, guest: "/d".into(), access });
    spec
}

fn with_volume(task: &str, name: &str, access: Access) -> TaskSpec {
    with_dir(task, DirSource::Volume(name.into()), access)
}

fn with_network(task: &str, peer: &str) -> TaskSpec {
    let mut spec = spec(task);
    spec.grants.network.extend(peer.parse());
    spec
}

fn jailed(dirs: &[(&str, Access)], network: Network) -> ExecutorKey {
    let dirs = dirs.iter().map(|(path, access)| (path.into(), *access)).collect();
    ExecutorKey { framework: framework(), profile: Profile { network, dirs } }
}

fn started(effects: &[Effect]) -> Vec<&ExecutorKey> {
    let started = effects.iter().filter_map(|effect| match effect {
        Effect::StartExecutor { executor, .. } => Some(executor),
        _ => None,
    });
    started.collect()
}

/// Why the only task of a launch is refused.
fn refusal(effects: &[Effect]) -> String {
    let refused = effects.iter().find_map(|effect| match effect {
        Effect::Persist(Record::Updated(update)) => match &update.state {
            TaskState::Ended(Outcome::Refused { rejection }) => Some(rejection),
            _ => None,
        },
        _ => None,
    });
    match refused {
        Some(Rejection::NotAllowed { what }) => what.clone(),
        Some(rejection) => rejection.to_string(),
        None => panic!("{effects:?} refuses nothing"),
    }
}

#[test]
fn tasks_with_other_grants_run_in_another_executor_of_their_framework() {
    let mut bench = Bench::warm();
    let online = jailed(&[], Network::Open);
    let effects = bench.launch(1, [with_network("a", "example.org:443"), spec("b")]);
    assert_eq!(started(&effects), [&online]);
    assert!(effects.contains(&start([spec("b")])), "{effects:?}");
    let effects = bench.act(ready(online.clone()));
    let [Effect::SendExecutor { executor, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(*executor, online);
}

#[test]
fn an_executor_cannot_speak_for_guests_in_another_of_its_framework() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a"), with_network("b", "example.org:443")]);
    let online = jailed(&[], Network::Open);
    bench.act(ready(online.clone()));
    let reports = vec![ended("a")];
    assert_eq!(bench.act(Input::Reports { executor: online, batch: 0, reports }), []);
}

#[test]
fn an_executor_is_told_the_path_of_a_volume() {
    let mut bench = Bench::admitted();
    let effects = bench.launch(1, [with_volume("a", "books", Access::ReadOnly)]);
    let reader = jailed(&[("/srv/books", Access::ReadOnly)], Network::Closed);
    assert_eq!(started(&effects), [&reader]);
    let effects = bench.act(ready(reader));
    let [Effect::SendExecutor { message: ToExecutor::Start { guests }, .. }] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(guests[0].grants.dirs[0].source, DirSource::Host("/srv/books".into()));
}

#[test]
fn what_the_operator_did_not_name_is_refused_with_who_can() {
    let mut bench = Bench::warm();
    let effects = bench.launch(1, [with_volume("a", "none", Access::ReadOnly)]);
    assert!(refusal(&effects).contains("no volume \"none\"; its operator"), "{effects:?}");
    let effects = bench.launch(1, [with_volume("b", "books", Access::ReadWrite)]);
    assert!(refusal(&effects).contains("\"books\" of this agent is read-only"), "{effects:?}");
    let effects = bench.launch(1, [with_network("c", "example.com:443")]);
    assert!(refusal(&effects).contains("--allow-net example.com:443"), "{effects:?}");
    let host = with_dir("d", DirSource::Host("/etc".into()), Access::ReadOnly);
    assert!(refusal(&bench.launch(1, [host])).contains("--volume NAME=/etc"));
}

#[test]
fn a_framework_has_a_bounded_number_of_executors() {
    let mut bench = Bench::warm();
    bench.launch(1, [spec("a"), with_network("b", "example.org:1")]);
    let third = with_volume("c", "data", Access::ReadWrite);
    let why = refusal(&bench.launch(1, [third.clone()]));
    assert!(why.contains("at most 2"), "{why}");
    // Once nobody needs the second jail its executor makes room.
    bench.act(ready(jailed(&[], Network::Open)));
    let (executor, reports) = (jailed(&[], Network::Open), vec![ended("b")]);
    bench.act(Input::Reports { executor, batch: 0, reports });
    let effects = bench.launch(1, [TaskSpec { attempt: Attempt(2), ..third }]);
    let stop = Effect::StopExecutor { executor: jailed(&[], Network::Open) };
    assert!(effects.contains(&stop), "{effects:?}");
    assert_eq!(started(&effects), [&jailed(&[("/srv/data", Access::ReadWrite)], Network::Closed)]);
}

#[test]
fn a_rule_allows_a_peer_a_host_or_all() {
    assert_eq!("*".parse(), Ok(NetRule::Any));
    assert_eq!("Example.org:*".parse(), Ok(NetRule::Host("example.org".into())));
    assert_eq!("[::1]:*".parse(), Ok(NetRule::Host("::1".into())));
    let peer = "example.org:443".parse().expect("a peer");
    assert_eq!("example.org:443".parse(), Ok(NetRule::Peer(peer)));
    for wrong in ["", "example.org", ":*", "example.org:0"] {
        wrong.parse::<NetRule>().expect_err(wrong);
    }
}
