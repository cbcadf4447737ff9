//! Which effects need not wait for the records before them.

use super::*;
use crate::{Acceptance, Overtaking};
use skep_protocol::outcome::KilledBy;

/// The acceptance of a task that is started at once, and the order to start it.
fn launch(bench: &mut Bench, overtaking: &mut Overtaking, task: &str) -> (Acceptance, Effect) {
    let effects = bench.launch(1, [spec(task)]);
    let records = effects.iter().filter_map(|effect| match effect {
        Effect::Persist(record) => overtaking.persists(record),
        _ => None,
    });
    let acceptances: Vec<Acceptance> = records.collect();
    let is_start = |effect: &Effect| {
        let Effect::SendExecutor { message, .. } = effect else { return false };
        matches!(message, ToExecutor::Start { .. })
    };
    let start = effects.into_iter().find(is_start).expect("the task is started");
    let [acceptance] = acceptances.try_into().expect("one task is accepted");
    (acceptance, start)
}

fn order(message: ToExecutor) -> Effect {
    Effect::SendExecutor { executor: executor(), message }
}

#[test]
fn a_start_waits_for_the_record_of_its_own_task_alone() {
    let (mut bench, mut overtaking) = (Bench::warm(), Overtaking::default());
    let (acceptance, start) = launch(&mut bench, &mut overtaking, "a");
    assert!(!overtaking.may_pass(&start));
    overtaking.saved(&acceptance);
    assert!(overtaking.may_pass(&start));
    bench.report([started("a"), ended("a")]);
    let (_, another) = launch(&mut bench, &mut overtaking, "b");
    assert!(overtaking.may_pass(&start) && !overtaking.may_pass(&another));
}

#[test]
fn orders_do_not_overtake_each_other_and_nothing_else_overtakes_a_record() {
    let mut overtaking = Overtaking::default();
    let (acceptance, start) = launch(&mut Bench::warm(), &mut overtaking, "a");
    let kill = order(ToExecutor::Kill { key: key("a"), by: KilledBy::Operator });
    assert!(overtaking.may_pass(&kill));
    overtaking.holds(&start);
    assert!(!overtaking.may_pass(&kill));
    overtaking.holds(&kill);
    overtaking.saved(&acceptance);
    overtaking.frees(&start);
    assert!(!overtaking.may_pass(&start), "it came after the one that is held");
    overtaking.frees(&kill);
    assert!(overtaking.may_pass(&start));
    // An acknowledgement of reports waits for all, and others do not wait for it.
    let acknowledge = order(ToExecutor::Acknowledge { batch: 1 });
    overtaking.holds(&acknowledge);
    assert!(!overtaking.may_pass(&acknowledge) && overtaking.may_pass(&kill));
    let beat = ToMaster::Beat { inputs: 1, unsaved_millis: 0, acknowledged: 0 };
    assert!(!overtaking.may_pass(&Effect::SendMaster(beat)));
}
