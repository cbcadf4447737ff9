//! Volumes that the master has made: folders that outlive tasks and runs of the agent.

use super::*;
use skep_protocol::{
    Rejection,
    agent::Volume as Kept,
    task::{DirGrant, DirSource},
};

fn kept(name: &str, role: &str, made: u64) -> Kept {
    let role = Role::new(role).expect("a role");
    Kept { name: name.into(), role, disk: Amount::units(10), made: Time::from_micros(made) }
}

fn want(volumes: &[Kept]) -> ToAgent {
    ToAgent::Volumes { volumes: volumes.to_vec() }
}

fn using(task: &str, volume: &str) -> TaskSpec {
    let mut spec = spec(task);
    let source = DirSource::Volume(volume.into());
    spec.grants.dirs.push(DirGrant::read_write(source, "/v"));
    spec
}

fn made(volume: &Kept) -> [Effect; 2] {
    [
        Effect::Persist(Record::VolumeMade { volume: volume.clone() }),
        Effect::MakeVolume { volume: volume.clone() },
    ]
}

fn removed(volume: &Kept) -> [Effect; 2] {
    [
        Effect::Persist(Record::VolumeForgotten { name: volume.name.clone() }),
        Effect::RemoveVolume { volume: volume.clone() },
    ]
}

#[test]
fn a_volume_is_recorded_and_made_once_and_removed_when_nobody_wants_it() {
    let mut bench = Bench::admitted();
    let (v, w) = (kept("v", "default", 5), kept("w", "eng", 6));
    assert_eq!(bench.master(want(std::slice::from_ref(&v))), made(&v));
    assert_eq!(bench.master(want(std::slice::from_ref(&v))), []);
    assert_eq!(bench.master(want(&[v.clone(), w.clone()])), made(&w));
    assert_eq!(bench.master(want(std::slice::from_ref(&w))), removed(&v));
    // One of the same name is another, with a folder of its own.
    let again = kept("w", "eng", 7);
    let effects = bench.master(want(std::slice::from_ref(&again)));
    assert_eq!(effects, [removed(&w), made(&again)].concat());
    let layout = crate::Layout::default();
    assert_ne!(layout.volume(&w), layout.volume(&again));
}

#[test]
fn a_volume_survives_the_agent_and_is_told_to_the_master() {
    let mut bench = Bench::admitted();
    let v = kept("v", "default", 5);
    bench.master(want(std::slice::from_ref(&v)));
    let (mut second, effects) = Bench::with(policy(), bench.disk.clone());
    assert!(effects.contains(&Effect::MakeVolume { volume: v }), "{effects:?}");
    let effects = second.act(Input::Connected);
    let [.., Effect::SendMaster(ToMaster::Register(registration))] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(registration.volumes, ["v"]);
}

#[test]
fn a_task_is_given_the_folder_of_its_volume_and_keeps_it_until_it_ends() {
    let mut bench = Bench::admitted();
    let v = kept("v", "default", 5);
    bench.master(want(std::slice::from_ref(&v)));
    let effects = bench.launch(1, [using("a", "v")]);
    let profile =
        Profile { dirs: [("volumes/v.5".into(), Access::ReadWrite)].into(), ..Profile::default() };
    let executor = ExecutorKey { framework: framework(), profile };
    let is_start = |effect: &Effect| match effect {
        Effect::StartExecutor { executor: known, .. } => *known == executor,
        _ => false,
    };
    assert!(effects.iter().any(is_start), "{effects:?}");
    let effects = bench.act(ready(executor.clone()));
    let [Effect::SendExecutor { message: ToExecutor::Start { guests }, .. }] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(guests[0].grants.dirs[0].source, DirSource::Host("volumes/v.5".into()));

    assert_eq!(bench.master(want(&[])), []);
    let reports = vec![ended("a")];
    let effects = bench.act(Input::Reports { executor, batch: 0, reports });
    assert!(effects.contains(&Effect::RemoveVolume { volume: v }), "{effects:?}");
}

#[test]
fn a_task_of_another_role_is_refused_the_volume() {
    let mut bench = Bench::warm();
    bench.master(want(&[kept("v", "eng", 5)]));
    let effects = bench.launch(1, [using("a", "v")]);
    let refused = effects.iter().find_map(|effect| match effect {
        Effect::Persist(Record::Updated(update)) => match &update.state {
            TaskState::Ended(Outcome::Refused { rejection }) => Some(rejection.clone()),
            _ => None,
        },
        _ => None,
    });
    let what = "the volume \"v\" to a task of default: it is for eng".into();
    assert_eq!(refused, Some(Rejection::NotAllowed { what }));
}
